//! How the image files of a folder are laid out: in two parts or in one, in class folders or not.

use super::classes::normalised;
use crate::files::path_text;
use crate::{Error, Result};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// What folders of images to train on are called, in capitals or not.
const TRAIN: [&str; 2] = ["train", "training"];
/// What folders of images to test on are called; the first one whose classes are those of the training images is taken.
const TEST: [&str; 8] = ["test", "testing", "val", "valid", "validation", "dev", "eval", "evaluation"];
/// A folder of this name inside a part says nothing about a class.
const NO_CLASS: [&str; 4] = ["images", "image", "imgs", "img"];
/// Tiny ImageNet's list of the classes of `val/images`.
const ANNOTATIONS: &str = "val_annotations.txt";

/// The parts of a folder of image files.
#[derive(Debug)]
pub(super) struct Layout {
    /// What there is to train on, or everything where there are no two parts.
    pub(super) first: Part,
    /// What there is to test on.
    pub(super) test: Option<Part>,
    /// What was made of the folder beside the usual, as in "ground_truth (83 images) is left out".
    pub(super) notes: Vec<String>,
}

/// Image files of one part.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Part {
    /// Within the whole folder.
    pub(super) paths: Vec<PathBuf>,
    /// For each path, the name of its class.
    pub(super) classes: Option<Vec<String>>,
    /// For each path, whether its image is an anomaly, where the layout says so beside the classes.
    pub(super) anomalies: Option<Vec<bool>>,
    /// Those that lie beside class folders, which are then no classes.
    pub(super) beside_classes: Vec<PathBuf>,
}

/// Image files by the folder that they lie in, each with its path inside that folder.
struct Folders {
    inner: BTreeMap<String, Vec<(PathBuf, PathBuf)>>,
    /// Those that lie in none.
    loose: Vec<PathBuf>,
}

impl Folders {
    fn new(files: impl Iterator<Item = (PathBuf, PathBuf)>) -> Self {
        let mut folders = Self { inner: BTreeMap::new(), loose: Vec::new() };
        for (path, inside) in files {
            let mut names = inside.components();
            let first = names.next().map(|name| path_text(name.as_ref())).unwrap_or_default();
            match names.as_path() {
                rest if rest.as_os_str().is_empty() => folders.loose.push(path),
                rest => folders.inner.entry(first).or_default().push((path, rest.into())),
            }
        }
        folders
    }

    /// The folder of one of these names, in capitals or not.
    fn find(&self, names: &[&str]) -> Option<&str> {
        let found = names.iter().find_map(|name| self.inner.keys().find(|folder| folder.eq_ignore_ascii_case(name)));
        found.map(String::as_str)
    }

    fn files(&self, folder: &str) -> impl Iterator<Item = (PathBuf, PathBuf)> + '_ {
        self.inner[folder].iter().cloned()
    }

    /// The folders that are none of these, with their numbers of images.
    fn left_out(&self, taken: &[&str]) -> Vec<String> {
        let others = self.inner.iter().filter(|(name, _)| !taken.contains(&name.as_str()));
        others.map(|(name, files)| format!("{name} ({} images)", files.len())).collect()
    }
}

impl Layout {
    /// Finds out how image files lie in `folder`; `paths` are theirs within it.
    pub(super) fn of(folder: &Path, paths: Vec<PathBuf>) -> Self {
        let folders = Folders::new(paths.into_iter().map(|path| (path.clone(), path)));
        let tests = Vec::from_iter(TEST.iter().filter_map(|&name| folders.find(&[name])));
        match folders.find(&TRAIN) {
            Some(train) if !tests.is_empty() => Self::of_two(folder, &folders, train, &tests),
            Some(train) if is_part(&folders, train) => {
                let notes = left_out_note(&folders, &[train]);
                Self { first: Part::of(folders.files(train)), test: None, notes }
            }
            None if folders.loose.is_empty() && folders.inner.len() == 1 && tests.len() == 1 => {
                let note = format!("all of {}, since there are no training images", tests[0]);
                Self { first: Part::of(folders.files(tests[0])), test: None, notes: vec![note] }
            }
            _ => of_categories(&folders).unwrap_or_else(|| {
                let inner = folders.inner.iter().flat_map(|(name, files)| {
                    files.iter().map(move |(path, rest)| (path.clone(), Path::new(name).join(rest)))
                });
                let loose = folders.loose.iter().map(|path| (path.clone(), path.clone()));
                Self { first: Part::of(loose.chain(inner)), test: None, notes: Vec::new() }
            }),
        }
    }

