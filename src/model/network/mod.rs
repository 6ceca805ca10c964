//! A built network: the tensors of a [`Plan`] and the way through them.

mod block;
mod built;
mod dropout;
mod linear;
mod lowering;
mod sub_pixel;
mod tanh;
mod trace;

pub(crate) use trace::Trace;

use super::{FeatureShape, Layer, Plan, PlannedLayer};
use crate::device::{Precision, Purpose, generator, normal_values};
use crate::error::TorchContext;
use crate::{Error, Result, memory};
use block::Block;
use built::{BuiltLayer, BuiltPart, Carver, initial_parameters, initial_statistics, pair};
use dropout::DropoutMask;
use linear::linear;
use rand_xoshiro::Xoshiro256PlusPlus;
use tanh::tanh;
use tch::{Kind, TchError, Tensor};

/// Share of the newest batch in the running mean and variance: PyTorch's default.
const BATCH_NORM_MOMENTUM: f64 = 0.1;
/// Added to the variance before its root is taken: PyTorch's default.
const BATCH_NORM_EPSILON: f64 = 1e-5;

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
    /// Whether images lie in memory with their channels side by side, which the CPU's convolutions and pools prefer.
    is_channels_last: bool,
    /// Whether a training computes batch norm and what follows it as one [`Block`].
    has_blocks: bool,
}

/// The result of a forward pass.
#[derive(Debug)]
pub(crate) struct Pass {
    /// `[n, c, h, w]`.
    pub(crate) reconstruction: Tensor,
    /// Of a Gaussian waist only.
    pub(crate) waist: Option<GaussianWaist>,
    /// The way back from a loss to the weights.
    pub(crate) trace: Trace,
}

/// Mean and log variance of the latents, both `[n, latents]`.
#[derive(Debug)]
pub(crate) struct GaussianWaist {
    pub(crate) mean: Tensor,
    pub(crate) log_variance: Tensor,
}

/// How a pass treats dropout, batch statistics and the Gaussian waist.
pub(crate) enum Mode<'a> {
    /// Dropout off, running statistics, the waist's mean.
    Evaluation,
    /// Dropout on, batch statistics, a draw at the waist.
    Training(StepRandomness<'a>),
}

/// The random numbers of one training step.
pub(crate) struct StepRandomness<'a> {
    generator: Xoshiro256PlusPlus,
    /// Stands in for the draws of the waist: `[n, latents]`. Tests give PyTorch's.
    noise: Option<&'a Tensor>,
}

impl<'a> StepRandomness<'a> {
    pub(crate) fn new(seed: u64, epoch: usize, step: usize) -> Self {
        Self { generator: generator(seed, Purpose::Layers, epoch, step), noise: None }
    }

    #[cfg(test)]
    pub(crate) fn with_noise(mut self, noise: &'a Tensor) -> Self {
        self.noise = Some(noise);
        self
    }
}

impl Network {
    /// Builds the network on `device` with PyTorch's default weights, drawn from `seed`.
    ///
    /// The draws are made on the host, so that one seed gives one start on every device.
    pub(crate) fn new(plan: Plan, seed: u64, device: tch::Device) -> Result<Self> {
        let layers = || plan.encoder.iter().chain(&plan.decoder);
        // As they are drawn, and as a tensor.
        let n_bytes = memory::bytes_of(&[plan.n_parameters(), 2, size_of::<f32>()]);
        memory::check(&format!("building {}", plan.name), n_bytes, "choose fewer or smaller layers")?;
        let mut generator = generator(seed, Purpose::Weights, 0, 0);
        let values: Vec<f32> = layers().flat_map(|planned| initial_parameters(planned, &mut generator)).collect();
        let running: Vec<f32> = layers().flat_map(initial_statistics).collect();
        Self::from_values(plan, &values, &running, device)
    }

