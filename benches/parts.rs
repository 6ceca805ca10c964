//! The small parts that a cell waits for, by Criterion: `cargo bench --bench parts`.

use criterion::{Criterion, criterion_group, criterion_main};
use diabolo::figure::{CaptionedImage, Figure, Scatter, ScatterPanel, image_grid, scatter};
use diabolo::metrics::roc_auc;
use diabolo::model::Architecture;
use diabolo::ndarray::{Array2, Array3};
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;
use rand_xoshiro::Xoshiro256PlusPlus;
use std::hint::black_box;

/// What a notebook may hold for one figure, as the bytes that are shown.
const MOST_BYTES: usize = 500_000;

fn seeded() -> Xoshiro256PlusPlus {
    Xoshiro256PlusPlus::seed_from_u64(0)
}

#[track_caller]
fn check_size(figure: &Figure) {
    let n_bytes = figure.bytes().len();
    assert!(n_bytes <= MOST_BYTES, "{} has {n_bytes} bytes, more than {MOST_BYTES}", figure.alt());
}

fn figures(criterion: &mut Criterion) {
    let mut generator = seeded();
    // Noise is what compresses worst.
    let mut noise = || Array3::from_shape_simple_fn((3, 32, 32), || generator.random_range(-1.0..1.0f32));
    let images: Vec<CaptionedImage> =
        (0..16).map(|n| CaptionedImage { image: noise(), caption: format!("#{n}\ncat\nMSE 0.0123") }).collect();
    let draw = || image_grid("Rebuilt worst", &images, 8).expect("sixteen images fit");
    check_size(&draw());
    criterion.bench_function("figure of sixteen pictures", |bencher| bencher.iter(draw));

    let mut generator = seeded();
    let points = Array2::from_shape_simple_fn((10_000, 2), || generator.sample(StandardNormal));
    let axis = |name: &str| format!("{name} component");
    let panel = ScatterPanel { title: "codes".into(), x_title: axis("first"), y_title: axis("second"), points };
    let names = ["normal", "anomaly"].map(String::from).to_vec();
    let labels = (0..10_000).map(|n| n % 2).collect();
    let map = Scatter { title: "Map".into(), panels: vec![panel], labels: Some(labels), label_names: names };
    let draw = || scatter(&map).expect("finite points can be drawn");
    check_size(&draw());
    criterion.bench_function("scatter of 10,000 points", |bencher| bencher.iter(draw));
}

fn numbers(criterion: &mut Criterion) {
    let mut generator = seeded();
    let scores: Vec<f64> = (0..10_000).map(|_| generator.random()).collect();
    let anomalies: Vec<bool> = (0..10_000).map(|_| generator.random_bool(0.2)).collect();
    criterion.bench_function("roc_auc of 10,000 scores", |bencher| bencher.iter(|| roc_auc(&scores, &anomalies)));
}

fn architectures(criterion: &mut Criterion) {
    let architecture = Architecture::report_cnn();
    criterion.bench_function("shapes of report_cnn", |bencher| {
        bencher.iter(|| black_box(&architecture).plan(black_box([3, 32, 32])));
    });
}

criterion_group!(parts, figures, numbers, architectures);
criterion_main!(parts);
