//! `run.json`: the network, data and settings of a run folder.

use super::START_ANEW;
use super::json::{read_versioned, write_json};
use super::model::Layers;
use crate::data::{DataDescription, Split};
use crate::model::{Architecture, Plan};
use crate::train::Training;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::path::Path;

/// A change that older code would misread raises the number.
const FORMAT_VERSION: u32 = 1;
const FILE: &str = "run.json";

/// The content of `run.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Description {
    format_version: u32,
    /// Version of diabolo that began it.
    diabolo: String,
    pub(super) data: DataDescription,
    pub(super) architecture: Architecture,
    layers: Layers,
    pub(super) training: Training,
}

impl Description {
    pub(super) fn new(architecture: &Architecture, split: &Split, training: &Training) -> Result<Self> {
        let plan = architecture.plan(split.train().shape())?;
        Ok(Self {
            format_version: FORMAT_VERSION,
            diabolo: env!("CARGO_PKG_VERSION").into(),
            data: DataDescription::of(split)?,
            architecture: architecture.clone(),
            layers: Layers { encoder: plan.encoder_notation(), decoder: plan.decoder_notation() },
            training: training.clone(),
        })
    }

    /// What it has in common with those of other processes, where each has a share of the images.
    pub(super) fn of_all_shares(&self) -> Self {
        let data = DataDescription { n_train: 0, fingerprint: "a share of the images".into(), ..self.data.clone() };
        Self { data, ..self.clone() }
    }

    pub(super) fn open(folder: &Path) -> Result<Self> {
        read_versioned(&folder.join(FILE), "a run's description", FORMAT_VERSION, START_ANEW)
    }

    /// The description in a folder; `None` where there is none.
    pub(super) fn find(folder: &Path) -> Result<Option<Self>> {
        match Self::open(folder) {
            Err(Error::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
            found => found.map(Some),
        }
    }

    pub(super) fn save(&self, folder: &Path) -> Result<()> {
        write_json(&folder.join(FILE), self)
    }

    pub(super) fn plan(&self) -> Result<Plan> {
        self.architecture.plan(self.data.image_shape)
    }

    /// Refuses to resume the training described here with other settings.
    pub(super) fn check_same(&self, folder: &Path, wanted: &Self) -> Result<()> {
        match self.difference(wanted) {
            None => Ok(()),
            Some(difference) => Err(Error::data(
                format!("going on with the training in {}", folder.display()),
                difference,
                "the settings and data that it was begun with",
                START_ANEW,
            )),
        }
    }

    /// The first setting that differs, with both values. Where to compute and how long may change.
    fn difference(&self, wanted: &Self) -> Option<String> {
        let comparable = |description: &Self| {
            let Training { device, max_seconds, epochs, watch_every, .. } = Training::default();
            let training = Training { device, max_seconds, epochs, watch_every, ..description.training.clone() };
            let diabolo = String::new();
            serde_json::to_value(Self { diabolo, training, ..description.clone() }).expect("plain values are JSON")
        };
        first_difference("", &comparable(self), &comparable(wanted))
    }
}

/// The first place where two JSON values differ, as in "seed 0 there, and 7 here".
pub(crate) fn first_difference(name: &str, found: &Value, wanted: &Value) -> Option<String> {
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
