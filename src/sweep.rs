//! Sweeps: one network trained for each pair of held-out classes.
//!
//! The results of a pair are saved as soon as it is done, and a later call resumes with the pairs that are missing.

use crate::data::Split;
use crate::evaluation::{Evaluation, FitOn, ScoreTable, evaluate};
use crate::files::{Lock, expand_home, fingerprint, lock, make_folder};
use crate::model::Architecture;
use crate::run::{read_versioned, write_json};
use crate::train::{Progress, StoppedBecause, Training, fit};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// A change that older code would misread raises the number.
const FORMAT_VERSION: u32 = 1;

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

/// Two classes that training does not see.
///
/// # Example
/// ```
#[doc = include_str!("example.txt")]
/// use diabolo::sweep::Pair;
/// let pairs: Vec<Pair> = data.class_pairs(3)?;
/// assert_eq!(pairs[0], ["dots", "rings"]);
/// # Ok::<(), diabolo::Error>(())
/// ```
pub type Pair = [String; 2];

/// The settings of a sweep: what is trained and measured for each pair.
///
/// # Example
/// ```
#[doc = include_str!("example.txt")]
/// # let folder = tempfile::tempdir().unwrap();
/// # let runs = folder.path().to_str().unwrap();
/// let sweep = sweep(small, &data, Training::default().epochs(1), &data.class_pairs(1)?, &[Reconstruction], runs)?;
/// let settings = &sweep.settings;
/// assert_eq!((settings.n_train, settings.n_test), (48, 48), "images of all classes");
/// assert_eq!(settings.classes, ["dots", "rings", "waves"]);
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepSettings {
    /// Name of the data.
    pub data: String,
    /// Training images of all classes.
    pub n_train: usize,
    /// Test images.
    pub n_test: usize,
    /// All classes.
    pub classes: Vec<String>,
    /// The network.
    pub architecture: Architecture,
    /// Its training.
    pub training: Training,
    /// The ways in which test images are scored.
    pub evaluations: Vec<Evaluation>,
    /// Which codes distances are fitted to.
    pub fit_on: FitOn,
}

/// The results of a sweep, complete or so far.
///
/// # Example
/// ```
#[doc = include_str!("example.txt")]
/// # let folder = tempfile::tempdir().unwrap();
/// # let runs = folder.path().to_str().unwrap();
/// let pairs = data.class_pairs(3)?;
/// let sweep = sweep(small, &data, Training::default().epochs(1), &pairs, &[Reconstruction, Pca(2)], runs)?;
/// println!("{sweep}");
/// assert_eq!((sweep.model(), sweep.rows.len()), ("small", 3));
/// assert_eq!(sweep.aucs(&Pca(2)).count(), 3);
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    format_version: u32,
    /// What was trained and measured for each pair.
    pub settings: SweepSettings,
    /// One for each pair that is done, in the order in which they were done.
    pub rows: Vec<SweepRow>,
}

/// The results for one pair of held-out classes.
///
/// # Example
/// ```
#[doc = include_str!("example.txt")]
/// # let folder = tempfile::tempdir().unwrap();
/// # let runs = folder.path().to_str().unwrap();
/// let pairs = [["dots".to_string(), "waves".to_string()]];
/// let sweep = sweep(small, &data, Training::default().epochs(1), &pairs, &[Reconstruction], runs)?;
/// let row = &sweep.rows[0];
/// assert_eq!(row.held_out, pairs[0]);
/// assert!(row.auc["reconstruction"].is_some() && row.loss_last > Some(0.0));
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepRow {
    /// The classes that training did not see.
    pub held_out: Pair,
    /// AUC for each evaluation's key, as in "kmeans_3"; `None` where the codes do not allow that evaluation.
    pub auc: BTreeMap<String, Option<f64>>,
    /// Mean loss of the last epoch; `None` where none was finished.
    pub loss_last: Option<f64>,
    /// Why training ended.
    pub stopped_because: StoppedBecause,
    /// Wall time of the training in seconds.
    pub seconds: f64,
}

