//! The numbers that tests/fixtures/make_numbers.py made, and comparisons with them.

use diabolo::ndarray::Array2;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use std::sync::OnceLock;

pub fn tensor(name: &str) -> Array2<f32> {
    static BYTES: &[u8] = include_bytes!("../fixtures/numbers.safetensors");
    let view = SafeTensors::deserialize(BYTES).unwrap().tensor(name).unwrap();
    let values: Vec<f32> = match view.dtype() {
        Dtype::F32 => view.data().as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect(),
        Dtype::F16 => view.data().as_chunks::<2>().0.iter().map(|&bytes| half(u16::from_le_bytes(bytes))).collect(),
        other => panic!("{name} is {other:?}"),
    };
    let rows = view.shape()[0];
    Array2::from_shape_vec((rows, values.len() / rows), values).unwrap()
}

/// A half-precision number; those of the fixtures are finite.
fn half(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023) / 1024.0);
    sign * if exponent == 0 { fraction * 2f32.powi(-14) } else { (1.0 + fraction) * 2f32.powi(exponent - 15) }
}

/// The first 32 principal components of 2,000 test images of CIFAR-10.
pub fn codes() -> &'static Array2<f32> {
    static CODES: OnceLock<Array2<f32>> = OnceLock::new();
    CODES.get_or_init(|| tensor("codes"))
}

pub fn numbers() -> &'static Value {
    static NUMBERS: OnceLock<Value> = OnceLock::new();
    NUMBERS.get_or_init(|| serde_json::from_str(include_str!("../fixtures/numbers.json")).unwrap())
}

pub fn number(name: &str) -> f64 {
    numbers()[name].as_f64().unwrap_or_else(|| panic!("no number {name}"))
}

pub fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

#[track_caller]
pub fn check_close(found: &[f64], expected: &[f64], relative: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= relative * scale, "{what} {index}: {found}, expected {expected}");
    }
}

pub fn doubles(values: &Array2<f32>) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

/// What a call with bad input says must hold this text.
#[track_caller]
pub fn check_refused<T: std::fmt::Debug>(result: diabolo::Result<T>, text: &str) {
    let message = result.unwrap_err().to_string();
    assert!(message.contains(text), "{message}");
}
