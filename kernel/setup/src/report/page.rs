//! The report's first page: contents, figures, numbers, and how it was made. It needs no other file but the figures.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::gather::{Figure, Gathered};
use super::session::Run;
use crate::progress::words;

const STYLE: &str = include_str!("page.css");

/// The page as HTML.
pub fn render(heading: &str, runs: &[Run], gathered: &Gathered, mode: &str, made: &[(&str, String)]) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>diabolo: report</title>\n<style>\n{STYLE}</style>\n<main>\n<h1>{}</h1>\n",
        escaped(heading)
    );
    page += &lead(gathered, mode);
    page += &failures(&gathered.failures());
    page += &contents(runs);
    for run in runs {
        page += &notebook(run, gathered);
    }
    page += &models(&gathered.values);
    page += &how_it_was_made(&gathered.values, mode, made);
    page + "</main>\n</html>\n"
}

fn lead(gathered: &Gathered, mode: &str) -> String {
    let data = gathered.values.get("data").map(|data| &data["name"]).and_then(Value::as_str);
    let on = data.map(|name| format!(" on <b>{}</b>", escaped(name))).unwrap_or_default();
    format!(
        "<p class=\"lead\">What the notebooks show{on}, in {mode} mode. Numbers: <a href=\"report.json\">report.json</a>.</p>\n"
    )
}

fn failures(sentences: &[String]) -> String {
    if sentences.is_empty() {
        return String::new();
    }
    let items: String = sentences.iter().map(|sentence| format!("<li>{}</li>", escaped(sentence))).collect();
    format!("<section class=\"failures\"><h2>Not to be trusted</h2><ul>{items}</ul></section>\n")
}

fn contents(runs: &[Run]) -> String {
    let mut list = String::from("<nav><ol>\n");
    for run in runs {
        list += &format!("<li><a href=\"#{}\">{}</a></li>\n", escaped(&run.name), escaped(&run.title));
    }
    list + "<li><a href=\"#numbers\">Numbers</a></li>\n<li><a href=\"#made\">How this was made</a></li>\n</ol></nav>\n"
}

fn notebook(run: &Run, gathered: &Gathered) -> String {
    let (name, title) = (escaped(&run.name), escaped(&run.title));
    let duration = words(std::time::Duration::from_secs_f64(run.seconds));
    let mut section = format!(
        "<section id=\"{name}\">\n<h2>{title}</h2>\n<p class=\"links\"><a href=\"{name}.html\">read the notebook</a> · \
         <a href=\"{name}.ipynb\">{name}.ipynb</a> · {} cells in {duration}</p>\n",
        run.n_cells
    );
    for figure in gathered.figures.iter().filter(|figure| figure.notebook == run.name) {
        section += &figure_html(figure);
    }
    section + "</section>\n"
}

fn figure_html(figure: &Figure) -> String {
    let (file, notebook, alt) = (escaped(&figure.file), escaped(&figure.notebook), escaped(&figure.alt));
    let id = escaped(&figure.cell_id);
    let caption = if alt.is_empty() { "figure" } else { &alt };
    format!(
        "<figure>\n<a href=\"figures/{file}\"><img src=\"figures/{file}\" alt=\"{alt}\" loading=\"lazy\"></a>\n\
         <figcaption>{caption} · <a href=\"{notebook}.html#cell-id={id}\">in its notebook</a></figcaption>\n</figure>\n"
    )
}

/// One column for each model, one row for each of its numbers.
fn models(values: &Map<String, Value>) -> String {
    let mut section = String::from("<section id=\"numbers\">\n<h2>Numbers</h2>\n");
    let models = values.get("models").and_then(Value::as_object);
    let Some(models) = models.filter(|models| !models.is_empty()) else {
        return section + "<p>The notebooks gave no numbers.</p>\n</section>\n";
    };
    let mut rows: Vec<&String> = Vec::new();
    for name in models.values().filter_map(Value::as_object).flat_map(Map::keys) {
        if !rows.contains(&name) {
            rows.push(name);
        }
    }
    section += "<div class=\"wide\"><table>\n<thead><tr><th></th>";
    for name in models.keys() {
        write!(section, "<th scope=\"col\">{}</th>", escaped(name)).expect("a string takes any text");
    }
    section += "</tr></thead>\n<tbody>\n";
    for row in rows {
        write!(section, "<tr><th scope=\"row\">{}</th>", escaped(&spoken(row))).expect("a string takes any text");
        for model in models.values() {
            write!(section, "<td>{}</td>", escaped(&shown(&model[row]))).expect("a string takes any text");
        }
        section += "</tr>\n";
    }
    section + "</tbody>\n</table></div>\n</section>\n"
}

