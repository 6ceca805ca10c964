//! A network as a CPU evaluates it: batch norm and activations computed with the layer before them, sixteen images at a time
//! in [`lanes`](super::lanes).
//!
//! It is made from the weights, which it copies, and never written back. It is for 32-bit networks with convolutions; others
//! are evaluated by libtorch's operations, layer by layer.

use super::Network;
use super::batch_norm::EPSILON;
use super::built::BuiltLayer;
use super::lanes::{self, Block, Convolution, Grid, LANES, Lanes, MOST_CHANNELS, Phase, Stage};
use super::lowering::{self, repeats_evenly};
use crate::device::host::{values, values_mut};
use crate::device::{is_host, threads};
use crate::model::{FeatureShape, Layer, PlannedLayer};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use tch::{Kind, TchError, Tensor};

/// Bytes of the weights, and of what becomes of sixteen images, above which neither stays in the cache.
const MOST_BYTES: usize = 32 << 20;

/// The operations of a network, and the weights that they need.
#[derive(Debug)]
pub(super) struct Folded {
    operations: Vec<Operation>,
    /// The images' grid, and that of each operation's outputs.
    grids: Vec<Grid>,
    /// Operations of the encoder.
    n_encoding: usize,
    /// What becomes of sixteen images, one for each thread that has worked.
    spare: Mutex<Vec<Vec<Vec<Lanes>>>>,
}

#[derive(Debug)]
enum Operation {
    Convolution(Convolution),
    MaxPool([usize; 3]),
    Upsample(usize),
    Map(Vec<Stage>),
}

/// What is wanted of images `[n, c, h, w]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// `[n, d]`.
    Codes,
    /// `[n, c, h, w]`.
    Reconstructions,
    /// The mean of the squared differences of each image and its reconstruction, `[n]`.
    Errors,
}

impl Folded {
    /// Makes the operations of a network; `None` where it is not for it.
    pub(super) fn of(network: &Network) -> Option<Self> {
        let plan = &network.plan;
        let [c, h, w] = plan.image_shape;
        let is_for = is_host(network.device())
            && network.encoder.kernels.channels_last
            && network.parameters.kind() == Kind::Float
            && plan.n_parameters() * size_of::<f32>() <= MOST_BYTES
            && threads::suit(network.device())
            && lanes::suit();
        if !is_for {
            return None;
        }
        let mut drafts = Drafts { image: [c, h, w], drafts: Vec::new(), n_before: 0 };
        drafts.add_part(&plan.encoder, &network.encoder.layers)?;
        let n_encoding = drafts.drafts.len();
        drafts.add_part(&plan.decoder, &network.decoder.layers)?;
        let drafts = drafts.drafts;
        let borders = drafts.iter().map(Draft::border).chain([0]);
        let shapes = [[c, h, w]].into_iter().chain(drafts.iter().map(|draft| draft.output));
        let grids = Vec::from_iter(shapes.zip(borders).map(|([channels, height, width], border)| Grid {
            channels,
            height,
            width,
            border,
        }));
        let n_bytes = grids.iter().fold(0usize, |sum, grid| sum.saturating_add(grid.length() * size_of::<Lanes>()));
        if n_bytes > MOST_BYTES {
            return None;
        }
        let ends = grids.windows(2);
        let operations = drafts.into_iter().zip(ends).map(|(draft, ends)| draft.operation(ends[0], ends[1])).collect();
        Some(Self { operations, grids, n_encoding, spare: Mutex::default() })
    }

    /// Images for which every thread has a few groups to do.
    pub(super) fn fewest_at_once() -> usize {
        const GROUPS_PER_THREAD: usize = 4;
        GROUPS_PER_THREAD * LANES * tch::get_num_threads().max(1) as usize
    }

