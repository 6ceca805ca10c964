//! Thresholds and p-values from the scores of normal images alone, by split conformal prediction.
//!
//! Calibration images are normal ones that neither training nor the fit of a score has seen. A new normal image is then
//! one more of the same kind: of n + 1 such images each is equally likely to have the highest score, the second highest
//! and so on, whatever the distribution of scores.
//!
//! Source: Vovk, Gammerman and Shafer, "Algorithmic learning in a random world", 2005; Bates, Candès, Lei, Romano and
//! Sesia, "Testing for outliers with conformal p-values", 2023.

use super::check_scores;
use crate::{Error, Result};

/// A threshold that keeps a rate of false alarms.
///
/// # Example
/// ```
/// use diabolo::metrics::{ConformalThreshold, conformal_threshold};
/// let calibration: Vec<f64> = (1..=199).map(f64::from).collect();
/// let ConformalThreshold { threshold, false_alarm_rate, low, high } = conformal_threshold(&calibration, 0.01)?;
/// assert!(threshold > 198.0 && threshold < 198.001, "just above the second highest");
/// assert_eq!(false_alarm_rate, 0.01);
/// println!("this threshold calls {:.2} % to {:.2} % of normal images anomalies", 100.0 * low, 100.0 * high);
/// assert!(low < 0.002 && high > 0.025, "199 images do not tell more");
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConformalThreshold {
    /// Images with this score or a higher one are called anomalies.
    pub threshold: f64,
    /// Share of new normal images that are called anomalies, on average over calibration sets: 0..=1, at most the rate
    /// that was asked for. Equal scores may make it smaller.
    pub false_alarm_rate: f64,
    /// With a chance of 97.5 % over calibration sets, the share for this very threshold is not smaller.
    pub low: f64,
    /// With a chance of 97.5 % over calibration sets, the share for this very threshold is not larger.
    pub high: f64,
}

/// The threshold that calls at most the share `false_alarms` of normal images anomalies, from the scores of n normal
/// images that training has not seen (higher = more anomalous).
///
/// With k the largest whole number for which `k / (n + 1)` is at most `false_alarms`, it lies just above the k-th highest
/// score, and the rate is kept on average over calibration sets, whatever the distribution. One calibration set may lie
/// above or below: the rate of its threshold has a Beta(k, n + 1 - k) distribution where scores are not tied.
///
/// # Errors
/// [`Error::Setting`] for a rate that is not above 0 and below 1, or below [`smallest_false_alarm_rate`], the message of
/// which says how many images it takes; [`Error::Data`] for no scores, or one that is NaN.
///
/// # Source
/// Vovk, "Conditional validity of inductive conformal predictors", 2012; Bates et al., "Testing for outliers with
/// conformal p-values", 2023.
///
/// # Example
/// ```
/// use diabolo::metrics::conformal_threshold;
/// let calibration = [0.3, 0.1, 0.9, 0.5];
/// let threshold = conformal_threshold(&calibration, 0.4)?;
/// assert_eq!((threshold.threshold, threshold.false_alarm_rate), (0.5_f64.next_up(), 0.4), "k = 2 of 4 + 1");
/// let message = conformal_threshold(&calibration, 0.01).unwrap_err().to_string();
/// assert!(message.contains("0.2 or more") && message.contains("99 calibration images"), "{message}");
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn conformal_threshold(calibration: &[f64], false_alarms: f64) -> Result<ConformalThreshold> {
    check_scores("calibrating a threshold", calibration)?;
    let n = calibration.len();
    if !(false_alarms > 0.0 && false_alarms < 1.0) {
        let found = false_alarms.to_string();
        return Err(Error::setting("false_alarms", found, "above 0 and below 1", "0.01 is one image in a hundred"));
    }
    let rate = |k: usize| k as f64 / (n + 1) as f64;
    let floor = (false_alarms * (n + 1) as f64) as usize;
    // 0.29 * 100 is a little less than 29.
    let k = if rate(floor + 1) <= false_alarms { floor + 1 } else { floor };
    if k == 0 {
        let wanted = format!("{} or more, 1 / (n + 1) for {n} calibration images", smallest_false_alarm_rate(n));
        // Rounding up again may ask for one image more than is needed, never for too few.
        let next_step =
            format!("give {:.0} calibration images or more, or allow more", (1.0 / false_alarms).ceil() - 1.0);
        return Err(Error::setting("false_alarms", false_alarms.to_string(), wanted, next_step));
    }
    let mut falling = calibration.to_vec();
    falling.sort_unstable_by(|a, b| b.total_cmp(a));
    let [low, high] = [0.025, 0.975].map(|share| beta_quantile(k, n + 1 - k, share));
    // An image that scores as high as the k-th is none of the k that score higher.
    Ok(ConformalThreshold { threshold: falling[k - 1].next_up(), false_alarm_rate: rate(k), low, high })
}

