//! The models that come with the notebooks: what PyTorch says of them, and whether the code still trains them.

use diabolo::ndarray::Array4;
use diabolo::prelude::*;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The models' folder, where it is; a package of the crate lacks it.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn models() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("notebooks/models");
    if !folder.exists() {
        eprintln!("skipped: the models are beside the notebooks, in the repository");
    }
    folder.exists().then_some(folder)
}

/// The entries of models.json.
fn entries(folder: &Path) -> Vec<Value> {
    let list: Value = serde_json::from_slice(&std::fs::read(folder.join("models.json")).unwrap()).unwrap();
    list["models"].as_array().unwrap().clone()
}

/// As in tests/fixtures/make_shipped_models.py.
fn drawn_images(n: usize) -> Images {
    let value = |(image, channel, y, x): (usize, usize, usize, usize)| {
        ((image * 37 + channel * 50 + (image + 1) * y * 3 + (channel + 2) * x * 2) % 256) as u8
    };
    Images::from_bytes(Array4::from_shape_fn((n, 3, 32, 32), value)).unwrap()
}

#[test]
fn scores_are_those_of_pytorch() {
    let Some(folder) = models() else { return };
    let wanted: Value = serde_json::from_str(include_str!("fixtures/shipped_models.json")).unwrap();
    let images = drawn_images(8);
    for entry in entries(&folder) {
        let name = entry["name"].as_str().unwrap();
        let model = Autoencoder::open_on(folder.join(name), Device::Cpu).unwrap();
        let wanted = wanted[name].as_array().unwrap();
        assert_eq!(wanted.len(), images.len());
        for (score, wanted) in model.score(&images).unwrap().values.iter().zip(wanted) {
            let wanted = wanted.as_f64().unwrap();
            assert!((score - wanted).abs() <= 1e-5 * wanted.max(1.0), "{name}: {score} and {wanted}");
        }
    }
}

#[test]
fn together_they_are_small() {
    let Some(folder) = models() else { return };
    let n_bytes: u64 = folder.read_dir().unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(n_bytes < 12_000_000, "{n_bytes} bytes");
}

/// The data of the models that need no download.
fn scenes(entry: &Value) -> Split {
    let held_out: Vec<&str> = entry["held_out"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    open("scenes").unwrap().hold_out(&held_out).unwrap()
}

fn of_scenes(folder: &Path) -> Vec<(String, Autoencoder, Split)> {
    let entries = entries(folder).into_iter().filter(|entry| entry["data"] == "scenes");
    let opened = entries.map(|entry| {
        let name = entry["name"].as_str().unwrap().to_owned();
        let model = Autoencoder::open_on(folder.join(&name), Device::Cpu).unwrap();
        (name, model, scenes(&entry))
    });
    opened.collect()
}

/// Those of CIFAR-10: tests/which_pair.rs.
#[test]
fn their_list_has_the_numbers_of_those_of_scenes() {
    let Some(folder) = models() else { return };
    let list = std::fs::read_to_string(folder.join("README.md")).unwrap();
    for (name, model, data) in of_scenes(&folder) {
        let (explained, auc) =
            (model.history().learnt.unwrap().variance_explained, model.score(data.test()).unwrap().auc());
        let numbers = format!("| {explained:.4} | {:.4} |", auc.unwrap());
        assert!(list.lines().any(|line| line.contains(&name) && line.ends_with(&numbers)), "{name}: {numbers}");
    }
}

/// Models that are shipped cannot drift from the code: it makes the first two epochs of their history.
#[test]
fn the_first_epochs_are_those_of_the_history() {
    let Some(folder) = models() else { return };
    for (_, shipped, data) in of_scenes(&folder) {
        let training = Training { watch_every: None, ..shipped.training().clone().epochs(2).device(Device::Cpu) };
        let again = train(shipped.architecture().clone(), &data, training).unwrap();
        let losses = |model: &Autoencoder| {
            let epochs = model.history().epochs.iter().take(2).map(|epoch| epoch.loss_mean);
            [model.history().loss_first.unwrap()].into_iter().chain(epochs).collect::<Vec<_>>()
        };
        // AdamW makes whole steps of the rounding in the gradients of biases in front of a batch norm: with one thread and
        // with two, the second epoch of report_cnn differed by 0.8 %.
        let tolerance = if shipped.name() == "report_cnn" { 0.02 } else { 1e-3 };
        for (loss, wanted) in losses(&again).iter().zip(losses(&shipped)) {
            let difference = (loss / wanted - 1.0).abs();
            assert!(difference < tolerance, "{}: {loss} and {wanted}", shipped.name());
        }
    }
}
