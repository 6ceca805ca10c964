//! Atomic replacement of files, sizes of folders, and folders named by environment variables.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};

/// The folder that an environment variable names, as a whole path; none where it is empty or not set.
pub fn folder_in(variable: &str) -> Result<Option<PathBuf>> {
    let folder = env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    folder.map(|folder| Ok(std::path::absolute(expand_home(folder)?)?)).transpose()
}

/// `~` at the beginning is the home folder, which a shell puts there only where it stands alone: not in `--data=~/a`.
pub fn expand_home(path: PathBuf) -> Result<PathBuf> {
    expand_home_to(path, env::home_dir())
}

fn expand_home_to(folder: PathBuf, home: Option<PathBuf>) -> Result<PathBuf> {
    match folder.strip_prefix("~") {
        Ok(rest) => {
            let home = home.filter(|home| !home.as_os_str().is_empty());
            let home = home.with_context(|| format!("{}: no home folder; write the whole path", folder.display()))?;
            // Joining nothing would end it with a slash.
            Ok(if rest.as_os_str().is_empty() { home } else { home.join(rest) })
        }
        Err(_) => Ok(folder),
    }
}

/// The whole path of a folder that the user names.
pub fn folder_of_notebooks(folder: &Path) -> Result<PathBuf> {
    fs::canonicalize(expand_home(folder.into())?)
        .with_context(|| format!("looking for notebooks in {}", folder.display()))
}

/// Writes `content` aside and renames it into place; does nothing when the file already holds it.
///
/// Returns whether the file changed.
pub fn write_if_changed(path: &Path, content: &[u8]) -> Result<bool> {
    if fs::read(path).is_ok_and(|old| old == content) {
        return Ok(false);
    }
    write_whole(path, |aside| fs::write(aside, content))?;
    Ok(true)
}

/// Copies a program into place, permissions included.
pub fn install_program(built: &Path, path: &Path) -> Result<()> {
    write_whole(path, |aside| fs::copy(built, aside).map(drop))
}

/// Lets `write` make a file beside `path`, and renames it into place.
fn write_whole(path: &Path, write: impl FnOnce(&Path) -> io::Result<()>) -> Result<()> {
    let aside = path.with_added_extension(format!("{}.part", std::process::id()));
    let written = match path.parent() {
        Some(folder) => fs::create_dir_all(folder),
        None => Ok(()),
    };
    written
        .and_then(|()| write(&aside))
        .and_then(|()| fs::rename(&aside, path))
        // The reason that is reported is the first one; that nothing is left over is only tidy.
        .inspect_err(|_| drop(fs::remove_file(&aside)))
        .with_context(|| format!("writing {}; is its folder writable and the disk not full?", path.display()))
}

/// Empties a folder that an earlier run of the command made for a `kind` of result, or makes it.
///
/// # Errors
/// When it holds something else, which is not removed.
pub fn empty_own_folder(path: &Path, kind: &str) -> Result<()> {
    let mark = path.join(format!(".diabolo-{kind}"));
    let is_used = fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some());
    if is_used && !mark.exists() {
        bail!("{} holds something else than a {kind}; name a new folder with --out", path.display());
    }
    let make = || -> io::Result<()> {
        if is_used {
            fs::remove_dir_all(path)?;
        }
        fs::create_dir_all(path)?;
        fs::write(&mark, "")
    };
    make().with_context(|| format!("making the folder {}", path.display()))
}

/// Removes a folder and all in it, if it is there.
pub fn remove_folder(folder: &Path) -> Result<()> {
    removed(folder, fs::remove_dir_all(folder))
}

/// Removes a file, if it is there.
pub fn remove_file(file: &Path) -> Result<()> {
    removed(file, fs::remove_file(file))
}

fn removed(path: &Path, result: io::Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}; is a notebook still running?", path.display()))
        }
        _ => Ok(()),
    }
}

/// Copies what is in the folder `from` into the folder `to`.
pub fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    let copy = || -> io::Result<Vec<_>> {
        fs::create_dir_all(to)?;
        fs::read_dir(from)?.collect()
    };
    for entry in copy().with_context(|| format!("copying {} to {}", from.display(), to.display()))? {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_folder(&path, &target)?;
        } else {
            fs::copy(&path, &target).with_context(|| format!("copying {} to {}", path.display(), target.display()))?;
        }
    }
    Ok(())
}

/// The bytes that removing `path` would free; a file that several folders share counts once for all of them.
pub fn size_bytes(path: &Path) -> u64 {
    let Ok(metadata) = fs::symlink_metadata(path) else { return 0 };
    if !metadata.is_dir() {
        return metadata.len() / n_links(&metadata);
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| size_bytes(&entry.path())).sum()
}

/// When a file in `folder` was last changed, as text; empty if there is none.
pub fn last_change(folder: &Path) -> String {
    newest(folder).map(|time| format!("{time:?}")).unwrap_or_default()
}

fn newest(path: &Path) -> Option<SystemTime> {
    if !path.is_dir() {
        return fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    }
    fs::read_dir(path).ok()?.flatten().filter_map(|entry| newest(&entry.path())).max()
}

#[cfg(unix)]
fn n_links(metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::nlink(metadata).max(1)
}

#[cfg(not(unix))]
fn n_links(_: &fs::Metadata) -> u64 {
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tilde_at_the_beginning_is_the_home_folder() {
        let expand = |folder: &str| expand_home_to(folder.into(), Some("/home/me".into())).unwrap();
        assert_eq!(
            ["~", "~/a", "a/~", "~you"].map(expand),
            ["/home/me", "/home/me/a", "a/~", "~you"].map(PathBuf::from)
        );
        assert!(expand_home_to("~/a".into(), None).unwrap_err().to_string().contains("write the whole path"));
    }

    #[test]
    fn an_unchanged_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/file.toml");
        assert!(write_if_changed(&path, b"one").unwrap());
        assert!(!write_if_changed(&path, b"one").unwrap());
        assert!(write_if_changed(&path, b"two").unwrap());
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        let error = install_program(&folder.path().join("not built"), &path).unwrap_err();
        assert!(error.to_string().contains("the disk not full?"), "{error:#}");
        // Half of it is there when the disk is full.
        let half = |aside: &Path| fs::write(aside, [0; 100]).and(Err(io::ErrorKind::StorageFull.into()));
        let message = format!("{:#}", write_whole(&path, half).unwrap_err());
        assert!(message.contains(path.to_str().unwrap()) && message.contains("no storage space"), "{message}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_written_again_with_the_same_content_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lib.rs");
        fs::write(&path, "").unwrap();
        let before = last_change(folder.path());
        let later = SystemTime::now() + std::time::Duration::from_secs(5);
        fs::File::options().write(true).open(&path).unwrap().set_modified(later).unwrap();
        assert_ne!(last_change(folder.path()), before);
    }

    #[test]
    fn a_folder_is_as_large_as_its_files() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("inner")).unwrap();
        fs::write(folder.path().join("inner/a"), [0; 300]).unwrap();
        fs::write(folder.path().join("b"), [0; 20]).unwrap();
        assert_eq!(size_bytes(folder.path()), 320);
    }
}
