//! Random projection: wide points made narrow in no time, with distances roughly kept.

use crate::latent::{Latents, check_points};
use crate::{Error, Result};
use linfa::DatasetBase;
use linfa::traits::{Fit, Transformer};
use linfa_reduction::random_projection::GaussianRandomProjection;
use ndarray::Array2;
use rand_xoshiro_06::Xoshiro256Plus;
use rand_xoshiro_06::rand_core::SeedableRng;

const DOING: &str = "projecting points at random";

/// A projection onto random directions. It follows from the seed and the two numbers of values, so that codes of training
/// and of test images, projected each on its own, can be compared.
///
/// Distances change by about `1 / sqrt(2 n_values)`, whatever the points: by 10 % for 50 values. What is near stays near,
/// and the nearest neighbour often becomes the second or third. PCA keeps more with as many values, and takes longer.
///
/// # Source
/// Johnson and Lindenstrauss, "Extensions of Lipschitz mappings into a Hilbert space", 1984; the matrix is
/// linfa-reduction's.
///
/// # Example
/// ```
/// use diabolo::project::RandomProjection;
/// let points = diabolo::ndarray::Array2::from_shape_fn((20, 400), |(n, d)| ((n * 37 + d * d) % 101) as f32);
/// let narrow = RandomProjection::new(50).transform(&points)?;
/// assert_eq!(narrow.dim(), (20, 50));
/// assert_ne!(narrow, RandomProjection::new(50).seed(7).transform(&points)?);
/// let distance = |points: &diabolo::ndarray::Array2<f32>| (&points.row(3) - &points.row(9)).mapv(|x| x * x).sum().sqrt();
/// assert!((distance(&narrow) / distance(&points) - 1.0).abs() < 0.4);
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RandomProjection {
    /// Values of a projected point: 1 or more, and fewer than a point has.
    pub n_values: usize,
    /// The directions follow from it. Default 0.
    pub seed: u64,
}

impl RandomProjection {
    /// Onto `n_values` directions.
    pub fn new(n_values: usize) -> Self {
        Self { n_values, seed: 0 }
    }

    /// Sets the seed.
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Projects points `[n, d]`: `[n, n_values]`, with distances that are those of the points on average.
    ///
    /// # Errors
    /// [`Error::Setting`] for no values, or as many as a point has or more; [`Error::Data`] for no points, or values that are
    /// not finite.
    ///
    /// # Example
    /// ```
    /// use diabolo::project::RandomProjection;
    /// let points = diabolo::ndarray::Array2::from_shape_fn((5, 8), |(n, d)| (n * d) as f32);
    /// assert_eq!(RandomProjection::new(3).transform(&points)?, RandomProjection::new(3).transform(&points)?);
    /// assert!(RandomProjection::new(8).transform(&points).is_err());
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn transform(&self, points: &Array2<f32>) -> Result<Array2<f32>> {
        check_points(DOING, points)?;
        let d = points.ncols();
        if !(1..d).contains(&self.n_values) {
            let wanted = format!("1 to {}, fewer than the {d} values of a point", d.saturating_sub(1));
            let next_step = "take fewer, or use the points as they are";
            return Err(Error::setting("n_values", self.n_values.to_string(), wanted, next_step));
        }
        let projection = GaussianRandomProjection::<f32>::params_with_rng(Xoshiro256Plus::seed_from_u64(self.seed))
            .target_dim(self.n_values)
            .fit(&DatasetBase::from(points.view()))
            .map_err(|error| Error::data(DOING, error.to_string(), "points that can be projected", "report this"))?;
        // linfa's directions have a mean length of 1, which makes distances smaller by the root of the share of values.
        let scale = (d as f32 / self.n_values as f32).sqrt();
        Ok(projection.transform(points) * scale)
    }
}

impl Latents {
    /// The codes projected onto `n_values` random directions, always the same ones: for t-SNE, neighbours and K-means of
    /// codes of hundreds of values. [`RandomProjection`] says what that costs.
    ///
    /// # Errors
    /// As [`RandomProjection::transform`].
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// let codes = model.encode(data.test())?.random_projection(2)?;
    /// assert_eq!(codes.values.dim(), (48, 2));
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn random_projection(&self, n_values: usize) -> Result<Self> {
        Ok(Self { name: self.name.clone(), values: RandomProjection::new(n_values).transform(&self.values)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, Axis};

    #[test]
    fn distances_are_kept_as_well_as_theory_says() {
        let points = Array2::from_shape_fn((60, 600), |(n, d)| (((n + 1) * (d + 3) * 7919) % 1000) as f32 / 1000.0);
        let narrow = RandomProjection::new(50).transform(&points).unwrap();
        let distance = |points: &Array2<f32>, a: usize, b: usize| {
            (&points.index_axis(Axis(0), a) - &points.index_axis(Axis(0), b)).mapv(|x| x * x).sum().sqrt()
        };
        let pairs = (0..60).flat_map(|a| (0..a).map(move |b| (a, b)));
        let ratios: Vec<f32> = pairs.map(|(a, b)| distance(&narrow, a, b) / distance(&points, a, b)).collect();
        let mean = ratios.iter().sum::<f32>() / ratios.len() as f32;
        let deviation = (ratios.iter().map(|ratio| (ratio - mean).powi(2)).sum::<f32>() / ratios.len() as f32).sqrt();
        assert!((mean - 1.0).abs() < 0.05, "{mean}");
        assert!((0.05..0.15).contains(&deviation), "{deviation}, and theory says 1 / sqrt(2 * 50) = 0.1");
    }

    #[test]
    fn another_seed_gives_other_directions() {
        let points = Array2::from_shape_fn((4, 9), |(n, d)| (n + d) as f32);
        let of_seed = |seed| RandomProjection::new(3).seed(seed).transform(&points).unwrap();
        assert_ne!(of_seed(0), of_seed(1));
    }
}
