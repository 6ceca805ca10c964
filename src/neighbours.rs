//! Nearest neighbours.

use crate::device::vectors::{LANES, Work, multiply_add, with_vectors};
use crate::latent::{check_points, check_points_of, mean};
use crate::{Error, Result, interrupt};
use ndarray::linalg::general_mat_mul;
use ndarray::{Array1, Array2, ArrayView2, Axis, s};
use rayon::prelude::*;

const DOING: &str = "looking for neighbours";
/// Queries of a block, and points that they are compared with at once: their products stay in a core's own memory.
const BLOCK: usize = 128;
const POINTS: usize = 1024;

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
        let mut squared_norms = centred.map_axis(Axis(1), |row| row.dot(&row)).to_vec();
        squared_norms.resize(n.next_multiple_of(POINTS), 0.0);
        let norms: Vec<f32> = squared_norms.iter().map(|square| square.sqrt()).collect();
        let rounding = (d + 8) as f32 * f32::EPSILON;
        let of_block = |(block, queries): (usize, ArrayView2<f32>)| -> Result<Vec<T>> {
            interrupt::check(DOING)?;
            let centred_queries = &queries - &self.mean;
            let query_norms: Vec<f32> = centred_queries.rows().into_iter().map(|row| row.dot(&row).sqrt()).collect();
            let mut nearest = vec![Candidates { k, farthest: f32::INFINITY, found: Vec::new() }; queries.nrows()];
            let mut products = Array2::zeros((queries.nrows(), POINTS));
            for (part, points) in centred.axis_chunks_iter(Axis(0), POINTS).enumerate() {
                let of_part = s![.., ..points.nrows()];
                general_mat_mul(1.0, &centred_queries, &points.t(), 0.0, &mut products.slice_mut(of_part));
                let first = part * POINTS;
                let [squared_norms, norms] = [&squared_norms, &norms].map(|all| &all[first..first + POINTS]);
                for (row, (candidates, products)) in nearest.iter_mut().zip(products.rows()).enumerate() {
                    with_vectors(Sift {
                        candidates,
                        first,
                        n_points: n,
                        itself: if among == Among::OtherPoints { Some(block * BLOCK + row) } else { None },
                        products: products.to_slice().expect("a row lies in one piece"),
                        squared_norms,
                        norms,
                        query_norm: query_norms[row],
                        rounding,
                    });
                }
            }
            let of_query = |(query, mut candidates): (usize, Candidates)| {
                // Whatever may be as near as the k nearest is measured exactly.
                candidates.sift();
                let query = queries.row(query);
                let distance = |candidate: &Candidate| {
                    let point = self.points.row(candidate.point as usize);
                    let square: f64 =
                        query.iter().zip(point).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
                    (candidate.point, square.sqrt())
                };
                let mut nearest: Vec<(u32, f64)> = candidates.found.iter().map(distance).collect();
                nearest.sort_unstable_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
                of(&nearest[..k])
            };
            Ok(nearest.into_iter().enumerate().map(of_query).collect())
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

/// The points that may be among the k nearest of a query.
#[derive(Clone)]
struct Candidates {
    k: usize,
    /// The k nearest are at most as far as this, less the query's own square.
    farthest: f32,
    found: Vec<Candidate>,
}

/// A point, and its squared distance less the query's own square: at least and at most.
#[derive(Clone, Copy)]
struct Candidate {
    point: u32,
    lowest: f32,
    highest: f32,
}

impl Candidates {
    /// Drops what is farther than k others.
    fn sift(&mut self) {
        let by_highest = |a: &Candidate, b: &Candidate| a.highest.total_cmp(&b.highest);
        let (_, farthest, _) = self.found.select_nth_unstable_by(self.k - 1, by_highest);
        self.farthest = farthest.highest;
        self.found.retain(|candidate| candidate.lowest <= self.farthest);
    }
}

/// Points from `first` on that are compared with one query.
struct Sift<'a> {
    candidates: &'a mut Candidates,
    first: usize,
    /// What is beyond the last point fills groups up.
    n_points: usize,
    /// The query among the points.
    itself: Option<usize>,
    products: &'a [f32],
    squared_norms: &'a [f32],
    norms: &'a [f32],
    query_norm: f32,
    /// The most by which a square may be wrong, in squares of the sum of both norms.
    rounding: f32,
}

impl Work for Sift<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let [products, squares, norms] = [self.products, self.squared_norms, self.norms].map(|all| all.as_chunks().0);
        let mut points = self.first;
        for ((products, squares), norms) in products.iter().zip(squares).zip(norms) {
            let [lowest, highest] = bounds::<FUSED>(products, squares, norms, self.query_norm, self.rounding);
            let farthest = self.candidates.farthest;
            // Few points are near, and so sixteen are looked at together.
            if lowest.iter().fold(false, |any, lowest| any | (*lowest <= farthest)) {
                for lane in 0..LANES {
                    let point = points + lane;
                    if lowest[lane] <= farthest && point < self.n_points && Some(point) != self.itself {
                        let (lowest, highest) = (lowest[lane], highest[lane]);
                        self.candidates.found.push(Candidate { point: point as u32, lowest, highest });
                    }
                }
                if self.candidates.found.len() >= 2 * self.candidates.k + 256 {
                    self.candidates.sift();
                }
            }
            points += LANES;
        }
    }
}

/// The squared distances of sixteen points less the query's own square: at least and at most.
#[inline(always)]
fn bounds<const FUSED: bool>(
    products: &[f32; LANES],
    squares: &[f32; LANES],
    norms: &[f32; LANES],
    query_norm: f32,
    rounding: f32,
) -> [[f32; LANES]; 2] {
    let mut bounds = [[0.0; LANES]; 2];
    for lane in 0..LANES {
        // |x - y|^2 - |x|^2 = |y|^2 - 2 x y, and the most by which it may be wrong.
        let square = multiply_add::<FUSED>(-2.0, products[lane], squares[lane]);
        let error = rounding * (query_norm + norms[lane]) * (query_norm + norms[lane]);
        bounds[0][lane] = square - error;
        bounds[1][lane] = square + error;
    }
    bounds
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
