//! Repulsion by interpolation: the points' charges are spread onto a grid, the potential between its nodes is a convolution,
//! and cubic B-splines read potential and forces at the points.
//!
//! Source: Linderman et al., "Fast interpolation-based t-SNE for improved visualization of single-cell RNA-seq data", 2019;
//! the splines, whose derivative gives the forces: Essmann et al., "A smooth particle mesh Ewald method", 1995.

use super::quadtree::{Place, extent};
use crate::memory;
use rayon::prelude::*;
use realfft::num_complex::Complex;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use rustfft::{Fft, FftPlanner};
use std::sync::Arc;

/// Largest distance of nodes: Student's kernel is as wide as 1, whatever the map's size. With 0.5 maps end at a KL divergence
/// that is 2 % higher, with 0.25 at the same.
const STEP: f64 = 0.4;
/// Steps that the smallest map is divided into.
const LEAST_STEPS: f64 = 32.0;
/// Distance of nodes at which a map counts as one place: nothing in it underflows.
const SMALLEST_STEP: f64 = 1e-12;
/// Nodes along an axis that a point is spread onto.
const REACH: usize = 4;
/// Nodes beyond the map's double: nearer than this, what a spline takes from one end of the circle reaches the other.
const MARGIN: usize = 12;
/// Rows or columns that a thread works on at once, at least: a cache line of complex numbers.
const BAND: usize = 8;
/// Cells of the padded grid for which a tree would be as fast: a cell takes 3 ns, a point 0.05 µs, and a point's way through
/// the tree 0.7 µs among 10,000 points and more among more, one core each.
const CELLS_PER_POINT: usize = 200;

/// What stays from step to step: the transforms for a size of grid, and the kernel there.
#[derive(Default)]
pub(super) struct Interpolation {
    grid: Option<Grid>,
}

/// Nodes at a distance of `step`; a map lies on the first half of either axis, so that a circular convolution is a plain
/// one.
struct Grid {
    n_rows: usize,
    n_columns: usize,
    step: f64,
    /// What the kernel is reduced by: its value at the farthest distance. In a small map it is nearly 1 everywhere, and its
    /// differences would drown in single precision.
    constant: f64,
    along_row: Arc<dyn RealToComplex<f32>>,
    along_column: Arc<dyn Fft<f32>>,
    back_along_column: Arc<dyn Fft<f32>>,
    back_along_row: Arc<dyn ComplexToReal<f32>>,
    /// The kernel's transform, which is real, one column after the other.
    kernel: Vec<f32>,
}

impl Interpolation {
    /// The most memory that a grid for `n` points takes: at most 12 bytes a cell, for the transforms' rows and columns, the
    /// kernel and the potential.
    pub(super) fn n_bytes(n: usize) -> u128 {
        memory::bytes_of(&[n, CELLS_PER_POINT, 12])
    }

    /// The repulsive force on each point, `sum of q^2 (y - y_j)`, and `sum of q`, where `q = 1 / (1 + |y - y_j|^2)`; the
    /// point itself adds 1 to the second. `None` where the grid of so wide a map takes longer than a tree.
    pub(super) fn repulsions(&mut self, map: &[Place]) -> Option<Vec<(Place, f64)>> {
        let [(left, right), (bottom, top)] = [extent(map, 0), extent(map, 1)];
        let side = (right - left).max(top - bottom);
        let mut step = STEP;
        while side < LEAST_STEPS * step && step > SMALLEST_STEP {
            step /= 2.0;
        }
        // As floats, which are as large as they may be.
        let n_nodes = |side: f64| (side / step).floor() + REACH as f64;
        let n_cells = 4.0 * n_nodes(right - left) * n_nodes(top - bottom);
        if n_cells.is_nan() || n_cells > (CELLS_PER_POINT * map.len()) as f64 {
            return None;
        }
        let n_filled = n_nodes(top - bottom) as usize;
        let [n_rows, n_columns] = [n_filled, n_nodes(right - left) as usize].map(|n| transform_length(2 * n + MARGIN));
        let grid = match self.grid.take() {
            Some(grid) if (grid.n_rows, grid.n_columns, grid.step) == (n_rows, n_columns, step) => grid,
            _ => Grid::new(n_rows, n_columns, step),
        };
        let spot = |place: &Place| Spot::new([(place[0] - left) / step, (place[1] - bottom) / step]);
        let spots: Vec<Spot> = map.par_iter().with_min_len(1024).map(spot).collect();
        let rows = Rows::new(&spots, n_filled);
        let potential = grid.potential(n_filled, &rows);
        let total = map.len() as f64 * grid.constant;
        let read = |spot: &Spot| {
            let (value, slope) = spot.read(&potential, n_columns);
            (slope.map(|slope| -0.5 * f64::from(slope) / step), f64::from(value) + total)
        };
        let repulsions = spots.par_iter().with_min_len(256).map(read).collect();
        self.grid = Some(grid);
        Some(repulsions)
    }
}

