//! Has the user pressed stop? Every call that can take more than a second asks.

use crate::{Error, Result};
use std::cell::Cell;

thread_local! {
    static IS_DETACHED: Cell<bool> = const { Cell::new(false) };
}

/// Whether the user has asked the running cell to stop; never so outside the diabolo kernel.
pub(crate) fn is_requested() -> bool {
    !IS_DETACHED.get() && diabolo_protocol::interrupted()
}

/// Says that this thread works for no cell, so that the stop button is not meant for it.
pub(crate) fn detach_thread() {
    IS_DETACHED.set(true);
}

/// Ends a call that has nothing worth keeping when the user has pressed stop.
///
/// # Errors
/// [`Error::Interrupted`].
pub(crate) fn check(doing: &str) -> Result<()> {
    if is_requested() { Err(Error::Interrupted { doing: doing.into() }) } else { Ok(()) }
}
