//! The warm build of the cells' dependencies: one master folder, and a copy for each kernel that runs.
//!
//! evcxr and cargo rewrite files in the folder they work in, so two kernels cannot share one. A copy takes a moment
//! because the large files, which compilers replace and never rewrite, are hard links.
//!
//! ```text
//! cells/KEY/master/       filled by `diabolo-kernel warm`
//! cells/KEY/config/       evcxr's start file and the Cargo.lock that pins the dependencies
//! cells/KEY/running/PID/  one kernel's copy, removed when it ends
//! cells/KEY/spare/        a copy that nobody has taken yet
//! ```
//!
//! Making a copy takes up to a second, so every kernel makes the next one's while its user looks at the first results.
//! A kernel that was killed leaves its copy; the next kernel removes it, because nobody holds its lock any more.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// The folder of the next kernel's copy, and the ending of one that is being made.
const SPARE: &str = "spare";

/// How often a lock file is looked at while dependencies are added.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// The master folder, locked against kernels that would copy it half-built.
pub struct Master {
    cells: PathBuf,
    folder: PathBuf,
    _lock: File,
}

impl Master {
    /// Waits until no kernel copies from the master folder, and keeps them waiting until the value is dropped.
    pub fn lock(cells: &Path) -> io::Result<Self> {
        let folder = cells.join("master");
        fs::create_dir_all(&folder)?;
        let lock = open_lock(&cells.join("master.lock"))?;
        lock.lock()?;
        remove_folder(&cells.join(SPARE))?;
        Ok(Self { cells: cells.into(), folder, _lock: lock })
    }

    /// Where the dependencies are compiled.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Pins the versions of dependencies in the master folder, see [`pin`].
    pub fn pin(&self) -> io::Result<()> {
        pin(&self.cells, &self.folder)
    }
}

/// Puts back the pinned versions where cargo has forgotten them.
///
/// It does so whenever it compiles without dependencies, as evcxr's first cells do; it would then take the newest of
/// everything, and compile all that is newer than what is here.
fn pin(cells: &Path, folder: &Path) -> io::Result<()> {
    let lock_file = folder.join("Cargo.lock");
    let n_packages = fs::read_to_string(&lock_file).unwrap_or_default().matches("[[package]]").count();
    match n_packages {
        0 | 1 => fs::copy(cells.join("config/Cargo.lock"), lock_file).map(drop),
        _ => Ok(()),
    }
}

/// One kernel's copy of the master folder, removed on drop.
pub struct Copy {
    cells: PathBuf,
    folder: PathBuf,
    lock_path: PathBuf,
    _lock: File,
}

impl Copy {
    /// Claims the place of a copy of the master folder in `cells`; [`Copy::fill`] makes it.
    pub fn claim(cells: &Path) -> io::Result<Self> {
        let running = cells.join("running");
        fs::create_dir_all(&running)?;
        // Held until the own lock is taken, so that no other kernel sweeps this copy away before that.
        let sweep_lock = open_lock(&cells.join("running.lock"))?;
        sweep_lock.lock()?;
        let name = std::process::id().to_string();
        let lock_path = running.join(format!("{name}.lock"));
        let lock = open_lock(&lock_path)?;
        lock.lock()?;
        Ok(Self { cells: cells.into(), folder: running.join(&name), lock_path, _lock: lock })
    }

    /// Takes the spare copy or makes one, and removes the copies of kernels that were killed.
    pub fn take_spare_or_fill(&self) -> io::Result<()> {
        match fs::rename(self.cells.join(SPARE), &self.folder) {
            Ok(()) => self.sweep(),
            Err(_) => self.fill(),
        }
    }

    /// Copies the master folder, and removes the copies of kernels that were killed.
    pub fn fill(&self) -> io::Result<()> {
        // Of a killed kernel that had the same process number.
        remove_folder(&self.folder)?;
        self.copy_master(&self.folder, || Ok(()))?;
        self.sweep()
    }

    /// Makes the copy that the next kernel takes, unless there is one.
    pub fn make_spare(&self) -> io::Result<()> {
        let (spare, unfinished) = (self.cells.join(SPARE), self.lock_path.with_extension(SPARE));
        if spare.exists() {
            return Ok(());
        }
        remove_folder(&unfinished)?;
        // Fails where another kernel was quicker.
        self.copy_master(&unfinished, || fs::rename(&unfinished, spare).or_else(|_| remove_folder(&unfinished)))
    }

    /// Copies the master folder, and does something more before anybody can change it.
    fn copy_master(&self, to: &Path, then: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let master_lock = open_lock(&self.cells.join("master.lock"))?;
        master_lock.lock_shared()?;
        copy_folder(&self.cells.join("master"), to)?;
        then()
    }

