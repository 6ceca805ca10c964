//! Every notebook, executed as a user would see it, and its numbers.
//!
//! The report's own command runs them in the kernel that set-up registered, on the embedded data, quick.

use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// `cargo diabolo test` sets it. Plain `cargo test` is not to set a machine up, download libtorch and register kernels.
const VARIABLE: &str = "DIABOLO_TEST_PYTHON";

/// Says that a test is skipped, and why.
fn is_skipped() -> bool {
    let is_skipped = std::env::var_os(VARIABLE).is_none();
    if is_skipped {
        let _ = writeln!(std::io::stderr(), "skipped: {VARIABLE} is not set; `cargo diabolo test` runs the notebooks");
    }
    is_skipped
}

/// Runs `cargo diabolo report` into a folder of its own; gives the folder and what the command said.
fn run_report(name: &str, arguments: &[&str]) -> (PathBuf, Output) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let run = Command::new("cargo")
        .args(["diabolo", "report", "--out"])
        .arg(&folder)
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("CARGO")
        .output()
        .unwrap();
    (folder, run)
}

/// The same where it succeeds; gives the folder and report.json.
fn report(name: &str, arguments: &[&str]) -> (PathBuf, Value) {
    let (folder, run) = run_report(name, arguments);
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
    if is_skipped() {
        return;
    }
    let (folder, report) = report("report_of_scenes", &["--quick"]);

    check_nothing_on_stderr(&folder);
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
    // The report's settings, which learn nothing so soon, and that is said.
    check_between(&report, "/models/report_cnn_sgd/loss_first", 0.45, 0.50);
    check_between(&report, "/models/report_cnn_sgd/loss_last", 0.38, 0.48);
    let warning = report["models"]["report_cnn_sgd"]["warning"].as_str().unwrap();
    assert!(warning.contains("has learnt nothing yet"), "{warning}");
    // The full-length models are opened, so that a score of another sign or a constant network is far outside.
    for (model, mse, auc, explained) in [("fcn", 0.07754, 0.6511, 0.5604), ("report_cnn", 0.10314, 0.6133, 0.4153)] {
        let of = |key: &str| format!("/models/{model}/{key}");
        check_between(&report, &of("mse_mean"), mse - 0.001, mse + 0.001);
        check_between(&report, &of("auc_reconstruction"), auc - 0.005, auc + 0.005);
        check_between(&report, &of("variance_explained"), explained - 0.005, explained + 0.005);
        assert_eq!(report["models"][model]["warning"], Value::Null, "{model}");
    }
    // A network that gives one picture for all explains nothing of their variance.
    check_between(&report, "/models/conv/variance_explained", 0.7, 0.85);

    // Question 2: every way has an AUC, fitted on the training codes and on the test codes. The model is the same everywhere,
    // so that these differ by rounding and by the starts of K-means alone.
    for (fit, key, auc) in [
        ("auc", "reconstruction", 0.613),
        ("auc", "kmeans_3", 0.490),
        ("auc", "kmeans_5", 0.505),
        ("auc", "pca_2", 0.499),
        ("auc", "pca_3", 0.514),
        ("auc", "mahalanobis", 0.530),
        ("auc_fitted_on_test", "kmeans_3", 0.489),
        ("auc_fitted_on_test", "kmeans_5", 0.507),
        ("auc_fitted_on_test", "pca_2", 0.499),
        ("auc_fitted_on_test", "pca_3", 0.511),
    ] {
        check_between(&report, &format!("/models/report_cnn/{fit}/{key}"), auc - 0.01, auc + 0.01);
    }
    check_between(&report, "/models/fcn/auc/debiased", 0.62, 0.645);
    // Which pair: three of `scenes` for question 5 and ten for the bias, and the 45 of CIFAR-10 that come with the notebooks.
    let sweep = report["sweep"].as_array().unwrap();
    let auc_of = |first: &str, second: &str| {
        let rows = sweep.iter().filter(|row| row["held_out"] == serde_json::json!([first, second]));
        rows.map(|row| row["auc"].as_f64().unwrap()).collect::<Vec<_>>()
    };
    assert!(sweep.len() >= 55 && sweep.iter().all(|row| row["model"] == "fcn"), "{sweep:?}");
    let boat_and_star = auc_of("boat", "star");
    assert!(
        !boat_and_star.is_empty() && boat_and_star.iter().all(|auc| (0.41..0.47).contains(auc)),
        "{boat_and_star:?}"
    );
    assert_eq!(auc_of("automobile", "ship").iter().map(|auc| format!("{auc:.4}")).collect::<Vec<_>>(), ["0.5987"]);

    check_between(&report, "/models/night/mse_mean", 0.03, 0.08);

    // The largest error of a map finds defects that the mean error hides; baselines stand beside both.
    check_between(&report, "/models/inspector/auc/largest_error", 0.85, 1.0);
    check_between(&report, "/models/inspector/auc/reconstruction", 0.6, 0.9);
    check_between(&report, "/models/inspector/auc_of_baselines/brightness", 0.3, 0.7);
    check_between(&report, "/models/inspector/variance_explained", 0.3, 0.95);

    let figures = report["figures"].as_array().unwrap();
    let figures_of = |notebook: &str| figures.iter().filter(|figure| figure["notebook"] == notebook).count();
    for (notebook, least) in [
        ("02_scores_on_codes", 3),
        ("04_why_auc", 5),
        ("05_which_pair", 1),
        ("06_bias", 2),
        ("08_detectors", 2),
        ("09_linfa", 1),
    ] {
        assert!(figures_of(notebook) >= least, "{notebook} has {} figures", figures_of(notebook));
    }
    // Notebooks run side by side and are told in their order.
    assert!(figures.is_sorted_by_key(|figure| figure["notebook"].as_str().unwrap()));
    for figure in figures {
        let bytes = std::fs::metadata(folder.join(figure["file"].as_str().unwrap())).unwrap().len();
        assert!((1_000..500_000).contains(&bytes), "{figure} has {bytes} bytes");
        assert!(figure["alt"].as_str().unwrap().len() > 20, "{figure}");
    }
    let sixteen = figures.iter().find(|figure| figure["notebook"] == "01_reconstructions").unwrap();
    let drawing = std::fs::read_to_string(folder.join(sixteen["file"].as_str().unwrap())).unwrap();
    // Two models, two worst and two best: original, reconstruction and error, and one colour bar.
    assert_eq!(drawing.matches("<image").count(), 8 * 3 + 1);

    for name in ["00_first_look", "01_reconstructions", "02_scores_on_codes", "03_maps", "04_why_auc", "05_which_pair"]
    {
        assert!(folder.join(format!("{name}.html")).exists(), "{name}");
    }
    assert!(folder.join("index.html").exists() && folder.join("07_runs.ipynb").exists());

    // The report's argument, as the notebook shows it.
    let page = std::fs::read_to_string(folder.join("04_why_auc.html")).unwrap();
    assert!(page.contains("calls everything normal") && page.contains("0.889") && page.contains("0.333"));
    let page = std::fs::read_to_string(folder.join("03_maps.html")).unwrap();
    assert!(page.contains("one round cloud") && page.contains("t-SNE, perplexity 30, seed 7"));
}

