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

/// The models by name, with their data: CIFAR-10 only where it is.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn opened(folder: &Path) -> Vec<(String, Autoencoder, Option<Split>)> {
    let cifar10 = std::env::var_os("DIABOLO_DATA").map(|data| Path::new(&data).join("cifar-10-batches-bin"));
    if cifar10.is_none() {
        eprintln!("models of CIFAR-10 are not scored: DIABOLO_DATA does not name a folder with cifar-10-batches-bin/");
    }
    let with_data = |entry: Value| {
        let name = entry["name"].as_str().unwrap().to_owned();
        let model = Autoencoder::open_on(folder.join(&name), Device::Cpu).unwrap();
        let path = if entry["data"] == "scenes" { Some("scenes".into()) } else { cifar10.clone() };
        let held_out: Vec<&str> = entry["held_out"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        (name, model, path.map(|path| open(path).unwrap().hold_out(&held_out).unwrap()))
    };
    entries(folder).into_iter().map(with_data).collect()
}

#[test]
fn models_are_what_their_list_says() {
    let Some(folder) = models() else { return };
    let list = std::fs::read_to_string(folder.join("README.md")).unwrap();
    for (name, model, data) in opened(&folder) {
        let n_epochs = match name.as_str() {
            "report_cnn_adam_automobile_ship" => 60,
            "report_cnn_adam_scenes" => 200,
            _ => 1000,
        };
        assert_eq!(model.history().epochs.len(), n_epochs, "{name}");
        let learnt = model.history().learnt.as_ref().unwrap();
        let line = list.lines().find(|line| line.starts_with(&format!("| `{name}`"))).unwrap();
        assert!(line.contains(&format!("| {:.4} |", learnt.variance_explained)), "{line}: {learnt:?}");
        let Some(data) = data else { continue };
        let auc = model.score(data.test()).unwrap().auc().unwrap();
        assert!(line.ends_with(&format!("| {auc:.4} |")), "{line}: {auc}");
        if name.ends_with("automobile_ship") {
            check_words_on_model(&model, &data);
        }
    }
}

/// What the text on held-out pairs says of this model.
fn check_words_on_model(model: &Autoencoder, data: &Split) {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/WHICH_PAIR.md")).unwrap();
    let ways = [Reconstruction, KMeans(3), KMeans(5), Pca(2), Pca(3)];
    let ways = if model.name() == "fcn" { &ways[..1] } else { &ways };
    let table = score_table_fitted_on_test(model, data, ways).unwrap();
    let aucs: Vec<f64> = ways.iter().map(|way| table.scores(way).unwrap().auc().unwrap()).collect();
    let words = match aucs[..] {
        [auc] => format!("`fcn` has {auc:.3} after the report's 1000 epochs"),
        [auc, of_three, of_five, of_two_axes, of_three_axes] => format!(
            "`report_cnn` {auc:.3} after 60, K-means on its codes {of_three:.3} and {of_five:.3}, PCA {of_two_axes:.3} and \
             {of_three_axes:.3}"
        ),
        _ => unreachable!("one AUC or five"),
    };
    assert!(text.contains(&words), "{words}");
}

/// Models that are shipped cannot drift from the code: it makes the first two epochs of their history.
#[test]
fn the_first_epochs_are_those_of_the_history() {
    let Some(folder) = models() else { return };
    let scenes = opened(&folder).into_iter().filter(|(_, model, _)| model.trained_on() == "scenes");
    for (_, shipped, data) in scenes {
        let data = data.unwrap();
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
