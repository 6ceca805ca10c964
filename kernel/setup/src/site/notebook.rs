//! An executed notebook as a chapter in Markdown, its drawings as files.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Result;
use serde_json::Value;

use super::pages::Page;
use crate::report::{IMAGES, cells_of, escaped, image_bytes, name_of, text_of};

/// A drawing that a cell shows.
pub struct Drawing {
    /// Its file in the site's folder `figures`.
    pub file: String,
    /// What it shows, in words, as in an attribute of HTML.
    pub alt: String,
    /// The file's content.
    pub bytes: Vec<u8>,
    /// The cell that shows it.
    pub cell: String,
    /// The lines that draw it; none where it was shown while the cell ran.
    pub code: Option<String>,
}

/// A notebook as a chapter.
pub struct Chapter {
    /// Its Markdown.
    pub text: String,
    /// What it shows, in order.
    pub drawings: Vec<Drawing>,
}

impl Chapter {
    /// The notebook at `path` with what its cells show in `executed`, where they have the same names; for `page`.
    pub fn new(path: &Path, executed: &Path, page: &Page) -> Result<Self> {
        let shown = cells_of(executed)?;
        let shown: HashMap<_, _> = shown.iter().map(|cell| (name(cell), &cell["outputs"])).collect();
        let mut chapter = Self { text: String::new(), drawings: Vec::new() };
        for cell in cells_of(path)? {
            let source = text_of(&cell["source"]);
            if cell["cell_type"] != "code" {
                chapter.text += &format!("{source}\n\n");
                continue;
            }
            let id = name(&cell);
            chapter.text += &format!("<span id=\"{id}\"></span>\n\n{}", fenced("rust", &source));
            for output in shown.get(id).and_then(|outputs| outputs.as_array()).into_iter().flatten() {
                let code = (output["output_type"] == "execute_result").then(|| drawing_lines(&source));
                chapter.add(output, &name_of(path), id, code.as_deref(), page);
            }
        }
        Ok(chapter)
    }

    /// Adds one output: as HTML if it has that, else as a picture, else as text.
    fn add(&mut self, output: &Value, notebook: &str, cell: &str, code: Option<&str>, page: &Page) {
        let data = &output["data"];
        let mut picture = |extension: &str, alt: String, bytes| {
            let number = self.drawings.iter().filter(|drawing| drawing.cell == cell).count() + 1;
            let file = format!("{notebook}-{cell}-{number}.{extension}");
            let image = image(&file, &alt, page);
            self.drawings.push(Drawing { file, alt, bytes, cell: cell.into(), code: code.map(String::from) });
            image
        };
        if let Some(html) = data.get("text/html").map(text_of) {
            let mut parts = html.split("<svg");
            let mut kept = parts.next().unwrap_or_default().to_string();
            for part in parts {
                let (drawing, rest) = part.split_once("</svg>").unwrap_or((part, ""));
                let words = drawing.split_once("aria-label=\"").and_then(|(_, words)| words.split_once('"'));
                let alt = words.map_or("", |(words, _)| words).into();
                kept += &picture("svg", alt, format!("<svg{drawing}</svg>").into_bytes());
                kept += rest;
            }
            // A blank line would end a block of HTML.
            let lines: Vec<_> = kept.lines().filter(|line| !line.trim().is_empty()).collect();
            self.text += &format!("<div class=\"output\" tabindex=\"0\">\n{}\n</div>\n\n", lines.join("\n"));
            return;
        }
        for (mime_type, extension) in IMAGES {
            if let Some(bytes) = image_bytes(data, mime_type) {
                let words = text_of(&data["text/plain"]);
                let alt = escaped(&words.split_whitespace().collect::<Vec<_>>().join(" "));
                let image = picture(extension, alt, bytes);
                self.text += &format!("<div class=\"output\">\n{image}\n</div>\n\n");
                return;
            }
        }
        let text = text_of(&output["text"]) + &text_of(&data["text/plain"]);
        if !text.trim().is_empty() {
            self.text += &fenced("text", text.trim_end());
        }
    }
}

/// An image in `page`.
pub fn image(file: &str, alt: &str, page: &Page) -> String {
    format!("<img src=\"{}figures/{file}\" alt=\"{alt}\" loading=\"lazy\">", page.up())
}

/// Code or text as a block of Markdown.
pub fn fenced(language: &str, text: &str) -> String {
    format!("```{language}\n{text}\n```\n\n")
}

