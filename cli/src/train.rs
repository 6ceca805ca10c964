//! `diabolo train` and `diabolo sweep`.

use crate::configuration::{self, Sweeping, Train};
use crate::output::say;
use crate::processes::in_all;
use crate::progress::Bar;
use anyhow::{Result, bail};
use diabolo::prelude::Device;
use diabolo::run::fit_together;
use diabolo::sweep::{self, Experiment, Part, Sweep, SweepProgress};
use diabolo::together::Together;
use diabolo::train::{Autoencoder, StoppedBecause};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Trains in a run folder; started by mpirun, one model in all processes.
pub fn train(file: &Path, device: Option<Device>) -> Result<()> {
    // Process 0 tells.
    let Some((model, folder)) = in_all(|together| train_together(file, device, together))? else { return Ok(()) };
    say(format_args!("{model}\nin {}", folder.display()))?;
    match &model.history().stopped_because {
        StoppedBecause::Finished | StoppedBecause::TimeLimit { .. } => Ok(()),
        reason => bail!("the training did not finish: {reason}; the best model so far is in {}", folder.display()),
    }
}

/// The model, in process 0, and its folder.
fn train_together(
    file: &Path,
    device: Option<Device>,
    together: &Arc<dyn Together>,
) -> Result<Option<(Autoencoder, PathBuf)>> {
    let Train { folder, architecture, data, mut training } = configuration::read(file)?;
    training.device = device.unwrap_or(training.device);
    let split = data.split_of(together.rank(), together.size())?;
    let mut bar = None;
    let model = fit_together(&folder, architecture, &split, training, together.clone(), |progress| {
        let bar = bar.get_or_insert_with(|| Bar::new(progress.n_epochs * progress.n_steps));
        bar.show((progress.epoch - 1) * progress.n_steps + progress.step, || progress.to_string());
        ControlFlow::Continue(())
    })?;
    // The whole path, since the one in the file is relative to it.
    let folder = std::path::absolute(&folder).unwrap_or(folder);
    Ok(model.map(|model| (model, folder)))
}

/// Trains for one pair of held-out classes after another, with one seed after another; only for a part of them if one is
/// given.
pub fn sweep(file: &Path, part: Option<Part>, device: Option<Device>) -> Result<()> {
    let Sweeping { folder, architecture, data, mut training, mut pairs, seeds, evaluations } =
        configuration::read(file)?;
    training.device = device.unwrap_or(training.device);
    let split = data.split()?;
    if pairs.is_empty() {
        pairs = split.class_pairs(usize::MAX)?;
    }
    let mut experiment = Experiment::new(architecture, training, &evaluations);
    if !seeds.is_empty() {
        experiment = experiment.seeds(&seeds);
    }
    let mut bar = None;
    let observe = |progress: &SweepProgress| {
        let SweepProgress { number, n_trainings, held_out, seed, training } = progress;
        let bar = bar.get_or_insert_with(|| Bar::new(*n_trainings));
        bar.show(number - 1, || {
            format!("training {number}/{n_trainings} ({}, seed {seed}), {training}", held_out.join(", "))
        });
        ControlFlow::Continue(())
    };
    let Some(part) = part else {
        return show_sweep(&sweep::run(&experiment, &split, &pairs, &folder, observe)?);
    };
    let swept = sweep::run_part(&experiment, &split, &pairs, part, &folder, observe)?;
    say(format_args!("part {part} of the sweep in {}", folder.display()))?;
    show_sweep(&swept)
}

/// Prints the results of a sweep, and what is missing.
pub fn show_sweep(sweep: &Sweep) -> Result<()> {
    say(format_args!("{sweep}\n{}", sweep.table()))
}
