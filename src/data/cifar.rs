//! CIFAR-10 in its official binary form: batches of records, each a label byte and 3 x 32 x 32 pixel bytes.
//!
//! # Source
//! A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009;
//! <https://www.cs.toronto.edu/~kriz/cifar.html>.

use super::images::{Images, Pixels};
use super::options::OpenOptions;
use super::split::Split;
use super::unpack::{Limited, unpack_error};
use crate::{Error, Result};
use flate2::read::GzDecoder;
use ndarray::Array4;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

const TRAIN_FILES: [&str; 5] =
    ["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"];
const TEST_FILES: [&str; 1] = ["test_batch.bin"];
/// The folder in the official archive.
pub(super) const FOLDER: &str = "cifar-10-batches-bin";
/// The official archive.
pub(super) const ARCHIVE: &str = "cifar-10-binary.tar.gz";
const NAMES_FILE: &str = "batches.meta.txt";
const CLASS_NAMES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

const CHANNELS: usize = 3;
const SIDE_PX: usize = 32;
const IMAGE_BYTES: usize = CHANNELS * SIDE_PX * SIDE_PX;
const RECORD_BYTES: usize = 1 + IMAGE_BYTES;
/// Records read at a time: 200 kB stay in a core's own cache until they are copied to their place.
const RECORDS_PER_READ: usize = 64;

/// Whether a folder is meant to hold the batches.
pub(super) fn is_cifar(folder: &Path) -> bool {
    TRAIN_FILES.iter().chain(&TEST_FILES).any(|name| folder.join(name).is_file())
}

/// Opens the five training batches and the test batch, each file on a thread of its own.
///
/// Pixels keep their 8 bits and their order, which is `[c, h, w]` already. A batch may hold any number of records.
pub(super) fn open(folder: &Path) -> Result<Split> {
    let names = read_names(&folder.join(NAMES_FILE))?;
    let names = Vec::from_iter(names.iter().map(String::as_str));
    let (train, test) = std::thread::scope(|scope| {
        let train = scope.spawn(|| read_batches(open_batches(folder, &TRAIN_FILES)?, &names));
        let test = open_batches(folder, &TEST_FILES).and_then(|batches| read_batches(batches, &names));
        (train.join().expect("reading returns its errors"), test)
    });
    Ok(Split::new("CIFAR-10", train?, test?)?.with_source(format!("binary batches in {}", folder.display())))
}

/// Opens the official archive as it is downloaded, `cifar-10-binary.tar.gz`.
pub(super) fn open_archive(path: &Path, options: &OpenOptions) -> Result<Split> {
    let file = File::open(path)
        .map_err(|source| Error::file("opening", path, "check the path and the permissions", source))?;
    read_archive(BufReader::new(file), path, options)
}

/// Reads the archive's batches; `path` is for messages alone.
///
/// Nothing is written anywhere: members other than the batches and the class names are passed over, whatever their
/// paths say.
pub(super) fn read_archive(reader: impl Read, path: &Path, options: &OpenOptions) -> Result<Split> {
    let unpack_error = |error: std::io::Error| unpack_error(path, options, &error);
    let mut archive = tar::Archive::new(Limited::new(GzDecoder::new(reader), options.max_unpacked_bytes));
    let mut members = HashMap::new();
    let mut has_python_batches = false;
    for entry in archive.entries().map_err(unpack_error)? {
        let mut entry = entry.map_err(unpack_error)?;
        let inside = entry.path().map_err(unpack_error)?.into_owned();
        let name = inside.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_known = TRAIN_FILES.iter().chain(&TEST_FILES).chain(&[NAMES_FILE]).any(|&known| known == name);
        has_python_batches |= name == "data_batch_1";
        if is_known && entry.header().entry_type().is_file() {
            let mut content = Vec::new();
            entry.read_to_end(&mut content).map_err(unpack_error)?;
            members.insert(name, content);
        }
    }
    // The checksum of the whole comes last, after the archive's own end.
    std::io::copy(&mut archive.into_inner(), &mut std::io::sink()).map_err(unpack_error)?;
    let names = match members.remove(NAMES_FILE) {
        Some(text) => parse_names(&String::from_utf8_lossy(&text), &path.join(NAMES_FILE))?,
        None => CLASS_NAMES.map(String::from).into(),
    };
    let names = Vec::from_iter(names.iter().map(String::as_str));
    let mut part = |file_names: &[&str]| {
        let batch = |name: &&str| match members.remove(*name) {
            Some(content) => Batch::new(content.len() as u64, Cursor::new(content), path.join(name)),
            None => Err(Error::format(
                path,
                format!("no {name}"),
                "CIFAR-10's six batches in binary form",
                match has_python_batches {
                    true => "this is CIFAR-10's Python version: download the binary version",
                    false => "download cifar-10-binary.tar.gz again",
                },
            )),
        };
        read_batches(file_names.iter().map(batch).collect::<Result<_>>()?, &names)
    };
    let (train, test) = (part(&TRAIN_FILES)?, part(&TEST_FILES)?);
    Ok(Split::new("CIFAR-10", train, test)?.with_source(format!("binary batches in {}", path.display())))
}

/// Opens batches of a folder.
fn open_batches(folder: &Path, file_names: &[&str]) -> Result<Vec<Batch<File>>> {
    file_names.iter().map(|name| Batch::open(folder.join(name))).collect()
}