fn how_it_was_made(values: &Map<String, Value>, mode: &str, made: &[(&str, String)]) -> String {
    let mut rows: Vec<(String, String)> = Vec::new();
    for (name, value) in values.get("data").and_then(Value::as_object).into_iter().flatten() {
        let label = if name == "name" { "data".into() } else { spoken(name) };
        rows.push((label, shown(value)));
    }
    rows.push(("mode".into(), mode.into()));
    rows.extend(made.iter().map(|(name, value)| (name.to_string(), value.clone())));
    let rows: String =
        rows.iter().map(|(name, value)| format!("<dt>{}</dt><dd>{}</dd>\n", escaped(name), escaped(value))).collect();
    format!("<section id=\"made\">\n<h2>How this was made</h2>\n<dl>\n{rows}</dl>\n</section>\n")
}

/// A name from JSON as words.
fn spoken(name: &str) -> String {
    name.replace('_', " ")
}

/// A value from JSON as people write it.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "–".into(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(shown).collect::<Vec<_>>().join(", "),
        Value::Number(number) if number.is_f64() => rounded(number.as_f64().unwrap_or(f64::NAN)),
        Value::Number(number) => grouped(&number.to_string()),
        other => other.to_string(),
    }
}

/// Four significant digits.
fn rounded(number: f64) -> String {
    let magnitude = if number == 0.0 { 0 } else { number.abs().log10().floor() as i32 };
    match magnitude {
        -4..4 => format!("{number:.*}", (3 - magnitude).max(0) as usize),
        4..9 => grouped(&format!("{number:.0}")),
        _ => format!("{number:.3e}"),
    }
}

/// "186927" is "186 927", with spaces that do not break.
fn grouped(digits: &str) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |rest| ("-", rest));
    if digits.len() < 5 {
        return format!("{sign}{digits}");
    }
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    format!("{sign}{}", groups.join("\u{202f}"))
}

/// Text as it stands in HTML and in its attributes.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_are_shown_as_people_write_them() {
        assert_eq!(shown(&json!(0.123456)), "0.1235");
        assert_eq!(shown(&json!(34.5678)), "34.57");
        assert_eq!(shown(&json!(0.0)), "0.000");
        assert_eq!(shown(&json!(1.23e-7)), "1.230e-7");
        assert_eq!(shown(&json!(186927)), "186\u{202f}927");
        assert_eq!(shown(&json!(1024)), "1024");
        assert_eq!(shown(&json!(["cat", "dog"])), "cat, dog");
        assert_eq!(shown(&Value::Null), "–");
    }

    #[test]
    fn the_page_shows_models_figures_and_failures_and_loads_nothing_from_elsewhere() {
        let mut gathered = Gathered::default();
        let fragment = json!({"models": {"a<b": {"parameters": 7}}, "failures": ["fcn diverged"]});
        let outputs = [json!({"data": {
            "application/vnd.diabolo.report+json": fragment,
            "image/svg+xml": "<svg/>",
            "text/plain": "sixteen pictures"
        }})];
        gathered.add("01", 3, "abc", &outputs);
        let run = Run { name: "01".into(), title: "Question 1".into(), n_cells: 2, seconds: 3.0 };
        let page = render("Lectures <1>", &[run], &gathered, "quick", &[("command", "cargo diabolo report".into())]);
        for wanted in [
            "<h1>Lectures &lt;1&gt;",
            "a&lt;b",
            "sixteen pictures",
            "01.html#cell-id=abc",
            "fcn diverged",
            "cargo diabolo report",
        ] {
            assert!(page.contains(wanted), "{wanted} is missing");
        }
        assert!(!page.contains("http"), "the page must stand alone");
    }
}
