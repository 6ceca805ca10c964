//! The range of floating-point pixels, and whether they are 8-bit values exactly.
//!
//! Homework files are 8-bit pictures that were turned into 32-bit floats before saving: four times the memory for the
//! same 256 values. So all values are looked at once before any is stored.

use serde::{Deserialize, Serialize};

/// Largest distance from a whole 8-bit value at which a float still counts as that value.
///
/// The ways to write `v / 127.5 - 1` in 32-bit floats differ by about 0.00002 of an 8-bit step in rounding. Real
/// floating-point data cannot pass by chance: a value does so with probability 0.0002, and an image has thousands.
const ROUNDING_STEPS: f32 = 1e-4;

/// How far beyond its range a value may be and still be meant as the end of it: a quarter of an 8-bit step. Scaling and
/// 32-bit arithmetic leave values such as -0.0000001 and 1.0000001.
const HAIR: f32 = 1e-3;

/// A smallest value between this and zero, beside bright ones, is what sharp scaling leaves of 0..=1 as easily as it is
/// the darkest of -1..=1.
const OVERSHOOT: f32 = -0.1;

/// What floating-point pixels stand for.
///
/// # Example
/// ```
/// use diabolo::data::{Images, PixelRange};
/// let grey = diabolo::ndarray::Array4::from_elem((2, 1, 8, 8), 0.4);
/// let images = Images::from_floats(grey, PixelRange::Unit)?;
/// assert!((images.image(0)?[[0, 0, 0]] + 0.2).abs() < 1e-6, "0.4 of 0..=1 is -0.2 of -1..=1");
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PixelRange {
    /// 0 is black and 1 is white, as after torchvision's `ToTensor`.
    Unit,
    /// -1 is black and 1 is white, as after `Normalize(0.5, 0.5)`: what a Tanh gives.
    Signed,
}

impl PixelRange {
    fn ends(self) -> [f32; 2] {
        match self {
            Self::Unit => [0.0, 1.0],
            Self::Signed => [-1.0, 1.0],
        }
    }

    /// The range in words.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Unit => "0..=1",
            Self::Signed => "-1..=1",
        }
    }
}

/// What was seen in all values so far.
#[derive(Debug)]
pub(super) struct Survey {
    n_values: usize,
    min: f32,
    max: f32,
    first_not_finite: Option<usize>,
    /// The first value outside each of the two ranges by more than a hair.
    first_outside_signed: Option<usize>,
    first_outside_unit: Option<usize>,
    /// Largest distance from a whole 8-bit value, in 8-bit steps, if the range is -1..=1.
    signed_steps: f32,
    /// The same, if the range is 0..=1.
    unit_steps: f32,
}

/// How to read the values of a set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Decision {
    pub(super) range: PixelRange,
    /// Whether every value stands for a whole 8-bit value.
    pub(super) is_8_bit: bool,
    /// Whether some values are a hair outside the range.
    pub(super) is_clipped: bool,
}

/// Why values are no images' pixels.
#[derive(Debug)]
pub(super) enum BadValues {
    /// The first value that is not finite.
    NotFinite(usize),
    /// The first value outside the range, or outside both where none is stated.
    Outside { element: usize, min: f32, max: f32, stated: Option<PixelRange> },
    /// Either range could be meant.
    Unclear { min: f32, max: f32 },
}

impl Default for Survey {
    fn default() -> Self {
        Self {
            n_values: 0,
            min: f32::INFINITY,
            max: f32::NEG_INFINITY,
            first_not_finite: None,
            first_outside_signed: None,
            first_outside_unit: None,
            signed_steps: 0.0,
            unit_steps: 0.0,
        }
    }
}

