//! The warm build of the cells' dependencies: one master folder, and a copy for each kernel that runs.
//!
//! evcxr and cargo rewrite files in the folder they work in, so two kernels cannot share one. A copy takes a moment
//! because the large files, which compilers replace and never rewrite, are hard links.
//!
//! ```text
//! cells/KEY/master/       filled by `diabolo-kernel warm`
//! cells/KEY/config/       evcxr's start file and the Cargo.lock that pins the dependencies
//! cells/KEY/running/NAME/ one kernel's copy, removed when it ends
//! cells/KEY/spare/        a copy that nobody has taken yet
//! ```
//!
//! Making a copy takes up to a second, so every kernel makes the next one's while its user looks at the first results.
//! A kernel that was killed leaves its copy; the next kernel removes it, because nobody holds its lock any more. Names are
//! drawn by chance: kernels in two containers with one cache may have the same process number.

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::versions::Versions;

/// The folder of the next kernel's copy, and the ending of one that is being made.
const SPARE: &str = "spare";

/// What the compiler keeps of a crate from one build to the next, beside what it compiles.
const INCREMENTAL: &str = "incremental";

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
        lock.lock().or_else(without_locks)?;
        retire(&cells.join(SPARE), remove_folder)?;
        Ok(Self { cells: cells.into(), folder, _lock: lock })
    }

    /// Where the dependencies are compiled.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The versions of what is compiled there.
    pub fn versions(&self) -> Versions {
        Versions::new(&self.cells, &self.folder)
    }
}

/// One kernel's copy of the master folder, removed on drop.
pub struct Copy {
    cells: PathBuf,
    folder: PathBuf,
    lock_path: PathBuf,
    _lock: File,
    has_locks: bool,
}

impl Copy {
    /// Claims the place of a copy of the master folder in `cells`; [`Copy::take_spare_or_fill`] makes it.
    pub fn claim(cells: &Path) -> io::Result<Self> {
        let running = cells.join("running");
        fs::create_dir_all(&running)?;
        // Held until the own lock is taken, so that no other kernel sweeps this copy away before that.
        let sweep_lock = open_lock(&cells.join("running.lock"))?;
        sweep_lock.lock_shared().or_else(without_locks)?;
        let folder = tempfile::Builder::new().prefix("kernel-").tempdir_in(&running)?.keep();
        let lock_path = folder.with_extension("lock");
        let lock = open_lock(&lock_path)?;
        let has_locks = lock.lock().map(|()| true).or_else(|error| without_locks(error).map(|()| false))?;
        Ok(Self { cells: cells.into(), folder, lock_path, _lock: lock, has_locks })
    }

    /// Takes the spare copy or makes one. Where set-up makes the master folder anew, that waits, and is told to `say`.
    pub fn take_spare_or_fill(&self, say: &dyn Fn(&str)) -> io::Result<()> {
        // It takes the place of a folder that is empty, as this one is at first.
        if fs::rename(self.cells.join(SPARE), &self.folder).is_ok() {
            return Ok(());
        }
        remove_folder(&self.folder)?;
        self.copy_master(&self.folder, say, || Ok(()))
    }

    /// Makes the copy that the next kernel takes, unless there is one.
    pub fn make_spare(&self) -> io::Result<()> {
        let (spare, unfinished) = (self.cells.join(SPARE), self.lock_path.with_extension(SPARE));
        if spare.exists() {
            return Ok(());
        }
        remove_folder(&unfinished)?;
        // Fails where another kernel was quicker.
        let then = || fs::rename(&unfinished, spare).or_else(|_| remove_folder(&unfinished));
        self.copy_master(&unfinished, &|_| {}, then)
    }

    /// Copies the master folder, and does something more before anybody can change it.
    fn copy_master(&self, to: &Path, say: &dyn Fn(&str), then: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let master_lock = open_lock(&self.cells.join("master.lock"))?;
        match master_lock.try_lock_shared() {
            Err(TryLockError::WouldBlock) => {
                say("the kernel waits for set-up (`cargo diabolo setup`), which compiles what cells need");
                master_lock.lock_shared()?;
            }
            Err(TryLockError::Error(error)) => without_locks(error)?,
            Ok(()) => {}
        }
        copy_folder(&self.cells.join("master"), to)?;
        then()
    }

    /// Removes the copies whose kernels are gone.
    pub fn sweep(&self) -> io::Result<()> {
        let sweep_lock = open_lock(&self.cells.join("running.lock"))?;
        sweep_lock.lock().or_else(without_locks)?;
        for entry in fs::read_dir(self.cells.join("running"))? {
            let lock_path = entry?.path();
            if lock_path.extension() != Some(OsStr::new("lock")) {
                continue;
            }
            match open_lock(&lock_path)?.try_lock() {
                Ok(()) => remove_copy(&lock_path)?,
                Err(TryLockError::WouldBlock) => {}
                // Without locks nobody knows which kernels live.
                Err(TryLockError::Error(error)) => return without_locks(error),
            }
        }
        Ok(())
    }

