//! The thread that owns evcxr and answers the requests that need it, one after the other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::Duration;

use diabolo_protocol::FOLDER_VARIABLE;
use evcxr::{CommandContext, EvalContext};
use jupyter_protocol::{JupyterMessage, JupyterMessageContent};
use serde_json::{Value, json};

use crate::cell::Cell;
use crate::connection::Channel;
use crate::event::SOCKET_VARIABLE;
use crate::failure::Failure;
use crate::output::Audience;
use crate::packages::{self, Hidden};
use crate::shared::Shared;
use crate::store::Copy;
use crate::{assist, environment, hold, prelude, users_environment};

/// Names code that is run before the first cell comes, while the kernel is idle.
pub const START_VARIABLE: &str = "DIABOLO_START";

/// When nothing was asked for this long, whoever asks is taken to read: a notebook that is run as a whole sends its next cell
/// sooner.
const PAUSE: Duration = Duration::from_millis(300);

/// For tests: a cell with this text makes the thread that owns evcxr panic, as a fault in evcxr would.
pub const PANIC_VARIABLE: &str = "DIABOLO_TEST_PANIC";

/// Where evcxr works, and with what.
#[derive(Clone)]
pub struct Place {
    /// The kernel's own folder, in which relays find the front.
    pub folder: PathBuf,
    /// The standard library's sources.
    pub library: Result<PathBuf, String>,
    /// Where cells are compiled.
    pub copy: Result<Arc<Copy>, String>,
}

/// Evaluates cells.
pub struct Kernel {
    pub(crate) shared: Arc<Shared>,
    pub(crate) place: Place,
    pub(crate) context: Result<CommandContext, Failure>,
    /// What rust-analyzer has not read.
    hidden: Option<Hidden>,
    /// The relay whose process of cells has run the prelude.
    prepared: Option<u32>,
    pub(crate) next_count: u32,
    pub(crate) has_footer: bool,
}

impl Kernel {
    /// Starts evcxr and answers requests for as long as the process lives.
    ///
    /// Where the place is what went wrong before, every cell says so.
    pub fn run(shared: Arc<Shared>, place: Place) {
        let context = Err(Failure::new("KernelNotReady", "evcxr has not started"));
        let mut kernel =
            Self { shared, place, context, hidden: None, prepared: None, next_count: 1, has_footer: false };
        kernel.shared.display().begin(None, Audience::Nobody);
        kernel.start();
        kernel.shared.queue.end_of_start();
        // Whoever asks already would wait longer for it than for the cell.
        match kernel.shared.queue.try_take() {
            Some(request) => kernel.answer_or_start_anew(&request),
            None => kernel.warm_up(),
        }
        if let Ok(copy) = kernel.place.copy.clone() {
            thread::spawn(move || {
                if let Err(error) = copy.sweep().and_then(|()| copy.make_spare()) {
                    eprintln!("copying the warm build for the next kernel: {error}");
                }
            });
        }
        loop {
            let request = kernel.shared.queue.take_within(PAUSE).unwrap_or_else(|| {
                kernel.read_ahead();
                kernel.shared.queue.take()
            });
            kernel.answer_or_start_anew(&request);
        }
    }

    /// Starts evcxr, and runs the start code.
    fn start(&mut self) {
        let shared = self.shared.clone();
        let started = catch_unwind(AssertUnwindSafe(|| {
            let say = |notice: &str| shared.say_notice(notice);
            let place = self.place.clone();
            let context = place.copy.and_then(|copy| start(&place.folder, &place.library?, &copy, &say));
            let (context, hidden) = match context {
                Ok((context, hidden)) => (Ok(context), hidden),
                Err(message) => (Err(Failure::new("KernelNotReady", message)), None),
            };
            (self.context, self.hidden) = (context, hidden);
            *shared.notice.lock().unwrap_or_else(PoisonError::into_inner) = None;
            self.start_up();
        }));
        if let Err(panic) = started {
            let message = format!("evcxr panicked while it started ({}); restart the kernel", words_of(&*panic));
            self.context = Err(Failure::new("KernelNotReady", message));
        }
    }

