//! The Barnes-Hut quadtree: far points are replaced by their centre of mass.
//!
//! Source: Barnes and Hut, "A hierarchical O(N log N) force-calculation algorithm", 1986; van der Maaten, "Accelerating t-SNE
//! using tree-based algorithms", 2014.

use rayon::prelude::*;

/// Points in the plane.
pub(super) type Place = [f64; 2];

/// Points of a leaf: fewer make the tree deep, more make pairs of points many.
const LEAF: usize = 8;
/// Halvings after which points in one place are left together.
const MOST_LEVELS: u32 = 48;
/// A cell whose side is below this share of its distance is taken as one point.
const THETA: f64 = 0.5;

/// A square cell of the plane with some points.
struct Cell {
    centre_of_mass: Place,
    mass: f64,
    /// Square of side / [`THETA`]: the cell is taken as one point by what is farther away.
    far: f64,
    /// Its points, in the tree's order.
    points: std::ops::Range<u32>,
    /// The cell that follows when this one's inside is skipped.
    next: u32,
    is_leaf: bool,
}

/// The cells of a map, each followed by those inside it.
pub(super) struct Quadtree {
    cells: Vec<Cell>,
    /// The points in an order in which neighbours are near each other.
    places: Vec<Place>,
    /// Which point each of `places` is.
    order: Vec<u32>,
}

impl Quadtree {
    /// Sorts points into cells.
    pub(super) fn new(points: &[Place]) -> Self {
        let [(left, right), (bottom, top)] = [extent(points, 0), extent(points, 1)];
        let side = (right - left).max(top - bottom).max(f64::MIN_POSITIVE);
        let middle = [(left + right) / 2.0, (bottom + top) / 2.0];
        let mut items: Vec<(Place, u32)> = points.iter().copied().zip(0..).collect();
        let mut cells = Vec::with_capacity(points.len());
        grow(&mut items, 0, middle, side, 0, &mut cells);
        let (places, order) = items.into_iter().unzip();
        Self { cells, places, order }
    }

    /// The repulsion of each point of the map.
    pub(super) fn repulsions(&self, map: &[Place]) -> Vec<(Place, f64)> {
        // In the tree's order, in which one point's way through the tree is nearly the next one's.
        let repulsion = |&point: &u32| self.repulsion(map[point as usize]);
        let in_order: Vec<(Place, f64)> = self.order.par_iter().with_min_len(256).map(repulsion).collect();
        let mut repulsions = vec![([0.0; 2], 0.0); map.len()];
        self.order.iter().zip(in_order).for_each(|(&point, repulsion)| repulsions[point as usize] = repulsion);
        repulsions
    }

    /// The repulsive force on the point at `place`, `sum of q^2 (y - y_j)`, and `sum of q`, where
    /// `q = 1 / (1 + |y - y_j|^2)`; the point itself, at distance 0, adds 1 to the second.
    fn repulsion(&self, place: Place) -> (Place, f64) {
        let (mut push, mut sum) = ([0.0; 2], 0.0);
        let mut add = |other: Place, mass: f64| {
            let difference = [place[0] - other[0], place[1] - other[1]];
            let q = 1.0 / (1.0 + difference[0] * difference[0] + difference[1] * difference[1]);
            let weight = mass * q;
            sum += weight;
            push[0] += weight * q * difference[0];
            push[1] += weight * q * difference[1];
        };
        let mut index = 0;
        while let Some(cell) = self.cells.get(index) {
            let difference = [place[0] - cell.centre_of_mass[0], place[1] - cell.centre_of_mass[1]];
            if difference[0] * difference[0] + difference[1] * difference[1] > cell.far {
                add(cell.centre_of_mass, cell.mass);
                index = cell.next as usize;
            } else if cell.is_leaf {
                self.places[cell.points.start as usize..cell.points.end as usize]
                    .iter()
                    .for_each(|&other| add(other, 1.0));
                index = cell.next as usize;
            } else {
                index += 1;
            }
        }
        (push, sum)
    }
}

