//! The process between evcxr and the cells.
//!
//! evcxr reads its child's output in lines of UTF-8, keeps all of it until the cell's end, and knows one picture of a kind
//! in a cell. So it starts this program as its child, which starts the process of cells, lets through what is evcxr's own
//! protocol, and sends everything else to the front as it comes.

use std::env;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::event::{Event, SOCKET_VARIABLE, Stream};
use crate::scanner::{Item, Scanner};

/// Marks the process of cells among this program's processes.
pub const RUNTIME_VARIABLE: &str = "DIABOLO_RUNTIME";

/// How long a partial line may wait for its end.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

/// One output of the process of cells.
struct Source {
    file: File,
    scanner: Scanner,
    is_open: bool,
}

struct Relay {
    front: UnixStream,
    stdout: Source,
    stderr: Source,
}

/// Ends this process with the one that started it: a kernel that is killed leaves no cell running.
pub fn end_with_parent() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)) {
        eprintln!("this process may outlive the kernel: {error}");
    }
}

/// Starts the process of cells and relays its output until it ends.
pub fn run() -> Result<()> {
    end_with_parent();
    let socket = env::var_os(SOCKET_VARIABLE).context("the relay was started without its socket")?;
    let front = UnixStream::connect(socket).context("connecting to the kernel")?;
    let mut child = Command::new(env::current_exe()?)
        .env(RUNTIME_VARIABLE, "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("starting the process of cells")?;
    let stdout: OwnedFd = child.stdout.take().expect("it was piped").into();
    let stderr: OwnedFd = child.stderr.take().expect("it was piped").into();
    let mut relay =
        Relay { front, stdout: Source::new(stdout, Stream::Stdout)?, stderr: Source::new(stderr, Stream::Stderr)? };
    relay.tell(&Event::Started { relay: std::process::id(), process: child.id() })?;
    relay.run(&mut child)
}

impl Relay {
    fn run(&mut self, child: &mut Child) -> Result<()> {
        while self.stdout.is_open || self.stderr.is_open {
            let is_quiet = !wait_for_output(&[&self.stdout, &self.stderr])?;
            self.pass_stderr()?;
            self.pass_stdout()?;
            if is_quiet {
                let partial = [self.stderr.scanner.flush(), self.stdout.scanner.flush()].concat();
                self.pass(partial)?;
                // A process that it started may hold the pipes open.
                if child.try_wait()?.is_some() {
                    break;
                }
            }
        }
        let rest = [self.stderr.scanner.finish(), self.stdout.scanner.finish()].concat();
        self.pass(rest)?;
        let status = child.wait()?;
        if !status.success() {
            self.tell(&Event::Ended { status: status.to_string() })?;
            self.synchronise()?;
            std::process::exit(1);
        }
        Ok(())
    }

    fn pass_stdout(&mut self) -> Result<()> {
        let items = self.stdout.read()?;
        self.pass(items)
    }

    fn pass_stderr(&mut self) -> Result<()> {
        let items = self.stderr.read()?;
        self.pass(items)
    }

    fn pass(&mut self, items: Vec<Item>) -> Result<()> {
        for item in items {
            match item {
                Item::Event(event) => self.tell(&event)?,
                Item::Line(line) => {
                    // What the cell wrote to standard error before is part of it.
                    self.pass_stderr()?;
                    let partial = self.stderr.scanner.flush();
                    self.pass(partial)?;
                    self.synchronise()?;
                    let mut evcxr = io::stdout().lock();
                    writeln!(evcxr, "{line}")?;
                    evcxr.flush()?;
                }
            }
        }
        Ok(())
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
}

impl Source {
    fn new(pipe: OwnedFd, stream: Stream) -> Result<Self> {
        rustix::io::ioctl_fionbio(&pipe, true)?;
        Ok(Self { file: File::from(pipe), scanner: Scanner::new(stream), is_open: true })
    }

    /// What there is to read now, as far as it is decided.
    fn read(&mut self) -> Result<Vec<Item>> {
        let mut bytes = vec![0; 1 << 16];
        match self.file.read(&mut bytes) {
            Ok(0) => {
                self.is_open = false;
                Ok(Vec::new())
            }
            Ok(n_bytes) => Ok(self.scanner.feed(&bytes[..n_bytes])),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(Vec::new()),
            Err(error) => Err(error).context("reading what a cell printed"),
        }
    }
}

/// Waits a moment for output, and says whether there is any.
fn wait_for_output(sources: &[&Source]) -> Result<bool> {
    let open = sources.iter().filter(|source| source.is_open);
    let mut waiting: Vec<_> = open.map(|source| PollFd::new(&source.file, PollFlags::IN)).collect();
    match poll(&mut waiting, Some(&PATIENCE)) {
        Ok(n_ready) => Ok(n_ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(true),
        Err(error) => Err(error).context("waiting for what a cell prints"),
    }
}
