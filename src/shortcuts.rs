//! The one-line calls of a notebook: glue between rooms, no logic of its own.

pub use crate::data::open;

use crate::Result;
use crate::data::{Images, Split};
use crate::display;
use crate::figure::Figure;
use crate::model::Architecture;
use crate::train::{Autoencoder, Training, fit};

/// Trains a network to rebuild the training images, telling its progress in lines of text.
///
/// # Errors
/// Those of [`fit`].
pub fn train(architecture: Architecture, split: &Split, training: Training) -> Result<Autoencoder> {
    fit(architecture, split, training, display::training_lines())
}
