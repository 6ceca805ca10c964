//! Which part of the standard library's sources rust-analyzer reads, which it reads to know the types of variables.
//!
//! At first it sees nothing, as with all packages ([`crate::packages::Hidden`]); later the three crates whose items a cell can
//! name, without the packages below them and the vendors' intrinsics.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where rust-analyzer looks first.
const VARIABLE: &str = "RUST_SRC_PATH";

/// What it sees of it. Without the `Cargo.toml` of the whole, it takes these for all there is; `core::arch` and
/// `core::simd`, half of the library's text, lie elsewhere.
const CRATES: [&str; 3] = ["alloc", "core", "std"];

/// The sources as one kernel's rust-analyzer sees them.
pub struct Sources {
    folder: PathBuf,
}

impl Sources {
    /// Tells rust-analyzer where they will be: in the kernel's own folder. Called before any thread is started.
    pub fn announce(own_folder: &Path) {
        if env::var_os(VARIABLE).is_none() {
            // SAFETY: the process has one thread so far.
            unsafe { env::set_var(VARIABLE, Self::folder(own_folder)) };
        }
    }

    /// Puts an empty library there.
    pub fn empty(own_folder: &Path) -> io::Result<Self> {
        let folder = Self::folder(own_folder);
        // Of an earlier start.
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        // By this folder rust-analyzer knows that it is one.
        fs::create_dir_all(folder.join("core"))?;
        Ok(Self { folder })
    }

    /// Puts the toolchain's library in its place.
    pub fn fill(&self, library: &Path) -> io::Result<()> {
        fs::remove_dir(self.folder.join("core"))?;
        for name in CRATES {
            std::os::unix::fs::symlink(library.join(name), self.folder.join(name))?;
        }
        Ok(())
    }

    fn folder(own_folder: &Path) -> PathBuf {
        own_folder.join("library")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_empty_first_and_three_crates_then() {
        let (own, library) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for name in ["alloc/src", "core/src", "std/src", "stdarch/crates"] {
            fs::create_dir_all(library.path().join(name)).unwrap();
        }
        let seen = |name: &str| own.path().join("library").join(name).exists();
        let sources = Sources::empty(own.path()).unwrap();
        assert!(seen("core") && !seen("core/src"));
        sources.fill(library.path()).unwrap();
        assert!(seen("core/src") && seen("std/src") && !seen("stdarch"));
    }
}
