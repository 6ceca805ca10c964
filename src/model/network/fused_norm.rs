//! Batch norm, activation and dropout fused into one operation for training on a CPU, with a gradient of its own.
//!
//! libtorch's operations want more channels than the 3 to 96 of the report's network, and each goes through memory and wakes
//! threads on its own. Here the three read each value a few times in all, in full vectors whatever the number of channels.
//!
//! Formulas: Ioffe and Szegedy, "Batch Normalization", 2015, section 3. Sums over chunks of fixed size are added in order,
//! so that no digit depends on the number of threads.

use super::batch_norm::{EPSILON, MOMENTUM};
use super::channels_last::nhwc;
use super::dropout::DropoutMask;
use super::{Share, StepRandomness};
use crate::device::host::{filled, values, values_mut};
use crate::device::{is_host, threads};
use crate::model::Layer;
use std::array::from_fn;
use tch::{Kind, TchError, Tensor};

/// Number of values that are processed together: a vector.
const N_LANES: usize = 16;
type Lanes = [f32; N_LANES];

/// A batch norm and the layers after it that are computed with it.
#[derive(Debug)]
pub(super) struct FusedNorm {
    /// How many steps of the order of computation it takes the place of.
    pub(super) n_steps: usize,
    /// Number of equal values in the plan for each value computed here; above 1 before a postponed upsampling.
    n_copies: usize,
    /// The activation's slope below 0: 0 for a ReLU.
    slope: Option<f32>,
    drop_probability: Option<f64>,
}

impl FusedNorm {
    /// As many of these steps as can be fused, each a layer and its number of copies; none where the first is no batch norm.
    /// Activation and dropout may come in either order, since dropout's factors are not negative.
    pub(super) fn at<'a>(mut steps: impl Iterator<Item = (&'a Layer, usize)>) -> Option<Self> {
        let (Layer::BatchNorm2d { .. }, n_copies) = steps.next()? else { return None };
        let mut fused = Self { n_steps: 1, n_copies, slope: None, drop_probability: None };
        for (layer, _) in steps {
            match layer {
                Layer::ReLU if fused.slope.is_none() => fused.slope = Some(0.0),
                Layer::LeakyReLU { slope } if fused.slope.is_none() => fused.slope = Some(*slope as f32),
                Layer::Dropout { probability } if fused.drop_probability.is_none() => {
                    fused.drop_probability = Some(*probability);
                }
                _ => break,
            }
            fused.n_steps += 1;
        }
        Some(fused)
    }

    /// Whether it can do these features `[n, c, h, w]`: 32-bit ones on the host that fill the lanes, with a variance in
    /// every channel. Of several processes, all take them or none does, however many images each has.
    pub(super) fn takes(&self, x: &Tensor, share: Option<&Share>) -> bool {
        let (fills, n_values) = match share {
            None => (fills_lanes(x.numel()), x.numel()),
            Some(share) => (fills_lanes(x.numel() / share.rows().len()), share.n_values(x.numel())),
        };
        is_host(x.device()) && x.kind() == Kind::Float && fills && n_values > x.size()[1] as usize
    }

    /// Computes the output for features `[n, c, h, w]` and updates the running mean and variance. Gives the output, which
    /// has no gradient by autograd, and what its gradient needs: `x` among it, which nobody may write over from now on.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        [weight, bias]: [&Tensor; 2],
        [running_mean, running_variance]: [&Tensor; 2],
        randomness: &mut StepRandomness,
    ) -> Result<(Tensor, Saved), TchError> {
        let input = nhwc(&x.f_detach()?)?;
        // SAFETY: nobody writes over what the gradient needs.
        let x = unsafe { values(&input) };
        let channels = Channels { n: input.size()[3] as usize };
        let share = randomness.share().cloned();
        let n = n_in_channel(channels, x.len(), share.as_ref());

        let sums = over_all(share.as_ref(), channels.sums(x, &vec![0.0; channels.n], |x, _| x))?;
        let mean: Vec<f64> = sums.iter().map(|sum| sum / n).collect();
        let squares = over_all(share.as_ref(), channels.sums(x, &mean, |x, mean| (x - mean) * (x - mean)))?;
        move_running(running_mean, mean.iter().copied());
        // That of a sample, in which every value has its copies.
        let n_copies = self.n_copies as f64;
        move_running(running_variance, squares.iter().map(|sum| sum * n_copies / (n * n_copies - 1.0)));

        let inverse_deviation: Vec<f64> = squares.iter().map(|sum| (sum / n + EPSILON).powf(-0.5)).collect();
        // SAFETY: weights change between the steps of a training only.
        let [weight, bias] = [weight, bias].map(|it| unsafe { values(it) }.iter().map(|&value| f64::from(value)));
        let factor: Vec<f64> = weight.zip(&inverse_deviation).map(|(weight, inverse)| weight * inverse).collect();
        let shift: Vec<f64> = bias.zip(&mean).zip(&factor).map(|((bias, mean), factor)| bias - mean * factor).collect();
        // A probability of 0 draws nothing, as in a dropout layer by itself, so that the masks after it are the same.
        let drop_probability = self.drop_probability.filter(|&probability| probability > 0.0);
        let saved = Saved {
            slope: self.slope.unwrap_or(1.0),
            mask: drop_probability.and_then(|probability| randomness.mask(x.len(), probability)),
            mean: channels.tiled(&mean),
            factor: channels.tiled(&factor),
            shift: channels.tiled(&shift),
            inverse_deviation,
            channels,
            share,
            input,
        };
        Ok((saved.output()?, saved))
    }
}

