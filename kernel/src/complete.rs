//! `is_complete_request`: consoles send it at every newline, so the code is only parsed.

use ra_ap_syntax::{Edition, SourceFile, SyntaxKind, TextSize};
use serde_json::{Value, json};

use crate::cell::Cell;
use crate::nesting;

/// Parsed code stands in a function.
const BEFORE: &str = "fn cell() {\n";

/// Answers an `is_complete_request`.
pub fn reply(code: &str) -> Value {
    match state(code) {
        State::Complete => json!({ "status": "complete" }),
        State::Incomplete => json!({ "status": "incomplete", "indent": indent(code) }),
        State::Invalid => json!({ "status": "invalid" }),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Complete,
    Incomplete,
    Invalid,
}

fn state(code: &str) -> State {
    let code = Cell::new(code).without_commands();
    if nesting::check(&code).is_err() {
        return State::Invalid;
    }
    let parse = SourceFile::parse(&format!("{BEFORE}{code}\n}}"), Edition::CURRENT);
    let end = TextSize::of(BEFORE) + TextSize::of(code.trim_end());
    let n_open = n_open_brackets(parse.syntax_node().text().to_string().as_str());
    let errors = parse.errors();
    match (n_open, errors.is_empty()) {
        (1.., _) => State::Incomplete,
        (0, true) => State::Complete,
        // Something is missing where the code ends.
        (0, false) if errors.iter().all(|error| error.range().end() >= end) => State::Incomplete,
        _ => State::Invalid,
    }
}

/// How many brackets are open at the end; a string or comment without an end counts as one.
fn n_open_brackets(text: &str) -> i32 {
    let parse = SourceFile::parse(text, Edition::CURRENT);
    let mut n_open = 0;
    let tokens = parse.syntax_node().descendants_with_tokens().filter_map(|element| element.into_token());
    for token in tokens {
        match token.kind() {
            SyntaxKind::L_PAREN | SyntaxKind::L_BRACK | SyntaxKind::L_CURLY => n_open += 1,
            SyntaxKind::R_PAREN | SyntaxKind::R_BRACK | SyntaxKind::R_CURLY => n_open -= 1,
            SyntaxKind::STRING if !is_closed(token.text()) => n_open += 1,
            SyntaxKind::COMMENT if token.text().starts_with("/*") && !token.text().ends_with("*/") => n_open += 1,
            _ => {}
        }
    }
    n_open
}

/// Does a string literal, raw ones included, have its closing quote?
fn is_closed(literal: &str) -> bool {
    let body = literal.trim_start_matches(['b', 'c', 'r', '#']);
    body.len() > 1 && body.trim_end_matches('#').ends_with('"')
}

/// The next line's indentation: the last line's, and four spaces more after an opening bracket.
fn indent(code: &str) -> String {
    let last = code.lines().last().unwrap_or_default();
    let n_spaces = last.len() - last.trim_start().len();
    let opens = last.trim_end().ends_with(['{', '(', '[']);
    " ".repeat(n_spaces + if opens { 4 } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_that_could_run_is_complete() {
        for code in [
            "1 + 1",
            "let a = 1;",
            "fn f() -> u8 {\n    1\n}",
            ":dep diabolo = \"0.1\"",
            "!ls",
            "",
            "println!(\"{\")",
            "let ok = true &&\n    !false;",
            "let x =\n    !true;",
            "::std::println!();",
        ] {
            assert_eq!(state(code), State::Complete, "{code}");
        }
    }

    #[test]
    fn code_that_lacks_its_end_is_incomplete() {
        for code in ["fn f() {", "let a = ", "f(1,", "1 +", "\"text", "/* a", "if a {\n    b();"] {
            assert_eq!(state(code), State::Incomplete, "{code}");
        }
    }

    #[test]
    fn code_that_no_end_can_mend_is_invalid() {
        for code in ["f)", "fn fn f() {}\n1"] {
            assert_eq!(state(code), State::Invalid, "{code}");
        }
    }

    #[test]
    fn the_next_line_is_indented_after_an_opening_bracket() {
        assert_eq!(reply("fn f() {"), json!({ "status": "incomplete", "indent": "    " }));
    }
}
