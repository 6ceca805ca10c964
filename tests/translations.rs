//! The notebooks in other languages against the English ones: the same code, and text that says what the English says now.

#[path = "common/notebook.rs"]
mod notebook;

use notebook::{notebooks_in, text_of};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// The folders of translated notebooks, beside `notebooks`.
const TRANSLATIONS: [&str; 1] = ["notebooks-zh-TW"];

fn cells(notebook: &Value) -> &[Value] {
    notebook["cells"].as_array().unwrap()
}

/// What stands in a text in every language: numbers, code and the targets of links, sorted.
fn what_is_no_word(text: &str) -> Vec<&str> {
    let code = text.split('`').skip(1).step_by(2);
    let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let numbers = text.split(|c: char| !c.is_ascii_digit() && c != '.').map(|word| word.trim_matches('.'));
    let mut found: Vec<&str> = code.chain(links).chain(numbers.filter(|number| !number.is_empty())).collect();
    found.sort_unstable();
    found
}

/// The name of an English text in the metadata of its translation: FNV-1a, 32 bits.
fn hash_of(text: &str) -> String {
    let hash = text.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("{hash:08x}")
}

/// What a translated cell lacks to be of the English cell as it is now.
fn fault_of(english: &Value, translated: &Value) -> Option<String> {
    if ["id", "cell_type"].iter().any(|key| english[key] != translated[key]) {
        return Some(format!("stands where the cell {} should", english["id"]));
    }
    let (english_text, text) = (text_of(&english["source"]), text_of(&translated["source"]));
    if english["cell_type"] == "code" {
        if translated["outputs"].as_array().is_none_or(|outputs| !outputs.is_empty()) {
            return Some("has outputs, which are committed in English alone".into());
        }
        return (english_text != text).then(|| "has other code".into());
    }
    let (wanted, found) = (what_is_no_word(&english_text), what_is_no_word(&text));
    if wanted != found {
        return Some(format!("has other numbers, code or links: {found:?} instead of {wanted:?}"));
    }
    let hash = hash_of(&english_text);
    (translated["metadata"]["english"] != hash.as_str()).then(|| {
        format!("is of an older English text; translate it anew and set \"english\" to {hash:?} in its metadata")
    })
}

#[test]
fn every_notebook_is_translated_cell_by_cell() {
    let english = notebooks_in("notebooks");
    let names: Vec<&String> = english.keys().collect();
    for folder in TRANSLATIONS.iter().filter(|_| !english.is_empty()) {
        let translated = notebooks_in(folder);
        assert_eq!(translated.keys().collect::<Vec<_>>(), names, "the notebooks of {folder}");
        let mut faults = Vec::new();
        for (name, notebook) in &translated {
            let (english, translated) = (cells(&english[name]), cells(notebook));
            if english.len() != translated.len() {
                faults.push(format!("{name} has {} cells, {} in English", translated.len(), english.len()));
            }
            let pairs = english.iter().zip(translated);
            let fault =
                |(english, cell)| fault_of(english, cell).map(|fault| format!("{name}: {} {fault}", cell["id"]));
            faults.extend(pairs.filter_map(fault));
        }
        assert!(faults.is_empty(), "{folder}:\n{}", faults.join("\n"));
    }
}

#[test]
fn every_translated_notebook_is_listed_in_its_folder() {
    for folder in TRANSLATIONS {
        let notebooks = notebooks_in(folder);
        if notebooks.is_empty() {
            continue;
        }
        let listed = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join("README.md")).unwrap();
        for name in notebooks.keys() {
            assert!(listed.contains(&format!("]({name})")), "{folder}/README.md does not name {name}");
        }
    }
}

#[test]
fn a_change_of_one_language_alone_is_found() {
    let cell = |text: &str, metadata: Value| json!({"cell_type": "markdown", "source": [text], "metadata": metadata});
    let english = cell("AUC 0.597 of `fcn` ([more](more.md)), 2 of 3.", Value::Null);
    let hash = json!({"english": hash_of(&text_of(&english["source"]))});
    let fault = |text: &str, metadata: &Value| fault_of(&english, &cell(text, metadata.clone())).unwrap_or_default();

    let translation = "3 個中的 2 個，`fcn` 的 AUC 是 0.597（[詳情](more.md)）。";
    assert_eq!(fault(translation, &hash), "");
    for (right, wrong) in [("0.597", "0.598"), ("`fcn`", "`cnn`"), ("more.md", "less.md"), ("3", "三")] {
        assert!(fault(&translation.replace(right, wrong), &hash).starts_with("has other numbers"), "{wrong}");
    }
    let older = json!({"english": "00000000"});
    assert!(fault(translation, &older).contains("an older English text"));
    // The published value of the function for this text.
    assert_eq!(hash_of("foobar"), "bf9cf968");
}
