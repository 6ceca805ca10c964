//! The ten objects, each a few flat shapes laid over one another and lit from the upper left.
//!
//! Shapes are given in the object's own frame: x to the right, y down, both about -1..=1. A shape is its signed
//! distance, negative inside, so that edges come out smooth at any size.

use super::{Canvas, Colour, Dice, SIDE_PX};
use std::ops::Range;

/// Class names, in the order of the class indices.
pub(super) const CLASS_NAMES: [&str; 10] =
    ["balloon", "boat", "car", "fish", "flower", "house", "moon", "mushroom", "star", "tree"];

type Point = (f32, f32);

/// A star's outline: five points on a circle of radius 0.98, and five between them on one of 0.42.
const STAR: [Point; 10] = [
    (0.0, -0.98),
    (0.247, -0.34),
    (0.932, -0.303),
    (0.399, 0.13),
    (0.576, 0.793),
    (0.0, 0.42),
    (-0.576, 0.793),
    (-0.399, 0.13),
    (-0.932, -0.303),
    (-0.247, -0.34),
];

/// Colours that any object may have.
const PAINTS: [Colour; 8] = [
    [0.80, 0.16, 0.14],
    [0.90, 0.48, 0.12],
    [0.92, 0.76, 0.18],
    [0.18, 0.52, 0.30],
    [0.14, 0.36, 0.70],
    [0.48, 0.24, 0.58],
    [0.88, 0.46, 0.60],
    [0.78, 0.76, 0.70],
];
const DARK: Colour = [0.10, 0.09, 0.10];
const TYRE: Colour = [0.22, 0.21, 0.22];
const WOOD: Colour = [0.36, 0.23, 0.13];
const PALE: Colour = [0.93, 0.90, 0.82];
const GLASS: Colour = [0.62, 0.78, 0.86];

/// No object reaches further from its middle to any side, tilted or not, soft edge included.
const REACH: f32 = 1.15;

/// Where an object stands, and how.
pub(super) struct Place {
    pub(super) x_px: f32,
    pub(super) y_px: f32,
    /// Half the object's size.
    pub(super) scale_px: f32,
    /// Cosine and sine of the tilt.
    tilt: Point,
    is_mirrored: bool,
}

impl Place {
    pub(super) fn draw(dice: &mut Dice) -> Self {
        let scale_px = dice.between(8.0, 12.5);
        let room_px = SIDE_PX as f32 / 2.0 - scale_px;
        let middle_px = SIDE_PX as f32 / 2.0;
        // The tangent of half the angle gives both without a sine; 0.12 is a tilt of 14 degrees.
        let half = dice.between(-0.12, 0.12);
        Self {
            x_px: middle_px + room_px * dice.between(-1.0, 1.0),
            y_px: middle_px + room_px * dice.between(-1.0, 1.0),
            scale_px,
            tilt: ((1.0 - half * half) / (1.0 + half * half), 2.0 * half / (1.0 + half * half)),
            is_mirrored: dice.happens(0.5),
        }
    }

    /// The middle of a pixel seen from the object's, right and down, in the object's size.
    fn offset(&self, pixel: usize) -> Point {
        let (x_px, y_px) = ((pixel % SIDE_PX) as f32 + 0.5, (pixel / SIDE_PX) as f32 + 0.5);
        ((x_px - self.x_px) / self.scale_px, (y_px - self.y_px) / self.scale_px)
    }

    /// The same point in the object's own frame, which is tilted and perhaps mirrored.
    fn frame(&self, (x, y): Point) -> Point {
        let (cosine, sine) = self.tilt;
        let across = x * cosine + y * sine;
        (if self.is_mirrored { -across } else { across }, y * cosine - x * sine)
    }
}

