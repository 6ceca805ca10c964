//! The scoring methods and their names: in code, in words and in files.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Fusions in fusions: more than anybody asks for, few enough for any stack.
const MOST_NESTED: usize = 16;

/// A scoring method: a score for each image, higher is more anomalous in all of them.
///
/// The prelude has a short name for each: `Reconstruction`, `LargestError`, `KMeans(3)`, `Pca(2)`, `Mahalanobis`,
/// `KNearest(5)` and `Debiased` ([`ways`](super::ways)). [`Evaluation::fit`] makes a [`Detector`](super::Detector) of one.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
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
    /// Largest value of the smoothed error map of the reconstruction ([`Detector::map`](super::Detector::map)): for defects
    /// that are small beside the image, which its mean hides (the image score of Bergmann et al., 2021).
    LargestError,
    /// Distance of the code to the nearest of k cluster centres (report, question 2).
    KMeans(usize),
    /// Distance of the code to its reconstruction from n principal components (report, question 2).
    Pca(usize),
    /// Distance of the code from the mean, in units of its spread in that direction (Mahalanobis, 1936).
    Mahalanobis,
    /// Distance of the code to its k-th nearest neighbour (Ramaswamy et al., 2000).
    KNearest(usize),
    /// Reconstruction error less what an image's brightness, variance, saturated pixels and compressed size explain. May
    /// be negative.
    Debiased,
    /// The sum of two scores.
    Fused {
        /// The first score.
        first: Box<Evaluation>,
        /// The second score.
        second: Box<Evaluation>,
        /// How they are brought to one scale before they are added.
        by: Fusion,
    },
}

/// How two scores are brought to one scale. Both follow from the images of the fit, so that the score of one image does
/// not depend on the images scored beside it.
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
    /// z-scores: less the mean of the fitted images' scores, divided by their standard deviation.
    // Files of version 0.1 say "mean", when each was divided by its mean.
    #[serde(alias = "mean")]
    Standardised,
    /// The share of the fitted images' scores that lie below, 0..=1, equal ones counted half. A score beyond all of
    /// theirs is 1, however far.
    Rank,
}

impl Evaluation {
    /// This score and another, standardised by the scores of the fitted images (z-scores) and added.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// let both = Reconstruction.fused_with(Mahalanobis);
    /// assert_eq!(both.key(), "reconstruction+mahalanobis");
    /// assert!(score_table(&model, &data, &[both])?.rows[0].auc().is_some());
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn fused_with(self, other: Self) -> Self {
        Self::Fused { first: self.into(), second: other.into(), by: Fusion::Standardised }
    }

    /// This score's rank among the scores of the fitted images and another's, added.
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

    /// The name by which report.json, results files and the command line know it, as in "kmeans_3". Different ways have
    /// different keys; `key.parse::<Evaluation>()` reads one.
    ///
    /// # Example
    /// ```
    /// use diabolo::prelude::*;
    /// assert_eq!(KMeans(3).key(), "kmeans_3");
    /// assert_eq!(KNearest(5).key(), "nearest_5");
    /// assert_eq!(Reconstruction.fused_with(KMeans(3)).fused_with(Pca(2)).key(), "(reconstruction+kmeans_3)+pca_2");
    /// assert_eq!("kmeans_3".parse::<Evaluation>()?, KMeans(3));
    /// assert!("kmeans".parse::<Evaluation>().is_err());
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn key(&self) -> String {
        match self {
            Self::Reconstruction => "reconstruction".into(),
            Self::LargestError => "largest_error".into(),
            Self::KMeans(k) => format!("kmeans_{k}"),
            Self::Pca(n) => format!("pca_{n}"),
            Self::Mahalanobis => "mahalanobis".into(),
            Self::KNearest(k) => format!("nearest_{k}"),
            Self::Debiased => "debiased".into(),
            Self::Fused { first, second, by: Fusion::Standardised } => format!("{}+{}", first.term(), second.term()),
            Self::Fused { first, second, by: Fusion::Rank } => format!("rank({}+{})", first.term(), second.term()),
        }
    }

    /// The key as a part of a sum.
    fn term(&self) -> String {
        match self {
            Self::Fused { by: Fusion::Standardised, .. } => format!("({})", self.key()),
            _ => self.key(),
        }
    }
}

/// Reads a key, as in "kmeans_3" or "reconstruction+kmeans_3".
impl FromStr for Evaluation {
    type Err = Error;

    fn from_str(key: &str) -> Result<Self> {
        parse(key.trim(), MOST_NESTED).ok_or_else(|| {
            let wanted = "reconstruction, largest_error, kmeans_3, pca_2, mahalanobis, nearest_5 or debiased, with any \
                          numbers, or two of them as in reconstruction+kmeans_3 or rank(reconstruction+kmeans_3)";
            let next_step = "write one of these; a sum of three needs brackets, as in (reconstruction+kmeans_3)+pca_2";
            Error::setting("evaluation", format!("{key:?}"), wanted, next_step)
        })
    }
}

fn parse(key: &str, most_nested: usize) -> Option<Evaluation> {
    let most_nested = most_nested.checked_sub(1)?;
    if let Some((first, second)) = summands(key) {
        return Some(parse_term(first, most_nested)?.fused_with(parse_term(second, most_nested)?));
    }
    parse_term(key, most_nested)
}

