//! Training and test images of one data set, and held-out classes.

use super::images::Images;
use crate::{Error, Result};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256PlusPlus;
use std::fmt;

/// Images to train on and images to test on.
///
/// # Example
/// ```
/// use diabolo::data::{Images, Split};
/// let pixels = diabolo::ndarray::Array4::zeros((6, 1, 8, 8));
/// let images = Images::from_bytes(pixels)?.with_classes(&["boot", "shirt"], vec![0, 1, 0, 1, 0, 1])?;
/// let data = Split::new("mine", images.clone(), images)?.hold_out(&["shirt"])?;
/// assert_eq!((data.train.len(), data.test.len(), &data.held_out[..]), (3, 6, &["shirt".to_string()][..]));
/// assert_eq!(data.train_of_all_classes().len(), 6);
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Split {
    /// Where the images come from, as in "CIFAR-10".
    pub name: String,
    /// Images to train on.
    pub train: Images,
    /// Images to test on.
    pub test: Images,
    /// Names of the classes that training never sees; their test images are the anomalies.
    pub held_out: Vec<String>,
    /// Files, and what was decided while reading them.
    source: String,
    /// The images to train on before any class was held out, to start again from.
    train_of_all_classes: Option<Images>,
}

impl Split {
    /// Pairs images to train on with images to test on.
    ///
    /// One image is enough to test on, not to train on: a batch of one has no spread that batch normalisation could
    /// divide by, and nothing but that image could be learnt.
    ///
    /// # Errors
    /// [`Error::Data`] if the two differ in shape, or there are fewer than two images to train on.
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
        let source = "made in memory".into();
        Ok(Self { name: name.into(), train, test, held_out: Vec::new(), source, train_of_all_classes: None })
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
    /// assert_eq!((data.train.len(), data.test.len()), (80, 20));
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn by_chance(name: impl Into<String>, images: Images, test_share: f64, seed: u64) -> Result<Self> {
        check_test_share(test_share)?;
        if images.len() < 3 {
            let found = if images.len() == 1 { "one image".into() } else { format!("{} images", images.len()) };
            let next_step = "add images: two to train on and one to test on are the least";
            return Err(Error::data("drawing test images", found, "at least three", next_step));
        }
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut is_test = vec![false; images.len()];
        let mut draw = |mut indices: Vec<usize>| {
            indices.shuffle(&mut random);
            let n_test = (indices.len() as f64 * test_share).round() as usize;
            let n_test = n_test.min(indices.len().saturating_sub(1));
            indices[..n_test].iter().for_each(|&index| is_test[index] = true);
            n_test
        };
        let n_test: usize = match (images.class_indices(), images.class_names()) {
            (Some(classes), Some(names)) => {
                let mut members = vec![Vec::new(); names.len()];
                classes.iter().enumerate().for_each(|(index, &class)| members[class].push(index));
                members.into_iter().map(&mut draw).sum()
            }
            _ => 0,
        };
        // Without classes, or with too few images of each, the draw is from all.
        if n_test == 0 && draw((0..images.len()).collect()) == 0 {
            is_test[images.len() - 1] = true;
        }
        let indices = |wanted| Vec::from_iter((0..images.len()).filter(|&index| is_test[index] == wanted));
        let split = Self::new(name, images.select(&indices(false))?, images.select(&indices(true))?)?;
        Ok(split.with_source(format!("made in memory; {}", by_chance_note(test_share, seed))))
    }

    /// The report's experiment: trains on the other classes and tests on all, with the held-out ones as anomalies.
    ///
    /// Copies no pixels. Holding out again starts from all classes, so that running a notebook's cell twice gives the
    /// same as running it once.
    ///
    /// # Errors
    /// [`Error::Data`] if a class is unknown or named twice, if none or all are named, if classes are not known, or if
    /// fewer than two images would be left to train on.
    ///
    /// # Example
    /// ```
    /// let data = diabolo::data::open("scenes")?.hold_out(&["boat", "car"])?;
    /// assert_eq!((data.train.len(), data.test.len()), (6_400, 2_000));
    /// assert_eq!(data.test.anomalies().unwrap().iter().filter(|&&is_anomaly| is_anomaly).count(), 400);
    ///
    /// let error = data.hold_out(&["boot"]).unwrap_err().to_string();
    /// assert!(error.contains("did you mean boat?"));
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn hold_out(&self, class_names: &[&str]) -> Result<Self> {
        let all_train = self.train_of_all_classes();
        let refuse = |found: String, wanted: String, next_step: String| {
            Err(Error::data("holding out classes", found, wanted, next_step))
        };
        let (Some(known), Some(train_classes), Some(test_classes)) =
            (all_train.class_names(), all_train.class_indices(), self.test.class_indices())
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
        let kept = Vec::from_iter((0..all_train.len()).filter(|&index| !is_held_out[train_classes[index]]));
        let anomalies = test_classes.iter().map(|&class| is_held_out[class]).collect();
        if kept.len() < 2 {
            return refuse(
                format!("{} image left to train on", kept.len()),
                "at least two".into(),
                "hold out fewer classes".into(),
            );
        }
        Ok(Self {
            train: all_train.select(&kept)?,
            test: self.test.clone().with_anomalies(anomalies)?,
            held_out: class_names.iter().map(|name| name.to_string()).collect(),
            train_of_all_classes: Some(all_train.clone()),
            ..self.clone()
        })
    }

    /// The images to train on before any class was held out.
    ///
    /// # Example
    /// ```
    /// let data = diabolo::data::open("scenes")?.hold_out(&["boat", "car"])?;
    /// assert_eq!((data.train.len(), data.train_of_all_classes().len()), (6_400, 8_000));
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn train_of_all_classes(&self) -> &Images {
        self.train_of_all_classes.as_ref().unwrap_or(&self.train)
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
        Ok(Self { train: self.train.resized(side_px)?, test: self.test.resized(side_px)?, source, ..self })
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
        format!("{}; {}", self.train.kind(), self.source)
    }
}

impl fmt::Display for Split {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "{}\n{}", self.numbers(), self.origin())
    }
}

/// How [`Split::by_chance`] drew its test images, in words.
pub(super) fn by_chance_note(test_share: f64, seed: u64) -> String {
    format!("{} % of the images drawn for testing with seed {seed}", (test_share * 1e4).round() / 100.0)
}

/// Checks the share of images that is drawn for testing.
pub(super) fn check_test_share(test_share: f64) -> Result<()> {
    if test_share > 0.0 && test_share < 1.0 {
        return Ok(());
    }
    Err(Error::setting("test_share", test_share.to_string(), "above 0 and below 1", "0.2 is a fifth"))
}

/// The known name that looks most like `name`, if any does.
pub(super) fn nearest<'a>(name: &str, known: &'a [impl AsRef<str>]) -> Option<&'a str> {
    crate::error::nearest(name, known.iter().map(AsRef::as_ref))
}
