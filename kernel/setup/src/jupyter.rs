//! Jupyter's pieces, from lock files: what runs notebooks headless, what tests kernels, and JupyterLab.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::cache::{Cache, Key, Part};
use crate::commands;
use crate::files;
use crate::progress::Progress;
use crate::python::{self, Python};

const LOCK_FILE: &str = include_str!("../requirements.txt");

/// Jupyter's own test of kernels.
const TESTS_LOCK_FILE: &str = include_str!("../../tests/requirements.txt");

/// The environment's Python, once everything in the lock file is installed.
pub fn ensure(cache: &Cache, python: &Python, progress: &Progress) -> Result<PathBuf> {
    let key = Key::default().add(LOCK_FILE).add(python.executable().as_os_str().as_encoded_bytes()).finish();
    let part = Part::new(cache.part("jupyter").join(&key));
    let inner = python::inside(&part.folder);
    if part.is_complete(&key) && inner.exists() {
        return Ok(inner);
    }
    progress.run("jupyter", "installing what runs notebooks headless (nbclient, nbconvert)", |step| {
        let _lock = cache.lock("jupyter", step)?;
        if !part.is_complete(&key) {
            python.environment(&part.folder, cache, step)?;
            let requirements = part.folder.join("requirements.txt");
            files::write_if_changed(&requirements, LOCK_FILE.as_bytes())?;
            let mut command = python::pip_install(&inner);
            command.args(["--require-hashes", "--only-binary", ":all:", "-r"]).arg(&requirements);
            commands::run(command, "installing Jupyter's pieces", &cache.log("jupyter"), step)?;
            part.complete(&key)?;
        }
        Ok((inner, "nbclient and nbconvert are installed".into()))
    })
}

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
