//! One model's test images scored in several ways, and which of these finds anomalies best.

mod baselines;
mod comparison;
mod outcome;

pub use crate::detector::{Evaluation, Fusion};
pub use baselines::Baseline;
pub use comparison::{Comparison, Standing};
pub use outcome::Outcome;

pub(crate) use outcome::ScoresOrReason;

use outcome::unless_fatal;

use crate::data::{Images, Split};
use crate::detector::{FitOptions, Fitter, Measured};
use crate::metrics::Interval;
use crate::score::Scores;
use crate::train::{Autoencoder, Learnt, warn_of_nothing_learnt};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The codes to which centres, components and neighbours are fitted.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
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
#[doc = include_str!("../example.txt")]
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
    /// Scores that need no network: distance from the mean training image, from principal components of the pixels, and
    /// brightness. A model is worth its training where it is better than these.
    pub baselines: Vec<Baseline>,
    /// What the model has learnt, by the test images of its training; `None` where that was not measured.
    pub learnt: Option<Learnt>,
    /// The images that were scored.
    pub images: Images,
}

/// One way of scoring and what came of it.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// let table = score_table(&model, &data, &[Reconstruction, Pca(4)])?;
/// assert!(table.rows[0].scores().is_some() && table.rows[0].auc().is_some() && table.rows[0].reason().is_none());
/// let reason = table.rows[1].reason().unwrap().to_string();
/// assert!(reason.contains("fewer than the 4 values of a point"), "{reason}");
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ScoreRow {
    /// The way.
    pub evaluation: Evaluation,
    /// What came of it.
    pub outcome: Outcome,
}

impl ScoreRow {
    /// The scores, where there are any.
    pub fn scores(&self) -> Option<&Scores> {
        self.outcome.scores()
    }

    /// AUC with its 95 % confidence interval by the bootstrap, where there is one.
    pub fn auc(&self) -> Option<Interval> {
        self.outcome.auc()
    }

