//! Backgrounds: 1/f noise in the colours of skies, meadows, sand and sea.

use super::objects::Place;
use super::{Canvas, Colour, Dice, N_PIXELS, SIDE_PX, mix};
use std::ops::Range;

/// A surface, as the two colours that its noise runs between, and how much wider than high its patches are.
struct Surface {
    dark: Colour,
    light: Colour,
    stretch: f32,
}

const GROUNDS: [Surface; 5] = [
    Surface { dark: [0.13, 0.28, 0.10], light: [0.47, 0.62, 0.24], stretch: 1.0 }, // meadow
    Surface { dark: [0.36, 0.36, 0.14], light: [0.72, 0.66, 0.34], stretch: 1.0 }, // dry meadow
    Surface { dark: [0.62, 0.48, 0.30], light: [0.90, 0.79, 0.57], stretch: 1.6 }, // sand
    Surface { dark: [0.04, 0.22, 0.38], light: [0.24, 0.54, 0.64], stretch: 3.0 }, // sea
    Surface { dark: [0.24, 0.20, 0.17], light: [0.55, 0.49, 0.43], stretch: 1.3 }, // soil
];

/// A sky: its colour high up, and near the horizon.
struct Sky {
    zenith: Colour,
    horizon: Colour,
}

const SKIES: [Sky; 4] = [
    Sky { zenith: [0.22, 0.46, 0.80], horizon: [0.66, 0.80, 0.90] }, // clear day
    Sky { zenith: [0.34, 0.56, 0.78], horizon: [0.74, 0.82, 0.84] }, // haze
    Sky { zenith: [0.33, 0.29, 0.50], horizon: [0.90, 0.60, 0.42] }, // dusk
    Sky { zenith: [0.46, 0.50, 0.56], horizon: [0.70, 0.72, 0.74] }, // overcast
];

const CLOUD: Colour = [0.84, 0.85, 0.86];

/// Draws a sky, a ground seen from above, or a landscape of both whose horizon passes behind the object.
pub(super) fn draw(dice: &mut Dice, place: &Place) -> Canvas {
    let horizon_px = match dice.between(0.0, 1.0) {
        share if share < 0.25 => SIDE_PX as f32 + 2.0,
        share if share < 0.5 => -2.0,
        _ => place.y_px + place.scale_px * dice.between(-0.2, 0.7),
    };
    let sky = draw_sky(dice, horizon_px);
    let ground = draw_ground(dice);
    // The horizon rises and falls a little, along the middle row of a noise of its own.
    const MIDDLE: usize = SIDE_PX / 2;
    let ridge = noise(dice, 1.0, MIDDLE..MIDDLE + 1);
    std::array::from_fn(|pixel| {
        let height_px = horizon_px + 2.0 * ridge[MIDDLE * SIDE_PX + pixel % SIDE_PX];
        let share = ((pixel / SIDE_PX) as f32 + 0.5 - height_px).clamp(0.0, 1.0);
        mix(sky[pixel], ground[pixel], share)
    })
}

fn draw_sky(dice: &mut Dice, horizon_px: f32) -> Canvas {
    let sky = &SKIES[dice.pick(&[0, 0, 1, 2, 3])];
    let (zenith, horizon) = (dice.near(sky.zenith), dice.near(sky.horizon));
    let clouds = noise(dice, 1.8, 0..SIDE_PX);
    // How much of the sky is covered: from none to most.
    let cover = dice.between(-0.7, 0.2);
    let depth_px = horizon_px.max(SIDE_PX as f32 / 2.0);
    std::array::from_fn(|pixel| {
        let height = ((pixel / SIDE_PX) as f32 / depth_px).clamp(0.0, 1.0);
        let cloud = ((clouds[pixel] + cover) * 1.6).clamp(0.0, 0.85);
        mix(mix(zenith, horizon, height), CLOUD, cloud)
    })
}

fn draw_ground(dice: &mut Dice) -> Canvas {
    let surface = &GROUNDS[dice.pick(&[0, 1, 2, 3, 4])];
    let (dark, light) = (dice.near(surface.dark), dice.near(surface.light));
    let texture = noise(dice, surface.stretch, 0..SIDE_PX);
    let contrast = dice.between(0.5, 1.0);
    std::array::from_fn(|pixel| mix(dark, light, (0.5 + contrast * texture[pixel]).clamp(0.0, 1.0)))
}

/// Smooth noise whose strength falls with frequency as 1/f, about -0.7..=0.7; patches are `stretch` times as wide as high.
/// Only `rows` are computed; every row costs the same random numbers.
///
/// Each octave is a lattice of random values, twice as fine as the one before and half as strong, joined smoothly.
fn noise(dice: &mut Dice, stretch: f32, rows: Range<usize>) -> [f32; N_PIXELS] {
    const COARSEST_PX: f32 = 20.0;
    const N_OCTAVES: i32 = 5;
    /// Points along a side of the finest lattice: 32 pixels / 1.25 pixels, the offset and the end points.
    const N_POINTS: usize = 29;
    let mut sum = [0.0; N_PIXELS];
    // Each row of the lattice, joined from left to right.
    let mut lines = [[0.0; SIDE_PX]; N_POINTS];
    let (mut cell_px, mut strength) = (COARSEST_PX, 0.55);
    for _ in 0..N_OCTAVES {
        let (offset_x, offset_y) = (dice.between(0.0, 1.0), dice.between(0.0, 1.0));
        let n_points = (SIDE_PX as f32 / cell_px) as usize + 3;
        let columns: [_; SIDE_PX] =
            std::array::from_fn(|x| lattice_position(x as f32 / (cell_px * stretch) + offset_x));
        for line in &mut lines[..n_points] {
            let points: [f32; N_POINTS] = std::array::from_fn(|point| match point < n_points {
                true => dice.between(-strength, strength),
                false => 0.0,
            });
            *line = columns.map(|(left, way)| points[left] + (points[left + 1] - points[left]) * way);
        }
        for (y, row) in rows.clone().zip(sum.chunks_exact_mut(SIDE_PX).skip(rows.start)) {
            let (top, way) = lattice_position(y as f32 / cell_px + offset_y);
            for ((value, above), below) in row.iter_mut().zip(&lines[top]).zip(&lines[top + 1]) {
                *value += above + (below - above) * way;
            }
        }
        cell_px /= 2.0;
        strength /= 2.0;
    }
    sum
}

/// The lattice point before a position, and how far on the way to the next it is, eased in and out.
fn lattice_position(position: f32) -> (usize, f32) {
    let before = position as usize;
    let way = position - before as f32;
    (before, way * way * (3.0 - 2.0 * way))
}