/// Progress of a sweep, reported after every training step.
///
/// # Example
/// ```
#[doc = include_str!("example.txt")]
/// # let folder = tempfile::tempdir().unwrap();
/// let mut told = Vec::new();
/// let (settings, pairs) = (Training::default().epochs(1), data.class_pairs(2)?);
/// diabolo::sweep::run(small, &data, settings, &pairs, &[Reconstruction], folder.path(), |progress| {
///     told.push((progress.number, progress.n_pairs, progress.held_out.clone()));
///     std::ops::ControlFlow::Continue(())
/// })?;
/// assert_eq!(told, [(1, 2, pairs[0].clone()), (2, 2, pairs[1].clone())], "one step for each");
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct SweepProgress {
    /// The pair under way, from 1.
    pub number: usize,
    /// Pairs asked for.
    pub n_pairs: usize,
    /// The classes that this training does not see.
    pub held_out: Pair,
    /// Progress of the training.
    pub training: Progress,
}

/// Trains and scores one network for each pair, and keeps the results in a file in `folder`.
///
/// The file's name follows from the settings, so that another number of epochs is another file. Pairs that it holds
/// already are not trained again. When `observe` breaks or the user presses stop, the pairs done so far come back; the
/// next call goes on with the others.
///
/// # Errors
/// [`Error::Data`] when classes are not known, a pair cannot be held out, or the same sweep is at work; [`Error::File`] and [`Error::Format`] for the
/// results file; those of [`fit`] and [`evaluate`].
///
/// # Example
/// ```
#[doc = include_str!("example.txt")]
/// use diabolo::sweep::run;
/// use std::ops::ControlFlow;
/// # let folder = tempfile::tempdir().unwrap();
/// # let runs = folder.path();
/// let (settings, pairs, by) = (Training::default().epochs(1), data.class_pairs(3)?, [Reconstruction]);
/// let sweep = run(small.clone(), &data, settings.clone(), &pairs, &by, runs, |_| ControlFlow::Continue(()))?;
/// let found = run(small, &data, settings, &pairs, &by, runs, |_| unreachable!("nothing is trained again"))?;
/// assert_eq!(found, sweep);
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn run(
    architecture: Architecture,
    split: &Split,
    training: Training,
    pairs: &[Pair],
    evaluations: &[Evaluation],
    folder: &Path,
    mut observe: impl FnMut(&SweepProgress) -> ControlFlow<()>,
) -> Result<Sweep> {
    // Distances fitted as the report fitted them, so that AUCs can be compared with its own.
    let settings = SweepSettings::new(architecture, split, training, evaluations.to_vec(), FitOn::Test);
    let folder = &expand_home(folder)?;
    let path = settings.path(folder);
    make_folder(folder)?;
    let lock = lock(&path.with_extension("lock"))?;
    if let Lock::Busy = lock {
        let (doing, found) = (format!("writing {}", path.display()), "another sweep of these settings at work");
        return Err(Error::data(doing, found, "one at a time", "wait for it, or stop it"));
    }
    let mut sweep = Sweep::resume(settings, &path)?;
    for (number, held_out) in (1..).zip(pairs) {
        if sweep.rows.iter().any(|row| row.held_out == *held_out) {
            continue;
        }
        let tell = |training: &Progress| {
            let (n_pairs, training) = (pairs.len(), training.clone());
            observe(&SweepProgress { number, n_pairs, held_out: held_out.clone(), training })
        };
        match sweep.settings.row(split, held_out, tell) {
            Ok(Some(row)) => sweep.rows.push(row),
            Ok(None) | Err(Error::Interrupted { .. }) => break,
            Err(error) => return Err(error),
        }
        write_json(&path, &sweep)?;
    }
    // Only what was asked for: the file may hold more.
    sweep.rows.retain(|row| pairs.contains(&row.held_out));
    Ok(sweep)
}

impl SweepSettings {
    fn new(
        architecture: Architecture,
        split: &Split,
        training: Training,
        evaluations: Vec<Evaluation>,
        fit_on: FitOn,
    ) -> Self {
        let (all, n_test) = (split.train_of_all_classes(), split.test().len());
        let classes = all.class_names().unwrap_or_default().to_vec();
        Self {
            data: split.name().into(),
            n_train: all.len(),
            n_test,
            classes,
            architecture,
            training,
            evaluations,
            fit_on,
        }
    }

