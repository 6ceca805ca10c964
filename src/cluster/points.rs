//! Points in the layout in which their nearest centres are found fastest.
//!
//! They are processed in blocks of fixed size whose results are added in order, so that no digit depends on the number of
//! threads.

use super::rows::{self, Bounds, Movements};
use super::tiles::Tiles;
use crate::device::vectors::{LANES, with_vectors};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, CowArray, Ix2};
use rayon::prelude::*;

/// Points of a block: few enough for a processor's cache, and whole tiles.
const N_OF_BLOCK: usize = 1024;
/// Points of up to as many values are copied into tiles; with more the copy costs more than it brings.
const MOST_VALUES_OF_TILES: usize = 256;

/// Points `[n, d]`.
pub(super) struct Points<'a> {
    rows: CowArray<'a, f32, Ix2>,
    tiles: Option<Tiles>,
}

impl<'a> Points<'a> {
    /// With a place among the points.
    pub(super) fn new(points: &'a Array2<f32>, place: &Array1<f32>) -> Self {
        let rows = points.as_standard_layout();
        let tiles = (points.ncols() <= MOST_VALUES_OF_TILES).then(|| Tiles::new(rows.view(), place.clone()));
        Self { rows, tiles }
    }

    pub(super) fn dim(&self) -> (usize, usize) {
        self.rows.dim()
    }

    pub(super) fn row(&self, index: usize) -> ArrayView1<'_, f32> {
        self.rows.row(index)
    }

    pub(super) fn values(&self) -> &[f32] {
        self.rows.as_slice().expect("the array is in standard order")
    }

    /// Of long ones fewer, so that there is something for each thread.
    pub(super) fn n_of_block(&self) -> usize {
        if self.tiles.is_some() { N_OF_BLOCK } else { N_OF_BLOCK / 16 }
    }

    /// A search for the nearest of `k` centres to each point.
    pub(super) fn search(&self) -> Search<'_, 'a> {
        let n = if self.tiles.is_some() { 0 } else { self.rows.nrows() };
        Search { points: self, bounds: vec![Bounds::NONE; n], before: None, nearest: vec![0; self.rows.nrows()] }
    }

    /// Makes of each block's squared distances to some centres, of one centre after the other, a result; in order.
    pub(super) fn of_squares<R: Send>(
        &self,
        centres: ArrayView2<f32>,
        make: impl Fn(usize, Vec<f32>) -> R + Sync,
    ) -> Vec<R> {
        let (n, d) = self.dim();
        let k = centres.nrows();
        let n_of_block = self.n_of_block();
        let centres = centres.as_standard_layout();
        let of_tiles = self.tiles.as_ref().map(|tiles| (tiles, tiles.centres(centres.view())));
        let of_block = |block: usize| {
            let first = block * n_of_block;
            let n_here = n_of_block.min(n - first);
            match &of_tiles {
                Some((tiles, centres)) => {
                    let mut squares = vec![[0.0; LANES]; k * n_here.div_ceil(LANES)];
                    tiles.squares(first / LANES, centres, &mut squares);
                    make(block, squares.into_flattened())
                }
                None => {
                    let mut squares = vec![0.0; k * n_here];
                    let points = &self.values()[first * d..(first + n_here) * d];
                    let centres = centres.as_slice().expect("the array is in standard order");
                    with_vectors(rows::Squares { points, centres, d, squares: &mut squares });
                    make(block, squares)
                }
            }
        };
        (0..n.div_ceil(n_of_block)).into_par_iter().map(of_block).collect()
    }
}

/// The nearest of centres that move a little from one time to the next.
pub(super) struct Search<'a, 'b> {
    points: &'a Points<'b>,
    /// Of rows alone: finding the nearest again costs less for tiles than finding out where that is not needed.
    bounds: Vec<Bounds>,
    /// The centres of the last time.
    before: Option<Array2<f32>>,
    nearest: Vec<u32>,
}

