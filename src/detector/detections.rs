//! The result of a detector: scores, p-values, predicted anomalies.

use super::Detector;
use super::calibration::Decision;
use crate::data::Images;
use crate::score::Scores;
use crate::{Error, Result};
use std::fmt;

/// Scores of some images, and which of them are called anomalies.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// let normal = data.test().select(&Vec::from_iter((0..48).filter(|n| n % 3 != 0)))?;
/// let detector = KMeans(3).fit(&model, data.train())?.with_false_alarms(0.1, &normal)?;
/// let found = detector.detect(data.test())?;
/// println!("{found}");
/// assert_eq!((found.scores.values.len(), found.is_anomaly.len()), (48, 48));
/// let p_values = found.p_values.as_ref().unwrap();
/// assert!((0..48).all(|n| found.is_anomaly[n] == (found.scores.values[n] >= found.threshold)));
/// assert!((0..48).all(|n| found.is_anomaly[n] == (p_values[n] <= 0.1)));
/// assert_eq!(found.n_anomalies(), found.is_anomaly.iter().filter(|&&yes| yes).count());
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Detections {
    /// The images' scores, in their order.
    pub scores: Scores,
    /// For each image the chance that a normal one scores as high or higher, above 0 and at most 1; `None` where the
    /// threshold was not made of normal images. Where many images are tested, some normal ones have small p-values.
    pub p_values: Option<Vec<f64>>,
    /// Whether each image is predicted to be an anomaly.
    pub is_anomaly: Vec<bool>,
    /// The score from which on they are.
    pub threshold: f64,
    pub(crate) images: Images,
    decision: Decision,
}

impl Detector {
    /// Scores images and calls those at or above the threshold anomalies.
    ///
    /// # Errors
    /// [`Error::Data`] when the detector has no threshold, and as [`Detector::score`].
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// let detector = KMeans(3).fit(&model, data.train())?;
    /// assert!(detector.detect(data.test()).unwrap_err().to_string().contains("with_false_alarms"));
    /// let found = detector.with_threshold(Threshold::Contamination(0.25), data.test())?.detect(data.test())?;
    /// assert!(found.n_anomalies() >= 12 && found.p_values.is_none());
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    #[doc(alias = "predict")]
    pub fn detect(&self, images: &Images) -> Result<Detections> {
        let Some(decision) = &self.decision else {
            let next_step = "give it one: detector.with_false_alarms(0.01, &normal_images)?, or with_threshold";
            return Err(Error::data("detecting anomalies", "a detector without threshold", "a threshold", next_step));
        };
        let scores = self.score(images)?;
        let threshold = decision.threshold();
        Ok(Detections {
            p_values: decision.calibration().map(|calibration| calibration.p_values(&scores.values)).transpose()?,
            is_anomaly: scores.values.iter().map(|score| *score >= threshold).collect(),
            threshold,
            scores,
            images: images.clone(),
            decision: decision.clone(),
        })
    }
}

impl Detections {
    /// Number of predicted anomalies.
    pub fn n_anomalies(&self) -> usize {
        self.is_anomaly.iter().filter(|&&is_anomaly| is_anomaly).count()
    }

    /// The threshold and what it promises, in words.
    pub(crate) fn rule(&self) -> String {
        self.decision.to_string()
    }
}

impl fmt::Display for Detections {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let (called, n) = (self.n_anomalies(), self.is_anomaly.len());
        write!(
            f,
            "{}: {called} of {n} images are called anomalies by {}\n{}",
            self.scores.model,
            self.scores.name,
            self.rule()
        )
    }
}
