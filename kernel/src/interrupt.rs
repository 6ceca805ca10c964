//! The stop button.
//!
//! A cell is asked to stop by a file, which library calls look for; the programs that it started get an interrupt, as in a
//! terminal; a build is ended at once. A cell that has not ended five seconds later loses its process, and the variables
//! with it.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use diabolo_protocol::INTERRUPT_FILE;
use rustix::process::Signal;

use crate::processes::{end_builds, signal_group};

/// How long a cell may take to stop by itself.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// How often builds are looked for, since a stopped one may be followed by another.
const BUILD_CHECK: Duration = Duration::from_millis(50);

/// How often programs are interrupted, since a cell may start the next one when one has ended.
const BETWEEN_INTERRUPTS: Duration = Duration::from_secs(1);

/// What the user asked of the running cell.
pub struct Interrupts {
    file: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    n_cells: u64,
    is_running: bool,
    request: Option<Request>,
    cells: Option<Cells>,
    /// The group of the shell that runs a `!` line.
    shell: Option<u32>,
}

/// The processes that run cells.
#[derive(Clone, Copy)]
struct Cells {
    relay: u32,
    /// The process of cells and the number of its group.
    group: u32,
    /// Since when code of a cell runs in it.
    runs_since: Option<Instant>,
}

/// What came of an interrupt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// The cell was asked to stop.
    Asked,
    /// Its process was ended.
    Killed,
}

impl Interrupts {
    /// Interrupts asked for through a file in `folder`.
    pub fn new(folder: PathBuf) -> Self {
        Self { file: folder.join(INTERRUPT_FILE), state: Mutex::default() }
    }

    /// Takes note of the processes that a relay told of.
    pub fn set_processes(&self, relay: u32, cells: u32) {
        self.state().cells = Some(Cells { relay, group: cells, runs_since: None });
    }

    /// Ends what a relay that is gone may have left running.
    pub fn end_processes(&self, relay: u32, cells: u32) {
        let mut state = self.state();
        if state.cells.is_some_and(|cells| cells.relay == relay) {
            state.cells = None;
        }
        signal_group(cells, Signal::KILL);
    }

    /// Takes note of a cell's code that begins to run in the process of cells, or ends.
    pub fn set_runs(&self, relay: u32, runs: bool) {
        if let Some(cells) = self.state().cells.as_mut().filter(|cells| cells.relay == relay) {
            cells.runs_since = runs.then(Instant::now);
        }
    }

    /// Takes note of the shell that runs a `!` line; interrupts it if the user has just asked for that.
    pub fn set_shell(&self, group: Option<u32>) {
        let mut state = self.state();
        state.shell = group;
        if let (Some(group), Some(_)) = (group, state.request) {
            signal_group(group, Signal::INT);
        }
    }

    /// Begins a cell, which nobody has interrupted yet.
    pub fn begin(&self) {
        let mut state = self.state();
        // It is there only after an interrupt.
        let _ = fs::remove_file(&self.file);
        state.n_cells += 1;
        state.is_running = true;
        state.request = None;
    }

    /// Ends a cell, and says what was asked of it.
    pub fn end(&self) -> Option<Request> {
        let mut state = self.state();
        let _ = fs::remove_file(&self.file);
        state.is_running = false;
        state.request.take()
    }

    /// Was the running cell asked to stop?
    pub fn is_requested(&self) -> bool {
        self.state().request.is_some()
    }

    /// Asks the running cell to stop; does nothing while there is none.
    pub fn request(self: &Arc<Self>) {
        let mut state = self.state();
        if !state.is_running || state.request.is_some() {
            return;
        }
        state.request = Some(Request::Asked);
        if let Err(error) = fs::write(&self.file, "") {
            eprintln!("asking the cell to stop: writing {}: {error}", self.file.display());
        }
        let (interrupts, cell) = (Arc::clone(self), state.n_cells);
        drop(state);
        thread::spawn(move || interrupts.enforce(cell));
    }

