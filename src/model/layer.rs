//! One layer of a network, how it is written, and which numbers it may hold. What it does to a shape is in `shapes`.

use crate::Error;
use std::fmt;

/// The largest size, number of values and number of parameters that an architecture may ask for.
///
/// It is PyTorch's 32-bit index limit, and far beyond what small images need.
pub(super) const LARGEST: usize = i32::MAX as usize;

/// One layer, in the terms of the report's (and PyTorch's) notation.
///
/// It prints itself as Python that `torch.nn` understands (`Gaussian` apart, which PyTorch does not have).
///
/// # Example
/// ```
/// use diabolo::model::Layer;
/// let pool = Layer::MaxPool { kernel: 2, stride: 2, padding: 0 };
/// assert_eq!(pool.to_string(), "MaxPool2d(2, 2, 0)");
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Layer {
    /// `Conv2d(in, out, kernel, stride, padding)`, with bias.
    Conv2d {
        /// Channels in.
        in_channels: usize,
        /// Channels out.
        out_channels: usize,
        /// Side of the square kernel in pixels.
        kernel: usize,
        /// Step in pixels.
        stride: usize,
        /// Zero padding on each side in pixels.
        padding: usize,
    },
    /// `ConvTranspose2d(in, out, kernel, stride, padding)`, with bias.
    ConvTranspose2d {
        /// Channels in.
        in_channels: usize,
        /// Channels out.
        out_channels: usize,
        /// Side of the square kernel in pixels.
        kernel: usize,
        /// Step in pixels.
        stride: usize,
        /// Padding taken off each side of the output in pixels.
        padding: usize,
    },
    /// `Linear(in, out)`, with bias.
    Linear {
        /// Values in.
        in_features: usize,
        /// Values out.
        out_features: usize,
    },
    /// `MaxPool2d(kernel, stride, padding)`, the report's `MaxPool`.
    MaxPool {
        /// Side of the square window in pixels.
        kernel: usize,
        /// Step in pixels.
        stride: usize,
        /// Padding on each side in pixels, at most half the kernel.
        padding: usize,
    },
    /// `Upsample(scale_factor=scale)`, the report's `Upsample(scale, 'nearest')`: every pixel becomes a square.
    Upsample {
        /// Factor of height and width.
        scale: usize,
    },
    /// `BatchNorm2d(channels)`, with PyTorch's `eps` 1e-5, `momentum` 0.1 and a trained scale and shift.
    BatchNorm2d {
        /// Channels.
        channels: usize,
    },
    /// `Dropout(probability)`.
    Dropout {
        /// Share of the values that training sets to zero, from 0 to below 1.
        probability: f64,
    },
    /// `ReLU()`.
    ReLU,
    /// `LeakyReLU(slope)`.
    LeakyReLU {
        /// Slope below zero, from 0 to 1.
        slope: f64,
    },
    /// `Sigmoid()`.
    Sigmoid,
    /// `Tanh()`.
    Tanh,
    /// `Flatten()`: `[c, h, w]` to a vector of `c * h * w` values.
    Flatten,
    /// `Unflatten(1, (c, h, w))`: a vector to `[c, h, w]`.
    Unflatten {
        /// Channels, height and width.
        shape: [usize; 3],
    },
    /// `Gaussian(latents)`, the bottleneck of a variational autoencoder: two `Linear` layers side by side, for the mean and
    /// the logarithm of the variance of each latent value; its output is a draw in training and the mean otherwise.
    ///
    /// Source: Kingma and Welling, Auto-Encoding Variational Bayes, 2014, appendix C.2.
    Gaussian {
        /// Number of latent values.
        latents: usize,
    },
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conv2d { in_channels, out_channels, kernel, stride, padding } => {
                write!(f, "Conv2d({in_channels}, {out_channels}, {kernel}, {stride}, {padding})")
            }
            Self::ConvTranspose2d { in_channels, out_channels, kernel, stride, padding } => {
                write!(f, "ConvTranspose2d({in_channels}, {out_channels}, {kernel}, {stride}, {padding})")
            }
            Self::Linear { in_features, out_features } => write!(f, "Linear({in_features}, {out_features})"),
            Self::MaxPool { kernel, stride, padding } => write!(f, "MaxPool2d({kernel}, {stride}, {padding})"),
            // By keyword, because the first argument of PyTorch's own Upsample is a size, not a factor.
            Self::Upsample { scale } => write!(f, "Upsample(scale_factor={scale})"),
            Self::BatchNorm2d { channels } => write!(f, "BatchNorm2d({channels})"),
            Self::Dropout { probability } => write!(f, "Dropout({probability})"),
            Self::ReLU => f.write_str("ReLU()"),
            Self::LeakyReLU { slope } => write!(f, "LeakyReLU({slope})"),
            Self::Sigmoid => f.write_str("Sigmoid()"),
            Self::Tanh => f.write_str("Tanh()"),
            Self::Flatten => f.write_str("Flatten()"),
            Self::Unflatten { shape: [c, h, w] } => write!(f, "Unflatten(1, ({c}, {h}, {w}))"),
            Self::Gaussian { latents } => write!(f, "Gaussian({latents})"),
        }
    }
}

