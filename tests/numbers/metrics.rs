//! Metrics against scikit-learn and diptest.

use super::fixtures::{check_close, floats, numbers};
use diabolo::metrics::{
    LinearFit, Positive, average_precision, confusion, dip_statistic, precision_recall_curve, roc_auc, roc_curve,
};

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
