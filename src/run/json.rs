//! Reading and writing of values as JSON files.
//!
//! JSON has no infinite number and none that is not a number: they become `null`, and a plain `f64` refuses `null` when it
//! is read. So what may be missing or not finite is an `Option`, and what could not be read again is not written.

use crate::files::write_whole;
use crate::{Error, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The JSON of a value that is to be written to `path`.
///
/// # Errors
/// [`Error::Format`] when it could not be read again.
pub(crate) fn to_json<T: Serialize + DeserializeOwned>(path: &Path, value: &T) -> Result<String> {
    let unreadable = |error: serde_json::Error| {
        let found = format!("a value that JSON cannot hold ({error})");
        Error::format(path, found, "finite numbers and text", "mend the value; what was there before is unchanged")
    };
    let json = serde_json::to_string_pretty(value).map_err(unreadable)?;
    serde_json::from_str::<T>(&json).map(|_| json).map_err(unreadable)
}

/// Writes a value as JSON, whole or not at all.
///
/// # Errors
/// [`Error::File`] and those of [`to_json`].
pub(crate) fn write_json<T: Serialize + DeserializeOwned>(path: &Path, value: &T) -> Result<()> {
    write_whole(path, to_json(path, value)?.as_bytes())
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
    let bytes = super::read(path)?;
    let damaged = |error: serde_json::Error| Error::format(path, format!("damaged text ({error})"), what, mended_by);
    let Version { format_version } = serde_json::from_slice(&bytes).map_err(damaged)?;
    if format_version > newest_version {
        let wanted = format!("format {newest_version} or older");
        let next_step = "open it with the diabolo that wrote it, or a newer one";
        return Err(Error::format(path, format!("format {format_version}"), wanted, next_step));
    }
    serde_json::from_slice(&bytes).map_err(damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Value {
        format_version: u32,
        sure: f64,
        perhaps: Option<f64>,
    }

    fn there_and_back(sure: f64, perhaps: Option<f64>) -> Result<Value> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("value.json");
        write_json(&path, &Value { format_version: 1, sure, perhaps })?;
        Ok(read_versioned(&path, "a value", 1, "write it again").expect("what was written can be read"))
    }

    #[test]
    fn what_is_written_can_be_read() {
        for perhaps in [None, Some(0.1 + 0.2), Some(f64::MIN_POSITIVE), Some(-1e300)] {
            assert_eq!(there_and_back(1.0 / 3.0, perhaps).unwrap().perhaps, perhaps);
        }
        for not_finite in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(there_and_back(1.0, Some(not_finite)).unwrap().perhaps, None);
            let message = there_and_back(not_finite, None).unwrap_err().to_string();
            assert!(
                message.contains("value.json: found a value that JSON cannot hold (invalid type: null"),
                "{message}"
            );
        }
    }
}
