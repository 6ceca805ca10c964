//! The warm build of the cells' dependencies: one master folder, and a copy for each kernel that runs.
//!
//! evcxr and cargo rewrite files in the folder they work in, so two kernels cannot share one. A copy takes a moment
//! because the large files, which compilers replace and never rewrite, are hard links.
//!
//! ```text
//! cells/KEY/master/       filled by `diabolo-kernel warm`
//! cells/KEY/config/       evcxr's start file and the Cargo.lock that pins the dependencies
//! cells/KEY/running/PID/  one kernel's copy, removed when it ends
//! ```
//!
//! A kernel that was killed leaves its copy; the next kernel removes it, because nobody holds its lock any more.

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// The master folder, locked against kernels that would copy it half-built.
pub struct Master {
    folder: PathBuf,
    lock_file: PathBuf,
    _lock: File,
}

impl Master {
    /// Waits until no kernel copies from the master folder, and keeps them waiting until the value is dropped.
    pub fn lock(cells: &Path) -> io::Result<Self> {
        let folder = cells.join("master");
        fs::create_dir_all(&folder)?;
        let lock = open_lock(&cells.join("master.lock"))?;
        lock.lock()?;
        Ok(Self { folder, lock_file: cells.join("config/Cargo.lock"), _lock: lock })
    }

    /// Where the dependencies are compiled.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Puts back the pinned versions: evcxr's first compilation has no dependencies, so cargo forgets them.
    pub fn restore_lock_file(&self) -> io::Result<()> {
        fs::copy(&self.lock_file, self.folder.join("Cargo.lock")).map(drop)
    }
}

/// One kernel's copy of the master folder, removed on drop.
pub struct Copy {
    folder: PathBuf,
    lock_path: PathBuf,
    _lock: File,
}

impl Copy {
    /// Copies the master folder in `cells`, and removes the copies of kernels that were killed.
    pub fn of(cells: &Path) -> io::Result<Self> {
        let running = cells.join("running");
        fs::create_dir_all(&running)?;
        // Held until the own lock is taken, so that no other kernel sweeps this copy away before that.
        let sweep_lock = open_lock(&cells.join("running.lock"))?;
        sweep_lock.lock()?;
        sweep(&running)?;
        let name = std::process::id().to_string();
        let copy = Self {
            folder: running.join(&name),
            lock_path: running.join(format!("{name}.lock")),
            _lock: open_lock(&running.join(format!("{name}.lock")))?,
        };
        copy._lock.lock()?;
        drop(sweep_lock);

        let master_lock = open_lock(&cells.join("master.lock"))?;
        master_lock.lock_shared()?;
        copy_folder(&cells.join("master"), &copy.folder)?;
        Ok(copy)
    }

    /// Where this kernel compiles.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next kernel.
        let _ = fs::remove_dir_all(&self.folder);
        let _ = fs::remove_file(&self.lock_path);
    }
}

/// Removes the copies whose kernels are gone.
fn sweep(running: &Path) -> io::Result<()> {
    for entry in fs::read_dir(running)? {
        let lock_path = entry?.path();
        if lock_path.extension() != Some(OsStr::new("lock")) {
            continue;
        }
        match open_lock(&lock_path)?.try_lock() {
            Ok(()) => {
                let folder = lock_path.with_extension("");
                if folder.exists() {
                    fs::remove_dir_all(folder)?;
                }
                fs::remove_file(&lock_path)?;
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if belongs_to_a_cell(&entry.file_name()) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            copy_folder(&source, &target)?;
        } else if is_replaced_never_rewritten(&source) && fs::hard_link(&source, &target).is_ok() {
            continue;
        } else {
            // cargo compares times, so a copy keeps them.
            let modified = entry.metadata()?.modified()?;
            fs::copy(&source, &target)?;
            File::options().write(true).open(&target)?.set_modified(modified)?;
        }
    }
    Ok(())
}

/// The warm-up's own cell, and the incremental state, which belongs to one folder.
fn belongs_to_a_cell(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name == "incremental" || ["ctx-", "libctx", "code_", "libcode_"].iter().any(|prefix| name.starts_with(prefix))
}

/// Compilers write these beside and rename, or remove the old one first.
fn is_replaced_never_rewritten(path: &Path) -> bool {
    matches!(path.extension().and_then(OsStr::to_str), Some("rlib" | "rmeta" | "so" | "dylib"))
}

fn open_lock(path: &Path) -> io::Result<File> {
    File::options().create(true).append(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A master folder with one large and one small file.
    fn cells() -> tempfile::TempDir {
        let cells = tempfile::tempdir().unwrap();
        let deps = cells.path().join("master/target/debug/deps");
        fs::create_dir_all(&deps).unwrap();
        for name in ["libtch-1.rlib", "tch-1.d", "libctx.so"] {
            fs::write(deps.join(name), name).unwrap();
        }
        cells
    }

    #[test]
    fn a_copy_shares_libraries_and_owns_what_cargo_rewrites() {
        let cells = cells();
        let copy = Copy::of(cells.path()).unwrap();
        let deps = copy.folder().join("target/debug/deps");
        fs::write(deps.join("tch-1.d"), "changed").unwrap();
        let master = cells.path().join("master/target/debug/deps");
        assert_eq!(fs::read_to_string(master.join("tch-1.d")).unwrap(), "tch-1.d");
        assert_eq!(fs::read_to_string(deps.join("libtch-1.rlib")).unwrap(), "libtch-1.rlib");
        assert!(!deps.join("libctx.so").exists());
    }

    #[test]
    fn a_copy_keeps_the_times_that_cargo_compares() {
        let cells = cells();
        let copy = Copy::of(cells.path()).unwrap();
        let modified =
            |folder: &Path| fs::metadata(folder.join("target/debug/deps/tch-1.d")).unwrap().modified().unwrap();
        assert_eq!(modified(copy.folder()), modified(&cells.path().join("master")));
    }

    #[test]
    fn a_copy_is_gone_when_its_kernel_ends() {
        let cells = cells();
        let folder = Copy::of(cells.path()).unwrap().folder().to_path_buf();
        assert!(!folder.exists());
        assert_eq!(fs::read_dir(cells.path().join("running")).unwrap().count(), 0);
    }

    #[test]
    fn only_the_copies_of_dead_kernels_are_swept() {
        let cells = cells();
        let running = cells.path().join("running");
        for name in ["1", "2"] {
            fs::create_dir_all(running.join(name)).unwrap();
            fs::write(running.join(format!("{name}.lock")), "").unwrap();
        }
        let alive = open_lock(&running.join("2.lock")).unwrap();
        alive.lock().unwrap();
        let _copy = Copy::of(cells.path()).unwrap();
        assert!(!running.join("1").exists());
        assert!(running.join("2").exists());
    }
}
