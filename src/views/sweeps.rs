//! Figures and tables of sweeps.

use crate::Result;
use crate::evaluation::Evaluation;
use crate::figure::{Figure, HeatMap, heat_map};
use crate::sweep::{REPORT_AUCS, Sweep, compared_with_report, nearest_to_report};
use crate::table::Table;

impl Sweep {
    /// AUC by pair of held-out classes, in colours that diverge from 0.5, which is guessing; each pair once.
    ///
    /// # Errors
    /// [`crate::Error::Data`] when no pair has this AUC.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let runs = folder.path().to_str().unwrap();
    /// let pairs = data.class_pairs(3)?;
    /// let sweep = sweep(small, &data, Training::default().epochs(1), &pairs, &[Reconstruction], runs)?;
    /// assert!(sweep.heat_map(Reconstruction)?.alt().contains("3 values of AUC"));
    /// assert!(sweep.heat_map(KMeans(3)).is_err());
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn heat_map(&self, evaluation: Evaluation) -> Result<Figure> {
        let classes = &self.settings.classes;
        let mut values = vec![vec![None; classes.len()]; classes.len()];
        for (pair, auc) in self.aucs(&evaluation) {
            let [first, second] = pair.each_ref().map(|name| classes.iter().position(|class| class == name));
            if let (Some(first), Some(second)) = (first, second) {
                values[first.max(second)][first.min(second)] = Some(auc);
            }
        }
        heat_map(&HeatMap {
            title: format!("{} on {}: AUC of the {evaluation} by held-out pair", self.model(), self.settings.data),
            x_labels: classes.clone(),
            y_labels: classes.clone(),
            values,
            value_title: "AUC".into(),
            decimals: 3,
            middle: Some(0.5),
        })
    }

    /// One row for each pair, highest AUC of the first evaluation first.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let runs = folder.path().to_str().unwrap();
    /// let pairs = data.class_pairs(3)?;
    /// let table = sweep(small, &data, Training::default().epochs(1), &pairs, &[Reconstruction], runs)?.table();
    /// assert_eq!((table.headers[1].as_str(), table.rows.len()), ("reconstruction", 3));
    /// assert!(table.rows[0][1] >= table.rows[2][1], "highest first");
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn table(&self) -> Table {
        let evaluations = &self.settings.evaluations;
        let caption = format!("{} on {}: AUC by held-out pair", self.model(), self.settings.data);
        let mut headers = vec!["held out".to_string()];
        headers.extend(evaluations.iter().map(Evaluation::key));
        let mut table = Table { caption, headers, rows: Vec::new() };
        let mut rows: Vec<_> = self.rows.iter().collect();
        let first = evaluations.first().map(Evaluation::key).unwrap_or_default();
        let auc_of = |row: &crate::sweep::SweepRow, key: &str| row.auc.get(key).copied().flatten();
        rows.sort_by(|a, b| auc_of(b, &first).unwrap_or(0.0).total_cmp(&auc_of(a, &first).unwrap_or(0.0)));
        for row in rows {
            let cells = evaluations
                .iter()
                .map(|evaluation| auc_of(row, &evaluation.key()).map_or("-".into(), |auc| format!("{auc:.5}")));
            table.push([row.held_out.join(", ")].into_iter().chain(cells).collect());
        }
        table
    }
}

/// The `n_pairs` pairs of some sweeps whose AUCs are nearest to the report's six, by those that all pairs have; the caption
/// names them. A sweep of another network adds nothing.
///
/// # Source
/// Report, questions 1 and 2.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// # let folder = tempfile::tempdir().unwrap();
/// # let runs = folder.path().to_str().unwrap();
/// let (named, pairs) = (small.named("fcn"), data.class_pairs(3)?);
/// let sweep = sweep(named, &data, Training::default().epochs(1), &pairs, &[Reconstruction], runs)?;
/// let table = nearest_pairs(&[&sweep], 2);
/// assert_eq!((table.rows.len(), table.headers[2].as_str()), (2, "fcn reconstruction (0.59329)"));
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn nearest_pairs(sweeps: &[&Sweep], n_pairs: usize) -> Table {
    let known: Vec<_> =
        REPORT_AUCS.iter().filter(|(model, ..)| sweeps.iter().any(|sweep| sweep.model() == *model)).collect();
    let compared: Vec<String> = compared_with_report(sweeps)
        .into_iter()
        .map(|of_report| format!("{} {}", REPORT_AUCS[of_report].0, REPORT_AUCS[of_report].1))
        .collect();
    let caption = match compared.is_empty() {
        true => {
            "Held-out pairs nearest to the report: these sweeps have no AUC of the report that all pairs have".into()
        }
        false => format!(
            "Held-out pairs nearest to the report: root mean square of the differences of what all pairs have ({}), and \
             each AUC (report's in the header)",
            compared.join(", ")
        ),
    };
    let mut headers = vec!["held out".to_string(), "difference".to_string()];
    headers.extend(known.iter().map(|(model, key, auc)| format!("{model} {key} ({auc:.5})")));
    let mut table = Table { caption, headers, rows: Vec::new() };
    for (pair, difference) in nearest_to_report(sweeps).into_iter().take(n_pairs) {
        let cell = |(model, key, _): &&(&str, &str, f64)| {
            let sweep = sweeps.iter().find(|sweep| sweep.model() == *model)?;
            let row = sweep.rows.iter().find(|row| row.held_out == pair)?;
            Some(format!("{:.5}", (*row.auc.get(*key)?)?))
        };
        let cells = known.iter().map(|column| cell(column).unwrap_or_else(|| "-".into()));
        table.push([pair.join(", "), format!("{difference:.4}")].into_iter().chain(cells).collect());
    }
    table
}

/// Whether one evaluation finds anomalies better than another, over all pairs of held-out classes: the mean AUC of each,
/// and the number of pairs in which the second is higher. Pairs without both do not count.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// # let folder = tempfile::tempdir().unwrap();
/// # let runs = folder.path().to_str().unwrap();
/// let pairs = data.class_pairs(3)?;
/// let sweep = sweep(small, &data, Training::default().epochs(1), &pairs, &[Reconstruction, Pca(2)], runs)?;
/// let table = compare_over_pairs(&[&sweep], Reconstruction, Pca(2));
/// assert_eq!(table.rows[0][..2], ["small", "3"]);
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn compare_over_pairs(sweeps: &[&Sweep], one: Evaluation, other: Evaluation) -> Table {
    let mut table = Table::new(
        &format!("AUC averaged over held-out pairs: {one}, and {other}"),
        &["model", "pairs", &one.to_string(), &other.to_string(), "difference", "pairs in which it is higher"],
    );
    for sweep in sweeps {
        let keys = [one.key(), other.key()];
        let both: Vec<[f64; 2]> = sweep
            .rows
            .iter()
            .filter_map(|row| match keys.each_ref().map(|key| row.auc.get(key).copied().flatten()) {
                [Some(one), Some(other)] => Some([one, other]),
                _ => None,
            })
            .collect();
        let n = both.len() as f64;
        let mean = |index: usize| both.iter().map(|pair| pair[index]).sum::<f64>() / n;
        let n_higher = both.iter().filter(|[one, other]| other > one).count();
        table.push(vec![
            sweep.model().into(),
            both.len().to_string(),
            format!("{:.4}", mean(0)),
            format!("{:.4}", mean(1)),
            format!("{:+.4}", mean(1) - mean(0)),
            n_higher.to_string(),
        ]);
    }
    table
}