    /// Ends all that cells and builds have started, when the kernel ends.
    pub fn kill(&self) {
        let state = self.state();
        let groups = [state.cells.map(|cells| cells.group), state.shell];
        groups.into_iter().flatten().for_each(|group| signal_group(group, Signal::KILL));
        end_builds();
    }

    /// Interrupts programs and ends builds until the cell ends, and ends its process if that takes too long.
    fn enforce(&self, cell: u64) {
        let asked = Instant::now();
        let mut interrupted: Option<Instant> = None;
        loop {
            let mut state = self.state();
            if !state.is_running || state.n_cells != cell {
                return;
            }
            // Within the lock: a group that has ended must not be another's when the signal comes.
            if let Some((group, since)) = state.running_group() {
                if asked.max(since.unwrap_or(asked)).elapsed() >= PATIENCE {
                    // A shell has no variables that could be lost.
                    if state.shell.is_none() {
                        state.request = Some(Request::Killed);
                    }
                    signal_group(group, Signal::KILL);
                } else if interrupted.is_none_or(|last| last.elapsed() >= BETWEEN_INTERRUPTS) {
                    signal_group(group, Signal::INT);
                    interrupted = Some(Instant::now());
                }
                drop(state);
            } else {
                drop(state);
                end_builds();
            }
            thread::sleep(BUILD_CHECK);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The group in which a `!` line or a cell's code runs, and since when that does; nothing while a cell is compiled.
    fn running_group(&self) -> Option<(u32, Option<Instant>)> {
        let cells = self.cells.and_then(|cells| Some((cells.group, Some(cells.runs_since?))));
        self.shell.map(|group| (group, None)).or(cells)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interrupts() -> (tempfile::TempDir, Arc<Interrupts>) {
        let folder = tempfile::tempdir().unwrap();
        let interrupts = Arc::new(Interrupts::new(folder.path().into()));
        (folder, interrupts)
    }

    #[test]
    fn an_idle_kernel_is_not_interrupted() {
        let (folder, interrupts) = interrupts();
        interrupts.request();
        assert!(!folder.path().join(INTERRUPT_FILE).exists());
        interrupts.begin();
        assert_eq!(interrupts.end(), None);
    }

    #[test]
    fn the_file_is_gone_before_the_next_cell() {
        let (folder, interrupts) = interrupts();
        interrupts.begin();
        interrupts.request();
        assert!(folder.path().join(INTERRUPT_FILE).exists());
        assert_eq!(interrupts.end(), Some(Request::Asked));
        assert!(!folder.path().join(INTERRUPT_FILE).exists());
        interrupts.begin();
        assert_eq!(interrupts.end(), None);
    }

    #[test]
    fn programs_of_a_cell_are_interrupted_and_no_process_is_ended_while_none_of_its_code_runs() {
        let (_folder, interrupts) = interrupts();
        let group = || {
            let mut command = std::process::Command::new("sleep");
            // Tests that a script has started in the background ignore interrupts, and so would what they start.
            // SAFETY: after the fork this only makes a call of the system.
            unsafe {
                std::os::unix::process::CommandExt::pre_exec(&mut command, || {
                    libc::signal(libc::SIGINT, libc::SIG_DFL);
                    Ok(())
                });
            }
            std::os::unix::process::CommandExt::process_group(command.arg("600"), 0).spawn().unwrap()
        };
        let (mut idle, mut running) = (group(), group());
        // The relay of a kernel has ended the process of cells that it knows; here the numbers stand for themselves.
        interrupts.set_processes(idle.id(), idle.id());
        interrupts.begin();
        interrupts.set_processes(running.id(), running.id());
        interrupts.set_runs(running.id(), true);
        interrupts.request();
        let status = running.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(2));
        interrupts.set_runs(running.id(), false);
        assert_eq!(interrupts.end(), Some(Request::Asked));
        interrupts.end_processes(idle.id(), idle.id());
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&idle.wait().unwrap()), Some(9));
    }
}
