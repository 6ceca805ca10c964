//! Atomic replacement of files: a reader finds the old or the new one, never a part.

use super::{expand_home, folder_of, sync_folder};
use crate::{Error, Result, interrupt};
use std::fs::{self, File, Metadata, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// The ending of files that are being written.
const PARTIAL: &str = "part";
/// Whoever writes a file locks it at once, so an unlocked one of this age was left by a process that was killed.
const AGE_OF_LEFTOVERS: Duration = Duration::from_secs(60);
/// Between two attempts to lock a folder.
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(5);

/// A file that appears under its name only when it is complete. It is written beside the final path, brought to the disk
/// and renamed; dropped before [`AtomicFile::commit`], it leaves what was there before.
///
/// A leading `~` is the home folder. Symbolic links are followed, and a file that is replaced passes on its permissions.
/// A device or a pipe has no "before": it is written to directly.
///
/// # Example
/// ```
/// use diabolo::files::AtomicFile;
/// use std::io::Write;
/// # let folder = tempfile::tempdir().unwrap();
/// # let folder = folder.path();
/// let path = folder.join("numbers.txt");
/// let mut file = AtomicFile::create(&path)?;
/// writeln!(file, "1 2 3").unwrap();
/// assert!(!path.exists(), "not before it is complete");
/// file.commit()?;
/// assert_eq!(std::fs::read_to_string(&path).unwrap(), "1 2 3\n");
///
/// assert!(AtomicFile::create(folder.join("no/such/folder/numbers.txt")).is_err());
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug)]
pub struct AtomicFile {
    /// The path that was asked for.
    path: PathBuf,
    /// The same without symbolic links at its end.
    target: PathBuf,
    /// What is renamed to `target`; none for a device or a pipe.
    partial: Option<PathBuf>,
    file: File,
}

impl AtomicFile {
    /// Begins a file.
    ///
    /// # Errors
    /// [`Error::File`] naming `path` when its folder is missing or cannot be written to.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        let path = expand_home(path.as_ref())?;
        Self::begin(&path).map_err(|source| saving_error(&path, source))
    }

    /// Makes the file appear under its name, in place of what was there.
    ///
    /// # Errors
    /// [`Error::File`] naming the path; what was there before is then still there.
    pub fn commit(self) -> Result<()> {
        commit_together(vec![self])
    }

    fn begin(path: &Path) -> io::Result<Self> {
        let before = match fs::metadata(path) {
            Ok(metadata) => Some(metadata),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if before.as_ref().is_some_and(|before| !before.is_file()) {
            let file = File::options().write(true).open(path)?;
            return Ok(Self { path: path.into(), target: path.into(), partial: None, file });
        }
        let target = follow_links(path);
        remove_leftovers(&target);
        let partial = target.with_file_name(format!("{}{:016x}.{PARTIAL}", start_of_partial(&target), random_number()));
        let file = File::options().write(true).create_new(true).open(&partial)?;
        let file = Self { path: path.into(), target, partial: Some(partial), file };
        // Where files cannot be locked, leftovers stay.
        let _ = file.file.try_lock();
        if let Some(before) = before {
            // The owner is kept where that is allowed, and before the permissions, which a change of owner may alter.
            let _ = keep_owner(&file.file, &before);
            file.file.set_permissions(before.permissions())?;
        }
        Ok(file)
    }

    fn error(&self, source: io::Error) -> Error {
        saving_error(&self.path, source)
    }

    fn sync(&self) -> Result<()> {
        match self.partial {
            Some(_) => self.file.sync_all().map_err(|source| self.error(source)),
            // Devices and pipes have nothing to synchronise, and many refuse.
            None => Ok(()),
        }
    }

    fn rename(&mut self) -> Result<()> {
        if let Some(partial) = &self.partial {
            fs::rename(partial, &self.target).map_err(|source| self.error(source))?;
            self.partial = None;
        }
        Ok(())
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if let Some(partial) = &self.partial {
            // The error that matters is the one that kept the file from being complete.
            let _ = fs::remove_file(partial);
        }
    }
}

/// Writes a file whole or not at all, as [`AtomicFile`] does.
///
/// # Errors
/// [`Error::File`] naming `path`; what was there before is then still there.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    write_together(&[(path, bytes)])
}