/// A warning there would look like a failure, and in a test cell of a course it is one: nbgrader gives no points for it.
fn check_nothing_on_stderr(folder: &Path) {
    let entries = std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    let notebooks: Vec<_> = entries.filter(|path| path.extension().is_some_and(|ending| ending == "ipynb")).collect();
    assert!(notebooks.len() > 5, "only {} notebooks", notebooks.len());
    for path in notebooks {
        let notebook: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let cells = notebook["cells"].as_array().unwrap().iter();
        let mut outputs = cells.flat_map(|cell| cell["outputs"].as_array().into_iter().flatten());
        let loud = outputs.find(|output| output["name"] == "stderr");
        assert!(loud.is_none(), "{}: {loud:?}", path.display());
    }
}

#[test]
fn a_notebook_runs_on_the_front_of_evcxr_too() {
    if is_skipped() {
        return;
    }
    let (_, report) = report("report_on_stock_front", &["--quick", "--only", "00_first_look", "--kernel", "evcxr"]);
    check_between(&report, "/models/conv/auc_reconstruction", 0.58, 0.68);
}

/// Somebody's own notebooks, which know nothing of autoencoders, and one whose second cell fails.
#[test]
fn any_folder_of_rust_notebooks_becomes_a_report_up_to_the_cell_that_fails() {
    if is_skipped() {
        return;
    }
    let lectures = tempfile::Builder::new().prefix("lectures").tempdir().unwrap();
    let write = |name: &str, cells: &[&str]| {
        let cell = |(index, source): (usize, &&str)| {
            let id = format!("cell-{index}");
            json!({"cell_type": "code", "id": id, "source": source, "metadata": {}, "outputs": [], "execution_count": null})
        };
        let cells: Vec<_> = cells.iter().enumerate().map(cell).collect();
        let notebook = json!({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5});
        std::fs::write(lectures.path().join(name), notebook.to_string()).unwrap();
    };
    write("1_sums.ipynb", &["let numbers = [1, 2, 39];", "numbers.iter().sum::<i32>()"]);
    let folder = lectures.path().to_str().unwrap();
    let (out, report) = report("report_of_lectures", &[folder]);
    assert_eq!(report["notebooks"]["1_sums"]["cells"], 2);
    assert!(std::fs::read_to_string(out.join("1_sums.html")).unwrap().contains("42"));
    assert!(std::fs::read_to_string(out.join("index.html")).unwrap().contains("<h1>lectures"));

    write("2_fails.ipynb", &["let numbers: [i32; 0] = [];", "numbers.iter().max().expect(\"a number\")"]);
    let (_, run) = run_report("report_of_failing_lectures", &[folder]);
    let stderr = String::from_utf8_lossy(&run.stderr);
    assert!(!run.status.success(), "{stderr}");
    for part in ["2_fails.ipynb stopped", "cell 2 of 2 failed", "numbers.iter().max()", "a number"] {
        assert!(stderr.contains(part), "{part} is not in {stderr}");
    }
}

/// The code is the same in every language, so one notebook is enough: the crate, the data and the models are found from
/// the other folder too.
#[test]
fn a_notebook_in_chinese_runs_as_the_english_one() {
    if is_skipped() {
        return;
    }
    let (folder, report) = report("report_in_chinese", &["--quick", "--only", "04_why_auc", "--language", "zh-TW"]);
    check_between(&report, "/models/fcn/auc/reconstruction", 0.646, 0.656);
    let page = std::fs::read_to_string(folder.join("04_why_auc.html")).unwrap();
    assert!(page.contains("為什麼用 AUC") && page.contains("0.889"));
    let mut figures = std::fs::read_dir(folder.join("figures")).unwrap().map(|figure| figure.unwrap().path());
    let is_titled =
        |path: PathBuf| std::fs::read_to_string(path).is_ok_and(|text| text.contains("fcn：ROC 曲線與曲線下面積"));
    assert!(figures.any(is_titled) && page.contains("什麼都不看的模型"), "figures and tables are in Chinese too");
}
