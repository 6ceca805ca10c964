//! The pairwise similarities of t-SNE, for a given perplexity, and the attraction that follows from them.

use super::quadtree::Place;
use crate::device::vectors::{Work, multiply_add, with_vectors};
use rayon::prelude::*;

/// Neighbours that are worked on side by side.
const LANES: usize = 8;
/// Neighbours whose places are put beside each other at once.
const GATHERED: usize = 64;
/// Points that a thread works on at once.
const BLOCK: usize = 256;

/// A sparse symmetric matrix of similarities: for each point its neighbours with their weights; all sum to 1.
pub(super) struct Affinities {
    /// Where each point's part of what follows begins, and where the last ends.
    starts: Vec<usize>,
    others: Vec<u32>,
    similarities: Vec<f32>,
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
        // Who has a point as a neighbour, in rising order.
        let mut ends = vec![0; n + 1];
        weighted.iter().flatten().for_each(|(to, _)| ends[*to as usize + 1] += 1);
        for point in 0..n {
            ends[point + 1] += ends[point];
        }
        let (mut next, mut backwards) = (ends.clone(), vec![(0, 0.0); ends[n]]);
        for (near, from) in weighted.iter().zip(0u32..) {
            for &(to, weight) in near {
                backwards[next[to as usize]] = (from, weight);
                next[to as usize] += 1;
            }
        }
        // Both directions sorted into one.
        let merged = |(point, near): (usize, &Vec<(u32, f64)>)| -> Vec<(u32, f32)> {
            let mut both = [near, &backwards[ends[point]..ends[point + 1]]].concat();
            both.sort_by_key(|(other, _)| *other);
            let sum = |same: &[(u32, f64)]| same.iter().map(|(_, weight)| weight).sum::<f64>() / (2 * n) as f64;
            both.chunk_by(|a, b| a.0 == b.0).map(|same| (same[0].0, sum(same) as f32)).collect()
        };
        let merged: Vec<Vec<(u32, f32)>> = weighted.par_iter().enumerate().map(merged).collect();
        let mut starts = vec![0];
        starts.extend(merged.iter().scan(0, |end, others| {
            *end += others.len();
            Some(*end)
        }));
        let (others, similarities) = merged.into_iter().flatten().unzip();
        Self { starts, others, similarities }
    }

    /// The neighbours of `point` with their similarities.
    pub(super) fn of(&self, point: usize) -> impl Iterator<Item = (u32, f64)> {
        let (others, similarities) = self.parts(point);
        others.iter().zip(similarities).map(|(&other, &p)| (other, f64::from(p)))
    }

    fn parts(&self, point: usize) -> (&[u32], &[f32]) {
        let range = self.starts[point]..self.starts[point + 1];
        (&self.others[range.clone()], &self.similarities[range])
    }

    /// The attractive force on each point, `sum of p q (y - y_j)` with `q = 1 / (1 + |y - y_j|^2)`.
    ///
    /// Similarities and places are read in single precision: half the memory is half the time.
    pub(super) fn attractions(&self, map: &[Place]) -> Vec<[f32; 2]> {
        let places: Vec<[f32; 2]> = map.iter().map(|place| place.map(|value| value as f32)).collect();
        let mut pulls = vec![[0.0; 2]; map.len()];
        pulls.par_chunks_mut(BLOCK).enumerate().for_each(|(block, pulls)| {
            with_vectors(Attraction { affinities: self, places: &places, first: block * BLOCK, pulls });
        });
        pulls
    }
}

struct Attraction<'a> {
    affinities: &'a Affinities,
    places: &'a [[f32; 2]],
    first: usize,
    pulls: &'a mut [[f32; 2]],
}

impl Work for Attraction<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        // Places that lie anywhere are put beside each other first: the rest is work for vectors.
        let mut near = [[0.0; GATHERED]; 2];
        for (point, pull) in (self.first..).zip(self.pulls) {
            let place = self.places[point];
            let mut sums = [[0.0; LANES]; 2];
            let (others, similarities) = self.affinities.parts(point);
            for (others, similarities) in others.chunks(GATHERED).zip(similarities.chunks(GATHERED)) {
                let [xs, ys] = &mut near;
                for ((other, x), y) in others.iter().zip(xs).zip(ys) {
                    [*x, *y] = self.places[*other as usize];
                }
                let (groups, rest) = similarities.as_chunks();
                // What is left over of the last group weighs nothing.
                let mut last = [0.0; LANES];
                last.iter_mut().zip(rest).for_each(|(last, similarity)| *last = *similarity);
                let [xs, ys] = near.each_ref().map(|values| values.as_chunks::<LANES>().0);
                for ((xs, ys), similarities) in xs.iter().zip(ys).zip(groups.iter().chain([&last])) {
                    for lane in 0..LANES {
                        let [x, y] = [place[0] - xs[lane], place[1] - ys[lane]];
                        let weight = similarities[lane] / multiply_add::<FUSED>(x, x, multiply_add::<FUSED>(y, y, 1.0));
                        sums[0][lane] = multiply_add::<FUSED>(weight, x, sums[0][lane]);
                        sums[1][lane] = multiply_add::<FUSED>(weight, y, sums[1][lane]);
                    }
                }
            }
            *pull = sums.map(|sums| sums.iter().sum());
        }
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
        let value = |from: usize, to: u32| affinities.of(from).find(|(other, _)| *other == to).map(|(_, p)| p);
        for from in 0..4 {
            for to in 0..4 {
                assert_eq!(value(from, to as u32), value(to, from as u32), "{from} and {to}");
            }
        }
        let sum: f64 = (0..4).flat_map(|point| affinities.of(point)).map(|(_, p)| p).sum();
        assert!((sum - 1.0).abs() < 1e-6);
        assert_eq!(affinities.of(3).count(), 2);
    }

    #[test]
    fn the_pull_is_that_of_all_neighbours() {
        // Eleven neighbours: a whole group and a part of one.
        let neighbours: Vec<Vec<(u32, f64)>> =
            (0..30).map(|point| (1..12).map(|step| ((point + step) % 30, f64::from(step))).collect()).collect();
        let affinities = Affinities::new(&neighbours, 4.0);
        let map: Vec<Place> = (0..30).map(|point| [f64::from(point % 7), 0.3 * f64::from(point)]).collect();
        for (point, found) in affinities.attractions(&map).into_iter().enumerate() {
            let pull = |axis: usize| -> f64 {
                let of = |(other, p): (u32, f64)| {
                    let other = map[other as usize];
                    let square: f64 = (0..2).map(|axis| (map[point][axis] - other[axis]).powi(2)).sum();
                    p * (map[point][axis] - other[axis]) / (1.0 + square)
                };
                affinities.of(point).map(of).sum()
            };
            for (axis, found) in found.into_iter().enumerate() {
                assert!((f64::from(found) - pull(axis)).abs() < 1e-7, "{found}, exactly {}", pull(axis));
            }
        }
    }

    #[test]
    fn neighbours_in_one_place_weigh_alike() {
        assert_eq!(weights(&[(4, 2.0), (5, 2.0)], 1.0), [(4, 0.5), (5, 0.5)]);
    }
}
