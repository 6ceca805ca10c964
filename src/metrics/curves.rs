//! ROC and precision-recall curves: the rates at every threshold.

use super::{check_both_kinds, descending};
use crate::Result;

/// True positive rate against false positive rate, anomalies being the positives.
///
/// # Example
/// ```
/// use diabolo::metrics::roc_curve;
/// let curve = roc_curve(&[0.1, 0.9], &[false, true])?;
/// assert_eq!(curve.thresholds, [f64::INFINITY, 0.9, 0.1]);
/// assert_eq!(curve.false_positive_rate, [0.0, 0.0, 1.0]);
/// assert_eq!(curve.true_positive_rate, [0.0, 1.0, 1.0]);
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct RocCurve {
    /// Decreasing; images with a score at or above it are predicted to be anomalies. The first is infinite: none is.
    pub thresholds: Vec<f64>,
    /// Share of normal images that are predicted to be anomalies, at each threshold: 0..=1, lower is better.
    pub false_positive_rate: Vec<f64>,
    /// Share of anomalies that are predicted as such, at each threshold: 0..=1, higher is better.
    pub true_positive_rate: Vec<f64>,
}

/// Precision against recall, anomalies being the positives.
///
/// # Example
/// ```
/// use diabolo::metrics::precision_recall_curve;
/// let curve = precision_recall_curve(&[0.1, 0.9], &[false, true])?;
/// assert_eq!(curve.thresholds, [0.1, 0.9]);
/// assert_eq!(curve.precision, [0.5, 1.0, 1.0]);
/// assert_eq!(curve.recall, [1.0, 1.0, 0.0]);
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct PrecisionRecallCurve {
    /// Increasing; images with a score at or above it are predicted to be anomalies.
    pub thresholds: Vec<f64>,
    /// Share of anomalies among the predicted ones, at each threshold, and a last 1: 0..=1, higher is better.
    pub precision: Vec<f64>,
    /// Share of anomalies that are predicted as such, at each threshold, and a last 0.
    pub recall: Vec<f64>,
}

/// The ROC curve of `scores` (higher = more anomalous), with a point for every distinct score.
///
/// The same points as scikit-learn's `roc_curve(drop_intermediate=False)`.
///
/// # Errors
/// As [`super::roc_auc`].
///
/// # Source
/// Fawcett, "An introduction to ROC analysis", 2006.
///
/// # Example
/// ```
/// use diabolo::metrics::roc_curve;
/// let curve = roc_curve(&[0.1, 0.4, 0.35, 0.8], &[false, false, true, true])?;
/// assert_eq!(curve.false_positive_rate, [0.0, 0.0, 0.5, 0.5, 1.0]);
/// assert_eq!(curve.true_positive_rate, [0.0, 0.5, 0.5, 1.0, 1.0]);
/// assert!(roc_curve(&[0.1, 0.4], &[true, true]).is_err());
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn roc_curve(scores: &[f64], anomalies: &[bool]) -> Result<RocCurve> {
    let counts = check_both_kinds("drawing the ROC curve", scores, anomalies)?;
    let mut curve =
        RocCurve { thresholds: vec![f64::INFINITY], false_positive_rate: vec![0.0], true_positive_rate: vec![0.0] };
    for step in steps(scores, anomalies) {
        curve.thresholds.push(step.threshold);
        curve.false_positive_rate.push(step.n_false as f64 / counts.n_normal as f64);
        curve.true_positive_rate.push(step.n_true as f64 / counts.n_anomalies as f64);
    }
    Ok(curve)
}

/// The precision-recall curve of `scores` (higher = more anomalous), with a point for every distinct score.
///
/// The same points as scikit-learn's `precision_recall_curve`.
///
/// # Errors
/// As [`super::roc_auc`].
///
/// # Source
/// Davis and Goadrich, "The relationship between precision-recall and ROC curves", 2006.
///
/// # Example
/// ```
/// use diabolo::metrics::precision_recall_curve;
/// let curve = precision_recall_curve(&[0.1, 0.4, 0.35, 0.8], &[false, false, true, true])?;
/// assert_eq!(curve.precision, [0.5, 2.0 / 3.0, 0.5, 1.0, 1.0]);
/// assert_eq!(curve.recall, [1.0, 1.0, 0.5, 0.5, 0.0]);
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn precision_recall_curve(scores: &[f64], anomalies: &[bool]) -> Result<PrecisionRecallCurve> {
    let counts = check_both_kinds("drawing the precision-recall curve", scores, anomalies)?;
    let mut steps = steps(scores, anomalies);
    steps.reverse();
    Ok(PrecisionRecallCurve {
        thresholds: steps.iter().map(|step| step.threshold).collect(),
        precision: steps.iter().map(Step::precision).chain([1.0]).collect(),
        recall: steps.iter().map(|step| step.n_true as f64 / counts.n_anomalies as f64).chain([0.0]).collect(),
    })
}

/// Average precision: the mean of the precisions at which each anomaly is found. 0..=1, the share of anomalies is
/// guessing, higher is better. Unlike the area below the curve it does not interpolate.
///
/// # Errors
/// As [`super::roc_auc`].
///
/// # Source
/// scikit-learn's `average_precision_score`.
///
/// # Example
/// ```
/// use diabolo::metrics::average_precision;
/// let precision = average_precision(&[0.1, 0.4, 0.35, 0.8], &[false, false, true, true])?;
/// assert!((precision - (1.0 + 2.0 / 3.0) / 2.0).abs() < 1e-12);
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn average_precision(scores: &[f64], anomalies: &[bool]) -> Result<f64> {
    let counts = check_both_kinds("measuring the average precision", scores, anomalies)?;
    let mut found_before = 0;
    let mut sum = 0.0;
    for step in steps(scores, anomalies) {
        sum += (step.n_true - found_before) as f64 * step.precision();
        found_before = step.n_true;
    }
    Ok(sum / counts.n_anomalies as f64)
}

/// Numbers of images at or above one of the distinct scores.
pub(super) struct Step {
    pub(super) threshold: f64,
    /// Anomalies.
    pub(super) n_true: usize,
    /// Normal images.
    pub(super) n_false: usize,
}

impl Step {
    fn precision(&self) -> f64 {
        self.n_true as f64 / (self.n_true + self.n_false) as f64
    }
}

/// One step for every distinct score, highest first.
pub(super) fn steps(scores: &[f64], anomalies: &[bool]) -> Vec<Step> {
    let (mut n_true, mut n_false) = (0, 0);
    let step = |tied: &[(f64, bool)]| {
        let n_anomalies = tied.iter().filter(|(_, anomaly)| *anomaly).count();
        n_true += n_anomalies;
        n_false += tied.len() - n_anomalies;
        Step { threshold: tied[0].0, n_true, n_false }
    };
    descending(scores, anomalies).chunk_by(|a, b| a.0 == b.0).map(step).collect()
}