/// Reads batches into one set of images, each on a thread of its own.
fn read_batches<R: Read + Send>(batches: Vec<Batch<R>>, class_names: &[&str]) -> Result<Images> {
    let n_images = batches.iter().map(|batch| batch.n_images).sum();
    let mut pixels = vec![0; n_images * IMAGE_BYTES];
    let mut labels = vec![0; n_images];
    std::thread::scope(|scope| {
        let (mut pixels_left, mut labels_left) = (&mut pixels[..], &mut labels[..]);
        let mut readers = Vec::new();
        for mut batch in batches {
            let (pixels, labels);
            (pixels, pixels_left) = pixels_left.split_at_mut(batch.n_images * IMAGE_BYTES);
            (labels, labels_left) = labels_left.split_at_mut(batch.n_images);
            readers.push(scope.spawn(move || batch.read(pixels, labels, class_names.len())));
        }
        readers.into_iter().try_for_each(|reader| reader.join().expect("reading returns its errors"))
    })?;
    labelled(pixels, labels, class_names)
}

fn labelled(pixels: Vec<u8>, labels: Vec<usize>, class_names: &[&str]) -> Result<Images> {
    let pixels =
        Array4::from_shape_vec((labels.len(), CHANNELS, SIDE_PX, SIDE_PX), pixels).expect("whole images were read");
    Images::from_pixels(Pixels::Bytes(pixels)).with_classes(class_names, labels)
}

/// Records in the making of images.
#[derive(Debug)]
pub(super) struct Batch<R> {
    /// For messages.
    path: PathBuf,
    reader: R,
    n_images: usize,
}

impl Batch<File> {
    pub(super) fn open(path: PathBuf) -> Result<Self> {
        let open_error =
            |source| Error::file("opening", &path, "unpack all six batch files of CIFAR-10's binary version", source);
        let file = File::open(&path).map_err(open_error)?;
        let n_bytes = file.metadata().map_err(open_error)?.len();
        Self::new(n_bytes, file, path)
    }
}

impl<R: Read> Batch<R> {
    /// Takes records of `n_bytes` in all; `path` is for messages alone.
    fn new(n_bytes: u64, reader: R, path: PathBuf) -> Result<Self> {
        let n_bytes = n_bytes as usize;
        if n_bytes == 0 || !n_bytes.is_multiple_of(RECORD_BYTES) {
            return Err(Error::format(
                &path,
                format!("{n_bytes} bytes"),
                format!("records of {RECORD_BYTES} bytes, 30730000 in an official file"),
                "the file is truncated: unpack or download it again",
            ));
        }
        Ok(Self { n_images: n_bytes / RECORD_BYTES, path, reader })
    }

    /// Records in the whole file.
    pub(super) fn n_images(&self) -> usize {
        self.n_images
    }

    /// Reads the next `n_images` records, with the official class names.
    pub(super) fn read_some(&mut self, n_images: usize) -> Result<Images> {
        let mut pixels = vec![0; n_images * IMAGE_BYTES];
        let mut labels = vec![0; n_images];
        self.read(&mut pixels, &mut labels, CLASS_NAMES.len())?;
        labelled(pixels, labels, &CLASS_NAMES)
    }

    /// Reads the next records into buffers, as many as there are labels.
    fn read(&mut self, pixels: &mut [u8], labels: &mut [usize], n_classes: usize) -> Result<()> {
        let mut records = vec![0; RECORDS_PER_READ * RECORD_BYTES];
        let blocks = pixels.chunks_mut(RECORDS_PER_READ * IMAGE_BYTES).zip(labels.chunks_mut(RECORDS_PER_READ));
        for (pixels, labels) in blocks {
            let records = &mut records[..labels.len() * RECORD_BYTES];
            self.reader
                .read_exact(records)
                .map_err(|error| Error::file("reading", &self.path, "check the disk", error))?;
            let images = pixels.chunks_exact_mut(IMAGE_BYTES);
            for ((record, image), label) in records.chunks_exact(RECORD_BYTES).zip(images).zip(labels) {
                image.copy_from_slice(&record[1..]);
                *label = usize::from(record[0]);
                if *label >= n_classes {
                    return Err(Error::format(
                        &self.path,
                        format!("label {label}"),
                        format!("0..{n_classes}"),
                        "this is no CIFAR-10 batch, or a damaged one: unpack or download it again",
                    ));
                }
            }
        }
        Ok(())
    }
}

/// The class names beside the batches, or the official ones where that file is missing.
fn read_names(path: &Path) -> Result<Vec<String>> {
    if !path.is_file() {
        return Ok(CLASS_NAMES.map(String::from).into());
    }
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error::file("reading", path, "unpack it again, or remove it", error))?;
    parse_names(&text, path)
}

fn parse_names(text: &str, path: &Path) -> Result<Vec<String>> {
    let names = Vec::from_iter(text.lines().map(str::trim).filter(|name| !name.is_empty()).map(String::from));
    if names.len() != CLASS_NAMES.len() {
        return Err(Error::format(
            path,
            format!("{} class names", names.len()),
            format!("{}, one a line", CLASS_NAMES.len()),
            "unpack it again, or remove it to use the official names",
        ));
    }
    Ok(names)
}
