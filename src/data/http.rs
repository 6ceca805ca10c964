//! Reading a file from a server, from any byte on, in pieces.

use std::io::Read;
use std::sync::mpsc::SyncSender;
use std::time::Duration;
use ureq::Agent;

/// A server that says nothing for so long is taken for dead.
const SILENCE: Duration = Duration::from_secs(30);
/// The most bytes of a piece.
pub(super) const PIECE_BYTES: usize = 1 << 16;

/// What the thread that reads from the network sends, in this order.
pub(super) enum Event {
    /// The answer has begun: the byte from which it goes on, and the bytes of the whole file.
    Begin { from: u64, n_bytes_in_all: Option<u64> },
    /// The next bytes.
    Piece(Vec<u8>),
    /// Everything has come.
    End,
    /// What went wrong.
    Failure(String),
}

/// Reads a file from byte `from` on, in pieces. Ends when it is whole, when something fails, or when nobody listens.
pub(super) fn read_url(url: &str, from: u64, events: &SyncSender<Event>) {
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
    // The part cannot be resumed: it is complete, or too long, and the checksum tells which.
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
    let is_received = |event| events.send(event).is_ok();
    if !is_received(Event::Begin { from: begin, n_bytes_in_all }) {
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
        if !is_received(Event::Piece(piece)) {
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
