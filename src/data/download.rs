//! Downloads of data sets from their home pages into the user's cache, checked and resumable.

use super::cifar;
use super::http::{Event, PIECE_BYTES, read_url};
use super::open::own_data_folder;
use crate::{Error, Result, interrupt};
use md5::{Digest, Md5};
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

/// How often the stop button is looked at while the network is silent.
const BETWEEN_LOOKS: Duration = Duration::from_millis(250);

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
///
/// # Example
/// ```
/// use diabolo::data::Download;
/// let progress = Download { name: "cifar10".into(), n_bytes: 85_000_000, n_bytes_in_all: Some(170_000_000) };
/// assert_eq!(progress.to_string(), "cifar10: 85.0 of 170.0 MB");
/// assert_eq!(progress.share(), Some(0.5));
/// ```
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
/// gives its path. `observe` is called after every piece, and may stop the download.
///
/// A file that is there already is left as it is. A partial file of an earlier attempt is resumed.
/// The finished file is compared with the checksum on the home page.
///
/// # Errors
/// [`Error::Data`] for a name that cannot be downloaded; [`Error::Download`] without a network, for a wrong checksum, or
/// when stopped: the message says what was kept; [`Error::File`] when the cache cannot be written.
///
/// # Example
/// ```no_run
/// use std::ops::ControlFlow;
/// let path = diabolo::data::download("cifar10", |progress| {
///     println!("{progress}");
///     ControlFlow::Continue(())
/// })?;
/// assert!(path.ends_with("cifar-10-binary.tar.gz"));
/// let data = diabolo::data::open("cifar10")?;
/// # Ok::<(), diabolo::Error>(())
/// ```
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
    let next_step = "free some space, or set DIABOLO_CACHE to a folder that may be written to; what has come is kept";
    let write_error = |source| Error::file("writing", &partial_path, next_step, source);
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

#[cfg(test)]
#[path = "../../tests/common/disk.rs"]
#[expect(dead_code, reason = "some of it is for other tests")]
mod disk;

#[cfg(test)]
mod tests {
    use super::disk::SmallDisk;
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::net::{TcpListener, TcpStream};
    use std::sync::{Arc, Mutex};

    /// A file of several pieces, no two of which are alike.
    fn content() -> Vec<u8> {
        (0..300_000_u32).flat_map(|number| number.to_le_bytes()).take(1_000_003).collect()
    }

