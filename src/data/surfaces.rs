//! `surfaces`: pictures of a machined part for inspection, in the manner of MVTec AD, made on the spot.
//!
//! Each picture shows a steel disc with a bore and four bolt holes on a dark table. Place, size, turn and light of the part
//! and its brushed texture are drawn anew. Training sees good parts only; test parts may have a scratch, a spot or a
//! missing piece, whose pixels are known ([`surface_masks`]).
//!
//! # Known truth
//! - 800 good parts to train on; 200 good parts and 60 of each defect to test on, 64 x 64 pixels in colour.
//! - A scratch is 1 to 2 pixels wide and 12 to 24 long, a spot 4 to 9 across, a missing piece 8 to 14.
//!
//! As in `scenes` every picture has a random generator of its own, and its arithmetic is the same on every machine.

use super::dice::{Colour, Dice};
use super::images::Images;
use super::pixels::Pixels;
use super::split::Split;
use crate::files::{expand_home, make_folder, write_whole};
use crate::{Result, interrupt};
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use ndarray::Array4;
use std::path::Path;

/// The name by which [`open`](super::open) knows this source.
pub(super) const NAME: &str = "surfaces";

const CLASS_NAMES: [&str; 4] = ["good", "missing", "scratch", "spot"];
const N_TRAIN: usize = 800;
const N_GOOD: usize = 200;
const N_OF_EACH_DEFECT: usize = 60;
const SEED: u64 = 0x50_FACE;

const SIDE_PX: usize = 64;
const N_PIXELS: usize = SIDE_PX * SIDE_PX;

const TABLE: Colour = [0.09, 0.10, 0.12];
const STEEL: Colour = [0.60, 0.62, 0.64];
const RUST: Colour = [0.36, 0.20, 0.12];

type Point = (f32, f32);

/// Makes all pictures.
pub(super) fn make() -> Result<Split> {
    let train = make_images(0, &[0; N_TRAIN])?;
    let test = make_images(N_TRAIN, &test_classes())?;
    let source = format!("procedural pictures of a steel part, good and with three kinds of defects, seed {SEED}");
    Split::new(NAME, train, test)?.with_source(source).with_unseen_classes_as_anomalies()
}

/// Which pixels of the test images of `open("surfaces")` belong to a defect: white ones, in grey images in the same order.
///
/// # Example
/// ```
/// use diabolo::data::surface_masks;
/// use diabolo::prelude::*;
/// let (data, masks) = (open("surfaces")?, surface_masks()?);
/// assert_eq!((masks.len(), masks.shape()), (data.test().len(), [1, 64, 64]));
/// let of_first_good = masks.image(0)?;
/// assert!(of_first_good.iter().all(|pixel| *pixel == -1.0), "black: nothing is wrong with it");
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn surface_masks() -> Result<Images> {
    let classes = test_classes();
    let masks = (N_TRAIN..).zip(&classes).flat_map(|(number, &class)| draw(number, class).mask);
    let pixels = masks.map(mask_byte).collect();
    let pixels = Array4::from_shape_vec((classes.len(), 1, SIDE_PX, SIDE_PX), pixels).expect("a mask for each picture");
    Images::from_bytes(pixels)
}

/// Writes the pictures of `open("surfaces")` as PNG files into a folder, in the manner of MVTec AD: `train/good/000.png`,
/// `test/scratch/000.png`, and the masks as `ground_truth/scratch/000_mask.png`. For other programs, and to see how a
/// folder of one's own is opened; files of these names are replaced.
///
/// # Errors
/// [`Error::File`](crate::Error::File) naming what could not be written.
///
/// # Example
/// ```no_run
/// diabolo::data::write_surfaces("surfaces")?;
/// let data = diabolo::data::open("./surfaces")?;
/// assert_eq!(data.held_out(), ["missing", "scratch", "spot"]);
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn write_surfaces(folder: impl AsRef<Path>) -> Result<()> {
    let folder = expand_home(folder)?;
    let parts = [("train", 0, vec![0; N_TRAIN]), ("test", N_TRAIN, test_classes())];
    for (part, first, classes) in parts {
        let mut n_of_class = [0; CLASS_NAMES.len()];
        for (number, class) in (first..).zip(classes) {
            interrupt::check("writing the pictures of surfaces")?;
            let Picture { colours, mask } = draw(number, class);
            let (name, index) = (CLASS_NAMES[class], n_of_class[class]);
            n_of_class[class] += 1;
            let rgb: Vec<u8> = colours.into_iter().flatten().map(to_byte).collect();
            write_png(&folder.join(part).join(name), &format!("{index:03}.png"), &rgb, ExtendedColorType::Rgb8)?;
            if class > 0 {
                let grey: Vec<u8> = mask.into_iter().map(mask_byte).collect();
                let folder = folder.join("ground_truth").join(name);
                write_png(&folder, &format!("{index:03}_mask.png"), &grey, ExtendedColorType::L8)?;
            }
        }
    }
    Ok(())
}

