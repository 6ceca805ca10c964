//! Metrics: how well scores separate anomalies from normal images.

mod conformal;
mod confusion;
mod curves;
mod interval;
mod mean;
mod paired;
mod pixels;
mod regression;
mod spread;
mod threshold;

pub use conformal::{ConformalThreshold, conformal_p_values, conformal_threshold, smallest_false_alarm_rate};
pub use confusion::{Confusion, Positive, confusion, f1_at_prevalence};
pub use curves::{PrecisionRecallCurve, RocCurve, average_precision, precision_recall_curve, roc_curve};
pub use interval::{Interval, auc_interval};
pub use mean::{MeanOfValues, mean_of_values};
pub use paired::{AucComparison, auc_difference_interval, compare_aucs, delong_interval};
pub use pixels::{per_region_overlap, pixel_auc};
pub use regression::LinearFit;
pub use spread::{Spread, dip_statistic, spread};
pub use threshold::Threshold;

use crate::score::Scores;
use crate::{Error, Result};

impl Scores {
    /// Area under the ROC curve: the probability that a random anomaly scores higher than a random normal image, ties
    /// counted half. 0..=1; 0.5 is guessing, higher is better.
    ///
    /// # Errors
    /// [`Error::Data`] when there are no anomaly labels, and as [`roc_auc`].
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// let scores = model.score(data.test())?;
    /// assert!((0.0..=1.0).contains(&scores.auc()?));
    ///
    /// let unlabelled = Scores { anomalies: None, ..scores };
    /// assert!(unlabelled.auc().unwrap_err().to_string().contains("hold out classes"));
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn auc(&self) -> Result<f64> {
        let anomalies = self.labels(&format!("measuring the AUC of {}", self.model))?;
        roc_auc(&self.values, anomalies)
    }
}

/// Area under the ROC curve of `scores` (higher = more anomalous), one label per score: 0..=1, 0.5 is guessing.
///
/// Computed from ranks (Mann and Whitney, 1947) in `n log n` time; equal scores count half.
///
/// # Errors
/// [`Error::Data`] for labels of one kind only, lengths that differ, or a score that is not a number.
///
/// # Example
/// ```
/// use diabolo::metrics::roc_auc;
/// assert_eq!(roc_auc(&[0.1, 0.4, 0.35, 0.8], &[false, false, true, true])?, 0.75);
/// assert!(roc_auc(&[0.1, 0.4], &[true, true]).is_err());
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn roc_auc(scores: &[f64], anomalies: &[bool]) -> Result<f64> {
    let Counts { n_anomalies, n_normal } = check_both_kinds("measuring the AUC", scores, anomalies)?;

    // Twice the number of (anomaly, normal) pairs in the right order; doubled so that ties stay whole numbers.
    let (mut twice_won, mut anomalies_above) = (0u128, 0u128);
    for tied in descending(scores, anomalies).chunk_by(|a, b| a.0 == b.0) {
        let anomalies_here = tied.iter().filter(|(_, anomaly)| *anomaly).count() as u128;
        let normal_here = tied.len() as u128 - anomalies_here;
        twice_won += normal_here * (2 * anomalies_above + anomalies_here);
        anomalies_above += anomalies_here;
    }
    Ok(twice_won as f64 / (2.0 * n_anomalies as f64 * n_normal as f64))
}

/// Numbers of anomalies and normal images.
struct Counts {
    n_anomalies: usize,
    n_normal: usize,
}

/// Scores are numbers, infinite ones included, and there are some.
fn check_scores(doing: &str, scores: &[f64]) -> Result<()> {
    if scores.is_empty() {
        return Err(Error::data(doing, "no scores", "at least one", "give the scores of some images"));
    }
    match scores.iter().position(|score| score.is_nan()) {
        None => Ok(()),
        Some(index) => {
            let found = format!("score {index} is not a number");
            Err(Error::data(doing, found, "numbers", "look at the model's history: did its training diverge?"))
        }
    }
}

/// Every score has its label.
fn check(doing: &str, scores: &[f64], anomalies: &[bool]) -> Result<()> {
    if scores.len() != anomalies.len() {
        let found = format!("{} scores and {} labels", scores.len(), anomalies.len());
        return Err(Error::data(doing, found, "one label per score", "give the labels of the scored images"));
    }
    check_scores(doing, scores)
}

/// Every score has its label, and there are anomalies and normal images.
fn check_both_kinds(doing: &str, scores: &[f64], anomalies: &[bool]) -> Result<Counts> {
    check(doing, scores, anomalies)?;
    let n_anomalies = anomalies.iter().filter(|&&anomaly| anomaly).count();
    let n_normal = anomalies.len() - n_anomalies;
    if n_anomalies == 0 || n_normal == 0 {
        let found = format!("{n_anomalies} anomalies and {n_normal} normal images");
        let next_step = match n_anomalies {
            0 => "hold out a class that the test images have, or put anomalous images into a folder beside test/good",
            _ => "put normal images into test/good, or hold out fewer classes",
        };
        return Err(Error::data(doing, found, "at least one of each", next_step));
    }
    Ok(Counts { n_anomalies, n_normal })
}

