//! Layers of sixteen images at once, with an image in each lane of the processor's vectors.
//!
//! Vectors are full whatever the number of channels, no value has to change its lane, and sixteen images and what becomes of
//! them stay in the cache of a core from the first layer to the last. Sums are added in the same order in every lane, so an
//! image's result does not depend on the images beside it.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

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

/// Whether the processor has vectors that this is written for.
pub(super) fn suit() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

impl Convolution {
    /// Computes all outputs. `input` and `output` are of the grids that the convolution was made for.
    pub(super) fn compute(&self, input: (&[Lanes], Grid), output: (&mut [Lanes], Grid)) {
        #[target_feature(enable = "avx512f")]
        fn in_512_bits(convolution: &Convolution, input: (&[Lanes], Grid), output: (&mut [Lanes], Grid)) {
            // SAFETY: the processor has these vectors, as the caller knows; the rest as below.
            unsafe { convolution.compute_by::<__m512>(input, output) }
        }
        #[target_feature(enable = "avx2,fma")]
        fn in_256_bits(convolution: &Convolution, input: (&[Lanes], Grid), output: (&mut [Lanes], Grid)) {
            // SAFETY: likewise.
            unsafe { convolution.compute_by::<__m256>(input, output) }
        }
        self.check(&input, &output);
        // SAFETY: the processor has been asked, and the places have been checked.
        unsafe {
            if is_x86_feature_detected!("avx512f") {
                in_512_bits(self, input, output);
            } else {
                in_256_bits(self, input, output);
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
pub(super) fn map(stages: &[Stage], (input, from): (&[Lanes], Grid), (output, to): (&mut [Lanes], Grid)) {
    #[target_feature(enable = "avx2,fma")]
    fn wide(stages: &[Stage], (input, from): (&[Lanes], Grid), (output, to): (&mut [Lanes], Grid)) {
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
                            y.0.iter_mut().for_each(|y| *y = if *y < 0.0 { *y * slope } else { *y });
                        }
                        Stage::Sigmoid => y.0.iter_mut().for_each(|y| *y = sigmoid(*y)),
                        Stage::Tanh => y.0.iter_mut().for_each(|y| *y = sigmoid(2.0 * *y).mul_add(2.0, -1.0)),
                    }
                }
            }
        }
    }
    assert!(suit());
    // SAFETY: the processor has been asked.
    unsafe { wide(stages, (input, from), (output, to)) }
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