fn write_png(folder: &Path, name: &str, pixels: &[u8], colour: ExtendedColorType) -> Result<()> {
    make_folder(folder)?;
    let mut png = Vec::new();
    let side = SIDE_PX as u32;
    PngEncoder::new(&mut png).write_image(pixels, side, side, colour).expect("a picture in memory is encoded");
    write_whole(&folder.join(name), &png)
}

/// A channel, 0..=1, as 0..=255.
fn to_byte(value: f32) -> u8 {
    (value.clamp(0.0, 1.0) * 255.0 + 0.5) as u8
}

fn mask_byte(is_defect: bool) -> u8 {
    if is_defect { 255 } else { 0 }
}

/// Good parts first, then each defect.
fn test_classes() -> Vec<usize> {
    let n_of = |class| if class == 0 { N_GOOD } else { N_OF_EACH_DEFECT };
    (0..CLASS_NAMES.len()).flat_map(|class| std::iter::repeat_n(class, n_of(class))).collect()
}

/// Makes the pictures with the numbers from `first` on.
fn make_images(first: usize, classes: &[usize]) -> Result<Images> {
    let mut pixels = Vec::with_capacity(classes.len() * 3 * N_PIXELS);
    for (number, &class) in (first..).zip(classes) {
        let colours = draw(number, class).colours;
        for channel in 0..3 {
            pixels.extend(colours.iter().map(|colour| to_byte(colour[channel])));
        }
    }
    let pixels = Array4::from_shape_vec((classes.len(), 3, SIDE_PX, SIDE_PX), pixels).expect("all pixels were drawn");
    Images::from_pixels(Pixels::Bytes(pixels)).with_classes(&CLASS_NAMES, classes.to_vec())
}

/// A picture and the pixels of its defect.
struct Picture {
    colours: Vec<Colour>,
    mask: Vec<bool>,
}

/// Where a part lies, and how.
struct Part {
    middle_px: Point,
    radius_px: f32,
    /// Cosine and sine of the turn.
    turn: Point,
}

impl Part {
    fn draw(dice: &mut Dice) -> Self {
        let middle = SIDE_PX as f32 / 2.0;
        // The tangent of half the angle gives both without a sine; 0.05 is a turn of 6 degrees.
        let half = dice.between(-0.05, 0.05);
        let cosine_and_sine = ((1.0 - half * half) / (1.0 + half * half), 2.0 * half / (1.0 + half * half));
        Self {
            middle_px: (middle + dice.between(-1.0, 1.0), middle + dice.between(-1.0, 1.0)),
            radius_px: dice.between(24.5, 26.0),
            turn: cosine_and_sine,
        }
    }

    /// A point at this share of the radius, in the direction of a point drawn from a square.
    fn point(&self, dice: &mut Dice, share: f32) -> Point {
        let (x, y) = (dice.between(-1.0, 1.0), dice.between(-1.0, 1.0));
        let length = (x * x + y * y).sqrt().max(0.01);
        let (x, y) = (x / length * share * self.radius_px, y / length * share * self.radius_px);
        (self.middle_px.0 + x, self.middle_px.1 + y)
    }

    /// Signed distance of a pixel from the part's edge in pixels, negative inside.
    fn distance_px(&self, pixel: Point) -> f32 {
        let (x, y) = (pixel.0 - self.middle_px.0, pixel.1 - self.middle_px.1);
        let from_middle = (x * x + y * y).sqrt();
        let (cosine, sine) = self.turn;
        let (x, y) = (x * cosine + y * sine, y * cosine - x * sine);
        let bolt = 0.62 * self.radius_px;
        let holes = [(bolt, 0.0), (-bolt, 0.0), (0.0, bolt), (0.0, -bolt)];
        let from_hole = holes.map(|(hole_x, hole_y)| distance((x, y), (hole_x, hole_y)));
        let from_hole = from_hole.into_iter().fold(f32::INFINITY, f32::min);
        let bore = 0.26 * self.radius_px - from_middle;
        (from_middle - self.radius_px).max(bore).max(0.11 * self.radius_px - from_hole)
    }
}

