//! How sure an AUC is.

use super::{check_both_kinds, roc_auc};
use crate::{Result, interrupt};
use rand::{Rng, RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// Beyond it an interval changes in no digit that anybody reads.
const MOST_RESAMPLES: usize = 10_000_000;

/// A value and where it would lie in 95 of 100 test sets like this one.
///
/// # Example
/// ```
/// use diabolo::metrics::{Interval, auc_interval};
/// let anomalies: Vec<bool> = (0..100).map(|n| n >= 50).collect();
/// let scores: Vec<f64> = (0..100).map(|n| f64::from(n % 50 + n / 2)).collect();
/// let Interval { value, low, high } = auc_interval(&scores, &anomalies, 1000, 0)?;
/// println!("AUC {value:.3} ({low:.3} to {high:.3})");
/// assert!(low > 0.5, "better than guessing, and not by chance");
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The value.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// AUC with its 95 % interval by the bootstrap: anomalies and normal images are drawn again with replacement, each kind
/// as often as there are of it, and 2.5 % of the resamples' AUCs lie below and above.
///
/// Scores are sorted once, so a resample takes time in proportion to their number; one seed gives one interval.
///
/// # Errors
/// As [`roc_auc`]; [`crate::Error::Setting`] for fewer than 40 resamples, which have no 2.5 %, or
/// more than ten million;
/// [`crate::Error::Interrupted`].
///
/// # Source
/// Efron and Tibshirani, "An introduction to the bootstrap", 1993, chapter 13 (percentiles); stratified as in Robin et
/// al., "pROC", 2011.
///
/// # Example
/// ```
/// use diabolo::metrics::auc_interval;
/// let scores: Vec<f64> = (0..200).map(|n| f64::from(n % 20)).collect();
/// let anomalies: Vec<bool> = (0..200).map(|n| n % 20 > 10 || n % 7 == 0).collect();
/// let auc = auc_interval(&scores, &anomalies, 1000, 0)?;
/// assert!(auc.low < auc.value && auc.value < auc.high);
/// assert_eq!(auc_interval(&scores, &anomalies, 1000, 0)?, auc, "one seed, one interval");
/// assert!(auc_interval(&scores, &anomalies, 10, 0).is_err());
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn auc_interval(scores: &[f64], anomalies: &[bool], n_resamples: usize, seed: u64) -> Result<Interval> {
    let value = roc_auc(scores, anomalies)?;
    let counts = check_both_kinds("bootstrapping the AUC", scores, anomalies)?;
    if !(40..=MOST_RESAMPLES).contains(&n_resamples) {
        let (found, wanted) = (n_resamples.to_string(), format!("40 to {MOST_RESAMPLES}"));
        return Err(crate::Error::setting("n_resamples", found, wanted, "1000 is usual"));
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_unstable_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    // Which of the distinct scores each image has, lowest first, apart by kind.
    let (mut of_anomalies, mut of_normal) =
        (Vec::with_capacity(counts.n_anomalies), Vec::with_capacity(counts.n_normal));
    let mut n_distinct = 0;
    for tied in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
        for &index in tied {
            if anomalies[index] { of_anomalies.push(n_distinct) } else { of_normal.push(n_distinct) }
        }
        n_distinct += 1;
    }
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut drawn = vec![[0u32; 2]; n_distinct];
    let mut aucs = Vec::with_capacity(n_resamples);
    for _ in 0..n_resamples {
        interrupt::check("bootstrapping the AUC")?;
        drawn.fill([0; 2]);
        draw(&of_anomalies, &mut generator, |place| drawn[place][0] += 1);
        draw(&of_normal, &mut generator, |place| drawn[place][1] += 1);
        aucs.push(auc_of(&drawn, counts.n_anomalies, counts.n_normal));
    }
    aucs.sort_unstable_by(f64::total_cmp);
    let percentile = |share: f64| {
        let place = share * (n_resamples - 1) as f64;
        let (below, above) = (aucs[place.floor() as usize], aucs[place.ceil() as usize]);
        below + place.fract() * (above - below)
    };
    Ok(Interval { value, low: percentile(0.025), high: percentile(0.975) })
}

/// Draws as many of `places` as there are, with replacement.
fn draw(places: &[usize], generator: &mut impl Rng, mut count: impl FnMut(usize)) {
    for _ in 0..places.len() {
        count(places[generator.random_range(0..places.len())]);
    }
}

/// AUC from numbers of anomalies and normal images by rising score.
fn auc_of(drawn: &[[u32; 2]], n_anomalies: usize, n_normal: usize) -> f64 {
    let (mut twice_won, mut normal_below) = (0u64, 0u64);
    for &[anomalies, normal] in drawn {
        twice_won += u64::from(anomalies) * (2 * normal_below + u64::from(normal));
        normal_below += u64::from(normal);
    }
    twice_won as f64 / (2.0 * n_anomalies as f64 * n_normal as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 300 anomalies whose scores are shifted by one among 700, all from a fixed sequence.
    fn example() -> (Vec<f64>, Vec<bool>) {
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(5);
        let anomalies: Vec<bool> = (0..1000).map(|index| index % 10 < 3).collect();
        let noise = |generator: &mut Xoshiro256PlusPlus| (0..12).map(|_| generator.random::<f64>()).sum::<f64>() - 6.0;
        (anomalies.iter().map(|&anomaly| noise(&mut generator) + f64::from(u8::from(anomaly))).collect(), anomalies)
    }

    #[test]
    fn the_interval_is_as_wide_as_theory_says() {
        let (scores, anomalies) = example();
        let interval = auc_interval(&scores, &anomalies, 2000, 1).unwrap();
        // Hanley and McNeil, 1982: the standard error of an AUC from numbers of both kinds.
        let auc = interval.value;
        let (q1, q2) = (auc / (2.0 - auc), 2.0 * auc * auc / (1.0 + auc));
        let variance = (auc * (1.0 - auc) + 299.0 * (q1 - auc * auc) + 699.0 * (q2 - auc * auc)) / (300.0 * 700.0);
        let expected = 2.0 * 1.96 * variance.sqrt();
        let width = interval.high - interval.low;
        assert!((width / expected - 1.0).abs() < 0.12, "{width} and {expected}");
        assert!(interval.low < auc && auc < interval.high);
    }

    #[test]
    fn one_seed_gives_one_interval_and_ties_count_half() {
        let (scores, anomalies) = example();
        let interval = |seed| auc_interval(&scores, &anomalies, 200, seed).unwrap();
        assert_eq!(interval(3), interval(3));
        assert_ne!(interval(3), interval(4));
        let flat = auc_interval(&[1.0; 6], &[true, false, false, true, false, true], 50, 0).unwrap();
        assert_eq!(flat, Interval { value: 0.5, low: 0.5, high: 0.5 });
    }

    #[test]
    fn too_few_resamples_are_refused() {
        let message = auc_interval(&[0.0, 1.0], &[false, true], 10, 0).unwrap_err().to_string();
        assert!(message.contains("found 10, wanted 40 to"), "{message}");
    }
}
