//! Comparisons of evaluations: tables, histograms, curves, and the report's argument about F1.

use crate::data::Images;
use crate::evaluation::{Baseline, Evaluation, Outcome, ScoreTable};
use crate::figure::{
    AxisRange, CaptionedImage, Curves, Figure, Histogram, HistogramPanel, LineChart, Series, curves, histogram,
    image_grid, line_chart, number,
};
use crate::metrics::{
    Confusion, Positive, Threshold, average_precision, confusion, f1_at_prevalence, precision_recall_curve, roc_auc,
    roc_curve, spearman_correlation, spread,
};
use crate::score::{Scores, descending_order, labels};
use crate::table::Table;
use crate::{Error, Result};

/// Shares of anomalies for which F1 is drawn: the homework's test set has 0.2.
const PREVALENCES: [f64; 4] = [0.01, 0.05, 0.2, 0.5];
const MEASURING: &str = "measuring scores";

impl ScoreTable {
    /// Evaluation mode, AUC and its bootstrap 95 % interval, as in the report's question 2; and whether these images tell
    /// the row from the one with the highest AUC, by DeLong's paired test ([`ScoreTable::standings`]). Baselines, which need no
    /// network, stand below.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// let table = score_table(&model, &data, &[Reconstruction, Pca(2)])?.table();
    /// assert_eq!(table.headers[..3], ["evaluation mode", "AUC", "95 % interval"]);
    /// assert_eq!(table.rows[1][0], "PCA distance, n = 2");
    /// assert_eq!(table.rows[2][0], "baseline: distance from the mean training image");
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn table(&self) -> Table {
        let learnt = self.learnt.map_or(String::new(), |learnt| format!("; {learnt}"));
        let caption = format!("{} on {}, fitted on {}{learnt}", self.model, self.data, self.fit_on);
        let headers = ["evaluation mode", "AUC", "95 % interval", "against the best, paired", ""];
        let mut table = Table::new(&caption, &headers);
        let mut push = |name: String, outcome: &Outcome, standing: String| {
            let (auc, interval) = outcome.auc().map_or(Default::default(), |auc| {
                (format!("{:.5}", auc.value), format!("{:.3} to {:.3}", auc.low, auc.high))
            });
            let remark = outcome.reason().map_or(String::new(), ToString::to_string);
            table.push(vec![name, auc, interval, standing, remark]);
        };
        for (row, standing) in self.rows.iter().zip(self.standings()) {
            let standing = standing.map_or(String::new(), |standing| standing.to_string());
            push(row.evaluation.to_string(), &row.outcome, standing);
        }
        for Baseline { name, outcome } in &self.baselines {
            push(format!("baseline: {name}"), outcome, String::new());
        }
        table
    }

    /// Histograms of the scores, in a panel for each evaluation: bins from 0 to the largest, as in the report.
    ///
    /// # Errors
    /// [`Error::Setting`] for no bins or more than 1000.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// let table = score_table(&model, &data, &[Reconstruction, Pca(2)])?;
    /// assert!(table.histograms(50)?.alt().contains("in 50 bins"));
    /// assert!(table.histograms(0).is_err());
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn histograms(&self, n_bins: usize) -> Result<Figure> {
        let panel = |scores: &Scores| HistogramPanel { title: scores.name.clone(), values: scores.values.clone() };
        histogram(&Histogram {
            title: format!("{}, fitted on {}: how the scores spread", self.model, self.fit_on),
            x_title: "score, from 0 to its largest".into(),
            y_title: "images".into(),
            n_bins,
            x_range: AxisRange::Own,
            y_range: AxisRange::Own,
            panels: self.all_scores().map(panel).collect(),
        })
    }

