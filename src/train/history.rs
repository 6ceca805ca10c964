//! The history of a training: losses, and why it stopped.

use super::{Learnt, Watched, warn_of_nothing_learnt};
use crate::Error;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// The losses of a training, and how it ended.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// let history = model.history();
/// assert_eq!(history.epochs.len(), 2);
/// assert!(history.loss_last() < history.loss_first);
/// assert_eq!(history.warning(), None);
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// Loss of the first minibatch, before any step; `None` before that, and where it was not finite.
    pub loss_first: Option<f64>,
    /// One record for each epoch that was finished.
    pub epochs: Vec<Epoch>,
    /// Where the model's weights come from; `None` for the weights that training began with.
    #[serde(deserialize_with = "kept_or_none")]
    pub kept: Option<Kept>,
    /// Why training ended.
    pub stopped_because: StoppedBecause,
    /// Wall time of the training loop in seconds, all its parts together where it was stopped and went on.
    pub seconds: f64,
    /// Where it ran and why there, as in "CPU, since there is no NVIDIA driver".
    pub device: String,
    /// What the model makes of the test images; `None` before the end of a training, when the user pressed stop, and in
    /// models of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learnt: Option<Learnt>,
    /// Other notes, as that its folder could not be locked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// One pass over the training images. Losses are mean squared errors per pixel, plus the KL term of a Gaussian bottleneck.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// for epoch in &model.history().epochs {
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
    /// What the test images said after it, where the training is watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watched: Option<Watched>,
}

/// A column of `history.csv`: its name, and an epoch's value, empty where there is none.
type Column = (&'static str, fn(&Epoch) -> String);

const COLUMNS: [Column; 4] = [
    ("loss_mean", |epoch| epoch.loss_mean.to_string()),
    ("loss_lowest_minibatch", |epoch| epoch.loss_lowest_minibatch.to_string()),
    ("seconds", |epoch| epoch.seconds.to_string()),
    ("images_per_second", |epoch| epoch.images_per_second.to_string()),
];

/// Those of a training that is watched.
const WATCHED_COLUMNS: [Column; 5] = [
    ("test_auc", |epoch| or_empty(epoch, |watched| watched.auc)),
    ("test_mse", |epoch| or_empty(epoch, |watched| Some(watched.mse))),
    ("test_auc_kept", |epoch| or_empty(epoch, |watched| watched.auc_kept)),
    ("test_mse_kept", |epoch| or_empty(epoch, |watched| Some(watched.mse_kept))),
    ("watch_seconds", |epoch| or_empty(epoch, |watched| Some(watched.seconds))),
];

fn or_empty(epoch: &Epoch, value: impl FnOnce(&Watched) -> Option<f64>) -> String {
    epoch.watched.as_ref().and_then(value).map_or(String::new(), |value| value.to_string())
}

/// Where a model's weights come from.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// let kept = model.history().kept.expect("an epoch was finished");
/// assert_eq!((kept.epoch, Some(kept.loss)), (2, model.history().loss_last()));
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// Epoch, from 1.
    pub epoch: usize,
    /// The loss by which they were chosen: of a minibatch, or the mean of an epoch. Where training stopped within an epoch
    /// and the weights are the last, that of the last minibatch.
    pub loss: f64,
}

/// Earlier versions wrote "nothing was kept" as epoch 0 with a loss that JSON does not have.
fn kept_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Kept>, D::Error> {
    #[derive(Deserialize)]
    struct Written {
        epoch: usize,
        loss: Option<f64>,
    }
    let written = Option::<Written>::deserialize(deserializer)?;
    match written {
        None | Some(Written { epoch: 0, .. }) => Ok(None),
        Some(Written { epoch, loss: Some(loss) }) => Ok(Some(Kept { epoch, loss })),
        Some(Written { loss: None, .. }) => Err(D::Error::custom("the kept weights have no loss")),
    }
}

/// Why a training ended.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// use diabolo::train::StoppedBecause;
/// assert_eq!(model.history().stopped_because, StoppedBecause::Finished);
/// let early = StoppedBecause::TimeLimit { max_seconds: 60.0 };
/// assert_eq!(early.to_string(), "max_seconds = 60 had passed");
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StoppedBecause {
    /// It has not ended: this is the history so far.
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
    /// A step failed after others had succeeded, as when memory runs out, or the training could not be saved.
    Failed {
        /// The error.
        message: String,
    },
}

impl History {
    /// Mean loss of the last finished epoch; `None` where none was finished.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// assert_eq!(model.history().loss_last(), Some(model.history().epochs[1].loss_mean));
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn loss_last(&self) -> Option<f64> {
        self.epochs.last().map(|epoch| epoch.loss_mean)
    }

    /// What the test images said after each epoch that was watched, with the epoch's number, from 1.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// assert_eq!(model.history().watched().count(), 0, "nobody asked for it");
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn watched(&self) -> impl Iterator<Item = (usize, &Watched)> {
        let epochs = self.epochs.iter().zip(1..);
        epochs.filter_map(|(epoch, number)| epoch.watched.as_ref().map(|watched| (number, watched)))
    }

