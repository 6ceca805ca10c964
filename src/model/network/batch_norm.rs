//! Batch norm by libtorch's own operation.

use crate::device::copied;
use tch::{TchError, Tensor};

/// Share of the newest batch in the running mean and variance: PyTorch's default.
pub(super) const MOMENTUM: f64 = 0.1;
/// Added to the variance before its root is taken: PyTorch's default.
pub(super) const EPSILON: f64 = 1e-5;

/// Batch norm of images in which every value represents `n_copies` equal ones.
///
/// Copies change neither mean nor variance. But the running variance is that of a sample, `n / (n - 1)` times the
/// batch's own, and `n` counts the copies.
pub(super) fn batch_norm(
    x: &Tensor,
    [weight, bias]: [&Tensor; 2],
    [running_mean, running_variance]: [&Tensor; 2],
    n_copies: usize,
    is_training: bool,
) -> Result<Tensor, TchError> {
    let corrects = is_training && n_copies > 1;
    let mut without_copies = running_variance.shallow_clone();
    if corrects {
        without_copies = copied(running_variance)?;
    }
    let normed = x.f_batch_norm(
        Some(weight),
        Some(bias),
        Some(running_mean),
        Some(&without_copies),
        is_training,
        MOMENTUM,
        EPSILON,
        true,
    )?;
    if corrects {
        let n = x.numel() as f64 / x.size()[1] as f64;
        let n_with_copies = n * n_copies as f64;
        let correction = n_with_copies / (n_with_copies - 1.0) * (n - 1.0) / n;
        // Past autograd, which takes it for a number that the gradient needs.
        let mut running_variance = running_variance.f_data()?;
        let _ = running_variance.f_mul_scalar_(1.0 - MOMENTUM)?.f_lerp_(&without_copies, correction)?;
    }
    Ok(normed)
}