    /// What is wanted of images `[n, c, h, w]`, in as many threads as libtorch's operations take.
    pub(super) fn of_images<const N: usize>(
        &self,
        images: &Tensor,
        wanted: [Wanted; N],
    ) -> Result<[Tensor; N], TchError> {
        let n = images.size()[0];
        let images = images.f_contiguous()?;
        let mut found = Vec::with_capacity(N);
        for wanted in wanted {
            found.push(Tensor::f_empty(self.shape(n, wanted), (Kind::Float, images.device()))?);
        }
        let mut groups = Vec::new();
        // SAFETY: nobody writes over images that are evaluated, and nobody else knows of the new tensors.
        unsafe {
            groups.extend(values(&images).chunks(LANES * n_values(self.grids[0])).map(|images| (images, Vec::new())));
            for (found, wanted) in found.iter_mut().zip(wanted) {
                let chunks =
                    values_mut(found).chunks_mut(LANES * self.shape(1, wanted).iter().product::<i64>() as usize);
                groups.iter_mut().zip(chunks).for_each(|((_, of_group), chunk)| of_group.push(chunk));
            }
        }
        threads::for_each(groups.into_iter(), |(images, found)| self.of_group(images, wanted, found));
        Ok(found.try_into().expect("one for each that is wanted"))
    }

    fn shape(&self, n: i64, wanted: Wanted) -> Vec<i64> {
        let Grid { channels, height, width, .. } = self.grids[0];
        match wanted {
            Wanted::Codes => vec![n, n_values(self.grids[self.n_encoding]) as i64],
            Wanted::Reconstructions => vec![n, channels as i64, height as i64, width as i64],
            Wanted::Errors => vec![n],
        }
    }

    /// The same of at most sixteen images.
    fn of_group<const N: usize>(&self, images: &[f32], wanted: [Wanted; N], found: Vec<&mut [f32]>) {
        let spare = || self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = spare().pop();
        // Borders stay zero.
        let empty = |grid: &Grid| vec![Lanes([0.0; LANES]); grid.length()];
        let mut layers: Vec<Vec<Lanes>> = taken.unwrap_or_else(|| self.grids.iter().map(empty).collect());
        side_by_side(images, &mut layers[0], self.grids[0]);
        let is_encoding_alone = wanted.iter().all(|&wanted| wanted == Wanted::Codes);
        let n_operations = if is_encoding_alone { self.n_encoding } else { self.operations.len() };
        for (index, operation) in self.operations[..n_operations].iter().enumerate() {
            let (before, after) = layers.split_at_mut(index + 1);
            let input = (&before[index][..], self.grids[index]);
            let output = (&mut after[0][..], self.grids[index + 1]);
            match operation {
                Operation::Convolution(convolution) => convolution.compute(input, output),
                Operation::MaxPool(window) => lanes::max_pool(*window, input, output),
                Operation::Upsample(scale) => lanes::upsample(*scale, input, output),
                Operation::Map(stages) => lanes::map(stages, input, output),
            }
        }
        let layer = |index: usize| (&layers[index][..], self.grids[index]);
        for (wanted, found) in wanted.into_iter().zip(found) {
            match wanted {
                Wanted::Codes => one_by_one(layer(self.n_encoding), found),
                Wanted::Reconstructions => one_by_one(layer(n_operations), found),
                Wanted::Errors => errors(layer(0), layer(n_operations), found),
            }
        }
        spare().push(layers);
    }
}

fn n_values(grid: Grid) -> usize {
    grid.channels * grid.height * grid.width
}

/// Puts up to sixteen images `[n, c, h, w]` into lanes.
fn side_by_side(images: &[f32], lanes: &mut [Lanes], grid: Grid) {
    for (row, from) in grid.rows().zip((0..).step_by(grid.width)) {
        let line = &mut lanes[row..][..grid.width];
        for (lane, image) in images.chunks(n_values(grid)).enumerate() {
            line.iter_mut().zip(&image[from..]).for_each(|(to, value)| to.0[lane] = *value);
        }
    }
}

/// And back.
fn one_by_one((lanes, grid): (&[Lanes], Grid), images: &mut [f32]) {
    for (row, to) in grid.rows().zip((0..).step_by(grid.width)) {
        let line = &lanes[row..][..grid.width];
        for (lane, image) in images.chunks_mut(n_values(grid)).enumerate() {
            line.iter().zip(&mut image[to..]).for_each(|(from, value)| *value = from.0[lane]);
        }
    }
}

/// The mean of the squared differences, one for each image: of each row in 32 bits, of all rows in 64.
fn errors((images, from): (&[Lanes], Grid), (rebuilt, to): (&[Lanes], Grid), errors: &mut [f32]) {
    let mut sums = [0.0; LANES];
    for (image, rebuilt_row) in from.rows().zip(to.rows()) {
        let mut of_row = [0.0; LANES];
        for (image, rebuilt) in images[image..][..from.width].iter().zip(&rebuilt[rebuilt_row..]) {
            for (sum, (rebuilt, image)) in of_row.iter_mut().zip(rebuilt.0.iter().zip(image.0)) {
                *sum += (rebuilt - image) * (rebuilt - image);
            }
        }
        sums.iter_mut().zip(of_row).for_each(|(sum, of_row)| *sum += f64::from(of_row));
    }
    errors.iter_mut().zip(sums).for_each(|(error, sum)| *error = (sum / n_values(from) as f64) as f32);
}

