//! What the TOML files of `diabolo train` and `diabolo sweep` say, in the words of the notebook's own settings.

use anyhow::{Context, Result, anyhow};
use diabolo::model::Architecture;
use diabolo::prelude::{Evaluation, OpenOptions, Split, Training, open_with};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use std::path::{Path, PathBuf};

/// A run.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Train {
    /// The run folder.
    pub folder: PathBuf,
    #[serde(deserialize_with = "architecture")]
    pub architecture: Architecture,
    pub data: Data,
    #[serde(default)]
    pub training: Training,
}

/// A sweep. It repeats the fields of a run, since serde cannot refuse unknown keys of structures that it flattens.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sweeping {
    /// The folder of the results.
    pub folder: PathBuf,
    #[serde(deserialize_with = "architecture")]
    pub architecture: Architecture,
    pub data: Data,
    #[serde(default)]
    pub training: Training,
    /// Held-out classes; none for all pairs.
    #[serde(default)]
    pub pairs: Vec<[String; 2]>,
    #[serde(default = "only_reconstruction")]
    pub evaluations: Vec<Evaluation>,
}

/// Which images.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// As in a notebook: a name or a path.
    pub open: PathBuf,
    /// How it is opened: the size of images, the draw of test images, limits.
    #[serde(default)]
    pub options: OpenOptions,
    /// Classes that training does not see.
    #[serde(default)]
    pub hold_out: Vec<String>,
    /// How many of the training images to take; all if it is left out.
    pub first: Option<usize>,
}

fn only_reconstruction() -> Vec<Evaluation> {
    vec![Evaluation::Reconstruction]
}

impl Data {
    /// Opens the images.
    pub fn split(&self) -> Result<Split> {
        let mut split = open_with(&self.open, self.options.clone())?;
        if !self.hold_out.is_empty() {
            split = split.hold_out(&self.hold_out.iter().map(String::as_str).collect::<Vec<_>>())?;
        }
        if let Some(first) = self.first {
            split.train = split.train.first(first)?;
        }
        Ok(split)
    }
}

/// A ready-made network by its name, or one that is written out.
fn architecture<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Architecture, D::Error> {
    match toml::Value::deserialize(deserializer)? {
        toml::Value::String(name) => match name.as_str() {
            "report_cnn" => Ok(Architecture::report_cnn()),
            "fcn" => Ok(Architecture::fcn()),
            "conv" => Ok(Architecture::conv()),
            "vae" => Ok(Architecture::vae()),
            _ => Err(D::Error::custom(format!(
                "unknown network `{name}`, expected one of `report_cnn`, `fcn`, `conv`, `vae`, or a table with name, \
                 encoder and decoder"
            ))),
        },
        written => Architecture::deserialize(written).map_err(D::Error::custom),
    }
}

/// Reads a file.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    parse(&text).with_context(|| format!("reading {}", path.display()))
}

/// Reads TOML; a key or value that is not known is answered with the nearest one that is.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T> {
    toml::from_str(text).map_err(|error| {
        let message = error.to_string();
        match nearest_known(error.message()) {
            Some(nearest) => anyhow!("{}\ndid you mean `{nearest}`?", message.trim_end()),
            None => anyhow!("{}", message.trim_end()),
        }
    })
}

/// Serde says "unknown field `a`, expected one of `b`, `c`"; the nearest of those after the first.
fn nearest_known(message: &str) -> Option<&str> {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let found = quoted.next().filter(|_| message.starts_with("unknown "))?;
    let scored = quoted.map(|known| (strsim::jaro_winkler(found, known), known));
    scored.filter(|(score, _)| *score > 0.7).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use diabolo::prelude::Optimizer;

    const WHOLE: &str = "folder = 'runs/a'\narchitecture = 'fcn'\n[data]\nopen = 'scenes'\n[training]\nepochs = 3\n";

    #[track_caller]
    fn check_refused(text: &str, parts: &[&str]) {
        let message = parse::<Train>(text).unwrap_err().to_string();
        for part in parts {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn settings_are_those_of_the_notebook() {
        let text = WHOLE.replace("epochs = 3", "epochs = 3\noptimizer = { sgd = { momentum = 0.8 } }");
        let training = parse::<Train>(&text).unwrap().training;
        let expected = Training { optimizer: Optimizer::Sgd { momentum: 0.8 }, ..Training::default().epochs(3) };
        assert_eq!(training, expected);
    }

    #[test]
    fn images_are_opened_with_the_options_of_the_notebook() {
        let options = "open = 'scenes'\noptions = { size_px = 64, seed = 7 }";
        let data = parse::<Train>(&WHOLE.replace("open = 'scenes'", options)).unwrap().data;
        assert_eq!(data.options, OpenOptions::default().size_px(64).seed(7));
        assert_eq!(parse::<Train>(WHOLE).unwrap().data.options, OpenOptions::default());
        check_refused(
            &WHOLE.replace("open = 'scenes'", &options.replace("size_px", "size")),
            &["did you mean `size_px`?"],
        );
    }

    #[test]
    fn a_network_can_be_written_out() {
        let written = "architecture = { name = 'tiny', encoder = 'Linear(3072, 8)', decoder = 'Linear(8, 3072)' }";
        let text = WHOLE.replace("architecture = 'fcn'", written);
        assert_eq!(parse::<Train>(&text).unwrap().architecture.name, "tiny");
        check_refused(&text.replace("Linear(8", "Linaer(8"), &["decoder layer 1", "did you mean Linear?"]);
    }

    #[test]
    fn an_unknown_key_is_answered_with_its_line_and_the_nearest_one() {
        check_refused(
            &WHOLE.replace("epochs", "epoch"),
            &["line 6", "unknown field `epoch`", "did you mean `epochs`?"],
        );
        check_refused(&WHOLE.replace("folder", "foldr"), &["line 1", "did you mean `folder`?"]);
        check_refused(&WHOLE.replace("open", "opne"), &["did you mean `open`?"]);
        check_refused(&WHOLE.replace("fcn", "con"), &["line 2", "unknown network `con`", "did you mean `conv`?"]);
        check_refused(&(WHOLE.to_string() + "optimizer = 'adamw'"), &["line 7", "did you mean `adam_w`?"]);
    }

    #[test]
    fn what_is_missing_or_of_another_type_is_named() {
        check_refused(&WHOLE.replace("architecture = 'fcn'\n", ""), &["missing field `architecture`"]);
        check_refused(&WHOLE.replace("= 3", "= 'many'"), &["line 6", "epochs = 'many'", "invalid type"]);
        check_refused("folder = [", &["TOML parse error"]);
    }
}