    /// The report's claim that scores which spread wider have the higher AUC: how far each spreads, and its AUC. The
    /// caption has Spearman's rank correlation of the two, 1 where the claim holds for every pair of rows.
    ///
    /// # Errors
    /// [`Error::Data`] for scores that cannot be ranked.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// let spreads = score_table(&model, &data, &[Reconstruction, KMeans(2), Pca(2)])?.spreads()?;
    /// assert!(spreads.caption.starts_with("Does a wider spread go with a higher AUC?"));
    /// assert_eq!(spreads.rows.len(), 3);
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn spreads(&self) -> Result<Table> {
        let headers = ["evaluation mode", "median / largest", "standard deviation / largest", "AUC"];
        let mut table = Table::new("", &headers);
        let (mut medians, mut aucs) = (Vec::new(), Vec::new());
        for row in &self.rows {
            let Some(scores) = row.scores() else { continue };
            let spread = spread(&scores.values)?;
            let auc = row.auc().map(|auc| auc.value);
            if let Some(auc) = auc {
                medians.push(spread.median_share);
                aucs.push(auc);
            }
            table.push(vec![
                row.evaluation.to_string(),
                format!("{:.3}", spread.median_share),
                format!("{:.3}", spread.deviation_share),
                auc.map_or(String::new(), |auc| format!("{auc:.5}")),
            ]);
        }
        table.caption = match spearman_correlation(&medians, &aucs)? {
            correlation if correlation.is_finite() => {
                format!(
                    "Does a wider spread go with a higher AUC? Rank correlation of the medians with AUC {correlation:+.2}"
                )
            }
            _ => "How wide the scores spread".into(),
        };
        Ok(table)
    }

    /// The `k` test images with the largest score of one kind, in the upper row, and the `k` with the smallest, below.
    ///
    /// # Errors
    /// [`Error::Setting`] for a `k` outside 1..=9 or a score that the table does not have.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// let table = score_table(&model, &data, &[Reconstruction])?;
    /// let figure = table.extremes(Reconstruction, 4)?;
    /// assert!(figure.alt().contains("the 4 largest above, the 4 smallest below"));
    /// assert!(table.extremes(KMeans(3), 4).is_err());
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn extremes(&self, evaluation: Evaluation, k: usize) -> Result<Figure> {
        let scores = self.scores(&evaluation)?;
        let most = 9.min(self.images.len());
        if !(1..=most).contains(&k) {
            return Err(Error::setting("k", k.to_string(), format!("1..={most}"), "take 9, as the report does"));
        }
        let order = descending_order(&scores.values);
        let smallest_first = order.iter().rev().take(k);
        let captioned = |&index: &usize| {
            let class = self.images.class_of(index).map_or(String::new(), |name| format!("\n{name}"));
            let is_anomaly = self.images.anomalies().is_some_and(|anomalies| anomalies[index]);
            let caption = format!(
                "#{index}: {}{class}{}",
                number(scores.values[index]),
                if is_anomaly { "\nanomaly" } else { "" }
            );
            Ok(CaptionedImage { image: self.images.image(index)?, caption })
        };
        let images = order.iter().take(k).chain(smallest_first).map(captioned).collect::<Result<Vec<_>>>()?;
        let title = format!("{}: {evaluation}, the {k} largest above, the {k} smallest below", self.model);
        image_grid(&title, &images, k)
    }
}

/// ROC curves of all scores in a table, with their AUC: true positive rate against false positive rate, anomalies being
/// the positives.
///
/// # Errors
/// [`Error::Data`] without labels of both kinds.
///
/// # Source
/// Report, question 4; Fawcett, "An introduction to ROC analysis", 2006.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// let table = score_table(&model, &data, &[Reconstruction, Pca(2)])?;
/// assert!(roc(&table)?.alt().starts_with("small: ROC curves"));
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn roc(table: &ScoreTable) -> Result<Figure> {
    let series = |scores: &Scores| {
        let anomalies = scores.labels(MEASURING)?;
        let curve = roc_curve(&scores.values, anomalies)?;
        let name = format!("{}: {:.3}", scores.name, roc_auc(&scores.values, anomalies)?);
        Ok(Series { name, points: curve.false_positive_rate.into_iter().zip(curve.true_positive_rate).collect() })
    };
    curves(&Curves {
        title: format!("{}: ROC curves, with the area below", table.model),
        x_title: "false positive rate = 1 - specificity".into(),
        y_title: "true positive rate = sensitivity".into(),
        series: table.all_scores().map(series).collect::<Result<_>>()?,
        reference: Some(((0.0, 0.0), (1.0, 1.0))),
    })
}

