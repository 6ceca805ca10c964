//! Ways to score images with one model: by its reconstructions, by where their codes lie, and by two of these together.

use crate::background::LogErrorModel;
use crate::cluster::KMeans;
use crate::data::{Images, Split};
use crate::metrics::{Interval, auc_interval};
use crate::neighbours::Nearest;
use crate::project::{Mahalanobis, Pca};
use crate::score::Scores;
use crate::train::Autoencoder;
use crate::{Error, Result, interrupt};
use ndarray::Array2;
use serde::{Deserialize, Serialize};
use std::cell::OnceCell;
use std::fmt;

/// Resamples behind an AUC's interval.
const N_RESAMPLES: usize = 1000;

/// A way to give each image a score; higher is more anomalous in all of them.
///
/// # Example
/// ```
#[doc = include_str!("example.txt")]
/// let table = score_table(&model, &data, &[Reconstruction, KMeans(2), Pca(2), Mahalanobis, KNearest(5), Debiased])?;
/// assert_eq!(table.all_scores().count(), 6);
/// assert_eq!(KMeans(2).to_string(), "K-means distance, k = 2");
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Evaluation {
    /// Mean squared error of the reconstruction (report, question 1).
    Reconstruction,
    /// Distance of the code to the nearest of k cluster centres (report, question 2).
    KMeans(usize),
    /// Distance of the code to its reconstruction from n principal components (report, question 2).
    Pca(usize),
    /// Distance of the code from the mean, in units of its spread in that direction (Mahalanobis, 1936).
    Mahalanobis,
    /// Distance of the code to its k-th nearest neighbour (Ramaswamy et al., 2000).
    KNearest(usize),
    /// Reconstruction error less what an image's brightness, variance, saturated pixels and compressed size explain.
    Debiased,
    /// Two scores together.
    Fused {
        /// The one.
        first: Box<Evaluation>,
        /// The other.
        second: Box<Evaluation>,
        /// How they are brought to one scale before they are added.
        by: Fusion,
    },
}

/// How two scores are brought to one scale.
///
/// # Example
/// ```
/// use diabolo::evaluation::{Evaluation, Fusion};
/// let by_rank = Evaluation::Reconstruction.fused_by_rank_with(Evaluation::KMeans(3));
/// assert!(matches!(by_rank, Evaluation::Fused { by: Fusion::Rank, .. }));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fusion {
    /// Each is divided by its mean over the test images.
    Mean,
    /// Each is replaced by its rank among the test images, divided by their number.
    Rank,
}

/// The codes to which centres, components and neighbours are fitted.
///
/// # Example
/// ```
#[doc = include_str!("example.txt")]
/// use diabolo::evaluation::evaluate;
/// let on_train = evaluate(&model, &data, &[KMeans(2)], FitOn::Train)?;
/// let on_test = evaluate(&model, &data, &[KMeans(2)], FitOn::Test)?;
/// assert_ne!(on_train.scores(&KMeans(2))?, on_test.scores(&KMeans(2))?);
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FitOn {
    /// Those of the training images: what is normal is learnt without a look at the test.
    Train,
    /// Those of the test images, anomalies among them, as the report's code does.
    Test,
}

/// One model's test images scored in several ways.
///
/// # Example
/// ```
#[doc = include_str!("example.txt")]
/// let table = score_table(&model, &data, &[Reconstruction, Pca(2)])?;
/// println!("{table}");
/// assert_eq!((table.model.as_str(), table.data.as_str(), table.fit_on), ("small", "drawn", FitOn::Train));
/// assert_eq!(table.scores(&Pca(2))?.values.len(), table.images.len());
/// assert_eq!(table.all_scores().count(), 2);
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ScoreTable {
    /// Name of the model.
    pub model: String,
    /// Name of the data.
    pub data: String,
    /// What distances between codes were fitted to.
    pub fit_on: FitOn,
    /// One for each way, in the order asked for.
    pub rows: Vec<ScoreRow>,
    /// The images that were scored.
    pub images: Images,
}

/// One way of scoring and what came of it.
///
/// # Example
/// ```
#[doc = include_str!("example.txt")]
/// let table = score_table(&model, &data, &[Reconstruction, Pca(4)])?;
/// assert!(table.rows[0].scores.is_ok() && table.rows[0].auc.is_some());
/// let reason = table.rows[1].scores.as_ref().unwrap_err();
/// assert!(reason.contains("fewer than the 4 values of a point"), "{reason}");
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ScoreRow {
    /// The way.
    pub evaluation: Evaluation,
    /// The scores; the reason where they cannot be had, as for as many components as a code has values.
    pub scores: std::result::Result<Scores, String>,
    /// AUC with a bootstrap 95 % interval; `None` without scores or without labels of both kinds.
    pub auc: Option<Interval>,
}

