//! The one-line calls of a notebook.

pub use crate::background::{bias_table, brightness_table};
pub use crate::data::{open, open_with, surface_masks, write_surfaces};
pub use crate::notebook::{
    full_length, labelled_notebook_data, notebook_data, notebook_data_with_classes, quick_or_full,
};
pub use crate::views::{
    compare, compare_over_pairs, constant_models, diffusion_map, f1_against_prevalence, latent_map, nearest_pairs,
    pca_map, precision_recall, roc, roc_axes,
};

use crate::Result;
use crate::data::{self, Split};
use crate::display::{DownloadProgressBar, SweepProgressBar, TrainingProgress};
use crate::evaluation::{Evaluation, FitOn, ScoreTable, evaluate};
use crate::model::Architecture;
use crate::run::fit_in;
use crate::sweep::{self, Experiment, Pair, Sweep};
use crate::train::{Autoencoder, Training, fit};
use std::ops::ControlFlow;
use std::path::Path;

/// Downloads a data set, "cifar10", from its home page into the user's cache, where [`open`] finds it; with a bar. What
/// was downloaded before is not downloaded again, and a partial download is resumed.
///
/// # Errors
/// Those of [`data::download`].
///
/// # Example
/// ```no_run
/// use diabolo::prelude::*;
/// download("cifar10")?;
/// let data = open("cifar10")?.hold_out(&["cat", "dog"])?;
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn download(name: &str) -> Result<()> {
    let mut progress = DownloadProgressBar::new();
    data::download(name, |step| {
        progress.step(step);
        ControlFlow::Continue(())
    })?;
    Ok(())
}

/// Trains a network to rebuild the training images. In the diabolo kernel it shows a progress bar and the loss curve;
/// elsewhere lines of text.
///
/// # Errors
/// Those of [`fit`].
///
/// # Example
/// ```
/// use diabolo::prelude::*;
/// let data = open("scenes")?.hold_out(&["boat", "car"])?;
/// # let data = Split::new("a few scenes", data.train().first(64)?, data.test().first(64)?)?;
/// let conv = train(Architecture::conv(), &data, Training::default().epochs(2))?;
/// assert!(conv.history().loss_last() < conv.history().loss_first);
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn train(architecture: Architecture, split: &Split, training: Training) -> Result<Autoencoder> {
    let mut progress = TrainingProgress::new();
    let model = fit(architecture, split, training, |step| {
        progress.step(step);
        ControlFlow::Continue(())
    })?;
    progress.finish(model.name(), model.history());
    Ok(model)
}

/// The same in a folder: a training that was stopped or killed there goes on exactly where it was saved last, and one that
/// is finished is opened, or goes on where more epochs are asked for.
///
/// # Errors
/// Those of [`fit_in`].
///
/// # Example
/// ```
#[doc = include_str!("example.txt")]
/// # let folder = tempfile::tempdir().unwrap();
/// # let runs = folder.path();
/// let folder = runs.join("small");
/// let small = train_in(&folder, small, &data, Training::default().epochs(2))?;
/// assert!(folder.join("history.csv").is_file());
/// assert_eq!(small.history().epochs.len(), 2);
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn train_in(
    folder: impl AsRef<Path>,
    architecture: Architecture,
    split: &Split,
    training: Training,
) -> Result<Autoencoder> {
    let mut progress = TrainingProgress::new();
    let model = fit_in(folder, architecture, split, training, |step| {
        progress.step(step);
        ControlFlow::Continue(())
    })?;
    progress.finish(model.name(), model.history());
    Ok(model)
}

/// Scores the test images in several ways, each with its AUC; distances between codes are fitted to the training codes.
///
/// # Errors
/// Those of [`evaluate`].
///
/// # Example
/// ```
#[doc = include_str!("example.txt")]
/// let table = score_table(&model, &data, &[Reconstruction, KMeans(3), Pca(2)])?;
/// assert_eq!((table.rows.len(), table.fit_on), (3, FitOn::Train));
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn score_table(model: &Autoencoder, split: &Split, evaluations: &[Evaluation]) -> Result<ScoreTable> {
    evaluate(model, split, evaluations, FitOn::Train)
}

/// The same with distances fitted to the test codes, anomalies among them, as the report's code does.
///
/// # Errors
/// Those of [`evaluate`].
///
/// # Example
/// ```
#[doc = include_str!("example.txt")]
/// let table = score_table_fitted_on_test(&model, &data, &[KMeans(3), Pca(2)])?;
/// assert_eq!(table.fit_on, FitOn::Test);
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn score_table_fitted_on_test(
    model: &Autoencoder,
    split: &Split,
    evaluations: &[Evaluation],
) -> Result<ScoreTable> {
    evaluate(model, split, evaluations, FitOn::Test)
}

/// Trains one network for each pair of held-out classes, with a bar that grows, and keeps the results in `folder`, where
/// the next call finds them.
///
/// # Errors
/// Those of [`sweep::run`].
///
/// # Example
/// ```
#[doc = include_str!("example.txt")]
/// # let folder = tempfile::tempdir().unwrap();
/// # let runs = folder.path();
/// let pairs = data.class_pairs(3)?; // of ten classes there are 45
/// let sweep = sweep(small, &data, Training::default().epochs(1), &pairs, &[Reconstruction], runs)?;
/// assert_eq!(sweep.rows.len(), 3);
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn sweep(
    architecture: Architecture,
    split: &Split,
    training: Training,
    pairs: &[Pair],
    evaluations: &[Evaluation],
    folder: impl AsRef<Path>,
) -> Result<Sweep> {
    let mut progress = SweepProgressBar::new();
    let experiment = Experiment::new(architecture, training, evaluations);
    sweep::run(&experiment, split, pairs, folder, |step| {
        progress.step(step);
        ControlFlow::Continue(())
    })
}
