//! Fitted scoring methods.

use super::evaluation::{Evaluation, Fusion};
use super::measured::Measured;
use crate::background::LogErrorModel;
use crate::cluster::{Clusters, KMeans};
use crate::neighbours::Nearest;
use crate::project::{Mahalanobis, Pca};
use crate::{Error, Result, interrupt};
use ndarray::Array2;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

/// Options of a fit.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// use diabolo::detector::FitOptions;
/// let thorough = FitOptions::default().n_starts(50).seed(7);
/// assert_eq!(KMeans(3).fit_with(&model, data.train(), thorough)?.score(data.test())?.values.len(), 48);
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FitOptions {
    /// Number of initialisations of K-means, of which the best is kept; 1 or more. Default 10.
    pub n_starts: usize,
    /// Seed of K-means' initial centres. Default 0.
    pub seed: u64,
}

impl Default for FitOptions {
    fn default() -> Self {
        Self { n_starts: 10, seed: 0 }
    }
}

impl FitOptions {
    /// Sets the number of initialisations of K-means.
    pub fn n_starts(self, n_starts: usize) -> Self {
        Self { n_starts, ..self }
    }

    /// Sets the seed of K-means.
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }
}

/// The fitted parameters. Together with the model they score any image.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fitted {
    Reconstruction,
    LargestError,
    KMeans(Clusters),
    Pca(Pca),
    Mahalanobis(Mahalanobis),
    KNearest { k: usize, codes: Array2<f32> },
    Debiased(LogErrorModel),
    Fused([Summand; 2]),
}

/// A score in a sum, with the scale that it is brought to first.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Summand {
    pub(super) fitted: Arc<Fitted>,
    pub(super) scale: Scale,
}

/// Made of the fitted images' scores.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Scale {
    Standardised { mean: f64, deviation: f64 },
    Rank { rising: Vec<f64> },
}

/// Fits several methods; what more than one needs is computed once.
pub(crate) struct Fitter<'a> {
    /// The images whose codes distances are fitted to.
    of_codes: &'a Measured<'a>,
    /// The images whose reconstruction errors are explained.
    of_errors: &'a Measured<'a>,
    options: FitOptions,
    known: RefCell<HashMap<Evaluation, Arc<Fitted>>>,
}

impl<'a> Fitter<'a> {
    pub(crate) fn new(of_codes: &'a Measured<'a>, of_errors: &'a Measured<'a>, options: FitOptions) -> Self {
        Self { of_codes, of_errors, options, known: RefCell::default() }
    }

    pub(crate) fn fit(&self, evaluation: &Evaluation) -> Result<Arc<Fitted>> {
        if let Some(fitted) = self.known.borrow().get(evaluation) {
            return Ok(Arc::clone(fitted));
        }
        let fitted = Arc::new(self.newly_fit(evaluation)?);
        self.known.borrow_mut().insert(evaluation.clone(), Arc::clone(&fitted));
        Ok(fitted)
    }

    fn newly_fit(&self, evaluation: &Evaluation) -> Result<Fitted> {
        interrupt::check("fitting a score")?;
        let codes = || self.of_codes.codes();
        Ok(match evaluation {
            Evaluation::Reconstruction => Fitted::Reconstruction,
            Evaluation::LargestError => Fitted::LargestError,
            Evaluation::KMeans(k) => {
                let FitOptions { n_starts, seed } = self.options;
                Fitted::KMeans(KMeans::new(*k).starts(n_starts).seed(seed).fit(codes()?)?)
            }
            Evaluation::Pca(n) => Fitted::Pca(Pca::fit(codes()?, *n)?),
            Evaluation::Mahalanobis => Fitted::Mahalanobis(Mahalanobis::fit(codes()?)?),
            Evaluation::KNearest(k) => {
                let codes = codes()?;
                // No image is its own neighbour.
                let most = codes.nrows() - 1;
                if !(1..=most).contains(k) {
                    let wanted = format!("1 to {most}, one less than the images of the fit");
                    return Err(Error::setting("k", k.to_string(), wanted, "5 is usual"));
                }
                Fitted::KNearest { k: *k, codes: codes.clone() }
            }
            Evaluation::Debiased => {
                let statistics = self.of_errors.images().statistics()?;
                Fitted::Debiased(LogErrorModel::fit(self.of_errors.errors()?, &statistics)?)
            }
            Evaluation::Fused { first, second, by } => {
                Fitted::Fused([self.summand(first, *by)?, self.summand(second, *by)?])
            }
        })
    }

