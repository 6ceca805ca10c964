//! Completion and inspection, through rust-analyzer where evcxr is free, by known names where it runs a cell.
//!
//! Asking does nothing: evcxr would run the cell's commands, so it sees the cell without them.

use evcxr::CommandContext;
use serde_json::{Value, json};

use crate::cell::Cell;
use crate::nesting;

/// Answers a `complete_request`; positions count characters.
pub fn complete(context: &mut CommandContext, code: &str, cursor: usize) -> Value {
    let position = byte_position(code, cursor);
    let shown = Cell::new(code).shown_for_analysis(position);
    if nesting::is_too_deep(&shown.text) {
        return no_completions(cursor);
    }
    match context.completions(&shown.text, shown.inward(position)) {
        Ok(found) => {
            let start = character_position(code, shown.outward(found.start_offset));
            let end = character_position(code, shown.outward(found.end_offset));
            let types: Vec<Value> = found
                .completions
                .iter()
                .map(|one| json!({ "text": one.code, "type": one.kind, "signature": one.label, "start": start, "end": end }))
                .collect();
            json!({
                "status": "ok",
                "matches": found.completions.iter().map(|one| &one.code).collect::<Vec<_>>(),
                "cursor_start": start,
                "cursor_end": end,
                "metadata": { "_jupyter_types_experimental": types },
            })
        }
        Err(error) => {
            eprintln!("completing failed: {error}");
            no_completions(cursor)
        }
    }
}

/// Answers a `complete_request` while a cell runs.
pub fn complete_from(names: &[String], code: &str, cursor: usize) -> Value {
    let before: String = code.chars().take(cursor).collect();
    let word = before.rsplit(|letter: char| !letter.is_alphanumeric() && letter != '_').next().unwrap_or_default();
    let mut matches: Vec<_> = names.iter().filter(|name| name.starts_with(word)).collect();
    matches.sort();
    let start = cursor.saturating_sub(word.chars().count());
    json!({ "status": "ok", "matches": matches, "cursor_start": start, "cursor_end": cursor, "metadata": {} })
}

/// The answer where nothing can be offered.
pub fn no_completions(cursor: usize) -> Value {
    json!({ "status": "ok", "matches": [], "cursor_start": cursor, "cursor_end": cursor, "metadata": {} })
}

/// Answers an `inspect_request`.
pub fn inspect(context: &mut CommandContext, code: &str, cursor: usize) -> Value {
    let cursor = byte_position(code, cursor);
    // evcxr looks at what stands before the cursor, so that goes behind the name.
    let is_of_name = |letter: char| letter.is_alphanumeric() || letter == '_';
    let n_more = code[cursor..].find(|letter| !is_of_name(letter)).unwrap_or(code.len() - cursor);
    let position = cursor + n_more;
    let shown = Cell::new(code).shown_for_analysis(position);
    if nesting::is_too_deep(&shown.text) {
        return nothing_found();
    }
    match context.hover_at(&shown.text, shown.inward(position)) {
        Ok((plain, html)) if !plain.trim().is_empty() && plain != "No documentation found" => json!({
            "status": "ok",
            "found": true,
            "data": { "text/plain": plain, "text/html": html },
            "metadata": {},
        }),
        _ => nothing_found(),
    }
}

/// The answer where there is nothing to tell.
pub fn nothing_found() -> Value {
    json!({ "status": "ok", "found": false, "data": {}, "metadata": {} })
}

fn byte_position(code: &str, n_characters: usize) -> usize {
    code.char_indices().nth(n_characters).map_or(code.len(), |(position, _)| position)
}

fn character_position(code: &str, n_bytes: usize) -> usize {
    code.char_indices().take_while(|(position, _)| *position < n_bytes).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters() {
        assert_eq!(byte_position("é.len", 2), 3);
        assert_eq!(byte_position("ab", 9), 2);
        assert_eq!(character_position("é.len", 3), 2);
    }

    #[test]
    fn known_names_are_offered_while_a_cell_runs() {
        let names = ["table".to_string(), "data".into(), "tab".into()];
        let reply = complete_from(&names, "show(tab", 8);
        assert_eq!(reply["matches"], json!(["tab", "table"]));
        assert_eq!(reply["cursor_start"], 5);
    }
}
