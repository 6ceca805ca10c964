//! What a running cell and the kernel say to each other.
//!
//! A cell speaks in lines on its standard output, so that pictures keep their place among printed lines: [`MARKER`],
//! then a [`Message`] as JSON. The kernel speaks through the folder named in [`FOLDER_VARIABLE`]: while it holds a file
//! named [`INTERRUPT_FILE`], the user has asked the cell to stop. Without that variable the kernel is another one, and a
//! cell does better to print text.
//!
//! ```
//! use diabolo_protocol::{Message, interrupted, is_available, send};
//! if is_available() {
//!     send(&Message::Display { data: [("text/plain".into(), "1 of 2".into())].into(), id: Some("progress".into()) })?;
//!     send(&Message::Update { data: [("text/plain".into(), "2 of 2".into())].into(), id: "progress".into() })?;
//! }
//! assert!(!interrupted());
//! # Ok::<(), std::io::Error>(())
//! ```

#![deny(missing_docs)]

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::OnceLock;

/// Names the folder through which the kernel speaks; set by a kernel that understands [`Message`]s.
///
/// # Example
/// ```
/// assert_eq!(std::env::var_os(diabolo_protocol::FOLDER_VARIABLE), None, "this is no cell");
/// ```
pub const FOLDER_VARIABLE: &str = "DIABOLO_KERNEL";

/// The file in that folder which asks the running cell to stop.
///
/// # Example
/// ```
/// use diabolo_protocol::INTERRUPT_FILE;
/// # let folder = std::env::temp_dir().join(format!("diabolo-protocol-example-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// // What the kernel does when the user presses stop.
/// std::fs::write(folder.join(INTERRUPT_FILE), "")?;
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub const INTERRUPT_FILE: &str = "interrupt";

/// Begins a [`Message`], which ends with its line; what a cell printed before it without a newline stays text. Its first
/// character is not one that people print.
///
/// # Example
/// ```
/// use diabolo_protocol::{MARKER, Message, parse};
/// let line = format!("{MARKER}{}", r#"{"message": "clear", "wait": true}"#);
/// assert_eq!(parse(&line), Some(Message::Clear { wait: true }));
/// ```
pub const MARKER: &str = "\u{2}diabolo1 ";

/// One representation of a picture or text for each MIME type; binary ones in base64.
///
/// # Example
/// ```
/// use diabolo_protocol::MimeBundle;
/// let picture: MimeBundle = [("image/svg+xml".into(), "<svg/>".into()), ("text/plain".into(), "a picture".into())].into();
/// assert_eq!(picture["text/plain"], "a picture");
/// ```
pub type MimeBundle = BTreeMap<String, String>;

/// What a cell asks of the kernel, in the words of Jupyter's messaging document.
///
/// # Example
/// ```
/// use diabolo_protocol::Message;
/// let message = Message::Update { data: [("text/plain".into(), "2 of 2".into())].into(), id: "progress".into() };
/// assert!(matches!(message, Message::Update { id, .. } if id == "progress"));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Message {
    /// `display_data`: shows something below what the cell has shown so far.
    Display {
        /// What to show.
        data: MimeBundle,
        /// A name by which it can be updated.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
    },
    /// `update_display_data`: replaces what was shown under this name.
    Update {
        /// What to show instead.
        data: MimeBundle,
        /// The name.
        id: String,
    },
    /// `clear_output`: removes what the cell has shown so far.
    Clear {
        /// Whether to wait for the next output, so that nothing flickers.
        wait: bool,
    },
}

/// Whether the kernel understands [`Message`]s.
///
/// # Example
/// ```
/// if !diabolo_protocol::is_available() {
///     println!("2 of 2");
/// }
/// ```
pub fn is_available() -> bool {
    folder().is_some()
}

/// Whether the user has asked the running cell to stop. Cheap enough to be asked for every minibatch.
///
/// # Example
/// ```
/// for minibatch in 0..100 {
///     if diabolo_protocol::interrupted() {
///         break;
///     }
/// #   let _ = minibatch;
/// }
/// ```
pub fn interrupted() -> bool {
    folder().is_some_and(|folder| folder.join(INTERRUPT_FILE).exists())
}

/// Writes a message to standard output, in its place among printed lines.
///
/// # Errors
/// Those of standard output.
///
/// # Example
/// ```
/// use diabolo_protocol::{Message, is_available, send};
/// if is_available() {
///     send(&Message::Clear { wait: true })?;
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn send(message: &Message) -> io::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(line(message).as_bytes())?;
    output.flush()
}

/// The message as a line of its own.
fn line(message: &Message) -> String {
    let json = serde_json::to_string(message).expect("maps of strings are JSON");
    format!("{MARKER}{json}\n")
}

fn folder() -> Option<&'static PathBuf> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOLDER.get_or_init(|| std::env::var_os(FOLDER_VARIABLE).map(PathBuf::from)).as_ref()
}

/// The message in a line of a cell's output; `None` for a line that is not one.
///
/// # Example
/// ```
/// use diabolo_protocol::{MARKER, Message, parse};
/// assert_eq!(parse(&format!("{MARKER}{}", r#"{"message":"clear","wait":false}"#)), Some(Message::Clear { wait: false }));
/// assert_eq!(parse("loss 0.5"), None);
/// ```
pub fn parse(line: &str) -> Option<Message> {
    serde_json::from_str(line.strip_prefix(MARKER)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_and_comes_back() {
        let message = Message::Display { data: [("image/svg+xml".into(), "<svg>\n</svg>".into())].into(), id: None };
        let line = line(&message);
        assert_eq!(line.lines().count(), 1);
        assert_eq!(parse(line.trim_end()), Some(message));
    }

    #[test]
    fn other_lines_are_not_messages() {
        assert_eq!(parse("loss 0.5"), None);
        assert_eq!(parse("\u{2}diabolo1 {\"message\":\"dance\"}"), None);
    }

    #[test]
    fn nobody_is_interrupted_outside_the_kernel() {
        assert!(!is_available() && !interrupted());
    }
}