/// Scores, none of them NaN, with their labels, highest first.
fn descending<T: Copy>(scores: &[f64], labels: &[T]) -> Vec<(f64, T)> {
    let mut pairs: Vec<(f64, T)> = scores.iter().copied().zip(labels.iter().copied()).collect();
    pairs.sort_unstable_by(|a, b| b.0.partial_cmp(&a.0).expect("no score is NaN"));
    pairs
}

/// Pearson's correlation of two rows of numbers: -1..=1, 0 for no linear relation. Not a number where one is constant.
///
/// # Errors
/// [`Error::Data`] when their lengths differ.
///
/// # Example
/// ```
/// use diabolo::metrics::pearson_correlation;
/// assert!((pearson_correlation(&[1.0, 2.0, 3.0], &[30.0, 20.0, 10.0])? + 1.0).abs() < 1e-12);
/// assert!(pearson_correlation(&[1.0, 2.0, 3.0], &[5.0, 5.0, 5.0])?.is_nan());
/// assert!(pearson_correlation(&[1.0], &[1.0, 2.0]).is_err());
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn pearson_correlation(a: &[f64], b: &[f64]) -> Result<f64> {
    if a.len() != b.len() {
        let found = format!("{} and {} numbers", a.len(), b.len());
        return Err(Error::data("correlating", found, "as many of each", "give two numbers for each image"));
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let sum = |f: &dyn Fn(f64, f64) -> f64| a.iter().zip(b).map(|(&x, &y)| f(x - mean_a, y - mean_b)).sum::<f64>();
    Ok(sum(&|x, y| x * y) / (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt())
}

/// Spearman's correlation: Pearson's of the ranks, ties sharing their mean rank. -1..=1.
///
/// # Errors
/// [`Error::Data`] when their lengths differ.
///
/// # Example
/// ```
/// use diabolo::metrics::spearman_correlation;
/// let correlation = spearman_correlation(&[1.0, 2.0, 3.0], &[1.0, 10.0, 1000.0])?;
/// assert!((correlation - 1.0).abs() < 1e-12, "the order is the same");
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn spearman_correlation(a: &[f64], b: &[f64]) -> Result<f64> {
    pearson_correlation(&mean_ranks(a), &mean_ranks(b))
}

/// Each value's rank, from 1; equal values share their mean rank.
///
/// # Example
/// ```
/// use diabolo::metrics::mean_ranks;
/// assert_eq!(mean_ranks(&[5.0, 1.0, 5.0]), [2.5, 1.0, 2.5]);
/// ```
pub fn mean_ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for tied in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let mean_rank = first as f64 + (tied.len() + 1) as f64 / 2.0;
        tied.iter().for_each(|&index| ranks[index] = mean_rank);
        first += tied.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_scores_are_guessing() {
        assert_eq!(roc_auc(&[2.0; 5], &[true, false, false, true, false]).unwrap(), 0.5);
    }

    #[test]
    fn infinite_scores_rank_as_numbers() {
        let scores = [f64::NEG_INFINITY, 0.0, f64::INFINITY, f64::INFINITY];
        assert_eq!(roc_auc(&scores, &[false, true, false, true]).unwrap(), 0.625);
    }

    #[test]
    fn bad_labels_are_errors_that_say_so() {
        let message = |scores: &[f64], labels: &[bool]| roc_auc(scores, labels).unwrap_err().to_string();
        assert_eq!(
            message(&[1.0, 2.0], &[false, false]),
            "measuring the AUC: found 0 anomalies and 2 normal images, wanted at least one of each; \
             hold out a class that the test images have, or put anomalous images into a folder beside test/good"
        );
        let all_anomalous = message(&[1.0, 2.0], &[true, true]);
        assert!(
            all_anomalous.ends_with("put normal images into test/good, or hold out fewer classes"),
            "{all_anomalous}"
        );
        assert!(message(&[1.0], &[true, false]).contains("found 1 scores and 2 labels"));
        assert!(message(&[1.0, f64::NAN], &[true, false]).contains("found score 1 is not a number"));
    }

    #[test]
    fn correlations_equal_scipy() {
        // from scipy.stats import pearsonr, spearmanr
        // a, b = [1, 2, 2, 4, 7.5], [2.5, 1, 3, 3, 9]
        // pearsonr(a, b)[0], spearmanr(a, b)[0]
        let (a, b) = ([1.0, 2.0, 2.0, 4.0, 7.5], [2.5, 1.0, 3.0, 3.0, 9.0]);
        assert!((pearson_correlation(&a, &b).unwrap() - 0.909_568_205_936_689_9).abs() < 1e-12);
        assert!((spearman_correlation(&a, &b).unwrap() - 0.763_157_894_736_842_1).abs() < 1e-12);
    }
}
