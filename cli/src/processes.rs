//! What a command does in all processes that mpirun has started.

use crate::output::{READER_IS_GONE, is_reader_gone, tell};
use crate::whole_message;
use anyhow::Result;
use diabolo::together::{self, Together};
use std::sync::Arc;
use std::time::Duration;

/// How long another process waits with an error that process 0 most likely has too, as where a file cannot be read.
const FIRST_TELLS_FIRST: Duration = Duration::from_millis(500);

/// Does this in all processes, or in the only one. An error of one of several ends all.
pub fn in_all<T>(work: impl FnOnce(&Arc<dyn Together>) -> Result<T>) -> Result<T> {
    let joined = together::join()?;
    let together = joined.together();
    match work(&together) {
        Err(error) if together.size() > 1 => end_all(&*together, &error),
        done => done,
    }
}

/// Tells an error and ends all processes, since the others wait for this one.
fn end_all(together: &dyn Together, error: &anyhow::Error) -> ! {
    match together.rank() {
        0 if is_reader_gone(error) => together.abort(READER_IS_GONE.into()),
        0 => tell(format!("error: {}", whole_message(error))),
        rank => {
            std::thread::sleep(FIRST_TELLS_FIRST);
            tell(format!("process {rank}: error: {}", whole_message(error)));
        }
    }
    together.abort(1)
}
