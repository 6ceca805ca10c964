//! Points of many values: as they lie in memory, and read as seldom as bounds of their distances allow.

use crate::device::vectors::{Work, multiply_add};
use ndarray::ArrayView2;

/// Points and centres of which all distances are computed at once.
const N_POINTS: usize = 4;
const N_CENTRES: usize = 3;

/// What rounding may do to a distance, as a share of it: half of what it may do to the square, which is the sum of d of
/// which a register's part adds up an eighth.
fn slack(d: usize) -> f64 {
    (d as f64 / 8.0 + 16.0) * f64::from(f32::EPSILON) / 2.0
}

/// Bounds of a point's distances, after Hamerly, "Making k-means even faster", 2010.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// At least the distance to the centre that was nearest.
    pub(super) upper: f64,
    /// At most the distance to any other.
    pub(super) lower: f64,
}

impl Bounds {
    /// Of a point about which nothing is known.
    pub(super) const NONE: Self = Self { upper: f64::INFINITY, lower: 0.0 };
}

/// How far centres have moved since bounds were last right.
pub(super) struct Movements {
    of_each: Vec<f64>,
    largest: f64,
    second: f64,
}

impl Movements {
    pub(super) fn new(from: ArrayView2<f32>, to: ArrayView2<f32>) -> Self {
        let of_each = Vec::from_iter(
            from.rows().into_iter().zip(to.rows()).map(|(from, to)| super::squared_distance(from, to).sqrt()),
        );
        let mut sorted = of_each.clone();
        sorted.sort_by(|a, b| b.total_cmp(a));
        Self { of_each, largest: sorted[0], second: sorted.get(1).copied().unwrap_or(0.0) }
    }

    fn of_others(&self, centre: usize) -> f64 {
        if self.of_each[centre] == self.largest { self.second } else { self.largest }
    }
}

/// Finds the first of the nearest centres to each point, of which those that were nearest are known where bounds are.
pub(super) struct Nearest<'a> {
    pub(super) points: &'a [f32],
    pub(super) centres: &'a [f32],
    pub(super) d: usize,
    pub(super) movements: &'a Movements,
    pub(super) bounds: &'a mut [Bounds],
    pub(super) nearest: &'a mut [u32],
}

impl Work for Nearest<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Self { points, centres, d, movements, bounds, nearest } = self;
        let row = |index: usize| &points[index * d..(index + 1) * d];
        let centre = |index: usize| &centres[index * d..(index + 1) * d];
        let slack = slack(d);
        let mut open = [0; N_POINTS];
        let mut n_open = 0;
        for index in 0..nearest.len() {
            let own = nearest[index] as usize;
            let Bounds { upper, lower } = &mut bounds[index];
            if upper.is_finite() {
                *upper += movements.of_each[own];
                *lower -= movements.of_others(own);
                if upper < lower {
                    continue;
                }
                let square = square::<FUSED>(row(index), centre(own));
                *upper = f64::from(square).sqrt() * (1.0 + slack);
                if upper < lower {
                    continue;
                }
            }
            open[n_open] = index;
            n_open += 1;
            if n_open == N_POINTS {
                compare::<FUSED>(open, points, centres, d, bounds, nearest);
                n_open = 0;
            }
        }
        if n_open > 0 {
            // One of them several times does no harm.
            let last = open[n_open - 1];
            open[n_open..].fill(last);
            compare::<FUSED>(open, points, centres, d, bounds, nearest);
        }
    }
}

/// Compares points with all centres.
#[inline(always)]
fn compare<const FUSED: bool>(
    indices: [usize; N_POINTS],
    points: &[f32],
    centres: &[f32],
    d: usize,
    bounds: &mut [Bounds],
    nearest: &mut [u32],
) {
    let (k, slack) = (centres.len() / d, slack(d));
    let rows = indices.map(|index| &points[index * d..(index + 1) * d]);
    let mut closest = [f32::INFINITY; N_POINTS];
    let mut second = [f32::INFINITY; N_POINTS];
    let mut found = [0; N_POINTS];
    for first in (0..k).step_by(N_CENTRES) {
        let squares = squares::<FUSED>(rows, group(centres, d, first));
        for centre in first..k.min(first + N_CENTRES) {
            for point in 0..N_POINTS {
                let square = squares[point][centre - first];
                if square < closest[point] {
                    (second[point], closest[point], found[point]) = (closest[point], square, centre as u32);
                } else if square < second[point] {
                    second[point] = square;
                }
            }
        }
    }
    for (point, index) in indices.into_iter().enumerate() {
        nearest[index] = found[point];
        bounds[index] = Bounds {
            upper: f64::from(closest[point]).sqrt() * (1.0 + slack),
            lower: f64::from(second[point]).sqrt() * (1.0 - slack),
        };
    }
}

