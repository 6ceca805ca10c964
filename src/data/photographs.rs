//! Image files of any size: JPEG, PNG, WebP, BMP, TIFF, PGM and PPM, and the first picture of a GIF.

use super::pixels::ImageShape;
use super::resize::fit;
use crate::files::lfs;
use crate::{Error, interrupt};
use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};
use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek};
use std::path::Path;

/// The formats, for messages.
pub(super) const FORMATS: &str = "JPEG, PNG, WebP, BMP, TIFF, GIF, PGM or PPM";

/// Why an image file gives no image.
#[derive(Debug)]
pub(super) enum Failure {
    /// The file is damaged, or is something else: the reason.
    Broken(String),
    /// Anything else: a limit, the disk, a stop.
    Other(Error),
}

/// What the head of an image file says; the size is that of the picture as it is meant to be seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Head {
    pub(super) width_px: usize,
    pub(super) height_px: usize,
    pub(super) is_grey: bool,
}

/// Reads no more of an image file than says what it is: its head, or all of it where colours are given by a palette that
/// may hold greys alone.
pub(super) fn read_head(path: &Path, max_pixels: usize) -> Result<Head, Failure> {
    let (mut decoder, format) = open_decoder(open_file(path)?, path, max_pixels)?;
    let (width_px, height_px) = decoder.dimensions();
    let has_color = decoder.color_type().has_color();
    let may_have_palette = matches!(format, Some(ImageFormat::Bmp | ImageFormat::Gif | ImageFormat::Png));
    let sides = match is_on_its_side(decoder.orientation().map_err(broken)?) {
        true => (height_px, width_px),
        false => (width_px, height_px),
    };
    let is_grey = !has_color
        || may_have_palette
            && has_palette(path, format)?
            && is_grey(&DynamicImage::from_decoder(decoder).map_err(broken)?);
    Ok(Head { width_px: sides.0 as usize, height_px: sides.1 as usize, is_grey })
}

/// Reads one image as `[c, h, w]`, 0..=255: turned as its EXIF data say, put on white where it is transparent, scaled
/// until it just covers the shape and cropped around its centre.
///
/// Grey images become colour and the other way round, as the shape asks.
pub(super) fn read(
    path: &Path,
    [channels, height_px, width_px]: ImageShape,
    max_pixels: usize,
) -> Result<Vec<u8>, Failure> {
    let mut file = open_file(path)?;
    let (mut decoder, format) = open_decoder(&mut file, path, max_pixels)?;
    let orientation = decoder.orientation().map_err(broken)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(broken)?;
    // The decoder fills with grey what a JPEG file that is cut off no longer holds.
    if format == Some(ImageFormat::Jpeg) {
        let mut file = open_file(path)?;
        if !has_end_marker(&mut file).map_err(broken)? {
            return Err(Failure::Broken("it is cut off before its end".into()));
        }
    }
    image.apply_orientation(orientation);
    let image = fit(on_white(image), [height_px, width_px]);
    Ok(match channels {
        1 => image.into_luma8().into_raw(),
        _ => planes_of(image),
    })
}

fn open_file(path: &Path) -> Result<BufReader<File>, Failure> {
    let opened = File::open(path);
    let explain = |source| Failure::Other(Error::file("reading", path, "check the path and the permissions", source));
    opened.map(BufReader::new).map_err(explain)
}

/// Reads the head, and refuses more pixels than are allowed before any memory is taken for them.
fn open_decoder<'a>(
    reader: impl BufRead + Seek + 'a,
    path: &Path,
    max_pixels: usize,
) -> Result<(impl ImageDecoder + 'a, Option<ImageFormat>), Failure> {
    interrupt::check("reading image files").map_err(Failure::Other)?;
    let mut reader = ImageReader::new(reader);
    // What a decoder takes beside the pixels themselves, which have up to four channels of 16 bits.
    let mut limits = Limits::default();
    limits.max_alloc = Some((max_pixels as u64).saturating_mul(8).max(1 << 24));
    reader.limits(limits);
    let reader = reader.with_guessed_format().map_err(broken)?;
    let format = reader.format();
    let decoder = reader.into_decoder().map_err(|error| match lfs::is_pointer(path) {
        true => Failure::Broken(lfs::POINTER.into()),
        false => broken(error),
    })?;
    let (width_px, height_px) = decoder.dimensions();
    if width_px == 0 || height_px == 0 {
        return Err(broken(format!("it says that it has {width_px} x {height_px} pixels")));
    }
    if u64::from(width_px) * u64::from(height_px) > max_pixels as u64 {
        return Err(Failure::Other(Error::format(
            path,
            format!("{width_px} x {height_px} pixels"),
            format!("at most max_pixels_per_image, {max_pixels}"),
            "scale it down, or open the folder by open_with and a higher OpenOptions::max_pixels_per_image",
        )));
    }
    Ok((decoder, format))
}

