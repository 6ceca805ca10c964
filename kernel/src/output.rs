//! The outputs of cells as Jupyter messages, in order.
//!
//! Text is gathered for a moment, so that many lines become few messages. A picture is held for a moment, because blocks
//! of other MIME types may belong to it, and because the last one of a cell is its result.

use std::time::{Duration, Instant};

use diabolo_protocol::{Message, MimeBundle};
use jupyter_protocol::JupyterMessage;
use serde_json::{Map, Value, json};

use crate::connection::Outputs;
use crate::event::{Event, Stream};

/// How long text may wait for more.
const TEXT_PATIENCE: Duration = Duration::from_millis(25);

/// How long a picture may wait for the rest of its bundle, or for its cell's end. A cell that ends right after its last
/// picture ends within this time on a busy machine too, so that what is its result does not depend on the machine.
const BUNDLE_PATIENCE: Duration = Duration::from_millis(400);

/// Text that waits is sent when it is as long as this.
const N_TEXT_BYTES: usize = 1 << 16;

/// Collects what the current cell shows.
pub struct Display {
    outputs: Outputs,
    /// The last request whose outputs clients see. What threads print later belongs to it.
    parent: Option<JupyterMessage>,
    audience: Audience,
    text: Option<(Stream, String, Instant)>,
    bundle: Option<(MimeBundle, Instant)>,
    end: CellEnd,
}

/// Who sees what a cell shows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Every client.
    Clients,
    /// Nobody sees pictures, and a result is kept for who asked. Text is shown with the request before: it may come from a
    /// thread that an earlier cell started.
    Nobody,
}

/// What the process of cells said about how a cell ended.
#[derive(Debug, Default, Clone)]
pub struct CellEnd {
    /// The last picture of the cell.
    pub result: Option<MimeBundle>,
    /// The last panic: place and message.
    pub panic: Option<(String, String)>,
    /// Did it end the cell?
    pub is_panicked: bool,
    /// The last error that `?` met.
    pub error: Option<String>,
    /// Did it end the cell?
    pub is_failed: bool,
    /// How the process ended, if it did.
    pub process_end: Option<String>,
}

impl Display {
    pub fn new(outputs: Outputs) -> Self {
        Self { outputs, parent: None, audience: Audience::Nobody, text: None, bundle: None, end: CellEnd::default() }
    }

    /// Begins a cell, or another piece of code run for `parent`.
    pub fn begin(&mut self, parent: Option<&JupyterMessage>, audience: Audience) {
        self.send_all();
        if let (Some(parent), Audience::Clients) = (parent, audience) {
            self.parent = Some(parent.clone());
        }
        self.audience = audience;
        self.end = CellEnd::default();
    }

    /// Ends it, and says how. A panic or an error that did not end it is said all the same.
    pub fn end(&mut self) -> CellEnd {
        let mut end = std::mem::take(&mut self.end);
        end.result = self.bundle.take().map(|(bundle, _)| bundle).filter(|bundle| !is_unit(bundle));
        if let Some((place, message)) = &end.panic
            && (!end.is_panicked || end.process_end.is_some())
        {
            self.say_panic(place, message);
        }
        if let Some(error) = end.error.as_ref().filter(|_| !end.is_failed) {
            self.take_text(Stream::Stderr, &format!("{error}\n"));
        }
        self.send_text();
        end
    }

    /// Ends a request: what threads show from now on is seen by every client, whoever asked last.
    pub fn end_request(&mut self) {
        self.send_all();
        self.audience = Audience::Clients;
    }

    /// Sends what waits, before a prompt for example.
    pub fn flush(&mut self) {
        self.send_all();
    }

    /// Takes what the relay tells.
    pub fn take(&mut self, event: Event) {
        match event {
            Event::Text { stream, text } => self.take_text(stream, &text),
            Event::Block { mime_type, content } => self.take_block(mime_type, content),
            Event::Message(Message::Display { data, id }) => self.show(&data, id.as_deref()),
            Event::Message(Message::Update { data, id }) => self.update(&data, &id),
            Event::Message(Message::Clear { wait }) => self.publish("clear_output", json!({ "wait": wait })),
            // A newer protocol's message.
            Event::Message(_) | Event::Started { .. } | Event::CellBegins | Event::CellEnds | Event::Sync => {}
            Event::Panic { place, message } => self.take_panic(place, message),
            Event::CellPanicked => self.end.is_panicked = true,
            Event::ErrorText(text) => self.end.error = Some(text),
            Event::CellFailed => self.end.is_failed = true,
            Event::Ended { status } => self.end.process_end = Some(status),
        }
    }

