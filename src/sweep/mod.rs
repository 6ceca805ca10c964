//! Sweeps: one network trained for each pair of held-out classes, with one seed or with several.
//!
//! Every training has a results file of its own, so that a later call resumes with those that are missing, and any number of
//! processes and machines may do one sweep together.

mod earlier;
mod folder;
mod over_seeds;
mod part;
mod report;
mod results;
mod settings;
mod trainings;

use earlier::adopt_earlier_versions;
use folder::SweepFolder;
pub use part::Part;
pub(crate) use report::compared_with_report;
pub use report::{REPORT_AUCS, nearest_to_report};
use results::FORMAT_VERSION;
pub use results::{Sweep, SweepRow};
pub use settings::{Experiment, SweepSettings};
use trainings::{Tell, n_at_once, train_in_turn, train_side_by_side};

use crate::Result;
use crate::data::Split;
use crate::files::{expand_home, make_folder};
use crate::train::Progress;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

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

/// One training of a sweep.
///
/// # Example
/// ```
/// use diabolo::sweep::Item;
/// let item = Item { held_out: ["cat".into(), "dog".into()], seed: 7 };
/// assert_eq!(item.to_string(), "cat, dog with seed 7");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// The classes that this training does not see.
    pub held_out: Pair,
    /// Its seed.
    pub seed: u64,
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
///     told.push((progress.number, progress.n_trainings, progress.held_out.clone()));
///     std::ops::ControlFlow::Continue(())
/// })?;
/// assert_eq!(told, [(1, 2, pairs[0].clone()), (2, 2, pairs[1].clone())], "one step for each");
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct SweepProgress {
    /// The training under way, from 1.
    pub number: usize,
    /// Trainings asked for: one for each pair and seed.
    pub n_trainings: usize,
    /// The classes that this training does not see.
    pub held_out: Pair,
    /// Its seed.
    pub seed: u64,
    /// Progress of the training.
    pub training: Progress,
}

/// Trains and scores one network for each pair with each seed, and keeps the results in a folder in `folder`, a file for
/// each training.
///
/// The folder's name follows from the experiment and from the images, so that another number of epochs, another size of the
/// images or another draw of test images is another folder; other pairs and other seeds are not. What is there already is
/// not trained again, and a training that another process is at work on is left to it. When `observe` breaks or the user
/// presses stop, what is done so far comes back; the next call goes on with the rest.
///
/// The results file of the version before is read, and its rows get files of their own. Results of versions that did not
/// record which images they are of are neither used nor changed; the sweep says so, and [`Sweep::open`] reads them.
///
/// # Errors
/// [`crate::Error::Data`] when classes are not known or a pair cannot be held out; [`crate::Error::Setting`] without a
/// seed; [`crate::Error::File`] and [`crate::Error::Format`] for the results files; those of [`crate::train::fit`] and
/// [`crate::evaluation::evaluate`].
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// use diabolo::sweep::{Experiment, run};
/// use std::ops::ControlFlow;
/// # let folder = tempfile::tempdir().unwrap();
/// # let runs = folder.path();
/// let experiment = Experiment::new(small, Training::default().epochs(1), &[Reconstruction]).seeds(&[0, 1]);
/// let pairs = data.class_pairs(3)?;
/// let sweep = run(&experiment, &data, &pairs, runs, |_| ControlFlow::Continue(()))?;
/// assert_eq!(sweep.rows.len(), 6, "three pairs with two seeds");
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
    run_part(experiment, split, pairs, Part::WHOLE, folder, observe)
}

/// The same for a part of the trainings, and with the results of that part. All parts of a sweep may run at the same time, on
/// any machines that share `folder`; [`Sweep::open`] reads what all of them have done.
///
/// # Errors
/// As [`run`]; [`crate::Error::Data`] when `folder` holds a sweep of the same network and data with other settings, since
/// parts in one folder are to be parts of one sweep.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// use diabolo::sweep::{Experiment, Part, run_part};
/// use std::ops::ControlFlow;
/// # let folder = tempfile::tempdir().unwrap();
/// # let runs = folder.path();
/// let experiment = Experiment::new(small, Training::default().epochs(1), &[Reconstruction]);
/// let pairs = data.class_pairs(3)?;
/// let first = run_part(&experiment, &data, &pairs, Part::new(1, 2)?, runs, |_| ControlFlow::Continue(()))?;
/// assert_eq!((first.rows.len(), Sweep::open(runs)?.missing.len()), (2, 1));
/// run_part(&experiment, &data, &pairs, Part::new(2, 2)?, runs, |_| ControlFlow::Continue(()))?;
/// assert_eq!(Sweep::open(runs)?.rows.len(), 3);
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn run_part(
    experiment: &Experiment,
    split: &Split,
    pairs: &[Pair],
    part: Part,
    folder: impl AsRef<Path>,
    observe: impl FnMut(&SweepProgress) -> ControlFlow<()>,
) -> Result<Sweep> {
    let within = &expand_home(folder.as_ref())?;
    let settings = SweepSettings::new(experiment, split)?;
    // Whichever part a pair is in that cannot be held out, all of them say so.
    pairs.iter().try_for_each(|pair| split.hold_out(&pair.each_ref().map(String::as_str)).map(drop))?;
    make_folder(within)?;
    if part != Part::WHOLE {
        SweepFolder::check_parts_are_alone(within, &settings)?;
    }
    let items = Item::all(pairs, &experiment.seeds);
    let folder = SweepFolder::begin(within, settings.clone(), &items)?;
    let note = adopt_earlier_versions(&folder, within, &settings, &experiment.seeds)?;

    let asked = part.of(items);
    let to_do: Vec<(usize, Item)> = (1..).zip(asked.iter().cloned()).filter(|(_, item)| !folder.has(item)).collect();
    let n_elsewhere = AtomicUsize::new(0);
    let work = |item: &Item, tell: Tell| {
        let Some(claim) = folder.claim(item)? else {
            n_elsewhere.fetch_add(1, Ordering::Relaxed);
            return Ok(ControlFlow::Continue(()));
        };
        let Some(row) = settings.row(split, item, tell)? else { return Ok(ControlFlow::Break(())) };
        folder.save(row)?;
        claim.end();
        Ok(ControlFlow::Continue(()))
    };
    match n_at_once(settings.training.device.choose()?.device) {
        1 => train_in_turn(&to_do, asked.len(), work, observe)?,
        n_at_once => train_side_by_side(&to_do, n_at_once, asked.len(), work, observe)?,
    }
    let mut sweep = folder.read(&asked)?;
    let n_elsewhere = n_elsewhere.into_inner();
    let at_work = (n_elsewhere > 0 && !sweep.missing.is_empty())
        .then(|| format!("{n_elsewhere} of them were left to other processes, which were at work on them"));
    sweep.notes = at_work.into_iter().chain(note).collect();
    Ok(sweep)
}

