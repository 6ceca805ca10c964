//! Diffusion maps: points in the plane by how fast a random walk between near points mixes them.

use super::Pca;
use crate::latent::check_points;
use crate::{Error, Result, interrupt, memory};
use linfa::traits::Transformer;
use linfa_kernel::{Kernel, KernelMethod};
use ndarray::{Array1, Array2, Axis};
use std::panic::{AssertUnwindSafe, catch_unwind};

const DOING: &str = "mapping points by diffusion";
/// Below this linfa takes another way, for small matrices, whose matrix is not symmetric.
const FEWEST_POINTS: usize = 11;
/// Points of more values are reduced to this many principal components first, as for t-SNE.
const MOST_VALUES: usize = 50;
/// The scale of the kernel is a median over about this many pairs.
const N_PAIRS: usize = 100_000;
/// Relative residual from which on a direction is not an eigenvector: linfa's iteration ends after 200 steps and says
/// nothing.
const LARGEST_RESIDUAL: f64 = 1e-2;

/// The settings of a diffusion map. A random walk steps from point to point, more often to near ones, by a Gaussian kernel
/// whose scale is the median squared distance; points between which it goes quickly lie together in the map.
///
/// # Source
/// Coifman and Lafon, "Diffusion maps", 2006; computed by linfa-reduction.
///
/// # Example
/// ```
/// use diabolo::project::DiffusionMap;
/// let two_groups = |n: usize, d: usize| (n % 2) as f32 * 30.0 + ((n * 7 + d * 3) % 10) as f32;
/// let points = diabolo::ndarray::Array2::from_shape_fn((40, 5), |(n, d)| two_groups(n, d));
/// let map = DiffusionMap::default().fit(&points)?;
/// assert_eq!(map.dim(), (40, 2));
/// assert!((0..40).all(|n| (map[[n, 0]] > 0.0) == (map[[n % 2, 0]] > 0.0)), "the first direction parts the two");
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiffusionMap {
    /// Steps of the walk, 1 or more: many bring out the coarsest groups. Default 1.
    pub n_steps: usize,
}

impl Default for DiffusionMap {
    fn default() -> Self {
        Self { n_steps: 1 }
    }
}

impl DiffusionMap {
    /// Maps points `[n, d]` to the plane, `[n, 2]`. Those of more than 50 values are reduced to 50 principal components
    /// first. Takes time and memory in proportion to the square of n: 8 bytes for each pair.
    ///
    /// # Errors
    /// [`Error::Setting`] for no step; [`Error::Data`] for fewer than 11 points, points that are all alike, values that are
    /// not finite, or where the eigenvectors are not found; [`Error::Interrupted`].
    ///
    /// # Example
    /// ```
    /// use diabolo::project::DiffusionMap;
    /// let points = diabolo::ndarray::Array2::from_shape_fn((30, 3), |(n, d)| (n * n + d) as f32);
    /// let map = DiffusionMap { n_steps: 3 }.fit(&points)?;
    /// assert_eq!(map, DiffusionMap { n_steps: 3 }.fit(&points)?);
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn fit(&self, points: &Array2<f32>) -> Result<Array2<f32>> {
        check_points(DOING, points)?;
        let (n, d) = points.dim();
        if self.n_steps == 0 {
            return Err(Error::setting("n_steps", "0", "1 or more", "1 is usual"));
        }
        if n < FEWEST_POINTS {
            return Err(Error::data(DOING, format!("{n} points"), "11 or more", "map more images"));
        }
        // linfa makes the kernel of a list of all pairs.
        memory::check(DOING, memory::bytes_of(&[n, n, 2 * 8]), "map fewer images, as images.first(2000)?")?;
        let points = match d {
            0..=MOST_VALUES => points.clone(),
            _ => Pca::fit(points, MOST_VALUES.min(n - 1))?.transform(points)?,
        };
        let points = points.mapv(f64::from);
        let scale = median_square_distance(&points);
        if scale <= 0.0 {
            let next_step = "look at the model's history: a network that learnt nothing gives every image one code";
            return Err(Error::data(DOING, "points most of which are alike", "points that differ", next_step));
        }
        let n_steps = self.n_steps;
        interrupt::leave_when_stopped(DOING, move || {
            catch_unwind(AssertUnwindSafe(|| map(&points, scale, n_steps))).ok().flatten()
        })?
        .ok_or_else(|| {
            let next_step = "map other points: fewer, or by pca_map or latent_map";
            Error::data(DOING, "eigenvectors that do not converge", "those of the walk", next_step)
        })
    }
}

