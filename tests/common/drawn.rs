//! A few drawn images and a network of 57 weights for them: trainings that take no time.

use diabolo::data::{Images, Split};
use diabolo::model::Architecture;
use diabolo::ndarray::Array4;

/// 40 grey images of 8 x 8 pixels in three classes, to train and to test on.
pub fn drawn() -> Split {
    let draw = |(n, _, y, x): (usize, usize, usize, usize)| (40 * (x % 2) + 4 * y * x + 5 * n) as u8;
    let images = Images::from_bytes(Array4::from_shape_fn((40, 1, 8, 8), draw)).unwrap();
    let images = images.with_classes(&["dots", "rings", "waves"], (0..40).map(|n| n % 3).collect()).unwrap();
    Split::new("drawn", images.clone(), images).unwrap()
}

/// With all that a step depends on: batch statistics and dropout.
pub fn tiny() -> Architecture {
    Architecture::parse(
        "Conv2d(1, 2, 3, 2, 1) / BatchNorm2d(2) / ReLU() / Dropout(0.25)",
        "ConvTranspose2d(2, 1, 4, 2, 1) / Tanh()",
    )
    .unwrap()
    .named("tiny")
}
