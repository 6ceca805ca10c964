//! K-means over points that lie with several processes.

use super::starts::Draws;
use super::{Clusters, KMeans, Problem};
use crate::together::{Together, gather};
use crate::{Error, Result};
use ndarray::Array2;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

impl KMeans {
    /// Clusters the points of all processes, of which each gives its own `[n, d]` and gets their assignments; centres and
    /// inertia are those of all points, and the same everywhere.
    ///
    /// Starting centres are drawn among the points of process 0, which should be as mixed as those of all; so another number
    /// of processes may find other clusters. From the same centres it finds the same: [`KMeans::fit_from_together`].
    ///
    /// # Errors
    /// As [`KMeans::fit`], for k above the number of process 0's points too; [`Error::Processes`] where points have another
    /// number of values in another process, or one cannot be reached. An error that only one process has must end the
    /// others: [`Together::abort`].
    ///
    /// # Example
    /// ```
    /// use diabolo::cluster::KMeans;
    /// let joined = diabolo::together::join()?; // one process, where mpirun has not started more
    /// let points = diabolo::ndarray::array![[0.0_f32], [1.0], [10.0], [11.0]];
    /// assert_eq!(KMeans::new(2).fit_together(&points, &*joined.together())?, KMeans::new(2).fit(&points)?);
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn fit_together(&self, points: &Array2<f32>, together: &dyn Together) -> Result<Clusters> {
        check_same_width(points, together)?;
        let problem = Problem::new(self, points, together)?;
        let n_of_first = gather(together, points.nrows() as f64)?[0] as usize;
        if self.k > n_of_first {
            let wanted = format!("1 to {n_of_first}, the number of points in process 0, which centres are drawn among");
            return Err(Error::setting("k", self.k.to_string(), wanted, "start fewer processes"));
        }
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(self.seed);
        let mut best: Option<Clusters> = None;
        for _ in 0..self.n_starts {
            // Of the others nothing is added.
            let mut centres = match together.rank() {
                0 => problem.starting_centres(&Draws::new(points.nrows(), self.k, &mut generator))?.mapv(f64::from),
                _ => Array2::zeros((self.k, points.ncols())),
            };
            together.sum(centres.as_slice_mut().expect("the array is in standard order"))?;
            let found = problem.run(centres.mapv(|value| value as f32))?;
            // Of equally good ones the first.
            best = best.filter(|best| best.inertia <= found.inertia).or(Some(found));
        }
        Ok(best.expect("there is at least one start"))
    }

    /// The same from these starting centres `[k, d]`, which all processes have to give: as [`KMeans::fit_from`] with the
    /// points of all, but for the order in which sums are rounded.
    ///
    /// # Errors
    /// As [`KMeans::fit_from`] and [`KMeans::fit_together`].
    ///
    /// # Example
    /// ```
    /// use diabolo::cluster::KMeans;
    /// use diabolo::ndarray::array;
    /// let joined = diabolo::together::join()?;
    /// let points = array![[0.0_f32], [1.0], [10.0], [11.0]];
    /// let clusters = KMeans::new(2).fit_from_together(&points, &array![[0.0], [1.0]], &*joined.together())?;
    /// assert_eq!(clusters.centres, array![[0.5], [10.5]]);
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn fit_from_together(
        &self,
        points: &Array2<f32>,
        centres: &Array2<f32>,
        together: &dyn Together,
    ) -> Result<Clusters> {
        check_same_width(points, together)?;
        Problem::new(self, points, together)?.run_from(centres)
    }
}

