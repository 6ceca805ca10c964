//! Comparison of two scores of the same images by their AUCs: DeLong's test and the paired bootstrap.

use super::interval::{Interval, Places, check_n_resamples, draw, of_separate_pairs, percentiles};
use super::{check_both_kinds, roc_auc};
use crate::{Error, Result, interrupt};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

const DOING: &str = "comparing two AUCs";
/// 97.5 % of a standard normal distribution lie below it.
const NORMAL_975: f64 = 1.959_963_984_540_054;

/// The AUCs of two scores of the same images, and their difference.
///
/// # Example
/// ```
/// use diabolo::metrics::{AucComparison, compare_aucs};
/// let anomalies: Vec<bool> = (0..100).map(|n| n % 5 == 0).collect();
/// let good: Vec<f64> = (0..100).map(|n| f64::from(n % 5 == 0) + f64::from(n * 7 % 13) / 10.0).collect();
/// let useless: Vec<f64> = (0..100).map(|n| f64::from(n * 7 % 13)).collect();
/// let AucComparison { difference, p_value, .. } = compare_aucs(&good, &useless, &anomalies)?;
/// println!("{:+.3} ({:.3} to {:.3}), p = {p_value:.1e}", difference.value, difference.low, difference.high);
/// assert!(difference.low > 0.0 && p_value < 0.001, "the first is better, and not by chance");
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AucComparison {
    /// AUC of the first score: 0..=1, higher is better.
    pub first: f64,
    /// AUC of the second score.
    pub second: f64,
    /// The first AUC less the second, with its 95 % confidence interval: above 0 where the first is better.
    pub difference: Interval,
    /// Standard error of the difference, 0 or more.
    pub standard_error: f64,
    /// Two-sided p-value of the hypothesis that both scores have the same AUC: 0..=1. Below 0.05 the difference is
    /// usually called significant.
    pub p_value: f64,
}

/// Compares the AUCs of two scores of the same images (higher = more anomalous in both) by DeLong's test.
///
/// The images are the same, so the two AUCs rise and fall together from test set to test set; their own intervals
/// overlap long before their difference could be 0. Takes time in proportion to n log n.
///
/// Where the standard error is 0 although the AUCs differ, as for a perfect score and a constant one, DeLong's test has
/// no answer. The p-value is then that of the sign test over as many separate pairs of an anomaly and a normal image as
/// there are, and the interval Hoeffding's over the same pairs: wide for a few images.
///
/// # Errors
/// [`Error::Data`] for fewer than two anomalies or normal images, lengths that differ, or a score that is NaN.
///
/// # Source
/// DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more correlated receiver operating
/// characteristic curves", 1988; in n log n after Sun and Xu, "Fast implementation of DeLong's algorithm", 2014. The same
/// numbers as `roc.test(paired = TRUE)` of R's pROC.
///
/// # Example
/// ```
/// use diabolo::metrics::compare_aucs;
/// let anomalies = [false, false, false, true, true, true];
/// let (a, b) = ([0.1, 0.2, 0.5, 0.4, 0.8, 0.9], [0.3, 0.9, 0.1, 0.2, 0.8, 0.4]);
/// let found = compare_aucs(&a, &b, &anomalies)?;
/// assert!((found.first - 8.0 / 9.0).abs() < 1e-12 && (found.second - 5.0 / 9.0).abs() < 1e-12);
/// assert!(found.p_value > 0.05, "six images cannot tell");
/// assert_eq!(compare_aucs(&a, &a, &anomalies)?.p_value, 1.0);
/// assert!(compare_aucs(&a, &b[..5], &anomalies).is_err());
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn compare_aucs(first: &[f64], second: &[f64], anomalies: &[bool]) -> Result<AucComparison> {
    check_pair(first, second, anomalies)?;
    let (of_first, of_second) = (Placements::of(first, anomalies), Placements::of(second, anomalies));
    let (first, second) = (roc_auc(first, anomalies)?, roc_auc(second, anomalies)?);
    let value = first - second;
    let [variance, of_normal] =
        [(&of_first.of_anomalies, &of_second.of_anomalies), (&of_first.of_normal, &of_second.of_normal)]
            .map(|(a, b)| variance_of_mean(a.iter().zip(b).map(|(a, b)| a - b)));
    let standard_error = (variance + of_normal).sqrt();
    let n_pairs = of_first.of_anomalies.len().min(of_first.of_normal.len()) as f64;
    let (half_width, p_value) = if value == 0.0 {
        (NORMAL_975 * standard_error, 1.0)
    } else if standard_error == 0.0 {
        ((2.0 * 40f64.ln() / n_pairs).sqrt(), (2.0 * 0.5f64.powf(n_pairs)).min(1.0))
    } else {
        let z = value.abs() / standard_error;
        (NORMAL_975 * standard_error, libm::erfc(z / std::f64::consts::SQRT_2))
    };
    let difference = Interval { value, low: value - half_width, high: value + half_width };
    Ok(AucComparison { first, second, difference, standard_error, p_value })
}

