//! What the tests of the data room share: writing files, messages, and where real images lie.

mod npy;

pub use npy::npy;
use std::fs;
use std::path::PathBuf;

/// Checks that a call failed and that its message holds all of `parts`.
pub fn check_message<T: std::fmt::Debug>(result: diabolo::Result<T>, parts: &[&str]) {
    let message = result.unwrap_err().to_string();
    for part in parts {
        assert!(message.contains(part), "{part:?} is missing in {message:?}");
    }
}

/// A folder with these files.
pub fn folder(files: &[(&str, Vec<u8>)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

/// The folder of data sets, or `None`, said on the way.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
pub fn real_data() -> Option<PathBuf> {
    let folder = std::env::var_os("DIABOLO_DATA").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: DIABOLO_DATA does not name a folder with cifar-10-batches-bin/ and hw10/");
    }
    folder
}
