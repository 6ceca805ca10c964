//! Steps that run side by side, each with one moving line; plain lines where there is no terminal.

use std::fmt;
use std::io::{IsTerminal, stderr};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Error, Result};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::output::tell;
use crate::pace::{Pace, Watched, to_go};

/// The moving lines of several steps.
pub struct Progress {
    bars: Option<MultiProgress>,
    started: Instant,
    has_failed: Arc<AtomicBool>,
}

/// One step: what it does, what it is doing now, and how it ended.
pub struct Step {
    bar: Option<ProgressBar>,
    bars: Option<MultiProgress>,
    name: String,
    started: Instant,
    last_plain_line: Mutex<Instant>,
    build: Mutex<Option<Build>>,
    has_failed: Arc<AtomicBool>,
}

/// A build whose end is foretold.
struct Build {
    watched: Watched,
    n_crates: Option<usize>,
    to_go: Option<Duration>,
}

/// The error of a step that was stopped because another one had failed.
#[derive(Debug)]
pub struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stopped, because another step failed")
    }
}

impl std::error::Error for Stopped {}

/// All results of steps that ran side by side, or the error of the one that failed by itself.
pub fn all_or_the_cause<T>(results: impl IntoIterator<Item = Result<T>>) -> Result<Vec<T>> {
    let (mut all, mut cause) = (Vec::new(), None);
    for result in results {
        match result {
            Ok(one) => all.push(one),
            Err(error) if cause.as_ref().is_none_or(|earlier: &Error| earlier.is::<Stopped>()) => cause = Some(error),
            Err(_) => {}
        }
    }
    cause.map_or(Ok(all), Err)
}

/// What a thread of a step returns; its panic is this thread's too.
pub fn joined<T>(handle: ScopedJoinHandle<'_, T>) -> T {
    handle.join().unwrap_or_else(|panic| resume_unwind(panic))
}

impl Progress {
    /// Moving lines on a terminal, plain ones elsewhere.
    pub fn new() -> Self {
        let bars = stderr().is_terminal().then(MultiProgress::new);
        Self { bars, started: Instant::now(), has_failed: Arc::default() }
    }

    /// Begins a step. `purpose` says what it does and why.
    fn step(&self, name: &str, purpose: &str) -> Step {
        let bar = self.bars.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::new(0).with_style(moving_style()).with_prefix(name.to_string()));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar.set_message(purpose.to_string());
            bar
        });
        if bar.is_none() {
            tell(format_args!("{name:>10}  {purpose}"));
        }
        let now = Instant::now();
        Step {
            bar,
            bars: self.bars.clone(),
            name: name.into(),
            started: now,
            last_plain_line: Mutex::new(now),
            build: Mutex::default(),
            has_failed: Arc::clone(&self.has_failed),
        }
    }

    /// Runs one step: `work` returns its result and a sentence about it. When it fails, the programs of all steps are
    /// stopped, so that the reason is not told minutes later.
    pub fn run<T>(&self, name: &str, purpose: &str, work: impl FnOnce(&Step) -> Result<(T, String)>) -> Result<T> {
        let step = self.step(name, purpose);
        match work(&step) {
            Ok((result, sentence)) => {
                step.done(&sentence);
                Ok(result)
            }
            Err(error) => {
                self.has_failed.store(true, Ordering::Relaxed);
                step.failed(&error.to_string());
                Err(error)
            }
        }
    }

    /// Prints one line that stays.
    pub fn say(&self, line: &str) {
        match &self.bars {
            // A closed terminal is no reason to stop.
            Some(bars) => drop(bars.println(line)),
            None => tell(line),
        }
    }

    /// The time since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

impl Step {
    /// Foretells when the build ends that runs now, at its pace. `n_crates` is for one of which cargo does not say how many
    /// crates it compiles.
    pub fn foretell(&self, pace: Pace, n_crates: Option<usize>) {
        *self.build() = Some(Build { watched: pace.watch(), n_crates, to_go: None });
    }

    /// Notes how many crates cargo has compiled, and of how many.
    pub fn has_compiled(&self, n_done: usize, n_crates: Option<usize>) {
        if let Some(build) = &mut *self.build()
            && let Some(n_crates) = n_crates.or(build.n_crates)
        {
            build.to_go = build.watched.left(n_done, n_crates, Instant::now());
        }
    }

    fn build(&self) -> MutexGuard<'_, Option<Build>> {
        self.build.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what the step is doing at this moment.
    pub fn now(&self, doing: &str) {
        let to_go = self.build().as_ref().and_then(|build| build.to_go).map(to_go);
        // First, since the moving line ends where the terminal does.
        let doing = &to_go.map_or_else(|| doing.to_string(), |to_go| format!("{to_go}: {doing}"));
        match &self.bar {
            Some(bar) => bar.set_message(doing.to_string()),
            None => {
                // A log file wants a sign of life, not every movement.
                let mut last = self.last_plain_line.lock().unwrap_or_else(PoisonError::into_inner);
                if last.elapsed() > Duration::from_secs(20) {
                    *last = Instant::now();
                    tell(format_args!("{:>10}  {doing} ({})", self.name, words(self.started.elapsed())));
                }
            }
        }
    }

    /// An error once another step has failed.
    pub fn go_on(&self) -> Result<(), Stopped> {
        if self.has_failed.load(Ordering::Relaxed) { Err(Stopped) } else { Ok(()) }
    }

    /// Ends the step well: one line stays.
    fn done(self, result: &str) {
        self.end(&format!("{result}  ({})", words(self.started.elapsed())));
    }

    /// Ends the step badly.
    fn failed(self, error: &str) {
        let reason = error.lines().next().unwrap_or_default();
        self.end(&format!("failed after {}: {reason}", words(self.started.elapsed())));
    }

    fn end(&self, text: &str) {
        let line = format!("{:>10}  {text}", self.name);
        match (&self.bar, &self.bars) {
            (Some(bar), Some(bars)) => {
                bar.finish_and_clear();
                // Printed above the lines that still move; a closed terminal is no reason to stop.
                let _ = bars.println(line);
            }
            _ => tell(&line),
        }
    }
}

/// A duration as people say it: "0.4 s", "12 s", "3 min 05 s".
pub fn words(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        _ => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

fn moving_style() -> ProgressStyle {
    ProgressStyle::with_template("{prefix:>10}  {spinner} {elapsed:>4}  {wide_msg}").expect("the template is constant")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_said_with_the_precision_that_matters() {
        let said = |seconds| words(Duration::from_secs_f64(seconds));
        assert_eq!(said(0.42), "0.4 s");
        assert_eq!(said(12.3), "12 s");
        assert_eq!(said(185.0), "3 min 05 s");
    }
}
