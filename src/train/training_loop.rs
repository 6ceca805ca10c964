//! The loop over epochs and minibatches.

use super::batches::TrainingImages;
use super::checkpoint::{Checkpoint, UnfinishedEpoch};
use super::keeper::Keeper;
use super::loss::minibatch_loss;
use super::losses::{Losses, Reading};
use super::optimizer::OptimizerState;
use super::{Autoencoder, Epoch, History, Keep, Learnt, Progress, StoppedBecause, Training, Watched, learnt};
use crate::data::{Images, Split};
use crate::error::TorchContext;
use crate::model::{Architecture, Network, StepRandomness};
use crate::{Error, Result, interrupt};
use std::ops::ControlFlow;
use std::time::Instant;
use tch::Tensor;

/// A training under way.
pub(crate) struct Loop {
    architecture: Architecture,
    trained_on: String,
    training: Training,
    images: TrainingImages,
    n_images: usize,
    /// For what is measured at the end; the mean training image is.
    train: Images,
    /// For what is watched, and measured at the end.
    test: Images,
    network: Network,
    optimizer: OptimizerState,
    keeper: Keeper,
    /// Finished epochs; what is kept is in the keeper.
    history: History,
    /// Losses of the current epoch.
    losses: Losses,
    /// Time spent on the current epoch before the last stop.
    epoch_seconds: f64,
    /// False while a step is taken note of in one place and not yet in another: a failure then leaves no state to go on from.
    is_between_steps: bool,
    started: Instant,
    /// Time spent before this call.
    seconds_before: f64,
}

impl Loop {
    /// Prepares the first step, or the one after the checkpoint `start`: everything that can be wrong with settings, data and
    /// device is found here.
    pub(crate) fn begin(
        start: Option<Checkpoint>,
        architecture: Architecture,
        split: &Split,
        training: Training,
    ) -> Result<Self> {
        training.check()?;
        let images = split.train();
        if images.len() < 2 {
            return Err(Error::data(
                "training",
                format!("{} training images", images.len()),
                "2 or more",
                "batch statistics need at least two images; open a larger data set",
            ));
        }
        let plan = architecture.plan(images.shape())?;
        training.check_batch_statistics(&plan, images.len())?;
        let chosen = training.device.choose()?;
        if chosen.device == tch::Device::Cpu {
            training.check_memory(&plan, images.len())?;
        }
        let network = Network::new(plan, training.seed, chosen.device)?;
        let reading = Reading::of(chosen.device);
        let mut begun = Self {
            images: TrainingImages::new(images, chosen.device)?,
            n_images: images.len(),
            train: images.clone(),
            test: split.test().clone(),
            keeper: Keeper::new(training.keep, reading, &network)?,
            optimizer: OptimizerState::new(&training, network.parameters())?,
            history: History {
                loss_first: None,
                epochs: Vec::new(),
                kept: None,
                stopped_because: StoppedBecause::NotYet,
                seconds: 0.0,
                device: chosen.reason,
                learnt: None,
                notes: Vec::new(),
            },
            losses: Losses::after(Vec::new(), reading),
            epoch_seconds: 0.0,
            is_between_steps: true,
            architecture,
            trained_on: split.name().into(),
            network,
            training,
            started: Instant::now(),
            seconds_before: 0.0,
        };
        if let Some(checkpoint) = start {
            begun.go_on_from(checkpoint)?;
        }
        Ok(begun)
    }

    fn go_on_from(&mut self, checkpoint: Checkpoint) -> Result<()> {
        let Checkpoint { last, kept, optimizer, history, unfinished } = checkpoint;
        self.network.restore(&last)?;
        let (reading, device) = (self.keeper.reading(), self.network.device());
        let [parameters, statistics] = kept.each_ref().map(|tensor| tensor.f_to(device));
        let moving = "moving the kept weights to the device";
        let snapshot = [parameters.doing(moving)?, statistics.doing(moving)?];
        self.keeper = Keeper::from_kept(self.training.keep, reading, history.kept, snapshot)?;
        self.optimizer.recall(optimizer)?;
        self.losses = Losses::after(unfinished.losses, reading);
        self.epoch_seconds = unfinished.seconds;
        self.seconds_before = history.seconds;
        let device = std::mem::take(&mut self.history.device);
        let stopped_because = StoppedBecause::NotYet;
        self.history = History { device, stopped_because, learnt: None, notes: Vec::new(), ..history };
        Ok(())
    }

    /// Reads losses in another way than the device asks for.
    #[cfg(test)]
    pub(super) fn read_losses(&mut self, reading: Reading) -> Result<()> {
        self.losses = Losses::after(Vec::new(), reading);
        self.keeper = Keeper::new(self.training.keep, reading, &self.network)?;
        Ok(())
    }

