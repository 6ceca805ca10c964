//! `cargo diabolo lab`: JupyterLab on the notebooks, in a Python environment that its first use creates.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;

use crate::cache::Cache;
use crate::files;
use crate::language::Language;
use crate::progress::Progress;
use crate::python::{self, Locked, Python};
use crate::setup;
use crate::sources::Sources;

const LAB: Locked = Locked {
    name: "lab",
    what: "JupyterLab and Jupyter's console",
    lock_file: include_str!("../lab-requirements.txt"),
};

#[derive(Args)]
#[command(after_help = "Examples:
  cargo diabolo lab                       install JupyterLab once, and open it in the browser
  cargo diabolo lab --language zh-TW      the notebooks in Traditional Chinese
  cargo diabolo lab ~/lectures            another folder, or in it without naming it
  cargo diabolo lab -- --no-browser       only print its address")]
pub struct Options {
    /// The folder to open, instead of the clone's notebooks or, outside of a clone, the current folder
    #[arg(value_name = "FOLDER")]
    folder: Option<PathBuf>,
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
    let cache = Cache::find()?;
    let sources = Sources::find(&cache)?;
    let here = std::env::current_dir().context("looking for the current folder")?;
    let notebooks = match (&options.folder, sources.clone_around(&here)) {
        (Some(folder), _) => files::folder_of_notebooks(folder)?,
        (None, Some(workspace)) => workspace.root().join(options.language.folder()),
        (None, None) => here,
    };
    let progress = Progress::new();
    setup::ensure(&sources, &progress)?;
    let python = ensure(&cache, &progress)?;
    let mut command = python::command(&python);
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
