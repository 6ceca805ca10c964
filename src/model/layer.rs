//! One layer of a network.

/// One layer, in the terms of the report's (and PyTorch's) notation.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Layer {
    /// `Conv2d(in, out, kernel, stride, padding)`.
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
    /// `ConvTranspose2d(in, out, kernel, stride, padding)`.
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
    /// `Linear(in, out)`.
    Linear {
        /// Values in.
        in_features: usize,
        /// Values out.
        out_features: usize,
    },
    /// `MaxPool(kernel, stride, padding)`.
    MaxPool {
        /// Side of the square window in pixels.
        kernel: usize,
        /// Step in pixels.
        stride: usize,
        /// Padding on each side in pixels.
        padding: usize,
    },
    /// `Upsample(scale, 'nearest')`.
    Upsample {
        /// Factor of height and width.
        scale: usize,
    },
    /// `BatchNorm2d(channels)`.
    BatchNorm2d {
        /// Channels.
        channels: usize,
    },
    /// `Dropout(probability)`.
    Dropout {
        /// Share of the values that training sets to zero, 0..1.
        probability: f64,
    },
    /// `ReLU()`.
    ReLU,
    /// `LeakyReLU(slope)`.
    LeakyReLU {
        /// Slope below zero.
        slope: f64,
    },
    /// `Sigmoid()`.
    Sigmoid,
    /// `Tanh()`.
    Tanh,
    /// `Flatten()`: `[c, h, w]` to a vector.
    Flatten,
    /// `Unflatten(c, h, w)`: a vector to `[c, h, w]`.
    Unflatten {
        /// Channels, height and width.
        shape: [usize; 3],
    },
    /// `Gaussian(latents)`, the waist of a variational autoencoder: two `Linear` layers side by side, for the mean and
    /// the logarithm of the variance of each latent value; its output is a draw in training and the mean otherwise.
    Gaussian {
        /// Number of latent values.
        latents: usize,
    },
}
