//! t-SNE: embeddings in the plane that keep neighbours together.

use super::Pca;
use super::affinities::Affinities;
use super::interpolation::Interpolation;
use super::quadtree::{Place, Quadtree};
use crate::latent::check_points;
use crate::neighbours::Nearest;
use crate::{Error, Result, interrupt, memory};
use ndarray::{Array2, ArrayView1, Axis};
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::prelude::*;

const DOING: &str = "mapping points by t-SNE";
/// Points of more values are reduced to this many principal components first, as van der Maaten and Hinton do.
const MOST_VALUES: usize = 50;
/// Standard deviation of the map that t-SNE begins with.
const FIRST_DEVIATION: f64 = 1e-4;
/// Steps of early exaggeration.
const N_EARLY_STEPS: usize = 250;
/// The factor of early exaggeration.
const EXAGGERATION: f64 = 12.0;
/// Momentum: openTSNE's, which keeps more neighbours together than 0.5 in the early steps.
const MOMENTUM: f64 = 0.8;

/// The settings of t-SNE; the fixed ones are the usual ones.
///
/// A map is a function of points and settings, bit for bit: all threads work on it, each on points of its own, so that sums
/// are added in one order. This costs no time, and so there is no other mode.
///
/// # Example
/// ```
/// use diabolo::project::Tsne;
/// let points = diabolo::ndarray::Array2::from_shape_fn((12, 3), |(n, d)| ((n % 3) * 100 + n * d) as f32);
/// let map = Tsne { n_steps: 300, ..Tsne::seed(7).perplexity(3.0) }.fit(&points)?;
/// assert_eq!(map.points.dim(), (12, 2));
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Tsne {
    /// About how many neighbours each point has: above 0 and at most a third of the other points. Default 30.
    pub perplexity: f64,
    /// Steps, the first 250 of them with exaggerated attraction. Default 1000.
    pub n_steps: usize,
    /// The noise that keeps equal points apart follows from it.
    pub seed: u64,
}

/// A map.
///
/// # Example
/// ```
/// use diabolo::project::Tsne;
/// let points = diabolo::ndarray::Array2::from_shape_fn((12, 3), |(n, d)| ((n % 3) * 100 + n * d) as f32);
/// let few = Tsne { n_steps: 10, ..Tsne::seed(0).perplexity(3.0) }.fit(&points)?;
/// let many = Tsne { n_steps: 500, ..Tsne::seed(0).perplexity(3.0) }.fit(&points)?;
/// assert!(many.kl_divergence < few.kl_divergence);
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// `[n, 2]`.
    pub points: Array2<f32>,
    /// The loss of t-SNE over neighbours: the Kullback-Leibler divergence between similarities of the points and of the
    /// map; lower is better.
    pub kl_divergence: f64,
}

impl Tsne {
    /// The usual settings with this seed.
    ///
    /// # Example
    /// ```
    /// use diabolo::project::Tsne;
    /// assert_eq!(Tsne::seed(7), Tsne { perplexity: 30.0, n_steps: 1000, seed: 7 });
    /// ```
    pub fn seed(seed: u64) -> Self {
        Self { perplexity: 30.0, n_steps: 1000, seed }
    }

    /// Sets the perplexity.
    pub fn perplexity(self, perplexity: f64) -> Self {
        Self { perplexity, ..self }
    }

    /// Maps points `[n, d]` to the plane. Those of more than 50 values are reduced to 50 principal components first. The
    /// map begins with the first two principal components, with a little noise.
    ///
    /// Looking for neighbours takes time in proportion to the square of n, each step in proportion to n and the map's area.
    ///
    /// # Errors
    /// [`Error::Setting`] for a perplexity out of range or no steps; [`Error::Data`] for fewer than three points, points
    /// that are all alike, or values that are not finite; [`Error::Interrupted`].
    ///
    /// # Source
    /// van der Maaten and Hinton, "Visualizing data using t-SNE", 2008; van der Maaten, "Accelerating t-SNE using tree-based
    /// algorithms", 2014; Linderman et al., "Fast interpolation-based t-SNE for improved visualization of single-cell RNA-seq
    /// data", 2019; the learning rate: Belkina et al., "Automated optimized parameters for t-SNE", 2019, in the later steps as
    /// openTSNE has it.
    ///
    /// # Example
    /// ```
    /// use diabolo::project::Tsne;
    /// let points = diabolo::ndarray::Array2::from_shape_fn((12, 3), |(n, d)| ((n % 3) * 100 + n * d) as f32);
    /// let tsne = Tsne { n_steps: 100, ..Tsne::seed(7).perplexity(3.0) };
    /// assert_eq!(tsne.fit(&points)?, tsne.fit(&points)?, "one seed, one map");
    ///
    /// let too_few_points = Tsne::seed(7).fit(&points).unwrap_err().to_string();
    /// assert!(too_few_points.contains("perplexity: found 30"), "{too_few_points}");
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn fit(&self, points: &Array2<f32>) -> Result<Embedding> {
        check_points(DOING, points)?;
        let n = points.nrows();
        if n < 3 {
            return Err(Error::data(DOING, format!("{n} points"), "3 or more", "map more images"));
        }
        let most = (n - 1) as f64 / 3.0;
        if !(self.perplexity > 0.0 && self.perplexity <= most) {
            let wanted = format!("above 0 and at most {most:.1}, a third of the other points");
            return Err(Error::setting(
                "perplexity",
                self.perplexity.to_string(),
                wanted,
                "30 is usual, and less for few images",
            ));
        }
        if self.n_steps == 0 {
            return Err(Error::setting("n_steps", "0", "1 or more", "1000 is usual"));
        }
        let n_neighbours = ((3.0 * self.perplexity) as usize).clamp(1, n - 1);
        // Neighbours with their distances, then weights in both directions and the sum of these; later the grid.
        let n_bytes = memory::bytes_of(&[n, n_neighbours, 16 + 2 * 16 + 2 * 16]).max(Interpolation::n_bytes(n));
        memory::check(DOING, n_bytes, "choose a smaller perplexity, or map fewer images")?;
        let reduced = match points.ncols() {
            0..=MOST_VALUES => None,
            _ => Some(Pca::fit(points, MOST_VALUES.min(n - 1))?.transform(points)?),
        };
        let points = reduced.as_ref().unwrap_or(points);
        let start = self.start(points)?;
        let neighbours = Nearest::new(points)?.neighbours_of_points(n_neighbours, <[_]>::to_vec)?;
        let affinities = Affinities::new(&neighbours, self.perplexity);
        let (map, kl_divergence) = self.descend(start, &affinities)?;
        let values = map.into_iter().flatten().map(|value| value as f32).collect();
        Ok(Embedding { points: Array2::from_shape_vec((n, 2), values).expect("two values a point"), kl_divergence })
    }