    /// Removes the copies whose kernels are gone.
    fn sweep(&self) -> io::Result<()> {
        let sweep_lock = open_lock(&self.cells.join("running.lock"))?;
        sweep_lock.lock()?;
        for entry in fs::read_dir(self.cells.join("running"))? {
            let lock_path = entry?.path();
            if lock_path.extension() != Some(OsStr::new("lock")) {
                continue;
            }
            match open_lock(&lock_path)?.try_lock() {
                Ok(()) => remove_copy(&lock_path)?,
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Ok(())
    }

    /// Where this kernel compiles.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Pins the versions of dependencies in this copy, see [`pin`].
    pub fn pin(&self) -> io::Result<()> {
        pin(&self.cells, &self.folder)
    }

    /// Keeps the versions of dependencies pinned while `work` adds others.
    ///
    /// evcxr checks each new dependency in a crate that has no other, and cargo forgets the versions of all others then.
    /// rust-analyzer's look at the new ones comes between that and the compiler, so there is time to put them back.
    pub fn keep_versions<T>(&self, work: impl FnOnce() -> T) -> T {
        let lock_file = self.folder.join("Cargo.lock");
        let Ok(pinned) = fs::read_to_string(&lock_file) else { return work() };
        let (end, waiting) = channel::<()>();
        thread::scope(|scope| {
            scope.spawn(move || {
                let mut was_lost = false;
                while waiting.recv_timeout(BETWEEN_LOOKS) == Err(RecvTimeoutError::Timeout) {
                    let is_lost = lacks_packages(&fs::read_to_string(&lock_file).unwrap_or_default(), &pinned);
                    // Twice, since cargo may just be writing.
                    if is_lost
                        && was_lost
                        && let Err(error) = fs::write(&lock_file, &pinned)
                    {
                        eprintln!("pinning versions in {}: {error}", lock_file.display());
                    }
                    was_lost = is_lost;
                }
            });
            let result = work();
            drop(end);
            result
        })
    }
}

/// Does a lock file lack packages of another one? Those that lie on this disk have no versions to pin.
fn lacks_packages(lock_file: &str, other: &str) -> bool {
    let of = |text: &str| -> BTreeSet<String> {
        let named = text.split("[[package]]").skip(1).filter(|package| package.contains("\nsource = "));
        named.map(|package| package.lines().take(3).collect::<Vec<_>>().join(" ")).collect()
    };
    !of(other).is_subset(&of(lock_file))
}

impl Drop for Copy {
    fn drop(&mut self) {
        // What cannot be removed now, the next kernel removes.
        let _ = remove_copy(&self.lock_path);
    }
}

/// Removes what one kernel had, and its lock if nothing is left.
fn remove_copy(lock_path: &Path) -> io::Result<()> {
    remove_folder(&lock_path.with_extension(""))?;
    remove_folder(&lock_path.with_extension(SPARE))?;
    fs::remove_file(lock_path)
}

/// Removes a folder, if there is one.
fn remove_folder(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if is_left_out(&source) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            copy_folder(&source, &target)?;
        } else if is_replaced_never_rewritten(&source) && fs::hard_link(&source, &target).is_ok() {
            continue;
        } else {
            // cargo compares times, so a copy keeps them.
            let modified = entry.metadata()?.modified()?;
            fs::copy(&source, &target)?;
            File::options().write(true).open(&target)?.set_modified(modified)?;
        }
    }
    Ok(())
}

/// The warm-up's own cell, the incremental state, which belongs to one folder, what is in an archive too, and what cargo
/// does not read to see that all is compiled: making files is what takes time here.
fn is_left_out(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let belongs_to_a_cell = ["ctx-", "libctx", "code_", "libcode_"].iter().any(|prefix| name.starts_with(prefix));
    let has_ending = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    let is_in = |folder: &str, level: usize| path.ancestors().nth(level).is_some_and(|above| above.ends_with(folder));
    belongs_to_a_cell
        || name == "incremental"
        || name == "invoked.timestamp"
        || has_ending(&[".o", ".bc"])
        || (is_in("deps", 1) && has_ending(&[".d"]))
        || (is_in(".fingerprint", 2) && has_ending(&[".json"]))
}

/// Compilers and linkers write these beside and rename, or remove the old one first.
fn is_replaced_never_rewritten(path: &Path) -> bool {
    match path.extension().and_then(OsStr::to_str) {
        Some(ending) => ["rlib", "rmeta", "so", "dylib", "a"].contains(&ending),
        None => path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().replace('_', "-").starts_with("build-script-build")),
    }
}

