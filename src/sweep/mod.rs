//! Sweeps: one network trained for each pair of held-out classes.
//!
//! The results of a pair are saved as soon as it is done, and a later call resumes with the pairs that are missing.

mod pairs;
mod report;
mod settings;

use pairs::{n_at_once, train_in_turn, train_side_by_side};
pub(crate) use report::compared_with_report;
pub use report::{REPORT_AUCS, nearest_to_report};
pub use settings::{Experiment, SweepSettings};

use crate::data::Split;
use crate::evaluation::Evaluation;
use crate::files::{Lock, expand_home, lock, make_folder};
use crate::run::{read_versioned, write_json};
use crate::train::{Progress, StoppedBecause};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;

/// A change that older code would misread raises the number: from 2 on the settings say which images they are of.
const FORMAT_VERSION: u32 = 2;

/// Two classes that training does not see.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// use diabolo::sweep::Pair;
/// let pairs: Vec<Pair> = data.class_pairs(3)?;
/// assert_eq!(pairs[0], ["dots", "rings"]);
/// # Ok::<(), diabolo::Error>(())
/// ```
pub type Pair = [String; 2];

/// The results of a sweep, complete or so far.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
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
    /// What a reader should know besides.
    #[serde(skip)]
    note: Option<String>,
}

/// The results for one pair of held-out classes.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
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
    /// Epoch and AUC of the kept weights' reconstruction errors, where [`Training::watch_every`](crate::train::Training) asks
    /// for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub auc_by_epoch: Vec<(usize, f64)>,
}

/// Progress of a sweep, reported after every training step.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// # let folder = tempfile::tempdir().unwrap();
/// let mut told = Vec::new();
/// use diabolo::sweep::{Experiment, run};
/// let experiment = Experiment::new(small, Training::default().epochs(1), &[Reconstruction]);
/// let pairs = data.class_pairs(2)?;
/// run(&experiment, &data, &pairs, folder.path(), |progress| {
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
/// The file's name follows from the experiment and from the images, so that another number of epochs, another size of the
/// images or another draw of test images is another file. Pairs that it holds already are not trained again. When
/// `observe` breaks or the user presses stop, the pairs done so far come back; the next call goes on with the others.
///
/// Results of versions that did not record which images they are of are neither used nor changed; the sweep says so, and
/// [`Sweep::open`] reads them.
///
/// # Errors
/// [`Error::Data`] when classes are not known, a pair cannot be held out, or the same sweep is at work; [`Error::File`] and
/// [`Error::Format`] for the results file; those of [`crate::train::fit`] and [`crate::evaluation::evaluate`].
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// use diabolo::sweep::{Experiment, run};
/// use std::ops::ControlFlow;
/// # let folder = tempfile::tempdir().unwrap();
/// # let runs = folder.path();
/// let experiment = Experiment::new(small, Training::default().epochs(1), &[Reconstruction]);
/// let pairs = data.class_pairs(3)?;
/// let sweep = run(&experiment, &data, &pairs, runs, |_| ControlFlow::Continue(()))?;
/// let found = run(&experiment, &data, &pairs, runs, |_| unreachable!("nothing is trained again"))?;
/// assert_eq!(found, sweep);
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn run(
    experiment: &Experiment,
    split: &Split,
    pairs: &[Pair],
    folder: impl AsRef<Path>,
    observe: impl FnMut(&SweepProgress) -> ControlFlow<()>,
) -> Result<Sweep> {
    let folder = &expand_home(folder.as_ref())?;
    let settings = SweepSettings::new(experiment, split)?;
    let path = settings.path(folder);
    let older = settings.without_identity().path(folder);
    make_folder(folder)?;
    let lock = lock(&path.with_extension("lock"))?;
    if let Lock::Busy = lock {
        let (doing, found) = (format!("writing {}", path.display()), "another sweep of these settings at work");
        return Err(Error::data(doing, found, "one at a time", "wait for it, or stop it"));
    }
    let mut sweep = Sweep::resume(settings, &path)?;
    if older.exists() {
        let older = older.display();
        sweep.note = Some(format!("{older} was not used: {OF_UNKNOWN_IMAGES}; Sweep::open shows it"));
    }
    let is_missing = |(_, held_out): &(usize, &Pair)| !sweep.rows.iter().any(|row| row.held_out == **held_out);
    let missing: Vec<(usize, &Pair)> = (1..).zip(pairs).filter(is_missing).collect();
    let settings = sweep.settings.clone();
    let save = |row| {
        sweep.rows.push(row);
        write_json(&path, &sweep)
    };
    match n_at_once(settings.training.device.choose()?.device) {
        1 => train_in_turn((&settings, split), &missing, pairs.len(), observe, save)?,
        n_at_once => train_side_by_side((&settings, split), &missing, n_at_once, pairs.len(), observe, save)?,
    }
    // Only what was asked for: the file may hold more.
    sweep.rows.retain(|row| pairs.contains(&row.held_out));
    Ok(sweep)
}

