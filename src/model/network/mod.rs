//! A network with weights: the tensors of a [`Plan`], its forward and its backward pass.

mod backward;
mod batch_norm;
mod built;
mod channels_last;
mod drafts;
mod dropout;
mod evaluated;
mod folded;
mod forward;
mod fused_norm;
mod lanes;
mod layout;
mod linear;
mod lowering;
mod randomness;
mod share;
mod sub_pixel;
mod tanh;

pub(crate) use backward::Backward;
pub(crate) use evaluated::Evaluated;
pub(crate) use forward::{LatentDistribution, Mode};
pub(crate) use randomness::{Draws, StepRandomness};
pub(crate) use share::Share;

use super::{Layer, Plan};
use crate::device::{Precision, Purpose, copied, generator, without_gradients};
use crate::error::TorchContext;
use crate::{Error, Result, memory};
use built::{BuiltPart, Kernels, initial_parameters, initial_statistics};
use channels_last::channels_last;
use forward::forward;
use layout::{Carver, Slot};
use tch::{Device, Kind, TchError, Tensor};

/// The tensors of a planned architecture.
///
/// All parameters are in one flat tensor, and all running statistics in another, so that an optimiser step, a copy
/// of the best weights and a save are a few operations whatever the number of layers.
#[derive(Debug)]
pub(crate) struct Network {
    plan: Plan,
    /// `[n_parameters]`; the layers' weights are views of it.
    parameters: Tensor,
    /// `[n_statistics]`; the layers' running means and variances are views of it.
    statistics: Tensor,
    encoder: BuiltPart,
    decoder: BuiltPart,
}

/// The result of a forward pass.
#[derive(Debug)]
pub(crate) struct Pass {
    /// `[n, c, h, w]`.
    pub(crate) reconstruction: Tensor,
    /// `[n, d]` or, of an image-shaped code, `[n, c, h, w]`.
    pub(crate) code: Tensor,
    /// Of a Gaussian bottleneck only.
    pub(crate) distribution: Option<LatentDistribution>,
    /// What the backward pass needs.
    pub(crate) backward: Backward,
}

impl Network {
    /// Builds the network on `device` with PyTorch's default weights, drawn from `seed`.
    ///
    /// The draws are made on the host, so that one seed gives one start on every device.
    pub(crate) fn new(plan: Plan, seed: u64, device: Device) -> Result<Self> {
        // As they are drawn, and as a tensor.
        let n_bytes = memory::bytes_of(&[plan.n_parameters(), 2, size_of::<f32>()]);
        memory::check(&format!("building {}", plan.name), n_bytes, "choose fewer or smaller layers")?;
        let layers = || plan.encoder.iter().chain(&plan.decoder);
        let mut generator = generator(seed, Purpose::Weights, 0, 0);
        let parameters: Vec<f32> = layers().flat_map(|planned| initial_parameters(planned, &mut generator)).collect();
        let statistics: Vec<f32> = layers().flat_map(initial_statistics).collect();
        let state = || Ok([Tensor::f_from_slice(&parameters)?, Tensor::f_from_slice(&statistics)?]);
        state().and_then(|state| Self::from_state(plan.clone(), state, device)).doing("building the network")
    }

    /// Builds the network from tensors named as in [`Network::named_tensors`].
    ///
    /// # Errors
    /// [`Error::Architecture`] for a tensor that is missing or of another shape.
    pub(crate) fn from_named(plan: Plan, mut find: impl FnMut(&str) -> Option<Tensor>, device: Device) -> Result<Self> {
        let nothing = || Tensor::f_zeros([0], (Kind::Float, Device::Cpu)).doing("building the network");
        let (mut parameters, mut statistics) = (vec![nothing()?], vec![nothing()?]);
        for Slot { name, shape, is_trained } in layout::slots(&plan) {
            let misfit = |found: String| Error::Architecture {
                place: format!("weights {name}"),
                found,
                wanted: format!("{shape:?}"),
                next_step: "open the weights with the architecture that they were saved with".into(),
            };
            let saved = find(&name).ok_or_else(|| misfit("no such tensor".into()))?;
            if saved.size() != shape {
                return Err(misfit(format!("{:?}", saved.size())));
            }
            let saved = saved.f_reshape([-1]).doing("putting the saved weights in")?;
            if is_trained { parameters.push(saved) } else { statistics.push(saved) }
        }
        let state = || Ok([Tensor::f_cat(&parameters, 0)?, Tensor::f_cat(&statistics, 0)?]);
        state().and_then(|state| Self::from_state(plan, state, device)).doing("building the network")
    }

    /// Builds the network around all parameters and all running statistics, in the order of [`Network::named_tensors`].
    fn from_state(plan: Plan, [parameters, statistics]: [Tensor; 2], device: Device) -> Result<Self, TchError> {
        let (parameters, statistics) = (parameters.f_to(device)?, statistics.f_to(device)?);
        let kernels = Kernels::of(&plan, device);
        let mut carvers = [&parameters, &statistics].map(Carver::new);
        let encoder = BuiltPart::new(&plan.encoder, &mut carvers, device, kernels)?;
        let decoder = BuiltPart::new(&plan.decoder, &mut carvers, device, kernels)?;
        Ok(Self { encoder, decoder, plan, parameters, statistics })
    }

