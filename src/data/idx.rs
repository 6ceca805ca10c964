//! MNIST's IDX files, plain or gzipped: images `[n, 28, 28]` in grey and one label byte each.
//!
//! # Source
//! The format is described at the end of <http://yann.lecun.com/exdb/mnist/>; Fashion-MNIST's class names are those of
//! H. Xiao, K. Rasul and R. Vollgraf, "Fashion-MNIST", 2017.

use super::arrays::classes_of;
use super::images::Images;
use super::options::OpenOptions;
use super::pixels::Pixels;
use super::split::Split;
use super::unpack::{Limited, unpack_error};
use crate::{Error, Result};
use flate2::read::GzDecoder;
use ndarray::Array4;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

const FASHION_CLASSES: [&str; 10] =
    ["T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"];

/// What a file is called before its ending.
const PARTS: [&str; 2] = ["train", "t10k"];

/// The element type of bytes in the header's third byte.
const UNSIGNED_BYTE: u8 = 0x08;

/// The path of a part's images (3 axes) or labels (1 axis), under any of the names that are in use.
fn find(folder: &Path, part: &str, what: &str, n_axes: usize) -> Option<PathBuf> {
    let names = ["-", "."].map(|joint| format!("{part}-{what}{joint}idx{n_axes}-ubyte"));
    let paths = names.iter().flat_map(|name| [folder.join(name), folder.join(format!("{name}.gz"))]);
    paths.into_iter().find(|path| path.is_file())
}

/// Whether a folder is meant to hold the files.
pub(super) fn is_idx(folder: &Path) -> bool {
    PARTS.iter().any(|part| find(folder, part, "images", 3).is_some())
}

/// Whether a file is one of them, by its name.
pub(super) fn is_idx_file(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    ["idx1-ubyte", "idx3-ubyte"].iter().any(|ending| name.ends_with(ending))
}

/// Opens the four files.
pub(super) fn open(folder: &Path, options: &OpenOptions) -> Result<Split> {
    let open_part = |part: &str| {
        let path_of = |what: &str, n_axes: usize| {
            find(folder, part, what, n_axes).ok_or_else(|| {
                Error::data(
                    format!("opening {}", folder.display()),
                    format!("no {part}-{what}-idx{n_axes}-ubyte, with or without .gz"),
                    "images and labels to train on (train-...) and to test on (t10k-...)",
                    "put the missing file beside the others",
                )
            })
        };
        let (images_path, labels_path) = (path_of("images", 3)?, path_of("labels", 1)?);
        let images = read_file(&images_path, options)?.into_images(&images_path)?;
        let labels = read_file(&labels_path, options)?.into_labels(&labels_path, images.len())?;
        Ok((images, labels))
    };
    let ((train, train_labels), (test, test_labels)) = (open_part(PARTS[0])?, open_part(PARTS[1])?);

    let own_name = own_name(folder);
    let is_fashion = own_name.to_lowercase().contains("fashion")
        && train_labels.iter().chain(&test_labels).all(|&label| label < FASHION_CLASSES.len() as u8);
    let (names, indices) = match is_fashion {
        true => {
            let indices = |labels: &[u8]| labels.iter().map(|&label| usize::from(label)).collect();
            (FASHION_CLASSES.map(String::from).to_vec(), vec![indices(&train_labels), indices(&test_labels)])
        }
        false => classes_of(&[train_labels, test_labels].map(|labels| labels.into_iter().map(i64::from).collect())),
    };
    let names = Vec::from_iter(names.iter().map(String::as_str));
    let [train_indices, test_indices] = <[_; 2]>::try_from(indices).expect("two sets of labels went in");
    let name = match is_fashion {
        true => "Fashion-MNIST".into(),
        false if own_name.eq_ignore_ascii_case("mnist") => "MNIST".into(),
        false => own_name,
    };
    let (train, test) = (train.with_classes(&names, train_indices)?, test.with_classes(&names, test_indices)?);
    Ok(Split::new(name, train, test)?.with_source(format!("IDX files in {}", folder.display())))
}

