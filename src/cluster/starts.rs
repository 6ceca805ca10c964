//! The centres that runs start from.

use super::{DOING, Problem};
use crate::device::vectors::{Work, with_vectors};
use crate::{Result, interrupt};
use ndarray::{Array2, s};
use rand::{Rng, RngExt};

/// What chance decides about the starting centres of a run. It is drawn before, one run after the other, so that runs can
/// start side by side.
pub(super) struct Draws {
    first: usize,
    /// Numbers between 0 and 1, of each further centre several.
    shares: Vec<f64>,
}

impl Draws {
    pub(super) fn new(n: usize, k: usize, generator: &mut impl Rng) -> Self {
        let first = generator.random_range(0..n);
        Self { first, shares: (0..(k - 1) * n_trials(k)).map(|_| generator.random()).collect() }
    }
}

/// As scikit-learn, after Arthur and Vassilvitskii's remark that several trials help.
fn n_trials(k: usize) -> usize {
    2 + (k as f64).ln() as usize
}

impl Problem<'_> {
    /// Centres far from each other: each is the best of a few points drawn with chances that rise with the squared
    /// distance from those chosen before.
    pub(super) fn starting_centres(&self, draws: &Draws) -> Result<Array2<f32>> {
        let (n, d) = self.points.dim();
        let k = self.settings.k;
        let mut centres = Array2::zeros((k, d));
        centres.row_mut(0).assign(&self.points.row(draws.first));
        // Squared distances from the centres chosen so far, and their sum in each block of points.
        let mut squares = vec![f32::INFINITY; n];
        let mut sums = self.choose(&centres.slice(s![..1, ..]).to_owned(), &mut squares).1;
        for (chosen, shares) in (1..k).zip(draws.shares.chunks(n_trials(k))) {
            interrupt::check(DOING)?;
            let mut trials = Array2::zeros((shares.len(), d));
            for (mut trial, share) in trials.rows_mut().into_iter().zip(shares) {
                trial.assign(&self.points.row(draw(*share, &sums, &squares, self.points.n_of_block())));
            }
            let best;
            (best, sums) = self.choose(&trials, &mut squares);
            centres.row_mut(chosen).assign(&trials.row(best));
        }
        Ok(centres)
    }

    /// The one of a few points with which the squared distances have the lowest sum; they and their sums in each block are
    /// those with it from then on.
    fn choose(&self, trials: &Array2<f32>, squares: &mut [f32]) -> (usize, Vec<f64>) {
        let n_of_block = self.points.n_of_block();
        let blocks = self.points.of_squares(trials.view(), |block, mut of_trials| {
            let before = &squares[block * n_of_block..];
            let before = &before[..n_of_block.min(before.len())];
            let n_of_row = of_trials.len() / trials.nrows();
            let rows = of_trials.chunks_mut(n_of_row);
            let sums =
                Vec::from_iter(rows.map(|row| with_vectors(Least { squares: &mut row[..before.len()], before })));
            (of_trials, sums)
        });
        let sum = |trial: usize| blocks.iter().map(|(_, sums)| sums[trial]).sum::<f64>();
        let sums = Vec::from_iter((0..trials.nrows()).map(sum));
        let best = (0..sums.len()).min_by(|&a, &b| sums[a].total_cmp(&sums[b])).expect("some trials");
        for (squares, (of_trials, _)) in squares.chunks_mut(n_of_block).zip(&blocks) {
            let row = &of_trials[of_trials.len() / trials.nrows() * best..];
            squares.copy_from_slice(&row[..squares.len()]);
        }
        (best, blocks.into_iter().map(|(_, sums)| sums[best]).collect())
    }
}

/// The point before which the squares add up to this share of all.
fn draw(share: f64, sums: &[f64], squares: &[f32], n_of_block: usize) -> usize {
    let mut left = share * sums.iter().sum::<f64>();
    let block = sums.iter().position(|sum| {
        let is_here = left < *sum;
        left -= if is_here { 0.0 } else { *sum };
        is_here
    });
    // Where rounding leaves none, the last: of points that all lie on centres anyone does.
    let Some(block) = block else { return squares.len() - 1 };
    let first = block * n_of_block;
    let here = &squares[first..squares.len().min(first + n_of_block)];
    let found = here.iter().position(|&square| {
        left -= f64::from(square);
        left < 0.0
    });
    first + found.unwrap_or(here.len() - 1)
}

/// Takes the smaller one of each two squares, and adds them up.
struct Least<'a> {
    squares: &'a mut [f32],
    before: &'a [f32],
}

impl Work for Least<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<const FUSED: bool>(self) -> f64 {
        let (squares, rest) = self.squares.as_chunks_mut::<8>();
        let (before, rest_before) = self.before.as_chunks::<8>();
        let mut sums = [0.0; 8];
        for (squares, before) in squares.iter_mut().zip(before) {
            for (square, before) in squares.iter_mut().zip(before) {
                *square = if *square < *before { *square } else { *before };
            }
            for (sum, square) in sums.iter_mut().zip(squares) {
                *sum += f64::from(*square);
            }
        }
        let mut sum = sums.iter().sum();
        for (square, before) in rest.iter_mut().zip(rest_before) {
            *square = square.min(*before);
            sum += f64::from(*square);
        }
        sum
    }
}
