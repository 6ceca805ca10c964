//! The losses of an epoch's steps, which are read seldom from a GPU, since reading waits for it.

use crate::Result;
use crate::device::is_host;
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
    /// In groups, on a GPU.
    Seldom(Due),
}

/// How many losses are read together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    After(Duration),
    /// For tests, which do not ask the clock.
    #[cfg(test)]
    AfterSteps(usize),
}

impl Reading {
    pub(super) fn of(device: tch::Device) -> Self {
        if is_host(device) { Self::AtOnce } else { Self::Seldom(Due::After(BETWEEN_READS)) }
    }
}

/// The losses of one epoch.
#[derive(Debug)]
pub(super) struct Losses {
    reading: Reading,
    known: Vec<f64>,
    /// The first step, from 1, whose loss is known to be infinite or not a number.
    first_not_finite: Option<usize>,
    /// Scalars on the device, newer than those known.
    unread: Vec<Tensor>,
    last_read: Instant,
}

impl Losses {
    /// Goes on after the steps that had these losses; none at an epoch's begin.
    pub(super) fn after(known: Vec<f64>, reading: Reading) -> Self {
        Self { reading, known, first_not_finite: None, unread: Vec::new(), last_read: Instant::now() }
    }

    /// Takes a step's loss, a scalar, and reads what is due; the first of an epoch is read at once.
    pub(super) fn push(&mut self, loss: &Tensor) -> Result<()> {
        self.unread.push(loss.f_detach().doing("computing the loss")?);
        let is_due = match self.reading {
            _ if self.known.is_empty() => true,
            Reading::AtOnce => true,
            Reading::Seldom(Due::After(pause)) => self.last_read.elapsed() >= pause,
            #[cfg(test)]
            Reading::Seldom(Due::AfterSteps(n_steps)) => self.unread.len() >= n_steps,
        };
        if is_due { self.read() } else { Ok(()) }
    }

    /// Reads what is unread.
    pub(super) fn read(&mut self) -> Result<()> {
        if self.unread.is_empty() {
            return Ok(());
        }
        let stacked = Tensor::f_stack(&self.unread, 0).and_then(|stacked| stacked.f_to_kind(Kind::Double));
        let on_host = stacked.and_then(|stacked| stacked.f_to(tch::Device::Cpu));
        let values = on_host.and_then(|stacked| Vec::<f64>::try_from(&stacked)).doing("reading the losses")?;
        // Only the new ones: an epoch may have a million steps.
        let not_finite = values.iter().position(|loss| !loss.is_finite());
        self.first_not_finite = self.first_not_finite.or(not_finite.map(|index| self.known.len() + index + 1));
        self.known.extend(values);
        self.unread.clear();
        self.last_read = Instant::now();
        Ok(())
    }

    /// Those that are known, in order of steps.
    pub(super) fn known(&self) -> &[f64] {
        &self.known
    }

    /// Steps taken, of which some losses may still be unread.
    pub(super) fn n_steps(&self) -> usize {
        self.known.len() + self.unread.len()
    }

    /// The newest that is known, after the first step.
    pub(super) fn newest(&self) -> f64 {
        *self.known.last().expect("the first loss of an epoch is read at once")
    }

    /// The first step, from 1, whose loss is known to be infinite or not a number.
    pub(super) fn first_not_finite(&self) -> Option<usize> {
        self.first_not_finite
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Autoencoder, Keep, Kept, Loop, Optimizer, StoppedBecause, Training};
    use super::*;
    use crate::data::{Split, open};
    use crate::device::Device;
    use crate::device::threads::tests::without_threads;
    use crate::model::Architecture;
    use std::ops::ControlFlow;

    /// A training on the CPU that reads its losses as said, ended after so many steps; those that are read seldom are of steps
    /// taken as on a GPU. By libtorch's operations alone, since the loops for the host's threads round in another way.
    fn train(reading: Reading, training: &Training, n_steps: usize) -> Autoencoder {
        without_threads(|| train_by_libtorch(reading, training, n_steps))
    }

    fn train_by_libtorch(reading: Reading, training: &Training, n_steps: usize) -> Autoencoder {
        let scenes = open("scenes").unwrap();
        let data =
            Split::new("a few scenes", scenes.train().first(96).unwrap(), scenes.test().first(8).unwrap()).unwrap();
        let training = training.clone().device(Device::Cpu).batch_size(20);
        let mut training = Loop::begin(None, Architecture::conv(), &data, training, crate::together::alone()).unwrap();
        if reading != Reading::AtOnce {
            training.as_on_a_gpu(data.train(), reading).unwrap();
        }
        let mut n_done = 0;
        let observe = |_: &_| {
            n_done += 1;
            if n_done == n_steps { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        training.run(observe, |_| Ok(())).unwrap();
        training.into_model().unwrap()
    }

    fn at_most_at_the_end() -> Reading {
        Reading::Seldom(Due::AfterSteps(usize::MAX))
    }

    #[track_caller]
    fn check_alike(training: &Training, n_steps: usize) -> StoppedBecause {
        let at_once = train(Reading::AtOnce, training, n_steps);
        for reading in [at_most_at_the_end(), Reading::Seldom(Due::AfterSteps(3))] {
            let seldom = train(reading, training, n_steps);
            let state = |model: &Autoencoder| model.network().snapshot().unwrap();
            assert_eq!(state(&at_once), state(&seldom), "{training:?}");
            let losses = |model: &Autoencoder| -> Vec<[f64; 2]> {
                model.history().epochs.iter().map(|epoch| [epoch.loss_mean, epoch.loss_lowest_minibatch]).collect()
            };
            assert_eq!(losses(&at_once), losses(&seldom));
            let of = |model: &Autoencoder| (model.history().kept, model.history().loss_first);
            assert_eq!(of(&at_once), of(&seldom), "{training:?}, {reading:?}");
            assert_eq!(at_once.history().stopped_because, seldom.history().stopped_because);
        }
        at_once.history().stopped_because.clone()
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

    /// Several losses are read together, the first of them finite and the lowest so far.
    #[test]
    fn what_was_kept_before_a_divergence_is_known_with_its_loss() {
        let training = Training { keep: Keep::LowestMinibatchLoss, ..Training::default() };
        // Grows over some steps before it overflows.
        let training = Training { learning_rate: 40.0, optimizer: Optimizer::Sgd { momentum: 0.99 }, ..training };
        let model = train(Reading::Seldom(Due::AfterSteps(4)), &training, usize::MAX);
        let at_once = train(Reading::AtOnce, &training, usize::MAX);
        assert_eq!(model.history().kept, at_once.history().kept);
        assert!(matches!(model.history().kept, Some(Kept { .. })));
    }

    #[test]
    fn the_first_loss_that_is_not_finite_is_found_whenever_it_is_read() {
        for due in 1..6 {
            let mut losses = Losses::after(vec![0.5, 0.4], Reading::Seldom(Due::AfterSteps(due)));
            for loss in [0.3, f32::INFINITY, 0.2, f32::NAN] {
                losses.push(&Tensor::from(loss)).unwrap();
            }
            losses.read().unwrap();
            assert_eq!((losses.first_not_finite(), losses.n_steps()), (Some(4), 6));
            assert_eq!(losses.known()[..3], [0.5, 0.4, f64::from(0.3_f32)]);
        }
    }
}
