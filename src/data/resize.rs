//! Bringing images to another size: scaled until they just cover it, and cropped around the centre; the one rule for all
//! sources.

use super::images::Images;
use super::pixels::Pixels;
use crate::{Result, interrupt, memory};
use image::imageops::FilterType;
use image::{DynamicImage, GrayImage, Rgb32FImage};
use ndarray::Array4;
use rayon::prelude::*;

/// Scales an image until it just covers height and width, cropped around its centre.
///
/// The crop comes first: a strip of 100,000 x 1 pixels would otherwise be scaled to 32 times its area per pixel.
pub(super) fn fit(image: DynamicImage, [height_px, width_px]: [usize; 2]) -> DynamicImage {
    let (width, height) = (image.width() as usize, image.height() as usize);
    if (width, height) == (width_px, height_px) {
        return image;
    }
    // The largest part of the image that has the proportions of the result, rounded to whole pixels.
    let part_width = width.min((height * width_px + height_px / 2) / height_px).max(1);
    let part_height = height.min((width * height_px + width_px / 2) / width_px).max(1);
    let (left, top) = ((width - part_width) / 2, (height - part_height) / 2);
    let part = image.crop_imm(left as u32, top as u32, part_width as u32, part_height as u32);
    part.resize_exact(width_px as u32, height_px as u32, FilterType::Triangle)
}

/// The same images, each scaled until it just covers a square of `side_px` and cropped around its centre.
pub(super) fn resized(images: &Images, side_px: usize) -> Result<Images> {
    let [c, h, w] = images.shape();
    if [h, w] == [side_px; 2] {
        return Ok(images.clone());
    }
    let size = (images.len(), c, side_px, side_px);
    let bytes_per_value = if matches!(images.pixels(), Pixels::Bytes(_)) { 1 } else { 4 };
    let n_bytes = memory::bytes_of(&[images.len(), c, side_px, side_px, bytes_per_value]);
    memory::check("scaling images", n_bytes, "choose a smaller OpenOptions::size_px, or open fewer images")?;
    let reshape = "every plane was brought to the size";
    let pixels = match images.gather(0..images.len()) {
        Pixels::Bytes(pixels) => {
            let planes = resize_planes(&pixels, side_px, |plane| {
                let plane = GrayImage::from_raw(w as u32, h as u32, plane.to_vec()).expect("planes are h x w");
                fit(DynamicImage::ImageLuma8(plane), [side_px; 2]).into_luma8().into_raw()
            })?;
            Pixels::Bytes(Array4::from_shape_vec(size, planes).expect(reshape))
        }
        Pixels::Floats(pixels) => {
            let planes = resize_planes(&pixels, side_px, |plane| {
                // Floating-point pictures of the library are in 0..=1, three colours to a pixel.
                let values = plane.iter().flat_map(|value| [(value + 1.0) / 2.0; 3]).collect();
                let plane = Rgb32FImage::from_raw(w as u32, h as u32, values).expect("planes are h x w");
                let fitted = fit(DynamicImage::ImageRgb32F(plane), [side_px; 2]).into_rgb32f();
                fitted.into_raw().iter().step_by(3).map(|value| value * 2.0 - 1.0).collect()
            })?;
            Pixels::Floats(Array4::from_shape_vec(size, planes).expect(reshape))
        }
    };
    Ok(images.with_other_pixels(pixels))
}

/// Changes every plane of `[n, c, h, w]`, into one buffer.
fn resize_planes<T: Copy + Default + Send + Sync>(
    pixels: &Array4<T>,
    side_px: usize,
    resize: impl Fn(&[T]) -> Vec<T> + Sync,
) -> Result<Vec<T>> {
    let (n, c, h, w) = pixels.dim();
    let planes = pixels.as_slice().expect("pixels are stored in standard order").par_chunks_exact(h * w);
    let mut resized = vec![T::default(); n * c * side_px * side_px];
    resized.par_chunks_exact_mut(side_px * side_px).zip(planes).try_for_each(|(place, plane)| {
        interrupt::check("scaling images")?;
        place.copy_from_slice(&resize(plane));
        Ok(())
    })?;
    Ok(resized)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::PixelRange;

    #[test]
    fn a_strip_is_cropped_before_it_is_scaled() {
        let strip = DynamicImage::ImageLuma8(image::GrayImage::new(1_000_000, 1));
        assert_eq!(fit(strip, [32, 32]).width(), 32);
    }

    #[test]
    fn resizing_weighs_bytes_and_floats_alike_and_keeps_labels() {
        let halves =
            |high: f32| Array4::from_shape_fn((3, 1, 4, 8), |(.., column)| if column < 4 { -high } else { high });
        let bytes = Images::from_floats(halves(1.0), PixelRange::Signed)
            .unwrap()
            .with_anomalies(vec![true, false, true])
            .unwrap();
        let floats = Images::from_floats(halves(0.3), PixelRange::Signed).unwrap();
        for (images, high) in [(bytes.select(&[2, 0]).unwrap(), 1.0), (floats, 0.3)] {
            let small = resized(&images, 2).unwrap();
            assert_eq!((small.shape(), small.len()), ([1, 2, 2], images.len()));
            assert_eq!(small.anomalies(), images.anomalies());
            // A triangle of four pixels' width weighs the columns by 0.75, 0.75 and, beyond the edge, 0.25.
            let edge = high * (0.75 + 0.75 - 0.25) / (0.75 + 0.75 + 0.25);
            let (first, wanted) = (small.image(0).unwrap(), [-edge, edge, -edge, edge]);
            assert!(first.iter().zip(wanted).all(|(pixel, wanted)| (pixel - wanted).abs() < 0.5 / 127.5), "{first}");
        }
    }
}
