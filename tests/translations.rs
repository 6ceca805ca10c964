//! Notebooks and guide in other languages against the English ones: the same code, and text that says what the English says
//! now.

#[path = "common/notebook.rs"]
mod notebook;

use notebook::{notebooks_in, text_of};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// The folders of translated notebooks, beside `notebooks`.
const TRANSLATIONS: [&str; 1] = ["notebooks-zh-TW"];

/// Translated pages behind their English ones.
const PAGES: [(&str, &str); 1] = [("docs/GUIDE.md", "docs/zh-TW/GUIDE.md")];

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
    fault_of_text(&english_text, &text, translated["metadata"]["english"].as_str())
}

/// What a translated text lacks that was made of the English text with the hash `made_of`.
fn fault_of_text(english: &str, text: &str, made_of: Option<&str>) -> Option<String> {
    let (wanted, found) = (what_is_no_word(english), what_is_no_word(text));
    if wanted != found {
        return Some(format!("has other numbers, code or links: {found:?} instead of {wanted:?}"));
    }
    let hash = hash_of(english);
    (made_of != Some(&hash))
        .then(|| format!("is of an older English text; translate it anew and write {hash} behind \"english\""))
}

/// What stands above a page's second headings, and each of these with what is below it; links without their targets, which
/// depend on the folder and on the words of headings.
fn sections(page: &str) -> Vec<String> {
    let mut parts = page.split("](");
    let first = parts.next().unwrap().to_string();
    let words = parts.map(|part| part.split_once(')').unwrap().1);
    let text = words.fold(first, |text, words| text + "]" + words);
    text.split("\n## ").map(|section| section.trim().into()).collect()
}

/// A section without the line that says of which English text it was made, and that.
fn without_hash(section: &str) -> (String, Option<&str>) {
    let Some((before, rest)) = section.split_once("<!-- english: ") else { return (section.into(), None) };
    let (hash, after) = rest.split_once(" -->").unwrap();
    (format!("{before}{after}"), Some(hash))
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
fn every_page_is_translated_section_by_section() {
    for (english, translated) in PAGES {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        // A package of the crate has no translations.
        if !root.join("notebooks").exists() {
            continue;
        }
        let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
        let (english, page) = (sections(&read(english)), sections(&read(translated)));
        assert_eq!(page.len(), english.len(), "the sections of {translated}");
        let fault = |(english, section): (&String, &String)| {
            let (text, hash) = without_hash(section);
            let title = section.lines().next().unwrap_or_default().to_string();
            fault_of_text(english, &text, hash).map(|fault| format!("{title} {fault}"))
        };
        let faults: Vec<String> = english.iter().zip(&page).filter_map(fault).collect();
        assert!(faults.is_empty(), "{translated}:\n{}", faults.join("\n"));
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
    let english = sections("[a](x.md)\n\n## AUC 0.5\n\n[b](y.md#c)");
    assert_eq!(english, ["[a]", "AUC 0.5\n\n[b]"]);
    let (text, made_of) = without_hash("分數 0.5\n\n<!-- english: 12345678 -->\n\n[乙]");
    assert_eq!((text.as_str(), made_of), ("分數 0.5\n\n\n\n[乙]", Some("12345678")));
    let older = json!({"english": "00000000"});
    assert!(fault(translation, &older).contains("an older English text"));
    // The published value of the function for this text.
    assert_eq!(hash_of("foobar"), "bf9cf968");
}
