//! The process between evcxr and the cells, which watches over them.
//!
//! evcxr reads its child's output in lines of UTF-8, keeps all of it until the cell's end, and knows one picture of a kind
//! in a cell. So it starts this program as its child, which starts the process of cells, tells evcxr how each cell ends,
//! and sends what cells write to the front as it comes. The process of cells leads a group of its own, and when it ends,
//! for whatever reason, the programs that it started end with it.

use std::env;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::Signal;

use crate::event::{Event, SOCKET_VARIABLE, Stream};
use crate::processes::signal_group;
use crate::scanner::{Item, Scanner};
use crate::source::{Lines, Source};
use crate::wire::{self, Report};

/// Marks the process of cells among this program's processes.
pub const RUNTIME_VARIABLE: &str = "DIABOLO_RUNTIME";

/// How long a turn lasts where nothing happens, while a partial line waits and while none does.
const SHORT_TURN: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
const LONG_TURN: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// How long the pipes may stay open after the process of cells has ended, by a program that left its group.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// What evcxr waits for at the end of a cell, and what else it is told.
const COMPLETE: &str = "EVCXR_EXECUTION_COMPLETE";
const PANICKED: &str = "EVCXR_PANIC_NOTIFICATION";
const FAILED: &str = "EVCXR_ERROR_OCCURRED";
const LOST: &str = "EVCXR_VARIABLE_CHANGED_TYPE:";

struct Relay {
    front: UnixStream,
    /// Lines to and from the process of cells.
    cells: UnixStream,
    reports: Lines,
    commands: Lines,
    /// What the cells read as their standard input.
    input: ChildStdin,
    stdout: Source,
    stderr: Source,
    cell_runs: bool,
}

/// Both outputs of the cells.
const STREAMS: [Stream; 2] = [Stream::Stdout, Stream::Stderr];

/// Who has said something.
#[derive(Default)]
struct Ready {
    evcxr: bool,
    front: bool,
    cells: bool,
}

/// Why relaying came to an end.
enum End {
    /// evcxr or the whole kernel is gone.
    Unwanted,
    /// The process of cells has ended by itself, or was ended by the kernel.
    Ended(ExitStatus),
}