impl Layer {
    /// Whether the layer takes any shape and gives it back.
    pub(super) fn keeps_shape(&self) -> bool {
        matches!(self, Self::ReLU | Self::LeakyReLU { .. } | Self::Sigmoid | Self::Tanh | Self::Dropout { .. })
    }

    /// Checks the numbers of the layer itself, whatever reaches it.
    pub(super) fn check(&self) -> Result<(), Misfit> {
        match *self {
            Self::Conv2d { in_channels, out_channels, kernel, stride, padding }
            | Self::ConvTranspose2d { in_channels, out_channels, kernel, stride, padding } => {
                in_range("in_channels", in_channels, 1, LARGEST)?;
                in_range("out_channels", out_channels, 1, LARGEST)?;
                in_range("kernel_size", kernel, 1, LARGEST)?;
                in_range("stride", stride, 1, LARGEST)?;
                in_range("padding", padding, 0, LARGEST)
            }
            Self::Linear { in_features, out_features } => {
                in_range("in_features", in_features, 1, LARGEST)?;
                in_range("out_features", out_features, 1, LARGEST)
            }
            Self::MaxPool { kernel, stride, padding } => {
                in_range("kernel_size", kernel, 1, LARGEST)?;
                in_range("stride", stride, 1, LARGEST)?;
                // PyTorch's rule: a window must not lie in the padding alone.
                in_range("padding", padding, 0, kernel / 2)
            }
            Self::Upsample { scale } => in_range("scale_factor", scale, 1, LARGEST),
            Self::BatchNorm2d { channels } => in_range("num_features", channels, 1, LARGEST),
            Self::Dropout { probability } if !(0.0..1.0).contains(&probability) => Err(Misfit::new(
                format!("a probability of {probability}"),
                "a share from 0 to below 1",
                "0.5 drops half of the values",
            )),
            Self::LeakyReLU { slope } if !(0.0..=1.0).contains(&slope) => {
                Err(Misfit::new(format!("a slope of {slope}"), "a slope from 0 to 1", "PyTorch's default is 0.01"))
            }
            Self::Unflatten { shape: [c, h, w] } => {
                in_range("channels", c, 1, LARGEST)?;
                in_range("height", h, 1, LARGEST)?;
                in_range("width", w, 1, LARGEST)
            }
            Self::Gaussian { latents } => in_range("latents", latents, 1, LARGEST),
            Self::Dropout { .. } | Self::LeakyReLU { .. } => Ok(()),
            Self::ReLU | Self::Sigmoid | Self::Tanh | Self::Flatten => Ok(()),
        }
    }
}

/// The half of the network that a layer belongs to.
///
/// # Example
/// ```
/// use diabolo::model::{Architecture, Part};
/// let rows = Architecture::conv().plan([3, 32, 32])?.rows();
/// assert_eq!(rows.iter().filter(|row| row.part == Part::Decoder).count(), 6);
/// assert_eq!(Part::Encoder.to_string(), "encoder");
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// From the image to the code.
    Encoder,
    /// From the code to the image.
    Decoder,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Encoder => "encoder",
            Self::Decoder => "decoder",
        })
    }
}

/// What is wrong with a layer, before it is known where the layer stands.
#[derive(Debug)]
pub(super) struct Misfit {
    found: String,
    wanted: String,
    next_step: String,
}

impl Misfit {
    pub(super) fn new(found: impl Into<String>, wanted: impl Into<String>, next_step: impl Into<String>) -> Self {
        Self { found: found.into(), wanted: wanted.into(), next_step: next_step.into() }
    }

    /// The error for a reader who has to find `place`.
    pub(super) fn at(self, place: impl Into<String>) -> Error {
        let Self { found, wanted, next_step } = self;
        Error::Architecture { place: place.into(), found, wanted, next_step }
    }

    /// The error for the `number`-th layer of a part, counted from 1 as it was written.
    pub(super) fn at_layer(self, part: Part, number: usize, layer: &Layer) -> Error {
        self.at(format!("{part} layer {number}, {layer}"))
    }
}

fn in_range(name: &str, value: usize, least: usize, most: usize) -> Result<(), Misfit> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let nearest = value.clamp(least, most);
    Err(Misfit::new(
        format!("{name} {value}"),
        format!("a whole number from {least} to {most}"),
        format!("{name} {nearest} is the nearest legal one"),
    ))
}
