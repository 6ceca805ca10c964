//! How Jupyter knows the kernels: which names they have, and for whom.
//!
//! Several clones and versions live on one machine. Each has its kernels in a folder of its own, under the names that
//! notebooks ask for; commands that are run in a clone show Jupyter that folder first. In the user's folder, which Jupyter
//! and editors read by themselves, the plain names belong to one of them, and the others have names that say whose they are.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::cache::Cache;
use crate::files;
use crate::kernel;
use crate::libtorch::Libtorch;
use crate::sources::Sources;
use crate::workspace;

/// The name by which notebooks ask for the kernel.
pub const KERNEL_NAME: &str = "diabolo";

/// The same program and build with evcxr's own front: what to compare with.
pub const STOCK_KERNEL_NAME: &str = "diabolo-stock";

/// In a kernelspec's environment: whose it is, as [`Sources::name`] has it.
const SOURCES_VARIABLE: &str = "DIABOLO_SOURCES";

/// The part of the cache in which each clone and version has its folder.
const PART: &str = "registered";

/// Where Jupyter looks first.
const JUPYTER_PATH: &str = "JUPYTER_PATH";

/// The kernels of one clone or version.
pub struct Kernels {
    name: String,
    key: String,
    long_name: String,
    stock: Value,
    own: Value,
}

impl Kernels {
    /// Those of `sources`.
    pub fn of(sources: &Sources, program: &Path, cells: &Path, libtorch: &Libtorch) -> Self {
        let name = sources.name();
        let mut variables: BTreeMap<_, _> = kernel::environment(cells, libtorch).into_iter().collect();
        variables.insert(SOURCES_VARIABLE, name.clone());
        // A kernel tells its notebook when another has taken its place.
        variables.insert("DIABOLO_RUSTC", sources.rustc().lines().next().unwrap_or_default().into());
        let stock = specification(json!([program, "--stock"]), &variables);
        // What most notebooks say first; the kernel does it while it waits for them.
        variables.insert("DIABOLO_START", format!(":dep {}", sources.dependency()));
        let own = specification(json!([program]), &variables);
        Self { name, key: sources.key(), long_name: long_name(sources), stock, own }
    }

    /// The files of these kernels below a folder of kernels, and what is in them. With plain names, or with those that say
    /// whose they are.
    fn files(&self, folder: &Path, is_plain: bool) -> [(PathBuf, String); 2] {
        let end = if is_plain { String::new() } else { format!("-{}", self.key) };
        let name = if is_plain { "diabolo" } else { &self.long_name };
        let of = |kernel_name: &str, display_name: String, specification: &Value| {
            let mut specification = specification.clone();
            specification["display_name"] = display_name.into();
            let text = format!("{specification:#}\n");
            (folder.join(format!("{kernel_name}{end}")).join("kernel.json"), text)
        };
        [
            of(KERNEL_NAME, format!("Rust ({name})"), &self.own),
            of(STOCK_KERNEL_NAME, format!("Rust (evcxr, to compare with {name})"), &self.stock),
        ]
    }

    /// What is to be in which file: in the own folder, and in the user's.
    pub fn wanted(&self, cache: &Cache, users: &Path) -> Vec<(PathBuf, String)> {
        let own = self.files(&own_folder(cache, &self.key).join("kernels"), true);
        own.into_iter().chain(self.files(users, self.holder(users).is_none())).collect()
    }

    /// Registers them; with `takes_names` under the plain names, whoever had these.
    ///
    /// Returns whose the plain names are, where they are another's.
    pub fn register(&self, cache: &Cache, users: &Path, takes_names: bool) -> Result<Option<String>> {
        if takes_names {
            write(&self.files(users, true))?;
        }
        write(&self.wanted(cache, users))?;
        let holder = self.holder(users);
        if holder.is_none() {
            // Of the time when another had the plain names.
            for (file, _) in self.files(users, false) {
                file.parent().map_or(Ok(()), files::remove_folder)?;
            }
        }
        Ok(holder)
    }