    fn of_two(folder: &Path, folders: &Folders, train: &str, tests: &[&str]) -> Self {
        let first = Part::of(folders.files(train));
        let mut candidates = Vec::new();
        for &name in tests {
            let mut part = Part::of(folders.files(name));
            if part.classes.is_none() {
                part.classes = annotated_classes(&folder.join(name).join(ANNOTATIONS), &part.paths);
            }
            candidates.push((name, part));
        }
        let is_like = |(_, part): &(&str, Part)| match (&first.classes, &part.classes) {
            (None, None) => true,
            (Some(train), Some(test)) => train.iter().any(|class| test.contains(class)),
            _ => false,
        };
        let has_classes = |(_, part): &(&str, Part)| part.classes.is_some() == first.classes.is_some();
        let best = candidates.iter().position(is_like).or(candidates.iter().position(has_classes));
        let (name, test) = candidates.swap_remove(best.unwrap_or(0));
        let mut notes = Vec::new();
        if !TEST[..2].contains(&name.to_lowercase().as_str()) {
            notes.push(format!("{name} is the test part"));
        }
        notes.extend(left_out_note(folders, &[train, name]));
        Self { first, test: Some(test), notes }
    }

    /// Refuses layouts in which it is not clear which class an image is of.
    ///
    /// # Errors
    /// [`Error::Data`] for images beside class folders, and for two parts of which only one has class folders.
    pub(super) fn check(&self, folder: &Path) -> Result<()> {
        let refuse = |found: String, wanted: &str, next_step: &str| {
            Err(Error::data(format!("opening {}", folder.display()), found, wanted, next_step))
        };
        for part in [Some(&self.first), self.test.as_ref()].into_iter().flatten() {
            if let [first, ..] = &part.beside_classes[..] {
                let found =
                    format!("{} images beside class folders, as {}", part.beside_classes.len(), first.display());
                return refuse(
                    found,
                    "all images in class folders, or none",
                    "move them into the folder of their class, or away",
                );
            }
        }
        match &self.test {
            Some(test) if test.classes.is_some() != self.first.classes.is_some() => refuse(
                "class folders in only one of the two parts".into(),
                "class folders in both or in neither",
                "put the images of both into folders named for their classes",
            ),
            _ => Ok(()),
        }
    }
}

/// Whether a folder called `train` is a part and not a class: it holds class folders, or it is the only one.
fn is_part(folders: &Folders, train: &str) -> bool {
    let has_class_folders = folders.files(train).all(|(_, rest)| rest.components().nth(1).is_some());
    has_class_folders || folders.inner.len() == 1 && folders.loose.is_empty()
}

fn left_out_note(folders: &Folders, taken: &[&str]) -> Vec<String> {
    let mut others = folders.left_out(taken);
    if !folders.loose.is_empty() {
        others.push(format!("{} images beside the folders", folders.loose.len()));
    }
    if others.is_empty() { Vec::new() } else { vec![format!("left out: {}", others.join(", "))] }
}

