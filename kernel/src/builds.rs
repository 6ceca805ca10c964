//! Build progress: evcxr writes cargo's "Compiling" lines to this process's standard error, where no notebook sees them.
//!
//! So standard error is a pipe to a thread here, which shows those lines as one moving output of the cell, and passes the
//! others on.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};

use crate::output::Display;

/// A line that the kernel writes to its own standard error, to know when all lines before it were read.
const MARK: &str = "\u{2}diabolo-mark";

/// How long it waits for that line, which a program that writes there too may have broken.
const PATIENCE: Duration = Duration::from_secs(2);

/// The crates that the current cell has made cargo compile.
pub struct Builds {
    lock_file: PathBuf,
    display: Arc<Mutex<Display>>,
    count: Mutex<Count>,
    /// Says that a mark was read.
    marks: Mutex<Receiver<()>>,
    mark: Sender<()>,
}

#[derive(Default)]
struct Count {
    /// The name of this cell's output, different from those of all other cells and kernels: outputs of an earlier
    /// kernel may stand in the same notebook.
    id: String,
    n_compiled: usize,
    n_all: usize,
}

impl Builds {
    /// Builds whose versions are pinned in `lock_file`.
    pub fn new(lock_file: PathBuf, display: Arc<Mutex<Display>>) -> Self {
        let (mark, marks) = channel();
        Self { lock_file, display, count: Mutex::default(), marks: Mutex::new(marks), mark }
    }

    /// Begins a cell.
    pub fn begin(&self) {
        let time = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
        let id = format!("diabolo-build-{:x}-{time:x}", std::process::id());
        *self.count.lock().unwrap_or_else(PoisonError::into_inner) = Count { id, ..Count::default() };
    }

    /// Shows how many crates were compiled, if any were.
    pub fn end(&self) {
        let marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        marks.try_iter().for_each(drop);
        eprintln!("{MARK}");
        // What cargo wrote is counted then.
        let _ = marks.recv_timeout(PATIENCE);
        let count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        if count.n_compiled > 0 {
            let crates = if count.n_compiled == 1 { "crate" } else { "crates" };
            self.show(&count, &format!("Compiled {} {crates}", count.n_compiled), false);
        }
    }

    fn compiling(&self, name: &str) {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        if count.n_compiled == 0 {
            let lock_file = fs::read_to_string(&self.lock_file).unwrap_or_default();
            count.n_all = lock_file.matches("[[package]]").count();
        }
        count.n_compiled += 1;
        // Not all that the lock file names need compiling, so the second number is the most it can be.
        let text = format!("Compiling {}/{} {name}", count.n_compiled, count.n_all.max(count.n_compiled));
        self.show(&count, &text, count.n_compiled == 1);
    }

    fn show(&self, count: &Count, text: &str, is_first: bool) {
        let bundle = [("text/plain".to_string(), text.to_string())].into();
        let mut display = self.display.lock().unwrap_or_else(PoisonError::into_inner);
        if is_first {
            display.show(&bundle, Some(&count.id));
        } else {
            display.update(&bundle, &count.id);
        }
    }

    /// Puts itself in the place of standard error for the rest of this process.
    pub fn watch(self: &Arc<Self>) -> Result<()> {
        let mut log = File::from(rustix::io::dup(rustix::stdio::stderr()).context("keeping standard error")?);
        let (read_end, write_end) = rustix::pipe::pipe().context("opening a pipe for build progress")?;
        rustix::stdio::dup2_stderr(write_end).context("replacing standard error")?;
        let builds = Arc::clone(self);
        thread::spawn(move || {
            for line in BufReader::new(File::from(read_end)).split(b'\n').map_while(Result::ok) {
                let line_text = String::from_utf8_lossy(&line);
                match crate_name(&line_text) {
                    Some(name) => builds.compiling(name),
                    None if line_text.ends_with(MARK) => drop(builds.mark.send(())),
                    // A log that cannot be written is nothing to tell anybody about.
                    None => drop(log.write_all(&[&line[..], b"\n"].concat())),
                }
            }
        });
        Ok(())
    }
}

/// The crate in a line like "   Compiling tch v0.26.0".
fn crate_name(line: &str) -> Option<&str> {
    line.trim_start().strip_prefix("Compiling ")?.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_of_cargo_are_progress() {
        assert_eq!(crate_name("   Compiling tch v0.26.0"), Some("tch"));
        assert_eq!(crate_name("warning: Compiling"), None);
    }
}
