//! Errors of a cell as Jupyter shows them: name, message, and a traceback into the cell's source.

use std::fmt::Display;

use evcxr::{CompilationError, Error, Theme};
use serde_json::{Value, json};

use crate::output::CellEnd;

/// Why a panic has no text here.
const HOOK_IS_REPLACED: &str = "the cell panicked; what it said went to the panic hook that a cell set \
                                (std::panic::set_hook), in place of the kernel's, which comes back with :restart";

const RED: &str = "\u{1b}[1;31m";
const DIM: &str = "\u{1b}[2m";
const PLAIN: &str = "\u{1b}[0m";

/// A cell's error.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    pub name: &'static str,
    pub message: String,
    pub traceback: Vec<String>,
}

impl Failure {
    /// A failure without a place in the cell.
    pub fn new(name: &'static str, message: impl Display) -> Self {
        let message = message.to_string();
        let traceback = headed(name, &message);
        Self { name, message, traceback }
    }

    /// A failure at a line of the cell `code`, counted from 1.
    pub fn at_line(name: &'static str, message: impl Display, line: usize, code: &str) -> Self {
        let mut failure = Self::new(name, message);
        failure.traceback.extend(pointed_at(line, code));
        failure
    }

    /// As the error message and the reply have it.
    pub fn as_json(&self) -> Value {
        json!({ "ename": self.name, "evalue": self.message, "traceback": self.traceback })
    }

    /// What evcxr reports about the cell `code`.
    pub fn from_evcxr(error: &Error, code: &str, cell: u32) -> Self {
        match error {
            Error::CompilationErrors(errors) => compilation(errors, code, cell),
            Error::TypeRedefinedVariablesLost(variables) => Self::new(
                "VariablesLost",
                format!("the types of these variables were defined anew, so they are lost: {}", variables.join(", ")),
            ),
            other => Self::new("Error", without_cargos_messages(&other.to_string())),
        }
    }

    /// A panic or an error that ended the cell, if one did. `source` is what was compiled.
    pub fn from_end(end: &CellEnd, code: &str, source: &str) -> Option<Self> {
        if end.is_panicked {
            let (place, message) = end.panic.clone().unwrap_or_else(|| (String::new(), HOOK_IS_REPLACED.into()));
            let mut failure = Self::new("Panic", message);
            if !place.is_empty() {
                failure.traceback.extend(panic_place(&place, code, source));
            }
            Some(failure)
        } else if end.is_failed {
            let message = end.error.clone().unwrap_or_else(|| "the cell returned an error".into());
            let mut failure = Self::new("Error", message.trim_end());
            failure.traceback.extend(question_marks(code));
            Some(failure)
        } else {
            None
        }
    }
}

/// evcxr's text for a build that failed without an error of the compiler, without the messages that cargo writes for programs.
fn without_cargos_messages(text: &str) -> String {
    let is_for_people = |line: &&str| !line.trim_start_matches("STDOUT:").starts_with("{\"reason\":");
    let lines: Vec<_> = text.lines().filter(is_for_people).collect();
    lines.join("\n").trim_end().trim_end_matches("STDOUT:").trim_end().to_string()
}

fn headed(name: &str, message: &str) -> Vec<String> {
    let mut lines = message.lines();
    let first = format!("{RED}{name}{PLAIN}: {}", lines.next().unwrap_or_default());
    std::iter::once(first).chain(lines.map(str::to_string)).collect()
}

fn compilation(errors: &[CompilationError], code: &str, cell: u32) -> Failure {
    // Errors that follow from others may have no place in the cell.
    let are_own = errors.iter().any(CompilationError::is_from_user_code);
    let shown = errors.iter().filter(|error| !are_own || error.is_from_user_code());
    let traceback = shown.flat_map(|error| report(error, code, cell)).collect();
    let first = errors.iter().find(|error| !are_own || error.is_from_user_code());
    let message = first.map(CompilationError::message).unwrap_or_else(|| "the cell does not compile".into());
    Failure { name: "CompilationError", message, traceback }
}

/// One error, drawn below the lines of the cell.
fn report(error: &CompilationError, code: &str, cell: u32) -> Vec<String> {
    let file = format!("cell {cell}");
    // evcxr draws only what is ASCII, and the drawing counts characters: so it places the labels in a text of the same
    // length, and the lines come from the cell.
    let ascii: String = code.chars().map(|letter| if letter.is_ascii() { letter } else { '?' }).collect();
    if error.is_from_user_code()
        && let Some(report) = error.build_report(file.clone(), ascii, Theme::Light)
    {
        let mut drawing = Vec::new();
        if report.write(ariadne::sources([(file, code)]), &mut drawing).is_ok() {
            let help = error.help().into_iter().flat_map(|help| lines(&format!("help: {help}")));
            // The drawing's head names the beginning of the cell, wherever the error is.
            let span = error.primary_spanned_message().and_then(|message| message.span);
            let line = span.map_or(1, |span| span.start_line);
            let drawing = String::from_utf8_lossy(&drawing).replacen(":1:1", &format!(", line {line}"), 1);
            return lines(&drawing).into_iter().chain(help).collect();
        }
    }
    let rendered = error.rendered();
    let text = if rendered.is_empty() { error.message() } else { rendered };
    headed("error", text.trim_start_matches("error: "))
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_string).collect()
}

