//! Which tensors a network has: their names in PyTorch's state dictionary, their shapes, and their order in the two flat
//! tensors that hold all of them.

use crate::model::{FeatureShape, Layer, Plan, PlannedLayer};
use tch::{TchError, Tensor};

/// A tensor of the network, before it is there.
pub(super) struct Slot {
    /// As in `encoder.0.weight`.
    pub(super) name: String,
    pub(super) shape: Vec<i64>,
    /// Whether it is trained, and lies among the parameters; otherwise among the running statistics.
    pub(super) is_trained: bool,
}

/// All tensors of a plan, layer by layer: the trained ones of a layer, then its running ones.
pub(super) fn slots(plan: &Plan) -> Vec<Slot> {
    let mut slots = Vec::new();
    for (part, layers) in [("encoder", &plan.encoder), ("decoder", &plan.decoder)] {
        for (index, planned) in layers.iter().enumerate() {
            let slot = |(kind, shape, is_trained)| Slot { name: format!("{part}.{index}.{kind}"), shape, is_trained };
            let trained = trained_shapes(planned).into_iter().map(|(kind, shape)| (kind, shape, true));
            let running = running_shapes(&planned.layer).into_iter().map(|(kind, shape)| (kind, shape, false));
            slots.extend(trained.chain(running).map(slot));
        }
    }
    slots
}

/// Cuts flat tensors of all parameters and all running statistics into the tensors of a plan, which share their memory.
pub(super) fn named_views(
    plan: &Plan,
    [parameters, statistics]: [&Tensor; 2],
) -> Result<Vec<(String, Tensor)>, TchError> {
    let [mut trained, mut running] = [parameters, statistics].map(Carver::new);
    let slots = slots(plan).into_iter();
    slots
        .map(|Slot { name, shape, is_trained }| {
            let carver = if is_trained { &mut trained } else { &mut running };
            Ok((name, carver.next(&shape)?))
        })
        .collect()
}

/// Cuts a flat tensor into tensors that share its memory.
pub(super) struct Carver<'a> {
    flat: &'a Tensor,
    offset: i64,
}

impl<'a> Carver<'a> {
    pub(super) fn new(flat: &'a Tensor) -> Self {
        Self { flat, offset: 0 }
    }

    /// Where the next tensor begins.
    pub(super) fn offset(&self) -> usize {
        self.offset as usize
    }

    /// The next tensor of this shape.
    pub(super) fn next(&mut self, shape: &[i64]) -> Result<Tensor, TchError> {
        let n = shape.iter().product();
        let view = self.flat.f_narrow(0, self.offset, n)?.f_view(shape)?.f_detach()?;
        self.offset += n;
        Ok(view)
    }
}

/// Names and shapes of a layer's trained tensors, as PyTorch has them.
pub(super) fn trained_shapes(planned: &PlannedLayer) -> Vec<(&'static str, Vec<i64>)> {
    let weight_and_bias = |weight: &[usize], bias: usize| {
        vec![("weight", weight.iter().map(|&size| size as i64).collect()), ("bias", vec![bias as i64])]
    };
    match planned.layer {
        Layer::Conv2d { in_channels, out_channels, kernel, .. } => {
            weight_and_bias(&[out_channels, in_channels, kernel, kernel], out_channels)
        }
        Layer::ConvTranspose2d { in_channels, out_channels, kernel, .. } => {
            weight_and_bias(&[in_channels, out_channels, kernel, kernel], out_channels)
        }
        Layer::Linear { in_features, out_features } => weight_and_bias(&[out_features, in_features], out_features),
        Layer::BatchNorm2d { channels } => weight_and_bias(&[channels], channels),
        Layer::Gaussian { latents } => {
            let FeatureShape::Vector(features) = planned.input else {
                unreachable!("the plan gives Gaussian a vector")
            };
            let (latents, features) = (latents as i64, features as i64);
            vec![
                ("mean.weight", vec![latents, features]),
                ("mean.bias", vec![latents]),
                ("log_variance.weight", vec![latents, features]),
                ("log_variance.bias", vec![latents]),
            ]
        }
        _ => Vec::new(),
    }
}

/// Names and shapes of a layer's running statistics, likewise.
pub(super) fn running_shapes(layer: &Layer) -> Vec<(&'static str, Vec<i64>)> {
    match layer {
        Layer::BatchNorm2d { channels } => {
            ["running_mean", "running_var"].map(|name| (name, vec![*channels as i64])).into()
        }
        _ => Vec::new(),
    }
}
