//! The forward pass through one part of a network.

use super::backward::Backward;
use super::batch_norm::batch_norm;
use super::built::{BuiltLayer, BuiltPart, Kernels, pair};
use super::channels_last::channels_last;
use super::fused_norm::FusedNorm;
use super::linear::linear;
use super::randomness::StepRandomness;
use super::tanh::tanh;
use crate::device::Precision;
use crate::model::{FeatureShape, Layer};
use tch::{Kind, TchError, Tensor};

/// How a pass treats dropout, batch norm and a Gaussian bottleneck: as PyTorch's `eval()` or as its `train()`.
pub(crate) enum Mode {
    /// Dropout off, running statistics, the mean of the bottleneck's distribution.
    Evaluation,
    /// Dropout on, batch statistics, a draw from the bottleneck's distribution.
    Training(StepRandomness),
}

/// The distribution that a Gaussian bottleneck gives of each image's code; both are `[n, latents]`.
#[derive(Debug)]
pub(crate) struct LatentDistribution {
    pub(crate) mean: Tensor,
    pub(crate) log_variance: Tensor,
}

impl LatentDistribution {
    /// In training `mean + noise * exp(log_variance / 2)`, so that the gradient passes through the draw (Kingma and
    /// Welling, "Auto-Encoding Variational Bayes", 2014, section 2.4); otherwise the mean.
    fn code(&self, mode: &mut Mode) -> Result<Tensor, TchError> {
        match mode {
            Mode::Evaluation => Ok(self.mean.shallow_clone()),
            Mode::Training(randomness) => {
                let deviation = self.log_variance.f_mul_scalar(0.5)?.f_exp()?;
                self.mean.f_add(&randomness.noise(&self.mean)?.f_mul(&deviation)?)
            }
        }
    }
}

/// Sends `input` through the layers of a part. Gives the output and, where there is a Gaussian bottleneck, its distribution;
/// `backward` is told what the gradient needs.
pub(super) fn forward(
    part: &BuiltPart,
    input: &Tensor,
    mode: &mut Mode,
    precision: Precision,
    backward: &mut Backward,
) -> Result<(Tensor, Option<LatentDistribution>), TchError> {
    let mut x = match precision {
        Precision::Float32 | Precision::Tf32 => input.shallow_clone(),
        Precision::Bfloat16 => input.f_to_kind(Kind::BFloat16)?,
    };
    if part.kernels.channels_last {
        x = channels_last(x)?;
    }
    let mut distribution = None;
    // Whether nobody else needs what is in `x`, so that the next layer may write over it.
    let mut is_own = false;
    let mut steps = &part.steps[..];
    while let Some(step) = steps.first() {
        let built = &part.layers[step.layer];
        if let Mode::Training(randomness) = mode
            && part.kernels.fused_norm
            && let Some(fused) = FusedNorm::at(steps.iter().map(|step| (&part.layers[step.layer].layer, step.n_copies)))
            && fused.takes(&x, randomness.share())
            && randomness.draws_here()
        {
            let [trained, running] = [&built.trained, &built.running].map(|tensors| pair(tensors));
            let passed = fused.forward(&x, trained, running, randomness)?;
            x = backward.cut(x, built.offset, passed)?;
            is_own = false;
            steps = &steps[fused.n_steps..];
            continue;
        }
        steps = &steps[1..];
        backward.add(built.offset, &built.trained);
        x = match &built.layer {
            Layer::Dropout { probability } => match mode {
                Mode::Training(randomness) if *probability > 0.0 => {
                    let factors = randomness.dropout_factors(&x, *probability)?;
                    let dropped = if is_own { x.f_mul_(&factors)? } else { x.f_mul(&factors)? };
                    is_own = built.leaves_output_free();
                    dropped
                }
                // It does nothing, so the output is as free as the input was.
                _ => x,
            },
            Layer::BatchNorm2d { .. } => {
                let [trained, running] = [&built.trained, &built.running].map(|tensors| pair(tensors));
                is_own = built.leaves_output_free();
                batch_norm(&x, trained, running, step.n_copies, matches!(mode, Mode::Training(_)))?
            }
            Layer::Gaussian { .. } => {
                let tensors = built.trained_as(precision)?;
                let linear = |weight: &Tensor, bias| x.f_linear(weight, Some(bias))?.f_to_kind(Kind::Float);
                let found = LatentDistribution {
                    mean: linear(&tensors[0], &tensors[1])?,
                    log_variance: linear(&tensors[2], &tensors[3])?,
                };
                is_own = built.leaves_output_free();
                let code = found.code(mode)?.f_to_kind(x.kind())?;
                distribution = Some(found);
                code
            }
            _ => {
                let was_own = std::mem::replace(&mut is_own, built.leaves_output_free());
                layer(built, part.kernels, x, was_own, precision)?
            }
        };
    }
    Ok((x, distribution))
}

/// One of the layers that do the same in training and in evaluation. `may_write` says whether `x` may be written over.
fn layer(
    built: &BuiltLayer,
    kernels: Kernels,
    mut x: Tensor,
    may_write: bool,
    precision: Precision,
) -> Result<Tensor, TchError> {
    let tensors = built.trained_as(precision)?;
    let side = |size: &usize| [*size as i64; 2];
    match &built.layer {
        Layer::Conv2d { stride, padding, .. } => {
            x.f_conv2d(&tensors[0], Some(&tensors[1]), side(stride), side(padding), [1, 1], 1)
        }
        Layer::ConvTranspose2d { stride, padding, .. } => match &built.sub_pixel {
            Some(sub_pixel) => sub_pixel.conv_transpose(&x, &tensors[0], &tensors[1]),
            None => {
                x.f_conv_transpose2d(&tensors[0], Some(&tensors[1]), side(stride), side(padding), [0, 0], 1, [1, 1])
            }
        },
        Layer::Linear { .. } => linear(&x, &tensors[0], &tensors[1]),
        Layer::MaxPool { kernel, stride, padding } => {
            x.f_max_pool2d(side(kernel), side(stride), side(padding), [1, 1], false)
        }
        Layer::Upsample { .. } => {
            let FeatureShape::Image([_, height, width]) = built.output else {
                unreachable!("the plan gives Upsample an image")
            };
            x.f_upsample_nearest2d([height as i64, width as i64], None, None)
        }
        Layer::ReLU if may_write => x.f_relu_(),
        Layer::ReLU => x.f_relu(),
        Layer::LeakyReLU { .. } => {
            let slope = built.slope.as_ref().expect("such a layer has one");
            x.f_prelu(&slope.f_to_kind(x.kind())?)
        }
        Layer::Sigmoid => x.f_sigmoid(),
        Layer::Tanh => tanh(x, may_write),
        Layer::Flatten => x.f_flatten(1, -1),
        Layer::Unflatten { shape: [c, h, w] } => {
            let images = x.f_view([-1, *c as i64, *h as i64, *w as i64])?;
            if kernels.channels_last { channels_last(images) } else { Ok(images) }
        }
        Layer::BatchNorm2d { .. } | Layer::Dropout { .. } | Layer::Gaussian { .. } => {
            unreachable!("training and evaluation differ in these")
        }
    }
}
