//! What is known of a layer once the images' shape is: the shapes that reach it and leave it.

use super::Layer;
use std::fmt;

/// The shape of one image's features between two layers.
///
/// # Example
/// ```
/// use diabolo::model::FeatureShape;
/// let (image, vector) = (FeatureShape::Image([12, 16, 16]), FeatureShape::Vector(32));
/// assert_eq!((image.n_values(), vector.n_values()), (3072, 32));
/// assert_eq!((image.to_string(), vector.to_string()), ("[12, 16, 16]".into(), "[32]".into()));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeatureShape {
    /// Channels, height, width.
    Image([usize; 3]),
    /// A vector of this length.
    Vector(usize),
}

impl FeatureShape {
    /// Number of values: `c * h * w`, or the vector's length.
    ///
    /// # Example
    /// ```
    /// use diabolo::model::FeatureShape;
    /// assert_eq!(FeatureShape::Image([3, 32, 32]).n_values(), 3072);
    /// ```
    pub fn n_values(&self) -> usize {
        match self {
            Self::Image(shape) => shape.iter().fold(1, |product, side| product.saturating_mul(*side)),
            Self::Vector(length) => *length,
        }
    }
}

/// As PyTorch prints a shape: `[12, 16, 16]` or `[32]`.
impl fmt::Display for FeatureShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image([c, h, w]) => write!(f, "[{c}, {h}, {w}]"),
            Self::Vector(length) => write!(f, "[{length}]"),
        }
    }
}

/// A layer with the shapes that reach it and leave it.
///
/// # Example
/// ```
/// use diabolo::model::{Architecture, FeatureShape};
/// let plan = Architecture::conv().plan([3, 32, 32])?;
/// let first = &plan.encoder[0];
/// assert_eq!(first.output, FeatureShape::Image([12, 16, 16]));
/// assert_eq!(first.n_parameters, 12 * 3 * 4 * 4 + 12);
/// assert!(!first.inserted);
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedLayer {
    /// The layer.
    pub layer: Layer,
    /// Shape of one image's features before the layer.
    pub input: FeatureShape,
    /// Shape of one image's features after the layer.
    pub output: FeatureShape,
    /// Number of trained values; running statistics are not among them, as in PyTorch's `parameters()`.
    pub n_parameters: usize,
    /// Whether the layer was put in where the notation leaves it out.
    pub inserted: bool,
}