/// Draws the picture with this number, of this class.
fn draw(number: usize, class: usize) -> Picture {
    let mut dice = Dice::new(SEED + number as u64);
    let part = Part::draw(&mut dice);
    let (table, steel) = (dice.near(TABLE), dice.near(STEEL));
    let (rough, grain) = (noise(&mut dice, 16), noise(&mut dice, 4));
    let (light_x, light_y) = (dice.between(-0.16, -0.08), dice.between(-0.16, -0.08));
    let groove_phase = dice.between(0.0, 1.0);
    let defect = Defect::draw(class, &part, &mut dice);
    let mut picture = Picture { colours: Vec::with_capacity(N_PIXELS), mask: Vec::with_capacity(N_PIXELS) };
    for pixel in 0..N_PIXELS {
        let at = ((pixel % SIDE_PX) as f32 + 0.5, (pixel / SIDE_PX) as f32 + 0.5);
        let (x, y) = ((at.0 - part.middle_px.0) / part.radius_px, (at.1 - part.middle_px.1) / part.radius_px);
        // Turned grooves: brightness rises and falls with the distance from the middle.
        let groove = (x * x + y * y).sqrt() * part.radius_px * 0.4 + groove_phase;
        let groove = 4.0 * (groove - groove.floor() - 0.5).abs() - 1.0;
        let bright = 1.0 + 0.06 * groove + 0.10 * rough[pixel] + 0.08 * grain[pixel] + light_x * x + light_y * y;
        let mut surface = steel.map(|channel| channel * bright);
        let under = table.map(|channel| channel * (1.0 + 0.4 * grain[pixel]));
        let mut inside = (0.5 - part.distance_px(at)).clamp(0.0, 1.0);
        let cover = defect.cover(at) * if inside > 0.5 { 1.0 } else { 0.0 };
        match defect {
            Defect::None => {}
            Defect::Missing { .. } => inside = inside.min(1.0 - cover),
            Defect::Scratch { .. } => surface = mix(surface, [0.92, 0.92, 0.90], 0.75 * cover),
            Defect::Spot { .. } => surface = mix(surface, RUST.map(|channel| channel * bright), 0.85 * cover),
        }
        picture.colours.push(mix(under, surface, inside));
        picture.mask.push(cover >= 0.5);
    }
    picture
}

/// What is wrong with a part.
enum Defect {
    None,
    /// A round piece broken off at the rim.
    Missing {
        middle_px: Point,
        radius_px: f32,
    },
    /// A bright line.
    Scratch {
        from_px: Point,
        to_px: Point,
        half_width_px: f32,
    },
    /// A rusty blot.
    Spot {
        middle_px: Point,
        radius_px: f32,
        stretch: f32,
    },
}

impl Defect {
    fn draw(class: usize, part: &Part, dice: &mut Dice) -> Self {
        match CLASS_NAMES[class] {
            "missing" => {
                let radius_px = dice.between(4.0, 7.0);
                Self::Missing { middle_px: part.point(dice, 0.98), radius_px }
            }
            "scratch" => {
                let share = dice.between(0.45, 0.8);
                let from_px = part.point(dice, share);
                // Along the part, neither out of it nor straight through the bore.
                let (x, y) = (from_px.0 - part.middle_px.0, from_px.1 - part.middle_px.1);
                let length = (x * x + y * y).sqrt().max(1.0);
                let (along, aside) = (dice.between(12.0, 24.0), dice.between(-4.0, 4.0));
                let to_px = (
                    from_px.0 - y / length * along + x / length * aside,
                    from_px.1 + x / length * along + y / length * aside,
                );
                Self::Scratch { from_px, to_px, half_width_px: dice.between(0.5, 1.0) }
            }
            "spot" => {
                let share = dice.between(0.4, 0.85);
                let middle_px = part.point(dice, share);
                Self::Spot { middle_px, radius_px: dice.between(2.0, 4.5), stretch: dice.between(0.7, 1.4) }
            }
            _ => Self::None,
        }
    }

