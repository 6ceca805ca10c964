//! Paired comparisons of AUCs against R's pROC, scores of pixels against scikit-learn: tests/fixtures/make_comparisons.R and
//! make_pixels.py made the numbers.

use diabolo::metrics::{auc_difference_interval, compare_aucs, per_region_overlap, pixel_auc};
use diabolo::ndarray::Array3;
use serde_json::Value;

fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

struct Case {
    name: String,
    first: Vec<f64>,
    second: Vec<f64>,
    anomalies: Vec<bool>,
    expected: Value,
}

fn cases() -> Vec<Case> {
    let cases: Value = serde_json::from_str(include_str!("fixtures/comparisons.json")).unwrap();
    let case = |(name, case): (&String, &Value)| Case {
        name: name.clone(),
        first: floats(&case["first_scores"]),
        second: floats(&case["second_scores"]),
        anomalies: case["anomalies"].as_array().unwrap().iter().map(|anomaly| anomaly.as_bool().unwrap()).collect(),
        expected: case.clone(),
    };
    cases.as_object().unwrap().iter().map(case).collect()
}

#[test]
fn paired_comparisons_equal_those_of_proc() {
    let cases = cases();
    assert_eq!(cases.len(), 8);
    for Case { name, first, second, anomalies, expected } in cases {
        let found = compare_aucs(&first, &second, &anomalies).unwrap();
        for (key, found) in [
            ("first", found.first),
            ("second", found.second),
            ("standard_error", found.standard_error),
            ("p_value", found.p_value),
            ("low", found.difference.low),
            ("high", found.difference.high),
        ] {
            let expected = expected[key].as_f64().unwrap();
            // Small p-values as exactly as large ones.
            let tolerance = if key == "p_value" { 1e-6 * expected } else { 1e-9 };
            assert!((found - expected).abs() <= tolerance, "{name}, {key}: {found}, expected {expected}");
        }
        assert_eq!(found.difference.value, found.first - found.second);
    }
}

#[test]
fn the_other_way_round_is_the_same_comparison() {
    for Case { name, first, second, anomalies, .. } in cases() {
        let (one, other) =
            (compare_aucs(&first, &second, &anomalies).unwrap(), compare_aucs(&second, &first, &anomalies).unwrap());
        assert_eq!((one.p_value, one.difference.value), (other.p_value, -other.difference.value), "{name}");
    }
}

#[test]
fn the_paired_bootstrap_is_as_wide_as_delong_says() {
    for Case { name, first, second, anomalies, .. } in cases() {
        let theory = compare_aucs(&first, &second, &anomalies).unwrap().difference;
        let drawn = auc_difference_interval(&first, &second, &anomalies, 2000, 1).unwrap();
        assert_eq!(drawn.value, theory.value);
        // With 3 anomalies resampling finds less spread than there is.
        let least = if name == "few_anomalies" { 0.6 } else { 0.85 };
        let ratio = (drawn.high - drawn.low) / (theory.high - theory.low);
        assert!((least..1.15).contains(&ratio), "{name}: {drawn:?}, DeLong has {theory:?}");
    }
}

#[test]
fn a_million_scores_are_compared() {
    // Comparing every anomaly with every normal image would take many minutes.
    let scores = |seed: u64| -> Vec<f64> {
        let number = |n: u64| ((n + seed).wrapping_mul(6_364_136_223_846_793_005) >> 33) as f64;
        (0..1_000_000).map(number).collect()
    };
    let anomalies: Vec<bool> = (0..1_000_000).map(|n| n % 3 == 0).collect();
    let found = compare_aucs(&scores(1), &scores(99), &anomalies).unwrap();
    assert!((0.0..=1.0).contains(&found.p_value));
}

#[test]
fn scores_of_pixels_equal_scikit_learn() {
    let numbers: Value = serde_json::from_str(include_str!("fixtures/pixels.json")).unwrap();
    let shape = floats(&numbers["shape"]);
    let shape = (shape[0] as usize, shape[1] as usize, shape[2] as usize);
    let maps = Array3::from_shape_vec(shape, floats(&numbers["maps"])).unwrap().mapv(|score| score as f32);
    let masks = Array3::from_shape_vec(shape, floats(&numbers["masks"])).unwrap().mapv(|pixel| pixel == 1.0);
    let auc = pixel_auc(maps.view(), masks.view()).unwrap();
    assert!((auc - numbers["pixel_auc"].as_f64().unwrap()).abs() < 1e-12, "{auc}");
    for (rate, expected) in numbers["per_region_overlap"].as_object().unwrap() {
        let (found, expected) =
            (per_region_overlap(maps.view(), masks.view(), rate.parse().unwrap()).unwrap(), expected.as_f64().unwrap());
        assert!((found - expected).abs() < 1e-9, "up to {rate}: {found}, expected {expected}");
    }
}