    /// Trains to the end, which the history then tells; `after_epoch` sees the training after every epoch.
    ///
    /// # Errors
    /// What ended the training before its first step.
    pub(crate) fn run(
        &mut self,
        mut observe: impl FnMut(&Progress) -> ControlFlow<()>,
        mut after_epoch: impl FnMut(&Self) -> Result<()>,
    ) -> Result<()> {
        let stopped_because = match self.run_epochs(&mut observe, &mut after_epoch) {
            Ok(stopped_because) => stopped_because,
            // Nothing was learned yet, so nothing is lost by saying no.
            Err(error) if self.optimizer.n_steps() == 0 => return Err(error),
            Err(error) => self.failed(&error),
        };
        self.history = History { stopped_because, ..self.history() };
        match self.learnt() {
            Ok(learnt) => self.history.learnt = learnt,
            Err(Error::Interrupted { .. }) => {}
            Err(error) => self.history.notes.push(format!("what was learnt could not be measured: {error}")),
        }
        Ok(())
    }

    /// What the weights that the model will have make of the test images.
    fn learnt(&self) -> Result<Option<Learnt>> {
        let checkpoint = self.checkpoint()?;
        let (weights, _) = checkpoint.best(self.training.keep);
        let network = self.network.with_snapshot(weights)?;
        learnt::measure(&network, self.training.precision, &self.train, &self.test)
    }

    /// Adds something that a reader of the history should know.
    pub(crate) fn note(&mut self, note: &str) {
        self.history.notes.push(note.into());
    }

    /// Says that the training could not be saved at its end.
    pub(crate) fn could_not_save(&mut self, error: &Error) {
        self.history.could_not_save(error);
    }

    /// The model that the training has made so far.
    pub(crate) fn into_model(self) -> Result<Autoencoder> {
        let checkpoint = self.checkpoint()?;
        let (weights, kept) = checkpoint.best(self.training.keep);
        self.network.restore(weights)?;
        let history = History { kept, ..checkpoint.history };
        Ok(Autoencoder::new(self.architecture, self.training, history, self.trained_on, self.network))
    }

    fn run_epochs(
        &mut self,
        observe: &mut impl FnMut(&Progress) -> ControlFlow<()>,
        after_epoch: &mut impl FnMut(&Self) -> Result<()>,
    ) -> Result<StoppedBecause> {
        while !self.is_done() {
            if let Some(stopped_because) = self.run_epoch(observe)? {
                return Ok(stopped_because);
            }
            after_epoch(self)?;
        }
        Ok(StoppedBecause::Finished)
    }

    /// Whether no epoch is left.
    fn is_done(&self) -> bool {
        self.history.epochs.len() >= self.training.epochs
    }

    /// Whether [`Loop::checkpoint`] gives what the training can go on from exactly.
    pub(crate) fn can_be_resumed(&self) -> bool {
        self.is_between_steps
    }

    pub(crate) fn settings(&self) -> &Training {
        &self.training
    }

    /// The network as it stands, for its names.
    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    /// What the training can go on from.
    pub(crate) fn checkpoint(&self) -> Result<Checkpoint> {
        Ok(Checkpoint {
            last: self.network.snapshot()?,
            kept: self.keeper.snapshot().each_ref().map(Tensor::shallow_clone),
            optimizer: self.optimizer.memory()?,
            history: self.history(),
            unfinished: UnfinishedEpoch { losses: self.losses.known().to_vec(), seconds: self.epoch_seconds },
        })
    }

    /// The history so far.
    pub(crate) fn history(&self) -> History {
        History { kept: self.keeper.kept(), seconds: self.seconds(), ..self.history.clone() }
    }

    /// Wall time in seconds, earlier parts of this training included.
    fn seconds(&self) -> f64 {
        match self.history.stopped_because {
            StoppedBecause::NotYet => self.seconds_before + self.started.elapsed().as_secs_f64(),
            _ => self.history.seconds,
        }
    }

    /// One pass over the images, or the rest of one; gives a reason when training is to end before the next.
    fn run_epoch(&mut self, observe: &mut impl FnMut(&Progress) -> ControlFlow<()>) -> Result<Option<StoppedBecause>> {
        let epoch = self.history.epochs.len() + 1;
        let (began, seconds_before) = (Instant::now(), self.epoch_seconds);
        self.images.shuffle(self.training.seed, epoch)?;
        let mut asked_to_stop = None;
        for step in self.losses.n_steps() + 1..=self.n_steps() {
            self.take_step(epoch, step)?;
            if self.losses.first_not_finite().is_some() {
                break;
            }
            asked_to_stop = self.asked_to_stop(observe(&self.progress(epoch, step)));
            if asked_to_stop.is_some() {
                break;
            }
        }
        self.losses.read()?;
        self.keeper.read()?;
        self.epoch_seconds = seconds_before + began.elapsed().as_secs_f64();
        let n_steps = self.losses.n_steps();
        if let Some(step) = self.losses.first_not_finite().or((!self.network.is_finite()).then_some(n_steps)) {
            self.go_back_to_kept()?;
            return Ok(Some(StoppedBecause::Diverged { epoch, step }));
        }
        // A stop that comes with an epoch's last step does not cost the epoch.
        if n_steps == self.n_steps() {
            self.finish_epoch(epoch)?;
        }
        Ok(asked_to_stop.filter(|_| !self.is_done()))
    }