/// Squared distances of points and centres.
#[inline(always)]
fn squares<const FUSED: bool>(
    points: [&[f32]; N_POINTS],
    centres: [&[f32]; N_CENTRES],
) -> [[f32; N_CENTRES]; N_POINTS] {
    let [p, q, r, s] = points.map(|point| point.as_chunks::<8>());
    let [a, b, c] = centres.map(|centre| centre.as_chunks::<8>());
    let [mut of_p, mut of_q, mut of_r, mut of_s] = [[[0.0; 8]; N_CENTRES]; N_POINTS];
    // Written without an index or a loop over points, so that the compiler keeps the sums in registers.
    let chunks_of_points = p.0.iter().zip(q.0).zip(r.0.iter().zip(s.0));
    for (((p, q), (r, s)), ((a, b), c)) in chunks_of_points.zip(a.0.iter().zip(b.0).zip(c.0)) {
        add_squares::<FUSED>(&mut of_p, p, [a, b, c]);
        add_squares::<FUSED>(&mut of_q, q, [a, b, c]);
        add_squares::<FUSED>(&mut of_r, r, [a, b, c]);
        add_squares::<FUSED>(&mut of_s, s, [a, b, c]);
    }
    let (sums, points, centres) = ([of_p, of_q, of_r, of_s], [p.1, q.1, r.1, s.1], [a.1, b.1, c.1]);
    let mut squares = [[0.0; N_CENTRES]; N_POINTS];
    for point in 0..N_POINTS {
        for centre in 0..N_CENTRES {
            squares[point][centre] = sums[point][centre].iter().sum::<f32>() + rest(points[point], centres[centre]);
        }
    }
    squares
}

#[inline(always)]
fn add_squares<const FUSED: bool>(sums: &mut [[f32; 8]; N_CENTRES], point: &[f32; 8], centres: [&[f32; 8]; N_CENTRES]) {
    for centre in 0..N_CENTRES {
        for lane in 0..8 {
            let difference = point[lane] - centres[centre][lane];
            sums[centre][lane] = multiply_add::<FUSED>(difference, difference, sums[centre][lane]);
        }
    }
}

/// The same of one of each.
#[inline(always)]
fn square<const FUSED: bool>(point: &[f32], centre: &[f32]) -> f32 {
    let mut sums = [0.0; 32];
    let (point, rest_of_point) = point.as_chunks::<32>();
    let (centre, rest_of_centre) = centre.as_chunks::<32>();
    for (point, centre) in point.iter().zip(centre) {
        for lane in 0..32 {
            let difference = point[lane] - centre[lane];
            sums[lane] = multiply_add::<FUSED>(difference, difference, sums[lane]);
        }
    }
    sums.iter().sum::<f32>() + rest(rest_of_point, rest_of_centre)
}

/// Squared distance of the last few values.
#[inline(always)]
fn rest(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// The three centres from `first` on; what there is less is the last one again.
#[inline(always)]
fn group(centres: &[f32], d: usize, first: usize) -> [&[f32]; N_CENTRES] {
    let last = centres.len() / d - 1;
    [0, 1, 2].map(|offset| &centres[(first + offset).min(last) * d..][..d])
}

/// Squared distances of each point to each of a few centres, of one centre after the other.
pub(super) struct Squares<'a> {
    pub(super) points: &'a [f32],
    pub(super) centres: &'a [f32],
    pub(super) d: usize,
    pub(super) squares: &'a mut [f32],
}

impl Work for Squares<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Self { points, centres, d, squares: all } = self;
        let (n, k) = (points.len() / d, centres.len() / d);
        for first_point in (0..n).step_by(N_POINTS) {
            // Of the last point some copies, which are not looked at.
            let rows = [0, 1, 2, 3].map(|offset| &points[(first_point + offset).min(n - 1) * d..][..d]);
            for first in (0..k).step_by(N_CENTRES) {
                let squares = squares::<FUSED>(rows, group(centres, d, first));
                for centre in first..k.min(first + N_CENTRES) {
                    for point in first_point..n.min(first_point + N_POINTS) {
                        all[centre * n + point] = squares[point - first_point][centre - first];
                    }
                }
            }
        }
    }
}