    /// The first two principal components, scaled down, with noise.
    fn start(&self, points: &Array2<f32>) -> Result<Vec<Place>> {
        let plane = match points.ncols() {
            0..=2 => points.clone(),
            _ => Pca::fit(points, 2)?.transform(points)?,
        };
        let deviation = plane.axis_iter(Axis(1)).map(|column| f64::from(column.std(0.0))).fold(0.0, f64::max);
        if deviation == 0.0 {
            let next_step = "look at the model's history: a network that learnt nothing gives every image one code";
            return Err(Error::data(DOING, "points that are all alike", "points that differ", next_step));
        }
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(self.seed);
        let mut place = |row: ArrayView1<f32>| {
            [0, 1].map(|axis| {
                let value = row.get(axis).map_or(0.0, |&value| f64::from(value) / deviation);
                FIRST_DEVIATION * (value + 0.01 * generator.sample::<f64, _>(StandardNormal))
            })
        };
        Ok(plane.rows().into_iter().map(&mut place).collect())
    }

    /// Gradient descent with momentum, and with a gain for each value that grows while its direction holds.
    fn descend(&self, map: Vec<Place>, affinities: &Affinities) -> Result<(Vec<Place>, f64)> {
        let n = map.len();
        let mut grid = Interpolation::default();
        let (mut map, mut moves) = (map, vec![Move { velocity: [0.0; 2], gain: [1.0; 2] }; n]);
        for step in 0..self.n_steps {
            interrupt::check(DOING)?;
            let exaggeration = if step < N_EARLY_STEPS { EXAGGERATION } else { 1.0 };
            let learning_rate = (n as f64 / exaggeration / 4.0).max(50.0);
            let repulsions = repulsions(&map, &mut grid);
            let sum = normalisation(&repulsions);
            let attractions = affinities.attractions(&map);
            let points = map.par_iter_mut().zip(&mut moves).zip(repulsions).zip(attractions).with_min_len(1024);
            points.for_each(|(((place, Move { velocity, gain }), (push, _)), pull)| {
                for axis in 0..2 {
                    let gradient = 4.0 * (exaggeration * f64::from(pull[axis]) - push[axis] / sum);
                    let holds = velocity[axis] * gradient < 0.0;
                    gain[axis] = if holds { gain[axis] + 0.2 } else { gain[axis] * 0.8 }.max(0.01);
                    velocity[axis] = MOMENTUM * velocity[axis] - learning_rate * gain[axis] * gradient;
                    place[axis] += velocity[axis];
                }
            });
        }
        let sum = normalisation(&repulsions(&map, &mut grid));
        let divergence = |(point, place): (usize, &Place)| -> f64 {
            let of = |(other, p): (u32, f64)| p * (p / (closeness(*place, map[other as usize]) / sum)).ln();
            // Far neighbours may weigh nothing, and then add nothing.
            affinities.of(point).filter(|(_, p)| *p > 0.0).map(of).sum()
        };
        let divergences: Vec<f64> = map.par_iter().enumerate().map(divergence).collect();
        let kl_divergence = divergences.iter().sum();
        Ok((map, kl_divergence))
    }
}

/// How a point moves along either axis.
#[derive(Clone)]
struct Move {
    velocity: [f64; 2],
    gain: [f64; 2],
}

/// The repulsive forces, and each point's part of their normalisation: by interpolation, or where points are few for the
/// size of the map by a tree.
fn repulsions(map: &[Place], grid: &mut Interpolation) -> Vec<(Place, f64)> {
    grid.repulsions(map).unwrap_or_else(|| Quadtree::new(map).repulsions(map))
}

/// The sum over all pairs of points; a point's distance from itself is not meant.
fn normalisation(repulsions: &[(Place, f64)]) -> f64 {
    repulsions.iter().map(|(_, sum)| sum - 1.0).sum()
}

/// Student's kernel, `1 / (1 + distance^2)`.
fn closeness(a: Place, b: Place) -> f64 {
    1.0 / (1.0 + (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2))
}