/// AUC with DeLong's 95 % confidence interval: in one sort, where [`auc_interval`](super::auc_interval) draws many
/// resamples. The two differ by little with more than about fifty images of a kind.
///
/// Where no spread is seen, for an AUC of exactly 0 or 1, the interval is that of Clopper and Pearson over as many separate
/// pairs of an anomaly and a normal image as there are, as in [`auc_interval`](super::auc_interval).
///
/// # Errors
/// As [`compare_aucs`].
///
/// # Source
/// DeLong, DeLong and Clarke-Pearson, 1988; the variance is that of [`compare_aucs`] for one score.
///
/// # Example
/// ```
/// use diabolo::metrics::delong_interval;
/// let anomalies: Vec<bool> = (0..100).map(|n| n >= 50).collect();
/// let scores: Vec<f64> = (0..100).map(|n| f64::from(n % 50 + n / 2)).collect();
/// let auc = delong_interval(&scores, &anomalies)?;
/// assert!(0.5 < auc.low && auc.low < auc.value && auc.value < auc.high && auc.high < 1.0);
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn delong_interval(scores: &[f64], anomalies: &[bool]) -> Result<Interval> {
    check_at_least_two("measuring the interval of an AUC", scores, anomalies)?;
    let value = roc_auc(scores, anomalies)?;
    let Placements { of_anomalies, of_normal } = Placements::of(scores, anomalies);
    if value == 0.0 || value == 1.0 {
        let [low, high] = of_separate_pairs(value, of_anomalies.len().min(of_normal.len()));
        return Ok(Interval { value, low, high });
    }
    let [variance, of_normal] = [of_anomalies, of_normal].map(|shares| variance_of_mean(shares.into_iter()));
    let half_width = NORMAL_975 * (variance + of_normal).sqrt();
    Ok(Interval { value, low: (value - half_width).max(0.0), high: (value + half_width).min(1.0) })
}

/// The difference of the AUCs of two scores of the same images with its 95 % confidence interval by the paired bootstrap:
/// anomalies and normal images are drawn again with replacement, each kind as often as there are of it, and both AUCs are
/// those of the same draw.
///
/// # Errors
/// As [`compare_aucs`]; [`Error::Setting`] for fewer than 40 resamples or more than ten million; [`Error::Interrupted`].
///
/// # Source
/// Efron and Tibshirani, "An introduction to the bootstrap", 1993, chapter 13 (percentiles).
///
/// # Example
/// ```
/// use diabolo::metrics::auc_difference_interval;
/// let anomalies: Vec<bool> = (0..100).map(|n| n % 5 == 0).collect();
/// let good: Vec<f64> = (0..100).map(|n| f64::from(n % 5 == 0) + f64::from(n * 7 % 13) / 10.0).collect();
/// let useless: Vec<f64> = (0..100).map(|n| f64::from(n * 7 % 13)).collect();
/// let difference = auc_difference_interval(&good, &useless, &anomalies, 1000, 0)?;
/// assert!(difference.low > 0.0, "the first is better, and not by chance");
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn auc_difference_interval(
    first: &[f64],
    second: &[f64],
    anomalies: &[bool],
    n_resamples: usize,
    seed: u64,
) -> Result<Interval> {
    check_pair(first, second, anomalies)?;
    check_n_resamples(n_resamples)?;
    let mut places = [Places::of(first, anomalies), Places::of(second, anomalies)];
    let [n_anomalies, n_normal] = [places[0].of_anomalies.len(), places[0].of_normal.len()];
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut differences = Vec::with_capacity(n_resamples);
    for _ in 0..n_resamples {
        interrupt::check(DOING)?;
        places.iter_mut().for_each(Places::clear);
        draw(n_anomalies, &mut generator, |image| places.iter_mut().for_each(|places| places.count_anomaly(image)));
        draw(n_normal, &mut generator, |image| places.iter_mut().for_each(|places| places.count_normal(image)));
        differences.push(places[0].auc() - places[1].auc());
    }
    let [low, high] = percentiles(differences);
    Ok(Interval { value: roc_auc(first, anomalies)? - roc_auc(second, anomalies)?, low, high })
}

/// Two scores of every image, and at least two images of either kind.
fn check_pair(first: &[f64], second: &[f64], anomalies: &[bool]) -> Result<()> {
    check_at_least_two(DOING, first, anomalies)?;
    check_both_kinds(DOING, second, anomalies).map(drop)
}

/// Variances are those of two or more images of either kind.
fn check_at_least_two(doing: &str, scores: &[f64], anomalies: &[bool]) -> Result<()> {
    let counts = check_both_kinds(doing, scores, anomalies)?;
    if counts.n_anomalies < 2 || counts.n_normal < 2 {
        let found = format!("{} anomalies and {} normal images", counts.n_anomalies, counts.n_normal);
        return Err(Error::data(doing, found, "at least two of each", "score more images"));
    }
    Ok(())
}

/// For each image the share of those of the other kind that it is told from, ties counted half; in the images' order.
struct Placements {
    /// Share of normal images below each anomaly.
    of_anomalies: Vec<f64>,
    /// Share of anomalies above each normal image.
    of_normal: Vec<f64>,
}