impl Grid {
    fn new(n_rows: usize, n_columns: usize, step: f64) -> Self {
        let (mut of_rows, mut of_columns) = (RealFftPlanner::new(), FftPlanner::new());
        // Of a transform that wraps around, half is the farthest.
        let farthest = [n_rows, n_columns].map(|n| (n as f64 / 2.0 * step).powi(2)).iter().sum::<f64>();
        let mut grid = Self {
            n_rows,
            n_columns,
            step,
            constant: 1.0 / (1.0 + farthest),
            along_row: of_rows.plan_fft_forward(n_columns),
            along_column: of_columns.plan_fft_forward(n_rows),
            back_along_column: of_columns.plan_fft_inverse(n_rows),
            back_along_row: of_rows.plan_fft_inverse(n_columns),
            kernel: Vec::new(),
        };
        let square = |node: usize, n: usize| (node.min(n - node) as f64 * step).powi(2);
        let fill = |first: usize, rows: &mut [f32]| {
            for (row, values) in rows.chunks_exact_mut(n_columns).enumerate() {
                let along = square(first + row, n_rows);
                for (column, value) in values.iter_mut().enumerate() {
                    let distance = along + square(column, n_columns);
                    *value = ((farthest - distance) / (1.0 + distance) * grid.constant) as f32;
                }
            }
        };
        // Points are spread and read by splines, which make all smoother than it is, each along either axis.
        let spline = |node: usize, n: usize| (2.0 + (std::f64::consts::TAU * node as f64 / n as f64).cos()) / 3.0;
        let n_cells = (n_rows * n_columns) as f64;
        let sharpen = |column: usize, values: &mut [Complex<f32>]| {
            for (row, value) in values.iter_mut().enumerate() {
                let smooth = spline(row, n_rows) * spline(column, n_columns);
                *value = Complex::new((f64::from(value.re) / (smooth * smooth * n_cells)) as f32, 0.0);
            }
        };
        let transform = grid.transform(n_rows, fill, sharpen);
        grid.kernel = transform.iter().map(|value| value.re).collect();
        grid
    }

    /// The transform of the first `n_filled` rows, one column after the other; `fill` makes the values of a band of rows,
    /// given zeros, and `finish` what is wanted of a column.
    fn transform(
        &self,
        n_filled: usize,
        fill: impl Fn(usize, &mut [f32]) + Sync,
        finish: impl Fn(usize, &mut [Complex<f32>]) + Sync,
    ) -> Vec<Complex<f32>> {
        let n_frequencies = self.along_row.complex_len();
        let mut rows = vec![Complex::default(); n_filled * n_frequencies];
        rows.par_chunks_mut(BAND * n_frequencies).enumerate().for_each(|(band, rows)| {
            let mut values = vec![0.0; rows.len() / n_frequencies * self.n_columns];
            let mut scratch = self.along_row.make_scratch_vec();
            fill(band * BAND, &mut values);
            for (values, row) in values.chunks_exact_mut(self.n_columns).zip(rows.chunks_exact_mut(n_frequencies)) {
                self.along_row
                    .process_with_scratch(values, row, &mut scratch)
                    .expect("the lengths are the transform's");
            }
        });
        let mut columns = vec![Complex::default(); n_frequencies * self.n_rows];
        columns.par_chunks_mut(BAND * self.n_rows).enumerate().for_each(|(band, columns)| {
            for (row, values) in rows.chunks_exact(n_frequencies).enumerate() {
                for (column, value) in columns.chunks_exact_mut(self.n_rows).zip(&values[band * BAND..]) {
                    column[row] = *value;
                }
            }
            let mut scratch = vec![Complex::default(); self.along_column.get_inplace_scratch_len()];
            for (column, values) in columns.chunks_exact_mut(self.n_rows).enumerate() {
                self.along_column.process_with_scratch(values, &mut scratch);
                finish(band * BAND + column, values);
            }
        });
        columns
    }

