//! Child processes: their output goes to a log file, their last line to the step's moving line.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::progress::Step;

/// How many lines of a log an error message quotes.
const N_QUOTED_LINES: usize = 15;

/// Variables that `cargo run` sets for the program it runs. A cargo started from here would pass them on to build
/// scripts, or take them for a change and compile again.
const SET_BY_CARGO_RUN: [&str; 5] = ["CARGO", "CARGO_BIN_NAME", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "OUT_DIR"];

/// A cargo as the user would start it.
pub fn cargo() -> Command {
    without_cargo_variables(Command::new("cargo"))
}

/// The same with its bar, which the moving line shows.
pub fn cargo_with_bar() -> Command {
    let mut command = cargo();
    command.env("CARGO_TERM_PROGRESS_WHEN", "always").env("CARGO_TERM_PROGRESS_WIDTH", "100");
    command
}

/// The command without what `cargo run` told this program about itself.
pub fn without_cargo_variables(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let of_the_package = ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| text.starts_with(prefix));
        if of_the_package || SET_BY_CARGO_RUN.iter().any(|variable| text == *variable) {
            command.env_remove(&name);
        }
    }
    command
}

/// How often a program is looked at that prints nothing.
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

/// Runs `command` to its end and returns its standard output. Both of its outputs are written to `log`.
///
/// # Errors
/// When the command cannot be started, or fails: then with `doing`, the end of the log and where it is. When another step
/// fails meanwhile, the command is killed and the error is [`Stopped`](crate::progress::Stopped).
pub fn run(mut command: Command, doing: &str, log: &Path, step: &Step) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut log_file = log_file(log)?;
    let cannot_log = || format!("writing the log {}; is the disk full?", log.display());
    writeln!(log_file, "$ {command:?}").with_context(cannot_log)?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{doing}: cannot start `{program}`; is it installed and on PATH?"))?;
    let stdout = child.stdout.take().expect("it was piped");
    let stderr = child.stderr.take().expect("it was piped");
    let (sender, lines) = mpsc::channel::<(bool, String)>();
    thread::scope(|scope| {
        let from_stdout = sender.clone();
        scope.spawn(move || each_line(stdout, |line| drop(from_stdout.send((true, line)))));
        scope.spawn(move || each_line(stderr, |line| drop(sender.send((false, line)))));
        let mut output = String::new();
        let (mut has_bar, mut n_begun) = (false, 0);
        loop {
            if let Err(stopped) = step.go_on() {
                child.kill().and_then(|()| child.wait()).context("ending a program")?;
                return Err(stopped.into());
            }
            let (is_stdout, line) = match lines.recv_timeout(BETWEEN_LOOKS) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            writeln!(log_file, "{line}").with_context(cannot_log)?;
            if is_stdout {
                output.push_str(&line);
                output.push('\n');
            }
            // cargo's machine-readable messages are not for people, and its bar tells more than its single lines.
            let text = line.trim();
            if let Some((n_done, n_crates)) = bar(text) {
                has_bar = true;
                step.has_compiled(n_done, Some(n_crates));
            } else if text.starts_with("Compiling ") && !has_bar {
                step.has_compiled(n_begun, None);
                n_begun += 1;
            }
            let is_for_people = !text.is_empty() && !text.starts_with('{');
            if is_for_people && (!has_bar || !text.starts_with("Compiling ")) {
                step.now(&shortened(text));
            }
        }
        let status = child.wait()?;
        if !status.success() {
            bail!("{doing} failed ({status}):\n{}\nthe whole log: {}", tail(log), log.display());
        }
        Ok(output)
    })
}

/// The program of this name, if cargo's JSON messages, a line each, announce it.
pub fn executable_named(name: &str, messages: &str) -> Option<PathBuf> {
    messages.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let is_it = message["target"]["name"] == name;
        is_it.then(|| message["executable"].as_str().map(PathBuf::from)).flatten()
    })
}

/// Calls `handle` with each line; a carriage return ends one too, because progress bars use it.
fn each_line(mut source: impl Read, mut handle: impl FnMut(String)) {
    let mut pending = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(n_bytes @ 1..) = source.read(&mut chunk) {
        for &byte in &chunk[..n_bytes] {
            match byte {
                b'\n' | b'\r' => {
                    if !pending.is_empty() {
                        handle(String::from_utf8_lossy(&pending).into_owned());
                    }
                    pending.clear();
                }
                _ => pending.push(byte),
            }
        }
    }
    if !pending.is_empty() {
        handle(String::from_utf8_lossy(&pending).into_owned());
    }
}

