//! The sockets of one kernel: what is read from them, and the tasks that write to them.

use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use jupyter_protocol::{ConnectionInfo, Header, JupyterMessage, JupyterMessageContent, UnknownMessage};
use jupyter_zmq_client::connection::{
    KernelHeartbeatConnection, KernelIoPubXPubConnection, RawMessage, RouterRecvConnection, RouterSendConnection,
    SubscriptionEvent, create_kernel_control_connection, create_kernel_heartbeat_connection,
    create_kernel_iopub_xpub_connection, create_kernel_shell_connection, create_kernel_stdin_connection,
};
use serde_json::{Value, json};
use tokio::sync::mpsc::{Receiver, Sender, UnboundedReceiver, UnboundedSender, channel, unbounded_channel};
use zeromq::SocketRecv;

/// How many messages may wait for slow clients before the cell that makes them has to wait too.
const N_WAITING_OUTPUTS: usize = 256;

/// How often a reply looks whether outputs still wait, and how many times at most: a slow client holds no reply back.
const BETWEEN_LOOKS: Duration = Duration::from_millis(1);
const MOST_WAITS: usize = 100;

/// The readable ends.
pub struct Inputs {
    pub shell: RouterRecvConnection,
    pub control: RouterRecvConnection,
    pub stdin: RouterRecvConnection,
}

/// The writable ends, for any number of threads and tasks.
#[derive(Clone)]
pub struct Outputs {
    shell: UnboundedSender<JupyterMessage>,
    control: UnboundedSender<JupyterMessage>,
    stdin: UnboundedSender<JupyterMessage>,
    iopub: Sender<JupyterMessage>,
}

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
    let iopub = create_kernel_iopub_xpub_connection(info, &session).await.with_context(|| port_of("iopub"))?;
    let shell = create_kernel_shell_connection(info, &session).await.with_context(|| port_of("shell"))?;
    let control = create_kernel_control_connection(info, &session).await.with_context(|| port_of("control"))?;
    let stdin = create_kernel_stdin_connection(info, &session).await.with_context(|| port_of("stdin"))?;

    let (shell_out, shell_in) = shell.split();
    let (control_out, control_in) = control.split();
    let (stdin_out, stdin_in) = stdin.split();
    tokio::spawn(beat(heartbeat));
    let (iopub_sender, iopub_receiver) = channel(N_WAITING_OUTPUTS);
    tokio::spawn(publish(iopub, iopub_receiver));
    let outputs = Outputs {
        shell: writer("shell", shell_out),
        control: writer("control", control_out),
        stdin: writer("stdin", stdin_out),
        iopub: iopub_sender,
    };
    Ok((Inputs { shell: shell_in, control: control_in, stdin: stdin_in }, outputs))
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

    /// Publishes from a task.
    pub async fn publish(&self, kind: &str, content: Value, parent: Option<&JupyterMessage>) {
        let _ = self.iopub.send(published(kind, content, parent)).await;
    }

    /// Publishes from a thread that is not a task's.
    pub fn publish_blocking(&self, kind: &str, content: Value, parent: Option<&JupyterMessage>) {
        let _ = self.iopub.blocking_send(published(kind, content, parent));
    }

    /// Waits a moment for what was published to be on its way: some clients stop listening when a reply overtakes it.
    pub fn wait_for_published(&self) {
        for _ in 0..MOST_WAITS {
            thread::sleep(BETWEEN_LOOKS);
            if self.iopub.capacity() == self.iopub.max_capacity() {
                return;
            }
        }
    }
}

/// Reads the next message; what is unsigned or no message at all is refused and logged.
pub async fn read(name: &str, connection: &mut RouterRecvConnection) -> JupyterMessage {
    loop {
        match receive(connection).await {
            Ok(message) => return message,
            Err(error) => {
                eprintln!("refused a message on the {name} socket: {error:#}");
                // A socket that fails for good must not keep a core busy.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }
}

async fn receive(connection: &mut RouterRecvConnection) -> Result<JupyterMessage> {
    let parts = connection.socket.recv().await?;
    let raw = RawMessage::from_multipart(parts, &connection.mac)?;
    let header: Header = serde_json::from_slice(&raw.jparts[0]).context("its header")?;
    let mut content: Value = serde_json::from_slice(&raw.jparts[3]).context("its content")?;
    fill_in(&header.msg_type, &mut content);
    // What lacks a field still gets an answer.
    let content = JupyterMessageContent::from_type_and_content(&header.msg_type, content.clone())
        .unwrap_or_else(|_| UnknownMessage { msg_type: header.msg_type.clone(), content }.into());
    let mut message = JupyterMessage::new(content, None).with_zmq_identities(raw.zmq_identities);
    message.header = header;
    Ok(message)
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

/// A message for all clients: the first part is its topic.
fn published(kind: &str, content: Value, parent: Option<&JupyterMessage>) -> JupyterMessage {
    message(kind, content, parent).with_zmq_identities(vec![kind.to_string().into()])
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

/// Publishes what is sent to it, and welcomes every client that subscribes.
async fn publish(mut iopub: KernelIoPubXPubConnection, mut outputs: Receiver<JupyterMessage>) {
    loop {
        tokio::select! {
            output = outputs.recv() => {
                let Some(output) = output else { return };
                send(&mut iopub, output).await;
            }
            event = iopub.recv_subscription() => match event {
                Ok(SubscriptionEvent::Subscribe(topic)) => {
                    let content = json!({ "subscription": topic });
                    send(&mut iopub, published("iopub_welcome", content, None)).await;
                }
                Ok(SubscriptionEvent::Unsubscribe(_)) => {}
                // Without clients there is nothing to read.
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            },
        }
    }
}

async fn send(iopub: &mut KernelIoPubXPubConnection, message: JupyterMessage) {
    if let Err(error) = iopub.send(message).await {
        eprintln!("an output was not published: {error}");
    }
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
