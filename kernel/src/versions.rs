//! The versions of dependencies that set-up compiled, which every cell is to find compiled.
//!
//! evcxr checks each new dependency in a crate that has no other, and cargo then forgets the versions of all others: it
//! would take the newest of everything, and compile all that is newer than what is here. So before cargo looks, the lock
//! file gets back what it lacks: first the versions with which the last cell worked, then those that set-up pinned.
//! [`crate::packages`] calls this from cargo's place, so that it holds for every way in which a dependency comes in.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use toml::{Table, Value};

/// The lock file of the cells' crate, and of what set-up pinned.
const LOCK_FILE: &str = "Cargo.lock";

/// The versions in one folder of cells.
pub struct Versions {
    folder: PathBuf,
    pinned: PathBuf,
}

impl Versions {
    /// Of the crate in `folder`, pinned by the set-up of `cells`.
    pub fn new(cells: &Path, folder: &Path) -> Self {
        Self { folder: folder.into(), pinned: cells.join("config").join(LOCK_FILE) }
    }

    /// Puts back the versions that the lock file has lost.
    ///
    /// # Errors
    /// The lock file cannot be written.
    pub fn restore(&self) -> io::Result<()> {
        let current = self.read(LOCK_FILE);
        let kept = self.read(&kept_name(LOCK_FILE));
        if !kept.is_empty() && self.read("Cargo.toml") == self.read(&kept_name("Cargo.toml")) {
            return if current == kept { Ok(()) } else { self.write(LOCK_FILE, &kept) };
        }
        let pinned = fs::read_to_string(&self.pinned).unwrap_or_default();
        match merged(&[&kept, &pinned, &current]) {
            Some(text) if text != current => self.write(LOCK_FILE, &text),
            _ => Ok(()),
        }
    }

    /// Takes note of the versions with which a cell has worked.
    ///
    /// # Errors
    /// The note cannot be written.
    pub fn keep(&self) -> io::Result<()> {
        for name in [LOCK_FILE, "Cargo.toml"] {
            let text = self.read(name);
            if text != self.read(&kept_name(name)) {
                self.write(&kept_name(name), &text)?;
            }
        }
        Ok(())
    }

    /// Puts dependencies and versions back to those with which a cell last worked: a cell that failed changes nothing.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn undo(&self) -> io::Result<()> {
        for name in [LOCK_FILE, "Cargo.toml"] {
            let text = self.read(&kept_name(name));
            if !text.is_empty() && text != self.read(name) {
                self.write(name, &text)?;
            }
        }
        Ok(())
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name)).unwrap_or_default()
    }

    /// Writes beside and renames, since cargo may just be reading.
    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(text.as_bytes())?;
        file.persist(self.folder.join(name)).map(drop).map_err(|error| error.error)
    }
}

fn kept_name(name: &str) -> String {
    format!("{name}.kept")
}

/// One lock file with the packages of several. Of versions that exclude each other the first stays; cargo takes no notice
/// of packages that nothing needs.
fn merged(lock_files: &[&str]) -> Option<String> {
    let parsed: Vec<Table> =
        lock_files.iter().filter(|text| !text.is_empty()).filter_map(|text| text.parse().ok()).collect();
    let mut seen = HashSet::new();
    let mut packages = Vec::new();
    for lock_file in &parsed {
        // Those that lie on this disk have no versions to pin.
        let listed = lock_file.get("package").and_then(Value::as_array).into_iter().flatten();
        for package in listed.filter(|package| package.get("source").is_some()) {
            if seen.insert(identity(package)) {
                packages.push(package.clone());
            }
        }
    }
    let mut whole = parsed.into_iter().next()?;
    whole.insert("package".into(), packages.into());
    toml::to_string(&whole).ok()
}

