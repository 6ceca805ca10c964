//! Codes: what an encoder makes of images, as plain arrays. libtorch ends here.

use crate::Result;
use crate::data::Images;
use crate::train::Autoencoder;
use ndarray::Array2;
use std::fmt;

/// The codes of a set of images.
#[derive(Debug, Clone, PartialEq)]
pub struct Latents {
    /// Name of the model that made them.
    pub name: String,
    /// One code per image, `[n, d]`.
    pub values: Array2<f32>,
}

impl Autoencoder {
    /// The codes of images, `[n, d]`: what the encoder gives. An image-shaped code is flattened, a Gaussian waist gives
    /// its mean.
    ///
    /// # Errors
    /// [`Error::Data`](crate::Error::Data) when the images have another shape than those of the training.
    pub fn encode(&self, images: &Images) -> Result<Latents> {
        let values = self.stream(images, |network, batch| network.encode(batch, self.training.precision))?;
        let n_latents = values.len() / images.len();
        let values = Array2::from_shape_vec((images.len(), n_latents), values).expect("every code has the same length");
        Ok(Latents { name: self.name().into(), values })
    }
}

impl fmt::Display for Latents {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let (n, d) = self.values.dim();
        write!(f, "{n} codes of {d} values from {}", self.name)
    }
}