/// The layout of MVTec AD as a whole: categories that each have a training and a test part. A category is a class; test
/// images of folders that the category's training part does not have (all but `good`) are anomalies.
fn of_categories(folders: &Folders) -> Option<Layout> {
    let empty = || Part { classes: Some(Vec::new()), anomalies: Some(Vec::new()), ..Part::default() };
    let (mut first, mut test, mut left_out) = (empty(), empty(), BTreeMap::<String, usize>::new());
    let mut n_categories = 0;
    for category in folders.inner.keys() {
        let inner = Folders::new(folders.files(category));
        let (Some(train_name), Some(test_name)) = (inner.find(&TRAIN), inner.find(&TEST)) else {
            *left_out.entry(category.clone()).or_default() += folders.inner[category].len();
            continue;
        };
        n_categories += 1;
        let (inside_train, inside_test) = (Folders::new(inner.files(train_name)), Folders::new(inner.files(test_name)));
        let add = |part: &mut Part, path: PathBuf, is_anomaly: bool| {
            part.paths.push(path);
            part.classes.iter_mut().for_each(|classes| classes.push(normalised(category)));
            part.anomalies.iter_mut().for_each(|anomalies| anomalies.push(is_anomaly));
        };
        inner.files(train_name).for_each(|(path, _)| add(&mut first, path, false));
        inside_test.loose.iter().for_each(|path| add(&mut test, path.clone(), false));
        for (kind, files) in &inside_test.inner {
            let is_anomaly = !inside_train.inner.contains_key(kind);
            files.iter().for_each(|(path, _)| add(&mut test, path.clone(), is_anomaly));
        }
        for (name, files) in inner.inner.iter().filter(|(name, _)| *name != train_name && *name != test_name) {
            *left_out.entry(format!("*/{name}")).or_default() += files.len();
        }
    }
    if n_categories == 0 {
        return None;
    }
    first.anomalies = None;
    let mut notes = vec![format!(
        "{n_categories} categories, each a class; test images in folders that its train does not have are anomalies"
    )];
    if !left_out.is_empty() {
        let left_out = left_out.iter().map(|(name, n)| format!("{name} ({n} images)")).collect::<Vec<_>>();
        notes.push(format!("left out: {}", left_out.join(", ")));
    }
    Some(Layout { first, test: Some(test), notes })
}

impl Part {
    /// The first folder on the way to an image is its class; what lies deeper belongs to it too.
    fn of(files: impl Iterator<Item = (PathBuf, PathBuf)>) -> Self {
        let Folders { inner, loose } = Folders::new(files);
        let is_class = |name: &String| !NO_CLASS.iter().any(|known| name.eq_ignore_ascii_case(known));
        let has_classes = inner.keys().any(is_class);
        if !loose.is_empty() || !has_classes {
            let inside = inner.into_values().flatten().map(|(path, _)| path);
            let mut paths = Vec::from_iter(loose.iter().cloned().chain(inside));
            paths.sort();
            let beside_classes = if has_classes { loose } else { Vec::new() };
            return Self { paths, classes: None, anomalies: None, beside_classes };
        }
        let (mut paths, mut classes) = (Vec::new(), Vec::new());
        for (name, files) in inner {
            classes.extend(std::iter::repeat_n(normalised(&name), files.len()));
            paths.extend(files.into_iter().map(|(path, _)| path));
        }
        Self { paths, classes: Some(classes), anomalies: None, beside_classes: Vec::new() }
    }

    /// The names of all classes.
    pub(super) fn class_names(&self) -> BTreeSet<String> {
        self.classes.iter().flatten().cloned().collect()
    }

    /// The files of these indices.
    pub(super) fn select(&self, indices: &[usize]) -> Self {
        let classes = self.classes.as_ref();
        let anomalies = self.anomalies.as_ref();
        Self {
            paths: indices.iter().map(|&index| self.paths[index].clone()).collect(),
            classes: classes.map(|classes| indices.iter().map(|&index| classes[index].clone()).collect()),
            anomalies: anomalies.map(|anomalies| indices.iter().map(|&index| anomalies[index]).collect()),
            ..Self::default()
        }
    }
}

