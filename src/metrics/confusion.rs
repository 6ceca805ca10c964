//! Confusion matrices at a threshold, and the rates computed from them.

use super::check;
use crate::{Error, Result};

/// Which kind of image counts as positive.
///
/// # Example
/// ```
/// use diabolo::metrics::{Positive, confusion};
/// let (scores, anomalies) = ([0.1, 0.2, 0.9], [false, false, true]);
/// let nothing_called = f64::INFINITY;
/// assert_eq!(confusion(&scores, &anomalies, nothing_called, Positive::Anomaly)?.f1(), 0.0);
/// assert_eq!(confusion(&scores, &anomalies, nothing_called, Positive::Normal)?.f1(), 0.8);
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Positive {
    /// Anomalies, as anomaly detection has it.
    Anomaly,
    /// Normal images, as the report's argument about F1 has it.
    Normal,
}

/// A confusion matrix: numbers of right and wrong predictions.
///
/// # Example
/// ```
/// use diabolo::metrics::Confusion;
/// let counts = Confusion { true_positives: 3, false_positives: 1, true_negatives: 5, false_negatives: 1 };
/// assert_eq!((counts.sensitivity(), counts.recall(), counts.precision()), (0.75, 0.75, 0.75));
/// assert_eq!((counts.specificity(), counts.f1(), counts.accuracy()), (5.0 / 6.0, 0.75, 0.8));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confusion {
    /// Positives predicted as positive.
    pub true_positives: usize,
    /// Negatives predicted as positive.
    pub false_positives: usize,
    /// Negatives predicted as negative.
    pub true_negatives: usize,
    /// Positives predicted as negative.
    pub false_negatives: usize,
}

/// The confusion matrix when images with a score of `threshold` or more are predicted to be anomalies.
///
/// With an infinite threshold all images are predicted to be normal; with minus infinity all anomalies.
///
/// # Errors
/// [`Error::Data`] for lengths that differ, no scores, or a score that is not a number; [`Error::Setting`] for a
/// threshold that is not a number.
///
/// # Example
/// ```
/// use diabolo::metrics::{Confusion, Positive, confusion};
/// let counts = confusion(&[0.1, 0.6, 0.4, 0.8], &[false, false, true, true], 0.5, Positive::Anomaly)?;
/// let one_each = Confusion { true_positives: 1, false_positives: 1, true_negatives: 1, false_negatives: 1 };
/// assert_eq!(counts, one_each);
/// assert!(confusion(&[0.1], &[true], f64::NAN, Positive::Anomaly).is_err());
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn confusion(scores: &[f64], anomalies: &[bool], threshold: f64, positive: Positive) -> Result<Confusion> {
    check("counting right and wrong calls", scores, anomalies)?;
    if threshold.is_nan() {
        return Err(Error::setting("threshold", "NaN", "a number, infinite ones included", "choose one by a rule"));
    }
    // An infinite score equals an infinite threshold, which must predict no anomaly.
    let is_called = |score: f64| score >= threshold && threshold != f64::INFINITY;
    let mut counts = Confusion { true_positives: 0, false_positives: 0, true_negatives: 0, false_negatives: 0 };
    for (&score, &anomaly) in scores.iter().zip(anomalies) {
        let as_positive = |anomalous: bool| anomalous == (positive == Positive::Anomaly);
        let count = match (as_positive(anomaly), as_positive(is_called(score))) {
            (true, true) => &mut counts.true_positives,
            (false, true) => &mut counts.false_positives,
            (false, false) => &mut counts.true_negatives,
            (true, false) => &mut counts.false_negatives,
        };
        *count += 1;
    }
    Ok(counts)
}

/// Shares are 0..=1, higher is better, and 0 where they would divide by nothing.
impl Confusion {
    /// Share of the positives that are predicted as such; also named recall and true positive rate.
    ///
    /// # Example
    /// ```
    /// use diabolo::metrics::Confusion;
    /// let counts = Confusion { true_positives: 3, false_positives: 0, true_negatives: 0, false_negatives: 1 };
    /// assert_eq!(counts.sensitivity(), 0.75);
    /// ```
    pub fn sensitivity(&self) -> f64 {
        share(self.true_positives, self.true_positives + self.false_negatives)
    }

