//! Which weights a training keeps.

use super::losses::Reading;
use super::{Keep, Kept};
use crate::Result;
use crate::error::TorchContext;
use crate::model::Network;
use tch::{TchError, Tensor};

/// The weights that the keep rule has chosen so far.
#[derive(Debug)]
pub(super) struct Keeper {
    rule: Keep,
    reading: Reading,
    /// What is known of the snapshot; on a GPU it may be a few steps behind.
    kept: Kept,
    /// Weights and running statistics.
    snapshot: [Tensor; 2],
    /// The loss of the snapshot, on the device.
    lowest: Tensor,
}

impl Keeper {
    /// Starts with the initial weights, which are kept when training diverges at once.
    pub(super) fn new(rule: Keep, reading: Reading, network: &Network) -> Result<Self> {
        Self::from_kept(rule, reading, Kept { epoch: 0, loss: f64::INFINITY }, network.snapshot()?)
    }

    /// Goes on from what was kept before.
    pub(super) fn from_kept(rule: Keep, reading: Reading, kept: Kept, snapshot: [Tensor; 2]) -> Result<Self> {
        let lowest = Tensor::f_from_slice(&[kept.loss as f32])
            .and_then(|loss| loss.f_to(snapshot[0].device())?.f_squeeze())
            .doing("keeping weights")?;
        Ok(Self { rule, reading, kept, snapshot, lowest })
    }

    pub(super) fn reading(&self) -> Reading {
        self.reading
    }

    pub(super) fn kept(&self) -> Kept {
        self.kept
    }

    /// Weights and running statistics.
    pub(super) fn snapshot(&self) -> &[Tensor; 2] {
        &self.snapshot
    }

    /// To be called between a step's loss, a scalar, and the step itself: the weights that are kept are those that had the
    /// loss. `known` are the losses that have become known by it.
    pub(super) fn before_step(&mut self, network: &Network, loss: &Tensor, known: &[f64], epoch: usize) -> Result<()> {
        if self.rule != Keep::LowestMinibatchLoss {
            return Ok(());
        }
        match self.reading {
            Reading::AtOnce if known.iter().all(|&loss| loss < self.kept.loss) => self.snapshot = network.snapshot()?,
            Reading::AtOnce => {}
            // Decided where the loss is. A loss that is not a number is not lower.
            Reading::Seldom => self.keep_if_lower(network, &loss.detach()).doing("keeping weights")?,
        }
        self.heard(known, epoch);
        Ok(())
    }

    /// Takes note of losses that have become known, in order.
    pub(super) fn heard(&mut self, known: &[f64], epoch: usize) {
        for &loss in known {
            if self.rule == Keep::LowestMinibatchLoss && loss < self.kept.loss {
                self.kept = Kept { epoch, loss };
            }
        }
    }

    fn keep_if_lower(&mut self, network: &Network, loss: &Tensor) -> Result<(), TchError> {
        let is_lower = loss.f_lt_tensor(&self.lowest)?;
        let [parameters, statistics] = network.state();
        self.snapshot = [
            parameters.f_where_self(&is_lower, &self.snapshot[0])?,
            statistics.f_where_self(&is_lower, &self.snapshot[1])?,
        ];
        self.lowest = loss.f_where_self(&is_lower, &self.lowest)?;
        Ok(())
    }

    pub(super) fn after_epoch(&mut self, network: &Network, loss_mean: f64, epoch: usize) -> Result<()> {
        match self.rule {
            Keep::Last => self.keep(network, loss_mean, epoch),
            Keep::LowestEpochLoss if loss_mean < self.kept.loss => self.keep(network, loss_mean, epoch),
            _ => Ok(()),
        }
    }

    /// Training stops within an epoch: its weights are the last, and better than none where no epoch was finished.
    pub(super) fn stopped_within(&mut self, network: &Network, loss: f64, epoch: usize) -> Result<()> {
        let wanted = self.rule == Keep::Last || self.kept.epoch == 0;
        match wanted && network.is_finite() {
            true => self.keep(network, loss, epoch),
            false => Ok(()),
        }
    }

    fn keep(&mut self, network: &Network, loss: f64, epoch: usize) -> Result<()> {
        self.kept = Kept { epoch, loss };
        self.snapshot = network.snapshot()?;
        Ok(())
    }
}
