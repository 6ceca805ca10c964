//! Run folders: resumable trainings, which survive a kill or a power cut.
//!
//! ```text
//! run.json            what is trained, on which data, with which settings
//! state.safetensors   all that the next epoch depends on; one file, so that it is whole or the one before
//! best.safetensors    the weights kept so far, named as in PyTorch
//! last.safetensors    those after the last epoch, likewise
//! history.csv         a line for each epoch
//! model.*             the model, once the training has ended
//! lock                held while a training is at work
//! ```

use super::model::Layers;
use super::read_versioned;
use super::tensors::{self, serialize};
use crate::data::{DataDescription, Split};
use crate::device::Device;
use crate::files::{Lock, expand_home, lock, make_folder, write_whole};
use crate::model::{Architecture, Network, Plan};
use crate::train::{
    Autoencoder, Checkpoint, Epoch, History, Loop, OptimizerMemory, Progress, StoppedBecause, Training,
};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tch::Tensor;

/// A change that older code would misread raises the number.
const FORMAT_VERSION: u32 = 1;
/// Saving takes at most this share of a training's time.
const SAVING_SHARE: u32 = 20;
/// More than any training has taken; an optimiser still counts on from there.
const MOST_STEPS: i32 = i32::MAX / 2;
/// The file that training goes on from.
const STATE: &str = "state.safetensors";
const START_ANEW: &str = "name another folder, or delete this one to train anew";

/// What stands in `run.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    format_version: u32,
    /// Version of diabolo that began it.
    diabolo: String,
    data: DataDescription,
    architecture: Architecture,
    layers: Layers,
    training: Training,
}

/// A training on disk, as far as it has come.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// # let folder = tempfile::tempdir().unwrap();
/// # let runs = folder.path();
/// train_in(runs.join("small").to_str().unwrap(), small, &data, Training::default().epochs(1))?;
/// let run = Run::open(runs.join("small"))?;
/// assert!(run.is_finished);
/// println!("{run}");
/// assert_eq!(run.model.score(&data.test)?.values.len(), 48);
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
    /// Whether no epoch is left.
    pub is_finished: bool,
}

