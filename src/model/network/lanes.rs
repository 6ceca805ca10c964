//! Layers of sixteen images at once, with an image in each lane of the processor's vectors.
//!
//! Vectors are full whatever the number of channels, no value has to change its lane, and sixteen images and what becomes of
//! them stay in the cache of a core from the first layer to the last. Sums are added in the same order in every lane, so an
//! image's result does not depend on the images beside it.

#![cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "there are vectors of x86-64 alone"))]

use crate::device::vectors;

/// Images that are computed side by side.
pub(super) const LANES: usize = 16;

/// The same value of as many images.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(super) struct Lanes(pub(super) [f32; LANES]);

/// Where the values of an image, `[c, h, w]`, lie among the [`Lanes`] of a layer: row by row, with a border of zeros around
/// each channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grid {
    pub(super) channels: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) border: usize,
}

impl Grid {
    pub(super) fn row_length(&self) -> usize {
        self.width + 2 * self.border
    }

    pub(super) fn channel_length(&self) -> usize {
        self.row_length() * (self.height + 2 * self.border)
    }

    /// Of all channels and borders.
    pub(super) fn length(&self) -> usize {
        self.channels * self.channel_length()
    }

    pub(super) fn index(&self, channel: usize, y: usize, x: usize) -> usize {
        channel * self.channel_length() + (y + self.border) * self.row_length() + x + self.border
    }

    /// Where each row begins, channel by channel.
    pub(super) fn rows(self) -> impl Iterator<Item = usize> {
        (0..self.channels).flat_map(move |channel| (0..self.height).map(move |y| self.index(channel, y, 0)))
    }
}

/// What is done to each value of its own.
#[derive(Debug, Clone)]
pub(super) enum Stage {
    /// A factor and a summand for each channel.
    Affine(Vec<[f32; 2]>),
    /// The slope below 0, from 0 to 1.
    LeakyReLU(f32),
    Sigmoid,
    Tanh,
}

/// A convolution, a transposed one or a linear layer, and what follows it at once.
#[derive(Debug)]
pub(super) struct Convolution {
    pub(super) phases: Vec<Phase>,
    /// Pixels from the input of an output to that of the next.
    pub(super) step: usize,
    /// Whether the largest of each 2 x 2 outputs is taken.
    pub(super) is_pooled: bool,
    /// What is done to the outputs: [`Stage::Affine`] and [`Stage::LeakyReLU`] alone.
    pub(super) stages: Vec<Stage>,
    /// Where the first pixel of each output channel lies.
    pub(super) outputs: Vec<usize>,
}

/// Every so many outputs of a convolution, which all have the same weights.
#[derive(Debug)]
pub(super) struct Phase {
    /// The first output, and the distance to the next.
    pub(super) start: [usize; 2],
    pub(super) out_step: usize,
    pub(super) n_outputs: [usize; 2],
    /// Where each input of an output lies, from the first channel's pixel at the same place.
    pub(super) inputs: Vec<isize>,
    pub(super) blocks: Vec<Block>,
}

/// The most output channels that are computed together: as many sums as registers hold, for four pixels.
pub(super) const MOST_CHANNELS: usize = 6;

/// Output channels that are computed together.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) first: usize,
    pub(super) biases: Vec<f32>,
    /// Of each input all channels'.
    pub(super) weights: Vec<f32>,
}

/// A vector of the processor.
trait Vector: Copy {
    const N: usize;
    /// # Safety
    /// The processor has this vector, and there are [`Vector::N`] values.
    unsafe fn load(from: *const f32) -> Self;
    /// # Safety
    /// As above.
    unsafe fn store(self, to: *mut f32);
    /// # Safety
    /// The processor has this vector.
    unsafe fn splat(value: f32) -> Self;
    /// # Safety
    /// As above.
    unsafe fn multiply_add(self, factor: Self, summand: Self) -> Self;
    /// # Safety
    /// As above.
    unsafe fn multiply(self, factor: Self) -> Self;
    /// The larger, and `other` where either is not a number.
    ///
    /// # Safety
    /// As above.
    unsafe fn max_or(self, other: Self) -> Self;
    /// The larger, and no number where either is none.
    ///
    /// # Safety
    /// As above.
    unsafe fn max(self, other: Self) -> Self;
}

