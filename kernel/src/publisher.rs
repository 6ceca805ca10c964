//! The publishing socket: every client gets every output, and nothing waits for a client that does not read.
//!
//! zeromq's own sockets wait for the slowest client, or keep without bound what it has not read. This one keeps for each
//! client as much as [`MOST_BYTES`], leaves out what is more, and says so to that client. It speaks ZMTP 3.0
//! (<https://rfc.zeromq.org/spec/23/>) as far as a publisher needs it: without a mechanism, with subscriptions.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use jupyter_protocol::connection_info::Transport;
use jupyter_protocol::{ConnectionInfo, JupyterMessage, JupyterMessageContent, UnknownMessage};
use ring::hmac;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// What may wait for one client. Outputs beyond that are left out.
const MOST_BYTES: usize = 16 << 20;

/// A cell that prints faster than a client reads goes on when no more than this waits for it.
const ENOUGH_BYTES: usize = 4 << 20;

/// How long a cell that prints may wait for a client to read; one that has not read by then is waited for no more, until it
/// reads again.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a reply may wait for the outputs before it.
const REPLY_PATIENCE: Duration = Duration::from_millis(100);

/// A subscription is short. Anybody can connect.
const MOST_BYTES_READ: u64 = 1 << 12;

/// How long the socket rests when no connection can be accepted, as for want of file descriptors.
const REST: Duration = Duration::from_millis(100);

/// Outputs that a client can do without; it waits for the others.
const CAN_BE_LEFT_OUT: [&str; 4] = ["stream", "display_data", "update_display_data", "clear_output"];

/// The part of a message before which its recipients stand.
const DELIMITER: &[u8] = b"<IDS|MSG>";

const MORE: u8 = 1;
const LONG: u8 = 2;
const COMMAND: u8 = 4;

/// The publishing socket, for any number of threads.
#[derive(Clone)]
pub struct Publisher {
    inner: Arc<Inner>,
}

struct Inner {
    clients: Mutex<Clients>,
    /// Something was read by a client.
    moved: Condvar,
    key: Option<hmac::Key>,
    session: String,
}

#[derive(Default)]
struct Clients {
    list: Vec<Client>,
    n_ever: u64,
}

struct Client {
    number: u64,
    topics: Vec<Vec<u8>>,
    waiting: VecDeque<Arc<[u8]>>,
    /// Of those that wait, and of the one that is being written.
    n_bytes: usize,
    is_asleep: bool,
    left_out: Option<LeftOut>,
    arrived: Arc<Notify>,
    task: Option<AbortHandle>,
}

/// What a client was not sent.
struct LeftOut {
    n_outputs: usize,
    n_bytes: usize,
    parent: Option<JupyterMessage>,
}

impl Publisher {
    /// Opens the socket and accepts clients from then on.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn bind(info: &ConnectionInfo, session: &str) -> Result<Self> {
        let key = (!info.key.is_empty()).then(|| hmac::Key::new(hmac::HMAC_SHA256, info.key.as_bytes()));
        let inner = Inner { clients: Mutex::default(), moved: Condvar::new(), key, session: session.into() };
        let publisher = Self { inner: Arc::new(inner) };
        match info.transport {
            Transport::TCP => {
                let ip = if info.ip == "*" { "0.0.0.0" } else { info.ip.as_str() };
                let listener = TcpListener::bind((ip, info.iopub_port)).await?;
                let publisher = publisher.clone();
                tokio::spawn(async move {
                    loop {
                        match listener.accept().await {
                            Ok((stream, _)) => {
                                // Small messages are not to wait for others.
                                let _ = stream.set_nodelay(true);
                                publisher.serve(stream);
                            }
                            Err(error) => rest(&error).await,
                        }
                    }
                });
            }
            Transport::IPC => {
                let path = format!("{}-{}", info.ip, info.iopub_port);
                let listener = UnixListener::bind(&path).with_context(|| path.clone())?;
                let publisher = publisher.clone();
                tokio::spawn(async move {
                    loop {
                        match listener.accept().await {
                            Ok((stream, _)) => publisher.serve(stream),
                            Err(error) => rest(&error).await,
                        }
                    }
                });
            }
        }
        Ok(publisher)
    }

    /// Publishes a message; returns at once.
    pub fn publish(&self, kind: &str, content: Value, parent: Option<&JupyterMessage>) {
        let output = self.inner.encode(kind, content, parent);
        let mut clients = self.inner.clients();
        let mut lost = Vec::new();
        for client in clients.list.iter_mut().filter(|client| client.wants(kind)) {
            if !client.push(&self.inner, kind, &output, parent) {
                lost.push(client.number);
            }
        }
        for number in lost {
            eprintln!("a client that does not read its outputs was disconnected");
            clients.remove(number);
        }
    }

    /// Waits a moment for room at every client that reads.
    pub fn wait_for_room(&self) {
        let is_full = |client: &Client| !client.is_asleep && client.n_bytes > ENOUGH_BYTES;
        let clients = self.inner.clients();
        let waited = self.inner.moved.wait_timeout_while(clients, PATIENCE, |clients| clients.list.iter().any(is_full));
        let (mut clients, result) = waited.unwrap_or_else(PoisonError::into_inner);
        if result.timed_out() {
            clients.list.iter_mut().filter(|client| is_full(client)).for_each(|client| client.is_asleep = true);
        }
    }

    /// Waits a moment for what was published to be on its way: some clients stop listening when a reply overtakes it.
    pub fn wait_for_published(&self) {
        let is_behind = |client: &Client| !client.is_asleep && client.n_bytes > 0;
        let clients = self.inner.clients();
        let behind = |clients: &mut Clients| clients.list.iter().any(is_behind);
        let waited = self.inner.moved.wait_timeout_while(clients, REPLY_PATIENCE, behind);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// Serves one client until it is gone.
    fn serve(&self, stream: impl AsyncRead + AsyncWrite + Send + 'static) {
        let (inner, arrived) = (self.inner.clone(), Arc::new(Notify::new()));
        let number = self.inner.clients().add(arrived.clone());
        let task = tokio::spawn(async move {
            let (mut reading, mut writing) = tokio::io::split(stream);
            let result = tokio::select! {
                result = inner.read(number, &mut reading) => result,
                result = inner.write(number, &arrived, &mut writing) => result,
            };
            if let Err(error) = result {
                eprintln!("a client of the outputs was refused: {error:#}");
            }
            inner.clients().remove(number);
            inner.moved.notify_all();
        });
        if let Some(client) = self.inner.clients().client(number) {
            client.task = Some(task.abort_handle());
        }
    }
}

