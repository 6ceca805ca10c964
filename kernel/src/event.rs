//! The events that the relay sends to the front: one [`Event`] as a line of JSON.
//!
//! The front answers [`Event::Sync`] with one byte once everything before it is handled; only then does evcxr learn that
//! the cell has ended. So a cell's outputs are in order, and complete before its reply.

use serde::{Deserialize, Serialize};

/// Names the socket on which the front listens for relays.
pub const SOCKET_VARIABLE: &str = "DIABOLO_EVENTS";

/// Something that the cells' process did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// The process runs, and its relay, under these numbers; the process leads the group of all that cells start.
    Started { relay: u32, process: u32 },
    /// The code of a cell begins to run.
    CellBegins,
    /// It has ended.
    CellEnds,
    /// It printed something.
    Text { stream: Stream, text: String },
    /// It printed one of evcxr's blocks.
    Block { mime_type: String, content: String },
    /// It sent a message of diabolo's protocol.
    Message(diabolo_protocol::Message),
    /// Its cell panicked; perhaps something catches it.
    Panic { place: String, message: String },
    /// The panic ended the cell.
    CellPanicked,
    /// The text of an error that `?` met.
    ErrorText(String),
    /// An error that `?` met ended the cell.
    CellFailed,
    /// The process is gone, though nobody asked for that.
    Ended { status: String },
    /// The relay waits until all of this is handled.
    Sync,
}

/// Where text was printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// The name in Jupyter's messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}
