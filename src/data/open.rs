//! Which source a name or a folder stands for.

use super::split::{Split, nearest};
use super::{cifar, homework, scenes};
use crate::{Error, Result};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// What a folder can hold, for messages.
const RECOGNISED: &str =
    "train.npy and test.npy, or CIFAR-10's data_batch_1.bin to data_batch_5.bin and test_batch.bin";

/// A data set that has a name and lives in a folder of data sets.
struct Named {
    name: &'static str,
    folder: &'static str,
    next_step: &'static str,
}

const NAMED: [Named; 2] = [
    Named {
        name: "cifar10",
        folder: "cifar-10-batches-bin",
        next_step: "unpack https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz there, or open its folder by path",
    },
    Named {
        name: "hw10",
        folder: "hw10",
        next_step: "put the homework's train.npy and test.npy there, or open their folder by path",
    },
];

/// Opens a data set by name or by path.
///
/// - `"scenes"`: made on the spot from a fixed seed, needs no file; see [`Split::description`] for what it is.
/// - `"cifar10"` and `"hw10"`: the folder `cifar-10-batches-bin` or `hw10` in `$DIABOLO_DATA`, a folder of data sets, or
///   else in the user's cache, `$DIABOLO_CACHE/data` or `~/.cache/diabolo/data`.
/// - a folder with the homework's `train.npy` and `test.npy`: `(n, height, width, channels)`, 8-bit or floating-point;
///   a `test_labels.npy` of 0 and 1 beside them says which test images are anomalies.
/// - a folder with the batches of CIFAR-10's binary version.
/// - a folder that contains one of these two under its usual name.
///
/// A name goes before a folder of the same name; write `./scenes` for the folder.
///
/// # Errors
/// [`Error::File`] if a file is missing or unreadable, [`Error::Format`] if one does not hold what it should, and
/// [`Error::Data`] if nothing known is there; the message lists what was found.
///
/// # Example
/// ```
/// let data = diabolo::data::open("scenes")?;
/// assert_eq!(data.train.shape(), [3, 32, 32]);
///
/// let error = diabolo::data::open("scene").unwrap_err().to_string();
/// assert!(error.contains("did you mean scenes?"));
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn open(name_or_path: impl AsRef<Path>) -> Result<Split> {
    let path = name_or_path.as_ref();
    if path == Path::new(scenes::NAME) {
        return scenes::make();
    }
    match NAMED.iter().find(|named| path == Path::new(named.name)) {
        Some(named) => open_named(named, &data_folders()),
        None => open_path(path),
    }
}

/// Folders of data sets, with where each comes from, in the order in which they are searched.
fn data_folders() -> Vec<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = variable("DIABOLO_CACHE").or_else(|| variable("HOME").map(|home| home.join(".cache/diabolo")));
    variable("DIABOLO_DATA").into_iter().chain(cache.map(|cache| cache.join("data"))).collect()
}

fn open_named(named: &Named, data_folders: &[PathBuf]) -> Result<Split> {
    let candidates = Vec::from_iter(data_folders.iter().map(|folder| folder.join(named.folder)));
    match candidates.iter().find(|folder| folder.is_dir()) {
        Some(folder) => open_path(folder),
        None => {
            let places = candidates.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>();
            Err(Error::data(
                format!("opening {}", named.name),
                "no such folder",
                if places.is_empty() { "DIABOLO_DATA or HOME to be set".into() } else { places.join(" or ") },
                named.next_step,
            ))
        }
    }
}

/// Whether a folder is one that [`open`] takes, or holds one.
pub(super) fn is_data_set(folder: &Path) -> bool {
    homework::is_homework(folder) || cifar::is_cifar(folder) || !named_inside(folder).is_empty()
}

/// The data sets that a folder holds under their usual names.
fn named_inside(folder: &Path) -> Vec<&'static Named> {
    NAMED.iter().filter(|named| folder.join(named.folder).exists()).collect()
}

fn open_path(path: &Path) -> Result<Split> {
    if path.is_file() {
        return Err(Error::data(
            format!("opening {}", path.display()),
            "a file",
            format!("a folder with {RECOGNISED}"),
            "give the folder that the file is in",
        ));
    }
    let entries = list(path)?;
    if homework::is_homework(path) {
        return homework::open(path);
    }
    if cifar::is_cifar(path) {
        return cifar::open(path);
    }
    let inside = named_inside(path);
    match inside[..] {
        [named] => open_path(&path.join(named.folder)),
        [] => Err(Error::data(
            format!("opening {}", path.display()),
            summary(&entries),
            RECOGNISED,
            if entries.iter().any(|entry| entry == "data_batch_1") {
                "this is CIFAR-10's Python version: download the binary version"
            } else {
                "give the folder that holds these files, or one of the names scenes, cifar10 and hw10"
            },
        )),
        _ => Err(Error::data(
            format!("opening {}", path.display()),
            inside.iter().map(|named| named.folder).collect::<Vec<_>>().join(" and "),
            "one data set",
            "give the path of one of them",
        )),
    }
}

/// Names of the entries of a folder, sorted; a name that is no folder is explained.
fn list(path: &Path) -> Result<Vec<String>> {
    let explain = |source: std::io::Error| {
        let names = Vec::from_iter([scenes::NAME].into_iter().chain(NAMED.map(|named| named.name)).map(String::from));
        let next_step = match (source.kind(), nearest(&path.to_string_lossy(), &names)) {
            (ErrorKind::NotFound, Some(name)) => format!("did you mean {name}?"),
            (ErrorKind::NotFound, None) => format!("check the path, or use one of the names {}", names.join(", ")),
            _ => "check the permissions".into(),
        };
        Error::file("opening", path, next_step, source)
    };
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(path).map_err(explain)? {
        entries.push(entry.map_err(explain)?.file_name().to_string_lossy().into_owned());
    }
    entries.sort();
    Ok(entries)
}

/// A few names, for a message.
fn summary(entries: &[String]) -> String {
    const N_SHOWN: usize = 6;
    match entries.len() {
        0 => "an empty folder".into(),
        n if n <= N_SHOWN => entries.join(", "),
        n => format!("{} and {} more", entries[..N_SHOWN].join(", "), n - N_SHOWN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_set_that_is_nowhere_says_where_it_was_looked_for_and_how_to_get_it() {
        let error = open_named(&NAMED[0], &["/nowhere".into(), "/else/data".into()]).unwrap_err().to_string();
        assert!(error.contains("/nowhere/cifar-10-batches-bin or /else/data/cifar-10-batches-bin"), "{error}");
        assert!(error.contains("cifar-10-binary.tar.gz"), "{error}");
        let error = open_named(&NAMED[1], &[]).unwrap_err().to_string();
        assert!(error.contains("DIABOLO_DATA or HOME"), "{error}");
    }
}
