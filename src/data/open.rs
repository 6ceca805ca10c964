//! `open`: finds out what kind of data a name or a path is.

use super::drawing::by_chance_note;
use super::opened::Opened;
use super::options::OpenOptions;
use super::photographs::FORMATS;
use super::split::{Split, nearest};
use super::{cifar, class_folders, homework, idx, listing, npz, scenes, surfaces};
use crate::files::{expand_home, lfs};
use crate::{Error, Result};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// What can be opened, for messages.
fn recognised() -> String {
    format!(
        "train.npy and test.npy, CIFAR's files or its archives as cifar-10-binary.tar.gz, MNIST's IDX files, an .npz \
         archive, or {FORMATS} files in class folders or not"
    )
}

/// The data sets that are drawn on the spot.
const DRAWN: [&str; 2] = [scenes::NAME, surfaces::NAME];

/// A data set that has a name and lives in a folder of data sets.
struct Named {
    name: &'static str,
    /// What its folder, or the archive as it was downloaded, is called there.
    places: &'static [&'static str],
    /// Where the system's packages put it.
    system_folder: Option<&'static str>,
    next_step: &'static str,
}

const NAMED: [Named; 4] = [
    Named {
        name: "cifar10",
        places: &[cifar::FOLDER, cifar::ARCHIVE, cifar::PYTHON_FOLDER, cifar::PYTHON_ARCHIVE],
        system_folder: None,
        next_step: "download(\"cifar10\")? fetches it (170 MB); or put \
                    https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz there as it is, or open it by path",
    },
    Named {
        name: "hw10",
        places: &["hw10"],
        system_folder: None,
        next_step: "put the homework's train.npy and test.npy there, or open their folder by path",
    },
    Named {
        name: "fashion-mnist",
        places: &["fashion-mnist"],
        system_folder: Some("/usr/share/datasets/fashion-mnist"),
        next_step: "put its four files there (apt-get install dataset-fashion-mnist, or \
                    https://github.com/zalandoresearch/fashion-mnist), or open their folder by path",
    },
    Named {
        name: "mnist",
        places: &["mnist"],
        system_folder: None,
        next_step: "put its four IDX files there, or open their folder by path",
    },
];

/// Opens a data set by name or by path, as [`open_with`] does with [`OpenOptions::default`].
///
/// - `"scenes"`: made on the spot from a fixed seed, needs no file; see [`Split::description`] for what it is.
/// - `"surfaces"`: likewise; a machined part for inspection, good or with one of three defects, 64 x 64 pixels, whose
///   pixels [`surface_masks`](super::surface_masks) tells.
/// - `"cifar10"`, `"hw10"`, `"fashion-mnist"` and `"mnist"`: the folder `cifar-10-batches-bin` (or
///   `cifar-10-binary.tar.gz` as it is downloaded), `hw10`, `fashion-mnist` or `mnist` in `$DIABOLO_DATA`, a folder of
///   data sets, or else in the user's cache, `$DIABOLO_CACHE/data` or `~/.cache/diabolo/data`. Fashion-MNIST is also
///   found where Debian's package `dataset-fashion-mnist` puts it.
/// - a folder with the homework's `train.npy` and `test.npy`: `(n, height, width, channels)` or `(n, height, width)`,
///   or `(n, channels, height, width)`; integers of 0..=255, truth values or floating-point; a `test_labels.npy` of 0
///   and 1 beside them says which test images are anomalies.
/// - a folder with the files of CIFAR-10 or CIFAR-100, in the binary or in the Python version, or the official archive of
///   one.
/// - a folder with the four IDX files of MNIST or of a set in its format, plain or gzipped.
/// - an `.npz` archive of such arrays: `x_train` and `x_test` with `y_train` and `y_test`, `train` and `test`,
///   `train_images` and so on, or `images` with `labels`; or an `.npy` file of images.
/// - a folder of JPEG, PNG, WebP, BMP, TIFF, GIF (its first picture), PGM or PPM files: class folders in `train` and
///   `test` (or `val`, `valid`), class folders alone, or no class folders; a category of MVTec AD or all of them, and
///   Tiny ImageNet. Classes that only the test part has are anomalies. Images are turned as their EXIF data say and put
///   on white where they are transparent. Images all of one size up to 128 x 128 keep it, others are scaled until they
///   just cover 32 x 32 and cropped around the centre. Where all are grey they stay grey. Links are followed. What is
///   left out is named in [`Split::origin`].
/// - a folder that contains one of the named ones under its usual name.
///
/// Where a source has no test images, [`Split::by_chance`] draws a fifth of every class. A name goes before a folder of
/// the same name; write `./scenes` for the folder.
///
/// # Errors
/// [`Error::File`] if a file is missing or unreadable, [`Error::Format`] if one does not hold what it should, and
/// [`Error::Data`] if nothing known is there; the message lists what was found.
///
/// # Example
/// ```
/// let data = diabolo::data::open("scenes")?;
/// assert_eq!(data.train().shape(), [3, 32, 32]);
///
/// let error = diabolo::data::open("scene").unwrap_err().to_string();
/// assert!(error.contains("did you mean scenes?"));
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn open(name_or_path: impl AsRef<Path>) -> Result<Split> {
    open_with(name_or_path, OpenOptions::default())
}