    /// Builds the network around values in the order of [`Network::named_tensors`].
    fn from_values(plan: Plan, values: &[f32], running: &[f32], device: tch::Device) -> Result<Self> {
        let build = || -> Result<Self, TchError> {
            let parameters = Tensor::f_from_slice(values)?.f_to(device)?;
            let statistics = Tensor::f_from_slice(running)?.f_to(device)?;
            let [mut trained, mut running] = [&parameters, &statistics].map(Carver::new);
            let encoder = BuiltPart::new(&plan.encoder, &mut trained, &mut running, device)?;
            let decoder = BuiltPart::new(&plan.decoder, &mut trained, &mut running, device)?;
            let is_convolution =
                |planned: &PlannedLayer| matches!(planned.layer, Layer::Conv2d { .. } | Layer::ConvTranspose2d { .. });
            let is_channels_last =
                device == tch::Device::Cpu && plan.encoder.iter().chain(&plan.decoder).any(is_convolution);
            // A loss that begins in the middle of the network, too, would not find its way back across them.
            let is_gaussian = |planned: &PlannedLayer| matches!(planned.layer, Layer::Gaussian { .. });
            let has_blocks = is_channels_last && !plan.encoder.iter().any(is_gaussian);
            Ok(Self { encoder, decoder, plan: plan.clone(), parameters, statistics, is_channels_last, has_blocks })
        };
        build().doing("building the network")
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(crate) fn device(&self) -> tch::Device {
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
        let copy = |tensor: &Tensor| {
            let copied = tensor.f_empty_like().and_then(|mut copy| copy.f_copy_(tensor).map(|()| copy));
            copied.doing("copying the weights")
        };
        Ok([copy(&self.parameters)?, copy(&self.statistics)?])
    }

    /// Restores a snapshot.
    pub(crate) fn restore(&self, [parameters, statistics]: &[Tensor; 2]) -> Result<()> {
        tch::no_grad(|| {
            // As views, since a copy would spread fewer values over all.
            self.parameters.shallow_clone().f_copy_(&parameters.f_view_as(&self.parameters)?)?;
            self.statistics.shallow_clone().f_copy_(&statistics.f_view_as(&self.statistics)?)
        })
        .doing("putting the kept weights back")
    }

    /// Whether no weight and no running statistic is infinite or not a number.
    pub(crate) fn is_finite(&self) -> bool {
        [&self.parameters, &self.statistics].iter().all(|tensor| tensor.isfinite().all().int64_value(&[]) == 1)
    }

    /// Every tensor with its name in PyTorch's state dictionary, as in `encoder.0.weight`.
    pub(crate) fn named_tensors(&self) -> Vec<(String, Tensor)> {
        let part = |name: &'static str, layers: &[BuiltLayer]| -> Vec<(String, Tensor)> {
            let named = |(index, layer): (usize, &BuiltLayer)| -> Vec<(String, Tensor)> {
                let tensors = layer.trained.iter().chain(&layer.running);
                tensors.map(|(kind, tensor)| (format!("{name}.{index}.{kind}"), tensor.detach())).collect()
            };
            layers.iter().enumerate().flat_map(named).collect()
        };
        part("encoder", &self.encoder.layers).into_iter().chain(part("decoder", &self.decoder.layers)).collect()
    }

    /// The same of a snapshot's values.
    pub(crate) fn named_tensors_of(&self, [parameters, statistics]: &[Tensor; 2]) -> Result<Vec<(String, Tensor)>> {
        let values = |tensor: &Tensor| Vec::<f32>::try_from(tensor.to(tch::Device::Cpu)).doing("reading the weights");
        let network =
            Self::from_values(self.plan.clone(), &values(parameters)?, &values(statistics)?, tch::Device::Cpu)?;
        Ok(network.named_tensors())
    }

    /// From images `[n, c, h, w]` to codes `[n, d]`; of a Gaussian waist its mean.
    pub(crate) fn encode(&self, images: &Tensor, precision: Precision) -> Result<Tensor> {
        let encoded = self.run(&self.encoder, images, &mut Mode::Evaluation, precision, &mut Trace::default());
        let (code, _) = encoded.doing("encoding images")?;
        code.f_flatten(1, -1).and_then(|code| code.f_to_kind(Kind::Float)).doing("encoding images")
    }

    /// From images `[n, c, h, w]` to their reconstructions.
    pub(crate) fn pass(&self, images: &Tensor, mut mode: Mode, precision: Precision) -> Result<Pass> {
        let mut rebuild = || -> Result<Pass, TchError> {
            let mut trace = Trace::default();
            let (code, waist) = self.run(&self.encoder, images, &mut mode, precision, &mut trace)?;
            let (reconstruction, _) = self.run(&self.decoder, &code, &mut mode, precision, &mut trace)?;
            Ok(Pass { reconstruction: reconstruction.f_to_kind(Kind::Float)?, waist, trace })
        };
        rebuild().doing("rebuilding images")
    }