/// The smallest rate of false alarms that `n` calibration images can promise, `1 / (n + 1)`.
///
/// # Example
/// ```
/// use diabolo::metrics::smallest_false_alarm_rate;
/// assert_eq!(smallest_false_alarm_rate(99), 0.01);
/// ```
pub fn smallest_false_alarm_rate(n: usize) -> f64 {
    1.0 / (n as f64 + 1.0)
}

/// For each of `scores` its conformal p-value: the chance that a normal image scores as high or higher,
/// `(1 + #{calibration scores at or above it}) / (n + 1)`. Above 0 and at most 1; small means anomalous.
///
/// Calling images of at most `alpha` anomalies is the same as [`conformal_threshold`] with the rate `alpha`. Of many images
/// that are tested at once, some normal ones have small p-values: the procedure of Benjamini and Hochberg holds for these.
///
/// # Errors
/// [`Error::Data`] for no calibration scores, or a score of either kind that is NaN.
///
/// # Source
/// Bates et al., "Testing for outliers with conformal p-values", 2023, equation 3.
///
/// # Example
/// ```
/// use diabolo::metrics::conformal_p_values;
/// let calibration = [0.3, 0.1, 0.9, 0.5];
/// assert_eq!(conformal_p_values(&calibration, &[2.0, 0.5, 0.0])?, [0.2, 0.6, 1.0]);
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn conformal_p_values(calibration: &[f64], scores: &[f64]) -> Result<Vec<f64>> {
    let doing = "working out p-values";
    check_scores(doing, calibration)?;
    if !scores.is_empty() {
        check_scores(doing, scores)?;
    }
    let mut rising = calibration.to_vec();
    rising.sort_unstable_by(f64::total_cmp);
    let n = rising.len();
    let n_at_or_above = |score: f64| n - rising.partition_point(|&calibration| calibration < score);
    Ok(scores.iter().map(|&score| (1 + n_at_or_above(score)) as f64 / (n + 1) as f64).collect())
}

/// Where the share `share` of a Beta(a, b) distribution lies below, a and b being 1 or more, by bisection.
fn beta_quantile(a: usize, b: usize, share: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    // Halving until neighbours among the numbers are reached.
    loop {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            return middle;
        }
        if beta_distribution(a, b, middle) < share { low = middle } else { high = middle }
    }
}

