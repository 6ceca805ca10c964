//! Confidence intervals of an AUC, by the stratified bootstrap.

use super::roc_auc;
use crate::{Result, interrupt};
use rand::{Rng, RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// More resamples no longer change the digits that are shown.
const MOST_RESAMPLES: usize = 10_000_000;

/// A value with its 95 % confidence interval: of intervals that are made in this way from one test set after another,
/// about 95 in 100 hold the value that endlessly many images would give.
///
/// It is no forecast of the value of the next test set, which lies outside more often.
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

/// AUC with its 95 % confidence interval by the bootstrap: anomalies and normal images are drawn again with replacement,
/// each kind as often as there are of it, and 2.5 % of the resamples' AUCs lie below and above.
///
/// Where resampling cannot show any spread, for an AUC of exactly 0 or 1 or with one image of a kind, the interval is that
/// of Clopper and Pearson over as many separate pairs of an anomaly and a normal image as there are: exact and wide, as
/// few images deserve. The bootstrap is too narrow with fewer than about ten images of a kind, and nothing tells how much
/// another training of the same network would differ.
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
/// al., "pROC", 2011. Clopper and Pearson, "The use of confidence or fiducial limits", 1934.
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
///
/// let perfect = auc_interval(&[0.1, 0.2, 0.3, 0.7, 0.8, 0.9], &[false, false, false, true, true, true], 1000, 0)?;
/// assert!(perfect.value == 1.0 && perfect.low < 0.3, "six images do not show that none will ever be missed");
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn auc_interval(scores: &[f64], anomalies: &[bool], n_resamples: usize, seed: u64) -> Result<Interval> {
    let value = roc_auc(scores, anomalies)?;
    check_n_resamples(n_resamples)?;
    let mut places = Places::of(scores, anomalies);
    let n_pairs = places.of_anomalies.len().min(places.of_normal.len());
    if value == 0.0 || value == 1.0 || n_pairs == 1 {
        let [low, high] = of_separate_pairs(value, n_pairs);
        return Ok(Interval { value, low, high });
    }
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut aucs = Vec::with_capacity(n_resamples);
    // By rising score, so that neighbours in a draw are neighbours in memory.
    places.of_anomalies.sort_unstable();
    places.of_normal.sort_unstable();
    for _ in 0..n_resamples {
        interrupt::check("bootstrapping the AUC")?;
        places.clear();
        draw(places.of_anomalies.len(), &mut generator, |image| places.count_anomaly(image));
        draw(places.of_normal.len(), &mut generator, |image| places.count_normal(image));
        aucs.push(places.auc());
    }
    let [low, high] = percentiles(aucs);
    Ok(Interval { value, low, high })
}

/// Bounds of an AUC from pairs of an anomaly and a normal image that share no image: each is won with the AUC as its
/// chance. `value` is 0 or 1 (all are lost, or won), or there is one pair only, where Markov's inequality bounds the chance.
pub(super) fn of_separate_pairs(value: f64, n_pairs: usize) -> [f64; 2] {
    let of_all = |value: f64| 0.025f64.powf(1.0 / n_pairs as f64) * value;
    [of_all(value), 1.0 - of_all(1.0 - value)]
}

pub(super) fn check_n_resamples(n_resamples: usize) -> Result<()> {
    if (40..=MOST_RESAMPLES).contains(&n_resamples) {
        return Ok(());
    }
    let (found, wanted) = (n_resamples.to_string(), format!("40 to {MOST_RESAMPLES}"));
    Err(crate::Error::setting("n_resamples", found, wanted, "1000 is usual"))
}

/// The values between which 95 % of these lie, with linear interpolation.
pub(super) fn percentiles(mut values: Vec<f64>) -> [f64; 2] {
    values.sort_unstable_by(f64::total_cmp);
    [0.025, 0.975].map(|share| {
        let at = share * (values.len() - 1) as f64;
        let (below, above) = (values[at.floor() as usize], values[at.ceil() as usize]);
        below + at.fract() * (above - below)
    })
}

/// Draws `n` of `n` with replacement.
pub(super) fn draw(n: usize, generator: &mut impl Rng, mut count: impl FnMut(usize)) {
    for _ in 0..n {
        count(generator.random_range(0..n));
    }
}

/// Which of the distinct scores each image has, from the lowest, apart by kind.
pub(super) struct Places {
    pub(super) of_anomalies: Vec<usize>,
    pub(super) of_normal: Vec<usize>,
    /// Anomalies and normal images that a resample has drawn, for each distinct score.
    pub(super) drawn: Vec<[u32; 2]>,
}

impl Places {
    /// Of scores that are checked; in the images' order, nothing drawn yet.
    pub(super) fn of(scores: &[f64], anomalies: &[bool]) -> Self {
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_unstable_by(|&a, &b| scores[a].total_cmp(&scores[b]));
        let mut places = vec![0; scores.len()];
        let mut n_distinct = 0;
        for tied in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
            tied.iter().for_each(|&image| places[image] = n_distinct);
            n_distinct += 1;
        }
        let of_kind = |anomaly: bool| {
            let images = places.iter().zip(anomalies).filter(|(_, is_anomaly)| **is_anomaly == anomaly);
            images.map(|(&place, _)| place).collect()
        };
        Self { of_anomalies: of_kind(true), of_normal: of_kind(false), drawn: vec![[0; 2]; n_distinct] }
    }

    pub(super) fn clear(&mut self) {
        self.drawn.fill([0; 2]);
    }

    pub(super) fn count_anomaly(&mut self, image: usize) {
        self.drawn[self.of_anomalies[image]][0] += 1;
    }

    pub(super) fn count_normal(&mut self, image: usize) {
        self.drawn[self.of_normal[image]][1] += 1;
    }

    /// AUC of what is drawn.
    pub(super) fn auc(&self) -> f64 {
        let (mut twice_won, mut normal_below) = (0u64, 0u64);
        for &[anomalies, normal] in &self.drawn {
            twice_won += u64::from(anomalies) * (2 * normal_below + u64::from(normal));
            normal_below += u64::from(normal);
        }
        twice_won as f64 / (2.0 * self.of_anomalies.len() as f64 * self.of_normal.len() as f64)
    }
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
    fn separable_scores_are_not_certain() {
        let interval = |n_of_each: usize| {
            let scores: Vec<f64> = (0..2 * n_of_each).map(|n| n as f64).collect();
            let anomalies: Vec<bool> = (0..2 * n_of_each).map(|n| n >= n_of_each).collect();
            auc_interval(&scores, &anomalies, 100, 0).unwrap()
        };
        // binom.test(3, 3)$conf.int and binom.test(100, 100)$conf.int in R.
        for (n_of_each, low) in [(3, 0.292_401_773_821_286_5), (100, 0.963_783_307_354_823_5)] {
            let found = interval(n_of_each);
            assert!((found.low - low).abs() < 1e-9 && found.high == 1.0, "{found:?}");
        }
        let reversed = auc_interval(&[3.0, 2.0, 1.0, 0.0], &[false, false, true, true], 100, 0).unwrap();
        assert!(reversed.low == 0.0 && (reversed.high - 0.841_886_116_991_581).abs() < 1e-9, "{reversed:?}");
    }

    #[test]
    fn one_anomaly_tells_little() {
        let scores: Vec<f64> = (0..101).map(f64::from).collect();
        let anomalies: Vec<bool> = (0..101).map(|n| n == 90).collect();
        let found = auc_interval(&scores, &anomalies, 100, 0).unwrap();
        assert_eq!(found.value, 0.9);
        assert!(found.low < 0.03 && found.high > 0.99, "{found:?}");
    }

    #[test]
    fn too_few_resamples_are_refused() {
        let message = auc_interval(&[0.0, 1.0], &[false, true], 10, 0).unwrap_err().to_string();
        assert!(message.contains("found 10, wanted 40 to"), "{message}");
    }
}