    /// Images `[n, c, h, w]` in the order in memory that this network computes with; values and shape stay.
    pub(crate) fn arranged(&self, images: Tensor) -> Result<Tensor, TchError> {
        match self.is_channels_last && images.dim() == 4 {
            true => side_by_side(&images)?.f_permute([0, 3, 1, 2]),
            false => Ok(images),
        }
    }

    /// Sends `input` through layers; gives the output and, where there is one, the Gaussian waist.
    fn run(
        &self,
        part: &BuiltPart,
        input: &Tensor,
        mode: &mut Mode,
        precision: Precision,
        trace: &mut Trace,
    ) -> Result<(Tensor, Option<GaussianWaist>), TchError> {
        let mut x = match precision {
            Precision::Float32 => input.shallow_clone(),
            Precision::Bfloat16 => input.f_to_kind(Kind::BFloat16)?,
        };
        x = self.arranged(x)?;
        let mut waist = None;
        // Whether nobody else needs what is in `x`, so that the next layer may write over it.
        let mut is_own = false;
        let mut steps = &part.steps[..];
        while let Some(step) = steps.first() {
            let built = &part.layers[step.layer];
            if let Mode::Training(randomness) = mode
                && self.has_blocks
                && let Some(block) = Block::at(steps.iter().map(|step| (&part.layers[step.layer].layer, step.n_copies)))
                && block.takes(&x)
            {
                let [trained, running] = [&built.trained, &built.running].map(|named| pair(named));
                let passed = block.forward(&x, trained, running, &mut randomness.generator)?;
                x = trace.cut(x, built.place, passed)?;
                is_own = false;
                steps = &steps[block.n_steps..];
                continue;
            }
            steps = &steps[1..];
            trace.add(built.place, built.trained.iter().map(|(_, tensor)| tensor));
            let tensors = built.trained_as(precision)?;
            let side = |size: &usize| [*size as i64; 2];
            let was_own = std::mem::replace(&mut is_own, built.leaves_output_free());
            x = match &built.layer {
                Layer::Conv2d { stride, padding, .. } => {
                    x.f_conv2d(&tensors[0], Some(&tensors[1]), side(stride), side(padding), [1, 1], 1)?
                }
                Layer::ConvTranspose2d { stride, padding, .. } => match &built.sub_pixel {
                    Some(sub_pixel) => sub_pixel.conv_transpose(&x, &tensors[0], &tensors[1])?,
                    None => x.f_conv_transpose2d(
                        &tensors[0],
                        Some(&tensors[1]),
                        side(stride),
                        side(padding),
                        [0, 0],
                        1,
                        [1, 1],
                    )?,
                },
                Layer::Linear { .. } => linear(&x, &tensors[0], &tensors[1])?,
                Layer::MaxPool { kernel, stride, padding } => {
                    x.f_max_pool2d(side(kernel), side(stride), side(padding), [1, 1], false)?
                }
                Layer::Upsample { .. } => {
                    let FeatureShape::Image([_, height, width]) = built.output else {
                        unreachable!("the plan gives Upsample an image")
                    };
                    x.f_upsample_nearest2d([height as i64, width as i64], None, None)?
                }
                Layer::BatchNorm2d { .. } => batch_norm(&x, built, step.n_copies, matches!(mode, Mode::Training(_)))?,
                Layer::Dropout { probability } => match mode {
                    Mode::Training(step) if *probability > 0.0 => {
                        let factors = dropout_factors(&x, *probability, &mut step.generator)?;
                        if was_own { x.f_mul_(&factors)? } else { x.f_mul(&factors)? }
                    }
                    _ => {
                        is_own = was_own;
                        x
                    }
                },
                Layer::ReLU if was_own => x.f_relu_()?,
                Layer::ReLU => x.f_relu()?,
                Layer::LeakyReLU { slope } => {
                    x.f_prelu(&Tensor::f_from_slice(&[*slope as f32])?.f_to(x.device())?.f_to_kind(x.kind())?)?
                }
                Layer::Sigmoid => x.f_sigmoid()?,
                Layer::Tanh => tanh(x, was_own)?,
                Layer::Flatten => x.f_flatten(1, -1)?,
                Layer::Unflatten { shape: [c, h, w] } => {
                    self.arranged(x.f_view([-1, *c as i64, *h as i64, *w as i64])?)?
                }
                Layer::Gaussian { .. } => {
                    let mean = x.f_linear(&tensors[0], Some(&tensors[1]))?.f_to_kind(Kind::Float)?;
                    let log_variance = x.f_linear(&tensors[2], Some(&tensors[3]))?.f_to_kind(Kind::Float)?;
                    let code = draw(&mean, &log_variance, mode)?.f_to_kind(x.kind())?;
                    waist = Some(GaussianWaist { mean, log_variance });
                    code
                }
            };
        }
        Ok((x, waist))
    }
}

