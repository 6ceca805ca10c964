//! What tells the images of a training or a sweep from others: one identity of data for all that is kept on disk.

use super::{ImageShape, Images, Split};
use crate::Result;
use crate::files::fingerprint;
use serde::{Deserialize, Serialize};

/// Images whose pixels a run folder's fingerprint follows from.
const N_OF_RUNS: usize = 16;
/// Images of each part whose pixels a sweep's fingerprint follows from.
const N_OF_SWEEPS: usize = 1024;

/// The images of a training, well enough to tell others from them.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// # let folder = tempfile::tempdir().unwrap();
/// # let runs = folder.path();
/// train_in(runs.join("small").to_str().unwrap(), small, &data, Training::default().epochs(1))?;
/// let description = Run::open(runs.join("small"))?.data;
/// assert_eq!((description.name.as_str(), description.n_train), ("drawn", 32));
/// assert_eq!(description.held_out, ["dots"]);
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataDescription {
    /// Name of the data.
    pub name: String,
    /// Images to train on.
    pub n_train: usize,
    /// Shape of an image.
    pub image_shape: ImageShape,
    /// Classes that training does not see.
    pub held_out: Vec<String>,
    /// A number that follows from the pixels of 16 of the images.
    pub fingerprint: String,
}

impl DataDescription {
    pub(crate) fn of(split: &Split) -> Result<Self> {
        Ok(Self {
            name: split.name().into(),
            // Of all processes, where this one has a share of them.
            n_train: split.n_train_of_each().map_or(split.train().len(), |n_of_each| n_of_each.iter().sum()),
            image_shape: split.train().shape(),
            held_out: split.held_out().to_vec(),
            fingerprint: format!("{:016x}", fingerprint(some_pixels(split.train(), N_OF_RUNS)?)),
        })
    }
}

/// A number that follows from the training images of all classes and the test images: the pixels of up to 1,024 of each,
/// and all labels.
pub(crate) fn fingerprint_of_all_classes(split: &Split) -> Result<String> {
    // Whoever trains on fewer images has other results.
    let mut bytes = split.n_train_at_most().map_or(Vec::new(), |n_images| (n_images as u64).to_le_bytes().to_vec());
    for images in [split.train_of_all_classes(), split.test()] {
        bytes.extend(some_pixels(images, N_OF_SWEEPS)?);
        let labels = images.class_indices().unwrap_or_default().iter();
        bytes.extend(labels.flat_map(|&label| (label as u64).to_le_bytes()));
    }
    Ok(format!("{:016x}", fingerprint(bytes)))
}

/// The pixels of up to `n_images` images from all over the set: others would hardly have the same.
fn some_pixels(images: &Images, n_images: usize) -> Result<Vec<u8>> {
    let n = images.len();
    let n_some = n_images.min(n);
    let some: Vec<usize> = (0..n_some).map(|index| index * n / n_some).collect();
    Ok(images.select(&some)?.to_array().iter().flat_map(|pixel| pixel.to_le_bytes()).collect())
}
