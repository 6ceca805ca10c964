//! `scenes`: small colour pictures made on the spot, so that every notebook runs on a fresh machine without a network.
//!
//! Each picture shows one object of ten classes on a natural-looking background: sky, meadow, sand or sea, or a
//! landscape of two of them, textured with 1/f noise as photographs are. Position, size, tilt, mirroring and colours of
//! the object and the whole background are drawn independently of its class, so that class is shape and nothing else.
//!
//! # Known truth
//! - 8,000 pictures to train on and 2,000 to test on: 800 and 200 of each class, classes taking turns.
//! - One in fifty of each class, in training and in test, has a plain white background instead (160 and 40 in all):
//!   too few for an autoencoder to learn well, as the report remarks of real photographs.
//! - Reconstruction error tells classes apart by how much of a picture their object fills and how detailed it is, as it
//!   does on photographs: with moon and mushroom held out small autoencoders reach an AUC of about 0.65, with boat and
//!   car 0.5. White backgrounds have about 1.7 times the error of the others.
//!
//! # The same everywhere
//! Every picture has a random generator of its own, seeded by its number, so threads do not matter. Its arithmetic is
//! addition, multiplication, division, square root and comparison of 32-bit floats in a fixed order; IEEE 754 fixes
//! their results to the last bit, which it does not for sines or powers. A test holds the checksum.

mod background;
mod objects;

use super::dice::{Colour, Dice};
use super::images::Images;
use super::pixels::Pixels;
use super::split::Split;
use crate::Result;
use ndarray::Array4;

/// The name by which [`open`](super::open) knows this source.
pub(super) const NAME: &str = "scenes";

const N_TRAIN: usize = 8_000;
const N_TEST: usize = 2_000;
/// One picture in this many has a plain white background.
const WHITE_EVERY: usize = 50;
const SEED: u64 = 0x5CE_0E5;

const SIDE_PX: usize = 32;
const N_PIXELS: usize = SIDE_PX * SIDE_PX;

/// A picture in the making, row by row.
type Canvas = [Colour; N_PIXELS];

/// Makes all pictures.
pub(super) fn make() -> Result<Split> {
    // Test pictures carry on the numbers of the training pictures, so that no seed is used twice.
    let train = make_images(0, N_TRAIN)?;
    let test = make_images(N_TRAIN, N_TEST)?;
    let source = format!(
        "procedural pictures of ten objects on natural-looking backgrounds, 1 in {WHITE_EVERY} on plain white, seed {SEED}"
    );
    Ok(Split::new(NAME, train, test)?.with_source(source))
}

/// Makes the pictures with the numbers `first..first + n`, half of them on a second thread.
fn make_images(first: usize, n: usize) -> Result<Images> {
    let mut pixels = vec![0; n * 3 * N_PIXELS];
    let (near, far) = pixels.split_at_mut(n / 2 * 3 * N_PIXELS);
    let fill = |pixels: &mut [u8], first: usize| {
        pixels.chunks_exact_mut(3 * N_PIXELS).zip(first..).for_each(|(picture, number)| draw(number, picture));
    };
    std::thread::scope(|scope| {
        scope.spawn(|| fill(near, first));
        fill(far, first + n / 2);
    });
    let pixels = Array4::from_shape_vec((n, 3, SIDE_PX, SIDE_PX), pixels).expect("the buffer holds n pictures");
    let classes = (first..first + n).map(class_of).collect();
    Images::from_pixels(Pixels::Bytes(pixels)).with_classes(&objects::CLASS_NAMES, classes)
}

/// Class of the picture with this number.
fn class_of(number: usize) -> usize {
    number % objects::CLASS_NAMES.len()
}

/// Whether the picture with this number is on plain white: an exact share of each class, spread evenly.
fn is_on_white(number: usize) -> bool {
    let (turn, class) = (number / objects::CLASS_NAMES.len(), class_of(number));
    (turn + 4 * class) % WHITE_EVERY == WHITE_EVERY / 2
}

/// Draws the picture with this number into `picture`, `[c, h, w]`.
fn draw(number: usize, picture: &mut [u8]) {
    let mut dice = Dice::new(SEED + number as u64);
    let place = objects::Place::draw(&mut dice);
    let mut canvas = background::draw(&mut dice, &place);
    if is_on_white(number) {
        canvas = [[1.0; 3]; N_PIXELS];
    }
    objects::draw(&mut canvas, class_of(number), &place, &mut dice);
    for (channel, plane) in picture.chunks_exact_mut(N_PIXELS).enumerate() {
        for (byte, colour) in plane.iter_mut().zip(&canvas) {
            *byte = (colour[channel] * 255.0 + 0.5) as u8;
        }
    }
}

/// The colour a share of the way from one to another.
fn mix(from: Colour, to: Colour, share: f32) -> Colour {
    let channel = |channel: usize| from[channel] + (to[channel] - from[channel]) * share;
    [channel(0), channel(1), channel(2)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_machine_makes_the_same_pictures() {
        // FNV-1a, 64 bits, of every 50th picture.
        let mut picture = vec![0; 3 * N_PIXELS];
        let mut checksum = 0xcbf2_9ce4_8422_2325_u64;
        for number in (0..N_TRAIN + N_TEST).step_by(50) {
            draw(number, &mut picture);
            for &byte in &picture {
                checksum = (checksum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        }
        assert_eq!(checksum, 0x071d_8f5d_0708_d751, "{checksum:#x}");
    }
}
