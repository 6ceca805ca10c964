//! The sockets of one kernel: what is read from them, and the tasks that write to them.

use std::collections::{HashSet, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use jupyter_protocol::{ConnectionInfo, Header, JupyterMessage, JupyterMessageContent, UnknownMessage};
use jupyter_zmq_client::connection::{
    KernelHeartbeatConnection, RawMessage, RouterRecvConnection, RouterSendConnection,
    create_kernel_control_connection, create_kernel_heartbeat_connection, create_kernel_shell_connection,
    create_kernel_stdin_connection,
};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use zeromq::{SocketRecv, ZmqMessage};

use crate::publisher::Publisher;

/// How many signatures are remembered, so that no message is taken twice; ipykernel remembers as many.
const N_SIGNATURES: usize = 1 << 16;

/// The readable ends.
pub struct Inputs {
    pub shell: Input,
    pub control: Input,
    pub stdin: Input,
}

/// The readable end of one socket.
pub struct Input {
    name: &'static str,
    connection: RouterRecvConnection,
    signatures: Arc<Mutex<Signatures>>,
}

/// The signatures of the last messages, on all sockets.
#[derive(Default)]
struct Signatures {
    known: HashSet<Vec<u8>>,
    in_order: VecDeque<Vec<u8>>,
}

/// The writable ends, for any number of threads and tasks.
#[derive(Clone)]
pub struct Outputs {
    shell: UnboundedSender<JupyterMessage>,
    control: UnboundedSender<JupyterMessage>,
    stdin: UnboundedSender<JupyterMessage>,
    publisher: Publisher,
}

/// Names what is wrong in the content of a request whose kind is known.
pub const MALFORMED: &str = "malformed";

/// The socket on which a request came, and its reply goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    Shell,
    Control,
}

/// Reads the connection file that Jupyter wrote.
pub fn read_file(path: &Path) -> Result<ConnectionInfo> {
    let text = std::fs::read_to_string(path).with_context(|| {
        format!("reading the connection file {}; Jupyter writes it and starts this", path.display())
    })?;
    let info: ConnectionInfo = serde_json::from_str(&text)
        .with_context(|| format!("the connection file {} is malformed; start the kernel again", path.display()))?;
    if info.signature_scheme != "hmac-sha256" {
        bail!("{} wants messages signed with `{}`; this kernel has hmac-sha256", path.display(), info.signature_scheme);
    }
    Ok(info)
}

/// Opens every socket and starts the tasks that write to them.
pub async fn open(info: &ConnectionInfo) -> Result<(Inputs, Outputs)> {
    let session = format!("{:x}-{:x}", std::process::id(), jupyter_session_number());
    let refused = |name: &str, port: u16| {
        format!("opening the {name} socket on {} port {port}: does another program use it? restart the kernel", info.ip)
    };
    let port_of = |name| refused(name, port(info, name));
    let heartbeat = create_kernel_heartbeat_connection(info).await.with_context(|| port_of("heartbeat"))?;
    let publisher = Publisher::bind(info, &session).await.with_context(|| port_of("iopub"))?;
    let shell = create_kernel_shell_connection(info, &session).await.with_context(|| port_of("shell"))?;
    let control = create_kernel_control_connection(info, &session).await.with_context(|| port_of("control"))?;
    let stdin = create_kernel_stdin_connection(info, &session).await.with_context(|| port_of("stdin"))?;

    let (shell_out, shell_in) = shell.split();
    let (control_out, control_in) = control.split();
    let (stdin_out, stdin_in) = stdin.split();
    tokio::spawn(beat(heartbeat));
    let outputs = Outputs {
        shell: writer("shell", shell_out),
        control: writer("control", control_out),
        stdin: writer("stdin", stdin_out),
        publisher,
    };
    let signatures = Arc::new(Mutex::default());
    let input = |name, connection| Input { name, connection, signatures: Arc::clone(&signatures) };
    let inputs = Inputs {
        shell: input("shell", shell_in),
        control: input("control", control_in),
        stdin: input("stdin", stdin_in),
    };
    Ok((inputs, outputs))
}

impl Outputs {
    /// Answers a request on its own socket.
    pub fn reply(&self, channel: Channel, request: &JupyterMessage, content: Value) {
        let kind = request.header.msg_type.replace("_request", "_reply");
        let sender = if channel == Channel::Shell { &self.shell } else { &self.control };
        // A kernel that is ending needs no replies.
        let _ = sender.send(message(&kind, content, Some(request)));
    }

    /// Asks the client that sent `request` for input.
    pub fn ask(&self, request: &JupyterMessage, content: Value) {
        let _ = self.stdin.send(message("input_request", content, Some(request)));
    }

    /// Publishes to all clients; waits for none.
    pub fn publish(&self, kind: &str, content: Value, parent: Option<&JupyterMessage>) {
        self.publisher.publish(kind, content, parent);
    }

