//! Which weights a training keeps.

use super::losses::Reading;
use super::{Keep, Kept};
use crate::Result;
use crate::device::{copied, without_gradients};
use crate::error::TorchContext;
use crate::model::Network;
use tch::{Device, Kind, TchError, Tensor};

/// The weights that the keep rule has chosen so far.
#[derive(Debug)]
pub(super) struct Keeper {
    rule: Keep,
    reading: Reading,
    /// Loss and epoch of the snapshot; where losses are read seldom, as of the last [`Keeper::read`].
    kept: Option<Kept>,
    /// Weights and running statistics.
    snapshot: [Tensor; 2],
    on_device: OnDevice,
}

/// Loss and epoch of the snapshot where losses are read seldom: scalars on the device, which alone decides there.
#[derive(Debug)]
struct OnDevice {
    loss: Tensor,
    /// 0 for the weights that training began with.
    epoch: Tensor,
}

impl Keeper {
    /// Starts with the initial weights, which are kept when training diverges at once.
    pub(super) fn new(rule: Keep, reading: Reading, network: &Network) -> Result<Self> {
        Self::from_kept(rule, reading, None, network.snapshot()?)
    }

    /// Resumes with the weights that were kept before.
    pub(super) fn from_kept(rule: Keep, reading: Reading, kept: Option<Kept>, snapshot: [Tensor; 2]) -> Result<Self> {
        let scalar = |value: f64, kind: Kind| {
            Tensor::f_full([0_i64; 0], value, (kind, snapshot[0].device())).doing("keeping weights")
        };
        let (loss, epoch) = kept.map_or((f64::INFINITY, 0.0), |kept| (kept.loss, kept.epoch as f64));
        let on_device = OnDevice { loss: scalar(loss, Kind::Float)?, epoch: scalar(epoch, Kind::Double)? };
        Ok(Self { rule, reading, kept, snapshot, on_device })
    }

    pub(super) fn reading(&self) -> Reading {
        self.reading
    }

    pub(super) fn kept(&self) -> Option<Kept> {
        self.kept
    }

    /// A copy of the snapshot, which stays as it is while training goes on.
    pub(super) fn copied_snapshot(&self) -> Result<[Tensor; 2]> {
        let [parameters, statistics] = self.snapshot.each_ref().map(copied);
        let doing = "copying the kept weights";
        Ok([parameters.doing(doing)?, statistics.doing(doing)?])
    }

    /// Weights and running statistics.
    pub(super) fn snapshot(&self) -> &[Tensor; 2] {
        &self.snapshot
    }

    /// To be called between a step's loss and the step itself: the weights that are kept are those that had the loss. Weights
    /// and statistics that are not finite are never kept.
    pub(super) fn before_step(&mut self, network: &Network, loss: f64, epoch: usize) -> Result<()> {
        let is_kept = self.rule == Keep::LowestMinibatchLoss && self.is_lower(loss) && network.is_finite()?;
        if is_kept { self.keep(network, loss, epoch) } else { Ok(()) }
    }

    /// The same where losses are read seldom: the device of the loss decides, and nobody waits for it. Loss and epoch are
    /// scalars there.
    pub(super) fn before_step_on_device(&mut self, network: &Network, loss: &Tensor, epoch: &Tensor) -> Result<()> {
        match self.rule {
            Keep::LowestMinibatchLoss => self.keep_if_lower(network, loss, epoch).doing("keeping weights"),
            Keep::LowestEpochLoss | Keep::Last => Ok(()),
        }
    }

    fn is_lower(&self, loss: f64) -> bool {
        self.kept.is_none_or(|kept| loss < kept.loss)
    }

    /// In place, so that a recorded step can be done again. A loss that is not a number is not lower.
    fn keep_if_lower(&mut self, network: &Network, loss: &Tensor, epoch: &Tensor) -> Result<(), TchError> {
        let is_kept = loss.f_lt_tensor(&self.on_device.loss)?.f_logical_and(&network.is_finite_on_device()?)?;
        let [parameters, statistics] = network.state();
        let OnDevice { loss: kept_loss, epoch: kept_epoch } = &mut self.on_device;
        let [kept_parameters, kept_statistics] = &mut self.snapshot;
        let pairs =
            [(parameters, kept_parameters), (statistics, kept_statistics), (loss, kept_loss), (epoch, kept_epoch)];
        without_gradients(|| {
            pairs.into_iter().try_for_each(|(new, kept)| kept.f_copy_(&new.f_where_self(&is_kept, kept)?))
        })
    }

    /// Updates [`Keeper::kept`] from the device.
    pub(super) fn read(&mut self) -> Result<()> {
        if self.rule != Keep::LowestMinibatchLoss || self.reading == Reading::AtOnce {
            return Ok(());
        }
        let OnDevice { loss, epoch } = &self.on_device;
        let values = || -> Result<Vec<f64>, TchError> {
            let stacked = Tensor::f_stack(&[&loss.f_to_kind(Kind::Double)?, epoch], 0)?;
            Vec::try_from(&stacked.f_to(Device::Cpu)?)
        };
        let values = values().doing("reading which weights are kept")?;
        self.kept = (values[1] > 0.0).then(|| Kept { epoch: values[1] as usize, loss: values[0] });
        Ok(())
    }

    pub(super) fn after_epoch(&mut self, network: &Network, loss_mean: f64, epoch: usize) -> Result<()> {
        match self.rule {
            Keep::Last => self.keep(network, loss_mean, epoch),
            Keep::LowestEpochLoss if self.is_lower(loss_mean) => self.keep(network, loss_mean, epoch),
            Keep::LowestEpochLoss | Keep::LowestMinibatchLoss => Ok(()),
        }
    }

    fn keep(&mut self, network: &Network, loss: f64, epoch: usize) -> Result<()> {
        self.snapshot = network.snapshot()?;
        self.kept = Some(Kept { epoch, loss });
        Ok(())
    }
}
