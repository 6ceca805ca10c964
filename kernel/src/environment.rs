//! The environment that cells are compiled and run in.
//!
//! What depends on the machine comes from the kernelspec; what follows from it is derived here, so that it also holds for
//! values which the user exports, such as an `LD_LIBRARY_PATH` of their own.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The loader's search path for shared libraries.
const LIBRARY_PATH: &str = if cfg!(target_os = "macos") { "DYLD_LIBRARY_PATH" } else { "LD_LIBRARY_PATH" };

/// libtorch's threads sleep while they wait for each other. By default they spin, and where another program wants one of
/// the cores, each waits for a thread that is not running: a training was then eight times as slow.
const PASSIVE: &str = "PASSIVE";

/// Is this the process in which evcxr runs the cells, rather than the kernel?
pub fn is_cell_process() -> bool {
    env::var_os("EVCXR_IS_RUNTIME").is_some()
}

/// The folder in which set-up compiled the cells' dependencies.
pub fn cells_folder() -> Result<PathBuf> {
    let folder = env::var_os("DIABOLO_CELLS").context("DIABOLO_CELLS is not set; run `cargo diabolo setup` again")?;
    Ok(PathBuf::from(folder))
}

/// Sets what evcxr, cargo and the cells read. Called before any thread is started.
pub fn prepare(cells: &Path, work_folder: &Path) {
    let libtorch_lib = env::var_os("LIBTORCH").map(|libtorch| Path::new(&libtorch).join("lib"));
    // Jupyter started from a desktop often lacks cargo's folder.
    let cargo_bin = env::home_dir().map(|home| home.join(".cargo/bin"));
    let changes = [
        ("EVCXR_TMPDIR", Some(work_folder.into())),
        ("EVCXR_CONFIG_DIR", Some(cells.join("config").into())),
        // evcxr would rewrite the kernelspec of an older stock installation; in an empty folder it finds none.
        ("JUPYTER_PATH", Some(cells.join("config").into())),
        (LIBRARY_PATH, libtorch_lib.map(|lib| joined(lib, env::var_os(LIBRARY_PATH)))),
        ("OMP_WAIT_POLICY", Some(env::var_os("OMP_WAIT_POLICY").unwrap_or_else(|| PASSIVE.into()))),
        ("PATH", cargo_bin.map(|bin| appended(env::var_os("PATH"), bin))),
    ];
    for (name, value) in changes {
        if let Some(value) = value {
            // SAFETY: the process has one thread so far.
            unsafe { env::set_var(name, value) };
        }
    }
}

/// A search path that begins with `first`.
fn joined(first: PathBuf, rest: Option<OsString>) -> OsString {
    let rest = rest.unwrap_or_default();
    let others = env::split_paths(&rest).filter(|folder| !folder.as_os_str().is_empty());
    env::join_paths(std::iter::once(first).chain(others)).unwrap_or(rest.clone())
}

/// A search path that ends with `last`.
fn appended(paths: Option<OsString>, last: PathBuf) -> OsString {
    let paths = paths.unwrap_or_default();
    env::join_paths(env::split_paths(&paths).chain([last])).unwrap_or(paths.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libtorch_comes_before_what_the_user_exported() {
        assert_eq!(joined("/torch/lib".into(), Some("/cuda:/mine".into())), "/torch/lib:/cuda:/mine");
        assert_eq!(joined("/torch/lib".into(), None), "/torch/lib");
    }

    #[test]
    fn cargo_of_the_user_comes_first() {
        assert_eq!(appended(Some("/usr/bin".into()), "/home/.cargo/bin".into()), "/usr/bin:/home/.cargo/bin");
    }
}
