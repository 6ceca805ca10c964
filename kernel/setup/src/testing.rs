//! `cargo diabolo test`: set-up, then cargo's own tests with cargo's own output.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;

use crate::cache::Cache;
use crate::commands;
use crate::jupyter;
use crate::lab;
use crate::progress::Progress;
use crate::setup;
use crate::sources::Sources;
use crate::workspace::Workspace;

#[derive(Args)]
#[command(after_help = "Examples:
  cargo diabolo test                          every test of the workspace
  cargo diabolo test -- --package diabolo     only the library's
  cargo diabolo test -- shape_inference       only tests with this in their name")]
pub struct Options {
    /// Arguments for `cargo test`
    #[arg(last = true)]
    cargo_arguments: Vec<String>,
}

/// Runs `cargo diabolo test`; the exit code is cargo's.
pub fn run(options: &Options) -> Result<ExitCode> {
    let workspace = Workspace::required_for("test")?;
    let progress = Progress::new();
    let ready = setup::ensure(&Sources::Clone(workspace.clone()), &progress)?;
    jupyter::ensure_tests(&Cache::find()?, &ready.jupyter, &progress)?;
    let mut command = commands::cargo();
    command
        .args(["test", "--workspace"])
        .args(&options.cargo_arguments)
        .current_dir(workspace.root())
        .env("DIABOLO_TEST_PYTHON", &ready.jupyter)
        .env("DIABOLO_TEST_LAB_PYTHON", lab::ensure(&Cache::find()?, &progress)?);
    if let Some(chromium) = chromium() {
        command.env("DIABOLO_TEST_CHROMIUM", chromium);
    }
    let status = command.status().context("cannot start `cargo`")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The browser that some tests use, where it is installed.
fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome"];
    std::env::split_paths(&path).flat_map(|folder| names.map(|name| folder.join(name))).find(|path| path.is_file())
}