/// Vectors of 512 and of 256 bits.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Convolution, Grid, Lanes, Vector};
    use std::arch::x86_64::*;

    macro_rules! vector {
        ($type:ty, $n:expr, $load:ident, $store:ident, $splat:ident, $multiply_add:ident, $multiply:ident, $max:ident, $not_numbers_of:ident) => {
            impl Vector for $type {
                const N: usize = $n;
                #[inline(always)]
                unsafe fn load(from: *const f32) -> Self {
                    unsafe { $load(from) }
                }
                #[inline(always)]
                unsafe fn store(self, to: *mut f32) {
                    unsafe { $store(to, self) }
                }
                #[inline(always)]
                unsafe fn splat(value: f32) -> Self {
                    unsafe { $splat(value) }
                }
                #[inline(always)]
                unsafe fn multiply_add(self, factor: Self, summand: Self) -> Self {
                    unsafe { $multiply_add(self, factor, summand) }
                }
                #[inline(always)]
                unsafe fn multiply(self, factor: Self) -> Self {
                    unsafe { $multiply(self, factor) }
                }
                #[inline(always)]
                unsafe fn max_or(self, other: Self) -> Self {
                    unsafe { $max(self, other) }
                }
                #[inline(always)]
                unsafe fn max(self, other: Self) -> Self {
                    unsafe { $not_numbers_of(self, $max(self, other)) }
                }
            }
        };
    }

    vector!(
        __m512,
        16,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_set1_ps,
        _mm512_fmadd_ps,
        _mm512_mul_ps,
        _mm512_max_ps,
        not_numbers_of_16
    );
    vector!(
        __m256,
        8,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_set1_ps,
        _mm256_fmadd_ps,
        _mm256_mul_ps,
        _mm256_max_ps,
        not_numbers_of_8
    );

    /// `other`, but for what is no number in `value`.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn not_numbers_of_16(value: __m512, other: __m512) -> __m512 {
        _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_UNORD_Q>(value, value), other, value)
    }

    /// The same.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn not_numbers_of_8(value: __m256, other: __m256) -> __m256 {
        _mm256_blendv_ps(other, value, _mm256_cmp_ps::<_CMP_UNORD_Q>(value, value))
    }

    /// # Safety
    /// [`Convolution::check`] found nothing.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn in_512_bits(convolution: &Convolution, input: (&[Lanes], Grid), output: (&mut [Lanes], Grid)) {
        // SAFETY: this is compiled for such vectors; the rest as the caller promises.
        unsafe { convolution.compute_by::<__m512>(input, output) }
    }

    /// # Safety
    /// As above.
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn in_256_bits(convolution: &Convolution, input: (&[Lanes], Grid), output: (&mut [Lanes], Grid)) {
        // SAFETY: likewise.
        unsafe { convolution.compute_by::<__m256>(input, output) }
    }
}

/// Whether the processor has vectors that this is written for.
pub(super) fn suit() -> bool {
    vectors::has_eight()
}

impl Convolution {
    /// Computes all outputs. `input` and `output` are of the grids that the convolution was made for.
    pub(super) fn compute(&self, input: (&[Lanes], Grid), output: (&mut [Lanes], Grid)) {
        self.check(&input, &output);
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the processor has been asked, and the places have been checked.
        unsafe {
            if is_x86_feature_detected!("avx512f") {
                x86::in_512_bits(self, input, output);
            } else {
                x86::in_256_bits(self, input, output);
            }
        }
    }