/// Draws an object of a class over the canvas.
pub(super) fn draw(canvas: &mut Canvas, class: usize, place: &Place, dice: &mut Dice) {
    let paint = |dice: &mut Dice| {
        let colour = dice.pick(&PAINTS);
        dice.near(colour)
    };
    let (main, second) = (paint(dice), paint(dice));
    let mut brush = Brush::new(canvas, place);
    match CLASS_NAMES[class] {
        "balloon" => brush.balloon(main, second),
        "boat" => brush.boat(main, second),
        "car" => brush.car(main),
        "fish" => brush.fish(main, second),
        "flower" => brush.flower(main, second),
        "house" => brush.house(main, second),
        "moon" => brush.moon(main, second),
        "mushroom" => brush.mushroom(main),
        "star" => brush.star(main, second),
        "tree" => brush.tree(main, second),
        unknown => unreachable!("every class name has an object, {unknown} too"),
    }
}

/// Paints shapes of one object.
struct Brush<'a> {
    canvas: &'a mut Canvas,
    scale_px: f32,
    /// How far outside a shape a pixel can lie and still have a share of it, in the object's frame.
    edge: f32,
    spots: Vec<Spot>,
}

/// A part of the object's frame.
struct Area {
    across: Range<f32>,
    down: Range<f32>,
}

/// A pixel that the object may cover.
struct Spot {
    pixel: usize,
    /// Its middle in the object's own frame.
    point: Point,
    /// How brightly an object is lit there.
    light: f32,
}

impl<'a> Brush<'a> {
    fn new(canvas: &'a mut Canvas, place: &Place) -> Self {
        let mut spots = Vec::with_capacity(canvas.len());
        for pixel in 0..canvas.len() {
            let (x, y) = place.offset(pixel);
            if x.abs() < REACH && y.abs() < REACH {
                spots.push(Spot { pixel, point: place.frame((x, y)), light: 1.0 - 0.16 * (x + y) });
            }
        }
        // Half a pixel, and more than what rounding can make of it.
        Self { canvas, scale_px: place.scale_px, edge: 0.5 / place.scale_px + 1e-3, spots }
    }

    fn ellipse(&mut self, colour: Colour, centre: Point, radii: Point) {
        self.fill(colour, self.around_ellipse(centre, radii), |p| ellipse(p, centre, radii));
    }

    fn segment(&mut self, colour: Colour, from: Point, to: Point, radius: f32) {
        self.fill(colour, self.around(&[from, to], radius), |p| segment(p, from, to, radius));
    }

    fn polygon(&mut self, colour: Colour, corners: &[Point]) {
        self.fill(colour, self.around(corners, 0.0), |p| polygon(p, corners));
    }

    /// Where lines between points can be seen that are wider by `radius` to each side.
    fn around(&self, points: &[Point], radius: f32) -> Area {
        let reach = radius + self.edge;
        let spread = |coordinates: &dyn Fn(&Point) -> f32| {
            let low = points.iter().map(coordinates).fold(f32::INFINITY, f32::min);
            let high = points.iter().map(coordinates).fold(f32::NEG_INFINITY, f32::max);
            low - reach..high + reach
        };
        Area { across: spread(&|point| point.0), down: spread(&|point| point.1) }
    }

    /// Where an ellipse can be seen: its distance grows more slowly along its longer axis.
    fn around_ellipse(&self, centre: Point, radii: Point) -> Area {
        let share = 1.0 + self.edge / radii.0.min(radii.1);
        let reach = (radii.0 * share, radii.1 * share);
        Area { across: centre.0 - reach.0..centre.0 + reach.0, down: centre.1 - reach.1..centre.1 + reach.1 }
    }

    /// Lays a shape over what is there; outside `area` its distance is more than half a pixel.
    fn fill(&mut self, colour: Colour, area: Area, distance: impl Fn(Point) -> f32) {
        let spots =
            self.spots.iter().filter(|spot| area.across.contains(&spot.point.0) && area.down.contains(&spot.point.1));
        for &Spot { pixel, point, light } in spots {
            let cover = (0.5 - distance(point) * self.scale_px).clamp(0.0, 1.0);
            for (under, channel) in self.canvas[pixel].iter_mut().zip(colour) {
                *under += ((channel * light).clamp(0.0, 1.0) - *under) * cover;
            }
        }
    }