/// A package's name, source, and the part of its version within which others can take its place.
fn identity(package: &Value) -> (String, String, String) {
    let field = |name: &str| package.get(name).and_then(Value::as_str).unwrap_or_default();
    let numbers: Vec<&str> = field("version").split('.').collect();
    let n_decisive = 1 + numbers.iter().take(2).take_while(|&&number| number == "0").count();
    let decisive = numbers.iter().take(n_decisive).copied().collect::<Vec<_>>().join(".");
    (field("name").into(), field("source").into(), decisive)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock_file(packages: &[(&str, &str)]) -> String {
        let package = |(name, version): &(&str, &str)| {
            format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = \"registry\"\n\n")
        };
        format!("version = 4\n\n{}", packages.iter().map(package).collect::<String>())
    }

    /// A folder of cells in which `pinned` is pinned.
    fn cells(pinned: &[(&str, &str)]) -> (tempfile::TempDir, Versions) {
        let cells = tempfile::tempdir().unwrap();
        let folder = cells.path().join("work");
        for name in ["config", "work"] {
            fs::create_dir(cells.path().join(name)).unwrap();
        }
        fs::write(cells.path().join("config/Cargo.lock"), lock_file(pinned)).unwrap();
        let versions = Versions::new(cells.path(), &folder);
        (cells, versions)
    }

    fn versions_in(versions: &Versions) -> Vec<(String, String)> {
        let table: Table = versions.read(LOCK_FILE).parse().unwrap();
        let text = |package: &Value, name: &str| package[name].as_str().unwrap().to_string();
        let packages = table["package"].as_array().unwrap();
        packages.iter().map(|package| (text(package, "name"), text(package, "version"))).collect()
    }

    #[test]
    fn what_a_dependencys_check_forgets_is_put_back() {
        let (_cells, versions) = cells(&[("anyhow", "1.0.1"), ("tch", "0.26.0"), ("evcxr", "0.22.0")]);
        versions.write("Cargo.toml", "[dependencies]\ntch = \"0.26\"").unwrap();
        versions.write(LOCK_FILE, &lock_file(&[("anyhow", "1.0.1"), ("tch", "0.26.0")])).unwrap();
        versions.keep().unwrap();
        let before = versions.read(LOCK_FILE);
        versions.restore().unwrap();
        assert_eq!(versions.read(LOCK_FILE), before, "what is known is left alone");
        // As cargo leaves it when evcxr checks itoa.
        versions.write("Cargo.toml", "[dependencies]\nitoa = \"1\"").unwrap();
        versions.write(LOCK_FILE, &lock_file(&[("itoa", "1.0.9"), ("anyhow", "1.9.9")])).unwrap();
        versions.restore().unwrap();
        let of = |name: &str, version: &str| (name.to_string(), version.to_string());
        let wanted = [of("anyhow", "1.0.1"), of("tch", "0.26.0"), of("evcxr", "0.22.0"), of("itoa", "1.0.9")];
        assert_eq!(versions_in(&versions), wanted);
        versions.undo().unwrap();
        assert_eq!(versions.read(LOCK_FILE), before);
        assert!(versions.read("Cargo.toml").contains("tch"));
    }

    #[test]
    fn an_empty_crate_gets_what_set_up_pinned() {
        let (_cells, versions) = cells(&[("anyhow", "1.0.1"), ("rand", "0.9.1"), ("rand", "0.10.2")]);
        versions.write(LOCK_FILE, "version = 4\n\n[[package]]\nname = \"ctx\"\nversion = \"1.0.0\"\n").unwrap();
        versions.restore().unwrap();
        assert_eq!(versions_in(&versions).len(), 3);
    }

    #[test]
    fn a_version_that_the_user_chose_stays() {
        let (_cells, versions) = cells(&[("serde", "1.0.219")]);
        versions.write("Cargo.toml", "[dependencies]\nserde = \"=1.0.100\"").unwrap();
        versions.write(LOCK_FILE, &lock_file(&[("serde", "1.0.100")])).unwrap();
        versions.keep().unwrap();
        versions.write(LOCK_FILE, "").unwrap();
        versions.restore().unwrap();
        assert_eq!(versions_in(&versions), [("serde".to_string(), "1.0.100".to_string())]);
    }
}