    /// Ends the program where a place would lie outside.
    fn check(&self, (input, from): &(&[Lanes], Grid), (output, to): &(&mut [Lanes], Grid)) {
        assert!(suit() && input.len() == from.length() && output.len() == to.length());
        let last_output = self.outputs.iter().max().copied().unwrap_or(0);
        for phase in &self.phases {
            let pool = if self.is_pooled { 2 } else { 1 };
            let [n_rows, n_columns] = phase.n_outputs.map(|n| n / pool);
            if n_rows == 0 || n_columns == 0 {
                continue;
            }
            let [y, x] = [0, 1].map(|axis| phase.start[axis] + ([n_rows, n_columns][axis] - 1) * phase.out_step);
            assert!(last_output + y * to.row_length() + x < output.len());
            let first = from.index(0, 0, 0) as isize;
            let [y, x] = phase.n_outputs.map(|n| (n - 1) * self.step);
            let last = first + (y * from.row_length() + x) as isize;
            let lowest = phase.inputs.iter().min().copied().unwrap_or(0);
            let highest = phase.inputs.iter().max().copied().unwrap_or(0);
            assert!(first + lowest >= 0 && last + highest < input.len() as isize);
            for block in &phase.blocks {
                let n = block.biases.len();
                assert!((1..=MOST_CHANNELS).contains(&n) && block.weights.len() == n * phase.inputs.len());
                assert!(block.first + n <= self.outputs.len());
                for stage in &self.stages {
                    assert!(!matches!(stage, Stage::Affine(numbers) if numbers.len() != self.outputs.len()));
                }
            }
        }
    }

    /// # Safety
    /// The processor has these vectors, and [`Convolution::check`] found nothing.
    #[inline(always)]
    unsafe fn compute_by<V: Vector>(&self, (input, from): (&[Lanes], Grid), (output, to): (&mut [Lanes], Grid)) {
        let (x, y) = (input.as_ptr().cast::<f32>(), output.as_mut_ptr().cast::<f32>());
        for phase in &self.phases {
            for block in &phase.blocks {
                for lane in (0..LANES).step_by(V::N) {
                    // SAFETY: every vector lies within the lanes of a value, and every value within its grid.
                    unsafe {
                        let work = Work { convolution: self, phase, block, from, to, x: x.add(lane), y: y.add(lane) };
                        match block.biases.len() {
                            1 => work.rows::<V, 1>(),
                            2 => work.rows::<V, 2>(),
                            3 => work.rows::<V, 3>(),
                            4 => work.rows::<V, 4>(),
                            5 => work.rows::<V, 5>(),
                            _ => work.rows::<V, 6>(),
                        }
                    }
                }
            }
        }
    }
}

/// One block of channels of one phase.
struct Work<'a> {
    convolution: &'a Convolution,
    phase: &'a Phase,
    block: &'a Block,
    from: Grid,
    to: Grid,
    x: *const f32,
    y: *mut f32,
}