/// Refuses points that have not the same number of values in all processes, whose sums would not fit.
fn check_same_width(points: &Array2<f32>, together: &dyn Together) -> Result<()> {
    let widths = gather(together, points.ncols() as f64)?;
    match widths.iter().position(|width| *width != widths[0]) {
        None => Ok(()),
        Some(rank) => Err(Error::processes(
            "clustering together",
            format!("points of {} values in process {rank} and of {} in process 0", widths[rank], widths[0]),
            "as many in all",
            "encode the images of all processes with the same model",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::together::tests::in_threads;
    use ndarray::{Axis, array};
    use rand::RngExt;

    /// Points around five centres that overlap, so that it takes some iterations.
    fn points() -> Array2<f32> {
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(3);
        Array2::from_shape_fn((2_503, 7), |(row, column)| {
            let centre = if row % 5 == column { 1.5 } else { 0.0 };
            100.0 + centre + generator.random::<f32>() + generator.random::<f32>()
        })
    }

    /// Every n-th point, from that of this rank on.
    fn share(points: &Array2<f32>, together: &dyn Together) -> Array2<f32> {
        points.select(Axis(0), &Vec::from_iter((together.rank()..points.nrows()).step_by(together.size())))
    }

    #[track_caller]
    fn check_same(found: &[Clusters], wanted: &Clusters) {
        let n_processes = found.len();
        for (rank, clusters) in found.iter().enumerate() {
            assert_eq!(clusters.n_iterations, wanted.n_iterations);
            assert_eq!(clusters.centres, found[0].centres, "the same bits in all");
            assert!((clusters.inertia / wanted.inertia - 1.0).abs() < 1e-6 || clusters.inertia == wanted.inertia);
            let errors = (&clusters.centres - &wanted.centres) / wanted.centres.mapv(|value| value.abs().max(1.0));
            assert!(errors.iter().all(|error| error.abs() < 1e-6), "{errors}");
            let wanted = wanted.assignments.iter().skip(rank).step_by(n_processes);
            assert!(clusters.assignments.iter().eq(wanted), "{n_processes} processes");
        }
    }

    #[test]
    fn from_the_same_centres_several_processes_find_the_clusters_of_one() {
        let points = points();
        let centres = points.select(Axis(0), &[0, 5, 10, 15, 20, 25]);
        let settings = KMeans::new(6);
        let wanted = settings.fit_from(&points, &centres).unwrap();
        assert!(wanted.n_iterations > 5, "{}", wanted.n_iterations);
        for n_processes in [1, 2, 3] {
            let fit = |points: &Array2<f32>, together: &dyn Together| {
                settings.fit_from_together(&share(points, together), &centres, together).unwrap()
            };
            check_same(&in_threads(n_processes, |together| fit(&points, &*together)), &wanted);
        }
    }

    #[test]
    fn an_empty_cluster_gets_the_farthest_point_of_all_processes() {
        let points = array![[0.0_f32], [1.0], [2.0], [9.0], [30.0], [3.0]];
        // No point is nearest to the last two, and 30 lies in the second of two processes and in the second of three.
        let centres = array![[1.0_f32], [500.0], [600.0]];
        let settings = KMeans::new(3);
        let wanted = settings.fit_from(&points, &centres).unwrap();
        assert_eq!(wanted.centres.iter().filter(|&&centre| centre == 30.0).count(), 1);
        for n_processes in [2, 3] {
            let fit = |together: &dyn Together| {
                settings.fit_from_together(&share(&points, together), &centres, together).unwrap()
            };
            check_same(&in_threads(n_processes, |together| fit(&*together)), &wanted);
        }
    }

    #[test]
    fn centres_that_the_first_process_draws_are_those_of_all() {
        let points = points();
        let settings = KMeans::new(5).starts(4);
        let alone = settings.fit(&points).unwrap();
        for n_processes in [1, 3] {
            let found = in_threads(n_processes, |together| {
                settings.fit_together(&share(&points, &*together), &*together).unwrap()
            });
            assert!(found.iter().all(|clusters| clusters.centres == found[0].centres));
            assert!(found[0].inertia < 1.001 * alone.inertia, "{} and {}", found[0].inertia, alone.inertia);
            if n_processes == 1 {
                assert_eq!(found[0], alone);
            }
        }
    }

    #[test]
    fn what_does_not_fit_together_is_refused_in_all() {
        let of_width = |width: usize, together: &dyn Together| {
            KMeans::new(1).fit_together(&Array2::zeros((4, width)), together).unwrap_err().to_string()
        };
        for message in in_threads(2, |together| of_width(2 + together.rank(), &*together)) {
            assert!(message.contains("points of 3 values in process 1 and of 2 in process 0"), "{message}");
        }
        let few = in_threads(2, |together| KMeans::new(3).fit_together(&array![[0.0_f32], [1.0]], &*together));
        for message in few.into_iter().map(|found| found.unwrap_err().to_string()) {
            assert!(message.contains("1 to 2, the number of points in process 0"), "{message}");
        }
    }
}