    /// Moves the weights by one minibatch; a loss that is known to be infinite or undefined moves nothing.
    fn take_step(&mut self, epoch: usize, step: usize) -> Result<()> {
        let batch_size = self.training.batch_size;
        let start = (step - 1) * batch_size;
        let batch = self.images.batch(start..self.n_images.min(start + batch_size))?;
        let batch = self.network.arranged(batch).doing("arranging a batch")?;
        let randomness = StepRandomness::new(self.training.seed, epoch, step);
        let (loss, backward) = minibatch_loss(&self.network, &batch, randomness, &self.training)?;
        let gradients = backward.gradients(&loss)?;
        self.is_between_steps = false;
        self.losses.push(&loss)?;
        if epoch == 1 && step == 1 {
            self.history.loss_first = Some(self.losses.newest()).filter(|loss| loss.is_finite());
        }
        if self.losses.first_not_finite().is_none() {
            self.keeper.before_step(&self.network, &loss, self.losses.newest(), epoch)?;
            // The gradient is final here: processes that train together would average it at this line.
            self.optimizer.step(self.network.parameters(), &gradients)?;
        }
        self.is_between_steps = true;
        Ok(())
    }

    /// Whether training is to end after the step that was just taken.
    fn asked_to_stop(&self, control: ControlFlow<()>) -> Option<StoppedBecause> {
        let max_seconds = self.training.max_seconds.filter(|&limit| self.started.elapsed().as_secs_f64() >= limit);
        match control.is_break() || interrupt::is_requested() {
            true => Some(StoppedBecause::Interrupted),
            false => max_seconds.map(|max_seconds| StoppedBecause::TimeLimit { max_seconds }),
        }
    }

    fn finish_epoch(&mut self, epoch: usize) -> Result<()> {
        let (losses, batch_size) = (self.losses.known(), self.training.batch_size);
        let batch_sizes = (0..self.n_images).step_by(batch_size).map(|start| batch_size.min(self.n_images - start));
        let loss_sum: f64 = losses.iter().zip(batch_sizes).map(|(loss, size)| loss * size as f64).sum();
        let loss_lowest_minibatch = losses.iter().copied().fold(f64::INFINITY, f64::min);
        let loss_mean = loss_sum / self.n_images as f64;
        self.keeper.after_epoch(&self.network, loss_mean, epoch)?;
        // A clock may be too coarse for an epoch of one step.
        let seconds = self.epoch_seconds.max(1e-9);
        let images_per_second = self.n_images as f64 / seconds;
        let watched = self.watch(epoch)?;
        self.history.epochs.push(Epoch { loss_mean, loss_lowest_minibatch, seconds, images_per_second, watched });
        self.begin_epoch();
        Ok(())
    }

    /// What the test images say after this epoch, where it is one to watch.
    fn watch(&self, epoch: usize) -> Result<Option<Watched>> {
        let is_due = |every: usize| epoch.is_multiple_of(every) || epoch == self.training.epochs;
        if !self.training.watch_every.is_some_and(is_due) {
            return Ok(None);
        }
        // At the end of the epoch in which they were kept, the kept weights of these rules are the newest.
        let are_newest = self.training.keep != Keep::LowestMinibatchLoss
            && self.keeper.kept().is_some_and(|kept| kept.epoch == epoch);
        let kept = (!are_newest).then(|| self.network.with_snapshot(self.keeper.snapshot())).transpose()?;
        learnt::watch(&self.network, kept.as_ref(), self.training.precision, &self.test)
    }

    fn begin_epoch(&mut self) {
        self.losses = Losses::after(Vec::new(), self.keeper.reading());
        self.epoch_seconds = 0.0;
    }

    /// Gives up what was done since, which is not finite or not known.
    fn go_back_to_kept(&mut self) -> Result<()> {
        self.begin_epoch();
        self.network.restore(self.keeper.snapshot())
    }

    /// Ends a training of which a step or a save has failed.
    fn failed(&mut self, error: &Error) -> StoppedBecause {
        let is_known = self.losses.read().and_then(|()| self.keeper.read()).is_ok();
        if !is_known || self.losses.first_not_finite().is_some() || !self.network.is_finite() {
            self.is_between_steps = false;
            // An error here is one of a device that is lost, as the first one says.
            let _ = self.go_back_to_kept();
        }
        StoppedBecause::Failed { message: error.to_string() }
    }

