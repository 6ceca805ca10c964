//! How every public value shows itself in a notebook cell and in a terminal: the only file that prints.
//!
//! A cell of evcxr ends with a call of `evcxr_display`. It writes one block per MIME type between marker lines on
//! standard output, and the notebook's front end shows the richest type that it can. Outside a notebook the same call
//! prints text.

#![expect(clippy::print_stdout, reason = "showing values is what this file is for")]

use crate::figure::{Figure, Format, escape};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use std::io::Write;

/// A MIME type and what is shown under it.
type Block<'a> = (&'a str, &'a str);

impl Figure {
    /// Shows the figure in a notebook; prints its size and alternative text in a terminal.
    pub fn evcxr_display(&self) {
        let body = match self.format() {
            Format::Svg => String::from_utf8_lossy(self.bytes()),
            Format::Png => BASE64_STANDARD.encode(self.bytes()).into(),
        };
        show(&[(self.format().mime_type(), &body), ("text/plain", self.alt())], &self.to_string());
    }
}

/// A table as HTML: text is escaped, columns of numbers are aligned to the right.
///
/// It borrows the page's colours and so is legible on light and on dark ones; its style stands in its own tags and
/// changes nothing else. Rows that are shorter than `headers` end in empty cells; what is longer is left out.
pub fn html_table(headers: &[&str], rows: &[Vec<String>], caption: &str) -> String {
    const RULE: &str = "border:0;border-bottom:1px solid rgba(128,128,128,0.4);background:none";
    let aligned: Vec<&str> =
        (0..headers.len()).map(|column| if is_numeric(rows, column) { "right" } else { "left" }).collect();
    let cell = |tag: &str, column: usize, text: &str| {
        let align = aligned[column];
        format!("<{tag} style=\"text-align:{align};padding:3px 10px;{RULE}\">{}</{tag}>", escape(text))
    };
    let head: String = headers.iter().enumerate().map(|(column, text)| cell("th", column, text)).collect();
    let body: String = rows
        .iter()
        .map(|row| {
            let cells: String = (0..headers.len()).map(|column| cell("td", column, cell_text(row, column))).collect();
            format!("<tr style=\"background:none\">{cells}</tr>\n")
        })
        .collect();
    let caption = match caption {
        "" => String::new(),
        text => format!(
            "<caption style=\"caption-side:top;text-align:left;padding:3px 10px;font-weight:bold;color:inherit\">{}\
             </caption>\n",
            escape(text)
        ),
    };
    format!(
        "<table style=\"border-collapse:collapse;border:0;color:inherit;font-variant-numeric:tabular-nums\">\n{caption}\
         <thead><tr style=\"background:none\">{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>"
    )
}

