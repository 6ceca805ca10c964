//! The loss: mean squared error, and the Kullback-Leibler term of a variational autoencoder.

use super::{KlTerm, Training};
use crate::Result;
use crate::error::TorchContext;
use crate::model::{Backward, LatentDistribution, Mode, Network, StepRandomness};
use tch::{Kind, TchError, Tensor};

/// The loss of one minibatch, a scalar, and what its backward pass needs.
pub(super) fn minibatch_loss(
    network: &Network,
    batch: &Tensor,
    randomness: StepRandomness,
    training: &Training,
) -> Result<(Tensor, Backward)> {
    // Of several processes each adds its part to the loss of the whole minibatch.
    let weights = randomness.share().map(|share| {
        let of_kl = match training.kl_term {
            KlTerm::PerPixel(_) => share.weight(),
            // A sum over images, and no mean.
            KlTerm::CourseSum => f64::from(u8::from(share.counts())),
        };
        (share.weight(), of_kl)
    });
    let (weight, weight_of_kl) = weights.unzip();
    let pass = network.pass(batch, Mode::Training(randomness), training.precision)?;
    let loss = || -> Result<Tensor, TchError> {
        let mse = weighted(pass.reconstruction.f_mse_loss(batch, tch::Reduction::Mean)?, weight)?;
        match &pass.distribution {
            None => Ok(mse),
            Some(distribution) => mse.f_add(&weighted(kl_loss(distribution, batch, training.kl_term)?, weight_of_kl)?),
        }
    };
    Ok((loss().doing("working out the loss")?, pass.backward))
}

fn weighted(loss: Tensor, weight: Option<f64>) -> Result<Tensor, TchError> {
    match weight {
        None => Ok(loss),
        Some(weight) => loss.f_mul_scalar(weight),
    }
}

/// Divergence of `N(mean, exp(log_variance))` from `N(0, 1)` in closed form (Kingma and Welling, 2014, appendix B),
/// weighted as the setting says.
fn kl_loss(distribution: &LatentDistribution, batch: &Tensor, kl_term: KlTerm) -> Result<Tensor, TchError> {
    let LatentDistribution { mean, log_variance } = distribution;
    let twice_negated = log_variance.f_add_scalar(1.0)?.f_sub(&mean.f_square()?)?.f_sub(&log_variance.f_exp()?)?;
    let sum = twice_negated.f_sum(Kind::Float)?.f_mul_scalar(-0.5)?;
    match kl_term {
        KlTerm::CourseSum => Ok(sum),
        // Mean over images and division by c * h * w are one division by all values of the batch.
        KlTerm::PerPixel(weight) => sum.f_mul_scalar(weight / batch.numel() as f64),
    }
}