    /// Trains and scores for one pair; `None` when training was interrupted.
    fn row(
        &self,
        split: &Split,
        held_out: &Pair,
        observe: impl FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<Option<SweepRow>> {
        let split = split.hold_out(&held_out.each_ref().map(String::as_str))?;
        let model = fit(self.architecture.clone(), &split, self.training.clone(), observe)?;
        if model.history().stopped_because == StoppedBecause::Interrupted {
            return Ok(None);
        }
        let table = evaluate(&model, &split, &self.evaluations, self.fit_on)?;
        Ok(Some(SweepRow {
            held_out: held_out.clone(),
            auc: aucs(&table),
            loss_last: model.history().loss_last(),
            stopped_because: model.history().stopped_because.clone(),
            seconds: model.history().seconds,
        }))
    }

    /// The results file of these settings.
    fn path(&self, folder: &Path) -> PathBuf {
        let json = serde_json::to_string(self).expect("plain values are JSON");
        let hash = fingerprint(json.bytes());
        // Names are the user's: none leads to another folder.
        let plain = |name: &str| name.replace(|c: char| !c.is_alphanumeric() && c != '_' && c != '.', "-");
        let (model, data) = (plain(&self.architecture.name), plain(&self.data));
        folder.join(format!("sweep-{model}-{data}-{:08x}.json", hash >> 32))
    }
}

fn aucs(table: &ScoreTable) -> BTreeMap<String, Option<f64>> {
    table.rows.iter().map(|row| (row.evaluation.key(), row.auc().map(|auc| auc.value))).collect()
}

impl Sweep {
    /// Opens a results file.
    ///
    /// # Errors
    /// [`Error::File`] when it cannot be read, [`Error::Format`] when it is damaged or was written by a newer version.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("example.txt")]
    /// # let folder = tempfile::tempdir().unwrap();
    /// let pairs = data.class_pairs(1)?;
    /// let runs = folder.path().to_str().unwrap();
    /// let sweep = sweep(small, &data, Training::default().epochs(1), &pairs, &[Reconstruction], runs)?;
    /// let file = folder.path().read_dir().unwrap().next().unwrap().unwrap().path();
    /// assert_eq!(Sweep::open(file)?, sweep);
    /// assert!(Sweep::open("no/such/file.json").is_err());
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        read_versioned(path.as_ref(), "a sweep's results", FORMAT_VERSION, "delete it and run the sweep again")
    }

    /// The results in the file at `path`, or none yet.
    fn resume(settings: SweepSettings, path: &Path) -> Result<Self> {
        let found = match Self::open(path) {
            Err(Error::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self { format_version: FORMAT_VERSION, settings, rows: Vec::new() });
            }
            found => found?,
        };
        match found.settings == settings {
            true => Ok(found),
            false => Err(Error::format(path, "results of other settings", "those asked for", "move the file away")),
        }
    }

    /// Name of the network.
    pub fn model(&self) -> &str {
        &self.settings.architecture.name
    }

    /// The `n` pairs whose AUCs are nearest to the report's.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("example.txt")]
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

    /// AUC of one evaluation, by pair.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("example.txt")]
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
        let key = evaluation.key();
        self.rows.iter().filter_map(move |row| Some((&row.held_out, (*row.auc.get(&key)?)?)))
    }

    /// Mean AUC of one evaluation over the pairs; `None` where no pair has one.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("example.txt")]
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
}

/// The pairs of some sweeps, nearest to the report's AUCs first, each with the root of the mean squared difference from
/// those of [`REPORT_AUCS`] that the sweeps have for it.
///
/// # Example
/// ```
#[doc = include_str!("example.txt")]
/// # let folder = tempfile::tempdir().unwrap();
/// # let runs = folder.path().to_str().unwrap();
/// let (named, pairs) = (small.named("fcn"), data.class_pairs(3)?);
/// let sweep = sweep(named, &data, Training::default().epochs(1), &pairs, &[Reconstruction], runs)?;
/// let nearest = diabolo::sweep::nearest_to_report(&[&sweep]);
/// assert!(nearest.len() == 3 && nearest[0].1 <= nearest[2].1);
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn nearest_to_report(sweeps: &[&Sweep]) -> Vec<(Pair, f64)> {
    let mut differences: BTreeMap<Pair, Vec<f64>> = BTreeMap::new();
    for sweep in sweeps {
        for row in &sweep.rows {
            for (_, key, reported) in REPORT_AUCS.iter().filter(|(model, ..)| *model == sweep.model()) {
                if let Some(Some(auc)) = row.auc.get(*key) {
                    differences.entry(row.held_out.clone()).or_default().push(auc - reported);
                }
            }
        }
    }
    let root_mean_square = |values: &[f64]| (values.iter().map(|v| v * v).sum::<f64>() / values.len() as f64).sqrt();
    let mut pairs: Vec<_> = differences.into_iter().map(|(pair, values)| (pair, root_mean_square(&values))).collect();
    pairs.sort_by(|a, b| a.1.total_cmp(&b.1));
    pairs
}

