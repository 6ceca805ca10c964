//! How far points are from the centres of their clusters.

use crate::device::vectors::Work;

/// Sum of the squared distances of points to their centres, in double precision.
pub(super) struct Inertia<'a> {
    pub(super) points: &'a [f32],
    pub(super) centres: &'a [f32],
    pub(super) assignments: &'a [u32],
}

impl Work for Inertia<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<const FUSED: bool>(self) -> f64 {
        let d = self.points.len() / self.assignments.len();
        let mut sums = [0.0; 8];
        for (point, &centre) in self.points.chunks_exact(d).zip(self.assignments) {
            let (point, rest) = point.as_chunks::<8>();
            let (centre, rest_of_centre) = self.centres[centre as usize * d..][..d].as_chunks::<8>();
            for (values, of_centre) in point.iter().zip(centre) {
                for (sum, (value, of_centre)) in sums.iter_mut().zip(values.iter().zip(of_centre)) {
                    let difference = f64::from(value - of_centre);
                    *sum += difference * difference;
                }
            }
            for (sum, (value, of_centre)) in sums.iter_mut().zip(rest.iter().zip(rest_of_centre)) {
                let difference = f64::from(value - of_centre);
                *sum += difference * difference;
            }
        }
        sums.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::vectors::{multiply_add, with_vectors};

    #[test]
    fn both_ways_of_a_loop_give_the_same() {
        let points = Vec::from_iter((0..11 * 7).map(|value| value as f32));
        let inertia = || Inertia { points: &points, centres: &[1.0; 22], assignments: &[0, 1, 0, 1, 1, 0, 0] };
        let wanted: f64 = points.iter().map(|value| f64::from(value - 1.0).powi(2)).sum();
        assert_eq!([inertia().run::<false>(), inertia().run::<true>(), with_vectors(inertia())], [wanted; 3]);
        assert_eq!([multiply_add::<false>(2.0, 3.0, 4.0), multiply_add::<true>(2.0, 3.0, 4.0)], [10.0; 2]);
    }
}
