//! The thread that owns evcxr and answers the requests that need it, one after the other.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use diabolo_protocol::FOLDER_VARIABLE;
use evcxr::{CommandContext, EvalContext};
use jupyter_protocol::{JupyterMessage, JupyterMessageContent};
use serde_json::{Value, json};

use crate::builds::Builds;
use crate::connection::{Channel, Outputs};
use crate::event::SOCKET_VARIABLE;
use crate::failure::Failure;
use crate::history::History;
use crate::input::Inputs;
use crate::interrupt::Interrupts;
use crate::output::{Audience, Display};
use crate::sources::Sources;
use crate::store::Copy;
use crate::{assist, prelude, users_environment};

/// Names code that is run before the first cell comes, while the kernel is idle.
pub const START_VARIABLE: &str = "DIABOLO_START";

/// What the threads of one kernel share.
pub struct Shared {
    pub outputs: Outputs,
    pub display: Arc<Mutex<Display>>,
    pub interrupts: Arc<Interrupts>,
    pub builds: Arc<Builds>,
    pub history: History,
    pub inputs: Inputs,
    /// What a completion can offer while a cell runs.
    pub names: Mutex<Vec<String>>,
}

/// Evaluates cells.
pub struct Kernel {
    pub(crate) shared: Arc<Shared>,
    pub(crate) context: Result<CommandContext, Failure>,
    pub(crate) copy: Result<Arc<Copy>, String>,
    pub(crate) requests: Receiver<JupyterMessage>,
    /// The relay whose process of cells has run the prelude.
    prepared: Option<u32>,
    pub(crate) next_count: u32,
    pub(crate) has_footer: bool,
}

