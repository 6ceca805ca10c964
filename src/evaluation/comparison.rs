//! Which of two scores of the same images finds anomalies better?

use super::outcome::N_RESAMPLES;
use super::{Evaluation, ScoreTable};
use crate::Result;
use crate::metrics::{AucComparison, Interval, auc_difference_interval, compare_aucs};
use std::fmt;

/// Two scores whose p-value is above this cannot be told apart.
const SIGNIFICANCE: f64 = 0.05;

/// Two ways of scoring the same images, and whether one finds anomalies better.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// let table = score_table(&model, &data, &[Reconstruction, KMeans(3)])?;
/// let comparison = table.compare(&Reconstruction, &KMeans(3))?;
/// println!("{comparison}");
/// let difference = comparison.aucs.difference;
/// assert!(difference.low <= difference.value && difference.value <= difference.high);
/// assert_eq!(comparison.bootstrap.value, difference.value, "two intervals of one difference");
/// assert_eq!(comparison.are_told_apart(), comparison.aucs.p_value < 0.05);
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Comparison {
    /// Name of the model.
    pub model: String,
    /// The first way of scoring.
    pub first: Evaluation,
    /// The second.
    pub second: Evaluation,
    /// Both AUCs, and the first less the second with DeLong's interval and p-value.
    pub aucs: AucComparison,
    /// The same difference with the interval of the paired bootstrap.
    pub bootstrap: Interval,
}

impl ScoreTable {
    /// Compares the AUCs of two rows on the same images, by DeLong's paired test and by the paired bootstrap.
    ///
    /// Two rows rise and fall together from one test set to the next, so their own intervals overlap long before the
    /// difference could be 0.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) for a row that the table does not have; [`Error::Data`](crate::Error::Data)
    /// without labels, or with fewer than two images of a kind; [`Error::Interrupted`](crate::Error::Interrupted).
    ///
    /// # Source
    /// DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more correlated receiver operating
    /// characteristic curves", 1988.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// let table = score_table(&model, &data, &[Reconstruction, KMeans(3)])?;
    /// assert!((0.0..=1.0).contains(&table.compare(&Reconstruction, &KMeans(3))?.aucs.p_value));
    /// assert!(table.compare(&Reconstruction, &Pca(2)).is_err(), "not in this table");
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn compare(&self, first: &Evaluation, second: &Evaluation) -> Result<Comparison> {
        let (of_first, of_second) = (self.scores(first)?, self.scores(second)?);
        let anomalies = of_first.labels("comparing two scores")?;
        Ok(Comparison {
            model: self.model.clone(),
            first: first.clone(),
            second: second.clone(),
            aucs: compare_aucs(&of_first.values, &of_second.values, anomalies)?,
            bootstrap: auc_difference_interval(&of_first.values, &of_second.values, anomalies, N_RESAMPLES, 0)?,
        })
    }

    /// For each row how it stands to the one with the highest AUC, by DeLong's paired test; `None` for rows that cannot be
    /// compared.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// use diabolo::evaluation::Standing;
    /// let standings = score_table(&model, &data, &[Reconstruction, KMeans(3), Pca(4)])?.standings();
    /// assert!(standings.contains(&Some(Standing::Best)));
    /// assert_eq!(standings[2], None, "no scores");
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn standings(&self) -> Vec<Option<Standing>> {
        let auc = |row: usize| self.rows[row].auc().map(|auc| auc.value);
        let measured = (0..self.rows.len()).filter(|&row| auc(row).is_some());
        // Of equal ones the first.
        let Some(best) = measured.rev().max_by(|&a, &b| auc(a).partial_cmp(&auc(b)).expect("AUCs are numbers")) else {
            return vec![None; self.rows.len()];
        };
        let standing = |row: usize| {
            let (best_scores, scores) = (self.rows[best].scores()?, self.rows[row].scores()?);
            if row == best {
                return Some(Standing::Best);
            }
            let compared = compare_aucs(&best_scores.values, &scores.values, scores.anomalies.as_deref()?).ok()?;
            Some(match compared.p_value {
                p_value if p_value < SIGNIFICANCE => Standing::Worse { p_value },
                p_value => Standing::LikeTheBest { p_value },
            })
        };
        (0..self.rows.len()).map(standing).collect()
    }
}

/// How a row of a score table stands to the one with the highest AUC.
///
/// # Example
/// ```
/// use diabolo::evaluation::Standing;
/// assert_eq!(Standing::LikeTheBest { p_value: 0.3 }.to_string(), "cannot be told from it, p = 0.300");
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Standing {
    /// It is the one.
    Best,
    /// Its AUC is lower, but these images do not tell the two apart.
    LikeTheBest {
        /// Of DeLong's paired test, 0.05 or more.
        p_value: f64,
    },
    /// Its AUC is lower, and not by chance.
    Worse {
        /// Of DeLong's paired test, below 0.05.
        p_value: f64,
    },
}

impl Comparison {
    /// Whether these images tell the two apart: a p-value below 0.05.
    pub fn are_told_apart(&self) -> bool {
        self.aucs.p_value < SIGNIFICANCE
    }

    pub(crate) fn p_value_in_words(&self) -> String {
        in_words(self.aucs.p_value)
    }
}

/// A p-value in three digits.
fn in_words(p_value: f64) -> String {
    if p_value < 0.001 { "p < 0.001".into() } else { format!("p = {p_value:.3}") }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Best => write!(f, "the best"),
            Self::LikeTheBest { p_value } => write!(f, "cannot be told from it, {}", in_words(*p_value)),
            Self::Worse { p_value } => write!(f, "worse, {}", in_words(*p_value)),
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { model, first, second, aucs, bootstrap } = self;
        let AucComparison { difference, p_value, .. } = aucs;
        let verdict = if self.are_told_apart() { "told apart" } else { "cannot be told apart" };
        write!(
            f,
            "{model}: {first} (AUC {:.5}) less {second} (AUC {:.5}): {:+.5}\n  DeLong {:+.4} to {:+.4}, {}: {verdict}\n  \
             paired bootstrap {:+.4} to {:+.4}",
            aucs.first,
            aucs.second,
            difference.value,
            difference.low,
            difference.high,
            in_words(*p_value),
            bootstrap.low,
            bootstrap.high,
        )
    }
}
