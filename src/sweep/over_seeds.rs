//! The AUCs of a sweep by pair, over the seeds with which each pair was trained for.

use super::{Pair, Sweep};
use crate::evaluation::Evaluation;
use crate::metrics::{MeanOfValues, mean_of_values};

impl Sweep {
    /// AUC of one evaluation by pair: the mean over the seeds that are there.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let runs = folder.path().to_str().unwrap();
    /// let pairs = data.class_pairs(3)?;
    /// let sweep = sweep(small, &data, Training::default().epochs(1), &pairs, &[Reconstruction], runs)?;
    /// for (held_out, auc) in sweep.aucs(&Reconstruction) {
    ///     println!("{}: {auc:.3}", held_out.join(", "));
    ///     assert!((0.0..=1.0).contains(&auc));
    /// }
    /// assert_eq!(sweep.aucs(&KMeans(3)).count(), 0, "not asked for");
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn aucs<'a>(&'a self, evaluation: &Evaluation) -> impl Iterator<Item = (&'a Pair, f64)> {
        self.over_seeds(evaluation).into_iter().map(|(pair, auc)| (pair, auc.mean))
    }

    /// AUC of one evaluation by pair, over the seeds that are there: mean, standard deviation, and a 95 % interval of the
    /// mean, which says what more seeds might still change. It does not say what other test images would.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// use diabolo::sweep::{Experiment, run};
    /// use std::ops::ControlFlow;
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let runs = folder.path();
    /// let experiment = Experiment::new(small, Training::default().epochs(1), &[Reconstruction]).seeds(&[0, 1, 2]);
    /// let sweep = run(&experiment, &data, &data.class_pairs(1)?, runs, |_| ControlFlow::Continue(()))?;
    /// let (held_out, auc) = sweep.over_seeds(&Reconstruction)[0];
    /// let interval = auc.interval.unwrap();
    /// println!("{}: {:.3} ({:.3} to {:.3})", held_out.join(", "), auc.mean, interval.low, interval.high);
    /// assert!(auc.n == 3 && interval.low <= auc.mean);
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn over_seeds<'a>(&'a self, evaluation: &Evaluation) -> Vec<(&'a Pair, MeanOfValues)> {
        let key = evaluation.key();
        self.pairs().into_iter().filter_map(|pair| Some((pair, self.auc_of(pair, &key)?))).collect()
    }

    /// Mean AUC of one evaluation over the pairs; `None` where no pair has one.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let runs = folder.path().to_str().unwrap();
    /// let pairs = data.class_pairs(1)?;
    /// let sweep = sweep(small, &data, Training::default().epochs(1), &pairs, &[Reconstruction], runs)?;
    /// assert_eq!(sweep.auc_mean(&Reconstruction), sweep.rows[0].auc["reconstruction"]);
    /// assert_eq!(sweep.auc_mean(&KMeans(3)), None);
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn auc_mean(&self, evaluation: &Evaluation) -> Option<f64> {
        let aucs: Vec<f64> = self.aucs(evaluation).map(|(_, auc)| auc).collect();
        (!aucs.is_empty()).then(|| aucs.iter().sum::<f64>() / aucs.len() as f64)
    }

    /// The pairs that have a row, in the order of the rows.
    pub(crate) fn pairs(&self) -> Vec<&Pair> {
        let mut pairs: Vec<&Pair> = Vec::new();
        for row in &self.rows {
            if !pairs.contains(&&row.held_out) {
                pairs.push(&row.held_out);
            }
        }
        pairs
    }

    /// AUC of a pair by the key of an evaluation, over seeds; `None` where no seed has one.
    pub(crate) fn auc_of(&self, pair: &Pair, key: &str) -> Option<MeanOfValues> {
        let rows = self.rows.iter().filter(|row| row.held_out == *pair);
        let aucs: Vec<f64> = rows.filter_map(|row| *row.auc.get(key)?).collect();
        mean_of_values(&aucs).ok()
    }

    /// The largest number of seeds that a pair has rows of.
    pub(crate) fn n_seeds(&self) -> usize {
        let n_of = |pair: &&Pair| self.rows.iter().filter(|row| row.held_out == **pair).count();
        self.pairs().iter().map(n_of).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::sweep_of;
    use crate::evaluation::Evaluation::{Pca, Reconstruction};

    #[test]
    fn a_null_does_not_count_in_a_mean() {
        let sweep = sweep_of("fcn", &[("a", "b", "reconstruction", 0.4), ("a", "c", "reconstruction", 0.6)]);
        assert_eq!(sweep.auc_mean(&Reconstruction), Some(0.5));
        assert_eq!(sweep.auc_mean(&Pca(9)), None);
    }

    #[test]
    fn a_pair_with_more_seeds_counts_no_more_in_the_mean_over_pairs() {
        let rows =
            [("a", "b", "reconstruction", 0.2), ("a", "b", "reconstruction", 0.4), ("a", "c", "reconstruction", 0.7)];
        let sweep = sweep_of("fcn", &rows);
        let found = sweep.over_seeds(&Reconstruction);
        assert_eq!((found.len(), found[0].1.n, found[1].1.n, sweep.n_seeds()), (2, 2, 1, 2));
        assert!((sweep.auc_mean(&Reconstruction).unwrap() - 0.5).abs() < 1e-12);
        assert_eq!((found[1].1.mean, found[1].1.interval), (0.7, None));
    }
}
