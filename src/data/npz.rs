//! NumPy's files of images: `.npz` archives, stored or deflated, and single `.npy` files.

use super::arrays::{ImageArray, Labels, classes_of, read_images, read_labels};
use super::images::Images;
use super::npy::{Npy, ReadSeek};
use super::opened::Opened;
use super::options::OpenOptions;
use super::split::Split;
use super::unpack::{Limited, too_much, unpack_error};
use crate::{Error, Result};
use std::fs::File;
use std::io::{BufReader, Cursor};
use std::path::Path;
use zip::ZipArchive;
use zip::result::ZipError;

/// What arrays of images are called where there are no two parts; `arr_0` is NumPy's own name for an array without one.
const WHOLE_NAMES: [&str; 6] = ["images", "x", "data", "imgs", "image", "arr_0"];
/// What the labels of such arrays are called.
const WHOLE_LABEL_NAMES: [&str; 7] = ["labels", "y", "label", "targets", "target", "classes", "arr_1"];

/// What the images of a part, "train" or "test", are called.
fn image_names(part: &str) -> [String; 6] {
    ["x_PART", "PART", "PART_images", "images_PART", "PART_x", "PART_data"].map(|name| name.replace("PART", part))
}

/// What the labels of a part are called.
fn label_names(part: &str) -> [String; 5] {
    ["y_PART", "PART_labels", "labels_PART", "PART_y", "PART_label"].map(|name| name.replace("PART", part))
}

/// Opens a single file of images.
pub(super) fn open_npy(path: &Path, options: &OpenOptions) -> Result<Opened> {
    let ([images], note) = read_images([ImageArray::new(Npy::open(path)?)?], options)?;
    Ok(Opened::whole(path, images, format!("{}{note}", path.display())))
}

/// Opens an archive of arrays.
pub(super) fn open(path: &Path, options: &OpenOptions) -> Result<Opened> {
    let file = File::open(path)
        .map_err(|source| Error::file("opening", path, "check the path and the permissions", source))?;
    read(Box::new(BufReader::new(file)), path, options)
}

/// The same from any reader; `path` is for messages alone.
pub(super) fn read(reader: Reader, path: &Path, options: &OpenOptions) -> Result<Opened> {
    let mut arrays = Arrays::new(reader, path, options)?;
    let train = arrays.find(&image_names("train"));
    let test = arrays.find(&image_names("test"));
    let (Some(train), Some(test)) = (&train, &test) else {
        let whole = train.or(arrays.find(&WHOLE_NAMES)).or(arrays.only_one());
        // Arrays without names say nothing of which is which, where there are more than images and labels.
        let is_clear = |whole: &String| whole != "arr_0" || !arrays.names.iter().any(|name| name == "arr_2");
        let Some(whole) = whole.filter(is_clear) else { return Err(arrays.unknown()) };
        let ([images], note) = read_images([ImageArray::new(arrays.read(&whole)?)?], options)?;
        let mut labels_names = Vec::from(label_names("train"));
        labels_names.extend(WHOLE_LABEL_NAMES.map(String::from));
        let labels = arrays.find(&labels_names).filter(|name| *name != whole);
        let mut source = format!("{whole} in {}{note}", path.display());
        let mut used = vec![whole];
        let images = match labels {
            None => images,
            Some(name) => {
                used.push(name.clone());
                match arrays.read_labels(&name, images.len())? {
                    Labels::Numbers(labels) => {
                        source += &format!("; classes from {name}");
                        let [images] = with_classes([images], [labels])?;
                        images
                    }
                    Labels::Unusable(why) => {
                        source += &format!("; {name} not used ({why})");
                        images
                    }
                }
            }
        };
        source += &arrays.left_out(&used);
        return Ok(Opened::whole(path, images, source));
    };
    let pair = [ImageArray::new(arrays.read(train)?)?, ImageArray::new(arrays.read(test)?)?];
    let ([mut train_images, mut test_images], note) = read_images(pair, options)?;
    let mut source = format!("{train} and {test} in {}{note}", path.display());
    let (train_labels, test_labels) = (arrays.find(&label_names("train")), arrays.find(&label_names("test")));
    let used = Vec::from_iter([Some(train.clone()), Some(test.clone()), train_labels.clone(), test_labels.clone()]);
    let used = Vec::from_iter(used.into_iter().flatten());
    match (train_labels, test_labels) {
        (Some(train), Some(test)) => {
            let of_train = arrays.read_labels(&train, train_images.len())?;
            let of_test = arrays.read_labels(&test, test_images.len())?;
            match (of_train, of_test) {
                (Labels::Numbers(of_train), Labels::Numbers(of_test)) => {
                    [train_images, test_images] = with_classes([train_images, test_images], [of_train, of_test])?;
                    source += &format!("; classes from {train} and {test}");
                }
                (Labels::Unusable(why), _) => source += &format!("; {train} and {test} not used ({train} has {why})"),
                (_, Labels::Unusable(why)) => source += &format!("; {train} and {test} not used ({test} has {why})"),
            }
        }
        (None, Some(test)) => match arrays.read_labels(&test, test_images.len())? {
            Labels::Numbers(labels) if labels.iter().all(|label| (0..=1).contains(label)) => {
                test_images = test_images.with_anomalies(labels.into_iter().map(|label| label == 1).collect())?;
                source += &format!("; anomalies from {test}");
            }
            Labels::Numbers(_) => {
                source += &format!(
                    "; {test} not used, since the training images have no labels and these are not 0 (normal) and 1 (anomaly)"
                );
            }
            Labels::Unusable(why) => source += &format!("; {test} not used ({why})"),
        },
        (Some(train), None) => source += &format!("; {train} not used, since the test images have no labels"),
        (None, None) => source += "; no labels",
    }
    source += &arrays.left_out(&used);
    let split = Split::new(Opened::name_of(path), train_images, test_images)?.with_source(source);
    Ok(Opened::Parts(split.with_unseen_classes_as_anomalies()?))
}

