//! CIFAR-10 and CIFAR-100 as they are downloaded: folders or archives of their binary version, or of their Python version.
//!
//! # Source
//! A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009;
//! <https://www.cs.toronto.edu/~kriz/cifar.html>.

mod binary;
mod labelled;
mod python;

use super::options::OpenOptions;
use super::split::Split;
use super::unpack::{Limited, too_much, unpack_error};
use crate::{Error, Result};
pub(super) use binary::Batch;
use flate2::read::GzDecoder;
use labelled::{CLASS_NAMES, IMAGE_BYTES, Labelled};
use rayon::prelude::*;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

/// The folder in the official archive of CIFAR-10's binary version.
pub(super) const FOLDER: &str = "cifar-10-batches-bin";
/// That archive.
pub(super) const ARCHIVE: &str = "cifar-10-binary.tar.gz";
/// The folder and the archive of its Python version, which torchvision and Keras download.
pub(super) const PYTHON_FOLDER: &str = "cifar-10-batches-py";
pub(super) const PYTHON_ARCHIVE: &str = "cifar-10-python.tar.gz";

/// One of the two data sets in one of its two forms.
#[derive(Debug)]
struct Version {
    name: &'static str,
    /// Its folder in the official archive.
    folder: &'static str,
    archive: &'static str,
    train_files: &'static [&'static str],
    test_files: &'static [&'static str],
    names_file: &'static str,
    n_classes: usize,
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Form {
    /// Records of this many label bytes, of which the last is the class, and the pixels.
    Binary { n_label_bytes: usize },
    /// Pickles; the keys of the labels and, in the file of names, of the class names.
    Python { labels: &'static str, names: &'static str },
}

static VERSIONS: [Version; 4] = [
    Version {
        name: "CIFAR-10",
        folder: FOLDER,
        archive: ARCHIVE,
        train_files: &[
            "data_batch_1.bin",
            "data_batch_2.bin",
            "data_batch_3.bin",
            "data_batch_4.bin",
            "data_batch_5.bin",
        ],
        test_files: &["test_batch.bin"],
        names_file: "batches.meta.txt",
        n_classes: 10,
        form: Form::Binary { n_label_bytes: 1 },
    },
    Version {
        name: "CIFAR-10",
        folder: PYTHON_FOLDER,
        archive: PYTHON_ARCHIVE,
        train_files: &["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"],
        test_files: &["test_batch"],
        names_file: "batches.meta",
        n_classes: 10,
        form: Form::Python { labels: "labels", names: "label_names" },
    },
    Version {
        name: "CIFAR-100",
        folder: "cifar-100-binary",
        archive: "cifar-100-binary.tar.gz",
        train_files: &["train.bin"],
        test_files: &["test.bin"],
        names_file: "fine_label_names.txt",
        n_classes: 100,
        form: Form::Binary { n_label_bytes: 2 },
    },
    Version {
        name: "CIFAR-100",
        folder: "cifar-100-python",
        archive: "cifar-100-python.tar.gz",
        train_files: &["train"],
        test_files: &["test"],
        names_file: "meta",
        n_classes: 100,
        form: Form::Python { labels: "fine_labels", names: "fine_label_names" },
    },
];

impl Version {
    /// The files of images, those to train on first.
    fn files(&self) -> impl Iterator<Item = &'static str> {
        self.train_files.iter().chain(self.test_files).copied()
    }

    /// How many of its files are among those of these names; a name alone says nothing of CIFAR-100's, so that its class
    /// names have to be there too.
    fn n_found(&self, has: impl Fn(&str) -> bool) -> usize {
        let n_files = self.files().filter(|name| has(name)).count();
        if self.n_classes == 100 && !has(self.names_file) { 0 } else { n_files }
    }

    /// The version of which most files are there, if any is.
    fn of(has: impl Fn(&str) -> bool) -> Option<&'static Self> {
        let found = VERSIONS.iter().rev().map(|version| (version.n_found(&has), version));
        found.filter(|(n_files, _)| *n_files > 0).max_by_key(|(n_files, _)| *n_files).map(|(_, version)| version)
    }

    /// Reads one file of images.
    fn read_batch(&self, content: impl Read, n_bytes: u64, path: &Path, names: &[&str]) -> Result<Labelled> {
        match self.form {
            Form::Binary { n_label_bytes } => {
                let mut batch = Batch::new(n_bytes, content, path.into(), n_label_bytes)?;
                let n_images = batch.n_images();
                batch.read(n_images, names.len())
            }
            Form::Python { labels, .. } => {
                let bytes = read_all(content, path)?;
                python::read_batch(&bytes, path, labels, names.len())
            }
        }
    }

    /// Reads the class names; those of CIFAR-10 are known where the file is missing.
    fn read_names(&self, content: Option<impl Read>, path: &Path) -> Result<Vec<String>> {
        let names = match (content, self.form) {
            (None, _) if self.n_classes == 10 => return Ok(CLASS_NAMES.map(String::from).into()),
            (None, _) => (0..self.n_classes).map(|class| class.to_string()).collect(),
            (Some(content), Form::Binary { .. }) => {
                let text = String::from_utf8_lossy(&read_all(content, path)?).into_owned();
                Vec::from_iter(text.lines().map(str::trim).filter(|name| !name.is_empty()).map(String::from))
            }
            (Some(content), Form::Python { names, .. }) => python::read_names(&read_all(content, path)?, path, names)?,
        };
        if names.len() == self.n_classes {
            return Ok(names);
        }
        Err(Error::format(
            path,
            format!("{} class names", names.len()),
            format!("{}, one a line", self.n_classes),
            "unpack it again, or remove it to use the official names",
        ))
    }
}

