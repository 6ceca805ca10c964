//! Tells apart what cells write: text, pictures, messages, and requests for input.
//!
//! On standard error everything is text. On standard output text may stand before a marker on the same line, when it was
//! printed without a newline, by C code for example.

use diabolo_protocol::MARKER;

use crate::event::{Event, Stream};

const BEGIN_BLOCK: &str = "EVCXR_BEGIN_CONTENT ";
const END_BLOCK: &str = "EVCXR_END_CONTENT";
const INPUT_REQUEST: &str = "EVCXR_INPUT_REQUEST:";
const PASSWORD_REQUEST: &str = "EVCXR_INPUT_REQUEST_PASSWORD:";

/// What begins something other than text on standard output.
const MARKERS: [&str; 4] = [MARKER, BEGIN_BLOCK, INPUT_REQUEST, PASSWORD_REQUEST];

/// A partial line longer than this is given out at once, and text in pieces of no more than this.
const N_TEXT_BYTES: usize = 1 << 16;

/// A picture or a message that is longer than this is taken for text: Jupyter shows none as large, and something that
/// never ends must not take all memory.
const N_MARKED_BYTES: usize = 1 << 26;

/// How many markers of one line are looked at, where none begins anything: a hostile line must not take for ever.
const MOST_TRIES: usize = 16;

/// One thing that was written.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// For the front.
    Event(Event),
    /// A request for input, for evcxr.
    Request(String),
}

/// Scans one stream.
pub struct Scanner {
    stream: Stream,
    markers: &'static [&'static str],
    /// What is not decided yet: a partial line, or the beginning of something marked.
    pending: Vec<u8>,
    /// A block that has not ended, as it was printed.
    block: Option<Vec<u8>>,
    text: Vec<u8>,
    items: Vec<Item>,
}

impl Scanner {
    /// A scanner for what a cell writes to `stream`.
    pub fn new(stream: Stream) -> Self {
        match stream {
            Stream::Stdout => Self { markers: &MARKERS, ..Self::of_text(stream) },
            Stream::Stderr => Self::of_text(stream),
        }
    }

    /// A scanner for what is nothing but text.
    pub fn of_text(stream: Stream) -> Self {
        Self { stream, markers: &[], pending: Vec::new(), block: None, text: Vec::new(), items: Vec::new() }
    }