/// The lowest and the highest value along an axis.
pub(super) fn extent(points: &[Place], axis: usize) -> (f64, f64) {
    let values = points.iter().map(|place| place[axis]);
    (values.clone().fold(f64::INFINITY, f64::min), values.fold(f64::NEG_INFINITY, f64::max))
}

/// Puts `items`, which begin at `start` in the tree's order, into a cell and those inside it.
fn grow(items: &mut [(Place, u32)], start: u32, middle: Place, side: f64, level: u32, cells: &mut Vec<Cell>) {
    let n = items.len() as f64;
    let sum = items.iter().fold([0.0; 2], |sum, (place, _)| [sum[0] + place[0], sum[1] + place[1]]);
    let is_leaf = items.len() <= LEAF || level == MOST_LEVELS;
    let index = cells.len();
    cells.push(Cell {
        centre_of_mass: sum.map(|value| value / n),
        mass: n,
        far: (side / THETA).powi(2),
        points: start..start + items.len() as u32,
        next: 0,
        is_leaf,
    });
    if !is_leaf {
        let mut start = start;
        let mut rest = items;
        for (quadrant, right_and_top) in [(false, false), (true, false), (false, true), (true, true)].iter().enumerate()
        {
            let belongs =
                |place: &Place| (place[0] > middle[0], place[1] > middle[1]) == *right_and_top || quadrant == 3;
            let n_inside = partition(rest, |(place, _)| belongs(place));
            let (inside, others) = rest.split_at_mut(n_inside);
            if !inside.is_empty() {
                let quarter = side / 4.0;
                let shifted = |axis: usize, up: bool| middle[axis] + if up { quarter } else { -quarter };
                let middle = [shifted(0, right_and_top.0), shifted(1, right_and_top.1)];
                grow(inside, start, middle, side / 2.0, level + 1, cells);
            }
            start += n_inside as u32;
            rest = others;
        }
    }
    cells[index].next = cells.len() as u32;
}

/// Moves what belongs to the front; how many are these?
fn partition<T>(items: &mut [T], belongs: impl Fn(&T) -> bool) -> usize {
    let mut n_inside = 0;
    for index in 0..items.len() {
        if belongs(&items[index]) {
            items.swap(index, n_inside);
            n_inside += 1;
        }
    }
    n_inside
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(n: usize) -> Vec<Place> {
        let random = |index: usize| ((index as f64 * 12.9898).sin() * 43_758.545_3).fract();
        (0..n).map(|index| [10.0 * random(index), 20.0 * random(index + n)]).collect()
    }

    #[test]
    fn the_push_is_nearly_that_of_all_pairs() {
        let places = places(2000);
        let tree = Quadtree::new(&places);
        let (mut squared_errors, mut squares) = (0.0, 0.0);
        for &place in places.iter().step_by(17) {
            let (mut push, mut sum) = ([0.0; 2], 0.0);
            for other in &places {
                let difference = [place[0] - other[0], place[1] - other[1]];
                let q = 1.0 / (1.0 + difference[0].powi(2) + difference[1].powi(2));
                sum += q;
                (0..2).for_each(|axis| push[axis] += q * q * difference[axis]);
            }
            let (found, found_sum) = tree.repulsion(place);
            squared_errors += (found[0] - push[0]).powi(2) + (found[1] - push[1]).powi(2);
            squares += push[0].powi(2) + push[1].powi(2);
            assert!((found_sum / sum - 1.0).abs() < 0.03, "{found_sum}, exactly {sum}");
        }
        let error = (squared_errors / squares).sqrt();
        assert!(error < 0.1, "pushes are wrong by a share of {error}");
    }

    #[test]
    fn every_point_is_in_the_order_once() {
        let mut order = Quadtree::new(&places(500)).order;
        order.sort_unstable();
        assert!(order.iter().copied().eq(0..500));
    }

    #[test]
    fn points_in_one_place_end() {
        let tree = Quadtree::new(&[[3.0, 4.0]; 100]);
        assert_eq!(tree.repulsion([3.0, 4.0]), ([0.0; 2], 100.0));
    }
}
