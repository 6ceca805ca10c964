//! What the tests of sources share: pixels as they were stored, and a short training.

use diabolo::data::{Images, Split};
use diabolo::device::Device;
use diabolo::model::Architecture;
use diabolo::ndarray::Array4;
use diabolo::train::{Training, fit};
use std::ops::ControlFlow;

/// All pixels as they were stored.
pub fn bytes_of(images: &Images) -> Array4<u8> {
    images.to_array().mapv(|pixel| ((pixel + 1.0) * 127.5).round() as u8)
}

/// Trains for an epoch and ranks the test images.
pub fn check_trains_and_ranks(data: &Split, architecture: Architecture) {
    let training = Training::default().epochs(1).device(Device::Cpu);
    let model = fit(architecture, data, training, |_| ControlFlow::Continue(())).unwrap();
    let ranking = model.rank(data.test()).unwrap();
    assert_eq!(ranking.worst(3).unwrap().picks.len(), 3);
}