/// For each value of `x` what dropout multiplies it by. Drawn in one order in memory whatever that of x, which may differ
/// between devices.
fn dropout_factors(x: &Tensor, probability: f64, generator: &mut Xoshiro256PlusPlus) -> Result<Tensor, TchError> {
    let factors = DropoutMask::draw(x.numel(), probability, generator).factors(x.device())?.f_to_kind(x.kind())?;
    match x.size()[..] {
        [n, c, h, w] => factors.f_view([n, h, w, c])?.f_permute([0, 3, 1, 2]),
        ref size => factors.f_view(size),
    }
}

/// Images `[n, c, h, w]` as `[n, h, w, c]`, in that order in memory too; copied only where they are in another.
fn side_by_side(images: &Tensor) -> Result<Tensor, TchError> {
    images.f_permute([0, 2, 3, 1])?.f_contiguous()
}

/// Batch norm of images of which every value stands for `n_copies` equal ones.
///
/// Copies change neither mean nor variance. But the running variance is that of a sample, `n / (n - 1)` times the
/// batch's own, and `n` counts the copies.
fn batch_norm(x: &Tensor, built: &BuiltLayer, n_copies: usize, is_training: bool) -> Result<Tensor, TchError> {
    let [weight, bias] = pair(&built.trained);
    let [running_mean, running_variance] = pair(&built.running);
    let corrects = is_training && n_copies > 1;
    let without_copies = if corrects { running_variance.copy() } else { running_variance.shallow_clone() };
    let normed = x.f_batch_norm(
        Some(weight),
        Some(bias),
        Some(running_mean),
        Some(&without_copies),
        is_training,
        BATCH_NORM_MOMENTUM,
        BATCH_NORM_EPSILON,
        true,
    )?;
    if corrects {
        let n = x.numel() as f64 / x.size()[1] as f64;
        let n_with_copies = n * n_copies as f64;
        let correction = n_with_copies / (n_with_copies - 1.0) * (n - 1.0) / n;
        // Past autograd, which takes it for a number that the gradient needs.
        let mut running_variance = running_variance.f_data()?;
        let _ = running_variance.f_mul_scalar_(1.0 - BATCH_NORM_MOMENTUM)?.f_lerp_(&without_copies, correction)?;
    }
    Ok(normed)
}

/// The code of a Gaussian waist: in training `mean + noise * exp(log_variance / 2)`, so that the gradient passes
/// through the draw (Kingma and Welling, "Auto-Encoding Variational Bayes", 2014, section 2.4); otherwise the mean.
fn draw(mean: &Tensor, log_variance: &Tensor, mode: &mut Mode) -> Result<Tensor, TchError> {
    let Mode::Training(step) = mode else { return Ok(mean.shallow_clone()) };
    let noise = match step.noise {
        Some(noise) => noise.shallow_clone(),
        None => {
            let values = normal_values(mean.numel(), &mut step.generator);
            Tensor::f_from_slice(&values)?.f_view(&mean.size()[..])?.f_to(mean.device())?
        }
    };
    mean.f_add(&noise.f_mul(&log_variance.f_mul_scalar(0.5)?.f_exp()?)?)
}

