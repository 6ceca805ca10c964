//! Image files: JPEG, PNG and WebP, of any size.

use super::images::ImageShape;
use crate::{Error, Result};
use image::imageops::FilterType;
use image::{DynamicImage, ImageReader};
use std::path::{Path, PathBuf};

const ENDINGS: [&str; 4] = ["jpg", "jpeg", "png", "webp"];

/// Whether the name of a file is that of an image.
fn is_image_file(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known)))
}

/// All image files below a folder, however deep, as paths within it, sorted. Links are not followed, hidden entries are
/// left out.
pub(super) fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let explain = |source| Error::file("listing", folder, "check the path and the permissions", source);
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(inside) = folders.pop() {
        for entry in std::fs::read_dir(folder.join(&inside)).map_err(explain)? {
            let entry = entry.map_err(explain)?;
            let (name, kind) = (entry.file_name(), entry.file_type().map_err(explain)?);
            let path = inside.join(&name);
            let is_hidden = name.to_string_lossy().starts_with('.');
            if kind.is_dir() && !is_hidden {
                folders.push(path);
            } else if kind.is_file() && !is_hidden && is_image_file(&path) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Reads one image as `[c, h, w]`, 0..=255: scaled until it just covers the shape and cropped around its centre.
///
/// Grey images become colour and the other way round, as the shape asks; transparency is left out.
pub(super) fn read(path: &Path, [channels, height_px, width_px]: ImageShape) -> Result<Vec<u8>> {
    let reader = ImageReader::open(path).and_then(ImageReader::with_guessed_format);
    let reader = reader.map_err(|source| Error::file("reading", path, "check the permissions", source))?;
    let image = reader.decode().map_err(|error| {
        Error::format(path, format!("an image that cannot be read ({error})"), "a whole JPEG, PNG or WebP", "remove it")
    })?;
    let image = match (image.width() as usize, image.height() as usize) == (width_px, height_px) {
        true => image,
        false => image.resize_to_fill(width_px as u32, height_px as u32, FilterType::Triangle),
    };
    Ok(match channels {
        1 => image.into_luma8().into_raw(),
        _ => planes_of(image),
    })
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
        assert_eq!(read(&path, [3, 4, 4]).unwrap(), [[0; 16], [255; 16], [0; 16]].concat());
        assert_eq!(read(&path, [1, 2, 2]).unwrap().len(), 4);
    }

    #[test]
    fn only_images_are_listed_and_those_of_inner_folders_too() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("b")).unwrap();
        for name in ["b/2.PNG", "a.jpeg", "notes.txt", ".hidden.png"] {
            std::fs::write(folder.path().join(name), b"").unwrap();
        }
        assert_eq!(list(folder.path()).unwrap(), [PathBuf::from("a.jpeg"), "b/2.PNG".into()]);
        let message = read(&folder.path().join("a.jpeg"), [3, 2, 2]).unwrap_err().to_string();
        assert!(message.contains("a.jpeg: found an image that cannot be read"), "{message}");
    }
}
