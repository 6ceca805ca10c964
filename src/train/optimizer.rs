//! Optimiser steps on one flat tensor of weights, as PyTorch takes them.

use super::{Optimizer, OptimizerMemory, Training};
use crate::Result;
use crate::device::host::{values, values_mut};
use crate::device::{copied, threads, without_gradients};
use crate::error::TorchContext;
use tch::{Kind, TchError, Tensor};

const BETA_1: f64 = 0.9;
const BETA_2: f64 = 0.999;
const EPSILON: f64 = 1e-8;
/// Weights that a thread works on at a time.
const N_IN_CHUNK: usize = 1 << 14;

/// An optimiser with its state.
#[derive(Debug)]
pub(super) struct OptimizerState {
    optimizer: Optimizer,
    learning_rate: f64,
    memory: OptimizerMemory,
}

impl OptimizerState {
    pub(super) fn new(training: &Training, parameters: &Tensor) -> Result<Self> {
        let zeros = || parameters.f_zeros_like().doing("making the optimiser's memory");
        let second_moment = match training.optimizer {
            Optimizer::Sgd { .. } => None,
            Optimizer::Adam | Optimizer::AdamW { .. } => Some(zeros()?),
        };
        let memory = OptimizerMemory { n_steps: 0, first_moment: zeros()?, second_moment };
        Ok(Self { optimizer: training.optimizer, learning_rate: training.learning_rate, memory })
    }

    /// Steps taken so far.
    pub(super) fn n_steps(&self) -> i32 {
        self.memory.n_steps
    }

    /// What the next step depends on, beside weights and settings; copied, since steps change it in place.
    pub(super) fn memory(&self) -> Result<OptimizerMemory> {
        let copy = |tensor: &Tensor| copied(tensor).doing("copying the optimiser's memory");
        let OptimizerMemory { n_steps, first_moment, second_moment } = &self.memory;
        let second_moment = second_moment.as_ref().map(copy).transpose()?;
        Ok(OptimizerMemory { n_steps: *n_steps, first_moment: copy(first_moment)?, second_moment })
    }

    /// Resumes from a saved state of the same optimiser.
    pub(super) fn recall(&mut self, memory: OptimizerMemory) -> Result<()> {
        let device = self.memory.first_moment.device();
        let moved = |tensor: Tensor| tensor.f_to(device).doing("moving the optimiser's memory to the device");
        let OptimizerMemory { n_steps, first_moment, second_moment } = memory;
        let second_moment = second_moment.map(moved).transpose()?;
        self.memory = OptimizerMemory { n_steps, first_moment: moved(first_moment)?, second_moment };
        Ok(())
    }

    /// What the next step's formula has beside the settings, for [`OptimizerState::step_on_device`]: Adam's root of the second
    /// moment's bias correction, and its learning rate over the first one's.
    pub(super) fn corrections(&self) -> [f64; 2] {
        let n_steps = self.memory.n_steps + 1;
        [(1.0 - BETA_2.powi(n_steps)).sqrt(), self.learning_rate / (1.0 - BETA_1.powi(n_steps))]
    }

    /// Updates `parameters`, `[n_parameters]`, by one step; `gradients` are the pieces of their gradient, in order.
    pub(super) fn step(&mut self, parameters: &Tensor, gradients: &[Tensor]) -> Result<()> {
        let corrections = self.corrections();
        let is_adam = self.memory.second_moment.is_some();
        if is_adam && threads::suit(parameters.device()) && !gradients.is_empty() {
            without_gradients(|| self.adam_on_host(&mut parameters.shallow_clone(), gradients, corrections));
        } else {
            let scalar = |value: f64| Tensor::f_full([0_i64; 0], value, (Kind::Double, parameters.device()));
            let [first, second] = corrections.map(|value| scalar(value).doing("taking an optimiser step"));
            self.step_on_device(parameters, gradients, &[first?, second?])?;
        }
        self.count_step();
        Ok(())
    }

    /// The same by libtorch's operations, without waiting for them: the corrections are scalars on the device of the weights.
    /// The step still is to be counted.
    pub(super) fn step_on_device(
        &mut self,
        parameters: &Tensor,
        gradients: &[Tensor],
        corrections: &[Tensor; 2],
    ) -> Result<()> {
        if gradients.is_empty() {
            return Ok(());
        }
        let step = || self.try_step(&mut parameters.shallow_clone(), gradients, corrections);
        without_gradients(step).doing("taking an optimiser step")
    }

