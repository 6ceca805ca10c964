//! What cargo looks at before it calls the compiler, so that a look at the same shows whether it would do the same.
//!
//! Manifests, lock file and settings count by their text, all others as cargo has it: by the time of their last change,
//! here with size and number as well. In the cells' manifest the level of optimisation does not count: set-up's settings
//! replace it, and it changes to make rust-analyzer read again ([`crate::packages::read_again`]).

use std::collections::BTreeSet;
use std::env;
use std::fs::{self, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How long before a build a file must have been left alone: one that changes while cargo looks at it could be taken for what
/// cargo saw, and some file systems keep whole seconds.
const SETTLED: Duration = Duration::from_secs(2);

/// More files than this in a folder of which a build script wants to know any change are not looked at.
const MOST_FILES: usize = 2_000;

/// What is known after a build.
pub struct Found<'a> {
    /// The folder of the cells' crate.
    pub folder: &'a Path,
    /// What cargo said.
    pub messages: &'a [Value],
    /// The cells' library.
    pub library: &'a Path,
    /// The call of cargo.
    pub cargo: &'a Command,
    /// The compiler.
    pub rustc: &'a Path,
}

/// All that decides what cargo does.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traces {
    /// Of arguments, environment and folder.
    call: u64,
    /// Of the texts of some files; 0 for what is missing.
    texts: Vec<(PathBuf, u64)>,
    /// When files were changed last.
    stamps: Vec<(PathBuf, Option<Stamp>)>,
}

/// Which file this is and when it was changed.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    seconds: i64,
    nanoseconds: i64,
    n_bytes: u64,
    number: u64,
}

impl Traces {
    /// Takes them after a build that began at `started`. `None` where the next one cannot be known from them.
    pub fn of(found: &Found<'_>, started: SystemTime) -> Option<Self> {
        let texts = texts(found).into_iter().map(|path| {
            let trace = trace_of_text(&path, found.folder);
            (path, trace)
        });
        let mut files = BTreeSet::from([found.cargo.get_program().into(), found.rustc.into()]);
        for message in found.messages {
            let names = message["filenames"].as_array().into_iter().flatten().filter_map(Value::as_str);
            files.extend(names.map(PathBuf::from).filter(|path| path != found.library));
            if message["reason"] == "build-script-executed" {
                files.extend(watched_by_script(message)?);
            }
        }
        files.extend(sources(found)?);
        let stamps: Vec<_> = files.into_iter().map(|path| (stamp_of(&path), path)).collect();
        let is_settled = |stamp: &Stamp| {
            let changed = Duration::new(stamp.seconds.try_into().ok()?, stamp.nanoseconds.try_into().ok()?);
            Some(SystemTime::UNIX_EPOCH + changed + SETTLED < started)
        };
        let built = found.folder.join("target");
        // What cargo has just built is as new as can be.
        let others = stamps.iter().filter(|(_, path)| !path.starts_with(&built));
        if !others.filter_map(|(stamp, _)| stamp.as_ref()).all(|stamp| is_settled(stamp) == Some(true)) {
            return None;
        }
        let stamps = stamps.into_iter().map(|(stamp, path)| (path, stamp)).collect();
        Some(Self { call: trace_of_call(found.cargo), texts: texts.collect(), stamps })
    }

    /// Is everything as it was, for this call of cargo in the folder of the cells' crate?
    pub fn hold(&self, cargo: &Command, folder: &Path) -> bool {
        self.call == trace_of_call(cargo)
            && self.texts.iter().all(|(path, trace)| trace_of_text(path, folder) == *trace)
            && self.stamps.iter().all(|(path, stamp)| stamp_of(path) == *stamp)
    }
}

/// Files whose text decides: the cells' manifest and lock file, those of the packages on this disk with whatever they may
/// inherit from, and settings of cargo in every folder where it looks for them.
fn texts(found: &Found<'_>) -> BTreeSet<PathBuf> {
    let mut texts: BTreeSet<PathBuf> = ["Cargo.toml", "Cargo.lock"].map(|name| found.folder.join(name)).into();
    let home = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cargo")));
    let settings = found.folder.ancestors().map(|folder| folder.join(".cargo")).chain(home);
    texts.extend(settings.flat_map(|folder| [folder.join("config.toml"), folder.join("config")]));
    for message in found.messages.iter().filter(|message| is_on_this_disk(message)) {
        let manifest = Path::new(message["manifest_path"].as_str().unwrap_or_default());
        let Some(package) = manifest.parent() else { continue };
        texts.extend(package.ancestors().map(|folder| folder.join("Cargo.toml")));
        // A build script may come into being.
        texts.insert(package.join("build.rs"));
    }
    texts
}