impl Survey {
    /// Looks at the next values.
    pub(super) fn add(&mut self, values: &[f32]) {
        let mut are_inside = true;
        for &value in values {
            // Comparisons with NaN are false, so that NaN is not inside.
            are_inside &= (-HAIR..=1.0 + HAIR).contains(&value);
            self.min = self.min.min(value);
            self.max = self.max.max(value);
            self.signed_steps = self.signed_steps.max(distance_from_whole((value + 1.0) * 127.5));
            self.unit_steps = self.unit_steps.max(distance_from_whole(value * 255.0));
        }
        if !are_inside {
            let first = |is_bad: fn(&f32) -> bool| values.iter().position(is_bad).map(|index| self.n_values + index);
            self.first_not_finite = self.first_not_finite.or(first(|value| !value.is_finite()));
            let is_outside_signed = |value: &f32| !(-1.0 - HAIR..=1.0 + HAIR).contains(value);
            self.first_outside_signed = self.first_outside_signed.or(first(is_outside_signed));
            let is_outside_unit = |value: &f32| !(-HAIR..=1.0 + HAIR).contains(value);
            self.first_outside_unit = self.first_outside_unit.or(first(is_outside_unit));
        }
        self.n_values += values.len();
    }

    /// Looks at another set as part of the same data: one range holds for both.
    pub(super) fn merge(self, other: &Self) -> Self {
        Self {
            n_values: self.n_values + other.n_values,
            min: self.min.min(other.min),
            max: self.max.max(other.max),
            first_not_finite: self.first_not_finite.or(other.first_not_finite),
            first_outside_signed: self.first_outside_signed.or(other.first_outside_signed),
            first_outside_unit: self.first_outside_unit.or(other.first_outside_unit),
            signed_steps: self.signed_steps.max(other.signed_steps),
            unit_steps: self.unit_steps.max(other.unit_steps),
        }
    }

    /// Refuses values that are in no range, or not in the stated one.
    pub(super) fn check(&self, stated: Option<PixelRange>) -> Result<(), BadValues> {
        if let Some(element) = self.first_not_finite {
            return Err(BadValues::NotFinite(element));
        }
        let first_outside = match stated {
            Some(PixelRange::Unit) => self.first_outside_unit,
            _ => self.first_outside_signed,
        };
        match first_outside {
            Some(element) => Err(BadValues::Outside { element, min: self.min, max: self.max, stated }),
            None => Ok(()),
        }
    }

    /// Decides from everything seen. Where no range is stated, a value below zero means -1..=1; small ones beside bright
    /// pixels do not say enough.
    pub(super) fn decide(&self, stated: Option<PixelRange>) -> Result<Decision, BadValues> {
        self.check(stated)?;
        let range = match stated {
            Some(range) => range,
            None if self.min >= -HAIR => PixelRange::Unit,
            None if self.min >= OVERSHOOT && self.max > 0.5 => {
                return Err(BadValues::Unclear { min: self.min, max: self.max });
            }
            None => PixelRange::Signed,
        };
        let steps = if range == PixelRange::Signed { self.signed_steps } else { self.unit_steps };
        let [least, most] = range.ends();
        let is_clipped = self.min < least || self.max > most;
        Ok(Decision { range, is_8_bit: steps <= ROUNDING_STEPS, is_clipped })
    }
}

impl Decision {
    /// A pixel in -1..=1.
    pub(super) fn to_signed(self, value: f32) -> f32 {
        let [least, most] = self.range.ends();
        let value = value.clamp(least, most);
        if self.range == PixelRange::Signed { value } else { value * 2.0 - 1.0 }
    }

    /// The 8-bit value of a pixel.
    pub(super) fn to_byte(self, value: f32) -> u8 {
        let steps = if self.range == PixelRange::Signed { (value + 1.0) * 127.5 } else { value * 255.0 };
        (steps + 0.5) as u8
    }
}

