//! The Jupyter kernel of diabolo: evcxr with a front of its own.
//!
//! The kernelspec that `cargo diabolo setup` writes starts this program with `DIABOLO_CELLS`, the folder in which the
//! cells' dependencies are already compiled. Every kernel works in a copy of its own. Outside of notebooks set-up calls
//! `diabolo-kernel warm DEPENDENCY...` to fill that folder. With `--stock` the front is evcxr's own.
//!
//! The same program is also the relay, which evcxr takes for its child, and the process of cells below that.

mod assist;
mod builds;
mod cell;
mod commands;
mod complete;
mod connection;
mod debug_display;
mod environment;
mod event;
mod execute;
mod failure;
mod front;
mod history;
mod hold;
mod imports;
mod info;
mod input;
mod interrupt;
mod kernel;
mod nesting;
mod origin;
mod output;
mod packages;
mod prelude;
mod processes;
mod publisher;
mod queue;
mod relay;
mod relays;
mod replay;
mod runtime;
mod scanner;
mod shared;
mod shell;
mod source;
mod sources;
mod store;
mod temporary;
mod traces;
mod users_environment;
mod versions;
mod wire;

use std::env;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, bail};

use environment::{Role, STOCK_VARIABLE, Toolchain};

fn main() -> Result<()> {
    match environment::role() {
        Role::Cargo => return packages::run_as_cargo(),
        Role::Cells => return runtime::run(),
        Role::Relay => return relay::run(),
        // evcxr's front takes this same program for the process of its cells, and for its compiler's wrapper.
        Role::Stock => return evcxr_jupyter::main(),
        Role::Wrapper => evcxr::runtime_hook(),
        Role::Kernel => {}
    }
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        // By which set-up knows a kernel that a wheel has installed.
        ["--version"] => Ok(writeln!(io::stdout(), "diabolo-kernel {}", env!("CARGO_PKG_VERSION"))?),
        ["warm", ref dependencies @ ..] => warm(dependencies),
        // `jupyter run FILE` names the file here too, which is for itself.
        ["--control_file", file, ..] if env::var_os(STOCK_VARIABLE).is_some() => serve_stock(Path::new(file)),
        ["--control_file", file, ..] => serve(Path::new(file)),
        // evcxr's front reads the arguments itself, and knows no others.
        ["--stock", "--control_file", file, ..] => {
            let mut command = Command::new(env::current_exe()?);
            Err(command.args(["--control_file", file]).env(STOCK_VARIABLE, "1").exec().into())
        }
        _ => bail!("started with {arguments:?}; `cargo diabolo setup` registers this kernel and Jupyter starts it"),
    }
}

/// Serves one notebook in a copy of the warm folder that lives as long as this kernel.
fn serve(connection_file: &Path) -> Result<()> {
    users_environment::remember();
    let info = connection::read_file(connection_file)?;
    let own = temporary::Own::make().context("making the kernel's folder")?;
    let toolchain = Toolchain::find();
    let prepared = prepare(toolchain.as_ref().ok(), own.path());
    if let Err(error) = environment::use_users_configuration(own.path()) {
        eprintln!("copying your configuration of evcxr: {error:#}");
    }
    sources::Sources::announce(own.path());
    if let Ok(toolchain) = &toolchain
        && let Err(error) = packages::stand_in_for_cargo(own.path(), &toolchain.sysroot)
    {
        // The first cells are slower without.
        eprintln!("making the kernel's toolchain: {error}");
    }
    let history = environment::cells_folder().map(|cells| cells.with_file_name("history.jsonl"));
    let folders = front::Folders {
        own: own.path(),
        work: prepared.as_ref().map_or(own.path(), |copy| copy.folder()),
        history: &history.unwrap_or_else(|_| own.path().join("history.jsonl")),
    };
    let copy = prepared.as_ref().map(Arc::clone).map_err(|error| format!("{error:#}"));
    let library = toolchain.and_then(|toolchain| toolchain.library_sources());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_stack_size(nesting::STACK_BYTES)
        .enable_all()
        .build()?;
    let result = runtime.block_on(front::serve(&info, folders, library, copy));
    // A cell may still run.
    runtime.shutdown_background();
    // The thread that owns evcxr holds it, and ends with this process.
    if let Ok(copy) = &prepared {
        copy.remove_later();
    }
    result
}

/// The same with evcxr's own front.
fn serve_stock(_connection_file: &Path) -> Result<()> {
    let toolchain = Toolchain::find().ok();
    let own = temporary::Own::make().context("making the kernel's folder")?;
    let copy = prepare(toolchain.as_ref(), own.path())?;
    copy.take_spare_or_fill(&|notice| eprintln!("{notice}"))?;
    evcxr_jupyter::main()
}

/// Claims a copy of the warm folder and sets the environment that evcxr reads.
fn prepare(toolchain: Option<&Toolchain>, own: &Path) -> Result<Arc<store::Copy>> {
    let cells = environment::cells_folder()?;
    environment::check_libtorch()?;
    let copy = store::Copy::claim(&cells).with_context(|| {
        format!(
            "the warm build in {} cannot be used; run `cargo diabolo setup` and restart the kernel",
            cells.display()
        )
    })?;
    environment::prepare(&cells, copy.folder(), toolchain, Some(own));
    if !copy.has_locks() {
        environment::build_without_locks();
    }
    Ok(Arc::new(copy))
}

/// Compiles dependencies, each written as after `:dep`, with everything they need, as a first cell would.
fn warm(dependencies: &[&str]) -> Result<()> {
    let cells = environment::cells_folder()?;
    let master = store::Master::lock(&cells).with_context(|| format!("locking {}", cells.display()))?;
    let own = temporary::Own::make().context("making a folder")?;
    let toolchain = Toolchain::find();
    environment::prepare(&cells, master.folder(), toolchain.as_ref().ok(), None);
    // As in a kernel: it pins versions, and checks a cell by a build.
    if let Ok(toolchain) = &toolchain {
        packages::stand_in_for_cargo(own.path(), &toolchain.sysroot).context("standing in for cargo")?;
    }
    let mut process = Command::new(env::current_exe()?);
    // Without a relay, evcxr's own loop runs these cells.
    process.env(STOCK_VARIABLE, "1");
    let (context, outputs) = evcxr::EvalContext::with_subprocess_command(process)?;
    // Nobody reads what these cells print; a full channel would stop them.
    drop(outputs);
    let mut context = evcxr::CommandContext::with_eval_context(context);
    master.versions().restore()?;
    let lines: String = dependencies.iter().map(|dependency| format!(":dep {dependency}\n")).collect();
    context.execute(&lines)?;
    context.execute("let warm = true;")?;
    master.versions().keep()?;
    Ok(())
}