async fn rest(error: &io::Error) {
    eprintln!("accepting a client of the outputs: {error}");
    tokio::time::sleep(REST).await;
}

impl Inner {
    fn clients(&self) -> MutexGuard<'_, Clients> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A signed message in frames, the first of which is its topic.
    fn encode(&self, kind: &str, content: Value, parent: Option<&JupyterMessage>) -> Arc<[u8]> {
        let content = UnknownMessage { msg_type: kind.to_string(), content };
        let message =
            JupyterMessage::new(JupyterMessageContent::UnknownMessage(content), parent).with_session(&self.session);
        let as_bytes = |value: serde_json::Result<Vec<u8>>| value.unwrap_or_else(|_| b"{}".to_vec());
        let parts = [
            as_bytes(serde_json::to_vec(&message.header)),
            as_bytes(message.parent_header.as_ref().map_or(Ok(b"{}".to_vec()), serde_json::to_vec)),
            b"{}".to_vec(),
            as_bytes(serde_json::to_vec(&message.content)),
        ];
        let mut signature = String::new();
        if let Some(key) = &self.key {
            let mut signing = hmac::Context::with_key(key);
            parts.iter().for_each(|part| signing.update(part));
            for byte in signing.sign().as_ref() {
                let _ = write!(signature, "{byte:02x}");
            }
        }
        let mut wire = Vec::with_capacity(parts.iter().map(Vec::len).sum::<usize>() + 256);
        for part in [kind.as_bytes(), DELIMITER, signature.as_bytes()] {
            add_frame(&mut wire, MORE, part);
        }
        let last = parts.len() - 1;
        for (number, part) in parts.iter().enumerate() {
            add_frame(&mut wire, if number < last { MORE } else { 0 }, part);
        }
        wire.into()
    }

    /// Reads a client's greeting and its subscriptions.
    async fn read(&self, number: u64, stream: &mut (impl AsyncRead + Unpin)) -> Result<()> {
        let mut greeting = [0; 64];
        stream.read_exact(&mut greeting).await.context("its greeting")?;
        if greeting[0] != 0xff || greeting[10] < 3 || &greeting[12..17] != b"NULL\0" {
            bail!("it does not speak ZMTP 3 without a mechanism");
        }
        loop {
            let mut flags = [0];
            // It has gone.
            if stream.read_exact(&mut flags).await.is_err() {
                return Ok(());
            }
            let n_bytes =
                if flags[0] & LONG != 0 { stream.read_u64().await? } else { u64::from(stream.read_u8().await?) };
            if n_bytes > MOST_BYTES_READ {
                bail!("it sent {n_bytes} bytes, and a subscription has at most {MOST_BYTES_READ}");
            }
            let mut body = vec![0; n_bytes as usize];
            stream.read_exact(&mut body).await?;
            self.take(number, flags[0] & COMMAND != 0, &body);
        }
    }

