//! Where the kernel and the library come from: a clone, or a registry in the version of this tool.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::cache::{Cache, Key};
use crate::commands;
use crate::files;
use crate::lock_file;
use crate::progress::Progress;
use crate::workspace::{self, Workspace};

/// The version that a release of this tool sets up.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Where the kernel and the library come from.
pub enum Sources {
    /// The clone that the command was run in; outside of one, the clone that this tool was compiled in.
    Clone(Workspace),
    /// A registry, where this tool comes from one too.
    Release(Release),
}

/// A version that is published.
pub struct Release {
    rustc: String,
    /// In the cache: the versions that it is compiled with, and the libtorch that was chosen for it.
    folder: PathBuf,
}

impl Sources {
    /// Those that belong to the current folder.
    pub fn find(cache: &Cache) -> Result<Self> {
        // By `cargo install --path` or `--git`.
        let installed_from = || Workspace::at(Path::new(env!("CARGO_MANIFEST_DIR")));
        Ok(match Workspace::find()?.map_or_else(installed_from, |workspace| Ok(Some(workspace)))? {
            Some(workspace) => Self::Clone(workspace),
            None => Self::Release(Release {
                rustc: workspace::rustc_version(Path::new("."))?,
                folder: cache.part("release").join(VERSION),
            }),
        })
    }

    /// The clone, if the folder `here` is in it.
    pub fn clone_around(&self, here: &Path) -> Option<&Workspace> {
        match self {
            Self::Clone(workspace) => Some(workspace).filter(|workspace| here.starts_with(workspace.root())),
            Self::Release(_) => None,
        }
    }

    /// What `rustc -vV` says: version, commit and host.
    pub fn rustc(&self) -> &str {
        match self {
            Self::Clone(workspace) => workspace.rustc(),
            Self::Release(release) => &release.rustc,
        }
    }

    /// What tells these sources from others on this machine: the clone's folder, or the version.
    pub fn name(&self) -> String {
        match self {
            Self::Clone(workspace) => workspace.root().to_string_lossy().into_owned(),
            Self::Release(_) => VERSION.into(),
        }
    }

    /// A short name of that for folders and files.
    pub fn key(&self) -> String {
        Key::default().add(self.name()).finish()
    }

    /// The file that says which libtorch was chosen; in a clone plain cargo reads it too.
    pub fn config_file(&self) -> PathBuf {
        match self {
            Self::Clone(workspace) => workspace.config_file(),
            Self::Release(release) => release.folder.join("diabolo.toml"),
        }
    }

    /// The lock file that pins all that cells are compiled with.
    pub fn lock_file(&self) -> Result<Vec<u8>> {
        match self {
            Self::Clone(workspace) => workspace.read("Cargo.lock"),
            Self::Release(release) => {
                let path = release.lock_file();
                fs::read(&path).with_context(|| format!("reading {}; run `cargo diabolo setup`", path.display()))
            }
        }
    }

    /// What the kernel is compiled from.
    pub fn kernel_key(&self) -> Result<String> {
        let key = Key::default().add(self.rustc()).add(PROFILE);
        Ok(match self {
            Self::Clone(workspace) => {
                let folder = workspace.root().join("kernel");
                key.add(lock_file::below(&String::from_utf8(workspace.read("Cargo.lock")?)?, "diabolo-kernel")?)
                    .add(workspace.read("kernel/Cargo.toml")?)
                    .add_files(&folder.join("src"), &["rs"])?
                    .add_files(&folder.join("protocol"), &["rs", "toml"])?
            }
            Self::Release(_) => key.add(VERSION),
        }
        .finish())
    }

    /// What the library is compiled from, without its dependencies.
    pub fn library_key(&self) -> Result<String> {
        let key = Key::default();
        Ok(match self {
            Self::Clone(workspace) => {
                let folder = workspace.root().join("src");
                key.add(workspace.read("Cargo.toml")?)
                    .add(workspace.read("build.rs")?)
                    .add_files(&folder, &["rs"])?
                    // cargo looks at times: after a change and back again it compiles too.
                    .add(files::last_change(&folder))
            }
            Self::Release(_) => key.add(VERSION),
        }
        .finish())
    }