    /// Waits a moment for clients that read, so that a cell prints no faster than they do.
    pub fn wait_for_room(&self) {
        self.publisher.wait_for_room();
    }

    /// Waits a moment for what was published to be on its way.
    pub fn wait_for_published(&self) {
        self.publisher.wait_for_published();
    }
}

impl Input {
    /// Reads the next message; what is unsigned, sent again, or no message at all is refused and logged.
    pub async fn read(&mut self) -> JupyterMessage {
        loop {
            match self.receive().await {
                Ok(message) => return message,
                Err(error) => {
                    eprintln!("refused a message on the {} socket: {error:#}", self.name);
                    // A socket that fails for good must not keep a core busy.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        }
    }

    async fn receive(&mut self) -> Result<JupyterMessage> {
        let parts = self.connection.socket.recv().await?;
        let signature = signature_of(&parts);
        let raw = RawMessage::from_multipart(parts, &self.connection.mac)?;
        let is_new = |signature| self.signatures.lock().unwrap_or_else(PoisonError::into_inner).add(signature);
        if self.connection.mac.is_some() && !signature.is_some_and(is_new) {
            bail!("it was sent before");
        }
        let header: Header = serde_json::from_slice(&raw.jparts[0]).context("its header")?;
        let mut content: Value = serde_json::from_slice(&raw.jparts[3]).context("its content")?;
        fill_in(&header.msg_type, &mut content);
        // What lacks a field still gets an answer.
        let content = JupyterMessageContent::from_type_and_content(&header.msg_type, content).unwrap_or_else(|error| {
            UnknownMessage { msg_type: header.msg_type.clone(), content: json!({ MALFORMED: error.to_string() }) }
                .into()
        });
        let mut message = JupyterMessage::new(content, None).with_zmq_identities(raw.zmq_identities);
        message.header = header;
        Ok(message)
    }
}

impl Signatures {
    /// Adds one, and says whether it is new.
    fn add(&mut self, signature: Vec<u8>) -> bool {
        if !self.known.insert(signature.clone()) {
            return false;
        }
        self.in_order.push_back(signature);
        if self.in_order.len() > N_SIGNATURES
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

/// What stands behind the recipients and their delimiter.
fn signature_of(parts: &ZmqMessage) -> Option<Vec<u8>> {
    parts.iter().skip_while(|part| &part[..] != b"<IDS|MSG>").nth(1).map(|part| part.to_vec())
}

/// The messaging document's defaults for what clients may leave out.
fn fill_in(kind: &str, content: &mut Value) {
    let defaults = match kind {
        "execute_request" => json!({ "silent": false, "store_history": true, "user_expressions": {} }),
        "history_request" => json!({
            "output": false, "raw": true, "unique": false, "n": -1, "session": 0, "start": 0, "stop": 0,
        }),
        _ => return,
    };
    if let (Value::Object(content), Value::Object(defaults)) = (content, defaults) {
        for (name, default) in defaults {
            content.entry(name).or_insert(default);
        }
    }
}

fn message(kind: &str, content: Value, parent: Option<&JupyterMessage>) -> JupyterMessage {
    let content = UnknownMessage { msg_type: kind.to_string(), content };
    JupyterMessage::new(JupyterMessageContent::UnknownMessage(content), parent)
}

/// Writes what is sent to it to one socket.
fn writer(name: &'static str, mut connection: RouterSendConnection) -> UnboundedSender<JupyterMessage> {
    let (sender, mut receiver): (_, UnboundedReceiver<JupyterMessage>) = unbounded_channel();
    tokio::spawn(async move {
        while let Some(message) = receiver.recv().await {
            // The client may be gone.
            if let Err(error) = connection.send(message).await {
                eprintln!("a message on the {name} socket was not sent: {error}");
            }
        }
    });
    sender
}

async fn beat(mut heartbeat: KernelHeartbeatConnection) {
    loop {
        if heartbeat.single_heartbeat().await.is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

fn port(info: &ConnectionInfo, name: &str) -> u16 {
    match name {
        "heartbeat" => info.hb_port,
        "iopub" => info.iopub_port,
        "shell" => info.shell_port,
        "control" => info.control_port,
        _ => info.stdin_port,
    }
}

/// Different for each kernel.
fn jupyter_session_number() -> u128 {
    std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_new_once_until_very_many_others_came() {
        let mut signatures = Signatures::default();
        assert!(signatures.add(b"a".to_vec()) && !signatures.add(b"a".to_vec()));
        for number in 0..N_SIGNATURES {
            assert!(signatures.add(number.to_le_bytes().to_vec()));
        }
        assert_eq!(signatures.known.len(), N_SIGNATURES);
        assert!(signatures.add(b"a".to_vec()));
    }
}