/// Opens a data set by name or by path, with sizes, the draw of test images and limits of one's own choice.
///
/// # Errors
/// Those of [`open`], and [`Error::Setting`] for an option out of its range.
///
/// # Example
/// ```
/// use diabolo::data::{OpenOptions, open_with};
/// let smaller = open_with("scenes", OpenOptions::default().size_px(16))?;
/// assert_eq!(smaller.train().shape(), [3, 16, 16]);
/// assert!(open_with("scenes", OpenOptions::default().size_px(0)).is_err());
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn open_with(name_or_path: impl AsRef<Path>, options: OpenOptions) -> Result<Split> {
    options.check()?;
    let split = match open_source(name_or_path.as_ref(), &options).map_err(lfs::explained)? {
        Opened::Parts(split) => split,
        Opened::Whole { name, images, source } => {
            let (test_share, seed) = (options.test_share, options.seed);
            let split = Split::by_chance(name, images, test_share, seed)?;
            split.with_source(format!("{source}; {}", by_chance_note(test_share, seed)))
        }
    };
    let split = match options.share {
        // Of these no others were read.
        None => split,
        Some(_) if is_image_files(&expand_home(name_or_path.as_ref())?) => split,
        Some(_) => split.select_share(&options)?,
    };
    split.known_as_share(options.share).with_note_of_range().resized(options.size_px)
}

/// Whether [`open`] takes this for a folder of image files, and no data set of another form.
pub(super) fn is_image_files(path: &Path) -> bool {
    !is_name(path) && path.is_dir() && !is_data_set(path)
}

/// Opens a source as it is.
pub(super) fn open_source(path: &Path, options: &OpenOptions) -> Result<Opened> {
    if path == Path::new(scenes::NAME) {
        return scenes::make().map(Opened::Parts);
    }
    if path == Path::new(surfaces::NAME) {
        return surfaces::make().map(Opened::Parts);
    }
    match NAMED.iter().find(|named| path == Path::new(named.name)) {
        Some(named) => open_path(&find_named(named, &data_folders())?, options),
        None => open_path(&expand_home(path)?, options),
    }
}

/// Whether [`open`] takes this for a name rather than for a path.
pub(super) fn is_name(path: &Path) -> bool {
    DRAWN.iter().any(|name| path == Path::new(name)) || NAMED.iter().any(|named| path == Path::new(named.name))
}

/// Folders of data sets, in the order in which they are searched.
fn data_folders() -> Vec<PathBuf> {
    variable("DIABOLO_DATA").into_iter().chain(own_data_folder()).collect()
}

/// The folder of data sets in the user's cache, where there is one.
pub(super) fn own_data_folder() -> Option<PathBuf> {
    let cache = variable("DIABOLO_CACHE").or_else(|| variable("HOME").map(|home| home.join(".cache/diabolo")));
    cache.map(|cache| cache.join("data"))
}

fn variable(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)?;
    Some(expand_home(&folder).unwrap_or(folder))
}

fn find_named(named: &Named, data_folders: &[PathBuf]) -> Result<PathBuf> {
    let places = data_folders.iter().flat_map(|folder| named.places.iter().map(|place| folder.join(place)));
    let candidates = Vec::from_iter(places.chain(named.system_folder.map(PathBuf::from)));
    candidates.iter().find(|place| place.exists()).cloned().ok_or_else(|| {
        let places = candidates.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>();
        Error::data(
            format!("opening {}", named.name),
            "no such folder",
            if places.is_empty() { "DIABOLO_DATA or HOME to be set".into() } else { places.join(" or ") },
            named.next_step,
        )
    })
}

/// Whether a folder is one that [`open`] takes for something else than a folder of image files.
fn is_data_set(folder: &Path) -> bool {
    homework::is_homework(folder) || cifar::is_cifar(folder) || idx::is_idx(folder) || !named_inside(folder).is_empty()
}

