//! `cargo diabolo lab`: JupyterLab on the notebooks, in a Python environment that its first use creates.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;

use crate::cache::Cache;
use crate::language::Language;
use crate::progress::Progress;
use crate::python::{self, Locked, Python};
use crate::setup;
use crate::workspace::Workspace;

const LAB: Locked = Locked {
    name: "lab",
    what: "JupyterLab and Jupyter's console",
    lock_file: include_str!("../lab-requirements.txt"),
};

#[derive(Args)]
#[command(after_help = "Examples:
  cargo diabolo lab                       install JupyterLab once, and open it in the browser
  cargo diabolo lab --language zh-TW      the notebooks in Traditional Chinese
  cargo diabolo lab -- --no-browser       only print its address")]
pub struct Options {
    /// Arguments for `jupyter lab`
    #[arg(last = true)]
    jupyter_arguments: Vec<String>,
    /// Print the address and open no browser
    #[arg(long)]
    no_browser: bool,
    /// The language of the notebooks' text and figures
    #[arg(long, value_enum, default_value = "en", ignore_case = true)]
    language: Language,
}

/// Runs `cargo diabolo lab` until JupyterLab ends.
pub fn run(options: &Options) -> Result<ExitCode> {
    let workspace = Workspace::required_for("lab")?;
    let progress = Progress::new();
    setup::ensure(&workspace, &progress)?;
    let python = ensure(&Cache::find()?, &progress)?;
    let mut command = python::command(&python);
    let notebooks = workspace.root().join(options.language.folder());
    command.args(["-m", "jupyterlab"]).arg(format!("--notebook-dir={}", notebooks.display()));
    if options.no_browser {
        command.arg("--no-browser");
    }
    let status = command
        .envs(options.language.variable())
        .args(&options.jupyter_arguments)
        .status()
        .with_context(|| format!("cannot start JupyterLab with {}", python.display()))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The Python that has JupyterLab.
pub fn ensure(cache: &Cache, progress: &Progress) -> Result<PathBuf> {
    LAB.ensure(cache, &Python::find()?, progress)
}
