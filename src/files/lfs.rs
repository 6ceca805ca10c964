//! Git LFS puts small text files, pointers, in the place of large ones until somebody fetches them.

use crate::Error;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// What such a file is called in messages.
pub(crate) const POINTER: &str = "a Git LFS pointer in place of the file";
/// What fetches the files themselves.
pub(crate) const NEXT_STEP: &str = "run `git lfs pull` where it was cloned";

const START: &[u8] = b"version https://git-lfs.github.com/spec/";

/// Whether the content of a file is a pointer.
pub(crate) fn is_content_of_pointer(bytes: &[u8]) -> bool {
    bytes.starts_with(START)
}

/// Whether a file is a pointer.
pub(crate) fn is_pointer(path: &Path) -> bool {
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(START.len() as u64).read_to_end(&mut start));
    read.is_ok() && is_content_of_pointer(&start)
}

/// The same error, or that of a pointer where the file that could not be read is one.
pub(crate) fn explained(error: Error) -> Error {
    match error {
        Error::Format { path, wanted, .. } if is_pointer(&path) => Error::format(&path, POINTER, wanted, NEXT_STEP),
        other => other,
    }
}
