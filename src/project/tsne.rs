//! t-SNE: maps in the plane that keep neighbours together.

use super::Pca;
use crate::latent::check_points;
use crate::neighbours::Nearest;
use crate::{Error, Result, interrupt};
use bhtsne::{Neighbor, tSNE};
use ndarray::{Array2, Axis};
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;
use rand_xoshiro::Xoshiro256PlusPlus;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

const DOING: &str = "mapping points by t-SNE";
/// Points of more values are reduced to this many principal components first, as van der Maaten and Hinton do.
const MOST_VALUES: usize = 50;
/// Standard deviation of the map that t-SNE begins with, as in scikit-learn and openTSNE.
const FIRST_DEVIATION: f32 = 1e-4;

/// The settings of t-SNE.
///
/// A map is a function of points and settings: it is worked out by one thread, so that sums are added in one order.
/// [`Tsne::parallel`] takes all threads and gives that up; the map is then as good, but not the same twice.
#[derive(Debug, Clone, PartialEq)]
pub struct Tsne {
    /// About how many neighbours each point has: above 0 and at most a third of the other points. Default 30.
    pub perplexity: f64,
    /// Steps, the first 250 of them with exaggerated attraction. Default 1000.
    pub n_steps: usize,
    /// What the map begins with follows from it, beside the principal components.
    pub seed: u64,
    /// Whether two runs give the same map, bit for bit. Default true.
    pub is_reproducible: bool,
}

/// A map.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// `[n, 2]`.
    pub points: Array2<f32>,
    /// What t-SNE minimises, as far as neighbours tell: the Kullback-Leibler divergence of the map's neighbourhoods from
    /// those of the points; 0 or more, lower is better.
    pub kl_divergence: f64,
}

/// Thrown through the library's loop when the user presses stop; it has no other way out.
struct Stopped;

impl Tsne {
    /// The usual settings with this seed.
    pub fn seed(seed: u64) -> Self {
        Self { perplexity: 30.0, n_steps: 1000, seed, is_reproducible: true }
    }

    /// Sets the perplexity.
    pub fn perplexity(self, perplexity: f64) -> Self {
        Self { perplexity, ..self }
    }

    /// Takes all threads: faster, and not the same map twice.
    pub fn parallel(self) -> Self {
        Self { is_reproducible: false, ..self }
    }

    /// Maps points `[n, d]` to the plane. Those of more than 50 values are reduced to 50 principal components first. The
    /// map begins with the first two principal components, with a little noise that keeps equal points apart.
    ///
    /// # Errors
    /// [`Error::Setting`] for a perplexity out of range or no steps; [`Error::Data`] for fewer than three points, points
    /// that are all alike, or values that are not finite; [`Error::Interrupted`].
    ///
    /// # Source
    /// van der Maaten and Hinton, "Visualizing data using t-SNE", 2008; Linderman et al., "Fast interpolation-based t-SNE",
    /// 2019.
    pub fn fit(&self, points: &Array2<f32>) -> Result<Embedding> {
        check_points(DOING, points)?;
        let n = points.nrows();
        if n < 3 {
            return Err(Error::data(DOING, format!("{n} points"), "3 or more", "map more images"));
        }
        let most = (n - 1) as f64 / 3.0;
        if !(self.perplexity > 0.0 && self.perplexity <= most) {
            let wanted = format!("above 0 and at most {most:.1}, a third of the other points");
            return Err(Error::setting("perplexity", self.perplexity.to_string(), wanted, "map more images"));
        }
        if self.n_steps == 0 {
            return Err(Error::setting("n_steps", "0", "1 or more", "1000 is usual"));
        }
        let reduced = match points.ncols() {
            0..=MOST_VALUES => None,
            _ => Some(Pca::fit(points, MOST_VALUES)?.transform(points)?),
        };
        let points = reduced.as_ref().unwrap_or(points);
        let start = self.start(points)?;
        let n_neighbours = ((3.0 * self.perplexity) as usize).clamp(1, n - 1);
        let neighbours = Nearest::new(points)?.neighbours(points, n_neighbours, true, |nearest| {
            // Neighbours at no distance at all have no scale; they are put at a very small one.
            let least = (nearest.last().map_or(0.0, |(_, distance)| *distance) * 1e-6).max(1e-12);
            let neighbour =
                |&(row, distance): &(u32, f64)| Neighbor { index: row as usize, distance: distance.max(least) as f32 };
            nearest.iter().map(neighbour).collect::<Vec<_>>()
        })?;
        let run = || self.run(n, start, &neighbours);
        match self.is_reproducible {
            false => run(),
            true => {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().map_err(|error| {
                    let next_step = "close other programs";
                    Error::data(DOING, format!("no thread ({error})"), "one more thread", next_step)
                })?;
                pool.install(run)
            }
        }
    }

    /// The first two principal components, scaled down, with noise.
    fn start(&self, points: &Array2<f32>) -> Result<Vec<f32>> {
        let plane = match points.ncols() {
            0..=2 => points.clone(),
            _ => Pca::fit(points, 2)?.transform(points)?,
        };
        let deviation = plane.column(0).std(0.0);
        if deviation == 0.0 {
            let next_step = "look at the model's history: a network that learnt nothing gives every image one code";
            return Err(Error::data(DOING, "points that are all alike", "points that differ", next_step));
        }
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(self.seed);
        let mut noise = || 1e-2 * FIRST_DEVIATION * generator.sample::<f32, _>(StandardNormal);
        let place = |row: ndarray::ArrayView1<f32>| {
            [0, 1].map(|axis| row.get(axis).map_or(0.0, |value| (value / deviation) * FIRST_DEVIATION) + noise())
        };
        Ok(plane.axis_iter(Axis(0)).flat_map(place).collect())
    }

    fn run(&self, n: usize, start: Vec<f32>, neighbours: &[Vec<Neighbor<f32>>]) -> Result<Embedding> {
        // The library reads how many points there are, and nothing of them.
        let rows = vec![(); n];
        let fit = || {
            let mut tsne: tSNE<f32, ()> = tSNE::new(&rows);
            tsne.perplexity(self.perplexity as f32)
                .epochs(self.n_steps)
                .initial_embedding(start)
                .epoch_callback(|_, _| {
                    if interrupt::is_requested() {
                        resume_unwind(Box::new(Stopped));
                    }
                })
                .fit_sne_with_neighbors(neighbours);
            (tsne.embedding(), tsne.kl_divergence())
        };
        let (embedding, kl_divergence) = catch_unwind(AssertUnwindSafe(fit)).map_err(|reason| {
            if reason.is::<Stopped>() {
                return Error::Interrupted { doing: DOING.into() };
            }
            let said = reason.downcast_ref::<String>().map(String::as_str).or(reason.downcast_ref::<&str>().copied());
            let found = format!("points that bhtsne refuses ({})", said.unwrap_or("without a word"));
            Error::data(DOING, found, "points that differ", "map other images")
        })?;
        let points = Array2::from_shape_vec((n, 2), embedding).expect("two values a point");
        if points.iter().any(|value| !value.is_finite()) {
            return Err(Error::data(DOING, "a map that is not finite", "a finite one", "try another perplexity"));
        }
        Ok(Embedding { points, kl_divergence: kl_divergence.map_or(f64::NAN, f64::from) })
    }
}