    /// The potential at the nodes of the first `n_filled` rows.
    fn potential(&self, n_filled: usize, points: &Rows) -> Vec<f32> {
        let fill = |first: usize, rows: &mut [f32]| points.spread(first, rows, self.n_columns);
        let convolve = |column: usize, values: &mut [Complex<f32>]| {
            let kernel = &self.kernel[column * self.n_rows..][..self.n_rows];
            values.iter_mut().zip(kernel).for_each(|(value, kernel)| *value *= *kernel);
            let mut scratch = vec![Complex::default(); self.back_along_column.get_inplace_scratch_len()];
            self.back_along_column.process_with_scratch(values, &mut scratch);
        };
        let columns = self.transform(n_filled, fill, convolve);
        let n_frequencies = self.back_along_row.complex_len();
        let mut potential = vec![0.0; n_filled * self.n_columns];
        potential.par_chunks_mut(BAND * self.n_columns).enumerate().for_each(|(band, potential)| {
            let n = potential.len() / self.n_columns;
            let mut rows = vec![Complex::default(); n * n_frequencies];
            for (frequency, column) in columns.chunks_exact(self.n_rows).enumerate() {
                for (row, value) in column[band * BAND..][..n].iter().enumerate() {
                    rows[row * n_frequencies + frequency] = *value;
                }
            }
            let mut scratch = self.back_along_row.make_scratch_vec();
            for (row, values) in rows.chunks_exact_mut(n_frequencies).zip(potential.chunks_exact_mut(self.n_columns)) {
                // Of a real row these two are real, but for rounding.
                row[0].im = 0.0;
                row[n_frequencies - 1].im = 0.0;
                let done = self.back_along_row.process_with_scratch(row, values, &mut scratch);
                done.expect("the lengths are the transform's, and its ends are real");
            }
        });
        potential
    }
}

/// The node below and to the left of the four by four that a point is spread onto, and where it is between nodes, 0..1.
#[derive(Clone, Copy, Default)]
struct Spot {
    column: u32,
    row: u32,
    between: [f32; 2],
}

impl Spot {
    /// Of a point at this many steps from the map's lower left corner.
    fn new(place: Place) -> Self {
        let node = place.map(f64::floor);
        let between = [0, 1].map(|axis| (place[axis] - node[axis]) as f32);
        Self { column: node[0] as u32, row: node[1] as u32, between }
    }

    /// The potential's value and slope.
    fn read(&self, potential: &[f32], n_columns: usize) -> (f32, [f32; 2]) {
        let [along, up] = self.between.map(spline);
        let [along_slope, up_slope] = self.between.map(spline_slope);
        let (mut value, mut slope) = (0.0, [0.0; 2]);
        for node in 0..REACH {
            let start = (self.row as usize + node) * n_columns + self.column as usize;
            let nodes: &[f32; REACH] = potential[start..].first_chunk().expect("the grid goes on beyond the map");
            let [mut in_row, mut slope_in_row] = [0.0; 2];
            for column in 0..REACH {
                in_row += along[column] * nodes[column];
                slope_in_row += along_slope[column] * nodes[column];
            }
            value += up[node] * in_row;
            slope[0] += up[node] * slope_in_row;
            slope[1] += up_slope[node] * in_row;
        }
        (value, slope)
    }
}

/// Points in the order of their rows.
struct Rows {
    spots: Vec<Spot>,
    /// Where each row's points begin, and where the last ends.
    starts: Vec<usize>,
}

