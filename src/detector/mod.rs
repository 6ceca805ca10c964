//! A detector: a model with a fitted way of scoring, and perhaps a threshold.
//!
//! ```
#![doc = include_str!("../example.txt")]
//! let detector = KMeans(3).fit(&model, data.train())?;
//! let scores = detector.score(data.test())?;
//! # Ok::<(), diabolo::Error>(())
//! ```
//!
//! An [`Evaluation`] says how to score; [`Evaluation::fit`] learns what that needs from normal images. The detector scores
//! any image, one at a time or many, with the same numbers; it may be given a threshold and be saved.

mod arrays;
mod calibration;
mod detections;
mod error_map;
mod evaluation;
mod fitted;
mod fitted_arrays;
mod measured;
mod saved;
mod together;
pub mod ways;

pub use calibration::Calibration;
pub use detections::Detections;
pub use error_map::ErrorMaps;
pub use evaluation::{Evaluation, Fusion};
pub use fitted::FitOptions;
pub use saved::Verification;

pub(crate) use fitted::Fitter;
pub(crate) use measured::Measured;

use crate::data::Images;
use crate::metrics::Threshold;
use crate::score::Scores;
use crate::train::{Autoencoder, warn_of_nothing_learnt};
use crate::{Error, Result};
use calibration::Decision;
use fitted::Fitted;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

/// Images of the fit that a detector keeps, to score them again where it is opened.
const N_EXAMPLES: usize = 8;

/// A model with a fitted way of scoring, and a threshold where one was chosen. Copies share weights and fit.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// let detector = KMeans(3).fit(&model, data.train())?;
/// assert_eq!((detector.evaluation(), detector.model().name()), (&KMeans(3), "small"));
/// assert_eq!(detector.n_fitted_to(), 32);
/// assert_eq!(detector.score(data.test())?.values.len(), 48);
/// assert_eq!(detector.threshold(), None);
/// assert!(detector.to_string().starts_with("small: K-means distance, k = 3, fitted to 32 images"));
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Detector {
    evaluation: Evaluation,
    model: Autoencoder,
    fitted: Arc<Fitted>,
    /// A number for each image of the fit, that follows from its pixels.
    fitted_to: Arc<[u64]>,
    /// Names of their classes, where these are known.
    classes: Vec<String>,
    examples: Images,
    example_scores: Vec<f64>,
    decision: Option<Decision>,
}

impl Evaluation {
    /// Fits this way of scoring to what the model makes of normal images, usually those of its training.
    ///
    /// # Errors
    /// [`Error::Data`] for images of another shape than those of the training, or ones that do not allow it, as too few;
    /// [`Error::Setting`] for more centres, components or neighbours than they allow; [`Error::Interrupted`].
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// let detector = KMeans(3).fit(&model, data.train())?;
    /// assert_eq!(detector.score(data.test())?.name, "K-means distance, k = 3");
    /// assert!(KMeans(99).fit(&model, data.train()).is_err(), "there are 32 training images");
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn fit(&self, model: &Autoencoder, images: &Images) -> Result<Detector> {
        self.fit_with(model, images, FitOptions::default())
    }

    /// The same with other starts or another seed of K-means.
    ///
    /// # Errors
    /// As [`Evaluation::fit`].
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// use diabolo::detector::FitOptions;
    /// let of_one_start = KMeans(3).fit_with(&model, data.train(), FitOptions::default().n_starts(1))?;
    /// assert_eq!(of_one_start.score(data.test())?.values.len(), 48);
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn fit_with(&self, model: &Autoencoder, images: &Images, options: FitOptions) -> Result<Detector> {
        let measured = Measured::new(model, images);
        let fitted = Fitter::new(&measured, &measured, options).fit(self)?;
        self.detector(model, images, fitted)
    }

    /// The detector that has been fitted to these images.
    fn detector(&self, model: &Autoencoder, images: &Images, fitted: Arc<Fitted>) -> Result<Detector> {
        let n_examples = N_EXAMPLES.min(images.len());
        let examples = Vec::from_iter((0..n_examples).map(|index| index * images.len() / n_examples));
        let mut detector = Detector {
            evaluation: self.clone(),
            model: model.clone(),
            fitted,
            fitted_to: fingerprints(images).collect(),
            classes: classes_of(images),
            examples: images.select(&examples)?,
            example_scores: Vec::new(),
            decision: None,
        };
        // What cannot score, as a model of another image size, is told here and not at the first new image.
        detector.example_scores = detector.score(&detector.examples)?.values;
        Ok(detector)
    }
}

impl Detector {
    /// The way of scoring.
    pub fn evaluation(&self) -> &Evaluation {
        &self.evaluation
    }

    /// The model.
    pub fn model(&self) -> &Autoencoder {
        &self.model
    }

    /// Number of images that it was fitted to.
    pub fn n_fitted_to(&self) -> usize {
        self.fitted_to.len()
    }

    /// Names of the classes of the images that it was fitted to: what is normal; none where they had no classes.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// assert_eq!(Reconstruction.fit(&model, data.train())?.classes(), ["rings", "waves"]);
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The score from which on images are called anomalies; `None` before one was chosen.
    pub fn threshold(&self) -> Option<f64> {
        self.decision.as_ref().map(Decision::threshold)
    }

    /// The threshold's false alarms; `None` where it was not made of normal images.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// let detector = Reconstruction.fit(&model, data.train())?;
    /// assert!(detector.calibration().is_none());
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn calibration(&self) -> Option<&Calibration> {
        self.decision.as_ref().and_then(Decision::calibration)
    }

