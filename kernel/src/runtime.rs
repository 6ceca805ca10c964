//! The cell process: evcxr's own loop, with a flush after every cell.
//!
//! evcxr sends `LOAD_AND_RUN library function` on standard input, and waits for [`COMPLETE`] on standard output.

use std::ffi::c_void;
use std::io::{self, Write};

use anyhow::{Context, Result, bail};
use libloading::Library;

use crate::prelude::FLUSH_SYMBOL;
use crate::relay;

/// Says that a cell has ended.
pub const COMPLETE: &str = "EVCXR_EXECUTION_COMPLETE";

/// A compiled cell: takes and returns the variables.
type Cell = unsafe extern "C" fn(*mut c_void) -> *mut c_void;

/// Runs cells until standard input ends.
pub fn run() -> Result<()> {
    relay::end_with_parent();
    let mut variables = std::ptr::null_mut();
    let mut flush: Option<unsafe extern "C" fn()> = None;
    for line in io::stdin().lines() {
        let line = line.context("reading the next cell")?;
        let mut words = line.split_whitespace();
        let (Some("LOAD_AND_RUN"), Some(library), Some(function)) = (words.next(), words.next(), words.next()) else {
            bail!("evcxr sent `{line}`, which is no cell");
        };
        // SAFETY: evcxr compiled the library for this process, and its functions have these types.
        unsafe {
            let library = Library::new(library).with_context(|| format!("loading {library}"))?;
            let cell: Cell = *library.get(function.as_bytes()).with_context(|| format!("finding {function}"))?;
            flush = flush.or_else(|| library.get(FLUSH_SYMBOL).ok().map(|symbol| *symbol));
            variables = cell(variables);
            if let Some(flush) = flush {
                flush();
            }
            // What C code printed.
            libc::fflush(std::ptr::null_mut());
            // Its threads, and the values it made, outlive the cell.
            std::mem::forget(library);
        }
        let mut output = io::stdout().lock();
        writeln!(output, "{COMPLETE}")?;
        output.flush()?;
    }
    Ok(())
}