impl Work<'_> {
    /// # Safety
    /// As [`Convolution::compute_by`].
    #[inline(always)]
    unsafe fn rows<V: Vector, const CHANNELS: usize>(&self) {
        let pool = if self.convolution.is_pooled { 2 } else { 1 };
        let [n_rows, n_columns] = self.phase.n_outputs.map(|n| n / pool * pool);
        for row in (0..n_rows).step_by(pool) {
            let mut column = 0;
            // SAFETY: the outputs of a phase alone.
            unsafe {
                // The registers of shorter vectors are fewer.
                while V::N == LANES && column + 4 <= n_columns {
                    self.outputs::<V, CHANNELS, 4>(row, column);
                    column += 4;
                }
                while column + 2 <= n_columns {
                    self.outputs::<V, CHANNELS, 2>(row, column);
                    column += 2;
                }
                if column < n_columns {
                    self.outputs::<V, CHANNELS, 1>(row, column);
                }
            }
        }
    }

    /// # Safety
    /// As above; the pixels are in one row, or, pooled, in two.
    #[inline(always)]
    unsafe fn outputs<V: Vector, const CHANNELS: usize, const PIXELS: usize>(&self, row: usize, column: usize) {
        let Self { convolution, phase, block, to, y, .. } = self;
        // SAFETY: as the caller promises.
        unsafe {
            let mut outputs = self.sums::<V, CHANNELS, PIXELS>(row, column);
            let (mut row, mut column, mut n_pixels) = (row, column, PIXELS);
            if convolution.is_pooled {
                let below = self.sums::<V, CHANNELS, PIXELS>(row + 1, column);
                for (outputs, below) in outputs.iter_mut().zip(&below) {
                    for pixel in 0..PIXELS / 2 {
                        let [left, right] = [2 * pixel, 2 * pixel + 1].map(|pixel| outputs[pixel].max(below[pixel]));
                        outputs[pixel] = left.max(right);
                    }
                }
                (row, column, n_pixels) = (row / 2, column / 2, PIXELS / 2);
            }
            let [top, left] = [(0, row), (1, column)].map(|(axis, n)| phase.start[axis] + n * phase.out_step);
            for (channel, outputs) in outputs.iter_mut().enumerate() {
                let channel = block.first + channel;
                for stage in &convolution.stages {
                    for output in outputs.iter_mut() {
                        *output = match stage {
                            Stage::Affine(numbers) => {
                                let [factor, summand] = numbers.get_unchecked(channel).map(|number| V::splat(number));
                                output.multiply_add(factor, summand)
                            }
                            // Not zero times an infinite number.
                            Stage::LeakyReLU(0.0) => V::splat(0.0).max_or(*output),
                            Stage::LeakyReLU(slope) => output.multiply(V::splat(*slope)).max_or(*output),
                            Stage::Sigmoid | Stage::Tanh => *output,
                        };
                    }
                }
                let place = convolution.outputs.get_unchecked(channel) + top * to.row_length() + left;
                for (pixel, output) in outputs.iter().take(n_pixels).enumerate() {
                    output.store(y.add((place + pixel * phase.out_step) * LANES));
                }
            }
        }
    }

    /// Sums of inputs times weights, and biases, for neighbours in a row.
    ///
    /// # Safety
    /// As above.
    #[inline(always)]
    unsafe fn sums<V: Vector, const CHANNELS: usize, const PIXELS: usize>(
        &self,
        row: usize,
        column: usize,
    ) -> [[V; PIXELS]; CHANNELS] {
        let Self { convolution, phase, block, from, x, .. } = self;
        // SAFETY: as the caller promises.
        unsafe {
            let first = from.index(0, row * convolution.step, column * convolution.step);
            let (x, step) = (x.add(first * LANES), convolution.step * LANES);
            let mut sums = [[V::splat(0.0); PIXELS]; CHANNELS];
            for (channel, sums) in sums.iter_mut().enumerate() {
                *sums = [V::splat(*block.biases.get_unchecked(channel)); PIXELS];
            }
            let mut weights = block.weights.as_ptr();
            for &input in &phase.inputs {
                let x = x.offset(input * LANES as isize);
                let mut values = [V::splat(0.0); PIXELS];
                for (pixel, value) in values.iter_mut().enumerate() {
                    *value = V::load(x.add(pixel * step));
                }
                for (channel, sums) in sums.iter_mut().enumerate() {
                    let weight = V::splat(*weights.add(channel));
                    for (sum, value) in sums.iter_mut().zip(&values) {
                        *sum = value.multiply_add(weight, *sum);
                    }
                }
                weights = weights.add(CHANNELS);
            }
            sums
        }
    }
}

/// Applies stages to each value.
pub(super) fn map(stages: &[Stage], input: (&[Lanes], Grid), output: (&mut [Lanes], Grid)) {
    vectors::with_vectors(Map { stages, input, output });
}

struct Map<'a> {
    stages: &'a [Stage],
    input: (&'a [Lanes], Grid),
    output: (&'a mut [Lanes], Grid),
}

impl vectors::Work for Map<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        map_values(self.stages, self.input, self.output);
    }
}