/// Every number among the labels is a class.
fn with_classes<const N: usize>(images: [Images; N], labels: [Vec<i64>; N]) -> Result<[Images; N]> {
    let (names, indices) = classes_of(&labels);
    let names = Vec::from_iter(names.iter().map(String::as_str));
    let labelled = images.into_iter().zip(indices).map(|(images, indices)| images.with_classes(&names, indices));
    let labelled = labelled.collect::<Result<Vec<_>>>()?;
    Ok(<[Images; N]>::try_from(labelled).expect("one set came of each"))
}

/// What an archive is read from.
pub(super) type Reader = Box<dyn ReadSeek>;

/// The arrays of an archive.
struct Arrays<'a> {
    archive: ZipArchive<Reader>,
    path: &'a Path,
    options: &'a OpenOptions,
    /// Names of the arrays, without `.npy`.
    names: Vec<String>,
    bytes_left: u64,
}

impl<'a> Arrays<'a> {
    /// Reads the list of members; `path` is for messages alone.
    fn new(reader: Reader, path: &'a Path, options: &'a OpenOptions) -> Result<Self> {
        let archive = ZipArchive::new(reader).map_err(|error| zip_error(path, options, error))?;
        // A member whose name cannot be read is no array of NumPy's.
        let names = archive.file_names().flatten();
        let names = names.filter_map(|name| name.strip_suffix(".npy").map(String::from));
        let mut names = Vec::from_iter(names);
        names.sort();
        Ok(Self { archive, path, options, names, bytes_left: options.max_unpacked_bytes })
    }

    /// The name in the archive of the first wanted array that it has, in capitals or not.
    fn find(&self, wanted: &[impl AsRef<str>]) -> Option<String> {
        let is = |wanted: &str| self.names.iter().find(|name| name.eq_ignore_ascii_case(wanted)).cloned();
        wanted.iter().find_map(|wanted| is(wanted.as_ref()))
    }

    fn only_one(&self) -> Option<String> {
        if let [name] = &self.names[..] { Some(name.clone()) } else { None }
    }

    /// The labels of this name, or why they cannot be used.
    fn read_labels(&mut self, name: &str, n_images: usize) -> Result<Labels> {
        match self.read(name) {
            Ok(npy) => read_labels(npy, n_images),
            // Words and objects are no plain numbers.
            Err(Error::Format { found, .. })
                if found.starts_with("elements of type") || found.starts_with("an array of") =>
            {
                Ok(Labels::Unusable(found))
            }
            Err(error) => Err(error),
        }
    }

    /// The arrays that are none of these, in words.
    fn left_out(&self, used: &[String]) -> String {
        let others = Vec::from_iter(self.names.iter().filter(|name| !used.contains(name)).map(String::as_str));
        if others.is_empty() { String::new() } else { format!("; left out: {}", others.join(", ")) }
    }

    /// Unpacks one array.
    fn read(&mut self, name: &str) -> Result<Npy> {
        let member_name = format!("{name}.npy");
        let member = self.archive.by_name(&member_name);
        let member = member.map_err(|error| zip_error(self.path, self.options, error))?;
        if member.size() > self.bytes_left {
            return Err(too_much(self.path, self.options));
        }
        let bytes = Limited::new(member, self.bytes_left).read_whole();
        let bytes = bytes.map_err(|error| unpack_error(self.path, self.options, &error))?;
        self.bytes_left -= bytes.len() as u64;
        Npy::new(Box::new(Cursor::new(bytes)), &self.path.join(member_name))
    }

    /// The error of an archive without any known name.
    fn unknown(&self) -> Error {
        let found = match self.names[..] {
            [] => "no array".into(),
            _ => format!("the arrays {}", self.names.join(", ")),
        };
        Error::format(
            self.path,
            found,
            "x_train and x_test, train and test, or images",
            "save it again as np.savez(path, x_train=..., y_train=..., x_test=..., y_test=...)",
        )
    }
}

fn zip_error(path: &Path, options: &OpenOptions, error: ZipError) -> Error {
    match error {
        ZipError::Io(error) => unpack_error(path, options, &error),
        error => Error::format(
            path,
            format!("an archive that cannot be read ({error})"),
            "a file written by np.savez or np.savez_compressed",
            "write it again, or copy it again",
        ),
    }
}
