//! Error maps: the reconstruction error of each pixel.

use super::Detector;
use crate::data::Images;
use crate::error::TorchContext;
use crate::metrics::{per_region_overlap, pixel_auc};
use crate::train::Autoencoder;
use crate::{Error, Result};
use ndarray::{Array3, ArrayView2, Axis};
use rayon::prelude::*;
use tch::Kind;

/// The smoothing of an image is this share of its longer side: 1 pixel for 64, 4 for 256.
const SMOOTHING_SHARE: f64 = 1.0 / 64.0;
/// A Gaussian is cut off at this many standard deviations.
const TRUNCATED_AT: f64 = 4.0;
/// AUPRO looks at false positive rates up to this one.
const MOST_FALSE_POSITIVES: f64 = 0.3;

/// For every pixel of some images the squared error of its reconstruction, smoothed.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// let detector = KMeans(3).fit(&model, data.train())?;
/// let maps: ErrorMaps = detector.map(&data.test().first(5)?)?;
/// assert_eq!((maps.values.dim(), maps.sigma_px), ((5, 8, 8), 0.125));
/// assert!(maps.values.iter().all(|error| (0.0..=4.0).contains(error)));
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ErrorMaps {
    /// Mean over the channels of the squared difference of image and reconstruction, pixels in -1..=1, smoothed:
    /// `[n, h, w]`, 0..=4. Higher is more anomalous.
    pub values: Array3<f32>,
    /// Standard deviation of the Gaussian that smoothed it, in pixels.
    pub sigma_px: f64,
    pub(crate) images: Images,
    pub(crate) model: String,
}

impl Detector {
    /// Where each image differs from its reconstruction, whatever the way of scoring: smoothed by a Gaussian of a 64th of
    /// the longer side.
    ///
    /// # Errors
    /// [`Error::Data`] for images of another shape than those of the training; [`Error::Interrupted`].
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// let detector = KMeans(3).fit(&model, data.train())?;
    /// let one = detector.map(&data.test().select(&[7])?)?;
    /// assert!(one.figure()?.alt().starts_with("small: where the reconstruction differs"));
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn map(&self, images: &Images) -> Result<ErrorMaps> {
        self.map_smoothed(images, usual_sigma_px(images))
    }

    /// The same smoothed by a Gaussian of `sigma_px` pixels; 0 for the errors as they are.
    ///
    /// # Errors
    /// [`Error::Setting`] for a `sigma_px` below 0 or above the longer side; as [`Detector::map`].
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// let detector = Reconstruction.fit(&model, data.train())?;
    /// let maps = detector.map_smoothed(data.test(), 0.0)?;
    /// let mean = maps.values.index_axis(diabolo::ndarray::Axis(0), 7).mean().unwrap();
    /// assert!((f64::from(mean) - detector.score(data.test())?.values[7]).abs() < 1e-6, "the image's MSE");
    /// assert!(detector.map_smoothed(data.test(), -1.0).is_err());
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn map_smoothed(&self, images: &Images, sigma_px: f64) -> Result<ErrorMaps> {
        let [_, h, w] = images.shape();
        if !(0.0..=h.max(w) as f64).contains(&sigma_px) {
            let wanted = format!("0 to {}, the longer side of an image", h.max(w));
            return Err(Error::setting("sigma_px", sigma_px.to_string(), wanted, "1 is usual for 64 x 64 pixels"));
        }
        let mut values = squared_errors(&self.model, images)?;
        smooth(&mut values, sigma_px);
        Ok(ErrorMaps { values, sigma_px, images: images.clone(), model: self.model.name().into() })
    }
}

impl ErrorMaps {
    /// Area under the ROC curve over all pixels of all images: the chance that a pixel of a defect has a higher value than
    /// another one. 0..=1; 0.5 is guessing, higher is better.
    ///
    /// `masks` has one grey image for each, as MVTec AD's `ground_truth`: pixels brighter than mid-grey are the defect, and
    /// the mask of a normal image is black.
    ///
    /// # Errors
    /// [`Error::Data`] for another number or size of masks, or masks that are all black or all white.
    ///
    /// # Source
    /// Bergmann et al., "MVTec AD: a comprehensive real-world dataset for unsupervised anomaly detection", 2019.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// let maps = Reconstruction.fit(&model, data.train())?.map(data.test())?;
    /// let left_half = diabolo::ndarray::Array4::from_shape_fn((48, 1, 8, 8), |(.., x)| if x < 4 { 255 } else { 0 });
    /// assert!((0.0..=1.0).contains(&maps.pixel_auc(&Images::from_bytes(left_half)?)?));
    /// assert!(maps.pixel_auc(&data.test().first(2)?).is_err());
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn pixel_auc(&self, masks: &Images) -> Result<f64> {
        pixel_auc(self.values.view(), self.is_defect(masks)?.view())
    }

    /// AUPRO: the share of each defect's pixels that is found, mean over defects, averaged over false positive rates of 0
    /// to 0.3. 0..=1; 0.15 is guessing, higher is better. Other than the pixel AUC it counts small defects like large ones.
    ///
    /// # Errors
    /// As [`ErrorMaps::pixel_auc`].
    ///
    /// # Source
    /// Bergmann et al., "The MVTec anomaly detection dataset", 2021.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// let maps = Reconstruction.fit(&model, data.train())?.map(data.test())?;
    /// let left_half = diabolo::ndarray::Array4::from_shape_fn((48, 1, 8, 8), |(.., x)| if x < 4 { 255 } else { 0 });
    /// assert!((0.0..=1.0).contains(&maps.per_region_overlap(&Images::from_bytes(left_half)?)?));
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn per_region_overlap(&self, masks: &Images) -> Result<f64> {
        per_region_overlap(self.values.view(), self.is_defect(masks)?.view(), MOST_FALSE_POSITIVES)
    }

