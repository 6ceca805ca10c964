//! Devices (CPU or CUDA), precision, and random numbers.

pub(crate) mod cuda;
pub(crate) mod graph;
pub(crate) mod host;
#[cfg(test)]
pub(crate) mod simulated;
pub(crate) mod threads;
pub(crate) mod vectors;

use crate::data::{Images, Pixels};
use crate::error::TorchContext;
use crate::{Error, Result};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};
use std::str::FromStr;
use tch::{Kind, TchError, Tensor};

/// The device to compute on.
///
/// # Example
/// ```
/// use diabolo::device::Device;
/// use diabolo::train::Training;
/// let training = Training::default().device(Device::Cpu);
/// assert_eq!(training.device, Device::Cpu);
/// assert_eq!(Training::default().device, Device::Auto);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Device {
    /// The first CUDA device where there is one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA device of this number, from 0.
    Cuda(usize),
}

/// From "auto", "cpu", "cuda" or "cuda:1", as PyTorch names devices.
///
/// # Example
/// ```
/// use diabolo::device::Device;
/// assert_eq!("cuda:1".parse::<Device>()?, Device::Cuda(1));
/// assert_eq!("cpu".parse::<Device>()?, Device::Cpu);
/// assert!("gpu".parse::<Device>().is_err());
/// # Ok::<(), diabolo::Error>(())
/// ```
impl FromStr for Device {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let number = |text: &str| text.parse().ok().map(Self::Cuda);
        let found = match name {
            "auto" => Some(Self::Auto),
            "cpu" => Some(Self::Cpu),
            "cuda" => Some(Self::Cuda(0)),
            _ => name.strip_prefix("cuda:").and_then(number),
        };
        found.ok_or_else(|| {
            Error::setting(
                "device",
                format!("{name:?}"),
                "auto, cpu, cuda or cuda:1",
                "auto takes a GPU where there is one",
            )
        })
    }
}

/// The kind of numbers that a network computes with.
///
/// # Example
/// ```
/// use diabolo::device::Precision;
/// use diabolo::train::Training;
/// let training = Training { precision: Precision::Bfloat16, ..Training::default() };
/// assert_eq!(Training::default().precision, Precision::Float32);
/// # assert_ne!(training, Training::default());
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 32-bit floats throughout; on a GPU without TF32, where diabolo was built with CUDA's headers
    /// (docs/GUIDE.md, "A GPU").
    #[default]
    Float32,
    /// 32-bit floats whose convolutions and matrix products an NVIDIA GPU computes with 10 bits of mantissa, about three
    /// decimal digits; a CPU as [`Precision::Float32`]. libtorch has one switch for it: of trainings at the same time
    /// the one that began last decides.
    Tf32,
    /// 16-bit "brain" floats in the layers; weights, losses and optimiser stay 32-bit.
    /// About three decimal digits. Meant for GPUs: on the CPUs that were tried it is slower (docs/BENCHMARKS.md).
    Bfloat16,
}

/// A device that has been tried, and why it was taken.
#[derive(Debug, Clone)]
pub(crate) struct Chosen {
    pub(crate) device: tch::Device,
    /// As in "CPU (no NVIDIA driver found)".
    pub(crate) reason: String,
}

impl Device {
    /// Tries the device with one number on it and says which one it is and why, as in "CPU, since there is no NVIDIA
    /// driver" or "CUDA device 0, the first one, with cuDNN".
    ///
    /// # Errors
    /// [`Error::Device`] when a CUDA device was asked for and cannot be used; `Auto` never fails.
    ///
    /// # Example
    /// ```
    /// assert_eq!(diabolo::device::Device::Cpu.describe()?, "CPU, as asked");
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn describe(self) -> Result<String> {
        let chosen = self.choose()?;
        Ok(match chosen.device {
            tch::Device::Cuda(_) if tch::Cuda::cudnn_is_available() => format!("{}, with cuDNN", chosen.reason),
            tch::Device::Cuda(_) => format!("{}, without cuDNN", chosen.reason),
            _ => chosen.reason,
        })
    }

    /// Tries the device with one number on it.
    ///
    /// # Errors
    /// [`Error::Device`] when a CUDA device was asked for and cannot be used; `Auto` never fails.
    pub(crate) fn choose(self) -> Result<Chosen> {
        match self {
            Self::Cpu => Ok(Chosen { device: tch::Device::Cpu, reason: "CPU, as asked".into() }),
            Self::Cuda(index) => cuda::try_device(index)
                .map(|device| Chosen { device, reason: format!("CUDA device {index}, as asked") }),
            Self::Auto if !cuda::has_driver() => {
                Ok(Chosen { device: tch::Device::Cpu, reason: "CPU, since there is no NVIDIA driver".into() })
            }
            Self::Auto => Ok(match cuda::try_device(0) {
                Ok(device) => Chosen { device, reason: "CUDA device 0, the first one".into() },
                Err(error) => Chosen { device: tch::Device::Cpu, reason: format!("CPU, since {error}") },
            }),
        }
    }
}

/// Whether tensors of this device are computed with on the host: those of a CPU, unless a test simulates a GPU there.
pub(crate) fn is_host(device: tch::Device) -> bool {
    #[cfg(test)]
    if simulated::is_here() {
        return false;
    }
    device == tch::Device::Cpu
}

/// Computes without recording what a gradient would need, as PyTorch's `torch.no_grad()`. A panic inside does not leave the
/// thread so, as `tch::no_grad` would.
pub(crate) fn without_gradients<T>(compute: impl FnOnce() -> T) -> T {
    let _guard = tch::no_grad_guard();
    compute()
}

