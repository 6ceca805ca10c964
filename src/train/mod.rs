//! Training: from an [`Architecture`] and images to an [`Autoencoder`].
//!
//! What has cost training time is never thrown away: once the first step is done, a training that diverges, runs out of
//! time or is interrupted still ends in a model, and [`History::stopped_because`] says what happened.

mod autoencoder;
mod history;
mod keeper;
mod losses;
mod optimizer;
mod progress;
mod settings;

pub use autoencoder::Autoencoder;
pub use history::{Epoch, History, Kept, StoppedBecause};
pub(crate) use optimizer::OptimizerMemory;
pub use progress::Progress;
pub use settings::{Keep, KlTerm, Optimizer, Training};

use crate::data::Split;
use crate::device::{ResidentImages, shuffled_rows};
use crate::error::TorchContext;
use crate::model::{Architecture, GaussianWaist, Mode, Network, StepRandomness, Trace};
use crate::{Error, Result, interrupt};
use keeper::Keeper;
use losses::{Losses, Reading};
use optimizer::OptimizerState;
use std::ops::ControlFlow;
use std::time::Instant;
use tch::{Kind, TchError, Tensor};

/// Trains a network to rebuild the training images.
///
/// `observe` is called after every step; when it breaks, or the user presses stop in the diabolo kernel, training ends
/// with the best model so far.
///
/// # Errors
/// [`Error::Setting`] and [`Error::Architecture`] before anything runs, [`Error::Device`] when the device cannot be
/// used, [`Error::Data`] when the split has fewer than two training images, [`Error::Torch`] when libtorch refuses the
/// first step (out of memory, for example). Later failures end training with the model so far.
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
/// assert!(losses[2] < losses[0] && model.history.loss_first == losses[0]);
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
    Loop::begin(None, architecture, split, training)?.finish(observe, |_| Ok(()))
}

/// Where a training stands between two epochs: all that the next one depends on, beside the settings.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    /// Weights and running statistics after the last finished epoch.
    pub(crate) last: [Tensor; 2],
    /// Those that the keep rule has chosen so far.
    pub(crate) kept: [Tensor; 2],
    pub(crate) optimizer: OptimizerMemory,
    /// The course so far; its epochs say how many are done.
    pub(crate) history: History,
}

/// A training under way.
pub(crate) struct Loop {
    architecture: Architecture,
    trained_on: String,
    training: Training,
    images: ResidentImages,
    n_images: usize,
    network: Network,
    optimizer: OptimizerState,
    keeper: Keeper,
    history: History,
    started: Instant,
    /// What earlier parts of this training took.
    seconds_before: f64,
}

