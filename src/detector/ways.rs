//! Short names of the scoring methods, for notebooks.
//!
//! They are functions and constants and no types, so that a type of the same name can be used beside them: after
//! `use diabolo::cluster::KMeans;`, or linfa's, `KMeans(3)` is still the way of scoring and `KMeans::new(3)` the algorithm.
#![expect(non_snake_case, non_upper_case_globals, reason = "they stand for the variants of Evaluation")]

use super::Evaluation;

/// Mean squared error of the reconstruction.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// assert_eq!(Reconstruction.fit(&model, data.train())?.score(data.test())?, model.score(data.test())?);
/// # Ok::<(), diabolo::Error>(())
/// ```
pub const Reconstruction: Evaluation = Evaluation::Reconstruction;

/// Largest value of the smoothed error map of the reconstruction: for defects that are small beside the image.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// let detector = LargestError.fit(&model, data.train())?;
/// let (scores, maps) = (detector.score(data.test())?, detector.map(data.test())?);
/// let of_image_7 = maps.values.index_axis(diabolo::ndarray::Axis(0), 7);
/// assert!(of_image_7.iter().all(|&error| f64::from(error) <= scores.values[7]));
/// # Ok::<(), diabolo::Error>(())
/// ```
pub const LargestError: Evaluation = Evaluation::LargestError;

/// Distance of the code from the mean, in units of its spread in that direction.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// assert_eq!(Mahalanobis.fit(&model, data.train())?.score(data.test())?.values.len(), 48);
/// # Ok::<(), diabolo::Error>(())
/// ```
pub const Mahalanobis: Evaluation = Evaluation::Mahalanobis;

/// Reconstruction error less what an image's brightness, variance, saturated pixels and compressed size explain.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// assert_eq!(Debiased.fit(&model, data.train())?.score(data.test())?.values.len(), 48);
/// # Ok::<(), diabolo::Error>(())
/// ```
pub const Debiased: Evaluation = Evaluation::Debiased;

/// Distance of the code to the nearest of `k` cluster centres.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// use diabolo::cluster::KMeans;
/// let way_of_scoring = KMeans(3);
/// let algorithm = KMeans::new(3);
/// assert_eq!(way_of_scoring.fit(&model, data.train())?.score(data.test())?.name, "K-means distance, k = 3");
/// assert_eq!(algorithm.fit(&model.encode(data.train())?.values)?.centres.nrows(), 3);
/// # Ok::<(), diabolo::Error>(())
/// ```
pub const fn KMeans(k: usize) -> Evaluation {
    Evaluation::KMeans(k)
}

/// Distance of the code to its reconstruction from `n` principal components.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// assert_eq!(Pca(2).fit(&model, data.train())?.score(data.test())?.name, "PCA distance, n = 2");
/// # Ok::<(), diabolo::Error>(())
/// ```
pub const fn Pca(n: usize) -> Evaluation {
    Evaluation::Pca(n)
}

/// Distance of the code to its `k`-th nearest neighbour among the codes of the fit.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// assert_eq!(KNearest(5).fit(&model, data.train())?.score(data.test())?.name, "nearest neighbours, k = 5");
/// # Ok::<(), diabolo::Error>(())
/// ```
pub const fn KNearest(k: usize) -> Evaluation {
    Evaluation::KNearest(k)
}