    /// Takes a frame of a client.
    fn take(&self, number: u64, is_command: bool, body: &[u8]) {
        let mut clients = self.clients();
        let Some(client) = clients.client(number) else { return };
        match body {
            [1, topic @ ..] if !is_command => {
                client.topics.push(topic.to_vec());
                let content = json!({ "subscription": String::from_utf8_lossy(topic) });
                client.wait(self.encode("iopub_welcome", content, None));
            }
            [0, topic @ ..] if !is_command => {
                if let Some(position) = client.topics.iter().position(|known| known == topic) {
                    client.topics.remove(position);
                }
            }
            _ => {
                if let Some(context) = body.strip_prefix(b"\x04PING").and_then(|ping| ping.get(2..)) {
                    let mut wire = Vec::new();
                    add_frame(&mut wire, COMMAND, &[b"\x04PONG", context].concat());
                    client.wait(wire.into());
                }
            }
        }
    }

    /// Writes to a client what waits for it.
    async fn write(&self, number: u64, arrived: &Notify, stream: &mut (impl AsyncWrite + Unpin)) -> Result<()> {
        stream.write_all(&greeting()).await?;
        loop {
            let next = self.clients().client(number).and_then(|client| client.waiting.pop_front());
            let Some(output) = next else {
                stream.flush().await?;
                arrived.notified().await;
                continue;
            };
            // It has gone.
            if stream.write_all(&output).await.is_err() {
                return Ok(());
            }
            if let Some(client) = self.clients().client(number) {
                client.n_bytes -= output.len();
                if client.n_bytes <= ENOUGH_BYTES {
                    client.is_asleep = false;
                    client.say_what_was_left_out(self);
                }
            }
            self.moved.notify_all();
        }
    }
}

impl Clients {
    fn add(&mut self, arrived: Arc<Notify>) -> u64 {
        self.n_ever += 1;
        self.list.push(Client {
            number: self.n_ever,
            topics: Vec::new(),
            waiting: VecDeque::new(),
            n_bytes: 0,
            is_asleep: false,
            left_out: None,
            arrived,
            task: None,
        });
        self.n_ever
    }

    fn client(&mut self, number: u64) -> Option<&mut Client> {
        self.list.iter_mut().find(|client| client.number == number)
    }

    fn remove(&mut self, number: u64) {
        if let Some(position) = self.list.iter().position(|client| client.number == number)
            && let Some(task) = self.list.remove(position).task
        {
            task.abort();
        }
    }
}

impl Client {
    fn wants(&self, kind: &str) -> bool {
        self.topics.iter().any(|topic| kind.as_bytes().starts_with(topic))
    }

    /// Keeps an output for the client, or leaves it out; says whether the client can go on.
    fn push(&mut self, inner: &Inner, kind: &str, output: &Arc<[u8]>, parent: Option<&JupyterMessage>) -> bool {
        let is_full = self.n_bytes > 0 && self.n_bytes + output.len() > MOST_BYTES;
        if CAN_BE_LEFT_OUT.contains(&kind) && (is_full || self.left_out.is_some()) {
            let parent = parent.cloned();
            let left_out = self.left_out.get_or_insert(LeftOut { n_outputs: 0, n_bytes: 0, parent });
            left_out.n_outputs += 1;
            left_out.n_bytes += output.len();
            return true;
        }
        self.say_what_was_left_out(inner);
        self.wait(output.clone());
        self.n_bytes <= 2 * MOST_BYTES || self.waiting.len() == 1
    }

    fn say_what_was_left_out(&mut self, inner: &Inner) {
        if let Some(LeftOut { n_outputs, n_bytes, parent }) = self.left_out.take() {
            let megabytes = n_bytes as f64 / 1e6;
            let text = format!(
                "\n[{n_outputs} outputs ({megabytes:.1} MB) are left out here: this client reads more slowly than the \
                 cell shows them]\n"
            );
            self.wait(inner.encode("stream", json!({ "name": "stderr", "text": text }), parent.as_ref()));
        }
    }

    fn wait(&mut self, output: Arc<[u8]>) {
        self.n_bytes += output.len();
        self.waiting.push_back(output);
        self.arrived.notify_one();
    }
}

/// What a publisher says first: the protocol's version, and its kind.
fn greeting() -> Vec<u8> {
    let mut wire = vec![0; 64];
    (wire[0], wire[9], wire[10]) = (0xff, 0x7f, 3);
    wire[12..16].copy_from_slice(b"NULL");
    add_frame(&mut wire, COMMAND, b"\x05READY\x0bSocket-Type\x00\x00\x00\x04XPUB");
    wire
}

fn add_frame(wire: &mut Vec<u8>, flags: u8, body: &[u8]) {
    match u8::try_from(body.len()) {
        Ok(length) => wire.extend([flags, length]),
        Err(_) => {
            wire.push(flags | LONG);
            wire.extend((body.len() as u64).to_be_bytes());
        }
    }
    wire.extend_from_slice(body);
}
