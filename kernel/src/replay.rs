//! A cell's build without cargo, where all that cargo would do is call the compiler.
//!
//! Between two cells mostly the cells' own source changes. Cargo then reads every manifest below the notebook's dependencies
//! and looks at every file that it built, only to make the call that it made for the cell before. So that call is kept,
//! with the [`Traces`] of all that cargo looks at; where they are the same at the next cell, the call is made again from
//! here, and answered in cargo's words. Where anything differs, and where the compiler says anything of which cargo would
//! make more than a message, the real cargo runs.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::debug_display::WithTraits;
use crate::traces::{Found, Traces};

/// The file, in the folder of the cells' crate, that keeps the call.
const FILE: &str = "replay.json";

/// How cargo ends when the compiler has found errors.
const FAILED: i32 = 101;

/// A call of the compiler that cargo made, and what made it do so.
#[derive(Serialize, Deserialize)]
struct Record {
    traces: Traces,
    environment: Vec<(String, String)>,
    program: PathBuf,
    arguments: Vec<String>,
    /// Where the compiler leaves the library.
    compiled: PathBuf,
    /// Cargo's message that the library is there.
    artifact: Value,
}

/// The arguments of a build, where evcxr asks for one or for a check of a cell.
///
/// A check finds the same errors, but in its own files: cargo would compile all that the cell depends on once more for it.
/// evcxr asks for one where it does not know a type, as after a mistyped name.
pub fn as_build(arguments: &[OsString]) -> Option<Vec<OsString>> {
    let has = |wanted: &str| arguments.iter().any(|argument| argument == wanted);
    // rust-analyzer would check with other arguments.
    let is_cells = has("--target") && has("--message-format=json") && (has("build") || has("check"));
    let as_build = |argument: &OsString| if argument == "check" { "build".into() } else { argument.clone() };
    is_cells.then(|| arguments.iter().map(as_build).collect())
}

/// Does what `cargo`, the call of the real one, would do, and returns how it would end.
///
/// # Errors
/// The real cargo cannot be started.
pub fn build(cargo: &mut Command) -> io::Result<i32> {
    let folder = env::current_dir()?;
    let record = fs::read(folder.join(FILE)).ok().and_then(|text| serde_json::from_slice::<Record>(&text).ok());
    if let Some(record) = record
        && record.traces.hold(cargo, &folder)
        && let Some(code) = record.run(cargo, &folder)
    {
        return Ok(code);
    }
    let _ = fs::remove_file(folder.join(FILE));
    record_while(cargo, &folder)
}

impl Record {
    /// Makes the call again for the cell in `folder` and answers it. `None` where cargo is to be asked.
    fn run(&self, cargo: &Command, folder: &Path) -> Option<i32> {
        let with_traits = WithTraits::add(folder);
        let mut output = self.compile(cargo)?;
        if with_traits.is_some() {
            drop(with_traits);
            if !output.status.success() && WithTraits::is_to_blame(&String::from_utf8_lossy(&output.stderr)) {
                output = self.compile(cargo)?;
            }
        }
        let text = String::from_utf8(output.stderr).ok()?;
        let said: Vec<Said> = text.lines().map(|line| Said::of(line, &self.artifact)).collect();
        if !output.status.success() {
            // What is no message may be the compiler's own panic, of which cargo has more to say.
            let is_clear = output.status.code() == Some(1)
                && said.iter().all(|said| !matches!(said, Said::Text(_)))
                && said.iter().any(Said::is_error);
            return is_clear.then(|| self.answer(&output.stdout, &said, false)).flatten();
        }
        let library = PathBuf::from(self.artifact["filenames"][0].as_str()?);
        let _ = fs::remove_file(&library);
        // As cargo does it.
        fs::hard_link(&self.compiled, &library).or_else(|_| fs::copy(&self.compiled, &library).map(drop)).ok()?;
        self.answer(&output.stdout, &said, true)
    }