fn name(cell: &Value) -> &str {
    cell["id"].as_str().unwrap_or_default()
}

/// The last statement of a cell; of a variable alone, the one that defines it as well.
fn drawing_lines(source: &str) -> String {
    let lines: Vec<_> = source.lines().filter(|line| !line.trim().is_empty()).collect();
    let ends = |line: &str| line.ends_with([';', '}']) || line.contains("; //");
    let n_before = lines.len().saturating_sub(1);
    let first = lines[..n_before].iter().rposition(|line| ends(line)).map_or(0, |last| last + 1);
    let statement = lines[first..].join("\n");
    let defines = |line: &&&str| line.starts_with(&format!("let {statement} ="));
    let definition = lines[..first].iter().rfind(defines);
    definition.map(|line| format!("{line}\n")).unwrap_or_default() + &statement
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::Language;
    use serde_json::json;
    use std::fs;

    const CURVE: &str = r#"<svg width="9" role="img" aria-label="loss &lt; 1"><line/></svg>"#;

    fn chapter(outputs: Value) -> Chapter {
        let folder = tempfile::tempdir().unwrap();
        let (english, chinese) = (folder.path().join("00.ipynb"), folder.path().join("zh.ipynb"));
        let cells = |title: &str, outputs: Value| {
            json!({"cells": [
                {"cell_type": "markdown", "id": "a", "source": [title]},
                {"cell_type": "code", "id": "b", "source": ["let x = f()?;\n", "x"], "outputs": outputs},
            ]})
        };
        fs::write(&english, cells("# First", outputs).to_string()).unwrap();
        fs::write(&chinese, cells("# 初探", json!([])).to_string()).unwrap();
        let page = Page { language: Language::ZhTw, source: "zh.ipynb".into(), place: "notebooks/zh".into() };
        Chapter::new(&chinese, &english, &page).unwrap()
    }

    #[test]
    fn a_translated_cell_shows_what_the_executed_one_of_its_name_shows() {
        let text = json!({"output_type": "stream", "text": ["AUC 0.55\n"]});
        let chapter = chapter(json!([text]));
        assert_eq!(
            chapter.text,
            "# 初探\n\n<span id=\"b\"></span>\n\n```rust\nlet x = f()?;\nx\n```\n\n```text\nAUC 0.55\n```\n\n"
        );
    }

    #[test]
    fn drawings_become_files_and_say_what_they_show_and_which_lines_draw_them() {
        let html = json!({"text/html": format!("<p>\n\na</p>{CURVE}<b>c</b>"), "text/plain": "curve"});
        let svg = json!({"image/svg+xml": "<svg/>", "text/plain": "two\n\"images\""});
        let chapter = chapter(json!([
            {"output_type": "display_data", "data": html},
            {"output_type": "execute_result", "data": svg},
        ]));
        let files: Vec<_> = chapter.drawings.iter().map(|drawing| (&*drawing.file, &*drawing.alt)).collect();
        assert_eq!(files, [("zh-b-1.svg", "loss &lt; 1"), ("zh-b-2.svg", "two &quot;images&quot;")]);
        assert_eq!(chapter.drawings[0].bytes, CURVE.as_bytes());
        let codes = [0, 1].map(|index| chapter.drawings[index].code.as_deref());
        assert_eq!(codes, [None, Some("let x = f()?;\nx")]);
        assert!(chapter.text.contains("src=\"../../figures/zh-b-1.svg\" alt=\"loss &lt; 1\""), "{}", chapter.text);
        assert!(!chapter.text.contains("<svg") && chapter.text.contains("<p>\na</p><img"), "{}", chapter.text);
    }

    #[test]
    fn the_lines_that_draw_are_the_last_statement_and_what_it_names() {
        for (source, wanted) in [
            ("compare(&[&conv], &data, 2)?", "compare(&[&conv], &data, 2)?"),
            ("let a = 1;\n\nplot(a)?\n    .coloured()?", "plot(a)?\n    .coloured()?"),
            ("let guess = 1; // yours\nfor x in y {\n    f(x);\n}\nlet map = g()?;\nmap", "let map = g()?;\nmap"),
            ("let maps = g()?;\nfor map in maps {\n}\nmaps", "let maps = g()?;\nmaps"),
        ] {
            assert_eq!(drawing_lines(source), wanted);
        }
    }
}
