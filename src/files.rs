//! Writing files so that a reader finds the old one or the new one, never half of one.

use crate::{Error, Result};
use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Writes `bytes` beside `path`, makes sure they are on the disk, and moves them to `path`.
///
/// # Errors
/// [`Error::File`] naming `path`; what was there before is then still there.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let aside = aside_of(path);
    let written = write_synced(&aside, bytes).and_then(|()| fs::rename(&aside, path));
    written.map_err(|source| {
        // The reason that is reported is the first one; that nothing is left over is only tidy.
        let _ = fs::remove_file(&aside);
        Error::file("saving", path, "choose a folder that exists, may be written to and has room", source)
    })
}

/// Makes a folder and those above it, where they are missing.
///
/// # Errors
/// [`Error::File`] naming it.
pub(crate) fn make_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path)
        .map_err(|source| Error::file("making the folder", path, "choose a place that may be written to", source))
}

/// Takes the lock of a file, which is made if it is missing; `None` when another process has it.
///
/// # Errors
/// [`Error::File`] when it cannot be made.
pub(crate) fn lock(path: &Path) -> Result<Option<File>> {
    let locked = File::create(path).and_then(|file| match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(source),
    });
    locked.map_err(|source| Error::file("locking", path, "choose a folder that may be written to", source))
}

/// A number that follows from some bytes (FNV-1a), the same in every version and build.
pub(crate) fn fingerprint(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn write_synced(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// A name in the same folder, since only there a move is one step; with the process in it, so that two do not meet.
fn aside_of(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.part", std::process::id()))
}
