//! Images with captions, in a grid or alone.

use super::canvas::{Canvas, Enlarge, MARGIN_PX, Rect, clean};
use super::raster::{self, TILE_PX};
use super::style::{BODY, count};
use super::{Error, Figure, Format, Result};
use ndarray::Array3;

/// The most images of one figure: more of them make it larger than 500 kB and hard to read.
const MAX_IMAGES: usize = 144;

/// The longest side of a picture: more than browsers show.
const MAX_SIDE_PX: usize = 16_384;

/// An image and what is written below it.
///
/// # Example
/// ```
/// use diabolo::figure::{CaptionedImage, image_grid};
/// let grey = diabolo::ndarray::Array3::zeros((1, 28, 28));
/// let figure = image_grid("One image", &[CaptionedImage { image: grey, caption: "#0\nboot".into() }], 3)?;
/// assert_eq!(figure.alt(), "One image: 1 image: #0, boot");
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct CaptionedImage {
    /// `[c, h, w]`, c = 1 (grey) or 3 (red, green, blue), values in -1..=1.
    pub image: Array3<f32>,
    /// At most three short lines; wrapped at spaces and where it has line breaks.
    pub caption: String,
}

/// Draws images in rows of `n_columns`, each enlarged to about 96 pixels with its caption below.
///
/// # Errors
/// [`Error::Data`] for no image, more than 144, or one that is not `[1 or 3, h, w]` or holds NaN; [`Error::Setting`] for
/// columns outside 1..=9.
///
/// # Example
/// ```
/// use diabolo::figure::{CaptionedImage, image_grid};
/// let images: Vec<CaptionedImage> = (0..9)
///     .map(|n| CaptionedImage { image: diabolo::ndarray::Array3::zeros((3, 32, 32)), caption: format!("#{n}") })
///     .collect();
/// let figure = image_grid("Nine", &images, 3)?;
/// assert!(figure.height_px() > figure.width_px(), "three rows, with captions");
/// assert!(image_grid("Nine", &images, 0).is_err());
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn image_grid(title: &str, images: &[CaptionedImage], n_columns: usize) -> Result<Figure> {
    const CELL_PX: i32 = TILE_PX + 12;
    const CAPTION_LINES: usize = 3;
    if !(1..=9).contains(&n_columns) {
        return Err(Error::setting("n_columns", n_columns.to_string(), "1..=9", "take 3 for nine images"));
    }
    if !(1..=MAX_IMAGES).contains(&images.len()) {
        return Err(Error::data(
            format!("drawing \"{title}\""),
            count(images.len(), "image"),
            format!("1 to {MAX_IMAGES}"),
            "choose some of them",
        ));
    }

    let columns_px = n_columns.min(images.len()) as i32 * CELL_PX - (CELL_PX - TILE_PX);
    let mut canvas = Canvas::new(title, columns_px.max(320) + 2 * MARGIN_PX);
    for (row, images) in images.chunks(n_columns).enumerate() {
        let top = canvas.bottom_px;
        let mut bottom = top + TILE_PX;
        for (column, CaptionedImage { image, caption }) in images.iter().enumerate() {
            let left = MARGIN_PX + column as i32 * CELL_PX;
            let png = raster::image_png(image, &format!("image {}, \"{caption}\"", row * n_columns + column))?;
            canvas.picture(centred((left, top), raster::tile_size_px(image)), &png, Enlarge::Crisp);
            let lines = caption.lines().flat_map(|line| BODY.wrap(line, TILE_PX, CAPTION_LINES)).take(CAPTION_LINES);
            let mut baseline = top + TILE_PX;
            for line in lines {
                baseline += BODY.line_px();
                canvas.text((left, baseline), TILE_PX, &line, BODY);
            }
            bottom = bottom.max(baseline);
        }
        canvas.bottom_px = bottom + 16;
    }
    canvas.bottom_px -= 16;

    const NAMED: usize = 12;
    let mut captions: Vec<String> = images.iter().take(NAMED).map(|image| image.caption.replace('\n', ", ")).collect();
    captions.extend((images.len() > NAMED).then(|| format!("and {} more", images.len() - NAMED)));
    Ok(canvas.finish(format!("{title}: {}: {}", count(images.len(), "image"), captions.join("; "))))
}

