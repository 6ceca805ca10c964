//! Reconstruction errors and codes of some images, each computed on first use.

use super::error_map::largest_errors;
use crate::Result;
use crate::data::Images;
use crate::train::Autoencoder;
use ndarray::Array2;
use std::cell::OnceCell;

/// A model's reconstruction errors and codes of some images.
pub(crate) struct Measured<'a> {
    model: &'a Autoencoder,
    images: &'a Images,
    errors: OnceCell<Vec<f64>>,
    largest_errors: OnceCell<Vec<f64>>,
    codes: OnceCell<Array2<f32>>,
}

impl<'a> Measured<'a> {
    pub(crate) fn new(model: &'a Autoencoder, images: &'a Images) -> Self {
        Self { model, images, errors: OnceCell::new(), largest_errors: OnceCell::new(), codes: OnceCell::new() }
    }

    pub(crate) fn images(&self) -> &Images {
        self.images
    }

    /// Mean squared error of each image's reconstruction.
    pub(super) fn errors(&self) -> Result<&Vec<f64>> {
        get_or_try_init(&self.errors, || Ok(self.model.score(self.images)?.values))
    }

    /// Largest value of each image's smoothed error map.
    pub(super) fn largest_errors(&self) -> Result<&Vec<f64>> {
        get_or_try_init(&self.largest_errors, || largest_errors(self.model, self.images))
    }

    /// The codes, `[n, d]`.
    pub(super) fn codes(&self) -> Result<&Array2<f32>> {
        get_or_try_init(&self.codes, || Ok(self.model.encode(self.images)?.values))
    }
}

fn get_or_try_init<T>(cell: &OnceCell<T>, make: impl FnOnce() -> Result<T>) -> Result<&T> {
    if let Some(value) = cell.get() {
        return Ok(value);
    }
    let value = make()?;
    Ok(cell.get_or_init(|| value))
}
