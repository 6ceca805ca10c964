//! From the layers of a network to the operations of [`Folded`](super::folded::Folded): which layers are computed together,
//! and with which weights.

use super::batch_norm::EPSILON;
use super::built::BuiltLayer;
use super::lanes::{Block, Convolution, Grid, MOST_CHANNELS, Phase, Stage};
use super::lowering::{self, repeats_evenly};
use crate::device::host::values;
use crate::model::{FeatureShape, Layer, PlannedLayer};
use std::collections::BTreeMap;

/// From one grid to the next.
#[derive(Debug)]
pub(super) enum Operation {
    Convolution(Convolution),
    MaxPool([usize; 3]),
    Upsample(usize),
    Map(Vec<Stage>),
}

/// The operations before the borders around their inputs and outputs are known.
pub(super) struct Drafts {
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
    /// None yet, for images of this shape.
    pub(super) fn new(image: [usize; 3]) -> Self {
        Self { image, drafts: Vec::new(), n_before: 0 }
    }

    /// Adds the layers of encoder or decoder, and says how many operations there are then; `None` where a layer cannot be
    /// computed so.
    pub(super) fn add_part(&mut self, planned: &[PlannedLayer], built: &[BuiltLayer]) -> Option<usize> {
        self.n_before = self.drafts.len();
        // What does nothing would stand in the way of others.
        let acts = |planned: &PlannedLayer| !matches!(planned.layer, Layer::Dropout { .. } | Layer::Flatten);
        let layers = planned.iter().zip(built).filter(|(planned, _)| acts(planned));
        let (planned, built): (Vec<PlannedLayer>, Vec<&BuiltLayer>) =
            layers.map(|(planned, built)| (planned.clone(), built)).unzip();
        for step in lowering::order(&planned) {
            self.add(&planned[step.layer], built[step.layer])?;
        }
        Some(self.drafts.len())
    }

    /// The images' grid, and that of each operation's outputs, with the border that the next one wants.
    pub(super) fn grids(&self) -> Vec<Grid> {
        let borders = self.drafts.iter().map(Draft::border).chain([0]);
        let shapes = [self.image].into_iter().chain(self.drafts.iter().map(|draft| draft.output));
        let grid = |([channels, height, width], border): ([usize; 3], usize)| Grid { channels, height, width, border };
        shapes.zip(borders).map(grid).collect()
    }

    /// The operations between [`Drafts::grids`].
    pub(super) fn operations(self, grids: &[Grid]) -> Vec<Operation> {
        let drafts = self.drafts.into_iter().zip(grids.windows(2));
        drafts.map(|(draft, ends)| draft.operation(ends[0], ends[1])).collect()
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