impl Evaluation {
    /// This score and another, each divided by its mean over the test images, added.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("example.txt")]
    /// let both = Reconstruction.fused_with(Mahalanobis);
    /// assert_eq!(both.key(), "reconstruction+mahalanobis");
    /// assert!(score_table(&model, &data, &[both])?.rows[0].auc.is_some());
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn fused_with(self, other: Self) -> Self {
        Self::Fused { first: self.into(), second: other.into(), by: Fusion::Mean }
    }

    /// This score's ranks and another's, added.
    ///
    /// # Example
    /// ```
    /// use diabolo::evaluation::Evaluation;
    /// let both = Evaluation::Reconstruction.fused_by_rank_with(Evaluation::KMeans(3));
    /// assert_eq!(both.key(), "rank(reconstruction+kmeans_3)");
    /// ```
    pub fn fused_by_rank_with(self, other: Self) -> Self {
        Self::Fused { first: self.into(), second: other.into(), by: Fusion::Rank }
    }

    /// The name by which report.json and results files know it, as in "kmeans_3".
    ///
    /// # Example
    /// ```
    /// use diabolo::evaluation::Evaluation;
    /// assert_eq!(Evaluation::KMeans(3).key(), "kmeans_3");
    /// assert_eq!(Evaluation::KNearest(5).key(), "nearest_5");
    /// ```
    pub fn key(&self) -> String {
        match self {
            Self::Reconstruction => "reconstruction".into(),
            Self::KMeans(k) => format!("kmeans_{k}"),
            Self::Pca(n) => format!("pca_{n}"),
            Self::Mahalanobis => "mahalanobis".into(),
            Self::KNearest(k) => format!("nearest_{k}"),
            Self::Debiased => "debiased".into(),
            Self::Fused { first, second, by: Fusion::Mean } => format!("{}+{}", first.key(), second.key()),
            Self::Fused { first, second, by: Fusion::Rank } => format!("rank({}+{})", first.key(), second.key()),
        }
    }
}

/// The evaluation in words, as the report's table has them.
impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Reconstruction => write!(f, "reconstruction error (MSE)"),
            Self::KMeans(k) => write!(f, "K-means distance, k = {k}"),
            Self::Pca(n) => write!(f, "PCA distance, n = {n}"),
            Self::Mahalanobis => write!(f, "Mahalanobis distance"),
            Self::KNearest(k) => write!(f, "nearest neighbours, k = {k}"),
            Self::Debiased => write!(f, "debiased error"),
            Self::Fused { first, second, by: Fusion::Mean } => write!(f, "{first} + {second}"),
            Self::Fused { first, second, by: Fusion::Rank } => write!(f, "ranks of {first} + {second}"),
        }
    }
}

impl fmt::Display for FitOn {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Train => "training codes",
            Self::Test => "test codes",
        })
    }
}

/// Scores the test images in several ways, each with its AUC where labels are known.
///
/// A way that the codes do not allow, such as two principal components of a two-valued code, has its reason in the row
/// instead of scores.
///
/// # Errors
/// [`Error::Setting`] for no way, or one named twice; [`Error::Interrupted`]; and those of [`Autoencoder::score`].
///
/// # Source
/// Report, question 2.
///
/// # Example
/// ```
#[doc = include_str!("example.txt")]
/// use diabolo::evaluation::evaluate;
/// let table = evaluate(&model, &data, &[Reconstruction, KMeans(2)], FitOn::Train)?;
/// let auc = table.rows[0].auc.expect("held-out classes are labels");
/// assert_eq!(auc.value, model.score(&data.test)?.auc()?);
/// assert!(evaluate(&model, &data, &[KMeans(2), KMeans(2)], FitOn::Train).is_err());
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn evaluate(model: &Autoencoder, split: &Split, evaluations: &[Evaluation], fit_on: FitOn) -> Result<ScoreTable> {
    check(evaluations)?;
    let evaluator = Evaluator { model, split, fit_on, reconstruction: OnceCell::new(), codes: OnceCell::new() };
    let rows = evaluations.iter().map(|evaluation| evaluator.row(evaluation)).collect::<Result<_>>()?;
    let (model, data, images) = (model.name().into(), split.name.clone(), split.test.clone());
    Ok(ScoreTable { model, data, fit_on, rows, images })
}

