//! Dropout masks from few random bits.

use crate::device::host::filled;
use crate::device::threads;
use rand::Rng;
use rand_xoshiro::Xoshiro256PlusPlus;
use std::ops::Range;
use tch::{Device, Kind, TchError, Tensor};

/// Random words that a thread works on at a time.
const WORDS_IN_CHUNK: usize = 512;

/// For each of some values, whether it is dropped.
#[derive(Debug)]
pub(super) struct DropoutMask {
    /// Draws for the first values lie in the lowest bits.
    words: Vec<u64>,
    n_values: usize,
    rule: Rule,
}

/// What a random draw says about a value.
///
/// A probability of one half needs one random bit a value; for any other there are 16, so it is taken to the nearest
/// multiple of 2^-16 below 1. Kept values are scaled by `1 / (1 - p)`, so that the expectation stays.
#[derive(Debug, Clone, Copy)]
struct Rule {
    n_bits: usize,
    /// Values whose bits are at least this are kept.
    threshold: u32,
    /// Scale of the kept values, `1 / (1 - p)`.
    factor: f32,
}

impl Rule {
    /// For a probability of 0..1 that a value is dropped.
    fn of(probability: f64) -> Self {
        let n_bits = if probability == 0.5 { 1 } else { 16 };
        let n_outcomes = (1u64 << n_bits) as f64;
        let threshold = (probability * n_outcomes).round().min(n_outcomes - 1.0);
        let factor = (n_outcomes / (n_outcomes - threshold)) as f32;
        Self { n_bits, threshold: threshold as u32, factor }
    }
}

impl DropoutMask {
    /// Draws for `n_values` values, each dropped with this probability, 0..1.
    pub(super) fn draw(n_values: usize, probability: f64, generator: &mut Xoshiro256PlusPlus) -> Self {
        // In this thread: libtorch's own may still spin from the layer before, and more of them would find no core.
        let words = (0..Self::n_words(n_values, probability)).map(|_| generator.next_u64()).collect();
        Self { words, n_values, rule: Rule::of(probability) }
    }

    /// The mask of some of these values.
    pub(super) fn of_values(&self, range: Range<usize>) -> Self {
        let (first_bit, n_bits) = (range.start * self.rule.n_bits, range.len() * self.rule.n_bits);
        let (first_word, shift) = (first_bit / 64, first_bit % 64);
        let word = |index: usize| {
            let [low, high] = [0, 1].map(|next| self.words.get(first_word + index + next).copied().unwrap_or(0));
            if shift == 0 { low } else { low >> shift | high << (64 - shift) }
        };
        Self { words: (0..n_bits.div_ceil(64)).map(word).collect(), n_values: range.len(), rule: self.rule }
    }

    /// Words that are drawn for so many values.
    pub(super) fn n_words(n_values: usize, probability: f64) -> usize {
        (n_values * Rule::of(probability).n_bits).div_ceil(64)
    }

    /// The mask: 0 for dropped values, the scale for kept ones, `[n_values]`, on `device`.
    pub(super) fn factors(&self, device: Device) -> Result<Tensor, TchError> {
        let n_in_chunk = WORDS_IN_CHUNK * 64 / self.rule.n_bits;
        let factors = filled(&[self.n_values as i64], |factors| {
            threads::for_each(factors.chunks_mut(n_in_chunk).enumerate(), |(index, factors)| {
                self.each_factor(index * n_in_chunk, factors, |value, factor| *value = factor);
            });
        });
        factors?.f_to(device)
    }

    /// Multiplies some of the values by their factors. `start`, the index of the first, is a multiple of 64.
    pub(super) fn multiply(&self, start: usize, values: &mut [f32]) {
        self.each_factor(start, values, |value, factor| *value *= factor);
    }

    fn each_factor(&self, start: usize, values: &mut [f32], change: impl Fn(&mut f32, f32)) {
        let Rule { n_bits, threshold, factor } = self.rule;
        let words = &self.words[start * n_bits / 64..];
        match n_bits {
            1 => each_of_bits(words, factor, values, change),
            _ => each_of_sixteen_bits(words, threshold, factor, values, change),
        }
    }

