//! Image files: JPEG, PNG and WebP, of any size.

use super::images::ImageShape;
use crate::{Error, Result, interrupt};
use image::imageops::FilterType;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageReader, Limits};
use std::fmt::Display;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek};
use std::path::{Path, PathBuf};

const ENDINGS: [&str; 4] = ["jpg", "jpeg", "png", "webp"];

/// Whether the name of a file is that of an image.
fn is_image_file(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known)))
}

/// What a folder holds.
pub(super) struct Listing {
    /// Image files as paths within the folder, sorted.
    pub(super) images: Vec<PathBuf>,
    /// How many other files there are, hidden ones aside.
    pub(super) n_others: usize,
}

/// Finds all image files below a folder, however deep. Links are not followed, hidden entries are left out.
pub(super) fn list(folder: &Path) -> Result<Listing> {
    let explain = |source| Error::file("listing", folder, "check the path and the permissions", source);
    let mut found = Listing { images: Vec::new(), n_others: 0 };
    let mut folders = vec![PathBuf::new()];
    while let Some(inside) = folders.pop() {
        interrupt::check("listing image files")?;
        for entry in std::fs::read_dir(folder.join(&inside)).map_err(explain)? {
            let entry = entry.map_err(explain)?;
            let (name, kind) = (entry.file_name(), entry.file_type().map_err(explain)?);
            let path = inside.join(&name);
            let is_hidden = name.to_string_lossy().starts_with('.');
            if kind.is_dir() && !is_hidden {
                folders.push(path);
            } else if kind.is_file() && !is_hidden && is_image_file(&path) {
                found.images.push(path);
            } else if kind.is_file() && !is_hidden {
                found.n_others += 1;
            }
        }
    }
    found.images.sort();
    Ok(found)
}

/// Whether there is any image file below a folder.
pub(super) fn has_any(folder: &Path) -> Result<bool> {
    Ok(!list(folder)?.images.is_empty())
}

/// What the head of an image file says; the size is that of the picture as it is meant to be seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Head {
    pub(super) width_px: usize,
    pub(super) height_px: usize,
    pub(super) is_grey: bool,
}

/// Reads no more than the head of an image file.
pub(super) fn read_head(path: &Path, max_pixels: usize) -> Result<Head> {
    head_of(open_file(path)?, path, max_pixels)
}

/// The same from any reader; `path` is for messages alone.
pub(super) fn head_of(reader: impl BufRead + Seek, path: &Path, max_pixels: usize) -> Result<Head> {
    let mut decoder = open_decoder(reader, path, max_pixels)?;
    let (width_px, height_px) = decoder.dimensions();
    let is_grey = !decoder.color_type().has_color();
    let sides = match is_on_its_side(decoder.orientation().map_err(|error| unreadable(path, error))?) {
        true => (height_px, width_px),
        false => (width_px, height_px),
    };
    Ok(Head { width_px: sides.0 as usize, height_px: sides.1 as usize, is_grey })
}

/// Reads one image as `[c, h, w]`, 0..=255: turned as its EXIF data say, scaled until it just covers the shape and
/// cropped around its centre.
///
/// Grey images become colour and the other way round, as the shape asks; transparency is left out.
pub(super) fn read(path: &Path, shape: ImageShape, max_pixels: usize) -> Result<Vec<u8>> {
    decode(open_file(path)?, path, shape, max_pixels)
}

/// The same from any reader; `path` is for messages alone.
pub(super) fn decode(
    reader: impl BufRead + Seek,
    path: &Path,
    [channels, height_px, width_px]: ImageShape,
    max_pixels: usize,
) -> Result<Vec<u8>> {
    let mut decoder = open_decoder(reader, path, max_pixels)?;
    let orientation = decoder.orientation().map_err(|error| unreadable(path, error))?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(|error| unreadable(path, error))?;
    image.apply_orientation(orientation);
    let image = fit(image, [height_px, width_px]);
    Ok(match channels {
        1 => image.into_luma8().into_raw(),
        _ => planes_of(image),
    })
}

/// Scales an image until it just covers height and width, cropped around its centre; the one rule for all sources.
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

fn open_file(path: &Path) -> Result<BufReader<File>> {
    let file = File::open(path)
        .map_err(|source| Error::file("reading", path, "check the path and the permissions", source))?;
    Ok(BufReader::new(file))
}