    /// The same network with the weights and running statistics of a snapshot, whose memory it shares.
    pub(crate) fn with_snapshot(&self, snapshot: &[Tensor; 2]) -> Result<Self> {
        let state = snapshot.each_ref().map(Tensor::shallow_clone);
        Self::from_state(self.plan.clone(), state, self.device()).doing("building the network")
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(crate) fn device(&self) -> Device {
        self.parameters.device()
    }

    /// All trained values, `[n_parameters]`. Changing it changes the layers.
    pub(crate) fn parameters(&self) -> &Tensor {
        &self.parameters
    }

    /// All trained values and running statistics. Changing them changes the layers.
    pub(crate) fn state(&self) -> [&Tensor; 2] {
        [&self.parameters, &self.statistics]
    }

    /// Copies of all trained values and running statistics.
    pub(crate) fn snapshot(&self) -> Result<[Tensor; 2]> {
        let copy = |tensor: &Tensor| copied(tensor).doing("copying the weights");
        Ok([copy(&self.parameters)?, copy(&self.statistics)?])
    }

    /// Restores a snapshot.
    pub(crate) fn restore(&self, [parameters, statistics]: &[Tensor; 2]) -> Result<()> {
        without_gradients(|| {
            // As views, since a copy would spread fewer values over all.
            self.parameters.shallow_clone().f_copy_(&parameters.f_view_as(&self.parameters)?)?;
            self.statistics.shallow_clone().f_copy_(&statistics.f_view_as(&self.statistics)?)
        })
        .doing("putting the kept weights back")
    }

    /// Whether no weight and no running statistic is infinite or not a number.
    pub(crate) fn is_finite(&self) -> Result<bool> {
        let is_finite = || bool::try_from(self.is_finite_on_device()?.f_to(Device::Cpu)?);
        is_finite().doing("looking at the weights")
    }

    /// The same as a scalar on the device, for which nobody waits.
    pub(crate) fn is_finite_on_device(&self) -> Result<Tensor, TchError> {
        let [parameters, statistics] = self.state().map(|tensor| tensor.f_isfinite()?.f_all());
        parameters?.f_logical_and(&statistics?)
    }

    /// Every tensor with its name in PyTorch's state dictionary, as in `encoder.0.weight`. They share the network's memory.
    pub(crate) fn named_tensors(&self) -> Vec<(String, Tensor)> {
        layout::named_views(&self.plan, self.state()).expect("the flat tensors are as long as the plan says")
    }

    /// The same of a snapshot's values.
    pub(crate) fn named_tensors_of(&self, snapshot: &[Tensor; 2]) -> Result<Vec<(String, Tensor)>> {
        layout::named_views(&self.plan, snapshot.each_ref()).doing("naming the weights")
    }

    /// From images `[n, c, h, w]` to codes `[n, d]`; of a Gaussian bottleneck its mean.
    pub(crate) fn encode(&self, images: &Tensor, precision: Precision) -> Result<Tensor> {
        let encoded = forward(&self.encoder, images, &mut Mode::Evaluation, precision, &mut Backward::default());
        let (code, _) = encoded.doing("encoding images")?;
        code.f_flatten(1, -1).and_then(|code| code.f_to_kind(Kind::Float)).doing("encoding images")
    }

    /// From images `[n, c, h, w]` to their reconstructions.
    pub(crate) fn pass(&self, images: &Tensor, mut mode: Mode, precision: Precision) -> Result<Pass> {
        let mut rebuild = || -> Result<Pass, TchError> {
            let mut backward = Backward::default();
            let (code, distribution) = forward(&self.encoder, images, &mut mode, precision, &mut backward)?;
            let (reconstruction, _) = forward(&self.decoder, &code, &mut mode, precision, &mut backward)?;
            let reconstruction = reconstruction.f_to_kind(Kind::Float)?;
            Ok(Pass { reconstruction, code, distribution, backward })
        };
        rebuild().doing("rebuilding images")
    }

    /// Whether the batch norms of a training in several processes are those of the whole minibatch; otherwise each process
    /// has those of its images.
    pub(crate) fn norms_whole_minibatch(&self, precision: Precision) -> bool {
        let is_whole = |part: &BuiltPart| {
            part.steps.iter().all(|step| match &part.layers[step.layer] {
                built if matches!(built.layer, Layer::BatchNorm2d { .. }) => {
                    let n_values = built.output.n_values() / step.n_copies;
                    part.kernels.fused_norm && fused_norm::fills_lanes(n_values)
                }
                _ => true,
            })
        };
        precision != Precision::Bfloat16 && [&self.encoder, &self.decoder].into_iter().all(is_whole)
    }

    /// Images `[n, c, h, w]` in the order in memory that this network computes with; values and shape stay.
    pub(crate) fn arranged(&self, images: Tensor) -> Result<Tensor, TchError> {
        if self.encoder.kernels.channels_last { channels_last(images) } else { Ok(images) }
    }
}

#[cfg(test)]
mod tests;
