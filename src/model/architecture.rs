//! Architectures: parsing, printing and the named ones.

use super::{Layer, Plan};
use crate::Result;
use crate::data::ImageShape;

/// An autoencoder's layers, as data.
#[derive(Debug, Clone, PartialEq)]
pub struct Architecture {
    /// A short name for figures and files, as in "report_cnn".
    pub name: String,
    /// From the image to the code.
    pub encoder: Vec<Layer>,
    /// From the code to the image.
    pub decoder: Vec<Layer>,
}

impl Architecture {
    /// Works out all shapes for images of `image_shape`.
    pub fn plan(&self, _image_shape: ImageShape) -> Result<Plan> {
        todo!()
    }
}
