//! The layers of a network with their tensors, and their initial weights.

use super::layout::{Carver, running_shapes, trained_shapes};
use super::lowering::{self, Step};
use super::sub_pixel::SubPixel;
use crate::device::{Precision, is_host, threads, uniform_values};
use crate::model::{FeatureShape, Layer, Plan, PlannedLayer};
use rand_xoshiro::Xoshiro256PlusPlus;
use tch::{Device, Kind, TchError, Tensor};

/// The layers of one part as planned, and how they are computed.
#[derive(Debug)]
pub(super) struct BuiltPart {
    pub(super) layers: Vec<BuiltLayer>,
    /// The order in which they are computed.
    pub(super) steps: Vec<Step>,
    pub(super) kernels: Kernels,
}

/// Which of the ways to compute a network suit it and its device; all give the same numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kernels {
    /// Whether images are kept in the memory order `channels_last`.
    pub(super) channels_last: bool,
    /// Whether a training computes batch norm and what follows it as one [`FusedNorm`](super::fused_norm::FusedNorm).
    pub(super) fused_norm: bool,
}

impl Kernels {
    pub(super) fn of(plan: &Plan, device: Device) -> Self {
        let has =
            |is_it: fn(&Layer) -> bool| plan.encoder.iter().chain(&plan.decoder).any(|planned| is_it(&planned.layer));
        let channels_last =
            is_host(device) && has(|layer| matches!(layer, Layer::Conv2d { .. } | Layer::ConvTranspose2d { .. }));
        // The loss of a Gaussian bottleneck has a part that begins at the code, which the backward pass would not find
        // across the fused layers of the decoder.
        let fused_norm =
            channels_last && threads::suit(device) && !has(|layer| matches!(layer, Layer::Gaussian { .. }));
        Self { channels_last, fused_norm }
    }
}

/// A layer and the tensors it owns, in the order in which they lie in memory.
#[derive(Debug)]
pub(super) struct BuiltLayer {
    pub(super) layer: Layer,
    pub(super) output: FeatureShape,
    /// Offset of its values in the flat parameter tensor.
    pub(super) offset: usize,
    /// In PyTorch's order, as in weight and bias.
    pub(super) trained: Vec<Tensor>,
    /// In PyTorch's order: mean and variance.
    pub(super) running: Vec<Tensor>,
    /// For a transposed convolution that is computed as a convolution.
    pub(super) sub_pixel: Option<SubPixel>,
    /// Of a LeakyReLU, `[1]`: made once, since bringing a number to a GPU waits for it.
    pub(super) slope: Option<Tensor>,
}

impl BuiltPart {
    /// Cuts the layers' tensors from the flat ones of all parameters and all running statistics.
    pub(super) fn new(
        planned: &[PlannedLayer],
        [trained, running]: &mut [Carver; 2],
        device: Device,
        kernels: Kernels,
    ) -> Result<Self, TchError> {
        let layers = planned.iter().map(|planned| BuiltLayer::new(planned, trained, running, device));
        Ok(Self { layers: layers.collect::<Result<_, _>>()?, steps: lowering::order(planned), kernels })
    }
}

impl BuiltLayer {
    fn new(
        planned: &PlannedLayer,
        trained: &mut Carver,
        running: &mut Carver,
        device: Device,
    ) -> Result<Self, TchError> {
        Ok(Self {
            layer: planned.layer.clone(),
            output: planned.output,
            offset: trained.offset(),
            trained: trained_shapes(planned)
                .iter()
                .map(|(_, shape)| trained.next(shape)?.f_set_requires_grad(true))
                .collect::<Result<_, _>>()?,
            running: running_shapes(&planned.layer)
                .iter()
                .map(|(_, shape)| running.next(shape))
                .collect::<Result<_, _>>()?,
            sub_pixel: if is_host(device) { SubPixel::of(&planned.layer)? } else { None },
            slope: match planned.layer {
                Layer::LeakyReLU { slope } => Some(Tensor::f_from_slice(&[slope as f32])?.f_to(device)?),
                _ => None,
            },
        })
    }

    /// The layer's tensors in the precision of the computation.
    pub(super) fn trained_as(&self, precision: Precision) -> Result<Vec<Tensor>, TchError> {
        // Batch norm takes 16-bit images but keeps its own numbers in 32.
        let is_cast = precision == Precision::Bfloat16 && !matches!(self.layer, Layer::BatchNorm2d { .. });
        let cast = |tensor: &Tensor| match is_cast {
            true => tensor.f_to_kind(Kind::BFloat16),
            false => Ok(tensor.shallow_clone()),
        };
        self.trained.iter().map(cast).collect()
    }

    /// Whether only the next layer's backward pass may need this layer's output.
    pub(super) fn leaves_output_free(&self) -> bool {
        // This one is a view, which autograd would have to write around.
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

/// Batch norm's two trained tensors or its two running ones.
pub(super) fn pair(tensors: &[Tensor]) -> [&Tensor; 2] {
    let [first, second] = tensors else { unreachable!("batch norm has two of either kind") };
    [first, second]
}

/// PyTorch's defaults: uniform draws within `1 / sqrt(fan_in)` of zero for weights and biases (its Kaiming start with
/// `a = sqrt(5)`), one and zero for batch norm.
pub(super) fn initial_parameters(planned: &PlannedLayer, generator: &mut Xoshiro256PlusPlus) -> Vec<f32> {
    if let Layer::BatchNorm2d { channels } = planned.layer {
        return [vec![1.0; channels], vec![0.0; channels]].concat();
    }
    let shapes = trained_shapes(planned);
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
