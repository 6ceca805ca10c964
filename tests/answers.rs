//! What the notebooks' text says in numbers, against the outputs that are committed with them.

#[path = "common/notebook.rs"]
mod notebook;

use notebook::{notebooks_in, text_of};
use serde_json::Value;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The notebooks with outputs: all, and that of the exercises' solutions.
fn notebooks() -> Vec<(PathBuf, Value)> {
    let in_folder = |folder: &'static str| {
        notebooks_in(folder).into_iter().map(move |(name, notebook)| (root().join(folder).join(name), notebook))
    };
    ["notebooks", "notebooks/course"].into_iter().flat_map(in_folder).collect()
}

fn cells<'a>(notebook: &'a Value, kind: &'a str) -> impl Iterator<Item = &'a Value> {
    notebook["cells"].as_array().unwrap().iter().filter(move |cell| cell["cell_type"] == kind)
}

/// The decimal numbers in a text as they are written, with two decimals at least: fewer are rather versions and settings.
fn numbers(text: &str) -> Vec<&str> {
    let is_part = |c: char| c.is_ascii_digit() || c == '.';
    let words = text.split(|c: char| !is_part(c)).map(|word| word.trim_matches('.'));
    let has_decimals = |word: &&str| word.split_once('.').is_some_and(|(_, decimals)| decimals.len() >= 2);
    words.filter(has_decimals).filter(|word| word.parse::<f64>().is_ok()).collect()
}

/// Whether `number` is one of `seen`, rounded to its decimals.
fn is_among(number: &str, seen: &[f64]) -> bool {
    let decimals = number.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    // Half a unit more, since what is seen may have been rounded before.
    let tolerance = 0.51 * 10_f64.powi(-i32::try_from(decimals).unwrap());
    let value: f64 = number.parse().unwrap();
    seen.iter().any(|other| (other - value).abs() <= tolerance)
}

/// What a notebook's code says and shows, as plain text and as numbers for the report.
fn code_and_outputs(notebook: &Value) -> String {
    let shown = |output: &Value| {
        let report = &output["data"]["application/vnd.diabolo.report+json"];
        format!("{}\n{}\n{report}\n", text_of(&output["text"]), text_of(&output["data"]["text/plain"]))
    };
    let of_cell = |cell: &Value| {
        text_of(&cell["source"]) + "\n" + &cell["outputs"].as_array().unwrap().iter().map(shown).collect::<String>()
    };
    cells(notebook, "code").map(of_cell).collect()
}

#[test]
fn numbers_in_the_text_are_in_the_outputs() {
    // What the report says.
    let mut told: Vec<f64> = diabolo::sweep::REPORT_AUCS.iter().map(|(_, _, auc)| *auc).collect();
    told.extend([53.34, 53.3, 55.4]);
    for (path, notebook) in notebooks() {
        let shown = code_and_outputs(&notebook);
        let seen: Vec<f64> = numbers(&shown).iter().map(|number| number.parse().unwrap()).chain(told.clone()).collect();
        for cell in cells(&notebook, "markdown") {
            let text = text_of(&cell["source"]);
            let missing: Vec<&str> = numbers(&text).into_iter().filter(|number| !is_among(number, &seen)).collect();
            assert!(missing.is_empty(), "{}: {missing:?} in no output: {text}", path.display());
        }
    }
}

#[test]
fn notebooks_are_committed_with_outputs_and_small() {
    for (path, notebook) in notebooks() {
        let n_bytes = std::fs::metadata(&path).unwrap().len();
        assert!(n_bytes < 500_000, "{} has {n_bytes} bytes", path.display());
        let n_outputs: usize = cells(&notebook, "code").map(|cell| cell["outputs"].as_array().unwrap().len()).sum();
        assert!(n_outputs > 3, "{} has {n_outputs} outputs", path.display());
        let errors = cells(&notebook, "code").flat_map(|cell| cell["outputs"].as_array().unwrap());
        assert!(errors.filter(|output| output["output_type"] == "error").count() == 0, "{}", path.display());
    }
}

/// A figure of a network that has learnt nothing is of no worth; such a network is called so.
#[test]
fn models_of_the_outputs_have_learnt_or_are_called_out() {
    let mut n_models = 0;
    for (path, notebook) in notebooks() {
        let outputs = cells(&notebook, "code").flat_map(|cell| cell["outputs"].as_array().unwrap());
        for report in outputs.map(|output| &output["data"]["application/vnd.diabolo.report+json"]["models"]) {
            for (name, model) in report.as_object().into_iter().flatten() {
                let Some(explained) = model["variance_explained"].as_f64() else { continue };
                n_models += 1;
                let warning = model["warning"].as_str().unwrap_or_default();
                assert!(explained > 0.01 || warning.contains("has learnt nothing"), "{}: {name}", path.display());
            }
        }
    }
    assert!(n_models > 5 || notebooks().is_empty(), "{n_models} models");
}

/// What was changed of the report's settings of `report_cnn`, one at a time, and what came of it.
#[test]
fn the_table_of_settings_that_were_tried_has_the_numbers_of_their_trainings() {
    let Some((_, notebook)) = notebooks().into_iter().find(|(path, _)| path.ends_with("01_reconstructions.ipynb"))
    else {
        return;
    };
    let text: String = cells(&notebook, "markdown").map(|cell| text_of(&cell["source"])).collect();
    let tried = ["as_reported", "no_dropout", "rate_1e-2", "rate_1e-1", "adam_w"];
    for setting in tried {
        let path = root().join("notebooks/full/settings").join(setting).with_extension("json");
        let run: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        assert_eq!(run["history"]["epochs"].as_array().unwrap().len(), 20, "{setting}");
        let percent = |key: &str| 100.0 * run["history"]["learnt"][key].as_f64().unwrap();
        let numbers = [percent("variance_explained"), percent("reconstruction_variance")];
        let wanted = format!("| {:.1} % | {:.1} % |", numbers[0], numbers[1]);
        assert!(text.lines().any(|line| line.contains(&format!("`{setting}`")) && line.ends_with(&wanted)), "{wanted}");
    }
}

/// Where the data lay when a notebook ran is nobody's business.
#[test]
fn outputs_name_no_folder_of_the_machine_that_made_them() {
    for (path, notebook) in notebooks() {
        let shown = code_and_outputs(&notebook);
        let found = shown.lines().find(|line| line.contains(" in /"));
        assert!(found.is_none(), "{}: {}", path.display(), found.unwrap_or_default());
    }
}

#[test]
fn a_number_is_compared_at_the_decimals_it_is_told_with() {
    assert_eq!(numbers("AUC 0.644, 0.64440 (10.5) v1.2.3 and 12."), ["0.644", "0.64440"]);
    assert!(is_among("0.64", &[0.6440]) && is_among("0.644", &[0.64440]));
    assert!(!is_among("0.644", &[0.643]) && !is_among("0.356", &[0.644]));
}