/// A table as text, for terminals and for front ends without HTML; otherwise as [`html_table`].
pub fn text_table(headers: &[&str], rows: &[Vec<String>], caption: &str) -> String {
    let widths: Vec<usize> = headers
        .iter()
        .enumerate()
        .map(|(column, header)| {
            let cells = rows.iter().map(|row| cell_text(row, column));
            cells.chain([*header]).map(|text| text.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let line = |text: &dyn Fn(usize) -> String| -> String {
        let cells: Vec<String> = widths
            .iter()
            .enumerate()
            .map(|(column, &width)| match is_numeric(rows, column) {
                true => format!("{:>width$}", text(column)),
                false => format!("{:<width$}", text(column)),
            })
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    let mut lines = Vec::with_capacity(rows.len() + 3);
    lines.extend((!caption.is_empty()).then(|| caption.to_owned()));
    lines.push(line(&|column| headers[column].to_owned()));
    lines.push(line(&|column| "-".repeat(widths[column])));
    lines.extend(rows.iter().map(|row| line(&|column| cell_text(row, column).to_owned())));
    lines.join("\n")
}

fn cell_text(row: &[String], column: usize) -> &str {
    row.get(column).map_or("", String::as_str)
}

/// Whether a column holds numbers, and nothing else but empty cells.
fn is_numeric(rows: &[Vec<String>], column: usize) -> bool {
    let mut filled = rows.iter().map(|row| cell_text(row, column)).filter(|text| !text.is_empty()).peekable();
    filled.peek().is_some() && filled.all(|text| text.replace([',', '%'], "").trim().parse::<f64>().is_ok())
}

/// Shows `blocks` in a notebook and prints `terminal` elsewhere.
fn show(blocks: &[Block<'_>], terminal: &str) {
    // evcxr sets this for the process that runs the cells.
    if std::env::var_os("EVCXR_IS_RUNTIME").is_none() {
        println!("{terminal}");
        return;
    }
    // Where standard output is closed, nobody is left to be told.
    let _ = write_blocks(&mut std::io::stdout().lock(), blocks);
}

/// Writes each block between evcxr's marker lines.
fn write_blocks(output: &mut impl Write, blocks: &[Block<'_>]) -> std::io::Result<()> {
    for (mime_type, body) in blocks {
        writeln!(output, "EVCXR_BEGIN_CONTENT {mime_type}")?;
        for line in body.lines() {
            // A line of the body that reads like a marker would end the block, or the cell.
            let guard = if line.starts_with("EVCXR_") { " " } else { "" };
            writeln!(output, "{guard}{line}")?;
        }
        writeln!(output, "EVCXR_END_CONTENT")?;
    }
    output.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Vec<String>> {
        vec![vec!["Conv2d<3>".into(), "168".into()], vec!["Tanh & \"more\"".into()]]
    }

    #[test]
    fn blocks_stand_between_marker_lines() {
        let mut output = Vec::new();
        write_blocks(&mut output, &[("image/svg+xml", "<svg>\n</svg>\n"), ("text/plain", "a cat")]).unwrap();
        let expected = "EVCXR_BEGIN_CONTENT image/svg+xml\n<svg>\n</svg>\nEVCXR_END_CONTENT\n\
                        EVCXR_BEGIN_CONTENT text/plain\na cat\nEVCXR_END_CONTENT\n";
        assert_eq!(String::from_utf8(output).unwrap(), expected);
    }

    #[test]
    fn a_body_cannot_end_its_block() {
        let mut output = Vec::new();
        write_blocks(&mut output, &[("text/plain", "EVCXR_END_CONTENT\nEVCXR_PANIC_NOTIFICATION")]).unwrap();
        let output = String::from_utf8(output).unwrap();
        assert_eq!(output.lines().filter(|line| line.starts_with("EVCXR_END")).count(), 1);
        assert!(!output.lines().any(|line| line == "EVCXR_PANIC_NOTIFICATION"));
    }

    #[test]
    fn an_html_table_escapes_and_aligns() {
        let html = html_table(&["layer", "parameters"], &rows(), "report_cnn <b>");
        assert!(html.contains("Conv2d&lt;3&gt;") && html.contains("Tanh &amp; &quot;more&quot;"), "{html}");
        assert!(html.contains("report_cnn &lt;b&gt;</caption>"), "{html}");
        assert_eq!(html.matches("text-align:right").count(), 3, "the numbers and their header");
        assert_eq!(html.matches("<td").count(), 4, "a short row is filled up");
        assert!(!html.contains("\n\n"), "a blank line ends HTML in Markdown");
    }

    #[test]
    fn a_text_table_has_columns() {
        let expected = "report_cnn\n\
                        layer          parameters\n\
                        -------------  ----------\n\
                        Conv2d<3>             168\n\
                        Tanh & \"more\"";
        assert_eq!(text_table(&["layer", "parameters"], &rows(), "report_cnn"), expected);
    }

    #[test]
    fn empty_tables_are_tables() {
        assert!(html_table(&[], &[], "").contains("<table"));
        assert_eq!(text_table(&["layer"], &[], ""), "layer\n-----");
    }
}