fn is_on_this_disk(message: &Value) -> bool {
    message["package_id"].as_str().is_some_and(|id| id.starts_with("path+"))
}

/// The sources of the packages on this disk, which cargo lists beside the library that it made of them. The cell's own is
/// what changes.
fn sources(found: &Found<'_>) -> Option<Vec<PathBuf>> {
    let listing = fs::read_to_string(found.library.with_extension("d")).ok()?;
    let (_, listed) = listing.lines().next()?.split_once(": ")?;
    let own = found.folder.join("src");
    let mut sources = Vec::new();
    // Spaces in names are behind backslashes.
    for name in listed.replace("\\ ", "\0").split(' ').filter(|name| !name.is_empty()) {
        let path = PathBuf::from(name.replace('\0', " "));
        if !path.is_absolute() {
            return None;
        }
        if !path.starts_with(&own) {
            add_all(&path, &mut sources)?;
        }
    }
    Some(sources)
}

/// What a build script wants cargo to look at. `None` where it is everything.
fn watched_by_script(message: &Value) -> Option<Vec<PathBuf>> {
    let said = Path::new(message["out_dir"].as_str()?).with_file_name("output");
    let said = fs::read_to_string(said).ok()?;
    let mut watched = Vec::new();
    let mut is_chosen = false;
    for line in said.lines() {
        let Some(line) = line.strip_prefix("cargo:").map(|line| line.trim_start_matches(':')) else { continue };
        is_chosen |= line.starts_with("rerun-if-");
        let path = line.strip_prefix("rerun-if-changed=").map(Path::new);
        // Others are in the package: listed with its sources where it is on this disk, and never changed elsewhere.
        if let Some(path) = path.filter(|path| path.is_absolute()) {
            add_all(path, &mut watched)?;
        }
    }
    (is_chosen || !is_on_this_disk(message)).then_some(watched)
}

/// Adds a file, or a folder with all that is in it. `None` where that is too much to look at.
fn add_all(path: &Path, files: &mut Vec<PathBuf>) -> Option<()> {
    let mut waiting = vec![path.to_path_buf()];
    let mut n_files = 0;
    while let Some(path) = waiting.pop() {
        n_files += 1;
        if n_files > MOST_FILES {
            return None;
        }
        if path.is_dir() {
            for entry in fs::read_dir(&path).ok()? {
                waiting.push(entry.ok()?.path());
            }
        }
        files.push(path);
    }
    Some(())
}

fn trace_of_call(cargo: &Command) -> u64 {
    // With a wrapper around the compiler it learns here where to say what it compiled; other calls have none.
    let mut variables: Vec<_> = env::vars_os().filter(|(name, _)| name != "EVCXR_EXECUTION_SO_PATH").collect();
    variables.sort();
    let arguments: Vec<_> = cargo.get_args().collect();
    let mut hasher = DefaultHasher::new();
    (arguments, variables, env::current_dir().ok()).hash(&mut hasher);
    hasher.finish()
}

fn trace_of_text(path: &Path, folder: &Path) -> u64 {
    let Ok(text) = fs::read(path) else { return 0 };
    let mut hasher = DefaultHasher::new();
    if path == folder.join("Cargo.toml") {
        let text = String::from_utf8_lossy(&text);
        text.lines().filter(|line| !line.starts_with("opt-level = ")).for_each(|line| line.hash(&mut hasher));
    } else {
        text.hash(&mut hasher);
    }
    hasher.finish()
}