const OF_UNKNOWN_IMAGES: &str = "results of an earlier version, which do not say of which images they are";

impl Sweep {
    fn new(settings: SweepSettings, rows: Vec<SweepRow>) -> Self {
        Self { format_version: FORMAT_VERSION, settings, rows, note: None }
    }

    /// Opens a results file.
    ///
    /// # Errors
    /// [`Error::File`] when it cannot be read, [`Error::Format`] when it is damaged or was written by a newer version.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// # let folder = tempfile::tempdir().unwrap();
    /// let pairs = data.class_pairs(1)?;
    /// let runs = folder.path().to_str().unwrap();
    /// let sweep = sweep(small, &data, Training::default().epochs(1), &pairs, &[Reconstruction], runs)?;
    /// let mut files = folder.path().read_dir().unwrap().map(|entry| entry.unwrap().path());
    /// let file = files.find(|path| path.extension().is_some_and(|ending| ending == "json")).unwrap();
    /// assert_eq!(Sweep::open(file)?, sweep);
    /// assert!(Sweep::open("no/such/file.json").is_err());
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let mended_by = "delete it and run the sweep again";
        let mut sweep: Self = read_versioned(path.as_ref(), "a sweep's results", FORMAT_VERSION, mended_by)?;
        if sweep.settings.fingerprint.is_none() {
            sweep.note = Some(OF_UNKNOWN_IMAGES.into());
        }
        Ok(sweep)
    }

    /// The results in the file at `path`, or none yet.
    fn resume(settings: SweepSettings, path: &Path) -> Result<Self> {
        let found = match Self::open(path) {
            Err(Error::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::new(settings, Vec::new()));
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

    /// AUC of one evaluation, by pair.
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
        let key = evaluation.key();
        self.rows.iter().filter_map(move |row| Some((&row.held_out, (*row.auc.get(&key)?)?)))
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
}

impl fmt::Display for Sweep {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} on {}: {} pairs of held-out classes", self.model(), self.settings.data, self.rows.len())?;
        for evaluation in &self.settings.evaluations {
            if let Some(mean) = self.auc_mean(evaluation) {
                write!(f, "\n  {evaluation}: mean AUC {mean:.4}")?;
            }
        }
        if let Some(note) = &self.note {
            write!(f, "\n  {note}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Images;
    use crate::evaluation::FitOn;
    use crate::interrupt::stop_after_checks;
    use crate::model::Architecture;
    use crate::train::Training;
    use std::path::PathBuf;

    pub(super) fn sweep_of(model: &str, rows: &[(&str, &str, &str, f64)]) -> Sweep {
        let row = |&(first, second, key, auc): &(&str, &str, &str, f64)| SweepRow {
            held_out: [first.into(), second.into()],
            auc: [(key.to_string(), Some(auc)), ("pca_9".into(), None)].into(),
            loss_last: Some(0.1),
            stopped_because: StoppedBecause::Finished,
            seconds: 1.0,
            auc_by_epoch: Vec::new(),
        };
        let architecture = Architecture { name: model.into(), ..Architecture::fcn() };
        let experiment = Experiment::new(architecture, Training::default(), &[Evaluation::Reconstruction]);
        let settings = SweepSettings::new(&experiment, &crate::data::open("scenes").unwrap()).unwrap();
        Sweep::new(settings, rows.iter().map(row).collect())
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
        std::fs::write(&path, "{\"format_version\": 3}").unwrap();
        assert!(Sweep::open(&path).unwrap_err().to_string().contains("format 3"));
        std::fs::write(&path, "{\"format_version\": 1, ").unwrap();
        assert!(Sweep::open(&path).unwrap_err().to_string().contains("damaged"));
    }

    /// 48 grey images in three classes.
    fn drawn() -> Split {
        let draw = |(n, _, y, x): (usize, usize, usize, usize)| ([40 * (x % 2), 4 * y * x, 25 * y][n % 3] + n) as u8;
        let images = Images::from_bytes(ndarray::Array4::from_shape_fn((48, 1, 8, 8), draw)).unwrap();
        let images = images.with_classes(&["dots", "rings", "waves"], (0..48).map(|n| n % 3).collect()).unwrap();
        Split::new("drawn", images.clone(), images).unwrap()
    }

    fn files(folder: &Path) -> Vec<PathBuf> {
        let paths = folder.read_dir().unwrap().map(|entry| entry.unwrap().path());
        let mut found: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
        found.sort();
        found
    }

    fn small() -> Experiment {
        let architecture = Architecture::parse("Linear(64, 4)", "Linear(4, 64) / Tanh()").unwrap();
        Experiment::new(
            architecture.named("small"),
            Training::default().epochs(2),
            &[Evaluation::Reconstruction, Evaluation::Pca(9), Evaluation::KMeans(2)],
        )
    }

    #[test]
    fn results_that_do_not_say_of_which_images_stay_readable_and_are_not_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        let (experiment, split) = (small(), drawn());
        let settings = SweepSettings::new(&experiment, &split).unwrap().without_identity();
        let held_out: Pair = ["dots".into(), "waves".into()];
        let row = sweep_of("fcn", &[("dots", "waves", "reconstruction", 0.9)]).rows;
        let older = Sweep { format_version: 1, ..Sweep::new(settings.clone(), row) };
        let path = settings.path(folder.path());
        write_json(&path, &older).unwrap();
        assert!(!std::fs::read_to_string(&path).unwrap().contains("fingerprint"), "as the version before wrote it");

        let opened = Sweep::open(&path).unwrap();
        assert_eq!(opened.rows, older.rows);
        assert!(opened.to_string().contains("do not say of which images they are"), "{opened}");
        let sweep = run(&experiment, &split, &[held_out], folder.path(), |_| ControlFlow::Continue(())).unwrap();
        assert_ne!(sweep.rows, older.rows);
        assert!(sweep.to_string().contains(&format!("{} was not used", path.display())), "{sweep}");
        assert_eq!(Sweep::open(&path).unwrap(), opened, "and stays as it was");
    }

    #[test]
    fn a_stop_at_any_point_leaves_whole_rows() {
        let pairs = drawn().class_pairs(2).unwrap();
        let sweep = |folder: &Path| run(&small(), &drawn(), &pairs, folder, |_| ControlFlow::Continue(())).unwrap();
        let aucs =
            |sweep: &Sweep| sweep.rows.iter().map(|row| (row.held_out.clone(), row.auc.clone())).collect::<Vec<_>>();
        let stopped_after = |n_checks: u32| {
            let folder = tempfile::tempdir().unwrap();
            stop_after_checks(Some(n_checks));
            let stopped = aucs(&sweep(folder.path()));
            let n_left = stop_after_checks(None).unwrap();
            let kept = files(folder.path()).first().map_or(Vec::new(), |path| aucs(&Sweep::open(path).unwrap()));
            assert_eq!(kept, stopped, "stopped at the check {n_checks}");
            (folder, stopped, n_left)
        };
        let (_folder, whole, n_left) = stopped_after(u32::MAX);
        let n_checks = u32::MAX - n_left;
        assert_eq!(whole.len(), 2);
        assert!(n_checks < 1000, "{n_checks}: rows show no interval, and a bootstrap alone asks a thousand times");
        assert!(whole.iter().all(|(_, auc)| auc["kmeans_2"].is_some() && auc["pca_9"].is_none()));
        // The last checks one by one, and some from all over the sweep.
        let points = (0..n_checks).filter(|check| check % (n_checks / 20).max(1) == 0 || check + 5 >= n_checks);
        for point in points {
            let (folder, stopped, _) = stopped_after(point);
            assert!(
                stopped.len() < 2 && stopped == whole[..stopped.len()],
                "stopped at the check {point}: {stopped:?}"
            );
            assert_eq!(aucs(&sweep(folder.path())), whole, "gone on after a stop at the check {point}");
        }
    }
}