    /// Masks as one `bool` for each pixel.
    fn is_defect(&self, masks: &Images) -> Result<Array3<bool>> {
        let (n, h, w) = self.values.dim();
        if (masks.len(), masks.shape()) != (n, [1, h, w]) {
            let found = format!("{} masks of shape {:?}", masks.len(), masks.shape());
            let next_step = "give the mask of every image, in their order and of their size";
            return Err(Error::data(
                "comparing maps with masks",
                found,
                format!("{n} of shape [1, {h}, {w}]"),
                next_step,
            ));
        }
        let is_defect = masks.iter().flatten().map(|value| value > 0.0).collect();
        Ok(Array3::from_shape_vec((n, h, w), is_defect).expect("masks are as large as the maps"))
    }
}

/// Squared errors, mean over the channels: `[n, h, w]`.
fn squared_errors(model: &Autoencoder, images: &Images) -> Result<Array3<f32>> {
    let values = model.stream(images, |network, batch| {
        let difference = network.rebuild(batch)?.f_sub(batch).and_then(|difference| difference.f_square());
        let mean = difference.and_then(|square| square.f_mean_dim(&[1i64][..], false, Kind::Float));
        mean.doing("measuring reconstruction errors")
    })?;
    let [_, h, w] = images.shape();
    Ok(Array3::from_shape_vec((images.len(), h, w), values).expect("every pixel has its error"))
}

/// A 64th of the longer side, in pixels.
fn usual_sigma_px(images: &Images) -> f64 {
    let [_, h, w] = images.shape();
    SMOOTHING_SHARE * h.max(w) as f64
}

/// The largest value of each image's smoothed map.
pub(super) fn largest_errors(model: &Autoencoder, images: &Images) -> Result<Vec<f64>> {
    let mut largest = Vec::with_capacity(images.len());
    for block in images.blocks() {
        let mut maps = squared_errors(model, &block?)?;
        smooth(&mut maps, usual_sigma_px(images));
        // `f32::max` would pass over what is not a number.
        let of_map = |map: ArrayView2<f32>| map.iter().copied().max_by(f32::total_cmp).expect("an image has pixels");
        largest.extend(maps.axis_iter(Axis(0)).map(|map| f64::from(of_map(map))));
    }
    Ok(largest)
}

/// Smooths every map with a Gaussian; beyond an edge the map is mirrored, as in scipy's `gaussian_filter`.
fn smooth(maps: &mut Array3<f32>, sigma_px: f64) {
    let radius = (TRUNCATED_AT * sigma_px + 0.5) as i64;
    if radius == 0 {
        return;
    }
    let weights: Vec<f64> = (-radius..=radius).map(|at| (-0.5 * (at as f64 / sigma_px).powi(2)).exp()).collect();
    let sum: f64 = weights.iter().sum();
    let weights: Vec<f64> = weights.into_iter().map(|weight| weight / sum).collect();
    let (_, h, w) = maps.dim();
    maps.as_slice_mut().expect("maps are in standard order").par_chunks_mut(h * w).for_each(|map| {
        for row in map.chunks_mut(w) {
            let smoothed = smoothed(row, &weights);
            row.copy_from_slice(&smoothed);
        }
        for x in 0..w {
            let column: Vec<f32> = map.iter().skip(x).step_by(w).copied().collect();
            map.iter_mut().skip(x).step_by(w).zip(smoothed(&column, &weights)).for_each(|(to, value)| *to = value);
        }
    });
}

fn smoothed(line: &[f32], weights: &[f64]) -> Vec<f32> {
    let (n, radius) = (line.len() as i64, weights.len() as i64 / 2);
    // d c b a | a b c d | d c b a
    let mirrored = |at: i64| {
        let at = at.rem_euclid(2 * n);
        f64::from(line[if at < n { at } else { 2 * n - 1 - at } as usize])
    };
    let value =
        |at: i64| weights.iter().zip(at - radius..).map(|(weight, at)| weight * mirrored(at)).sum::<f64>() as f32;
    (0..n).map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smoothing_equals_scipy() {
        // m = numpy.zeros((3, 4)); m[0, 1] = 1; m[2, 3] = 2
        // scipy.ndimage.gaussian_filter(m, 1.0, mode="reflect")
        let expected = [
            [0.190278861, 0.26588924, 0.192539241, 0.118184936],
            [0.090416477, 0.154035659, 0.246993035, 0.39684404],
            [0.024666281, 0.10029641, 0.394631977, 0.825223844],
        ];
        let mut maps = Array3::zeros((1, 3, 4));
        maps[[0, 0, 1]] = 1.0;
        maps[[0, 2, 3]] = 2.0;
        smooth(&mut maps, 1.0);
        for (found, expected) in maps.iter().zip(expected.into_iter().flatten()) {
            assert!((f64::from(*found) - expected).abs() < 1e-6, "{maps} and {expected}");
        }
    }
}
