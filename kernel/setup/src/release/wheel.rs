//! The Python wheel of the kernel: made by maturin, and tried in an empty virtual environment.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::cache::Cache;
use crate::commands;
use crate::progress::Progress;
use crate::python::{self, Locked, Python};
use crate::wheel;
use crate::workspace::Workspace;

const MATURIN: Locked = Locked {
    name: "maturin",
    what: "maturin, which makes wheels",
    lock_file: include_str!("../../wheel-requirements.txt"),
};

/// Makes the wheel in `folder` and returns its path, once the kernel that it installs has said its version.
pub fn build_and_try(workspace: &Workspace, folder: &Path, cache: &Cache, progress: &Progress) -> Result<PathBuf> {
    let outer = Python::find()?;
    let maturin = MATURIN.ensure(cache, &outer, progress)?;
    let wheels = folder.join("wheel");
    progress.run("wheel", "compiling the kernel's program for a wheel", |step| {
        let mut command = commands::without_cargo_variables(python::command(&maturin));
        command
            .args([
                "-m",
                "maturin",
                "build",
                "--locked",
                "--profile",
                "dev",
                "--manifest-path",
                "kernel/Cargo.toml",
                "--out",
            ])
            .arg(&wheels)
            // The profile of the clone, and its build folder: what is compiled already is not compiled again.
            .current_dir(workspace.root())
            .env("CARGO_BUILD_BUILD_DIR", cache.part("build"));
        commands::run(command, "making the wheel", &folder.join("maturin.log"), step)?;
        let wheel = only_wheel(&wheels)?;
        let environment = folder.join("environment");
        let inner = outer.environment(&environment, cache, step)?;
        let mut command = python::pip_install(&inner);
        command.args(["--no-index", "--no-deps"]).arg(&wheel);
        commands::run(command, "installing the wheel", &folder.join("wheel-install.log"), step)?;
        let version = env!("CARGO_PKG_VERSION");
        let Some(kernel) = wheel::installed(&Python::at(&inner)?, version) else {
            bail!("the wheel {} installs no `diabolo-kernel` that says version {version}", wheel.display());
        };
        if !kernel.starts_with(&environment) {
            bail!("the wheel {} installs no `diabolo-kernel`: {} is another", wheel.display(), kernel.display());
        }
        let n_mib = fs::metadata(&wheel)?.len() >> 20;
        let name = wheel.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok((wheel, format!("{name} ({n_mib} MiB) installs a kernel that says {version}")))
    })
}

fn only_wheel(folder: &Path) -> Result<PathBuf> {
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    let is_wheel = |path: &PathBuf| path.extension().is_some_and(|end| end == "whl");
    let mut wheels = entries.flatten().map(|entry| entry.path()).filter(is_wheel);
    match (wheels.next(), wheels.next()) {
        (Some(wheel), None) => Ok(wheel),
        _ => bail!("maturin made no wheel, or several, in {}", folder.display()),
    }
}
