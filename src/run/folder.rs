//! Run folders: resumable trainings, which survive a kill or a power cut.
//!
//! ```text
//! run.json            what is trained, on which data, with which settings
//! state.safetensors   all that the next step depends on; everything below follows from it
//! best.safetensors    the weights kept so far, named as in PyTorch
//! last.safetensors    those after the last step, likewise
//! history.csv         a line for each epoch
//! model.*             the model, while no training is at work
//! lock                held while a training is at work
//! ```

use super::START_ANEW;
use super::description::Description;
use super::state;
use super::tensors::serialize;
use crate::data::{DataDescription, Split};
use crate::device::Device;
use crate::files::{Lock, expand_home, lock, make_folder, write_whole};
use crate::model::{Architecture, Network};
use crate::together::{Together, alone};
use crate::train::{Autoencoder, Checkpoint, History, Loop, Progress, StoppedBecause, Training};
use crate::{Error, Result};
use std::fmt;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Saving takes at most this share of a training's time.
const SAVING_SHARE: u32 = 20;
/// Said in the history of a training that two processes could spoil.
const NOT_LOCKED: &str = "this file system has no locks, so a second training in the same folder would not be noticed";

/// A training on disk, as far as it has come.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// # let folder = tempfile::tempdir().unwrap();
/// # let runs = folder.path();
/// train_in(runs.join("small"), small, &data, Training::default().epochs(1))?;
/// let run = Run::open(runs.join("small"))?;
/// assert!(run.is_finished);
/// println!("{run}");
/// assert_eq!(run.model.score(data.test())?.values.len(), 48);
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Run {
    /// Its folder.
    pub folder: PathBuf,
    /// The data that it was trained on.
    pub data: DataDescription,
    /// The model, with the best weights so far and the history.
    pub model: Autoencoder,
    /// Whether no epoch is left, or the training diverged.
    pub is_finished: bool,
}

/// Trains in a folder as [`fit`](crate::train::fit) does without one: a training that was stopped there, by whatever, goes on
/// exactly where it was saved last, and one that is finished is opened.
///
/// The stop button and `max_seconds` save the step that they come after; a process that is killed has saved its last epoch,
/// or an earlier one where epochs take no longer than twenty times as long as saving. More epochs than before go on with a
/// training that was finished.
///
/// On a CPU, with the same number of threads, the weights in the end are those of a training that was never interrupted, bit
/// for bit: all random numbers follow from seed, epoch and step, and everything else is in the folder. On a GPU they are so
/// with [`Training::deterministic`]; without, cuDNN may add in another order each time.
///
/// # Errors
/// [`Error::Data`] when the folder holds another training (the message has the difference) or one is at work there;
/// [`Error::File`] when it cannot be written to; [`Error::Format`] when it is damaged or newer than this version; and
/// those of [`fit`](crate::train::fit).
/// A folder that cannot be written to later ends the training with the model so far, as
/// [`History::stopped_because`] says.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// use diabolo::run::fit_in;
/// use std::ops::ControlFlow;
/// # let runs = tempfile::tempdir().unwrap();
/// let folder = runs.path().join("small");
/// let settings = Training::default().epochs(3);
/// let trained = fit_in(&folder, small.clone(), &data, settings.clone(), |_| ControlFlow::Continue(()))?;
/// let opened = fit_in(&folder, small.clone(), &data, settings.clone(), |_| unreachable!("it has ended"))?;
/// assert_eq!(opened.history(), trained.history());
///
/// let longer = fit_in(&folder, small.clone(), &data, settings.clone().epochs(5), |_| ControlFlow::Continue(()))?;
/// assert_eq!(longer.history().epochs[..3], trained.history().epochs);
///
/// let other = fit_in(&folder, small, &data, settings.seed(7), |_| ControlFlow::Continue(()));
/// assert!(other.unwrap_err().to_string().contains("seed"));
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn fit_in(
    folder: impl AsRef<Path>,
    architecture: Architecture,
    split: &Split,
    training: Training,
    observe: impl FnMut(&Progress) -> ControlFlow<()>,
) -> Result<Autoencoder> {
    match begin_in(folder.as_ref(), architecture, split, training, &alone())? {
        Begun::Ended(model) => Ok(*model),
        Begun::UnderWay(training) => training.finish(observe, |_| ()),
    }
}