fn parse_term(key: &str, most_nested: usize) -> Option<Evaluation> {
    let number = |name: &str| key.strip_prefix(name)?.parse().ok();
    let in_brackets = |name: &str| key.strip_prefix(name)?.strip_suffix(')');
    match key {
        "reconstruction" => return Some(Evaluation::Reconstruction),
        "largest_error" => return Some(Evaluation::LargestError),
        "mahalanobis" => return Some(Evaluation::Mahalanobis),
        "debiased" => return Some(Evaluation::Debiased),
        _ => {}
    }
    let of_a_number = number("kmeans_").map(Evaluation::KMeans).or_else(|| number("pca_").map(Evaluation::Pca));
    if let Some(evaluation) = of_a_number.or_else(|| number("nearest_").map(Evaluation::KNearest)) {
        return Some(evaluation);
    }
    match in_brackets("rank(") {
        None => parse(in_brackets("(")?, most_nested),
        Some(sum) => match parse(sum, most_nested)? {
            Evaluation::Fused { first, second, by: Fusion::Standardised } => Some(first.fused_by_rank_with(*second)),
            _ => None,
        },
    }
}

/// What stands before and after the one `+` that is in no brackets.
fn summands(key: &str) -> Option<(&str, &str)> {
    let mut depth = 0;
    let mut outside = key.char_indices().filter_map(|(index, character)| {
        depth += i32::from(character == '(') - i32::from(character == ')');
        (character == '+' && depth == 0).then_some(index)
    });
    let plus = outside.next().filter(|_| outside.next().is_none())?;
    Some((&key[..plus], &key[plus + 1..]))
}

/// The evaluation in words, as the report's table has them.
impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        /// A sum that is a part of another stands in brackets.
        fn part(evaluation: &Evaluation) -> String {
            match evaluation {
                Evaluation::Fused { .. } => format!("({evaluation})"),
                _ => evaluation.to_string(),
            }
        }
        match self {
            Self::Reconstruction => write!(f, "reconstruction error (MSE)"),
            Self::LargestError => write!(f, "largest error of the map"),
            Self::KMeans(k) => write!(f, "K-means distance, k = {k}"),
            Self::Pca(n) => write!(f, "PCA distance, n = {n}"),
            Self::Mahalanobis => write!(f, "Mahalanobis distance"),
            Self::KNearest(k) => write!(f, "nearest neighbours, k = {k}"),
            Self::Debiased => write!(f, "debiased error"),
            Self::Fused { first, second, by: Fusion::Standardised } => write!(f, "{} + {}", part(first), part(second)),
            Self::Fused { first, second, by: Fusion::Rank } => write!(f, "ranks of {} + {}", part(first), part(second)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Evaluation::{Debiased, KMeans, KNearest, LargestError, Mahalanobis, Pca, Reconstruction};

    #[test]
    fn keys_are_those_of_the_report_file() {
        let fused = Reconstruction.fused_by_rank_with(KMeans(3));
        let keys = [KMeans(5), Pca(2), fused].map(|evaluation| evaluation.key());
        assert_eq!(keys, ["kmeans_5", "pca_2", "rank(reconstruction+kmeans_3)"]);
    }

    #[test]
    fn different_ways_have_different_keys_and_every_key_is_read_as_its_way() {
        let mut ways = vec![Reconstruction, LargestError, KMeans(3), Pca(2), Mahalanobis, KNearest(5), Debiased];
        for _ in 0..2 {
            let few: Vec<Evaluation> = ways.iter().rev().take(3).cloned().collect();
            for (first, second) in few.iter().flat_map(|first| few.iter().map(move |second| (first, second))) {
                ways.push(first.clone().fused_with(second.clone()));
                ways.push(first.clone().fused_by_rank_with(second.clone()));
            }
        }
        let keys: std::collections::BTreeSet<String> = ways.iter().map(Evaluation::key).collect();
        assert_eq!(keys.len(), ways.iter().collect::<std::collections::HashSet<_>>().len());
        for way in &ways {
            assert_eq!(way.key().parse::<Evaluation>().unwrap(), *way, "{}", way.key());
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let nested = format!("{}reconstruction{}", "(".repeat(10_000), ")".repeat(10_000));
        for key in [
            "",
            "kmeans",
            "kmeans_",
            "kmeans_-1",
            "a+b",
            "pca_2+",
            "rank(pca_2)",
            "(pca_2",
            "pca_1+pca_2+pca_3",
            &nested,
        ] {
            let message = key.parse::<Evaluation>().unwrap_err().to_string();
            assert!(message.contains("reconstruction+kmeans_3"), "{message}");
        }
        assert_eq!(" (kmeans_3) ".parse::<Evaluation>().unwrap(), KMeans(3));
    }

    #[test]
    fn fusions_of_older_files_are_read() {
        let old = r#"{"fused": {"first": "reconstruction", "second": {"k_means": 3}, "by": "mean"}}"#;
        assert_eq!(serde_json::from_str::<Evaluation>(old).unwrap(), Reconstruction.fused_with(KMeans(3)));
    }
}
