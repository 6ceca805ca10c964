//! The folder of a sweep: a file for each training that is done, written whole, so that any number of processes and machines
//! may work in it.
//!
//! ```text
//! plan.json                        what has been asked for, whoever does it
//! 3-5-cat-dog-seed-0.json          the results of one training
//! 3-5-cat-dog-seed-1.json.lock     held while that training is at work
//! ```

use super::{FORMAT_VERSION, Item, Sweep, SweepRow, SweepSettings};
use crate::files::{Lock, list_folder, lock, make_folder, unlock_and_remove};
use crate::run::{read_versioned, write_json};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

const PLAN: &str = "plan.json";

/// What a sweep is of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plan {
    format_version: u32,
    settings: SweepSettings,
    /// Every training that was ever asked for.
    items: Vec<Item>,
}

/// A sweep's folder.
pub(super) struct SweepFolder {
    path: PathBuf,
    plan: Plan,
}

/// One training that no other process begins meanwhile.
pub(super) struct Claim {
    lock: Lock,
    path: PathBuf,
}

impl SweepFolder {
    /// The folder of a sweep in `within`, made where it is missing; `items` are added to what was asked for before.
    pub(super) fn begin(within: &Path, settings: SweepSettings, items: &[Item]) -> Result<Self> {
        let path = settings.folder(within);
        let mut plan = match Self::open(&path) {
            Ok(folder) => folder.plan,
            Err(error) if is_not_there(&error) => {
                Plan { format_version: FORMAT_VERSION, settings: settings.clone(), items: Vec::new() }
            }
            Err(error) => return Err(error),
        };
        check_same(&path.join(PLAN), &plan.settings, &settings)?;
        let added = Vec::from_iter(items.iter().filter(|item| !plan.items.contains(item)).cloned());
        if !added.is_empty() {
            plan.items.extend(added);
            make_folder(&path)?;
            // The parts of a sweep all write the same. Two calls with different items at one moment may lose some of them
            // here, so that they are not called missing; nothing else depends on them.
            write_json(&path.join(PLAN), &plan)?;
        }
        Ok(Self { path, plan: Plan { settings, ..plan } })
    }

    pub(super) fn open(path: &Path) -> Result<Self> {
        let plan =
            read_versioned(&path.join(PLAN), "a sweep's plan", FORMAT_VERSION, "run the sweep in another folder")?;
        Ok(Self { path: path.into(), plan })
    }

    /// The only sweep in a folder, or the folder itself if it is one.
    pub(super) fn find(path: &Path) -> Result<Self> {
        if path.join(PLAN).exists() {
            return Self::open(path);
        }
        let mut found = folders_within(path)?;
        match (found.pop(), found.len()) {
            (Some(only), 0) => Self::open(&only),
            (last, _) => {
                let names =
                    found.iter().chain(&last).map(|path| path.file_name().unwrap_or_default().display().to_string());
                let found = match &last {
                    Some(_) => format!("{} sweeps ({})", found.len() + 1, Vec::from_iter(names).join(", ")),
                    None => "no sweep".into(),
                };
                let doing = format!("opening the sweep in {}", path.display());
                Err(Error::data(doing, found, "one", "give the path of a sweep's folder, or of a results file"))
            }
        }
    }

    /// Refuses a part of a sweep beside another sweep of the same network and data, since parts are run on machines that
    /// nobody watches: most likely the settings were changed between them.
    pub(super) fn check_parts_are_alone(within: &Path, settings: &SweepSettings) -> Result<()> {
        let start = settings.start_of_name();
        let is_of_these = |path: &&PathBuf| path.file_name().unwrap_or_default().to_string_lossy().starts_with(&start);
        for path in folders_within(within).unwrap_or_default().iter().filter(is_of_these) {
            let other = Self::open(path)?.plan.settings;
            if let Some(difference) = other.difference(settings) {
                return Err(Error::data(
                    format!("running a part of a sweep in {}", within.display()),
                    format!("the sweep {} with other settings: {difference}", path.display()),
                    "the same settings for all parts in one folder",
                    "give all parts the same file, or name another folder in it",
                ));
            }
        }
        Ok(())
    }

