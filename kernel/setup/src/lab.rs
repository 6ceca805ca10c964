//! `cargo diabolo lab`: JupyterLab on the notebooks, in an environment of its own that is made when it is first asked for.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::Args;

use crate::cache::{Cache, Key, Part};
use crate::commands;
use crate::files;
use crate::progress::Progress;
use crate::python::{self, Python};
use crate::setup;
use crate::workspace::Workspace;

/// JupyterLab and all it needs, with hashes.
const LOCK_FILE: &str = include_str!("../lab-requirements.txt");

#[derive(Args)]
#[command(after_help = "Examples:
  cargo diabolo lab                       install JupyterLab once, and open it in the browser
  cargo diabolo lab -- --no-browser       only print its address")]
pub struct Options {
    /// Arguments for `jupyter lab`
    #[arg(last = true)]
    jupyter_arguments: Vec<String>,
    /// Print the address and open no browser
    #[arg(long)]
    no_browser: bool,
}

/// Runs `cargo diabolo lab` until JupyterLab ends.
pub fn run(options: &Options) -> Result<ExitCode> {
    let workspace = Workspace::required_for("lab")?;
    let progress = Progress::new();
    setup::ensure(&workspace, &progress)?;
    let python = ensure(&Cache::find()?, &progress)?;
    let mut command = Command::new(&python);
    command.args(["-m", "jupyterlab"]).arg(format!("--notebook-dir={}", workspace.root().join("notebooks").display()));
    if options.no_browser {
        command.arg("--no-browser");
    }
    let status = command
        .args(&options.jupyter_arguments)
        .status()
        .with_context(|| format!("cannot start JupyterLab with {}", python.display()))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The Python that has JupyterLab.
pub fn ensure(cache: &Cache, progress: &Progress) -> Result<PathBuf> {
    let outer = Python::find()?;
    let key = Key::default().add(LOCK_FILE).add(outer.executable().as_os_str().as_encoded_bytes()).finish();
    let part = Part::new(cache.part("jupyter").join(format!("lab-{key}")));
    let inner = python::inside(&part.folder);
    if part.is_complete(&key) && inner.exists() {
        return Ok(inner);
    }
    progress.run("lab", "installing JupyterLab, once", |step| {
        let _lock = cache.lock("lab", step)?;
        outer.environment(&part.folder, cache, step)?;
        let requirements = part.folder.join("requirements.txt");
        files::write_if_changed(&requirements, LOCK_FILE.as_bytes())?;
        let mut command = python::pip_install(&inner);
        command.args(["--require-hashes", "--only-binary", ":all:", "-r"]).arg(&requirements);
        commands::run(command, "installing JupyterLab", &cache.log("lab"), step)?;
        part.complete(&key)?;
        Ok((inner, "JupyterLab is installed".into()))
    })
}