    /// What stands after `:dep` where a notebook asks for the library.
    pub fn dependency(&self) -> String {
        match self {
            Self::Clone(workspace) => dependency_on(workspace.root()),
            Self::Release(_) => {
                // As the guide has it; the lock file chooses the version.
                let [major, minor] = [env!("CARGO_PKG_VERSION_MAJOR"), env!("CARGO_PKG_VERSION_MINOR")];
                format!("diabolo = \"{major}.{minor}\"")
            }
        }
    }

    /// The same, of these sources alone.
    pub fn exact_dependency(&self) -> String {
        match self {
            Self::Clone(_) => self.dependency(),
            Self::Release(_) => format!("diabolo = \"={VERSION}\""),
        }
    }

    /// Fetches what set-up reads of a release before it compiles anything: the versions of what it is compiled with.
    pub fn fetch(&self, cache: &Cache, progress: &Progress) -> Result<()> {
        let Self::Release(release) = self else { return Ok(()) };
        if release.lock_file().exists() {
            return Ok(());
        }
        progress.run("release", &format!("fetching diabolo {VERSION} from the registry"), |step| {
            let _lock = cache.lock("release", step)?;
            let asking = release.folder.join("asking");
            let manifest = format!(
                "[package]\nname = \"asking\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[lib]\npath = \"lib.rs\"\n\n\
                 [dependencies]\n{}\n\n[workspace]\n",
                self.exact_dependency()
            );
            files::write_if_changed(&asking.join("Cargo.toml"), manifest.as_bytes())?;
            files::write_if_changed(&asking.join("lib.rs"), b"")?;
            let mut command = commands::cargo();
            command.args(["metadata", "--format-version", "1"]).current_dir(&asking);
            let answer = commands::run(command, "asking the registry", &cache.log("release"), step)?;
            let sources = library_in(&answer)?;
            let text = fs::read(sources.join("Cargo.lock"))
                .with_context(|| format!("reading the Cargo.lock of diabolo {VERSION} in {}", sources.display()))?;
            files::write_if_changed(&release.lock_file(), &text)?;
            Ok(((), format!("diabolo {VERSION} is fetched")))
        })
    }
}

/// How the kernel is compiled.
pub const PROFILE: &str = include_str!("profile.toml");

impl Release {
    fn lock_file(&self) -> PathBuf {
        self.folder.join("Cargo.lock")
    }
}

/// What stands after `:dep` for the crate in a folder.
pub fn dependency_on(folder: &Path) -> String {
    let path = toml::Value::String(folder.to_string_lossy().into_owned());
    format!("diabolo = {{ path = {path} }}")
}

/// Where cargo has put the library's sources.
fn library_in(metadata: &str) -> Result<PathBuf> {
    let metadata: Value = serde_json::from_str(metadata).context("reading cargo's metadata")?;
    let mut packages = metadata["packages"].as_array().into_iter().flatten();
    let Some(library) = packages.find(|package| package["name"] == "diabolo") else {
        bail!("cargo's metadata name no package diabolo");
    };
    let manifest = library["manifest_path"].as_str().map(Path::new).and_then(Path::parent);
    manifest.map(Path::to_path_buf).context("cargo's metadata do not say where diabolo is")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_path_can_stand_in_a_dependency() {
        assert_eq!(dependency_on(Path::new("/a/b")), r#"diabolo = { path = "/a/b" }"#);
        let strange = dependency_on(Path::new("/a \"b\"\\c"));
        let table: toml::Table = strange.parse().unwrap();
        assert_eq!(table["diabolo"]["path"].as_str(), Some("/a \"b\"\\c"), "{strange}");
    }

    #[test]
    fn the_librarys_sources_are_found_in_what_cargo_answers() {
        let answer = r#"{"packages": [{"name": "rand", "manifest_path": "/r/rand/Cargo.toml"},
            {"name": "diabolo", "manifest_path": "/r/diabolo-0.1.0/Cargo.toml"}]}"#;
        assert_eq!(library_in(answer).unwrap(), Path::new("/r/diabolo-0.1.0"));
        assert!(library_in(r#"{"packages": []}"#).is_err());
    }

    #[test]
    fn a_release_is_asked_for_as_the_guide_says_and_compiled_in_its_own_version() {
        let release = Release { rustc: String::new(), folder: PathBuf::new() };
        let sources = Sources::Release(release);
        assert_eq!(sources.dependency(), "diabolo = \"0.1\"");
        assert_eq!(sources.exact_dependency(), format!("diabolo = \"={VERSION}\""));
    }
}
