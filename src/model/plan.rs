//! The shapes of an architecture, worked out for one image shape before anything is built.

use super::Layer;
use crate::data::ImageShape;

/// The shape of one image's features between two layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeatureShape {
    /// Channels, height, width.
    Image([usize; 3]),
    /// A vector of this length.
    Vector(usize),
}

/// A layer with the shapes that reach it and leave it.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedLayer {
    /// The layer.
    pub layer: Layer,
    /// Shape of one image's features before the layer.
    pub input: FeatureShape,
    /// Shape of one image's features after the layer.
    pub output: FeatureShape,
    /// Number of trained values.
    pub n_parameters: usize,
}

/// An architecture whose shapes fit, with the `Flatten` and `Unflatten` layers that its notation leaves out.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Shape of an image.
    pub image_shape: ImageShape,
    /// From the image to the code.
    pub encoder: Vec<PlannedLayer>,
    /// From the code to the image.
    pub decoder: Vec<PlannedLayer>,
}
