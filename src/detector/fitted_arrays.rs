//! Conversion of fitted parameters to arrays and back.

use super::arrays::{Arrays, Element};
use super::evaluation::{Evaluation, Fusion};
use super::fitted::{Fitted, Scale, Summand};
use crate::background::LogErrorModel;
use crate::cluster::Clusters;
use crate::metrics::LinearFit;
use crate::project::{Mahalanobis, Pca};
use ndarray::{Array1, Array2};
use std::sync::Arc;

impl Fitted {
    /// Adds fitted parameters, under names that begin with `prefix`.
    pub(super) fn put(&self, prefix: &str, arrays: &mut Arrays) {
        let name = |name: &str| format!("{prefix}{name}");
        let matrix = |arrays: &mut Arrays, part: &str, values: &Array2<f32>| {
            arrays.put(&name(part), values.shape(), values.iter().copied());
        };
        let row = |arrays: &mut Arrays, part: &str, values: &Array1<f32>| {
            arrays.put(&name(part), &[values.len()], values.iter().copied());
        };
        let doubles = |arrays: &mut Arrays, part: &str, values: &[f64]| {
            arrays.put(&name(part), &[values.len()], values.iter().copied());
        };
        match self {
            Self::Reconstruction | Self::LargestError => {}
            Self::KMeans(clusters) => matrix(arrays, "centres", &clusters.centres),
            Self::Pca(pca) => {
                row(arrays, "mean", &pca.mean);
                matrix(arrays, "components", &pca.components);
                doubles(arrays, "explained_variance", &pca.explained_variance);
                doubles(arrays, "explained_variance_ratio", &pca.explained_variance_ratio);
            }
            Self::Mahalanobis(spread) => {
                let (mean, whitening) = spread.parts();
                row(arrays, "mean", mean);
                matrix(arrays, "whitening", whitening);
            }
            Self::KNearest { codes, .. } => matrix(arrays, "codes", codes),
            Self::Debiased(explained) => {
                let LinearFit { coefficients, intercept, residual_deviation } = explained.line();
                doubles(arrays, "coefficients", coefficients);
                doubles(arrays, "intercept_and_deviation", &[*intercept, *residual_deviation]);
            }
            Self::Fused(summands) => {
                for (Summand { fitted, scale }, part) in summands.iter().zip(["first", "second"]) {
                    match scale {
                        Scale::Standardised { mean, deviation } => doubles(arrays, part, &[*mean, *deviation]),
                        Scale::Rank { rising } => doubles(arrays, part, rising),
                    }
                    fitted.put(&name(&format!("{part}.")), arrays);
                }
            }
        }
    }

    /// What [`Fitted::put`] added; `None` where an array is missing or does not fit the others or codes of `n_latents`.
    pub(super) fn take(evaluation: &Evaluation, prefix: &str, n_latents: usize, arrays: &mut Arrays) -> Option<Self> {
        let name = |name: &str| format!("{prefix}{name}");
        Some(match evaluation {
            Evaluation::Reconstruction => Self::Reconstruction,
            Evaluation::LargestError => Self::LargestError,
            Evaluation::KMeans(k) => {
                let centres = matrix(arrays, &name("centres"), n_latents).filter(|centres| centres.nrows() == *k)?;
                Self::KMeans(Clusters { centres, assignments: Vec::new(), inertia: 0.0, n_iterations: 0 })
            }
            Evaluation::Pca(n) => Self::Pca(Pca {
                mean: Array1::from(row::<f32>(arrays, &name("mean"), n_latents)?),
                components: matrix(arrays, &name("components"), n_latents).filter(|found| found.nrows() == *n)?,
                explained_variance: row(arrays, &name("explained_variance"), *n)?,
                explained_variance_ratio: row(arrays, &name("explained_variance_ratio"), *n)?,
            }),
            Evaluation::Mahalanobis => {
                let mean = Array1::from(row::<f32>(arrays, &name("mean"), n_latents)?);
                Self::Mahalanobis(Mahalanobis::of_parts(mean, matrix(arrays, &name("whitening"), n_latents)?))
            }
            Evaluation::KNearest(k) => {
                let codes = matrix(arrays, &name("codes"), n_latents).filter(|codes| codes.nrows() > *k)?;
                Self::KNearest { k: *k, codes }
            }
            Evaluation::Debiased => {
                let coefficients = row(arrays, &name("coefficients"), LogErrorModel::N_COLUMNS)?;
                let [intercept, residual_deviation] = pair(arrays, &name("intercept_and_deviation"))?;
                Self::Debiased(LogErrorModel::of_line(LinearFit { coefficients, intercept, residual_deviation }))
            }
            Evaluation::Fused { first, second, by } => {
                let mut summand = |evaluation: &Evaluation, part: &str| {
                    let scale = match by {
                        Fusion::Standardised => {
                            let [mean, deviation] = pair(arrays, &name(part))?;
                            Scale::Standardised { mean, deviation }
                        }
                        Fusion::Rank => {
                            let (_, rising) = arrays.take(&name(part)).filter(|(_, rising)| !rising.is_empty())?;
                            Scale::Rank { rising }
                        }
                    };
                    let fitted = Self::take(evaluation, &name(&format!("{part}.")), n_latents, arrays)?;
                    Some(Summand { fitted: Arc::new(fitted), scale })
                };
                Self::Fused([summand(first, "first")?, summand(second, "second")?])
            }
        })
    }
}

fn row<T: Element>(arrays: &mut Arrays, name: &str, n: usize) -> Option<Vec<T>> {
    let (shape, values) = arrays.take(name)?;
    (shape == [n]).then_some(values)
}

fn pair(arrays: &mut Arrays, name: &str) -> Option<[f64; 2]> {
    row(arrays, name, 2)?.try_into().ok()
}

/// An array of `n_columns` and at least one row.
fn matrix(arrays: &mut Arrays, name: &str, n_columns: usize) -> Option<Array2<f32>> {
    let (shape, values) = arrays.take(name)?;
    let [n_rows, found] = shape[..] else { return None };
    (n_rows > 0 && found == n_columns).then(|| Array2::from_shape_vec((n_rows, n_columns), values).ok())?
}
