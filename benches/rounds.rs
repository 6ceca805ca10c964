//! diabolo's side of `cargo diabolo bench`, with the words of `peers/peers.py` on standard input and output.
//!
//!     rounds NAME --data CIFAR_BATCHES_FOLDER [--codes FILE] [--threads 2] [--device cuda] [--images 8000] [--epochs 1]
//!
//! Prepares NAME's work, does it once to warm up, says {"ready": true}; then, for every line on standard input, does it
//! again and says {"seconds": s, "check": value}. What is timed is the call that a notebook makes.

use diabolo::cluster::KMeans;
use diabolo::data::{Images, Split, open};
use diabolo::device::Device;
use diabolo::metrics::roc_auc;
use diabolo::model::Architecture;
use diabolo::ndarray::Array2;
use diabolo::project::{Pca, Tsne};
use diabolo::shortcuts::train;
use diabolo::train::Training;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;
use rand_xoshiro::Xoshiro256PlusPlus;
use std::error::Error;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Instant;

type Outcome<T> = Result<T, Box<dyn Error>>;
/// One round; what it gives is printed, so that two programs can be seen to do the same.
type Round = Box<dyn FnMut() -> Outcome<f64>>;

const N_SCORES: usize = 1_000_000;

fn main() -> Outcome<()> {
    let arguments = Arguments::parse()?;
    tch::set_num_threads(arguments.threads);
    let mut round = prepare(&arguments)?;
    if !arguments.name.starts_with("tsne_") {
        round()?;
    }
    say(r#"{"ready": true}"#);
    for line in std::io::stdin().lines() {
        line?;
        let started = Instant::now();
        let check = black_box(round()?);
        let seconds = started.elapsed().as_secs_f64() / arguments.epochs as f64;
        say(&format!(r#"{{"seconds": {seconds}, "check": {check}}}"#));
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the protocol's channel")]
fn say(line: &str) {
    println!("{line}");
}

struct Arguments {
    name: String,
    data: PathBuf,
    codes: PathBuf,
    threads: i32,
    device: Device,
    /// Training images, the first ones of CIFAR-10.
    n_images: usize,
    /// Epochs of a round; its seconds are those of one.
    epochs: usize,
}

impl Arguments {
    fn parse() -> Outcome<Self> {
        // `cargo bench` adds a flag of its own.
        let mut given = std::env::args().skip(1).filter(|argument| argument != "--bench");
        let name = given.next().ok_or("usage: rounds NAME --data FOLDER [--codes FILE] [--threads N]")?;
        let mut arguments = Self {
            name,
            data: PathBuf::new(),
            codes: "codes.npy".into(),
            threads: 2,
            device: Device::Cpu,
            n_images: 8_000,
            epochs: 1,
        };
        while let (Some(option), Some(value)) = (given.next(), given.next()) {
            match option.as_str() {
                "--data" => arguments.data = value.into(),
                "--codes" => arguments.codes = value.into(),
                "--threads" => arguments.threads = value.parse()?,
                "--device" => arguments.device = value.parse()?,
                "--images" => arguments.n_images = value.parse()?,
                "--epochs" => arguments.epochs = value.parse()?,
                _ => return Err(format!("{option} is no option").into()),
            }
        }
        Ok(arguments)
    }
}

fn prepare(arguments: &Arguments) -> Outcome<Round> {
    let Arguments { name, data, codes, .. } = arguments;
    let training = |architecture, settings| training(architecture, settings, arguments);
    Ok(match name.as_str() {
        "train_report_cnn" | "train_report_cnn_tuned" => training(Architecture::report_cnn(), Training::report_cnn())?,
        "train_fcn" => training(Architecture::fcn(), Training::default())?,
        "train_conv" => training(Architecture::conv(), Training::default())?,
        "score_report_cnn" | "score_report_cnn_openvino" | "score_report_cnn_onnx" => scoring(arguments)?,
        "load_cifar" => {
            let data = data.clone();
            Box::new(move || Ok(open(&data)?.train().len() as f64))
        }
        "roc_auc" => auc(),
        "kmeans_k3" | "kmeans_k3_intelex" => kmeans(read_codes(codes)?, 3, 10),
        "kmeans_k5" | "kmeans_k5_intelex" => kmeans(read_codes(codes)?, 5, 10),
        "kmeans_k100" | "kmeans_k100_faiss" => kmeans(read_codes(codes)?, 100, 1),
        "kmeans_pixels" | "kmeans_pixels_intelex" => kmeans(pixels(open(data)?.test())?, 3, 1),
        "pca_pixels" => {
            let points = pixels(open(data)?.test())?;
            Box::new(move || Ok(Pca::fit(&points, 2)?.explained_variance[0]))
        }
        "tsne_sklearn" | "tsne_opentsne" | "tsne_intelex" => {
            let points = read_codes(codes)?;
            Box::new(move || Ok(Tsne::seed(0).fit(&points)?.kl_divergence))
        }
        _ => return Err(format!("{name} is no row of the benchmark").into()),
    })
}

/// From first weights to finished model.
fn training(architecture: Architecture, settings: Training, arguments: &Arguments) -> Outcome<Round> {
    let data = open(&arguments.data)?;
    let first = data.train().first(arguments.n_images)?;
    let data = Split::new("the first images of CIFAR-10", first, data.test().clone())?;
    let settings = settings.epochs(arguments.epochs).device(arguments.device);
    Ok(Box::new(move || {
        let model = train(architecture.clone(), &data, settings.clone())?;
        Ok(model.history().epochs[0].loss_lowest_minibatch)
    }))
}

fn scoring(arguments: &Arguments) -> Outcome<Round> {
    let data = open(&arguments.data)?;
    // What the weights are changes no time; 128 images make a model quickly.
    let few = Split::new("a few images of CIFAR-10", data.train().first(128)?, data.test().clone())?;
    let model = train(Architecture::report_cnn(), &few, Training::report_cnn().epochs(1).device(arguments.device))?;
    Ok(Box::new(move || {
        let errors = model.score(data.test())?.values;
        Ok(errors.iter().sum::<f64>() / errors.len() as f64)
    }))
}

/// Scores of which a fifth is of anomalies and half a deviation higher, with ties, as the peer's.
fn auc() -> Round {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(0);
    let anomalies: Vec<bool> = (0..N_SCORES).map(|_| generator.random_bool(0.2)).collect();
    let mut score = |is_anomaly: bool| {
        let draw: f64 = generator.sample(StandardNormal);
        ((draw + 0.5 * f64::from(u8::from(is_anomaly))) * 1e4).round() / 1e4
    };
    let scores: Vec<f64> = anomalies.iter().map(|&is_anomaly| score(is_anomaly)).collect();
    Box::new(move || Ok(roc_auc(&scores, &anomalies)?))
}

fn kmeans(points: Array2<f32>, k: usize, n_starts: usize) -> Round {
    let mut seeds = 0..;
    Box::new(move || {
        let seed = seeds.next().expect("there are always more");
        Ok(KMeans::new(k).starts(n_starts).seed(seed).fit(&points)?.inertia)
    })
}

/// One row per image.
fn pixels(images: &Images) -> Outcome<Array2<f32>> {
    let array = images.to_array();
    let n_values = array.len() / images.len();
    Ok(array.into_shape_with_order((images.len(), n_values))?)
}

/// The codes that `peers.py codes` wrote: `[n, 32]`, 32-bit floats in a .npy file of version 1.
fn read_codes(path: &Path) -> Outcome<Array2<f32>> {
    let bytes = std::fs::read(path)?;
    let n_header_bytes = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let values: Vec<f32> =
        bytes[10 + n_header_bytes..].as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
    Ok(Array2::from_shape_vec((values.len() / 32, 32), values)?)
}