    /// Calls the compiler.
    fn compile(&self, cargo: &Command) -> Option<Output> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        like(&mut command, cargo);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        // The process of cells has the last one loaded, perhaps from this file.
        let _ = fs::remove_file(&self.compiled);
        command.stdin(Stdio::null()).output().ok()
    }

    /// Says what cargo would say.
    fn answer(&self, printed: &[u8], said: &[Said], is_success: bool) -> Option<i32> {
        let mut text = printed.to_vec();
        let mut log = Vec::new();
        for said in said {
            match said {
                Said::Message(message) => text.extend(format!("{message}\n").bytes()),
                Said::Text(line) => log.extend(format!("{line}\n").bytes()),
                Said::Nothing => {}
            }
        }
        if is_success {
            text.extend(format!("{}\n", self.artifact).bytes());
        }
        text.extend(format!("{}\n", json!({ "reason": "build-finished", "success": is_success })).bytes());
        io::stderr().write_all(&log).ok()?;
        io::stdout().write_all(&text).ok()?;
        Some(if is_success { 0 } else { FAILED })
    }
}

/// A line of the compiler's.
enum Said {
    /// A message, in cargo's envelope.
    Message(Value),
    /// No message.
    Text(String),
    /// A message that cargo keeps for itself.
    Nothing,
}

impl Said {
    fn of(line: &str, artifact: &Value) -> Self {
        let Ok(mut message) = serde_json::from_str::<Value>(line) else { return Self::Text(line.into()) };
        if message["$message_type"] != "diagnostic" {
            return Self::Nothing;
        }
        if let Some(rendered) = message["rendered"].as_str() {
            message["rendered"] = without_colours(rendered).into();
        }
        let mut envelope = json!({ "reason": "compiler-message", "message": message });
        for name in ["package_id", "manifest_path", "target"] {
            envelope[name] = artifact[name].clone();
        }
        Self::Message(envelope)
    }

    fn is_error(&self) -> bool {
        matches!(self, Self::Message(envelope) if envelope["message"]["level"] == "error")
    }
}

/// Text without the terminal's colours, which cargo asks the compiler for and takes out.
fn without_colours(text: &str) -> String {
    let mut pieces = text.split("\u{1b}[");
    let first = pieces.next().unwrap_or_default().to_string();
    let is_end = |character: char| ('@'..='~').contains(&character);
    let rest = pieces.map(|piece| piece.split_once(is_end).map_or(piece, |(_, after)| after));
    rest.fold(first, |whole, piece| whole + piece)
}

/// Runs the real cargo and keeps the call that it makes for the cell.
fn record_while(cargo: &mut Command, folder: &Path) -> io::Result<i32> {
    let started = SystemTime::now();
    let mut told = Command::new(cargo.get_program());
    // It names the compiler's call and environment then, in lines that are kept from whoever reads the rest.
    told.args(cargo.get_args()).arg("-vv");
    like(&mut told, cargo);
    let mut child = told.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let stdout = child.stdout.take().map(|stdout| thread::spawn(move || io::read_to_string(stdout)));
    let mut call = None;
    let mut is_half = false;
    for line in BufReader::new(child.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?).split(b'\n') {
        let line = line?;
        let text = String::from_utf8_lossy(&line);
        match text.trim_start().split(' ').next() {
            Some("Running") => call = text.trim_start().strip_prefix("Running `").and_then(Call::of).or(call),
            Some("Fresh" | "Dirty") => {}
            _ => {
                is_half |= text.contains("could not compile");
                io::stderr().write_all(&[&line[..], b"\n"].concat())?;
            }
        }
    }
    let printed = stdout.and_then(|thread| thread.join().ok()).unwrap_or(Err(io::ErrorKind::BrokenPipe.into()))?;
    let status = child.wait()?;
    let (answer, messages) = without_others_warnings(&printed, folder);
    if !status.success() && !is_half && !messages.iter().any(|message| message["reason"] == "compiler-message") {
        // It has failed before a compiler did, and all that it says is shown: without what was added above.
        end_with_parent(cargo);
        return cargo.status().map(code_of);
    }
    io::stdout().write_all(answer.as_bytes())?;
    if status.success()
        && let Some(record) = call.and_then(|call| record_of(call, &messages, folder, started, cargo))
        && let Ok(text) = serde_json::to_vec(&record)
    {
        // Without it the next build takes as long as this one.
        let _ = fs::write(folder.join(FILE), text);
    }
    Ok(code_of(status))
}