/// Precision against recall for all scores in a table, with their average precision; the dashed line is guessing.
///
/// # Errors
/// [`Error::Data`] without labels of both kinds.
///
/// # Source
/// Davis and Goadrich, "The relationship between precision-recall and ROC curves", 2006.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// let table = score_table(&model, &data, &[Reconstruction, Pca(2)])?;
/// assert!(precision_recall(&table)?.alt().starts_with("small: precision and recall"));
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn precision_recall(table: &ScoreTable) -> Result<Figure> {
    let mut prevalence = 0.0;
    let series = |scores: &Scores| {
        let anomalies = scores.labels(MEASURING)?;
        prevalence = share_of(anomalies);
        let curve = precision_recall_curve(&scores.values, anomalies)?;
        let name = format!("{}: {:.3}", scores.name, average_precision(&scores.values, anomalies)?);
        Ok(Series { name, points: curve.recall.into_iter().zip(curve.precision).collect() })
    };
    let series = table.all_scores().map(series).collect::<Result<_>>()?;
    curves(&Curves {
        title: format!("{}: precision and recall, with the average precision", table.model),
        x_title: "recall = sensitivity".into(),
        y_title: "precision".into(),
        series,
        reference: Some(((0.0, prevalence), (1.0, prevalence))),
    })
}

/// The report writes that the ROC curve's horizontal axis is the specificity. Drawn both ways: against the false positive
/// rate, which is 1 - specificity, and against specificity itself, which is its mirror image.
///
/// # Errors
/// [`Error::Data`] without labels of both kinds.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// let figure = roc_axes(&model.score(data.test())?)?;
/// let curves = "curves: against false positive rate: the ROC curve; against specificity, as the report says";
/// assert!(figure.alt().ends_with(curves));
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn roc_axes(scores: &Scores) -> Result<Figure> {
    let curve = roc_curve(&scores.values, scores.labels(MEASURING)?)?;
    let against = |name: &str, x: &dyn Fn(f64) -> f64| Series {
        name: name.into(),
        points: curve.false_positive_rate.iter().map(|&rate| x(rate)).zip(curve.true_positive_rate.clone()).collect(),
    };
    curves(&Curves {
        title: format!("{}: sensitivity against two axes", scores.model),
        x_title: "false positive rate, or specificity".into(),
        y_title: "sensitivity".into(),
        series: vec![
            against("against false positive rate: the ROC curve", &|rate| rate),
            against("against specificity, as the report says", &|rate| 1.0 - rate),
        ],
        reference: Some(((0.0, 0.0), (1.0, 1.0))),
    })
}

/// The report's argument: models that look at no image and call all of them normal, or all of them anomalies, measured on
/// these labels by AUC and by F1 with either class as the positive one.
///
/// # Errors
/// [`Error::Data`] without labels of both kinds.
///
/// # Source
/// Report, question 4.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// let table = constant_models(data.test())?;
/// assert_eq!(table.rows[0], ["calls everything normal", "0.500", "0.800", "0.000", "0.667"]);
/// assert!(constant_models(open("scenes")?.test()).is_err(), "nothing is held out");
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn constant_models(images: &Images) -> Result<Table> {
    let anomalies = labels(MEASURING, images.anomalies())?;
    let mut table = Table::new(
        &format!("Models that look at nothing, on {:.0} % anomalies", 100.0 * share_of(anomalies)),
        &["model", "AUC", "F1, normal positive", "F1, anomaly positive", "accuracy"],
    );
    let scores = vec![0.0; anomalies.len()];
    for (name, threshold) in
        [("calls everything normal", f64::INFINITY), ("calls everything anomalous", f64::NEG_INFINITY)]
    {
        let count = |positive| confusion(&scores, anomalies, threshold, positive);
        let (normal, anomaly) = (count(Positive::Normal)?, count(Positive::Anomaly)?);
        table.push(vec![
            name.into(),
            format!("{:.3}", roc_auc(&scores, anomalies)?),
            format!("{:.3}", normal.f1()),
            format!("{:.3}", anomaly.f1()),
            format!("{:.3}", normal.accuracy()),
        ]);
    }
    Ok(table)
}

