//! Saved models: weights as safetensors, the rest as JSON.

use super::json::{read_versioned, to_json};
use super::tensors::{self, serialize};
use crate::data::ImageShape;
use crate::device::Device;
use crate::files::{expand_home, write_together};
use crate::model::{Architecture, Network};
use crate::train::{Autoencoder, History, Training};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What is in the JSON file. A change that older code would misread raises the number.
const FORMAT_VERSION: u32 = 1;

/// The content of the JSON file: everything but the weights.
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

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Layers {
    pub(super) encoder: String,
    pub(super) decoder: String,
}

impl Autoencoder {
    /// Saves the model: weights as `PATH.safetensors`, named as in PyTorch (`encoder.0.weight`), and `PATH.json` with
    /// the architecture, settings and history. The ending may be left out.
    ///
    /// # Errors
    /// [`Error::File`] naming the file; a model that was there before is then still there, and this one still in memory.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let folder = folder.path();
    /// model.save(folder.join("small"))?;
    /// assert!(folder.join("small.safetensors").is_file() && folder.join("small.json").is_file());
    /// assert!(model.save(folder.join("no/such/folder/small")).is_err());
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    ///
    /// A model's architecture and settings are those of its weights; they are read and not set, so that what is saved opens.
    /// ```compile_fail
    #[doc = include_str!("../example.txt")]
    /// let mut model = model;
    /// model.architecture = Architecture::fcn();
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let files = self.to_files(&expand_home(path)?)?;
        write_together(&files.each_ref().map(|(path, bytes)| (path.as_path(), bytes.as_slice())))
    }

    /// The two files that [`Autoencoder::save`] writes: paths and content.
    pub(crate) fn to_files(&self, path: &Path) -> Result<[(PathBuf, Vec<u8>); 2]> {
        let [weights_path, description_path] = paths(path);
        let network = self.network();
        let description = Description {
            format_version: FORMAT_VERSION,
            diabolo: env!("CARGO_PKG_VERSION").into(),
            image_shape: network.plan().image_shape,
            architecture: self.architecture().clone(),
            layers: layers_of(&network),
            training: self.training().clone(),
            trained_on: self.trained_on().into(),
            history: self.history().clone(),
        };
        let json = to_json(&description_path, &description)?;
        let weights = serialize(&network.named_tensors(), None)?;
        Ok([(weights_path, weights), (description_path, json.into_bytes())])
    }

    /// Opens a model that [`Autoencoder::save`] wrote, on the first GPU or, where there is none, on the CPU.
    ///
    /// # Errors
    /// [`Error::File`] when a file is missing or cannot be read, [`Error::Format`] when it is damaged or was written by a
    /// newer version, [`Error::Architecture`] when weights and architecture do not fit.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let folder = folder.path();
    /// model.save(folder.join("small"))?;
    /// let opened = Autoencoder::open(folder.join("small"))?;
    /// assert_eq!(opened.score(data.test())?, model.score(data.test())?);
    /// assert!(Autoencoder::open(folder.join("smal")).is_err());
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_on(path, Device::Auto)
    }

    /// The same on a device of one's choice.
    ///
    /// # Errors
    /// Those of [`Autoencoder::open`], and [`Error::Device`] when the device cannot be used.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let folder = folder.path();
    /// model.save(folder.join("small"))?;
    /// let opened = Autoencoder::open_on(folder.join("small"), Device::Cpu)?;
    /// assert_eq!(opened.score(data.test())?.values.len(), 48);
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn open_on(path: impl AsRef<Path>, device: Device) -> Result<Self> {
        let [weights_path, description_path] = paths(&expand_home(path)?);
        let description = read_description(&description_path)?;
        let plan = description.architecture.plan(description.image_shape).map_err(|misfit| {
            let found = format!("layers that do not fit ({misfit})");
            Error::format(&description_path, found, "a model's description", SAVE_AGAIN)
        })?;
        let mut saved = tensors::open(&weights_path, SAVE_AGAIN)?.tensors;
        let n_saved = saved.len();
        let network = Network::from_named(plan, |name| saved.remove(name), device.choose()?.device)?;
        if !saved.is_empty() {
            let found = format!("{n_saved} tensors where the architecture has {}", n_saved - saved.len());
            return Err(Error::format(&weights_path, found, "whole safetensors weights", SAVE_AGAIN));
        }
        let Description { architecture, training, history, trained_on, .. } = description;
        Ok(Self::new(architecture, training, history, trained_on, network))
    }
}

impl Autoencoder {
    /// The history of a saved model, without its weights.
    pub(super) fn open_history(path: &Path) -> Result<History> {
        let [_, description_path] = paths(path);
        read_description(&description_path).map(|description| description.history)
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

/// What to do about a model's files that cannot be used.
const SAVE_AGAIN: &str = "save the model again";

fn read_description(path: &Path) -> Result<Description> {
    read_versioned(path, "a model's description", FORMAT_VERSION, SAVE_AGAIN)
}