/// What cargo printed and the messages in it, without the warnings of dependencies. With `-vv` it tells those too, also of what it
/// compiled long ago, and evcxr takes each for an error of the cell.
fn without_others_warnings(printed: &str, folder: &Path) -> (String, Vec<Value>) {
    let (mut answer, mut messages) = (String::new(), vec![]);
    for line in printed.split_inclusive('\n') {
        let message = serde_json::from_str::<Value>(line).ok();
        if message.as_ref().is_some_and(|it| it["message"]["level"] == "warning" && !is_of_cells(it, folder)) {
            continue;
        }
        answer += line;
        messages.extend(message);
    }
    (answer, messages)
}

/// Is a message about the cells' crate, which is in `folder`?
fn is_of_cells(message: &Value, folder: &Path) -> bool {
    message["manifest_path"].as_str() == folder.join("Cargo.toml").to_str()
}

/// Gives a command the environment of another, and lets it end with this process.
fn like(command: &mut Command, other: &Command) {
    for (name, value) in other.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    end_with_parent(command);
}

/// Ends a command's process with this one, should that be killed: a kernel that is gone wants no build.
fn end_with_parent(command: &mut Command) {
    #[cfg(target_os = "linux")]
    // SAFETY: after the fork this only makes a call of the system.
    unsafe {
        std::os::unix::process::CommandExt::pre_exec(command, || {
            rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).map_err(Into::into)
        });
    }
    #[cfg(not(target_os = "linux"))]
    let _ = command;
}

fn code_of(status: ExitStatus) -> i32 {
    status.code().unwrap_or(FAILED)
}

/// What is to be kept of a build, where the next one can do without cargo.
fn record_of(call: Call, messages: &[Value], folder: &Path, started: SystemTime, cargo: &Command) -> Option<Record> {
    let is_own = |message: &&Value| message["reason"] == "compiler-artifact" && is_of_cells(message, folder);
    let artifact = messages.iter().find(is_own)?.clone();
    let library = PathBuf::from(artifact["filenames"][0].as_str()?);
    let after = |name: &str| call.arguments.iter().skip_while(|&argument| argument != name).nth(1);
    let is_cells = after("--crate-name")? == artifact["target"]["name"].as_str()?;
    if !is_cells || artifact["filenames"].as_array()?.len() != 1 {
        return None;
    }
    let compiled = Path::new(after("--out-dir")?).join(library.file_name()?);
    let found = Found { folder, messages, library: &library, cargo, rustc: &call.program };
    let traces = Traces::of(&found, started)?;
    let Call { environment, program, arguments } = call;
    Some(Record { traces, environment, program, arguments, compiled, artifact })
}

/// A call as cargo shows it.
#[derive(Debug, PartialEq, Eq)]
struct Call {
    environment: Vec<(String, String)>,
    program: PathBuf,
    arguments: Vec<String>,
}

impl Call {
    /// Reads what stands behind "Running" up to the last backtick.
    fn of(text: &str) -> Option<Self> {
        // A name that is no text has lost what it was.
        let text = Some(text).filter(|text| !text.contains(char::REPLACEMENT_CHARACTER))?;
        let mut words = words_of(text.trim_end().strip_suffix('`')?)?.into_iter().peekable();
        let mut environment = Vec::new();
        while let Some((name, value)) = words.peek()?.split_once('=') {
            environment.push((name.to_string(), value.to_string()));
            words.next();
        }
        let program = PathBuf::from(words.next()?);
        // A wrapper may do anything.
        (program.file_stem()? == "rustc").then(|| Self { environment, program, arguments: words.collect() })
    }
}

