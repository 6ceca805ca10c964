//! Architectures, trainings, and models and runs on disk.

use super::{Case, case};
use diabolo::Result;
use diabolo::ndarray::Array4;
use diabolo::prelude::*;
use diabolo::run::fit_in;
use diabolo::sweep;
use diabolo::train::fit;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::OnceLock;

pub fn cases() -> Vec<Case> {
    let groups = [notation_cases(), shape_cases(), training_cases(), model_cases(), run_cases(), sweep_cases()];
    groups.into_iter().flatten().collect()
}

fn notation_cases() -> Vec<Case> {
    let encoder = |text: &'static str| move |_: &Path| Architecture::parse(text, "Linear(8, 3072)");
    vec![
        case("no encoder", encoder(""), &["encoder: found 0 layers", "wanted 1 to 1000"]),
        case("an unknown layer", encoder("Linaer(3072, 8)"), &["line 1, column 1", "did you mean Linear?"]),
        case("a bracket left open", encoder("Linear(3072, 8"), &["the end of the text", "brackets"]),
        case("a layer without brackets", encoder("ReLU / Tanh()"), &["write ReLU(...)"]),
        case("too few numbers", encoder("Linear(3072)"), &["Linear(3072)"]),
        case("too many numbers", encoder("Linear(3072, 8, 9, 10, 11)"), &["Linear(3072, 8, 9, 10, 11)"]),
        case("a number of nothing", encoder("Linear(3072, 0)"), &["Linear(3072, 0)", "1"]),
        case("a negative number", encoder("Linear(3072, -8)"), &["-8"]),
        case("a division by nothing", encoder("Linear(3072, 8 // 0)"), &["`// 0)`", "divide by none that is 0"]),
        case("a number beyond all", encoder("Linear(3072, 99999999999999999999)"), &["a number up to"]),
        case("a kernel that is no square", encoder("Conv2d(3, 8, (3, 5))"), &["(3, 5)"]),
        case("dropout of all", encoder("Dropout(1.5)"), &["Dropout(1.5)"]),
        case("a Gaussian that is no bottleneck", encoder("Gaussian(8) / Linear(8, 8)"), &["Gaussian", "last layer"]),
        case(
            "brackets without end",
            |_| Architecture::parse(&format!("Linear({}", "(".repeat(10_000)), "Tanh()"),
            &["nested at most 32 deep"],
        ),
        case(
            "a text without end",
            |_| Architecture::parse(&"x".repeat(100_001), "Tanh()"),
            &["a text of 100001 bytes"],
        ),
    ]
}

fn shape_cases() -> Vec<Case> {
    let plan = |encoder: &'static str, decoder: &'static str| {
        move |_: &Path| Architecture::parse(encoder, decoder)?.plan([3, 32, 32])
    };
    vec![
        case(
            "a layer that does not fit",
            plan("Linear(3072, 8) / Linear(9, 8)", "Linear(8, 3072)"),
            &["Linear(9, 8)", "[8] reaching it", "Linear(8, 9) would fit"],
        ),
        case(
            "layers written the other way round",
            plan("Linear(3072, 32)", "Linear(96, 32)"),
            &["(out, in)", "Linear(32, 96)"],
        ),
        case(
            "channels that do not fit",
            plan("Conv2d(1, 8, 3)", "Linear(8, 3072)"),
            &["Conv2d(1, 8, 3", "[3, 32, 32]"],
        ),
        case("a kernel larger than the image", plan("Conv2d(3, 8, 40)", "Linear(8, 3072)"), &["Conv2d(3, 8, 40"]),
        case("a decoder that gives no image", plan("Linear(3072, 8)", "Linear(8, 100)"), &["100", "3072"]),
        case("an image of no pixels", |_| Architecture::conv().plan([3, 0, 32]), &["[3, 0, 32]", "at least 1"]),
        case("a vast image", |_| Architecture::conv().plan([3, usize::MAX, 32]), &["wanted [channels, height, width]"]),
        case("sides that do not halve", |_| Architecture::conv().adapted_to([1, 28, 28]), &["size_px(32)"]),
        case(
            "layers of more than any memory",
            plan("Linear(3072, 2000000000)", "Linear(2000000000, 3072)"),
            &["2000000000"],
        ),
    ]
}

