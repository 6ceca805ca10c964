//! `diabolo train` and `diabolo sweep`.

use crate::configuration::{self, Sweeping, Train};
use crate::output::say;
use crate::progress::Bar;
use anyhow::{Result, bail};
use diabolo::prelude::Device;
use diabolo::run::fit_in;
use diabolo::sweep::{self, Experiment};
use diabolo::train::StoppedBecause;
use std::ops::ControlFlow;
use std::path::Path;

/// Trains in a run folder.
pub fn train(file: &Path, device: Option<Device>) -> Result<()> {
    let Train { folder, architecture, data, mut training } = configuration::read(file)?;
    training.device = device.unwrap_or(training.device);
    let split = data.split()?;
    let mut bar = None;
    let model = fit_in(&folder, architecture, &split, training, |progress| {
        let bar = bar.get_or_insert_with(|| Bar::new(progress.n_epochs * progress.n_steps));
        bar.show((progress.epoch - 1) * progress.n_steps + progress.step, || progress.to_string());
        ControlFlow::Continue(())
    })?;
    drop(bar);
    // The whole path, since the one in the file is relative to it.
    let folder = std::path::absolute(&folder).unwrap_or(folder);
    say(format_args!("{model}\nin {}", folder.display()))?;
    match &model.history().stopped_because {
        StoppedBecause::Finished | StoppedBecause::TimeLimit { .. } => Ok(()),
        reason => bail!("the training did not finish: {reason}; the best model so far is in {}", folder.display()),
    }
}

/// Trains for one pair of held-out classes after another.
pub fn sweep(file: &Path, device: Option<Device>) -> Result<()> {
    let Sweeping { folder, architecture, data, mut training, mut pairs, evaluations } = configuration::read(file)?;
    training.device = device.unwrap_or(training.device);
    let split = data.split()?;
    if pairs.is_empty() {
        pairs = split.class_pairs(usize::MAX)?;
    }
    let mut bar = Bar::new(pairs.len());
    let experiment = Experiment::new(architecture, training, &evaluations);
    let swept = sweep::run(&experiment, &split, &pairs, &folder, |progress| {
        let pair = progress.held_out.join(", ");
        bar.show(progress.number - 1, || {
            format!("pair {}/{} ({pair}), {}", progress.number, progress.n_pairs, progress.training)
        });
        ControlFlow::Continue(())
    })?;
    drop(bar);
    say(format_args!("{swept}\n{}", swept.table()))
}
