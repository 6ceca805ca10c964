//! Mean, spread and interval of a few measurements, as of one training repeated with several seeds.

use super::Interval;
use crate::{Error, Result};
use puruspe::invbetai;

/// Mean of some measurements, how far they spread, and an interval for the mean of endlessly many.
///
/// # Example
/// ```
/// use diabolo::metrics::{MeanOfValues, mean_of_values};
/// let MeanOfValues { n, mean, deviation, interval } = mean_of_values(&[0.61, 0.58, 0.60])?;
/// println!("{mean:.3}, standard deviation {:.3}", deviation.unwrap());
/// assert!(n == 3 && interval.unwrap().low < mean);
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeanOfValues {
    /// How many values.
    pub n: usize,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation, with n - 1; `None` of a single value.
    pub deviation: Option<f64>,
    /// The mean with its 95 % interval by Student's t distribution; `None` of a single value.
    pub interval: Option<Interval>,
}

/// Measures mean, spread and interval. The interval takes the values as independent draws from a normal distribution; of two
/// or three it is wide, as so few deserve: with two values, more than twelve standard errors to either side.
///
/// # Errors
/// [`Error::Data`] for no values, and ones that are not finite.
///
/// # Source
/// Student, "The probable error of a mean", 1908.
///
/// # Example
/// ```
/// use diabolo::metrics::mean_of_values;
/// // As scipy.stats.t.interval(0.95, 2, 0.6, 0.02 / 3 ** 0.5) says.
/// let interval = mean_of_values(&[0.58, 0.60, 0.62])?.interval.unwrap();
/// assert!((interval.low - 0.5503172).abs() < 1e-7 && (interval.high - 0.6496828).abs() < 1e-7);
/// assert_eq!(mean_of_values(&[0.6])?.interval, None);
/// assert!(mean_of_values(&[]).is_err());
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn mean_of_values(values: &[f64]) -> Result<MeanOfValues> {
    let n = values.len();
    if n == 0 || !values.iter().all(|value| value.is_finite()) {
        let n_finite = values.iter().filter(|value| value.is_finite()).count();
        let found = format!("{n_finite} finite values of {n}");
        return Err(Error::data("taking a mean", found, "one or more, all finite", "leave out those that are missing"));
    }
    let mean = values.iter().sum::<f64>() / n as f64;
    if n == 1 {
        return Ok(MeanOfValues { n, mean, deviation: None, interval: None });
    }
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let deviation = (squares / (n - 1) as f64).sqrt();
    let half_width = quantile_975(n - 1) * deviation / (n as f64).sqrt();
    let interval = Interval { value: mean, low: mean - half_width, high: mean + half_width };
    Ok(MeanOfValues { n, mean, deviation: Some(deviation), interval: Some(interval) })
}

/// 97.5 % of Student's t distribution lie below it.
fn quantile_975(degrees_of_freedom: usize) -> f64 {
    let n = degrees_of_freedom as f64;
    // Of t, `n / (n + t^2)` has the beta distribution of n / 2 and 1 / 2; both tails have 5 %.
    let share = invbetai(0.05, n / 2.0, 0.5);
    (n * (1.0 - share) / share).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_scipy() {
        // scipy.stats.t.ppf(0.975, degrees_of_freedom)
        let of_scipy = [
            (1, 12.706_204_736_4),
            (2, 4.302_652_729_9),
            (4, 2.776_445_105_2),
            (9, 2.262_157_162_7),
            (99, 1.984_216_951_6),
        ];
        for (degrees_of_freedom, quantile) in of_scipy {
            assert!((quantile_975(degrees_of_freedom) - quantile).abs() < 1e-9, "{degrees_of_freedom}");
        }
    }

    #[test]
    fn equal_values_have_no_spread() {
        let found = mean_of_values(&[0.5; 4]).unwrap();
        assert_eq!(found.deviation, Some(0.0));
        assert_eq!(found.interval, Some(Interval { value: 0.5, low: 0.5, high: 0.5 }));
    }

    #[test]
    fn what_is_not_a_number_is_counted_out() {
        let message = mean_of_values(&[0.5, f64::NAN]).unwrap_err().to_string();
        assert!(message.contains("found 1 finite values of 2, wanted one or more, all finite"), "{message}");
    }
}