/// The map; nothing where what linfa gives are no eigenvectors of the walk.
fn map(points: &Array2<f64>, scale: f64, n_steps: usize) -> Option<Array2<f32>> {
    let kernel = Kernel::params().method(KernelMethod::Gaussian(scale)).transform(points);
    let found = linfa_reduction::DiffusionMap::<f64>::params(2).steps(n_steps).transform(&kernel).ok()?;
    let mut map = found.embedding().clone();
    let from_each = kernel.sum();
    let walked = kernel.dot(&map.view()) / from_each.insert_axis(Axis(1));
    for ((mut column, walked), value) in map.columns_mut().into_iter().zip(walked.columns()).zip(found.eigvals()) {
        let length = |column: &Array1<f64>| column.dot(column).sqrt();
        let residual = length(&(&walked - &(&column * *value)));
        if residual.is_nan() || residual > LARGEST_RESIDUAL * value.abs() * length(&column.to_owned()) {
            return None;
        }
        // An eigenvector has no sign; the largest entry is made positive, as in `Pca`.
        let largest = column.iter().copied().fold(0.0f64, |a, b| if b.abs() > a.abs() { b } else { a });
        if largest < 0.0 {
            column.mapv_inplace(|value| -value);
        }
    }
    let map = map.mapv(|value| value as f32);
    map.iter().all(|value| value.is_finite()).then_some(map)
}

/// The median of the squared distances of pairs of points, evenly chosen.
fn median_square_distance(points: &Array2<f64>) -> f64 {
    let n = points.nrows();
    let n_shifts = (N_PAIRS / n).clamp(1, n - 1);
    let distance = |(a, shift): (usize, usize)| {
        let b = (a + 1 + shift * (n - 1) / n_shifts) % n;
        let difference = &points.row(a) - &points.row(b);
        difference.dot(&difference)
    };
    let pairs = (0..n).flat_map(|a| (0..n_shifts).map(move |shift| (a, shift)));
    let mut squares: Vec<f64> = pairs.map(distance).collect();
    let middle = squares.len() / 2;
    *squares.select_nth_unstable_by(middle, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Kind, Tensor};

    /// The same by a dense eigendecomposition of the walk's symmetric matrix.
    fn by_libtorch(points: &Array2<f64>, scale: f64) -> Array2<f64> {
        let n = points.nrows();
        let kernel = Array2::from_shape_fn((n, n), |(a, b)| {
            let difference = &points.row(a) - &points.row(b);
            (-difference.dot(&difference) / scale).exp()
        });
        let root = kernel.sum_axis(Axis(1)).mapv(|sum| 1.0 / sum.sqrt());
        let symmetric: Vec<f64> = kernel.indexed_iter().map(|((a, b), value)| value * root[a] * root[b]).collect();
        let (values, vectors) = Tensor::from_slice(&symmetric).view([n as i64, n as i64]).f_linalg_eigh("L").unwrap();
        assert_eq!(values.kind(), Kind::Double);
        Array2::from_shape_fn((n, 2), |(row, column)| {
            let at = n as i64 - 2 - column as i64;
            vectors.double_value(&[row as i64, at]) * root[row] * values.double_value(&[at])
        })
    }

    #[test]
    fn the_map_is_that_of_a_dense_eigendecomposition() {
        for (n, d) in [(12, 2), (60, 3), (300, 8)] {
            let value = |(n, d): (usize, usize)| (((n + 1) * (d + 2) * 7919) % 997) as f32 / 300.0 + (n % 3) as f32;
            let points = Array2::from_shape_fn((n, d), value);
            let found = DiffusionMap::default().fit(&points).unwrap();
            let points = points.mapv(f64::from);
            let wanted = by_libtorch(&points, median_square_distance(&points));
            for (found, wanted) in found.columns().into_iter().zip(wanted.columns()) {
                let found = found.mapv(f64::from);
                let cosine = found.dot(&wanted) / (found.dot(&found) * wanted.dot(&wanted)).sqrt();
                assert!((cosine.abs() - 1.0).abs() < 1e-4, "{n} x {d}: {cosine}");
                let ratio = (found.dot(&found) / wanted.dot(&wanted)).sqrt();
                assert!((ratio - 1.0).abs() < 1e-3, "{n} x {d}: {ratio}");
            }
        }
    }

    #[test]
    fn what_cannot_be_mapped_is_refused() {
        let refused = |map: DiffusionMap, points: Array2<f32>| map.fit(&points).unwrap_err().to_string();
        assert!(refused(DiffusionMap::default(), Array2::zeros((5, 3))).contains("11 or more"));
        assert!(refused(DiffusionMap::default(), Array2::ones((50, 3))).contains("alike"));
        assert!(refused(DiffusionMap { n_steps: 0 }, Array2::ones((50, 3))).contains("n_steps"));
        assert!(refused(DiffusionMap::default(), Array2::from_elem((50, 3), f32::NAN)).contains("not finite"));
    }
}
