//! Clusters, projections, neighbours and metrics against scikit-learn and others: tests/fixtures/make_numbers.py made the
//! numbers.

use diabolo::cluster::KMeans;
use diabolo::metrics::{
    LinearFit, Positive, average_precision, confusion, dip_statistic, precision_recall_curve, roc_auc, roc_curve,
};
use diabolo::ndarray::{Array2, Axis, s};
use diabolo::neighbours::{Nearest, neighbour_preservation};
use diabolo::project::{Mahalanobis, Pca, Tsne};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use std::sync::OnceLock;

fn tensor(name: &str) -> Array2<f32> {
    static BYTES: &[u8] = include_bytes!("fixtures/numbers.safetensors");
    let view = SafeTensors::deserialize(BYTES).unwrap().tensor(name).unwrap();
    let values: Vec<f32> = match view.dtype() {
        Dtype::F32 => view.data().as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect(),
        Dtype::F16 => view.data().as_chunks::<2>().0.iter().map(|&bytes| half(u16::from_le_bytes(bytes))).collect(),
        other => panic!("{name} is {other:?}"),
    };
    let rows = view.shape()[0];
    Array2::from_shape_vec((rows, values.len() / rows), values).unwrap()
}

/// A half-precision number; those of the fixtures are finite.
fn half(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023) / 1024.0);
    sign * if exponent == 0 { fraction * 2f32.powi(-14) } else { (1.0 + fraction) * 2f32.powi(exponent - 15) }
}

/// The first 32 principal components of 2,000 test images of CIFAR-10.
fn codes() -> &'static Array2<f32> {
    static CODES: OnceLock<Array2<f32>> = OnceLock::new();
    CODES.get_or_init(|| tensor("codes"))
}

fn numbers() -> &'static Value {
    static NUMBERS: OnceLock<Value> = OnceLock::new();
    NUMBERS.get_or_init(|| serde_json::from_str(include_str!("fixtures/numbers.json")).unwrap())
}

fn number(name: &str) -> f64 {
    numbers()[name].as_f64().unwrap_or_else(|| panic!("no number {name}"))
}

fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

#[track_caller]
fn check_close(found: &[f64], expected: &[f64], relative: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= relative * scale, "{what} {index}: {found}, expected {expected}");
    }
}

fn doubles(values: &Array2<f32>) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

#[track_caller]
fn check_pca(name: &str, points: &Array2<f32>, n: usize) {
    let pca = Pca::fit(points, n).unwrap();
    let what = format!("{name}, n = {n}");
    check_close(&doubles(&pca.components), &doubles(&tensor(&format!("{name}_components_{n}"))), 1e-4, &what);
    for (key, found) in
        [("explained_variance", &pca.explained_variance), ("explained_variance_ratio", &pca.explained_variance_ratio)]
    {
        check_close(found, &floats(&numbers()[format!("{name}_{key}_{n}")]), 1e-4, &format!("{key} of {what}"));
    }
    let distances = doubles(&tensor(&format!("{name}_distances_{n}")));
    check_close(&pca.distances(points).unwrap(), &distances, 1e-4, &format!("distances of {what}"));
}

