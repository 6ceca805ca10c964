//! Latent codes as plain arrays: rooms below do not see libtorch.

use crate::data::Images;
use crate::train::Autoencoder;
use crate::{Error, Result};
use linfa::{Dataset, DatasetBase};
use ndarray::{Array1, Array2, ArrayView2, Ix1};
use rayon::prelude::*;
use std::fmt;

/// The codes of a set of images.
///
/// # Example
/// ```
#[doc = include_str!("example.txt")]
/// let codes = model.encode(data.test())?;
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
    /// The codes of images, `[n, d]`: what the encoder gives. An image-shaped code is flattened, a Gaussian bottleneck gives
    /// its mean.
    ///
    /// # Errors
    /// [`Error::Data`] when the images have another shape than those of the training.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("example.txt")]
    /// let codes = model.encode(data.test())?.values;
    /// assert_eq!(codes.dim(), (48, model.plan().n_latents()));
    /// assert!(model.encode(open("scenes")?.test()).is_err());
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn encode(&self, images: &Images) -> Result<Latents> {
        let values = self.stream(images, |network, batch| network.encode(batch))?;
        let n_latents = values.len() / images.len();
        let values = Array2::from_shape_vec((images.len(), n_latents), values).expect("every code has the same length");
        Ok(Latents { name: self.name().into(), values })
    }
}

impl Latents {
    /// The codes as linfa's data set, which looks at them and copies nothing: what any of linfa's algorithms is fitted to.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("example.txt")]
    /// use diabolo::linfa::prelude::*;
    /// let codes = model.encode(data.test())?;
    /// let dataset = codes.dataset();
    /// assert_eq!((dataset.nsamples(), dataset.nfeatures()), (48, 4));
    /// assert_eq!(dataset.records().as_ptr(), codes.values.as_ptr());
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn dataset(&self) -> DatasetBase<ArrayView2<'_, f32>, Array1<()>> {
        DatasetBase::from(self.values.view())
    }

    /// The records of one of linfa's data sets as codes, by this name; no value is copied.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("example.txt")]
    /// let codes = model.encode(data.test())?;
    /// let there_and_back = Latents::from_dataset("small", codes.clone().into());
    /// assert_eq!(there_and_back, codes);
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn from_dataset<T>(name: impl Into<String>, dataset: DatasetBase<Array2<f32>, T>) -> Self {
        Self { name: name.into(), values: dataset.records }
    }
}

/// linfa's data set of the same memory.
impl From<Latents> for Dataset<f32, (), Ix1> {
    fn from(codes: Latents) -> Self {
        DatasetBase::from(codes.values)
    }
}

/// Sizes of values whose squares, and the squares of their rounding errors, single precision can hold.
const SMALLEST_SIZE: f32 = 1e-12;
const LARGEST_SIZE: f32 = 1e15;

/// Refuses points `[n, d]` to be fitted: none, values that are not finite, and values so large or so small that their
/// squares leave single precision, where distances between them would be infinite or 0.
pub(crate) fn check_points(doing: &str, points: &Array2<f32>) -> Result<()> {
    let largest = check_values(doing, points)?;
    if largest > 0.0 && largest < SMALLEST_SIZE {
        return Err(out_of_range(doing, largest));
    }
    Ok(())
}

/// Refuses points of another number of values than the `n_values` of those that were fitted, and what [`check_points`]
/// refuses; beside those that were fitted, points may be as small as they like.
pub(crate) fn check_points_of(doing: &str, points: &Array2<f32>, n_values: usize) -> Result<()> {
    if points.ncols() != n_values {
        let (found, wanted) = (format!("points of {} values", points.ncols()), format!("{n_values}, as before"));
        return Err(Error::data(doing, found, wanted, "encode them with the same model"));
    }
    check_values(doing, points).map(|_largest| ())
}

/// The largest size of a value; an error for no points, and for values that are not finite or too large.
fn check_values(doing: &str, points: &Array2<f32>) -> Result<f32> {
    if points.is_empty() {
        let found = format!("{} points of {} values", points.nrows(), points.ncols());
        return Err(Error::data(doing, found, "at least one of each", "encode some images"));
    }
    // As whole numbers: infinities and NaNs have the largest, and a processor compares several at once.
    let largest_of = |values: &[f32]| values.iter().fold(0, |largest, value| value.abs().to_bits().max(largest));
    let standard = points.as_standard_layout();
    let values = standard.as_slice().expect("the array is in standard order");
    let largest = f32::from_bits(values.par_chunks(1 << 16).map(largest_of).max().unwrap_or(0));
    if !largest.is_finite() {
        let row = points.rows().into_iter().position(|row| row.iter().any(|value| !value.is_finite())).unwrap_or(0);
        let found = format!("a value in row {row} that is not finite");
        return Err(Error::data(
            doing,
            found,
            "finite values",
            "look at the model's history: did its training diverge?",
        ));
    }
    if largest > LARGEST_SIZE { Err(out_of_range(doing, largest)) } else { Ok(largest) }
}

fn out_of_range(doing: &str, largest: f32) -> Error {
    let found = format!("values of a size up to {largest:e}");
    let wanted =
        format!("a largest size of {SMALLEST_SIZE:e} to {LARGEST_SIZE:e}, whose squares single precision can hold");
    let next_step = "multiply all values by one number, which changes no cluster and no neighbour; codes of such a size \
                     come from a training that diverged or died: look at the model's history";
    Error::data(doing, found, wanted, next_step)
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
