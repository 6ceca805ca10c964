//! The range of floating-point pixels, and whether they are 8-bit values exactly.
//!
//! Homework files are 8-bit pictures that were turned into 32-bit floats before saving: four times the memory for the
//! same 256 values. So all values are looked at once before any is stored.

/// Largest distance from a whole 8-bit value at which a float still counts as that value.
///
/// The ways to write `v / 127.5 - 1` in 32-bit floats differ by about 0.00002 of an 8-bit step in rounding. Real
/// floating-point data cannot pass by chance: a value does so with probability 0.0002, and an image has thousands.
const ROUNDING_STEPS: f32 = 1e-4;

/// What was seen in all values so far.
#[derive(Debug)]
pub(super) struct Survey {
    n_values: usize,
    min: f32,
    max: f32,
    first_not_finite: Option<usize>,
    first_outside: Option<usize>,
    /// Largest distance from a whole 8-bit value, in 8-bit steps, if the range is -1..=1.
    signed_steps: f32,
    /// The same, if the range is 0..=1.
    unsigned_steps: f32,
}

/// How to read the values of a set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Decision {
    /// -1..=1 if true, else 0..=1.
    pub(super) is_signed: bool,
    /// Whether every value stands for a whole 8-bit value.
    pub(super) is_8_bit: bool,
}

/// A value that no image has, with its index.
#[derive(Debug)]
pub(super) enum BadValue {
    NotFinite(usize),
    Outside { element: usize, min: f32, max: f32 },
}

impl Default for Survey {
    fn default() -> Self {
        Self {
            n_values: 0,
            min: f32::INFINITY,
            max: f32::NEG_INFINITY,
            first_not_finite: None,
            first_outside: None,
            signed_steps: 0.0,
            unsigned_steps: 0.0,
        }
    }
}

impl Survey {
    /// Looks at the next values.
    pub(super) fn add(&mut self, values: &[f32]) {
        let mut all_inside = true;
        for &value in values {
            // Comparisons with NaN are false, so that NaN is not inside.
            all_inside &= (-1.0..=1.0).contains(&value);
            self.min = self.min.min(value);
            self.max = self.max.max(value);
            self.signed_steps = self.signed_steps.max(distance_from_whole((value + 1.0) * 127.5));
            self.unsigned_steps = self.unsigned_steps.max(distance_from_whole(value * 255.0));
        }
        if !all_inside {
            let first = |is_bad: fn(&f32) -> bool| values.iter().position(is_bad).map(|index| self.n_values + index);
            self.first_not_finite = self.first_not_finite.or(first(|value| !value.is_finite()));
            self.first_outside = self.first_outside.or(first(|value| !(-1.0..=1.0).contains(value)));
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
            first_outside: self.first_outside.or(other.first_outside),
            signed_steps: self.signed_steps.max(other.signed_steps),
            unsigned_steps: self.unsigned_steps.max(other.unsigned_steps),
        }
    }

    /// Decides from everything seen: a value below zero means -1..=1.
    pub(super) fn decide(&self) -> Result<Decision, BadValue> {
        if let Some(element) = self.first_not_finite {
            return Err(BadValue::NotFinite(element));
        }
        if let Some(element) = self.first_outside {
            return Err(BadValue::Outside { element, min: self.min, max: self.max });
        }
        let is_signed = self.min < 0.0;
        let steps = if is_signed { self.signed_steps } else { self.unsigned_steps };
        Ok(Decision { is_signed, is_8_bit: steps <= ROUNDING_STEPS })
    }
}

impl Decision {
    /// A pixel in -1..=1.
    pub(super) fn to_signed(self, value: f32) -> f32 {
        if self.is_signed { value } else { value * 2.0 - 1.0 }
    }

    /// The 8-bit value of a pixel.
    pub(super) fn to_byte(self, value: f32) -> u8 {
        let steps = if self.is_signed { (value + 1.0) * 127.5 } else { value * 255.0 };
        (steps + 0.5) as u8
    }

    /// The range in words.
    pub(super) fn range(self) -> &'static str {
        if self.is_signed { "-1..=1" } else { "0..=1" }
    }
}

impl BadValue {
    /// What was found, what was wanted and the next step; `image_of` turns the index of a value into that of its image.
    pub(super) fn into_parts(self, image_of: impl Fn(usize) -> usize) -> (String, &'static str, &'static str) {
        let wanted = "pixels in -1..=1 or 0..=1";
        match self {
            Self::NotFinite(element) => (
                format!("a pixel that is not a finite number, first in image {}", image_of(element)),
                wanted,
                "replace NaN and infinity, or leave that image out",
            ),
            Self::Outside { element, min, max } => (
                format!("pixels from {min} to {max}, the first one outside in image {}", image_of(element)),
                wanted,
                if min >= 0.0 && max <= 255.0 {
                    "if they are 0..=255, keep them as 8-bit (uint8), or scale them: x / 127.5 - 1"
                } else {
                    "scale or clip them"
                },
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
        survey.decide().unwrap()
    }

    #[test]
    fn every_way_to_scale_a_byte_is_recognised_and_undone() {
        let ways: [fn(f32) -> f32; 4] =
            [|v| v / 127.5 - 1.0, |v| (v - 127.5) / 127.5, |v| (v / 255.0 - 0.5) / 0.5, |v| v * (1.0 / 255.0)];
        for way in ways {
            let values = Vec::from_iter((0..=255_u8).map(|byte| way(f32::from(byte))));
            let decision = decide(&values);
            assert!(decision.is_8_bit);
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
        assert!(!bright.decide().unwrap().is_signed);
        assert!(bright.merge(&dark).decide().unwrap().is_signed);
    }
}
