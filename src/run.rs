//! Models on disk: weights as safetensors, everything else as JSON beside them.

use crate::data::ImageShape;
use crate::device::Device;
use crate::error::TorchContext;
use crate::files::write_whole;
use crate::model::{Architecture, Network};
use crate::train::{Autoencoder, History, Training};
use crate::{Error, Result};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use tch::Tensor;

/// What is in the JSON file. A change that older code would misread raises the number.
const FORMAT_VERSION: u32 = 1;

/// Everything about a model but its weights.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    format_version: u32,
    /// Version of diabolo that wrote it.
    diabolo: String,
    image_shape: ImageShape,
    architecture: Architecture,
    /// The layers with the `Flatten` and `Unflatten` that the notation leaves out: those that the weights are numbered
    /// by, and that PyTorch's `nn.Sequential` wants.
    layers: Layers,
    training: Training,
    trained_on: String,
    history: History,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Layers {
    encoder: String,
    decoder: String,
}

impl Autoencoder {
    /// Saves the model: weights as `PATH.safetensors`, named as in PyTorch (`encoder.0.weight`), and `PATH.json` with
    /// the architecture, settings and history. The ending may be left out.
    ///
    /// # Errors
    /// [`Error::File`] naming the file; a model that was there before is then still there, and this one still in memory.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let [weights_path, description_path] = paths(path.as_ref());
        let network = self.network();
        let description = Description {
            format_version: FORMAT_VERSION,
            diabolo: env!("CARGO_PKG_VERSION").into(),
            image_shape: network.plan().image_shape,
            architecture: self.architecture.clone(),
            layers: layers_of(&network),
            training: self.training.clone(),
            trained_on: self.trained_on.clone(),
            history: self.history.clone(),
        };
        let json = serde_json::to_vec_pretty(&description).expect("plain values and text are always JSON");
        let weights = weights_of(&network)?;
        write_whole(&weights_path, &weights)?;
        write_whole(&description_path, &json)
    }

    /// Opens a model that [`Autoencoder::save`] wrote, on the CPU or, where there is one, on a GPU.
    ///
    /// # Errors
    /// [`Error::File`] when a file is missing or cannot be read, [`Error::Format`] when it is damaged or was written by a
    /// newer version, [`Error::Architecture`] when weights and architecture do not fit.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let [weights_path, description_path] = paths(path.as_ref());
        let description = read_description(&description_path)?;
        let plan = description.architecture.plan(description.image_shape)?;
        let bytes = read(&weights_path)?;
        let damaged = |found: String| Error::format(&weights_path, found, "whole safetensors weights", SAVE_AGAIN);
        let saved = SafeTensors::deserialize(&bytes).map_err(|error| damaged(error.to_string()))?;
        let find = |name: &str| saved.tensor(name).ok().and_then(|view| tensor_of(&view));
        let network = Network::from_named(plan, find, Device::Auto.choose()?.device)?;
        let n_expected = network.named_tensors().len();
        if saved.len() != n_expected {
            return Err(damaged(format!("{} tensors where the architecture has {n_expected}", saved.len())));
        }
        let Description { architecture, training, history, trained_on, .. } = description;
        Ok(Self::new(architecture, training, history, trained_on, network))
    }
}

/// The weights file and the JSON file of a model.
fn paths(path: &Path) -> [PathBuf; 2] {
    let known = path.extension().is_some_and(|ending| ending == "safetensors" || ending == "json");
    let stem = if known { path.with_extension("") } else { path.to_path_buf() };
    [".safetensors", ".json"].map(|ending| {
        let mut name = stem.clone().into_os_string();
        name.push(ending);
        name.into()
    })
}

fn layers_of(network: &Network) -> Layers {
    let plan = network.plan();
    Layers { encoder: plan.encoder_notation(), decoder: plan.decoder_notation() }
}

fn weights_of(network: &Network) -> Result<Vec<u8>> {
    let mut named = Vec::new();
    for (name, tensor) in network.named_tensors() {
        let shape: Vec<usize> = tensor.size().iter().map(|&size| size as usize).collect();
        let values =
            Vec::<f32>::try_from(tensor.to(tch::Device::Cpu).contiguous().view([-1])).doing("reading the weights")?;
        named.push((name, shape, values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>()));
    }
    let views = named.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes).expect("as many bytes as the shape says");
        (name, view)
    });
    Ok(safetensors::serialize(views, None).expect("names differ and sizes fit"))
}

/// A saved tensor, if it holds 32-bit floats.
fn tensor_of(view: &TensorView) -> Option<Tensor> {
    let shape: Vec<i64> = view.shape().iter().map(|&size| size as i64).collect();
    let (Dtype::F32, values) = (view.dtype(), view.data().as_chunks::<4>().0) else { return None };
    let values: Vec<f32> = values.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
    Tensor::f_from_slice(&values).and_then(|flat| flat.f_view(&shape[..])).ok()
}

/// What to do about a model's files that cannot be used.
const SAVE_AGAIN: &str = "save the model again";

fn read_description(path: &Path) -> Result<Description> {
    read_versioned(path, "a model's description", FORMAT_VERSION, SAVE_AGAIN)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|source| Error::file("opening", path, "give the path that it was saved under", source))
}

/// Reads JSON that has a `format_version`, which says whether this version of the crate can read the rest.
///
/// # Errors
/// [`Error::File`] when it cannot be read; [`Error::Format`] when it is damaged, or newer than `newest_version`.
pub(crate) fn read_versioned<T: DeserializeOwned>(
    path: &Path,
    what: &str,
    newest_version: u32,
    mended_by: &str,
) -> Result<T> {
    /// Read first, so that a newer format is told from a damaged one.
    #[derive(Deserialize)]
    struct Version {
        format_version: u32,
    }
    let bytes = read(path)?;
    let damaged = |error: serde_json::Error| Error::format(path, format!("damaged text ({error})"), what, mended_by);
    let Version { format_version } = serde_json::from_slice(&bytes).map_err(damaged)?;
    if format_version > newest_version {
        let wanted = format!("format {newest_version} or older");
        let next_step = "open it with the diabolo that wrote it, or a newer one";
        return Err(Error::format(path, format!("format {format_version}"), wanted, next_step));
    }
    serde_json::from_slice(&bytes).map_err(damaged)
}
