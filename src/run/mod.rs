//! Trainings and models on disk: weights as safetensors, everything else as JSON beside them.

mod background;
mod description;
mod folder;
mod json;
mod model;
mod state;
mod tensors;
mod together;

pub use crate::data::DataDescription;
pub use background::BackgroundTraining;
pub(crate) use description::first_difference;
pub use folder::{Run, fit_in};
pub(crate) use json::{read_versioned, write_json};
pub use together::fit_together;

use crate::files::lfs;
use crate::{Error, Result};
use std::path::Path;

/// What to do about a run folder that cannot be used.
const START_ANEW: &str = "name another folder, or delete this one to train anew";

/// Reads a file.
///
/// # Errors
/// [`Error::File`] naming it; [`Error::Format`] for a pointer of Git LFS in its place.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let explain = |source| Error::file("opening", path, "give the path that it was saved under", source);
    let bytes = std::fs::read(path).map_err(explain)?;
    match lfs::is_content_of_pointer(&bytes) {
        true => Err(Error::format(path, lfs::POINTER, "what was saved under this name", lfs::NEXT_STEP)),
        false => Ok(bytes),
    }
}