/// The same for files of one folder that belong together: all are on the disk before the first is renamed, and where
/// several processes write the same ones, the files in the end are all of one of them.
///
/// Each file is whole, but two cannot be renamed in one step: if the machine stops between them, the first files are
/// new and the others old.
///
/// # Errors
/// [`Error::File`] naming the file that could not be written.
pub(crate) fn write_together(files: &[(&Path, &[u8])]) -> Result<()> {
    let written = files.iter().map(|(path, bytes)| {
        let mut file = AtomicFile::create(path)?;
        file.write_all(bytes).map_err(|source| file.error(source))?;
        Ok(file)
    });
    commit_together(written.collect::<Result<_>>()?)
}

fn commit_together(mut files: Vec<AtomicFile>) -> Result<()> {
    files.iter().try_for_each(AtomicFile::sync)?;
    let folders = Vec::from_iter(files.iter().map(|file| folder_of(&file.target).to_path_buf()));
    let _held = folders.first().filter(|_| files.len() > 1).and_then(|folder| hold(folder));
    files.iter_mut().try_for_each(AtomicFile::rename)?;
    folders.iter().for_each(|folder| sync_folder(folder));
    Ok(())
}

fn saving_error(path: &Path, source: io::Error) -> Error {
    let next_step = match source.kind() {
        ErrorKind::IsADirectory => "this is a folder: give the name of a file in it",
        ErrorKind::BrokenPipe => "whoever read from it has ended",
        _ => "choose a folder that exists, may be written to and has room",
    };
    Error::file("saving", path, next_step, source)
}

/// Waits until nobody else holds the folder. Where folders cannot be locked, or when the user presses stop meanwhile,
/// nothing is held: what is being saved is saved all the same.
fn hold(folder: &Path) -> Option<File> {
    let folder = File::open(folder).ok()?;
    loop {
        match folder.try_lock() {
            Ok(()) => return Some(folder),
            Err(TryLockError::WouldBlock) if !interrupt::is_requested() => thread::sleep(BETWEEN_ATTEMPTS),
            Err(_) => return None,
        }
    }
}

/// Where a path leads, also when nothing is there yet.
fn follow_links(path: &Path) -> PathBuf {
    // As many as Linux follows; of a circle the system says so when the path is used.
    const MOST_LINKS: usize = 40;
    let followed = (0..MOST_LINKS).try_fold(path.to_path_buf(), |path, _| match fs::read_link(&path) {
        Ok(link) => Ok(folder_of(&path).join(link)),
        Err(_) => Err(path),
    });
    followed.unwrap_or_else(|end| end)
}

/// A file is written in the folder of its target, since only there a move is one step.
fn start_of_partial(target: &Path) -> String {
    // A name may have 255 bytes, these and the rest of the partial name together.
    const MOST_BYTES: usize = 200;
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    format!(".{}.", &name[..name.floor_char_boundary(MOST_BYTES)])
}

/// Different in every call of every process and container.
fn random_number() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