impl Shared {
    pub fn display(&self) -> MutexGuard<'_, Display> {
        self.display.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kernel {
    /// Starts evcxr, whose relays find the front through `folder`, and answers requests until there are no more.
    ///
    /// `library` has the standard library's sources and `copy` is where it compiles. Where either is what went wrong
    /// before, every cell says so.
    pub fn run(
        shared: Arc<Shared>,
        folder: &Path,
        library: Result<PathBuf, String>,
        copy: Result<Arc<Copy>, String>,
        requests: Receiver<JupyterMessage>,
    ) {
        let context = copy.as_ref().map_err(String::clone).and_then(|copy| start(folder, &library?, copy));
        let context = context.map_err(|message| Failure::new("KernelNotReady", message));
        let mut kernel = Self { shared, context, copy, requests, prepared: None, next_count: 1, has_footer: false };
        kernel.shared.display().begin(None, Audience::Nobody);
        kernel.start_up();
        if kernel.shared.interrupts.end_of_start() {
            kernel.abort(kernel.waiting());
        }
        // Whoever asks already would wait longer for it than for the cell.
        match kernel.requests.try_recv() {
            Ok(request) => kernel.answer(&request),
            Err(_) => kernel.warm_up(),
        }
        if let Ok(copy) = kernel.copy.clone() {
            thread::spawn(move || {
                if let Err(error) = copy.make_spare() {
                    eprintln!("copying the warm build for the next kernel: {error}");
                }
            });
        }
        while let Ok(request) = kernel.requests.recv() {
            kernel.answer(&request);
        }
    }

    /// Answers one request, between busy and idle.
    pub(crate) fn answer(&mut self, request: &JupyterMessage) {
        self.say_state("busy", request);
        let mut stopped = Vec::new();
        match &request.content {
            JupyterMessageContent::ExecuteRequest(content) => stopped = self.execute(request, content),
            JupyterMessageContent::CompleteRequest(content) => {
                let reply = match &mut self.context {
                    Ok(context) => assist::complete(context, &content.code, content.cursor_pos),
                    Err(_) => assist::no_completions(content.cursor_pos),
                };
                self.reply(request, reply);
            }
            JupyterMessageContent::InspectRequest(content) => {
                let reply = match &mut self.context {
                    Ok(context) => assist::inspect(context, &content.code, content.cursor_pos),
                    Err(_) => assist::nothing_found(),
                };
                self.reply(request, reply);
            }
            _ => unreachable!("the front sends no other requests here"),
        }
        self.say_state("idle", request);
        self.abort(stopped);
    }

    /// The requests that wait.
    pub(crate) fn waiting(&self) -> Vec<JupyterMessage> {
        self.requests.try_iter().collect()
    }

    /// Aborts the cells among these requests; answers the others.
    fn abort(&mut self, stopped: Vec<JupyterMessage>) {
        for request in stopped {
            if matches!(request.content, JupyterMessageContent::ExecuteRequest(_)) {
                self.say_state("busy", &request);
                // Without a number: it has not run.
                self.reply(&request, json!({ "status": "aborted" }));
                self.say_state("idle", &request);
            } else {
                self.answer(&request);
            }
        }
    }

    pub(crate) fn reply(&self, request: &JupyterMessage, content: Value) {
        self.shared.outputs.reply(Channel::Shell, request, content);
    }

    fn say_state(&self, state: &str, request: &JupyterMessage) {
        self.shared.outputs.publish_blocking("status", json!({ "execution_state": state }), Some(request));
    }

    /// Runs the prelude in a process of cells that has not run it, as after a restart, and pins versions.
    pub(crate) fn prepare_process(&mut self) -> Result<(), Failure> {
        let context = self.context.as_mut().map_err(|failure| failure.clone())?;
        if self.prepared != Some(process_of(context)) {
            run_prelude(context, "")?;
            self.prepared = Some(process_of(context));
        }
        if let Ok(copy) = &self.copy
            && let Err(error) = copy.pin()
        {
            eprintln!("pinning versions in {}: {error}", copy.folder().display());
        }
        Ok(())
    }

    /// Runs the start code and the prelude as one cell: what the first cell of most notebooks asks for is then there, and
    /// the rest of it is compiled only once.
    fn start_up(&mut self) {
        let Ok(context) = &mut self.context else { return };
        match run_prelude(context, &std::env::var(START_VARIABLE).unwrap_or_default()) {
            Ok(()) => self.prepared = Some(process_of(context)),
            // The cell that asks for it says so in the notebook.
            Err(failure) => eprintln!("{}", failure.traceback.join("\n")),
        }
        self.remember_names();
    }

    /// Pays what the first variable would: rust-analyzer's first look at all crates.
    fn warm_up(&mut self) {
        if let (Ok(()), Ok(context)) = (self.prepare_process(), &mut self.context) {
            // It is dropped again, and leaves nothing behind.
            for code in ["let warm = String::new();", "drop(warm);"] {
                if let Err(error) = context.execute(code) {
                    eprintln!("warming up with `{code}`: {error}");
                }
            }
        }
    }

    /// Keeps what can be completed while a cell runs.
    pub(crate) fn remember_names(&self) {
        if let Ok(context) = &self.context {
            let variables = context.variables_and_types().map(|(name, _)| name);
            let items = context.defined_item_names().filter(|name| !prelude::is_own_name(name));
            let names = variables.chain(items).map(str::to_string).collect();
            *self.shared.names.lock().unwrap_or_else(PoisonError::into_inner) = names;
        }
    }
}

/// The relay that runs now.
fn process_of(context: &CommandContext) -> u32 {
    context.process_handle().lock().unwrap_or_else(PoisonError::into_inner).id()
}

/// Runs the prelude, with other code before it.
fn run_prelude(context: &mut CommandContext, before: &str) -> Result<(), Failure> {
    let code = format!("{before}\n{}", prelude::code());
    context.execute(&code).map(drop).map_err(|error| Failure::from_evcxr(&error, &code, 0))
}

/// Fills the warm folder and starts evcxr with a relay as its child.
fn start(folder: &Path, library: &Path, copy: &Copy) -> Result<CommandContext, String> {
    copy.take_spare_or_fill().map_err(|error| {
        format!("copying the warm build to {}: {error}; `cargo diabolo setup` makes it anew", copy.folder().display())
    })?;
    let program = std::env::current_exe().map_err(|error| format!("finding this program: {error}"))?;
    let mut relay = Command::new(program);
    relay.env(SOCKET_VARIABLE, folder.join("events")).env(FOLDER_VARIABLE, folder);
    users_environment::hand_to(&mut relay);
    // A Ctrl-C in the terminal that started the kernel is for the kernel.
    std::os::unix::process::CommandExt::process_group(&mut relay, 0);
    let written = |error| format!("writing to {}: {error}", folder.display());
    let sources = Sources::empty(folder).map_err(written)?;
    let (context, outputs) = EvalContext::with_subprocess_command(relay)
        .map_err(|error| format!("evcxr does not start; `cargo diabolo setup` repairs what it can.\n{error}"))?;
    sources.fill(library).map_err(written)?;
    // The relay sends everything to the front instead.
    drop(outputs);
    let mut context = CommandContext::with_eval_context(context);
    context.execute(":load_config --quiet").map_err(|error| format!("evcxr's start commands failed: {error}"))?;
    Ok(context)
}