    fn balloon(&mut self, main: Colour, second: Colour) {
        let ropes = [((-0.38, 0.2), (-0.14, 0.75)), ((0.38, 0.2), (0.14, 0.75))];
        let ends = ropes.map(|(top, bottom)| [top, bottom]).concat();
        self.fill(DARK, self.around(&ends, 0.03), |p| {
            ropes.iter().map(|&(top, bottom)| segment(p, top, bottom, 0.03)).fold(f32::INFINITY, f32::min)
        });
        self.ellipse(main, (0.0, -0.3), (0.66, 0.7));
        self.ellipse(second, (0.0, -0.3), (0.26, 0.7));
        self.polygon(WOOD, &[(-0.22, 0.7), (0.22, 0.7), (0.17, 0.98), (-0.17, 0.98)]);
    }

    fn boat(&mut self, main: Colour, second: Colour) {
        self.segment(WOOD, (0.0, -0.92), (0.0, 0.4), 0.05);
        self.polygon(PALE, &[(0.09, -0.86), (0.09, 0.22), (0.78, 0.22)]);
        self.polygon(second, &[(-0.09, -0.62), (-0.09, 0.22), (-0.58, 0.22)]);
        self.polygon(main, &[(-0.96, 0.34), (0.96, 0.34), (0.62, 0.82), (-0.62, 0.82)]);
    }

    fn car(&mut self, main: Colour) {
        self.polygon(main, &[(-0.62, 0.0), (-0.4, -0.46), (0.3, -0.46), (0.62, 0.0)]);
        self.polygon(GLASS, &[(-0.44, -0.04), (-0.31, -0.34), (0.22, -0.34), (0.42, -0.04)]);
        self.polygon(main, &[(-0.98, -0.02), (0.86, -0.02), (0.98, 0.16), (0.98, 0.44), (-0.98, 0.44)]);
        for x in [-0.52, 0.52] {
            self.ellipse(TYRE, (x, 0.44), (0.24, 0.24));
        }
    }

    fn fish(&mut self, main: Colour, second: Colour) {
        self.polygon(second, &[(-0.4, 0.0), (-0.98, -0.46), (-0.8, 0.0), (-0.98, 0.46)]);
        self.polygon(second, &[(-0.3, -0.36), (0.0, -0.8), (0.4, -0.4)]);
        self.ellipse(main, (0.16, 0.0), (0.8, 0.54));
        for x in [-0.22, 0.12] {
            self.ellipse(second, (x, 0.0), (0.1, 0.48));
        }
        self.ellipse(PALE, (0.58, -0.1), (0.17, 0.17));
        self.ellipse(DARK, (0.6, -0.1), (0.09, 0.09));
    }

    fn flower(&mut self, main: Colour, second: Colour) {
        const LEAF: Colour = [0.20, 0.46, 0.16];
        self.segment(LEAF, (0.0, 0.0), (0.0, 0.95), 0.06);
        self.ellipse(LEAF, (0.26, 0.66), (0.26, 0.11));
        for (x, y) in [(0.46, 0.0), (0.23, 0.4), (-0.23, 0.4), (-0.46, 0.0), (-0.23, -0.4), (0.23, -0.4)] {
            self.ellipse(main, (x, y - 0.3), (0.26, 0.26));
        }
        self.ellipse(second, (0.0, -0.3), (0.24, 0.24));
    }

    fn house(&mut self, main: Colour, second: Colour) {
        self.polygon(main, &[(-0.66, -0.12), (0.66, -0.12), (0.66, 0.8), (-0.66, 0.8)]);
        self.polygon(second, &[(-0.92, -0.08), (0.0, -0.86), (0.92, -0.08)]);
        self.polygon(WOOD, &[(-0.42, 0.26), (-0.12, 0.26), (-0.12, 0.8), (-0.42, 0.8)]);
        self.polygon(GLASS, &[(0.12, 0.12), (0.46, 0.12), (0.46, 0.44), (0.12, 0.44)]);
    }

