//! `cargo diabolo test`: set-up, then cargo's own tests with cargo's own output.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;

use crate::cache::Cache;
use crate::commands;
use crate::jupyter;
use crate::progress::Progress;
use crate::setup;
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
    let ready = setup::ensure(&workspace, &progress)?;
    jupyter::ensure_tests(&Cache::find()?, &ready.jupyter, &progress)?;
    let status = commands::cargo()
        .args(["test", "--workspace"])
        .args(&options.cargo_arguments)
        .current_dir(workspace.root())
        .env("DIABOLO_TEST_PYTHON", &ready.jupyter)
        .status()
        .context("cannot start `cargo`")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