    /// Sends what has waited long enough. Called many times a second.
    pub fn tick(&mut self) {
        if self.text.as_ref().is_some_and(|(_, _, since)| since.elapsed() >= TEXT_PATIENCE) {
            self.send_text();
        }
        if self.bundle.as_ref().is_some_and(|(_, since)| since.elapsed() >= BUNDLE_PATIENCE) {
            self.send_bundle();
        }
    }

    /// Shows a bundle under a name, or without.
    pub fn show(&mut self, bundle: &MimeBundle, id: Option<&str>) {
        let transient = id.map_or(json!({}), |id| json!({ "display_id": id }));
        self.publish("display_data", json!({ "data": as_json(bundle), "metadata": {}, "transient": transient }));
    }

    /// Replaces what was shown under a name.
    pub fn update(&mut self, bundle: &MimeBundle, id: &str) {
        let transient = json!({ "display_id": id });
        self.publish("update_display_data", json!({ "data": as_json(bundle), "metadata": {}, "transient": transient }));
    }

    /// Publishes after everything that waits.
    pub fn publish(&mut self, kind: &str, content: Value) {
        self.send_all();
        self.send(kind, content);
    }

    /// Shows text as if the cell had printed it.
    pub fn take_text(&mut self, stream: Stream, text: &str) {
        self.send_bundle();
        if self.text.as_ref().is_some_and(|(other, waiting, _)| *other != stream || waiting.len() > N_TEXT_BYTES) {
            self.send_text();
        }
        let (_, waiting, _) = self.text.get_or_insert_with(|| (stream, String::new(), Instant::now()));
        waiting.push_str(text);
    }

    /// Adds to the bundle that waits, unless that already has this MIME type: then it is another picture.
    fn take_block(&mut self, mime_type: String, content: String) {
        self.send_text();
        if self.bundle.as_ref().is_some_and(|(bundle, _)| bundle.contains_key(&mime_type)) {
            self.send_bundle();
        }
        let (bundle, _) = self.bundle.get_or_insert_with(|| (MimeBundle::new(), Instant::now()));
        bundle.insert(mime_type, content);
    }

    /// The panic before was caught.
    fn take_panic(&mut self, place: String, message: String) {
        if let Some((place, message)) = self.end.panic.replace((place, message)) {
            self.say_panic(&place, &message);
        }
    }

    fn say_panic(&mut self, place: &str, message: &str) {
        self.take_text(Stream::Stderr, &format!("panicked at {place}:\n{message}\n"));
    }

    fn send_all(&mut self) {
        self.send_bundle();
        self.send_text();
    }

    fn send_text(&mut self) {
        if let Some((stream, text, _)) = self.text.take() {
            self.send("stream", json!({ "name": stream.name(), "text": text }));
        }
    }

    fn send_bundle(&mut self) {
        if let Some((bundle, _)) = self.bundle.take().filter(|(bundle, _)| !is_unit(bundle)) {
            self.send("display_data", json!({ "data": as_json(&bundle), "metadata": {}, "transient": {} }));
        }
    }

    fn send(&mut self, kind: &str, content: Value) {
        let is_text = kind == "stream";
        if self.parent.is_none() && is_text {
            // Before the first cell only the log can tell.
            eprintln!("{content}");
        } else if self.audience == Audience::Clients || is_text {
            self.outputs.publish(kind, content, self.parent.as_ref());
        }
    }
}

/// A cell that ends with `println!(...)` has nothing to show.
fn is_unit(bundle: &MimeBundle) -> bool {
    bundle.len() == 1 && bundle.get("text/plain").is_some_and(|text| text == "()")
}

/// A bundle as Jupyter has it: JSON types are values, others text.
pub fn as_json(bundle: &MimeBundle) -> Value {
    let value = |mime_type: &str, content: &str| match mime_type.contains("json") {
        true => serde_json::from_str(content).unwrap_or_else(|_| content.into()),
        false => Value::from(content),
    };
    Value::Object(bundle.iter().map(|(kind, content)| (kind.clone(), value(kind, content))).collect::<Map<_, _>>())
}