/// A few images of `scenes`, two classes of which are anomalies.
pub fn few() -> &'static Split {
    static FEW: OnceLock<Split> = OnceLock::new();
    FEW.get_or_init(|| {
        let split = open("scenes").unwrap().hold_out(&["boat", "car"]).unwrap();
        let some = |images: &Images| images.select(&Vec::from_iter((0..40).map(|index| index * 49))).unwrap();
        Split::new("a few scenes", some(split.train()), some(split.test())).unwrap()
    })
}

fn small() -> Architecture {
    Architecture::parse("Linear(3072, 4)", "Linear(4, 3072) / Tanh()").unwrap().named("small")
}

fn quick() -> Training {
    Training::default().epochs(1).device(Device::Cpu)
}

fn train_small(training: Training) -> Result<Autoencoder> {
    fit(small(), few(), training, |_| ControlFlow::Continue(()))
}

pub fn model() -> &'static Autoencoder {
    static MODEL: OnceLock<Autoencoder> = OnceLock::new();
    MODEL.get_or_init(|| train_small(quick()).unwrap())
}

pub fn test_images() -> &'static Images {
    few().test()
}

fn training_cases() -> Vec<Case> {
    let with = |training: Training| move |_: &Path| train_small(training.clone());
    vec![
        case("no epochs", with(quick().epochs(0)), &["setting epochs: found 0", "1 or more"]),
        case("epochs beyond counting", with(quick().epochs(usize::MAX)), &["setting epochs", "1 to 1000000000"]),
        case("batches of nothing", with(quick().batch_size(0)), &["setting batch_size: found 0"]),
        case(
            "batches beyond counting",
            with(quick().batch_size(usize::MAX)),
            &["setting batch_size", "1 to 1000000000"],
        ),
        case(
            "a negative rate",
            with(Training { learning_rate: -1.0, ..quick() }),
            &["learning_rate: found -1", "1e-3"],
        ),
        case("a rate that is no number", with(Training { learning_rate: f64::NAN, ..quick() }), &["found NaN"]),
        case(
            "a momentum of 1",
            with(Training { optimizer: Optimizer::Sgd { momentum: 1.0 }, ..quick() }),
            &["momentum"],
        ),
        case(
            "a negative decay",
            with(Training { optimizer: Optimizer::AdamW { weight_decay: -0.1 }, ..quick() }),
            &["setting weight_decay: found -0.1"],
        ),
        case(
            "a KL term of infinity",
            with(Training { kl_term: KlTerm::PerPixel(f64::INFINITY), ..quick() }),
            &["kl_term"],
        ),
        case("no time at all", with(quick().max_seconds(0.0)), &["setting max_seconds: found 0"]),
        case("time that is no number", with(quick().max_seconds(f64::NAN)), &["setting max_seconds: found NaN"]),
        case("a GPU that is not there", with(quick().device(Device::Cuda(99))), &["device CUDA 99", "Device::Cpu"]),
        case(
            "an architecture for other images",
            |_| {
                fit(Architecture::parse("Linear(784, 4)", "Linear(4, 784)").unwrap(), few(), quick(), |_| {
                    ControlFlow::Continue(())
                })
            },
            &["Linear(784, 4)", "3072"],
        ),
        case(
            "a batch of more than any memory",
            |_| {
                let images = Images::from_bytes(Array4::zeros((100_000, 1, 1, 1))).unwrap();
                let wide = Architecture::parse("Upsample(30000)", "MaxPool(30000, 30000)").unwrap();
                let split = Split::new("dots", images.clone(), images).unwrap();
                fit(wide, &split, quick().batch_size(100_000), |_| ControlFlow::Continue(()))
            },
            &["training custom: found ", "GB free", "of memory", "smaller batch_size"],
        ),
    ]
}

/// A saved model, of which one file is changed.
fn open_changed(folder: &Path, name: &str, change: impl Fn(Vec<u8>) -> Vec<u8>) -> Result<Autoencoder> {
    model().save(folder.join("model"))?;
    let path = folder.join(name);
    fs::write(&path, change(fs::read(&path).unwrap())).unwrap();
    Autoencoder::open(folder.join("model"))
}

/// The same text with a part replaced, which must be there.
fn replaced(text: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(text.contains(from), "{from} is not in {text}");
    text.replacen(from, to, 1).into_bytes()
}

/// What Git LFS puts in the place of a file that has not been fetched.
pub const LFS_POINTER: &str = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 12345\n";