    /// Who else has the plain names in the user's folder, and is still there.
    fn holder(&self, users: &Path) -> Option<String> {
        let found = Registered::read(&users.join(KERNEL_NAME))?;
        (found.sources != self.name && found.is_whole()).then_some(found.sources)
    }
}

/// What is registered in one folder.
pub struct Registered {
    /// Whose it is; empty where nobody says so.
    pub sources: String,
    /// The kernel.
    pub program: PathBuf,
    /// The warm build that it starts with.
    pub cells: PathBuf,
}

impl Registered {
    /// Reads the `kernel.json` in a folder; nothing where it names no program.
    pub fn read(folder: &Path) -> Option<Self> {
        let found: Value = serde_json::from_slice(&fs::read(folder.join("kernel.json")).ok()?).ok()?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
        Some(Self {
            sources: text(&found["env"][SOURCES_VARIABLE]),
            program: found["argv"][0].as_str()?.into(),
            cells: text(&found["env"]["DIABOLO_CELLS"]).into(),
        })
    }

    /// Is all of it still there, the clone too?
    pub fn is_whole(&self) -> bool {
        let sources = Path::new(&self.sources);
        let has_sources = if sources.is_absolute() { workspace::is_clone(sources) } else { !self.sources.is_empty() };
        has_sources && self.program.exists()
    }
}

/// The name of the kernel of `sources` in the user's Jupyter.
pub fn display_name(sources: &Sources, has_plain_names: bool) -> String {
    if has_plain_names { "Rust (diabolo)".into() } else { format!("Rust ({})", long_name(sources)) }
}

/// Names the folder of these kernels to Jupyter, before all others.
pub fn jupyter_path(sources: &Sources, cache: &Cache) -> Result<(&'static str, OsString)> {
    let others = env::var_os(JUPYTER_PATH).filter(|paths| !paths.is_empty());
    let others = others.iter().flat_map(|paths| env::split_paths(paths));
    let paths = std::iter::once(own_folder(cache, &sources.key())).chain(others);
    Ok((JUPYTER_PATH, env::join_paths(paths).context("naming the kernel's folder to Jupyter")?))
}

/// The folders below `users` that start a program of this cache.
pub fn of_cache(cache: &Cache, users: &Path) -> Vec<PathBuf> {
    let is_own = |folder: &PathBuf| Registered::read(folder).is_some_and(|it| it.program.starts_with(cache.root()));
    folders_in(users).filter(is_own).collect()
}

/// Every clone and version that was set up: its folder in the cache, and what is registered there.
pub fn all(cache: &Cache) -> Vec<(PathBuf, Option<Registered>)> {
    let folders = folders_in(&cache.part(PART));
    folders.map(|folder| (folder.clone(), Registered::read(&folder.join("kernels").join(KERNEL_NAME)))).collect()
}

/// Where kernels are registered for the user: in their Jupyter data folder.
pub fn kernels_folder() -> Result<PathBuf> {
    let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || variable(if cfg!(windows) { "APPDATA" } else { "HOME" }).context("no home folder: set HOME");
    let data = match variable("JUPYTER_DATA_DIR") {
        Some(folder) => folder,
        None if cfg!(windows) => home()?.join("jupyter"),
        None if cfg!(target_os = "macos") => home()?.join("Library/Jupyter"),
        None => match variable("XDG_DATA_HOME") {
            Some(folder) => folder.join("jupyter"),
            None => home()?.join(".local/share/jupyter"),
        },
    };
    Ok(data.join("kernels"))
}

fn long_name(sources: &Sources) -> String {
    match sources {
        Sources::Clone(_) => format!("diabolo in {}", sources.name()),
        Sources::Release(_) => format!("diabolo {}", sources.name()),
    }
}

fn own_folder(cache: &Cache, key: &str) -> PathBuf {
    cache.part(PART).join(key)
}

fn folders_in(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).filter(|path| path.is_dir())
}

fn write(wanted: &[(PathBuf, String)]) -> Result<()> {
    for (file, text) in wanted {
        files::write_if_changed(file, text.as_bytes())?;
    }
    Ok(())
}

