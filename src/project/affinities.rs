//! The pairwise similarities of t-SNE, for a given perplexity.

use rayon::prelude::*;

/// A sparse symmetric matrix of similarities: for each point its neighbours with their weights; all sum to 1.
pub(super) struct Affinities {
    /// Where each point's part of `others` begins, and where the last ends.
    starts: Vec<usize>,
    others: Vec<(u32, f64)>,
}

impl Affinities {
    /// From each point's neighbours with their distances.
    ///
    /// The weights `exp(-distance^2 beta)` of a point's neighbours have a `beta` of its own, such that their entropy is
    /// ln(perplexity); the affinity of two points is the mean of both directions.
    ///
    /// # Source
    /// van der Maaten and Hinton, "Visualizing data using t-SNE", 2008; for neighbours only: van der Maaten, 2014.
    pub(super) fn new(neighbours: &[Vec<(u32, f64)>], perplexity: f64) -> Self {
        let n = neighbours.len();
        let weighted: Vec<Vec<(u32, f64)>> = neighbours.par_iter().map(|near| weights(near, perplexity)).collect();
        // Each pair in both directions, then both sorted into one.
        let both = weighted.iter().zip(0u32..).flat_map(|(near, from)| {
            near.iter().flat_map(move |&(to, weight)| [(from, to, weight), (to, from, weight)])
        });
        let mut pairs: Vec<(u32, u32, f64)> = both.collect();
        pairs.par_sort_unstable_by_key(|&(from, to, _)| (from, to));
        let (mut starts, mut others) = (vec![0; n + 1], Vec::with_capacity(pairs.len()));
        for same in pairs.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            let sum: f64 = same.iter().map(|pair| pair.2).sum();
            others.push((same[0].1, sum / (2 * n) as f64));
            starts[same[0].0 as usize + 1] = others.len();
        }
        Self { starts, others }
    }

    /// The neighbours of `point` with their similarities.
    pub(super) fn of(&self, point: usize) -> &[(u32, f64)] {
        &self.others[self.starts[point]..self.starts[point + 1]]
    }
}

/// The neighbours' weights, which sum to 1.
fn weights(neighbours: &[(u32, f64)], perplexity: f64) -> Vec<(u32, f64)> {
    const TOLERANCE: f64 = 1e-5;
    // Distances are reduced by the nearest one's: a common factor, without which the weights of far neighbours underflow.
    let nearest = neighbours.first().map_or(0.0, |(_, distance)| distance * distance);
    let squares: Vec<f64> = neighbours.iter().map(|(_, distance)| distance * distance - nearest).collect();
    let scale = squares.iter().sum::<f64>() / squares.len() as f64;
    if scale <= 0.0 {
        return neighbours.iter().map(|&(other, _)| (other, 1.0 / neighbours.len() as f64)).collect();
    }
    let (mut low, mut high, mut beta) = (0.0, f64::INFINITY, 1.0 / scale);
    let mut weights = Vec::new();
    for _ in 0..100 {
        weights.clear();
        weights.extend(squares.iter().map(|square| (-square * beta).exp()));
        let sum: f64 = weights.iter().sum();
        let mean = weights.iter().zip(&squares).map(|(weight, square)| weight * square).sum::<f64>() / sum;
        weights.iter_mut().for_each(|weight| *weight /= sum);
        let surplus = sum.ln() + beta * mean - perplexity.ln();
        if surplus.abs() < TOLERANCE {
            break;
        }
        if surplus > 0.0 {
            low = beta
        } else {
            high = beta
        }
        beta = if high.is_infinite() { beta * 2.0 } else { (low + high) / 2.0 };
    }
    neighbours.iter().zip(weights).map(|(&(other, _), weight)| (other, weight)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_have_the_perplexity() {
        let neighbours: Vec<(u32, f64)> = (0..90).map(|other| (other, 1.0 + f64::from(other) * 0.1)).collect();
        let weights = weights(&neighbours, 30.0);
        let entropy: f64 = weights.iter().map(|(_, weight)| -weight * weight.ln()).sum();
        assert!((entropy.exp() - 30.0).abs() < 0.01, "{}", entropy.exp());
        assert!((weights.iter().map(|(_, weight)| weight).sum::<f64>() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn affinities_are_symmetric_and_sum_to_one() {
        // Points 0, 1, 2 on a line; 3 has 0 as a neighbour, and nobody has 3.
        let neighbours =
            [vec![(1, 1.0), (2, 2.0)], vec![(0, 1.0), (2, 1.0)], vec![(1, 1.0), (0, 2.0)], vec![(0, 5.0), (1, 6.0)]];
        let affinities = Affinities::new(&neighbours, 1.5);
        let value = |from: usize, to: u32| affinities.of(from).iter().find(|(other, _)| *other == to).map(|(_, p)| *p);
        for from in 0..4 {
            for to in 0..4 {
                assert_eq!(value(from, to as u32), value(to, from as u32), "{from} and {to}");
            }
        }
        let sum: f64 = (0..4).flat_map(|point| affinities.of(point)).map(|(_, p)| p).sum();
        assert!((sum - 1.0).abs() < 1e-12);
        assert_eq!(affinities.of(3).len(), 2);
    }

    #[test]
    fn neighbours_in_one_place_weigh_alike() {
        assert_eq!(weights(&[(4, 2.0), (5, 2.0)], 1.0), [(4, 0.5), (5, 0.5)]);
    }
}
