//! What the relay and the process of cells say to each other, on a socket of their own.
//!
//! How a cell begins, fails and ends is said here and nowhere else, so nothing that a program prints can be taken for it.
//! The relay sends evcxr's lines; the cells' side answers with lines of a [`Report`] each. No program that a cell starts
//! inherits the socket.

use std::fmt::{self, Display, Formatter};
use std::os::fd::RawFd;

/// Tells the process of cells under which number it inherits its end.
pub const SOCKET_VARIABLE: &str = "DIABOLO_WIRE";

/// The number under which the process of cells keeps its end. It is fixed, because every cell is a library of its own and
/// shares no variable with the others; far from the first numbers, which programs like to close.
pub const CELLS_END: RawFd = 199;

/// Stands for a newline within a report.
const NEWLINE: char = '\u{1e}';

/// Stands between a panic's place and its message.
const SEPARATOR: char = '\u{1f}';

/// What begins the reports that code compiled as a cell writes; the prelude has them from here.
pub const PANIC: &str = "panic";
pub const PANICKED: &str = "panicked";
pub const ERROR: &str = "error";
pub const FAILED: &str = "failed";
pub const LOST: &str = "lost";

/// What begins the runtime's own.
const ENDED: &str = "ended";

/// Something that happened to a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// It panicked; perhaps something catches it.
    Panic { place: String, message: String },
    /// The panic ended it.
    Panicked,
    /// The text of the error that a `?` of its own met.
    Error(String),
    /// That error ended it.
    Failed,
    /// The type of a variable was defined anew, so its value is lost.
    Lost(String),
    /// It has ended, in whatever way.
    Ended,
}

impl Report {
    /// The report in a line without its end.
    pub fn parse(line: &str) -> Option<Self> {
        let (kind, text) = line.split_once(' ').unwrap_or((line, ""));
        let text = text.replace(NEWLINE, "\n");
        Some(match kind {
            PANIC => {
                let (place, message) = text.split_once(SEPARATOR).unwrap_or(("", text.as_str()));
                Self::Panic { place: place.into(), message: message.into() }
            }
            PANICKED => Self::Panicked,
            ERROR => Self::Error(text),
            FAILED => Self::Failed,
            LOST => Self::Lost(text),
            ENDED => Self::Ended,
            _ => return None,
        })
    }
}

impl Display for Report {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let (kind, text) = match self {
            Self::Panic { place, message } => (PANIC, format!("{place}{SEPARATOR}{message}")),
            Self::Panicked => (PANICKED, String::new()),
            Self::Error(text) => (ERROR, text.clone()),
            Self::Failed => (FAILED, String::new()),
            Self::Lost(variable) => (LOST, variable.clone()),
            Self::Ended => (ENDED, String::new()),
        };
        write!(formatter, "{kind} {}", text.replace('\n', &NEWLINE.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_one_line_and_comes_back() {
        let panic = Report::Panic { place: "src/lib.rs:3:5".into(), message: "one\ntwo words".into() };
        let reports = [panic, Report::Error("no file\ncaused by x".into()), Report::Lost("a".into()), Report::Ended];
        for report in reports {
            let line = report.to_string();
            assert_eq!(line.lines().count(), 1, "{line}");
            assert_eq!(Report::parse(&line), Some(report));
        }
    }

    #[test]
    fn what_no_runtime_writes_is_no_report() {
        assert_eq!(Report::parse("EVCXR_EXECUTION_COMPLETE"), None);
        assert_eq!(Report::parse(""), None);
    }
}
