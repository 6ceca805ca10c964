//! K-means clustering: centres, and each point's distance to the nearest.
//!
//! Points are processed in blocks of fixed size whose results are added in order, so that no digit depends on the number
//! of threads.

mod together;

use crate::latent::{check_points, check_points_of, mean};
use crate::together::{Together, alone, gather};
use crate::{Error, Result, interrupt};
use ndarray::linalg::general_mat_mul;
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, s};
use rand::{Rng, RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::prelude::*;

/// Points of a block: large enough for a fast matrix product, small enough for a processor's cache.
const BLOCK: usize = 1024;

/// The settings of K-means.
///
/// # Example
/// ```
/// use diabolo::cluster::KMeans;
/// let points = diabolo::ndarray::array![[0.0_f32], [1.0], [10.0], [11.0]];
/// let clusters = KMeans::new(2).fit(&points)?;
/// assert_eq!(clusters.inertia, 1.0);
/// assert!(KMeans::new(5).fit(&points).is_err());
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct KMeans {
    /// Number of centres, 1 or more.
    pub k: usize,
    /// Number of initialisations, of which the best is kept (scikit-learn's `n_init`); 1 or more. Default 10.
    pub n_starts: usize,
    /// Maximum number of iterations of a run. Default 300, as scikit-learn's.
    pub max_iterations: usize,
    /// A run ends when the sum of the centres' squared movements is below this share of the points' mean variance. Default
    /// 1e-4, as scikit-learn's.
    pub tolerance: f64,
    /// Seed of the initial centres. Default 0.
    pub seed: u64,
}

/// Cluster centres, and the points' assignments to them.
///
/// # Example
/// ```
/// use diabolo::cluster::KMeans;
/// let points = diabolo::ndarray::array![[0.0_f32], [1.0], [10.0], [11.0]];
/// let clusters = KMeans::new(2).fit(&points)?;
/// let mut centres = clusters.centres.iter().copied().collect::<Vec<_>>();
/// centres.sort_by(f32::total_cmp);
/// assert_eq!(centres, [0.5, 10.5]);
/// assert_eq!(clusters.assignments[0], clusters.assignments[1]);
/// assert_ne!(clusters.assignments[0], clusters.assignments[2]);
/// assert_eq!(clusters.distances(&points)?, [0.5; 4]);
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Clusters {
    /// `[k, d]`.
    pub centres: Array2<f32>,
    /// Row of `centres` nearest to each point, however the run ended.
    pub assignments: Vec<u32>,
    /// Sum of the points' squared distances to their centres; lower is better.
    pub inertia: f64,
    /// Iterations of the run that was kept.
    pub n_iterations: usize,
}

impl KMeans {
    /// `k` centres with default settings.
    pub fn new(k: usize) -> Self {
        Self { k, n_starts: 10, max_iterations: 300, tolerance: 1e-4, seed: 0 }
    }

    /// Sets the number of initialisations.
    ///
    /// # Example
    /// ```
    /// use diabolo::cluster::KMeans;
    /// let points = diabolo::ndarray::array![[0.0_f32], [1.0], [10.0], [11.0]];
    /// let thorough = KMeans::new(2).starts(50).seed(7);
    /// assert_eq!(thorough.fit(&points)?.inertia, 1.0);
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn starts(self, n_starts: usize) -> Self {
        Self { n_starts, ..self }
    }

    /// Sets the seed.
    ///
    /// # Example
    /// ```
    /// use diabolo::cluster::KMeans;
    /// let points = diabolo::ndarray::array![[0.0_f32], [1.0], [10.0], [11.0]];
    /// assert_eq!(KMeans::new(2).seed(7).fit(&points)?, KMeans::new(2).seed(7).fit(&points)?);
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Clusters points `[n, d]`: the run with the lowest inertia of `n_starts`, each from centres chosen by greedy
    /// k-means++.
    ///
    /// # Errors
    /// [`Error::Setting`] for k = 0, k above n, or no start; [`Error::Data`] for points without values or with ones that
    /// are not finite; [`Error::Interrupted`].
    ///
    /// # Source
    /// Lloyd, "Least squares quantization in PCM", 1982; Arthur and Vassilvitskii, "k-means++", 2007.
    ///
    /// # Example
    /// ```
    /// use diabolo::cluster::KMeans;
    /// let points = diabolo::ndarray::array![[0.0_f32, 0.0], [0.0, 2.0], [9.0, 1.0]];
    /// let clusters = KMeans::new(2).fit(&points)?;
    /// assert_eq!((clusters.centres.dim(), clusters.inertia), ((2, 2), 2.0));
    /// assert!(KMeans::new(0).fit(&points).is_err());
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn fit(&self, points: &Array2<f32>) -> Result<Clusters> {
        let alone = alone();
        let problem = Problem::new(self, points, &*alone)?;
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(self.seed);
        // Drawn one after the other, so that they do not depend on the number of threads.
        let starts =
            (0..self.n_starts).map(|_| problem.starting_centres(&mut generator)).collect::<Result<Vec<_>>>()?;
        // Of equally good ones the first. Only the best so far is kept, since each names a centre for every point.
        let better = |a: Clusters, b: Clusters| Ok(if b.inertia < a.inertia { b } else { a });
        let best = starts.into_par_iter().map(|centres| problem.run(centres)).try_reduce_with(better);
        best.expect("there is at least one start")
    }

    /// Clusters points `[n, d]` from these starting centres `[k, d]`.
    ///
    /// # Errors
    /// As [`KMeans::fit`], and [`Error::Data`] for centres of another shape.
    ///
    /// # Example
    /// ```
    /// use diabolo::cluster::KMeans;
    /// use diabolo::ndarray::array;
    /// let points = array![[0.0_f32], [1.0], [10.0], [11.0]];
    /// let clusters = KMeans::new(2).fit_from(&points, &array![[0.0], [1.0]])?;
    /// assert_eq!((clusters.centres, clusters.assignments), (array![[0.5], [10.5]], vec![0, 0, 1, 1]));
    /// assert!(KMeans::new(2).fit_from(&points, &array![[0.0]]).is_err());
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn fit_from(&self, points: &Array2<f32>, centres: &Array2<f32>) -> Result<Clusters> {
        Problem::new(self, points, &*alone())?.run_from(centres)
    }
}

impl Clusters {
    /// Euclidean distance of each point `[n, d]` to its nearest centre; higher is more anomalous.
    ///
    /// # Errors
    /// [`Error::Data`] for points of another number of values, or with ones that are not finite.
    ///
    /// # Example
    /// ```
    /// use diabolo::cluster::KMeans;
    /// use diabolo::ndarray::array;
    /// let clusters = KMeans::new(1).fit(&array![[0.0_f32, 0.0], [2.0, 0.0]])?;
    /// assert_eq!(clusters.distances(&array![[1.0, 0.0], [4.0, 4.0]])?, [0.0, 5.0]);
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn distances(&self, points: &Array2<f32>) -> Result<Vec<f64>> {
        check_points_of("measuring distances to centres", points, self.centres.ncols())?;
        let nearest = nearest_centres(points.view(), &self.centres);
        let squares = nearest
            .iter()
            .zip(points.rows())
            .map(|(&centre, point)| squared_distance(point, self.centres.row(centre as usize)));
        Ok(squares.map(f64::sqrt).collect())
    }
}

const DOING: &str = "clustering codes";

/// Points to cluster, and the movement of centres below which a run has converged.
struct Problem<'a> {
    settings: &'a KMeans,
    /// Those of this process; mean and movement are of all.
    points: ArrayView2<'a, f32>,
    together: &'a dyn Together,
    mean: Array1<f32>,
    still: f64,
}