impl Search<'_, '_> {
    /// Row of `centres` nearest to each point; of equally near ones the first.
    pub(super) fn nearest(&mut self, centres: &Array2<f32>) -> &[u32] {
        let (points, d) = (self.points, self.points.dim().1);
        let n_of_block = points.n_of_block();
        if let Some(tiles) = &points.tiles {
            let centres = tiles.centres(centres.view());
            let blocks = self.nearest.par_chunks_mut(n_of_block).enumerate();
            blocks.for_each(|(block, nearest)| tiles.nearest(block * n_of_block / LANES, &centres, nearest));
            return &self.nearest;
        }
        let movements = Movements::new(self.before.as_ref().unwrap_or(centres).view(), centres.view());
        let standard = centres.as_standard_layout();
        let of_centres = standard.as_slice().expect("the array is in standard order");
        let blocks = points.values().par_chunks(n_of_block * d).zip(self.bounds.par_chunks_mut(n_of_block));
        blocks.zip(self.nearest.par_chunks_mut(n_of_block)).for_each(|((points, bounds), nearest)| {
            with_vectors(rows::Nearest { points, centres: of_centres, d, movements: &movements, bounds, nearest });
        });
        self.before = Some(centres.clone());
        &self.nearest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{KMeans, squared_distance};
    use ndarray::ShapeBuilder;
    use rand::{RngExt, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;
    use rayon::ThreadPoolBuilder;

    fn drawn(n: usize, d: usize, seed: u64) -> Array2<f32> {
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(seed);
        Array2::from_shape_fn((n, d), |_| 100.0 + generator.random::<f32>())
    }

    /// Whether each point's centre is the nearest, but for rounding.
    #[track_caller]
    fn check_nearest(points: &Array2<f32>, centres: &Array2<f32>, found: &[u32]) {
        assert_eq!(found.len(), points.nrows());
        for (index, (point, &found)) in points.rows().into_iter().zip(found).enumerate() {
            let squares = Vec::from_iter(centres.rows().into_iter().map(|centre| squared_distance(point, centre)));
            let least = squares.iter().copied().fold(f64::INFINITY, f64::min);
            let what = format!("point {index} of {:?}, k = {}", points.dim(), centres.nrows());
            assert!(squares[found as usize] <= least * (1.0 + 1e-4) + 1e-9, "{what}: {found} of {squares:?}");
        }
    }

    #[test]
    fn the_nearest_centres_are_found_for_any_numbers_of_points_values_and_centres() {
        for d in [1, 7, 32, 256, 257, 300] {
            for (n, k) in [(1, 1), (15, 2), (16, 3), (33, 4), (70, 5), (70, 6), (1_100, 7), (70, 13)] {
                let (points, centres) = (drawn(n, d, 1), drawn(k, d, 2));
                let place = points.row(0).to_owned();
                check_nearest(&points, &centres, Points::new(&points, &place).search().nearest(&centres));
            }
        }
    }

    #[test]
    fn centres_that_move_are_found_again() {
        for d in [32, 300] {
            let points = drawn(200, d, 3);
            let place = points.row(0).to_owned();
            let laid_out = Points::new(&points, &place);
            for k in [1, 2, 3, 8] {
                let (mut centres, steps) = (drawn(k, d, 4), drawn(k, d, 5));
                let mut search = laid_out.search();
                for round in 0..12 {
                    check_nearest(&points, &centres, search.nearest(&centres));
                    // One of them a long way, the others a little; some rounds none.
                    for (number, (mut centre, step)) in centres.rows_mut().into_iter().zip(steps.rows()).enumerate() {
                        let far = if number == round % (k + 1) { 1.0 } else { 0.02 };
                        centre.scaled_add(if round % 4 == 3 { 0.0 } else { far }, &(&step - 100.5));
                    }
                }
            }
        }
    }

    #[test]
    fn bounds_spare_the_reading_of_most_points() {
        let mut points = drawn(200, 300, 6);
        points.slice_mut(ndarray::s![100.., ..]).mapv_inplace(|value| value + 10.0);
        let place = points.row(0).to_owned();
        let laid_out = Points::new(&points, &place);
        let mut search = laid_out.search();
        let mut centres = points.select(ndarray::Axis(0), &[0, 100]);
        search.nearest(&centres);
        let before = Vec::from_iter(search.bounds.iter().map(|bounds| bounds.lower));
        centres.mapv_inplace(|value| value + 0.01);
        search.nearest(&centres);
        // A bound that was found anew is that of a distance; of the others the movement was taken away.
        let moved = 0.01 * 300f64.sqrt();
        let spared = |(before, after): (f64, f64)| (before - after - moved).abs() < 1e-3;
        assert!(before.into_iter().zip(search.bounds.iter().map(|bounds| bounds.lower)).all(spared));
    }

    #[test]
    fn squares_are_those_of_each_centre() {
        for (n, d) in [(1_100, 9), (70, 300), (5, 40)] {
            let (points, centres) = (drawn(n, d, 7), drawn(5, d, 8));
            let place = points.row(0).to_owned();
            let laid_out = Points::new(&points, &place);
            let n_of_block = laid_out.n_of_block();
            let blocks = laid_out.of_squares(centres.view(), |_, squares| squares);
            for (index, point) in points.rows().into_iter().enumerate() {
                let of_block = &blocks[index / n_of_block];
                for (number, centre) in centres.rows().into_iter().enumerate() {
                    let found = of_block[number * of_block.len() / 5 + index % n_of_block];
                    let wanted = squared_distance(point, centre);
                    assert!((f64::from(found) / wanted - 1.0).abs() < 1e-4, "{found}, not {wanted}");
                }
            }
        }
    }

    #[test]
    fn one_seed_gives_the_same_clusters_with_any_number_of_threads() {
        for (n, d, k) in [(3_000, 32, 5), (300, 300, 4)] {
            let points = drawn(n, d, 9);
            let fit = |n_threads: usize| {
                let pool = ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
                pool.install(|| KMeans::new(k).starts(3).seed(5).fit(&points).unwrap())
            };
            let wanted = fit(1);
            for n_threads in [2, 3, 8] {
                assert_eq!(fit(n_threads), wanted, "{n_threads} threads, d = {d}");
            }
        }
    }

    #[test]
    fn the_order_of_values_in_memory_changes_nothing() {
        for d in [4, 300] {
            let (points, centres) = (drawn(60, d, 10), drawn(3, d, 11));
            let turned = |array: &Array2<f32>| {
                let mut turned = Array2::zeros(array.dim().f());
                turned.assign(array);
                turned
            };
            let wanted = KMeans::new(3).fit_from(&points, &centres).unwrap();
            assert_eq!(KMeans::new(3).fit_from(&turned(&points), &turned(&centres)).unwrap(), wanted);
            let mut clusters = wanted.clone();
            clusters.centres = turned(&clusters.centres);
            assert_eq!(clusters.distances(&turned(&points)).unwrap(), wanted.distances(&points).unwrap());
        }
    }
}
