//! Output that a running cell updates in place, in the diabolo kernel.

use diabolo_protocol::{Message, MimeBundle, is_available, send};
use std::time::{SystemTime, UNIX_EPOCH};

/// An output of a cell that can be replaced while the cell runs.
pub(super) struct Live {
    id: String,
    is_shown: bool,
}

impl Live {
    /// A new output; `None` where the kernel cannot update outputs, or there is none.
    pub(super) fn new(what: &str) -> Option<Self> {
        // Cells are separate libraries, each with its own statics; the clock tells their displays apart.
        let nanoseconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
        is_available().then(|| Self { id: format!("diabolo-{what}-{nanoseconds}"), is_shown: false })
    }

    /// Replaces the output by `blocks`.
    pub(super) fn show(&mut self, blocks: &[super::Block<'_>]) {
        let data: MimeBundle = blocks.iter().map(|&(mime_type, body)| (mime_type.into(), body.into())).collect();
        let message = match self.is_shown {
            false => Message::Display { data, id: Some(self.id.clone()) },
            true => Message::Update { data, id: self.id.clone() },
        };
        // Where standard output is closed, nobody is left to be told.
        self.is_shown |= send(&message).is_ok();
    }
}
