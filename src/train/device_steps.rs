//! Training steps on a GPU.
//!
//! A GPU works behind the program, as long as the program does not wait for it. So all that a step takes from the host goes
//! up in one transfer: the rows of its images, its random numbers, what the optimiser's formula changes with. And since
//! launching a small operation takes longer than doing it, the operations of a step are recorded and then launched together,
//! as a CUDA graph.

use super::Training;
use super::keeper::Keeper;
use super::loss::minibatch_loss;
use super::optimizer::OptimizerState;
use crate::Result;
use crate::device::graph::{Graph, Turn};
use crate::device::{ResidentImages, copied, cuda};
use crate::error::TorchContext;
use crate::model::{Draws, Network, StepRandomness};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use tch::{Kind, TchError, Tensor};

/// Steps that are taken before one is recorded, so that libraries have chosen their algorithms and made what they need; and
/// between a recording that failed and the next.
const N_BEFORE_RECORDING: usize = 3;

/// Recordings that may fail, as they do when another program or library disturbs them, before a training does without.
const N_TRIES: usize = 3;

/// What a step works with.
pub(super) struct Parts<'a> {
    pub(super) network: &'a Network,
    pub(super) images: &'a ResidentImages,
    pub(super) optimizer: &'a mut OptimizerState,
    pub(super) keeper: &'a mut Keeper,
    pub(super) training: &'a Training,
    /// False while weights, optimiser and what is kept may belong to different steps.
    pub(super) is_between_steps: &'a mut bool,
}

/// The steps of a training.
#[derive(Debug, Default)]
pub(super) struct DeviceSteps {
    /// By their number of images: whole batches, and the last of an epoch.
    by_size: BTreeMap<usize, StepsOfSize>,
    /// Recordings that failed.
    refusals: Vec<TchError>,
}

/// Steps of one number of images.
#[derive(Debug)]
struct StepsOfSize {
    inputs: Inputs,
    n_taken: usize,
    recorded: Option<Recorded>,
}

#[derive(Debug)]
struct Recorded {
    graph: Graph,
    /// The scalar that a replay writes.
    loss: Tensor,
}

impl DeviceSteps {
    /// Takes a step with the images of these rows; gives its loss, a scalar on the device, for which nobody has waited.
    pub(super) fn take(&mut self, mut parts: Parts, rows: &[i64], epoch: usize, step: usize) -> Result<Tensor> {
        let steps = match self.by_size.entry(rows.len()) {
            Entry::Occupied(steps) => steps.into_mut(),
            Entry::Vacant(place) => {
                let inputs = Inputs::new(parts.network, rows.len()).doing("preparing steps")?;
                place.insert(StepsOfSize { inputs, n_taken: 0, recorded: None })
            }
        };
        let corrections = parts.optimizer.corrections();
        let uploaded = steps.inputs.upload(rows, corrections, parts.training.seed, epoch, step);
        uploaded.doing("moving a step's numbers to the device")?;
        steps.n_taken += 1;
        let loss = match &steps.recorded {
            // Copied, since the next replay writes over it.
            Some(Recorded { graph, loss }) => {
                *parts.is_between_steps = false;
                graph.replay().and_then(|()| copied(loss)).doing("taking a recorded step")?
            }
            None => {
                let device = parts.network.device();
                let turn = Turn::wait(device);
                let loss = parts.work(&steps.inputs, &turn)?;
                // In the same turn, so that the backward thread's libraries worked in this stream last.
                if steps.n_taken.is_multiple_of(N_BEFORE_RECORDING) && self.refusals.len() < N_TRIES {
                    match Graph::record(&turn, device, || parts.work(&steps.inputs, &turn)) {
                        Ok(recorded) => steps.recorded = recorded.map(|(graph, loss)| Recorded { graph, loss }),
                        Err(error) => self.refusals.push(error),
                    }
                }
                loss
            }
        };
        parts.optimizer.count_step();
        *parts.is_between_steps = true;
        Ok(loss)
    }

    /// Why the steps could not be recorded, to be told once.
    pub(super) fn refusal(&self) -> Option<&TchError> {
        self.refusals.get(N_TRIES - 1)
    }
}

impl Parts<'_> {
    /// All that the device does in a step. It neither waits for the device nor brings anything to it.
    fn work(&mut self, inputs: &Inputs, _turn: &Turn) -> Result<Tensor> {
        #[cfg(test)]
        crate::device::simulated::is_given_work();
        let Self { network, images, optimizer, keeper, training, is_between_steps } = self;
        let views = inputs.views().doing("finding a step's numbers")?;
        let batch = network.arranged(images.batch(&views.rows)?).doing("arranging a batch")?;
        let randomness = StepRandomness::uploaded(&inputs.draws, &views.drawn).doing("making dropout masks")?;
        let (loss, backward) = minibatch_loss(network, &batch, randomness, training)?;
        let gradients = backward.gradients(&loss)?;
        let loss = loss.f_detach().doing("computing the loss")?;
        **is_between_steps = false;
        keeper.before_step_on_device(network, &loss, &views.epoch)?;
        optimizer.step_on_device(network.parameters(), &gradients, &views.corrections)?;
        Ok(loss)
    }
}

/// What a step takes from the host, in one piece of memory on the device that all steps of a size share.
#[derive(Debug)]
struct Inputs {
    n_images: usize,
    draws: Draws,
    /// On the host, for the next upload.
    words: Vec<i64>,
    /// `[n_words]`, `int64`.
    on_device: Tensor,
}

/// The numbers of a step on the device.
struct Views {
    /// `[n_images]`.
    rows: Tensor,
    /// Scalars of 64 bits.
    corrections: [Tensor; 2],
    epoch: Tensor,
    /// `[n_words]`.
    drawn: Tensor,
}

impl Inputs {
    const N_SCALARS: usize = 3;

    fn new(network: &Network, n_images: usize) -> Result<Self, TchError> {
        let draws = network.draws(n_images);
        let n_words = n_images + Self::N_SCALARS + draws.n_words();
        let on_device = Tensor::f_zeros([n_words as i64], (Kind::Int64, network.device()))?;
        Ok(Self { n_images, draws, words: Vec::with_capacity(n_words), on_device })
    }

    fn upload(
        &mut self,
        rows: &[i64],
        [first, second]: [f64; 2],
        seed: u64,
        epoch: usize,
        step: usize,
    ) -> Result<(), TchError> {
        self.words.clear();
        self.words.extend(rows);
        self.words.extend([first, second, epoch as f64].map(|scalar| scalar.to_bits().cast_signed()));
        self.draws.draw(seed, epoch, step, &mut self.words);
        cuda::upload(&self.words, &mut self.on_device)
    }

    fn views(&self) -> Result<Views, TchError> {
        let part = |start: usize, n_words: usize| self.on_device.f_narrow(0, start as i64, n_words as i64);
        let scalar = |index: usize| part(self.n_images + index, 1)?.f_view_dtype(Kind::Double)?.f_squeeze();
        Ok(Views {
            rows: part(0, self.n_images)?,
            corrections: [scalar(0)?, scalar(1)?],
            epoch: scalar(2)?,
            drawn: part(self.n_images + Self::N_SCALARS, self.draws.n_words())?,
        })
    }
}
