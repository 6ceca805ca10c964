//! The losses of an epoch's steps, which are read seldom from a GPU, since reading waits for it.

use crate::Result;
use crate::error::TorchContext;
use std::time::{Duration, Instant};
use tch::{Kind, Tensor};

/// How long losses may stay unread on a GPU: short enough for a curve that grows.
const BETWEEN_READS: Duration = Duration::from_millis(200);

/// When losses are read.
///
/// A GPU works behind the program. Whoever reads a number waits until it has caught up, and then it waits for the next
/// step; so there losses stay on the device and are read together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// After each step: free on a CPU.
    AtOnce,
    /// A few times a second.
    Seldom,
}

impl Reading {
    pub(super) fn of(device: tch::Device) -> Self {
        if device == tch::Device::Cpu { Self::AtOnce } else { Self::Seldom }
    }
}

/// The losses of one epoch.
#[derive(Debug)]
pub(super) struct Losses {
    reading: Reading,
    known: Vec<f64>,
    /// Scalars on the device, newer than those known.
    unread: Vec<Tensor>,
    last_read: Instant,
}

impl Losses {
    pub(super) fn new(reading: Reading) -> Self {
        Self { reading, known: Vec::new(), unread: Vec::new(), last_read: Instant::now() }
    }

    /// Takes a step's loss, a scalar, and gives those that have become known by it; the first of an epoch is known at once.
    pub(super) fn push(&mut self, loss: &Tensor) -> Result<&[f64]> {
        self.unread.push(loss.detach());
        let is_due = self.known.is_empty() || self.last_read.elapsed() >= BETWEEN_READS;
        match self.reading == Reading::AtOnce || is_due {
            true => self.read(),
            false => Ok(&[]),
        }
    }

    /// Reads what is unread, and gives it.
    pub(super) fn read(&mut self) -> Result<&[f64]> {
        let n_before = self.known.len();
        if !self.unread.is_empty() {
            let values = Tensor::f_stack(&std::mem::take(&mut self.unread), 0)
                .and_then(|stacked| stacked.f_to_kind(Kind::Double))
                .and_then(|stacked| Vec::<f64>::try_from(&stacked.to(tch::Device::Cpu)));
            self.known.extend(values.doing("reading the losses")?);
            self.last_read = Instant::now();
        }
        Ok(&self.known[n_before..])
    }

    /// Those that are known, in order of steps.
    pub(super) fn known(&self) -> &[f64] {
        &self.known
    }

    /// The newest that is known; not a number before the first step.
    pub(super) fn newest(&self) -> f64 {
        self.known.last().copied().unwrap_or(f64::NAN)
    }

    /// The first step, from 1, whose loss is known to be infinite or not a number.
    pub(super) fn first_not_finite(&self) -> Option<usize> {
        self.known.iter().position(|loss| !loss.is_finite()).map(|index| index + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::super::keeper::Keeper;
    use super::super::{Autoencoder, Keep, Loop, Optimizer, StoppedBecause, Training};
    use super::*;
    use crate::data::{Split, open};
    use crate::device::Device;
    use crate::model::Architecture;
    use std::ops::ControlFlow;

    /// A training on the CPU that reads its losses as said, ended after so many steps.
    fn train(reading: Reading, training: &Training, n_steps: usize) -> Autoencoder {
        let scenes = open("scenes").unwrap();
        let data = Split::new("a few scenes", scenes.train.first(96).unwrap(), scenes.test.first(8).unwrap()).unwrap();
        let training = training.clone().device(Device::Cpu).batch_size(20);
        let mut training = Loop::begin(None, Architecture::conv(), &data, training).unwrap();
        training.keeper = Keeper::new(training.training.keep, reading, &training.network).unwrap();
        let mut n_done = 0;
        let observe = |_: &_| {
            n_done += 1;
            if n_done == n_steps { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        training.finish(observe, |_| Ok(())).unwrap()
    }

    #[track_caller]
    fn check_alike(training: &Training, n_steps: usize) -> StoppedBecause {
        let [at_once, seldom] = [Reading::AtOnce, Reading::Seldom].map(|reading| train(reading, training, n_steps));
        let state = |model: &Autoencoder| model.network().snapshot().unwrap();
        assert_eq!(state(&at_once), state(&seldom), "{training:?}");
        let losses = |model: &Autoencoder| -> Vec<[f64; 2]> {
            model.history.epochs.iter().map(|epoch| [epoch.loss_mean, epoch.loss_lowest_minibatch]).collect()
        };
        assert_eq!(losses(&at_once), losses(&seldom));
        assert_eq!(
            (at_once.history.kept, at_once.history.loss_first),
            (seldom.history.kept, seldom.history.loss_first)
        );
        assert_eq!(at_once.history.stopped_because, seldom.history.stopped_because);
        seldom.history.stopped_because
    }

    #[test]
    fn losses_that_are_read_seldom_give_the_same_model() {
        for keep in [Keep::LowestMinibatchLoss, Keep::LowestEpochLoss, Keep::Last] {
            let training = Training { keep, ..Training::default().epochs(4) };
            assert_eq!(check_alike(&training, usize::MAX), StoppedBecause::Finished);
            assert_eq!(check_alike(&training, 13), StoppedBecause::Interrupted);
            let diverging = Training { learning_rate: 1e30, optimizer: Optimizer::Sgd { momentum: 0.0 }, ..training };
            assert!(matches!(check_alike(&diverging, usize::MAX), StoppedBecause::Diverged { epoch: 1, .. }));
        }
    }
}
