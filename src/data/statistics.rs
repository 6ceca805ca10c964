//! Simple image statistics: brightness, variance, saturated pixels, compressed size.

use crate::{Result, interrupt};
use ndarray::{Array4, ArrayView3};
use rayon::prelude::*;

/// One number of each kind for each image.
///
/// # Example
/// ```
/// use diabolo::data::Images;
/// let half_black_half_white = Images::from_bytes(diabolo::ndarray::array![[[[0, 255]]]])?;
/// let statistics = half_black_half_white.statistics()?;
/// assert_eq!((statistics.brightness[0], statistics.variance[0], statistics.saturated_share[0]), (0.0, 1.0, 1.0));
/// assert_eq!(statistics.columns()[3].0, "compressed size");
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ImageStatistics {
    /// Mean over channels and pixels: -1 is black, 1 is white.
    pub brightness: Vec<f64>,
    /// Variance over channels and pixels, 0..=1: 0 is one even colour.
    pub variance: Vec<f64>,
    /// Share of values that are as dark or as bright as can be (8-bit 0 or 255), 0..=1.
    pub saturated_share: Vec<f64>,
    /// Bytes of the image as a PNG file written with quick compression: detail and noise make it larger.
    pub compressed_bytes: Vec<f64>,
}

impl ImageStatistics {
    /// The four kinds with their names.
    ///
    /// # Example
    /// ```
    /// use diabolo::data::Images;
    /// let images = Images::from_bytes(diabolo::ndarray::Array4::zeros((2, 1, 8, 8)))?;
    /// let names = images.statistics()?.columns().map(|(name, _)| name);
    /// assert_eq!(names, ["brightness", "variance", "saturated share", "compressed size"]);
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn columns(&self) -> [(&'static str, &[f64]); 4] {
        [
            ("brightness", &self.brightness),
            ("variance", &self.variance),
            ("saturated share", &self.saturated_share),
            ("compressed size", &self.compressed_bytes),
        ]
    }

    pub(super) fn select(&self, rows: impl Iterator<Item = usize> + Clone) -> Self {
        let chosen = |values: &[f64]| rows.clone().map(|row| values[row]).collect();
        Self {
            brightness: chosen(&self.brightness),
            variance: chosen(&self.variance),
            saturated_share: chosen(&self.saturated_share),
            compressed_bytes: chosen(&self.compressed_bytes),
        }
    }
}

/// Numbers about each image.
pub(super) fn statistics_of(pixels: &Array4<u8>) -> Result<ImageStatistics> {
    let images: Vec<ArrayView3<u8>> = pixels.outer_iter().collect();
    let numbers = images.into_par_iter().map(|image| {
        interrupt::check("measuring images")?;
        Ok(numbers_of(image))
    });
    let numbers = numbers.collect::<Result<Vec<_>>>()?;
    let column = |index: usize| numbers.iter().map(|numbers: &[f64; 4]| numbers[index]).collect();
    Ok(ImageStatistics {
        brightness: column(0),
        variance: column(1),
        saturated_share: column(2),
        compressed_bytes: column(3),
    })
}

/// Brightness, variance, saturated share and compressed size of `[c, h, w]`.
fn numbers_of(image: ArrayView3<u8>) -> [f64; 4] {
    let n = image.len() as f64;
    let scaled = |value: u8| f64::from(value) / 127.5 - 1.0;
    let mean = image.iter().map(|&value| scaled(value)).sum::<f64>() / n;
    let variance = image.iter().map(|&value| (scaled(value) - mean).powi(2)).sum::<f64>() / n;
    let n_saturated = image.iter().filter(|&&value| value == 0 || value == 255).count();
    [mean, variance, n_saturated as f64 / n, png_size(image) as f64]
}

/// Bytes of the image as a PNG file.
fn png_size(image: ArrayView3<u8>) -> usize {
    let (c, h, w) = image.dim();
    let interleaved: Vec<u8> = image.permuted_axes([1, 2, 0]).iter().copied().collect();
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, w as u32, h as u32);
    encoder.set_color(if c == 1 { png::ColorType::Grayscale } else { png::ColorType::Rgb });
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(&interleaved));
    written.expect("memory takes everything, and an image has one or three channels");
    file.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Images;

    /// A white image, one half black and half white, and one of noise.
    fn images() -> Images {
        let mut state = 1u32;
        let pixels = Array4::from_shape_fn((3, 3, 16, 16), |(image, _, row, _)| match image {
            0 => 255,
            1 => {
                if row < 8 {
                    0
                } else {
                    255
                }
            }
            _ => {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                1 + (state >> 24) as u8 % 254
            }
        });
        Images::from_bytes(pixels).unwrap()
    }

    #[test]
    fn each_number_says_what_it_should() {
        let statistics = images().statistics().unwrap();
        assert_eq!(statistics.brightness[..2], [1.0, 0.0]);
        assert_eq!(statistics.variance[..2], [0.0, 1.0]);
        assert_eq!(statistics.saturated_share, [1.0, 1.0, 0.0]);
        let bytes = &statistics.compressed_bytes;
        assert!(bytes[0] < bytes[2] / 4.0, "{bytes:?}");
    }

    #[test]
    fn a_selection_has_the_numbers_of_its_images() {
        let (all, chosen) = (images(), images().select(&[2, 0]).unwrap().statistics().unwrap());
        let all = all.statistics().unwrap();
        assert_eq!(chosen.variance, [all.variance[2], all.variance[0]]);
        assert_eq!(chosen.compressed_bytes, [all.compressed_bytes[2], all.compressed_bytes[0]]);
    }
}