impl<'a> Problem<'a> {
    fn new(settings: &'a KMeans, points: &'a Array2<f32>, together: &'a dyn Together) -> Result<Self> {
        let (n_here, d) = points.dim();
        let setting = |name, value: usize, wanted: String, next_step| {
            Err(Error::setting(name, value.to_string(), wanted, next_step))
        };
        check_points(DOING, points)?;
        let n = gather(together, n_here as f64)?.into_iter().sum::<f64>() as usize;
        if settings.k == 0 || settings.k > n {
            return setting("k", settings.k, format!("1 to {n}, the number of points"), "3 and 5 are the report's");
        }
        if settings.n_starts == 0 {
            return setting("n_starts", 0, "1 or more".into(), "10 is usual");
        }
        if settings.max_iterations == 0 {
            return setting("max_iterations", 0, "1 or more".into(), "300 is usual");
        }
        // The product of a float and a whole number is exact, so that one process's mean stays as it is.
        let mut sums = Vec::from_iter(mean(points).iter().map(|&mean| f64::from(mean) * n_here as f64));
        together.sum(&mut sums)?;
        let mean = Array1::from_iter(sums.into_iter().map(|sum| (sum / n as f64) as f32));
        let mut squares = [points.rows().into_iter().map(|row| squared_distance(row, mean.view())).sum()];
        together.sum(&mut squares)?;
        let still = settings.tolerance * squares[0] / (n * d) as f64;
        Ok(Self { settings, points: points.view(), together, mean, still })
    }

