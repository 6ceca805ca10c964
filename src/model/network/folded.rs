//! A network as a CPU evaluates it: batch norm and activations computed with the layer before them, sixteen images at a time
//! in [`lanes`](super::lanes).
//!
//! It is made from the weights, which it copies, and never written back. It is for 32-bit networks with convolutions; others
//! are evaluated by libtorch's operations, layer by layer.

use super::Network;
use super::drafts::{Drafts, Operation};
use super::lanes::{self, Grid, LANES, Lanes};
use crate::device::host::{values, values_mut};
use crate::device::{is_host, threads};
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
        let is_for = is_host(network.device())
            && network.encoder.kernels.channels_last
            && network.parameters.kind() == Kind::Float
            && plan.n_parameters() * size_of::<f32>() <= MOST_BYTES
            && threads::suit(network.device())
            && lanes::suit();
        if !is_for {
            return None;
        }
        let mut drafts = Drafts::new(plan.image_shape);
        let n_encoding = drafts.add_part(&plan.encoder, &network.encoder.layers)?;
        drafts.add_part(&plan.decoder, &network.decoder.layers)?;
        let grids = drafts.grids();
        let n_bytes = grids.iter().fold(0usize, |sum, grid| sum.saturating_add(grid.length() * size_of::<Lanes>()));
        if n_bytes > MOST_BYTES {
            return None;
        }
        Some(Self { operations: drafts.operations(&grids), grids, n_encoding, spare: Mutex::default() })
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
