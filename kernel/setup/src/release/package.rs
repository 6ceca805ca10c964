//! The crates as cargo packages them, in the layout of a registry: files `NAME-VERSION.crate`, and the folder `index`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::commands;
use crate::files;
use crate::progress::Progress;
use crate::workspace::Workspace;

/// All crates of the clone.
pub struct Packages {
    /// Has the packages and their index.
    pub folder: PathBuf,
    /// Each after those that it needs.
    pub in_order: Vec<Package>,
}

/// One packaged crate.
pub struct Package {
    pub name: String,
    pub version: String,
    /// The names of the crates, also foreign ones, that it is compiled with.
    pub needs: Vec<String>,
    pub n_bytes: u64,
}

impl Packages {
    /// The version that all of them have.
    pub fn version(&self) -> &str {
        self.in_order.first().map_or(env!("CARGO_PKG_VERSION"), |package| &package.version)
    }
}

impl Package {
    /// Its file's name.
    pub fn file_name(&self) -> String {
        format!("{}-{}.crate", self.name, self.version)
    }

    /// Its line in the index, below the folder `index`. No crate of ours has a name of fewer than four letters, for which
    /// the layout is another.
    pub fn index_path(&self) -> String {
        format!("{}/{}/{}", &self.name[..2], &self.name[2..4], self.name)
    }
}

/// Packages all crates of the clone into `folder`; with `verify` each is compiled from its package alone.
pub fn package(workspace: &Workspace, folder: &Path, verify: bool, progress: &Progress) -> Result<Packages> {
    // A build folder of a new name each time: what a package needs of ours counts as published there, and for a published
    // crate cargo keeps what it has unpacked and compiled from a place of this name.
    let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    let build = folder.join(format!("build-{seconds}"));
    let purpose = if verify { "packaging, and compiling from the packages" } else { "packaging" };
    progress.run("package", purpose, |step| {
        let mut command = commands::cargo_with_bar();
        command.args(["package", "--workspace", "--allow-dirty"]).current_dir(workspace.root());
        if !verify {
            command.arg("--no-verify");
        }
        command
            .arg("--target-dir")
            .arg(folder.join("target"))
            .env("CARGO_BUILD_BUILD_DIR", &build)
            .env("CARGO_PROFILE_DEV_DEBUG", "false");
        let log = folder.join("cargo-package.log");
        commands::run(command, "packaging the crates", &log, step)?;
        let registry = folder.join("registry");
        // Where `cargo package` lets packages find each other before they are published.
        files::copy_folder(&build.join("package/tmp-registry"), &registry)
            .context("cargo has packaged, but its index is not where cargo 1.95 writes it")?;
        let packages = read(&registry)?;
        let n_crates = packages.in_order.len();
        Ok((packages, format!("{n_crates} crates are packaged{}", if verify { " and compile" } else { "" })))
    })
}

/// The packages that lie in `folder`.
fn read(folder: &Path) -> Result<Packages> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        let Some(stem) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".crate")) else { continue };
        let (name, version) = split(stem).with_context(|| format!("{stem}.crate is not named NAME-VERSION.crate"))?;
        let mut package = Package { name, version, needs: vec![], n_bytes: fs::metadata(&path)?.len() };
        let index = folder.join("index").join(package.index_path());
        let line = fs::read_to_string(&index).with_context(|| format!("reading {}", index.display()))?;
        let line: Value = serde_json::from_str(line.lines().last().unwrap_or_default())
            .with_context(|| format!("reading {}", index.display()))?;
        for dependency in line["deps"].as_array().into_iter().flatten() {
            let name = dependency["package"].as_str().or(dependency["name"].as_str());
            package.needs.extend(name.map(str::to_string));
        }
        found.push(package);
    }
    Ok(Packages { folder: folder.into(), in_order: in_order(found)? })
}

/// Name and version: the version is what follows the first hyphen before a digit.
fn split(stem: &str) -> Option<(String, String)> {
    let start = stem.match_indices('-').find(|&(at, _)| stem[at + 1..].starts_with(|c: char| c.is_ascii_digit()))?.0;
    Some((stem[..start].into(), stem[start + 1..].into()))
}

/// Each after those of the same list that it needs. Beyond that from Z to A: so the tool comes last, which installs the others.
fn in_order(mut waiting: Vec<Package>) -> Result<Vec<Package>> {
    waiting.sort_by(|a, b| b.name.cmp(&a.name));
    let mut done: Vec<Package> = Vec::new();
    while !waiting.is_empty() {
        let is_free = |package: &Package| !waiting.iter().any(|other| package.needs.contains(&other.name));
        let Some(next) = waiting.iter().position(is_free) else {
            let names = waiting.iter().map(|package| package.name.as_str()).collect::<Vec<_>>();
            bail!("{} need each other, so none can be published first", names.join(" and "));
        };
        done.push(waiting.remove(next));
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, needs: &[&str]) -> Package {
        let needs = needs.iter().map(|name| name.to_string()).collect();
        Package { name: name.into(), version: "0.1.0".into(), needs, n_bytes: 0 }
    }

    #[test]
    fn a_crate_is_published_after_those_that_it_needs() {
        let given = vec![package("cli", &["lib", "serde"]), package("alone", &[]), package("lib", &["protocol"])];
        let names = |packages: Vec<Package>| packages.into_iter().map(|package| package.name).collect::<Vec<_>>();
        let given = given.into_iter().chain([package("protocol", &[])]).collect();
        assert_eq!(names(in_order(given).unwrap()), ["protocol", "lib", "cli", "alone"]);
        let error = in_order(vec![package("a", &["b"]), package("b", &["a"])]).err().unwrap().to_string();
        assert!(error.starts_with("b and a need each other"), "{error}");
    }

    #[test]
    fn a_file_name_is_split_into_name_and_version() {
        assert_eq!(split("cargo-diabolo-0.1.0-rc.1"), Some(("cargo-diabolo".into(), "0.1.0-rc.1".into())));
        assert_eq!(split("no-version"), None);
    }
}