impl Placements {
    fn of(scores: &[f64], anomalies: &[bool]) -> Self {
        let Places { of_anomalies, of_normal, mut drawn } = Places::of(scores, anomalies);
        of_anomalies.iter().for_each(|&place| drawn[place][0] += 1);
        of_normal.iter().for_each(|&place| drawn[place][1] += 1);
        let (n_anomalies, n_normal) = (of_anomalies.len() as f64, of_normal.len() as f64);
        let (mut anomalies_below, mut normal_below) = (0.0, 0.0);
        let shares: Vec<[f64; 2]> = drawn
            .iter()
            .map(|&[anomalies, normal]| {
                let (anomalies, normal) = (f64::from(anomalies), f64::from(normal));
                let of_anomaly = (normal_below + normal / 2.0) / n_normal;
                let of_normal = (n_anomalies - anomalies_below - anomalies / 2.0) / n_anomalies;
                (anomalies_below, normal_below) = (anomalies_below + anomalies, normal_below + normal);
                [of_anomaly, of_normal]
            })
            .collect();
        Self {
            of_anomalies: of_anomalies.iter().map(|&place| shares[place][0]).collect(),
            of_normal: of_normal.iter().map(|&place| shares[place][1]).collect(),
        }
    }
}

/// Variance of the mean of `values`, from their variance divided by n - 1.
fn variance_of_mean(values: impl ExactSizeIterator<Item = f64> + Clone) -> f64 {
    let n = values.len() as f64;
    let mean = values.clone().sum::<f64>() / n;
    let squares: f64 = values.map(|value| (value - mean).powi(2)).sum();
    // Rounding leaves equal values a variance of some units in the last place, squared.
    if squares <= n * 1e-30 { 0.0 } else { squares / (n - 1.0) / n }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANOMALIES: [bool; 6] = [false, false, false, true, true, true];

    #[test]
    fn a_perfect_score_beside_a_constant_one_is_not_certain_of_six_images() {
        let found = compare_aucs(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[0.5; 6], &ANOMALIES).unwrap();
        assert_eq!((found.first, found.second, found.standard_error), (1.0, 0.5, 0.0));
        // Three pairs, all won: 2 / 2^3.
        assert_eq!(found.p_value, 0.25);
        assert!(found.difference.low < 0.0, "{found:?}");
    }

    #[test]
    fn equal_aucs_have_a_p_value_of_one() {
        let (a, b) = ([1.0, 2.0, 4.0, 3.0, 5.0, 6.0], [2.0, 1.0, 4.0, 3.0, 6.0, 5.0]);
        let found = compare_aucs(&a, &b, &ANOMALIES).unwrap();
        assert_eq!((found.difference.value, found.p_value), (0.0, 1.0));
    }

    #[test]
    fn one_anomaly_has_no_spread_to_compare() {
        let message = compare_aucs(&[1.0, 2.0, 3.0], &[2.0, 1.0, 3.0], &[false, false, true]).unwrap_err().to_string();
        assert!(message.contains("found 1 anomalies and 2 normal images, wanted at least two of each"), "{message}");
    }

    #[test]
    fn an_interval_of_one_auc_is_that_of_the_definition() {
        // sum over pairs, and statistics.variance, in Python:
        // normal, anomalies = [1, 2, 3, 5], [2, 4, 6]
        // won = lambda a, b: (a > b) + (a == b) / 2
        // v10 = [sum(won(a, n) for n in normal) / 4 for a in anomalies]
        // v01 = [sum(won(a, n) for a in anomalies) / 3 for n in normal]
        // (variance(v10) / 3 + variance(v01) / 4) ** 0.5
        let labels = [false, false, false, false, true, true, true];
        let found = delong_interval(&[1.0, 2.0, 3.0, 5.0, 2.0, 4.0, 6.0], &labels).unwrap();
        assert_eq!(found.value, 17.0 / 24.0);
        let standard_error = 0.230_739_551_747_724_3;
        assert!((found.value - found.low - NORMAL_975 * standard_error).abs() < 1e-12, "{found:?}");
        assert_eq!(found.high, 1.0, "no AUC is more");
    }

    #[test]
    fn a_perfect_auc_is_not_certain_of_six_images() {
        let found = delong_interval(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &ANOMALIES).unwrap();
        assert_eq!(found, crate::metrics::auc_interval(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &ANOMALIES, 40, 0).unwrap());
        let message = delong_interval(&[1.0, 2.0, 3.0], &[false, false, true]).unwrap_err().to_string();
        assert!(message.contains("wanted at least two of each"), "{message}");
    }

    #[test]
    fn the_bootstrap_draws_both_scores_together() {
        // One is the other, moved: in every draw their AUCs are the same.
        let scores: Vec<f64> = (0..60).map(|n| f64::from(n * 37 % 60)).collect();
        let moved: Vec<f64> = scores.iter().map(|score| 2.0 * score + 1.0).collect();
        let anomalies: Vec<bool> = (0..60).map(|n| n % 3 == 0).collect();
        let found = auc_difference_interval(&scores, &moved, &anomalies, 100, 0).unwrap();
        assert_eq!(found, Interval { value: 0.0, low: 0.0, high: 0.0 });
    }
}