fn check(evaluations: &[Evaluation]) -> Result<()> {
    let refuse = |found: String, next_step| Err(Error::setting("evaluations", found, "each way once", next_step));
    if evaluations.is_empty() {
        return refuse("none".into(), "name at least one, as in &[Reconstruction, KMeans(3)]");
    }
    match (1..evaluations.len()).find(|&last| evaluations[..last].contains(&evaluations[last])) {
        Some(twice) => refuse(format!("{} twice", evaluations[twice].key()), "leave one of the two out"),
        None => Ok(()),
    }
}

impl ScoreTable {
    /// The scores of one way.
    ///
    /// # Errors
    /// [`Error::Setting`] when the table does not have it, or could not score in this way.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("example.txt")]
    /// let table = score_table(&model, &data, &[Reconstruction])?;
    /// assert_eq!(*table.scores(&Reconstruction)?, model.score(&data.test)?);
    /// assert!(table.scores(&KMeans(3)).is_err());
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn scores(&self, evaluation: &Evaluation) -> Result<&Scores> {
        let row = self.rows.iter().find(|row| row.evaluation == *evaluation);
        let refuse = |found: &str| {
            let known: Vec<String> = self.all_scores().map(|scores| scores.name.clone()).collect();
            let (wanted, next_step) = match known[..] {
                [] => ("a way in which these images could be scored".into(), "look at the table for the reasons"),
                _ => (known.join(" or "), "choose one of these"),
            };
            Error::setting("evaluation", format!("{evaluation} ({found})"), wanted, next_step)
        };
        match row.map(|row| &row.scores) {
            None => Err(refuse("not in this table")),
            Some(Err(reason)) => Err(refuse(reason)),
            Some(Ok(scores)) => Ok(scores),
        }
    }

    /// All scores that could be had.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("example.txt")]
    /// let table = score_table(&model, &data, &[Reconstruction, Mahalanobis])?;
    /// let names: Vec<&str> = table.all_scores().map(|scores| scores.name.as_str()).collect();
    /// assert_eq!(names, ["reconstruction error (MSE)", "Mahalanobis distance"]);
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn all_scores(&self) -> impl Iterator<Item = &Scores> {
        self.rows.iter().filter_map(|row| row.scores.as_ref().ok())
    }
}

/// Scores in one way after another; what several of them need is worked out once.
struct Evaluator<'a> {
    model: &'a Autoencoder,
    split: &'a Split,
    fit_on: FitOn,
    reconstruction: OnceCell<Vec<f64>>,
    codes: OnceCell<Codes>,
}

/// Codes of the test images, and those that distances are fitted to where they are others.
struct Codes {
    test: Array2<f32>,
    train: Option<Array2<f32>>,
}

impl Codes {
    fn fitted(&self) -> &Array2<f32> {
        self.train.as_ref().unwrap_or(&self.test)
    }
}

