//! Trainings and models on disk: weights as safetensors, everything else as JSON beside them.

mod background;
mod folder;
mod model;
mod tensors;

pub use crate::data::DataDescription;
pub use background::BackgroundTraining;
pub use folder::{Run, train_in};

use crate::{Error, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::path::Path;

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|source| Error::file("opening", path, "give the path that it was saved under", source))
}

/// Reads JSON that has a `format_version`, which says whether this version of the crate can read the rest.
///
/// # Errors
/// [`Error::File`] when it cannot be read; [`Error::Format`] when it is damaged, or newer than `newest_version`.
pub(crate) fn read_versioned<T: DeserializeOwned>(
    path: &Path,
    what: &str,
    newest_version: u32,
    mended_by: &str,
) -> Result<T> {
    /// Read first, so that a newer format is told from a damaged one.
    #[derive(Deserialize)]
    struct Version {
        format_version: u32,
    }
    let bytes = read(path)?;
    let damaged = |error: serde_json::Error| Error::format(path, format!("damaged text ({error})"), what, mended_by);
    let Version { format_version } = serde_json::from_slice(&bytes).map_err(damaged)?;
    if format_version > newest_version {
        let wanted = format!("format {newest_version} or older");
        let next_step = "open it with the diabolo that wrote it, or a newer one";
        return Err(Error::format(path, format!("format {format_version}"), wanted, next_step));
    }
    serde_json::from_slice(&bytes).map_err(damaged)
}