/// Removes what processes left that were killed while they wrote this file.
fn remove_leftovers(target: &Path) {
    let start = start_of_partial(target);
    let is_partial = |name: &str| {
        let between = name.strip_prefix(&start).and_then(|rest| rest.strip_suffix(PARTIAL)?.strip_suffix('.'));
        between.is_some_and(|between| between.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-'))
    };
    let Ok(entries) = fs::read_dir(folder_of(target)) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_name().to_str().is_some_and(is_partial)) {
        let age = entry.metadata().and_then(|metadata| metadata.modified()).map(|time| time.elapsed());
        let is_old = matches!(age, Ok(Ok(age)) if age >= AGE_OF_LEFTOVERS);
        // For writing, since locks on a network's disks want that.
        let is_left = || File::options().write(true).open(entry.path()).is_ok_and(|file| file.try_lock().is_ok());
        if is_old && is_left() {
            // The next one who writes tries again.
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(unix)]
fn keep_owner(file: &File, before: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, fchown};
    fchown(file, Some(before.uid()), Some(before.gid()))
}

#[cfg(not(unix))]
fn keep_owner(_: &File, _: &Metadata) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    fn names_in(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names = Vec::from_iter(names);
        names.sort();
        names
    }

    #[test]
    fn a_file_that_is_dropped_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write_whole(&path, b"old").unwrap();
        let mut file = AtomicFile::create(&path).unwrap();
        file.write_all(b"half").unwrap();
        assert_eq!((names_in(folder.path()).len(), fs::read(&path).unwrap()), (2, b"old".to_vec()));
        drop(file);
        assert_eq!(names_in(folder.path()), ["a"]);
    }

    #[test]
    fn two_that_write_one_file_do_not_meet() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let [mut one, mut two] = [(); 2].map(|()| AtomicFile::create(&path).unwrap());
        one.write_all(b"one").unwrap();
        two.write_all(b"two, longer").unwrap();
        one.commit().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"one");
        two.commit().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two, longer");
        assert_eq!(names_in(folder.path()), ["a"]);
    }

    #[test]
    fn a_name_as_long_as_a_name_may_be_can_be_written() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a".repeat(255), "\u{56fe}".repeat(85)] {
            write_whole(&folder.path().join(&name), b"1").unwrap();
            assert!(names_in(folder.path()).contains(&name));
        }
    }

    #[test]
    fn a_folder_is_refused_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let message = write_whole(folder.path(), b"1").unwrap_err().to_string();
        assert!(message.contains("this is a folder: give the name of a file in it"), "{message}");
        assert!(names_in(folder.path()).is_empty());
    }

    #[test]
    fn what_killed_processes_left_is_removed_and_what_is_being_written_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let hour_ago = SystemTime::now() - Duration::from_secs(3600);
        let leave = |name: &str, time: SystemTime| {
            let file = File::create(at(name)).unwrap();
            file.set_modified(time).unwrap();
        };
        // As older versions named them, as this one does, another file's, the user's own, and one that is just begun.
        leave(".a.123-4.part", hour_ago);
        leave(".a.0123456789abcdef.part", hour_ago);
        leave(".b.0123456789abcdef.part", hour_ago);
        leave(".a.tar.part", hour_ago);
        leave(".a.0123456789abcde0.part", SystemTime::now());
        let at_work = AtomicFile::create(at("a")).unwrap();
        at_work.file.set_modified(hour_ago).unwrap();
        write_whole(&at("a"), b"1").unwrap();
        let kept = at_work.partial.as_ref().unwrap().file_name().unwrap().to_str().unwrap().to_string();
        let mut wanted = [".a.0123456789abcde0.part", ".a.tar.part", ".b.0123456789abcdef.part", &kept, "a"];
        wanted.sort_unstable();
        assert_eq!(names_in(folder.path()), wanted);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_permissions_kept() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("inner")).unwrap();
        fs::write(at("inner/real"), b"old").unwrap();
        fs::set_permissions(at("inner/real"), fs::Permissions::from_mode(0o600)).unwrap();
        symlink("inner/real", at("link")).unwrap();
        symlink("link", at("second")).unwrap();
        symlink("inner/new", at("to nothing")).unwrap();
        write_whole(&at("second"), b"new").unwrap();
        write_whole(&at("to nothing"), b"new").unwrap();
        for name in ["link", "second", "to nothing"] {
            assert!(at(name).is_symlink(), "{name}");
        }
        assert_eq!(fs::read(at("inner/real")).unwrap(), b"new");
        assert_eq!(fs::read(at("inner/new")).unwrap(), b"new");
        assert_eq!(fs::metadata(at("inner/real")).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(names_in(&at("inner")), ["new", "real"]);
        symlink("circle", at("circle")).unwrap();
        assert!(write_whole(&at("circle"), b"new").is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_is_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let reader = thread::spawn({
            let path = path.clone();
            move || fs::read(path).unwrap()
        });
        write_whole(&path, b"through the pipe").unwrap();
        assert_eq!(reader.join().unwrap(), b"through the pipe");
        assert_eq!(names_in(folder.path()), ["pipe"]);
        assert!(!path.is_file(), "it is still a pipe");
    }

    #[test]
    fn a_folder_that_is_held_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let held = hold(folder.path()).unwrap();
        let (path, other) = (folder.path().to_path_buf(), folder.path().join("a"));
        let writer = thread::spawn(move || write_together(&[(&other, b"1"), (&path.join("b"), b"2")]));
        thread::sleep(Duration::from_millis(50));
        assert!(!folder.path().join("a").exists());
        drop(held);
        writer.join().unwrap().unwrap();
        assert_eq!(names_in(folder.path()), ["a", "b"]);
    }

    #[test]
    fn a_stop_ends_the_wait_for_a_folder_that_is_held() {
        let folder = tempfile::tempdir().unwrap();
        let held = hold(folder.path()).unwrap();
        interrupt::stop_after_checks(Some(2));
        assert!(hold(folder.path()).is_none());
        interrupt::stop_after_checks(None);
        drop(held);
    }
}