/// Trains in a folder: a training that was stopped or killed there goes on exactly where its last saved epoch ended, and
/// one that is finished is opened.
///
/// On one machine the weights in the end are those of a training that was never interrupted, bit for bit: all random
/// numbers follow from seed, epoch and step, and everything else is in the folder.
///
/// # Errors
/// [`Error::Data`] when the folder holds another training (the message has the difference) or one is at work there;
/// [`Error::File`] when it cannot be written to; [`Error::Format`] when it is damaged or newer than this version; and
/// those of [`crate::train::fit`].
/// A folder that cannot be written to later ends the training with the model so far, as
/// [`History::stopped_because`] says.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// use diabolo::run::train_in;
/// use std::ops::ControlFlow;
/// # let runs = tempfile::tempdir().unwrap();
/// let folder = runs.path().join("small");
/// let settings = Training::default().epochs(3);
/// let trained = train_in(&folder, small.clone(), &data, settings.clone(), |_| ControlFlow::Continue(()))?;
/// let opened = train_in(&folder, small.clone(), &data, settings.clone(), |_| unreachable!("it has ended"))?;
/// assert_eq!(opened.history, trained.history);
///
/// let other = train_in(&folder, small, &data, settings.seed(7), |_| ControlFlow::Continue(()));
/// assert!(other.unwrap_err().to_string().contains("seed"));
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn train_in(
    folder: impl AsRef<Path>,
    architecture: Architecture,
    split: &Split,
    training: Training,
    observe: impl FnMut(&Progress) -> ControlFlow<()>,
) -> Result<Autoencoder> {
    match begin_in(folder.as_ref(), architecture, split, training)? {
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
pub(super) fn begin_in(folder: &Path, architecture: Architecture, split: &Split, training: Training) -> Result<Begun> {
    training.check()?;
    let description = Description::new(&architecture, split, &training)?;
    let folder = &expand_home(folder)?;
    make_folder(folder)?;
    let lock = lock(&folder.join("lock"))?;
    if let Lock::Busy = lock {
        let (doing, found) = (format!("training in {}", folder.display()), "another training at work there");
        return Err(Error::data(doing, found, "one at a time", "wait for it, or name another folder"));
    }
    let start = match description.begin(folder)? {
        Stage::New => None,
        Stage::Begun(checkpoint) => Some(*checkpoint),
        Stage::Ended(model) => return Ok(Begun::Ended(model)),
    };
    let training = Loop::begin(start, architecture, split, training)?;
    Ok(Begun::UnderWay(Box::new(InFolder { folder: folder.to_path_buf(), training, _lock: lock })))
}

impl InFolder {
    /// The course so far.
    pub(super) fn history(&self) -> History {
        self.training.history()
    }

    /// Trains to the end; `watch` sees the training after every epoch.
    pub(super) fn finish(
        self,
        observe: impl FnMut(&Progress) -> ControlFlow<()>,
        mut watch: impl FnMut(&Loop),
    ) -> Result<Autoencoder> {
        let mut saver = Saver { folder: &self.folder, last_end: Instant::now(), last_cost: Duration::ZERO };
        let mut model = self.training.finish(observe, |training| {
            watch(training);
            saver.after_epoch(training)
        })?;
        // What has cost training time is not thrown away because a disk is full.
        if let Err(error) = model.save(self.folder.join("model"))
            && matches!(model.history.stopped_because, StoppedBecause::Finished | StoppedBecause::NotYet)
        {
            model.history.stopped_because = StoppedBecause::Failed { message: error.to_string() };
        }
        Ok(model)
    }
}

/// How far the training in a folder is.
enum Stage {
    New,
    Begun(Box<Checkpoint>),
    Ended(Box<Autoencoder>),
}

impl Description {
    fn new(architecture: &Architecture, split: &Split, training: &Training) -> Result<Self> {
        let plan = architecture.plan(split.train.shape())?;
        Ok(Self {
            format_version: FORMAT_VERSION,
            diabolo: env!("CARGO_PKG_VERSION").into(),
            data: DataDescription::of(split)?,
            architecture: architecture.clone(),
            layers: Layers { encoder: plan.encoder_notation(), decoder: plan.decoder_notation() },
            training: training.clone(),
        })
    }

    fn open(folder: &Path) -> Result<Self> {
        read_versioned(&folder.join("run.json"), "a run's description", FORMAT_VERSION, START_ANEW)
    }

    /// Finds out how far the training is, and begins it where there is none.
    fn begin(&self, folder: &Path) -> Result<Stage> {
        let found = match Self::open(folder) {
            Err(Error::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                let json = serde_json::to_vec_pretty(self).expect("plain values and text are JSON");
                write_whole(&folder.join("run.json"), &json)?;
                return Ok(Stage::New);
            }
            found => found?,
        };
        if let Some(difference) = found.difference(self) {
            return Err(Error::data(
                format!("going on with the training in {}", folder.display()),
                difference,
                "the settings and data that it was begun with",
                START_ANEW,
            ));
        }
        // The model is written last, so one that is there says that the training ended, and why.
        if let Some(model) = ended_model(folder)?.filter(|model| is_final(&model.history.stopped_because)) {
            return Ok(Stage::Ended(Box::new(model)));
        }
        let plan = self.architecture.plan(self.data.image_shape)?;
        Ok(read_checkpoint(folder, &plan)?.map_or(Stage::New, |checkpoint| Stage::Begun(Box::new(checkpoint))))
    }

    /// The first setting that differs, with both values. Where and how long to compute may change.
    fn difference(&self, wanted: &Self) -> Option<String> {
        let comparable = |description: &Self| {
            let Training { device, max_seconds, .. } = Training::default();
            let training = Training { device, max_seconds, ..description.training.clone() };
            let diabolo = String::new();
            serde_json::to_value(Self { diabolo, training, ..description.clone() }).expect("plain values are JSON")
        };
        first_difference("", &comparable(self), &comparable(wanted))
    }
}

/// The first place where two JSON values differ, as in "epochs 20, not 30".
fn first_difference(name: &str, found: &Value, wanted: &Value) -> Option<String> {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => {
            let names: BTreeSet<&String> = found.keys().chain(wanted.keys()).collect();
            let value_of = |values: &Map<String, Value>, name: &str| values.get(name).cloned().unwrap_or_default();
            names.into_iter().find_map(|name| first_difference(name, &value_of(found, name), &value_of(wanted, name)))
        }
        _ if found == wanted => None,
        _ => Some(format!("{name} {found} there, and {wanted} here")),
    }
}

/// A training that ended in this way has nothing left to do.
fn is_final(stopped_because: &StoppedBecause) -> bool {
    matches!(stopped_because, StoppedBecause::Finished | StoppedBecause::Diverged { .. })
}

/// The model that a training left when it ended, if it has.
fn ended_model(folder: &Path) -> Result<Option<Autoencoder>> {
    let path = folder.join("model");
    match path.with_extension("json").exists() {
        true => Autoencoder::open(path).map(Some),
        false => Ok(None),
    }
}

/// Saves a training after its epochs.
struct Saver<'a> {
    folder: &'a Path,
    last_end: Instant,
    last_cost: Duration,
}