    /// Centres far from each other: each is the best of a few points drawn with chances that rise with the squared
    /// distance from those chosen before.
    fn starting_centres(&self, generator: &mut impl Rng) -> Result<Array2<f32>> {
        let (n, d) = self.points.dim();
        let k = self.settings.k;
        // As scikit-learn, after Arthur and Vassilvitskii's remark that several trials help.
        let n_trials = 2 + (k as f64).ln() as usize;
        let mut centres = Array2::zeros((k, d));
        centres.row_mut(0).assign(&self.points.row(generator.random_range(0..n)));
        let norms = self.points.map_axis(Axis(1), |point| squared_distance(point, self.mean.view()) as f32);
        let mut nearest = self.squared_distances(&norms, centres.slice(s![..1, ..])).into_raw_vec_and_offset().0;
        for chosen in 1..k {
            interrupt::check(DOING)?;
            let sums: Vec<f64> = nearest
                .iter()
                .scan(0.0, |sum, &square| {
                    *sum += f64::from(square);
                    Some(*sum)
                })
                .collect();
            let total = sums[n - 1];
            let trials: Vec<usize> = (0..n_trials)
                .map(|_| {
                    let drawn = generator.random::<f64>() * total;
                    sums.partition_point(|&sum| sum <= drawn).min(n - 1)
                })
                .collect();
            let squares = self.squared_distances(&norms, self.points.select(Axis(0), &trials).view());
            let mut potentials = vec![0.0f64; n_trials];
            for (row, &old) in squares.rows().into_iter().zip(&nearest) {
                potentials.iter_mut().zip(row).for_each(|(sum, &new)| *sum += f64::from(new.min(old)));
            }
            let best = (0..n_trials).min_by(|&a, &b| potentials[a].total_cmp(&potentials[b])).expect("some trials");
            nearest.iter_mut().zip(squares.column(best)).for_each(|(old, &new)| *old = old.min(new));
            centres.row_mut(chosen).assign(&self.points.row(trials[best]));
        }
        Ok(centres)
    }

    /// From centres that a user has given.
    fn run_from(&self, centres: &Array2<f32>) -> Result<Clusters> {
        let wanted = (self.settings.k, self.points.ncols());
        if centres.dim() != wanted {
            let found = format!("starting centres of shape {:?}", centres.dim());
            let next_step = "give k centres of as many values as a point has";
            return Err(Error::data(DOING, found, format!("{wanted:?}"), next_step));
        }
        check_points(DOING, centres)?;
        self.run(centres.clone())
    }

