//! The history of a training: losses, and why it stopped.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The course of a training: its losses, and how it ended.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// let history = &model.history;
/// assert_eq!(history.epochs.len(), 2);
/// assert!(history.loss_last() < history.loss_first);
/// assert_eq!(history.warning(), None);
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// Loss of the first minibatch, before any step.
    pub loss_first: f64,
    /// One record for each epoch that was finished.
    pub epochs: Vec<Epoch>,
    /// Where the model's weights come from.
    pub kept: Kept,
    /// Why training ended.
    pub stopped_because: StoppedBecause,
    /// Wall time of the training loop in seconds.
    pub seconds: f64,
    /// Where it ran and why there, as in "CPU, since there is no NVIDIA driver".
    pub device: String,
}

/// One pass over the training images. Losses are mean squared errors per pixel, plus the KL term of a Gaussian waist.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// for epoch in &model.history.epochs {
///     println!("{:.4} in {:.1} s", epoch.loss_mean, epoch.seconds);
///     assert!(epoch.loss_lowest_minibatch <= epoch.loss_mean);
/// }
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// Mean over the epoch's images.
    pub loss_mean: f64,
    /// Of the epoch's best minibatch.
    pub loss_lowest_minibatch: f64,
    /// Wall time in seconds.
    pub seconds: f64,
    /// Training speed.
    pub images_per_second: f64,
}

/// Where a model's weights come from.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// let kept = model.history.kept;
/// assert_eq!((kept.epoch, kept.loss), (2, model.history.loss_last()));
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// Epoch, from 1; 0 for the weights that training began with.
    pub epoch: usize,
    /// The loss by which they were chosen; for [`super::Keep::Last`] that of the last epoch.
    pub loss: f64,
}

/// Why a training ended.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// use diabolo::train::StoppedBecause;
/// assert_eq!(model.history.stopped_because, StoppedBecause::Finished);
/// let early = StoppedBecause::TimeLimit { max_seconds: 60.0 };
/// assert_eq!(early.to_string(), "max_seconds = 60 had passed");
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StoppedBecause {
    /// It has not: this is its course so far.
    NotYet,
    /// All epochs were done.
    Finished,
    /// `max_seconds` had passed.
    TimeLimit {
        /// The limit.
        max_seconds: f64,
    },
    /// A loss or a weight was infinite or not a number. The model has the best weights from before.
    Diverged {
        /// Epoch, from 1.
        epoch: usize,
        /// Step within the epoch, from 1.
        step: usize,
    },
    /// The user asked for it.
    Interrupted,
    /// A step failed after others had succeeded, out of memory for example.
    Failed {
        /// The error.
        message: String,
    },
}

impl History {
    /// Mean loss of the last finished epoch; not a number where none was finished.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// assert_eq!(model.history.loss_last(), model.history.epochs[1].loss_mean);
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn loss_last(&self) -> f64 {
        self.epochs.last().map_or(f64::NAN, |epoch| epoch.loss_mean)
    }

    /// A warning when training did not finish, else nothing.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// let too_little_time = Training::default().max_seconds(1e-9);
    /// let unfinished = diabolo::train::fit(small, &data, too_little_time, |_| std::ops::ControlFlow::Continue(()))?;
    /// assert!(unfinished.history.warning().unwrap().starts_with("training ended early: max_seconds = "));
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn warning(&self) -> Option<String> {
        let kept = match self.kept.epoch {
            0 => "the model has the weights it began with".to_string(),
            epoch => format!("the model has the weights of epoch {epoch} (loss {:.4})", self.kept.loss),
        };
        match &self.stopped_because {
            StoppedBecause::Finished => None,
            StoppedBecause::NotYet => Some(format!("training has not ended; {kept}")),
            StoppedBecause::Diverged { epoch, step } => Some(format!(
                "training diverged in epoch {epoch}, step {step}: a loss or weight was not finite; {kept}; \
                 try a lower learning rate"
            )),
            stopped => Some(format!("training ended early: {stopped}; {kept}")),
        }
    }
}

impl fmt::Display for StoppedBecause {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::NotYet => write!(f, "it has not ended"),
            Self::Finished => write!(f, "all epochs were done"),
            Self::TimeLimit { max_seconds } => write!(f, "max_seconds = {max_seconds} had passed"),
            Self::Diverged { epoch, step } => write!(f, "it diverged in epoch {epoch}, step {step}"),
            Self::Interrupted => write!(f, "it was interrupted"),
            Self::Failed { message } => write!(f, "a step failed: {message}"),
        }
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let plural = if self.epochs.len() == 1 { "" } else { "s" };
        write!(f, "{} epoch{plural} in {:.1} s on {}: ", self.epochs.len(), self.seconds, self.device)?;
        match self.epochs.last() {
            Some(last) => write!(f, "loss {:.4} -> {:.4}, ", self.loss_first, last.loss_mean)?,
            None => write!(f, "loss {:.4} at first, ", self.loss_first)?,
        }
        write!(f, "kept epoch {} ({:.4})", self.kept.epoch, self.kept.loss)?;
        self.warning().map_or(Ok(()), |warning| write!(f, "\nWARNING: {warning}"))
    }
}