impl Rows {
    fn new(points: &[Spot], n_rows: usize) -> Self {
        let mut starts = vec![0; n_rows + 1];
        points.iter().for_each(|spot| starts[spot.row as usize + 1] += 1);
        for row in 0..n_rows {
            starts[row + 1] += starts[row];
        }
        let (mut next, mut spots) = (starts.clone(), vec![Spot::default(); points.len()]);
        for spot in points {
            let place = &mut next[spot.row as usize];
            spots[*place] = *spot;
            *place += 1;
        }
        Self { spots, starts }
    }

    /// Adds the points' charges to a band of rows from `first` on. Each node has them in the points' order, and so their sum
    /// is the same whatever thread has the band.
    fn spread(&self, first: usize, rows: &mut [f32], n_columns: usize) {
        let end = first + rows.len() / n_columns;
        for spot in &self.spots[self.starts[first.saturating_sub(REACH - 1)]..self.starts[end]] {
            let [along, up] = spot.between.map(spline);
            for (row, up) in (spot.row as usize..).zip(up).filter(|(row, _)| (first..end).contains(row)) {
                let nodes = &mut rows[(row - first) * n_columns + spot.column as usize..][..REACH];
                nodes.iter_mut().zip(along).for_each(|(node, along)| *node += up * along);
            }
        }
    }
}

/// The cubic B-spline at the four nodes around a place between the middle two.
fn spline(t: f32) -> [f32; REACH] {
    let left = 1.0 - t;
    [
        left * left * left / 6.0,
        (t * t * (3.0 * t - 6.0) + 4.0) / 6.0,
        (left * left * (3.0 * left - 6.0) + 4.0) / 6.0,
        t * t * t / 6.0,
    ]
}

/// Its derivative with respect to the place.
fn spline_slope(t: f32) -> [f32; REACH] {
    let left = 1.0 - t;
    [-left * left / 2.0, t * (1.5 * t - 2.0), left * (2.0 - 1.5 * left), t * t / 2.0]
}

