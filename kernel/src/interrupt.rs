//! The stop button.
//!
//! A cell is asked to stop by a file, which library calls look for; a build is ended at once. A cell that has not ended
//! five seconds later loses its process, and the variables with it.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use diabolo_protocol::INTERRUPT_FILE;
use rustix::process::{Pid, Signal, kill_process};

/// How long a cell may take to stop by itself.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// How often builds are looked for, since a stopped one may be followed by another.
const BUILD_CHECK: Duration = Duration::from_millis(50);

/// What the user asked of the running cell.
pub struct Interrupts {
    file: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    n_cells: u64,
    /// Nothing that belongs to a cell has run yet.
    has_started: bool,
    is_running: bool,
    request: Option<Request>,
    /// The relay, and the process of cells.
    processes: Option<(u32, u32)>,
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
        self.state().processes = Some((relay, cells));
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

    /// Ends the kernel's start, and says whether the cells that wait for it were interrupted.
    pub fn end_of_start(&self) -> bool {
        let mut state = self.state();
        state.has_started = true;
        state.request.take().is_some()
    }

    /// Has the kernel's start ended?
    pub fn has_started(&self) -> bool {
        self.state().has_started
    }

    /// Is a cell running?
    pub fn is_running(&self) -> bool {
        self.state().is_running
    }

    /// Was the running cell asked to stop?
    pub fn is_requested(&self) -> bool {
        self.state().request.is_some()
    }

    /// Asks the running cell to stop, or those that wait for the kernel's start; does nothing while there are none.
    pub fn request(self: &Arc<Self>) {
        let mut state = self.state();
        if !state.has_started {
            state.request = Some(Request::Asked);
            return;
        }
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

    /// Ends the process of cells, when the kernel ends.
    pub fn kill(&self) {
        if let Some((_, cells)) = self.state().processes {
            kill(cells);
        }
    }

    /// Ends builds until the cell ends, and its process if that takes too long.
    fn enforce(&self, cell: u64) {
        let asked = Instant::now();
        loop {
            let mut state = self.state();
            if !state.is_running || state.n_cells != cell {
                return;
            }
            let processes = state.processes;
            if asked.elapsed() >= PATIENCE {
                state.request = Some(Request::Killed);
                if let Some((_, cells)) = processes {
                    kill(cells);
                }
                return;
            }
            drop(state);
            builds(processes.map(|(relay, _)| relay)).into_iter().for_each(kill);
            thread::sleep(BUILD_CHECK);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn kill(process: u32) {
    if let Some(pid) = i32::try_from(process).ok().and_then(Pid::from_raw) {
        // It may have ended by itself.
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// This process's children and their children, but for the cells' own: cargo, compilers, shell commands.
fn builds(relay: Option<u32>) -> Vec<u32> {
    let parents: HashMap<u32, u32> = processes().into_iter().collect();
    let own = std::process::id();
    let is_build = |&process: &u32| {
        let mut ancestor = process;
        while ancestor != own && Some(ancestor) != relay {
            match parents.get(&ancestor) {
                Some(&parent) if parent != 0 => ancestor = parent,
                _ => return false,
            }
        }
        process != own && ancestor == own
    };
    parents.keys().copied().filter(is_build).collect()
}

/// Every process and its parent.
#[cfg(target_os = "linux")]
fn processes() -> Vec<(u32, u32)> {
    let parent = |process: u32| {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        // The name before it, in parentheses, may hold anything.
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter_map(|process| Some((process, parent(process)?))).collect()
}

/// Every process and its parent.
#[cfg(not(target_os = "linux"))]
fn processes() -> Vec<(u32, u32)> {
    let listing = std::process::Command::new("ps").args(["-A", "-o", "pid=,ppid="]).output();
    let text = listing.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let pair = |line: &str| {
        let mut numbers = line.split_whitespace().map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    };
    text.lines().filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a kernel that has started.
    fn interrupts() -> (tempfile::TempDir, Arc<Interrupts>) {
        let folder = tempfile::tempdir().unwrap();
        let interrupts = Arc::new(Interrupts::new(folder.path().into()));
        assert!(!interrupts.end_of_start());
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
    fn an_interrupt_while_the_kernel_starts_is_for_the_cells_that_wait() {
        let interrupts = Arc::new(Interrupts::new("".into()));
        interrupts.request();
        assert!(interrupts.end_of_start());
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
    fn builds_are_children_of_this_process_without_the_relay() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        assert!(builds(None).contains(&child.id()));
        assert!(!builds(Some(child.id())).contains(&child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
