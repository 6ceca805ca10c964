//! Points of few values: sixteen side by side, so that a centre is compared with all of them at once.

use crate::device::vectors::{LANES, Work, multiply_add, with_vectors};
use ndarray::{Array1, Array2, ArrayView2, Axis};

/// Centres that are compared with a tile at once: as many as sums fit into a processor's registers.
const GROUP: usize = 6;

type Lanes = [f32; LANES];

/// Points `[n, d]` as tiles of sixteen, each d times sixteen values, less a place among them: nothing large is squared
/// where codes lie far from 0.
pub(super) struct Tiles {
    lanes: Vec<Lanes>,
    place: Array1<f32>,
    /// Squared distances from the place, of each tile.
    norms: Vec<Lanes>,
}

impl Tiles {
    /// What is left over of the last tile is filled with the place itself.
    pub(super) fn new(points: ArrayView2<f32>, place: Array1<f32>) -> Self {
        let d = points.ncols();
        let mut lanes = vec![[0.0; LANES]; points.nrows().div_ceil(LANES) * d];
        for (tile, points) in lanes.chunks_mut(d).zip(points.axis_chunks_iter(Axis(0), LANES)) {
            for (lane, point) in points.rows().into_iter().enumerate() {
                for ((lanes, value), middle) in tile.iter_mut().zip(point).zip(&place) {
                    lanes[lane] = value - middle;
                }
            }
        }
        let norms = with_vectors(Norms { lanes: &lanes, d });
        Self { lanes, place, norms }
    }

    /// Centres as they are compared with these points.
    pub(super) fn centres(&self, centres: ArrayView2<f32>) -> Centres {
        Centres::new(centres, &self.place)
    }

    /// The first of the nearest centres to each point of the tiles from `first` on.
    pub(super) fn nearest(&self, first: usize, centres: &Centres, nearest: &mut [u32]) {
        let tiles = &self.lanes[first * centres.d..];
        with_vectors(Nearest { tiles, centres, nearest });
    }

    /// Squared distances of each point of these tiles to each centre, of one centre after the other: `squares` has room for
    /// that many rows of whole tiles.
    pub(super) fn squares(&self, first: usize, centres: &Centres, squares: &mut [Lanes]) {
        let n_tiles = squares.len() / centres.k;
        let tiles = &self.lanes[first * centres.d..(first + n_tiles) * centres.d];
        with_vectors(Squares { tiles, norms: &self.norms[first..first + n_tiles], centres, squares });
    }
}

/// Centres less the same place, in groups that are compared with a tile at once.
pub(super) struct Centres {
    /// Of each group half the squared distances of its centres from the place, then the first values of all of them, the
    /// second ones, and so on: `|x - c|^2 = |x|^2 - 2 (x c - |c|^2 / 2)`.
    values: Vec<f32>,
    k: usize,
    d: usize,
}

impl Centres {
    fn new(centres: ArrayView2<f32>, place: &Array1<f32>) -> Self {
        let (k, d) = centres.dim();
        let shifts: Array2<f32> = &centres - place;
        let mut values = Vec::with_capacity(k * (d + 1));
        for group in shifts.axis_chunks_iter(Axis(0), GROUP) {
            values.extend(group.rows().into_iter().map(|shift| shift.dot(&shift) / 2.0));
            values.extend(group.t().iter());
        }
        Self { values, k, d }
    }

    /// Number of the first centre of each group, and the group's values.
    #[inline(always)]
    fn groups(&self) -> impl Iterator<Item = (usize, &[f32])> {
        self.values.chunks(GROUP * (self.d + 1)).enumerate().map(|(group, values)| (group * GROUP, values))
    }
}

/// For a tile and each centre of a group `x c - |c|^2 / 2`, which is the higher the closer they are.
#[inline(always)]
fn closeness<const FUSED: bool>(tile: &[Lanes], group: &[f32]) -> ([Lanes; GROUP], usize) {
    let mut all = [[0.0; LANES]; GROUP];
    let n = group.len() / (tile.len() + 1);
    match n {
        1 => all[..1].copy_from_slice(&closeness_of_n::<FUSED, 1>(tile, group)),
        2 => all[..2].copy_from_slice(&closeness_of_n::<FUSED, 2>(tile, group)),
        3 => all[..3].copy_from_slice(&closeness_of_n::<FUSED, 3>(tile, group)),
        4 => all[..4].copy_from_slice(&closeness_of_n::<FUSED, 4>(tile, group)),
        5 => all[..5].copy_from_slice(&closeness_of_n::<FUSED, 5>(tile, group)),
        _ => all = closeness_of_n::<FUSED, GROUP>(tile, group),
    }
    (all, n)
}

