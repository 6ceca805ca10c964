//! The AUCs of the report, and the pairs of held-out classes that come nearest to them.

use super::{Pair, Sweep};
use std::collections::BTreeMap;

/// The six AUCs of the report: model, evaluation (fitted on the test codes), AUC.
///
/// # Example
/// ```
/// use diabolo::sweep::REPORT_AUCS;
/// let highest = REPORT_AUCS.iter().max_by(|a, b| a.2.total_cmp(&b.2)).unwrap();
/// assert_eq!(*highest, ("report_cnn", "reconstruction", 0.6444));
/// ```
pub const REPORT_AUCS: [(&str, &str, f64); 6] = [
    ("report_cnn", "reconstruction", 0.64440),
    ("report_cnn", "kmeans_3", 0.56195),
    ("report_cnn", "kmeans_5", 0.54320),
    ("report_cnn", "pca_2", 0.59532),
    ("report_cnn", "pca_3", 0.56061),
    ("fcn", "reconstruction", 0.59329),
];

impl Sweep {
    /// The `n` pairs whose AUCs are nearest to the report's.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let runs = folder.path().to_str().unwrap();
    /// let (named, pairs) = (small.named("fcn"), data.class_pairs(3)?);
    /// let sweep = sweep(named, &data, Training::default().epochs(1), &pairs, &[Reconstruction], runs)?;
    /// let nearest = &sweep.nearest_to_report(1)[0];
    /// let distance = |row: &diabolo::sweep::SweepRow| (row.auc["reconstruction"].unwrap() - 0.59329).abs();
    /// let row = sweep.rows.iter().min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap();
    /// assert_eq!(*nearest, row.held_out);
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn nearest_to_report(&self, n: usize) -> Vec<Pair> {
        nearest_to_report(&[self]).into_iter().take(n).map(|(pair, _)| pair).collect()
    }
}

/// The pairs of some sweeps, nearest to the report's AUCs first, each with the root of the mean squared difference from
/// those of [`REPORT_AUCS`] that all pairs have; of several seeds the mean counts. A pair that has more of them than another
/// is not judged by more. Without a single one that all have there is nothing to compare, and the list is empty.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// # let folder = tempfile::tempdir().unwrap();
/// # let runs = folder.path().to_str().unwrap();
/// let (named, pairs) = (small.named("fcn"), data.class_pairs(3)?);
/// let sweep = sweep(named, &data, Training::default().epochs(1), &pairs, &[Reconstruction], runs)?;
/// let nearest = diabolo::sweep::nearest_to_report(&[&sweep]);
/// assert!(nearest.len() == 3 && nearest[0].1 <= nearest[2].1);
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn nearest_to_report(sweeps: &[&Sweep]) -> Vec<(Pair, f64)> {
    let differences = differences_by_pair(sweeps);
    let compared = compared_with_report(sweeps);
    let root_mean_square = |differences: &BTreeMap<usize, f64>| {
        let squares: f64 = compared.iter().map(|of_report| differences[of_report].powi(2)).sum();
        (squares / compared.len() as f64).sqrt()
    };
    if compared.is_empty() {
        return Vec::new();
    }
    let mut pairs: Vec<(Pair, f64)> = differences.into_iter().map(|(pair, of)| (pair, root_mean_square(&of))).collect();
    pairs.sort_by(|a, b| a.1.total_cmp(&b.1));
    pairs
}

/// The rows of [`REPORT_AUCS`] that all pairs of these sweeps have.
pub(crate) fn compared_with_report(sweeps: &[&Sweep]) -> Vec<usize> {
    let differences = differences_by_pair(sweeps);
    let all_have = |of_report: &usize| differences.values().all(|of| of.contains_key(of_report));
    (0..REPORT_AUCS.len()).filter(|of_report| !differences.is_empty() && all_have(of_report)).collect()
}

/// For each pair its differences from rows of [`REPORT_AUCS`].
fn differences_by_pair(sweeps: &[&Sweep]) -> BTreeMap<Pair, BTreeMap<usize, f64>> {
    let mut differences: BTreeMap<Pair, BTreeMap<usize, f64>> = BTreeMap::new();
    for sweep in sweeps {
        for (of_report, (_, key, reported)) in
            REPORT_AUCS.iter().enumerate().filter(|(_, (model, ..))| *model == sweep.model())
        {
            for pair in sweep.pairs() {
                if let Some(auc) = sweep.auc_of(pair, key) {
                    differences.entry(pair.clone()).or_default().insert(of_report, auc.mean - reported);
                }
            }
        }
    }
    differences
}

#[cfg(test)]
mod tests {
    use super::super::tests::sweep_of;
    use super::*;

    #[test]
    fn pairs_are_compared_on_the_aucs_that_all_have() {
        // By fcn alone "a, c" is nearest; that the CNN was trained for it too must not count against it.
        let fcn = sweep_of("fcn", &[("a", "b", "reconstruction", 0.4), ("a", "c", "reconstruction", 0.59)]);
        let cnn = sweep_of("report_cnn", &[("a", "c", "kmeans_3", 0.56195 + 0.3)]);
        let nearest = nearest_to_report(&[&fcn, &cnn]);
        assert_eq!(nearest[0].0, ["a", "c"]);
        assert!((nearest[0].1 - 0.00329).abs() < 1e-12, "{nearest:?}");
        assert_eq!(compared_with_report(&[&fcn, &cnn]), [5]);

        let both = sweep_of("report_cnn", &[("a", "b", "kmeans_3", 0.56195), ("a", "c", "kmeans_3", 0.56195 + 0.3)]);
        let nearest = nearest_to_report(&[&fcn, &both]);
        assert_eq!(nearest[0].0, ["a", "b"]);
        assert!((nearest[0].1 - (0.19329f64.powi(2) / 2.0).sqrt()).abs() < 1e-12, "{nearest:?}");
    }

    #[test]
    fn pairs_that_share_no_auc_are_not_compared() {
        let fcn = sweep_of("fcn", &[("a", "b", "reconstruction", 0.4)]);
        let cnn = sweep_of("report_cnn", &[("a", "c", "kmeans_3", 0.5)]);
        assert!(nearest_to_report(&[&fcn, &cnn]).is_empty() && nearest_to_report(&[]).is_empty());
        // A pair without any of the report's AUCs has nothing to be compared by, and takes nothing from the others.
        let other = sweep_of("conv", &[("a", "d", "reconstruction", 0.4)]);
        assert_eq!(nearest_to_report(&[&fcn, &other]).len(), 1);
    }
}