    fn summand(&self, evaluation: &Evaluation, by: Fusion) -> Result<Summand> {
        let fitted = self.fit(evaluation)?;
        let images = if *evaluation == Evaluation::Debiased { self.of_errors } else { self.of_codes };
        let scale = Scale::of(by, fitted.score_own(images)?);
        Ok(Summand { fitted, scale })
    }
}

impl Fitted {
    /// The scores of images, none of them NaN.
    pub(crate) fn score(&self, images: &Measured) -> Result<Vec<f64>> {
        self.values(images, 0)
    }

    /// The scores of the images of the fit themselves, none of which is its own neighbour.
    pub(crate) fn score_own(&self, images: &Measured) -> Result<Vec<f64>> {
        self.values(images, 1)
    }

    /// `n_itself` is how often an image is among the codes of the fit: the nearest neighbour is then the image itself.
    fn values(&self, images: &Measured, n_itself: usize) -> Result<Vec<f64>> {
        interrupt::check("scoring images")?;
        let values = match self {
            Self::Reconstruction => images.errors()?.clone(),
            Self::LargestError => images.largest_errors()?.clone(),
            Self::KMeans(clusters) => clusters.distances(images.codes()?)?,
            Self::Pca(pca) => pca.distances(images.codes()?)?,
            Self::Mahalanobis(spread) => spread.distances(images.codes()?)?,
            Self::KNearest { k, codes } => Nearest::new(codes)?.distances(images.codes()?, k + n_itself)?,
            Self::Debiased(explained) => explained.residuals(images.errors()?, &images.images().statistics()?)?,
            Self::Fused([first, second]) => {
                let (first, second) = (first.values(images, n_itself)?, second.values(images, n_itself)?);
                first.iter().zip(&second).map(|(first, second)| first + second).collect()
            }
        };
        match values.iter().position(|value| value.is_nan()) {
            None => Ok(values),
            Some(index) => {
                let found = format!("a score that is not a number, of image {index}");
                let next_step = "look at the model's history: did its training diverge?";
                Err(Error::data("scoring images", found, "numbers", next_step))
            }
        }
    }
}

impl Summand {
    fn values(&self, images: &Measured, n_itself: usize) -> Result<Vec<f64>> {
        Ok(self.scale.apply(self.fitted.values(images, n_itself)?))
    }
}

impl Scale {
    /// Made of these scores.
    fn of(by: Fusion, mut scores: Vec<f64>) -> Self {
        match by {
            Fusion::Rank => {
                scores.sort_unstable_by(f64::total_cmp);
                Self::Rank { rising: scores }
            }
            Fusion::Standardised => {
                let n = scores.len() as f64;
                let mean = scores.iter().sum::<f64>() / n;
                let deviation = (scores.iter().map(|score| (score - mean).powi(2)).sum::<f64>() / n).sqrt();
                // Scores that are all alike have no scale.
                Self::Standardised { mean, deviation: if deviation > 0.0 { deviation } else { 1.0 } }
            }
        }
    }

    fn apply(&self, scores: Vec<f64>) -> Vec<f64> {
        let scaled = |score: f64| match self {
            Self::Standardised { mean, deviation } => (score - mean) / deviation,
            Self::Rank { rising } => {
                let below = rising.partition_point(|known| *known < score);
                let not_above = rising.partition_point(|known| *known <= score);
                (below + not_above) as f64 / (2 * rising.len()) as f64
            }
        };
        scores.into_iter().map(scaled).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_follow_from_the_scores_of_the_fit_alone() {
        let standardised = Scale::of(Fusion::Standardised, vec![-1.0, 0.0, 4.0]);
        let deviation = (14.0_f64 / 3.0).sqrt();
        assert_eq!(standardised.apply(vec![1.0, 1.0 + deviation]), [0.0, 1.0]);
        assert_eq!(Scale::of(Fusion::Standardised, vec![3.0, 3.0]).apply(vec![3.0, 5.0]), [0.0, 2.0]);
        let rank = Scale::of(Fusion::Rank, vec![10.0, -1.0, 10.0, 3.0]);
        assert_eq!(rank.apply(vec![-5.0, -1.0, 5.0, 10.0, 11.0]), [0.0, 0.125, 0.5, 0.75, 1.0]);
    }
}