    /// Does its file system have locks? The compiler wants them for what it keeps from one build to the next.
    pub fn has_locks(&self) -> bool {
        self.has_locks
    }

    /// Removes what the compiler keeps of the cells from one build to the next: after a build that was killed the linker may
    /// miss a part of it.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn forget_half_builds(&self) -> io::Result<()> {
        // One for each platform that is compiled for.
        for entry in fs::read_dir(self.folder.join("target"))? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                remove_folder(&entry.path().join("debug").join(INCREMENTAL))?;
            }
        }
        Ok(())
    }

    /// Removes this copy, as the kernel's end does: in a process of its own, since Jupyter waits only seconds for that end.
    pub fn remove_later(&self) {
        let mut command = Command::new("sh");
        command.args(["-c", "rm -rf \"$0\" \"$1\" && rm -f \"$2\""]);
        command.args([&self.folder, &self.lock_path.with_extension(SPARE), &self.lock_path]);
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if quiet.process_group(0).spawn().is_err() {
            self.remove();
        }
    }

    fn remove(&self) {
        // What cannot be removed now, the next kernel removes.
        let _ = remove_copy(&self.lock_path);
    }

    /// Where this kernel compiles.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The versions of what is compiled there.
    pub fn versions(&self) -> Versions {
        Versions::new(&self.cells, &self.folder)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Removes what one kernel had, and its lock if nothing is left.
fn remove_copy(lock_path: &Path) -> io::Result<()> {
    remove_folder(&lock_path.with_extension(""))?;
    remove_folder(&lock_path.with_extension(SPARE))?;
    match fs::remove_file(lock_path) {
        // Its kernel has just removed it itself.
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes a folder that others may take: under a name that nobody else knows, since what removes a folder goes on in it
/// when it is renamed.
fn retire(folder: &Path, remove: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let retired = folder.with_extension(format!("{}.retired", std::process::id()));
    remove_folder(&retired)?;
    match fs::rename(folder, &retired) {
        Ok(()) => remove(&retired),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Goes on where the file system has no locks, as some networks' have not: two kernels then do not know of each other.
fn without_locks(error: io::Error) -> io::Result<()> {
    let unsupported = [libc::ENOSYS, libc::ENOLCK, libc::EOPNOTSUPP];
    match error.raw_os_error().is_some_and(|number| unsupported.contains(&number)) {
        true => {
            eprintln!("this file system has no locks ({error}); start one kernel after the other");
            Ok(())
        }
        false => Err(error),
    }
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
        || name == INCREMENTAL
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

/// For reading and writing: over NFS a lock that is shared needs the one, and another the other.
fn open_lock(path: &Path) -> io::Result<File> {
    File::options().create(true).read(true).append(true).open(path)
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
        copy.take_spare_or_fill(&|_| {}).unwrap();
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
        filled(cells.path()).sweep().unwrap();
        assert!(!running.join("1").exists() && !running.join("1.spare").exists());
        assert!(running.join("2").exists() && running.join("2.spare").exists());
    }

    #[test]
    fn a_kernel_with_the_process_number_of_another_does_not_wait_for_it() {
        let cells = cells();
        let running = cells.path().join("running");
        fs::create_dir_all(&running).unwrap();
        let other = open_lock(&running.join(format!("{}.lock", std::process::id()))).unwrap();
        other.lock().unwrap();
        let (first, second) = (Copy::claim(cells.path()).unwrap(), Copy::claim(cells.path()).unwrap());
        assert_ne!(first.folder(), second.folder());
    }

    #[test]
    fn nobody_can_take_a_copy_that_is_being_removed() {
        let cells = cells();
        let first = filled(cells.path());
        first.make_spare().unwrap();
        let removed = retire(&cells.path().join(SPARE), |folder| {
            // A kernel that starts at this moment.
            let copy = filled(cells.path());
            remove_folder(folder)?;
            assert!(copy.folder().join(FINGERPRINT).exists());
            Ok(())
        });
        removed.unwrap();
    }

    #[test]
    fn a_kernel_says_that_it_waits_for_set_up() {
        let cells = cells();
        let copy = Copy::claim(cells.path()).unwrap();
        let master = std::cell::RefCell::new(Some(Master::lock(cells.path()).unwrap()));
        let said = std::cell::RefCell::new(String::new());
        copy.take_spare_or_fill(&|notice| {
            said.replace(notice.to_string());
            // Set-up has ended.
            master.take();
        })
        .unwrap();
        assert!(said.into_inner().contains("cargo diabolo setup"));
    }
}