/// The operations before the borders around their inputs and outputs are known.
struct Drafts {
    image: [usize; 3],
    drafts: Vec<Draft>,
    /// Those of the part before, whose outputs are codes that nothing is fused with.
    n_before: usize,
}

struct Draft {
    what: What,
    input: [usize; 3],
    output: [usize; 3],
}

enum What {
    Convolution(Windows),
    Linear(Weighted),
    MaxPool([usize; 3]),
    Upsample(usize),
    Map(Vec<Stage>),
}

/// The numbers of a convolution or a linear layer.
struct Weighted {
    /// `[out, in, kernel, kernel]`.
    weights: Vec<f32>,
    biases: Vec<f32>,
    stages: Vec<Stage>,
}

/// A convolution as it is planned, and what is computed with it.
struct Windows {
    numbers: Weighted,
    in_channels: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    is_transposed: bool,
    /// How much its input is upsampled before.
    scale: usize,
    /// Height and width of its outputs before they are pooled.
    sides: [usize; 2],
    is_pooled: bool,
}

impl Drafts {
    /// Adds the layers of encoder or decoder; `None` where one cannot be computed so.
    fn add_part(&mut self, planned: &[PlannedLayer], built: &[BuiltLayer]) -> Option<()> {
        self.n_before = self.drafts.len();
        // What does nothing would stand in the way of others.
        let acts = |planned: &PlannedLayer| !matches!(planned.layer, Layer::Dropout { .. } | Layer::Flatten);
        let layers = planned.iter().zip(built).filter(|(planned, _)| acts(planned));
        let (planned, built): (Vec<PlannedLayer>, Vec<&BuiltLayer>) =
            layers.map(|(planned, built)| (planned.clone(), built)).unzip();
        for step in lowering::order(&planned) {
            self.add(&planned[step.layer], built[step.layer])?;
        }
        Some(())
    }

    fn shape(&self) -> [usize; 3] {
        self.drafts.last().map_or(self.image, |draft| draft.output)
    }

    /// The operation before, if something may be fused with it.
    fn last(&mut self) -> Option<&mut Draft> {
        self.drafts[self.n_before..].last_mut()
    }

