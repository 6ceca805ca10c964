//! The clone of diabolo that the command is run in, and the compiler that builds it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// A clone of diabolo.
#[derive(Clone)]
pub struct Workspace {
    root: PathBuf,
    rustc: String,
}

impl Workspace {
    /// The clone that holds the current folder, or `None` outside of one.
    pub fn find() -> Result<Option<Self>> {
        let here = std::env::current_dir().context("the current folder is gone; change into your clone again")?;
        Self::at(&here)
    }

    /// The clone that holds a folder, or `None` outside of one.
    pub fn at(folder: &Path) -> Result<Option<Self>> {
        match folder.ancestors().find(|folder| is_clone(folder)) {
            Some(root) => Ok(Some(Self { root: root.into(), rustc: rustc_version(root)? })),
            None => Ok(None),
        }
    }

    /// The clone that holds the current folder.
    ///
    /// # Errors
    /// Outside of one, because `command` needs its files.
    pub fn required_for(command: &str) -> Result<Self> {
        Self::find()?
            .with_context(|| format!("`cargo diabolo {command}` works in a clone of diabolo; {}", how_to_get_a_clone()))
    }

    /// The clone's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What `rustc -vV` says: version, commit and host.
    pub fn rustc(&self) -> &str {
        &self.rustc
    }

    /// The file by which plain cargo learns what set-up found.
    pub fn config_file(&self) -> PathBuf {
        config_file(&self.root)
    }

    /// A tracked file, relative to the clone.
    pub fn read(&self, path: &str) -> Result<Vec<u8>> {
        let path = self.root.join(path);
        fs::read(&path).with_context(|| format!("reading {}; is the clone complete?", path.display()))
    }
}

/// The file by which plain cargo learns what set-up found, in the clone in `root`.
pub fn config_file(root: &Path) -> PathBuf {
    root.join(".cargo/diabolo.toml")
}

/// The end of a sentence; without an address while the manifest names none.
pub fn how_to_get_a_clone() -> String {
    match env!("CARGO_PKG_REPOSITORY") {
        "" => "change into yours, or clone it first".into(),
        address => format!("run `git clone {address}` and change into it"),
    }
}

/// Is this folder a clone's?
pub fn is_clone(folder: &Path) -> bool {
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
    let manifest: toml::Table = manifest.parse().unwrap_or_default();
    let name = manifest.get("package").and_then(|package| package.get("name")?.as_str());
    name == Some("diabolo") && folder.join("kernel/setup/Cargo.toml").exists()
}

/// What `rustc -vV` says in a folder, which may choose its own toolchain.
pub fn rustc_version(folder: &Path) -> Result<String> {
    let output = Command::new("rustc")
        .arg("-vV")
        .current_dir(folder)
        .output()
        .context("cannot start `rustc`; install Rust from https://rustup.rs and open a new terminal")?;
    if !output.status.success() {
        bail!("`rustc -vV` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