/// A training in a folder, ready to go on, or its model where nothing is left to do.
pub(super) enum Begun {
    Ended(Box<Autoencoder>),
    UnderWay(Box<InFolder>),
}

/// A training that saves checkpoints in a folder.
pub(super) struct InFolder {
    folder: PathBuf,
    training: Loop,
    /// Held until the model is saved.
    _lock: Lock,
}

/// Takes a folder and finds out how far the training in it is.
pub(super) fn begin_in(
    folder: &Path,
    architecture: Architecture,
    split: &Split,
    training: Training,
    together: &Arc<dyn Together>,
) -> Result<Begun> {
    training.check()?;
    let description = Description::new(&architecture, split, &training)?;
    let folder = &expand_home(folder)?;
    // Nothing is to be written where all is there, so it may be on a disk that cannot be written to.
    if folder.is_dir()
        && let Stage::Ended { model, is_saved: true } = Stage::of(folder, &description)?
    {
        return Ok(Begun::Ended(model));
    }
    make_folder(folder)?;
    let lock = lock(&folder.join("lock"))?;
    if let Lock::Busy = lock {
        let (doing, found) = (format!("training in {}", folder.display()), "another training at work there");
        return Err(Error::data(doing, found, "one at a time", "wait for it, or name another folder"));
    }
    let start = match Stage::of(folder, &description)? {
        Stage::New => None,
        Stage::Begun(checkpoint) => Some(*checkpoint),
        Stage::Ended { mut model, .. } => {
            if let Err(error) = description.save(folder).and_then(|()| save_model(folder, &model)) {
                model.could_not_save(&error);
            }
            return Ok(Begun::Ended(model));
        }
    };
    let mut training = Loop::begin(start, architecture, split, training, together.clone())?;
    // Only now: a training that cannot begin leaves no settings behind that the corrected one would differ from.
    description.save(folder)?;
    remove_older_model(folder, &training.history())?;
    if let Lock::Unsupported = lock {
        training.note(NOT_LOCKED);
    }
    Ok(Begun::UnderWay(Box::new(InFolder { folder: folder.to_path_buf(), training, _lock: lock })))
}

impl InFolder {
    /// What the training goes on from.
    pub(super) fn checkpoint(&self) -> Result<Checkpoint> {
        self.training.checkpoint()
    }

    /// The history so far.
    pub(super) fn history(&self) -> History {
        self.training.history()
    }

    /// Trains to the end; `watch` sees the training after every epoch.
    pub(super) fn finish(
        mut self,
        observe: impl FnMut(&Progress) -> ControlFlow<()>,
        mut watch: impl FnMut(&Loop),
    ) -> Result<Autoencoder> {
        let mut saver = Saver::new(&self.folder);
        self.training.run(observe, |training| {
            watch(training);
            saver.after_epoch(training)
        })?;
        // What has cost training time is not thrown away because a disk is full; but it is said, once.
        let mut is_told = saver.has_failed;
        if self.training.can_be_resumed()
            && let Err(error) = saver.save(&self.training)
            && !std::mem::replace(&mut is_told, true)
        {
            self.training.could_not_save(&error);
        }
        let mut model = self.training.into_model()?;
        if let Err(error) = save_model(&self.folder, &model)
            && !is_told
        {
            model.could_not_save(&error);
        }
        Ok(model)
    }
}

fn model_path(folder: &Path) -> PathBuf {
    folder.join("model")
}

fn save_model(folder: &Path, model: &Autoencoder) -> Result<()> {
    model.save(model_path(folder))
}

