//! The networks at the report's full length, which come with the notebooks because their training takes hours.

use super::quick_or_full;
use crate::Result;
use crate::data::Split;
use crate::display::show_text;
use crate::files::expand_home;
use crate::run::read_versioned;
use crate::train::Autoencoder;
use serde::Deserialize;
use std::path::Path;

/// The list of models, in their folder.
const LIST: &str = "models.json";
/// What the list is written in. A change that older code would misread raises the number.
const FORMAT_VERSION: u32 = 1;

/// The content of the list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Models {
    #[serde(rename = "format_version")]
    _format_version: u32,
    models: Vec<Entry>,
}

/// One model of the list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// Its files' name without their ending.
    name: String,
    /// The name of its network.
    network: String,
    /// The data's name.
    data: String,
    held_out: Vec<String>,
    /// Where and how it was trained, as a clause.
    trained: String,
    /// What makes it again.
    command: String,
}

impl Entry {
    fn is_of(&self, model: &Autoencoder, split: &Split) -> bool {
        let mut held_out = split.held_out().to_vec();
        held_out.sort();
        self.network == model.name() && self.data == split.name() && self.held_out == held_out
    }
}

/// The same network after its full training, where `folder` has one for these data and held-out classes; else the model
/// itself. Says which of both it is, how it was trained and what trains it again.
///
/// With `cargo diabolo report --full` the model was trained in full already and is taken as it is.
///
/// # Errors
/// Those of [`Autoencoder::open`], and [`Error::Format`](crate::Error::Format) for a damaged `models.json`.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// # let folder = tempfile::tempdir().unwrap();
/// # let models = folder.path();
/// // A folder without a list has no model for anything.
/// let same = full_length(&model, &data, models)?;
/// assert_eq!(same.score(data.test())?, model.score(data.test())?);
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn full_length(model: &Autoencoder, split: &Split, folder: impl AsRef<Path>) -> Result<Autoencoder> {
    let folder = expand_home(folder.as_ref())?;
    if quick_or_full(false, true)? {
        show_text(&format!("From here on {}: the network of the full training above.", model.name()));
        return Ok(model.clone());
    }
    let list = folder.join(LIST);
    let entry = if list.exists() {
        let models: Models = read_versioned(&list, "a list of models", FORMAT_VERSION, "fetch the notebooks again")?;
        models.models.into_iter().find(|entry| entry.is_of(model, split))
    } else {
        None
    };
    let Some(entry) = entry else {
        show_text(&format!(
            "From here on {}: the network of the short training above, because no full-length model comes with the \
             notebooks for {}{}.",
            model.name(),
            split.name(),
            without(split.held_out())
        ));
        return Ok(model.clone());
    };
    let full = Autoencoder::open_on(folder.join(&entry.name), model.training().device)?;
    show_text(&format!(
        "From here on {}: the full-length model {}, not the short training above. It was trained on {}{} for {} epochs, \
         {}. `{}` trains it again.",
        model.name(),
        entry.name,
        entry.data,
        without(&entry.held_out),
        full.history().epochs.len(),
        entry.trained,
        entry.command
    ));
    Ok(full)
}

fn without(held_out: &[String]) -> String {
    if held_out.is_empty() { String::new() } else { format!(" without {}", held_out.join(" and ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Architecture;
    use crate::train::{Training, fit};
    use std::fs;
    use std::ops::ControlFlow;

    fn scenes(held_out: &[&str]) -> Split {
        crate::data::open("scenes").unwrap().hold_out(held_out).unwrap()
    }

    fn trained(split: &Split, epochs: usize) -> Autoencoder {
        let architecture = Architecture::parse("Linear(3072, 4)", "Linear(4, 3072) / Tanh()").unwrap().named("small");
        fit(architecture, split, Training::default().epochs(epochs), |_| ControlFlow::Continue(())).unwrap()
    }

    /// A folder with a model of three epochs for moon and mushroom.
    fn models() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        trained(&scenes(&["moon", "mushroom"]), 3).save(folder.path().join("small_scenes")).unwrap();
        let list = r#"{"format_version": 1, "models": [{"name": "small_scenes", "network": "small", "data": "scenes",
            "held_out": ["moon", "mushroom"], "trained": "on a CPU", "command": "diabolo train small.toml"}]}"#;
        fs::write(folder.path().join(LIST), list).unwrap();
        folder
    }

    fn epochs_of_full_length(folder: &Path, held_out: &[&str]) -> usize {
        let split = scenes(held_out);
        full_length(&trained(&split, 1), &split, folder).unwrap().history().epochs.len()
    }

    #[test]
    fn a_model_is_found_by_network_data_and_held_out_classes() {
        let folder = models();
        assert_eq!(epochs_of_full_length(folder.path(), &["moon", "mushroom"]), 3);
        assert_eq!(epochs_of_full_length(folder.path(), &["mushroom", "moon"]), 3, "in any order");
        assert_eq!(epochs_of_full_length(folder.path(), &["boat", "car"]), 1, "the model itself");
        assert_eq!(epochs_of_full_length(&folder.path().join("missing"), &["moon", "mushroom"]), 1);
    }

    #[test]
    fn a_damaged_list_is_an_error() {
        let folder = models();
        fs::write(folder.path().join(LIST), r#"{"format_version": 1, "models": [{"name": "small"}]}"#).unwrap();
        let split = scenes(&["moon", "mushroom"]);
        let message = full_length(&trained(&split, 1), &split, folder.path()).unwrap_err().to_string();
        assert!(message.contains("models.json") && message.contains("fetch the notebooks again"), "{message}");
    }
}
