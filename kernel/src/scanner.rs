//! Tells apart what a process of cells writes: text, pictures, messages, and evcxr's own protocol lines.
//!
//! Text may stand before a marker on the same line, when it was printed without a newline, by C code for example.

use diabolo_protocol::MARKER;

use crate::event::{Event, Stream};
use crate::prelude::{ERROR_END, ERROR_MARKER, NEWLINE, PANIC_MARKER, SEPARATOR};
use crate::runtime::COMPLETE;

const BEGIN_BLOCK: &str = "EVCXR_BEGIN_CONTENT ";
const END_BLOCK: &str = "EVCXR_END_CONTENT";
const CELL_PANICKED: &str = "EVCXR_PANIC_NOTIFICATION";
const CELL_FAILED: &str = "EVCXR_ERROR_OCCURRED";

/// What begins something other than text.
const MARKERS: [&str; 9] = [
    MARKER,
    PANIC_MARKER,
    ERROR_MARKER,
    BEGIN_BLOCK,
    COMPLETE,
    CELL_PANICKED,
    CELL_FAILED,
    "EVCXR_VARIABLE_CHANGED_TYPE:",
    "EVCXR_INPUT_REQUEST",
];

/// One thing that was written.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// For the front.
    Event(Event),
    /// A line of evcxr's protocol, for evcxr.
    Line(String),
}

/// Scans one stream.
pub struct Scanner {
    stream: Stream,
    /// What is not decided yet: a partial line, or one that may be the beginning of a marker.
    pending: Vec<u8>,
    text: Vec<u8>,
    block: Option<(String, Vec<String>)>,
    /// The text of an error that has not ended yet.
    error: Option<String>,
    items: Vec<Item>,
}

impl Scanner {
    /// A scanner for what is written to `stream`.
    pub fn new(stream: Stream) -> Self {
        Self { stream, pending: Vec::new(), text: Vec::new(), block: None, error: None, items: Vec::new() }
    }

    /// Takes the next bytes, and returns what they complete.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Item> {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.pending.extend_from_slice(piece);
            if self.pending.ends_with(b"\n") {
                let line = std::mem::take(&mut self.pending);
                self.take_line(&line);
            }
        }
        self.end_text();
        std::mem::take(&mut self.items)
    }

    /// Gives out a partial line, but for what may be the beginning of a marker or of a character.
    pub fn flush(&mut self) -> Vec<Item> {
        if self.block.is_none() && self.error.is_none() {
            let n_decided = n_decided(&self.pending);
            self.text.extend(self.pending.drain(..n_decided));
            self.end_text();
        }
        std::mem::take(&mut self.items)
    }

    /// Gives out everything: nothing follows.
    pub fn finish(&mut self) -> Vec<Item> {
        self.text.append(&mut self.pending);
        self.end_text();
        std::mem::take(&mut self.items)
    }

    fn take_line(&mut self, line: &[u8]) {
        if self.block.is_some() {
            return self.take_block_line(line);
        }
        if self.error.is_some() {
            return self.take_error_line(&String::from_utf8_lossy(line));
        }
        let Some(start) = marker_start(line) else {
            return self.text.extend_from_slice(line);
        };
        self.text.extend_from_slice(&line[..start]);
        let marked = String::from_utf8_lossy(&line[start..]);
        if let Some(first_line) = marked.strip_prefix(ERROR_MARKER) {
            self.error = Some(String::new());
            return self.take_error_line(first_line);
        }
        self.take_marked(marked.trim_end_matches(['\n', '\r']));
    }

    /// Takes what begins with a marker and ends with its line.
    fn take_marked(&mut self, marked: &str) {
        if let Some(message) = diabolo_protocol::parse(marked) {
            self.push(Event::Message(message));
        } else if let Some(panic) = marked.strip_prefix(PANIC_MARKER) {
            let (place, message) = panic.split_once(SEPARATOR).unwrap_or(("", panic));
            self.push(Event::Panic { place: place.into(), message: message.replace(NEWLINE, "\n") });
        } else if let Some(mime_type) = marked.strip_prefix(BEGIN_BLOCK) {
            self.end_text();
            self.block = Some((mime_type.trim().to_string(), Vec::new()));
        } else if marked == COMPLETE {
            self.push_line(marked);
        } else if marked == CELL_PANICKED || marked == CELL_FAILED {
            self.push(if marked == CELL_PANICKED { Event::CellPanicked } else { Event::CellFailed });
            self.push_line(marked);
        } else if is_for_evcxr(marked) {
            self.push_line(marked);
        } else {
            self.text.extend_from_slice(marked.as_bytes());
            self.text.push(b'\n');
        }
    }

    fn take_block_line(&mut self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end_matches('\n');
        let ends_the_cell = line == CELL_PANICKED || line == COMPLETE;
        if line == END_BLOCK || ends_the_cell {
            if let Some((mime_type, lines)) = self.block.take() {
                self.push(Event::Block { mime_type, content: lines.join("\n") });
            }
            if ends_the_cell {
                self.take_marked(line);
            }
        } else if let Some((_, lines)) = &mut self.block {
            lines.push(line.to_string());
        }
    }

    /// An error's text may have many lines.
    fn take_error_line(&mut self, line: &str) {
        let (text, is_end) = match line.split_once(ERROR_END) {
            Some((text, _)) => (text, true),
            None => (line, false),
        };
        let mut error = self.error.take().unwrap_or_default();
        error.push_str(text);
        if is_end {
            self.push(Event::ErrorText(error));
        } else {
            self.error = Some(error);
        }
    }

    fn push(&mut self, event: Event) {
        self.end_text();
        self.items.push(Item::Event(event));
    }

    fn push_line(&mut self, line: &str) {
        self.end_text();
        self.items.push(Item::Line(line.to_string()));
    }

    /// Turns the text so far into an event.
    fn end_text(&mut self) {
        let bytes = std::mem::take(&mut self.text);
        let text = String::from_utf8_lossy(&bytes);
        if !text.is_empty() {
            self.items.push(Item::Event(Event::Text { stream: self.stream, text: text.into_owned() }));
        }
    }
}