    pub(super) fn count_step(&mut self) {
        self.memory.n_steps += 1;
    }

    fn try_step(
        &mut self,
        parameters: &mut Tensor,
        gradients: &[Tensor],
        [root_of_correction_2, corrected_rate]: &[Tensor; 2],
    ) -> Result<(), TchError> {
        let rate = self.learning_rate;
        let gradient = Tensor::f_cat(gradients, 0)?;
        let decay = self.decay();
        let OptimizerMemory { first_moment, second_moment, .. } = &mut self.memory;
        let Some(second_moment) = second_moment else {
            let Optimizer::Sgd { momentum } = self.optimizer else { unreachable!("Adam has a second moment") };
            let _ = first_moment.f_mul_scalar_(momentum)?.f_add_(&gradient)?;
            let _ = parameters.f_sub_(&first_moment.f_mul_scalar(rate)?)?;
            return Ok(());
        };
        let _ = parameters.f_mul_scalar_(decay)?;
        let _ = first_moment.f_lerp_(&gradient, 1.0 - BETA_1)?;
        let _ = second_moment.f_lerp_(&gradient.f_square()?, 1.0 - BETA_2)?;
        let denominator = second_moment.f_sqrt()?.f_div_(root_of_correction_2)?.f_add_scalar_(EPSILON)?;
        let _ = parameters.f_sub_(&first_moment.f_mul(corrected_rate)?.f_div_(&denominator)?)?;
        Ok(())
    }

    /// What each step multiplies the weights by.
    fn decay(&self) -> f64 {
        match self.optimizer {
            Optimizer::AdamW { weight_decay } => 1.0 - self.learning_rate * weight_decay,
            Optimizer::Adam | Optimizer::Sgd { .. } => 1.0,
        }
    }

    fn adam_on_host(&mut self, parameters: &mut Tensor, gradients: &[Tensor], corrections: [f64; 2]) {
        let factors = [self.decay(), corrections[0], corrections[1]].map(|factor| factor as f32);
        let OptimizerMemory { first_moment, second_moment, .. } = &mut self.memory;
        let second_moment = second_moment.as_mut().expect("Adam has a second moment");
        adam_on_host([parameters, first_moment, second_moment], gradients, factors);
    }
}

/// The same as by libtorch's operations, but each value is read and written once instead of nine times, since memory
/// bandwidth is the limit. The tensors are weights, first and second moment.
fn adam_on_host(
    tensors: [&mut Tensor; 3],
    gradients: &[Tensor],
    [decay, root_of_correction_2, corrected_rate]: [f32; 3],
) {
    let [share_1, share_2, epsilon] = [1.0 - BETA_1, 1.0 - BETA_2, EPSILON].map(|x| x as f32);
    // SAFETY: the weights and what is remembered of them are three tensors, which only this step uses now.
    let mut rest = tensors.map(|tensor| unsafe { values_mut(tensor) });
    let pieces = gradients.iter().map(|gradient| {
        let of_piece = rest.each_mut().map(|rest| rest.split_off_mut(..gradient.numel()));
        // SAFETY: nobody writes to gradients any more.
        (unsafe { values(gradient) }, of_piece.map(|piece| piece.expect("the gradient is as long as the weights")))
    });
    let chunks: Vec<_> = pieces
        .flat_map(|(gradient, [weights, first, second])| {
            let moments = first.chunks_mut(N_IN_CHUNK).zip(second.chunks_mut(N_IN_CHUNK));
            gradient.chunks(N_IN_CHUNK).zip(weights.chunks_mut(N_IN_CHUNK)).zip(moments)
        })
        .collect();
    threads::for_each(chunks.into_iter(), |((gradient, weights), (first, second))| {
        for (((gradient, weight), first), second) in gradient.iter().zip(weights).zip(first).zip(second) {
            *first += share_1 * (gradient - *first);
            *second += share_2 * (gradient * gradient - *second);
            *weight = *weight * decay - corrected_rate * *first / (second.sqrt() / root_of_correction_2 + epsilon);
        }
    });
}