fn open_lock(path: &Path) -> io::Result<File> {
    File::options().create(true).append(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINGERPRINT: &str = "target/debug/.fingerprint/tch-1/lib-tch";

    /// A master folder with some large and small files.
    fn cells() -> tempfile::TempDir {
        let cells = tempfile::tempdir().unwrap();
        let debug = cells.path().join("master/target/debug");
        fs::create_dir_all(debug.join("deps")).unwrap();
        fs::create_dir_all(debug.join(".fingerprint/tch-1")).unwrap();
        for name in ["deps/libtch-1.rlib", "deps/tch-1.d", "deps/libctx.so", ".fingerprint/tch-1/lib-tch.json"] {
            fs::write(debug.join(name), name).unwrap();
        }
        fs::write(cells.path().join("master").join(FINGERPRINT), "old").unwrap();
        cells
    }

    fn filled(cells: &Path) -> Copy {
        let copy = Copy::claim(cells).unwrap();
        copy.take_spare_or_fill().unwrap();
        copy
    }

    #[test]
    fn a_copy_shares_libraries_and_owns_what_cargo_rewrites() {
        let cells = cells();
        let copy = filled(cells.path());
        fs::write(copy.folder().join(FINGERPRINT), "changed").unwrap();
        assert_eq!(fs::read_to_string(cells.path().join("master").join(FINGERPRINT)).unwrap(), "old");
        let debug = copy.folder().join("target/debug");
        assert_eq!(fs::read_to_string(debug.join("deps/libtch-1.rlib")).unwrap(), "deps/libtch-1.rlib");
        for left_out in ["deps/tch-1.d", "deps/libctx.so", ".fingerprint/tch-1/lib-tch.json"] {
            assert!(!debug.join(left_out).exists(), "{left_out}");
        }
    }

    #[test]
    fn a_copy_keeps_the_times_that_cargo_compares() {
        let cells = cells();
        let copy = filled(cells.path());
        let modified = |folder: &Path| fs::metadata(folder.join(FINGERPRINT)).unwrap().modified().unwrap();
        assert_eq!(modified(copy.folder()), modified(&cells.path().join("master")));
    }

    #[test]
    fn a_copy_is_gone_when_its_kernel_ends() {
        let cells = cells();
        let folder = filled(cells.path()).folder().to_path_buf();
        assert!(!folder.exists());
        assert_eq!(fs::read_dir(cells.path().join("running")).unwrap().count(), 0);
    }

    #[test]
    fn the_next_kernel_takes_the_spare_copy_unless_set_up_ran_meanwhile() {
        let cells = cells();
        let fingerprint = |copy: &Copy| fs::read_to_string(copy.folder().join(FINGERPRINT)).unwrap();
        let first = filled(cells.path());
        first.make_spare().unwrap();
        fs::write(cells.path().join(SPARE).join(FINGERPRINT), "spare").unwrap();
        first.make_spare().unwrap();
        drop(first);
        let second = filled(cells.path());
        assert_eq!(fingerprint(&second), "spare");
        assert!(!cells.path().join(SPARE).exists());
        second.make_spare().unwrap();
        drop(second);
        let master = Master::lock(cells.path()).unwrap();
        fs::write(master.folder().join(FINGERPRINT), "new").unwrap();
        drop(master);
        assert_eq!(fingerprint(&filled(cells.path())), "new");
    }

    #[test]
    fn only_the_copies_of_dead_kernels_are_swept() {
        let cells = cells();
        let running = cells.path().join("running");
        for name in ["1", "2"] {
            fs::create_dir_all(running.join(name)).unwrap();
            fs::create_dir_all(running.join(name).with_extension(SPARE)).unwrap();
            fs::write(running.join(format!("{name}.lock")), "").unwrap();
        }
        let alive = open_lock(&running.join("2.lock")).unwrap();
        alive.lock().unwrap();
        let _copy = filled(cells.path());
        assert!(!running.join("1").exists() && !running.join("1.spare").exists());
        assert!(running.join("2").exists() && running.join("2.spare").exists());
    }

    #[test]
    fn forgotten_versions_are_pinned_again_and_chosen_ones_are_kept() {
        let cells = cells();
        fs::create_dir(cells.path().join("config")).unwrap();
        let pinned = "[[package]]\nname = \"anyhow\"\n[[package]]\nname = \"tch\"\n";
        fs::write(cells.path().join("config/Cargo.lock"), pinned).unwrap();
        let copy = filled(cells.path());
        let lock_file = copy.folder().join("Cargo.lock");
        fs::write(&lock_file, "[[package]]\nname = \"ctx\"\n").unwrap();
        copy.pin().unwrap();
        assert_eq!(fs::read_to_string(&lock_file).unwrap(), pinned);
        let chosen = pinned.replace("anyhow", "rand");
        fs::write(&lock_file, &chosen).unwrap();
        copy.pin().unwrap();
        assert_eq!(fs::read_to_string(&lock_file).unwrap(), chosen);
    }

    #[test]
    fn versions_that_cargo_forgets_while_a_dependency_is_added_are_put_back() {
        let cells = cells();
        let copy = filled(cells.path());
        let lock_file = copy.folder().join("Cargo.lock");
        let package = |name: &str| format!("[[package]]\nname = \"{name}\"\nversion = \"1.0.0\"\nsource = \"x\"\n");
        let (tch, rand) = (package("tch"), package("rand"));
        fs::write(&lock_file, &tch).unwrap();
        let is_restored = copy.keep_versions(|| {
            fs::write(&lock_file, &rand).unwrap();
            let deadline = std::time::Instant::now() + Duration::from_secs(10);
            while fs::read_to_string(&lock_file).unwrap() != tch && std::time::Instant::now() < deadline {
                thread::sleep(BETWEEN_LOOKS);
            }
            fs::read_to_string(&lock_file).unwrap() == tch
        });
        assert!(is_restored);
        let more = copy.keep_versions(|| fs::write(&lock_file, format!("{tch}{rand}")));
        assert!(more.is_ok() && !lacks_packages(&fs::read_to_string(&lock_file).unwrap(), &tch));
    }
}
