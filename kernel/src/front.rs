//! The message loop: answers at once what needs no evcxr, and queues the rest for the thread that owns evcxr.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use jupyter_protocol::{ConnectionInfo, JupyterMessage, JupyterMessageContent as Content};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use crate::builds::Builds;
use crate::connection::{self, Channel};
use crate::history::History;
use crate::input::Inputs;
use crate::interrupt::Interrupts;
use crate::kernel::{Kernel, Place};
use crate::output::Display;
use crate::queue::Queue;
use crate::shared::Shared;
use crate::store::Copy;
use crate::{assist, complete, info, nesting, origin, relays};

/// How often the process that started the kernel is looked at.
const BETWEEN_LOOKS_AT_PARENT: Duration = Duration::from_secs(1);

/// Where one kernel keeps its things.
pub struct Folders<'a> {
    /// For the cells' eyes: the stop button and the relay's socket.
    pub own: &'a Path,
    /// The crate that evcxr compiles.
    pub work: &'a Path,
    /// What was executed, shared by all kernels.
    pub history: &'a Path,
}

/// Serves one notebook until it shuts the kernel down. `library` has the standard library's sources and `copy` is where
/// cells are compiled; either may be what is wrong with the machine.
pub async fn serve(
    info: &ConnectionInfo,
    folders: Folders<'_>,
    library: Result<PathBuf, String>,
    copy: Result<Arc<Copy>, String>,
) -> Result<()> {
    // The thread of evcxr changes into other folders.
    let here = std::env::current_dir().unwrap_or_default();
    let (mut sockets, outputs) = connection::open(info).await?;
    let display = Arc::new(Mutex::new(Display::new(outputs.clone())));
    let interrupts = Arc::new(Interrupts::new(folders.own.into()));
    let (input_sender, inputs) = Inputs::new(outputs.clone(), display.clone(), interrupts.clone());
    let shared = Arc::new(Shared {
        outputs: outputs.clone(),
        interrupts,
        builds: Arc::new(Builds::new(folders.work.join("Cargo.lock"), display.clone())),
        display,
        history: History::open(folders.history),
        inputs,
        queue: Queue::default(),
        names: Mutex::default(),
        shutdown: tokio::sync::Notify::new(),
        notice: Mutex::default(),
        remark: Mutex::default(),
    });
    outputs.publish("status", json!({ "execution_state": "starting" }), None);
    shared.builds.watch()?;
    relays::listen(&shared, &folders.own.join("events"))?;
    let place = Place { folder: folders.own.into(), library, copy };
    let of_kernel = shared.clone();
    let kernel = thread::Builder::new().name("evcxr".into()).stack_size(nesting::STACK_BYTES);
    kernel.spawn(move || Kernel::run(of_kernel, place)).context("starting the thread of evcxr")?;
    // Asked for soon, and it takes a moment to find out.
    let of_remark = shared.clone();
    thread::spawn(move || {
        if let Some(remark) = origin::remark(&here, info::compiler()) {
            of_remark.say_remark(remark);
        }
    });

    let of_shell = shared.clone();
    tokio::spawn(async move {
        loop {
            answer(&of_shell, Channel::Shell, sockets.shell.read().await);
        }
    });
    let of_control = shared.clone();
    tokio::spawn(async move {
        loop {
            answer(&of_control, Channel::Control, sockets.control.read().await);
        }
    });
    tokio::spawn(async move {
        loop {
            if let Content::InputReply(reply) = sockets.stdin.read().await.content {
                let _ = input_sender.send(reply.value);
            }
        }
    });
    let of_signal = shared.clone();
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            of_signal.interrupt();
        }
    });
    for kind in [SignalKind::terminate(), SignalKind::hangup()] {
        let (mut ends, of_signal) = (signal(kind).context("watching for signals")?, shared.clone());
        tokio::spawn(async move {
            ends.recv().await;
            of_signal.shutdown.notify_one();
        });
    }
    tokio::spawn(end_with_parent(shared.clone()));

    shared.shutdown.notified().await;
    // The reply is on its way.
    tokio::time::sleep(Duration::from_millis(50)).await;
    shared.interrupts.kill();
    Ok(())
}

/// Ends the kernel when the Jupyter that started it is gone without a word: nobody could reach it any more.
async fn end_with_parent(shared: Arc<Shared>) {
    // A kernel that is to outlive its starter has no such variable.
    if std::env::var_os("JPY_PARENT_PID").is_none() {
        return;
    }
    let parent = std::os::unix::process::parent_id();
    while std::os::unix::process::parent_id() == parent {
        tokio::time::sleep(BETWEEN_LOOKS_AT_PARENT).await;
    }
    shared.shutdown.notify_one();
}