fn stamp_of(path: &Path) -> Option<Stamp> {
    fs::metadata(path).ok().map(|metadata: Metadata| Stamp {
        seconds: metadata.mtime(),
        nanoseconds: metadata.mtime_nsec(),
        n_bytes: metadata.len(),
        number: metadata.ino(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The cells' folder after a build with one dependency on this disk, whose files are an hour old.
    struct Built {
        root: tempfile::TempDir,
        messages: Vec<Value>,
    }

    impl Built {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            let at = |name: &str| root.path().join(name);
            let artifact = |name: &str, package: &str, file: &str| {
                json!({
                    "reason": "compiler-artifact", "package_id": format!("{name}#1"),
                    "manifest_path": at(package).join("Cargo.toml"), "filenames": [at(file)],
                })
            };
            let messages = vec![
                artifact("path+helper", "helper", "cells/target/debug/deps/libhelper.rlib"),
                artifact("path+ctx", "cells", "cells/target/debug/libctx.so"),
                json!({
                    "reason": "build-script-executed", "package_id": "path+helper#1",
                    "out_dir": at("cells/target/debug/build/helper/out"),
                }),
            ];
            let built = Self { messages, root };
            for (name, text) in [
                ("helper/Cargo.toml", "[package]"),
                ("helper/src/lib.rs", "old"),
                ("helper/data file.txt", ""),
                ("cells/Cargo.toml", "[package]"),
                ("cells/Cargo.lock", "version = 4"),
                ("cells/src/lib.rs", "let a = 1;"),
                ("cells/target/debug/deps/libhelper.rlib", ""),
                ("cells/target/debug/build/helper/output", "cargo::rerun-if-env-changed=A\n"),
                ("cargo", ""),
                ("rustc", ""),
            ] {
                built.write(name, text);
                let file = fs::File::options().write(true).open(built.at(name)).unwrap();
                file.set_modified(SystemTime::now() - Duration::from_secs(3_600)).unwrap();
            }
            let root = built.root.path().display();
            let listed = format!("{root}/cells/src/lib.rs {root}/helper/src/lib.rs {root}/helper/data\\ file.txt");
            built.write("cells/target/debug/libctx.d", &format!("{root}/cells/target/debug/libctx.so: {listed}\n"));
            built
        }

        fn at(&self, name: &str) -> PathBuf {
            self.root.path().join(name)
        }

        fn write(&self, name: &str, text: &str) {
            fs::create_dir_all(self.at(name).parent().unwrap()).unwrap();
            fs::write(self.at(name), text).unwrap();
        }

        fn cargo(&self) -> Command {
            Command::new(self.at("cargo"))
        }

        fn traces(&self) -> Option<Traces> {
            let (cargo, rustc) = (&self.cargo(), &self.at("rustc"));
            let (folder, library) = (&self.at("cells"), &self.at("cells/target/debug/libctx.so"));
            let found = Found { folder, messages: &self.messages, library, cargo, rustc };
            Traces::of(&found, SystemTime::now())
        }
    }

    #[test]
    fn traces_hold_while_only_the_cell_changes() {
        let built = Built::new();
        let traces = built.traces().unwrap();
        built.write("cells/src/lib.rs", "let a = 2;");
        built.write("cells/target/debug/libctx.so", "");
        // Written again as it was.
        built.write("cells/Cargo.toml", "[package]");
        assert!(traces.hold(&built.cargo(), &built.at("cells")));
        built.write("cells/Cargo.toml", "[package]\nopt-level = 3\n");
        assert!(traces.hold(&built.cargo(), &built.at("cells")));
    }

    #[test]
    fn traces_do_not_hold_when_anything_else_changes() {
        for name in [
            "helper/Cargo.toml",
            "helper/build.rs",
            "helper/src/lib.rs",
            "helper/data file.txt",
            "Cargo.toml",
            "cells/Cargo.toml",
            "cells/Cargo.lock",
            "cells/.cargo/config.toml",
            ".cargo/config",
            "cells/target/debug/deps/libhelper.rlib",
            "cargo",
            "rustc",
        ] {
            let built = Built::new();
            let traces = built.traces().unwrap();
            built.write(name, "new");
            assert!(!traces.hold(&built.cargo(), &built.at("cells")), "{name}");
        }
        let built = Built::new();
        let traces = built.traces().unwrap();
        assert!(!traces.hold(built.cargo().arg("--offline"), &built.at("cells")));
        assert!(traces.hold(&built.cargo(), &built.at("cells")));
        fs::remove_file(built.at("helper/src/lib.rs")).unwrap();
        assert!(!traces.hold(&built.cargo(), &built.at("cells")));
    }

    #[test]
    fn nothing_is_kept_of_a_build_during_which_a_source_may_have_changed() {
        let built = Built::new();
        built.write("helper/src/lib.rs", "new");
        assert_eq!(built.traces(), None);
    }

    #[test]
    fn nothing_is_kept_where_a_build_script_looks_at_everything_or_sources_are_unknown() {
        let built = Built::new();
        built.write("cells/target/debug/build/helper/output", "cargo:rustc-cfg=a\n");
        assert_eq!(built.traces(), None);
        let built = Built::new();
        built.write("cells/target/debug/libctx.d", "libctx.so: helper/src/lib.rs\n");
        assert_eq!(built.traces(), None);
    }
}
