//! Collects what the notebooks show: numbers from the crate's values, and figures.
//!
//! A value of the crate says its numbers in a block of type [`FRAGMENT`]: a JSON object, merged into the report.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// The MIME type of the blocks that are merged into the report.
const FRAGMENT: &str = "application/vnd.diabolo.report+json";

/// What a list of sentences under this name means: the notebooks ran, but the report is not to be trusted.
const FAILURES: &str = "failures";

/// What each value adds to instead of replacing: [`FAILURES`], and one row for each pair of held-out classes.
const LISTS: [&str; 2] = [FAILURES, "sweep"];

/// The image types that become files, and the ends of their names.
pub const IMAGES: [(&str, &str); 2] = [("image/svg+xml", "svg"), ("image/png", "png")];

/// One picture from a notebook.
pub struct Figure {
    /// The file's name in the report's folder `figures`.
    pub file: String,
    /// The notebook that drew it.
    pub notebook: String,
    /// The number of the cell in the notebook, from 0, text cells included.
    pub cell: usize,
    /// The cell's own name, by which the notebook's page can be linked to.
    pub cell_id: String,
    /// What the picture shows, in words.
    pub alt: String,
    /// The file's content.
    pub bytes: Vec<u8>,
}

/// Everything that the notebooks have shown so far.
#[derive(Default)]
pub struct Gathered {
    /// The merged fragments.
    pub values: Map<String, Value>,
    /// The pictures in order.
    pub figures: Vec<Figure>,
}

impl Gathered {
    /// Adds the outputs of one cell.
    pub fn add(&mut self, notebook: &str, cell: usize, cell_id: &str, outputs: &[Value]) {
        for data in outputs.iter().map(|output| &output["data"]) {
            if let Value::Object(fragment) = fragment_of(data) {
                merge(&mut self.values, fragment);
            }
            for (mime_type, extension) in IMAGES {
                let Some(bytes) = image_bytes(data, mime_type) else { continue };
                let n_before = self.figures.iter().filter(|one| one.notebook == notebook && one.cell == cell).count();
                let suffix = if n_before == 0 { String::new() } else { format!("-{}", n_before + 1) };
                self.figures.push(Figure {
                    file: format!("{notebook}-{cell}{suffix}.{extension}"),
                    notebook: notebook.into(),
                    cell,
                    cell_id: cell_id.into(),
                    alt: text_of(&data["text/plain"]).trim().to_string(),
                    bytes,
                });
            }
        }
    }

    /// Adds what the next notebook has shown.
    pub fn append(&mut self, next: Self) {
        merge(&mut self.values, next.values);
        self.figures.extend(next.figures);
    }

    /// Why the report is not to be trusted; empty if it is.
    pub fn failures(&self) -> Vec<String> {
        let sentences = self.values.get(FAILURES).and_then(Value::as_array);
        sentences.into_iter().flatten().map(text_of).collect()
    }

    /// The figures as `report.json` lists them.
    pub fn figures_as_json(&self) -> Value {
        let of = |figure: &Figure| {
            json!({
                "file": format!("figures/{}", figure.file),
                "notebook": figure.notebook,
                "cell": figure.cell,
                "alt": figure.alt,
            })
        };
        self.figures.iter().map(of).collect()
    }
}

/// Merges `fragment` into `values`: objects by name, [`LISTS`] item by item, anything else replaces what was there.
fn merge(values: &mut Map<String, Value>, fragment: Map<String, Value>) {
    for (name, new) in fragment {
        match (values.get_mut(&name), new) {
            (Some(Value::Object(old)), Value::Object(new)) => merge(old, new),
            (Some(Value::Array(old)), Value::Array(new)) if LISTS.contains(&name.as_str()) => {
                // A value that is shown twice is one value.
                new.into_iter().for_each(|item| {
                    if !old.contains(&item) {
                        old.push(item)
                    }
                });
            }
            (_, new) => drop(values.insert(name, new)),
        }
    }
}

/// The fragment in an output; a kernel passes JSON on either parsed or as text.
fn fragment_of(data: &Value) -> Value {
    match &data[FRAGMENT] {
        Value::String(_) | Value::Array(_) => serde_json::from_str(&text_of(&data[FRAGMENT])).unwrap_or_default(),
        parsed => parsed.clone(),
    }
}

/// The picture of this type in the data of an output.
pub fn image_bytes(data: &Value, mime_type: &str) -> Option<Vec<u8>> {
    let text = data.get(mime_type).map(text_of)?;
    if mime_type == "image/svg+xml" {
        return Some(text.into_bytes());
    }
    let without_line_ends: String = text.split_whitespace().collect();
    STANDARD.decode(without_line_ends).ok()
}

/// A text in a notebook: a string, or a list of its lines.
pub fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(data: Value) -> Value {
        json!({"output_type": "execute_result", "data": data})
    }

    fn gathered(fragments: &[Value]) -> Gathered {
        let mut gathered = Gathered::default();
        for fragment in fragments {
            gathered.add("00", 1, "id", &[output(json!({ FRAGMENT: fragment }))]);
        }
        gathered
    }

    #[test]
    fn fragments_are_merged_by_name_and_later_ones_win() {
        let values = gathered(&[
            json!({"models": {"fcn": {"epochs": 5, "worst": [1, 2]}}}),
            json!({"models": {"fcn": {"worst": [3]}, "conv": {"epochs": 7}}, "data": {"name": "scenes"}}),
        ])
        .values;
        let models = json!({"fcn": {"epochs": 5, "worst": [3]}, "conv": {"epochs": 7}});
        assert_eq!(Value::from(values), json!({"models": models, "data": {"name": "scenes"}}));
    }

    #[test]
    fn a_fragment_that_arrives_as_text_is_read() {
        assert_eq!(gathered(&[json!("{\"mode\": \"quick\"}")]).values["mode"], "quick");
    }

    #[test]
    fn failures_of_all_cells_are_kept() {
        let gathered = gathered(&[json!({"failures": ["fcn diverged"]}), json!({"failures": ["conv diverged"]})]);
        assert_eq!(gathered.failures(), ["fcn diverged", "conv diverged"]);
        assert!(Gathered::default().failures().is_empty());
    }

    #[test]
    fn pictures_become_files_named_after_their_cell() {
        let mut gathered = Gathered::default();
        let svg = output(json!({"image/svg+xml": "<svg/>", "text/plain": "loss by epoch\n"}));
        let png = output(json!({"image/png": "iVBO\nRw0=\n"}));
        gathered.add("01_reconstructions", 4, "id", &[svg, png, json!({"output_type": "stream", "text": "x"})]);
        let files: Vec<_> = gathered.figures.iter().map(|figure| figure.file.as_str()).collect();
        assert_eq!(files, ["01_reconstructions-4.svg", "01_reconstructions-4-2.png"]);
        assert_eq!(gathered.figures[0].alt, "loss by epoch");
        assert_eq!(gathered.figures[1].bytes, b"\x89PNG\r");
        assert_eq!(gathered.figures_as_json()[0]["file"], "figures/01_reconstructions-4.svg");
    }
}
