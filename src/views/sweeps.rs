//! Figures and tables of sweeps.

use crate::Result;
use crate::evaluation::Evaluation;
use crate::figure::{Figure, HeatMap, heat_map};
use crate::metrics::{Interval, MeanOfValues};
use crate::sweep::{Pair, REPORT_AUCS, Sweep, compared_with_report, nearest_to_report};
use crate::table::Table;

impl Sweep {
    /// AUC by pair of held-out classes, in colours that diverge from 0.5, which is guessing; each pair once. Of several seeds
    /// it shows the mean, and below it half the width of the mean's 95 % interval.
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
        let empty = || vec![vec![None; classes.len()]; classes.len()];
        let (mut values, mut half_widths) = (empty(), empty());
        for (pair, auc) in self.over_seeds(&evaluation) {
            let [first, second] = pair.each_ref().map(|name| classes.iter().position(|class| class == name));
            if let (Some(first), Some(second)) = (first, second) {
                let (row, column) = (first.max(second), first.min(second));
                values[row][column] = Some(auc.mean);
                half_widths[row][column] = auc.interval.map(|interval| interval.high - interval.value);
            }
        }
        let n_seeds = self.n_seeds();
        let over_seeds = match n_seeds {
            0 | 1 => String::new(),
            _ => format!(", mean over {n_seeds} seeds and half its 95 % interval"),
        };
        heat_map(&HeatMap {
            title: format!(
                "{} on {}: AUC of the {evaluation} by held-out pair{over_seeds}",
                self.model(),
                self.settings.data
            ),
            x_labels: classes.clone(),
            y_labels: classes.clone(),
            values,
            half_widths: if n_seeds > 1 { half_widths } else { Vec::new() },
            value_title: "AUC".into(),
            decimals: 3,
            middle: Some(0.5),
        })
    }

    /// One row for each pair, highest AUC of the first evaluation first. Of several seeds it has the number of them, and for
    /// each evaluation the mean, the standard deviation over seeds and the mean's 95 % interval, as in
    /// `0.612 ± 0.008 (0.592 to 0.632)`.
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
        let mut caption = format!("{} on {}: AUC by held-out pair", self.model(), self.settings.data);
        let mut headers = vec!["held out".to_string()];
        headers.extend(evaluations.iter().map(Evaluation::key));
        let has_seeds = self.n_seeds() > 1;
        if has_seeds {
            caption += ", mean \u{b1} standard deviation over seeds (95 % interval of the mean)";
            headers.insert(1, "seeds".into());
        }
        let mut table = Table { caption, headers, rows: Vec::new() };
        let mut pairs = self.pairs();
        let first = evaluations.first().map(Evaluation::key).unwrap_or_default();
        let mean_of = |pair: &Pair| self.auc_of(pair, &first).map_or(0.0, |auc| auc.mean);
        pairs.sort_by(|a, b| mean_of(b).total_cmp(&mean_of(a)));
        for pair in pairs {
            let mut cells = vec![pair.join(", ")];
            if has_seeds {
                cells.push(self.rows.iter().filter(|row| row.held_out == *pair).count().to_string());
            }
            let aucs = evaluations.iter().map(|evaluation| self.auc_of(pair, &evaluation.key()));
            cells.extend(aucs.map(|auc| auc.map_or("-".into(), |auc| auc_text(&auc))));
            table.push(cells);
        }
        table
    }
}

fn auc_text(auc: &MeanOfValues) -> String {
    let MeanOfValues { mean, deviation, interval, .. } = auc;
    match (deviation, interval) {
        (Some(deviation), Some(Interval { low, high, .. })) => {
            format!("{mean:.5} \u{b1} {deviation:.5} ({low:.5} to {high:.5})")
        }
        _ => format!("{mean:.5}"),
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
            Some(format!("{:.5}", sweep.auc_of(&pair, key)?.mean))
        };
        let cells = known.iter().map(|column| cell(column).unwrap_or_else(|| "-".into()));
        table.push([pair.join(", "), format!("{difference:.4}")].into_iter().chain(cells).collect());
    }
    table
}

/// Whether one evaluation finds anomalies better than another, over all pairs of held-out classes: the mean AUC of each,
/// and the number of pairs in which the second is higher. Pairs without both do not count; of several seeds the mean does.
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
            .pairs()
            .into_iter()
            .filter_map(|pair| match keys.each_ref().map(|key| sweep.auc_of(pair, key)) {
                [Some(one), Some(other)] => Some([one.mean, other.mean]),
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
