//! Nearest neighbours.

use crate::latent::{check_points, check_points_of, mean};
use crate::{Error, Result, interrupt};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};
use rayon::prelude::*;

const DOING: &str = "looking for neighbours";
/// Queries of a block, which needs their distances to all points in memory.
const BLOCK: usize = 64;

/// Points among which neighbours are searched.
///
/// # Example
/// ```
/// use diabolo::ndarray::array;
/// use diabolo::neighbours::Nearest;
/// let nearest = Nearest::new(&array![[0.0_f32], [1.0], [5.0]])?;
/// assert_eq!(nearest.distances(&array![[6.0]], 1)?, [1.0]);
/// assert_eq!(nearest.distances(&array![[6.0]], 2)?, [5.0]);
/// assert_eq!(nearest.distances_between_points(1)?, [1.0, 1.0, 4.0]);
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Nearest {
    points: Array2<f32>,
    mean: Array1<f32>,
}

impl Nearest {
    /// Takes the points `[n, d]`.
    ///
    /// # Errors
    /// [`Error::Data`] for no points, values that are not finite, and ones whose squares leave single precision.
    pub fn new(points: &Array2<f32>) -> Result<Self> {
        check_points(DOING, points)?;
        Ok(Self { mean: mean(points), points: points.clone() })
    }

    /// Euclidean distance of each query `[n, d]` to its k-th nearest point; higher is more anomalous.
    ///
    /// A query that is one of the points is its own nearest; [`Nearest::distances_between_points`] leaves it out. Time
    /// grows with queries times points.
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
    /// assert_eq!(nearest.distances(&array![[2.0], [9.0]], 1)?, [1.0, 4.0]);
    /// assert_eq!(nearest.distances(&points, 1)?, [0.0; 3], "each point is its own neighbour");
    /// assert!(nearest.distances(&points, 4).is_err());
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn distances(&self, queries: &Array2<f32>, k: usize) -> Result<Vec<f64>> {
        self.search(queries, k, Among::AllPoints, |neighbours| neighbours[k - 1].1)
    }

    /// Euclidean distance of each point to its k-th nearest other point; higher is more anomalous.
    ///
    /// # Errors
    /// [`Error::Setting`] for k = 0 or more than there are other points; [`Error::Interrupted`].
    ///
    /// # Example
    /// ```
    /// use diabolo::ndarray::array;
    /// use diabolo::neighbours::Nearest;
    /// let nearest = Nearest::new(&array![[0.0_f32], [1.0], [5.0]])?;
    /// assert_eq!(nearest.distances_between_points(2)?, [5.0, 4.0, 5.0]);
    /// assert!(nearest.distances_between_points(3).is_err());
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn distances_between_points(&self, k: usize) -> Result<Vec<f64>> {
        self.neighbours_of_points(k, |neighbours| neighbours[k - 1].1)
    }

    /// What `of` makes of the k nearest other points of each point: their rows and distances, nearest first, of equally
    /// near ones the lower row first.
    pub(crate) fn neighbours_of_points<T: Send>(
        &self,
        k: usize,
        of: impl Fn(&[(u32, f64)]) -> T + Sync,
    ) -> Result<Vec<T>> {
        self.search(&self.points, k, Among::OtherPoints, of)
    }

    fn search<T: Send>(
        &self,
        queries: &Array2<f32>,
        k: usize,
        among: Among,
        of: impl Fn(&[(u32, f64)]) -> T + Sync,
    ) -> Result<Vec<T>> {
        let (n, d) = self.points.dim();
        check_points_of(DOING, queries, d)?;
        let most = if among == Among::OtherPoints { n - 1 } else { n };
        if !(1..=most).contains(&k) {
            let wanted = format!("1 to {most}, the number of points that can be neighbours");
            return Err(Error::setting("k", k.to_string(), wanted, "5 is usual"));
        }
        // A matrix product gives all squared distances, less what rounding takes: squares of large numbers drown small
        // distances, so points are centred first, and what is left of the error is bounded for each pair.
        let centred = &self.points - &self.mean;
        let squared_norms = centred.map_axis(Axis(1), |row| row.dot(&row));
        let norms = squared_norms.mapv(f32::sqrt);
        let rounding = (d + 8) as f32 * f32::EPSILON;
        let of_block = |(block, queries): (usize, ArrayView2<f32>)| -> Result<Vec<T>> {
            interrupt::check(DOING)?;
            let centred_queries = &queries - &self.mean;
            let products = centred_queries.dot(&centred.t());
            let mut highest: Vec<f32> = Vec::with_capacity(n);
            let of_query = |(row, query): (usize, ArrayView1<f32>)| {
                let itself = if among == Among::OtherPoints { Some(block * BLOCK + row) } else { None };
                let query_norm = centred_queries.row(row).dot(&centred_queries.row(row)).sqrt();
                // |x - y|^2 - |x|^2 = |y|^2 - 2 x y, and the most by which it may be wrong.
                let of_point = |((xy, yy), norm): ((&f32, &f32), &f32)| {
                    (yy - 2.0 * xy, rounding * (query_norm + norm) * (query_norm + norm))
                };
                let bounds = || products.row(row).into_iter().zip(&squared_norms).zip(&norms).map(of_point).enumerate();
                let others = || bounds().filter(move |(index, _)| Some(*index) != itself);
                // The k nearest are at most as far as this; whatever may be as near is measured exactly.
                highest.clear();
                highest.extend(others().map(|(_, (square, error))| square + error));
                let (_, farthest, _) = highest.select_nth_unstable_by(k - 1, f32::total_cmp);
                let distance = |(index, _): (usize, (f32, f32))| {
                    let point = self.points.row(index);
                    let square: f64 =
                        query.iter().zip(point).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
                    (index as u32, square.sqrt())
                };
                let may_be_near = |(_, (square, error)): &(usize, (f32, f32))| square - error <= *farthest;
                let mut nearest: Vec<(u32, f64)> = others().filter(may_be_near).map(distance).collect();
                nearest.sort_unstable_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
                of(&nearest[..k])
            };
            Ok(queries.rows().into_iter().enumerate().map(of_query).collect())
        };
        let blocks: Vec<(usize, ArrayView2<f32>)> = queries.axis_chunks_iter(Axis(0), BLOCK).enumerate().collect();
        let found = blocks.into_par_iter().map(of_block).collect::<Result<Vec<_>>>()?;
        Ok(found.into_iter().flatten().collect())
    }
}

/// Which points can be a query's neighbours.
#[derive(Clone, Copy, PartialEq)]
enum Among {
    AllPoints,
    /// The queries are the points, and none is its own neighbour.
    OtherPoints,
}

/// Share of each point's k nearest neighbours that are still among its k nearest in a map, mean over all points: 0..=1,
/// higher is better.
///
/// # Shapes and units
/// - `points`: `[n, d]`; `map`: `[n, 2]`
///
/// # Errors
/// As [`Nearest::distances_between_points`]; [`Error::Data`] for a map of another number of points.
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
        Nearest::new(points)?.neighbours_of_points(k, |near| near.iter().map(|(row, _)| *row).collect::<Vec<_>>())
    };
    let (before, after) = (rows(points)?, rows(map)?);
    let kept = |(before, after): (&Vec<u32>, &Vec<u32>)| before.iter().filter(|row| after.contains(row)).count();
    let n_kept: usize = before.iter().zip(&after).map(kept).sum();
    Ok(n_kept as f64 / (k * points.nrows()) as f64)
}
