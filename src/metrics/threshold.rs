//! Rules that choose a threshold.

use super::curves::steps;
use super::{check_both_kinds, check_scores};
use crate::{Error, Result};

/// A rule that chooses the score from which on images are called anomalies.
///
/// No rule chooses NaN. An infinite threshold calls nothing an anomaly, so where a rule chooses an infinite score, its
/// threshold is the largest finite number, which calls the images with that score.
///
/// # Example
/// ```
/// use diabolo::metrics::Threshold;
/// let scores = [0.1, 0.2, 0.3, 0.4, 0.5];
/// assert_eq!(Threshold::Contamination(0.4).choose(&scores, None)?, 0.4);
/// assert_eq!(Threshold::Quantile(0.5).choose(&scores, None)?, 0.3);
/// assert_eq!(Threshold::Value(0.25).choose(&scores, None)?, 0.25);
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Threshold {
    /// Predicts this share of the images, 0..=1, to be anomalies; equal scores are treated alike, so it may be more.
    Contamination(f64),
    /// The quantile of the scores, 0..=1, with linear interpolation (Hyndman and Fan's type 7).
    Quantile(f64),
    /// The threshold with the highest F1, anomalies being the positives; of several the highest. Needs labels of both
    /// kinds: normal images alone would be served best by calling everything an anomaly, or nothing.
    BestF1,
    /// A fixed threshold.
    Value(f64),
}

impl Threshold {
    /// The threshold for these scores.
    ///
    /// # Errors
    /// [`Error::Setting`] for a share outside 0..=1 or a value that is not a number; [`Error::Data`] for no scores, ones
    /// that are not numbers, and [`Threshold::BestF1`] without labels of both kinds.
    ///
    /// # Example
    /// ```
    /// use diabolo::metrics::Threshold;
    /// let (scores, anomalies) = ([0.1, 0.2, 0.8, 0.9], [false, false, true, true]);
    /// assert_eq!(Threshold::BestF1.choose(&scores, Some(&anomalies))?, 0.8);
    /// assert!(Threshold::BestF1.choose(&scores, None).is_err());
    /// assert!(Threshold::Quantile(1.5).choose(&scores, None).is_err());
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn choose(&self, scores: &[f64], anomalies: Option<&[bool]>) -> Result<f64> {
        let doing = "choosing a threshold";
        check_scores(doing, scores)?;
        let within = |name, share: f64| match (0.0..=1.0).contains(&share) {
            true => Ok(share),
            false => Err(Error::setting(name, share.to_string(), "0 to 1", "0.2 is one image in five")),
        };
        match *self {
            Self::Value(value) if value.is_nan() => {
                Err(Error::setting("threshold", "NaN", "a number, infinite ones included", "choose one by a rule"))
            }
            Self::Value(value) => Ok(value),
            Self::Contamination(share) => {
                let n_called = (within("contamination", share)? * scores.len() as f64).round() as usize;
                let mut falling = sorted(scores).into_iter().rev();
                Ok(n_called.checked_sub(1).and_then(|last| falling.nth(last)).map_or(f64::INFINITY, reached_by))
            }
            Self::Quantile(share) => {
                let rising = sorted(scores);
                let place = within("quantile", share)? * (rising.len() - 1) as f64;
                let (below, above) = (rising[place.floor() as usize], rising[place.ceil() as usize]);
                Ok(reached_by(between(below, above, place.fract())))
            }
            Self::BestF1 => {
                let Some(anomalies) = anomalies else {
                    let next_step = "hold out classes, or choose by contamination or quantile";
                    return Err(Error::data(doing, "no anomaly labels", "labels", next_step));
                };
                let n_anomalies = check_both_kinds(doing, scores, anomalies)?.n_anomalies;
                let f1 = |n_true: usize, n_called: usize| 2.0 * n_true as f64 / (n_called + n_anomalies) as f64;
                let best = |best: (f64, f64), step: super::curves::Step| {
                    let found = (f1(step.n_true, step.n_true + step.n_false), step.threshold);
                    if found.0 > best.0 { found } else { best }
                };
                Ok(reached_by(steps(scores, anomalies).into_iter().fold((-1.0, f64::INFINITY), best).1))
            }
        }
    }
}

/// A threshold that images with this score reach.
fn reached_by(score: f64) -> f64 {
    score.min(f64::MAX)
}

