//! Display of every public value in a notebook cell and in a terminal: the only room that prints.
//!
//! A cell of evcxr ends with a call of `evcxr_display`. It writes one block per MIME type between marker lines on
//! standard output, and the notebook's front end shows the richest type that it can. Outside a notebook the same call
//! prints text.
//!
//! # Example
//! ```
//! use diabolo::prelude::*;
//! // What a cell that ends with `Architecture::conv()` does.
//! Architecture::conv().evcxr_display();
//! ```

mod live;
mod progress;
mod values;

pub(crate) use progress::{DownloadProgressBar, SweepProgressBar, TrainingProgress};

use std::io::Write;

/// The MIME type of what `cargo diabolo report` gathers into report.json; no front end shows it.
const REPORT: &str = "application/vnd.diabolo.report+json";

/// A MIME type and what is shown under it.
type Block<'a> = (&'a str, &'a str);

/// Shows `blocks` in a notebook and prints `terminal` elsewhere.
fn show(blocks: &[Block<'_>], terminal: &str) {
    // evcxr sets the first for the process that runs the cells; there, diabolo's kernel takes it back and keeps the second.
    if ["EVCXR_IS_RUNTIME", diabolo_protocol::FOLDER_VARIABLE].iter().all(|name| std::env::var_os(name).is_none()) {
        return print_line(terminal);
    }
    // Where standard output is closed, nobody is left to be told.
    let _ = write_blocks(&mut std::io::stdout().lock(), blocks);
}

/// Shows a paragraph of text.
pub(crate) fn show_text(text: &str) {
    show(&[("text/html", &format!("<p>{}</p>", crate::figure::escape(text))), ("text/plain", text)], text);
}

/// Prints a line, but ends no training where standard output is closed, as by `| head -1`.
fn print_line(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
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
}