/// With a number of centres that the compiler knows, it keeps the sums in registers.
#[inline(always)]
fn closeness_of_n<const FUSED: bool, const N: usize>(tile: &[Lanes], group: &[f32]) -> [Lanes; N] {
    let (half_norms, group) = group.split_at(N);
    let group = group.as_chunks::<N>().0;
    #[cfg(target_arch = "x86_64")]
    if FUSED {
        // SAFETY: `FUSED` is for processors with AVX2 and FMA.
        return unsafe { wide_closeness(tile, group, half_norms) };
    }
    let mut sums = [[0.0; LANES]; N];
    for (values, of_centres) in tile.iter().zip(group) {
        for (sums, of_centre) in sums.iter_mut().zip(of_centres) {
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum = multiply_add::<FUSED>(*value, *of_centre, *sum);
            }
        }
    }
    for (sums, half_norm) in sums.iter_mut().zip(half_norms) {
        for sum in sums {
            *sum -= half_norm;
        }
    }
    sums
}

/// The same in the processor's own words: of the loops above the compiler makes vectors for some numbers of centres and single
/// numbers for others, by what else is compiled beside them, and then takes ten times as long.
///
/// # Safety
/// The processor has AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
#[inline]
unsafe fn wide_closeness<const N: usize>(tile: &[Lanes], group: &[[f32; N]], half_norms: &[f32]) -> [Lanes; N] {
    use std::arch::x86_64::{
        _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_setzero_ps, _mm256_storeu_ps, _mm256_sub_ps,
    };
    let mut sums = [[_mm256_setzero_ps(); 2]; N];
    for (values, of_centres) in tile.iter().zip(group) {
        // SAFETY: sixteen values are two vectors.
        let values = unsafe { [_mm256_loadu_ps(values.as_ptr()), _mm256_loadu_ps(values[8..].as_ptr())] };
        for n in 0..N {
            let of_centre = _mm256_set1_ps(of_centres[n]);
            sums[n] = [0, 1].map(|half| _mm256_fmadd_ps(values[half], of_centre, sums[n][half]));
        }
    }
    let mut all = [[0.0; LANES]; N];
    for n in 0..N {
        let half_norm = _mm256_set1_ps(half_norms[n]);
        for (half, lanes) in all[n].as_chunks_mut::<8>().0.iter_mut().enumerate() {
            // SAFETY: eight values are one vector.
            unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), _mm256_sub_ps(sums[n][half], half_norm)) };
        }
    }
    all
}

struct Norms<'a> {
    lanes: &'a [Lanes],
    d: usize,
}

impl Work for Norms<'_> {
    type Output = Vec<Lanes>;

    #[inline(always)]
    fn run<const FUSED: bool>(self) -> Vec<Lanes> {
        let mut norms = vec![[0.0; LANES]; self.lanes.len() / self.d];
        for (tile, norms) in self.lanes.chunks_exact(self.d).zip(&mut norms) {
            for values in tile {
                for (norm, value) in norms.iter_mut().zip(values) {
                    *norm = multiply_add::<FUSED>(*value, *value, *norm);
                }
            }
        }
        norms
    }
}

struct Nearest<'a> {
    tiles: &'a [Lanes],
    centres: &'a Centres,
    nearest: &'a mut [u32],
}

impl Work for Nearest<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Self { tiles, centres, nearest } = self;
        for (tile, nearest) in tiles.chunks_exact(centres.d).zip(nearest.chunks_mut(LANES)) {
            let mut closest = [f32::NEG_INFINITY; LANES];
            // Numbers in the bits of floats, so that one comparison selects both.
            let mut found = [0.0; LANES];
            for (first, group) in centres.groups() {
                let (all, n) = closeness::<FUSED>(tile, group);
                for (centre, closeness) in all[..n].iter().enumerate() {
                    let number = f32::from_bits((first + centre) as u32);
                    for lane in 0..LANES {
                        let is_closer = closeness[lane] > closest[lane];
                        closest[lane] = if is_closer { closeness[lane] } else { closest[lane] };
                        found[lane] = if is_closer { number } else { found[lane] };
                    }
                }
            }
            nearest.iter_mut().zip(found).for_each(|(nearest, found)| *nearest = found.to_bits());
        }
    }
}

struct Squares<'a> {
    tiles: &'a [Lanes],
    norms: &'a [Lanes],
    centres: &'a Centres,
    squares: &'a mut [Lanes],
}

impl Work for Squares<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Self { tiles, norms, centres, squares } = self;
        for (index, (tile, of_tile)) in tiles.chunks_exact(centres.d).zip(norms.iter()).enumerate() {
            for (first, group) in centres.groups() {
                let (all, n) = closeness::<FUSED>(tile, group);
                for (centre, closeness) in all[..n].iter().enumerate() {
                    let squares = &mut squares[(first + centre) * norms.len() + index];
                    for lane in 0..LANES {
                        // Rounding may leave a little less than nothing.
                        squares[lane] = (of_tile[lane] - 2.0 * closeness[lane]).max(0.0);
                    }
                }
            }
        }
    }
}
