//! Training and test images of one data set, and held-out classes.

use super::classes;
use super::drawing::{self, by_chance_note, check_test_share};
use super::images::Images;
use super::options::OpenOptions;
use super::pixels::Pixels;
use super::resize::resized;
use crate::{Error, Result};
use std::fmt;
use std::sync::Arc;

/// Images to train on and images to test on.
///
/// # Example
/// ```
/// use diabolo::data::{Images, Split};
/// let pixels = diabolo::ndarray::Array4::zeros((6, 1, 8, 8));
/// let images = Images::from_bytes(pixels)?.with_classes(&["boot", "shirt"], vec![0, 1, 0, 1, 0, 1])?;
/// let data = Split::new("mine", images.clone(), images)?.hold_out(&["shirt"])?;
/// assert_eq!((data.train().len(), data.test().len(), data.held_out()), (3, 6, &["shirt".to_string()][..]));
/// assert_eq!((data.name(), data.train_of_all_classes().len()), ("mine", 6));
/// # Ok::<(), diabolo::Error>(())
/// ```
///
/// The parts are chosen together and are read, not set: images put in by hand would be lost when classes are held out
/// anew.
/// ```compile_fail
/// let mut data = diabolo::data::open("scenes")?;
/// data.train = data.train().first(100)?; // data.train_on_first(100)? does it
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Split {
    name: String,
    train: Images,
    test: Images,
    held_out: Vec<String>,
    /// Files, and what was decided while reading them.
    source: String,
    /// The most images to train on, of those that no class is held out of.
    n_train_at_most: Option<usize>,
    /// The split before any class was held out, to start again from; `None` where this is it.
    whole: Option<Arc<Whole>>,
    /// Whose share of the images these are, of how many.
    share: Option<(usize, usize)>,
    /// Images that each process has to train on, where these are a share of them.
    n_train_of_each: Option<Vec<usize>>,
}

/// A split before any class was held out.
#[derive(Debug)]
struct Whole {
    train: Images,
    test: Images,
    held_out: Vec<String>,
}

impl Split {
    /// Pairs images to train on with images to test on.
    ///
    /// One image is enough to test on, not to train on: a batch of one has no spread that batch normalisation could
    /// divide by, and nothing but that image could be learnt.
    ///
    /// Where both parts have classes, the classes of one name are one class: the lists of names become one list, those
    /// that only the test images have at its end.
    ///
    /// # Errors
    /// [`Error::Data`] if the two differ in shape, if there are fewer than two images to train on, or if two names of
    /// classes differ only in capitals, as `Good` in training and `good` in testing.
    ///
    /// # Example
    /// ```
    /// use diabolo::data::{Images, Split};
    /// use diabolo::ndarray::Array4;
    /// let train = Images::from_bytes(Array4::zeros((8, 1, 28, 28)))?;
    /// let test = Images::from_bytes(Array4::zeros((2, 1, 28, 28)))?;
    /// let data = Split::new("mine", train.clone(), test)?;
    /// assert_eq!(data.to_string().lines().next(), Some("mine: 8 images to train on, 2 to test on"));
    ///
    /// let test = Images::from_bytes(Array4::zeros((2, 1, 28, 28)))?.with_classes(&["shirt", "boot"], vec![0, 1])?;
    /// let train = train.with_classes(&["boot", "shirt"], vec![0, 0, 0, 0, 1, 1, 1, 1])?;
    /// let data = Split::new("mine", train.clone(), test)?;
    /// assert_eq!(data.test().class_indices(), Some(&[1, 0][..]), "as the training images count the classes");
    ///
    /// let of_another_size = Images::from_bytes(Array4::zeros((2, 1, 32, 32)))?;
    /// assert!(Split::new("mine", train, of_another_size).is_err());
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn new(name: impl Into<String>, train: Images, test: Images) -> Result<Self> {
        if train.len() < 2 {
            return Err(Error::data(
                "splitting into training and test images",
                "one image to train on",
                "at least two",
                "add images; a single one can only be tested on",
            ));
        }
        if train.shape() != test.shape() {
            return Err(Error::data(
                "splitting into training and test images",
                format!("test images of shape {:?}", test.shape()),
                format!("{:?} as in training", train.shape()),
                "bring both to the same channels, height and width",
            ));
        }
        let (train, test) = match train.classes().zip(test.classes()) {
            Some((of_train, of_test)) => match classes::with_one_list(of_train, of_test)? {
                Some((of_train, of_test)) => (train.relabelled(of_train), test.relabelled(of_test)),
                None => (train, test),
            },
            None => (train, test),
        };
        let (name, source) = (name.into(), "made in memory".into());
        let held_out = Vec::new();
        let (n_train_at_most, whole, share, n_train_of_each) = (None, None, None, None);
        Ok(Self { name, train, test, held_out, source, n_train_at_most, whole, share, n_train_of_each })
    }