/// A rectangle of this size in the middle of the tile at `corner`.
pub(super) fn centred((left, top): (i32, i32), (width, height): (i32, i32)) -> Rect {
    Rect { left: left + (TILE_PX - width) / 2, top: top + (TILE_PX - height) / 2, width, height }
}

/// One image alone as a PNG, each of its pixels a square of `scale` x `scale`: `[c, h, w]`, c = 1 (grey) or 3 (red, green,
/// blue), values in -1..=1.
///
/// # Errors
/// As [`image_grid`]; [`Error::Setting`] for a scale outside 1..=64; [`Error::Data`] for sides above 16,384 pixels.
///
/// # Example
/// ```
/// use diabolo::figure::{Format, picture};
/// let figure = picture(&diabolo::ndarray::Array3::zeros((3, 32, 32)), 3, "a grey square")?;
/// assert_eq!((figure.format(), figure.width_px(), figure.alt()), (Format::Png, 96, "a grey square"));
/// assert!(picture(&diabolo::ndarray::Array3::zeros((2, 32, 32)), 3, "two channels").is_err());
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn picture(image: &Array3<f32>, scale: usize, alt: &str) -> Result<Figure> {
    if !(1..=64).contains(&scale) {
        return Err(Error::setting("scale", scale.to_string(), "1..=64", "take 3 for a CIFAR-10 image"));
    }
    raster::check_image(image, &format!("\"{alt}\""))?;
    let (c, h, w) = image.dim();
    if h.max(w) > MAX_SIDE_PX / scale {
        return Err(Error::data(
            format!("drawing \"{alt}\""),
            format!("an image of {w} x {h} pixels enlarged {scale} times"),
            format!("sides of at most {MAX_SIDE_PX} px"),
            "choose a smaller scale, or a part of the image",
        ));
    }
    let enlarged = Array3::from_shape_fn((c, h * scale, w * scale), |(c, y, x)| image[[c, y / scale, x / scale]]);
    Ok(Figure {
        bytes: raster::image_png(&enlarged, &format!("\"{alt}\""))?,
        format: Format::Png,
        width_px: (w * scale) as u32,
        height_px: (h * scale) as u32,
        alt: clean(alt),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(n: usize) -> Vec<CaptionedImage> {
        let image = Array3::from_elem((3, 32, 32), 0.5);
        (0..n).map(|idx| CaptionedImage { image: image.clone(), caption: format!("#{idx}\nfrog") }).collect()
    }

    #[test]
    fn images_fill_rows() {
        let figure = image_grid("Worst", &images(4), 3).unwrap();
        let svg = String::from_utf8_lossy(figure.bytes());
        assert_eq!(svg.matches("<image ").count(), 4);
        assert_eq!(svg.matches("<image x=\"16\"").count(), 2, "the first and the fourth start a row");
        assert_eq!(figure.alt(), "Worst: 4 images: #0, frog; #1, frog; #2, frog; #3, frog");
    }

    #[test]
    fn no_image_too_many_and_no_column_are_errors() {
        let message = |n, n_columns| image_grid("Worst", &images(n), n_columns).unwrap_err().to_string();
        assert_eq!(message(0, 3), "drawing \"Worst\": found 0 images, wanted 1 to 144; choose some of them");
        assert!(message(145, 3).contains("found 145 images"));
        assert!(message(1, 0).contains("setting n_columns: found 0, wanted 1..=9"));
    }

    #[test]
    fn images_that_cannot_be_drawn_are_named() {
        let message = |image| {
            let images = [CaptionedImage { image, caption: "#7".into() }];
            image_grid("Worst", &images, 3).unwrap_err().to_string()
        };
        let found = message(Array3::zeros((32, 32, 3)));
        assert!(found.contains("image 0, \"#7\"") && found.contains("found shape [32, 32, 3]"), "{found}");
        assert!(message(Array3::zeros((3, 0, 32))).contains("at least one pixel"));
        assert!(message(Array3::from_elem((1, 2, 2), f32::NAN)).contains("found 4 of 4 values NaN"));
    }

    #[test]
    fn a_picture_is_a_png_with_square_pixels() {
        let figure = picture(&Array3::zeros((1, 28, 28)), 3, "a digit").unwrap();
        assert_eq!((figure.format(), figure.width_px(), figure.height_px()), (Format::Png, 84, 84));
        assert!(figure.bytes().starts_with(b"\x89PNG"));
    }
}
