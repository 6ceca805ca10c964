//! The Python version: pickles of a dictionary with an array of pixels and a list of labels.

use super::labelled::{IMAGE_BYTES, Labelled};
use crate::data::pickle::Pickle;
use crate::{Error, Result};
use std::path::Path;

const NEXT_STEP: &str = "unpack it again, or download it again";

/// Reads a file of images; the labels are under their key.
pub(super) fn read_batch(bytes: &[u8], path: &Path, labels_key: &str, n_classes: usize) -> Result<Labelled> {
    let wanted = format!("a batch of CIFAR's Python version, with {labels_key} and data");
    let bad = |found: String| Error::format(path, found, wanted.clone(), NEXT_STEP);
    let pickle = Pickle::read(bytes).map_err(bad)?;
    let labels = pickle.numbers(labels_key).ok_or_else(|| bad(format!("no list of numbers {labels_key}")))?;
    let array = pickle.array("data").ok_or_else(|| bad("no array data".into()))?;
    let n_images = labels.len();
    if n_images == 0
        || array.shape != [n_images, IMAGE_BYTES]
        || array.element != "u1"
        || array.is_fortran_order
        || array.bytes.len() != n_images * IMAGE_BYTES
    {
        let found = format!("data of shape {:?}, type {}, {} bytes", array.shape, array.element, array.bytes.len());
        return Err(bad(format!("{found}, and {n_images} labels")));
    }
    let class_of = |&label: &i64| match usize::try_from(label) {
        Ok(class) if class < n_classes => Ok(class),
        _ => Err(bad(format!("label {label} of 0..{n_classes}"))),
    };
    Ok(Labelled { labels: labels.iter().map(class_of).collect::<Result<_>>()?, pixels: array.bytes.to_vec() })
}

/// Reads the class names, which are under their key.
pub(super) fn read_names(bytes: &[u8], path: &Path, key: &str) -> Result<Vec<String>> {
    let bad = |found: String| Error::format(path, found, format!("a list {key} of class names"), NEXT_STEP);
    let pickle = Pickle::read(bytes).map_err(bad)?;
    pickle.texts(key).ok_or_else(|| bad(format!("no list {key}")))
}
