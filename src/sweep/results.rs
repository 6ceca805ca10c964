//! The results of a sweep: what they hold, how they are opened, and what they say.

use super::earlier::OF_UNKNOWN_IMAGES;
use super::folder::{self, MOVE_AWAY, SweepFolder};
use super::{Item, Pair, SweepSettings};
use crate::Result;
use crate::files::expand_home;
use crate::run::read_versioned;
use crate::train::StoppedBecause;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// A change that older code would misread raises the number: from 2 on the settings say which images they are of, from 3 on
/// a row says its seed.
pub(super) const FORMAT_VERSION: u32 = 3;

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
    pub(super) format_version: u32,
    /// What was trained and measured for each pair.
    pub settings: SweepSettings,
    /// One for each pair and seed that is done, in the order in which they were asked for: all pairs with the first seed,
    /// then with the next.
    pub rows: Vec<SweepRow>,
    /// What was asked for and is not done.
    #[serde(skip)]
    pub missing: Vec<Item>,
    /// What a reader should know besides.
    #[serde(skip)]
    pub(super) notes: Vec<String>,
}

/// The results for one pair of held-out classes and one seed.
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
    /// The seed of the training.
    #[serde(default)]
    pub seed: u64,
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

impl SweepRow {
    pub(super) fn item(&self) -> Item {
        Item { held_out: self.held_out.clone(), seed: self.seed }
    }
}

impl Sweep {
    pub(super) fn new(settings: SweepSettings, rows: Vec<SweepRow>) -> Self {
        Self { format_version: FORMAT_VERSION, settings, rows, missing: Vec::new(), notes: Vec::new() }
    }

    /// Opens a sweep: its own folder, a folder in which it is the only one, or a results file as earlier versions wrote it.
    /// Of a folder it has the results that are there, whoever made them, and says what is [missing](Sweep::missing).
    ///
    /// # Errors
    /// [`crate::Error::File`] when it cannot be read, [`crate::Error::Format`] when a file is damaged, belongs to another
    /// sweep, or was written by a newer version, and [`crate::Error::Data`] when there is no sweep, or more than one.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// # let folder = tempfile::tempdir().unwrap();
    /// let pairs = data.class_pairs(1)?;
    /// let runs = folder.path().to_str().unwrap();
    /// let sweep = sweep(small, &data, Training::default().epochs(1), &pairs, &[Reconstruction], runs)?;
    /// assert_eq!(Sweep::open(runs)?, sweep);
    /// assert!(Sweep::open("no/such/file.json").is_err());
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = &expand_home(path.as_ref())?;
        if path.is_dir() {
            return SweepFolder::find(path)?.read_all();
        }
        let mut sweep = Self::read(path)?;
        if sweep.settings.fingerprint.is_none() {
            sweep.notes.push(OF_UNKNOWN_IMAGES.into());
        }
        Ok(sweep)
    }

    /// Whether [`Sweep::open`] is the way to open this: a file, or a folder that is a sweep's or holds one or more, and is no
    /// [`Run`](crate::run::Run)'s.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// # let folder = tempfile::tempdir().unwrap();
    /// let runs = folder.path();
    /// assert!(!Sweep::is_at(runs));
    /// sweep(small, &data, Training::default().epochs(1), &data.class_pairs(1)?, &[Reconstruction], runs)?;
    /// assert!(Sweep::is_at(runs));
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn is_at(path: impl AsRef<Path>) -> bool {
        expand_home(path.as_ref()).is_ok_and(|path| path.is_file() || folder::is_of_sweeps(&path))
    }

    /// A results file: of one training, or of all as earlier versions wrote it.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let mut sweep: Self = read_versioned(path, "a sweep's results", FORMAT_VERSION, MOVE_AWAY)?;
        if sweep.format_version < 3 {
            let seed = sweep.settings.training.seed;
            sweep.rows.iter_mut().for_each(|row| row.seed = seed);
        }
        Ok(sweep)
    }

    /// Name of the network.
    pub fn model(&self) -> &str {
        &self.settings.architecture.name
    }
}

impl fmt::Display for Sweep {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} on {}: {} pairs of held-out classes", self.model(), self.settings.data, self.pairs().len())?;
        if self.n_seeds() > 1 {
            write!(f, ", up to {} seeds each", self.n_seeds())?;
        }
        for evaluation in &self.settings.evaluations {
            if let Some(mean) = self.auc_mean(evaluation) {
                write!(f, "\n  {evaluation}: mean AUC {mean:.4}")?;
            }
        }
        if !self.missing.is_empty() {
            const MOST_SHOWN: usize = 8;
            let n_asked = self.rows.len() + self.missing.len();
            let shown = Vec::from_iter(self.missing.iter().take(MOST_SHOWN).map(Item::to_string));
            write!(f, "\n  {} of {n_asked} trainings are missing: {}", self.missing.len(), shown.join("; "))?;
            if self.missing.len() > MOST_SHOWN {
                write!(f, "; and {} more", self.missing.len() - MOST_SHOWN)?;
            }
        }
        for note in &self.notes {
            write!(f, "\n  {note}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_and_newer_results_are_called_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.json");
        std::fs::write(&path, "{\"format_version\": 4}").unwrap();
        assert!(Sweep::open(&path).unwrap_err().to_string().contains("format 4"));
        std::fs::write(&path, "{\"format_version\": 1, ").unwrap();
        assert!(Sweep::open(&path).unwrap_err().to_string().contains("damaged"));
    }
}