/// Answers a message, or hands it on. It waits for nothing: stop and shutdown come the same way.
fn answer(shared: &Arc<Shared>, channel: Channel, message: JupyterMessage) {
    match &message.content {
        Content::ExecuteRequest(_) if channel == Channel::Shell => {
            let is_starting = shared.queue.is_starting();
            if is_starting {
                // The last a client heard may be that it is idle, after a request that needs no evcxr.
                shared.say_state("busy", &message);
            }
            shared.queue.hand_over(message.clone());
            if is_starting {
                shared.show_notice(&message);
                shared.show_remark(&message);
            }
        }
        Content::CompleteRequest(_) | Content::InspectRequest(_)
            if channel == Channel::Shell && shared.queue.is_free() =>
        {
            shared.queue.hand_over(message);
        }
        // The compiler is asked for its version, once.
        Content::KernelInfoRequest(_) => {
            let shared = shared.clone();
            tokio::task::spawn_blocking(move || answer_here(&shared, channel, &message, || Some(info::kernel_info())));
        }
        // A search of a long history takes a moment.
        Content::HistoryRequest(request) => {
            let (shared, request) = (shared.clone(), request.clone());
            tokio::task::spawn_blocking(move || {
                answer_here(&shared, channel, &message, || Some(shared.history.reply(&request)));
            });
        }
        Content::InterruptRequest(_) => {
            shared.interrupt();
            answer_here(shared, channel, &message, || Some(json!({ "status": "ok" })));
        }
        Content::ShutdownRequest(request) => {
            let reply = json!({ "status": "ok", "restart": request.restart });
            shared.outputs.publish("shutdown_reply", reply.clone(), Some(&message));
            answer_here(shared, channel, &message, || Some(reply));
            shared.shutdown.notify_one();
        }
        _ => answer_here(shared, channel, &message, || reply_to(shared, &message)),
    }
}

/// Sends a reply, if there is one, between busy and idle.
fn answer_here(shared: &Shared, channel: Channel, message: &JupyterMessage, reply: impl FnOnce() -> Option<Value>) {
    shared.say_state("busy", message);
    if let Some(reply) = reply() {
        shared.outputs.reply(channel, message, reply);
    }
    shared.say_idle(message);
}

/// The reply to a message that needs no evcxr.
fn reply_to(shared: &Shared, message: &JupyterMessage) -> Option<Value> {
    Some(match &message.content {
        Content::IsCompleteRequest(request) => complete::reply(&request.code),
        Content::CommInfoRequest(_) => json!({ "status": "ok", "comms": {} }),
        Content::CompleteRequest(request) => {
            let names = shared.names.lock().unwrap_or_else(PoisonError::into_inner).clone();
            assist::complete_from(&names, &request.code, request.cursor_pos)
        }
        Content::InspectRequest(_) => assist::nothing_found(),
        Content::DebugRequest(request) => debug_refusal(&request.content),
        Content::CommOpen(comm) => {
            // Nothing here speaks with widgets.
            let content = json!({ "comm_id": comm.comm_id.0, "data": {} });
            shared.outputs.publish("comm_close", content, Some(message));
            return None;
        }
        Content::CommMsg(_) | Content::CommClose(_) => return None,
        Content::UnknownMessage(unknown) if message.header.msg_type.ends_with("_request") => {
            refusal(&message.header.msg_type, unknown.content[connection::MALFORMED].as_str())
        }
        _ if message.header.msg_type.ends_with("_request") => refusal(&message.header.msg_type, None),
        _ => return None,
    })
}

/// A reply of the debug adapter protocol which says that there is no debugger.
fn debug_refusal(request: &Value) -> Value {
    json!({
        "type": "response",
        "request_seq": request["seq"],
        "success": false,
        "command": request["command"],
        "message": "this kernel has no debugger",
        "body": {},
    })
}

/// The answer to a request that is not known, or whose content is not what its kind has.
fn refusal(kind: &str, malformed: Option<&str>) -> Value {
    let (name, text) = match malformed {
        Some(error) => ("MalformedRequest", format!("the content of this `{kind}` is malformed: {error}")),
        None => ("UnknownRequest", format!("this kernel does not know `{kind}`")),
    };
    json!({ "status": "error", "ename": name, "evalue": text, "traceback": [] })
}