impl Item {
    /// All pairs with the first seed, then with the next; none twice.
    fn all(pairs: &[Pair], seeds: &[u64]) -> Vec<Self> {
        let mut items = Vec::new();
        for &seed in seeds {
            for held_out in pairs {
                let item = Self { held_out: held_out.clone(), seed };
                if !items.contains(&item) {
                    items.push(item);
                }
            }
        }
        items
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} with seed {}", self.held_out.join(", "), self.seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Images;
    use crate::evaluation::Evaluation;
    use crate::interrupt::stop_after_checks;
    use crate::model::Architecture;
    use crate::train::{StoppedBecause, Training};

    pub(super) fn sweep_of(model: &str, rows: &[(&str, &str, &str, f64)]) -> Sweep {
        let row = |(seed, &(first, second, key, auc)): (u64, &(&str, &str, &str, f64))| SweepRow {
            held_out: [first.into(), second.into()],
            seed,
            auc: [(key.to_string(), Some(auc)), ("pca_9".into(), None)].into(),
            loss_last: Some(0.1),
            stopped_because: StoppedBecause::Finished,
            seconds: 1.0,
            auc_by_epoch: Vec::new(),
        };
        let architecture = Architecture { name: model.into(), ..Architecture::fcn() };
        let experiment = Experiment::new(architecture, Training::default(), &[Evaluation::Reconstruction]);
        let settings = SweepSettings::new(&experiment, &crate::data::open("scenes").unwrap()).unwrap();
        Sweep::new(settings, (0..).zip(rows).map(row).collect())
    }

    #[test]
    fn other_settings_are_another_folder_and_another_seed_is_not() {
        let settings = sweep_of("fcn", &[]).settings;
        let longer = SweepSettings { training: Training::default().epochs(99), ..settings.clone() };
        let within = Path::new("runs");
        assert_ne!(settings.folder(within), longer.folder(within));
        assert_eq!(settings.folder(within), settings.with_seed(7).folder(within));
        let outside = SweepSettings { data: "../../elsewhere".into(), ..settings };
        assert_eq!(outside.folder(within).parent(), Some(within));
    }

    #[test]
    fn names_of_classes_that_look_alike_as_files_stay_apart() {
        let mut settings = sweep_of("fcn", &[]).settings;
        let long = "x".repeat(300);
        settings.classes = ["a/b", "a:b", "../a", &long].map(String::from).to_vec();
        let name_of = |pair: [usize; 2], seed| {
            let held_out = pair.map(|class| settings.classes[class].clone());
            settings.item_file_name(&Item { held_out, seed })
        };
        let names =
            [name_of([0, 3], 0), name_of([1, 3], 0), name_of([2, 3], 0), name_of([3, 2], 0), name_of([3, 2], 1)];
        assert_eq!(names[0], format!("0-3-a-b-{}-seed-0.json", "x".repeat(40)));
        assert!(names.iter().all(|name| !name.contains(['/', ':'])), "{names:?}");
        assert_eq!(names.iter().collect::<std::collections::BTreeSet<_>>().len(), names.len());
    }

    #[test]
    fn all_pairs_come_with_the_first_seed_before_the_next() {
        let [one, two]: [Pair; 2] = [["a".into(), "b".into()], ["a".into(), "c".into()]];
        let items = Item::all(&[one.clone(), two.clone(), one.clone()], &[7, 0, 7]);
        let named: Vec<String> = items.iter().map(Item::to_string).collect();
        assert_eq!(named, ["a, b with seed 7", "a, c with seed 7", "a, b with seed 0", "a, c with seed 0"]);
    }

    /// 48 grey images in three classes.
    pub(super) fn drawn() -> Split {
        let draw = |(n, _, y, x): (usize, usize, usize, usize)| ([40 * (x % 2), 4 * y * x, 25 * y][n % 3] + n) as u8;
        let images = Images::from_bytes(ndarray::Array4::from_shape_fn((48, 1, 8, 8), draw)).unwrap();
        let images = images.with_classes(&["dots", "rings", "waves"], (0..48).map(|n| n % 3).collect()).unwrap();
        Split::new("drawn", images.clone(), images).unwrap()
    }

    pub(super) fn small() -> Experiment {
        let architecture = Architecture::parse("Linear(64, 4)", "Linear(4, 64) / Tanh()").unwrap();
        Experiment::new(
            architecture.named("small"),
            Training::default().epochs(2),
            &[Evaluation::Reconstruction, Evaluation::Pca(9), Evaluation::KMeans(2)],
        )
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
            let kept = Sweep::open(folder.path()).map_or(Vec::new(), |sweep| aucs(&sweep));
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
