//! Has the user pressed stop? Every call that can take more than a second asks.

use crate::{Error, Result};

/// Whether the user has asked the running cell to stop; never so outside the diabolo kernel.
pub(crate) fn is_requested() -> bool {
    diabolo_protocol::interrupted()
}

/// Ends a call that has nothing worth keeping when the user has pressed stop.
///
/// # Errors
/// [`Error::Interrupted`].
pub(crate) fn check(doing: &str) -> Result<()> {
    if is_requested() { Err(Error::Interrupted { doing: doing.into() }) } else { Ok(()) }
}