impl Loop {
    /// Makes ready for the first step, or for the one after `start`: everything that can be wrong with settings, data and
    /// device is found here.
    pub(crate) fn begin(
        start: Option<Checkpoint>,
        architecture: Architecture,
        split: &Split,
        training: Training,
    ) -> Result<Self> {
        training.check()?;
        let images = &split.train;
        if images.len() < 2 {
            return Err(Error::data(
                "training",
                format!("{} training images", images.len()),
                "2 or more",
                "batch statistics need at least two images; open a larger data set",
            ));
        }
        let plan = architecture.plan(images.shape())?;
        let chosen = training.device.choose()?;
        if chosen.device == tch::Device::Cpu {
            training.check_memory(&plan, images.len())?;
        }
        let network = Network::new(plan, training.seed, chosen.device)?;
        let mut begun = Self {
            images: ResidentImages::new(images, 0..images.len(), chosen.device)?,
            n_images: images.len(),
            keeper: Keeper::new(training.keep, Reading::of(chosen.device), &network)?,
            optimizer: OptimizerState::new(&training, network.parameters()),
            history: History {
                loss_first: f64::NAN,
                epochs: Vec::new(),
                kept: Kept { epoch: 0, loss: f64::NAN },
                stopped_because: StoppedBecause::NotYet,
                seconds: 0.0,
                device: chosen.reason,
            },
            architecture,
            trained_on: split.name.clone(),
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

    /// Trains to the end; `save` is called after every epoch and may take a checkpoint.
    pub(crate) fn finish(
        mut self,
        mut observe: impl FnMut(&Progress) -> ControlFlow<()>,
        mut save: impl FnMut(&Self) -> Result<()>,
    ) -> Result<Autoencoder> {
        let stopped_because = match self.run(&mut observe, &mut save) {
            Ok(stopped_because) => stopped_because,
            // Nothing was learned yet, so nothing is lost by saying no.
            Err(error) if self.keeper.kept().epoch == 0 => return Err(error),
            Err(error) => StoppedBecause::Failed { message: error.to_string() },
        };
        let history = History { stopped_because, ..self.history() };
        self.network.restore(self.keeper.snapshot())?;
        Ok(Autoencoder::new(self.architecture, self.training, history, self.trained_on, self.network))
    }

    fn run(
        &mut self,
        observe: &mut impl FnMut(&Progress) -> ControlFlow<()>,
        save: &mut impl FnMut(&Self) -> Result<()>,
    ) -> Result<StoppedBecause> {
        for epoch in self.history.epochs.len() + 1..=self.training.epochs {
            if let Some(stopped_because) = self.run_epoch(epoch, observe)? {
                return Ok(stopped_because);
            }
            save(self)?;
        }
        Ok(StoppedBecause::Finished)
    }

    /// Whether no epoch is left.
    pub(crate) fn is_done(&self) -> bool {
        self.history.epochs.len() >= self.training.epochs
    }

    /// The network as it stands, for its names.
    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    /// To be taken between two epochs.
    pub(crate) fn checkpoint(&self) -> Result<Checkpoint> {
        Ok(Checkpoint {
            last: self.network.snapshot()?,
            kept: self.keeper.snapshot().each_ref().map(Tensor::shallow_clone),
            optimizer: self.optimizer.memory(),
            history: self.history(),
        })
    }

    /// The course so far.
    pub(crate) fn history(&self) -> History {
        History { kept: self.keeper.kept(), seconds: self.seconds(), ..self.history.clone() }
    }

    fn go_on_from(&mut self, checkpoint: Checkpoint) -> Result<()> {
        let Checkpoint { last, kept, optimizer, history } = checkpoint;
        self.network.restore(&last)?;
        let device = self.network.device();
        let snapshot = kept.map(|tensor| tensor.to(device));
        self.keeper = Keeper::from_kept(self.training.keep, Reading::of(device), history.kept, snapshot)?;
        self.optimizer.recall(optimizer);
        self.seconds_before = history.seconds;
        self.history = History { device: std::mem::take(&mut self.history.device), ..history };
        Ok(())
    }

    /// Wall time so far, earlier parts of this training included.
    fn seconds(&self) -> f64 {
        self.seconds_before + self.started.elapsed().as_secs_f64()
    }

    /// One pass over the images; gives a reason when training is to end before the next.
    fn run_epoch(
        &mut self,
        epoch: usize,
        observe: &mut impl FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<Option<StoppedBecause>> {
        let epoch_started = Instant::now();
        let rows = Tensor::f_from_slice(&shuffled_rows(self.n_images, self.training.seed, epoch))
            .and_then(|rows| rows.f_to(self.network.device()))
            .doing("moving the order of the images to the device")?;
        let mut losses = Losses::new(self.keeper.reading());
        for (step, batch_rows) in (1..).zip(rows.split(self.training.batch_size as i64, 0)) {
            self.take_step(epoch, step, &batch_rows, &mut losses)?;
            if let Some(step) = losses.first_not_finite() {
                return Ok(Some(StoppedBecause::Diverged { epoch, step }));
            }
            let progress = self.progress(epoch, step, losses.newest());
            let control = observe(&progress);
            let is_last_step = progress.seconds_remaining == 0.0;
            let stopped_because = match self.training.max_seconds {
                _ if control.is_break() || interrupt::is_requested() => StoppedBecause::Interrupted,
                Some(max_seconds) if progress.seconds >= max_seconds && !is_last_step => {
                    StoppedBecause::TimeLimit { max_seconds }
                }
                _ => continue,
            };
            self.keeper.heard(losses.read()?, epoch);
            self.keeper.stopped_within(&self.network, losses.newest(), epoch)?;
            return Ok(Some(stopped_because));
        }
        self.keeper.heard(losses.read()?, epoch);
        if let Some(step) = losses.first_not_finite().or((!self.network.is_finite()).then_some(self.n_steps())) {
            return Ok(Some(StoppedBecause::Diverged { epoch, step }));
        }
        let batch_size = self.training.batch_size;
        let batch_sizes = (0..self.n_images).step_by(batch_size).map(|start| batch_size.min(self.n_images - start));
        let loss_sum: f64 = losses.known().iter().zip(batch_sizes).map(|(loss, size)| loss * size as f64).sum();
        let loss_lowest = losses.known().iter().copied().fold(f64::INFINITY, f64::min);
        let loss_mean = loss_sum / self.n_images as f64;
        self.keeper.after_epoch(&self.network, loss_mean, epoch)?;
        let seconds = epoch_started.elapsed().as_secs_f64();
        self.history.epochs.push(Epoch {
            loss_mean,
            loss_lowest_minibatch: loss_lowest,
            seconds,
            images_per_second: self.n_images as f64 / seconds,
        });
        Ok(None)
    }

    /// Moves the weights by one minibatch; a loss that is known to be infinite or undefined moves nothing.
    fn take_step(&mut self, epoch: usize, step: usize, batch_rows: &Tensor, losses: &mut Losses) -> Result<()> {
        let batch = self.network.arranged(self.images.batch(batch_rows)?).doing("arranging a batch")?;
        let randomness = StepRandomness::new(self.training.seed, epoch, step);
        let (loss, trace) = minibatch_loss(&self.network, &batch, randomness, &self.training)?;
        let known = losses.push(&loss)?;
        if epoch == 1 && step == 1 {
            self.history.loss_first = known[0];
        }
        if known.iter().all(|loss| loss.is_finite()) {
            self.keeper.before_step(&self.network, &loss, known, epoch)?;
            let gradients = trace.gradients(&loss)?;
            // The gradient is final here: processes that train together would average it at this line.
            self.optimizer.step(self.network.parameters(), &gradients)?;
        }
        Ok(())
    }

    fn n_steps(&self) -> usize {
        self.n_images.div_ceil(self.training.batch_size)
    }

    fn progress(&self, epoch: usize, step: usize, loss: f64) -> Progress {
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
            loss,
            images_per_second: images_done as f64 / seconds,
            seconds,
            seconds_remaining: seconds / steps_done as f64 * (n_epochs * n_steps - steps_done) as f64,
        }
    }
}

/// The loss of one minibatch, a scalar, and the way back from it to the weights.
fn minibatch_loss(
    network: &Network,
    batch: &Tensor,
    randomness: StepRandomness,
    training: &Training,
) -> Result<(Tensor, Trace)> {
    let pass = network.pass(batch, Mode::Training(randomness), training.precision)?;
    let loss = || -> Result<Tensor, TchError> {
        let mse = pass.reconstruction.f_mse_loss(batch, tch::Reduction::Mean)?;
        match &pass.waist {
            None => Ok(mse),
            Some(waist) => mse.f_add(&kl_loss(waist, batch, training.kl_term)?),
        }
    };
    Ok((loss().doing("working out the loss")?, pass.trace))
}

/// Divergence of `N(mean, exp(log_variance))` from `N(0, 1)` in closed form (Kingma and Welling, 2014, appendix B),
/// weighted as the setting says.
fn kl_loss(waist: &GaussianWaist, batch: &Tensor, kl_term: KlTerm) -> Result<Tensor, TchError> {
    let GaussianWaist { mean, log_variance } = waist;
    let twice_negated = log_variance.f_add_scalar(1.0)?.f_sub(&mean.f_square()?)?.f_sub(&log_variance.f_exp()?)?;
    let sum = twice_negated.f_sum(Kind::Float)?.f_mul_scalar(-0.5)?;
    match kl_term {
        KlTerm::CourseSum => Ok(sum),
        // Mean over images and division by c * h * w are one division by all values of the batch.
        KlTerm::PerPixel(weight) => sum.f_mul_scalar(weight / batch.numel() as f64),
    }
}

#[cfg(test)]
mod oracle_tests;
