//! K-means clustering: centres, and each point's distance to the nearest.
//!
//! Points are processed in blocks of fixed size whose results are added in order, so that no digit depends on the number
//! of threads.

mod inertia;
mod points;
mod rows;
mod starts;
mod tiles;
mod together;

use crate::device::vectors::with_vectors;
use crate::latent::{check_points, check_points_of, mean};
use crate::together::{Together, alone, gather};
use crate::{Error, Result, interrupt};
use inertia::Inertia;
use ndarray::{Array1, Array2, ArrayView1};
use points::Points;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::prelude::*;
use starts::Draws;

/// Points whose distances are added up together.
const BLOCK: usize = 1024;
/// Values whose sum takes longer than waking a thread.
const WORTH_A_THREAD: usize = 1 << 16;
/// The cluster of points that have none yet.
const NOWHERE: u32 = u32::MAX;

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
        let draws = Vec::from_iter((0..self.n_starts).map(|_| Draws::new(points.nrows(), self.k, &mut generator)));
        // Of equally good ones the first. Only the best so far is kept, since each names a centre for every point.
        let better = |a: Clusters, b: Clusters| Ok(if b.inertia < a.inertia { b } else { a });
        let best = draws.par_iter().map(|draws| problem.run(problem.starting_centres(draws)?)).try_reduce_with(better);
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
        let points_in_layout = Points::new(points, &mean(&self.centres));
        let mut search = points_in_layout.search();
        let squares = search
            .nearest(&self.centres)
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
    points: Points<'a>,
    together: &'a dyn Together,
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
        Ok(Self { settings, points: Points::new(points, &mean), together, still })
    }

    /// From centres that a user has given.
    fn run_from(&self, centres: &Array2<f32>) -> Result<Clusters> {
        let wanted = (self.settings.k, self.points.dim().1);
        if centres.dim() != wanted {
            let found = format!("starting centres of shape {:?}", centres.dim());
            let next_step = "give k centres of as many values as a point has";
            return Err(Error::data(DOING, found, format!("{wanted:?}"), next_step));
        }
        check_points(DOING, centres)?;
        self.run(centres.as_standard_layout().into_owned())
    }

    /// Lloyd's iterations: points to their nearest centre, centres to the mean of their points. Processes add up the points
    /// of their clusters.
    fn run(&self, mut centres: Array2<f32>) -> Result<Clusters> {
        let (n, d) = self.points.dim();
        let k = self.settings.k;
        let mut search = self.points.search();
        let mut assignments = vec![NOWHERE; n];
        let mut sums = Array2::<f64>::zeros((k, d));
        let mut counts = vec![0.0; k];
        let mut n_iterations = 0;
        let mut is_current = false;
        while n_iterations < self.settings.max_iterations {
            interrupt::check(DOING)?;
            n_iterations += 1;
            let moves = moves(&mut assignments, search.nearest(&centres), k);
            let n_changed = moves.iter().map(Vec::len).sum::<usize>() as f64;
            moves
                .iter()
                .zip(&mut counts)
                .for_each(|(moves, count)| *count += moves.iter().map(|(_, sign)| sign).sum::<f64>());
            self.add(&moves, &mut sums);
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
            assignments = search.nearest(&centres).to_vec();
        }
        let of_block = |(points, assignments)| {
            with_vectors(Inertia {
                points,
                centres: centres.as_slice().expect("the array is in standard order"),
                assignments,
            })
        };
        let blocks = self.points.values().par_chunks(BLOCK * d).zip(assignments.par_chunks(BLOCK));
        let inertias: Vec<f64> = blocks.map(of_block).collect();
        let mut inertia = [inertias.into_iter().sum()];
        self.together.sum(&mut inertia)?;
        Ok(Clusters { centres, assignments, inertia: inertia[0], n_iterations })
    }

    /// Adds points to the sums of clusters and takes them away.
    fn add(&self, moves: &[Vec<(usize, f64)>], sums: &mut Array2<f64>) {
        let d = self.points.dim().1;
        let of_cluster = |(sums, moves): (&mut [f64], &Vec<(usize, f64)>)| {
            for &(index, sign) in moves {
                let point = &self.points.values()[index * d..(index + 1) * d];
                sums.iter_mut().zip(point).for_each(|(sum, &value)| *sum += sign * f64::from(value));
            }
        };
        let sums = sums.as_slice_mut().expect("the array is in standard order");
        if moves.iter().map(Vec::len).sum::<usize>() * d < WORTH_A_THREAD {
            sums.chunks_mut(d).zip(moves).for_each(of_cluster);
        } else {
            sums.par_chunks_mut(d).zip(moves).for_each(of_cluster);
        }
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
                let mut moves = vec![Vec::new(); counts.len()];
                (moves[old], moves[cluster]) = (vec![(index, -1.0)], vec![(index, 1.0)]);
                self.add(&moves, sums);
            }
        }
        Ok(())
    }
}

/// For each of k clusters the points that it gets and loses, in order, with 1 and -1; `assignments` are those of before, and
/// then the new ones.
///
/// Only points that change their cluster change its sum; after some iterations these are few.
fn moves(assignments: &mut [u32], nearest: &[u32], k: usize) -> Vec<Vec<(usize, f64)>> {
    let mut moves = vec![Vec::new(); k];
    for (chunk, (old, new)) in assignments.chunks_mut(16).zip(nearest.chunks(16)).enumerate() {
        // Of most sixteen none has changed, and it takes one comparison to know.
        if old == new {
            continue;
        }
        for (index, (old, &new)) in (chunk * 16..).zip(old.iter_mut().zip(new)) {
            if *old != new {
                moves[new as usize].push((index, 1.0));
                if *old != NOWHERE {
                    moves[*old as usize].push((index, -1.0));
                }
                *old = new;
            }
        }
    }
    moves
}

fn squared_distance(a: ArrayView1<f32>, b: ArrayView1<f32>) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum()
}
