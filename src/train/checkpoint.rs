//! Checkpoints: all that a training needs to resume after a step as if it had never stopped.

use super::{History, Keep, Kept};
use tch::Tensor;

/// The state between two steps: all that the next one depends on, apart from settings and data.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    /// Current weights and running statistics.
    pub(crate) last: [Tensor; 2],
    /// Those that the keep rule has chosen so far; the initial ones where it has chosen none.
    pub(crate) kept: [Tensor; 2],
    pub(crate) optimizer: OptimizerMemory,
    /// The losses so far; its epochs say how many are done, `kept` what the keep rule has chosen.
    pub(crate) history: History,
    /// The unfinished epoch, if there is one.
    pub(crate) unfinished: UnfinishedEpoch,
}

/// The finished part of an epoch.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct UnfinishedEpoch {
    /// One loss for each step; none between two epochs.
    pub(crate) losses: Vec<f64>,
    /// Wall time of these steps in seconds.
    pub(crate) seconds: f64,
}

/// The state of an optimiser.
#[derive(Debug)]
pub(crate) struct OptimizerMemory {
    /// Steps taken so far.
    pub(crate) n_steps: i32,
    /// SGD's velocity, or Adam's mean of gradients: `[n_parameters]`.
    pub(crate) first_moment: Tensor,
    /// Adam's mean of squared gradients, `[n_parameters]`; SGD has none.
    pub(crate) second_moment: Option<Tensor>,
}

impl Checkpoint {
    /// The weights and running statistics of the model that the training has made so far, and where they come from.
    ///
    /// Those that the keep rule has chosen; before it has chosen any, and where the rule is to keep the last, those after
    /// the last step.
    pub(crate) fn best(&self, rule: Keep) -> (&[Tensor; 2], Option<Kept>) {
        match self.unfinished.losses.last() {
            Some(&loss) if rule == Keep::Last || self.history.kept.is_none() => {
                (&self.last, Some(Kept { epoch: self.history.epochs.len() + 1, loss }))
            }
            _ => (&self.kept, self.history.kept),
        }
    }
}