    /// Takes the next bytes, and returns what they complete.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Item> {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.pending.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.pending);
                self.take_line(&line);
            }
        }
        let n_waiting = self.pending.len() + self.block.as_ref().map_or(0, Vec::len);
        if n_waiting > N_MARKED_BYTES {
            return self.finish();
        }
        if self.pending.len() > N_TEXT_BYTES {
            self.give_out_decided();
        }
        self.end_text();
        std::mem::take(&mut self.items)
    }

    /// Does a partial line wait here that time alone may decide?
    pub fn is_waiting(&self) -> bool {
        self.block.is_none() && !self.pending.is_empty() && !self.is_marker(&self.pending)
    }

    /// Gives out a partial line, but for what may be the beginning of a marker or of a character; after a long while that
    /// too.
    pub fn flush(&mut self, is_after_long: bool) -> Vec<Item> {
        if self.is_waiting() {
            self.give_out_decided();
            if is_after_long && self.is_waiting() {
                self.text.append(&mut self.pending);
            }
            self.end_text();
        }
        std::mem::take(&mut self.items)
    }

    /// Gives out everything, what was begun and not ended as the text that it is: nothing follows that belongs to it.
    pub fn finish(&mut self) -> Vec<Item> {
        self.text.append(&mut self.block.take().unwrap_or_default());
        self.text.append(&mut self.pending);
        self.end_text();
        std::mem::take(&mut self.items)
    }

    fn is_marker(&self, text: &[u8]) -> bool {
        self.markers.iter().any(|marker| text.starts_with(marker.as_bytes()))
    }

    fn take_line(&mut self, line: &[u8]) {
        if self.block.is_some() {
            return self.take_block_line(line);
        }
        let Some((start, item)) = self.marked(line) else {
            return self.text.extend_from_slice(line);
        };
        self.text.extend_from_slice(&line[..start]);
        self.end_text();
        match item {
            Some(item) => self.items.push(item),
            None => self.block = Some(line[start..].to_vec()),
        }
    }

    /// Where something marked begins in a line, and what it is; nothing where it begins a block.
    fn marked(&self, line: &[u8]) -> Option<(usize, Option<Item>)> {
        let may_begin = |start: &usize| matches!(line[*start], b'\x02' | b'E') && self.is_marker(&line[*start..]);
        (0..line.len()).filter(may_begin).take(MOST_TRIES).find_map(|start| {
            let rest = String::from_utf8_lossy(&line[start..]);
            let rest = rest.trim_end_matches(['\n', '\r']);
            if let Some(message) = diabolo_protocol::parse(rest) {
                Some((start, Some(Item::Event(Event::Message(message)))))
            } else if rest.starts_with(INPUT_REQUEST) || rest.starts_with(PASSWORD_REQUEST) {
                Some((start, Some(Item::Request(rest.to_string()))))
            } else {
                mime_type(rest).map(|_| (start, None))
            }
        })
    }

    fn take_block_line(&mut self, line: &[u8]) {
        let Some(block) = &mut self.block else { return };
        if line.trim_ascii_end() != END_BLOCK.as_bytes() {
            return block.extend_from_slice(line);
        }
        let block = String::from_utf8_lossy(&self.block.take().unwrap_or_default()).into_owned();
        let (first, content) = block.split_once('\n').unwrap_or((block.as_str(), ""));
        let mime_type = mime_type(first).unwrap_or_default().to_string();
        let content = content.strip_suffix('\n').unwrap_or(content).to_string();
        self.items.push(Item::Event(Event::Block { mime_type, content }));
    }

    fn give_out_decided(&mut self) {
        if self.block.is_none() {
            let n_decided = self.n_decided();
            self.text.extend(self.pending.drain(..n_decided));
        }
    }

    /// How many bytes of a partial line are certainly text.
    fn n_decided(&self) -> usize {
        let may_be_marker = |start: &usize| {
            let rest = &self.pending[*start..];
            self.markers.iter().any(|marker| marker.as_bytes().starts_with(rest) || rest.starts_with(marker.as_bytes()))
        };
        let text = (0..self.pending.len()).find(may_be_marker).unwrap_or(self.pending.len());
        text - n_bytes_of_unfinished_character(&self.pending[..text])
    }

    /// Turns the text so far into events.
    fn end_text(&mut self) {
        let bytes = std::mem::take(&mut self.text);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let n_bytes = rest.len().min(N_TEXT_BYTES);
            let is_last = n_bytes == rest.len();
            let n_bytes = if is_last { n_bytes } else { n_bytes - n_bytes_of_unfinished_character(&rest[..n_bytes]) };
            let text = String::from_utf8_lossy(&rest[..n_bytes]).into_owned();
            self.items.push(Item::Event(Event::Text { stream: self.stream, text }));
            rest = &rest[n_bytes..];
        }
    }
}

