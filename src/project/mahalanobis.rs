//! Mahalanobis distances: from the mean, in units of the covariance.

use super::eigen::{Spectrum, covariance_spectrum};
use crate::latent::{check_points, check_points_of};
use crate::{Error, Result};
use ndarray::{Array1, Array2, ArrayView1, Axis};

/// No variance is taken as smaller than this share of the largest: single precision holds no smaller differences.
const SMALLEST_VARIANCE: f64 = 1e-10;

/// Mean and covariance of some points.
///
/// # Example
/// ```
/// use diabolo::ndarray::{Array2, array};
/// use diabolo::project::Mahalanobis;
/// // Wide along the first direction, narrow along the second.
/// let points = Array2::from_shape_fn((400, 2), |(n, axis)| [10.0 * (n as f32).sin(), (1.7 * n as f32).cos()][axis]);
/// let distances = Mahalanobis::fit(&points)?.distances(&array![[10.0, 0.0], [0.0, 10.0]])?;
/// assert!(distances[1] > 8.0 * distances[0]);
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Mahalanobis {
    mean: Array1<f32>,
    /// The whitening matrix, `[d, d]`: the length of a whitened, centred point is its distance.
    whitening: Array2<f32>,
}

impl Mahalanobis {
    /// Measures mean and covariance of points `[n, d]`, the covariance shrunk towards equal variances in all directions as
    /// Ledoit and Wolf have it: little for many points, much where there are hardly more points than values.
    ///
    /// Without shrinkage, as few points as values would all be at the same distance, and a direction in which training
    /// points never differ would count for nothing, although that is where anomalies show.
    ///
    /// # Errors
    /// [`Error::Data`] for fewer than three points, points that are all alike, values that are not finite, and ones whose
    /// squares leave single precision.
    ///
    /// # Source
    /// Mahalanobis, "On the generalised distance in statistics", 1936; Ledoit and Wolf, "A well-conditioned estimator for
    /// large-dimensional covariance matrices", 2004; on codes: Rippel, Mertens and Merhof, "Modeling the distribution of
    /// normal data in pre-trained deep features for anomaly detection", 2021. The distances of scikit-learn's
    /// `LedoitWolf`, whose covariance is divided by n, times `sqrt((n - 1) / n)`.
    ///
    /// # Example
    /// ```
    /// use diabolo::ndarray::array;
    /// use diabolo::project::Mahalanobis;
    /// assert!(Mahalanobis::fit(&array![[0.0_f32], [1.0], [2.0]]).is_ok());
    /// assert!(Mahalanobis::fit(&array![[1.0_f32], [1.0], [1.0]]).is_err());
    /// ```
    pub fn fit(points: &Array2<f32>) -> Result<Self> {
        let doing = "measuring the spread of codes";
        check_points(doing, points)?;
        let (n, d) = points.dim();
        if n < 3 {
            return Err(Error::data(doing, format!("{n} points"), "3 or more", "encode more images"));
        }
        let spectrum = covariance_spectrum(points, d.min(n - 1), doing)?;
        let largest = spectrum.variances[0];
        if largest <= 0.0 {
            let next_step = "look at the model's history: a network that learnt nothing gives every image one code";
            return Err(Error::data(doing, "points that are all alike", "points that differ", next_step));
        }
        let shrinkage = shrinkage(points, &spectrum);
        let mean_variance = spectrum.variances.iter().sum::<f64>() / d as f64;
        let factor = |variance: f64| {
            let shrunk = (1.0 - shrinkage) * variance + shrinkage * mean_variance;
            1.0 / shrunk.max(SMALLEST_VARIANCE * largest).sqrt()
        };
        let mut scaled = spectrum.vectors.clone();
        // With fewer points than values there are directions in which they do not differ, none of them named.
        let elsewhere = if spectrum.variances.len() < d { factor(0.0) } else { 0.0 };
        for (mut vector, &variance) in scaled.rows_mut().into_iter().zip(&spectrum.variances) {
            vector *= factor(variance) - elsewhere;
        }
        let mut whitening = spectrum.vectors.t().dot(&scaled);
        whitening.diag_mut().mapv_inplace(|value| value + elsewhere);
        Ok(Self { mean: spectrum.mean, whitening: whitening.mapv(|value| value as f32) })
    }

    /// Mean and whitening, for saving.
    pub(crate) fn parts(&self) -> (&Array1<f32>, &Array2<f32>) {
        (&self.mean, &self.whitening)
    }

    /// What was saved: as many columns as the mean has values.
    pub(crate) fn of_parts(mean: Array1<f32>, whitening: Array2<f32>) -> Self {
        Self { mean, whitening }
    }

    /// Distance of each point `[n, d]` from the mean, each direction in units of the standard deviation in it; higher is
    /// more anomalous.
    ///
    /// # Errors
    /// [`Error::Data`] for points of another number of values, or with ones that are not finite.
    ///
    /// # Example
    /// ```
    /// use diabolo::ndarray::array;
    /// use diabolo::project::Mahalanobis;
    /// let spread = Mahalanobis::fit(&array![[-1.0_f32], [0.0], [1.0]])?;
    /// let distances = spread.distances(&array![[0.0], [3.0]])?;
    /// assert!(distances[0].abs() < 1e-6 && (distances[1] - 3.0).abs() < 1e-6, "three standard deviations");
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn distances(&self, points: &Array2<f32>) -> Result<Vec<f64>> {
        let doing = "measuring Mahalanobis distances";
        check_points_of(doing, points, self.mean.len())?;
        let whitened = (points - &self.mean).dot(&self.whitening.t());
        let norm = |row: ArrayView1<f32>| row.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
        Ok(whitened.map_axis(Axis(1), norm).to_vec())
    }
}

/// The share of equal variances in the shrunk covariance, 0..=1, from all eigenvalues that are not 0.
fn shrinkage(points: &Array2<f32>, spectrum: &Spectrum) -> f64 {
    let (n, d) = (points.nrows() as f64, points.ncols() as f64);
    // Ledoit and Wolf divide by n.
    let variances = || spectrum.variances.iter().map(|variance| variance * (n - 1.0) / n);
    let mean_variance = variances().sum::<f64>() / d;
    let squares: f64 = variances().map(|variance| variance * variance).sum();
    let fourth_powers = points.rows().into_iter().map(|point| {
        let differences = point.iter().zip(&spectrum.mean).map(|(&value, &mean)| f64::from(value) - f64::from(mean));
        differences.map(|difference| difference * difference).sum::<f64>().powi(2)
    });
    let error = (fourth_powers.sum::<f64>() / n - squares) / (n * d);
    let distance = squares / d - mean_variance * mean_variance;
    if distance <= 0.0 { 0.0 } else { (error / distance).clamp(0.0, 1.0) }
}