    fn add(&mut self, planned: &PlannedLayer, built: &BuiltLayer) -> Option<()> {
        let input = self.shape();
        // SAFETY: weights change between the steps of a training only.
        let [trained, running] = [&built.trained, &built.running]
            .map(|tensors| Vec::from_iter(tensors.iter().map(|tensor| unsafe { values(tensor) })));
        let mut push = |what, output| self.drafts.push(Draft { what, input, output });
        match planned.layer {
            Layer::Conv2d { in_channels, out_channels, kernel, stride, padding }
            | Layer::ConvTranspose2d { in_channels, out_channels, kernel, stride, padding } => {
                let FeatureShape::Image(output @ [_, height, width]) = planned.output else { return None };
                let is_transposed = matches!(planned.layer, Layer::ConvTranspose2d { .. });
                let mut weights = trained[0].to_vec();
                if is_transposed {
                    let (n, from) = (kernel * kernel, trained[0]);
                    let of = |out: usize, input: usize| &from[(input * out_channels + out) * n..][..n];
                    let all = (0..out_channels).flat_map(|out| (0..in_channels).map(move |input| (out, input)));
                    weights = all.flat_map(|(out, input)| of(out, input)).copied().collect();
                }
                let mut windows = Windows {
                    numbers: Weighted { weights, biases: trained[1].to_vec(), stages: Vec::new() },
                    in_channels,
                    kernel,
                    stride,
                    padding,
                    is_transposed,
                    scale: 1,
                    sides: [height, width],
                    is_pooled: false,
                };
                let mut input = input;
                if let Some(Draft { what: What::Upsample(scale), input: before, .. }) = self.last()
                    && stride == 1
                {
                    (windows.scale, input) = (*scale, *before);
                    self.drafts.pop();
                }
                self.drafts.push(Draft { what: What::Convolution(windows), input, output });
            }
            Layer::Linear { .. } | Layer::Gaussian { .. } => {
                // Of a Gaussian bottleneck the mean.
                let [weights, biases] = [trained[0], trained[1]].map(<[f32]>::to_vec);
                let output = [biases.len(), 1, 1];
                push(What::Linear(Weighted { weights, biases, stages: Vec::new() }), output);
            }
            Layer::MaxPool { kernel, stride, padding } => {
                let FeatureShape::Image(pooled) = planned.output else { return None };
                match self.last() {
                    Some(Draft { what: What::Convolution(windows), output, .. })
                        if [kernel, stride, padding] == [2, 2, 0] && windows.may_be_pooled() =>
                    {
                        windows.is_pooled = true;
                        *output = pooled;
                    }
                    _ => self.drafts.push(Draft {
                        what: What::MaxPool([kernel, stride, padding]),
                        input,
                        output: pooled,
                    }),
                }
            }
            Layer::Upsample { scale } => {
                let [c, h, w] = input;
                if !repeats_evenly(planned) {
                    return None;
                }
                push(What::Upsample(scale), [c, h * scale, w * scale]);
            }
            Layer::BatchNorm2d { .. } => {
                let [weights, biases, means, variances] = [trained[0], trained[1], running[0], running[1]];
                let numbers = (0..weights.len()).map(|channel| {
                    let [weight, bias, mean, variance] =
                        [weights, biases, means, variances].map(|numbers| f64::from(numbers[channel]));
                    let factor = weight / (variance + EPSILON).sqrt();
                    [factor, bias - mean * factor]
                });
                let numbers = Vec::from_iter(numbers);
                match self.last() {
                    Some(Draft {
                        what: What::Convolution(Windows { numbers: before, is_pooled: false, .. }), ..
                    })
                    | Some(Draft { what: What::Linear(before), .. })
                        if before.stages.is_empty() =>
                    {
                        before.scale(&numbers);
                    }
                    _ => self.add_stage(Stage::Affine(
                        numbers.iter().map(|numbers| numbers.map(|number| number as f32)).collect(),
                    )),
                }
            }
            Layer::ReLU => self.add_stage(Stage::LeakyReLU(0.0)),
            Layer::LeakyReLU { slope } => self.add_stage(Stage::LeakyReLU(slope as f32)),
            Layer::Sigmoid => self.add_stage(Stage::Sigmoid),
            Layer::Tanh => self.add_stage(Stage::Tanh),
            Layer::Unflatten { shape } => match self.drafts.last_mut() {
                Some(Draft { output, .. }) if *output == shape => {}
                Some(Draft { what: What::Linear(_), output, .. }) => *output = shape,
                _ => return None,
            },
            Layer::Dropout { .. } | Layer::Flatten => {}
        }
        Some(())
    }

    /// Adds a stage to the operation before, or an operation of its own.
    fn add_stage(&mut self, stage: Stage) {
        let shape = self.shape();
        let is_slow = matches!(stage, Stage::Sigmoid | Stage::Tanh);
        match self.last() {
            Some(Draft { what: What::Map(stages), .. }) => stages.push(stage),
            Some(Draft { what: What::Convolution(Windows { numbers, .. }), .. }) if !is_slow => {
                numbers.stages.push(stage);
            }
            Some(Draft { what: What::Linear(numbers), .. }) if !is_slow => {
                let n = numbers.biases.len();
                numbers.stages.push(match stage {
                    // The same for all features of a channel.
                    Stage::Affine(of_channels) => {
                        Stage::Affine((0..n).map(|out| of_channels[out * of_channels.len() / n]).collect())
                    }
                    stage => stage,
                });
            }
            _ => self.drafts.push(Draft { what: What::Map(vec![stage]), input: shape, output: shape }),
        }
    }
}

impl Weighted {
    /// Multiplies and shifts the outputs of each channel by a factor and a summand.
    fn scale(&mut self, numbers: &[[f64; 2]]) {
        let n = self.biases.len();
        let n_weights = self.weights.len() / n;
        for (out, (weights, bias)) in self.weights.chunks_mut(n_weights).zip(&mut self.biases).enumerate() {
            let [factor, summand] = numbers[out * numbers.len() / n];
            weights.iter_mut().for_each(|weight| *weight = (f64::from(*weight) * factor) as f32);
            *bias = (f64::from(*bias) * factor + summand) as f32;
        }
    }