/// The data sets that a folder holds under their usual names, each with its place.
fn named_inside(folder: &Path) -> Vec<&'static str> {
    let place_of = |named: &Named| named.places.iter().copied().find(|place| folder.join(place).exists());
    NAMED.iter().filter_map(place_of).collect()
}

fn open_path(path: &Path, options: &OpenOptions) -> Result<Opened> {
    if path.is_file() {
        return open_file(path, options);
    }
    let entries = list(path)?;
    if homework::is_homework(path) {
        return homework::open(path, options).map(Opened::Parts);
    }
    if cifar::is_cifar(path) {
        return cifar::open(path, options).map(Opened::Parts);
    }
    if idx::is_idx(path) {
        return idx::open(path, options).map(Opened::Parts);
    }
    let inside = named_inside(path);
    match inside[..] {
        [place] => return open_path(&path.join(place), options),
        [] => {}
        _ => {
            return Err(Error::data(
                format!("opening {}", path.display()),
                inside.join(" and "),
                "one data set",
                "give the path of one of them",
            ));
        }
    }
    let listing = listing::list(path)?;
    if !listing.images.is_empty() {
        return class_folders::open(path, listing, options);
    }
    let by_names = format!("give the folder that holds these files, or one of the names {}", names().join(", "));
    Err(Error::data(
        format!("opening {}", path.display()),
        summary(&entries),
        recognised(),
        entries.iter().find_map(|entry| next_step_for(entry)).map_or(by_names, String::from),
    ))
}

/// What to do with a file that is not read, where its name says what it is.
fn next_step_for(name: &str) -> Option<&'static str> {
    match name.rsplit('.').next().unwrap_or_default().to_lowercase().as_str() {
        "heic" | "heif" | "avif" => Some("pictures of this kind are not read: save them as PNG, which loses nothing"),
        "parquet" => Some("Parquet is not read: save its images as PNG files in class folders, or as an .npz archive"),
        "mat" => Some("MATLAB's files are not read: save the images as an .npz archive with x_train and x_test"),
        _ => None,
    }
}

/// Opens a single file, by its name.
fn open_file(path: &Path, options: &OpenOptions) -> Result<Opened> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    if homework::is_homework_file(path) {
        homework::open(folder, options).map(Opened::Parts)
    } else if name.ends_with(".npy") {
        npz::open_npy(path, options)
    } else if name.ends_with(".npz") {
        npz::open(path, options)
    } else if name.ends_with(".tar.gz") || name.ends_with(".tgz") {
        cifar::open_archive(path, options).map(Opened::Parts)
    } else if idx::is_idx_file(path) {
        idx::open(folder, options).map(Opened::Parts)
    } else {
        Err(Error::data(
            format!("opening {}", path.display()),
            "a file of another kind",
            recognised(),
            next_step_for(&name).unwrap_or("give the folder that the file is in"),
        ))
    }
}

/// The names of data sets that [`open`] takes beside paths; all but "scenes" and "surfaces" need files.
///
/// # Example
/// ```
/// for name in diabolo::data::names() {
///     match diabolo::data::open(name) {
///         Ok(data) => println!("{data}"),
///         Err(error) => println!("{error}"),
///     }
/// }
/// assert!(diabolo::data::names().contains(&"scenes"));
/// ```
pub fn names() -> Vec<&'static str> {
    DRAWN.into_iter().chain(NAMED.map(|named| named.name)).collect()
}

/// Names of the entries of a folder, sorted; a name that is no folder is explained.
fn list(path: &Path) -> Result<Vec<String>> {
    let explain = |source: std::io::Error| {
        let names = names();
        let next_step = match (source.kind(), nearest(&path.to_string_lossy(), &names)) {
            (ErrorKind::NotFound, Some(name)) => format!("did you mean {name}?"),
            (ErrorKind::NotFound, None) => format!("check the path, or use one of the names {}", names.join(", ")),
            _ => "check the path and the permissions".into(),
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
        let find = |named, folders: &[PathBuf]| find_named(named, folders).unwrap_err().to_string();
        let error = find(&NAMED[0], &["/nowhere".into(), "/else/data".into()]);
        assert!(error.contains("/nowhere/cifar-10-batches-bin or /nowhere/cifar-10-binary.tar.gz or /now"), "{error}");
        assert!(error.contains("download(\"cifar10\")?"), "{error}");
        let error = find(&NAMED[1], &[]);
        assert!(error.contains("DIABOLO_DATA or HOME"), "{error}");
    }
}
