//! Nearest neighbours among codes.

use crate::latent::{check_points, check_points_of, mean};
use crate::{Error, Result, interrupt};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};
use rayon::prelude::*;

const DOING: &str = "looking for neighbours";
/// Queries of a block, which needs their distances to all points in memory.
const BLOCK: usize = 64;

/// Points among which neighbours are sought.
///
/// # Example
/// ```
/// use diabolo::ndarray::array;
/// use diabolo::neighbours::Nearest;
/// let nearest = Nearest::new(&array![[0.0_f32], [1.0], [5.0]])?;
/// assert_eq!(nearest.distances(&array![[6.0]], 1, false)?, [1.0]);
/// assert_eq!(nearest.distances(&array![[6.0]], 2, false)?, [5.0]);
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Nearest {
    mean: Array1<f32>,
    /// Less their mean: squares of large numbers would drown small distances.
    points: Array2<f32>,
    squared_norms: Array1<f32>,
}

impl Nearest {
    /// Takes the points `[n, d]`.
    ///
    /// # Errors
    /// [`Error::Data`] for no points, or values that are not finite.
    pub fn new(points: &Array2<f32>) -> Result<Self> {
        check_points(DOING, points)?;
        let mean = mean(points);
        let points = points - &mean;
        Ok(Self { squared_norms: points.map_axis(Axis(1), |row| row.dot(&row)), points, mean })
    }

    /// Distance of each query `[n, d]` to its k-th nearest point; higher is more anomalous.
    ///
    /// Time grows with queries times points. `exclude_itself` says that query i is point i, which is then no neighbour.
    ///
    /// # Errors
    /// [`Error::Setting`] for k = 0 or more than there are points; [`Error::Data`] for queries of another number of
    /// values, or with ones that are not finite; [`Error::Interrupted`].
    ///
    /// # Source
    /// Ramaswamy, Rastogi and Shim, "Efficient algorithms for mining outliers from large data sets", 2000.
    ///
    /// # Example
    /// ```
    /// use diabolo::ndarray::array;
    /// use diabolo::neighbours::Nearest;
    /// let points = array![[0.0_f32], [1.0], [5.0]];
    /// let nearest = Nearest::new(&points)?;
    /// assert_eq!(nearest.distances(&points, 1, true)?, [1.0, 1.0, 4.0]);
    /// assert_eq!(nearest.distances(&points, 1, false)?, [0.0; 3], "each point is its own neighbour");
    /// assert!(nearest.distances(&points, 3, true).is_err());
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn distances(&self, queries: &Array2<f32>, k: usize, exclude_itself: bool) -> Result<Vec<f64>> {
        self.neighbours(queries, k, exclude_itself, |neighbours| neighbours[k - 1].1)
    }

    /// What `of` makes of the k nearest points of each query: their rows and distances, nearest first, of equally near ones
    /// the lower row first.
    pub(crate) fn neighbours<T: Send>(
        &self,
        queries: &Array2<f32>,
        k: usize,
        exclude_itself: bool,
        of: impl Fn(&[(u32, f64)]) -> T + Sync,
    ) -> Result<Vec<T>> {
        check_points_of(DOING, queries, self.points.ncols())?;
        let most = self.points.nrows() - usize::from(exclude_itself);
        if !(1..=most).contains(&k) {
            let wanted = format!("1 to {most}, the number of points that can be neighbours");
            return Err(Error::setting("k", k.to_string(), wanted, "5 is usual"));
        }
        let of_block = |(block, queries): (usize, ArrayView2<f32>)| -> Result<Vec<T>> {
            interrupt::check(DOING)?;
            let queries = &queries - &self.mean;
            let products = queries.dot(&self.points.t());
            let mut order: Vec<(f32, u32)> = Vec::with_capacity(self.points.nrows());
            let of_query = |(row, query): (usize, ArrayView1<f32>)| {
                // |x - y|^2 - |x|^2 = |y|^2 - 2 x y orders points as their distances do.
                let closeness = products.row(row).into_iter().zip(&self.squared_norms).map(|(xy, yy)| yy - 2.0 * xy);
                order.clear();
                order.extend(closeness.zip(0..));
                if exclude_itself {
                    order.swap_remove(block * BLOCK + row);
                }
                let by_closeness = |a: &(f32, u32), b: &(f32, u32)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
                order.select_nth_unstable_by(k - 1, by_closeness);
                // Again without the cancellation of large numbers.
                let distance = |&(_, index): &(f32, u32)| {
                    let point = self.points.row(index as usize);
                    let square: f64 = query.iter().zip(point).map(|(a, b)| f64::from(a - b).powi(2)).sum();
                    (index, square.sqrt())
                };
                let mut nearest: Vec<(u32, f64)> = order[..k].iter().map(distance).collect();
                nearest.sort_unstable_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
                of(&nearest)
            };
            Ok(queries.rows().into_iter().enumerate().map(of_query).collect())
        };
        let blocks: Vec<(usize, ArrayView2<f32>)> = queries.axis_chunks_iter(Axis(0), BLOCK).enumerate().collect();
        let found = blocks.into_par_iter().map(of_block).collect::<Result<Vec<_>>>()?;
        Ok(found.into_iter().flatten().collect())
    }
}

/// Share of each point's k nearest neighbours that are still among its k nearest in a map, mean over all points: 0..=1,
/// higher is better.
///
/// # Shapes and units
/// - `points`: `[n, d]`; `map`: `[n, 2]`
///
/// # Errors
/// As [`Nearest::distances`]; [`Error::Data`] for a map of another number of points.
///
/// # Source
/// Venna and Kaski, "Neighborhood preservation in nonlinear projection methods", 2001, in its simplest form.
///
/// # Example
/// ```
/// use diabolo::ndarray::array;
/// use diabolo::neighbours::neighbour_preservation;
/// let points = array![[0.0_f32, 0.0, 0.0], [1.0, 0.0, 0.0], [5.0, 0.0, 0.0], [6.0, 0.0, 0.0]];
/// let faithful = array![[0.0_f32, 0.0], [0.1, 0.0], [0.5, 0.0], [0.6, 0.0]];
/// let torn = array![[0.0_f32, 0.0], [0.5, 0.0], [0.1, 0.0], [0.6, 0.0]];
/// assert_eq!(neighbour_preservation(&points, &faithful, 1)?, 1.0);
/// assert_eq!(neighbour_preservation(&points, &torn, 1)?, 0.0);
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn neighbour_preservation(points: &Array2<f32>, map: &Array2<f32>, k: usize) -> Result<f64> {
    if points.nrows() != map.nrows() {
        let found = format!("{} points and a map of {}", points.nrows(), map.nrows());
        return Err(Error::data("comparing neighbours", found, "as many of each", "give the map of these points"));
    }
    let rows = |points: &Array2<f32>| {
        Nearest::new(points)?.neighbours(points, k, true, |near| near.iter().map(|(row, _)| *row).collect::<Vec<_>>())
    };
    let (before, after) = (rows(points)?, rows(map)?);
    let kept = |(before, after): (&Vec<u32>, &Vec<u32>)| before.iter().filter(|row| after.contains(row)).count();
    let n_kept: usize = before.iter().zip(&after).map(kept).sum();
    Ok(n_kept as f64 / (k * points.nrows()) as f64)
}