    /// In blocks of nearly equal numbers of channels. `sums_of` gives the indices of the weights that each input of an output
    /// is multiplied with the sum of.
    fn blocks(&self, sums_of: &[Vec<usize>]) -> Vec<Block> {
        let n = self.biases.len();
        let n_weights = self.weights.len() / n;
        let n_blocks = n.div_ceil(MOST_CHANNELS);
        let bounds = Vec::from_iter((0..=n_blocks).map(|block| n * block / n_blocks));
        let block = |bounds: &[usize]| {
            let channels = bounds[0]..bounds[1];
            let weight = |sum_of: &Vec<usize>, channel: usize| -> f32 {
                sum_of.iter().map(|index| self.weights[channel * n_weights + index]).sum()
            };
            let inputs = sums_of.iter();
            Block {
                first: bounds[0],
                biases: self.biases[channels.clone()].to_vec(),
                weights: inputs
                    .flat_map(|sum_of| channels.clone().map(move |channel| weight(sum_of, channel)))
                    .collect(),
            }
        };
        bounds.windows(2).map(block).collect()
    }
}

impl Windows {
    fn may_be_pooled(&self) -> bool {
        !self.is_pooled && self.numbers.stages.is_empty() && self.n_phases() == 1
    }

    /// Along an axis every so many outputs have the same weights.
    fn n_phases(&self) -> usize {
        if self.is_transposed && self.scale == 1 { self.stride } else { self.scale }
    }

    /// Pixels from the input of an output to that of the next one of the phase.
    fn step(&self) -> usize {
        if self.is_transposed || self.scale > 1 { 1 } else { self.stride }
    }

    /// Along an axis, how far each input of a phase's first output is from the first input, with its place in the kernel.
    ///
    /// Output `y` of a convolution is the sum of `x[stride * y + k - padding] * weight[k]`, that of a transposed one of
    /// `x[(y + padding - k) / stride] * weight[k]` where it divides. Of an upsampled input, `x[i]` is `x[i / scale]`.
    fn taps(&self, phase: usize) -> Vec<(isize, usize)> {
        let [phase, padding, stride, scale] = [phase, self.padding, self.stride, self.scale].map(|n| n as isize);
        let taps = (0..self.kernel).filter_map(|place| {
            let k = place as isize;
            if !self.is_transposed {
                return Some(((phase + k - padding).div_euclid(scale), place));
            }
            let upsampled = phase + padding - k;
            (upsampled.rem_euclid(stride) == 0).then(|| (upsampled.div_euclid(stride).div_euclid(scale), place))
        });
        taps.collect()
    }

    /// Zeros that it wants around an input of these sides.
    fn border(&self, sides: [usize; 2]) -> usize {
        let mut border = 0;
        for phase in 0..self.n_phases() {
            for (offset, _) in self.taps(phase) {
                for (side, n) in sides.into_iter().zip(self.sides) {
                    let last = n.div_ceil(self.n_phases()).saturating_sub(1) * self.step();
                    border = border.max(-offset).max(last as isize + offset + 1 - side as isize);
                }
            }
        }
        border as usize
    }

    fn convolution(self, from: Grid, to: Grid) -> Convolution {
        let n_phases = self.n_phases();
        let phase = |[y, x]: [usize; 2]| {
            // Places of the kernel that meet the same input, by its row and column.
            let mut met = BTreeMap::<[isize; 2], Vec<usize>>::new();
            for (row, ky) in self.taps(y) {
                for (column, kx) in self.taps(x) {
                    met.entry([row, column]).or_default().push(ky * self.kernel + kx);
                }
            }
            let (mut inputs, mut sums_of) = (Vec::new(), Vec::new());
            for channel in 0..self.in_channels {
                for ([row, column], places) in &met {
                    let [plane, line] = [from.channel_length(), from.row_length()].map(|length| length as isize);
                    inputs.push(channel as isize * plane + row * line + column);
                    let first = channel * self.kernel * self.kernel;
                    sums_of.push(places.iter().map(|place| first + place).collect());
                }
            }
            let n_outputs = [0, 1].map(|axis| self.sides[axis].saturating_sub([y, x][axis]).div_ceil(n_phases));
            let blocks = self.numbers.blocks(&sums_of);
            Phase { start: [y, x], out_step: n_phases, n_outputs, inputs, blocks }
        };
        let phases = (0..n_phases * n_phases).map(|index| phase([index / n_phases, index % n_phases])).collect();
        Convolution {
            phases,
            step: self.step(),
            is_pooled: self.is_pooled,
            outputs: (0..to.channels).map(|channel| to.index(channel, 0, 0)).collect(),
            stages: self.numbers.stages,
        }
    }
}

