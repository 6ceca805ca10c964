//! `state.safetensors`: the checkpoint that a training resumes from, in one file, so that it is always complete.

use super::START_ANEW;
use super::description::Description;
use super::json::to_json;
use super::tensors::{self, serialize};
use crate::error::TorchContext;
use crate::files::write_whole;
use crate::model::{Layer, Plan};
use crate::train::{Checkpoint, History, Kept, Optimizer, OptimizerMemory, UnfinishedEpoch};
use crate::{Error, Result};
use std::path::{Path, PathBuf};
use tch::Tensor;

/// A change that older code would misread raises the number. Format 1 was saved between two epochs only, and had an empty
/// second moment for SGD.
const FORMAT_VERSION: u32 = 2;
/// More than any training has taken; an optimiser still counts on from there.
const MOST_STEPS: i32 = i32::MAX / 2;

/// The file in a run folder.
pub(super) fn path_in(folder: &Path) -> PathBuf {
    folder.join("state.safetensors")
}

pub(super) fn save(folder: &Path, checkpoint: &Checkpoint) -> Result<()> {
    write_whole(&path_in(folder), &to_bytes(folder, checkpoint)?)
}

/// The content of the file.
pub(super) fn to_bytes(folder: &Path, checkpoint: &Checkpoint) -> Result<Vec<u8>> {
    let path = path_in(folder);
    let Checkpoint { last, kept, optimizer, history, unfinished } = checkpoint;
    let mut tensors = vec![
        ("last_parameters", last[0].shallow_clone()),
        ("last_statistics", last[1].shallow_clone()),
        ("kept_parameters", kept[0].shallow_clone()),
        ("kept_statistics", kept[1].shallow_clone()),
        ("first_moment", optimizer.first_moment.shallow_clone()),
    ];
    tensors.extend(optimizer.second_moment.as_ref().map(|moment| ("second_moment", moment.shallow_clone())));
    if !unfinished.losses.is_empty() {
        // They were computed as 32-bit floats.
        let losses: Vec<f32> = unfinished.losses.iter().map(|&loss| loss as f32).collect();
        tensors.push(("losses_of_unfinished_epoch", Tensor::f_from_slice(&losses).doing("saving the losses")?));
    }
    let tensors: Vec<_> = tensors.into_iter().map(|(name, tensor)| (name.to_string(), tensor)).collect();
    let notes = [
        ("format_version", FORMAT_VERSION.to_string()),
        ("n_steps", optimizer.n_steps.to_string()),
        ("history", to_json(&path, history)?),
        ("seconds_of_unfinished_epoch", unfinished.seconds.to_string()),
    ];
    let notes = notes.map(|(name, note)| (name.to_string(), note));
    serialize(&tensors, Some(notes.into()))
}

/// The checkpoint in a folder; `None` where there is none yet.
///
/// # Errors
/// [`Error::File`] when it cannot be read; [`Error::Format`] when it is damaged, newer, or of another training than
/// described.
pub(super) fn read(folder: &Path, description: &Description, plan: &Plan) -> Result<Option<Checkpoint>> {
    let path = path_in(folder);
    if !path.exists() {
        return Ok(None);
    }
    of_saved(tensors::open(&path, START_ANEW)?, &path, description, plan).map(Some)
}

/// The checkpoint in the bytes of such a file of another process.
pub(super) fn of_bytes(bytes: &[u8], folder: &Path, description: &Description) -> Result<Checkpoint> {
    let path = path_in(folder);
    of_saved(tensors::of_bytes(bytes, &path, START_ANEW)?, &path, description, &description.plan()?)
}

fn of_saved(saved: tensors::Saved, path: &Path, description: &Description, plan: &Plan) -> Result<Checkpoint> {
    let damaged = |found: String| Error::format(path, found, "the state of a training", START_ANEW);
    let tensors::Saved { tensors, notes } = saved;
    let note = |name: &str| notes.get(name).ok_or_else(|| damaged(format!("no {name}")));
    let version = note("format_version")?;
    if !(1..=FORMAT_VERSION).any(|known| version == &known.to_string()) {
        return Err(damaged(format!("format {version}, which this version does not know")));
    }
    let n_steps = note("n_steps")?.parse().ok().filter(|n_steps| (0..=MOST_STEPS).contains(n_steps));
    let n_steps = n_steps.ok_or_else(|| damaged("a number of steps that is none".into()))?;
    let history: History =
        serde_json::from_str(note("history")?).map_err(|error| damaged(format!("a history that {error}")))?;

    let take = |name: &str, wanted: usize| match tensors.get(name) {
        None => Err(damaged(format!("no {name}"))),
        Some(tensor) if tensor.numel() == wanted => Ok(tensor.f_view([-1]).map_err(|_| damaged(name.into()))?),
        Some(tensor) => Err(damaged(format!("{} {name} where the architecture has {wanted}", tensor.numel()))),
    };
    let (n_parameters, n_statistics) = (plan.n_parameters(), n_statistics(plan));
    let weights = |parameters: &str, statistics: &str| -> Result<[Tensor; 2]> {
        Ok([take(parameters, n_parameters)?, take(statistics, n_statistics)?])
    };
    let last = weights("last_parameters", "last_statistics")?;
    let kept = weights("kept_parameters", "kept_statistics")?;
    let second_moment = match description.training.optimizer {
        Optimizer::Sgd { .. } => None,
        Optimizer::Adam | Optimizer::AdamW { .. } => Some(take("second_moment", n_parameters)?),
    };
    let first_moment = take("first_moment", n_parameters)?;
    let optimizer = OptimizerMemory { n_steps, first_moment, second_moment };

    let losses = match tensors.get("losses_of_unfinished_epoch") {
        None => Vec::new(),
        Some(losses) => Vec::<f32>::try_from(losses).map_err(|_| damaged("losses that are no row".into()))?,
    };
    let steps_in_epoch = description.data.n_train.div_ceil(description.training.batch_size.max(1));
    if losses.len() >= steps_in_epoch.max(1) || losses.iter().any(|loss| !loss.is_finite()) {
        return Err(damaged(format!("{} losses of an epoch of {steps_in_epoch} steps", losses.len())));
    }
    if history.kept.is_some_and(|Kept { epoch, .. }| epoch > history.epochs.len() + 1) {
        return Err(damaged("weights of an epoch that was not begun".into()));
    }
    let seconds = notes.get("seconds_of_unfinished_epoch").map_or(Ok(0.0), |note| note.parse::<f64>());
    let seconds = seconds.ok().filter(|seconds| *seconds >= 0.0 && seconds.is_finite());
    let unfinished = UnfinishedEpoch {
        losses: losses.into_iter().map(f64::from).collect(),
        seconds: seconds.ok_or_else(|| damaged("a time that is none".into()))?,
    };
    Ok(Checkpoint { last, kept, optimizer, history, unfinished })
}

/// Running means and variances of batch norm.
fn n_statistics(plan: &Plan) -> usize {
    let of_layer = |layer: &Layer| match layer {
        Layer::BatchNorm2d { channels } => 2 * channels,
        _ => 0,
    };
    plan.encoder.iter().chain(&plan.decoder).map(|planned| of_layer(&planned.layer)).sum()
}