/// Reads the head, and refuses more pixels than are allowed before any memory is taken for them.
fn open_decoder<'a>(
    reader: impl BufRead + Seek + 'a,
    path: &Path,
    max_pixels: usize,
) -> Result<impl ImageDecoder + 'a> {
    let mut reader = ImageReader::new(reader);
    // What a decoder takes beside the pixels themselves, which have up to four channels of 16 bits.
    let mut limits = Limits::default();
    limits.max_alloc = Some((max_pixels as u64).saturating_mul(8).max(1 << 24));
    reader.limits(limits);
    let reader = reader.with_guessed_format().map_err(|error| unreadable(path, error))?;
    let decoder = reader.into_decoder().map_err(|error| unreadable(path, error))?;
    let (width_px, height_px) = decoder.dimensions();
    if width_px == 0 || height_px == 0 {
        return Err(unreadable(path, format!("it says that it has {width_px} x {height_px} pixels")));
    }
    if u64::from(width_px) * u64::from(height_px) > max_pixels as u64 {
        return Err(Error::format(
            path,
            format!("{width_px} x {height_px} pixels"),
            format!("at most max_pixels_per_image, {max_pixels}"),
            "scale it down, or open the folder by open_with and a higher OpenOptions::max_pixels_per_image",
        ));
    }
    Ok(decoder)
}

fn unreadable(path: &Path, error: impl Display) -> Error {
    // Some decoders answer in several lines.
    let error = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    Error::format(path, format!("an image that cannot be read ({error})"), "a whole JPEG, PNG or WebP", "remove it")
}

/// Whether width and height change places.
fn is_on_its_side(orientation: Orientation) -> bool {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    matches!(orientation, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH)
}

/// Red, then green, then blue.
fn planes_of(image: DynamicImage) -> Vec<u8> {
    let pixels = image.into_rgb8().into_raw();
    (0..3).flat_map(|channel| pixels[channel..].iter().step_by(3).copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Rgb, RgbImage};

    #[test]
    fn a_wide_image_is_scaled_and_cropped_around_its_centre() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wide.png");
        // Red, green and blue thirds, each as wide as the whole is high.
        RgbImage::from_fn(12, 4, |x, _| Rgb([0, 1, 2].map(|channel| if x / 4 == channel { 255 } else { 0 })))
            .save(&path)
            .unwrap();
        assert_eq!(read(&path, [3, 4, 4], 48).unwrap(), [[0; 16], [255; 16], [0; 16]].concat());
        assert_eq!(read(&path, [1, 2, 2], 48).unwrap().len(), 4);
        let message = read(&path, [3, 4, 4], 47).unwrap_err().to_string();
        assert!(message.contains("12 x 4 pixels") && message.contains("max_pixels_per_image"), "{message}");
    }

    #[test]
    fn a_strip_is_cropped_before_it_is_scaled() {
        let strip = DynamicImage::ImageLuma8(image::GrayImage::new(1_000_000, 1));
        assert_eq!(fit(strip, [32, 32]).width(), 32);
    }

    #[test]
    fn a_camera_held_upright_gives_an_upright_picture() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("upright.jpg");
        // The left half is white, and EXIF orientation 6 says to turn it by 90 degrees clockwise: white comes on top.
        let mut jpeg = Vec::new();
        RgbImage::from_fn(32, 16, |x, _| Rgb([if x < 16 { 255 } else { 0 }; 3]))
            .write_to(&mut std::io::Cursor::new(&mut jpeg), image::ImageFormat::Jpeg)
            .unwrap();
        let exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
        let segment = [b"\xff\xe1".as_slice(), &(exif.len() as u16 + 2).to_be_bytes(), exif].concat();
        jpeg.splice(2..2, segment);
        std::fs::write(&path, jpeg).unwrap();

        let head = read_head(&path, 1000).unwrap();
        assert_eq!(head, Head { width_px: 16, height_px: 32, is_grey: false });
        let pixels = read(&path, [1, 32, 16], 1000).unwrap();
        assert!(
            pixels[..16 * 12].iter().all(|&pixel| pixel > 240) && pixels[16 * 20..].iter().all(|&pixel| pixel < 15)
        );
    }

    #[test]
    fn only_images_are_listed_and_those_of_inner_folders_too() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("b")).unwrap();
        for name in ["b/2.PNG", "a.jpeg", "notes.txt", ".hidden.png"] {
            std::fs::write(folder.path().join(name), b"").unwrap();
        }
        let listing = list(folder.path()).unwrap();
        assert_eq!((listing.images, listing.n_others), (vec![PathBuf::from("a.jpeg"), "b/2.PNG".into()], 1));
        let message = read(&folder.path().join("a.jpeg"), [3, 2, 2], 48).unwrap_err().to_string();
        assert!(message.contains("a.jpeg: found an image that cannot be read"), "{message}");
    }
}