/// F1 against the share of images that are called anomalies, for several shares of true anomalies: the same scores, the
/// same AUC, and another F1 for every threshold and every prevalence.
///
/// # Errors
/// [`Error::Data`] without labels of both kinds.
///
/// # Source
/// Report, question 4. Rates come from the scores; the F1 that they give at another prevalence follows from Bayes' rule.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// let figure = f1_against_prevalence(&model.score(data.test())?, Positive::Normal)?;
/// assert!(figure.alt().contains("F1 with normal as the positive class"));
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn f1_against_prevalence(scores: &Scores, positive: Positive) -> Result<Figure> {
    let anomalies = scores.labels(MEASURING)?;
    let curve = roc_curve(&scores.values, anomalies)?;
    let series = PREVALENCES.map(|prevalence| {
        let rates = curve.true_positive_rate.iter().zip(&curve.false_positive_rate);
        let point = |(&sensitivity, &false_positive_rate): (&f64, &f64)| {
            let called = prevalence * sensitivity + (1.0 - prevalence) * false_positive_rate;
            (called, f1_at_prevalence(sensitivity, false_positive_rate, prevalence, positive))
        };
        Series { name: format!("{} % anomalies", 100.0 * prevalence), points: rates.map(point).collect() }
    });
    let positive = match positive {
        Positive::Anomaly => "anomaly",
        Positive::Normal => "normal",
    };
    line_chart(&LineChart {
        title: format!(
            "{}: F1 with {positive} as the positive class; AUC is {:.3} throughout",
            scores.model,
            roc_auc(&scores.values, anomalies)?
        ),
        x_title: "share of images called anomalies".into(),
        y_title: format!("F1, {positive} positive"),
        series: series.into(),
        marks: Vec::new(),
    })
}

impl Scores {
    /// What the scores say at several thresholds: one that calls as many images anomalies as there are, one above 95 %
    /// of the scores, the one with the best F1, and the two that call all images the same. Where equal scores keep a rule
    /// from calling as many as it says, it has the number that it calls.
    ///
    /// # Errors
    /// [`Error::Data`] without labels of both kinds.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// let table = model.score(data.test())?.threshold_table()?;
    /// let rules: Vec<&str> = table.rows.iter().map(|row| row[0].as_str()).collect();
    /// assert_eq!((rules[0], rules[2]), ("everything is normal", "the top 33 %, as many as there are"));
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn threshold_table(&self) -> Result<Table> {
        let anomalies = self.labels(MEASURING)?;
        let mut table = Table::new(
            &format!(
                "{}: {} at some thresholds; anomaly is the positive class but in the last column",
                self.model, self.name
            ),
            &["rule", "threshold", "sensitivity", "specificity", "precision", "F1", "F1, normal positive"],
        );
        let contamination = share_of(anomalies);
        let (n, n_anomalies) = (anomalies.len(), anomalies.iter().filter(|&&is_anomaly| is_anomaly).count());
        let n_above_quantile = n - (0.95 * (n - 1) as f64).ceil() as usize;
        // How many are called anomalies where no scores are equal.
        let rules = [
            ("everything is normal".to_string(), Threshold::Value(f64::INFINITY), None),
            ("the top 5 % are anomalies".into(), Threshold::Quantile(0.95), Some(n_above_quantile)),
            (
                format!("the top {:.0} %, as many as there are", 100.0 * contamination),
                Threshold::Contamination(contamination),
                Some(n_anomalies),
            ),
            ("best F1".into(), Threshold::BestF1, None),
            ("everything is an anomaly".into(), Threshold::Value(f64::NEG_INFINITY), None),
        ];
        for (rule, threshold, n_wanted) in rules {
            let threshold = threshold.choose(&self.values, Some(anomalies))?;
            let counts: Confusion = confusion(&self.values, anomalies, threshold, Positive::Anomaly)?;
            let f1_normal = confusion(&self.values, anomalies, threshold, Positive::Normal)?.f1();
            let shares = [counts.sensitivity(), counts.specificity(), counts.precision(), counts.f1(), f1_normal];
            let cells = shares.iter().map(|share| format!("{share:.3}"));
            let n_called = counts.true_positives + counts.false_positives;
            let rule = match n_wanted {
                Some(n_wanted) if n_called != n_wanted => {
                    format!("{rule} ({n_called} of {n}: equal scores are called together)")
                }
                _ => rule,
            };
            table.push([rule, format!("{threshold:.4}")].into_iter().chain(cells).collect());
        }
        Ok(table)
    }
}

fn share_of(anomalies: &[bool]) -> f64 {
    anomalies.iter().filter(|&&anomaly| anomaly).count() as f64 / anomalies.len() as f64
}
