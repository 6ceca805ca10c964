//! The user's cache folder: where everything that set-up makes lives, shared by all clones.
//!
//! Each part is a folder named by a key of what it was made from. Its stamp file is written last, so a part without its
//! stamp is unfinished and is continued.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::files;
use crate::progress::Step;

/// The folders in the cache that set-up makes; others, such as downloaded data, are not its own.
pub const PARTS: [&str; 10] =
    ["libtorch", "jupyter", "kernel", "cells", "warm", "registered", "release", "mdbook", "build", "logs"];

/// How many parts of a kind [`Cache::old_parts`] leaves.
const N_KEPT: usize = 2;

/// The cache's root folder.
#[derive(Clone)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// `$DIABOLO_CACHE`, else `diabolo` in the platform's cache folder. It is made when it is first written to.
    pub fn find() -> Result<Self> {
        let root = match files::folder_in("DIABOLO_CACHE")? {
            Some(folder) => folder,
            None => {
                platform_cache().context("no cache folder: set HOME, or DIABOLO_CACHE to a folder")?.join("diabolo")
            }
        };
        // evcxr passes paths to the process of the cells in a line of words.
        if root.to_string_lossy().contains(' ') {
            bail!(
                "the cache folder {} has a space in its name, which evcxr cannot load from; set DIABOLO_CACHE to another folder",
                root.display()
            );
        }
        Ok(Self { root })
    }

    /// A cache in the folder `root`.
    #[cfg(test)]
    pub fn at(root: &Path) -> Self {
        Self { root: root.into() }
    }

    /// The root folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// One of the [`PARTS`].
    pub fn part(&self, name: &str) -> PathBuf {
        debug_assert!(PARTS.contains(&name));
        self.root.join(name)
    }

    /// The log file of a step.
    pub fn log(&self, step: &str) -> PathBuf {
        self.part("logs").join(format!("{step}.log"))
    }

    /// Makes the root, with the tag by which backup programs know a cache.
    pub fn create(&self) -> Result<()> {
        let tag = "Signature: 8a477f597d28d172789f06886806bc55\n# Made by `cargo diabolo setup`; `cargo diabolo clean` removes it.\n";
        files::write_if_changed(&self.root.join("CACHEDIR.TAG"), tag.as_bytes())?;
        let logs = self.part("logs");
        fs::create_dir_all(&logs).with_context(|| {
            format!("making {}; is the disk full or read-only? DIABOLO_CACHE names another place", logs.display())
        })
    }

    /// What older sources, compilers and Pythons have left: all but the two parts of each kind that were used last, without
    /// those that a program holds a lock in.
    pub fn old_parts(&self) -> Vec<PathBuf> {
        let mut kinds: BTreeMap<PathBuf, Vec<(SystemTime, PathBuf)>> = BTreeMap::new();
        for part in [self.part("kernel"), self.part("cells"), self.part("jupyter")] {
            for entry in fs::read_dir(&part).into_iter().flatten().flatten().filter(|entry| entry.path().is_dir()) {
                let name = entry.file_name().to_string_lossy().into_owned();
                // Folders are named by a key, some with a name before it.
                let kind = name.rsplit_once('-').map_or("", |(kind, _)| kind);
                let used = entry.metadata().and_then(|metadata| metadata.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
                kinds.entry(part.join(kind)).or_default().push((used, entry.path()));
            }
        }
        let is_old = |mut parts: Vec<(SystemTime, PathBuf)>| {
            parts.sort();
            parts.into_iter().rev().skip(N_KEPT).map(|(_, folder)| folder).filter(|folder| !is_locked(folder))
        };
        kinds.into_values().flat_map(is_old).collect()
    }

    /// Locks what has this name against another set-up at the same time; waits for that one and says so.
    pub fn lock(&self, name: &str, step: &Step) -> Result<File> {
        let path = self.part("logs").join(format!("{name}.lock"));
        let lock = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("opening the lock file {}", path.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                step.now("waiting for another set-up");
                lock.lock()?;
            }
            Err(TryLockError::Error(error)) => return Err(error).context("locking a step of set-up"),
        }
        Ok(lock)
    }
}

/// Does a program hold a lock file in `folder`, or in a folder in it?
fn is_locked(folder: &Path) -> bool {
    let is_held = |path: &Path| {
        let file = File::options().read(true).append(true).open(path);
        file.is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
    };
    let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let inner = entries(folder).filter(|path| path.is_dir()).flat_map(|path| entries(&path).collect::<Vec<_>>());
    entries(folder).chain(inner).any(|path| path.extension().is_some_and(|end| end == "lock") && is_held(&path))
}

/// A part of the cache that is finished once its stamp says so.
pub struct Part {
    /// The part's folder.
    pub folder: PathBuf,
    stamp: PathBuf,
}

impl Part {
    /// A part with one stamp.
    pub fn new(folder: PathBuf) -> Self {
        Self::with_stamp(folder, "complete")
    }

    /// A part that has several stamps, one for each of its users.
    pub fn with_stamp(folder: PathBuf, name: &str) -> Self {
        Self { stamp: folder.join(name), folder }
    }

    /// What was written when the part was finished.
    pub fn read_stamp(&self) -> Option<String> {
        fs::read_to_string(&self.stamp).ok()
    }

