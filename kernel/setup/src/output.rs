//! Printing. A closed pipe, as of `head` after its first lines, is not an error.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use anyhow::{Context, Result};

/// Prints a line on standard output; does nothing where nobody reads it any longer.
pub fn say(text: impl Display) -> Result<()> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("writing to standard output"),
        _ => Ok(()),
    }
}

/// Prints a line on standard error, where progress and errors go.
pub fn tell(text: impl Display) {
    // Where it is closed or full, nobody can be told so.
    let _ = writeln!(io::stderr(), "{text}");
}
