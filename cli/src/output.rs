//! Printing. A closed pipe, as of `head` after its first lines, is not an error.

use anyhow::{Context, Result};
use diabolo::files::AtomicFile;
use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

/// The exit code of programs whose reader is gone before they are done: 128 and the number of SIGPIPE.
pub const READER_IS_GONE: u8 = 141;

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

/// Whether `--out` means standard output.
fn is_standard_output(path: &Path) -> bool {
    // Opened again by these names, a file that it was redirected to would be written over from its beginning.
    ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"].iter().any(|name| path == Path::new(name))
}

/// Hands standard output to `write`, or a file, which is there whole in the end or not at all: half a table is never taken
/// for a whole one. `write` gets the words for where it cannot be written.
pub fn write_out<T>(out: Option<&Path>, write: impl FnOnce(&mut dyn Write, &str) -> Result<T>) -> Result<T> {
    let Some(path) = out.filter(|path| !is_standard_output(path)) else {
        return write(&mut io::stdout().lock(), "writing to standard output");
    };
    let mut file = AtomicFile::create(path)?;
    let written = write(&mut file, &format!("writing {}; choose a folder that has room", path.display()))?;
    file.commit()?;
    Ok(written)
}

/// Whether this is only that nobody reads the output any longer.
pub fn is_reader_gone(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.any(|cause| cause.kind() == ErrorKind::BrokenPipe)
}
