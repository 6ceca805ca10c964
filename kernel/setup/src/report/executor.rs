//! The Python process that runs cells in Jupyter kernels.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};

use super::verdict::{CellRun, Probe};
use crate::python;

const SCRIPT: &str = include_str!("execute.py");

/// How long the process may take to end its kernel.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs the cells of one notebook at a time.
pub struct Executor {
    child: Child,
    /// Closed to end the process, which then ends its kernel.
    requests: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
    log: PathBuf,
}

impl Executor {
    /// Starts the process; kernels inherit `environment`. What libraries have to say goes to the file `log`.
    pub fn start(python: &Path, environment: &[(&str, String)], log: PathBuf) -> Result<Self> {
        let log_file = std::fs::File::create(&log).with_context(|| format!("writing the log {}", log.display()))?;
        let mut child = python::command(python)
            .args(["-c", SCRIPT])
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log_file)
            .spawn()
            .with_context(|| format!("cannot start {}; run `cargo diabolo setup` again", python.display()))?;
        let requests = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("it was piped")).lines();
        Ok(Self { child, requests, answers, log })
    }

    /// Where what libraries have to say is written.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Opens a notebook with a fresh kernel.
    pub fn open(&mut self, notebook: &Path, kernel: &str) -> Result<()> {
        self.ask(json!({"do": "open", "notebook": notebook, "kernel": kernel}), |_| {}).map(drop)
    }

    /// Runs one cell; `on_text` sees what it prints while it runs.
    pub fn run(&mut self, cell: usize, probe: Option<&Probe>, on_text: impl FnMut(&str)) -> Result<CellRun> {
        let probe = probe.map(|probe| json!({"code": probe.code, "text": probe.text}));
        let mut answer = self.ask(json!({"do": "run", "cell": cell, "probe": probe}), on_text)?;
        let reached_probe = answer["reached_probe"] == true;
        let Value::Array(outputs) = answer["outputs"].take() else { bail!("the cell came back without outputs") };
        Ok(CellRun { outputs, reached_probe })
    }

    /// Writes the notebook with what has run so far, also as a page.
    pub fn save(&mut self, notebook: &Path, html: &Path) -> Result<()> {
        self.ask(json!({"do": "save", "notebook": notebook, "html": html}), |_| {}).map(drop)
    }

    /// Ends the kernel.
    pub fn close(&mut self) -> Result<()> {
        self.ask(json!({"do": "close"}), |_| {}).map(drop)
    }

    /// The day and the time, which the standard library cannot write.
    pub fn date(&mut self) -> Result<String> {
        let answer = self.ask(json!({"do": "date"}), |_| {})?;
        Ok(answer["date"].as_str().unwrap_or_default().to_string())
    }

    fn ask(&mut self, request: Value, mut on_text: impl FnMut(&str)) -> Result<Value> {
        let requests = self.requests.as_mut().expect("they are closed on drop only");
        writeln!(requests, "{request}").context("the process that runs notebooks has ended")?;
        loop {
            let line = self.answers.next().context("the process that runs notebooks has ended")??;
            let mut message: Value = serde_json::from_str(&line)?;
            if let Some(text) = message["text"].as_str() {
                on_text(text);
            } else if let Some(error) = message["error"].as_str() {
                return Err(anyhow!("{error}"));
            } else {
                return Ok(message["answer"].take());
            }
        }
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        drop(self.requests.take());
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(20));
        }
        // It has ended, or it never will.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
