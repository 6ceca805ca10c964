//! The homework's files: `train.npy` and `test.npy`, perhaps with `test_labels.npy`.

use super::arrays::{ImageArray, Labels, read_images, read_labels};
use super::npy::Npy;
use super::options::OpenOptions;
use super::split::Split;
use crate::{Error, Result};
use std::path::Path;

const TRAIN_FILE: &str = "train.npy";
const TEST_FILE: &str = "test.npy";
const LABELS_FILE: &str = "test_labels.npy";

/// Whether a folder is meant to hold the homework's files.
pub(super) fn is_homework(folder: &Path) -> bool {
    folder.join(TRAIN_FILE).is_file() || folder.join(TEST_FILE).is_file()
}

/// Whether a file is one of the homework's images, with the other beside it.
pub(super) fn is_homework_file(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == TRAIN_FILE || name == TEST_FILE)
        && [TRAIN_FILE, TEST_FILE].iter().all(|name| path.with_file_name(name).is_file())
}

/// Opens `train.npy` and `test.npy` in any layout of images, in either memory order.
pub(super) fn open(folder: &Path, options: &OpenOptions) -> Result<Split> {
    let open_images = |name| ImageArray::new(Npy::open(&folder.join(name))?);
    let arrays = [open_images(TRAIN_FILE)?, open_images(TEST_FILE)?];
    let ([train, mut test], note) = read_images(arrays, options)?;
    let mut source = format!("{TRAIN_FILE} and {TEST_FILE} in {}{note}", folder.display());

    let labels_path = folder.join(LABELS_FILE);
    if labels_path.is_file() {
        let labels = match read_labels(Npy::open(&labels_path)?, test.len())? {
            Labels::Numbers(labels) => labels,
            Labels::Unusable(found) => {
                let wanted = format!("{} labels of 0 or 1, one per image of {TEST_FILE}", test.len());
                return Err(Error::format(&labels_path, found, wanted, "save 1 for an anomaly and 0 for none"));
            }
        };
        if let Some(index) = labels.iter().position(|&label| label != 0 && label != 1) {
            return Err(Error::format(
                &labels_path,
                format!("label {} for image {index}", labels[index]),
                format!("{} labels of 0 or 1, one per image of {TEST_FILE}", labels.len()),
                "save 1 for an anomaly and 0 for none",
            ));
        }
        test = test.with_anomalies(labels.into_iter().map(|label| label == 1).collect())?;
        source += &format!("; anomalies from {LABELS_FILE}");
    } else {
        source += &format!("; no {LABELS_FILE}, so anomalies are not known");
    }
    Ok(Split::new("homework", train, test)?.with_source(source))
}
