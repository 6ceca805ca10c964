//! Tables of text: HTML in a notebook, aligned columns in a terminal.

use crate::figure::{clean, escape};
use std::fmt;

/// Rows of text under headers.
///
/// # Example
/// ```
/// use diabolo::table::Table;
/// let mut table = Table::new("AUC", &["model", "AUC"]);
/// table.push(vec!["fcn".into(), "0.593".into()]);
/// table.push(vec!["report_cnn".into(), "0.644".into()]);
/// assert_eq!(table.to_string(), "AUC\nmodel         AUC\n----------  -----\nfcn         0.593\nreport_cnn  0.644");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// What the table shows.
    pub caption: String,
    /// One per column; all empty for a list of names and values.
    pub headers: Vec<String>,
    /// A row that is shorter than the headers ends in empty cells; what is longer is not shown.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub fn new(caption: &str, headers: &[&str]) -> Self {
        Self { caption: caption.into(), headers: headers.iter().map(ToString::to_string).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    /// The table as HTML: text is escaped, columns of numbers are aligned to the right.
    ///
    /// It borrows the page's colours and so is legible on light and on dark ones; its style stands in its own tags and
    /// changes nothing else.
    ///
    /// # Example
    /// ```
    /// use diabolo::table::Table;
    /// let mut table = Table::new("", &["model"]);
    /// table.push(vec!["<b>fcn</b>".into()]);
    /// let html = table.to_html();
    /// assert!(html.starts_with("<table") && html.contains("&lt;b&gt;fcn"));
    /// ```
    pub fn to_html(&self) -> String {
        const RULE: &str = "border:0;border-bottom:1px solid rgba(128,128,128,0.4);background:none";
        let cell = |tag: &str, column: usize, text: &str| {
            let align = if self.is_numeric(column) { "right" } else { "left" };
            let scope = if tag == "th" { " scope=\"col\"" } else { "" };
            format!("<{tag}{scope} style=\"text-align:{align};padding:3px 10px;{RULE}\">{}</{tag}>", escape(text))
        };
        let row = |row: &Vec<String>| {
            let cells: String = self.columns().map(|column| cell("td", column, cell_text(row, column))).collect();
            format!("<tr style=\"background:none\">{cells}</tr>\n")
        };
        let body: String = self.rows.iter().map(row).collect();
        let head = match self.has_headers() {
            false => String::new(),
            true => {
                let cells: String = self.columns().map(|column| cell("th", column, &self.headers[column])).collect();
                format!("<thead><tr style=\"background:none\">{cells}</tr></thead>\n")
            }
        };
        let caption = match self.caption.as_str() {
            "" => String::new(),
            text => format!(
                "<caption style=\"caption-side:top;text-align:left;padding:3px 10px;font-weight:bold;color:inherit\">{}\
                 </caption>\n",
                escape(text)
            ),
        };
        format!(
            "<table style=\"border-collapse:collapse;border:0;color:inherit;font-variant-numeric:tabular-nums\">\n\
             {caption}{head}<tbody>\n{body}</tbody>\n</table>"
        )
    }

    fn columns(&self) -> std::ops::Range<usize> {
        0..self.headers.len()
    }

    fn has_headers(&self) -> bool {
        self.headers.iter().any(|header| !header.is_empty())
    }

    /// Whether a column holds numbers, and nothing else but empty cells.
    fn is_numeric(&self, column: usize) -> bool {
        let mut filled = self.rows.iter().map(|row| cell_text(row, column)).filter(|text| !text.is_empty()).peekable();
        filled.peek().is_some() && filled.all(|text| text.replace([',', '%'], "").trim().parse::<f64>().is_ok())
    }
}

/// Aligned columns, on one line for each row: what is no letter to a terminal is replaced.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| cell_text(row, column));
            cells.chain([self.headers[column].as_str()]).map(|text| text.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = self.columns().map(width).collect();
        let line = |text: &dyn Fn(usize) -> String| -> String {
            let cell = |(column, &width): (usize, &usize)| match self.is_numeric(column) {
                true => format!("{:>width$}", clean(&text(column))),
                false => format!("{:<width$}", clean(&text(column))),
            };
            widths.iter().enumerate().map(cell).collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        let mut lines = Vec::with_capacity(self.rows.len() + 3);
        lines.extend((!self.caption.is_empty()).then(|| clean(&self.caption)));
        if self.has_headers() {
            lines.push(line(&|column| self.headers[column].clone()));
            lines.push(line(&|column| "-".repeat(widths[column])));
        }
        lines.extend(self.rows.iter().map(|row| line(&|column| cell_text(row, column).to_owned())));
        f.write_str(&lines.join("\n"))
    }
}

fn cell_text(row: &[String], column: usize) -> &str {
    row.get(column).map_or("", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(caption: &str) -> Table {
        let mut table = Table::new(caption, &["layer", "parameters"]);
        table.push(vec!["Conv2d<3>".into(), "168".into()]);
        table.push(vec!["Tanh & \"more\"".into()]);
        table
    }

    #[test]
    fn an_html_table_escapes_and_aligns() {
        let html = layers("report_cnn <b>").to_html();
        assert!(html.contains("Conv2d&lt;3&gt;") && html.contains("Tanh &amp; &quot;more&quot;"), "{html}");
        assert!(html.contains("report_cnn &lt;b&gt;</caption>"), "{html}");
        assert_eq!(html.matches("text-align:right").count(), 3, "the numbers and their header");
        assert_eq!(html.matches("<td").count(), 4, "a short row is filled up");
        assert!(!html.contains("\n\n"), "a blank line ends HTML in Markdown");
        assert_eq!(html.matches("<th scope=\"col\"").count(), 2, "a screen reader names a cell's column");
    }

    #[test]
    fn names_move_no_cursor_and_turn_no_text_around() {
        let mut table = Table::new("", &["class"]);
        table.push(vec!["\u{1b}[2Jcat\u{202e}".into()]);
        assert_eq!(table.to_string(), "class\n--------\n\u{FFFD}[2Jcat\u{FFFD}");
        assert!(table.to_html().contains("\u{FFFD}[2Jcat\u{FFFD}"));
    }

    #[test]
    fn a_text_table_has_columns() {
        let expected = "report_cnn\n\
                        layer          parameters\n\
                        -------------  ----------\n\
                        Conv2d<3>             168\n\
                        Tanh & \"more\"";
        assert_eq!(layers("report_cnn").to_string(), expected);
    }

    #[test]
    fn a_table_without_headers_has_no_rule() {
        let mut table = Table::new("", &["", ""]);
        table.push(vec!["epochs".into(), "3".into()]);
        assert_eq!(table.to_string(), "epochs  3");
        assert!(!table.to_html().contains("<th"));
    }

    #[test]
    fn empty_tables_are_tables() {
        assert!(Table::new("", &[]).to_html().contains("<table"));
        assert_eq!(Table::new("", &["layer"]).to_string(), "layer\n-----");
    }
}