impl Evaluator<'_> {
    fn row(&self, evaluation: &Evaluation) -> Result<ScoreRow> {
        interrupt::check("scoring images")?;
        let anomalies = self.split.test.anomalies();
        let scores = match self.values(evaluation) {
            Ok(values) => Ok(Scores {
                model: self.model.name().into(),
                name: evaluation.to_string(),
                values,
                anomalies: anomalies.map(<[bool]>::to_vec),
            }),
            // The codes do not allow it: the other rows are still worth having.
            Err(error @ (Error::Setting { .. } | Error::Data { .. })) => Err(error.to_string()),
            Err(error) => return Err(error),
        };
        let auc = match (&scores, anomalies) {
            (Ok(scores), Some(anomalies)) => auc_interval(&scores.values, anomalies, N_RESAMPLES, 0).ok(),
            _ => None,
        };
        Ok(ScoreRow { evaluation: evaluation.clone(), scores, auc })
    }

    fn values(&self, evaluation: &Evaluation) -> Result<Vec<f64>> {
        match evaluation {
            Evaluation::Reconstruction => self.reconstruction().cloned(),
            Evaluation::KMeans(k) => {
                let codes = self.codes()?;
                KMeans::new(*k).fit(codes.fitted())?.distances(&codes.test)
            }
            Evaluation::Pca(n) => {
                let codes = self.codes()?;
                Pca::fit(codes.fitted(), *n)?.distances(&codes.test)
            }
            Evaluation::Mahalanobis => {
                let codes = self.codes()?;
                Mahalanobis::fit(codes.fitted())?.distances(&codes.test)
            }
            Evaluation::KNearest(k) => {
                let codes = self.codes()?;
                let nearest = Nearest::new(codes.fitted())?;
                match self.fit_on {
                    FitOn::Train => nearest.distances(&codes.test, *k),
                    // A test code is not its own neighbour.
                    FitOn::Test => nearest.distances_between_points(*k),
                }
            }
            Evaluation::Debiased => {
                let training_images = &self.split.train;
                let training_errors = self.model.score(training_images)?.values;
                let model = LogErrorModel::fit(&training_errors, &training_images.statistics()?)?;
                model.residuals(self.reconstruction()?, &self.split.test.statistics()?)
            }
            Evaluation::Fused { first, second, by } => {
                let (first, second) = (by.scaled(self.values(first)?), by.scaled(self.values(second)?));
                Ok(first.iter().zip(&second).map(|(first, second)| first + second).collect())
            }
        }
    }

    fn reconstruction(&self) -> Result<&Vec<f64>> {
        get_or_try_init(&self.reconstruction, || Ok(self.model.score(&self.split.test)?.values))
    }

    fn codes(&self) -> Result<&Codes> {
        get_or_try_init(&self.codes, || {
            let encode = |images| self.model.encode(images).map(|latents| latents.values);
            let train = (self.fit_on == FitOn::Train).then(|| encode(&self.split.train)).transpose()?;
            Ok(Codes { test: encode(&self.split.test)?, train })
        })
    }
}

fn get_or_try_init<T>(cell: &OnceCell<T>, make: impl FnOnce() -> Result<T>) -> Result<&T> {
    if let Some(value) = cell.get() {
        return Ok(value);
    }
    let value = make()?;
    Ok(cell.get_or_init(|| value))
}

impl Fusion {
    fn scaled(self, values: Vec<f64>) -> Vec<f64> {
        let n = values.len() as f64;
        match self {
            Self::Rank => crate::metrics::mean_ranks(&values).into_iter().map(|rank| rank / n).collect(),
            Self::Mean => {
                let mean = values.iter().sum::<f64>() / n;
                // Scores that are all 0 say nothing, and stay so.
                let divisor = if mean == 0.0 { 1.0 } else { mean };
                values.into_iter().map(|value| value / divisor).collect()
            }
        }
    }
}

impl fmt::Display for ScoreTable {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} on {}, fitted on {}", self.model, self.data, self.fit_on)?;
        for row in &self.rows {
            match (&row.scores, &row.auc) {
                (Err(reason), _) => write!(f, "\n  {}: {reason}", row.evaluation)?,
                (Ok(_), None) => write!(f, "\n  {}: no AUC without labels", row.evaluation)?,
                (Ok(_), Some(auc)) => {
                    write!(f, "\n  {}: AUC {:.5} ({:.3} to {:.3})", row.evaluation, auc.value, auc.low, auc.high)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fusion_brings_scores_to_one_scale() {
        assert_eq!(Fusion::Mean.scaled(vec![1.0, 2.0, 6.0]), [1.0 / 3.0, 2.0 / 3.0, 2.0]);
        assert_eq!(Fusion::Mean.scaled(vec![0.0, 0.0]), [0.0, 0.0]);
        assert_eq!(Fusion::Rank.scaled(vec![10.0, -1.0, 10.0, 3.0]), [3.5 / 4.0, 1.0 / 4.0, 3.5 / 4.0, 2.0 / 4.0]);
    }

    #[test]
    fn keys_are_those_of_the_report_file() {
        let fused = Evaluation::Reconstruction.fused_by_rank_with(Evaluation::KMeans(3));
        let keys = [Evaluation::KMeans(5), Evaluation::Pca(2), fused].map(|evaluation| evaluation.key());
        assert_eq!(keys, ["kmeans_5", "pca_2", "rank(reconstruction+kmeans_3)"]);
    }

    #[test]
    fn a_way_named_twice_is_an_error() {
        let message = check(&[Evaluation::Pca(2), Evaluation::KMeans(3), Evaluation::Pca(2)]).unwrap_err().to_string();
        assert_eq!(message, "setting evaluations: found pca_2 twice, wanted each way once; leave one of the two out");
        assert!(check(&[]).unwrap_err().to_string().contains("found none"));
    }
}
