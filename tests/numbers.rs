//! Clusters, projections, neighbours and metrics against scikit-learn and others.

#[path = "numbers/fixtures.rs"]
mod fixtures;
#[path = "numbers/metrics.rs"]
mod metrics;
#[path = "numbers/t_sne.rs"]
mod t_sne;

use diabolo::cluster::KMeans;
use diabolo::ndarray::{Array2, Axis, s};
use diabolo::neighbours::{Nearest, neighbour_preservation};
use diabolo::project::{Mahalanobis, Pca, Tsne};
use fixtures::{check_close, check_refused, codes, doubles, floats, number, numbers, tensor};
use serde_json::Value;

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