/// The next even number from `n` on without prime factors above 5, of which transforms are fast.
fn transform_length(n: usize) -> usize {
    let is_fast = |n: &usize| {
        let without = |n: usize, factor: usize| {
            (0..usize::BITS).fold(n, |n, _| if n.is_multiple_of(factor) { n / factor } else { n })
        };
        n.is_multiple_of(2) && [2, 3, 5].into_iter().fold(*n, without) == 1
    };
    (n..).find(is_fast).expect("powers of two are")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::quadtree::Quadtree;

    /// Points in a part of the plane `wide` and `high`, as if at random.
    fn places(n: usize, wide: f64, high: f64) -> Vec<Place> {
        let random = |index: usize| ((index as f64 * 12.9898).sin() * 43_758.545_3).fract();
        (0..n).map(|index| [wide * random(index), high * random(index + n)]).collect()
    }

    fn exact(map: &[Place]) -> Vec<(Place, f64)> {
        let of = |place: &Place| {
            let (mut push, mut sum) = ([0.0; 2], 0.0);
            for other in map {
                let difference = [place[0] - other[0], place[1] - other[1]];
                let q = 1.0 / (1.0 + difference[0].powi(2) + difference[1].powi(2));
                sum += q;
                (0..2).for_each(|axis| push[axis] += q * q * difference[axis]);
            }
            (push, sum)
        };
        map.iter().map(of).collect()
    }

    /// The error of the forces as a share of their size, and that of the normalisation.
    fn errors(found: &[(Place, f64)], exact: &[(Place, f64)]) -> (f64, f64) {
        let square = |a: Place, b: Place| (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2);
        let squared_errors: f64 = found.iter().zip(exact).map(|(found, exact)| square(found.0, exact.0)).sum();
        let squares: f64 = exact.iter().map(|exact| square(exact.0, [0.0; 2])).sum();
        let normalisation = |all: &[(Place, f64)]| all.iter().map(|(_, sum)| sum - 1.0).sum::<f64>();
        ((squared_errors / squares).sqrt(), (normalisation(found) / normalisation(exact) - 1.0).abs())
    }

    #[track_caller]
    fn check(map: &[Place], most: f64) {
        let found = Interpolation::default().repulsions(map).expect("the grid is small");
        let (of_forces, of_normalisation) = errors(&found, &exact(map));
        assert!(of_forces < most && of_normalisation < most / 25.0, "wrong by {of_forces} and {of_normalisation}");
    }

    #[test]
    fn repulsion_is_nearly_that_of_all_pairs() {
        // From the first step's map to one of many points: square, high and wide.
        for (side, most) in [(1e-4, 1e-3), (0.03, 1e-3), (0.5, 1e-3), (6.3, 0.05), (6.5, 0.05), (20.0, 0.05)] {
            check(&places(1000, side, side), most);
            check(&places(1000, side / 5.0, side), most);
            check(&places(1000, side, side / 50.0), most);
        }
    }

    #[test]
    fn repulsion_is_nearer_to_that_of_all_pairs_than_a_tree_is() {
        let map = places(2000, 15.0, 20.0);
        let exact = exact(&map);
        let by_tree = errors(&Quadtree::new(&map).repulsions(&map), &exact);
        let by_grid = errors(&Interpolation::default().repulsions(&map).expect("the grid is small"), &exact);
        assert!(by_grid.0 < by_tree.0 && by_grid.1 < by_tree.1, "{by_grid:?}, the tree {by_tree:?}");
    }

    #[test]
    fn points_on_nodes_and_at_the_borders_are_pushed_too() {
        // Each on a node, the outermost at all four borders.
        check(
            &(0..21 * 21).map(|index| [0.8 * f64::from(index % 21), 0.8 * f64::from(index / 21)]).collect::<Vec<_>>(),
            0.05,
        );
        // All on a line along the border of a cell.
        check(&(0..400).map(|index| [4.0, 0.05 * f64::from(index)]).collect::<Vec<_>>(), 0.05);
    }

    #[test]
    fn points_in_one_place_do_not_push_each_other() {
        for (push, sum) in Interpolation::default().repulsions(&[[3.0, -4.0]; 200]).expect("the grid is small") {
            assert!(push.iter().all(|push| push.abs() < 1e-6) && (sum - 200.0).abs() < 1e-6, "{push:?}, {sum}");
        }
    }

    #[test]
    fn a_wide_map_of_few_points_is_left_to_the_tree() {
        let is_refused = |map: &[Place]| Interpolation::default().repulsions(map).is_none();
        assert!(is_refused(&[[0.0, 0.0], [1.0, 1.0], [2.0, 0.0]]));
        assert!(is_refused(&places(1000, 1e9, 1e9)));
        assert!(is_refused(&places(1000, 1e300, f64::INFINITY)));
        assert!(!is_refused(&places(1000, 1.0, 1.0)));
    }

    #[test]
    fn no_digit_depends_on_the_number_of_threads_or_on_the_map_before() {
        let maps = [places(5000, 20.0, 30.0), places(5000, 0.2, 0.3), places(5000, 20.5, 30.0)];
        let with_threads = |n: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
            let mut grid = Interpolation::default();
            pool.install(|| maps.each_ref().map(|map| grid.repulsions(map)))
        };
        let alone = maps.each_ref().map(|map| Interpolation::default().repulsions(map));
        for n in 1..=3 {
            assert_eq!(with_threads(n), alone);
        }
    }

    #[test]
    fn splines_add_up_to_one_and_their_slopes_to_nothing() {
        for t in [0.0, 0.1, 0.5, 0.99] {
            assert!((spline(t).iter().sum::<f32>() - 1.0).abs() < 1e-6);
            assert!(spline_slope(t).iter().sum::<f32>().abs() < 1e-6);
            for (node, slope) in spline_slope(t).into_iter().enumerate() {
                let found = (spline(t + 1e-2)[node] - spline(t - 1e-2)[node]) / 2e-2;
                assert!((found - slope).abs() < 1e-3, "{found}, {slope}");
            }
        }
    }

    #[test]
    fn transforms_are_of_lengths_that_are_fast() {
        assert_eq!([2, 31, 32, 49, 98, 641].map(transform_length), [2, 32, 32, 50, 100, 648]);
    }
}