/// Whether a folder is meant to hold one of the versions.
pub(super) fn is_cifar(folder: &Path) -> bool {
    Version::of(|name| folder.join(name).is_file()).is_some()
}

/// Opens the files of a folder, each on a thread of its own.
///
/// Pixels keep their 8 bits and their order, which is `[c, h, w]` already. A batch may hold any number of images.
pub(super) fn open(folder: &Path, options: &OpenOptions) -> Result<Split> {
    let version = Version::of(|name| folder.join(name).is_file()).unwrap_or(&VERSIONS[0]);
    let open_file = |name: &str| {
        let path = folder.join(name);
        let next_step = format!("unpack all files of {}", version.archive);
        let explain = |source| Error::file("opening", &path, next_step, source);
        let opened = File::open(&path).and_then(|file| file.metadata().map(|data| (file, data.len())));
        let (file, n_bytes) = opened.map_err(explain)?;
        if n_bytes > options.max_unpacked_bytes {
            return Err(too_much(&path, options));
        }
        Ok((BufReader::new(file), n_bytes, path))
    };
    let names_path = folder.join(version.names_file);
    let names_file = names_path.is_file().then(|| open_file(version.names_file)).transpose()?;
    let names = version.read_names(names_file.map(|(file, ..)| file), &names_path)?;
    version.split(&names, folder, |name| open_file(name))
}

/// Opens an archive as it is downloaded.
pub(super) fn open_archive(path: &Path, options: &OpenOptions) -> Result<Split> {
    let file = File::open(path)
        .map_err(|source| Error::file("opening", path, "check the path and the permissions", source))?;
    read_archive(BufReader::new(file), path, options)
}

/// Reads the batches of an archive; `path` is for messages alone.
///
/// Nothing is written anywhere: members other than the batches and the class names are passed over, whatever their
/// paths say.
fn read_archive(reader: impl Read, path: &Path, options: &OpenOptions) -> Result<Split> {
    let unpack_error = |error: std::io::Error| unpack_error(path, options, &error);
    let mut archive = tar::Archive::new(Limited::new(GzDecoder::new(reader), options.max_unpacked_bytes));
    let mut members = HashMap::new();
    for entry in archive.entries().map_err(unpack_error)? {
        let mut entry = entry.map_err(unpack_error)?;
        let inside = entry.path().map_err(unpack_error)?.into_owned();
        let name = inside.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_known =
            VERSIONS.iter().any(|version| version.files().chain([version.names_file]).any(|known| known == name));
        if is_known && entry.header().entry_type().is_file() {
            let mut content = Vec::new();
            entry.read_to_end(&mut content).map_err(unpack_error)?;
            members.insert(name, content);
        }
    }
    // The checksum of the whole comes last, after the archive's own end.
    std::io::copy(&mut archive.into_inner(), &mut std::io::sink()).map_err(unpack_error)?;
    let version = Version::of(|name| members.contains_key(name)).unwrap_or(&VERSIONS[0]);
    let names = version.read_names(members.get(version.names_file).map(Cursor::new), &path.join(version.names_file))?;
    version.split(&names, path, |name| match members.get(name) {
        Some(content) => Ok((Cursor::new(content), content.len() as u64, path.join(name))),
        None => Err(Error::format(
            path,
            format!("no {name}"),
            format!("the files of {}", version.folder),
            format!("download {} again", version.archive),
        )),
    })
}

impl Version {
    /// Reads all files of images, each on a thread of its own; `open` gives a file with its size and its path.
    fn split<R: Read + Send>(
        &self,
        names: &[String],
        path: &Path,
        open: impl Fn(&str) -> Result<(R, u64, PathBuf)> + Sync,
    ) -> Result<Split> {
        let names = Vec::from_iter(names.iter().map(String::as_str));
        let files = Vec::from_iter(self.files());
        // All files are there, or nothing is read.
        let opened = files.iter().map(|name| open(name)).collect::<Result<Vec<_>>>()?;
        let read = opened.into_par_iter().map(|(file, n_bytes, path)| self.read_batch(file, n_bytes, &path, &names));
        let mut batches = read.collect::<Result<Vec<_>>>()?;
        let test = batches.split_off(self.train_files.len());
        let join = |batches: Vec<Labelled>| {
            let n_images: usize = batches.iter().map(|batch| batch.labels.len()).sum();
            let mut whole = Labelled { pixels: Vec::with_capacity(n_images * IMAGE_BYTES), labels: Vec::new() };
            for batch in batches {
                whole.pixels.extend_from_slice(&batch.pixels);
                whole.labels.extend_from_slice(&batch.labels);
            }
            whole.into_images(&names)
        };
        let form = if matches!(self.form, Form::Binary { .. }) { "binary" } else { "Python" };
        let source = format!("{form} batches in {}", path.display());
        Ok(Split::new(self.name, join(batches)?, join(test)?)?.with_source(source))
    }
}

fn read_all(mut content: impl Read, path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    content.read_to_end(&mut bytes).map_err(|source| Error::file("reading", path, "check the disk", source))?;
    Ok(bytes)
}
