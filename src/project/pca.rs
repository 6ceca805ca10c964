//! Principal component analysis.

use super::eigen::{Spectrum, covariance_spectrum};
use crate::latent::{check_points, check_points_of};
use crate::{Error, Result};
use ndarray::{Array1, Array2, Axis};

/// The first principal components of some points.
///
/// # Example
/// ```
/// use diabolo::project::Pca;
/// let points = diabolo::ndarray::array![[0.0_f32, 0.0], [3.0, 4.0], [6.0, 8.0]];
/// let pca = Pca::fit(&points, 1)?;
/// assert!((pca.components[[0, 0]] - 0.6).abs() < 1e-6 && (pca.components[[0, 1]] - 0.8).abs() < 1e-6);
/// assert!((pca.explained_variance[0] - 25.0).abs() < 1e-4);
/// assert!((pca.explained_variance_ratio[0] - 1.0).abs() < 1e-6);
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Pca {
    /// The points' mean, `[d]`.
    pub mean: Array1<f32>,
    /// Orthonormal directions, `[n_components, d]`, by decreasing variance. The largest entry of each is positive, so that
    /// the signs are determined.
    pub components: Array2<f32>,
    /// Variance of the points in each direction, with n - 1 in the denominator.
    pub explained_variance: Vec<f64>,
    /// The same as a share of the variance in all directions, 0..=1.
    pub explained_variance_ratio: Vec<f64>,
}

impl Pca {
    /// Finds the first `n_components` principal components of points `[n, d]`.
    ///
    /// # Errors
    /// [`Error::Setting`] for no component, for d or more: nothing would be left to measure, and for n or more: n points
    /// differ in n - 1 directions at most. [`Error::Data`] for fewer than three points, points that are all alike, or values
    /// that are not finite. [`Error::Interrupted`].
    ///
    /// # Source
    /// Pearson, "On lines and planes of closest fit to systems of points in space", 1901; report, question 2.
    ///
    /// # Example
    /// ```
    /// use diabolo::project::Pca;
    /// let points = diabolo::ndarray::array![[0.0_f32, 0.0], [1.0, 1.0], [2.0, 2.1]];
    /// assert!(Pca::fit(&points, 1)?.explained_variance_ratio[0] > 0.99);
    /// assert!(Pca::fit(&points, 2).is_err());
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn fit(points: &Array2<f32>, n_components: usize) -> Result<Self> {
        let doing = "finding principal components";
        let (n, d) = points.dim();
        if n < 3 {
            return Err(Error::data(doing, format!("{n} points"), "3 or more", "encode more images"));
        }
        if n_components == 0 || n_components >= d {
            let wanted = format!("1 to {}, fewer than the {d} values of a point", d.saturating_sub(1));
            let next_step = "take fewer components, or a network with a longer code";
            return Err(Error::setting("n_components", n_components.to_string(), wanted, next_step));
        }
        if n_components >= n {
            let wanted = format!("1 to {}, fewer than the {n} points", n - 1);
            let next_step = "take fewer components, or more images";
            return Err(Error::setting("n_components", n_components.to_string(), wanted, next_step));
        }
        check_points(doing, points)?;
        let Spectrum { mean, variances, vectors, total_variance } = covariance_spectrum(points, n_components, doing)?;
        if total_variance <= 0.0 {
            let next_step = "look at the model's history: a network that learnt nothing gives every image one code";
            return Err(Error::data(doing, "points that are all alike", "points that differ", next_step));
        }
        let mut components = vectors.mapv(|value| value as f32);
        for mut component in components.rows_mut() {
            let largest = component.iter().copied().fold(0.0f32, |a, b| if b.abs() > a.abs() { b } else { a });
            if largest < 0.0 {
                component.mapv_inplace(|value| -value);
            }
        }
        let explained_variance_ratio = variances.iter().map(|variance| variance / total_variance).collect();
        Ok(Self { mean, components, explained_variance: variances, explained_variance_ratio })
    }

    /// The coordinates of points along the components, `[n, n_components]`.
    ///
    /// # Errors
    /// [`Error::Data`] for points of another number of values.
    ///
    /// # Example
    /// ```
    /// use diabolo::project::Pca;
    /// let points = diabolo::ndarray::array![[0.0_f32, 0.0], [3.0, 4.0], [6.0, 8.0]];
    /// let along = Pca::fit(&points, 1)?.transform(&points)?;
    /// assert!((along[[0, 0]] + 5.0).abs() < 1e-5 && (along[[2, 0]] - 5.0).abs() < 1e-5);
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn transform(&self, points: &Array2<f32>) -> Result<Array2<f32>> {
        Ok(self.centred(points)?.dot(&self.components.t()))
    }

    /// L2 norm of the difference between each point `[n, d]` and its projection onto the components; higher is more anomalous.
    ///
    /// # Errors
    /// [`Error::Data`] for points of another number of values.
    ///
    /// # Example
    /// ```
    /// use diabolo::project::Pca;
    /// use diabolo::ndarray::array;
    /// let pca = Pca::fit(&array![[0.0_f32, 0.0], [1.0, 0.0], [2.0, 0.0]], 1)?;
    /// let distances = pca.distances(&array![[9.0, 0.0], [1.0, 3.0]])?;
    /// assert!(distances[0].abs() < 1e-5 && (distances[1] - 3.0).abs() < 1e-5);
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn distances(&self, points: &Array2<f32>) -> Result<Vec<f64>> {
        let mut distances = Vec::with_capacity(points.nrows());
        // In blocks: what is left of all points at once would take as much memory as they do.
        for block in points.axis_chunks_iter(Axis(0), 4096) {
            crate::interrupt::check("measuring PCA distances")?;
            let centred = self.centred(&block.to_owned())?;
            let kept = centred.dot(&self.components.t()).dot(&self.components);
            let rows = (centred - kept)
                .map_axis(Axis(1), |row| row.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt());
            distances.extend(rows);
        }
        Ok(distances)
    }

    fn centred(&self, points: &Array2<f32>) -> Result<Array2<f32>> {
        check_points_of("projecting points", points, self.mean.len())?;
        Ok(points - &self.mean)
    }
}