    /// The score of each image; higher is more anomalous.
    ///
    /// # Errors
    /// [`Error::Data`] for images of another shape than those of the training, or a score that is not a number;
    /// [`Error::Interrupted`].
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// let detector = KNearest(5).fit(&model, data.train())?;
    /// let (all, one) = (detector.score(data.test())?, detector.score(&data.test().select(&[7])?)?);
    /// assert!((all.values[7] - one.values[0]).abs() < 1e-6, "no matter which images are scored beside it");
    /// assert!(detector.score(open("scenes")?.test()).is_err(), "images of another size");
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    #[doc(alias = "score_samples")]
    #[doc(alias = "decision_function")]
    pub fn score(&self, images: &Images) -> Result<Scores> {
        Ok(Scores {
            model: self.model.name().into(),
            name: self.evaluation.to_string(),
            values: self.fitted.score(&Measured::new(&self.model, images))?,
            anomalies: images.anomalies().map(<[bool]>::to_vec),
        })
    }

    /// The same detector with a threshold of normal images alone: of new normal images at most the share `rate` is called
    /// anomalies, on average over sets of such images and whatever the distribution of scores (split conformal
    /// prediction). They should be neither of the training nor of the fit, whose scores are too low; where some are,
    /// [`Calibration::n_fitted_to`] and the detector's own words say so.
    ///
    /// # Errors
    /// [`Error::Setting`] for a rate that is not above 0 and below 1, or smaller than the number of images allows: n
    /// images allow 1 / (n + 1). [`Error::Data`] when some are labelled as anomalies, and as [`Detector::score`].
    ///
    /// # Source
    /// Bates et al., "Testing for outliers with conformal p-values", 2023.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// let normal = Vec::from_iter((0..48).filter(|n| n % 3 != 0));
    /// let detector = KMeans(3).fit(&model, data.train())?;
    /// let detector = detector.with_false_alarms(0.1, &data.test().select(&normal)?)?;
    /// println!("{}", detector.detect(data.test())?);
    /// assert!(detector.with_false_alarms(0.01, &data.test().select(&normal)?).is_err(), "that takes 99 images");
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn with_false_alarms(&self, rate: f64, normal_images: &Images) -> Result<Self> {
        let n_anomalies = normal_images.anomalies().map_or(0, |anomalies| anomalies.iter().filter(|&&yes| yes).count());
        if n_anomalies > 0 {
            let found = format!("{n_anomalies} anomalies among {} images", normal_images.len());
            let next_step = "choose the normal ones, as in images.select(&indices)";
            return Err(Error::data("calibrating a threshold", found, "normal images alone", next_step));
        }
        let scores = self.score(normal_images)?.values;
        let known: HashSet<u64> = self.fitted_to.iter().copied().collect();
        let n_fitted_to = fingerprints(normal_images).filter(|image| known.contains(image)).count();
        let calibration = Calibration::new(rate, scores, n_fitted_to)?;
        Ok(Self { decision: Some(Decision::FalseAlarms(calibration)), ..self.clone() })
    }

    /// The same detector with a threshold that a rule chooses for these images' scores, by their labels where the rule
    /// needs any.
    ///
    /// # Errors
    /// Those of [`Threshold::choose`] and [`Detector::score`].
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// let detector = Pca(2).fit(&model, data.train())?.with_threshold(Threshold::BestF1, data.test())?;
    /// assert!(detector.threshold().is_some() && detector.calibration().is_none());
    /// assert_eq!(detector.with_threshold(Threshold::Value(0.5), data.test())?.threshold(), Some(0.5));
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn with_threshold(&self, rule: Threshold, images: &Images) -> Result<Self> {
        let scores = self.score(images)?;
        let threshold = rule.choose(&scores.values, scores.anomalies.as_deref())?;
        Ok(Self { decision: Some(Decision::Given { threshold }), ..self.clone() })
    }
}

/// The classes that there are images of.
fn classes_of(images: &Images) -> Vec<String> {
    let (Some(names), Some(indices)) = (images.class_names(), images.class_indices()) else { return Vec::new() };
    let is_there = |class: &usize| indices.contains(class);
    (0..names.len()).filter(is_there).map(|class| names[class].clone()).collect()
}

/// For each image a number that follows from its pixels: images that differ have different ones, but for an accident of
/// one in 2^64.
fn fingerprints(images: &Images) -> impl Iterator<Item = u64> {
    images.iter().map(|image| {
        image.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, pixel| {
            // FNV's multiplication with the value's bits as one, and the upper half brought down.
            let mixed = (hash ^ u64::from(pixel.to_bits())).wrapping_mul(0x0000_0100_0000_01b3);
            mixed ^ (mixed >> 29)
        })
    })
}

impl fmt::Display for Detector {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let (name, n) = (self.model.name(), self.n_fitted_to());
        write!(f, "{name}: {}, fitted to {n} images", self.evaluation)?;
        if let Some(decision) = &self.decision {
            write!(f, "\n{decision}")?;
        }
        warn_of_nothing_learnt(f, self.model.history().learnt, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array4;

    #[test]
    fn images_that_differ_in_one_value_have_other_fingerprints() {
        let mut pixels = Array4::<u8>::zeros((3, 1, 4, 4));
        pixels[[1, 0, 0, 0]] = 1;
        pixels[[2, 0, 3, 3]] = 1;
        let images = Images::from_bytes(pixels).unwrap();
        let found: HashSet<u64> = fingerprints(&images).collect();
        assert_eq!(found.len(), 3);
        let again: Vec<u64> = fingerprints(&images.select(&[2, 0]).unwrap()).collect();
        assert!(again.iter().all(|image| found.contains(image)) && again[0] != again[1]);
    }
}
