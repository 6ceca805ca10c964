//! Random numbers for pictures that are drawn, the same on every machine.

use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// Red, green and blue, 0..=1.
pub(super) type Colour = [f32; 3];

/// The random numbers of one picture.
pub(super) struct Dice(Xoshiro256PlusPlus);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// A number in `low..high`, on a grid of 2^24 steps, which a 32-bit float holds exactly.
    pub(super) fn between(&mut self, low: f32, high: f32) -> f32 {
        let unit = (self.0.next_u32() >> 8) as f32 / 16_777_216.0;
        low + (high - low) * unit
    }

    /// Whether something happens that has this probability.
    pub(super) fn happens(&mut self, probability: f32) -> bool {
        self.between(0.0, 1.0) < probability
    }

    /// One of `choices`.
    pub(super) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        let scaled = u64::from(self.0.next_u32()) * choices.len() as u64;
        choices[(scaled >> 32) as usize]
    }

    /// A colour near `colour`: brighter or darker as a whole, and a little in each channel.
    pub(super) fn near(&mut self, colour: Colour) -> Colour {
        let brightness = self.between(0.85, 1.15);
        colour.map(|channel| (channel * brightness + self.between(-0.05, 0.05)).clamp(0.02, 0.95))
    }
}
