//! `history_request`: the cells of this session and earlier ones, a line of JSON for each.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use jupyter_protocol::HistoryRequest;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// How many cells are remembered at least.
const MOST_ENTRIES: usize = 10_000;

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
        // Another kernel may start at this moment; where there are no locks, both may get one number.
        let lock = file_of(path);
        let _ = lock.as_ref().map(File::lock);
        let text = fs::read_to_string(path).unwrap_or_default();
        let mut entries: Vec<Entry> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let session = entries.iter().map(|entry| entry.session).max().unwrap_or(0) + 1;
        entries.retain(|entry| entry.line > 0);
        // Twice as many, so that the file is not written anew with every start.
        if entries.len() > 2 * MOST_ENTRIES {
            entries.drain(..entries.len() - MOST_ENTRIES);
            if let Err(error) = rewrite(path, &entries) {
                eprintln!("shortening the history {}: {error}", path.display());
            }
        }
        // A line without a cell says that the number is taken.
        let taken = Entry { session, line: 0, input: String::new() };
        if let Err(error) = append(path, &taken) {
            eprintln!("writing the history {}: {error}", path.display());
        }
        Self { path: path.into(), session, entries: Mutex::new(entries) }
    }

    /// Adds a cell.
    pub fn add(&self, line: u32, input: &str) {
        let entry = Entry { session: self.session, line: line as usize, input: input.into() };
        if let Err(error) = append(&self.path, &entry) {
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
}

/// Adds an entry to the file, in one piece, since several kernels may share it.
fn append(path: &Path, entry: &Entry) -> std::io::Result<()> {
    let line = serde_json::to_string(entry)? + "\n";
    file_of(path)?.write_all(line.as_bytes())
}

/// The file, to be added to. What somebody typed is nobody else's to read.
fn file_of(path: &Path) -> std::io::Result<File> {
    File::options().create(true).append(true).mode(0o600).open(path)
}

/// Writes a file of these entries beside and renames it.
fn rewrite(path: &Path, entries: &[Entry]) -> std::io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
    for entry in entries {
        writeln!(file, "{}", serde_json::to_string(entry)?)?;
    }
    file.persist(path).map(drop).map_err(|error| error.error)
}

fn last(mut entries: Vec<&Entry>, n: i32) -> Vec<&Entry> {
    let n = usize::try_from(n).unwrap_or(entries.len());
    entries.split_off(entries.len().saturating_sub(n))
}

/// Does the whole text match a pattern in which `*` is any text and `?` any character? In one pass, with a step back to the
/// last `*` alone, so that no pattern takes long.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut position) = (0, 0);
    // The last star, and how much of the text it stands for.
    let mut star = None;
    while position < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, position));
                at += 1;
            }
            Some(&wanted) if wanted == '?' || wanted == text[position] => {
                at += 1;
                position += 1;
            }
            _ => {
                let Some((star_at, stood_for)) = star else { return false };
                star = Some((star_at, stood_for + 1));
                (at, position) = (star_at + 1, stood_for + 1);
            }
        }
    }
    pattern[at..].iter().all(|&rest| rest == '*')
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
    fn kernels_that_start_together_have_sessions_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.jsonl");
        let (first, second) = (History::open(&path), History::open(&path));
        assert_ne!(first.session, second.session);
        first.add(1, "a");
        second.add(1, "b");
        let tail = HistoryRequest::Tail { n: 9, output: false, raw: true };
        assert_eq!(inputs(&History::open(&path), &tail), ["a", "b"]);
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

    #[test]
    fn patterns_match_whole_texts_and_none_takes_long() {
        for (pattern, text) in [("*", ""), ("a*c", "abbc"), ("?b*", "abc"), ("*b*b", "abbab"), ("", "")] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("a", ""), ("a*c", "abbd"), ("?", ""), ("*b", "ba"), ("", "a")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
        assert!(!matches(&("*a".repeat(30) + "*b"), &"a".repeat(5_000)));
        assert!(matches(&"a".repeat(200_000), &"a".repeat(200_000)));
    }

    #[test]
    fn a_long_history_is_shortened_and_nobody_elses_to_read() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.jsonl");
        let history = History::open(&path);
        history.add(1, "first");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let line = |number: usize| format!("{{\"session\":1,\"line\":{number},\"input\":\"{number}\"}}\n");
        fs::write(&path, (1..=2 * MOST_ENTRIES + 1).map(line).collect::<String>()).unwrap();
        let history = History::open(&path);
        // And the line that says which session this is.
        assert!(fs::read_to_string(&path).unwrap().lines().count() <= MOST_ENTRIES + 1);
        assert_eq!(history.entries.lock().unwrap().len(), MOST_ENTRIES);
    }
}
