//! What the relay reads: the two outputs of the cells as they come, and lines on sockets.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::scanner::{Item, Scanner};

/// How long a partial line may wait for its end.
const PATIENCE: Duration = Duration::from_millis(20);

/// How long the end of one that may be the beginning of a marker may wait for the rest of it.
const MARKERS_PATIENCE: Duration = Duration::from_millis(400);

/// How much is read at once: as much as a pipe holds.
const N_BYTES: usize = 1 << 16;

/// One output of the process of cells.
pub struct Source {
    file: File,
    scanner: Scanner,
    is_open: bool,
    /// Since when a partial line waits, and since when nothing was added to it.
    waits_since: Option<(Instant, Instant)>,
}

impl Source {
    /// What comes through `pipe`.
    pub fn new(pipe: impl Into<OwnedFd>, scanner: Scanner) -> Result<Self> {
        let pipe = pipe.into();
        rustix::io::ioctl_fionbio(&pipe, true).context("preparing a pipe")?;
        Ok(Self { file: File::from(pipe), scanner, is_open: true, waits_since: None })
    }

    /// May more come?
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// Does a partial line wait here?
    pub fn is_waiting(&self) -> bool {
        self.waits_since.is_some()
    }

    /// What to poll.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// What there is to read now, one pipe full at most, as far as it is decided.
    pub fn read(&mut self) -> Result<Vec<Item>> {
        self.read_bytes(N_BYTES).map(|(items, _)| items)
    }

    /// All that was written before this moment; what others go on writing is left for later.
    pub fn read_what_was_written(&mut self) -> Result<Vec<Item>> {
        let mut items = Vec::new();
        let n_written = rustix::io::ioctl_fionread(&self.file).unwrap_or(0);
        let mut n_left = usize::try_from(n_written).unwrap_or(N_BYTES);
        while n_left > 0 && self.is_open {
            let (more, n_read) = self.read_bytes(n_left.min(N_BYTES))?;
            items.extend(more);
            if n_read == 0 {
                break;
            }
            n_left -= n_read;
        }
        Ok(items)
    }

    /// A partial line that has waited long enough.
    pub fn partial_line(&mut self) -> Vec<Item> {
        let Some((since, unchanged_since)) = self.waits_since else { return Vec::new() };
        if since.elapsed() < PATIENCE {
            return Vec::new();
        }
        let items = self.scanner.flush(unchanged_since.elapsed() >= MARKERS_PATIENCE);
        if !self.scanner.is_waiting() {
            self.waits_since = None;
        }
        items
    }

    /// Everything that waits, since nothing follows that belongs to it.
    pub fn finish(&mut self) -> Vec<Item> {
        self.waits_since = None;
        self.scanner.finish()
    }

    fn read_bytes(&mut self, n_bytes: usize) -> Result<(Vec<Item>, usize)> {
        let mut bytes = vec![0; n_bytes];
        let n_read = match self.file.read(&mut bytes) {
            Ok(0) => {
                self.is_open = false;
                return Ok((Vec::new(), 0));
            }
            Ok(n_read) => n_read,
            Err(error) if is_nothing(&error) => return Ok((Vec::new(), 0)),
            Err(error) => return Err(error).context("reading what a cell printed"),
        };
        let items = self.scanner.feed(&bytes[..n_read]);
        let now = Instant::now();
        self.waits_since = match (self.scanner.is_waiting(), self.waits_since) {
            (false, _) => None,
            // What was printed since the last line is as old as its first part.
            (true, Some((since, _))) => Some((since, now)),
            (true, None) => Some((now, now)),
        };
        Ok((items, n_read))
    }
}

/// Gathers lines from pieces.
#[derive(Default)]
pub struct Lines {
    pending: Vec<u8>,
}

impl Lines {
    /// The lines that end with what can be read now; `None` where no more can come.
    pub fn read(&mut self, from: impl AsFd) -> Result<Option<Vec<String>>> {
        let mut bytes = [0; N_BYTES];
        match rustix::io::read(&from, &mut bytes).map_err(io::Error::from) {
            Ok(0) => return Ok(None),
            Ok(n_bytes) => self.pending.extend_from_slice(&bytes[..n_bytes]),
            Err(error) if is_nothing(&error) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(None),
            Err(error) => return Err(error).context("reading a line"),
        }
        let end = self.pending.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
        let whole: Vec<u8> = self.pending.drain(..end).collect();
        Ok(Some(String::from_utf8_lossy(&whole).lines().map(str::to_string).collect()))
    }
}

fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, Stream};
    use std::io::Write;
    use std::thread;

    fn piped() -> (File, Source) {
        let (read_end, write_end) = rustix::pipe::pipe().unwrap();
        (File::from(write_end), Source::new(read_end, Scanner::new(Stream::Stdout)).unwrap())
    }

    fn texts(items: Vec<Item>) -> String {
        let text = |item| match item {
            Item::Event(Event::Text { text, .. }) => text,
            other => panic!("{other:?}"),
        };
        items.into_iter().map(text).collect()
    }

    #[test]
    fn a_counter_is_given_out_while_it_is_written_all_the_time() {
        let (mut writer, mut source) = piped();
        let mut seen = Vec::new();
        // Without a pause between two numbers there is no moment at which nothing was written.
        for number in 0.. {
            write!(writer, "\r{number}").unwrap();
            let mut items = source.read().unwrap();
            items.extend(source.partial_line());
            seen.extend(Some(texts(items)).filter(|text| !text.is_empty()));
            if seen.len() == 3 {
                break;
            }
            assert!(number < 10_000_000, "nothing was given out");
        }
    }

    #[test]
    fn what_is_written_before_a_moment_is_read_though_others_go_on_writing() {
        let (mut writer, mut source) = piped();
        writer.write_all(&[b'x'; 40_000]).unwrap();
        let mut other = writer.try_clone().unwrap();
        let chatty = thread::spawn(move || while other.write_all(&[b'y'; 1000]).is_ok() {});
        let text = texts(source.read_what_was_written().unwrap()) + &texts(source.finish());
        assert!(text.starts_with(&"x".repeat(40_000)));
        drop(source);
        chatty.join().unwrap();
    }

    #[test]
    fn lines_come_whole() {
        let (read_end, write_end) = rustix::pipe::pipe().unwrap();
        let (mut writer, mut lines) = (File::from(write_end), Lines::default());
        writer.write_all(b"one\ntw").unwrap();
        assert_eq!(lines.read(&read_end).unwrap(), Some(vec!["one".to_string()]));
        writer.write_all(b"o\n").unwrap();
        assert_eq!(lines.read(&read_end).unwrap(), Some(vec!["two".to_string()]));
        drop(writer);
        assert_eq!(lines.read(&read_end).unwrap(), None);
    }
}
