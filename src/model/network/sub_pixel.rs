//! A transposed convolution as a convolution of the same numbers, whose outputs are then laid out as pixels.
//!
//! Where the stride divides the kernel, every block of `stride x stride` output pixels is a small convolution of the input,
//! with one output channel for each pixel of the block (Shi et al., "Is the deconvolution layer the same as a convolutional
//! layer?", 2016). Images have one or three channels, and a vector of the processor has room for sixteen: more
//! channels are computed faster.

use super::channels_last::nhwc;
use crate::model::Layer;
use tch::{Device, Kind, TchError, Tensor};

/// Output channels up to which the convolution is faster, even with what laying out its pixels takes.
const MOST_CHANNELS: usize = 12;
/// Weights up to which their order takes no memory that anybody would miss.
const MOST_WEIGHTS: usize = 1 << 20;

/// A transposed convolution that is computed in this way, on a CPU.
#[derive(Debug)]
pub(super) struct SubPixel {
    stride: i64,
    padding: i64,
    /// Input positions along a side that meet in one output pixel.
    taps: i64,
    in_channels: i64,
    out_channels: i64,
    /// Which of the transposed convolution's weights each of the convolution's is.
    order: Tensor,
}

impl SubPixel {
    /// For layers that are faster so.
    pub(super) fn of(layer: &Layer) -> Result<Option<Self>, TchError> {
        let &Layer::ConvTranspose2d { in_channels, out_channels, kernel, stride, padding } = layer else {
            return Ok(None);
        };
        let n_weights = [in_channels, out_channels, kernel, kernel].into_iter().fold(1, usize::saturating_mul);
        if stride == 1 || !kernel.is_multiple_of(stride) || out_channels > MOST_CHANNELS || n_weights > MOST_WEIGHTS {
            return Ok(None);
        }
        let [kernel, stride, padding, in_channels, out_channels] =
            [kernel, stride, padding, in_channels, out_channels].map(|size| size as i64);
        let taps = kernel / stride;
        let order = Tensor::f_arange(n_weights as i64, (Kind::Int64, Device::Cpu))?
            .f_view([in_channels, out_channels, taps, stride, taps, stride])?
            .f_flip([2, 4])?
            .f_permute([3, 5, 1, 0, 2, 4])?
            .f_reshape([-1])?;
        Ok(Some(Self { stride, padding, taps, in_channels, out_channels, order }))
    }

    /// The transposed convolution of images `[n, in, h, w]` whose channels lie side by side; so do those of the result.
    /// `weight` is `[in, out, kernel, kernel]`.
    ///
    /// In one dimension output `r` of the uncropped result is the sum of `x[i] * weight[r - stride * i]`. With
    /// `r = stride * j + a` that is the sum of `x[j - m] * weight[stride * m + a]` over `m`: a convolution for each `a`.
    pub(super) fn conv_transpose(&self, x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor, TchError> {
        let &Self { stride, padding, taps, in_channels, out_channels, .. } = self;
        let blocks = weight.f_reshape([-1])?.f_index_select(0, &self.order)?;
        let blocks = blocks.f_view([stride * stride * out_channels, in_channels, taps, taps])?;
        let biases = bias.f_repeat([stride * stride])?;
        let computed = x.f_conv2d(&blocks, Some(&biases), [1, 1], [taps - 1, taps - 1], [1, 1], 1)?;
        let [n, _, height, width] = computed.size()[..] else { unreachable!("convolutions give images") };

        // Whole lines are moved: pixel by pixel, the backward pass would take more than twice as long.
        let lines = nhwc(&computed)?.f_view([n, height, width, stride, stride * out_channels])?.f_unbind(3)?;
        let pixels = Tensor::f_stack(&lines, 2)?;
        let (height, width) = (height * stride, width * stride);
        let line = width * out_channels;
        pixels
            .f_as_strided(
                [n, height - 2 * padding, width - 2 * padding, out_channels],
                [height * line, line, out_channels, 1],
                padding * (line + out_channels),
            )?
            .f_permute([0, 3, 1, 2])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(out_channels: usize, kernel: usize, stride: usize, padding: usize) -> Layer {
        Layer::ConvTranspose2d { in_channels: 5, out_channels, kernel, stride, padding }
    }

    /// Outputs and gradients against libtorch's own, in double precision.
    #[track_caller]
    fn check(kernel: usize, stride: usize, padding: usize) {
        tch::manual_seed(1);
        let random = |size: &[i64]| Tensor::randn(size, (Kind::Double, Device::Cpu)).set_requires_grad(true);
        let weight = random(&[5, 3, kernel as i64, kernel as i64]);
        let (x, bias) = (random(&[2, 5, 4, 3]), random(&[3]));
        let side = |size: usize| [size as i64; 2];
        let wanted = x.conv_transpose2d(&weight, Some(&bias), side(stride), side(padding), [0, 0], 1, [1, 1]);
        let sub_pixel = SubPixel::of(&layer(3, kernel, stride, padding)).unwrap().expect("it is faster");
        let ours = sub_pixel.conv_transpose(&x, &weight, &bias).unwrap();
        assert_eq!(ours.size(), wanted.size());
        let slopes = Tensor::randn(wanted.size(), (Kind::Double, Device::Cpu));
        let gradients = |output: &Tensor| {
            Tensor::run_backward(&[(output * &slopes).sum(Kind::Double)], &[&x, &weight, &bias], false, false)
        };
        let pairs = gradients(&wanted).into_iter().zip(gradients(&ours)).chain([(wanted, ours)]);
        for (wanted, ours) in pairs {
            let error = (wanted - ours).abs().max().double_value(&[]);
            assert!(error < 1e-12, "kernel {kernel}, stride {stride}, padding {padding}: {error}");
        }
    }

    #[test]
    fn outputs_and_gradients_are_those_of_a_transposed_convolution() {
        check(4, 2, 1);
        check(4, 2, 0);
        check(2, 2, 0);
        check(6, 2, 2);
        check(6, 3, 1);
    }

    #[test]
    fn other_kernels_are_left_to_libtorch() {
        let is_left = |layer| SubPixel::of(&layer).unwrap().is_none();
        assert!(is_left(layer(3, 3, 2, 1)), "the stride does not divide the kernel");
        assert!(is_left(layer(3, 3, 1, 1)), "no pixels to lay out");
        assert!(is_left(layer(16, 4, 2, 1)), "enough channels as it is");
    }
}