/// Distribution function of Beta(a, b): the chance of a successes or more in a + b - 1 trials of chance x, 0 < x < 1.
fn beta_distribution(a: usize, b: usize, x: f64) -> f64 {
    let n = (a + b - 1) as f64;
    // Chances of exactly j successes, from the one at the edge outwards on the thinner side, each from the one before.
    let edge = |j: f64| {
        let choose = libm::lgamma(n + 1.0) - libm::lgamma(j + 1.0) - libm::lgamma(n - j + 1.0);
        (choose + j * x.ln() + (n - j) * (-x).ln_1p()).exp()
    };
    let odds = x / (1.0 - x);
    let sum = |first: f64, next: &dyn Fn(f64) -> (f64, f64)| {
        let (mut j, mut chance, mut sum) = (first, edge(first), 0.0);
        while chance > sum * 1e-17 && (0.0..=n).contains(&j) {
            sum += chance;
            let (next_j, factor) = next(j);
            (j, chance) = (next_j, chance * factor);
        }
        sum
    };
    if a as f64 > n * x {
        sum(a as f64, &|j| (j + 1.0, (n - j) / (j + 1.0) * odds))
    } else {
        1.0 - sum(a as f64 - 1.0, &|j| (j - 1.0, j / (n - j + 1.0) / odds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beta_quantiles_equal_scipy() {
        // from scipy.stats import beta; beta.ppf([0.025, 0.975], a, b)
        let expected = [
            ((1, 1), [0.025, 0.975]),
            ((2, 198), [0.0012194579164751512, 0.0276787129163816]),
            ((10, 990), [0.004810331195290225, 0.01703274677025096]),
            ((500, 49_501), [0.009146410489082919, 0.010890312047132311]),
            ((95, 5), [0.8997720934312506, 0.9834000886701565]),
        ];
        for ((a, b), expected) in expected {
            for (share, expected) in [0.025, 0.975].into_iter().zip(expected) {
                let found = beta_quantile(a, b, share);
                assert!((found / expected - 1.0).abs() < 1e-9, "Beta({a}, {b}): {found}, expected {expected}");
            }
        }
    }

    #[test]
    fn a_rate_that_rounding_would_lose_is_kept() {
        let calibration: Vec<f64> = (1..=99).map(f64::from).collect();
        for percent in 1..100 {
            let found = conformal_threshold(&calibration, f64::from(percent) / 100.0).unwrap();
            assert_eq!(found.false_alarm_rate, f64::from(percent) / 100.0);
            let n_called = calibration.iter().filter(|&&score| score >= found.threshold).count();
            assert_eq!(n_called, percent as usize - 1, "{percent} %");
        }
    }

    #[test]
    fn thresholds_and_p_values_call_the_same_images() {
        let calibration: Vec<f64> = (0..57).map(|n| f64::from(n * 23 % 57 / 3)).collect();
        let scores: Vec<f64> = (-2..45).map(|n| f64::from(n) / 2.0).chain([f64::NEG_INFINITY, f64::INFINITY]).collect();
        let p_values = conformal_p_values(&calibration, &scores).unwrap();
        for rate in [0.02, 0.1, 0.31, 0.5, 0.97] {
            let ConformalThreshold { threshold, .. } = conformal_threshold(&calibration, rate).unwrap();
            for (score, p_value) in scores.iter().zip(&p_values) {
                assert_eq!(*score >= threshold, *p_value <= rate, "{score} at {rate}");
            }
        }
    }

    #[test]
    fn the_rate_is_kept_on_average_and_spreads_as_the_interval_says() {
        use rand::{RngExt, SeedableRng};
        let mut generator = rand_xoshiro::Xoshiro256PlusPlus::seed_from_u64(1);
        let (n, alpha, n_draws) = (99, 0.055, 4000);
        let mut rates = Vec::new();
        let mut outside = 0;
        for _ in 0..n_draws {
            let calibration: Vec<f64> = (0..n).map(|_| generator.random::<f64>()).collect();
            let found = conformal_threshold(&calibration, alpha).unwrap();
            assert_eq!(found.false_alarm_rate, 0.05);
            // The share of uniform numbers at or above the threshold.
            let rate = 1.0 - found.threshold;
            outside += usize::from(!(found.low..=found.high).contains(&rate));
            rates.push(rate);
        }
        let mean = rates.iter().sum::<f64>() / n_draws as f64;
        // Standard deviation of Beta(5, 95).
        let error = (0.05f64 * 0.95 / 101.0 / n_draws as f64).sqrt();
        assert!((mean - 0.05).abs() < 4.0 * error, "{mean}");
        let outside = outside as f64 / n_draws as f64;
        assert!((outside - 0.05).abs() < 4.0 * (0.05f64 * 0.95 / n_draws as f64).sqrt(), "{outside}");
    }

    #[test]
    fn what_cannot_be_promised_is_refused() {
        let message = |calibration: &[f64], rate| conformal_threshold(calibration, rate).unwrap_err().to_string();
        let text = message(&[1.0; 9], 0.05);
        assert!(text.contains("found 0.05, wanted 0.1 or more, 1 / (n + 1) for 9 calibration images"), "{text}");
        assert!(text.contains("give 19 calibration images or more"), "{text}");
        assert!(conformal_threshold(&[1.0; 19], 0.05).is_ok());
        for rate in [0.0, 1.0, -0.1, f64::NAN] {
            assert!(message(&[1.0; 9], rate).contains("above 0 and below 1"), "{rate}");
        }
        assert!(message(&[], 0.1).contains("no scores"));
        assert!(
            conformal_p_values(&[1.0, f64::NAN], &[1.0]).unwrap_err().to_string().contains("score 1 is not a number")
        );
        assert_eq!(conformal_p_values(&[1.0], &[]).unwrap(), [0.0; 0]);
    }

    #[test]
    fn infinite_scores_have_thresholds() {
        let found = conformal_threshold(&[f64::INFINITY, 1.0, 0.0, 2.0], 0.2).unwrap();
        assert_eq!(found.threshold, f64::INFINITY, "nothing scores higher");
        let found = conformal_threshold(&[f64::NEG_INFINITY; 4], 0.2).unwrap();
        assert!(found.threshold == f64::MIN);
    }
}
