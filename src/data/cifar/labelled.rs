//! Pixels and labels of CIFAR as they are read, whichever version they come from.

use crate::Result;
use crate::data::images::Images;
use crate::data::pixels::Pixels;
use ndarray::Array4;

/// The classes of CIFAR-10 in their order.
pub(super) const CLASS_NAMES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];
const CHANNELS: usize = 3;
const SIDE_PX: usize = 32;
/// Bytes of an image.
pub(super) const IMAGE_BYTES: usize = CHANNELS * SIDE_PX * SIDE_PX;

/// Pixels `[n, c, h, w]` and the class of each image.
pub(super) struct Labelled {
    pub(super) pixels: Vec<u8>,
    pub(super) labels: Vec<usize>,
}

impl Labelled {
    /// The images with their classes.
    pub(super) fn into_images(self, class_names: &[&str]) -> Result<Images> {
        let shape = (self.labels.len(), CHANNELS, SIDE_PX, SIDE_PX);
        let pixels = Array4::from_shape_vec(shape, self.pixels).expect("whole images were read");
        Images::from_pixels(Pixels::Bytes(pixels)).with_classes(class_names, self.labels)
    }
}
