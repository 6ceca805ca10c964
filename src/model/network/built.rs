//! The layers of a network with their tensors, and their initial weights.

use super::lowering::{self, Step};
use super::sub_pixel::SubPixel;
use crate::device::{Precision, uniform_values};
use crate::model::{FeatureShape, Layer, PlannedLayer};
use rand_xoshiro::Xoshiro256PlusPlus;
use tch::{Device, Kind, TchError, Tensor};

/// The layers of one part as planned, and the order in which they are computed.
#[derive(Debug)]
pub(super) struct BuiltPart {
    pub(super) layers: Vec<BuiltLayer>,
    pub(super) steps: Vec<Step>,
}

/// A layer and the tensors it owns, in the order in which they lie in memory.
#[derive(Debug)]
pub(super) struct BuiltLayer {
    pub(super) layer: Layer,
    pub(super) output: FeatureShape,
    /// Where its trained values begin among all.
    pub(super) place: usize,
    /// Trained tensors with PyTorch's names for them, as in ("weight", ..).
    pub(super) trained: Vec<(&'static str, Tensor)>,
    pub(super) running: Vec<(&'static str, Tensor)>,
    /// Where it is computed by blocks of pixels.
    pub(super) sub_pixel: Option<SubPixel>,
}

/// Cuts a flat tensor into the layers' tensors.
pub(super) struct Carver<'a> {
    flat: &'a Tensor,
    offset: i64,
}

impl<'a> Carver<'a> {
    pub(super) fn new(flat: &'a Tensor) -> Self {
        Self { flat, offset: 0 }
    }

    /// The next tensor of this shape, sharing the flat tensor's memory.
    fn next(&mut self, shape: &[i64]) -> Result<Tensor, TchError> {
        let n = shape.iter().product();
        let view = self.flat.f_narrow(0, self.offset, n)?.f_view(shape)?.f_detach()?;
        self.offset += n;
        Ok(view)
    }
}

impl BuiltPart {
    /// Cuts the layers' tensors from the flat ones of all trained and all running values.
    pub(super) fn new(
        planned: &[PlannedLayer],
        trained: &mut Carver,
        running: &mut Carver,
        device: Device,
    ) -> Result<Self, TchError> {
        let layers = planned.iter().map(|planned| BuiltLayer::new(planned, trained, running, device));
        Ok(Self { layers: layers.collect::<Result<_, _>>()?, steps: lowering::order(planned) })
    }
}

impl BuiltLayer {
    fn new(
        planned: &PlannedLayer,
        trained: &mut Carver,
        running: &mut Carver,
        device: Device,
    ) -> Result<Self, TchError> {
        let place = trained.offset as usize;
        let leaf =
            |(name, shape): (&'static str, Vec<i64>)| Ok((name, trained.next(&shape)?.f_set_requires_grad(true)?));
        Ok(Self {
            layer: planned.layer.clone(),
            output: planned.output,
            place,
            trained: parameter_shapes(planned).into_iter().map(leaf).collect::<Result<_, TchError>>()?,
            running: statistic_names(&planned.layer)
                .map(|(name, channels)| Ok((name, running.next(&[channels as i64])?)))
                .collect::<Result<_, TchError>>()?,
            sub_pixel: if device == Device::Cpu { SubPixel::of(&planned.layer)? } else { None },
        })
    }

    /// The layer's tensors in the precision of the computation.
    pub(super) fn trained_as(&self, precision: Precision) -> Result<Vec<Tensor>, TchError> {
        // Batch norm takes 16-bit images but keeps its own numbers in 32.
        let is_cast = precision == Precision::Bfloat16 && !matches!(self.layer, Layer::BatchNorm2d { .. });
        let cast = |(_, tensor): &(&str, Tensor)| match is_cast {
            true => tensor.f_to_kind(Kind::BFloat16),
            false => Ok(tensor.shallow_clone()),
        };
        self.trained.iter().map(cast).collect()
    }

    /// Whether only the next layer's backward pass may need this layer's output.
    pub(super) fn leaves_output_free(&self) -> bool {
        // That of blocks of pixels is a view, which autograd would have to write around.
        let is_view = self.sub_pixel.is_some();
        let is_free = matches!(
            self.layer,
            Layer::Conv2d { .. }
                | Layer::ConvTranspose2d { .. }
                | Layer::Linear { .. }
                | Layer::MaxPool { .. }
                | Layer::Upsample { .. }
                | Layer::BatchNorm2d { .. }
                | Layer::Dropout { .. }
        );
        is_free && !is_view
    }
}

/// Batch norm's trained tensors or its running ones.
pub(super) fn pair<'a>(named: &'a [(&'static str, Tensor)]) -> [&'a Tensor; 2] {
    let [(_, first), (_, second)] = named else { unreachable!("batch norm has two of either kind") };
    [first, second]
}

/// Names and shapes of a layer's trained tensors, as PyTorch has them.
fn parameter_shapes(planned: &PlannedLayer) -> Vec<(&'static str, Vec<i64>)> {
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

fn statistic_names(layer: &Layer) -> impl Iterator<Item = (&'static str, usize)> + use<> {
    let channels = match layer {
        Layer::BatchNorm2d { channels } => Some(*channels),
        _ => None,
    };
    channels.into_iter().flat_map(|channels| [("running_mean", channels), ("running_var", channels)])
}

/// PyTorch's defaults: even draws within `1 / sqrt(fan_in)` of zero for weights and biases (its Kaiming start with
/// `a = sqrt(5)`), one and zero for batch norm.
pub(super) fn initial_parameters(planned: &PlannedLayer, generator: &mut Xoshiro256PlusPlus) -> Vec<f32> {
    if let Layer::BatchNorm2d { channels } = planned.layer {
        return [vec![1.0; channels], vec![0.0; channels]].concat();
    }
    let shapes = parameter_shapes(planned);
    let Some((_, weight)) = shapes.first() else { return Vec::new() };
    // PyTorch takes the second dimension of the weight as the inputs, for ConvTranspose2d too.
    let fan_in: i64 = weight[1..].iter().product();
    let bound = 1.0 / (fan_in as f32).sqrt();
    let n = shapes.iter().map(|(_, shape)| shape.iter().product::<i64>() as usize).sum();
    uniform_values(n, bound, generator)
}

pub(super) fn initial_statistics(planned: &PlannedLayer) -> Vec<f32> {
    match planned.layer {
        Layer::BatchNorm2d { channels } => [vec![0.0; channels], vec![1.0; channels]].concat(),
        _ => Vec::new(),
    }
}