/// The words of a line for the shell, as cargo quotes them: in single quotes, with a backslash before others.
fn words_of(text: &str) -> Option<Vec<String>> {
    let mut words = vec![];
    let mut word: Option<String> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' => words.extend(word.take()),
            '\\' => word.get_or_insert_default().push(characters.next()?),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next()? {
                        '\'' => break,
                        quoted => word.push(quoted),
                    }
                }
            }
            // Cargo quotes otherwise where there is another shell.
            '"' | '`' | '$' => return None,
            plain => word.get_or_insert_default().push(plain),
        }
    }
    words.extend(word);
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_read_as_cargo_shows_it() {
        let call = Call::of(r#"CARGO_PKG_AUTHORS='' A='b c' /a/bin/rustc --cfg 'f="x y"' 'it'\''s' -L x=y`"#).unwrap();
        let variable = |name: &str, value: &str| (name.to_string(), value.to_string());
        assert_eq!(call.environment, [variable("CARGO_PKG_AUTHORS", ""), variable("A", "b c")]);
        assert_eq!(call.program, Path::new("/a/bin/rustc"));
        assert_eq!(call.arguments, ["--cfg", "f=\"x y\"", "it's", "-L", "x=y"]);
        for other in ["sccache rustc a.rs`", "rustc \u{fffd}.rs`", "rustc a.rs", "rustc 'a.rs`", "rustc \"a b\"`", "`"]
        {
            assert_eq!(Call::of(other), None, "{other}");
        }
    }

    #[test]
    fn a_message_is_what_cargo_makes_of_it() {
        let artifact = json!({ "package_id": "p", "manifest_path": "m", "target": { "name": "ctx" }, "filenames": [] });
        let line = r#"{"$message_type":"diagnostic","level":"error","rendered":"\u001b[0m\u001b[1;38;5;9merror\u001b[0m: no"}"#;
        let Said::Message(message) = Said::of(line, &artifact) else { panic!("it is one") };
        let wanted = json!({
            "reason": "compiler-message", "package_id": "p", "manifest_path": "m", "target": { "name": "ctx" },
            "message": { "$message_type": "diagnostic", "level": "error", "rendered": "error: no" },
        });
        assert_eq!(message, wanted);
        assert!(matches!(Said::of(r#"{"$message_type":"artifact","artifact":"a"}"#, &artifact), Said::Nothing));
        assert!(matches!(Said::of("thread 'rustc' panicked", &artifact), Said::Text(_)));
    }

    #[test]
    fn warnings_of_dependencies_are_left_out() {
        let line = |level: &str, folder: &str| {
            let manifest = format!("{folder}/Cargo.toml");
            format!(
                "{}\n",
                json!({ "reason": "compiler-message", "manifest_path": manifest, "message": { "level": level } })
            )
        };
        let kept =
            [line("error", "/dependency"), line("warning", "/cells"), "{\"reason\":\"build-finished\"}\n".into()];
        let printed = format!("{}{}{}{}", kept[0], line("warning", "/dependency"), kept[1], kept[2]);
        let (answer, messages) = without_others_warnings(&printed, Path::new("/cells"));
        assert_eq!((answer, messages.len()), (kept.concat(), 3));
    }

    #[test]
    fn only_builds_and_checks_of_cells_are_made_here_both_as_builds() {
        let made_of = |line: &str| {
            let arguments = as_build(&line.split(' ').map(OsString::from).collect::<Vec<_>>())?;
            Some(arguments.join(" ".as_ref()).into_string().unwrap())
        };
        let build = "--offline build --target x --message-format=json";
        assert_eq!(made_of(build).as_deref(), Some(build));
        assert_eq!(made_of("--offline check --target x --message-format=json").as_deref(), Some(build));
        for other in ["check --workspace --message-format=json", "build", "metadata --format-version=1", "clean"] {
            assert_eq!(made_of(other), None, "{other}");
        }
    }
}