fn broken(error: impl Display) -> Failure {
    // Some decoders answer in several lines.
    Failure::Broken(error.to_string().split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Whether a JPEG file has its last marker. Within compressed data a byte 0xFF is followed by zero or by a restart marker;
/// thumbnails, which end in that marker too, lie in segments that say how long they are.
fn has_end_marker(reader: &mut (impl BufRead + Seek)) -> io::Result<bool> {
    const END_OF_IMAGE: u8 = 0xd9;
    loop {
        if reader.skip_until(0xff)? == 0 {
            return Ok(false);
        }
        let mut marker = [0xff];
        while marker[0] == 0xff {
            if reader.read(&mut marker)? == 0 {
                return Ok(false);
            }
        }
        match marker[0] {
            END_OF_IMAGE => return Ok(true),
            // A byte of compressed data, a marker without a segment, a restart, the start of the image.
            0x00 | 0x01 | 0xd0..=0xd8 => {}
            _ => {
                let mut length = [0; 2];
                if reader.read_exact(&mut length).is_err() {
                    return Ok(false);
                }
                reader.seek_relative(i64::from(u16::from_be_bytes(length)).max(2) - 2)?;
            }
        }
    }
}

/// Whether colours are given by a palette.
fn has_palette(path: &Path, format: Option<ImageFormat>) -> Result<bool, Failure> {
    if format != Some(ImageFormat::Png) {
        return Ok(true);
    }
    let reader = png::Decoder::new(open_file(path)?).read_info().map_err(broken)?;
    Ok(reader.info().color_type == png::ColorType::Indexed)
}

/// Whether red, green and blue are the same everywhere.
fn is_grey(image: &DynamicImage) -> bool {
    on_white(image.clone()).into_rgb8().pixels().all(|pixel| pixel.0[0] == pixel.0[1] && pixel.0[1] == pixel.0[2])
}

/// The image on a white ground, where it is transparent: what lies hidden under transparency stays hidden.
fn on_white(image: DynamicImage) -> DynamicImage {
    let color = image.color();
    if !color.has_alpha() {
        return image;
    }
    let blend = |value: u8, alpha: u8| {
        let (value, alpha) = (u32::from(value), u32::from(alpha));
        ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8
    };
    let size = (image.width(), image.height());
    if color.has_color() {
        let pixels = image.into_rgba8().into_raw();
        let blended = pixels.as_chunks().0.iter().flat_map(|&[r, g, b, a]| [r, g, b].map(|value| blend(value, a)));
        let image =
            RgbImage::from_raw(size.0, size.1, blended.collect()).expect("three values were made of each pixel");
        DynamicImage::ImageRgb8(image)
    } else {
        let pixels = image.into_luma_alpha8().into_raw();
        let blended = pixels.as_chunks().0.iter().map(|&[value, alpha]| blend(value, alpha));
        let image = GrayImage::from_raw(size.0, size.1, blended.collect()).expect("one value was made of each pixel");
        DynamicImage::ImageLuma8(image)
    }
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
    use image::{ImageBuffer, LumaA, Rgb, Rgba, RgbaImage};
    use std::io::Cursor;

    fn words<T>(result: Result<T, Failure>) -> String {
        match result {
            Ok(_) => "it is read".into(),
            Err(Failure::Broken(reason)) => reason,
            Err(Failure::Other(error)) => error.to_string(),
        }
    }

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
        let message = words(read(&path, [3, 4, 4], 47));
        assert!(message.contains("12 x 4 pixels") && message.contains("max_pixels_per_image"), "{message}");
    }

    #[test]
    fn a_camera_held_upright_gives_an_upright_picture() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("upright.jpg");
        // The left half is white, and EXIF orientation 6 says to turn it by 90 degrees clockwise: white comes on top.
        let mut jpeg = Vec::new();
        RgbImage::from_fn(32, 16, |x, _| Rgb([if x < 16 { 255 } else { 0 }; 3]))
            .write_to(&mut Cursor::new(&mut jpeg), ImageFormat::Jpeg)
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
    fn a_jpeg_that_is_cut_off_anywhere_is_broken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cut.jpg");
        let noise =
            RgbImage::from_fn(64, 64, |x, y| Rgb([((x * 37) ^ (y * 91)) as u8, (x * y) as u8, (x + 3 * y) as u8]));
        let mut jpeg = Vec::new();
        noise.write_to(&mut Cursor::new(&mut jpeg), ImageFormat::Jpeg).unwrap();
        // A thumbnail has an end of its own.
        let thumbnail = [&[0xff, 0xe1, 0, 6][..], &[0xff, 0xd8, 0xff, 0xd9]].concat();
        jpeg.splice(2..2, thumbnail);
        std::fs::write(&path, &jpeg).unwrap();
        assert!(read(&path, [3, 8, 8], 1 << 20).is_ok());
        for n_bytes in (0..jpeg.len()).step_by(97).chain([jpeg.len() - 1]) {
            std::fs::write(&path, &jpeg[..n_bytes]).unwrap();
            assert!(matches!(read(&path, [3, 8, 8], 1 << 20), Err(Failure::Broken(_))), "{n_bytes} of {}", jpeg.len());
        }
    }

    #[test]
    fn what_lies_under_transparency_stays_hidden() {
        let folder = tempfile::tempdir().unwrap();
        let (colour, grey) = (folder.path().join("colour.png"), folder.path().join("grey.png"));
        RgbaImage::from_fn(3, 1, |x, _| Rgba([255, 0, 255, [0, 128, 255][x as usize]])).save(&colour).unwrap();
        ImageBuffer::from_fn(2, 1, |x, _| LumaA([10_u8, [0, 255][x as usize]])).save(&grey).unwrap();
        assert_eq!(read(&colour, [3, 1, 3], 9).unwrap(), [255, 255, 255, 255, 127, 0, 255, 255, 255]);
        assert_eq!(read(&grey, [1, 1, 2], 9).unwrap(), [255, 10]);
        assert!(read_head(&grey, 9).unwrap().is_grey && !read_head(&colour, 9).unwrap().is_grey);
    }

    #[test]
    fn every_format_is_read_and_a_palette_of_greys_is_grey() {
        let folder = tempfile::tempdir().unwrap();
        let greys = RgbImage::from_fn(4, 2, |x, y| Rgb([(60 * x + 9 * y) as u8; 3]));
        for (name, format) in [
            ("a.bmp", ImageFormat::Bmp),
            ("a.gif", ImageFormat::Gif),
            ("a.png", ImageFormat::Png),
            ("a.ppm", ImageFormat::Pnm),
            ("a.tif", ImageFormat::Tiff),
            ("a.webp", ImageFormat::WebP),
        ] {
            let path = folder.path().join(name);
            greys.save_with_format(&path, format).unwrap();
            let pixels = read(&path, [1, 2, 4], 99).unwrap();
            assert_eq!(pixels, [0, 60, 120, 180, 9, 69, 129, 189], "{name}");
            assert_eq!(read_head(&path, 99).unwrap().is_grey, matches!(name, "a.bmp" | "a.gif"), "{name}");
        }
        let path = folder.path().join("palette.png");
        let mut encoder = png::Encoder::new(File::create(&path).unwrap(), 2, 1);
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_palette(vec![5, 5, 5, 90, 90, 90, 255, 0, 0]);
        encoder.write_header().unwrap().write_image_data(&[0, 1]).unwrap();
        assert_eq!((read_head(&path, 9).unwrap().is_grey, read(&path, [1, 1, 2], 9).unwrap()), (true, vec![5, 90]));
    }

    #[test]
    fn a_pointer_of_git_lfs_is_called_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        std::fs::write(&path, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n").unwrap();
        assert_eq!(words(read_head(&path, 9)), lfs::POINTER);
    }
}
