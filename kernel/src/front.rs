//! The message loop: answers at once what needs no evcxr, and queues the rest for the thread that owns evcxr.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use jupyter_protocol::{ConnectionInfo, JupyterMessage, JupyterMessageContent as Content};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::builds::Builds;
use crate::connection::{self, Channel, Outputs};
use crate::history::History;
use crate::input::Inputs;
use crate::interrupt::Interrupts;
use crate::kernel::{Kernel, Shared};
use crate::output::Display;
use crate::store::Copy;
use crate::{assist, complete, info, relays};

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
    let (mut sockets, outputs) = connection::open(info).await?;
    let display = Arc::new(Mutex::new(Display::new(outputs.clone())));
    let (input_sender, inputs) = Inputs::new();
    let shared = Arc::new(Shared {
        outputs: outputs.clone(),
        interrupts: Arc::new(Interrupts::new(folders.own.into())),
        builds: Arc::new(Builds::new(folders.work.join("Cargo.lock"), display.clone())),
        display,
        history: History::open(folders.history),
        inputs,
        names: Mutex::default(),
    });
    outputs.publish("status", json!({ "execution_state": "starting" }), None).await;
    shared.builds.watch()?;
    relays::listen(&shared, &folders.own.join("events"))?;
    let (requests, receiver) = channel();
    let kernel_folder = folders.own.to_path_buf();
    let of_kernel = shared.clone();
    thread::spawn(move || Kernel::run(of_kernel, &kernel_folder, library, copy, receiver));
    // Asked for soon, and it takes a moment to find out.
    thread::spawn(info::rust_version);

    let shutdown = Arc::new(Notify::new());
    let of_shell = (shared.clone(), shutdown.clone());
    tokio::spawn(async move {
        loop {
            let message = connection::read("shell", &mut sockets.shell).await;
            answer(&of_shell.0, &requests, &of_shell.1, Channel::Shell, message).await;
        }
    });
    let (unused, _) = channel();
    let of_control = (shared.clone(), shutdown.clone());
    tokio::spawn(async move {
        loop {
            let message = connection::read("control", &mut sockets.control).await;
            answer(&of_control.0, &unused, &of_control.1, Channel::Control, message).await;
        }
    });
    tokio::spawn(async move {
        loop {
            if let Content::InputReply(reply) = connection::read("stdin", &mut sockets.stdin).await.content {
                let _ = input_sender.send(reply.value);
            }
        }
    });
    let of_signal = shared.clone();
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            of_signal.interrupts.request();
        }
    });

    tokio::spawn(end_with_parent(shutdown.clone()));

    shutdown.notified().await;
    // The reply is on its way.
    tokio::time::sleep(Duration::from_millis(50)).await;
    shared.interrupts.kill();
    Ok(())
}

/// Ends the kernel when the Jupyter that started it is gone without a word: nobody could reach it any more.
async fn end_with_parent(shutdown: Arc<Notify>) {
    // A kernel that is to outlive its starter has no such variable.
    if std::env::var_os("JPY_PARENT_PID").is_none() {
        return;
    }
    let parent = std::os::unix::process::parent_id();
    while std::os::unix::process::parent_id() == parent {
        tokio::time::sleep(BETWEEN_LOOKS_AT_PARENT).await;
    }
    shutdown.notify_one();
}

/// Answers a message, or hands it on.
async fn answer(
    shared: &Arc<Shared>,
    requests: &Sender<JupyterMessage>,
    shutdown: &Notify,
    channel: Channel,
    message: JupyterMessage,
) {
    let is_running = shared.interrupts.is_running();
    let is_for_kernel = match &message.content {
        Content::ExecuteRequest(_) => channel == Channel::Shell,
        Content::CompleteRequest(_) | Content::InspectRequest(_) => channel == Channel::Shell && !is_running,
        _ => false,
    };
    let outputs = &shared.outputs;
    let state = |state: &str| json!({ "execution_state": state });
    if is_for_kernel {
        if !shared.interrupts.has_started() {
            // The last a client heard may be that it is idle, after a request that needs no evcxr.
            outputs.publish("status", state("busy"), Some(&message)).await;
        }
        // It fails only where the kernel's thread is gone, at the very end.
        let _ = requests.send(message);
        return;
    }
    outputs.publish("status", state("busy"), Some(&message)).await;
    let reply = match &message.content {
        Content::KernelInfoRequest(_) => {
            Some(tokio::task::spawn_blocking(info::kernel_info).await.unwrap_or_else(|_| json!({ "status": "error" })))
        }
        Content::IsCompleteRequest(request) => Some(complete::reply(&request.code)),
        Content::HistoryRequest(request) => Some(shared.history.reply(request)),
        Content::CommInfoRequest(_) => Some(json!({ "status": "ok", "comms": {} })),
        Content::CompleteRequest(request) => {
            let names = shared.names.lock().unwrap_or_else(PoisonError::into_inner).clone();
            Some(assist::complete_from(&names, &request.code, request.cursor_pos))
        }
        Content::InspectRequest(_) => Some(assist::nothing_found()),
        Content::InterruptRequest(_) => {
            shared.interrupts.request();
            Some(json!({ "status": "ok" }))
        }
        Content::ShutdownRequest(request) => Some(json!({ "status": "ok", "restart": request.restart })),
        Content::DebugRequest(request) => Some(debug_refusal(&request.content)),
        Content::CommOpen(comm) => {
            // Nothing here speaks with widgets.
            close_comm(outputs, &message, &comm.comm_id.0).await;
            None
        }
        Content::CommMsg(_) | Content::CommClose(_) => None,
        _ if message.header.msg_type.ends_with("_request") => Some(unknown_request(&message.header.msg_type)),
        _ => None,
    };
    let is_shutdown = matches!(message.content, Content::ShutdownRequest(_));
    if let Some(reply) = reply {
        if is_shutdown {
            outputs.publish("shutdown_reply", reply.clone(), Some(&message)).await;
        }
        outputs.reply(channel, &message, reply);
    }
    outputs.publish("status", state("idle"), Some(&message)).await;
    if is_shutdown {
        shutdown.notify_one();
    }
}

async fn close_comm(outputs: &Outputs, message: &JupyterMessage, comm: &str) {
    outputs.publish("comm_close", json!({ "comm_id": comm, "data": {} }), Some(message)).await;
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

fn unknown_request(kind: &str) -> Value {
    json!({
        "status": "error",
        "ename": "UnknownRequest",
        "evalue": format!("this kernel does not know `{kind}`"),
        "traceback": [],
    })
}
