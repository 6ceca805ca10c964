//! Stored pixels: the array behind a set of images.

use crate::{Error, Result};
use ndarray::Array4;
use std::borrow::Cow;

/// Channels, height in pixels, width in pixels.
///
/// # Example
/// ```
/// use diabolo::data::{ImageShape, Images};
/// let images = Images::from_bytes(diabolo::ndarray::Array4::zeros((5, 3, 20, 30)))?;
/// let [channels, height_px, width_px]: ImageShape = images.shape();
/// assert_eq!((channels, height_px, width_px), (3, 20, 30));
/// # Ok::<(), diabolo::Error>(())
/// ```
pub type ImageShape = [usize; 3];

/// Stored pixels, `[n, c, h, w]`, contiguous in this order.
#[derive(Debug)]
pub(crate) enum Pixels {
    /// 8-bit, 0..=255.
    Bytes(Array4<u8>),
    /// Already in -1..=1, but for what a network without a Tanh at its end gave.
    Floats(Array4<f32>),
}

impl Pixels {
    pub(super) fn n_images(&self) -> usize {
        match self {
            Self::Bytes(pixels) => pixels.dim().0,
            Self::Floats(pixels) => pixels.dim().0,
        }
    }

    pub(super) fn image_shape(&self) -> ImageShape {
        let (_, c, h, w) = match self {
            Self::Bytes(pixels) => pixels.dim(),
            Self::Floats(pixels) => pixels.dim(),
        };
        [c, h, w]
    }

    /// Colours, size and depth in words.
    pub(super) fn kind(&self) -> String {
        let [channels, height_px, width_px] = self.image_shape();
        let colours = if channels == 1 { "grey" } else { "colour" };
        let depth = if matches!(self, Self::Bytes(_)) { "8-bit" } else { "32-bit float" };
        format!("{colours}, {width_px} x {height_px} pixels, {depth}")
    }

    /// Pixels that span less of -1..=1 are suspected of being in another range.
    pub(super) const LEAST_SPAN: f32 = 0.5;

    /// The least and the largest value, in -1..=1; `None` where they span [`Pixels::LEAST_SPAN`] or more, which most images
    /// show soon.
    pub(super) fn ends_if_near(&self) -> Option<[f32; 2]> {
        fn ends<T: Copy>(pixels: &Array4<T>, to_float: impl Fn(T) -> f32) -> Option<[f32; 2]> {
            const CHUNK_LEN: usize = 1 << 12;
            let mut ends = [f32::INFINITY, f32::NEG_INFINITY];
            for chunk in pixels.as_slice().expect("pixels are stored in standard order").chunks(CHUNK_LEN) {
                let values = chunk.iter().map(|&value| to_float(value));
                ends = values.fold(ends, |[least, most], value| [least.min(value), most.max(value)]);
                if ends[1] - ends[0] >= Pixels::LEAST_SPAN {
                    return None;
                }
            }
            Some(ends)
        }
        match self {
            Self::Bytes(pixels) => ends(pixels, |value| f32::from(value) / 127.5 - 1.0),
            Self::Floats(pixels) => ends(pixels, |value| value),
        }
    }

    /// All images with 8 bits a value.
    pub(super) fn to_bytes(&self) -> Cow<'_, Array4<u8>> {
        match self {
            Self::Bytes(pixels) => Cow::Borrowed(pixels),
            Self::Floats(pixels) => Cow::Owned(pixels.mapv(|value| ((value + 1.0) * 127.5).round() as u8)),
        }
    }

    pub(super) fn into_floats(self) -> Array4<f32> {
        match self {
            Self::Bytes(pixels) => pixels.mapv(|value| f32::from(value) / 127.5 - 1.0),
            Self::Floats(pixels) => pixels,
        }
    }

    /// Copies rows, which must be in range, into one buffer; one `memcpy` an image.
    pub(super) fn gather(&self, rows: impl Iterator<Item = usize>) -> Self {
        match self {
            Self::Bytes(pixels) => Self::Bytes(gather_rows(pixels, rows)),
            Self::Floats(pixels) => Self::Floats(gather_rows(pixels, rows)),
        }
    }
}

/// Checks `[n, c, h, w]` and returns it.
pub(super) fn check_shape((n, c, h, w): (usize, usize, usize, usize)) -> Result<(usize, usize, usize, usize)> {
    let found = format!("shape [{n}, {c}, {h}, {w}]");
    let wanted = "[n, c, h, w] with 1 or 3 channels c";
    let is_channels = |size| size == 1 || size == 3;
    let next_step = if n == 0 {
        "give at least one image"
    } else if !is_channels(c) && is_channels(w) {
        "this looks like [n, h, w, c]: reorder it with array.permuted_axes([0, 3, 1, 2])"
    } else if !is_channels(c) {
        "keep one channel for grey or three for colour"
    } else if h * w == 0 {
        "give images of at least one pixel"
    } else {
        return Ok((n, c, h, w));
    };
    Err(Error::data("taking images from an array", found, wanted, next_step))
}

/// The same array, contiguous in the order of its axes; copied only if it is not so yet.
pub(super) fn in_standard_order<T: Copy>(array: Array4<T>) -> Array4<T> {
    if array.is_standard_layout() { array } else { array.as_standard_layout().into_owned() }
}

fn gather_rows<T: Copy>(pixels: &Array4<T>, rows: impl Iterator<Item = usize>) -> Array4<T> {
    let (_, c, h, w) = pixels.dim();
    let source = pixels.as_slice().expect("pixels are stored in standard order");
    let n_values = c * h * w;
    let mut gathered = Vec::with_capacity(rows.size_hint().0 * n_values);
    for row in rows {
        gathered.extend_from_slice(&source[row * n_values..][..n_values]);
    }
    Array4::from_shape_vec((gathered.len() / n_values, c, h, w), gathered).expect("whole images were copied")
}
