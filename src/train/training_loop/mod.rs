//! The loop over epochs and minibatches.

use crate::data::{Images, Split};
use crate::device::graph::Stream;
use crate::error::TorchContext;
use crate::model::{Architecture, Network, StepRandomness};
use crate::together::Together;
use crate::train::batches::{Minibatches, TrainingImages, batch_on_host};
use crate::train::checkpoint::{Checkpoint, UnfinishedEpoch};
use crate::train::device_steps::{DeviceSteps, Parts};
use crate::train::exchange::{Exchanged, Wish, check_processes, check_same_weights, exchange};
use crate::train::keeper::Keeper;
use crate::train::loss::minibatch_loss;
use crate::train::losses::{Losses, Reading};
use crate::train::optimizer::OptimizerState;
use crate::train::{Autoencoder, Epoch, History, Keep, Learnt, Progress, StoppedBecause, Training, Watched, learnt};
use crate::{Error, Result, interrupt};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

/// Said in the history of a training in several processes.
const NORMS_OF_EACH: &str = "batch norm's statistics were those of each process's images, not of the whole minibatch";

/// A training under way.
pub(crate) struct Loop {
    architecture: Architecture,
    trained_on: String,
    training: Training,
    together: Arc<dyn Together>,
    /// What this process is to tell the others with the next step.
    wish: Option<Wish>,
    /// What any of them has told with the last.
    wish_of_any: Option<Wish>,
    images: TrainingImages,
    device_steps: DeviceSteps,
    minibatches: Minibatches,
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
    /// A step of every epoch that fails, as on a device that is lost.
    #[cfg(test)]
    failing_step: Option<usize>,
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
        together: Arc<dyn Together>,
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
        let minibatches = Minibatches::new(split, training.batch_size);
        training.check_batch_statistics(&plan, minibatches.n_images())?;
        let chosen = training.device.choose()?;
        check_processes(&*together, &training, minibatches.n_images(), chosen.device)?;
        training.check_memory(&plan, images.len(), chosen.device)?;
        let network = Network::new(plan, training.seed, chosen.device)?;
        let reading = Reading::of(chosen.device);
        let mut begun = Self {
            images: TrainingImages::new(images, chosen.device)?,
            device_steps: DeviceSteps::default(),
            minibatches,
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
                device: match together.size() {
                    1 => chosen.reason,
                    size => format!("{}, in {size} processes", chosen.reason),
                },
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
            together,
            wish: None,
            wish_of_any: None,
            started: Instant::now(),
            #[cfg(test)]
            failing_step: None,
            seconds_before: 0.0,
        };
        if let Some(checkpoint) = start {
            begun.go_on_from(checkpoint)?;
        }
        if begun.together.size() > 1 && !begun.network.norms_whole_minibatch(begun.training.precision) {
            let size = begun.together.size();
            begun.training.check_statistics_of_each(begun.network.plan(), begun.minibatches.n_images(), size)?;
            begun.note(NORMS_OF_EACH);
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

    /// Goes on as on a GPU, with these images and losses that are read so.
    #[cfg(test)]
    pub(in crate::train) fn as_on_a_gpu(&mut self, images: &Images, reading: Reading) -> Result<()> {
        self.images = TrainingImages::on_device(images, tch::Device::Cpu)?;
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
        self.training.set_switches(self.network.device());
        // Beside other trainings on the same GPU, and as CUDA graphs ask for.
        let _stream = Stream::enter(self.network.device()).doing("making a stream on the device")?;
        let stopped_because = match self.run_epochs(&mut observe, &mut after_epoch) {
            Ok(stopped_because) => stopped_because,
            // Nothing was learned yet, so nothing is lost by saying no.
            Err(error) if self.optimizer.n_steps() == 0 => return Err(error),
            // The others wait for this process; what was learnt up to the last saved epoch is in the run folder.
            Err(error) if self.together.size() > 1 => return Err(error),
            Err(error) => self.failed(&error),
        };
        self.history = History { stopped_because, ..self.history() };
        if let Some(error) = self.device_steps.refusal() {
            self.history
                .notes
                .push(format!("steps were launched operation by operation, since none could be recorded: {error}"));
        }
        match self.learnt() {
            Ok(learnt) => self.history.learnt = learnt,
            Err(Error::Interrupted { .. }) => {}
            Err(error) => self.history.notes.push(format!("what was learnt could not be measured: {error}")),
        }
        Ok(())
    }

    /// What the weights that the model will have make of the test images.
    fn learnt(&self) -> Result<Option<Learnt>> {
        if !self.is_first() {
            return Ok(None);
        }
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
        check_same_weights(&*self.together, &self.network, self.history.epochs.len())?;
        while !self.is_done() {
            let stopped_because = self.run_epoch(observe)?;
            check_same_weights(&*self.together, &self.network, self.history.epochs.len())?;
            if let Some(stopped_because) = stopped_because {
                return Ok(stopped_because);
            }
            after_epoch(self)?;
        }
        Ok(StoppedBecause::Finished)
    }

    /// Whether this process measures and writes; it is the only one where one trains.
    fn is_first(&self) -> bool {
        self.together.rank() == 0
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
            kept: self.keeper.copied_snapshot()?,
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
        self.images.shuffle(self.training.seed, epoch);
        let mut asked_to_stop = None;
        for step in self.losses.n_steps() + 1..=self.n_steps() {
            self.take_step(epoch, step).map_err(|error| error.with_batch_size(self.training.batch_size))?;
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
        let is_finite = self.network.is_finite()?;
        if let Some(step) = self.losses.first_not_finite().or((!is_finite).then_some(n_steps)) {
            self.go_back_to_kept()?;
            return Ok(Some(StoppedBecause::Diverged { epoch, step }));
        }
        // A stop that comes with an epoch's last step does not cost the epoch.
        if n_steps == self.n_steps() {
            self.finish_epoch(epoch)?;
        }
        Ok(asked_to_stop.filter(|_| !self.is_done()))
    }

    /// Moves the weights by one minibatch; on a CPU a loss that is infinite or undefined moves nothing.
    fn take_step(&mut self, epoch: usize, step: usize) -> Result<()> {
        #[cfg(test)]
        if self.failing_step == Some(step) {
            return Err(tch::TchError::Torch("the device is lost".into())).doing("taking a step");
        }
        let (places, share) = self.minibatches.of_step(step, &self.together);
        let Self { network, optimizer, keeper, training, losses, .. } = self;
        match &self.images {
            TrainingImages::OnHost { images, order } => {
                let batch = batch_on_host(images, &order[places])?;
                let batch = network.arranged(batch).doing("arranging a batch")?;
                let randomness = StepRandomness::new(training.seed, epoch, step).with_share(share.clone());
                let (mut loss, backward) = minibatch_loss(network, &batch, randomness, training)?;
                let mut gradients = backward.gradients(&loss)?;
                self.is_between_steps = false;
                if let Some(share) = &share {
                    let all = exchange(&*self.together, share, network, &loss, &gradients, self.wish.take())?;
                    let Exchanged { loss: of_all, gradient, wish } = all;
                    (loss, gradients, self.wish_of_any) = (of_all, vec![gradient], wish);
                }
                losses.push(&loss)?;
                if losses.first_not_finite().is_none() {
                    keeper.before_step(network, losses.newest(), epoch)?;
                    optimizer.step(network.parameters(), &gradients)?;
                }
            }
            TrainingImages::OnDevice { images, order } => {
                let is_between_steps = &mut self.is_between_steps;
                let parts = Parts { network, images, optimizer, keeper, training, is_between_steps };
                let loss = self.device_steps.take(parts, &order[places], epoch, step)?;
                self.is_between_steps = false;
                losses.push(&loss)?;
            }
        }
        if epoch == 1 && step == 1 {
            self.history.loss_first = Some(self.losses.newest()).filter(|loss| loss.is_finite());
        }
        self.is_between_steps = true;
        Ok(())
    }

    /// Whether training is to end after the step that was just taken.
    fn asked_to_stop(&mut self, control: ControlFlow<()>) -> Option<StoppedBecause> {
        let max_seconds = self.training.max_seconds.filter(|&limit| self.started.elapsed().as_secs_f64() >= limit);
        let mut wish = match control.is_break() || interrupt::is_requested() {
            true => Some(Wish::Interrupt),
            false => max_seconds.map(|_| Wish::TimeLimit),
        };
        if self.together.size() > 1 {
            // All stop after the same step, which is the next.
            self.wish = wish;
            wish = self.wish_of_any;
        }
        wish.map(|wish| match (wish, self.training.max_seconds) {
            (Wish::TimeLimit, Some(max_seconds)) => StoppedBecause::TimeLimit { max_seconds },
            _ => StoppedBecause::Interrupted,
        })
    }

    fn finish_epoch(&mut self, epoch: usize) -> Result<()> {
        let (losses, minibatches) = (self.losses.known(), &self.minibatches);
        let batch_sizes = (1..).map(|step| minibatches.n_images_after(step) - minibatches.n_images_after(step - 1));
        let loss_sum: f64 = losses.iter().zip(batch_sizes).map(|(loss, size)| loss * size as f64).sum();
        let loss_lowest_minibatch = losses.iter().copied().fold(f64::INFINITY, f64::min);
        let loss_mean = loss_sum / minibatches.n_images() as f64;
        self.keeper.after_epoch(&self.network, loss_mean, epoch)?;
        // A clock may be too coarse for an epoch of one step.
        let seconds = self.epoch_seconds.max(1e-9);
        let images_per_second = self.minibatches.n_images() as f64 / seconds;
        let watched = self.watch(epoch)?;
        self.history.epochs.push(Epoch { loss_mean, loss_lowest_minibatch, seconds, images_per_second, watched });
        self.begin_epoch();
        Ok(())
    }

    /// What the test images say after this epoch, where it is one to watch.
    fn watch(&self, epoch: usize) -> Result<Option<Watched>> {
        if !self.is_first() {
            return Ok(None);
        }
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
        if !is_known || self.losses.first_not_finite().is_some() || !self.network.is_finite().unwrap_or(false) {
            self.is_between_steps = false;
            // An error here is one of a device that is lost, as the first one says.
            let _ = self.go_back_to_kept();
        }
        StoppedBecause::Failed { message: error.to_string() }
    }

    fn n_steps(&self) -> usize {
        self.minibatches.n_steps()
    }

    fn progress(&self, epoch: usize, step: usize) -> Progress {
        let (n_epochs, n_steps) = (self.training.epochs, self.n_steps());
        let steps_done = (epoch - 1) * n_steps + step;
        let images_done = (epoch - 1) * self.minibatches.n_images() + self.minibatches.n_images_after(step);
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
mod gpu_tests;
#[cfg(test)]
mod operations_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod together_tests;