    /// Where the images come from, as in "CIFAR-10".
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Images to train on; those of held-out classes are not among them.
    pub fn train(&self) -> &Images {
        &self.train
    }

    /// Images to test on.
    pub fn test(&self) -> &Images {
        &self.test
    }

    /// Names of the classes that training never sees; their test images are the anomalies.
    pub fn held_out(&self) -> &[String] {
        &self.held_out
    }

    /// Draws test images from images that have none of their own: `test_share` of every class (rounded, and never all of
    /// it), or of all images where classes are not known. Both halves keep the images' order; no pixels are copied.
    ///
    /// # Errors
    /// [`Error::Setting`] for a share that is not above 0 and below 1; [`Error::Data`] for fewer than three images.
    ///
    /// # Example
    /// ```
    /// use diabolo::data::{Images, Split};
    /// let images = Images::from_bytes(diabolo::ndarray::Array4::zeros((100, 1, 28, 28)))?;
    /// let data = Split::by_chance("mine", images, 0.2, 7)?;
    /// assert_eq!((data.train().len(), data.test().len()), (80, 20));
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn by_chance(name: impl Into<String>, images: Images, test_share: f64, seed: u64) -> Result<Self> {
        check_test_share(test_share)?;
        if images.len() < 3 {
            let found = if images.len() == 1 { "one image".into() } else { format!("{} images", images.len()) };
            let next_step = "add images: two to train on and one to test on are the least";
            return Err(Error::data("drawing test images", found, "at least three", next_step));
        }
        let is_test = drawing::draw(&images, test_share, seed);
        let indices = |wanted| Vec::from_iter((0..images.len()).filter(|&index| is_test[index] == wanted));
        let split = Self::new(name, images.select(&indices(false))?, images.select(&indices(true))?)?;
        Ok(split.with_source(format!("made in memory; {}", by_chance_note(test_share, seed))))
    }

