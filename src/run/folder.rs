//! The run folder: a training that survives a kill, a power cut or a closed laptop.
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
use super::tensors::{self, serialize};
use super::{damaged_json, read_versioned};
use crate::data::{ImageShape, Split};
use crate::device::Device;
use crate::files::{lock, make_folder, write_whole};
use crate::model::{Architecture, Network};
use crate::train::{
    Autoencoder, Checkpoint, History, Loop, OptimizerMemory, Progress, StoppedBecause, Training, fit_from,
};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tch::Tensor;

/// A change that older code would misread raises the number.
const FORMAT_VERSION: u32 = 1;
/// Saving takes at most this share of a training's time.
const SAVING_SHARE: u32 = 20;
const START_ANEW: &str = "name another folder, or delete this one to train anew";

/// The data of a training, well enough to tell others from them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataDescription {
    /// Name of the data.
    pub name: String,
    /// Images to train on.
    pub n_train: usize,
    /// Shape of an image.
    pub image_shape: ImageShape,
    /// Classes that training does not see.
    pub held_out: Vec<String>,
    /// A number that follows from the pixels of some of the images.
    pub fingerprint: String,
}

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
pub fn train_in(
    folder: impl AsRef<Path>,
    architecture: Architecture,
    split: &Split,
    training: Training,
    observe: impl FnMut(&Progress) -> ControlFlow<()>,
) -> Result<Autoencoder> {
    let folder = folder.as_ref();
    training.check()?;
    let description = Description::new(&architecture, split, &training)?;
    make_folder(folder)?;
    let _lock = lock(&folder.join("lock"))?.ok_or_else(|| {
        let doing = format!("training in {}", folder.display());
        Error::data(doing, "another training at work there", "one at a time", "wait for it, or name another folder")
    })?;
    let start = match description.begin(folder)? {
        Stage::New => None,
        Stage::Begun(checkpoint) => Some(*checkpoint),
        Stage::Ended(model) => return Ok(model),
    };
    let mut saver = Saver { folder, last_end: Instant::now(), last_cost: Duration::ZERO };
    let model = fit_from(start, architecture, split, training, observe, |training| saver.after_epoch(training))?;
    model.save(folder.join("model"))?;
    Ok(model)
}

/// How far the training in a folder is.
enum Stage {
    New,
    Begun(Box<Checkpoint>),
    Ended(Autoencoder),
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
        let run = found.read(folder)?;
        Ok(match run {
            None => Stage::New,
            Some((checkpoint, _)) if checkpoint.history.epochs.len() < self.training.epochs && !ended(folder) => {
                Stage::Begun(Box::new(checkpoint))
            }
            Some(_) => Stage::Ended(Autoencoder::open(folder.join("model"))?),
        })
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
