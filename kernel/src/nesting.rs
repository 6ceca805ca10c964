//! What is looked for in a cell's Rust before anything parses it: brackets that close nothing, code that is nested so
//! deeply that a parser's stack would overflow, and commands below Rust.
//!
//! It reads tokens, one after the other, so that no text can be too much for it.

use ra_ap_parser::LexedStr;
use ra_ap_syntax::{Edition, SyntaxKind};

/// How deep code may be nested. Parsers here have stacks for many times as much ([`STACK_BYTES`]), and no person writes
/// this.
const MOST_LEVELS: usize = 1_000;

/// The stack of every thread that parses cells; memory is taken only as far as it is used.
pub const STACK_BYTES: usize = 256 << 20;

/// What is wrong, and at which byte.
#[derive(Debug, PartialEq, Eq)]
pub struct Trouble {
    pub position: usize,
    pub message: String,
}

/// Looks through the Rust of a cell.
pub fn check(code: &str) -> Result<(), Trouble> {
    scan(code, false)
}

/// Is this code nested so deeply that nothing may parse it?
pub fn is_too_deep(code: &str) -> bool {
    scan(code, true).is_err()
}

/// Looks for everything, or for deep nesting alone.
fn scan(code: &str, is_depth_alone: bool) -> Result<(), Trouble> {
    // After a semicolon nothing is taken for a script's head.
    let text = format!(";{code}");
    let lexed = LexedStr::new(Edition::CURRENT, &text);
    // Of each open bracket: how many operators stand in one expression so far, each of which is a level.
    let mut open = vec![0usize];
    let mut n_levels = 1;
    let mut before = SyntaxKind::SEMICOLON;
    for token in 0..lexed.len() {
        let (kind, position) = (lexed.kind(token), lexed.text_start(token).saturating_sub(1));
        if kind.is_trivia() {
            continue;
        }
        let ends_statement = [SyntaxKind::SEMICOLON, SyntaxKind::R_CURLY].contains(&before);
        if !is_depth_alone
            && open.len() == 1
            && ends_statement
            && kind == SyntaxKind::COLON
            && is_command(&text, position + 1)
        {
            let line = text[position + 1..].lines().next().unwrap_or_default().trim();
            let message =
                format!("commands stand above the code of a cell: move `{line}` up, or into a cell of its own");
            return Err(Trouble { position, message });
        }
        match kind {
            SyntaxKind::L_PAREN | SyntaxKind::L_BRACK | SyntaxKind::L_CURLY => {
                open.push(0);
                n_levels += 1;
            }
            SyntaxKind::R_PAREN | SyntaxKind::R_BRACK | SyntaxKind::R_CURLY => {
                if open.len() == 1 && is_depth_alone {
                    continue;
                }
                if open.len() == 1 {
                    let message = format!("unexpected closing delimiter: `{}`", lexed.text(token));
                    return Err(Trouble { position, message });
                }
                n_levels -= 1 + open.pop().unwrap_or_default();
            }
            SyntaxKind::SEMICOLON | SyntaxKind::COMMA => n_levels -= top(&mut open, 0),
            SyntaxKind::ELSE_KW | SyntaxKind::AS_KW => n_levels += grow(&mut open),
            kind if kind.is_punct() && kind != SyntaxKind::POUND => n_levels += grow(&mut open),
            // What follows a block without an operator is another statement.
            _ if before == SyntaxKind::R_CURLY => n_levels -= top(&mut open, 0),
            _ => {}
        }
        if n_levels > MOST_LEVELS {
            let message = format!(
                "the code is nested more than {MOST_LEVELS} levels deep here; name parts of it with `let`, or put them \
                 into functions"
            );
            return Err(Trouble { position, message });
        }
        before = kind;
    }
    Ok(())
}

/// Sets the operators of the innermost bracket, and returns how many there were.
fn top(open: &mut [usize], n_operators: usize) -> usize {
    open.last_mut().map_or(0, |top| std::mem::replace(top, n_operators))
}

/// One operator more.
fn grow(open: &mut [usize]) -> usize {
    if let Some(top) = open.last_mut() {
        *top += 1;
    }
    1
}

/// Does a line consist of a command, from its first character on?
fn is_command(text: &str, position: usize) -> bool {
    let line = text[..position].rsplit('\n').next().unwrap_or_default();
    line.trim_start_matches(';').trim().is_empty()
        && text[position + 1..].starts_with(|letter: char| letter.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_code_is_let_through() {
        let many = "let v = vec![".to_string() + &"-1.0, ".repeat(50_000) + "];";
        let long = "if a { b(); }\n*x += 1;\nmatch c { 1 => 2, _ => 3 }\n".repeat(5_000);
        let array = "let a = [".to_string() + &"[1, 2],".repeat(3_000) + "];";
        for code in [&many, &long, &array, "", "let x = '{'; let y = \"}}}\"; // }", "#!/a", "let a\n    : u8 = 1;"] {
            assert_eq!(check(code), Ok(()), "{}", &code[..code.len().min(30)]);
        }
    }

    #[test]
    fn every_kind_of_deep_nesting_is_seen() {
        let n = 20_000;
        for (before, after) in [("(", ")"), ("{", "}"), ("[", "]"), ("&", ""), ("!", ""), ("Vec<", ">")] {
            let code = format!("let x = {}1{};", before.repeat(n), after.repeat(n));
            assert!(check(&code).unwrap_err().message.contains("levels deep"), "{before}");
        }
        for link in ["+1", ".clone()", " else if a { }", "::a", " as u8", "?"] {
            let code = format!("if a {{ }}{}", link.repeat(n));
            assert!(check(&code).is_err(), "{link}");
        }
    }

    #[test]
    fn a_bracket_that_closes_nothing_is_named() {
        for (code, position) in [("}", 0), ("}\nprintln!();", 0), ("f();\n} fn g() -> u8 { 1", 5), ("f())", 3)] {
            let trouble = check(code).unwrap_err();
            assert_eq!(trouble.position, position, "{code}");
            assert!(trouble.message.contains("unexpected closing delimiter"));
        }
    }

    #[test]
    fn a_command_below_code_is_named() {
        for code in ["use std::fs;\n:dep itoa = \"1\"", "let a = 1;\n  :vars", "fn f() {}\n:vars"] {
            assert!(check(code).unwrap_err().message.contains("commands stand above"), "{code}");
        }
        for rust in ["let a\n:u8 = 1;", "let t: (u8,\n:vars", "match x { A\n::B => 1 }"] {
            assert!(check(rust).is_ok(), "{rust}");
        }
    }
}
