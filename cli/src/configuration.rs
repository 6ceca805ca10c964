//! The TOML files of `diabolo train` and `diabolo sweep`; keys are those of the notebook's settings.

use anyhow::{Context, Result, anyhow, bail};
use diabolo::error::nearest;
use diabolo::files::expand_home;
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
    /// Seeds of the trainings for each pair; none for that of `training`.
    #[serde(default)]
    pub seeds: Vec<u64>,
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
    /// Whether each of several processes opens only its share of the images, for more than one memory holds.
    #[serde(default)]
    pub share: bool,
}

fn only_reconstruction() -> Vec<Evaluation> {
    vec![Evaluation::Reconstruction]
}

impl Data {
    /// Opens the images.
    pub fn split(&self) -> Result<Split> {
        self.split_of(0, 1)
    }

    /// Opens the images of one of several processes.
    pub fn split_of(&self, rank: usize, n_processes: usize) -> Result<Split> {
        let mut options = self.options.clone();
        if self.share && n_processes > 1 {
            options = options.share(rank, n_processes);
        }
        let mut split = open_with(&self.open, options)?;
        if !self.hold_out.is_empty() {
            split = split.hold_out(&self.hold_out.iter().map(String::as_str).collect::<Vec<_>>())?;
        }
        if let Some(first) = self.first {
            let first = if self.share { (first + n_processes - 1 - rank) / n_processes } else { first };
            split = split.train_on_first(first)?;
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

/// What a settings file says.
pub trait Settings: DeserializeOwned {
    /// The paths in it, by their keys: the folder that is written to, and the data that are opened.
    fn paths(&mut self) -> [(&'static str, &mut PathBuf); 2];
}

impl Settings for Train {
    fn paths(&mut self) -> [(&'static str, &mut PathBuf); 2] {
        [("folder", &mut self.folder), ("open", &mut self.data.open)]
    }
}

impl Settings for Sweeping {
    fn paths(&mut self) -> [(&'static str, &mut PathBuf); 2] {
        [("folder", &mut self.folder), ("open", &mut self.data.open)]
    }
}

/// Reads a file. The paths in it are relative to its own folder, so that it means the same from everywhere.
pub fn read<T: Settings>(path: &Path) -> Result<T> {
    let path = &expand_home(path)?;
    let reading = || format!("reading {}", path.display());
    let bytes = std::fs::read(path).with_context(reading)?;
    let mut settings: T = text(bytes).and_then(|text| parse(&text)).with_context(reading)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    for (key, path) in settings.paths() {
        *path = beside(folder, key, path).with_context(reading)?;
    }
    Ok(settings)
}

/// A file as text. Windows' programs write UTF-16, with a mark at its beginning.
fn text(bytes: Vec<u8>) -> Result<String> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        bail!("found text in UTF-16, wanted UTF-8; save it as UTF-8");
    }
    String::from_utf8(bytes).map_err(|error| {
        let n_lines =
            error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|&&byte| byte == b'\n').count();
        anyhow!("found bytes in line {} that are no UTF-8, wanted text in UTF-8; save it as UTF-8", n_lines + 1)
    })
}

/// Reads TOML; a key or value that is not known is answered with the nearest one that is.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T> {
    toml::from_str(text).map_err(|error| {
        let message = error.to_string();
        let hint = match nearest_known(error.message()) {
            Some(nearest) => format!("\ndid you mean `{nearest}`?"),
            None if error.message().contains("escape") => format!("\n{ABOUT_BACKSLASHES}"),
            None => String::new(),
        };
        anyhow!("{}{hint}", message.trim_end())
    })
}

const ABOUT_BACKSLASHES: &str = "in double quotes a backslash begins an escape, as in \"\\n\" for a new line; write paths \
                                 with /, as in \"C:/photos\"";

/// A path of a settings file in `folder`. Names of data sets, whole paths and those from `~` mean the same everywhere.
fn beside(folder: &Path, key: &str, path: &Path) -> Result<PathBuf> {
    // What "C:\new" says is a line break and "ew".
    if path.to_string_lossy().contains(char::is_control) {
        bail!("`{key}` has a control character in it: {ABOUT_BACKSLASHES}");
    }
    let is_name = key == "open" && diabolo::data::names().iter().any(|name| path == Path::new(name));
    Ok(if is_name { path.into() } else { folder.join(expand_home(path)?) })
}

/// Serde says "unknown field `a`, expected one of `b`, `c`"; the nearest of those after the first.
fn nearest_known(message: &str) -> Option<&str> {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let found = quoted.next().filter(|_| message.starts_with("unknown "))?;
    nearest(found, quoted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use diabolo::model::Layer;
    use diabolo::prelude::{Device, Optimizer};

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

    /// The trainings that the report describes are those of the crate.
    #[test]
    fn the_full_length_files_have_the_settings_of_the_report() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../notebooks/full");
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "toml") {
                continue;
            }
            let stem = path.file_stem().unwrap().to_str().unwrap();
            // What a sweep measures is in its file.
            let (name, training) = if std::fs::read_to_string(&path).unwrap().contains("evaluations = ") {
                let sweep: Sweeping = read(&path).unwrap();
                (sweep.architecture.name, sweep.training)
            } else {
                let run: Train = read(&path).unwrap();
                (run.architecture.name, run.training)
            };
            // One setting is another: with AdamW the network learns sooner.
            let adam = Training::report_cnn().optimizer(Optimizer::AdamW { weight_decay: 0.01 });
            let wanted = match (name.as_str(), stem) {
                // Many trainings, so fewer epochs.
                (_, "fcn_all_pairs") => Training::report_fcn().epochs(100),
                (_, "fcn_seeds") => Training::report_fcn().epochs(30),
                ("fcn", _) => Training::report_fcn(),
                (_, "report_cnn_adam_automobile_ship") => adam.epochs(60),
                (_, "report_cnn_adam_seeds") => adam.epochs(20),
                (_, "report_cnn_adam_ship_truck") => adam.epochs(10),
                // A sixth of the images, so more epochs.
                (_, "report_cnn_adam_scenes") => adam.epochs(200),
                _ => Training::report_cnn(),
            };
            let wanted = Training { device: training.device, watch_every: training.watch_every, ..wanted };
            assert_eq!(training, wanted, "{}", path.display());
        }
    }

    /// What is tried instead of the report's settings is one change each, so that it is known what did it.
    #[test]
    fn each_setting_that_is_tried_is_one_change_of_the_report_s() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../notebooks/full/settings");
        let reported = || Training { watch_every: Some(10), ..Training::report_cnn().epochs(20).device(Device::Cpu) };
        let with_rate = |learning_rate| Training { learning_rate, ..reported() };
        let tried = [
            ("as_reported", reported()),
            ("rate_1e-2", with_rate(1e-2)),
            ("rate_1e-1", with_rate(1e-1)),
            ("adam_w", reported().optimizer(Optimizer::AdamW { weight_decay: 0.01 })),
            ("no_dropout", reported()),
        ];
        for (stem, wanted) in tried {
            let run: Train = read(&folder.join(stem).with_extension("toml")).unwrap();
            assert_eq!(run.training, wanted, "{stem}");
            let mut network = Architecture::report_cnn();
            if stem == "no_dropout" {
                for layers in [&mut network.encoder, &mut network.decoder] {
                    layers.retain(|layer| !matches!(layer, Layer::Dropout { .. }));
                }
            }
            assert_eq!(run.architecture.encoder, network.encoder, "{stem}");
            assert_eq!(run.architecture.decoder, network.decoder, "{stem}");
        }
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
    fn paths_are_relative_to_the_file_and_names_stay() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("run.toml");
        let read = |text: &str| {
            std::fs::write(&file, text).unwrap();
            read::<Train>(&file).map(|train| (train.folder, train.data.open))
        };
        let here = folder.path();
        assert_eq!(read(WHOLE).unwrap(), (here.join("runs/a"), "scenes".into()));
        let path = WHOLE.replace("'scenes'", "'photographs'");
        assert_eq!(read(&path).unwrap(), (here.join("runs/a"), here.join("photographs")));
        let whole = path.replace("runs/a", "/runs/a").replace("photographs", "~/photographs");
        let home = expand_home("~/photographs").unwrap();
        assert_eq!(read(&whole).unwrap(), ("/runs/a".into(), home));
        // A run folder may be called as data are.
        assert_eq!(read(&WHOLE.replace("runs/a", "scenes")).unwrap().0, here.join("scenes"));
        for escaped in [r#""C:\photos""#, r#""data\new""#] {
            let message = format!("{:#}", read(&WHOLE.replace("'scenes'", escaped)).unwrap_err());
            assert!(message.contains("write paths with /"), "{message}");
        }
    }

    #[test]
    fn text_that_is_not_utf8_is_called_so() {
        let message = |bytes: &[u8]| text(bytes.to_vec()).unwrap_err().to_string();
        let utf16 = "a = 1".encode_utf16().flat_map(u16::to_le_bytes);
        assert!(message(&Vec::from_iter([0xff, 0xfe].into_iter().chain(utf16))).contains("found text in UTF-16"));
        assert!(message(b"a = 1\nb = 'caf\xe9'").contains("line 2"));
    }

    #[test]
    fn what_is_missing_or_of_another_type_is_named() {
        check_refused(&WHOLE.replace("architecture = 'fcn'\n", ""), &["missing field `architecture`"]);
        check_refused(&WHOLE.replace("= 3", "= 'many'"), &["line 6", "epochs = 'many'", "invalid type"]);
        check_refused("folder = [", &["TOML parse error"]);
    }
}