/// The name of the folder itself: what lies above it says nothing of its images. In torchvision's `FashionMNIST/raw` it is
/// the upper one.
fn own_name(folder: &Path) -> String {
    let whole = std::path::absolute(folder).unwrap_or(folder.into());
    let named = if whole.ends_with("raw") { whole.parent().unwrap_or(&whole) } else { &whole };
    named.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned()
}

/// Reads a file that is plain or gzipped, whatever its name says: browsers unpack what they download.
fn read_file(path: &Path, options: &OpenOptions) -> Result<Idx> {
    const GZIP: [u8; 2] = [0x1f, 0x8b];
    let explain = |source| Error::file("opening", path, "check the path and the permissions", source);
    let mut file = BufReader::new(File::open(path).map_err(explain)?);
    match file.fill_buf().map_err(explain)?.starts_with(&GZIP) {
        true => Idx::read(GzDecoder::new(file), path, options),
        false => Idx::read(file, path, options),
    }
}

/// The content of one file of bytes.
#[derive(Debug)]
pub(super) struct Idx {
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Idx {
    /// Reads a whole file; `path` is for messages alone.
    ///
    /// The header is two zero bytes, the element type, the number of axes, and each axis's length as 32 bits, most
    /// significant first. Its claims are compared with what comes; memory grows with what comes.
    pub(super) fn read(reader: impl Read, path: &Path, options: &OpenOptions) -> Result<Self> {
        let bad = |found: String, next_step: &str| {
            Error::format(path, found, "an IDX file of bytes, as MNIST's", next_step.to_string())
        };
        let mut reader = Limited::new(reader, options.max_unpacked_bytes);
        let mut read_exact = |buffer: &mut [u8]| match reader.read_exact(buffer) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                Err(bad("a header that is cut off".into(), "copy or download it again"))
            }
            read => read.map_err(|error| unpack_error(path, options, &error)),
        };
        let mut start = [0; 4];
        read_exact(&mut start)?;
        let n_axes = match start {
            [0, 0, UNSIGNED_BYTE, n_axes] => usize::from(n_axes),
            [0, 0, element, _] => {
                return Err(bad(format!("elements of type {element:#04x}"), "save it as unsigned bytes"));
            }
            _ => return Err(bad("something else".into(), "copy or download it again")),
        };
        let mut header = vec![0; 4 * n_axes];
        read_exact(&mut header)?;
        let shape = Vec::from_iter(header.as_chunks().0.iter().map(|&size| u32::from_be_bytes(size) as usize));
        let bytes = reader.read_whole().map_err(|error| unpack_error(path, options, &error))?;
        let wanted_bytes = shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size));
        if wanted_bytes != Some(bytes.len()) {
            return Err(Error::format(
                path,
                format!("{} bytes of elements", bytes.len()),
                format!("the bytes of shape {shape:?}"),
                "the file is truncated or damaged: copy or download it again",
            ));
        }
        Ok(Self { shape, bytes })
    }

    fn into_images(self, path: &Path) -> Result<Images> {
        match *self.shape {
            [n, h, w] if n * h * w > 0 => {
                let pixels = Array4::from_shape_vec((n, 1, h, w), self.bytes).expect("the length was compared");
                Ok(Images::from_pixels(Pixels::Bytes(pixels)))
            }
            _ => Err(Error::format(
                path,
                format!("shape {:?}", self.shape),
                "[n, height, width] with at least one image",
                "give images here, and labels in the file whose name says so",
            )),
        }
    }

    fn into_labels(self, path: &Path, n_images: usize) -> Result<Vec<u8>> {
        if *self.shape == [n_images] {
            return Ok(self.bytes);
        }
        let (found, wanted) = (format!("shape {:?}", self.shape), format!("[{n_images}], one label per image"));
        Err(Error::format(path, found, wanted, "take images and labels of the same data set"))
    }
}
