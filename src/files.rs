//! Writing files so that a reader finds the old one or the new one, never half of one.

use crate::{Error, Result};
use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Writes `bytes` beside `path`, makes sure they are on the disk, and moves them to `path`.
///
/// # Errors
/// [`Error::File`] naming `path`; what was there before is then still there.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    write_together(&[(path, bytes)])
}

/// The same for files of one folder that belong together: all are on the disk before the first is moved, and where
/// several processes write the same ones, the files in the end are all of one of them.
///
/// # Errors
/// [`Error::File`] naming the file that could not be written; what was there before is then still there.
pub(crate) fn write_together(files: &[(&Path, &[u8])]) -> Result<()> {
    let asides: Vec<PathBuf> = files.iter().map(|(path, _)| aside_of(path)).collect();
    let written = || -> Result<(), (&Path, std::io::Error)> {
        for ((path, bytes), aside) in files.iter().zip(&asides) {
            write_synced(aside, bytes).map_err(|source| (*path, source))?;
        }
        let _held = files.first().filter(|_| files.len() > 1).and_then(|(path, _)| hold_folder_of(path));
        for ((path, _), aside) in files.iter().zip(&asides) {
            fs::rename(aside, path).map_err(|source| (*path, source))?;
        }
        Ok(())
    };
    written().map_err(|(path, source)| {
        // The reason that is reported is the first one; that nothing is left over is only tidy.
        asides.iter().for_each(|aside| drop(fs::remove_file(aside)));
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

/// Waits until nobody else holds the folder; where folders cannot be locked, nothing is held.
fn hold_folder_of(path: &Path) -> Option<File> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = File::open(folder).ok()?;
    folder.lock().ok().map(|()| folder)
}

fn write_synced(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// A name in the same folder, since only there a move is one step; with the process and a number in it, so that no two
/// writers meet.
fn aside_of(path: &Path) -> PathBuf {
    static N_WRITTEN: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let number = N_WRITTEN.fetch_add(1, Ordering::Relaxed);
    path.with_file_name(format!(".{name}.{}-{number}.part", std::process::id()))
}
