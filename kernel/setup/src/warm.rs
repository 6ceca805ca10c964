//! `cargo diabolo warm`: compiles the crates that notebooks depend on before a cell asks for them.
//!
//! They are remembered in the cache, since another compiler or library needs them compiled anew.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use toml::{Table, Value};

use crate::cache::{Cache, Key};
use crate::files;
use crate::kernel::{self, Warm};
use crate::output::say;
use crate::progress::{Progress, words};
use crate::setup;
use crate::sources::Sources;

#[derive(Args)]
#[command(after_help = "Examples:
  cargo diabolo warm Cargo.toml      compile all that it lists under [dependencies]
  cargo diabolo warm                 which crates are compiled beforehand
  cargo diabolo warm --forget        only the library again

A cell finds them compiled where its `:dep` line says the same as the file: version and features.")]
pub struct Options {
    /// A Cargo.toml, or a file with its table of dependencies alone
    #[arg(value_name = "CARGO_TOML")]
    manifest: Option<PathBuf>,
    /// Forget all that was compiled beforehand
    #[arg(long, conflicts_with = "manifest")]
    forget: bool,
}

/// Runs `cargo diabolo warm`.
pub fn run(options: &Options) -> Result<ExitCode> {
    let cache = Cache::find()?;
    let Some(manifest) = &options.manifest else {
        if options.forget {
            Dependencies::forget(&cache)?;
        }
        return list(&cache);
    };
    let dependencies = Dependencies::read(manifest)?;
    let sources = Sources::find(&cache)?;
    let progress = Progress::new();
    let ready = setup::ensure(&sources, &progress)?;
    let earlier = dependencies.remember(&cache)?;
    let warm = Warm::of(&sources, &cache, &ready.libtorch)?;
    let program = kernel::program(&sources, &cache)?;
    if let Err(error) = warm.compile_users(&program, &progress) {
        // As it was before.
        match earlier {
            Some(earlier) => drop(earlier.remember(&cache)?),
            None => files::remove_file(&dependencies.place(&cache))?,
        }
        return Err(error);
    }
    warm.complete()?;
    say(format_args!("Ready after {}. Their `:dep` lines find them compiled now.", words(progress.elapsed())))?;
    Ok(ExitCode::SUCCESS)
}

