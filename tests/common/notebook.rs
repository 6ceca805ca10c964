//! What the tests of committed notebooks share: reading them.

use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The notebooks of a folder of the repository by their file names; none in a package of the crate, which lacks them.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
pub fn notebooks_in(folder: &str) -> BTreeMap<String, Value> {
    let Ok(entries) = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)) else {
        eprintln!("skipped: {folder} is in the repository");
        return BTreeMap::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    let notebooks = paths.filter(|path| path.extension().is_some_and(|ending| ending == "ipynb"));
    let named = |path: &Path| path.file_name().unwrap().to_string_lossy().to_string();
    notebooks.map(|path| (named(&path), serde_json::from_slice(&fs::read(path).unwrap()).unwrap())).collect()
}

/// A text of a notebook's JSON: a string, or a list of its lines.
pub fn text_of(value: &Value) -> String {
    match value {
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
        other => other.as_str().unwrap_or_default().into(),
    }
}