#[inline(always)]
fn map_values(stages: &[Stage], (input, from): (&[Lanes], Grid), (output, to): (&mut [Lanes], Grid)) {
    for (row, (x, y)) in from.rows().zip(to.rows()).enumerate() {
        let channel = row / from.height;
        for (x, y) in input[x..][..from.width].iter().zip(&mut output[y..][..from.width]) {
            *y = *x;
            for stage in stages {
                match stage {
                    Stage::Affine(numbers) => {
                        let [factor, summand] = numbers[channel];
                        y.0.iter_mut().for_each(|y| *y = y.mul_add(factor, summand));
                    }
                    Stage::LeakyReLU(slope) => {
                        let below = |y: f32| if *slope == 0.0 { 0.0 } else { y * slope };
                        y.0.iter_mut().for_each(|y| *y = if *y < 0.0 { below(*y) } else { *y });
                    }
                    Stage::Sigmoid => y.0.iter_mut().for_each(|y| *y = sigmoid(*y)),
                    Stage::Tanh => y.0.iter_mut().for_each(|y| *y = sigmoid(2.0 * *y).mul_add(2.0, -1.0)),
                }
            }
        }
    }
}

/// `1 / (1 + exp(-x))`, to 2e-7; what is no number stays so. The exponential is `2^n exp(r)` with `r` between
/// `-ln(2) / 2` and `ln(2) / 2`, which is a polynomial.
#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    /// Added to a small number, it leaves its whole part in the lowest bits.
    const WHOLE: f32 = 12_582_912.0;
    let z = (-x).clamp(-87.0, 88.0);
    let shifted = z.mul_add(std::f32::consts::LOG2_E, WHOLE);
    let n = shifted - WHOLE;
    // In two parts, the first of which is exact.
    let r = n.mul_add(-1.428_606_8e-6, n.mul_add(-0.693_145_75, z));
    let coefficients = [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
    let exponential = coefficients.into_iter().fold(1.0 / 5040.0, |sum: f32, next: f32| sum.mul_add(r, next));
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0f32.to_bits()));
    1.0 / exponential.mul_add(power, 1.0)
}

/// The largest value of each window. Windows begin at the top left, `padding` pixels outside; outside there is nothing.
pub(super) fn max_pool(
    [kernel, stride, padding]: [usize; 3],
    (input, from): (&[Lanes], Grid),
    (output, to): (&mut [Lanes], Grid),
) {
    for channel in 0..to.channels {
        for y in 0..to.height {
            for x in 0..to.width {
                let range = |at: usize, end: usize| {
                    let first = (at * stride) as isize - padding as isize;
                    first.max(0) as usize..((first + kernel as isize).max(0) as usize).min(end)
                };
                let mut largest = [f32::NEG_INFINITY; LANES];
                for row in range(y, from.height) {
                    for column in range(x, from.width) {
                        for (largest, &value) in largest.iter_mut().zip(&input[from.index(channel, row, column)].0) {
                            // What is no number is the largest.
                            *largest = if *largest >= value || largest.is_nan() { *largest } else { value };
                        }
                    }
                }
                output[to.index(channel, y, x)] = Lanes(largest);
            }
        }
    }
}