impl fmt::Display for Sweep {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} on {}: {} pairs of held-out classes", self.model(), self.settings.data, self.rows.len())?;
        for evaluation in &self.settings.evaluations {
            if let Some(mean) = self.auc_mean(evaluation) {
                write!(f, "\n  {evaluation}: mean AUC {mean:.4}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sweep_of(model: &str, rows: &[(&str, &str, &str, f64)]) -> Sweep {
        let row = |&(first, second, key, auc): &(&str, &str, &str, f64)| SweepRow {
            held_out: [first.into(), second.into()],
            auc: [(key.to_string(), Some(auc)), ("pca_9".into(), None)].into(),
            loss_last: Some(0.1),
            stopped_because: StoppedBecause::Finished,
            seconds: 1.0,
        };
        let architecture = Architecture { name: model.into(), ..Architecture::fcn() };
        let split = crate::data::open("scenes").unwrap();
        let settings = SweepSettings::new(
            architecture,
            &split,
            Training::default(),
            vec![Evaluation::Reconstruction],
            FitOn::Test,
        );
        Sweep { format_version: FORMAT_VERSION, settings, rows: rows.iter().map(row).collect() }
    }

    #[test]
    fn the_pair_nearest_to_the_report_is_first() {
        let fcn = sweep_of("fcn", &[("a", "b", "reconstruction", 0.4), ("a", "c", "reconstruction", 0.59)]);
        let cnn = sweep_of("report_cnn", &[("a", "c", "kmeans_3", 0.56195 + 0.03)]);
        let nearest = nearest_to_report(&[&fcn, &cnn]);
        assert_eq!(nearest[0].0, ["a", "c"]);
        let expected = ((0.00329f64.powi(2) + 0.03f64.powi(2)) / 2.0).sqrt();
        assert!((nearest[0].1 - expected).abs() < 1e-12, "{nearest:?}");
    }

    #[test]
    fn a_null_does_not_count_in_a_mean() {
        let sweep = sweep_of("fcn", &[("a", "b", "reconstruction", 0.4), ("a", "c", "reconstruction", 0.6)]);
        assert_eq!(sweep.auc_mean(&Evaluation::Reconstruction), Some(0.5));
        assert_eq!(sweep.auc_mean(&Evaluation::Pca(9)), None);
    }

    #[test]
    fn other_settings_are_another_file() {
        let settings = sweep_of("fcn", &[]).settings;
        let longer = SweepSettings { training: Training::default().epochs(99), ..settings.clone() };
        let folder = Path::new("runs");
        assert_ne!(settings.path(folder), longer.path(folder));
        assert_eq!(settings.path(folder), settings.clone().path(folder));
        let outside = SweepSettings { data: "../../elsewhere".into(), ..settings };
        assert_eq!(outside.path(folder).parent(), Some(folder));
    }

    #[test]
    fn results_of_other_settings_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let sweep = sweep_of("fcn", &[("a", "b", "reconstruction", 0.4)]);
        let path = folder.path().join("results.json");
        write_json(&path, &sweep).unwrap();
        assert_eq!(Sweep::resume(sweep.settings.clone(), &path).unwrap(), sweep);
        let other = SweepSettings { fit_on: FitOn::Train, ..sweep.settings };
        assert!(Sweep::resume(other, &path).unwrap_err().to_string().contains("results of other settings"));
        std::fs::write(&path, "{\"format_version\": 2}").unwrap();
        assert!(Sweep::open(&path).unwrap_err().to_string().contains("format 2"));
        std::fs::write(&path, "{\"format_version\": 1, ").unwrap();
        assert!(Sweep::open(&path).unwrap_err().to_string().contains("damaged"));
    }
}
