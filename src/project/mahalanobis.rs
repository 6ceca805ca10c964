//! How far points lie from their mean, in units of their spread.

use super::eigen::covariance_spectrum;
use crate::latent::{check_points, check_points_of};
use crate::{Error, Result};
use ndarray::{Array1, Array2, ArrayView1, Axis, s};

/// Directions whose variance is below this share of the largest count as ones in which the points do not differ: rounding
/// would decide what is measured there.
const NEGLIGIBLE_VARIANCE: f64 = 1e-10;

/// Mean and spread of some points.
///
/// # Example
/// ```
/// use diabolo::ndarray::array;
/// use diabolo::project::Mahalanobis;
/// // Wide along the first direction, narrow along the second.
/// let points = array![[-10.0_f32, 0.0], [10.0, 0.0], [0.0, -1.0], [0.0, 1.0]];
/// let distances = Mahalanobis::fit(&points)?.distances(&array![[10.0, 0.0], [0.0, 10.0]])?;
/// assert!(distances[1] > 9.0 * distances[0]);
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Mahalanobis {
    mean: Array1<f32>,
    /// Directions divided by the standard deviation in them, `[n_directions, d]`.
    whitening: Array2<f32>,
}

impl Mahalanobis {
    /// Measures mean and covariance of points `[n, d]`. Directions in which they do not differ are left out, as by the
    /// pseudo-inverse of the covariance.
    ///
    /// # Errors
    /// [`Error::Data`] for fewer than three points, points that are all alike, or values that are not finite.
    ///
    /// # Source
    /// Mahalanobis, "On the generalised distance in statistics", 1936.
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
        if points.nrows() < 3 {
            let found = format!("{} points", points.nrows());
            return Err(Error::data(doing, found, "3 or more", "encode more images"));
        }
        let spectrum = covariance_spectrum(points, points.ncols().min(points.nrows() - 1), doing)?;
        let largest = spectrum.variances[0];
        if largest <= 0.0 {
            let next_step = "look at the model's history: a network that learnt nothing gives every image one code";
            return Err(Error::data(doing, "points that are all alike", "points that differ", next_step));
        }
        let n_kept = spectrum.variances.partition_point(|&variance| variance > NEGLIGIBLE_VARIANCE * largest);
        let kept = spectrum.vectors.slice_move(s![..n_kept, ..]);
        let deviations = Array1::from_iter(spectrum.variances[..n_kept].iter().map(|variance| variance.sqrt()));
        let whitening = (kept / deviations.insert_axis(Axis(1))).mapv(|value| value as f32);
        Ok(Self { mean: spectrum.mean, whitening })
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