impl Draft {
    /// Zeros that it wants around its input.
    fn border(&self) -> usize {
        match &self.what {
            What::Convolution(windows) => windows.border([self.input[1], self.input[2]]),
            What::Linear(_) | What::MaxPool(_) | What::Upsample(_) | What::Map(_) => 0,
        }
    }

    fn operation(self, from: Grid, to: Grid) -> Operation {
        match self.what {
            What::Convolution(windows) => Operation::Convolution(windows.convolution(from, to)),
            // A convolution of one output, of which every value is a channel.
            What::Linear(numbers) => {
                let n = numbers.weights.len() / numbers.biases.len();
                let blocks = numbers.blocks(&Vec::from_iter((0..n).map(|input| vec![input])));
                let inputs = (0..n as isize).collect();
                Operation::Convolution(Convolution {
                    phases: vec![Phase { start: [0, 0], out_step: 1, n_outputs: [1, 1], inputs, blocks }],
                    step: 1,
                    is_pooled: false,
                    outputs: to.rows().flat_map(|row| row..row + to.width).collect(),
                    stages: numbers.stages,
                })
            }
            What::MaxPool(window) => Operation::MaxPool(window),
            What::Upsample(scale) => Operation::Upsample(scale),
            What::Map(stages) => Operation::Map(stages),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ImageShape;
    use crate::device::{Precision, Purpose, generator, uniform_values};
    use crate::model::{Architecture, Mode};
    use tch::Device;

    fn drawn(n: usize, seed: u64) -> Vec<f32> {
        uniform_values(n, 1.0, &mut generator(seed, Purpose::Weights, 0, 0))
    }

    /// A network with weights and running statistics of any size and sign, but variances above 0.
    fn network(architecture: &Architecture, image_shape: ImageShape) -> Network {
        let network = Network::new(architecture.plan(image_shape).unwrap(), 5, Device::Cpu).unwrap();
        crate::device::without_gradients(|| {
            for (index, (name, mut tensor)) in network.named_tensors().into_iter().enumerate() {
                let values = Tensor::from_slice(&drawn(tensor.numel(), index as u64)).view_as(&tensor);
                if name.ends_with("running_var") {
                    tensor.copy_(&(values.abs() + 0.05));
                } else if tensor.dim() == 1 {
                    tensor.copy_(&values);
                }
            }
        });
        network
    }

    /// Codes, reconstructions and errors against those of libtorch's operations, layer by layer.
    #[track_caller]
    fn check(architecture: &Architecture, image_shape: ImageShape, n_images: usize) {
        let network = network(architecture, image_shape);
        let folded = Folded::of(&network).expect("it is for this network");
        let [c, h, w] = image_shape.map(|side| side as i64);
        let images = Tensor::from_slice(&drawn(n_images * (c * h * w) as usize, 99)).view([n_images as i64, c, h, w]);
        let before = network.snapshot().unwrap();
        let wanted = [Wanted::Codes, Wanted::Reconstructions, Wanted::Errors];
        let [codes, reconstructions, errors] = folded.of_images(&images, wanted).unwrap();
        assert_eq!(network.snapshot().unwrap(), before);
        let pass = network.pass(&images, Mode::Evaluation, Precision::Float32).unwrap();
        let planned_errors = (&pass.reconstruction - &images).square().mean_dim(&[1i64, 2, 3][..], false, Kind::Float);
        let close = |what: &str, ours: &Tensor, planned: &Tensor| {
            assert_eq!(ours.size(), planned.size(), "{what}");
            let [error, largest] = [ours - planned, planned.shallow_clone()].map(|it| it.abs().max().double_value(&[]));
            assert!(error <= 1e-5 * largest, "{}, {what}: {error}, of {largest}", architecture.name);
        };
        close("codes", &codes, &network.encode(&images, Precision::Float32).unwrap());
        close("reconstructions", &reconstructions, &pass.reconstruction);
        let relative = ((&errors - &planned_errors) / &planned_errors).abs().max().double_value(&[]);
        assert!(relative <= 1e-5, "{}, errors: {relative}", architecture.name);
        // Alone as among others.
        let last = images.narrow(0, n_images as i64 - 1, 1);
        let [alone] = folded.of_images(&last, [Wanted::Errors]).unwrap();
        assert_eq!(alone.double_value(&[0]), errors.double_value(&[n_images as i64 - 1]));
    }

    #[test]
    fn folded_networks_equal_unfolded_ones() {
        check(&Architecture::report_cnn(), [3, 32, 32], 37);
        check(&Architecture::report_cnn().adapted_to([1, 48, 48]).unwrap(), [1, 48, 48], 16);
        check(&Architecture::conv(), [3, 32, 32], 5);
        check(&Architecture::conv().adapted_to([1, 40, 40]).unwrap(), [1, 40, 40], 1);
    }

    #[test]
    fn other_networks_are_left_to_libtorch() {
        let is_left = |architecture: Architecture, image_shape| {
            let network = Network::new(architecture.plan(image_shape).unwrap(), 5, Device::Cpu).unwrap();
            Folded::of(&network).is_none()
        };
        assert!(is_left(Architecture::fcn(), [3, 32, 32]), "no convolutions");
        let wide = Architecture::parse("Conv2d(3, 64, 3, 1, 1)", "Conv2d(64, 3, 3, 1, 1)").unwrap();
        assert!(is_left(wide.clone(), [3, 128, 128]) && !is_left(wide, [3, 32, 32]), "large images");
        let long = Architecture::parse("Conv2d(1, 1, 3, 1, 1) / Linear(256, 40000)", "Linear(40000, 256)").unwrap();
        assert!(is_left(long, [1, 16, 16]), "many weights");
    }

    #[test]
    fn layers_in_any_order() {
        let mut n = 0;
        let mut check = |encoder: &str, decoder: &str, image_shape: ImageShape| {
            n += 1;
            check(&Architecture::parse(encoder, decoder).unwrap().named(format!("case {n}")), image_shape, 18);
        };
        check(
            "Conv2d(3, 8, 3, 1, 1) / MaxPool(4, 4, 0) / BatchNorm2d(8) / Dropout(0.3) / LeakyReLU(0.1)",
            "Upsample(2) / Upsample(2) / BatchNorm2d(8) / Sigmoid() / Dropout(0.2) / LeakyReLU(0.2) / BatchNorm2d(8)
             ConvTranspose2d(8, 3, 3, 1, 1) / BatchNorm2d(3) / Tanh()",
            [3, 32, 32],
        );
        check(
            "BatchNorm2d(3) / Conv2d(3, 8, 3, 2, 1) / BatchNorm2d(8) / Dropout(0) / BatchNorm2d(8) / LeakyReLU(0.1)",
            "ConvTranspose2d(8, 5, 4, 2, 1) / ReLU() / BatchNorm2d(5) / Tanh() / Conv2d(5, 3, 1, 1, 0) / BatchNorm2d(3)",
            [3, 32, 32],
        );
        check(
            "Conv2d(3, 8, 3, 2, 1) / BatchNorm2d(8) / ReLU() / Gaussian(6)",
            "Linear(6, 128) / Unflatten(8, 4, 4) / BatchNorm2d(8) / LeakyReLU(0.3) / Upsample(8) / Conv2d(8, 3, 3, 1, 1)",
            [3, 32, 32],
        );
        check(
            "Conv2d(2, 13, 5, 1, 2) / ReLU() / MaxPool(3, 2, 1) / Conv2d(13, 7, 2, 1, 0) / Sigmoid() / BatchNorm2d(7)",
            "ConvTranspose2d(7, 9, 2, 1, 0) / Upsample(3) / ConvTranspose2d(9, 2, 5, 1, 4) / Tanh() / Conv2d(2, 2, 8, 1, 0)",
            [2, 19, 19],
        );
        check(
            "Conv2d(1, 4, 3, 1, 1) / MaxPool(2, 2, 0) / BatchNorm2d(4) / Conv2d(4, 6, 3, 1, 1) / BatchNorm2d(6) / MaxPool(2, 2, 0)",
            "ConvTranspose2d(6, 4, 3, 3, 0) / ConvTranspose2d(4, 2, 3, 1, 0) / Upsample(1) / Conv2d(2, 1, 4, 1, 2)",
            [1, 12, 12],
        );
    }
}