    /// Lloyd's iterations: points to their nearest centre, centres to the mean of their points. Processes add up the points
    /// of their clusters.
    fn run(&self, mut centres: Array2<f32>) -> Result<Clusters> {
        let (n, d) = self.points.dim();
        let k = self.settings.k;
        let mut assignments = vec![u32::MAX; n];
        let mut sums = Array2::<f64>::zeros((k, d));
        let mut counts = vec![0.0; k];
        let mut n_iterations = 0;
        let mut is_current = false;
        while n_iterations < self.settings.max_iterations {
            interrupt::check(DOING)?;
            n_iterations += 1;
            let nearest = nearest_centres(self.points, &centres);
            // Only points that changed their cluster change the sums; after some iterations these are few.
            let mut n_changed = 0.0;
            for (index, (old, &new)) in assignments.iter_mut().zip(&nearest).enumerate() {
                if *old == new {
                    continue;
                }
                n_changed += 1.0;
                let point = self.points.row(index);
                if *old != u32::MAX {
                    counts[*old as usize] -= 1.0;
                    add(&mut sums, *old as usize, point, -1.0);
                }
                counts[new as usize] += 1.0;
                add(&mut sums, new as usize, point, 1.0);
                *old = new;
            }
            let mut of_all = [counts.as_slice(), &[n_changed]].concat();
            self.together.sum(&mut of_all)?;
            is_current = of_all.pop() == Some(0.0);
            if is_current {
                break;
            }
            self.fill_empty_clusters(&centres, &mut assignments, &mut sums, &mut counts, &mut of_all)?;
            let mut sums = sums.clone();
            self.together.sum(sums.as_slice_mut().expect("the array is in standard order"))?;
            let mut moved = 0.0;
            for (cluster, mut centre) in centres.rows_mut().into_iter().enumerate() {
                // With as many clusters as there are different points or more, some stay empty where they are.
                if of_all[cluster] == 0.0 {
                    continue;
                }
                for (value, sum) in centre.iter_mut().zip(sums.row(cluster)) {
                    let new = (sum / of_all[cluster]) as f32;
                    moved += f64::from(new - *value).powi(2);
                    *value = new;
                }
            }
            if moved <= self.still {
                break;
            }
        }
        if !is_current {
            // The centres have moved since.
            assignments = nearest_centres(self.points, &centres);
        }
        let inertias = assignments
            .par_chunks(BLOCK)
            .enumerate()
            .map(|(block, assignments)| {
                let points = self.points.slice(s![block * BLOCK..block * BLOCK + assignments.len(), ..]);
                let squares = points.rows().into_iter().zip(assignments);
                squares.map(|(point, &centre)| squared_distance(point, centres.row(centre as usize))).sum::<f64>()
            })
            .collect::<Vec<_>>();
        let mut inertia = [inertias.into_iter().sum()];
        self.together.sum(&mut inertia)?;
        Ok(Clusters { centres, assignments, inertia: inertia[0], n_iterations })
    }

    /// Gives each empty cluster the point that lies farthest from its own centre, of all processes' points; `counts_of_all`
    /// are the clusters' points in all of them.
    fn fill_empty_clusters(
        &self,
        centres: &Array2<f32>,
        assignments: &mut [u32],
        sums: &mut Array2<f64>,
        counts: &mut [f64],
        counts_of_all: &mut [f64],
    ) -> Result<()> {
        let empty: Vec<usize> = (0..counts.len()).filter(|&cluster| counts_of_all[cluster] == 0.0).collect();
        if empty.is_empty() {
            return Ok(());
        }
        let squares: Vec<f64> = (0..assignments.len())
            .map(|index| squared_distance(self.points.row(index), centres.row(assignments[index] as usize)))
            .collect();
        let mut farthest: Vec<usize> = (0..assignments.len()).collect();
        farthest.sort_unstable_by(|&a, &b| squares[b].total_cmp(&squares[a]));
        let mut farthest = farthest.into_iter().peekable();
        for cluster in empty {
            // Taking the only point of a cluster would leave that one empty.
            let may_be_taken = |index: usize| counts_of_all[assignments[index] as usize] > 1.0 && squares[index] > 0.0;
            while farthest.next_if(|&index| !may_be_taken(index)).is_some() {}
            let here = farthest.peek().copied();
            let square_of_each = gather(self.together, here.map_or(0.0, |index| squares[index]))?;
            let cluster_of_each = gather(self.together, here.map_or(0.0, |index| f64::from(assignments[index])))?;
            let is_farther = |a: usize, b: usize| square_of_each[b] > square_of_each[a];
            let taken_of = (0..square_of_each.len()).reduce(|a, b| if is_farther(a, b) { b } else { a }).unwrap_or(0);
            if square_of_each[taken_of] == 0.0 {
                return Ok(());
            }
            counts_of_all[cluster_of_each[taken_of] as usize] -= 1.0;
            counts_of_all[cluster] += 1.0;
            if let (Some(index), true) = (here, taken_of == self.together.rank()) {
                let old = std::mem::replace(&mut assignments[index], cluster as u32) as usize;
                counts[old] -= 1.0;
                counts[cluster] += 1.0;
                add(sums, old, self.points.row(index), -1.0);
                add(sums, cluster, self.points.row(index), 1.0);
            }
        }
        Ok(())
    }