/// What the forward pass saves for the gradient.
#[derive(Debug)]
pub(super) struct Saved {
    channels: Channels,
    share: Option<Share>,
    /// `[n, h, w, c]`.
    input: Tensor,
    mask: Option<DropoutMask>,
    /// 1 for no activation.
    slope: f32,
    // For each channel, tiled.
    mean: Vec<Lanes>,
    factor: Vec<Lanes>,
    shift: Vec<Lanes>,
    /// For each channel.
    inverse_deviation: Vec<f64>,
}

/// The gradient of a loss by the input, weight and bias.
#[derive(Debug)]
pub(super) struct Gradients {
    /// `[n, c, h, w]`.
    pub(super) input: Tensor,
    /// `[c]`.
    pub(super) weight: Tensor,
    /// `[c]`.
    pub(super) bias: Tensor,
}

impl Saved {
    /// `[n, c, h, w]`.
    fn output(&self) -> Result<Tensor, TchError> {
        let Self { channels, factor, shift, mask, slope, .. } = self;
        // SAFETY: nobody writes over what the gradient needs.
        let x = unsafe { values(&self.input) };
        let output = filled(&self.input.size(), |output| {
            map_chunks(channels.chunks(x).zip(channels.chunks_mut(output)), |index, (x, y)| {
                for (x, y) in lanes(x).chunks(factor.len()).zip(lanes_mut(y).chunks_mut(factor.len())) {
                    for (((x, y), factor), shift) in x.iter().zip(y).zip(factor).zip(shift) {
                        *y = from_fn(|lane| {
                            let z = x[lane] * factor[lane] + shift[lane];
                            z * gate(z, *slope)
                        });
                    }
                }
                if let Some(mask) = mask {
                    mask.multiply(index * channels.chunk_length(), y);
                }
            });
        })?;
        output.f_permute([0, 3, 1, 2])
    }

