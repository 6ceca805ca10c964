//! `history_request`: the cells of this session and earlier ones, a line of JSON for each.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use jupyter_protocol::HistoryRequest;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// One executed cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Entry {
    session: usize,
    line: usize,
    input: String,
}

/// The history of this session and what the file held when it began.
pub struct History {
    path: PathBuf,
    session: usize,
    entries: Mutex<Vec<Entry>>,
}

impl History {
    /// Reads the history; a file that is missing or partly unreadable is a shorter history.
    pub fn open(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_default();
        let entries: Vec<Entry> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let session = entries.iter().map(|entry| entry.session).max().unwrap_or(0) + 1;
        Self { path: path.into(), session, entries: Mutex::new(entries) }
    }

    /// Adds a cell.
    pub fn add(&self, line: u32, input: &str) {
        let entry = Entry { session: self.session, line: line as usize, input: input.into() };
        if let Err(error) = self.append(&entry) {
            eprintln!("writing the history {}: {error}", self.path.display());
        }
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    }

    /// Answers a `history_request`.
    pub fn reply(&self, request: &HistoryRequest) -> Value {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let (found, with_output): (Vec<&Entry>, bool) = match request {
            HistoryRequest::Tail { n, output, .. } => (last(entries.iter().collect(), *n), *output),
            HistoryRequest::Range { session, start, stop, output, .. } => {
                let session = self.session_number(session.unwrap_or(0));
                let is_in_range = |entry: &&Entry| {
                    entry.session == session
                        && entry.line as i64 >= i64::from(*start)
                        && (*stop <= 0 || (entry.line as i64) < i64::from(*stop))
                };
                (entries.iter().filter(is_in_range).collect(), *output)
            }
            HistoryRequest::Search { pattern, unique, output, n, .. } => {
                let mut found: Vec<_> = entries.iter().filter(|entry| matches(pattern, &entry.input)).collect();
                if *unique {
                    let mut seen = std::collections::HashSet::new();
                    found.reverse();
                    found.retain(|entry| seen.insert(&entry.input));
                    found.reverse();
                }
                (last(found, *n), *output)
            }
        };
        let as_json = |entry: &Entry| match with_output {
            true => json!([entry.session, entry.line, [entry.input, null]]),
            false => json!([entry.session, entry.line, entry.input]),
        };
        json!({ "status": "ok", "history": found.into_iter().map(as_json).collect::<Vec<_>>() })
    }

    /// Sessions up to zero count from this one backwards.
    fn session_number(&self, asked: i32) -> usize {
        usize::try_from(asked)
            .ok()
            .filter(|&session| session > 0)
            .unwrap_or_else(|| self.session.saturating_sub(asked.unsigned_abs() as usize))
    }

    fn append(&self, entry: &Entry) -> std::io::Result<()> {
        // In one piece, since several kernels may share the file.
        let line = serde_json::to_string(entry)? + "\n";
        File::options().create(true).append(true).open(&self.path)?.write_all(line.as_bytes())
    }
}

fn last(mut entries: Vec<&Entry>, n: i32) -> Vec<&Entry> {
    let n = usize::try_from(n).unwrap_or(entries.len());
    entries.split_off(entries.len().saturating_sub(n))
}

/// Does the whole text match a pattern in which `*` is any text and `?` any character?
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.chars();
    match parts.next() {
        None => text.is_empty(),
        Some('*') => {
            let ends = text.char_indices().map(|(end, _)| end).chain([text.len()]);
            ends.into_iter().any(|start| matches(parts.as_str(), &text[start..]))
        }
        Some(wanted) => {
            let mut rest = text.chars();
            rest.next().is_some_and(|found| wanted == '?' || wanted == found) && matches(parts.as_str(), rest.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(history: &History, request: &HistoryRequest) -> Vec<String> {
        let reply = history.reply(request);
        reply["history"].as_array().unwrap().iter().map(|entry| entry[2].as_str().unwrap().to_string()).collect()
    }

    #[test]
    fn the_next_session_remembers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.jsonl");
        let first = History::open(&path);
        first.add(1, "let a = 1;\na");
        first.add(2, "a + 1");
        let second = History::open(&path);
        second.add(1, "a + 2");
        let tail = HistoryRequest::Tail { n: 2, output: false, raw: true };
        assert_eq!(inputs(&second, &tail), ["a + 1", "a + 2"]);
        let range = |session| HistoryRequest::Range { session, start: 1, stop: 0, output: false, raw: true };
        assert_eq!(inputs(&second, &range(Some(-1))), ["let a = 1;\na", "a + 1"]);
        assert_eq!(inputs(&second, &range(None)), ["a + 2"]);
    }

    #[test]
    fn a_search_matches_the_whole_input_and_can_be_unique() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(&folder.path().join("history.jsonl"));
        for (line, input) in ["train(a)?", "show(a)", "train(a)?", "train(b)?"].iter().enumerate() {
            history.add(line as u32, input);
        }
        let search = |pattern: &str, unique| HistoryRequest::Search {
            pattern: pattern.into(),
            unique,
            output: false,
            raw: true,
            n: 5,
        };
        assert_eq!(inputs(&history, &search("train*", true)), ["train(a)?", "train(b)?"]);
        assert_eq!(inputs(&history, &search("train*", false)).len(), 3);
        assert!(inputs(&history, &search("train", false)).is_empty());
    }
}