impl Saver<'_> {
    fn after_epoch(&mut self, training: &Loop) -> Result<()> {
        let is_due = self.last_end.elapsed() >= self.last_cost * SAVING_SHARE;
        if !is_due && !training.is_done() {
            return Ok(());
        }
        let began = Instant::now();
        self.save(training)?;
        self.last_cost = began.elapsed();
        self.last_end = Instant::now();
        Ok(())
    }

    /// What a reader of the folder sees is of one epoch or of two that follow each other; what training goes on from is one
    /// file.
    fn save(&self, training: &Loop) -> Result<()> {
        let Checkpoint { last, kept, optimizer, history } = training.checkpoint()?;
        let names = training.network().named_tensors();
        write_whole(&self.folder.join("last.safetensors"), &serialize(&names, None)?)?;
        let best = training.network().named_tensors_of(&kept)?;
        write_whole(&self.folder.join("best.safetensors"), &serialize(&best, None)?)?;
        write_whole(&self.folder.join("history.csv"), history_csv(&history).as_bytes())?;
        let [last_parameters, last_statistics] = last;
        let [kept_parameters, kept_statistics] = kept;
        let tensors = [
            ("last_parameters", last_parameters),
            ("last_statistics", last_statistics),
            ("kept_parameters", kept_parameters),
            ("kept_statistics", kept_statistics),
            ("first_moment", optimizer.first_moment),
            ("second_moment", optimizer.second_moment),
        ];
        let tensors = tensors.map(|(name, tensor)| (name.to_string(), tensor));
        let notes = [
            ("format_version", FORMAT_VERSION.to_string()),
            ("n_steps", optimizer.n_steps.to_string()),
            ("history", serde_json::to_string(&history).expect("numbers and text are JSON")),
        ];
        let notes = notes.map(|(name, note)| (name.to_string(), note));
        write_whole(&self.folder.join(STATE), &serialize(&tensors, Some(notes.into()))?)
    }
}

/// What a training goes on from; `None` where it has not come to the end of an epoch.
fn read_checkpoint(folder: &Path, plan: &Plan) -> Result<Option<Checkpoint>> {
    let path = folder.join(STATE);
    if !path.exists() {
        return Ok(None);
    }
    let damaged = |found: String| Error::format(&path, found, "the state of a training", START_ANEW);
    let tensors::Saved { tensors, notes } = tensors::open(&path, START_ANEW)?;
    let note = |name: &str| notes.get(name).ok_or_else(|| damaged(format!("no {name}")));
    let version = note("format_version")?;
    if version != &FORMAT_VERSION.to_string() {
        return Err(damaged(format!("format {version}, which this version does not know")));
    }
    let n_steps = note("n_steps")?.parse().ok().filter(|n_steps| (0..=MOST_STEPS).contains(n_steps));
    let n_steps = n_steps.ok_or_else(|| damaged("a number of steps that is none".into()))?;
    let history = serde_json::from_str(note("history")?).map_err(|error| damaged(format!("a history that {error}")))?;
    let take = |name: &str| tensors.get(name).map(Tensor::shallow_clone).ok_or_else(|| damaged(format!("no {name}")));
    let take_parameters = |name: &str| match (take(name)?, plan.n_parameters()) {
        (tensor, wanted) if tensor.numel() == wanted => Ok(tensor),
        (tensor, wanted) => Err(damaged(format!("{} {name} where the architecture has {wanted}", tensor.numel()))),
    };
    let last = [take_parameters("last_parameters")?, take("last_statistics")?];
    let second_moment = match take("second_moment")? {
        // SGD has none.
        empty if empty.numel() == 0 => empty,
        _ => take_parameters("second_moment")?,
    };
    Ok(Some(Checkpoint {
        last,
        kept: [take_parameters("kept_parameters")?, take("kept_statistics")?],
        optimizer: OptimizerMemory { n_steps, first_moment: take_parameters("first_moment")?, second_moment },
        history,
    }))
}

fn history_csv(history: &History) -> String {
    let mut csv = "epoch,loss_mean,loss_lowest_minibatch,seconds,images_per_second\n".to_string();
    for (epoch, number) in history.epochs.iter().zip(1..) {
        let Epoch { loss_mean, loss_lowest_minibatch, seconds, images_per_second } = epoch;
        csv += &format!("{number},{loss_mean},{loss_lowest_minibatch},{seconds},{images_per_second}\n");
    }
    csv
}

impl Run {
    /// Opens a run folder, finished or not: its model has the best weights so far.
    ///
    /// # Errors
    /// [`Error::File`] when it is no run folder or cannot be read; [`Error::Format`] when it is damaged, was written by a
    /// newer version, or has not come to the end of an epoch.
    ///
    /// # Example
    /// ```
    /// # use diabolo::prelude::*;
    /// let message = diabolo::run::Run::open("no/such/run").unwrap_err().to_string();
    /// assert!(message.starts_with("opening no/such/run/run.json"));
    /// ```
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = expand_home(folder)?;
        let Description { data, architecture, training, .. } = Description::open(&folder)?;
        if let Some(model) = ended_model(&folder)? {
            let is_finished = is_final(&model.history.stopped_because);
            return Ok(Self { folder, data, model, is_finished });
        }
        let plan = architecture.plan(data.image_shape)?;
        let Some(Checkpoint { kept, history, .. }) = read_checkpoint(&folder, &plan)? else {
            let path = folder.join(STATE);
            return Err(Error::format(&path, "nothing yet", "a finished epoch", "wait, or go on with the training"));
        };
        let network = Network::new(plan, 0, Device::Auto.choose()?.device)?;
        network.restore(&kept)?;
        let model = Autoencoder::new(architecture, training, history, data.name.clone(), network);
        Ok(Self { folder, data, model, is_finished: false })
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let state = if self.is_finished { "finished" } else { "not finished" };
        write!(f, "{}, {state}\n{}", self.folder.display(), self.model)
    }
}
