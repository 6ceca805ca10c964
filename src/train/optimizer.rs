//! Optimiser steps on one flat tensor of weights, as PyTorch takes them.

use super::{Optimizer, Training};
use crate::Result;
use crate::device::host::{values, values_mut};
use crate::device::{threads, without_gradients};
use crate::error::TorchContext;
use tch::{TchError, Tensor};

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
    /// Steps taken so far.
    n_steps: i32,
    /// SGD's velocity, or Adam's mean of gradients: `[n_parameters]`.
    first_moment: Tensor,
    /// Adam's mean of squared gradients; empty for SGD.
    second_moment: Tensor,
}

/// What an optimiser remembers between steps.
#[derive(Debug)]
pub(crate) struct OptimizerMemory {
    /// Steps taken so far.
    pub(crate) n_steps: i32,
    /// SGD's velocity, or Adam's mean of gradients: `[n_parameters]`.
    pub(crate) first_moment: Tensor,
    /// Adam's mean of squared gradients; empty for SGD.
    pub(crate) second_moment: Tensor,
}

impl OptimizerState {
    pub(super) fn new(training: &Training, parameters: &Tensor) -> Self {
        let second_moment = match training.optimizer {
            Optimizer::Sgd { .. } => parameters.empty_like().narrow(0, 0, 0),
            Optimizer::Adam | Optimizer::AdamW { .. } => parameters.zeros_like(),
        };
        Self {
            optimizer: training.optimizer,
            learning_rate: training.learning_rate,
            n_steps: 0,
            first_moment: parameters.zeros_like(),
            second_moment,
        }
    }

    /// What the next step depends on, beside weights and settings; copied, since steps change it in place.
    pub(super) fn memory(&self) -> OptimizerMemory {
        let [first_moment, second_moment] = [&self.first_moment, &self.second_moment].map(Tensor::copy);
        OptimizerMemory { n_steps: self.n_steps, first_moment, second_moment }
    }

    /// Goes on from such a memory.
    pub(super) fn recall(&mut self, memory: OptimizerMemory) {
        let device = self.first_moment.device();
        self.n_steps = memory.n_steps;
        self.first_moment = memory.first_moment.to(device);
        self.second_moment = memory.second_moment.to(device);
    }

    /// Updates `parameters`, `[n_parameters]`, by one step; `gradients` are the pieces of their gradient, in order.
    pub(super) fn step(&mut self, parameters: &Tensor, gradients: &[Tensor]) -> Result<()> {
        self.n_steps += 1;
        if gradients.is_empty() {
            return Ok(());
        }
        without_gradients(|| self.try_step(&mut parameters.shallow_clone(), gradients))
            .doing("taking an optimiser step")
    }

    fn try_step(&mut self, parameters: &mut Tensor, gradients: &[Tensor]) -> Result<(), TchError> {
        let rate = self.learning_rate;
        let flat = || Tensor::f_cat(gradients, 0);
        let decay = match self.optimizer {
            Optimizer::Sgd { momentum } => {
                let _ = self.first_moment.f_mul_scalar_(momentum)?.f_add_(&flat()?)?;
                let _ = parameters.f_sub_(&self.first_moment.f_mul_scalar(rate)?)?;
                return Ok(());
            }
            Optimizer::Adam => 1.0,
            Optimizer::AdamW { weight_decay } => 1.0 - rate * weight_decay,
        };
        let root_of_correction_2 = (1.0 - BETA_2.powi(self.n_steps)).sqrt();
        let corrected_rate = rate / (1.0 - BETA_1.powi(self.n_steps));
        if threads::suit(parameters.device()) {
            self.adam_on_host(parameters, gradients, [decay, root_of_correction_2, corrected_rate].map(|x| x as f32));
            return Ok(());
        }
        let gradient = flat()?;
        let _ = parameters.f_mul_scalar_(decay)?;
        let _ = self.first_moment.f_lerp_(&gradient, 1.0 - BETA_1)?;
        let _ = self.second_moment.f_lerp_(&gradient.f_square()?, 1.0 - BETA_2)?;
        let denominator = self.second_moment.f_sqrt()?.f_div_scalar_(root_of_correction_2)?.f_add_scalar_(EPSILON)?;
        let _ = parameters.f_addcdiv_(&self.first_moment.f_mul_scalar(-corrected_rate)?, &denominator)?;
        Ok(())
    }

    /// The same as by libtorch's operations, but each value is read and written once instead of nine times, which is what such a
    /// step waits for.
    fn adam_on_host(
        &mut self,
        parameters: &mut Tensor,
        gradients: &[Tensor],
        [decay, root_of_correction_2, corrected_rate]: [f32; 3],
    ) {
        let [share_1, share_2, epsilon] = [1.0 - BETA_1, 1.0 - BETA_2, EPSILON].map(|x| x as f32);
        // SAFETY: the weights and what is remembered of them are three tensors, which only this step uses now.
        let mut rest =
            [parameters, &mut self.first_moment, &mut self.second_moment].map(|it| unsafe { values_mut(it) });
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
}