    /// Why there are no scores or no AUC.
    pub fn reason(&self) -> Option<&Error> {
        self.outcome.reason()
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
#[doc = include_str!("../example.txt")]
/// use diabolo::evaluation::evaluate;
/// let table = evaluate(&model, &data, &[Reconstruction, KMeans(2)], FitOn::Train)?;
/// let auc = table.rows[0].auc().expect("held-out classes are labels");
/// assert_eq!(auc.value, model.score(data.test())?.auc()?);
/// assert!(evaluate(&model, &data, &[KMeans(2), KMeans(2)], FitOn::Train).is_err());
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn evaluate(model: &Autoencoder, split: &Split, evaluations: &[Evaluation], fit_on: FitOn) -> Result<ScoreTable> {
    evaluate_with(model, split, evaluations, fit_on, FitOptions::default())
}

/// The same with other starts or another seed of K-means.
///
/// # Errors
/// As [`evaluate`].
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// use diabolo::detector::FitOptions;
/// use diabolo::evaluation::evaluate_with;
/// let table = evaluate_with(&model, &data, &[KMeans(2)], FitOn::Train, FitOptions::default().n_starts(50).seed(7))?;
/// assert!(table.rows[0].auc().is_some());
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn evaluate_with(
    model: &Autoencoder,
    split: &Split,
    evaluations: &[Evaluation],
    fit_on: FitOn,
    options: FitOptions,
) -> Result<ScoreTable> {
    let scored = score_all(model, split, evaluations, fit_on, options)?;
    let row = |(evaluation, scores)| Ok(ScoreRow { evaluation, outcome: Outcome::of(scores)? });
    let rows = scored.into_iter().map(row).collect::<Result<_>>()?;
    Ok(ScoreTable {
        baselines: baselines::baselines(model, split)?,
        learnt: model.history().learnt,
        model: model.name().into(),
        data: split.name().into(),
        fit_on,
        rows,
        images: split.test().clone(),
    })
}

/// Scores the test images in several ways, without their AUCs; the reason where the codes do not allow one.
pub(crate) fn score_all(
    model: &Autoencoder,
    split: &Split,
    evaluations: &[Evaluation],
    fit_on: FitOn,
    options: FitOptions,
) -> Result<Vec<(Evaluation, ScoresOrReason)>> {
    check(evaluations)?;
    let (train, test) = (Measured::new(model, split.train()), Measured::new(model, split.test()));
    let of_codes = match fit_on {
        FitOn::Train => &train,
        FitOn::Test => &test,
    };
    let fitter = Fitter::new(of_codes, &train, options);
    let values = |evaluation: &Evaluation| {
        let fitted = fitter.fit(evaluation)?;
        match fit_on {
            FitOn::Train => fitted.score(&test),
            FitOn::Test => fitted.score_own(&test),
        }
    };
    let scored = |evaluation: &Evaluation| {
        let scores = values(evaluation).map(|values| Scores {
            model: model.name().into(),
            name: evaluation.to_string(),
            values,
            anomalies: split.test().anomalies().map(<[bool]>::to_vec),
        });
        Ok((evaluation.clone(), unless_fatal(scores)?))
    };
    evaluations.iter().map(scored).collect()
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
    #[doc = include_str!("../example.txt")]
    /// let table = score_table(&model, &data, &[Reconstruction])?;
    /// assert_eq!(*table.scores(&Reconstruction)?, model.score(data.test())?);
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
        match row.map(|row| &row.outcome) {
            None => Err(refuse("not in this table")),
            Some(Outcome::Refused { reason }) => Err(refuse(&reason.to_string())),
            Some(Outcome::Measured { scores, .. } | Outcome::Unmeasured { scores, .. }) => Ok(scores),
        }
    }

    /// All scores that could be had.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// let table = score_table(&model, &data, &[Reconstruction, Mahalanobis])?;
    /// let names: Vec<&str> = table.all_scores().map(|scores| scores.name.as_str()).collect();
    /// assert_eq!(names, ["reconstruction error (MSE)", "Mahalanobis distance"]);
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn all_scores(&self) -> impl Iterator<Item = &Scores> {
        self.rows.iter().filter_map(ScoreRow::scores)
    }
}

impl fmt::Display for ScoreTable {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} on {}, fitted on {}", self.model, self.data, self.fit_on)?;
        for row in &self.rows {
            write!(f, "\n  {}: {}", row.evaluation, row.outcome)?;
        }
        for Baseline { name, outcome } in &self.baselines {
            write!(f, "\n  baseline, {name}: {outcome}")?;
        }
        if let Some(learnt) = &self.learnt {
            write!(f, "\n{learnt}")?;
        }
        warn_of_nothing_learnt(f, self.learnt, &self.model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interrupt::stop_after_checks;
    use crate::model::Architecture;
    use crate::train::{Training, fit};
    use ndarray::Array4;
    use std::ops::ControlFlow;

    #[test]
    fn a_way_named_twice_is_an_error() {
        let message = check(&[Evaluation::Pca(2), Evaluation::KMeans(3), Evaluation::Pca(2)]).unwrap_err().to_string();
        assert_eq!(message, "setting evaluations: found pca_2 twice, wanted each way once; leave one of the two out");
        assert!(check(&[]).unwrap_err().to_string().contains("found none"));
    }

    /// 24 grey images, every third of them an anomaly, and a small model of the others.
    fn small() -> (Autoencoder, Split) {
        let pixels =
            Array4::from_shape_fn((24, 1, 4, 4), |(n, _, y, x)| ([40 * x, 9 * y * x, 25 * y][n % 3] + n) as u8);
        let images = Images::from_bytes(pixels).unwrap();
        let train = images.select(&Vec::from_iter((0..24).filter(|n| n % 3 != 0))).unwrap();
        let test = images.with_anomalies((0..24).map(|n| n % 3 == 0).collect()).unwrap();
        let split = Split::new("small", train, test).unwrap();
        let network = Architecture::parse("Linear(16, 3)", "Linear(3, 16) / Tanh()").unwrap();
        let model = fit(network, &split, Training::default().epochs(1), |_| ControlFlow::Continue(())).unwrap();
        (model, split)
    }

    #[test]
    fn the_stop_button_ends_a_table_wherever_it_is_pressed() {
        let (model, split) = small();
        let ways = [Evaluation::Reconstruction, Evaluation::KMeans(2), Evaluation::Pca(1)];
        let mut n_stopped = 0;
        for n_checks in (0..).step_by(97) {
            stop_after_checks(Some(n_checks));
            let table = evaluate(&model, &split, &ways, FitOn::Train);
            stop_after_checks(None);
            match table {
                Err(Error::Interrupted { .. }) => n_stopped += 1,
                table => {
                    assert!(table.unwrap().rows.iter().all(|row| row.auc().is_some()));
                    break;
                }
            }
        }
        assert!(n_stopped > 5, "{n_stopped}: a bootstrap of 1000 resamples looks at the button more often");
    }

    #[test]
    fn the_stop_button_is_no_outcome_of_a_row() {
        let stopped = || Error::Interrupted { doing: "measuring an AUC".into() };
        assert!(matches!(unless_fatal::<()>(Err(stopped())), Err(Error::Interrupted { .. })));
        let refused = Error::setting("k", "0", "1 or more", "3 is the report's");
        assert!(matches!(unless_fatal::<()>(Err(refused)), Ok(Err(_))));
    }
}
