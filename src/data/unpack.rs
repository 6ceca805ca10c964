//! Decompression up to a limit: the sizes that an archive claims are neither trusted nor allocated.

use super::options::OpenOptions;
use crate::{Error, interrupt};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

/// A reader that fails once more than the allowed bytes have come out of it, or the user has pressed stop.
pub(super) struct Limited<R> {
    reader: R,
    bytes_left: u64,
}

impl<R: Read> Limited<R> {
    pub(super) fn new(reader: R, max_bytes: u64) -> Self {
        Self { reader, bytes_left: max_bytes }
    }

    /// Reads everything; memory grows with what has come, not with what was promised.
    pub(super) fn read_whole(mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if interrupt::is_requested() {
            // Not `ErrorKind::Interrupted`: callers would try again.
            return Err(io::Error::other("stopped"));
        }
        let n_bytes = self.reader.read(buffer)?;
        let Some(bytes_left) = self.bytes_left.checked_sub(n_bytes as u64) else {
            return Err(ErrorKind::FileTooLarge.into());
        };
        self.bytes_left = bytes_left;
        Ok(n_bytes)
    }
}

/// The error of a file that could not be unpacked; a file that goes beyond the limit says how to raise it.
pub(super) fn unpack_error(path: &Path, options: &OpenOptions, source: &io::Error) -> Error {
    if let Err(stopped) = interrupt::check("unpacking") {
        return stopped;
    }
    match source.kind() {
        ErrorKind::FileTooLarge => too_much(path, options),
        _ => Error::format(
            path,
            format!("data that cannot be unpacked ({source})"),
            "a whole file",
            "it is truncated or damaged: copy or download it again",
        ),
    }
}

/// The error of a file that goes beyond [`OpenOptions::max_unpacked_bytes`].
pub(super) fn too_much(path: &Path, options: &OpenOptions) -> Error {
    Error::format(
        path,
        format!("more than {} bytes unpacked", options.max_unpacked_bytes),
        "no more than max_unpacked_bytes",
        "if you trust it, open it by open_with and a higher OpenOptions::max_unpacked_bytes",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_beyond_the_limit_names_the_field_that_raises_it() {
        let options = OpenOptions { max_unpacked_bytes: 5, ..OpenOptions::default() };
        let read = |n_bytes| Limited::new(io::repeat(1).take(n_bytes), options.max_unpacked_bytes).read_whole();
        assert_eq!(read(5).unwrap(), [1; 5]);
        let message = unpack_error(Path::new("x.gz"), &options, &read(6).unwrap_err()).to_string();
        assert!(message.contains("OpenOptions::max_unpacked_bytes"), "{message}");
    }
}