    fn item_path(&self, item: &Item) -> PathBuf {
        self.path.join(self.plan.settings.item_file_name(item))
    }

    /// Whether a training is done.
    pub(super) fn has(&self, item: &Item) -> bool {
        self.item_path(item).exists()
    }

    /// Takes a training, unless it is done or another process is at work on it.
    pub(super) fn claim(&self, item: &Item) -> Result<Option<Claim>> {
        let path = self.item_path(item).with_added_extension("lock");
        let claim = match lock(&path)? {
            Lock::Busy => return Ok(None),
            // Without locks two processes may train the same, and the file in the end is one of theirs, whole.
            lock => Claim { lock, path },
        };
        // Whoever had it until now may just have done it.
        match self.has(item) {
            true => {
                claim.end();
                Ok(None)
            }
            false => Ok(Some(claim)),
        }
    }

    /// Writes the results of one training.
    pub(super) fn save(&self, row: SweepRow) -> Result<()> {
        let path = self.item_path(&row.item());
        let settings = self.plan.settings.with_seed(row.seed);
        write_json(&path, &Sweep::new(settings, vec![row]))
    }

    /// The results of these trainings, as far as they are there.
    pub(super) fn read(&self, items: &[Item]) -> Result<Sweep> {
        let (mut rows, mut missing) = (Vec::new(), Vec::new());
        for item in items {
            match self.read_item(&self.item_path(item)) {
                Ok(row) => rows.push(row),
                Err(error) if is_not_there(&error) => missing.push(item.clone()),
                Err(error) => return Err(error),
            }
        }
        Ok(Sweep { missing, ..Sweep::new(self.plan.settings.clone(), rows) })
    }

    /// All that is there, and what of the plan is missing.
    pub(super) fn read_all(&self) -> Result<Sweep> {
        let mut sweep = self.read(&self.plan.items)?;
        let is_results = |path: &PathBuf| {
            path.extension().is_some_and(|ending| ending == "json") && path.file_name().is_some_and(|name| name != PLAN)
        };
        let planned = Vec::from_iter(self.plan.items.iter().map(|item| self.item_path(item)));
        for path in list_folder(&self.path)?.into_iter().filter(is_results).filter(|path| !planned.contains(path)) {
            sweep.rows.push(self.read_item(&path)?);
        }
        Ok(sweep)
    }

    fn read_item(&self, path: &Path) -> Result<SweepRow> {
        let mut found = Sweep::read(path)?;
        check_same(path, &found.settings, &self.plan.settings)?;
        match (found.rows.pop(), found.rows.len()) {
            (Some(row), 0) if self.item_path(&row.item()) == path => Ok(row),
            (last, n_others) => {
                let found = last
                    .filter(|_| n_others == 0)
                    .map_or("results of other than one training".into(), |row| format!("results of {}", row.item()));
                Err(Error::format(path, found, "those of the training that it is named after", MOVE_AWAY))
            }
        }
    }
}

impl Claim {
    /// Gives the training back, when its results are there.
    pub(super) fn end(self) {
        unlock_and_remove(self.lock, &self.path);
    }
}

pub(super) const MOVE_AWAY: &str = "move it away and run the sweep again";

/// Whether a folder is a sweep's, or has some in it; a run's folder is neither.
pub(super) fn is_of_sweeps(path: &Path) -> bool {
    path.join(PLAN).exists() || folders_within(path).is_ok_and(|found| !found.is_empty())
}

fn folders_within(path: &Path) -> Result<Vec<PathBuf>> {
    Ok(list_folder(path)?.into_iter().filter(|path| path.join(PLAN).exists()).collect())
}

fn check_same(path: &Path, found: &SweepSettings, wanted: &SweepSettings) -> Result<()> {
    match found.difference(wanted) {
        None => Ok(()),
        Some(difference) => {
            let found = format!("results of other settings: {difference}");
            Err(Error::format(path, found, "those of the sweep in this folder", MOVE_AWAY))
        }
    }
}

pub(super) fn is_not_there(error: &Error) -> bool {
    matches!(error, Error::File { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
}