    /// The report's experiment: trains on the other classes and tests on all, with the held-out ones as anomalies.
    ///
    /// Copies no pixels. Holding out again starts from all classes, so that running a notebook's cell twice gives the
    /// same as running it once. Test images that were known as anomalies before any class was held out, as those of a
    /// test folder's `broken`, stay anomalies.
    ///
    /// # Errors
    /// [`Error::Data`] if a class is unknown or named twice, if none or all are named, if classes are not known, or if
    /// fewer than two images would be left to train on.
    ///
    /// # Example
    /// ```
    /// let data = diabolo::data::open("scenes")?.hold_out(&["boat", "car"])?;
    /// assert_eq!((data.train().len(), data.test().len()), (6_400, 2_000));
    /// assert_eq!(data.test().anomalies().unwrap().iter().filter(|&&is_anomaly| is_anomaly).count(), 400);
    ///
    /// let error = data.hold_out(&["boot"]).unwrap_err().to_string();
    /// assert!(error.contains("did you mean boat?"));
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn hold_out(&self, class_names: &[&str]) -> Result<Self> {
        let (all_train, all_test, known_anomalies) = match &self.whole {
            Some(whole) => (&whole.train, &whole.test, &whole.held_out),
            None => (&self.train, &self.test, &self.held_out),
        };
        let refuse = |found: String, wanted: String, next_step: String| {
            Err(Error::data("holding out classes", found, wanted, next_step))
        };
        let (Some(known), Some(train_classes), Some(test_classes)) =
            (all_train.class_names(), all_train.class_indices(), all_test.class_indices())
        else {
            return refuse(
                format!("images without classes in {}", self.name),
                "a class for every image".into(),
                "train on these images as they are, or put image files into class folders; cifar10 and scenes have classes".into(),
            );
        };
        let all_names = known.join(", ");
        if class_names.is_empty() {
            return refuse("no class".into(), format!("some of {all_names}"), "name at least one class".into());
        }
        let mut is_held_out = vec![false; known.len()];
        for &name in class_names {
            let Some(class) = known.iter().position(|known| known == name) else {
                let hint =
                    nearest(name, known).map_or("check the spelling".into(), |near| format!("did you mean {near}?"));
                return refuse(format!("unknown class {name:?}"), format!("some of {all_names}"), hint);
            };
            if std::mem::replace(&mut is_held_out[class], true) {
                return refuse(format!("{name} twice"), "every class once".into(), "leave one of the two out".into());
            }
        }
        if class_names.len() == known.len() {
            return refuse(
                format!("all {} classes", known.len()),
                "at least one class to train on".into(),
                "hold out fewer classes".into(),
            );
        }
        let mut kept = Vec::from_iter((0..all_train.len()).filter(|&index| !is_held_out[train_classes[index]]));
        kept.truncate(self.n_train_at_most.unwrap_or(usize::MAX));
        if kept.len() < 2 {
            return refuse(
                format!("{} image left to train on", kept.len()),
                "at least two".into(),
                "hold out fewer classes".into(),
            );
        }
        let is_anomaly = |(index, &class): (usize, &usize)| {
            is_held_out[class] || all_test.anomalies().is_some_and(|known| known[index])
        };
        let anomalies = test_classes.iter().enumerate().map(is_anomaly).collect();
        let named = class_names.iter().map(|name| name.to_string());
        let before = known_anomalies.iter().filter(|name| !class_names.contains(&name.as_str())).cloned();
        Ok(Self {
            train: all_train.select(&kept)?,
            test: all_test.clone().with_anomalies(anomalies)?,
            held_out: named.chain(before).collect(),
            whole: Some(self.whole()),
            ..self.clone()
        })
    }

    /// The same with no more than the first `n_images` images to train on, those of held-out classes not counted; also
    /// after other classes are held out. The images to test on stay.
    ///
    /// # Errors
    /// [`Error::Setting`] for fewer than two.
    ///
    /// # Example
    /// ```
    /// let few = diabolo::data::open("scenes")?.train_on_first(1_000)?;
    /// assert_eq!((few.train().len(), few.test().len()), (1_000, 2_000));
    /// assert_eq!(few.hold_out(&["boat", "car"])?.train().len(), 1_000);
    /// assert!(few.train_on_first(1).is_err());
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn train_on_first(&self, n_images: usize) -> Result<Self> {
        if n_images < 2 {
            let next_step = "1000 images show within a minute whether a network learns";
            return Err(Error::setting("n_images", n_images.to_string(), "2 or more", next_step));
        }
        Ok(Self {
            train: self.train.first(n_images)?,
            n_train_at_most: Some(n_images.min(self.n_train_at_most.unwrap_or(usize::MAX))),
            whole: Some(self.whole()),
            ..self.clone()
        })
    }

    /// The share of the images that the options say.
    pub(super) fn select_share(self, options: &OpenOptions) -> Result<Self> {
        let [train, test] = [&self.train, &self.test].map(|images| images.select(&options.indices_of(images.len())));
        Ok(Self { train: train?, test: test?, ..self })
    }

