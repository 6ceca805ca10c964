//! The stop button: every call that can take more than a second checks whether it was pressed.

use crate::{Error, Result};
use std::cell::Cell;
use std::panic::resume_unwind;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// How often the stop button is checked for a call that cannot check it itself.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

thread_local! {
    static IS_DETACHED: Cell<bool> = const { Cell::new(false) };
    #[cfg(test)]
    static CHECKS_LEFT: Cell<Option<u32>> = const { Cell::new(None) };
}

/// Stops the calls of this thread as if the user pressed stop after it has looked for that `n_checks` times; gives how
/// many are left of those set before.
#[cfg(test)]
pub(crate) fn stop_after_checks(n_checks: Option<u32>) -> Option<u32> {
    CHECKS_LEFT.replace(n_checks)
}

/// Whether the user has asked the running cell to stop; never so outside the diabolo kernel.
pub(crate) fn is_requested() -> bool {
    #[cfg(test)]
    match CHECKS_LEFT.get() {
        Some(0) => return true,
        Some(left) => CHECKS_LEFT.set(Some(left - 1)),
        None => {}
    }
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

/// Makes a call that cannot be stopped on a thread of its own. When the user presses stop nobody waits for it any longer;
/// it goes on to its end, and what it gives is dropped.
///
/// # Errors
/// [`Error::Interrupted`].
pub(crate) fn leave_when_stopped<T: Send + 'static>(
    doing: &str,
    call: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    let (end, waiting) = channel::<()>();
    let thread = thread::spawn(move || {
        // Dropped when the call ends, in whatever way.
        let _end = end;
        call()
    });
    while waiting.recv_timeout(BETWEEN_LOOKS) == Err(RecvTimeoutError::Timeout) {
        check(doing)?;
    }
    Ok(thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
}