fn model_cases() -> Vec<Case> {
    const JSON: &str = "model.json";
    const WEIGHTS: &str = "model.safetensors";
    vec![
        case(
            "a model that is not there",
            |f| Autoencoder::open(f.join("none")),
            &["opening", "none.json", "saved under"],
        ),
        case(
            "weights that Git LFS has not fetched",
            |f| open_changed(f, WEIGHTS, |_| LFS_POINTER.into()),
            &[WEIGHTS, "a Git LFS pointer", "git lfs pull"],
        ),
        case(
            "a description that Git LFS has not fetched",
            |f| open_changed(f, JSON, |_| LFS_POINTER.into()),
            &[JSON, "a Git LFS pointer", "git lfs pull"],
        ),
        case(
            "a model without weights",
            |f| {
                model().save(f.join("model"))?;
                fs::remove_file(f.join(WEIGHTS)).unwrap();
                Autoencoder::open(f.join("model"))
            },
            &["opening", WEIGHTS],
        ),
        case(
            "half a description",
            |f| open_changed(f, JSON, |text| text[..text.len() / 2].into()),
            &[JSON, "damaged", "save the model again"],
        ),
        case("a description of nothing", |f| open_changed(f, JSON, |_| b"{}".into()), &[JSON, "damaged"]),
        case(
            "a newer format",
            |f| open_changed(f, JSON, |text| replaced(text, "\"format_version\": 1", "\"format_version\": 9")),
            &["format 9", "newer"],
        ),
        case(
            "an unknown entry",
            |f| open_changed(f, JSON, |text| replaced(text, "{", "{\"colour\": 1,")),
            &[JSON, "colour"],
        ),
        case(
            "an architecture that was damaged",
            |f| open_changed(f, JSON, |text| replaced(text, "Linear(3072, 4)", "Linear(3072, x)")),
            &[JSON, "damaged"],
        ),
        case(
            "an architecture of other weights",
            |f| open_changed(f, JSON, |text| replaced(text, "Linear(3072, 4)", "Linear(3072, 5)")),
            &["model.json", "Linear(4, 3072)", "save the model again"],
        ),
        case(
            "half of the weights",
            |f| open_changed(f, WEIGHTS, |bytes| bytes[..bytes.len() / 2].into()),
            &[WEIGHTS, "save the model again"],
        ),
        case(
            "weights that are a web page",
            |f| open_changed(f, WEIGHTS, |_| b"<html>".into()),
            &[WEIGHTS, "safetensors"],
        ),
        case(
            "weights with a head of terabytes",
            |f| open_changed(f, WEIGHTS, |bytes| [&[0xff; 7], &bytes[7..]].concat()),
            &[WEIGHTS],
        ),
        case(
            "weights of another type",
            |f| open_changed(f, WEIGHTS, |bytes| replaced_bytes(bytes, b"F32", b"I32")),
            &["type I32"],
        ),
        case(
            "images of another shape",
            |_| model().rank(&Images::from_bytes(Array4::zeros((2, 1, 28, 28))).unwrap()),
            &["running small", "[1, 28, 28]", "[3, 32, 32]"],
        ),
        case("ranks of nothing", |_| model().rank(test_images())?.worst(0), &["setting k: found 0", "1 to 40"]),
        case(
            "ranks of more images than there are",
            |_| model().rank(test_images())?.best(41),
            &["setting k: found 41", "9 are the report's"],
        ),
        case("no evaluation", |_| score_table(model(), few(), &[]), &["setting evaluations: found none"]),
        case("an evaluation twice", |_| score_table(model(), few(), &[Pca(2), Pca(2)]), &["pca_2 twice"]),
        case(
            "an evaluation that the table lacks",
            |_| score_table(model(), few(), &[Pca(2)])?.scores(&KMeans(3)).cloned(),
            &["not in this table"],
        ),
        case(
            "more clusters than images",
            |_| score_table(model(), few(), &[KMeans(99)])?.scores(&KMeans(99)).cloned(),
            &["found 99"],
        ),
        case("pictures of no model", |_| compare(&[], few(), 2), &["model"]),
    ]
}

/// The same number of bytes with the first occurrence replaced.
fn replaced_bytes(mut bytes: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    let start = bytes.windows(from.len()).position(|window| window == from).unwrap();
    bytes[start..start + to.len()].copy_from_slice(to);
    bytes
}

fn train_there(folder: &Path, training: Training) -> Result<Autoencoder> {
    fit_in(folder.join("run"), small(), few(), training, |_| ControlFlow::Continue(()))
}