/// The number at `share`, 0..1, of the way from `below` to `above`, which may be infinite.
fn between(below: f64, above: f64, share: f64) -> f64 {
    let difference = above - below;
    if share == 0.0 || below == above {
        below
    } else if difference.is_finite() {
        below + share * difference
    } else if below == f64::NEG_INFINITY && above == f64::INFINITY {
        // Nothing lies between them.
        if share < 0.5 { below } else { above }
    } else {
        (1.0 - share) * below + share * above
    }
}

fn sorted(scores: &[f64]) -> Vec<f64> {
    let mut rising = scores.to_vec();
    rising.sort_unstable_by(f64::total_cmp);
    rising
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCORES: [f64; 5] = [0.1, 0.5, 0.3, 0.9, 0.7];

    fn choose(rule: Threshold) -> f64 {
        rule.choose(&SCORES, None).unwrap()
    }

    #[test]
    fn contamination_calls_that_many() {
        assert_eq!(choose(Threshold::Contamination(0.4)), 0.7);
        assert_eq!(choose(Threshold::Contamination(1.0)), 0.1);
        assert_eq!(choose(Threshold::Contamination(0.0)), f64::INFINITY);
    }

    #[test]
    fn quantiles_are_those_of_numpy() {
        // numpy.quantile([0.1, 0.5, 0.3, 0.9, 0.7], [0, 0.33, 0.95, 1])
        for (share, expected) in [(0.0, 0.1), (0.33, 0.364), (0.95, 0.86), (1.0, 0.9)] {
            assert!((choose(Threshold::Quantile(share)) - expected).abs() < 1e-12, "{share}");
        }
    }

    #[test]
    fn the_best_f1_is_found_and_of_equal_ones_the_highest_threshold() {
        let best = |anomalies: &[bool]| Threshold::BestF1.choose(&SCORES, Some(anomalies)).unwrap();
        assert_eq!(best(&[false, true, false, true, true]), 0.5);
        // 0.9 alone: precision 1, recall 1/2, F1 2/3; all down to 0.5: precision 2/3, recall 1, F1 4/5.
        assert_eq!(best(&[false, true, false, true, false]), 0.5);
        assert_eq!(best(&[false, false, false, true, false]), 0.9);
    }

    #[test]
    fn normal_images_alone_have_no_best_f1() {
        let message = Threshold::BestF1.choose(&SCORES, Some(&[false; 5])).unwrap_err().to_string();
        assert!(message.contains("0 anomalies and 5 normal images"), "{message}");
        assert!(Threshold::BestF1.choose(&SCORES, None).unwrap_err().to_string().contains("no anomaly labels"));
        assert_eq!(choose(Threshold::Quantile(1.0)), 0.9, "the largest score, never the smallest");
    }

    #[test]
    fn infinite_scores_have_thresholds_that_they_reach() {
        use crate::metrics::{Positive, confusion};
        let (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
        let quantile = |scores: &[f64], share| Threshold::Quantile(share).choose(scores, None).unwrap();
        assert_eq!(quantile(&[low, 0.0], 0.5), low);
        assert_eq!(quantile(&[0.0, high], 0.5), f64::MAX);
        assert_eq!(quantile(&[low, high], 0.25), low);
        assert_eq!(quantile(&[low, high], 0.75), f64::MAX);
        assert_eq!(quantile(&[-1.5e308, 1.5e308], 0.5), 0.0, "their difference is no finite number");

        let (scores, anomalies) = ([0.0, high, 1.0, high], [false, true, false, true]);
        for rule in [Threshold::Contamination(0.5), Threshold::BestF1, Threshold::Quantile(0.9)] {
            let threshold = rule.choose(&scores, Some(&anomalies)).unwrap();
            let counts = confusion(&scores, &anomalies, threshold, Positive::Anomaly).unwrap();
            assert_eq!((counts.true_positives, counts.false_positives), (2, 0), "{rule:?}: {threshold}");
        }
    }

    #[test]
    fn shares_out_of_range_are_errors() {
        for rule in [Threshold::Contamination(1.2), Threshold::Quantile(-0.1), Threshold::Value(f64::NAN)] {
            assert!(rule.choose(&SCORES, None).is_err(), "{rule:?}");
        }
        assert!(Threshold::Quantile(0.5).choose(&[], None).unwrap_err().to_string().contains("no scores"));
    }
}