    /// The same from the words, `[n_words]` of `int64`, on their device: a factor for each draw that is in them.
    pub(super) fn factors_of(words: &Tensor, probability: f64) -> Result<Tensor, TchError> {
        let Rule { n_bits, threshold, factor } = Rule::of(probability);
        let is_kept = match n_bits {
            1 => {
                // As bytes, since smaller numbers take less of the memory's time.
                let shifts = Tensor::f_arange(8, (Kind::Uint8, words.device()))?;
                words
                    .f_view_dtype(Kind::Uint8)?
                    .f_unsqueeze(1)?
                    .f_bitwise_right_shift(&shifts)?
                    .f_bitwise_and_(1)?
                    .f_flatten(0, -1)?
            }
            _ => {
                let draws = words.f_view_dtype(Kind::Int16)?.f_to_kind(Kind::Int)?;
                draws.f_bitwise_and(0xFFFF)?.f_ge(i64::from(threshold))?
            }
        };
        is_kept.f_to_kind(Kind::Float)?.f_mul_scalar_(f64::from(factor))
    }
}

fn each_of_bits(words: &[u64], factor: f32, values: &mut [f32], change: impl Fn(&mut f32, f32)) {
    for (&word, values) in words.iter().zip(values.chunks_mut(64)) {
        for (half, values) in [word as u32, (word >> 32) as u32].into_iter().zip(values.chunks_mut(32)) {
            for (lane, value) in values.iter_mut().enumerate() {
                change(value, if half & (1 << lane) != 0 { factor } else { 0.0 });
            }
        }
    }
}

fn each_of_sixteen_bits(
    words: &[u64],
    threshold: u32,
    factor: f32,
    values: &mut [f32],
    change: impl Fn(&mut f32, f32),
) {
    for (&word, values) in words.iter().zip(values.chunks_mut(4)) {
        for (lane, value) in values.iter_mut().enumerate() {
            let draw = u32::from((word >> (16 * lane)) as u16);
            change(value, if draw >= threshold { factor } else { 0.0 });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::threads::tests::without_threads;
    use crate::device::{Purpose, generator};

    fn mask(n_values: usize, probability: f64) -> DropoutMask {
        DropoutMask::draw(n_values, probability, &mut generator(3, Purpose::Layers, 1, 2))
    }

    #[test]
    fn dropout_keeps_its_share_and_its_mean() {
        for probability in [0.0, 0.2, 0.5, 0.9] {
            let n = 200_001;
            let factors = Vec::<f32>::try_from(mask(n, probability).factors(Device::Cpu).unwrap()).unwrap();
            let dropped = factors.iter().filter(|&&factor| factor == 0.0).count() as f64 / n as f64;
            assert!((dropped - probability).abs() < 0.005, "{dropped} dropped at {probability}");
            assert!((factors.iter().map(|&factor| f64::from(factor)).sum::<f64>() / n as f64 - 1.0).abs() < 0.02);
        }
    }

    #[test]
    fn the_mask_of_some_values_is_that_part_of_the_whole() {
        for probability in [0.3, 0.5] {
            let whole = Vec::<f32>::try_from(mask(1001, probability).factors(Device::Cpu).unwrap()).unwrap();
            for range in [0..1001, 0..10, 64..200, 37..640, 990..1001, 1000..1001] {
                let part = mask(1001, probability).of_values(range.clone()).factors(Device::Cpu).unwrap();
                assert_eq!(Vec::<f32>::try_from(part).unwrap(), whole[range]);
            }
        }
    }

    #[test]
    fn factors_without_threads_of_our_own_are_the_same() {
        for probability in [0.3, 0.5] {
            let mask = mask(1001, probability);
            let without_threads = without_threads(|| mask.factors(Device::Cpu).unwrap());
            assert_eq!(without_threads, mask.factors(Device::Cpu).unwrap());
        }
    }
}
