//! A kernel that is installed already, by its Python wheel or by cargo.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::machine::first_line;
use crate::python::Python;

/// The `diabolo-kernel` of exactly this version that lies beside `python` (where a wheel puts it) or on PATH.
///
/// It is the kernel of the released sources: a clone builds its own, since its sources may be others of the same version.
pub fn installed(python: &Python, version: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    find(python.scripts().map(Path::to_path_buf).into_iter().chain(env::split_paths(&path)), version)
}

fn find(folders: impl Iterator<Item = PathBuf>, version: &str) -> Option<PathBuf> {
    let wanted = format!("diabolo-kernel {version}");
    let programs = folders.map(|folder| folder.join(format!("diabolo-kernel{}", env::consts::EXE_SUFFIX)));
    // A kernel of before this question fails at once.
    let says_so =
        |program: &PathBuf| first_line(Command::new(program).arg("--version")).is_ok_and(|line| line == wanted);
    programs.filter(|program| program.is_file()).find(says_so)
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A folder with a kernel that answers with `script`.
    fn folder(script: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("diabolo-kernel");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        folder
    }

    fn found(folders: &[&tempfile::TempDir]) -> Option<PathBuf> {
        let folders = folders.iter().map(|folder| folder.path().to_path_buf());
        find(folders, "1.2.3").map(|program| program.parent().unwrap().into())
    }

    #[test]
    fn the_first_kernel_of_exactly_this_version_is_taken() {
        let [empty, other] = [tempfile::tempdir().unwrap(), folder("echo diabolo-kernel 1.2.30")];
        let [first, second] = [(); 2].map(|()| folder("echo diabolo-kernel 1.2.3"));
        assert_eq!(found(&[&empty, &other, &first, &second]), Some(first.path().into()));
        assert_eq!(found(&[&empty, &other]), None);
    }

    #[test]
    fn a_kernel_that_knows_no_version_or_does_not_start_is_passed_over() {
        let [old, right] =
            [folder("echo 'started with [\"--version\"]' >&2; exit 1"), folder("echo diabolo-kernel 1.2.3")];
        let no_program = folder("");
        fs::set_permissions(no_program.path().join("diabolo-kernel"), fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(found(&[&old, &no_program, &right]), Some(right.path().into()));
    }

    #[test]
    fn a_wheels_kernel_lies_beside_its_python() {
        let python = Python::find().unwrap();
        assert!(python.scripts().is_some_and(Path::is_absolute), "{:?}", python.scripts());
    }
}