fn specification(mut command: Value, variables: &BTreeMap<&str, String>) -> Value {
    if let Value::Array(words) = &mut command {
        words.extend(["--control_file".into(), "{connection_file}".into()]);
    }
    json!({
        "argv": command,
        "display_name": "",
        "language": "rust",
        "interrupt_mode": "message",
        "env": variables,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kernels whose program is in the cache, of the clone `name` there or of a version.
    fn kernels(cache: &Cache, name: &str) -> Kernels {
        let program = cache.root().join("kernel/diabolo-kernel");
        files::write_if_changed(&program, b"").unwrap();
        let clone = cache.root().join("clones").join(name);
        let is_version = name.starts_with(|first: char| first.is_ascii_digit());
        let name = if is_version { name.to_string() } else { clone.to_string_lossy().into_owned() };
        if !is_version {
            files::write_if_changed(&clone.join("Cargo.toml"), b"[package]\nname = \"diabolo\"\n").unwrap();
            files::write_if_changed(&clone.join("kernel/setup/Cargo.toml"), b"").unwrap();
        }
        let variables = BTreeMap::from([(SOURCES_VARIABLE, name.clone())]);
        let specification = specification(json!([program]), &variables);
        let key = crate::cache::Key::default().add(&name).finish();
        Kernels { long_name: format!("diabolo {name}"), name, key, stock: specification.clone(), own: specification }
    }

    fn plain_name(users: &Path) -> (String, String) {
        let found: Value = serde_json::from_slice(&fs::read(users.join("diabolo/kernel.json")).unwrap()).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_string();
        (text(&found["env"][SOURCES_VARIABLE]), text(&found["display_name"]))
    }

    #[test]
    fn the_first_has_the_plain_name_and_a_second_one_that_says_whose_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, users) = (Cache::at(folder.path()), folder.path().join("users"));
        let (one, two) = (kernels(&cache, "one"), kernels(&cache, "two"));
        assert_eq!(one.register(&cache, &users, false).unwrap(), None);
        assert_eq!(two.register(&cache, &users, false).unwrap(), Some(one.name.clone()));
        assert_eq!(plain_name(&users), (one.name.clone(), "Rust (diabolo)".into()));
        assert_eq!(folders_in(&users).count(), 4, "two kernels of each");
        // Each finds its own by the name that notebooks have.
        for kernels in [&one, &two] {
            let own = own_folder(&cache, &kernels.key).join("kernels");
            assert_eq!(plain_name(&own), (kernels.name.clone(), "Rust (diabolo)".into()));
        }
        assert_eq!(of_cache(&cache, &users).len(), 4);
        assert_eq!(all(&cache).len(), 2);
    }

    #[test]
    fn the_plain_name_is_taken_when_that_is_asked_for_and_when_its_clone_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, users) = (Cache::at(folder.path()), folder.path().join("users"));
        let (one, two) = (kernels(&cache, "one"), kernels(&cache, "0.1.0"));
        one.register(&cache, &users, false).unwrap();
        two.register(&cache, &users, false).unwrap();
        assert_eq!(two.register(&cache, &users, true).unwrap(), None);
        assert_eq!(plain_name(&users).0, "0.1.0");
        assert_eq!(folders_in(&users).count(), 2, "the name that said whose it is has gone");
        assert_eq!(one.register(&cache, &users, true).unwrap(), None);
        fs::remove_dir_all(cache.root().join("clones/one")).unwrap();
        assert_eq!(two.register(&cache, &users, false).unwrap(), None);
        assert_eq!(plain_name(&users).0, "0.1.0");
    }

    #[test]
    fn what_an_earlier_version_registered_does_not_say_whose_it_is_and_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, users) = (Cache::at(folder.path()), folder.path().join("users"));
        let one = kernels(&cache, "one");
        files::write_if_changed(&users.join("diabolo/kernel.json"), br#"{"argv": ["/bin/sh"]}"#).unwrap();
        assert_eq!(one.register(&cache, &users, false).unwrap(), None);
        assert_eq!(plain_name(&users).0, one.name);
    }
}
