//! A transposed convolution as a convolution of the same numbers, whose outputs are then laid out as pixels.
//!
//! Where the stride divides the kernel, every block of `stride x stride` output pixels is a small convolution of the input,
//! with one output channel for each pixel of the block (Shi et al., "Is the deconvolution layer the same as a convolutional
//! layer?", 2016). Images have one or three channels, and a vector of the processor has room for sixteen: four times as
//! many channels are computed faster.

use tch::{TchError, Tensor};

/// Output channels up to which the convolution is faster, even with what laying out its pixels takes.
const MOST_CHANNELS: i64 = 12;

/// Whether [`conv_transpose`] gives what libtorch's transposed convolution gives, in less time; `weight` is
/// `[in, out, kernel, kernel]`.
pub(super) fn is_faster(weight: &Tensor, stride: usize) -> bool {
    let [_, out_channels, kernel, _] = weight.size()[..] else { return false };
    stride > 1 && kernel % stride as i64 == 0 && out_channels <= MOST_CHANNELS
}

/// The transposed convolution of images `[n, in, h, w]` whose channels lie side by side; so do those of the result.
///
/// In one dimension output `r` of the uncropped result is the sum of `x[i] * weight[r - stride * i]`. With
/// `r = stride * j + a` that is the sum of `x[j - m] * weight[stride * m + a]` over `m`: a convolution for each `a`.
pub(super) fn conv_transpose(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    stride: usize,
    padding: usize,
) -> Result<Tensor, TchError> {
    let [in_channels, out_channels, kernel, _] = weight.size()[..] else {
        unreachable!("the plan gives ConvTranspose2d a square kernel")
    };
    let (stride, padding) = (stride as i64, padding as i64);
    let taps = kernel / stride;
    let blocks = weight
        .f_view([in_channels, out_channels, taps, stride, taps, stride])?
        .f_flip([2, 4])?
        .f_permute([3, 5, 1, 0, 2, 4])?
        .f_reshape([stride * stride * out_channels, in_channels, taps, taps])?;
    let biases = bias.f_repeat([stride * stride])?;
    let computed = x.f_conv2d(&blocks, Some(&biases), [1, 1], [taps - 1, taps - 1], [1, 1], 1)?;
    let [n, _, height, width] = computed.size()[..] else { unreachable!("convolutions give images") };
    let pixels = computed
        .f_permute([0, 2, 3, 1])?
        .f_reshape([n, height, width, stride, stride, out_channels])?
        .f_permute([0, 1, 3, 2, 4, 5])?
        .f_reshape([n, height * stride, width * stride, out_channels])?;
    let cropped = |pixels: Tensor, dimension| {
        let length = pixels.size()[dimension as usize] - 2 * padding;
        pixels.f_narrow(dimension, padding, length)
    };
    cropped(cropped(pixels, 1)?, 2)?.f_permute([0, 3, 1, 2])
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    /// Outputs and gradients against libtorch's own, in double precision.
    #[track_caller]
    fn check(kernel: i64, stride: usize, padding: usize) {
        tch::manual_seed(1);
        let random = |size: &[i64]| Tensor::randn(size, (Kind::Double, Device::Cpu)).set_requires_grad(true);
        let (x, weight, bias) = (random(&[2, 5, 4, 3]), random(&[5, 3, kernel, kernel]), random(&[3]));
        assert!(is_faster(&weight, stride));
        let side = |size: usize| [size as i64; 2];
        let wanted = x.conv_transpose2d(&weight, Some(&bias), side(stride), side(padding), [0, 0], 1, [1, 1]);
        let ours = conv_transpose(&x, &weight, &bias, stride, padding).unwrap();
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
        let weight = |out, kernel| Tensor::zeros([5, out, kernel, kernel], (Kind::Float, Device::Cpu));
        assert!(!is_faster(&weight(3, 3), 2), "the stride does not divide the kernel");
        assert!(!is_faster(&weight(3, 3), 1), "no pixels to lay out");
        assert!(!is_faster(&weight(16, 4), 2), "enough channels as it is");
    }
}