    /// Answers a request. Where evcxr panics, that is the reply, and evcxr starts anew: what it left is not to be trusted.
    fn answer_or_start_anew(&mut self, request: &JupyterMessage) {
        let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.answer(request))) else { return };
        if !matches!(request.content, JupyterMessageContent::ExecuteRequest(_)) {
            let reply =
                json!({ "status": "error", "ename": "KernelPanic", "evalue": words_of(&*panic), "traceback": [] });
            self.reply(request, reply);
            self.shared.say_idle(request);
            return;
        }
        let message = format!(
            "evcxr panicked ({}), so it starts anew; all variables and definitions of this notebook are lost",
            words_of(&*panic)
        );
        let mut reply = Failure::new("KernelPanic", message).as_json();
        self.shared.display().publish("error", reply.clone());
        let _ = self.shared.interrupts.end();
        self.shared.builds.end();
        // evcxr waits for this process when it is dropped.
        self.shared.interrupts.kill();
        self.context = Err(Failure::new("KernelNotReady", "evcxr starts anew"));
        self.prepared = None;
        self.start();
        reply["status"] = "error".into();
        reply["execution_count"] = self.next_count.saturating_sub(1).into();
        let stopped = self.shared.queue.take_cells();
        self.reply(request, reply);
        self.end(request);
        stopped.iter().for_each(|request| self.shared.abort(request));
    }

    /// Answers one request, between busy and idle.
    fn answer(&mut self, request: &JupyterMessage) {
        self.shared.say_state("busy", request);
        let mut stopped = Vec::new();
        match &request.content {
            JupyterMessageContent::ExecuteRequest(content) => stopped = self.execute(request, content),
            JupyterMessageContent::CompleteRequest(content) => {
                let shown = self.show_packages();
                let reply = match (shown, &mut self.context) {
                    (Ok(()), Ok(context)) => assist::complete(context, &content.code, content.cursor_pos),
                    _ => assist::no_completions(content.cursor_pos),
                };
                self.reply(request, reply);
            }
            JupyterMessageContent::InspectRequest(content) => {
                let shown = self.show_packages();
                let reply = match (shown, &mut self.context) {
                    (Ok(()), Ok(context)) => assist::inspect(context, &content.code, content.cursor_pos),
                    _ => assist::nothing_found(),
                };
                self.reply(request, reply);
            }
            _ => unreachable!("the front sends no other requests here"),
        }
        self.end(request);
        stopped.iter().for_each(|request| self.shared.abort(request));
    }

    /// Ends a request.
    fn end(&self, request: &JupyterMessage) {
        match request.content {
            JupyterMessageContent::ExecuteRequest(_) => {
                self.shared.queue.end(|| self.shared.say_state("idle", request));
            }
            _ => self.shared.say_idle(request),
        }
    }

    pub(crate) fn reply(&self, request: &JupyterMessage, content: Value) {
        self.shared.outputs.reply(Channel::Shell, request, content);
    }

    /// Runs the prelude in a process of cells that has not run it, as after a restart, and pins versions.
    pub(crate) fn prepare_process(&mut self) -> Result<(), Failure> {
        let context = self.context.as_mut().map_err(|failure| failure.clone())?;
        if self.prepared != Some(process_of(context)) {
            run_prelude(context, "")?;
            self.prepared = Some(process_of(context));
        }
        if let Ok(copy) = &self.place.copy
            && let Err(error) = copy.versions().restore()
        {
            eprintln!("pinning versions in {}: {error}", copy.folder().display());
        }
        Ok(())
    }

    /// Runs the start code and the prelude as one cell: what the first cell of most notebooks asks for is then there, and
    /// the rest of it is compiled only once.
    fn start_up(&mut self) {
        let start = std::env::var(START_VARIABLE).unwrap_or_default();
        let start = Cell::new(&start).to_run(Path::new("/")).unwrap_or(start.clone());
        let shown = if packages::are_needed(&Cell::new(&start)) { self.show_packages() } else { Ok(()) };
        let Ok(context) = &mut self.context else { return };
        match shown.and_then(|()| run_prelude(context, &start)) {
            Ok(()) => {
                self.prepared = Some(process_of(context));
                if let Ok(copy) = &self.place.copy
                    && let Err(error) = copy.versions().keep()
                {
                    eprintln!("noting versions in {}: {error}", copy.folder().display());
                }
            }
            // The cell that asks for it says so in the notebook.
            Err(failure) => eprintln!("{}", failure.traceback.join("\n")),
        }
        self.remember_names();
    }

    /// Pays what the first variable would: rust-analyzer's first look at all crates.
    fn warm_up(&mut self) {
        hold::at(hold::WARM_UP);
        let ready = self.show_packages().and_then(|()| self.prepare_process());
        if let (Ok(()), Ok(context)) = (ready, &mut self.context) {
            // It is dropped again, and leaves nothing behind.
            for code in ["let warm = String::new();", "drop(warm);"] {
                if let Err(error) = context.execute(code) {
                    eprintln!("warming up with `{code}`: {error}");
                }
            }
        }
    }

    /// Lets rust-analyzer read the packages with what comes next.
    pub(crate) fn show_packages(&mut self) -> Result<(), Failure> {
        if let (Some(hidden), Ok(context)) = (&self.hidden, &mut self.context) {
            hidden.show(context).map_err(|error| {
                Failure::new(
                    "Error",
                    format!("packages cannot be shown to rust-analyzer ({error}); restart the kernel"),
                )
            })?;
            self.hidden = None;
        }
        Ok(())
    }

    /// Lets it read them now, while nobody waits, if it has not.
    fn read_ahead(&mut self) {
        if self.hidden.is_some()
            && let (Ok(()), Ok(context)) = (self.show_packages(), &mut self.context)
            && let Err(error) = context.completions("a", 1)
        {
            eprintln!("reading packages ahead: {error}");
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
pub(crate) fn process_of(context: &CommandContext) -> u32 {
    context.process_handle().lock().unwrap_or_else(PoisonError::into_inner).id()
}

/// Runs the prelude, with other code before it.
fn run_prelude(context: &mut CommandContext, before: &str) -> Result<(), Failure> {
    let code = format!("{before}\n{}", prelude::code());
    context.execute(&code).map(drop).map_err(|error| Failure::from_evcxr(&error, &code, 0))
}

/// What a panic said.
fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".into())
}

/// Fills the warm folder and starts evcxr with a relay as its child. What takes long is told to `say`.
fn start(
    folder: &Path,
    library: &Path,
    copy: &Copy,
    say: &dyn Fn(&str),
) -> Result<(CommandContext, Option<Hidden>), String> {
    copy.take_spare_or_fill(say).map_err(|error| {
        format!("copying the warm build to {}: {error}; `cargo diabolo setup` makes it anew", copy.folder().display())
    })?;
    let program = std::env::current_exe().map_err(|error| format!("finding this program: {error}"))?;
    let mut relay = Command::new(program);
    relay.env(SOCKET_VARIABLE, folder.join("events")).env(FOLDER_VARIABLE, folder);
    users_environment::hand_to(&mut relay);
    // A Ctrl-C in the terminal that started the kernel is for the kernel.
    std::os::unix::process::CommandExt::process_group(&mut relay, 0);
    let written = |error| format!("writing to {}: {error}", folder.display());
    let hidden = Hidden::hide(folder, library).map_err(written)?;
    let elsewhere = Elsewhere::enter(folder, &mut relay);
    let (context, outputs) = EvalContext::with_subprocess_command(relay)
        .map_err(|error| format!("evcxr does not start; `cargo diabolo setup` repairs what it can.\n{error}"))?;
    // The relay sends everything to the front instead.
    drop(outputs);
    let mut context = CommandContext::with_eval_context(context);
    let is_needed = environment::has_users_configuration(folder);
    if is_needed {
        hidden.show(&mut context).map_err(written)?;
    }
    context.execute(":load_config --quiet").map_err(|error| {
        format!(
            "your configuration of evcxr (evcxr.toml, init.evcxr, prelude.rs) failed; mend it, or remove it: {error}"
        )
    })?;
    drop(elsewhere);
    Ok((context, (!is_needed).then_some(hidden)))
}

/// While it lives, this process works in another folder than the notebook's, in which evcxr would look for its settings and
/// run what they say.
struct Elsewhere {
    notebooks: Option<PathBuf>,
}

impl Elsewhere {
    fn enter(folder: &Path, relay: &mut Command) -> Self {
        let notebooks = std::env::current_dir().ok();
        if let Some(notebooks) = &notebooks {
            relay.current_dir(notebooks);
        }
        if let Err(error) = std::env::set_current_dir(folder) {
            eprintln!("changing into {}: {error}", folder.display());
        }
        Self { notebooks }
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        if let Some(notebooks) = &self.notebooks
            && let Err(error) = std::env::set_current_dir(notebooks)
        {
            eprintln!("changing back into {}: {error}", notebooks.display());
        }
    }
}
