//! What a source holds: two parts, or one that has yet to be divided.

use super::images::Images;
use super::split::Split;
use std::path::Path;

/// What a source holds.
pub(super) enum Opened {
    /// Images to train on and images to test on.
    Parts(Split),
    /// Images of which some have yet to be drawn for testing.
    Whole {
        /// As in [`Split::name`].
        name: String,
        images: Images,
        /// Files, and what was decided while reading them.
        source: String,
    },
}

impl Opened {
    /// Images that are not divided yet, named after their file or folder.
    pub(super) fn whole(path: &Path, images: Images, source: String) -> Self {
        Self::Whole { name: Self::name_of(path), images, source }
    }

    /// The name of a file without its ending, or of a folder.
    pub(super) fn name_of(path: &Path) -> String {
        let whole = std::path::absolute(path).unwrap_or(path.into());
        let name = if whole.is_dir() { whole.file_name() } else { whole.file_stem() };
        name.unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
    }
}