/// Every pixel as a square of `scale` times `scale`.
pub(super) fn upsample(scale: usize, (input, from): (&[Lanes], Grid), (output, to): (&mut [Lanes], Grid)) {
    for channel in 0..to.channels {
        for y in 0..to.height {
            let line = &input[from.index(channel, y / scale, 0)..][..from.width];
            let outputs = output[to.index(channel, y, 0)..][..to.width].chunks_exact_mut(scale);
            outputs.zip(line).for_each(|(outputs, value)| outputs.fill(*value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A convolution of 2 to 8 channels of 3 x 3 pixels, pooled or not, of images of 7 x 9.
    #[cfg(target_arch = "x86_64")]
    fn convolution(is_pooled: bool) -> (Convolution, [Grid; 2]) {
        let from = Grid { channels: 2, height: 7, width: 9, border: 1 };
        let [height, width] = if is_pooled { [3, 4] } else { [7, 9] };
        let to = Grid { channels: 8, height, width, border: 0 };
        let [plane, line] = [from.channel_length(), from.row_length()].map(|length| length as isize);
        let places = (0..18).map(|index| (index / 9) * plane + (index / 3 % 3 - 1) * line + index % 3 - 1);
        let number = |index: usize| (index * 37 % 101) as f32 / 50.0 - 1.0;
        let block = |first: usize, n: usize| Block {
            first,
            biases: (first..first + n).map(number).collect(),
            weights: (0..n * 18).map(|index| number(index + first)).collect(),
        };
        let phase = Phase {
            start: [0, 0],
            out_step: 1,
            n_outputs: [7, 9],
            inputs: places.collect(),
            blocks: vec![block(0, 6), block(6, 2)],
        };
        let convolution = Convolution {
            phases: vec![phase],
            step: 1,
            is_pooled,
            stages: vec![Stage::Affine((0..8).map(|index| [number(index), number(index + 8)]).collect())],
            outputs: (0..8).map(|channel| to.index(channel, 0, 0)).collect(),
        };
        (convolution, [from, to])
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn vectors_of_either_length_give_the_same_and_what_is_no_number_stays_in_its_lane() {
        if !suit() {
            return;
        }
        for is_pooled in [false, true] {
            let (convolution, [from, to]) = convolution(is_pooled);
            let mut input = vec![Lanes([0.0; LANES]); from.length()];
            for (index, row) in from.rows().enumerate() {
                for (x, value) in input[row..][..9].iter_mut().enumerate() {
                    value.0 = std::array::from_fn(|lane| ((index * 9 + x + lane * 5) * 53 % 97) as f32 / 48.0 - 1.0);
                }
            }
            input[from.index(1, 3, 4)].0[11] = f32::NAN;
            let mut by_any = vec![Lanes([7.0; LANES]); to.length()];
            let mut by_256_bits = by_any.clone();
            convolution.compute((&input, from), (&mut by_any, to));
            // SAFETY: as before, and the processor has been asked.
            unsafe { x86::in_256_bits(&convolution, (&input, from), (&mut by_256_bits, to)) };
            let bits = |values: &[Lanes]| Vec::from_iter(values.iter().flat_map(|value| value.0.map(f32::to_bits)));
            assert_eq!(bits(&by_any), bits(&by_256_bits));
            // In a window of nine outputs; of these four are the last of their pools.
            let is_none = |value: &Lanes| value.0.map(f32::is_nan);
            assert!(
                by_any.iter().all(|value| is_none(value).iter().enumerate().all(|(lane, none)| lane == 11 || !none))
            );
            let n = by_any.iter().filter(|value| value.0[11].is_nan()).count();
            assert_eq!(n, 8 * if is_pooled { 4 } else { 9 });
        }
    }

    #[test]
    fn the_sigmoid_is_exact_to_seven_digits() {
        for step in -20_000..=20_000 {
            let x = step as f32 / 200.0;
            let exact = 1.0 / (1.0 + (-f64::from(x)).exp());
            let error = (f64::from(sigmoid(x)) - exact).abs();
            assert!(error <= 2e-7 * exact.max(1e-6), "{x}: {error}");
        }
        assert_eq!([f32::INFINITY, f32::NEG_INFINITY].map(|x| sigmoid(x).mul_add(2.0, -1.0)), [1.0, -1.0]);
        assert!(sigmoid(f32::NAN).is_nan());
    }

    #[test]
    fn a_pool_keeps_what_is_no_number() {
        let [from, to] = [3, 2].map(|side| Grid { channels: 1, height: side, width: side, border: 0 });
        let mut input = vec![Lanes([-1.0; LANES]); 9];
        input[0].0[2] = f32::NAN;
        input[8].0[2] = 5.0;
        let mut output = vec![Lanes([0.0; LANES]); 4];
        max_pool([2, 2, 1], (&input, from), (&mut output, to));
        assert_eq!(output.iter().map(|value| value.0[1]).collect::<Vec<_>>(), [-1.0; 4]);
        assert!(output[0].0[2].is_nan() && output[3].0[2] == 5.0);
    }
}
