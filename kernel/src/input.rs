//! `input_request`: a cell reads a line from the user.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jupyter_protocol::JupyterMessage;
use serde_json::json;

use crate::event::Stream;
use crate::shared::Shared;

/// How often a wait for the person looks at the stop button.
const INTERRUPT_CHECK: Duration = Duration::from_millis(100);

/// The replies that clients sent.
pub struct Inputs {
    replies: Mutex<Receiver<String>>,
}

impl Inputs {
    /// The inputs, and where the front puts them.
    pub fn new() -> (Sender<String>, Self) {
        let (sender, receiver) = channel();
        (sender, Self { replies: Mutex::new(receiver) })
    }

    /// Asks the client, and waits. An interrupt, also one before, and a client that cannot be asked are an empty answer.
    pub fn ask(
        &self,
        shared: &Shared,
        client: Option<(&JupyterMessage, bool)>,
        prompt: &str,
        is_password: bool,
    ) -> String {
        let Some((request, true)) = client else {
            let text = "the cell asked for input, which this client does not offer; it got an empty line\n";
            shared.display().take_text(Stream::Stderr, text);
            return String::new();
        };
        if shared.interrupts.is_requested() {
            return String::new();
        }
        // What the cell printed before comes before its prompt.
        shared.display().flush();
        shared.outputs.wait_for_published();
        let replies = self.replies.lock().unwrap_or_else(PoisonError::into_inner);
        // What somebody typed for an earlier cell.
        replies.try_iter().for_each(drop);
        shared.outputs.ask(request, json!({ "prompt": prompt, "password": is_password }));
        loop {
            match replies.recv_timeout(INTERRUPT_CHECK) {
                Ok(reply) => return reply.replace('\n', " "),
                Err(RecvTimeoutError::Timeout) if !shared.interrupts.is_requested() => {}
                Err(_) => return String::new(),
            }
        }
    }
}