    /// The same, known as a share.
    pub(super) fn known_as_share(self, share: Option<(usize, usize)>) -> Self {
        Self { share, ..self }
    }

    /// Whose share of the images these are, of how many processes; `None` where they are all.
    pub(crate) fn share(&self) -> Option<(usize, usize)> {
        self.share
    }

    /// The same with the numbers of images that all processes have to train on.
    pub(crate) fn with_n_train_of_each(&self, n_train_of_each: Vec<usize>) -> Self {
        Self { n_train_of_each: Some(n_train_of_each), ..self.clone() }
    }

    /// Images that each process has to train on, where each has its own.
    pub(crate) fn n_train_of_each(&self) -> Option<&[usize]> {
        self.n_train_of_each.as_deref()
    }

    /// The same test images with other ones to train on, from which holding out then starts.
    pub(super) fn with_train(&self, train: Images) -> Self {
        Self { train, n_train_at_most: None, whole: None, ..self.clone() }
    }

    /// How many images are trained on at most, where [`Split::train_on_first`] has said so.
    pub(super) fn n_train_at_most(&self) -> Option<usize> {
        self.n_train_at_most
    }

    /// The split before classes were held out and images left away.
    fn whole(&self) -> Arc<Whole> {
        self.whole.clone().unwrap_or_else(|| {
            let (train, test) = (self.train.clone(), self.test.clone());
            Arc::new(Whole { train, test, held_out: self.held_out.clone() })
        })
    }

    /// The images to train on before any class was held out.
    ///
    /// # Example
    /// ```
    /// let data = diabolo::data::open("scenes")?.hold_out(&["boat", "car"])?;
    /// assert_eq!((data.train().len(), data.train_of_all_classes().len()), (6_400, 8_000));
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn train_of_all_classes(&self) -> &Images {
        self.whole.as_ref().map_or(&self.train, |whole| &whole.train)
    }

    /// Pairs of classes that could be held out: `n_pairs` of them at even steps through all, or all where there are
    /// no more (45 of ten classes).
    ///
    /// # Errors
    /// [`Error::Data`] when classes are not known; [`Error::Setting`] for no pair.
    ///
    /// # Example
    /// ```
    /// let pairs = diabolo::data::open("scenes")?.class_pairs(45)?;
    /// assert_eq!(pairs.len(), 45);
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn class_pairs(&self, n_pairs: usize) -> Result<Vec<[String; 2]>> {
        let Some(classes) = self.train_of_all_classes().class_names() else {
            let found = format!("images without classes in {}", self.name);
            let next_step = "open a source with classes, as cifar10 or scenes";
            return Err(Error::data("pairing classes", found, "a class for every image", next_step));
        };
        if n_pairs == 0 {
            return Err(Error::setting("n_pairs", "0", "1 or more", "take 45 for all pairs of ten classes"));
        }
        let pairs_with = |(index, first): (usize, &String)| {
            let first = first.clone();
            classes[index + 1..].iter().map(move |second| [first.clone(), second.clone()])
        };
        let all: Vec<[String; 2]> = classes.iter().enumerate().flat_map(pairs_with).collect();
        let n_pairs = n_pairs.min(all.len());
        Ok((0..n_pairs).map(|number| all[number * all.len() / n_pairs].clone()).collect())
    }

    /// One line on the numbers, the source, and what was decided while reading it, as in "floats taken as -1..=1".
    ///
    /// # Example
    /// ```
    /// use diabolo::data::{Images, Split};
    /// let images = Images::from_bytes(diabolo::ndarray::Array4::zeros((4, 1, 8, 8)))?;
    /// let data = Split::new("mine", images.clone(), images)?;
    /// let origin = "grey, 8 x 8 pixels, 8-bit; made in memory";
    /// assert_eq!(data.origin(), origin);
    /// assert_eq!(data.description(), format!("mine: 4 images to train on, 4 to test on; {origin}"));
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn description(&self) -> String {
        format!("{}; {}", self.numbers(), self.origin())
    }