/// The type that a block's first line names.
fn mime_type(first_line: &str) -> Option<&str> {
    let name = first_line.strip_prefix(BEGIN_BLOCK)?.trim();
    let is_part = |part: &str| {
        !part.is_empty() && part.chars().all(|it| it.is_ascii_alphanumeric() || "!#$&-^_.+;=".contains(it))
    };
    let (kind, subtype) = name.split_once('/')?;
    (is_part(kind) && is_part(subtype)).then_some(name)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Item {
        Item::Event(Event::Text { stream: Stream::Stdout, text: text.into() })
    }

    fn block(mime_type: &str, content: &str) -> Item {
        Item::Event(Event::Block { mime_type: mime_type.into(), content: content.into() })
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
        assert_eq!(items, [text("one\n"), block("image/png", "AAAA\nBBBB"), text("two\n")]);
    }

    #[test]
    fn a_marker_after_text_without_a_newline_is_seen() {
        let items = scan(b"from C\x02diabolo1 {\"message\":\"clear\",\"wait\":false}\nname: EVCXR_INPUT_REQUEST:who\n");
        let clear = Item::Event(Event::Message(diabolo_protocol::Message::Clear { wait: false }));
        assert_eq!(items, [text("from C"), clear, text("name: "), Item::Request("EVCXR_INPUT_REQUEST:who".into())]);
    }

    #[test]
    fn what_says_how_a_cell_ends_is_text_when_a_program_prints_it() {
        let printed = "EVCXR_EXECUTION_COMPLETE\nEVCXR_PANIC_NOTIFICATION\nEVCXR_ERROR_OCCURRED\n\
                       EVCXR_VARIABLE_CHANGED_TYPE:a\n\u{2}diabolo-panic x\u{1f}y\nsee EVCXR_BEGIN_CONTENT lines\n";
        assert_eq!(scan(printed.as_bytes()), [text(printed)]);
        let mut errors = Scanner::new(Stream::Stderr);
        let printed = "EVCXR_BEGIN_CONTENT text/plain\n\u{2}diabolo-error unfinished\nlater\n";
        assert_eq!(
            errors.feed(printed.as_bytes()),
            [Item::Event(Event::Text { stream: Stream::Stderr, text: printed.into() })]
        );
    }

    #[test]
    fn what_was_begun_and_not_ended_is_text_at_the_cells_end() {
        let printed = "EVCXR_BEGIN_CONTENT text/plain\nhalf\n";
        assert_eq!(scan(printed.as_bytes()), [text(printed)]);
        assert_eq!(scan(b"\x02diabolo1 {\"mess"), [text("\u{2}diabolo1 {\"mess")]);
    }

    #[test]
    fn bytes_that_are_not_text_are_replaced() {
        assert_eq!(scan(b"a\xFFb\n"), [text("a\u{fffd}b\n")]);
    }

    #[test]
    fn a_partial_line_streams_but_for_what_may_be_a_marker_or_half_a_character() {
        let mut scanner = Scanner::new(Stream::Stdout);
        assert_eq!(scanner.feed("50 % \u{e9}".as_bytes()), []);
        assert_eq!(scanner.flush(false), [text("50 % \u{e9}")]);
        assert_eq!(scanner.feed(b"\rdone \xC3"), []);
        assert_eq!(scanner.flush(false), [text("\rdone ")]);
        assert_eq!(scanner.feed(b"\xA9EVCXR_BEG"), []);
        assert_eq!(scanner.flush(false), [text("\u{e9}")]);
        assert_eq!(scanner.feed(b"IN_CONTENT text/html\nb\nEVCXR_END_CONTENT\n"), [block("text/html", "b")]);
    }

    #[test]
    fn what_may_be_a_marker_is_given_out_after_a_long_while_and_a_whole_one_is_not() {
        let mut scanner = Scanner::new(Stream::Stdout);
        scanner.feed(b"ONE");
        assert_eq!(scanner.flush(false), [text("ON")]);
        assert_eq!(scanner.flush(true), [text("E")]);
        scanner.feed(b"\x02diabolo1 {");
        assert_eq!(scanner.flush(true), []);
    }

    #[test]
    fn text_without_a_newline_does_not_gather() {
        let mut scanner = Scanner::new(Stream::Stdout);
        let n_given: usize = (0..100).map(|_| scanner.feed(&[b'x'; 1 << 14]).len()).sum();
        assert!(n_given > 10);
        assert!(scanner.pending.len() <= N_TEXT_BYTES);
    }

    #[test]
    fn a_marked_line_without_an_end_is_text_at_last() {
        let mut scanner = Scanner::new(Stream::Stdout);
        scanner.feed(b"\x02diabolo1 ");
        let given = (0..70).flat_map(|_| scanner.feed(&vec![b'x'; 1 << 20]));
        let is_short =
            |item: &Item| matches!(item, Item::Event(Event::Text { text, .. }) if text.len() <= N_TEXT_BYTES);
        assert!(given.inspect(|item| assert!(is_short(item))).count() > 1000);
        assert!(scanner.pending.len() <= N_TEXT_BYTES);
    }
}