fn list(cache: &Cache) -> Result<ExitCode> {
    let all = Dependencies::all(cache)?;
    if all.is_empty() {
        say("Only the library is compiled beforehand; `cargo diabolo warm Cargo.toml` compiles more.")?;
    }
    for dependencies in all {
        say(format_args!("{}", dependencies.manifest.display()))?;
        for line in dependencies.lines() {
            say(format_args!("    :dep {line}"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The part of the cache that remembers them.
const PART: &str = "warm";

/// What one manifest lists under `[dependencies]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Dependencies {
    manifest: PathBuf,
    listed: Table,
}

impl Dependencies {
    /// Reads a manifest. Paths in it become whole ones, since cells are compiled elsewhere.
    fn read(manifest: &Path) -> Result<Self> {
        let manifest = fs::canonicalize(files::expand_home(manifest.into())?)
            .with_context(|| format!("looking for {}", manifest.display()))?;
        let text = fs::read_to_string(&manifest).with_context(|| format!("reading {}", manifest.display()))?;
        let whole: Table = text.parse().with_context(|| format!("reading {}", manifest.display()))?;
        let Some(Value::Table(mut listed)) = whole.get("dependencies").cloned() else {
            bail!("{} lists nothing under [dependencies]", manifest.display());
        };
        // It is compiled already.
        listed.remove("diabolo");
        if listed.is_empty() {
            bail!("{} lists nothing under [dependencies] beside diabolo", manifest.display());
        }
        let folder = manifest.parent().unwrap_or(Path::new("/"));
        for (name, dependency) in &mut listed {
            let Value::Table(dependency) = dependency else { continue };
            if dependency.contains_key("workspace") {
                bail!(
                    "{}: {name} takes its version from a workspace, which a cell is not in; write the version here",
                    manifest.display()
                );
            }
            if let Some(Value::String(path)) = dependency.get_mut("path") {
                *path = folder.join(&*path).to_string_lossy().into_owned();
            }
        }
        Ok(Self { manifest, listed })
    }

    /// Each as it stands after `:dep`.
    pub fn lines(&self) -> Vec<String> {
        self.listed.iter().map(|(name, dependency)| format!("{name} = {dependency}")).collect()
    }

    /// All that is remembered.
    pub fn all(cache: &Cache) -> Result<Vec<Self>> {
        let mut paths: Vec<_> =
            fs::read_dir(cache.part(PART)).into_iter().flatten().flatten().map(|it| it.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|ending| ending == "toml"));
        paths.sort();
        paths.iter().map(|path| Self::remembered(path)).collect()
    }

    fn remembered(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        let mut table: Table = text.parse().with_context(|| format!("reading {}", path.display()))?;
        match (table.remove("manifest"), table.remove("dependencies")) {
            (Some(Value::String(manifest)), Some(Value::Table(listed))) => {
                Ok(Self { manifest: manifest.into(), listed })
            }
            _ => bail!("{} is damaged; remove it", path.display()),
        }
    }

    /// Remembers them; returns what was remembered of this manifest before.
    fn remember(&self, cache: &Cache) -> Result<Option<Self>> {
        let place = self.place(cache);
        let earlier = if place.exists() { Some(Self::remembered(&place)?) } else { None };
        let mut table = Table::new();
        table.insert("manifest".into(), self.manifest.to_string_lossy().into_owned().into());
        table.insert("dependencies".into(), Value::Table(self.listed.clone()));
        files::write_if_changed(&place, toml::to_string(&table)?.as_bytes())?;
        Ok(earlier)
    }

    fn place(&self, cache: &Cache) -> PathBuf {
        let key = Key::default().add(self.manifest.as_os_str().as_encoded_bytes()).finish();
        cache.part(PART).join(format!("{key}.toml"))
    }

    fn forget(cache: &Cache) -> Result<()> {
        files::remove_folder(&cache.part(PART))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> (tempfile::TempDir, Result<Dependencies>) {
        let folder = tempfile::tempdir().unwrap();
        let manifest = folder.path().join("Cargo.toml");
        fs::write(&manifest, text).unwrap();
        (folder, Dependencies::read(&manifest))
    }

    #[test]
    fn a_manifests_dependencies_become_lines_of_a_notebook() {
        let text = "[package]\nname = \"course\"\n[dependencies]\nitoa = \"1\"\ndiabolo = \"0.1\"\n\
                    own = { path = \"own\" }\n[dependencies.rand]\nversion = \"0.10\"\ndefault-features = false\n";
        let (folder, dependencies) = written(text);
        let own = fs::canonicalize(folder.path()).unwrap().join("own");
        let lines = dependencies.unwrap().lines();
        assert_eq!(lines[0], "itoa = \"1\"");
        assert_eq!(lines[1], format!("own = {{ path = \"{}\" }}", own.display()));
        assert_eq!(lines[2], "rand = { default-features = false, version = \"0.10\" }");
        assert_eq!(lines.len(), 3, "the library is there already");
    }

    #[test]
    fn a_manifest_without_dependencies_and_one_of_a_workspace_say_what_is_wanted() {
        let message = |text: &str| format!("{:#}", written(text).1.unwrap_err());
        assert!(message("[package]\nname = \"a\"\n").contains("nothing under [dependencies]"));
        assert!(message("[dependencies]\ndiabolo = \"0.1\"\n").contains("beside diabolo"));
        assert!(message("[dependencies]\nserde = { workspace = true }\n").contains("write the version here"));
        assert!(message("[dependencies\n").contains("Cargo.toml"));
    }

    #[test]
    fn what_was_compiled_beforehand_is_remembered_for_each_manifest() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path());
        let (_folder, first) = written("[dependencies]\nitoa = \"1\"\n");
        let (_other, second) = written("[dependencies]\nrand = \"0.10\"\n");
        let (first, second) = (first.unwrap(), second.unwrap());
        assert_eq!(first.remember(&cache).unwrap(), None);
        assert_eq!(second.remember(&cache).unwrap(), None);
        assert_eq!(first.remember(&cache).unwrap(), Some(first.clone()));
        assert_eq!(Dependencies::all(&cache).unwrap().len(), 2);
        Dependencies::forget(&cache).unwrap();
        assert_eq!(Dependencies::all(&cache).unwrap(), []);
    }
}
