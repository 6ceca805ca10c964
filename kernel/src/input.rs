//! `input_request`: a cell reads a line from the user.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jupyter_protocol::JupyterMessage;
use serde_json::json;

use crate::connection::Outputs;
use crate::event::Stream;
use crate::interrupt::Interrupts;
use crate::output::Display;

/// How often a wait for the person looks at the stop button.
const INTERRUPT_CHECK: Duration = Duration::from_millis(100);

/// The replies that clients sent.
pub struct Inputs {
    replies: Mutex<Receiver<String>>,
    outputs: Outputs,
    display: Arc<Mutex<Display>>,
    interrupts: Arc<Interrupts>,
}

impl Inputs {
    /// The inputs, and where the front puts them.
    pub fn new(outputs: Outputs, display: Arc<Mutex<Display>>, interrupts: Arc<Interrupts>) -> (Sender<String>, Self) {
        let (sender, receiver) = channel();
        (sender, Self { replies: Mutex::new(receiver), outputs, display, interrupts })
    }

    /// Asks the client, and waits. An interrupt, also one before, and a client that cannot be asked are an empty answer.
    pub fn ask(&self, client: Option<(&JupyterMessage, bool)>, prompt: &str, is_password: bool) -> String {
        let display = || self.display.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((request, true)) = client else {
            let text = "the cell asked for input, which this client does not offer; it got an empty line\n";
            display().take_text(Stream::Stderr, text);
            return String::new();
        };
        if self.interrupts.is_requested() {
            return String::new();
        }
        // What the cell printed before comes before its prompt.
        display().flush();
        self.outputs.wait_for_published();
        let replies = self.replies.lock().unwrap_or_else(PoisonError::into_inner);
        // What somebody typed for an earlier cell.
        replies.try_iter().for_each(drop);
        self.outputs.ask(request, json!({ "prompt": prompt, "password": is_password }));
        loop {
            match replies.recv_timeout(INTERRUPT_CHECK) {
                Ok(reply) => return reply.replace('\n', " "),
                Err(RecvTimeoutError::Timeout) if !self.interrupts.is_requested() => {}
                Err(_) => return String::new(),
            }
        }
    }
}
