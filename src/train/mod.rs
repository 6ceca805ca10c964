//! Training: from an [`Architecture`] and images to an [`Autoencoder`].
//!
//! What has cost training time is never thrown away: once the first step is done, a training that diverges, runs out of
//! time or is interrupted still ends in a model, and [`History::stopped_because`] says what happened.

mod autoencoder;
mod batches;
mod checkpoint;
mod device_steps;
mod exchange;
mod fitting;
mod history;
mod keeper;
mod learnt;
mod loss;
mod losses;
mod optimizer;
mod progress;
mod settings;
mod training_loop;

pub use autoencoder::Autoencoder;
pub(crate) use checkpoint::{Checkpoint, OptimizerMemory, UnfinishedEpoch};
pub use history::{Epoch, History, Kept, StoppedBecause};
pub(crate) use learnt::warn_of_nothing_learnt;
pub use learnt::{Learnt, Watched};
pub use progress::Progress;
pub use settings::{Keep, KlTerm, Optimizer, Training};
pub(crate) use training_loop::Loop;

use crate::Result;
use crate::data::Split;
use crate::model::Architecture;
use crate::together::alone;
use std::ops::ControlFlow;

/// Trains a network to reconstruct the training images.
///
/// `observe` is called after every step; when it breaks, or the user presses stop in the diabolo kernel, training ends
/// with the best model so far.
///
/// # Errors
/// Before the first step: [`Error::Setting`](crate::Error::Setting) when a setting is out of its range, or leaves a batch
/// from which batch norm cannot work out a variance; [`Error::Architecture`](crate::Error::Architecture) when the network
/// does not fit the images; [`Error::Device`](crate::Error::Device) when the device cannot be used;
/// [`Error::Data`](crate::Error::Data) when the split has fewer than two training images;
/// [`Error::Memory`](crate::Error::Memory) when there is not enough. [`Error::Torch`](crate::Error::Torch) when libtorch
/// refuses the first step. Later failures end training with the model so far.
///
/// # Example
/// ```
/// use diabolo::data::{Images, Split};
/// use diabolo::model::Architecture;
/// use diabolo::train::{Training, fit};
/// use std::ops::ControlFlow;
///
/// let images = Images::from_bytes(diabolo::ndarray::Array4::from_elem((16, 1, 8, 8), 200))?;
/// let data = Split::new("grey", images.clone(), images)?;
/// let network = Architecture::parse("Linear(64, 4)", "Linear(4, 64) / Tanh()")?;
/// let mut losses = Vec::new();
/// let model = fit(network, &data, Training::default().epochs(3), |progress| {
///     losses.push(progress.loss);
///     ControlFlow::Continue(())
/// })?;
/// assert_eq!(losses.len(), 3);
/// assert!(losses[2] < losses[0] && model.history().loss_first == Some(losses[0]));
///
/// let of_another_size = fit(Architecture::conv(), &data, Training::default(), |_| ControlFlow::Continue(()));
/// assert!(of_another_size.is_err());
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn fit(
    architecture: Architecture,
    split: &Split,
    training: Training,
    observe: impl FnMut(&Progress) -> ControlFlow<()>,
) -> Result<Autoencoder> {
    let mut training = Loop::begin(None, architecture, split, training, alone())?;
    training.run(observe, |_| Ok(()))?;
    training.into_model()
}

#[cfg(test)]
mod oracle_tests;