    /// The epochs as CSV: a line of names, then a line for each. A training that is watched has five columns more.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// let csv = model.history().to_csv();
    /// assert!(csv.starts_with("epoch,loss_mean,loss_lowest_minibatch,seconds,images_per_second\n1,"));
    /// assert_eq!(csv.lines().count(), 1 + 2);
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn to_csv(&self) -> String {
        let n_watched = if self.watched().next().is_some() { WATCHED_COLUMNS.len() } else { 0 };
        let line = |first: &str, value: &dyn Fn(&Column) -> String| {
            let columns = COLUMNS.iter().chain(&WATCHED_COLUMNS[..n_watched]);
            columns.fold(first.to_string(), |line, column| line + "," + &value(column)) + "\n"
        };
        let epochs = self.epochs.iter().zip(1..);
        let lines = epochs.map(|(epoch, number): (&Epoch, usize)| line(&number.to_string(), &|(_, of)| of(epoch)));
        line("epoch", &|(name, _)| name.to_string()) + &lines.collect::<String>()
    }

    /// Says that the training, or its model, could not be saved at the end.
    pub(crate) fn could_not_save(&mut self, error: &Error) {
        let message = match &self.stopped_because {
            StoppedBecause::Finished | StoppedBecause::NotYet => error.to_string(),
            stopped => format!("{stopped}, and what it learnt could not be saved: {error}"),
        };
        self.stopped_because = StoppedBecause::Failed { message };
    }

    /// A warning when training did not finish, else nothing.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// let too_little_time = Training::default().max_seconds(1e-9);
    /// let unfinished = diabolo::train::fit(small, &data, too_little_time, |_| std::ops::ControlFlow::Continue(()))?;
    /// assert!(unfinished.history().warning().unwrap().starts_with("training ended early: max_seconds = "));
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn warning(&self) -> Option<String> {
        let kept = match self.kept {
            None => "the model has the weights it began with".to_string(),
            Some(Kept { epoch, loss }) => format!("the model has the weights of epoch {epoch} (loss {loss:.4})"),
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
            Self::Failed { message } => write!(f, "{message}"),
        }
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let plural = if self.epochs.len() == 1 { "" } else { "s" };
        write!(f, "{} epoch{plural} in {:.1} s on {}", self.epochs.len(), self.seconds, self.device)?;
        match (self.loss_first, self.loss_last()) {
            (Some(first), Some(last)) => write!(f, ": loss {first:.4} -> {last:.4}")?,
            (Some(first), None) => write!(f, ": loss {first:.4} at first")?,
            (None, _) => {}
        }
        if let Some(Kept { epoch, loss }) = self.kept {
            write!(f, ", kept epoch {epoch} ({loss:.4})")?;
        }
        if let Some(learnt) = &self.learnt {
            write!(f, "\n{learnt}")?;
        }
        let (n_watched, seconds) =
            self.watched().fold((0, 0.0), |(n, sum), (_, watched)| (n + 1, sum + watched.seconds));
        if let Some((epoch, Watched { auc: Some(auc), .. })) = self.watched().last() {
            write!(
                f,
                "\nAUC of the test images after epoch {epoch}: {auc:.4}; watched {n_watched} times in {seconds:.1} s"
            )?;
        }
        self.warning().map_or(Ok(()), |warning| write!(f, "\nWARNING: {warning}"))?;
        warn_of_nothing_learnt(f, self.learnt, "the network")?;
        self.notes.iter().try_for_each(|note| write!(f, "\nNote: {note}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(json: &str) -> Result<History, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn what_earlier_versions_wrote_is_read() {
        let at_once = r#"{"loss_first": 0.3, "epochs": [], "kept": {"epoch": 0, "loss": null},
                          "stopped_because": {"diverged": {"epoch": 1, "step": 2}}, "seconds": 1.5, "device": "CPU"}"#;
        let at_once = history(at_once).unwrap();
        assert_eq!((at_once.kept, at_once.loss_first, at_once.loss_last()), (None, Some(0.3), None));
        assert!(at_once.warning().unwrap().contains("the weights it began with"));
        let kept = at_once_with(r#"{"epoch": 3, "loss": 0.25}"#).unwrap().kept;
        assert_eq!(kept, Some(Kept { epoch: 3, loss: 0.25 }));
        assert!(at_once_with(r#"{"epoch": 3, "loss": null}"#).is_err());
    }

    fn at_once_with(kept: &str) -> Result<History, serde_json::Error> {
        history(&format!(
            r#"{{"loss_first": null, "epochs": [], "kept": {kept}, "stopped_because": "finished", "seconds": 1, "device": "CPU"}}"#
        ))
    }

    #[test]
    fn a_line_of_text_has_no_number_that_is_none() {
        let text = at_once_with("null").unwrap().to_string();
        assert_eq!(text, "0 epochs in 1.0 s on CPU");
    }
}
