//! The binary version: records, each of label bytes and 3 x 32 x 32 pixel bytes.

use super::labelled::{CLASS_NAMES, IMAGE_BYTES, Labelled};
use crate::data::Images;
use crate::{Error, Result};
use std::fs::File;
use std::io::{Read, Seek};
use std::path::PathBuf;

/// Records read at a time: 200 kB stay in a core's own cache until they are copied to their place.
const RECORDS_PER_READ: usize = 64;

/// A file of records, read some at a time.
#[derive(Debug)]
pub(in crate::data) struct Batch<R> {
    /// For messages.
    path: PathBuf,
    reader: R,
    /// The class is the last of them.
    n_label_bytes: usize,
    n_images: usize,
}

impl Batch<File> {
    /// Opens a file by itself: CIFAR-10's.
    pub(in crate::data) fn open(path: PathBuf) -> Result<Self> {
        let explain = |source| Error::file("opening", &path, "check the path and the permissions", source);
        let file = File::open(&path).map_err(explain)?;
        let n_bytes = file.metadata().map_err(explain)?.len();
        Self::new(n_bytes, file, path, 1)
    }

    /// Passes over the next `n_images` records.
    pub(in crate::data) fn pass_over(&mut self, n_images: usize) -> Result<()> {
        let n_bytes = n_images * (self.n_label_bytes + IMAGE_BYTES);
        let moved = self.reader.seek_relative(n_bytes as i64);
        moved.map_err(|error| Error::file("reading", &self.path, "check the disk", error))
    }
}

impl<R: Read> Batch<R> {
    /// Takes records of `n_bytes` in all; `path` is for messages alone.
    pub(super) fn new(n_bytes: u64, reader: R, path: PathBuf, n_label_bytes: usize) -> Result<Self> {
        let record_bytes = n_label_bytes + IMAGE_BYTES;
        let n_bytes = n_bytes as usize;
        if n_bytes > 0 && n_bytes.is_multiple_of(record_bytes) {
            return Ok(Self { n_images: n_bytes / record_bytes, path, n_label_bytes, reader });
        }
        let is_cifar100 = n_label_bytes == 1 && n_bytes > 0 && n_bytes.is_multiple_of(record_bytes + 1);
        Err(Error::format(
            &path,
            format!("{n_bytes} bytes"),
            format!("records of {record_bytes} bytes"),
            match is_cifar100 {
                true => "these may be CIFAR-100's, of 3074 bytes: open the folder that they are in",
                false => "the file is truncated, or of another data set: unpack or download it again",
            },
        ))
    }

    /// Records in the whole file.
    pub(in crate::data) fn n_images(&self) -> usize {
        self.n_images
    }

    /// Reads the next `n_images` records, with CIFAR-10's class names.
    pub(in crate::data) fn read_some(&mut self, n_images: usize) -> Result<Images> {
        self.read(n_images, CLASS_NAMES.len())?.into_images(&CLASS_NAMES)
    }

    /// Reads the next `n_images` records.
    pub(super) fn read(&mut self, n_images: usize, n_classes: usize) -> Result<Labelled> {
        let record_bytes = self.n_label_bytes + IMAGE_BYTES;
        let mut pixels = Vec::with_capacity(n_images * IMAGE_BYTES);
        let mut labels = Vec::with_capacity(n_images);
        let mut records = vec![0; RECORDS_PER_READ * record_bytes];
        for start in (0..n_images).step_by(RECORDS_PER_READ) {
            let records = &mut records[..(n_images - start).min(RECORDS_PER_READ) * record_bytes];
            self.reader
                .read_exact(records)
                .map_err(|error| Error::file("reading", &self.path, "check the disk", error))?;
            for record in records.chunks_exact(record_bytes) {
                let (label, image) = record.split_at(self.n_label_bytes);
                let label = usize::from(label[self.n_label_bytes - 1]);
                if label >= n_classes {
                    return Err(Error::format(
                        &self.path,
                        format!("label {label}"),
                        format!("0..{n_classes}"),
                        "this is no CIFAR batch, or a damaged one: unpack or download it again",
                    ));
                }
                pixels.extend_from_slice(image);
                labels.push(label);
            }
        }
        Ok(Labelled { pixels, labels })
    }
}