impl Network {
    /// Builds the network from tensors named as in [`Network::named_tensors`].
    ///
    /// # Errors
    /// [`Error::Architecture`] for a tensor that is missing, left over or of another shape.
    pub(crate) fn from_named(
        plan: Plan,
        mut find: impl FnMut(&str) -> Option<Tensor>,
        device: tch::Device,
    ) -> Result<Self> {
        let network = Self::new(plan, 0, device)?;
        for (name, mut tensor) in network.named_tensors() {
            let misfit = |found: String| Error::Architecture {
                place: format!("weights {name}"),
                found,
                wanted: format!("{:?}", tensor.size()),
                next_step: "open the weights with the architecture that they were saved with".into(),
            };
            let saved = find(&name).ok_or_else(|| misfit("no such tensor".into()))?;
            if saved.size() != tensor.size() {
                return Err(misfit(format!("{:?}", saved.size())));
            }
            tch::no_grad(|| tensor.f_copy_(&saved)).doing("putting the saved weights in")?;
        }
        Ok(network)
    }
}

#[cfg(test)]
mod tests {
    use super::lowering::Step;
    use super::*;
    use crate::device::uniform_values;
    use crate::model::Architecture;

    fn network(architecture: &Architecture, kind: Kind) -> Network {
        let mut network = Network::new(architecture.plan([3, 32, 32]).unwrap(), 5, tch::Device::Cpu).unwrap();
        for layer in network.encoder.layers.iter_mut().chain(&mut network.decoder.layers) {
            let in_kind = |tensor: &Tensor| tensor.detach().to_kind(kind);
            layer.trained.iter_mut().for_each(|(_, tensor)| *tensor = in_kind(tensor).set_requires_grad(true));
            layer.running.iter_mut().for_each(|(_, tensor)| *tensor = in_kind(tensor));
        }
        network
    }

    fn running(network: &Network) -> impl Iterator<Item = &(&'static str, Tensor)> {
        network.encoder.layers.iter().chain(&network.decoder.layers).flat_map(|layer| &layer.running)
    }

    /// The network as planned: layer after layer, channels apart.
    fn as_planned(mut network: Network) -> Network {
        network.is_channels_last = false;
        network.has_blocks = false;
        for part in [&mut network.encoder, &mut network.decoder] {
            part.steps = (0..part.layers.len()).map(|layer| Step { layer, n_copies: 1 }).collect();
            part.layers.iter_mut().for_each(|layer| layer.sub_pixel = None);
        }
        network
    }

    #[test]
    fn images_are_not_written_over() {
        let encoder = "Dropout(0.5) / ReLU() / Tanh() / Conv2d(3, 4, 3, 1, 1) / Dropout(0.5) / Tanh() / ReLU()";
        let architecture = Architecture::parse(encoder, "Conv2d(4, 3, 3, 1, 1) / ReLU() / Dropout(0.5)").unwrap();
        let network = network(&architecture, Kind::Double);
        let images = Tensor::linspace(-1, 1, 4 * 3072, (Kind::Double, tch::Device::Cpu)).view([4, 3, 32, 32]);
        let before = images.copy();
        for mode in [Mode::Evaluation, Mode::Training(StepRandomness::new(7, 1, 1))] {
            let pass = network.pass(&images, mode, Precision::Float32).unwrap();
            // libtorch refuses where a layer has written over what a gradient needs.
            pass.trace.gradients(&pass.reconstruction.mse_loss(&images, tch::Reduction::Sum)).unwrap();
            assert_eq!(images, before);
        }
    }

