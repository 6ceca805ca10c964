//! Large linear layers by oneDNN.
//!
//! libtorch computes matrix products with MKL, which uses vectors of 8 floats on AMD's processors, even on those that have
//! vectors of 16. oneDNN, which libtorch brings for convolutions, uses the widest there are, and gains more than the
//! copies to its own tensor layout and back cost: an epoch of fcn takes a quarter less time.

use crate::device::is_host;
use std::sync::OnceLock;
use tch::{Kind, TchError, Tensor};

/// Number of weights above which more is gained than the copies cost.
const FEWEST_WEIGHTS: usize = 100_000;

/// `x weight^T + bias` for `x` `[n, in]`, `weight` `[out, in]` and `bias` `[out]`.
pub(super) fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor, TchError> {
    let is_for_onednn =
        is_host(x.device()) && x.kind() == Kind::Float && x.numel() > 0 && weight.numel() >= FEWEST_WEIGHTS;
    match is_for_onednn && has_onednn() {
        true => x.f_to_mkldnn(None)?.f_mkldnn_linear(weight, Some(bias))?.f_to_dense(None, true),
        false => x.f_linear(weight, Some(bias)),
    }
}

/// Whether libtorch was built with oneDNN, as it is for x86-64.
fn has_onednn() -> bool {
    static HAS_ONEDNN: OnceLock<bool> = OnceLock::new();
    *HAS_ONEDNN.get_or_init(|| Tensor::f_from_slice(&[0.0f32]).and_then(|number| number.f_to_mkldnn(None)).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Purpose, generator, uniform_values};

    /// Output and gradients against libtorch's own layer in double precision.
    #[track_caller]
    fn check(n_images: i64, n_inputs: i64, n_outputs: i64) {
        let mut generator = generator(1, Purpose::Weights, 0, 0);
        let mut drawn = |shape: [i64; 2]| {
            let n = shape.iter().product::<i64>() as usize;
            Tensor::from_slice(&uniform_values(n, 1.0, &mut generator)).view(shape)
        };
        let tensors = [drawn([n_images, n_inputs]), drawn([n_outputs, n_inputs]), drawn([1, n_outputs]).view([-1])];
        let passed = |layer: fn(&Tensor, &Tensor, &Tensor) -> Result<Tensor, TchError>, kind: Kind| {
            let [x, weight, bias] = &tensors.each_ref().map(|tensor| tensor.to_kind(kind).set_requires_grad(true));
            let y = layer(x, weight, bias).unwrap();
            let gradients = Tensor::run_backward(&[y.square().sum(kind)], &[x, weight, bias], false, false);
            gradients.into_iter().chain([y]).collect::<Vec<_>>()
        };
        let ours = passed(linear, Kind::Float);
        let theirs = passed(|x, weight, bias| x.f_linear(weight, Some(bias)), Kind::Double);
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_eq!(ours.size(), theirs.size());
            if theirs.numel() > 0 {
                let [error, largest] =
                    [ours - theirs, theirs.shallow_clone()].map(|it| it.abs().max().double_value(&[]));
                assert!(error <= 1e-5 * largest, "{n_images} x {n_inputs} -> {n_outputs}: {error}, of {largest}");
            }
        }
    }

    #[test]
    fn large_layers_equal_libtorchs() {
        for n_images in [0, 1, 5, 128] {
            check(n_images, 3072, 128);
            check(n_images, 96, 3072);
        }
    }
}