/// How many crates are compiled, and of how many, in cargo's bar: "Building [==>   ] 45/312: syn, serde".
fn bar(line: &str) -> Option<(usize, usize)> {
    let (_, numbers) = line.strip_prefix("Building [")?.split_once("] ")?;
    let (n_done, n_all) = numbers.split(':').next()?.split_once('/')?;
    Some((n_done.trim().parse().ok()?, n_all.trim().parse().ok()?))
}

/// cargo's bar without the drawing.
fn shortened(line: &str) -> String {
    match line.split_once("] ") {
        Some((_, rest)) if bar(line).is_some() => format!("Building {rest}"),
        _ => line.to_string(),
    }
}

/// The last lines of a log, indented, without the movements of progress bars.
fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let is_worth_quoting =
        |line: &&str| !line.starts_with(['{', '$']) && (!line.contains("] ") || line.contains("error"));
    let lines: Vec<_> = text.lines().filter(is_worth_quoting).collect();
    let first = lines.len().saturating_sub(N_QUOTED_LINES);
    lines[first..].iter().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

fn log_file(log: &Path) -> Result<File> {
    if let Some(folder) = log.parent() {
        fs::create_dir_all(folder).with_context(|| format!("making the folder {}", folder.display()))?;
    }
    File::create(log).with_context(|| format!("writing the log {}; is the disk full?", log.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Progress;

    fn error_of(command: Command, doing: &str, log: &Path) -> String {
        let result = Progress::new().run("test", "fails", |step| Ok((run(command, doing, log, step)?, String::new())));
        result.unwrap_err().to_string()
    }

    #[test]
    fn lines_end_at_newlines_and_at_carriage_returns() {
        let mut lines = Vec::new();
        each_line(&b"one\rtwo\r\nthree"[..], |line| lines.push(line));
        assert_eq!(lines, ["one", "two", "three"]);
    }

    #[test]
    fn a_program_is_found_among_the_messages_of_cargo() {
        let other = r#"{"reason":"compiler-artifact","target":{"name":"serde"},"executable":null}"#;
        let kernel =
            r#"{"reason":"compiler-artifact","target":{"name":"diabolo-kernel"},"executable":"/t/diabolo-kernel"}"#;
        assert_eq!(executable_named("diabolo-kernel", other), None);
        assert_eq!(executable_named("diabolo-kernel", "not a message"), None);
        assert_eq!(executable_named("diabolo-kernel", kernel), Some("/t/diabolo-kernel".into()));
        let all = format!("{other}\nnot a message\n{kernel}\n");
        assert_eq!(executable_named("diabolo-kernel", &all), Some("/t/diabolo-kernel".into()));
    }

    #[test]
    fn the_drawing_of_a_bar_is_left_out() {
        assert_eq!(shortened("Building [=====>      ] 45/312: syn, serde"), "Building 45/312: syn, serde");
        assert_eq!(shortened("Building [>           ] 3/312: syn"), "Building 3/312: syn");
        assert_eq!(shortened("Compiling syn v3.0.10"), "Compiling syn v3.0.10");
        assert_eq!(bar("Building [=====>      ] 45/312: syn, serde"), Some((45, 312)));
        assert_eq!(bar("Compiling syn v3.0.10"), None);
    }

    #[test]
    fn a_failing_command_tells_its_last_words_and_where_the_log_is() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("step.log");
        let mut command = Command::new("sh");
        let message_of_cargo = r#"echo '{"reason":"compiler-artifact","name":"thiserror"}'"#;
        command.args(["-c", &format!("{message_of_cargo}; echo no space left on device >&2; exit 3")]);
        let message = error_of(command, "installing it", &log);
        assert!(message.contains("installing it failed"), "{message}");
        assert!(message.contains("no space left on device") && !message.contains("thiserror"), "{message}");
        assert!(message.contains(log.to_str().unwrap()), "{message}");
    }

    #[test]
    fn a_program_is_ended_when_another_step_fails() {
        let folder = tempfile::tempdir().unwrap();
        let (progress, log) = (Progress::new(), folder.path().join("log"));
        let error = thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                let mut command = Command::new("sleep");
                command.arg("3600");
                progress.run("test", "waits", |step| Ok((run(command, "waiting", &log, step)?, String::new())))
            });
            let failing = progress.run("other", "fails", |_| -> Result<((), String)> { bail!("no network") });
            assert_eq!(failing.unwrap_err().to_string(), "no network");
            waiting.join().unwrap().unwrap_err()
        });
        assert!(error.is::<crate::progress::Stopped>(), "{error:#}");
    }

    #[test]
    fn a_missing_program_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let message = error_of(Command::new("no-such-program"), "doing it", &folder.path().join("log"));
        assert!(message.contains("cannot start `no-such-program`"), "{message}");
    }
}
