//! Arrays to pixels, and pixels to PNG.

use super::canvas::{Canvas, Enlarge, MARGIN_PX, Rect};
use super::style::{NOTE, scale_colour};
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
    encode((w, h), if c == 1 { Pixels::Grey } else { Pixels::Rgb }, &pixels)
}

/// Errors for images that cannot be drawn: no pixels, two channels, NaN.
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
    coloured_png(map, |value| scale_colour(if largest > 0.0 { value / largest } else { 0.0 }))
}

fn coloured_png(map: &Array2<f32>, colour_of: impl Fn(f32) -> RGBColor) -> Result<Vec<u8>> {
    let (h, w) = map.dim();
    let bytes = |RGBColor(red, green, blue)| [red, green, blue];
    let pixels: Vec<u8> = map.iter().flat_map(|&value| bytes(colour_of(value))).collect();
    encode((w, h), Pixels::Rgb, &pixels)
}

/// The colour scale of maps from `low` to `high`, in a line below what is there.
pub(super) fn colour_scale(canvas: &mut Canvas, low: &str, high: &str) -> Result<()> {
    colour_scale_of(canvas, scale_colour, low, high)
}

/// The same for other colours: those of the shares 0 to 1 between `low` and `high`.
pub(super) fn colour_scale_of(
    canvas: &mut Canvas,
    colour_at: impl Fn(f32) -> RGBColor,
    low: &str,
    high: &str,
) -> Result<()> {
    const STEPS: usize = 64;
    const BAR_PX: i32 = 180;
    let ramp = Array2::from_shape_fn((1, STEPS), |(_, step)| step as f32 / (STEPS - 1) as f32);
    let png = coloured_png(&ramp, colour_at)?;
    let baseline = canvas.bottom_px + 11;
    let low_px = NOTE.width_px(low);
    canvas.text((MARGIN_PX, baseline), low_px + 1, low, NOTE);
    let bar = Rect { left: MARGIN_PX + low_px + 6, top: canvas.bottom_px, width: BAR_PX, height: 12 };
    canvas.picture(bar, &png, Enlarge::Smooth);
    let left = bar.left + BAR_PX + 6;
    canvas.text((left, baseline), canvas.inner_px() + MARGIN_PX - left, high, NOTE);
    canvas.bottom_px += 14;
    Ok(())
}

/// The pixel format.
pub(super) enum Pixels {
    /// One byte a pixel: 0 black, 255 white.
    Grey,
    /// Red, green and blue.
    Rgb,
    /// One byte a pixel: its entry in `colours` (three bytes each) and `alphas`.
    Palette { colours: Vec<u8>, alphas: Vec<u8> },
}

/// A PNG of `(width, height)` from `bytes`, row by row.
pub(super) fn encode((width, height): (usize, usize), pixels: Pixels, bytes: &[u8]) -> Result<Vec<u8>> {
    let failed = |reason: String| Error::Draw { what: format!("a picture of {width} x {height} px"), reason };
    let side = |side: usize| u32::try_from(side).map_err(|source| failed(source.to_string()));
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, side(width)?, side(height)?);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    let colour = match pixels {
        Pixels::Grey => png::ColorType::Grayscale,
        Pixels::Rgb => png::ColorType::Rgb,
        Pixels::Palette { colours, alphas } => {
            encoder.set_palette(colours);
            encoder.set_trns(alphas);
            // The next entry of a palette does not follow from the last, as filters suppose. Level 2 takes a tenth of the
            // time of the highest for a tenth more bytes.
            encoder.set_filter(png::Filter::NoFilter);
            encoder.set_deflate_compression(png::DeflateCompression::Level(2));
            png::ColorType::Indexed
        }
    };
    encoder.set_color(colour);
    let written = encoder.write_header().and_then(|mut writer| {
        writer.write_image_data(bytes)?;
        writer.finish()
    });
    written.map_err(|source| failed(source.to_string()))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pixels of a PNG.
    fn decode(file: &[u8]) -> Vec<u8> {
        let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        pixels
    }

    #[test]
    fn pixels_are_scaled_clamped_and_interleaved() {
        let image = ndarray::array![[[-1.0, 1.0]], [[0.0, -9.0]], [[1.0, 9.0]]]; // [3, 1, 2]
        assert_eq!(decode(&image_png(&image, "it").unwrap()), [0, 128, 255, 255, 0, 255]);
        assert_eq!(decode(&image_png(&ndarray::array![[[-1.0, 1.0]]], "it").unwrap()), [0, 255], "grey stays grey");
    }

    #[test]
    fn small_images_are_enlarged_by_whole_numbers_and_large_ones_reduced() {
        let size = |h, w| tile_size_px(&Array3::zeros((1, h, w)));
        assert_eq!([size(32, 32), size(28, 28), size(64, 48), size(192, 96)], [(96, 96), (84, 84), (48, 64), (48, 96)]);
    }

    #[test]
    fn the_scale_runs_from_dark_to_light() {
        let map = ndarray::array![[0.0, 2.0]];
        assert_eq!(decode(&map_png(&map, 2.0).unwrap()), [68, 1, 84, 254, 232, 37]);
        assert_eq!(
            decode(&map_png(&Array2::zeros((1, 1)), 0.0).unwrap()),
            [68, 1, 84],
            "no error at all is no division"
        );
    }
}
