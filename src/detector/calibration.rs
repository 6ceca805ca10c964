//! Thresholds of a detector, and their guarantees.

use crate::Result;
use crate::metrics::{ConformalThreshold, conformal_p_values, conformal_threshold, smallest_false_alarm_rate};
use std::fmt;

/// The score from which on images are anomalies, and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Decision {
    FalseAlarms(Calibration),
    Given { threshold: f64 },
}

/// What a threshold of normal images promises: [`Detector::with_false_alarms`](super::Detector::with_false_alarms).
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// let normal = data.test().select(&Vec::from_iter((0..48).filter(|n| n % 3 != 0)))?;
/// let detector = Reconstruction.fit(&model, data.train())?.with_false_alarms(0.1, &normal)?;
/// let calibration = detector.calibration().unwrap();
/// assert_eq!((calibration.rate_wanted, calibration.n_images()), (0.1, 32));
/// assert_eq!(calibration.rate(), 3.0 / 33.0, "the largest share of 32 + 1 images that is not above");
/// assert_eq!(calibration.smallest_rate(), 1.0 / 33.0);
/// let [low, high] = calibration.rate_interval();
/// assert!(low < 0.1 && 0.1 < high, "32 images do not tell more");
/// assert_eq!(calibration.n_fitted_to, 32, "in this example training and test images are the same");
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Calibration {
    /// The share of false alarms that was asked for, 0..1.
    pub rate_wanted: f64,
    /// Calibration images that are among those of the fit, whose scores are too low: more of new images will be called
    /// anomalies than promised. 0 is as it should be.
    pub n_fitted_to: usize,
    /// Scores of the calibration images.
    pub(super) scores: Vec<f64>,
    found: ConformalThreshold,
}

impl Calibration {
    pub(super) fn new(rate_wanted: f64, scores: Vec<f64>, n_fitted_to: usize) -> Result<Self> {
        let found = conformal_threshold(&scores, rate_wanted)?;
        Ok(Self { rate_wanted, n_fitted_to, scores, found })
    }

    /// Number of calibration images.
    pub fn n_images(&self) -> usize {
        self.scores.len()
    }

    /// The share of false alarms on average over sets of as many calibration images, at most the one asked for.
    pub fn rate(&self) -> f64 {
        self.found.false_alarm_rate
    }

    /// The smallest share that as many calibration images could promise, `1 / (n + 1)`.
    pub fn smallest_rate(&self) -> f64 {
        smallest_false_alarm_rate(self.n_images())
    }

    /// Where the share of false alarms of this very threshold lies with 95 % confidence.
    pub fn rate_interval(&self) -> [f64; 2] {
        [self.found.low, self.found.high]
    }

    /// For each score the chance that a normal image has it or a higher one.
    pub(super) fn p_values(&self, scores: &[f64]) -> Result<Vec<f64>> {
        conformal_p_values(&self.scores, scores)
    }
}

impl Decision {
    pub(super) fn threshold(&self) -> f64 {
        match self {
            Self::FalseAlarms(calibration) => calibration.found.threshold,
            Self::Given { threshold } => *threshold,
        }
    }

    pub(super) fn calibration(&self) -> Option<&Calibration> {
        match self {
            Self::FalseAlarms(calibration) => Some(calibration),
            Self::Given { .. } => None,
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "an anomaly from {:.4} on", self.threshold())?;
        self.calibration().map_or(Ok(()), |calibration| write!(f, ": {calibration}"))
    }
}

impl fmt::Display for Calibration {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let [low, high] = self.rate_interval().map(percent);
        let (wanted, n) = (percent(self.rate_wanted), self.n_images());
        let (rate, smallest) = (percent(self.rate()), percent(self.smallest_rate()));
        write!(
            f,
            "at most {wanted} % false alarms by {n} normal images ({rate} % on average, {low} % to {high} % with 95 % \
             confidence; {smallest} % is the least that {n} allow)"
        )?;
        match self.n_fitted_to {
            0 => Ok(()),
            n_fitted_to => write!(
                f,
                "\n{n_fitted_to} of these {n} images are among those of the fit, so there will be more false alarms: \
                 calibrate with images that training has not seen"
            ),
        }
    }
}

/// A share in per cent, with as many digits as say something.
fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    let rounded = if percent < 1.0 { format!("{percent:.2}") } else { format!("{percent:.1}") };
    rounded.trim_end_matches('0').trim_end_matches('.').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_calibration_says_what_it_promises() {
        let scores: Vec<f64> = (1..=199).map(f64::from).collect();
        let calibration = Calibration::new(0.01, scores.clone(), 0).unwrap();
        assert_eq!(
            Decision::FalseAlarms(calibration).to_string(),
            "an anomaly from 198.0000 on: at most 1 % false alarms by 199 normal images (1 % on average, 0.12 % to 2.8 % \
             with 95 % confidence; 0.5 % is the least that 199 allow)"
        );
        let seen = Calibration::new(0.01, scores, 20).unwrap().to_string();
        assert!(seen.contains("20 of these 199 images are among those of the fit, so there will be more"), "{seen}");
    }
}