    /// Share of the negatives that are predicted as such; 1 minus the false positive rate.
    ///
    /// # Example
    /// ```
    /// use diabolo::metrics::Confusion;
    /// let counts = Confusion { true_positives: 0, false_positives: 1, true_negatives: 4, false_negatives: 0 };
    /// assert_eq!(counts.specificity(), 0.8);
    /// ```
    pub fn specificity(&self) -> f64 {
        share(self.true_negatives, self.true_negatives + self.false_positives)
    }

    /// Share of positives among the predicted positives.
    ///
    /// # Example
    /// ```
    /// use diabolo::metrics::Confusion;
    /// let counts = Confusion { true_positives: 3, false_positives: 1, true_negatives: 0, false_negatives: 0 };
    /// assert_eq!(counts.precision(), 0.75);
    /// ```
    pub fn precision(&self) -> f64 {
        share(self.true_positives, self.true_positives + self.false_positives)
    }

    /// The same as [`Confusion::sensitivity`].
    pub fn recall(&self) -> f64 {
        self.sensitivity()
    }

    /// Harmonic mean of precision and recall.
    ///
    /// # Example
    /// ```
    /// use diabolo::metrics::Confusion;
    /// let counts = Confusion { true_positives: 2, false_positives: 1, true_negatives: 9, false_negatives: 3 };
    /// assert_eq!(counts.f1(), 0.5);
    /// ```
    pub fn f1(&self) -> f64 {
        share(2 * self.true_positives, 2 * self.true_positives + self.false_positives + self.false_negatives)
    }

    /// Share of right predictions.
    ///
    /// # Example
    /// ```
    /// use diabolo::metrics::Confusion;
    /// let counts = Confusion { true_positives: 1, false_positives: 1, true_negatives: 2, false_negatives: 0 };
    /// assert_eq!(counts.accuracy(), 0.75);
    /// ```
    pub fn accuracy(&self) -> f64 {
        let n_right = self.true_positives + self.true_negatives;
        share(n_right, n_right + self.false_positives + self.false_negatives)
    }
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// F1 of a threshold in data of which `prevalence` (0..=1) are anomalies, from its two rates, which do not depend on that
/// share: `sensitivity` of the anomalies found and `false_positive_rate` of the normal images predicted to be anomalies.
///
/// 0..=1, higher is better; 0 where there is no true positive.
///
/// # Example
/// ```
/// use diabolo::metrics::{Positive, f1_at_prevalence};
/// // The same rates, with half of the images anomalies and with one in a hundred.
/// let half = f1_at_prevalence(0.8, 0.2, 0.5, Positive::Anomaly);
/// let one_percent = f1_at_prevalence(0.8, 0.2, 0.01, Positive::Anomaly);
/// assert!((half - 0.8).abs() < 1e-12 && one_percent < 0.1);
/// ```
pub fn f1_at_prevalence(sensitivity: f64, false_positive_rate: f64, prevalence: f64, positive: Positive) -> f64 {
    let found = prevalence * sensitivity;
    let missed = prevalence - found;
    let false_alarms = (1.0 - prevalence) * false_positive_rate;
    let left_alone = 1.0 - prevalence - false_alarms;
    let right = match positive {
        Positive::Anomaly => found,
        Positive::Normal => left_alone,
    };
    if right == 0.0 { 0.0 } else { 2.0 * right / (2.0 * right + missed + false_alarms) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f1_from_rates_is_f1_from_counts() {
        let scores = [0.9, 0.1, 0.4, 0.8, 0.3, 0.2, 0.7, 0.35];
        let anomalies = [true, true, false, false, false, false, true, false];
        for positive in [Positive::Anomaly, Positive::Normal] {
            for threshold in [0.05, 0.33, 0.5, 0.75, 2.0] {
                let counts = confusion(&scores, &anomalies, threshold, Positive::Anomaly).unwrap();
                let expected = confusion(&scores, &anomalies, threshold, positive).unwrap().f1();
                let found = f1_at_prevalence(counts.sensitivity(), 1.0 - counts.specificity(), 3.0 / 8.0, positive);
                assert!((found - expected).abs() < 1e-12, "{threshold}: {found} and {expected}");
            }
        }
    }

    #[test]
    fn an_infinite_threshold_calls_nothing_an_anomaly() {
        let counts = confusion(&[f64::INFINITY, 0.0], &[true, false], f64::INFINITY, Positive::Anomaly).unwrap();
        assert_eq!((counts.true_positives, counts.false_negatives, counts.true_negatives), (0, 1, 1));
        assert!(confusion(&[0.0], &[true], f64::NAN, Positive::Anomaly).unwrap_err().to_string().contains("NaN"));
    }
}