    /// How much of a pixel the defect covers, 0..=1.
    fn cover(&self, at: Point) -> f32 {
        let distance_px = match *self {
            Self::None => return 0.0,
            Self::Missing { middle_px, radius_px } => distance(at, middle_px) - radius_px,
            Self::Scratch { from_px, to_px, half_width_px } => {
                let (x, y) = (to_px.0 - from_px.0, to_px.1 - from_px.1);
                let share = ((at.0 - from_px.0) * x + (at.1 - from_px.1) * y) / (x * x + y * y);
                let share = share.clamp(0.0, 1.0);
                distance(at, (from_px.0 + share * x, from_px.1 + share * y)) - half_width_px
            }
            Self::Spot { middle_px, radius_px, stretch } => {
                let (x, y) = ((at.0 - middle_px.0) * stretch, (at.1 - middle_px.1) / stretch);
                (x * x + y * y).sqrt() - radius_px
            }
        };
        (0.5 - distance_px).clamp(0.0, 1.0)
    }
}

fn distance(a: Point, b: Point) -> f32 {
    let (x, y) = (a.0 - b.0, a.1 - b.1);
    (x * x + y * y).sqrt()
}

/// The colour a share of the way from one to another.
fn mix(from: Colour, to: Colour, share: f32) -> Colour {
    [0, 1, 2].map(|channel| from[channel] + (to[channel] - from[channel]) * share)
}

/// Smooth noise in -1..=1: random values on a lattice of cells of this many pixels, which divide the side, joined smoothly.
fn noise(dice: &mut Dice, cell_px: usize) -> Vec<f32> {
    let n_points = SIDE_PX / cell_px + 1;
    let lattice: Vec<f32> = (0..n_points * n_points).map(|_| dice.between(-1.0, 1.0)).collect();
    let eased = |px: usize| {
        let way = (px % cell_px) as f32 / cell_px as f32;
        (px / cell_px, way * way * (3.0 - 2.0 * way))
    };
    let value = |pixel: usize| {
        let ((column, right), (row, down)) = (eased(pixel % SIDE_PX), eased(pixel / SIDE_PX));
        let at = |row: usize| {
            let points = &lattice[row * n_points + column..];
            points[0] + (points[1] - points[0]) * right
        };
        at(row) + (at(row + 1) - at(row)) * down
    };
    (0..N_PIXELS).map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_machine_makes_the_same_pictures() {
        let bytes = |picture: Picture| picture.colours.into_iter().flatten().map(to_byte);
        let classes = (0..40).map(|number| (number * 20, number % CLASS_NAMES.len()));
        let all = classes.flat_map(|(number, class)| bytes(draw(number, class)));
        assert_eq!(crate::files::fingerprint(all), 1_003_646_042_393_472_090, "the checksum");
    }

    #[test]
    fn defects_change_the_pixels_of_their_masks_and_hardly_any_others() {
        for number in 0..60 {
            let good = draw(number, 0);
            assert!(good.mask.iter().all(|is_defect| !is_defect));
            for (class, name) in CLASS_NAMES.iter().enumerate().skip(1) {
                let Picture { colours, mask } = draw(number, class);
                let n_defect = mask.iter().filter(|&&is_defect| is_defect).count();
                assert!((5..150).contains(&n_defect), "{name} {number}: {n_defect} pixels");
                let (mut difference_in_mask, mut n_far) = (0.0, 0);
                for (pixel, (colour, of_good)) in colours.iter().zip(&good.colours).enumerate() {
                    let difference = colour.iter().zip(of_good).map(|(a, b)| (a - b).abs()).sum::<f32>();
                    let (x, y) = ((pixel % SIDE_PX) as isize, (pixel / SIDE_PX) as isize);
                    let inside = |at: &isize| (0..SIDE_PX as isize).contains(at);
                    let near = (-2..=2).flat_map(|down| (-2..=2).map(move |right| (x + right, y + down)));
                    let is_near =
                        |(x, y): (isize, isize)| inside(&x) && inside(&y) && mask[y as usize * SIDE_PX + x as usize];
                    n_far += usize::from(difference > 0.0 && !near.clone().any(is_near));
                    difference_in_mask += if mask[pixel] { difference } else { 0.0 };
                }
                let mean = difference_in_mask / n_defect as f32;
                assert!(mean > 0.1, "{name} {number}: {mean}");
                // Where a scratch meets a hole, its soft edge may be all that is left of it.
                assert!(n_far <= 12, "{name} {number}: {n_far} pixels far from the mask");
            }
        }
    }
}
