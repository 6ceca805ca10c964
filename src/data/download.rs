//! Data sets from their home pages: into the user's cache, checked, and gone on with where a download ended.

use super::cifar;
use super::open::own_data_folder;
use crate::{Error, Result, interrupt};
use md5::{Digest, Md5};
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;
use ureq::Agent;

/// A server that says nothing for so long is taken for dead.
const SILENCE: Duration = Duration::from_secs(30);
/// How often the stop button is looked at while the network is silent.
const BETWEEN_LOOKS: Duration = Duration::from_millis(250);
const PIECE_BYTES: usize = 1 << 16;

/// A file that can be downloaded.
struct Remote {
    /// The name that [`open`](super::open) takes.
    name: &'static str,
    url: String,
    file_name: &'static str,
    /// MD5 checksum in hexadecimal, from the home page. It finds damage, not malice; for that there is https.
    md5: String,
}

/// How far a download has come.
#[derive(Debug, Clone, PartialEq)]
pub struct Download {
    /// The data set.
    pub name: String,
    /// Bytes on the disk so far, those of an earlier attempt among them.
    pub n_bytes: u64,
    /// Bytes in all, where the server says so.
    pub n_bytes_in_all: Option<u64>,
}

impl Download {
    /// The share that is done, 0..=1; `None` where the whole is not known.
    pub fn share(&self) -> Option<f64> {
        self.n_bytes_in_all.map(|in_all| if in_all == 0 { 1.0 } else { self.n_bytes as f64 / in_all as f64 })
    }
}

impl fmt::Display for Download {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let megabytes = |n_bytes: u64| n_bytes as f64 / 1e6;
        write!(f, "{}: {:.1}", self.name, megabytes(self.n_bytes))?;
        match self.n_bytes_in_all {
            Some(in_all) => write!(f, " of {:.1} MB", megabytes(in_all)),
            None => f.write_str(" MB"),
        }
    }
}

/// Downloads a data set, "cifar10", from its home page into the user's cache, where [`open`](super::open) finds it, and
/// gives its path. `observe` is told after every piece, and may break off.
///
/// A file that is there already is left as it is. A part of one, from an attempt that was broken off, is gone on with.
/// The finished file is compared with the checksum on the home page.
///
/// # Errors
/// [`Error::Data`] for a name that cannot be downloaded; [`Error::Download`] without a network, for a wrong checksum, or
/// when stopped: the message says what was kept; [`Error::File`] when the cache cannot be written.
pub fn download(name: &str, observe: impl FnMut(&Download) -> ControlFlow<()>) -> Result<PathBuf> {
    let cifar = Remote {
        name: "cifar10",
        url: format!("https://www.cs.toronto.edu/~kriz/{}", cifar::ARCHIVE),
        file_name: cifar::ARCHIVE,
        md5: "c32a1d4ab5d03f1284b67883e8d87530".into(),
    };
    if name != cifar.name {
        return Err(Error::data("downloading", format!("{name:?}"), cifar.name, "other data sets are opened by path"));
    }
    let folder = own_data_folder().ok_or_else(|| {
        let next_step = "set DIABOLO_CACHE to a folder with room for it";
        Error::data("downloading", "no cache folder", "DIABOLO_CACHE or HOME to be set", next_step)
    })?;
    fetch(&cifar, &folder, observe)
}

/// Downloads a file into `folder` unless it is there.
fn fetch(remote: &Remote, folder: &Path, observe: impl FnMut(&Download) -> ControlFlow<()>) -> Result<PathBuf> {
    let path = folder.join(remote.file_name);
    if path.is_file() {
        return Ok(path);
    }
    let partial_path = folder.join(format!("{}.part", remote.file_name));
    let write_error = |source| Error::file("writing", &partial_path, "check the disk and the permissions", source);
    fs::create_dir_all(folder).map_err(write_error)?;
    let partial = File::options().read(true).write(true).create(true).truncate(false).open(&partial_path);
    let mut partial = partial.map_err(write_error)?;
    match partial.try_lock() {
        Err(TryLockError::WouldBlock) => {
            return Err(remote.error("another program is downloading it", "wait for that one, then open it"));
        }
        Err(TryLockError::Error(error)) => return Err(write_error(error)),
        Ok(()) => {}
    }
    receive(remote, &mut partial, observe).map_err(|stop| match stop {
        Stop::Disk(error) => write_error(error),
        Stop::Other(error) => error,
    })?;
    let found = checksum(&mut partial).map_err(write_error)?;
    if found.as_deref() != Some(&remote.md5) {
        let Some(found) = found else {
            return Err(remote.error("stopped while the checksum was computed", "call it again"));
        };
        fs::remove_file(&partial_path).map_err(write_error)?;
        let found = format!("the checksum is {found} and not {}", remote.md5);
        return Err(remote.error(found, "the file was damaged on the way and is removed: call it again"));
    }
    fs::rename(&partial_path, &path).map_err(write_error)?;
    Ok(path)
}

/// What ends a download before its end.
enum Stop {
    Disk(io::Error),
    Other(Error),
}

/// What the thread that reads from the network sends, in this order.
enum Event {
    /// The answer has begun: the byte from which it goes on, and the bytes of the whole file.
    Begin { from: u64, n_bytes_in_all: Option<u64> },
    /// The next bytes.
    Piece(Vec<u8>),
    /// Everything has come.
    End,
    /// What went wrong.
    Failure(String),
}