    fn md5_of(bytes: &[u8]) -> String {
        Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A server that answers every request by `answer`, which is given the first byte that was asked for; also the list
    /// of these.
    fn serve(answer: impl Fn(u64, &mut TcpStream) + Send + 'static) -> (String, Arc<Mutex<Vec<u64>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/file", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let head = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
                let head = Vec::from_iter(head.take_while(|line| !line.is_empty()));
                let range =
                    head.iter().find_map(|line| line.to_lowercase().strip_prefix("range: bytes=").map(String::from));
                let from = range.map_or(0, |range| range.trim_end_matches('-').parse().unwrap());
                log.lock().unwrap().push(from);
                answer(from, &mut stream);
            }
        });
        (url, asked)
    }

    /// Answers as a server does that can go on from the middle; sends no more than `most_bytes` at a time.
    fn answer_with_parts(from: u64, stream: &mut TcpStream, most_bytes: usize) {
        let content = content();
        let (rest, in_all) = (&content[content.len().min(from as usize)..], content.len());
        let _ = match (from, rest) {
            (0, _) => write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {in_all}\r\nConnection: close\r\n\r\n"),
            (_, []) => write!(
                stream,
                "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */{in_all}\r\n\
                 Content-Length: 0\r\nConnection: close\r\n\r\n"
            ),
            _ => write!(
                stream,
                "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {from}-{}/{in_all}\r\n\
                 Content-Length: {}\r\nConnection: close\r\n\r\n",
                in_all - 1,
                rest.len()
            ),
        };
        let _ = stream.write_all(&rest[..rest.len().min(most_bytes)]);
    }

    fn remote(url: String) -> Remote {
        Remote { name: "cifar10", url, file_name: "file.tar.gz", md5: md5_of(&content()) }
    }

    fn go_on(_: &Download) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    #[test]
    fn a_file_is_downloaded_once_and_its_progress_is_told() {
        let (url, asked) = serve(|from, stream| answer_with_parts(from, stream, usize::MAX));
        let folder = tempfile::tempdir().unwrap();
        let mut shares = Vec::new();
        let path = fetch(&remote(url.clone()), &folder.path().join("data"), |progress| {
            shares.push(progress.share().unwrap());
            ControlFlow::Continue(())
        })
        .unwrap();
        assert!(fs::read(&path).unwrap() == content());
        assert!(shares.is_sorted() && shares.last() == Some(&1.0) && shares.len() > 3, "{shares:?}");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
        assert_eq!(fetch(&remote(url), &folder.path().join("data"), go_on).unwrap(), path);
        assert_eq!(*asked.lock().unwrap(), [0]);
    }

    #[test]
    fn a_connection_that_ends_early_is_gone_on_with() {
        let (url, asked) = serve(|from, stream| answer_with_parts(from, stream, 600_000));
        let folder = tempfile::tempdir().unwrap();
        let message = fetch(&remote(url.clone()), folder.path(), go_on).unwrap_err().to_string();
        assert!(message.contains("0.6 MB are kept: call it again"), "{message}");
        let path = fetch(&remote(url), folder.path(), go_on).unwrap();
        assert!(fs::read(path).unwrap() == content());
        assert_eq!(*asked.lock().unwrap(), [0, 600_000]);
    }

    #[test]
    fn a_server_that_cannot_go_on_sends_everything_again() {
        let (url, _) = serve(|_, stream| answer_with_parts(0, stream, usize::MAX));
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file.tar.gz.part"), [7; 5000]).unwrap();
        assert!(fs::read(fetch(&remote(url), folder.path(), go_on).unwrap()).unwrap() == content());
    }

    #[test]
    fn a_part_that_is_whole_is_only_checked_and_one_that_is_too_long_is_thrown_away() {
        let (url, asked) = serve(|from, stream| answer_with_parts(from, stream, usize::MAX));
        for (extra, requests) in [(0, vec![1_000_003]), (9, vec![1_000_012, 0])] {
            let folder = tempfile::tempdir().unwrap();
            let part = [content(), vec![1; extra]].concat();
            fs::write(folder.path().join("file.tar.gz.part"), part).unwrap();
            assert!(fs::read(fetch(&remote(url.clone()), folder.path(), go_on).unwrap()).unwrap() == content());
            assert_eq!(std::mem::take(&mut *asked.lock().unwrap()), requests);
        }
    }

    #[test]
    fn a_wrong_checksum_removes_the_file() {
        let (url, _) = serve(|from, stream| answer_with_parts(from, stream, usize::MAX));
        let folder = tempfile::tempdir().unwrap();
        let other = Remote { md5: md5_of(b"another file"), ..remote(url) };
        let message = fetch(&other, folder.path(), go_on).unwrap_err().to_string();
        assert!(message.contains(&md5_of(&content())) && message.contains("call it again"), "{message}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn without_a_network_or_a_file_there_the_message_says_so() {
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let message = fetch(&remote(format!("http://{nobody}/file")), folder.path(), go_on).unwrap_err().to_string();
        assert!(message.contains("refused") && message.contains("check the network"), "{message}");

        let (url, _) = serve(|_, stream| {
            let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nConnection: close\r\n\r\ngone");
        });
        let message = fetch(&remote(url), folder.path(), go_on).unwrap_err().to_string();
        assert!(message.contains("status 404"), "{message}");
        let part = fs::read(folder.path().join("file.tar.gz.part")).unwrap();
        assert!(part.is_empty(), "no error page is kept as data");
    }

    #[test]
    fn a_server_that_does_not_speak_tls_is_an_error() {
        let (url, _) = serve(|from, stream| answer_with_parts(from, stream, usize::MAX));
        let folder = tempfile::tempdir().unwrap();
        let secure = remote(url.replace("http:", "https:"));
        let message = fetch(&secure, folder.path(), go_on).unwrap_err().to_string();
        assert!(message.contains("downloading https:") && message.contains("check the network"), "{message}");
    }

    #[test]
    fn breaking_off_keeps_what_has_come() {
        let (url, _) = serve(|from, stream| answer_with_parts(from, stream, usize::MAX));
        let folder = tempfile::tempdir().unwrap();
        let stop = |progress: &Download| match progress.n_bytes {
            0..200_000 => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        };
        let message = fetch(&remote(url.clone()), folder.path(), stop).unwrap_err().to_string();
        assert!(message.contains("stopped; 0.") && message.contains("MB are kept: call it again"), "{message}");
        assert!(fs::read(fetch(&remote(url), folder.path(), go_on).unwrap()).unwrap() == content());
    }

    #[test]
    fn two_programs_do_not_write_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let lock = File::create(folder.path().join("file.tar.gz.part")).unwrap();
        lock.lock().unwrap();
        let message = fetch(&remote("http://127.0.0.1:9/".into()), folder.path(), go_on).unwrap_err().to_string();
        assert!(message.contains("another program is downloading it"), "{message}");
    }

    #[test]
    fn a_disk_that_is_full_or_read_only_is_named_and_what_has_come_is_gone_on_with_elsewhere() {
        let Some(disk) = SmallDisk::mount("a download on a full disk") else { return };
        let (url, asked) = serve(|from, stream| answer_with_parts(from, stream, usize::MAX));
        let message = fetch(&remote(url.clone()), disk.path(), go_on).unwrap_err().to_string();
        assert!(message.contains("file.tar.gz.part: No space left"), "{message}");
        assert!(message.contains("free some space") && !disk.path().join("file.tar.gz").exists(), "{message}");

        let roomy = tempfile::tempdir().unwrap();
        fs::copy(disk.path().join("file.tar.gz.part"), roomy.path().join("file.tar.gz.part")).unwrap();
        assert!(fs::read(fetch(&remote(url.clone()), roomy.path(), go_on).unwrap()).unwrap() == content());
        assert!(asked.lock().unwrap()[1] > 0, "the download is resumed");

        disk.make_read_only();
        let message = fetch(&remote(url), &disk.path().join("data"), go_on).unwrap_err().to_string();
        assert!(message.contains("data/file.tar.gz.part: Read-only file system"), "{message}");
        assert!(message.contains("DIABOLO_CACHE"), "{message}");
    }

    #[test]
    fn only_what_has_a_home_page_is_downloaded() {
        let message = download("hw10", go_on).unwrap_err().to_string();
        assert!(message.contains("\"hw10\"") && message.contains("cifar10"), "{message}");
    }
}