    fn moon(&mut self, main: Colour, second: Colour) {
        let crater = main.map(|channel| channel * 0.4);
        let (centre, radii) = ((-0.06, 0.0), (0.98, 0.98));
        self.fill(main, self.around_ellipse(centre, radii), |p| {
            ellipse(p, centre, radii).max(-ellipse(p, (0.42, -0.12), (0.74, 0.74)))
        });
        for (x, y, radius) in [(-0.66, -0.2, 0.15), (-0.58, 0.32, 0.19), (-0.1, 0.74, 0.14)] {
            self.ellipse(crater, (x, y), (radius, radius));
        }
        self.polygon(second, &STAR.map(|(x, y)| (0.44 + 0.44 * x, 0.44 * y - 0.16)));
    }

    fn mushroom(&mut self, main: Colour) {
        self.polygon(PALE, &[(-0.2, 0.0), (0.2, 0.0), (0.3, 0.9), (-0.3, 0.9)]);
        let (centre, radii) = ((0.0, 0.12), (0.92, 0.92));
        self.fill(main, self.around_ellipse(centre, radii), |p| ellipse(p, centre, radii).max(p.1 - 0.12));
        for (x, y, radius) in [(-0.42, -0.12, 0.15), (0.06, -0.46, 0.17), (0.48, -0.1, 0.13)] {
            self.ellipse(PALE, (x, y), (radius, radius));
        }
    }

    fn star(&mut self, main: Colour, second: Colour) {
        self.polygon(main, &STAR);
        self.polygon(second, &STAR.map(|(x, y)| (0.5 * x, 0.5 * y)));
        for x in [-0.16, 0.16] {
            self.ellipse(DARK, (x, -0.06), (0.09, 0.13));
        }
    }

    fn tree(&mut self, main: Colour, second: Colour) {
        self.polygon(WOOD, &[(-0.14, 0.4), (0.14, 0.4), (0.18, 0.98), (-0.18, 0.98)]);
        for (y, half_width) in [(0.6, 0.92), (0.1, 0.7), (-0.36, 0.48)] {
            self.polygon(main, &[(-half_width, y), (0.0, y - 0.64), (half_width, y)]);
        }
        for (x, y) in [(-0.5, 0.48), (0.1, 0.42), (0.36, -0.02), (-0.26, -0.04), (0.02, -0.5)] {
            self.ellipse(second, (x, y), (0.13, 0.13));
        }
    }
}

/// Distance to an ellipse: exact for a circle, near enough elsewhere at the edge, where it matters.
fn ellipse((x, y): Point, centre: Point, radii: Point) -> f32 {
    let (x, y) = ((x - centre.0) / radii.0, (y - centre.1) / radii.1);
    ((x * x + y * y).sqrt() - 1.0) * radii.0.min(radii.1)
}

/// Distance to a line with round ends.
fn segment(point: Point, from: Point, to: Point, radius: f32) -> f32 {
    squared_distance(point, from, to).sqrt() - radius
}

/// Distance to a polygon: that of its nearest side, negative where a ray to the right crosses an odd number of sides.
fn polygon((x, y): Point, corners: &[Point]) -> f32 {
    let mut nearest = f32::INFINITY;
    let mut is_inside = false;
    for (&from, &to) in corners.iter().zip(corners[1..].iter().chain(corners)) {
        nearest = nearest.min(squared_distance((x, y), from, to));
        if (from.1 > y) != (to.1 > y) && x < from.0 + (y - from.1) / (to.1 - from.1) * (to.0 - from.0) {
            is_inside = !is_inside;
        }
    }
    if is_inside { -nearest.sqrt() } else { nearest.sqrt() }
}

/// Squared distance from a point to a line between two others.
fn squared_distance((x, y): Point, from: Point, to: Point) -> f32 {
    let (along, way) = ((to.0 - from.0, to.1 - from.1), (x - from.0, y - from.1));
    let share = (way.0 * along.0 + way.1 * along.1) / (along.0 * along.0 + along.1 * along.1);
    let share = share.clamp(0.0, 1.0);
    let (x, y) = (way.0 - along.0 * share, way.1 - along.1 * share);
    x * x + y * y
}
