//! What came of a way of scoring.

use crate::metrics::{Interval, auc_interval};
use crate::score::Scores;
use crate::{Error, Result};
use std::fmt;
use std::sync::Arc;

/// Resamples behind an AUC's interval.
pub(super) const N_RESAMPLES: usize = 1000;

/// What came of a way of scoring.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// use diabolo::evaluation::Outcome;
/// let table = score_table(&model, &data, &[Pca(2), Pca(4)])?;
/// assert!(matches!(&table.rows[0].outcome, Outcome::Measured { auc, .. } if auc.low <= auc.high));
/// assert!(matches!(&table.rows[1].outcome, Outcome::Refused { reason } if reason.to_string().contains("n_components")));
/// let brightness = &table.baselines[2].outcome;
/// assert!(brightness.scores().is_some() && brightness.auc().is_some() && brightness.reason().is_none());
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Outcome {
    /// Scores, and how well they find anomalies.
    Measured {
        /// One for each test image.
        scores: Scores,
        /// AUC with its 95 % confidence interval by the bootstrap.
        auc: Interval,
    },
    /// Scores without an AUC: labels are not known, or all of one kind.
    Unmeasured {
        /// One for each test image.
        scores: Scores,
        /// Why there is no AUC.
        reason: Arc<Error>,
    },
    /// No scores: the codes do not allow it, as for as many components as a code has values.
    Refused {
        /// Why there are none.
        reason: Arc<Error>,
    },
}

/// The scores of one way, or why the codes do not allow it.
pub(crate) type ScoresOrReason = Result<Scores, Arc<Error>>;

impl Outcome {
    /// The scores, where there are any.
    pub fn scores(&self) -> Option<&Scores> {
        match self {
            Self::Measured { scores, .. } | Self::Unmeasured { scores, .. } => Some(scores),
            Self::Refused { .. } => None,
        }
    }

    /// AUC with its 95 % confidence interval by the bootstrap, where there is one.
    pub fn auc(&self) -> Option<Interval> {
        match self {
            Self::Measured { auc, .. } => Some(*auc),
            _ => None,
        }
    }

    /// Why there are no scores or no AUC.
    pub fn reason(&self) -> Option<&Error> {
        match self {
            Self::Measured { .. } => None,
            Self::Unmeasured { reason, .. } | Self::Refused { reason } => Some(reason),
        }
    }
}

impl Outcome {
    pub(super) fn of(scores: ScoresOrReason) -> Result<Self> {
        let scores = match scores {
            Ok(scores) => scores,
            Err(reason) => return Ok(Self::Refused { reason }),
        };
        let auc = scores
            .labels("measuring an AUC")
            .and_then(|anomalies| auc_interval(&scores.values, anomalies, N_RESAMPLES, 0));
        Ok(match unless_fatal(auc)? {
            Ok(auc) => Self::Measured { scores, auc },
            Err(reason) => Self::Unmeasured { scores, reason },
        })
    }
}

/// What data or a setting do not allow is the outcome of one way, and the others are still worth having; everything else
/// ends the call.
pub(super) fn unless_fatal<T>(result: Result<T>) -> Result<Result<T, Arc<Error>>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error @ (Error::Setting { .. } | Error::Data { .. })) => Ok(Err(Arc::new(error))),
        Err(error) => Err(error),
    }
}

/// AUC with its interval, or why there is none.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Measured { auc, .. } => write!(f, "AUC {:.5} ({:.3} to {:.3})", auc.value, auc.low, auc.high),
            Self::Unmeasured { reason, .. } => write!(f, "no AUC: {reason}"),
            Self::Refused { reason } => write!(f, "{reason}"),
        }
    }
}