    fn n_steps(&self) -> usize {
        self.n_images.div_ceil(self.training.batch_size)
    }

    fn progress(&self, epoch: usize, step: usize) -> Progress {
        let (n_epochs, n_steps) = (self.training.epochs, self.n_steps());
        let steps_done = (epoch - 1) * n_steps + step;
        let images_done = (epoch - 1) * self.n_images + (step * self.training.batch_size).min(self.n_images);
        let seconds = self.seconds();
        Progress {
            name: self.architecture.name.clone(),
            epoch,
            n_epochs,
            step,
            n_steps,
            loss: self.losses.newest(),
            watched: self.history.watched().last().map(|(epoch, watched)| (epoch, *watched)),
            images_per_second: images_done as f64 / seconds,
            seconds,
            seconds_remaining: seconds / steps_done as f64 * (n_epochs * n_steps - steps_done) as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::open;
    use crate::device::Device;
    use crate::train::Kept;

    fn few() -> Split {
        let scenes = open("scenes").unwrap();
        Split::new("a few scenes", scenes.train().first(60).unwrap(), scenes.test().first(8).unwrap()).unwrap()
    }

    fn begin(keep: Keep) -> Loop {
        let training = Training::default().epochs(3).batch_size(20).keep(keep).device(Device::Cpu);
        Loop::begin(None, Architecture::conv(), &few(), training).unwrap()
    }

    /// Of three steps in an epoch the first can be taken: for the others there are no images.
    fn failing_in_its_second_step(keep: Keep) -> Loop {
        let mut training = begin(keep);
        let first_batch = few().train().first(20).unwrap();
        training.images = TrainingImages::on_device(&first_batch, tch::Device::Cpu).unwrap();
        training
    }

    #[test]
    fn an_error_after_the_first_step_keeps_what_was_learnt() {
        for keep in [Keep::LowestMinibatchLoss, Keep::LowestEpochLoss, Keep::Last] {
            let mut training = failing_in_its_second_step(keep);
            let before = training.network().snapshot().unwrap();
            training.run(|_| ControlFlow::Continue(()), |_| Ok(())).unwrap();
            assert!(training.can_be_resumed(), "the weights are those after a whole step");
            let model = training.into_model().unwrap();
            let StoppedBecause::Failed { message } = &model.history().stopped_because else { panic!("{keep:?}") };
            assert!(message.contains("choosing a batch"), "{message}");
            let kept = model.history().kept.unwrap();
            assert_eq!((kept.epoch, Some(kept.loss)), (1, model.history().loss_first), "{keep:?}");
            // The rule of the lowest minibatch keeps the weights that had the loss; the others those after the step.
            let has_moved = model.network().snapshot().unwrap() != before;
            assert_eq!(has_moved, keep != Keep::LowestMinibatchLoss, "{keep:?}");
        }
    }

    #[test]
    fn an_error_before_the_first_step_is_one() {
        let mut training = failing_in_its_second_step(Keep::Last);
        training.images = TrainingImages::on_device(&few().train().first(10).unwrap(), tch::Device::Cpu).unwrap();
        assert!(training.run(|_| ControlFlow::Continue(()), |_| Ok(())).is_err());
    }

    #[test]
    fn weights_and_statistics_that_are_not_finite_are_never_kept() {
        for reading in [Reading::AtOnce, Reading::of(tch::Device::Cuda(0))] {
            for part in 0..2 {
                let mut training = begin(Keep::LowestMinibatchLoss);
                let network = Network::new(Architecture::report_cnn().plan([3, 32, 32]).unwrap(), 1, tch::Device::Cpu);
                training.network = network.unwrap();
                training.read_losses(reading).unwrap();
                let mut keep = |loss: f32| {
                    training.keeper.before_step(&training.network, &Tensor::from(loss), f64::from(loss), 1).unwrap();
                    training.keeper.read().unwrap();
                    training.keeper.kept()
                };
                let good = Some(Kept { epoch: 1, loss: 0.5 });
                assert_eq!(keep(0.5), good);
                let _ = training.network.state()[part].shallow_clone().detach().narrow(0, 0, 1).fill_(f64::NAN);
                let mut keep = |loss: f32| {
                    training.keeper.before_step(&training.network, &Tensor::from(loss), f64::from(loss), 1).unwrap();
                    training.keeper.read().unwrap();
                    training.keeper.kept()
                };
                assert_eq!(keep(0.25), good, "{reading:?}");
                let is_finite = |tensor: &Tensor| tensor.isfinite().all().int64_value(&[]) == 1;
                assert!(training.keeper.snapshot().iter().all(is_finite), "{reading:?}");
            }
        }
    }
}
