//! Images to learn from, and where they come from: one file per source.
//!
//! An image is `[c, h, w]` with pixels in -1..=1; a set of them is `[n, c, h, w]`. Sources of 8-bit images stay 8-bit in
//! memory (value `v` stands for `v / 127.5 - 1`); the network scales them on its own device, a batch at a time.

use crate::Result;
use std::path::Path;
use std::sync::Arc;

/// Channels, height in pixels, width in pixels.
pub type ImageShape = [usize; 3];

/// Images, with class labels and anomaly labels where they are known.
///
/// Choosing images ([`Images::select`], [`Split::hold_out`]) copies no pixels: the chosen share them.
#[derive(Debug, Clone)]
pub struct Images {
    pixels: Arc<Pixels>,
    /// Row of `pixels` of each image; `None` for all rows in order.
    rows: Option<Arc<[u32]>>,
    anomalies: Option<Arc<[bool]>>,
}

/// The stored pixels, `[n, c, h, w]`, contiguous.
#[derive(Debug)]
pub(crate) enum Pixels {
    /// 8-bit, 0..=255.
    Bytes(ndarray::Array4<u8>),
    /// Already in -1..=1.
    Floats(ndarray::Array4<f32>),
}

/// Images to train on and images to test on.
#[derive(Debug, Clone)]
pub struct Split {
    /// Where the images come from, as in "CIFAR-10".
    pub name: String,
    /// Images to train on.
    pub train: Images,
    /// Images to test on.
    pub test: Images,
    /// Names of the classes that training never sees; their test images are the anomalies.
    pub held_out: Vec<String>,
}

/// Opens a data set by name (`"scenes"`, `"cifar10"`) or by path.
pub fn open(_name_or_path: impl AsRef<Path>) -> Result<Split> {
    todo!()
}