    /// Is the part finished, and made from `key`?
    pub fn is_complete(&self, key: &str) -> bool {
        self.read_stamp().is_some_and(|stamp| stamp == key)
    }

    /// Remembers that somebody wants it today; what nobody has wanted for longest is the first that `clean --old` removes.
    pub fn mark_as_used(&self) {
        mark_as_used(&self.folder);
    }

    /// Marks the part as finished, made from `key`.
    pub fn complete(&self, key: &str) -> Result<()> {
        files::write_if_changed(&self.stamp, key.as_bytes()).map(drop)
    }
}

/// Sets the time of a folder to now. A folder that cannot be marked only counts as older than it is.
pub fn mark_as_used(folder: &Path) {
    let _ = File::open(folder).and_then(|folder| folder.set_modified(SystemTime::now()));
}

/// A short name for everything that was added to it.
#[derive(Default)]
pub struct Key {
    digest: Sha256,
}

impl Key {
    /// Adds one ingredient; its length is added too, so that neighbours cannot run into each other.
    pub fn add(mut self, ingredient: impl AsRef<[u8]>) -> Self {
        let bytes = ingredient.as_ref();
        self.digest.update((bytes.len() as u64).to_le_bytes());
        self.digest.update(bytes);
        self
    }

    /// Adds the files in `folder` whose names end in one of `extensions`, by path and content, in order of path.
    pub fn add_files(mut self, folder: &Path, extensions: &[&str]) -> Result<Self> {
        let mut entries = fs::read_dir(folder)
            .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
            .with_context(|| format!("reading {}", folder.display()))?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            if path.is_dir() {
                self = self.add_files(&path, extensions)?;
            } else if path.extension().is_some_and(|found| extensions.iter().any(|wanted| found == *wanted)) {
                let content = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
                self = self.add(entry.file_name().as_encoded_bytes()).add(content);
            }
        }
        Ok(self)
    }

    /// Sixteen hexadecimal digits.
    pub fn finish(self) -> String {
        self.digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

fn platform_cache() -> Option<PathBuf> {
    let folder = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if cfg!(windows) {
        folder("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        folder("HOME").map(|home| home.join("Library/Caches"))
    } else {
        folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_depends_on_every_ingredient_and_on_where_it_ends() {
        let key = |ingredients: &[&str]| ingredients.iter().fold(Key::default(), |key, one| key.add(one)).finish();
        assert_eq!(key(&["ab", "c"]), key(&["ab", "c"]));
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
        assert_ne!(key(&["ab"]), key(&["ab", ""]));
        assert_eq!(key(&[]).len(), 16);
    }

    #[test]
    fn a_key_of_files_follows_content_and_name_but_not_other_files() {
        let folder = tempfile::tempdir().unwrap();
        let key = || Key::default().add_files(folder.path(), &["rs"]).unwrap().finish();
        fs::write(folder.path().join("a.rs"), "fn a() {}").unwrap();
        let first = key();
        fs::write(folder.path().join("notes.txt"), "anything").unwrap();
        assert_eq!(key(), first);
        fs::rename(folder.path().join("a.rs"), folder.path().join("b.rs")).unwrap();
        let renamed = key();
        assert_ne!(renamed, first);
        fs::write(folder.path().join("b.rs"), "fn b() {}").unwrap();
        assert_ne!(key(), renamed);
    }

    #[test]
    fn the_two_parts_of_a_kind_that_were_used_last_stay_and_so_does_one_that_is_held() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path());
        let now = SystemTime::now();
        let make = |name: &str, days: u64| {
            let folder = root.path().join(name);
            fs::create_dir_all(&folder).unwrap();
            let used = now - std::time::Duration::from_secs(days * 86_400);
            File::open(&folder).unwrap().set_modified(used).unwrap();
            folder
        };
        let cells = ["cells/a", "cells/b", "cells/c", "cells/d"].map(|name| {
            fs::create_dir_all(root.path().join(name).join("running")).unwrap();
            fs::write(root.path().join(name).join("running/1.lock"), "").unwrap();
            name
        });
        let cells = [make(cells[0], 4), make(cells[1], 3), make(cells[2], 2), make(cells[3], 1)];
        let environments = [make("jupyter/lab-1", 9), make("jupyter/lab-2", 8), make("jupyter/jupyter-1", 7)];
        let held = File::options().append(true).open(cells[1].join("running/1.lock")).unwrap();
        held.lock().unwrap();
        assert_eq!(cache.old_parts(), [cells[0].clone()], "the second one is held by a kernel");
        // Not by dropping it: a program that another test starts at this moment has a copy of the open file until it runs.
        held.unlock().unwrap();
        assert_eq!(cache.old_parts(), [cells[1].clone(), cells[0].clone()]);
        mark_as_used(&cells[0]);
        assert_eq!(cache.old_parts(), [cells[2].clone(), cells[1].clone()]);
        assert!(environments.iter().all(|folder| folder.is_dir()), "nothing is removed by looking");
    }

    #[test]
    fn a_part_is_complete_only_for_its_own_key() {
        let folder = tempfile::tempdir().unwrap();
        let part = Part::new(folder.path().into());
        assert!(!part.is_complete("one"));
        part.complete("one").unwrap();
        assert!(part.is_complete("one"));
        assert!(!part.is_complete("two"));
    }
}
