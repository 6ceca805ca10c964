//! Codes: what an encoder makes of images, as plain arrays. libtorch ends here.

use crate::data::Images;
use crate::train::Autoencoder;
use crate::{Error, Result};
use ndarray::{Array1, Array2};
use rayon::prelude::*;
use std::fmt;

/// The codes of a set of images.
///
/// # Example
/// ```
#[doc = include_str!("example.txt")]
/// let codes = model.encode(&data.test)?;
/// assert_eq!(codes.to_string(), "48 codes of 4 values from small");
/// assert_eq!((codes.name.as_str(), codes.values.dim()), ("small", (48, 4)));
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Latents {
    /// Name of the model that made them.
    pub name: String,
    /// One code per image, `[n, d]`.
    pub values: Array2<f32>,
}

impl Autoencoder {
    /// The codes of images, `[n, d]`: what the encoder gives. An image-shaped code is flattened, a Gaussian waist gives
    /// its mean.
    ///
    /// # Errors
    /// [`Error::Data`] when the images have another shape than those of the training.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("example.txt")]
    /// let codes = model.encode(&data.test)?.values;
    /// assert_eq!(codes.dim(), (48, model.plan().n_latents()));
    /// assert!(model.encode(&open("scenes")?.test).is_err());
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn encode(&self, images: &Images) -> Result<Latents> {
        let values = self.stream(images, |network, batch| network.encode(batch, self.training.precision))?;
        let n_latents = values.len() / images.len();
        let values = Array2::from_shape_vec((images.len(), n_latents), values).expect("every code has the same length");
        Ok(Latents { name: self.name().into(), values })
    }
}

/// Refuses points `[n, d]` of which there are none, or with a value that is not finite.
pub(crate) fn check_points(doing: &str, points: &Array2<f32>) -> Result<()> {
    if points.is_empty() {
        let found = format!("{} points of {} values", points.nrows(), points.ncols());
        return Err(Error::data(doing, found, "at least one of each", "encode some images"));
    }
    // Without an early end, which would keep the compiler from looking at several values at once.
    let is_finite = |values: &[f32]| values.iter().fold(true, |all, value| all & value.is_finite());
    if points.as_slice().is_some_and(|values| values.par_chunks(1 << 16).all(is_finite)) {
        return Ok(());
    }
    match points.rows().into_iter().position(|row| row.iter().any(|value| !value.is_finite())) {
        None => Ok(()),
        Some(row) => {
            let found = format!("a value in row {row} that is not finite");
            Err(Error::data(doing, found, "finite values", "look at the model's history: did its training diverge?"))
        }
    }
}

/// The same, and points of another number of values than `n_values`.
pub(crate) fn check_points_of(doing: &str, points: &Array2<f32>, n_values: usize) -> Result<()> {
    if points.ncols() != n_values {
        let (found, wanted) = (format!("points of {} values", points.ncols()), format!("{n_values}, as before"));
        return Err(Error::data(doing, found, wanted, "encode them with the same model"));
    }
    check_points(doing, points)
}

/// Mean of points `[n, d]`, added up in double precision.
pub(crate) fn mean(points: &Array2<f32>) -> Array1<f32> {
    let d = points.ncols();
    let standard = points.as_standard_layout();
    let sum = |block: &[f32]| {
        let mut sum = Array1::<f64>::zeros(d);
        for row in block.chunks(d) {
            sum.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        sum
    };
    // In order, so that no digit depends on the number of threads.
    let blocks = standard.as_slice().expect("the array is in standard order").par_chunks(256 * d.max(1));
    let sums: Vec<Array1<f64>> = blocks.map(sum).collect();
    let sum = sums.into_iter().fold(Array1::zeros(d), |all, part| all + part);
    sum.mapv(|sum: f64| (sum / points.nrows() as f64) as f32)
}

impl fmt::Display for Latents {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let (n, d) = self.values.dim();
        write!(f, "{n} codes of {d} values from {}", self.name)
    }
}
