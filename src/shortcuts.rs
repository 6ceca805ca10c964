//! The one-line calls of a notebook: glue between rooms, no logic of its own.

pub use crate::background::brightness_table;
pub use crate::data::open;
pub use crate::notebook::{notebook_data, quick_or_full};
pub use crate::views::compare;

use crate::Result;
use crate::data::Split;
use crate::display::TrainingProgress;
use crate::model::Architecture;
use crate::train::{Autoencoder, Training, fit};
use std::ops::ControlFlow;

/// Trains a network to rebuild the training images. In the diabolo kernel a bar and a loss curve grow meanwhile;
/// elsewhere lines of text tell the progress.
///
/// # Errors
/// Those of [`fit`].
pub fn train(architecture: Architecture, split: &Split, training: Training) -> Result<Autoencoder> {
    let mut progress = TrainingProgress::new();
    let model = fit(architecture, split, training, |step| {
        progress.step(step);
        ControlFlow::Continue(())
    })?;
    progress.finish(&model.history);
    Ok(model)
}