/// Where the first marker of a line begins.
fn marker_start(line: &[u8]) -> Option<usize> {
    let candidates = (0..line.len()).filter(|&start| matches!(line[start], b'\x02' | b'E'));
    candidates.into_iter().find(|&start| MARKERS.iter().any(|marker| line[start..].starts_with(marker.as_bytes())))
}

/// How many bytes of a partial line are certainly text.
fn n_decided(line: &[u8]) -> usize {
    let may_be_marker = |start: &usize| {
        let rest = &line[*start..];
        MARKERS.iter().any(|marker| marker.as_bytes().starts_with(rest) || rest.starts_with(marker.as_bytes()))
    };
    let text = (0..line.len()).find(may_be_marker).unwrap_or(line.len());
    text - n_bytes_of_unfinished_character(&line[..text])
}

/// The length of a character's beginning at the end of `bytes`.
fn n_bytes_of_unfinished_character(bytes: &[u8]) -> usize {
    let tail = &bytes[bytes.len().saturating_sub(3)..];
    let Some(start) = tail.iter().rposition(|&byte| byte >= 0xC0) else { return 0 };
    let n_wanted = match tail[start] {
        0xC0..0xE0 => 2,
        0xE0..0xF0 => 3,
        _ => 4,
    };
    let n_found = tail.len() - start;
    if n_found < n_wanted { n_found } else { 0 }
}

fn is_for_evcxr(marked: &str) -> bool {
    marked.starts_with("EVCXR_VARIABLE_CHANGED_TYPE:") || marked.starts_with("EVCXR_INPUT_REQUEST")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Item {
        Item::Event(Event::Text { stream: Stream::Stdout, text: text.into() })
    }

    fn scan(bytes: &[u8]) -> Vec<Item> {
        let mut scanner = Scanner::new(Stream::Stdout);
        let mut items = scanner.feed(bytes);
        items.extend(scanner.finish());
        items
    }

    #[test]
    fn pictures_keep_their_place_among_printed_lines() {
        let items = scan(b"one\nEVCXR_BEGIN_CONTENT image/png\nAAAA\nBBBB\nEVCXR_END_CONTENT\ntwo\n");
        let block = Event::Block { mime_type: "image/png".into(), content: "AAAA\nBBBB".into() };
        assert_eq!(items, [text("one\n"), Item::Event(block), text("two\n")]);
    }

    #[test]
    fn a_marker_after_text_without_a_newline_is_seen() {
        let items =
            scan(b"from C\x02diabolo1 {\"message\":\"clear\",\"wait\":false}\nmore C EVCXR_EXECUTION_COMPLETE\n");
        let clear = Item::Event(Event::Message(diabolo_protocol::Message::Clear { wait: false }));
        assert_eq!(items, [text("from C"), clear, text("more C "), Item::Line(COMPLETE.into())]);
    }

    #[test]
    fn bytes_that_are_not_text_are_replaced() {
        assert_eq!(scan(b"a\xFFb\n"), [text("a\u{fffd}b\n")]);
    }

    #[test]
    fn a_partial_line_streams_but_for_what_may_be_a_marker_or_half_a_character() {
        let mut scanner = Scanner::new(Stream::Stdout);
        assert_eq!(scanner.feed("50 % \u{e9}".as_bytes()), []);
        assert_eq!(scanner.flush(), [text("50 % \u{e9}")]);
        assert_eq!(scanner.feed(b"\rdone \xC3"), []);
        assert_eq!(scanner.flush(), [text("\rdone ")]);
        assert_eq!(scanner.feed(b"\xA9EVCXR_EXEC"), []);
        assert_eq!(scanner.flush(), [text("\u{e9}")]);
        assert_eq!(scanner.feed(b"UTION_COMPLETE\n"), [Item::Line(COMPLETE.into())]);
    }

    #[test]
    fn a_panic_has_a_place_and_lines() {
        let items = scan("\u{2}diabolo-panic src/lib.rs:3:5\u{1f}one\u{1e}two\nEVCXR_PANIC_NOTIFICATION\n".as_bytes());
        let panic = Event::Panic { place: "src/lib.rs:3:5".into(), message: "one\ntwo".into() };
        let end = [Item::Event(Event::CellPanicked), Item::Line(CELL_PANICKED.into())];
        assert_eq!(items, [vec![Item::Event(panic)], end.into()].into_iter().flatten().collect::<Vec<_>>());
    }

    #[test]
    fn an_error_of_many_lines_is_told_from_the_text_around_it() {
        let items = scan("a\n\u{2}diabolo-error no file\ncaused by x\u{3}\nb\n".as_bytes());
        let error = Item::Event(Event::ErrorText("no file\ncaused by x".into()));
        assert_eq!(items, [text("a\n"), error, text("b\n")]);
    }
}
