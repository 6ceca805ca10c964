//! Arrays to pixels, and pixels to PNG.

use super::style::scale_colour;
use crate::{Error, Result};
use ndarray::{Array2, Array3, Axis};
use plotters::style::RGBColor;

/// Longest side of a tile in pixels; a CIFAR-10 image is enlarged to it threefold.
pub(super) const TILE_PX: i32 = 96;

/// Width and height of an image of `[c, h, w]` as a tile: enlarged by a whole number where it is small.
pub(super) fn tile_size_px(image: &Array3<f32>) -> (i32, i32) {
    let (_, h, w) = image.dim();
    let longest = h.max(w).max(1);
    let scale = match TILE_PX as usize / longest {
        0 => f64::from(TILE_PX) / longest as f64,
        whole => whole as f64,
    };
    let scaled = |side: usize| ((side as f64 * scale).round() as i32).max(1);
    (scaled(w), scaled(h))
}

/// An image of `[c, h, w]`, c = 1 or 3, in -1..=1 as a PNG; values outside are clamped.
///
/// `what` names the image in errors.
pub(super) fn image_png(image: &Array3<f32>, what: &str) -> Result<Vec<u8>> {
    check_image(image, what)?;
    let (c, h, w) = image.dim();
    let byte = |value: f32| ((value + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8;
    let pixels: Vec<u8> = image.view().permuted_axes([1, 2, 0]).iter().map(|&value| byte(value)).collect(); // [h, w, c]
    let colour = if c == 1 { png::ColorType::Grayscale } else { png::ColorType::Rgb };
    encode(w, h, colour, &pixels)
}

/// Refuses what cannot be drawn: no pixels, two channels, NaN.
pub(super) fn check_image(image: &Array3<f32>, what: &str) -> Result<()> {
    let (c, h, w) = image.dim();
    let refuse = |found: String, wanted: &str, next_step: &str| {
        Err(Error::data(format!("drawing {what}"), found, wanted, next_step))
    };
    if !matches!(c, 1 | 3) || h == 0 || w == 0 {
        return refuse(
            format!("shape [{c}, {h}, {w}]"),
            "[1, h, w] (grey) or [3, h, w] (red, green, blue) with at least one pixel",
            "put the channels first",
        );
    }
    match image.iter().filter(|value| value.is_nan()).count() {
        0 => Ok(()),
        n => refuse(
            format!("{n} of {} values NaN", image.len()),
            "numbers in -1..=1",
            "look at the images, or at the training of the model that made it",
        ),
    }
}

/// Squared error of each pixel, mean over channels, `[h, w]`.
///
/// Both images are `[c, h, w]` of one shape.
pub(super) fn error_map(original: &Array3<f32>, reconstruction: &Array3<f32>) -> Array2<f32> {
    let squared = (original - reconstruction).mapv(|difference| difference * difference);
    squared.mean_axis(Axis(0)).unwrap_or_default()
}

/// A map of `[h, w]` as a PNG, coloured from 0 to `largest`.
pub(super) fn map_png(map: &Array2<f32>, largest: f32) -> Result<Vec<u8>> {
    let (h, w) = map.dim();
    let mut pixels = Vec::with_capacity(3 * h * w);
    for &value in map {
        let RGBColor(red, green, blue) = scale_colour(if largest > 0.0 { value / largest } else { 0.0 });
        pixels.extend([red, green, blue]);
    }
    encode(w, h, png::ColorType::Rgb, &pixels)
}

/// A PNG of `pixels`, row by row.
pub(super) fn encode(width: usize, height: usize, colour: png::ColorType, pixels: &[u8]) -> Result<Vec<u8>> {
    let failed = |reason: String| Error::Draw { what: format!("a picture of {width} x {height} px"), reason };
    let side = |side: usize| u32::try_from(side).map_err(|source| failed(source.to_string()));
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, side(width)?, side(height)?);
    encoder.set_color(colour);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    let written = encoder.write_header().and_then(|mut writer| {
        writer.write_image_data(pixels)?;
        writer.finish()
    });
    written.map_err(|source| failed(source.to_string()))?;
    Ok(bytes)
}