/// Removes the model of an earlier stop, which is not that of the training which goes on. Earlier versions did not save the
/// step of a stop, so theirs may be of later epochs than the state: it then stays until the training has ended.
fn remove_older_model(folder: &Path, history: &History) -> Result<()> {
    let path = model_path(folder);
    let is_there = path.with_extension("json").exists();
    if !is_there || Autoencoder::open_history(&path).is_ok_and(|of_model| is_newer(&of_model, history)) {
        return Ok(());
    }
    for ending in ["json", "safetensors"] {
        let path = path.with_extension(ending);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(Error::file("removing", &path, "choose a folder that may be written to", source));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether one history has more steps than another.
fn is_newer(history: &History, than: &History) -> bool {
    match history.epochs.len().cmp(&than.epochs.len()) {
        std::cmp::Ordering::Equal => history.seconds > than.seconds,
        ordering => ordering.is_gt(),
    }
}

/// The stage of the training in a folder.
enum Stage {
    New,
    Begun(Box<Checkpoint>),
    /// Nothing is left to do; `is_saved` says whether all files tell so.
    Ended {
        model: Box<Autoencoder>,
        is_saved: bool,
    },
}

impl Stage {
    /// Of the training that is described, in this folder.
    fn of(folder: &Path, wanted: &Description) -> Result<Self> {
        let Some(found) = Description::find(folder)? else { return Ok(Self::New) };
        // Nothing was learnt with the settings there, so nothing keeps others from taking their place.
        if !state::path_in(folder).exists() && !model_path(folder).with_extension("json").exists() {
            return Ok(Self::New);
        }
        found.check_same(folder, wanted)?;
        let held = Held::in_folder(folder, &found, wanted.training.device)?;
        let n_done = held.history().map_or(0, |history| history.epochs.len());
        let n_wanted = wanted.training.epochs;
        if n_wanted < n_done {
            return Err(Error::data(
                format!("going on with the training in {}", folder.display()),
                format!("{n_done} epochs done there, and epochs {n_wanted} here"),
                "as many epochs or more",
                format!("choose epochs {n_done}, or {START_ANEW}"),
            ));
        }
        let is_done = |history: &History| {
            n_done >= n_wanted || matches!(history.stopped_because, StoppedBecause::Diverged { .. })
        };
        match held {
            held if held.history().is_some_and(is_done) => {
                let is_saved = found.training.epochs == n_wanted && model_path(folder).with_extension("json").exists();
                let model = held.into_model(wanted, wanted.training.device)?.expect("there is one with the history");
                Ok(Self::Ended { model: Box::new(model), is_saved })
            }
            Held { checkpoint: Some(checkpoint), .. } => Ok(Self::Begun(Box::new(checkpoint))),
            // Of earlier versions, stopped in the first epoch.
            Held { newer_model: Some(model), .. } if model.history().epochs.is_empty() => Ok(Self::New),
            _ => {
                let next_step = format!("put it back, or {START_ANEW}");
                let found = "a model but no state, which more epochs would go on from";
                Err(Error::format(&state::path_in(folder), found, "the state of a training", next_step))
            }
        }
    }
}

/// The model and the checkpoint in a folder.
struct Held {
    checkpoint: Option<Checkpoint>,
    /// The model, where it is of a later step than the checkpoint: earlier versions saved no checkpoint at a stop, and none
    /// can be had where a step failed half-way.
    newer_model: Option<Autoencoder>,
}

impl Held {
    fn in_folder(folder: &Path, description: &Description, device: Device) -> Result<Self> {
        let checkpoint = state::read(folder, description, &description.plan()?)?;
        let path = model_path(folder);
        let newer_model = match &checkpoint {
            // A model that is damaged is not needed.
            Some(checkpoint) => Autoencoder::open_history(&path)
                .ok()
                .filter(|history| is_newer(history, &checkpoint.history))
                .and_then(|_| Autoencoder::open_on(&path, device).ok()),
            None if path.with_extension("json").exists() => Some(Autoencoder::open_on(&path, device)?),
            None => None,
        };
        Ok(Self { checkpoint, newer_model })
    }

    fn history(&self) -> Option<&History> {
        let of_model = self.newer_model.as_ref().map(Autoencoder::history);
        of_model.or(self.checkpoint.as_ref().map(|checkpoint| &checkpoint.history))
    }

    /// The newest model.
    fn into_model(self, description: &Description, device: Device) -> Result<Option<Autoencoder>> {
        let Self { checkpoint, newer_model } = self;
        let (None, Some(checkpoint)) = (&newer_model, checkpoint) else { return Ok(newer_model) };
        let Description { architecture, training, data, .. } = description;
        let network = Network::new(description.plan()?, 0, device.choose()?.device)?;
        let (weights, kept) = checkpoint.best(training.keep);
        network.restore(weights)?;
        let history = &checkpoint.history;
        let stopped_because = match &history.stopped_because {
            diverged @ StoppedBecause::Diverged { .. } => diverged.clone(),
            // The number of epochs may have been changed since.
            _ if history.epochs.len() >= training.epochs => StoppedBecause::Finished,
            StoppedBecause::Finished => StoppedBecause::NotYet,
            stopped => stopped.clone(),
        };
        let history = History { kept, stopped_because, ..history.clone() };
        Ok(Some(Autoencoder::new(architecture.clone(), training.clone(), history, data.name.clone(), network)))
    }
}

/// Saves a training after its epochs.
struct Saver {
    folder: PathBuf,
    last_end: Instant,
    last_cost: Duration,
    has_failed: bool,
}

impl Saver {
    fn new(folder: &Path) -> Self {
        Self { folder: folder.into(), last_end: Instant::now(), last_cost: Duration::ZERO, has_failed: false }
    }

    fn after_epoch(&mut self, training: &Loop) -> Result<()> {
        if self.last_end.elapsed() < self.last_cost * SAVING_SHARE {
            return Ok(());
        }
        let began = Instant::now();
        self.save(training).inspect_err(|_| self.has_failed = true)?;
        self.last_cost = began.elapsed();
        self.last_end = Instant::now();
        Ok(())
    }

    /// What a reader of the folder sees is of one moment or of two that follow each other; what training goes on from is one
    /// file.
    fn save(&self, training: &Loop) -> Result<()> {
        let checkpoint = training.checkpoint()?;
        let write = |name: &str, bytes: &[u8]| write_whole(&self.folder.join(name), bytes);
        let (best, _) = checkpoint.best(training.settings().keep);
        let best = training.network().named_tensors_of(best)?;
        write("last.safetensors", &serialize(&training.network().named_tensors(), None)?)?;
        write("best.safetensors", &serialize(&best, None)?)?;
        write("history.csv", checkpoint.history.to_csv().as_bytes())?;
        state::save(&self.folder, &checkpoint)
    }
}

impl Run {
    /// Opens a run folder, finished or not: its model has the best weights so far. It comes back on the device that its
    /// training asked for or, where this machine has no such device, on the CPU.
    ///
    /// # Errors
    /// [`Error::File`] when it is no run folder or cannot be read; [`Error::Format`] when it is damaged, was written by a
    /// newer version, or nothing was learnt in it yet.
    ///
    /// # Example
    /// ```
    /// # use diabolo::prelude::*;
    /// let message = diabolo::run::Run::open("no/such/run").unwrap_err().to_string();
    /// assert!(message.starts_with("opening no/such/run/run.json"));
    /// ```
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = &expand_home(folder)?;
        let description = Description::open(folder)?;
        let asked = description.training.device;
        let device = if asked.choose().is_ok() { asked } else { Device::Cpu };
        Self::open_described(folder, description, device)
    }

    /// The same on a device of one's choice.
    ///
    /// # Errors
    /// Those of [`Run::open`], and [`Error::Device`] when the device cannot be used.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let runs = folder.path();
    /// train_in(runs.join("small"), small, &data, Training::default().epochs(1))?;
    /// assert!(Run::open_on(runs.join("small"), Device::Cpu)?.is_finished);
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn open_on(folder: impl AsRef<Path>, device: Device) -> Result<Self> {
        let folder = &expand_home(folder)?;
        Self::open_described(folder, Description::open(folder)?, device)
    }

    fn open_described(folder: &Path, description: Description, device: Device) -> Result<Self> {
        let held = Held::in_folder(folder, &description, device)?;
        let Some(model) = held.into_model(&description, device)? else {
            let (found, wanted) = ("nothing yet", "a finished epoch");
            return Err(Error::format(&state::path_in(folder), found, wanted, "wait, or go on with the training"));
        };
        let history = model.history();
        let has_diverged = matches!(history.stopped_because, StoppedBecause::Diverged { .. });
        let is_finished = has_diverged || history.epochs.len() >= description.training.epochs;
        Ok(Self { folder: folder.to_path_buf(), data: description.data, model, is_finished })
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let state = if self.is_finished { "finished" } else { "not finished" };
        write!(f, "{}, {state}\n{}", self.folder.display(), self.model)
    }
}