    /// Squared distance of each point to each of some centres, `[n, centres]`, by the points' squared distances from their
    /// mean.
    fn squared_distances(&self, norms: &Array1<f32>, centres: ArrayView2<f32>) -> Array2<f32> {
        let (shifts, half_norms) = shifts(centres, &self.mean);
        let parts: Vec<Array2<f32>> = blocks(self.points).map(|block| block.dot(&shifts.t())).collect();
        let views: Vec<ArrayView2<f32>> = parts.iter().map(Array2::view).collect();
        let mut squares = ndarray::concatenate(Axis(0), &views).expect("blocks have as many columns");
        for (mut row, norm) in squares.rows_mut().into_iter().zip(norms) {
            // Rounding may leave a little less than nothing.
            row.iter_mut()
                .zip(&half_norms)
                .for_each(|(value, half_norm)| *value = (norm - 2.0 * (*value - half_norm)).max(0.0));
        }
        squares
    }
}

fn add(sums: &mut Array2<f64>, cluster: usize, point: ArrayView1<f32>, sign: f64) {
    sums.row_mut(cluster).iter_mut().zip(point).for_each(|(sum, &value)| *sum += sign * f64::from(value));
}

/// Points in blocks, to be worked on in parallel and in order.
fn blocks<'a>(points: ArrayView2<'a, f32>) -> impl IndexedParallelIterator<Item = ArrayView2<'a, f32>> {
    let n = points.nrows();
    (0..n.div_ceil(BLOCK))
        .into_par_iter()
        .map(move |block| points.slice_move(s![block * BLOCK..n.min((block + 1) * BLOCK), ..]))
}

/// With `s = c - m` for a centre c and a place m, `|x - c|^2 = |x - m|^2 - 2 (x s - h)`, where `h = m s + |s|^2 / 2`: gives
/// all `s`, `[k, d]`, and all `h`.
///
/// A matrix product then does the work. With m among the points, nothing large is squared where codes lie far from 0.
fn shifts(centres: ArrayView2<f32>, place: &Array1<f32>) -> (Array2<f32>, Array1<f32>) {
    let shifts = &centres - place;
    let half_norms = shifts.map_axis(Axis(1), |shift| place.dot(&shift) + shift.dot(&shift) / 2.0);
    (shifts, half_norms)
}

/// The row of `centres` nearest to each point; of equally near ones the first.
fn nearest_centres(points: ArrayView2<f32>, centres: &Array2<f32>) -> Vec<u32> {
    let (shifts, half_norms) = shifts(centres.view(), &mean(centres));
    let nearest_of = |block: ArrayView2<f32>| -> Vec<u32> {
        // Points side by side, so that many are compared at once.
        let mut products = Array2::zeros((centres.nrows(), block.nrows()));
        general_mat_mul(1.0, &shifts, &block.t(), 0.0, &mut products);
        let mut closest = vec![f32::NEG_INFINITY; block.nrows()];
        let mut nearest = vec![0; block.nrows()];
        for (centre, (products, half_norm)) in products.rows().into_iter().zip(&half_norms).enumerate() {
            let products = products.to_slice().expect("rows lie in one piece");
            for ((product, closest), nearest) in products.iter().zip(&mut closest).zip(&mut nearest) {
                let closeness = product - half_norm;
                let is_closer = closeness > *closest;
                *closest = if is_closer { closeness } else { *closest };
                *nearest = if is_closer { centre as u32 } else { *nearest };
            }
        }
        nearest
    };
    blocks(points).map(nearest_of).collect::<Vec<_>>().concat()
}

fn squared_distance(a: ArrayView1<f32>, b: ArrayView1<f32>) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum()
}