    /// From the gradient by the output, `[n, c, h, w]`, to that by the input.
    pub(super) fn gradients(self, by_output: &Tensor) -> Result<Gradients, TchError> {
        let Self { channels, mean, factor, shift, mask, slope, .. } = &self;
        let by_output = nhwc(by_output)?;
        let share = self.share.as_ref();
        let n = n_in_channel(*channels, self.input.numel(), share);
        let (mut plain, mut far) = (Vec::new(), Vec::new());
        let mut failed = None;
        // SAFETY: nobody writes over what the gradient needs, nor over a gradient that is being read.
        let (x, by_output) = unsafe { (values(&self.input), values(&by_output)) };
        let by_x = filled(&self.input.size(), |by_x| {
            // By what the activation was given, and its sums, plain and times how far each value is from the mean.
            let given = channels.chunks(x).zip(channels.chunks(by_output));
            let sums = map_chunks(given.zip(channels.chunks_mut(by_x)), |index, ((x, by_output), gradient)| {
                gradient.copy_from_slice(by_output);
                if let Some(mask) = mask {
                    mask.multiply(index * channels.chunk_length(), gradient);
                }
                let mut sums = vec![[[0.0; N_LANES]; 2]; mean.len()];
                for (x, gradient) in lanes(x).chunks(mean.len()).zip(lanes_mut(gradient).chunks_mut(mean.len())) {
                    for (index, ((x, gradient), [plain, far])) in x.iter().zip(gradient).zip(&mut sums).enumerate() {
                        let (factor, shift, mean) = (&factor[index], &shift[index], &mean[index]);
                        let by_z: Lanes =
                            from_fn(|lane| gradient[lane] * gate(x[lane] * factor[lane] + shift[lane], *slope));
                        *plain = from_fn(|lane| plain[lane] + by_z[lane]);
                        *far = from_fn(|lane| far[lane] + by_z[lane] * (x[lane] - mean[lane]));
                        *gradient = by_z;
                    }
                }
                sums
            });
            [plain, far] = [0, 1].map(|which| channels.folded(sums.iter().flatten().map(|sums| &sums[which])));

            let of_all = over_all(share, [&plain[..], &far].concat());
            let of_all = of_all.unwrap_or_else(|error| {
                failed = Some(error);
                vec![0.0; 2 * channels.n]
            });
            let (plain, far) = of_all.split_at(channels.n);
            let offset = channels.tiled(&plain.iter().map(|sum| sum / n).collect::<Vec<_>>());
            let rises = far.iter().zip(&self.inverse_deviation).map(|(sum, inverse)| sum / n * inverse.powi(2));
            let rises = channels.tiled(&rises.collect::<Vec<_>>());
            map_chunks(channels.chunks(x).zip(channels.chunks_mut(by_x)), |_, (x, gradient)| {
                for (x, gradient) in lanes(x).chunks(mean.len()).zip(lanes_mut(gradient).chunks_mut(mean.len())) {
                    for (index, (x, gradient)) in x.iter().zip(gradient).enumerate() {
                        let (factor, mean, offset, rise) =
                            (&factor[index], &mean[index], &offset[index], &rises[index]);
                        let along = |lane: usize| offset[lane] + (x[lane] - mean[lane]) * rise[lane];
                        *gradient = from_fn(|lane| factor[lane] * (gradient[lane] - along(lane)));
                    }
                }
            });
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        // Of the images here: the gradients of all processes are added up later.
        let by_weight: Vec<f64> = far.iter().zip(&self.inverse_deviation).map(|(sum, inverse)| sum * inverse).collect();
        Ok(Gradients {
            input: by_x.f_permute([0, 3, 1, 2])?,
            weight: Tensor::f_from_slice(&by_weight)?.f_to_kind(Kind::Float)?,
            bias: Tensor::f_from_slice(&plain)?.f_to_kind(Kind::Float)?,
        })
    }
}

/// Whether so many values fill whole vectors.
pub(super) fn fills_lanes(n_values: usize) -> bool {
    n_values.is_multiple_of(N_LANES)
}

/// Values of a channel in the whole minibatch, of which there are `n_values` of all channels here.
fn n_in_channel(channels: Channels, n_values: usize, share: Option<&Share>) -> f64 {
    (share.map_or(n_values, |share| share.n_values(n_values)) / channels.n) as f64
}

/// Sums over the images that are computed here, as sums over the whole minibatch.
fn over_all(share: Option<&Share>, mut sums: Vec<f64>) -> Result<Vec<f64>, TchError> {
    share.map_or(Ok(()), |share| share.sum(&mut sums))?;
    Ok(sums)
}

/// Moves running statistics, `[c]`, towards those of a batch.
fn move_running(running: &Tensor, batch: impl Iterator<Item = f64>) {
    let mut running = running.shallow_clone();
    // SAFETY: the statistics of a layer are read by nobody else during a training step.
    for (running, batch) in unsafe { values_mut(&mut running) }.iter_mut().zip(batch) {
        *running += MOMENTUM as f32 * (batch as f32 - *running);
    }
}

/// Slope of the activation at `z`.
fn gate(z: f32, slope: f32) -> f32 {
    if z > 0.0 { 1.0 } else { slope }
}

/// The channels of images whose values lie side by side in memory.
#[derive(Debug, Clone, Copy)]
struct Channels {
    n: usize,
}

impl Channels {
    /// One number for each channel, repeated in the order of the images' values until lanes are full.
    fn tiled(self, numbers: &[f64]) -> Vec<Lanes> {
        let tiled: Vec<f32> = (0..self.n_tiled()).map(|index| numbers[index % self.n] as f32).collect();
        lanes(&tiled).to_vec()
    }

    /// The smallest multiple of both the channels and the lanes.
    fn n_tiled(self) -> usize {
        let shared = 1 << self.n.trailing_zeros().min(N_LANES.trailing_zeros());
        self.n / shared * N_LANES
    }

    /// Values that one thread works on at a time: a multiple of 64 and of [`Channels::n_tiled`], some ten thousand where
    /// the channels are few or even.
    fn chunk_length(self) -> usize {
        64 * self.n_tiled() * (256 / self.n_tiled()).max(1)
    }

    fn chunks(self, values: &[f32]) -> impl ExactSizeIterator<Item = &[f32]> + Send {
        values.chunks(self.chunk_length())
    }

    fn chunks_mut(self, values: &mut [f32]) -> impl ExactSizeIterator<Item = &mut [f32]> + Send {
        values.chunks_mut(self.chunk_length())
    }

    /// Sums of a function of every value and a number of its channel, one for each channel.
    fn sums(self, values: &[f32], numbers: &[f64], term: impl Fn(f32, f32) -> f32 + Sync) -> Vec<f64> {
        let tiled = self.tiled(numbers);
        let sums = map_chunks(self.chunks(values), |_, chunk| {
            let mut sums = vec![[0.0; N_LANES]; tiled.len()];
            for x in lanes(chunk).chunks(tiled.len()) {
                for ((sum, x), number) in sums.iter_mut().zip(x).zip(&tiled) {
                    *sum = from_fn(|lane| sum[lane] + term(x[lane], number[lane]));
                }
            }
            sums
        });
        self.folded(sums.iter().flatten())
    }

    /// Adds up tiled sums to one for each channel.
    fn folded<'a>(self, sums: impl IntoIterator<Item = &'a Lanes>) -> Vec<f64> {
        let mut folded = vec![0.0; self.n];
        for (index, &sum) in sums.into_iter().flatten().enumerate() {
            folded[index % self.n] += f64::from(sum);
        }
        folded
    }
}

/// Works on chunks, shared among threads, with the index of each; gives the results in order.
fn map_chunks<C, T: Default + Send>(
    chunks: impl ExactSizeIterator<Item = C> + Send,
    work: impl Fn(usize, C) -> T + Sync,
) -> Vec<T> {
    let mut results: Vec<T> = std::iter::repeat_with(T::default).take(chunks.len()).collect();
    threads::for_each(chunks.zip(&mut results).enumerate(), |(index, (chunk, result))| *result = work(index, chunk));
    results
}

fn lanes(values: &[f32]) -> &[Lanes] {
    values.as_chunks().0
}

fn lanes_mut(values: &mut [f32]) -> &mut [Lanes] {
    values.as_chunks_mut().0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Purpose, generator, uniform_values};
    use tch::Device;