    /// Two training steps and an evaluation of the network as it is computed, in `kind`, and as it is planned, in double
    /// precision, in which different orders of the same sums agree to many digits.
    #[track_caller]
    fn check_lowered(kind: Kind, architecture: &Architecture, n_images: i64) {
        let network = self::network(architecture, kind);
        let plain = as_planned(self::network(architecture, Kind::Double));
        let check_close = |what: &str, ours: &Tensor, planned: &Tensor| {
            assert_eq!(ours.size(), planned.size(), "{what}");
            let [error, largest] = [ours - planned, planned.shallow_clone()].map(|it| it.abs().max().double_value(&[]));
            let tolerance = if kind == Kind::Double { 1e-5 } else { 1e-4 };
            assert!(error <= tolerance * largest.max(1.0), "{}, {what}: {error}, of {largest}", architecture.name);
        };
        let pixels = uniform_values(n_images as usize * 3072, 1.0, &mut generator(1, Purpose::Weights, 0, 0));
        let images = Tensor::from_slice(&pixels).view([n_images, 3, 32, 32]).to_kind(Kind::Double);
        for step in 1..=2 {
            let train = |network: &Network, kind: Kind| {
                let mode = Mode::Training(StepRandomness::new(7, 1, step));
                let pass = network.pass(&images.to_kind(kind), mode, Precision::Float32).unwrap();
                let mut loss = pass.reconstruction.mse_loss(&images.to_kind(Kind::Float), tch::Reduction::Sum);
                if let Some(waist) = &pass.waist {
                    loss = loss + waist.mean.square().sum(Kind::Float) + waist.log_variance.square().sum(Kind::Float);
                }
                (pass.reconstruction, Tensor::cat(&pass.trace.gradients(&loss).unwrap(), 0))
            };
            let (ours, our_gradient) = train(&network, kind);
            let (planned, planned_gradient) = train(&plain, Kind::Double);
            check_close("training output", &ours, &planned);
            check_close("gradient", &our_gradient, &planned_gradient);
            for ((name, ours), (_, planned)) in running(&network).zip(running(&plain)) {
                check_close(name, ours, planned);
            }
        }
        let evaluate = |network: &Network, kind: Kind| {
            let images = images.to_kind(kind);
            let rebuilt = network.pass(&images, Mode::Evaluation, Precision::Float32).unwrap().reconstruction;
            (rebuilt, network.encode(&images, Precision::Float32).unwrap())
        };
        let ((ours, our_code), (planned, planned_code)) = (evaluate(&network, kind), evaluate(&plain, Kind::Double));
        check_close("reconstruction", &ours, &planned);
        check_close("code", &our_code, &planned_code);
    }

    #[test]
    fn computed_networks_equal_planned_ones() {
        for architecture in [Architecture::report_cnn(), Architecture::conv(), Architecture::fcn()] {
            check_lowered(Kind::Double, &architecture, 5);
        }
        let all_sorts = Architecture::parse(
            "Conv2d(3, 8, 3, 1, 1) / MaxPool(4, 4, 0) / BatchNorm2d(8) / Dropout(0.3) / LeakyReLU(0.1)",
            "Upsample(2) / Upsample(2) / BatchNorm2d(8) / Sigmoid() / Dropout(0.2) / LeakyReLU(0.2) / BatchNorm2d(8)
             ConvTranspose2d(8, 3, 3, 1, 1) / BatchNorm2d(3) / Tanh()",
        );
        check_lowered(Kind::Double, &all_sorts.unwrap(), 5);
        // One image with one pixel to a channel: a variance only by its copies.
        let one_pixel = Architecture::parse(
            "MaxPool(32, 32, 0) / Conv2d(3, 4, 1, 1, 0)",
            "Upsample(32) / BatchNorm2d(4) / Sigmoid() / ConvTranspose2d(4, 3, 1, 1, 0)",
        );
        check_lowered(Kind::Double, &one_pixel.unwrap(), 1);
    }

    #[test]
    fn networks_with_blocks_equal_planned_ones() {
        check_lowered(Kind::Float, &Architecture::report_cnn(), 16);
        // Before any convolution, one after the other, with and without what may follow, and at the very end.
        let many = Architecture::parse(
            "BatchNorm2d(3) / Conv2d(3, 8, 3, 2, 1) / BatchNorm2d(8) / Dropout(0) / BatchNorm2d(8) / LeakyReLU(0.1) / Dropout(0.3)",
            "ConvTranspose2d(8, 5, 4, 2, 1) / ReLU() / BatchNorm2d(5) / Tanh() / Conv2d(5, 3, 1, 1, 0) / BatchNorm2d(3)",
        );
        check_lowered(Kind::Float, &many.unwrap().named("many"), 7);
        // Its loss begins in the middle, too.
        let gaussian = Architecture::parse(
            "Conv2d(3, 8, 3, 2, 1) / BatchNorm2d(8) / ReLU() / Gaussian(6)",
            "Linear(6, 128) / Unflatten(8, 4, 4) / BatchNorm2d(8) / Upsample(8) / Conv2d(8, 3, 3, 1, 1)",
        );
        check_lowered(Kind::Float, &gaussian.unwrap().named("gaussian"), 7);
    }
}
