//! linfa's algorithms on latent codes, as a cell runs them.

use diabolo::linfa::prelude::*;
use diabolo::ndarray::Array2;
use diabolo::prelude::*;
use linfa_clustering::{Dbscan, GaussianMixtureModel};

/// 40 codes around (0, 0) and 20 around (10, 10), one far off.
fn codes() -> Latents {
    let centre = |n: usize| if n < 40 { 0.0 } else { 10.0 };
    let mut values = Array2::from_shape_fn((61, 2), |(n, d)| centre(n) + ((n * (7 + d)) % 10) as f32 / 5.0);
    values.row_mut(60).fill(50.0);
    Latents { name: "two groups".into(), values }
}

#[test]
fn dbscan_finds_the_groups_of_codes() {
    let codes = codes();
    let clusters = Dbscan::params(5).tolerance(2.0).transform(codes.dataset()).unwrap();
    let clusters = clusters.targets();
    assert!((0..40).all(|n| clusters[n] == Some(0)) && (40..60).all(|n| clusters[n] == Some(1)), "{clusters:?}");
    assert_eq!(clusters[60], None, "noise");
}

#[test]
fn a_gaussian_mixture_is_fitted_to_codes() {
    let codes = codes();
    let first = Latents { values: codes.values.slice_move(diabolo::ndarray::s![..60, ..]), ..codes };
    let mixture = GaussianMixtureModel::params(2).n_runs(5).fit(&first.dataset()).unwrap();
    let clusters = mixture.predict(&first.values);
    assert!((1..40).all(|n| clusters[n] == clusters[0]) && (41..60).all(|n| clusters[n] == clusters[40]));
    assert_ne!(clusters[0], clusters[40]);
    let dataset: Dataset<f32, (), diabolo::ndarray::Ix1> = first.clone().into();
    assert_eq!(Latents::from_dataset("two groups", dataset), first);
}
