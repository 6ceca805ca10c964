//! Python environments from lock files: for running notebooks without a browser, for testing kernels, and for JupyterLab.

use std::path::Path;

use anyhow::{Context, Result};

use crate::cache::{Cache, Part};
use crate::commands;
use crate::files;
use crate::progress::Progress;
use crate::python::{self, Locked};

/// What runs notebooks headless.
pub const HEADLESS: Locked = Locked {
    name: "jupyter",
    what: "what runs notebooks headless (nbclient, nbconvert)",
    lock_file: include_str!("../requirements.txt"),
};

/// Jupyter's own test of kernels.
const TESTS_LOCK_FILE: &str = include_str!("../test-requirements.txt");

/// Adds what tests kernels to the environment of `python`.
pub fn ensure_tests(cache: &Cache, python: &Path, progress: &Progress) -> Result<()> {
    // `bin/python` in the environment's folder.
    let folder = python.ancestors().nth(2).context("the environment's Python is in a folder of it")?;
    let part = Part::with_stamp(folder.into(), "tests");
    if part.is_complete(TESTS_LOCK_FILE) {
        return Ok(());
    }
    progress.run("tests", "installing Jupyter's own test of kernels", |step| {
        let requirements = part.folder.join("tests.txt");
        files::write_if_changed(&requirements, TESTS_LOCK_FILE.as_bytes())?;
        let mut command = python::pip_install(python);
        command.args(["--require-hashes", "--no-deps", "--only-binary", ":all:", "-r"]).arg(&requirements);
        commands::run(command, "installing Jupyter's test of kernels", &cache.log("jupyter-tests"), step)?;
        part.complete(TESTS_LOCK_FILE)?;
        Ok(((), "jupyter_kernel_test is installed".into()))
    })
}
