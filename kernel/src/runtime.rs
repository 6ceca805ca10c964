//! The cell process: evcxr's own loop, with a flush after every cell.
//!
//! The relay sends `LOAD_AND_RUN library function` on the socket that both share, and waits for a report that the cell has
//! ended. Standard input, output and error belong to the cells.

use std::env;
use std::ffi::c_void;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result, bail, ensure};
use libloading::Library;
use rustix::io::{fcntl_dupfd_cloexec, fcntl_getfd};

use crate::prelude::FLUSH_SYMBOL;
use crate::users_environment;
use crate::wire::{self, Report};

/// A compiled cell: takes and returns the variables.
type Cell = unsafe extern "C" fn(*mut c_void) -> *mut c_void;

/// Runs cells until the relay is gone.
pub fn run() -> Result<()> {
    end_with_parent();
    let mut relay = relay()?;
    users_environment::restore();
    survive_interrupts();
    let outputs = Outputs::keep().context("keeping standard output and error")?;
    let mut variables = std::ptr::null_mut();
    let mut flush: Option<unsafe extern "C" fn()> = None;
    let commands = BufReader::new(relay.try_clone().context("reading from the relay")?);
    for line in commands.lines() {
        let line = line.context("reading the next cell")?;
        let mut words = line.split_whitespace();
        let (Some("LOAD_AND_RUN"), Some(library), Some(function)) = (words.next(), words.next(), words.next()) else {
            bail!("evcxr sent `{line}`, which is no cell");
        };
        // SAFETY: evcxr compiled the library for this process, and its functions have these types.
        unsafe {
            let library = Library::new(library).with_context(|| format!("loading {library}"))?;
            let cell: Cell = *library.get(function.as_bytes()).with_context(|| format!("finding {function}"))?;
            flush = flush.or_else(|| library.get(FLUSH_SYMBOL).ok().map(|symbol| *symbol));
            variables = cell(variables);
            outputs.open_again();
            if let Some(flush) = flush {
                flush();
            }
            // What C code printed.
            libc::fflush(std::ptr::null_mut());
            // Its threads, and the values it made, outlive the cell.
            std::mem::forget(library);
        }
        writeln!(relay, "{}", Report::Ended).context("the relay is gone")?;
    }
    Ok(())
}

/// The socket to the relay, under the number at which cells look for it.
fn relay() -> Result<UnixStream> {
    let number = env::var(wire::SOCKET_VARIABLE).context("the process of cells was started without its socket")?;
    let number: RawFd = number.parse().context("the number of the cells' socket")?;
    // SAFETY: the relay opened it for this process, and nothing else here knows of it.
    let inherited = unsafe { <OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(number) };
    let kept = fcntl_dupfd_cloexec(&inherited, wire::CELLS_END).context("keeping the cells' socket")?;
    ensure!(kept.as_raw_fd() == wire::CELLS_END, "another file has the number {}", wire::CELLS_END);
    Ok(UnixStream::from(kept))
}

/// Ends this process with the relay, should that be killed.
fn end_with_parent() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)) {
        eprintln!("this process may outlive the kernel: {error}");
    }
}

/// The stop button sends an interrupt to all programs of the group: those that a cell started end by it, unless they have
/// a handler; this process has one that does nothing. (A signal that is ignored would be ignored by the programs too.)
fn survive_interrupts() {
    extern "C" fn nothing(_signal: libc::c_int) {}
    // SAFETY: the handler does nothing, which is allowed at any time; the structure is valid when it is all zero.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as usize;
        action.sa_flags = libc::SA_RESTART;
        libc::sigaction(libc::SIGINT, &action, std::ptr::null_mut());
    }
}

/// Copies of standard output and error, for a cell that closes them.
struct Outputs {
    stdout: OwnedFd,
    stderr: OwnedFd,
}

impl Outputs {
    fn keep() -> rustix::io::Result<Self> {
        let copy = |output: BorrowedFd<'_>| fcntl_dupfd_cloexec(output, wire::CELLS_END + 1);
        Ok(Self { stdout: copy(rustix::stdio::stdout())?, stderr: copy(rustix::stdio::stderr())? })
    }

    /// Opens again what the cell closed, so that the next one can print; what it put in their place stays.
    fn open_again(&self) {
        let is_closed = |output: BorrowedFd<'_>| fcntl_getfd(output) == Err(rustix::io::Errno::BADF);
        // Where there is nothing to be printed to, there is nowhere to say so.
        if is_closed(rustix::stdio::stdout()) {
            let _ = rustix::stdio::dup2_stdout(&self.stdout);
        }
        if is_closed(rustix::stdio::stderr()) {
            let _ = rustix::stdio::dup2_stderr(&self.stderr);
        }
    }
}
