//! A progress bar on a terminal; a line every ten seconds elsewhere.

use crate::output::tell;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

/// At most one plain line in this time.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// How far something is.
pub struct Bar {
    bar: Option<ProgressBar>,
    last_line: Instant,
}

impl Bar {
    pub fn new(n_parts: usize) -> Self {
        let style = ProgressStyle::with_template("{bar:30} {msg}").expect("the template is well formed");
        let bar = stderr().is_terminal().then(|| ProgressBar::new(n_parts as u64).with_style(style));
        Self { bar, last_line: Instant::now() }
    }

    /// Says that so many parts are done.
    pub fn show(&mut self, n_done: usize, text: impl FnOnce() -> String) {
        match &self.bar {
            Some(bar) => {
                bar.set_position(n_done as u64);
                bar.set_message(text());
            }
            None if self.last_line.elapsed() >= BETWEEN_LINES => {
                self.last_line = Instant::now();
                tell(text());
            }
            None => {}
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