/// A run that has not ended, of which one file is changed.
fn go_on(folder: &Path, name: &str, change: impl Fn(Vec<u8>) -> Vec<u8>) -> Result<Autoencoder> {
    train_there(folder, quick())?;
    ["model.json", "model.safetensors"].iter().for_each(|name| fs::remove_file(folder.join("run").join(name)).unwrap());
    let path = folder.join("run").join(name);
    fs::write(&path, change(fs::read(&path).unwrap())).unwrap();
    train_there(folder, quick())
}

fn run_cases() -> Vec<Case> {
    const STATE: &str = "state.safetensors";
    vec![
        case("a run that is not there", |f| Run::open(f.join("none")), &["opening", "none/run.json"]),
        case(
            "a run that is a file",
            |f| {
                fs::write(f.join("run"), "").unwrap();
                train_there(f, quick())
            },
            &["making the folder", "run"],
        ),
        case(
            "a run of other settings",
            |f| {
                train_there(f, quick())?;
                train_there(f, quick().seed(7))
            },
            &["seed 0 there, and 7 here", "another folder"],
        ),
        case(
            "a run at work elsewhere",
            |f| {
                fs::create_dir(f.join("run")).unwrap();
                let lock = fs::File::create(f.join("run/lock")).unwrap();
                lock.lock().unwrap();
                train_there(f, quick())
            },
            &["another training at work there", "wait for it"],
        ),
        case(
            "a state that Git LFS has not fetched",
            |f| go_on(f, STATE, |_| LFS_POINTER.into()),
            &[STATE, "a Git LFS pointer", "git lfs pull"],
        ),
        case(
            "a run that has learnt nothing yet",
            |f| {
                go_on(f, STATE, |state| state)?;
                ["model.json", STATE].iter().for_each(|name| fs::remove_file(f.join("run").join(name)).unwrap());
                Run::open(f.join("run"))
            },
            &["found nothing yet", "a finished epoch"],
        ),
        case(
            "half a run's description",
            |f| go_on(f, "run.json", |text| text[..99].into()),
            &["run.json", "damaged", "train anew"],
        ),
        case("half a state", |f| go_on(f, STATE, |state| state[..state.len() - 9].into()), &[STATE, "train anew"]),
        case(
            "a state without its steps",
            |f| go_on(f, STATE, |state| replaced_bytes(state, b"n_steps", b"n_stEps")),
            &["no n_steps", "train anew"],
        ),
        case(
            "a state without a moment",
            |f| go_on(f, STATE, |state| replaced_bytes(state, b"first_moment", b"first_mOment")),
            &["no first_moment"],
        ),
        case(
            "a state of endless steps",
            |f| go_on(f, STATE, |state| replaced_bytes(state, b"\"n_steps\":\"1\"", b"\"n_steps\":\"x\"")),
            &["a number of steps that is none", "train anew"],
        ),
        case(
            "a state of fewer weights",
            |f| go_on(f, STATE, |state| replaced_bytes(state, b"last_parameters", b"lost_parameters")),
            &["no last_parameters"],
        ),
    ]
}

fn sweep_cases() -> Vec<Case> {
    let run = |f: &Path, pair: [&str; 2]| {
        let pairs = [pair.map(String::from)];
        let data = open("scenes").unwrap();
        let experiment = sweep::Experiment::new(small(), quick(), &[Reconstruction]);
        sweep::run(&experiment, &data, &pairs, f, |_| ControlFlow::Break(()))
    };
    vec![
        case("a sweep over unknown classes", move |f| run(f, ["boat", "submarine"]), &["\"submarine\""]),
        case("a sweep over one class twice", move |f| run(f, ["boat", "boat"]), &["boat twice"]),
        case(
            "a sweep in a file",
            move |f| {
                fs::write(f.join("x"), "").unwrap();
                run(&f.join("x"), ["boat", "car"])
            },
            &["making the folder"],
        ),
        case(
            "a sweep without a seed",
            |f| {
                let data = open("scenes").unwrap();
                let experiment = sweep::Experiment::new(small(), quick(), &[Reconstruction]).seeds(&[]);
                sweep::run(&experiment, &data, &data.class_pairs(1).unwrap(), f, |_| ControlFlow::Break(()))
            },
            &["setting seeds: found none, wanted one or more"],
        ),
        case(
            "a folder without a sweep",
            |f| Sweep::open(f),
            &["opening the sweep in", "found no sweep", "results file"],
        ),
        case(
            "results of a sweep that are damaged",
            |f| {
                fs::write(f.join("a.json"), "{\"format_version\": 1, ").unwrap();
                Sweep::open(f.join("a.json"))
            },
            &["a.json", "damaged", "run the sweep again"],
        ),
    ]
}
