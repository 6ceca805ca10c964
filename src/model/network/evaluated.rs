//! A network as it is evaluated, its weights as they are now.

use super::folded::{Folded, Wanted};
use super::{Mode, Network};
use crate::Result;
use crate::device::Precision;
use crate::error::TorchContext;
use tch::{Kind, TchError, Tensor};

/// A network in evaluation mode: in the quickest way there is for it on its device.
#[derive(Debug)]
pub(crate) struct Evaluated<'a> {
    network: &'a Network,
    precision: Precision,
    folded: Option<Folded>,
}

impl Network {
    /// The network for one pass over images: a later change of its weights is not seen.
    pub(crate) fn evaluated(&self, precision: Precision) -> Evaluated<'_> {
        let folded = if precision == Precision::Bfloat16 { None } else { Folded::of(self) };
        Evaluated { network: self, precision, folded }
    }
}

impl Evaluated<'_> {
    /// Images `[n, c, h, w]` in the order in memory that it computes with; values and shape stay.
    pub(crate) fn arranged(&self, images: Tensor) -> Result<Tensor, TchError> {
        if self.folded.is_some() { Ok(images) } else { self.network.arranged(images) }
    }

    /// Images at a time below which some threads would have none to do.
    pub(crate) fn fewest_at_once(&self) -> usize {
        self.folded.as_ref().map_or(0, |_| Folded::fewest_at_once())
    }

    /// From images `[n, c, h, w]` to codes `[n, d]`; of a Gaussian bottleneck its mean.
    pub(crate) fn encode(&self, images: &Tensor) -> Result<Tensor> {
        match &self.folded {
            Some(folded) => folded.of_images(images, [Wanted::Codes]).map(|[codes]| codes).doing("encoding images"),
            None => self.network.encode(images, self.precision),
        }
    }

    /// From images `[n, c, h, w]` to their reconstructions.
    pub(crate) fn rebuild(&self, images: &Tensor) -> Result<Tensor> {
        match &self.folded {
            Some(folded) => {
                folded.of_images(images, [Wanted::Reconstructions]).map(|[it]| it).doing("rebuilding images")
            }
            None => Ok(self.network.pass(images, Mode::Evaluation, self.precision)?.reconstruction),
        }
    }

    /// Reconstructions and codes at once. Codes have any shape that begins with the number of images.
    pub(crate) fn rebuild_and_encode(&self, images: &Tensor) -> Result<[Tensor; 2]> {
        match &self.folded {
            Some(folded) => {
                folded.of_images(images, [Wanted::Reconstructions, Wanted::Codes]).doing("rebuilding images")
            }
            None => {
                let pass = self.network.pass(images, Mode::Evaluation, self.precision)?;
                Ok([pass.reconstruction, pass.code])
            }
        }
    }

    /// The mean squared error of each image's reconstruction, `[n]`.
    pub(crate) fn errors(&self, images: &Tensor) -> Result<Tensor> {
        let doing = "measuring reconstruction errors";
        if let Some(folded) = &self.folded {
            return folded.of_images(images, [Wanted::Errors]).map(|[errors]| errors).doing(doing);
        }
        let difference = self.rebuild(images)?.f_sub(images).and_then(|difference| difference.f_square());
        difference.and_then(|square| square.f_mean_dim(&[1i64, 2, 3][..], false, Kind::Float)).doing(doing)
    }
}