#[test]
fn pca_of_codes_equals_scikit_learn() {
    for n in [1, 2, 3, 10] {
        check_pca("codes", codes(), n);
    }
    for n in [1, 2] {
        check_pca("short_codes", &codes().slice(s![.., ..3]).to_owned(), n);
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn pca_of_pixels_equals_scikit_learn() {
    let Some(data) = std::env::var_os("DIABOLO_DATA") else {
        eprintln!("skipped: DIABOLO_DATA names no folder with CIFAR-10");
        return;
    };
    let path = std::path::Path::new(&data).join("cifar-10-batches-bin");
    let images = diabolo::data::open(path.to_str().unwrap()).unwrap().test().first(1000).unwrap();
    let pixels = images.to_array().into_shape_with_order((1000, 3072)).unwrap();
    let sum: f64 = pixels.iter().map(|&pixel| ((f64::from(pixel) + 1.0) * 127.5).round()).sum();
    if sum != number("pixel_sum") {
        eprintln!("skipped: these are other images than those that scikit-learn was given");
        return;
    }
    for n in [2, 3] {
        check_pca("pixels", &pixels, n);
    }
}

#[test]
fn few_points_of_many_values_have_exact_components() {
    // Pairs (+s, -s) along different axes: variance 2 s^2 / (n - 1) in each, whatever the number of values.
    let sizes = [5.0f32, 4.0, 3.0, 2.0, 1.0, 0.5];
    for d in [40, 700] {
        let n = 2 * sizes.len();
        let sign = |row: usize| if row.is_multiple_of(2) { 1.0 } else { -1.0 };
        let value = |(row, column)| if column == 3 * (row / 2) { sign(row) * sizes[row / 2] } else { 0.0 };
        let points = Array2::from_shape_fn((n, d), value);
        for n_components in [1, 2, 6] {
            let pca = Pca::fit(&points, n_components).unwrap();
            let expected: Vec<f64> =
                sizes[..n_components].iter().map(|&size| 2.0 * f64::from(size).powi(2) / (n - 1) as f64).collect();
            check_close(&pca.explained_variance, &expected, 1e-6, &format!("{n_components} of {d}"));
            for (index, component) in pca.components.rows().into_iter().enumerate() {
                assert!((component[3 * index] - 1.0).abs() < 1e-5, "component {index} of {d}: {component}");
            }
        }
        check_refused(Pca::fit(&points, n), &format!("setting n_components: found {n}, wanted 1 to {}", n - 1));
    }
}

#[test]
fn components_of_little_variance_are_exact() {
    // Standard deviations fall by four powers of ten over the first ten columns: single precision loses the last ones.
    let mut state = 1u64;
    let points = Array2::from_shape_fn((1500, 700), |(_, column)| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let uniform = (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5;
        uniform * 10f32.powf(-4.0 * (column as f32 / 10.0).min(1.0))
    });
    let pca = Pca::fit(&points, 10).unwrap();
    let centred = points.mapv(f64::from) - &pca.mean.mapv(f64::from);
    for (component, variance) in pca.components.rows().into_iter().zip(&pca.explained_variance) {
        let along = centred.dot(&component.mapv(f64::from));
        let found = along.mapv(|value| value * value).sum() / 1499.0;
        assert!((found / variance - 1.0).abs() < 1e-4, "variance {variance}, along the component {found}");
    }
    let distances = pca.distances(&points).unwrap();
    let left: f64 = distances.iter().map(|distance| distance * distance).sum::<f64>() / 1499.0;
    let total = centred.mapv(|value| value * value).sum() / 1499.0;
    let expected = total - pca.explained_variance.iter().sum::<f64>();
    assert!((left / expected - 1.0).abs() < 1e-3, "{left} is left, expected {expected}");
}

#[test]
fn codes_far_from_zero_have_the_same_clusters_and_neighbours() {
    let (offset, start) = (1024.0, codes().slice(s![..5, ..]).to_owned());
    // Rounded to what is left at the offset, so that both sets are exactly alike.
    let near = codes().mapv(|value| value + offset - offset);
    let far = near.mapv(|value| value + offset);
    let start = start.mapv(|value| value + offset - offset);
    let exact = KMeans { tolerance: 0.0, ..KMeans::new(5) };
    let here = exact.fit_from(&near, &start).unwrap();
    let there = exact.fit_from(&far, &(&start + offset)).unwrap();
    assert!((there.inertia / here.inertia - 1.0).abs() < 1e-5, "{} and {}", there.inertia, here.inertia);
    let drawn = KMeans::new(5).fit(&far).unwrap().inertia;
    assert!(drawn <= 1.005 * KMeans::new(5).fit(&near).unwrap().inertia, "{drawn}");
    let distances = |points: &Array2<f32>| Nearest::new(points).unwrap().distances_between_points(5).unwrap();
    check_close(&distances(&far), &distances(&near), 1e-5, "fifth neighbours");
}

#[test]
fn k_means_equals_scikit_learn() {
    for k in [3, 5, 100] {
        let exact = KMeans { tolerance: 0.0, ..KMeans::new(k) };
        let from_first = exact.fit_from(codes(), &codes().slice(s![..k, ..]).to_owned()).unwrap();
        let expected = number(&format!("inertia_from_first_{k}"));
        assert!((from_first.inertia / expected - 1.0).abs() < 1e-5, "k = {k}: {}, not {expected}", from_first.inertia);

        let best = KMeans::new(k).fit(codes()).unwrap().inertia;
        let expected = number(&format!("inertia_best_of_ten_{k}"));
        assert!(best <= 1.005 * expected, "k = {k}: {best}, scikit-learn's best of ten has {expected}");
        if k == 3 {
            let distances = doubles(&tensor("kmeans_distances_3"));
            check_close(&from_first.distances(codes()).unwrap(), &distances, 1e-4, "distances");
        }
    }
}

#[test]
fn k_means_counts_each_point_once_and_one_seed_gives_one_result() {
    let clusters = KMeans::new(5).seed(3).fit(codes()).unwrap();
    let distances = clusters.distances(codes()).unwrap();
    let inertia: f64 = distances.iter().map(|distance| distance * distance).sum();
    assert!((inertia / clusters.inertia - 1.0).abs() < 1e-5, "{inertia} and {}", clusters.inertia);
    assert_eq!(clusters, KMeans::new(5).seed(3).fit(codes()).unwrap());
}

#[test]
fn an_empty_cluster_gets_a_point() {
    // Two far groups and a third starting centre that no point is nearest to.
    let points = Array2::from_shape_fn((40, 2), |(row, _)| (row % 4) as f32 * 0.1 + if row < 20 { 0.0 } else { 10.0 });
    let centres = diabolo::ndarray::array![[0.0f32, 0.0], [10.0, 10.0], [1000.0, 1000.0]];
    let clusters = KMeans::new(3).fit_from(&points, &centres).unwrap();
    let mut counts = [0; 3];
    clusters.assignments.iter().for_each(|&cluster| counts[cluster as usize] += 1);
    assert!(counts.iter().all(|&count| count > 0), "{counts:?}");
    assert!(clusters.inertia < 0.95 * KMeans::new(2).fit(&points).unwrap().inertia);
}

#[test]
fn fewer_different_points_than_clusters_are_no_disaster() {
    let clusters = KMeans::new(4).fit(&Array2::ones((10, 3))).unwrap();
    assert_eq!(clusters.inertia, 0.0);
    assert!(clusters.centres.iter().all(|value| value.is_finite()));
}

#[test]
fn mahalanobis_and_neighbours_equal_theirs() {
    let (fitted, queries) = codes().view().split_at(Axis(0), 1500);
    let (fitted, queries) = (fitted.to_owned(), queries.to_owned());
    // With 1,500 points of 32 values shrinkage takes little from the inverse of the covariance.
    let mahalanobis = Mahalanobis::fit(&fitted).unwrap().distances(&queries).unwrap();
    check_close(&mahalanobis, &doubles(&tensor("mahalanobis")), 0.02, "Mahalanobis distances");
    let nearest = Nearest::new(&fitted).unwrap();
    let found = nearest.distances(&queries, 5).unwrap();
    check_close(&found, &doubles(&tensor("nearest_5")), 1e-4, "fifth neighbours");
    let found = nearest.distances_between_points(5).unwrap();
    check_close(&found, &doubles(&tensor("nearest_5_of_itself")), 1e-4, "fifth neighbours among themselves");
}

#[test]
fn mahalanobis_distances_equal_those_of_ledoit_and_wolf() {
    // Fewer points than values, as many, one more, and many.
    let cases: Value = serde_json::from_str(include_str!("fixtures/shrinkage.json")).unwrap();
    let cases = cases.as_array().unwrap();
    assert_eq!(cases.len(), 5);
    let queries = codes().slice(s![1500..1530, ..]).to_owned();
    for case in cases {
        let n = case["n"].as_u64().unwrap() as usize;
        let found = Mahalanobis::fit(&codes().slice(s![..n, ..]).to_owned()).unwrap().distances(&queries).unwrap();
        check_close(&found, &floats(&case["distances"]), 1e-4, &format!("Mahalanobis distances, {n} points"));
    }
}

#[test]
fn few_points_of_many_values_are_not_all_at_one_distance() {
    // 20 points span 19 directions: by the pseudo-inverse each would lie 19 / sqrt(20) from their mean.
    let points = codes().slice(s![..20, ..]).to_owned();
    let distances = Mahalanobis::fit(&points).unwrap().distances(&points).unwrap();
    let (low, high) = distances.iter().fold((f64::MAX, 0.0f64), |(low, high), &d| (low.min(d), high.max(d)));
    assert!(high > 1.05 * low, "{low} to {high}");
}

#[test]
fn a_value_that_never_differed_in_training_counts() {
    // A unit of a network that training images leave dead, and an anomaly wakes.
    let mut dead = codes().slice(s![..500, ..4]).to_owned();
    dead.column_mut(2).fill(0.0);
    let mut woken = dead.slice(s![..1, ..]).to_owned();
    woken[[0, 2]] = 20.0;
    let spread = Mahalanobis::fit(&dead).unwrap();
    let before = spread.distances(&dead.slice(s![..1, ..]).to_owned()).unwrap()[0];
    let after = spread.distances(&woken).unwrap()[0];
    assert!(after > 10.0 * before, "{before} and {after}");
}

#[test]
fn neighbours_in_far_groups_are_exact() {
    // Two groups 1,000 apart, their points 0.1 apart: squares of single precision drown such differences.
    let points = Array2::from_shape_fn((200, 2), |(row, column)| {
        let place = [row % 10, row / 10 % 10][column] as f32 * 0.1 + ((row * 37 + column * 11) % 17) as f32 * 0.004;
        place + if row < 100 { 0.0 } else { 1000.0 }
    });
    let exact = |k: usize| -> Vec<f64> {
        let of_row = |row: usize| {
            let distance = |other: usize| {
                let pairs = points.row(row).into_iter().zip(points.row(other));
                pairs.map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum::<f64>().sqrt()
            };
            let mut all: Vec<f64> = (0..200).filter(|&other| other != row).map(distance).collect();
            all.sort_by(f64::total_cmp);
            all[k - 1]
        };
        (0..200).map(of_row).collect()
    };
    let nearest = Nearest::new(&points).unwrap();
    for k in [1, 5, 60, 150] {
        assert_eq!(nearest.distances_between_points(k).unwrap(), exact(k), "k = {k}");
    }
    assert_eq!(nearest.distances(&points, 6).unwrap(), exact(5), "each point is its own nearest");
}

#[test]
fn queries_may_be_more_than_points_and_others() {
    let nearest = Nearest::new(&diabolo::ndarray::array![[0.0f32], [1.0], [5.0]]).unwrap();
    let queries = diabolo::ndarray::array![[0.5f32], [2.0], [4.0], [9.0]];
    assert_eq!(nearest.distances(&queries, 1).unwrap(), [0.5, 1.0, 1.0, 4.0]);
}

#[test]
fn a_run_that_is_cut_short_has_current_assignments() {
    let start = codes().slice(s![..5, ..]).to_owned();
    for max_iterations in [1, 2, 3] {
        let cut = KMeans { max_iterations, tolerance: 0.0, ..KMeans::new(5) }.fit_from(codes(), &start).unwrap();
        assert_eq!(cut.n_iterations, max_iterations);
        let distances = cut.distances(codes()).unwrap();
        for (row, (&centre, distance)) in cut.assignments.iter().zip(&distances).enumerate() {
            let pairs = codes().row(row).into_iter().zip(cut.centres.row(centre as usize));
            let to_assigned = pairs.map(|(&a, &b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt();
            assert!((to_assigned - distance).abs() < 1e-6, "point {row} after {max_iterations} rounds");
        }
    }
}

#[test]
fn values_of_any_size_give_the_same_result_or_are_refused() {
    let points = codes().slice(s![..300, ..8]).to_owned();
    let inertia = KMeans::new(3).fit(&points).unwrap().inertia;
    let variance = Pca::fit(&points, 2).unwrap().explained_variance[0];
    let mahalanobis = Mahalanobis::fit(&points).unwrap().distances(&points).unwrap();
    let neighbours = Nearest::new(&points).unwrap().distances_between_points(3).unwrap();
    // Powers of two, which change no digit.
    for exponent in [-36, -20, 20, 40] {
        let scaled = points.mapv(|value| value * 2f32.powi(exponent));
        let factor = 2f64.powi(exponent);
        let found = KMeans::new(3).fit(&scaled).unwrap().inertia / factor.powi(2);
        assert!((found / inertia - 1.0).abs() < 1e-6, "2^{exponent}: inertia {found}, not {inertia}");
        let found = Pca::fit(&scaled, 2).unwrap().explained_variance[0] / factor.powi(2);
        assert!((found / variance - 1.0).abs() < 1e-6, "2^{exponent}: variance {found}, not {variance}");
        check_close(&Mahalanobis::fit(&scaled).unwrap().distances(&scaled).unwrap(), &mahalanobis, 1e-5, "Mahalanobis");
        let expected: Vec<f64> = neighbours.iter().map(|distance| distance * factor).collect();
        check_close(
            &Nearest::new(&scaled).unwrap().distances_between_points(3).unwrap(),
            &expected,
            1e-9,
            "neighbours",
        );
        let map = Tsne { n_steps: 20, ..Tsne::seed(1).perplexity(10.0) }.fit(&scaled).unwrap();
        assert!(map.points.iter().all(|value| value.is_finite()));
    }
    for factor in [1e20f32, 1e-25] {
        let scaled = points.mapv(|value| value * factor);
        let text = "wanted a largest size of 1e-12 to 1e15";
        check_refused(KMeans::new(3).fit(&scaled), text);
        check_refused(Pca::fit(&scaled, 2), text);
        check_refused(Mahalanobis::fit(&scaled), text);
        check_refused(Nearest::new(&scaled), text);
        check_refused(Tsne::seed(1).perplexity(10.0).fit(&scaled), text);
    }
    // Beside points of another size, small ones are as good as 0 and large ones are refused.
    let nearest = Nearest::new(&points).unwrap();
    assert!(nearest.distances(&Array2::from_elem((1, 8), 1e-25), 1).unwrap()[0].is_finite());
    check_refused(nearest.distances(&Array2::from_elem((1, 8), 1e20), 1), "values of a size up to 1e20");
}

/// The KL divergence over all pairs, as the script has it.
fn exact_kl(points: &Array2<f32>, map: &Array2<f32>, perplexity: f64) -> f64 {
    let n = points.nrows();
    let squares = |points: &Array2<f32>| {
        let distance = |a: usize, b: usize| -> f64 {
            points.row(a).iter().zip(points.row(b)).map(|(a, b)| f64::from(a - b).powi(2)).sum()
        };
        Array2::from_shape_fn((n, n), |(a, b)| distance(a, b))
    };
    let mut p = squares(points);
    for (row, mut line) in p.rows_mut().into_iter().enumerate() {
        let distances = line.to_vec();
        let (mut low, mut high, mut beta) = (0.0, f64::INFINITY, 1.0);
        for _ in 0..100 {
            let weight = |(other, square): (usize, &f64)| if other == row { 0.0 } else { (-square * beta).exp() };
            let weights: Vec<f64> = distances.iter().enumerate().map(weight).collect();
            let sum = weights.iter().sum::<f64>().max(1e-300);
            let mean = distances.iter().zip(&weights).map(|(square, weight)| square * weight).sum::<f64>() / sum;
            let surplus = sum.ln() + beta * mean - perplexity.ln();
            line.iter_mut().zip(&weights).for_each(|(value, weight)| *value = weight / sum);
            if surplus.abs() < 1e-5 {
                break;
            }
            if surplus > 0.0 {
                low = beta
            } else {
                high = beta
            }
            beta = if high.is_infinite() { beta * 2.0 } else { (low + high) / 2.0 };
        }
    }
    let q = squares(map).mapv(|square| 1.0 / (1.0 + square));
    let q_sum = q.sum() - n as f64;
    let p_sum: f64 = p.sum();
    let pairs = (0..n).flat_map(|a| (0..n).map(move |b| (a, b))).filter(|(a, b)| a != b);
    pairs
        .map(|(a, b)| {
            let p = ((p[[a, b]] + p[[b, a]]) / (2.0 * p_sum)).max(f64::EPSILON);
            p * (p / (q[[a, b]] / q_sum).max(f64::EPSILON)).ln()
        })
        .sum()
}

#[test]
fn t_sne_is_as_good_as_scikit_learn() {
    let theirs = tensor("tsne_embedding");
    let kl_of_theirs = exact_kl(codes(), &theirs, 30.0);
    assert!((kl_of_theirs / number("tsne_kl") - 1.0).abs() < 1e-3, "{kl_of_theirs}: the function is another one");
    let preserved_by_theirs = neighbour_preservation(codes(), &theirs, 10).unwrap();
    assert!((preserved_by_theirs - number("tsne_preservation_10")).abs() < 2e-3, "{preserved_by_theirs}");

    // Rounding alone moves a run by a per cent or two, and processors round differently.
    let kls: Vec<f64> =
        (0..5).map(|seed| exact_kl(codes(), &Tsne::seed(seed).fit(codes()).unwrap().points, 30.0)).collect();
    let kl = kls.iter().sum::<f64>() / kls.len() as f64;
    assert!(kl <= 1.03 * kl_of_theirs, "KL {kl} in the mean of {kls:?}, scikit-learn's {kl_of_theirs}");
}

#[test]
fn t_sne_keeps_as_many_neighbours_as_scikit_learn() {
    // Rounding alone moves a run of either by some 0.002, so the means of several are compared; ours may lie three standard
    // errors below.
    let theirs = floats(&numbers()["tsne_preservations_10"]);
    let of_seed = |seed| neighbour_preservation(codes(), &Tsne::seed(seed).fit(codes()).unwrap().points, 10).unwrap();
    let ours: Vec<f64> = (0..6).map(of_seed).collect();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let squared_error = |values: &[f64]| {
        let squares: f64 = values.iter().map(|value| (value - mean(values)).powi(2)).sum();
        squares / (values.len() * (values.len() - 1)) as f64
    };
    let least = mean(&theirs) - 3.0 * (squared_error(&ours) + squared_error(&theirs)).sqrt();
    assert!(mean(&ours) >= least, "{ours:?}, scikit-learn's {theirs:?}");
}

#[test]
fn one_seed_gives_one_map() {
    let points = codes().slice(s![..300, ..]).to_owned();
    let map = |seed| Tsne::seed(seed).fit(&points).unwrap();
    assert_eq!(map(7), map(7));
    assert_ne!(map(7).points, map(8).points);
}

#[test]
fn equal_points_have_a_map() {
    // Half of them in one place, more than a point has neighbours.
    let mut points = codes().slice(s![..400, ..]).to_owned();
    let first = points.row(0).to_owned();
    points.slice_mut(s![200.., ..]).rows_mut().into_iter().for_each(|mut row| row.assign(&first));
    let map = Tsne::seed(1).fit(&points).unwrap().points;
    assert!(map.iter().all(|value| value.is_finite()));
}

#[test]
fn a_few_images_have_a_map() {
    // Fewer than the 50 components to which long points are reduced.
    let points = Array2::from_shape_fn((16, 600), |(row, column)| codes()[[row * 38 + column / 32, column % 32]]);
    let map = Tsne::seed(0).perplexity(5.0).fit(&points).unwrap();
    assert!(map.points.iter().all(|value| value.is_finite()));
}

#[test]
fn the_smallest_perplexity_has_a_divergence() {
    let map = Tsne::seed(0).perplexity(1.0).fit(&codes().slice(s![..300, ..]).to_owned()).unwrap();
    assert!(map.kl_divergence.is_finite() && map.kl_divergence > 0.0, "{}", map.kl_divergence);
}

#[test]
fn curves_and_metrics_equal_scikit_learn() {
    let cases = numbers()["metrics"].as_object().unwrap();
    assert_eq!(cases.len(), 6);
    for (name, case) in cases {
        let scores = floats(&case["scores"]);
        let anomalies: Vec<bool> = case["anomalies"].as_array().unwrap().iter().map(|v| v.as_bool().unwrap()).collect();
        let expect = |key: &str, found: &[f64]| check_close(found, &floats(&case[key]), 1e-9, &format!("{name} {key}"));
        let expect_one = |key: &str, found: f64| {
            let expected = case[key].as_f64().unwrap();
            assert!((found - expected).abs() < 1e-9, "{name} {key}: {found}, expected {expected}");
        };
        expect_one("auc", roc_auc(&scores, &anomalies).unwrap());
        expect_one("average_precision", average_precision(&scores, &anomalies).unwrap());
        let roc = roc_curve(&scores, &anomalies).unwrap();
        assert_eq!(roc.thresholds[0], f64::INFINITY);
        expect("roc_thresholds", &roc.thresholds[1..]);
        expect("false_positive_rate", &roc.false_positive_rate);
        expect("true_positive_rate", &roc.true_positive_rate);
        let curve = precision_recall_curve(&scores, &anomalies).unwrap();
        expect("pr_thresholds", &curve.thresholds);
        expect("precision", &curve.precision);
        expect("recall", &curve.recall);

        for at in case["at_threshold"].as_array().unwrap() {
            let threshold =
                at["threshold"].as_f64().unwrap_or_else(|| at["threshold"].as_str().unwrap().parse().unwrap());
            for (positive, expected) in [(Positive::Anomaly, &at["of"][0]), (Positive::Normal, &at["of"][1])] {
                let found = confusion(&scores, &anomalies, threshold, positive).unwrap();
                let counts = [found.true_negatives, found.false_positives, found.false_negatives, found.true_positives];
                let expected_counts = floats(&expected["counts"]);
                assert_eq!(counts.map(|count| count as f64).to_vec(), expected_counts, "{name} at {threshold}");
                for (key, found) in [
                    ("f1", found.f1()),
                    ("precision", found.precision()),
                    ("recall", found.recall()),
                    ("accuracy", found.accuracy()),
                ] {
                    let expected = expected[key].as_f64().unwrap();
                    assert!((found - expected).abs() < 1e-9, "{name} at {threshold}: {key} {found}, not {expected}");
                }
            }
        }
    }
}

#[test]
fn infinite_scores_have_curves() {
    let scores = [f64::NEG_INFINITY, 0.0, f64::INFINITY, f64::INFINITY];
    let curve = roc_curve(&scores, &[false, true, false, true]).unwrap();
    assert_eq!(curve.true_positive_rate, [0.0, 0.5, 1.0, 1.0]);
    assert_eq!(curve.false_positive_rate, [0.0, 0.5, 0.5, 1.0]);
}

#[test]
fn dips_equal_those_of_diptest() {
    for (name, case) in numbers()["dip"].as_object().unwrap() {
        let (found, expected) = (dip_statistic(&floats(&case["values"])).unwrap(), case["dip"].as_f64().unwrap());
        assert!((found - expected).abs() < 1e-9, "{name}: {found}, expected {expected}");
    }
}

#[test]
fn a_regression_equals_scikit_learn() {
    let case = &numbers()["regression"];
    let columns: Vec<Vec<f64>> = case["columns"].as_array().unwrap().iter().map(floats).collect();
    let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
    let fit = LinearFit::new(&columns, &floats(&case["target"])).unwrap();
    check_close(&fit.coefficients, &floats(&case["coefficients"]), 1e-7, "coefficients");
    assert!((fit.intercept - case["intercept"].as_f64().unwrap()).abs() < 1e-7);
}

/// What a call with bad input says must hold this text.
#[track_caller]
fn check_refused<T: std::fmt::Debug>(result: diabolo::Result<T>, text: &str) {
    let message = result.unwrap_err().to_string();
    assert!(message.contains(text), "{message}");
}

#[test]
fn bad_points_and_settings_are_errors_that_say_so() {
    let points = codes().slice(s![..20, ..3]).to_owned();
    let alike = Array2::<f32>::ones((20, 3));
    let mut broken = points.clone();
    broken[[4, 1]] = f32::NAN;
    let (none, two) = (Array2::<f32>::zeros((0, 3)), points.slice(s![..2, ..]).to_owned());
    let longer = codes().slice(s![..20, ..4]).to_owned();

    check_refused(KMeans::new(0).fit(&points), "setting k: found 0, wanted 1 to 20");
    check_refused(KMeans::new(21).fit(&points), "setting k: found 21, wanted 1 to 20");
    check_refused(KMeans::new(3).starts(0).fit(&points), "setting n_starts: found 0");
    check_refused(KMeans::new(3).fit(&broken), "a value in row 4 that is not finite");
    check_refused(KMeans::new(3).fit(&none), "found 0 points");
    check_refused(KMeans::new(3).fit_from(&points, &longer), "starting centres of shape (20, 4)");
    check_refused(KMeans::new(3).fit(&points).unwrap().distances(&longer), "points of 4 values, wanted 3");

    check_refused(Pca::fit(&points, 0), "setting n_components: found 0, wanted 1 to 2");
    check_refused(Pca::fit(&points, 3), "setting n_components: found 3, wanted 1 to 2");
    check_refused(Pca::fit(&alike, 2), "points that are all alike");
    check_refused(Pca::fit(&broken, 2), "not finite");
    check_refused(Pca::fit(&two, 1), "found 2 points, wanted 3 or more");
    check_refused(Pca::fit(&points, 2).unwrap().transform(&longer), "points of 4 values, wanted 3");

    check_refused(Mahalanobis::fit(&alike), "points that are all alike");
    check_refused(Mahalanobis::fit(&broken), "not finite");
    check_refused(Nearest::new(&none), "found 0 points");
    let nearest = Nearest::new(&points).unwrap();
    check_refused(nearest.distances_between_points(0), "setting k: found 0, wanted 1 to 19");
    check_refused(nearest.distances_between_points(20), "setting k: found 20, wanted 1 to 19");
    check_refused(nearest.distances(&points, 21), "setting k: found 21, wanted 1 to 20");

    check_refused(Tsne::seed(0).fit(&points), "setting perplexity: found 30, wanted above 0 and at most 6.3");
    check_refused(Tsne::seed(0).perplexity(0.0).fit(&points), "setting perplexity: found 0");
    check_refused(Tsne::seed(0).perplexity(5.0).fit(&alike), "points that are all alike");
    check_refused(Tsne::seed(0).perplexity(5.0).fit(&broken), "not finite");
    check_refused(Tsne::seed(0).fit(&two), "found 2 points, wanted 3 or more");
    check_refused(neighbour_preservation(&points, &two, 1), "20 points and a map of 2");
}