/// The class of each image by a list of lines `name`, tab, `class` and more; `None` where one is not in it.
fn annotated_classes(path: &Path, images: &[PathBuf]) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(path).ok()?;
    let classes: HashMap<&str, &str> = text
        .lines()
        .filter_map(|line| {
            let mut fields = line.split('\t');
            Some((fields.next()?, fields.next()?.trim()))
        })
        .collect();
    let class_of = |image: &PathBuf| classes.get(image.file_name()?.to_str()?).map(|class| normalised(class));
    images.iter().map(class_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(paths: &[&str]) -> Layout {
        let mut paths = Vec::from_iter(paths.iter().map(PathBuf::from));
        paths.sort();
        Layout::of(Path::new("/nowhere"), paths)
    }

    fn names(part: &Part) -> Vec<String> {
        part.class_names().into_iter().collect()
    }

    #[test]
    fn a_class_called_train_is_a_class_and_a_part_called_train_is_a_part() {
        let bus = layout(&["bus/1.png", "train/1.png", "car/1.png"]);
        assert_eq!((names(&bus.first), bus.test), (vec!["bus".into(), "car".into(), "train".into()], None));
        let part = layout(&["train/a/1.png", "train/b/1.png", "extra/1.png"]);
        assert_eq!(names(&part.first), ["a", "b"]);
        assert_eq!(part.notes, ["left out: extra (1 images)"]);
        assert_eq!(layout(&["Train/1.png", "Train/2.png"]).first.classes, None);
    }

    #[test]
    fn the_test_part_is_the_one_that_has_the_classes_and_the_others_are_named() {
        let three = layout(&["train/a/1.png", "valid/a/1.png", "test/a/1.png"]);
        assert_eq!(three.test.unwrap().paths, [Path::new("test/a/1.png")]);
        assert_eq!(three.notes, ["left out: valid (1 images)"]);
        let two = layout(&["train/a/1.png", "valid/a/1.png"]);
        assert_eq!((two.test.unwrap().paths.len(), &two.notes[..]), (1, &["valid is the test part".to_string()][..]));
        let bare = layout(&["train/a/1.png", "train/b/1.png", "test/images/1.png", "val/a/1.png"]);
        assert_eq!(bare.test.unwrap().paths, [Path::new("val/a/1.png")]);
        assert_eq!(bare.notes, ["val is the test part", "left out: test (1 images)"]);
        // Only one of two with class folders has those of the training images.
        let of_others = layout(&["train/a/1.png", "test/x/1.png", "val/a/1.png"]);
        assert_eq!(of_others.test.unwrap().paths, [Path::new("val/a/1.png")]);
        let only = layout(&["test/a/1.png", "test/b/1.png"]);
        assert_eq!((names(&only.first), only.test), (vec!["a".into(), "b".into()], None));
    }

    #[test]
    fn categories_with_parts_are_classes_with_anomalies() {
        let whole = layout(&[
            "bottle/train/good/1.png",
            "bottle/test/good/1.png",
            "bottle/test/broken/1.png",
            "bottle/ground_truth/broken/1_mask.png",
            "cable/train/good/1.png",
            "cable/test/bent/1.png",
        ]);
        let test = whole.test.unwrap();
        assert_eq!(names(&whole.first), ["bottle", "cable"]);
        assert_eq!((test.paths.len(), test.anomalies), (3, Some(vec![true, false, true])));
        assert!(whole.notes[1].contains("*/ground_truth (1 images)"), "{:?}", whole.notes);
    }

    #[test]
    fn tiny_imagenets_list_gives_the_classes_of_val() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("val")).unwrap();
        std::fs::write(folder.path().join("val").join(ANNOTATIONS), "v0.JPEG\tn2\t0\t0\t9\t9\nv1.JPEG\tn1\t0\n")
            .unwrap();
        let paths = ["test/images/t.JPEG", "train/n1/images/a.JPEG", "train/n2/images/b.JPEG"];
        let paths = paths.iter().chain(&["val/images/v0.JPEG", "val/images/v1.JPEG"]).map(PathBuf::from).collect();
        let layout = Layout::of(folder.path(), paths);
        assert_eq!(layout.test.unwrap().classes.unwrap(), ["n2", "n1"]);
        assert_eq!(layout.notes, ["val is the test part", "left out: test (1 images)"]);
    }
}