    fn layers(notation: &str) -> Vec<Layer> {
        crate::model::Architecture::parse("Conv2d(3, 8, 3, 1, 1)", notation).unwrap().decoder
    }

    fn fused(notation: &str, n_copies: usize) -> Option<FusedNorm> {
        FusedNorm::at(layers(notation).iter().map(|layer| (layer, n_copies)))
    }

    #[test]
    fn fusing_ends_where_the_kinds_of_layer_do() {
        let length = |notation: &str| fused(notation, 1).map(|fused| fused.n_steps);
        assert_eq!(length("BatchNorm2d(8) / Dropout(0.5) / ReLU() / Dropout(0.5)"), Some(3));
        assert_eq!(length("BatchNorm2d(8) / LeakyReLU(0.1) / ReLU()"), Some(2));
        assert_eq!(length("BatchNorm2d(8) / Tanh() / ReLU()"), Some(1));
        assert_eq!(length("ReLU() / BatchNorm2d(8)"), None);
    }

    #[test]
    fn a_variance_needs_two_values_and_lanes_are_full() {
        let fused = fused("BatchNorm2d(16)", 1).unwrap();
        let takes = |shape: [i64; 4], kind| fused.takes(&Tensor::zeros(shape, (kind, Device::Cpu)), None);
        assert!(takes([2, 16, 1, 1], Kind::Float) && takes([1, 3, 4, 4], Kind::Float));
        assert!(!takes([1, 16, 1, 1], Kind::Float) && !takes([5, 3, 1, 1], Kind::Float));
        assert!(!takes([2, 16, 1, 1], Kind::Double));
    }