    /// Says where the images come from.
    pub(super) fn with_source(self, source: impl Into<String>) -> Self {
        Self { source: source.into(), ..self }
    }

    /// Brings every image to a square, if one is wanted.
    pub(super) fn resized(self, side_px: Option<usize>) -> Result<Self> {
        let Some(side_px) = side_px.filter(|&side| self.train.shape()[1..] != [side; 2]) else { return Ok(self) };
        let source =
            format!("{}, scaled until they cover {side_px} x {side_px} and cropped around the centre", self.source);
        Ok(Self { train: resized(&self.train, side_px)?, test: resized(&self.test, side_px)?, source, ..self })
    }

    /// Says so where pixels use little of their range, as those of a 12-bit camera in 16-bit files do, or masks of 0 and 1.
    pub(super) fn with_note_of_range(self) -> Self {
        let ends = (self.train.pixels().ends_if_near(), self.test.pixels().ends_if_near());
        let (Some([least, most]), Some([least_test, most_test])) = ends else { return self };
        let (least, most) = (least.min(least_test), most.max(most_test));
        if most - least >= Pixels::LEAST_SPAN {
            return self;
        }
        let words = match self.train.pixels() {
            Pixels::Bytes(_) => {
                [least, most].map(|pixel| ((pixel + 1.0) * 127.5).round().to_string()).join(" to ") + " of 0..=255"
            }
            Pixels::Floats(_) => format!("{least} to {most} of -1..=1"),
        };
        let source = format!("{}; pixels use only {words}: scale them if black and white lie there", self.source);
        self.with_source(source)
    }

    /// Classes that only the test images have are held out already: their images are the anomalies.
    pub(super) fn with_unseen_classes_as_anomalies(self) -> Result<Self> {
        let (Some(names), Some(train), Some(test)) =
            (self.train.class_names(), self.train.class_indices(), self.test.class_indices())
        else {
            return Ok(self);
        };
        let mut is_seen = vec![false; names.len()];
        train.iter().for_each(|&class| is_seen[class] = true);
        let unseen = names.iter().zip(&is_seen).filter(|(_, is_seen)| !**is_seen).map(|(name, _)| name.clone());
        let held_out = Vec::from_iter(unseen);
        if held_out.is_empty() {
            return Ok(self);
        }
        let anomalies = test.iter().map(|&class| !is_seen[class]).collect();
        Ok(Self { test: self.test.clone().with_anomalies(anomalies)?, held_out, ..self })
    }

    fn numbers(&self) -> String {
        let numbers = format!("{}: {} images to train on, {} to test on", self.name, self.train.len(), self.test.len());
        match (self.test.n_anomalies(), &self.held_out[..]) {
            (None, _) => numbers,
            (Some(n_anomalies), []) => format!("{numbers}, {n_anomalies} of them anomalies"),
            (Some(n_anomalies), names) => format!("{numbers}, {n_anomalies} of them anomalies ({})", names.join(", ")),
        }
    }

    /// The kind of images, the source, and what was decided while reading it.
    ///
    /// # Example
    /// ```
    /// use diabolo::data::{Images, Split};
    /// let images = Images::from_bytes(diabolo::ndarray::Array4::zeros((4, 3, 8, 8)))?;
    /// let data = Split::new("mine", images.clone(), images)?;
    /// assert_eq!(data.origin(), "colour, 8 x 8 pixels, 8-bit; made in memory");
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn origin(&self) -> String {
        let limit = self.n_train_at_most.map_or(String::new(), |n| format!("; training on no more than the first {n}"));
        format!("{}; {}{limit}", self.train.kind(), self.source)
    }
}

impl fmt::Display for Split {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "{}\n{}", self.numbers(), self.origin())
    }
}

/// The known name that looks most like `name`, if any does.
pub(super) fn nearest<'a>(name: &str, known: &'a [impl AsRef<str>]) -> Option<&'a str> {
    crate::error::nearest(name, known.iter().map(AsRef::as_ref))
}
