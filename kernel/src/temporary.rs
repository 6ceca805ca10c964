//! The kernel's own folder, in which its sockets and the stop button are.
//!
//! It lies where temporary files do. A socket's path can have about a hundred bytes, and not every `TMPDIR` is a folder that
//! can be written to; then it lies elsewhere. What a kernel that was killed has left, the next one removes.

use std::env;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// Where temporary files are to lie.
const VARIABLE: &str = "TMPDIR";

const PREFIX: &str = "diabolo-kernel-";

/// Its lock is held while its kernel lives.
const LOCK: &str = "lock";

/// How long the path of the folder in which it lies may be: with its name and a socket's it is to stay below 104 bytes, the
/// least that a system allows.
const MOST_BYTES: usize = 60;

/// The folder, removed on drop.
pub struct Own {
    folder: TempDir,
    _lock: File,
}

impl Own {
    /// Makes it, and sees to it that compilers find a folder for temporary files too. Called before any thread is started.
    ///
    /// # Errors
    /// No folder can be written to.
    pub fn make() -> io::Result<Self> {
        let (named, is_named) = (env::temp_dir(), env::var_os(VARIABLE).is_some());
        let whole = std::path::absolute(&named).unwrap_or_else(|_| named.clone());
        let usual = [whole.clone(), "/tmp".into(), "/var/tmp".into()];
        let fits = |parent: &&PathBuf| parent.as_os_str().len() <= MOST_BYTES;
        let (parent, folder) =
            usual.iter().filter(fits).find_map(|parent| Some((parent, make_in(parent).ok()?))).ok_or_else(|| {
                let text =
                    format!("neither {} nor /tmp can be written to; set TMPDIR to a folder that can", whole.display());
                io::Error::new(io::ErrorKind::PermissionDenied, text)
            })?;
        let users = if make_in(&whole).is_ok() { &whole } else { parent };
        if is_named && *users != named {
            if users == parent {
                eprintln!(
                    "TMPDIR, {}, cannot be written to, so temporary files lie in {}",
                    named.display(),
                    users.display()
                );
            }
            // SAFETY: the process has one thread so far.
            unsafe { env::set_var(VARIABLE, users) };
        }
        let lock = File::create(folder.path().join(LOCK))?;
        // Where there are no locks, it stays when the kernel is killed.
        let _ = lock.try_lock();
        sweep(parent);
        Ok(Self { folder, _lock: lock })
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

fn make_in(parent: &Path) -> io::Result<TempDir> {
    tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)
}

/// Removes the folders of kernels that are gone.
fn sweep(parent: &Path) {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        // Others' folders cannot be opened. One without a lock is just being made, or another version's.
        if let Ok(lock) = File::options().write(true).open(entry.path().join(LOCK))
            && lock.try_lock().is_ok()
            && let Err(error) = fs::remove_dir_all(entry.path())
        {
            eprintln!("removing {}: {error}", entry.path().display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_of_dead_kernels_are_swept() {
        let parent = tempfile::tempdir().unwrap();
        let folder = |name: &str| parent.path().join(format!("{PREFIX}{name}"));
        for name in ["dead", "alive", "begun"] {
            fs::create_dir(folder(name)).unwrap();
        }
        File::create(folder("dead").join(LOCK)).unwrap();
        let alive = File::create(folder("alive").join(LOCK)).unwrap();
        alive.lock().unwrap();
        sweep(parent.path());
        assert!(!folder("dead").exists() && folder("alive").exists() && folder("begun").exists());
    }
}