/// A tensor of its own with the same values, on the same device.
pub(crate) fn copied(tensor: &Tensor) -> Result<Tensor, TchError> {
    let mut copy = tensor.f_empty_like()?;
    copy.f_copy_(tensor)?;
    Ok(copy)
}

/// Images gathered on a device, 8-bit where their source is, and scaled a batch at a time.
#[derive(Debug)]
pub(crate) struct ResidentImages {
    /// `[n, c, h, w]`, `uint8` or `float32`.
    pixels: Tensor,
    bytes: bool,
}

impl ResidentImages {
    /// Copies the images of `range` to `device`.
    pub(crate) fn new(images: &Images, range: std::ops::Range<usize>, device: tch::Device) -> Result<Self> {
        let [c, h, w] = images.shape().map(|size| size as i64);
        let n = range.len() as i64;
        let doing = "moving images to the device";
        let (pixels, bytes) = match images.gather(range) {
            Pixels::Bytes(values) => (Tensor::f_from_slice(values.as_slice().expect("gathered in order")), true),
            Pixels::Floats(values) => (Tensor::f_from_slice(values.as_slice().expect("gathered in order")), false),
        };
        let pixels =
            pixels.and_then(|flat| flat.f_view([n, c, h, w])).and_then(|host| host.f_to(device)).doing(doing)?;
        Ok(Self { pixels, bytes })
    }

    /// The images of these rows, `[rows, c, h, w]`, f32 in -1..=1.
    pub(crate) fn batch(&self, rows: &Tensor) -> Result<Tensor> {
        self.pixels.f_index_select(0, rows).and_then(|batch| self.scaled(batch)).doing("gathering a batch")
    }

    /// All images, likewise.
    pub(crate) fn all(&self) -> Result<Tensor> {
        self.scaled(self.pixels.shallow_clone()).doing("scaling images")
    }

    fn scaled(&self, batch: Tensor) -> Result<Tensor, TchError> {
        if !self.bytes {
            return Ok(batch);
        }
        batch.f_to_kind(Kind::Float)?.f_div_scalar_(127.5)?.f_sub_scalar_(1.0)
    }
}

/// What random numbers are drawn for. Each purpose has its own sequence, so that none disturbs another.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    Weights,
    Order,
    Layers,
}

/// A generator that is a function of these four numbers alone: nothing hidden has to be saved for a training to go on
/// exactly as it would have.
pub(crate) fn generator(seed: u64, purpose: Purpose, epoch: usize, step: usize) -> Xoshiro256PlusPlus {
    // SplitMix64's odd constants keep (epoch, step) = (1, 2) and (2, 1) apart; seed_from_u64 does the mixing.
    let mixed = [purpose as u64, epoch as u64, step as u64]
        .iter()
        .fold(seed, |state, &part| (state ^ part).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(31));
    Xoshiro256PlusPlus::seed_from_u64(mixed)
}

/// The rows `0..n` in the random order of this epoch.
pub(crate) fn shuffled_rows(n: usize, seed: u64, epoch: usize) -> Vec<i64> {
    let mut rows: Vec<i64> = (0..n as i64).collect();
    rows.shuffle(&mut generator(seed, Purpose::Order, epoch, 0));
    rows
}

/// `n` values drawn evenly from `-bound..bound`.
pub(crate) fn uniform_values(n: usize, bound: f32, generator: &mut Xoshiro256PlusPlus) -> Vec<f32> {
    (0..n).map(|_| generator.random_range(-bound..bound)).collect()
}

/// `n` draws from the standard normal distribution.
pub(crate) fn normal_values(n: usize, generator: &mut Xoshiro256PlusPlus) -> Vec<f32> {
    (0..n).map(|_| generator.sample(StandardNormal)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn generators_differ_by_every_argument() {
        let mut first: Vec<u64> = Vec::new();
        for (seed, purpose, epoch, step) in [
            (0, Purpose::Order, 1, 2),
            (0, Purpose::Order, 2, 1),
            (0, Purpose::Layers, 1, 2),
            (1, Purpose::Order, 1, 2),
            (0, Purpose::Weights, 0, 0),
        ] {
            first.push(generator(seed, purpose, epoch, step).next_u64());
        }
        let n = first.len();
        first.sort_unstable();
        first.dedup();
        assert_eq!(first.len(), n);
    }

    #[test]
    fn a_panic_leaves_the_thread_with_gradients() {
        let has_gradient = || Tensor::ones([1], (Kind::Float, tch::Device::Cpu)).set_requires_grad(true) * 2.0;
        assert!(!without_gradients(has_gradient).requires_grad());
        let panic = std::panic::catch_unwind(|| without_gradients(|| panic!("inside")));
        assert!(panic.is_err() && has_gradient().requires_grad());
    }

    #[test]
    #[expect(clippy::print_stderr, reason = "a skipped test says so")]
    fn a_cuda_device_that_is_not_there_is_an_error_that_says_so() {
        if cuda::has_driver() {
            eprintln!("skipped: this machine has an NVIDIA driver");
            return;
        }
        let message = Device::Cuda(0).choose().unwrap_err().to_string();
        assert!(message.starts_with("device CUDA 0: "), "{message}");
        // The whole of libtorch gets as far as the driver; the slim form lacks libraries that its CUDA part needs.
        assert!(message.contains("Found no NVIDIA driver") || message.contains("cannot be loaded"), "{message}");
        assert!(!message.contains("from the 'CUDA' backend"), "the backend is not loaded: {message}");
        assert!(Device::Auto.choose().unwrap().reason.contains("no NVIDIA driver"));
    }
}