/// Appends what is missing to a partial file.
fn receive(
    remote: &Remote,
    partial: &mut File,
    mut observe: impl FnMut(&Download) -> ControlFlow<()>,
) -> Result<(), Stop> {
    let n_bytes = partial.seek(SeekFrom::End(0)).map_err(Stop::Disk)?;
    let mut progress = Download { name: remote.name.into(), n_bytes, n_bytes_in_all: None };
    // The network is read on a thread of its own, so that the stop button works while it is silent.
    let (sender, events) = sync_channel(16);
    let url = remote.url.clone();
    std::thread::spawn(move || read_url(&url, n_bytes, &sender));
    loop {
        let event = next_event(&events).map_err(|found| {
            let next_step = format!("{} are kept: call it again to go on", megabytes(progress.n_bytes));
            Stop::Other(remote.error(found, next_step))
        })?;
        match event {
            Event::Begin { from, n_bytes_in_all } => {
                partial.set_len(from).and_then(|()| partial.seek(SeekFrom::End(0))).map_err(Stop::Disk)?;
                progress = Download { n_bytes: from, n_bytes_in_all, ..progress };
            }
            Event::Piece(piece) => {
                partial.write_all(&piece).map_err(Stop::Disk)?;
                progress.n_bytes += piece.len() as u64;
            }
            Event::End => return Ok(()),
            Event::Failure(found) => {
                let next_step = match progress.n_bytes {
                    0 => "check the network; or fetch the file on another machine and open it by path".into(),
                    kept => format!("check the network; {} are kept: call it again to go on", megabytes(kept)),
                };
                return Err(Stop::Other(remote.error(found, next_step)));
            }
        }
        if observe(&progress).is_break() {
            let next_step = format!("{} are kept: call it again to go on", megabytes(progress.n_bytes));
            return Err(Stop::Other(remote.error("stopped", next_step)));
        }
    }
}

/// Waits for the next event; an error says why there is none.
fn next_event(events: &Receiver<Event>) -> Result<Event, &'static str> {
    loop {
        match events.recv_timeout(BETWEEN_LOOKS) {
            _ if interrupt::is_requested() => return Err("stopped"),
            Ok(event) => return Ok(event),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err("the connection ended"),
        }
    }
}

/// Reads a file from byte `from` on, in pieces. Ends when it is whole, when something fails, or when nobody listens.
fn read_url(url: &str, from: u64, events: &SyncSender<Event>) {
    let failure = match try_read_url(url, from, events) {
        Ok(()) => Event::End,
        Err(found) => Event::Failure(found),
    };
    // Nobody listens any more after the stop button.
    let _ = events.send(failure);
}

fn try_read_url(url: &str, from: u64, events: &SyncSender<Event>) -> Result<(), String> {
    let config = Agent::config_builder().http_status_as_error(false);
    let config = config.timeout_connect(Some(SILENCE)).timeout_per_read(Some(SILENCE));
    let agent: Agent = config.build().into();
    let ask = |from: u64| {
        let request = agent.get(url);
        let request = if from > 0 { request.header("Range", format!("bytes={from}-")) } else { request };
        request.call().map_err(|error| error.to_string())
    };
    let header = |response: &ureq::http::Response<ureq::Body>, name: &str| {
        Some(response.headers().get(name)?.to_str().ok()?.to_string())
    };
    let mut response = ask(from)?;
    // The part cannot be gone on with: it is all there, or too long, and the checksum tells which.
    if from > 0 && response.status() == 416 {
        let in_all = header(&response, "Content-Range").and_then(|range| range.strip_prefix("bytes */")?.parse().ok());
        if in_all == Some(from) {
            return Ok(());
        }
        response = ask(0)?;
    }
    let length = header(&response, "Content-Length").and_then(|length| length.parse::<u64>().ok());
    let (begin, n_bytes_in_all) = match response.status().as_u16() {
        200 => (0, length),
        206 => match header(&response, "Content-Range").as_deref().and_then(parse_content_range) {
            Some((start, in_all)) if start == from => (from, in_all.or(length.map(|length| start + length))),
            _ => return Err("the server answered with another part than was asked for".into()),
        },
        status => return Err(format!("the server answered with status {status}")),
    };
    let is_heard = |event| events.send(event).is_ok();
    if !is_heard(Event::Begin { from: begin, n_bytes_in_all }) {
        return Ok(());
    }
    let mut body = response.into_body().into_reader();
    let mut n_bytes = begin;
    loop {
        let mut piece = vec![0; PIECE_BYTES];
        match body.read(&mut piece).map_err(|error| error.to_string())? {
            0 => break,
            n_read => piece.truncate(n_read),
        }
        n_bytes += piece.len() as u64;
        if !is_heard(Event::Piece(piece)) {
            return Ok(());
        }
    }
    match n_bytes_in_all {
        Some(in_all) if n_bytes < in_all => Err(format!("the connection ended after {n_bytes} of {in_all} bytes")),
        _ => Ok(()),
    }
}

/// First byte and length of the whole, of `bytes 100-199/200` or `bytes 100-199/*`.
fn parse_content_range(range: &str) -> Option<(u64, Option<u64>)> {
    let (start, rest) = range.strip_prefix("bytes ")?.split_once('-')?;
    Some((start.parse().ok()?, rest.split_once('/')?.1.parse().ok()))
}

/// MD5 checksum of a whole file in hexadecimal; `None` if the user has pressed stop.
fn checksum(file: &mut File) -> io::Result<Option<String>> {
    file.rewind()?;
    let mut hash = Md5::new();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        if interrupt::is_requested() {
            return Ok(None);
        }
        match file.read(&mut piece)? {
            0 => return Ok(Some(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())),
            n_read => hash.update(&piece[..n_read]),
        }
    }
}

fn megabytes(n_bytes: u64) -> String {
    format!("{:.1} MB", n_bytes as f64 / 1e6)
}

impl Remote {
    fn error(&self, found: impl Into<String>, next_step: impl Into<String>) -> Error {
        Error::Download { url: self.url.clone(), found: found.into(), next_step: next_step.into() }
    }
}