/// Starts the process of cells and relays its output until it ends.
pub fn run() -> Result<()> {
    let socket = env::var_os(SOCKET_VARIABLE).context("the relay was started without its socket")?;
    let front = UnixStream::connect(socket).context("connecting to the kernel")?;
    let (cells, cells_end) = UnixStream::pair().context("opening the cells' socket")?;
    // A fork of the process of cells may hold the other end open.
    cells.set_nonblocking(true).context("preparing the cells' socket")?;
    fcntl_setfd(&cells_end, FdFlags::empty()).context("handing on the cells' socket")?;
    let mut child = Command::new(env::current_exe()?)
        .env(RUNTIME_VARIABLE, "1")
        .env(wire::SOCKET_VARIABLE, cells_end.as_raw_fd().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .context("starting the process of cells")?;
    drop(cells_end);
    let mut relay = Relay {
        front,
        cells,
        reports: Lines::default(),
        commands: Lines::default(),
        input: child.stdin.take().context("the cells' standard input")?,
        stdout: output(child.stdout.take(), Stream::Stdout)?,
        stderr: output(child.stderr.take(), Stream::Stderr)?,
        cell_runs: false,
    };
    let result = relay.run(&mut child);
    // All programs that cells started and that have not left the group. It may be this program that failed.
    signal_group(child.id(), Signal::KILL);
    let status = child.wait()?;
    match result? {
        End::Ended(status) => relay.tell_last_words(status)?,
        End::Unwanted => {}
    }
    std::process::exit(i32::from(!status.success()))
}

impl Relay {
    fn run(&mut self, child: &mut Child) -> Result<End> {
        self.tell(&Event::Started { relay: std::process::id(), process: child.id() })?;
        loop {
            let ready = self.wait()?;
            self.pass_output()?;
            if ready.cells && !self.hear_cells()? {
                // It has closed its end of the socket, so no cell can begin or end any more.
                signal_group(child.id(), Signal::KILL);
                return Ok(End::Ended(child.wait()?));
            }
            if ready.front || (ready.evcxr && !self.hear_evcxr()?) {
                return Ok(End::Unwanted);
            }
            if let Some(status) = child.try_wait()? {
                return Ok(End::Ended(status));
            }
        }
    }

    /// Waits a moment until there is something to do.
    fn wait(&self) -> Result<Ready> {
        let evcxr = rustix::stdio::stdin();
        let mut waiting: Vec<_> = [evcxr, self.front.as_fd(), self.cells.as_fd()]
            .map(|it| PollFd::from_borrowed_fd(it, PollFlags::IN))
            .into();
        let open = [&self.stdout, &self.stderr].into_iter().filter(|source| source.is_open());
        waiting.extend(open.map(|source| PollFd::from_borrowed_fd(source.descriptor(), PollFlags::IN)));
        let is_waiting = self.stdout.is_waiting() || self.stderr.is_waiting();
        match poll(&mut waiting, Some(if is_waiting { &SHORT_TURN } else { &LONG_TURN })) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(Ready::default()),
            Err(error) => return Err(error).context("waiting for what a cell does"),
        }
        let is_ready = |place: usize| !waiting[place].revents().is_empty();
        Ok(Ready { evcxr: is_ready(0), front: is_ready(1), cells: is_ready(2) })
    }

    /// Tells what the cells have written, standard output first: which of two pipes was written to first, nobody can tell.
    fn pass_output(&mut self) -> Result<()> {
        for stream in STREAMS {
            let source = self.source(stream);
            let mut items = source.read()?;
            items.extend(source.partial_line());
            self.pass(items)?;
        }
        Ok(())
    }

    /// Tells all that was written before a report.
    fn pass_what_was_written(&mut self) -> Result<()> {
        for stream in STREAMS {
            let items = self.source(stream).read_what_was_written()?;
            self.pass(items)?;
        }
        Ok(())
    }

    /// Tells what waits for more, since no more comes.
    fn pass_the_rest(&mut self) -> Result<()> {
        for stream in STREAMS {
            let items = self.source(stream).finish();
            self.pass(items)?;
        }
        Ok(())
    }

    fn pass(&mut self, items: Vec<Item>) -> Result<()> {
        for item in items {
            match item {
                Item::Event(event) => self.tell(&event)?,
                Item::Request(line) => {
                    self.synchronise()?;
                    write_line(&line)?;
                }
            }
        }
        Ok(())
    }

    /// Takes what the process of cells reports; `false` where it has closed its end.
    fn hear_cells(&mut self) -> Result<bool> {
        let Some(lines) = self.reports.read(&self.cells)? else { return Ok(false) };
        for report in lines.iter().filter_map(|line| Report::parse(line)) {
            self.pass_what_was_written()?;
            match report {
                Report::Panic { place, message } => self.tell(&Event::Panic { place, message })?,
                Report::Panicked => {
                    self.tell(&Event::CellPanicked)?;
                    write_line(PANICKED)?;
                }
                Report::Error(text) => self.tell(&Event::ErrorText(text))?,
                Report::Failed => {
                    self.tell(&Event::CellFailed)?;
                    write_line(FAILED)?;
                }
                Report::Lost(variable) => write_line(&format!("{LOST}{variable}"))?,
                Report::Ended => {
                    self.pass_the_rest()?;
                    self.tell(&Event::CellEnds)?;
                    self.synchronise()?;
                    self.cell_runs = false;
                    write_line(COMPLETE)?;
                }
            }
        }
        Ok(true)
    }

    /// Hands on what evcxr says: the next cell, or the answer to what the running one asked. `false` where evcxr is gone.
    fn hear_evcxr(&mut self) -> Result<bool> {
        let Some(lines) = self.commands.read(rustix::stdio::stdin())? else { return Ok(false) };
        for line in lines {
            // Whether a process that has ended can still read, the next turn finds out.
            if self.cell_runs {
                let _ = self.input.write_all(format!("{line}\n").as_bytes());
            } else {
                self.tell(&Event::CellBegins)?;
                self.cell_runs = true;
                let _ = self.cells.write_all(format!("{line}\n").as_bytes());
            }
        }
        Ok(true)
    }

    /// Tells what the process of cells and the programs that ended with it wrote last, and how it ended.
    fn tell_last_words(&mut self, status: ExitStatus) -> Result<()> {
        let ended = Instant::now();
        self.hear_cells()?;
        while (self.stdout.is_open() || self.stderr.is_open()) && ended.elapsed() < LAST_WORDS {
            self.wait()?;
            self.pass_output()?;
        }
        self.pass_the_rest()?;
        self.tell(&Event::Ended { status: status.to_string() })?;
        self.synchronise()
    }

    fn tell(&mut self, event: &Event) -> Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        self.front.write_all(&line).context("the kernel is gone")
    }

    /// Waits until the front has handled everything so far.
    fn synchronise(&mut self) -> Result<()> {
        self.tell(&Event::Sync)?;
        self.front.read_exact(&mut [0]).context("the kernel is gone")
    }

    fn source(&mut self, stream: Stream) -> &mut Source {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }
}

fn output(pipe: Option<impl Into<OwnedFd>>, stream: Stream) -> Result<Source> {
    Source::new(pipe.with_context(|| format!("the cells' {}", stream.name()))?, Scanner::new(stream))
}

/// Tells evcxr.
fn write_line(line: &str) -> Result<()> {
    let mut evcxr = io::stdout().lock();
    writeln!(evcxr, "{line}")?;
    evcxr.flush().context("evcxr is gone")
}
