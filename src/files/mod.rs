//! Files that are replaced atomically, file locks, `~` for the home folder, and pointers of Git LFS.

mod atomic;
pub(crate) mod lfs;

pub use atomic::AtomicFile;
pub(crate) use atomic::{write_together, write_whole};

use crate::{Error, Result};
use std::fmt::Write as _;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

/// A path with `~` at its beginning replaced by the user's home folder, as shells do. `./~` is a folder of that name, and
/// `~name` is not touched.
///
/// # Errors
/// [`Error::Data`] when it is not known where the home folder is.
///
/// # Example
/// ```
/// use diabolo::files::expand_home;
/// use std::path::Path;
/// # if std::env::home_dir().is_none() { return Ok(()) }
/// let photographs = expand_home("~/photographs")?;
/// assert!(photographs.ends_with("photographs") && !photographs.starts_with("~"));
/// assert_eq!(expand_home("runs/~")?, Path::new("runs/~"));
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn expand_home(path: impl AsRef<Path>) -> Result<PathBuf> {
    expand_home_to(path.as_ref(), std::env::home_dir().filter(|home| !home.as_os_str().is_empty()))
}

fn expand_home_to(path: &Path, home: Option<PathBuf>) -> Result<PathBuf> {
    match (path.strip_prefix("~"), home) {
        (Err(_), _) => Ok(path.into()),
        (Ok(rest), Some(home)) if rest.as_os_str().is_empty() => Ok(home),
        (Ok(rest), Some(home)) => Ok(home.join(rest)),
        (Ok(_), None) => {
            let doing = format!("looking for {}", path.display());
            Err(Error::data(doing, "no home folder", "the variable HOME to be set", "write the whole path"))
        }
    }
}

/// A path as text. Bytes that are not UTF-8 are written as in `caf\xE9.png`, so that two names stay two.
pub(crate) fn path_text(path: &Path) -> String {
    path.as_os_str().as_encoded_bytes().utf8_chunks().fold(String::new(), |mut text, chunk| {
        text += chunk.valid();
        chunk.invalid().iter().for_each(|byte| write!(text, "\\x{byte:02X}").expect("text takes any text"));
        text
    })
}

/// Makes a folder and those above it, where they are missing.
///
/// # Errors
/// [`Error::File`] naming it.
pub(crate) fn make_folder(path: &Path) -> Result<()> {
    let path = &expand_home(path)?;
    let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
    let missing = Vec::from_iter(path.ancestors().take_while(is_missing));
    fs::create_dir_all(path)
        .map_err(|source| Error::file("making the folder", path, "choose a place that may be written to", source))?;
    missing.iter().for_each(|folder| sync_folder(folder_of(folder)));
    Ok(())
}

/// What came of locking a file.
pub(crate) enum Lock {
    /// It is locked until this is dropped.
    Held(#[allow(dead_code, reason = "it is dropped, and never read")] File),
    /// Another process has the lock.
    Busy,
    /// The file system has no locks, as some network file systems: two processes do not notice each other.
    Unsupported,
}

/// Locks a file, which is made if it is missing.
///
/// # Errors
/// [`Error::File`] when the file cannot be made.
pub(crate) fn lock(path: &Path) -> Result<Lock> {
    let file = File::create(path)
        .map_err(|source| Error::file("locking", path, "choose a folder that may be written to", source))?;
    Ok(match file.try_lock() {
        Ok(()) => Lock::Held(file),
        Err(TryLockError::WouldBlock) => Lock::Busy,
        // The file could be written, so only the locks are missing.
        Err(TryLockError::Error(_)) => Lock::Unsupported,
    })
}

/// Removes the file of a lock that is held, and gives the lock back. Whoever waits for it has to look once more whether there
/// is anything left to do.
pub(crate) fn unlock_and_remove(lock: Lock, path: &Path) {
    // One that stays is locked again by the next who comes.
    let _ = fs::remove_file(path);
    drop(lock);
}

/// What lies in a folder, by name; hidden files are left out, among them those that are being written.
///
/// # Errors
/// [`Error::File`] naming the folder.
pub(crate) fn list_folder(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed =
        |source| Error::file("reading the folder", folder, "give the path of a folder that may be read", source);
    let entries = fs::read_dir(folder).map_err(failed)?;
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<_>>().map_err(failed)?;
    paths.retain(|path| !path.file_name().unwrap_or_default().as_encoded_bytes().starts_with(b"."));
    paths.sort_unstable();
    Ok(paths)
}

/// A number that follows from some bytes (FNV-1a), the same in every version and build.
pub(crate) fn fingerprint(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Brings the names in a folder to the disk. Not every file system can; the files themselves are there already.
fn sync_folder(folder: &Path) {
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tilde_at_the_beginning_is_the_home_folder() {
        let expand = |path: &str| expand_home_to(Path::new(path), Some("/home/me".into())).unwrap();
        assert_eq!(expand("~"), Path::new("/home/me"));
        assert_eq!(expand("~/a/b"), Path::new("/home/me/a/b"));
        for other in ["a/~", "./~", "~you/a", "~a", "", "/a"] {
            assert_eq!(expand(other), Path::new(other));
        }
        let message = expand_home_to(Path::new("~/a"), None).unwrap_err().to_string();
        assert!(message.contains("looking for ~/a: found no home folder"), "{message}");
    }

    #[cfg(unix)]
    #[test]
    fn names_that_are_not_utf8_stay_two() {
        use std::os::unix::ffi::OsStrExt;
        let text = |bytes: &[u8]| path_text(Path::new(std::ffi::OsStr::from_bytes(bytes)));
        assert_eq!(text(b"caf\xe9/a.png"), "caf\\xE9/a.png");
        assert_ne!(text(b"caf\xe9"), text(b"caf\xe8"));
        assert_eq!(text("caf\u{e9}".as_bytes()), "caf\u{e9}");
    }
}