    /// Output, running statistics and gradients against libtorch's layers in double precision, with the same mask, for
    /// one chunk of values or several of unequal length.
    #[track_caller]
    fn check(notation: &str, n_channels: i64, n_images: i64) {
        let fused = fused(notation, 1).unwrap();
        let generator = || generator(1, Purpose::Layers, 1, 1);
        let drawn = |n: i64, shift: f32| {
            let values = uniform_values(n as usize, 1.0, &mut generator());
            Tensor::from_slice(&values).f_add_scalar(f64::from(shift)).unwrap()
        };
        let shape = [n_images, n_channels, 16, 16];
        let n = shape.iter().product::<i64>();
        // Away from zero, where a careless variance would lose its digits.
        let x = drawn(n, 3.0).view(shape);
        let [weight, bias] = [drawn(n_channels, 0.2), drawn(n_channels, 0.0)];
        let by_output = drawn(n, 0.1).view(shape);

        let running = [0.0, 1.0].map(|value| Tensor::full([n_channels], value, (Kind::Float, Device::Cpu)));
        let (output, saved) =
            fused.forward(&x, [&weight, &bias], running.each_ref(), &mut StepRandomness::new(1, 1, 1)).unwrap();
        let gradients = saved.gradients(&by_output).unwrap();

        let double = |tensor: &Tensor| tensor.to_kind(Kind::Double);
        let leaves = [&x, &weight, &bias].map(|tensor| double(tensor).set_requires_grad(true));
        let wanted_running = [0.0, 1.0].map(|value| Tensor::full([n_channels], value, (Kind::Double, Device::Cpu)));
        let [mean, variance] = &wanted_running;
        let [x, weight, bias] = &leaves;
        let (momentum, epsilon) = (MOMENTUM, EPSILON);
        let normed = x.batch_norm(Some(weight), Some(bias), Some(mean), Some(variance), true, momentum, epsilon, false);
        let activated = match fused.slope {
            Some(slope) => normed.clamp_min(0.0) + normed.clamp_max(0.0) * f64::from(slope),
            None => normed,
        };
        let wanted = match fused.drop_probability {
            Some(probability) => {
                let factors =
                    DropoutMask::draw(n as usize, probability, &mut generator()).factors(Device::Cpu).unwrap();
                activated * factors.view([shape[0], 16, 16, shape[1]]).permute([0, 3, 1, 2])
            }
            None => activated,
        };
        let by_leaves =
            Tensor::run_backward(&[(&wanted * double(&by_output)).sum(Kind::Double)], &leaves, false, false);

        let [running_mean, running_variance] = running;
        let ours = [output, running_mean, running_variance, gradients.input, gradients.weight, gradients.bias];
        let theirs = [wanted].into_iter().chain(wanted_running).chain(by_leaves);
        for (index, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
            let [error, largest] = [ours - &theirs, theirs].map(|it| it.abs().max().double_value(&[]));
            assert!(error <= 2e-5 * largest.max(0.1), "{notation}, number {index}: {error}, of {largest}");
        }
    }

    #[test]
    fn outputs_statistics_and_gradients_are_libtorchs() {
        check("BatchNorm2d(12) / Dropout(0.5) / ReLU()", 12, 9);
        check("BatchNorm2d(3) / LeakyReLU(0.2) / Dropout(0.3)", 3, 40);
        check("BatchNorm2d(7)", 7, 2);
        check("BatchNorm2d(96) / Dropout(0) / ReLU()", 96, 8);
        check("BatchNorm2d(1) / ReLU()", 1, 65);
        check("BatchNorm2d(255)", 255, 5);
    }
}
