//! AUC against scikit-learn: tests/fixtures/make_torch.py made the numbers.

use diabolo::metrics::roc_auc;
use serde_json::Value;

#[test]
fn auc_equals_scikit_learn() {
    let fixture: Value = serde_json::from_str(include_str!("fixtures/auc.json")).unwrap();
    let numbers = |value: &Value| value.as_array().unwrap().iter().map(|n| n.as_f64().unwrap()).collect::<Vec<_>>();
    let labels: Vec<bool> =
        fixture["labels"].as_array().unwrap().iter().map(|label| label.as_bool().unwrap()).collect();
    let cases = fixture["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 4);
    for case in cases {
        let (ours, theirs) = (roc_auc(&numbers(&case["scores"]), &labels).unwrap(), case["auc"].as_f64().unwrap());
        assert!((ours - theirs).abs() < 1e-9, "{}: {ours}, scikit-learn has {theirs}", case["name"]);
    }
}
