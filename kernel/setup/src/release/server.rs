//! Our packages over HTTP as if crates.io had them: a cargo whose configuration names this server finds them there, and is
//! sent on to crates.io for all others.

use std::collections::HashMap;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};

use super::package::Packages;

/// Where cargo finds all crates' versions, and where their packages lie.
const INDEX: &str = "https://index.crates.io";
const PACKAGES: &str = "https://static.crates.io";

/// The first line of a configuration that may be replaced.
pub const CONFIG_MARK: &str = "# Written by `cargo diabolo release`.";

/// How long a client may be silent within a request or an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server that ends with this value.
pub struct Server {
    address: SocketAddr,
    is_ending: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

/// The answer to a request for a path.
#[derive(Debug, PartialEq)]
enum Answer {
    Text(String),
    File(PathBuf),
    Elsewhere(String),
}

impl Server {
    /// Serves `packages` to this machine, at a port that is free.
    pub fn start(packages: &Packages) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("opening a port of this machine")?;
        let address = listener.local_addr()?;
        let files = Arc::new(files(packages));
        let is_ending = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&is_ending);
        let accepting = thread::spawn(move || {
            for stream in listener.incoming() {
                if ends.load(Ordering::Relaxed) {
                    break;
                }
                let files = Arc::clone(&files);
                // A client that went away asks again, or has got what it wanted.
                thread::spawn(move || drop(stream.and_then(|stream| serve(&stream, &files, address))));
            }
        });
        Ok(Self { address, is_ending, accepting: Some(accepting) })
    }

    /// As in "http://127.0.0.1:4000".
    pub fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What to write into `config.toml` of a CARGO_HOME: cargo then takes this for crates.io, in lock files too.
    pub fn cargo_config(&self) -> String {
        let address = self.address();
        format!(
            "{CONFIG_MARK}\n\
             [source.crates-io]\nreplace-with = \"diabolo-release\"\n\n\
             [source.diabolo-release]\nregistry = \"sparse+{address}/\"\n"
        )
    }

    /// Serves until the program is ended.
    pub fn wait(mut self) {
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_ending.store(true, Ordering::Relaxed);
        // It waits for a client; this is one.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

/// The paths that are answered here.
fn files(packages: &Packages) -> HashMap<String, PathBuf> {
    let mut files = HashMap::new();
    for package in &packages.in_order {
        let index = package.index_path();
        files.insert(format!("/crates/{}/{}/download", package.name, package.version), {
            packages.folder.join(package.file_name())
        });
        files.insert(format!("/{index}"), packages.folder.join("index").join(index));
    }
    files
}

fn answer(path: &str, files: &HashMap<String, PathBuf>, address: SocketAddr) -> Answer {
    match files.get(path) {
        Some(file) => Answer::File(file.clone()),
        None if path == "/config.json" => Answer::Text(format!("{{\"dl\": \"http://{address}/crates\"}}")),
        None if path.starts_with("/crates/") => Answer::Elsewhere(format!("{PACKAGES}{path}")),
        None => Answer::Elsewhere(format!("{INDEX}{path}")),
    }
}

/// Answers one request, and closes the connection.
fn serve(mut stream: &TcpStream, files: &HashMap<String, PathBuf>, address: SocketAddr) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    // The headers say nothing that matters here, but what is not read makes the closing look like a failure.
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let path = request.split(' ').nth(1).unwrap_or_default();
    let (status, content) = match answer(path, files, address) {
        Answer::Text(text) => ("200 OK".to_string(), text.into_bytes()),
        Answer::File(file) => ("200 OK".to_string(), fs::read(file)?),
        Answer::Elsewhere(place) => (format!("302 Found\r\nLocation: {place}"), Vec::new()),
    };
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", content.len())?;
    stream.write_all(&content)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::super::package::Package;
    use super::*;

    fn packages(folder: PathBuf) -> Packages {
        let package = Package { name: "diabolo".into(), version: "0.1.0".into(), needs: vec![], n_bytes: 0 };
        Packages { folder, in_order: vec![package] }
    }

    #[test]
    fn our_crates_are_answered_here_and_all_others_by_crates_io() {
        let files = files(&packages("/p".into()));
        let answered = |path| answer(path, &files, "127.0.0.1:4000".parse().unwrap());
        assert_eq!(answered("/di/ab/diabolo"), Answer::File("/p/index/di/ab/diabolo".into()));
        assert_eq!(answered("/crates/diabolo/0.1.0/download"), Answer::File("/p/diabolo-0.1.0.crate".into()));
        assert_eq!(answered("/se/rd/serde"), Answer::Elsewhere("https://index.crates.io/se/rd/serde".into()));
        let download = "https://static.crates.io/crates/serde/1.0.0/download".to_string();
        assert_eq!(answered("/crates/serde/1.0.0/download"), Answer::Elsewhere(download));
        assert_eq!(answered("/../../etc/passwd"), Answer::Elsewhere("https://index.crates.io/../../etc/passwd".into()));
    }

    #[test]
    fn a_package_is_served_over_http_until_the_value_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("diabolo-0.1.0.crate"), "packed").unwrap();
        let server = Server::start(&packages(folder.path().into())).unwrap();
        let address = server.address;
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET /crates/diabolo/0.1.0/download HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert!(
            text.starts_with("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n") && text.ends_with("\r\n\r\npacked"),
            "{text}"
        );
        assert!(server.cargo_config().contains(&format!("sparse+http://{address}/")));
        drop(server);
        assert!(TcpStream::connect(address).is_err());
    }
}
