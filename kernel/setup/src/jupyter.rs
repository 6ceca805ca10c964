//! Jupyter's pieces that run notebooks headless, from a lock file, in an environment of their own.

use std::path::PathBuf;

use anyhow::Result;

use crate::cache::{Cache, Key, Part};
use crate::commands;
use crate::files;
use crate::progress::Progress;
use crate::python::{self, Python};

const LOCK_FILE: &str = include_str!("../requirements.txt");

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
