//! The one-line calls of a notebook: glue between rooms, no logic of its own.

pub use crate::background::brightness_table;
pub use crate::data::open;
pub use crate::notebook::{notebook_data, quick_or_full};
pub use crate::views::compare;

use crate::Result;
use crate::data::Split;
use crate::display::training_lines;
use crate::model::Architecture;
use crate::train::{Autoencoder, Training, fit};

/// Trains a network to rebuild the training images, telling its progress in lines of text.
///
/// # Errors
/// Those of [`fit`].
pub fn train(architecture: Architecture, split: &Split, training: Training) -> Result<Autoencoder> {
    fit(architecture, split, training, training_lines())
}
