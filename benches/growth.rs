//! What 10 and 100 times the work costs in time and memory: `cargo bench --bench growth`.
//!
//! Each measurement has a process of its own, since a process knows only the most memory that it ever had. Prints a table
//! and draws it into `target/bench/growth.svg`.

#[path = "../tests/common/npy.rs"]
mod npy;

use diabolo::cluster::KMeans;
use diabolo::data::{Images, Split, open};
use diabolo::figure::{LineChart, Series, line_chart};
use diabolo::model::Architecture;
use diabolo::ndarray::{Array2, Array4};
use diabolo::project::{Pca, Tsne};
use diabolo::shortcuts::train;
use diabolo::train::{Autoencoder, Training};
use npy::npy;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;
use rand_xoshiro::Xoshiro256PlusPlus;
use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Images or points at 1, 10 and 100 times the work.
const SIZES: [usize; 3] = [1_000, 10_000, 100_000];

/// What is measured, and what it is called in the table.
const WORKS: [(&str, &str); 6] = [
    ("load", "open images 3 x 32 x 32 from .npy"),
    ("score", "score images with report_cnn"),
    ("rank", "rank images, choose the worst nine"),
    ("kmeans", "K-means, k = 5, ten starts, 32 values"),
    ("pca", "two principal components of 3072 values"),
    ("tsne", "t-SNE, perplexity 30, 32 values"),
];

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match &arguments[..] {
        [] => measure_all(),
        [name, n] => measure(name, n.parse()?),
        _ => Err("usage: growth [NAME N]".into()),
    }
}

/// Seconds and the most memory of one work, in bytes.
struct Cost {
    seconds: f64,
    n_bytes: f64,
}

#[expect(clippy::print_stdout, reason = "the table is what it is for")]
fn measure_all() -> Outcome<()> {
    let row =
        |title: &str, cells: [String; 3]| println!("{title:44}{}", cells.map(|cell| format!("{cell:>14}")).concat());
    row("seconds (most memory in MB)", SIZES.map(|n| n.to_string()));
    let mut lines = Vec::new();
    for (name, title) in WORKS {
        let costs = [cost(name, SIZES[0])?, cost(name, SIZES[1])?, cost(name, SIZES[2])?];
        row(title, costs.each_ref().map(|cost| format!("{:.3} ({:.0})", cost.seconds, cost.n_bytes / 1e6)));
        let points = SIZES.iter().zip(&costs).map(|(&n, cost)| ((n as f64).log10(), cost.seconds));
        lines.push(Series { name: title.into(), points: points.collect() });
    }
    let figure = line_chart(&LineChart {
        title: "Time as work grows".into(),
        x_title: "images or points, as a power of ten".into(),
        y_title: "seconds".into(),
        series: lines,
        marks: Vec::new(),
    })?;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench/growth.svg");
    std::fs::create_dir_all(path.parent().expect("it lies in a folder"))?;
    figure.save(&path)?;
    println!("drawn in {}", path.display());
    Ok(())
}

/// Measures one work in a process of its own.
fn cost(name: &str, n: usize) -> Outcome<Cost> {
    let mut command = Command::new(std::env::current_exe()?);
    let output = command.args([name, &n.to_string()]).stderr(Stdio::inherit()).output()?;
    let text = String::from_utf8(output.stdout)?;
    // Training the model that scores tells its progress first.
    let numbers: Vec<f64> = text.lines().last().unwrap_or_default().split(' ').flat_map(str::parse).collect();
    let [seconds, n_bytes] = numbers[..] else { return Err(format!("{name} {n} measured nothing").into()) };
    Ok(Cost { seconds, n_bytes })
}

/// Does the work once to warm up where it is quick, measures it, and prints seconds and bytes.
#[expect(clippy::print_stdout, reason = "what the other process reads")]
fn measure(name: &str, n: usize) -> Outcome<()> {
    let mut work = prepare(name, n)?;
    if name != "tsne" {
        work()?;
    }
    let started = Instant::now();
    work()?;
    println!("{} {}", started.elapsed().as_secs_f64(), most_memory().unwrap_or(f64::NAN));
    Ok(())
}

/// The most memory that this process has had, where the system tells it.
fn most_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok()? * 1024.0)
}

/// What is done over and over.
type Work = Box<dyn FnMut() -> Outcome<()>>;

fn prepare(name: &str, n: usize) -> Outcome<Work> {
    Ok(match name {
        "load" => {
            let folder = tempfile::tempdir()?;
            let pixels = pixels(n).into_raw_vec_and_offset().0;
            std::fs::write(folder.path().join("images.npy"), npy("|u1", false, &[n, 32, 32, 3], &pixels))?;
            // The folder lives as long as the work.
            repeated(move || Ok(open(folder.path().join("images.npy"))?))
        }
        "score" => {
            let (model, images) = (model()?, images(n)?);
            repeated(move || Ok(model.score(&images)?))
        }
        "rank" => {
            let (model, images) = (model()?, images(n)?);
            repeated(move || Ok(model.rank(&images)?.worst(9)?))
        }
        "kmeans" => {
            let points = points(n, 32);
            repeated(move || Ok(KMeans::new(5).fit(&points)?))
        }
        "pca" => {
            let points = points(n, 3072);
            repeated(move || Ok(Pca::fit(&points, 2)?))
        }
        "tsne" => {
            let points = points(n, 32);
            repeated(move || Ok(Tsne::seed(0).fit(&points)?))
        }
        _ => return Err(format!("{name} is no work of this benchmark").into()),
    })
}

/// A work whose result nobody looks at.
fn repeated<T>(mut work: impl FnMut() -> Outcome<T> + 'static) -> Work {
    Box::new(move || work().map(|result| drop(black_box(result))))
}

/// Points in ten clouds.
fn points(n: usize, n_values: usize) -> Array2<f32> {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(0);
    let centres = Array2::from_shape_simple_fn((10, n_values), || 3.0 * generator.sample::<f32, _>(StandardNormal));
    Array2::from_shape_fn((n, n_values), |(row, column)| {
        centres[[row % 10, column]] + generator.sample::<f32, _>(StandardNormal)
    })
}

fn pixels(n: usize) -> Array4<u8> {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(0);
    Array4::from_shape_simple_fn((n, 3, 32, 32), || generator.random())
}

fn images(n: usize) -> Outcome<Images> {
    Ok(Images::from_bytes(pixels(n))?)
}

/// What the weights are changes no time.
fn model() -> Outcome<Autoencoder> {
    let few = Split::new("noise", images(128)?, images(128)?)?;
    Ok(train(Architecture::report_cnn(), &few, Training::report_cnn().epochs(1))?)
}
