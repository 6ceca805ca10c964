//! Every notebook, executed as a user would see it, and its numbers.
//!
//! The report's own command runs them in the kernel that set-up registered, on the embedded data, quick.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs `cargo diabolo report` into a folder of its own; gives the folder and report.json.
fn report(name: &str, arguments: &[&str]) -> (PathBuf, Value) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let run = Command::new("cargo")
        .args(["diabolo", "report", "--out"])
        .arg(&folder)
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("CARGO")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{}\n{stderr}", String::from_utf8_lossy(&run.stdout));
    let json = std::fs::read_to_string(folder.join("report.json")).unwrap();
    (folder, serde_json::from_str(&json).unwrap())
}

#[track_caller]
fn check_between(report: &Value, pointer: &str, low: f64, high: f64) {
    let value = report.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("no number at {pointer}"));
    assert!((low..=high).contains(&value), "{pointer} is {value}, not within {low}..={high}");
}

#[test]
fn the_notebooks_run_and_say_what_they_should() {
    let (folder, report) = report("report_of_scenes", &["--quick"]);

    assert_eq!(report["data"]["name"], "scenes");
    assert_eq!(report["data"]["held_out"], serde_json::json!(["moon", "mushroom"]));
    assert_eq!((&report["data"]["n_train"], &report["data"]["n_test"]), (&6400.into(), &2000.into()));
    assert_eq!(report["mode"], "quick");

    for (model, n_parameters) in [("conv", 47_355), ("report_cnn", 191_777), ("fcn", 807_907)] {
        assert_eq!(report["models"][model]["parameters"], n_parameters, "{model}");
        for list in ["worst", "best"] {
            assert_eq!(report["models"][model][list].as_array().unwrap().len(), 9, "{model} {list}");
        }
    }
    // Losses and AUCs of the seed; processors round differently, so with room around them.
    check_between(&report, "/models/conv/loss_first", 0.19, 0.21);
    check_between(&report, "/models/conv/mse_mean", 0.030, 0.046);
    check_between(&report, "/models/conv/auc_reconstruction", 0.58, 0.68);
    check_between(&report, "/models/fcn/mse_mean", 0.062, 0.085);
    check_between(&report, "/models/fcn/auc_reconstruction", 0.58, 0.68);
    check_between(&report, "/models/report_cnn/loss_first", 0.45, 0.50);
    check_between(&report, "/models/report_cnn/loss_last", 0.20, 0.29);
    check_between(&report, "/models/report_cnn/auc_reconstruction", 0.50, 0.61);

    let figures = report["figures"].as_array().unwrap();
    assert!(figures.len() >= 3, "{figures:?}");
    for figure in figures {
        let bytes = std::fs::metadata(folder.join(figure["file"].as_str().unwrap())).unwrap().len();
        assert!((1_000..500_000).contains(&bytes), "{figure} has {bytes} bytes");
        assert!(figure["alt"].as_str().unwrap().len() > 20, "{figure}");
    }
    let sixteen = figures.iter().find(|figure| figure["notebook"] == "01_reconstructions").unwrap();
    let drawing = std::fs::read_to_string(folder.join(sixteen["file"].as_str().unwrap())).unwrap();
    // Two models, two worst and two best: original, reconstruction and error, and one colour bar.
    assert_eq!(drawing.matches("<image").count(), 8 * 3 + 1);

    for page in ["index.html", "00_first_look.html", "01_reconstructions.html", "00_first_look.ipynb"] {
        assert!(folder.join(page).exists(), "{page}");
    }
}