impl BadValues {
    /// What was found, what was wanted and the next step; `image_of` turns the index of a value into that of its image.
    pub(super) fn into_parts(self, image_of: impl Fn(usize) -> usize) -> (String, String, &'static str) {
        let wanted = |stated: Option<PixelRange>| match stated {
            Some(range) => format!("pixels in {}, as is stated", range.words()),
            None => "pixels in -1..=1 or 0..=1".into(),
        };
        match self {
            Self::NotFinite(element) => (
                format!("a pixel that is not a finite number, first in image {}", image_of(element)),
                wanted(None),
                "replace NaN and infinity, or leave that image out",
            ),
            Self::Outside { element, min, max, stated } => (
                format!("pixels from {min} to {max}, the first one outside in image {}", image_of(element)),
                wanted(stated),
                if min >= OVERSHOOT && max <= 1.5 {
                    "if 0..=1 is meant, clip them: np.clip(images, 0, 1)"
                } else if min >= -1.0 - HAIR && max <= 1.0 + HAIR {
                    "state the other range, PixelRange::Signed"
                } else if min >= 0.0 && max <= 255.0 {
                    "if they are 0..=255, keep them as 8-bit (uint8), or scale them: x / 127.5 - 1"
                } else {
                    "scale or clip them: np.clip(images, -1, 1)"
                },
            ),
            Self::Unclear { min, max } => (
                format!("pixels from {min} to {max}, which may be 0..=1 after sharp scaling, or -1..=1"),
                wanted(None),
                "if 0..=1 is meant, clip them (np.clip(images, 0, 1)); else state OpenOptions::pixel_range",
            ),
        }
    }
}

/// Distance to the nearest whole number, for numbers of size 0..=255 or so.
fn distance_from_whole(value: f32) -> f32 {
    // Beside 1.5 * 2^23 a 32-bit float has no room for a fraction: the sum is rounded to a whole number. Unlike
    // `f32::round`, this is no call into the maths library on older x86-64 targets, and the loop stays vectorised.
    const ROUNDER: f32 = 12_582_912.0;
    (value - ((value + ROUNDER) - ROUNDER)).abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(values: &[f32]) -> Decision {
        let mut survey = Survey::default();
        survey.add(values);
        survey.decide(None).unwrap()
    }

    #[test]
    fn every_way_to_scale_a_byte_is_recognised_and_undone() {
        let ways: [fn(f32) -> f32; 4] =
            [|v| v / 127.5 - 1.0, |v| (v - 127.5) / 127.5, |v| (v / 255.0 - 0.5) / 0.5, |v| v * (1.0 / 255.0)];
        for way in ways {
            let values = Vec::from_iter((0..=255_u8).map(|byte| way(f32::from(byte))));
            let decision = decide(&values);
            assert!(decision.is_8_bit && !decision.is_clipped);
            assert!((0..=255).eq(values.iter().map(|&value| decision.to_byte(value))));
        }
    }

    #[test]
    fn one_value_between_two_bytes_makes_floats() {
        assert!(!decide(&[-1.0, 1.0, 0.5 / 127.5 - 1.0]).is_8_bit);
    }

    #[test]
    fn a_negative_value_in_either_set_decides_the_range_of_both() {
        let (mut bright, mut dark) = (Survey::default(), Survey::default());
        bright.add(&[0.25, 1.0]);
        dark.add(&[-0.25]);
        assert_eq!(bright.decide(None).unwrap().range, PixelRange::Unit);
        assert_eq!(bright.merge(&dark).decide(None).unwrap().range, PixelRange::Signed);
    }

    #[test]
    fn a_hair_outside_a_range_is_that_range_and_more_is_asked_about() {
        let noisy = decide(&[-1e-7, 0.3, 1.000_000_1]);
        assert_eq!((noisy.range, noisy.is_clipped), (PixelRange::Unit, true));
        assert_eq!((noisy.to_signed(-1e-7), noisy.to_signed(1.000_000_1)), (-1.0, 1.0));
        assert_eq!(decide(&[-1.000_000_1, 0.3]).range, PixelRange::Signed);

        let overshot = |stated| {
            let mut survey = Survey::default();
            survey.add(&[-0.03, 0.98]);
            survey.decide(stated)
        };
        let message = overshot(None).unwrap_err().into_parts(|element| element).2;
        assert!(message.contains("np.clip") && message.contains("OpenOptions::pixel_range"), "{message}");
        assert_eq!(overshot(Some(PixelRange::Signed)).unwrap().range, PixelRange::Signed);
        assert!(overshot(Some(PixelRange::Unit)).is_err());
    }
}