/// Where it panicked, with the cell's line if that is where.
fn panic_place(place: &str, code: &str, source: &str) -> Vec<String> {
    let mut parts = place.rsplitn(3, ':');
    let _column = parts.next();
    let line: Option<usize> = parts.next().and_then(|line| line.parse().ok());
    let file = parts.next().unwrap_or_default();
    let (Some(line), true) = (line, file.ends_with("src/lib.rs") && !std::path::Path::new(file).is_absolute()) else {
        return vec![format!("  at {place}")];
    };
    match cell_line(line, code, source) {
        Some(line) => pointed_at(line, code),
        None => {
            let text = source.lines().nth(line - 1).unwrap_or_default().trim();
            vec![format!("  at `{text}`, which an earlier cell defined")]
        }
    }
}

/// The line of the cell, from 1, that became a line of the compiled source.
fn cell_line(compiled: usize, code: &str, source: &str) -> Option<usize> {
    let text = source.lines().nth(compiled.checked_sub(1)?)?.trim();
    // evcxr writes the cell's lines as they are, the last expression with its own code before and behind.
    let is_same = |line: &&str| !line.trim().is_empty() && (text == line.trim() || text.contains(line.trim()));
    let exact: Vec<_> = (1..).zip(code.lines()).filter(|(_, line)| text == line.trim()).collect();
    let n_before = source.lines().take(compiled - 1).filter(|line| line.trim() == text).count();
    match exact.get(n_before).or(exact.last()) {
        Some((line, _)) => Some(*line),
        None => {
            (1..).zip(code.lines()).filter(|(_, line)| is_same(line)).max_by_key(|(_, line)| line.len()).map(|it| it.0)
        }
    }
}

/// The lines on which `?` stands; which of them it was, evcxr does not know.
fn question_marks(code: &str) -> Vec<String> {
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    let marked: Vec<usize> =
        (1..).zip(code.lines()).filter(|(_, line)| is_code(line) && line.contains('?')).map(|(line, _)| line).collect();
    match marked[..] {
        [] => Vec::new(),
        [line] => pointed_at(line, code),
        _ => {
            let numbers: Vec<String> = marked.iter().map(ToString::to_string).collect();
            vec![format!("  at a `?` in one of the cell's lines {}", numbers.join(", "))]
        }
    }
}

fn pointed_at(line: usize, code: &str) -> Vec<String> {
    let text = code.lines().nth(line - 1).unwrap_or_default();
    vec![format!("  at line {line} of the cell:"), format!("{DIM}{line:>4} |{PLAIN} {text}")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_points_at_the_line_of_the_cell() {
        let code = "let x: Option<u8> = None;\nx.unwrap();";
        let source = "#![allow(x)]\nfn run() {\nlet x: Option<u8> = None;\nx.unwrap();\n}";
        assert_eq!(cell_line(4, code, source), Some(2));
        assert!(panic_place("src/lib.rs:4:3", code, source)[0].contains("line 2"));
    }

    #[test]
    fn a_last_expression_is_found_within_what_evcxr_wrote_around_it() {
        assert_eq!(cell_line(1, "let a = 1;\nf(a)", "(f(a)).evcxr_display();"), Some(2));
    }

    #[test]
    fn the_second_of_two_equal_lines_is_told_from_the_first() {
        let code = "f();\nf();";
        assert_eq!(cell_line(3, code, "fn run() {\nf();\nf();\n}"), Some(2));
    }

    #[test]
    fn a_panic_in_a_library_keeps_its_place() {
        assert_eq!(panic_place("/home/lib/src/lib.rs:9:1", "f()", ""), ["  at /home/lib/src/lib.rs:9:1"]);
    }

    #[test]
    fn a_build_that_fails_without_an_error_of_the_compiler_says_what_cargo_says_to_people() {
        let text = "Compilation failed, but no parsable errors were found. STDERR:\nerror: failed to run custom build \
                    command\n\nSTDOUT:{\"reason\":\"compiler-artifact\"}\n{\"reason\":\"build-finished\"}\n\n";
        let said = without_cargos_messages(text);
        assert!(said.ends_with("STDERR:\nerror: failed to run custom build command"), "{said}");
        assert_eq!(without_cargos_messages("a closure, which\ncannot be kept"), "a closure, which\ncannot be kept");
    }

    #[test]
    fn one_question_mark_is_pointed_at_and_several_are_listed() {
        assert!(question_marks("let a = f()?;")[0].contains("line 1"));
        assert!(question_marks("f()?;\n// why?\ng()?;")[0].ends_with("lines 1, 3"));
    }
}
