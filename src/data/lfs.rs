//! Git LFS puts small text files, pointers, in the place of large ones until somebody fetches them.

use crate::Error;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// What such a file is called in messages.
pub(super) const POINTER: &str = "a Git LFS pointer in place of the file";
/// What fetches the files themselves.
pub(super) const NEXT_STEP: &str = "run `git lfs pull` where it was cloned";

const START: &[u8] = b"version https://git-lfs.github.com/spec/";

/// Whether a file is a pointer.
pub(super) fn is_pointer(path: &Path) -> bool {
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(START.len() as u64).read_to_end(&mut start));
    read.is_ok() && start == START
}

/// The same error, or that of a pointer where the file that could not be read is one.
pub(super) fn explained(error: Error) -> Error {
    match error {
        Error::Format { path, wanted, .. } if is_pointer(&path) => Error::format(&path, POINTER, wanted, NEXT_STEP),
        other => other,
    }
}
