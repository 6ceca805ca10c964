//! Lines that begin with `!`: a shell runs them as it would in the user's terminal, and what they print comes as it comes.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::cell::Cell;
use crate::event::{Event, Stream};
use crate::failure::Failure;
use crate::scanner::{Item, Scanner};
use crate::shared::Shared;
use crate::source::Source;
use crate::users_environment;

/// How long a turn lasts where nothing is printed.
const TURN: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

/// A piece of a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// A line for the shell.
    Shell(String),
    /// The process of cells is to start anew.
    Restart,
    /// evcxr's commands and Rust, in lines where they stand in the cell.
    Code(String),
}

/// A cell in the pieces that are to be run one after the other, so that answers come in the order of the lines. Below the
/// first line of Rust nothing is for the shell. Dependencies stay with the Rust below them, which costs one compilation.
pub fn parts(code: &str) -> Vec<Part> {
    let cell = Cell::new(code);
    let (mut parts, mut commands, mut n_lines, mut has_commands, mut answers) =
        (Vec::new(), String::new(), 0, false, false);
    for (line, is_command) in cell.lines_above() {
        n_lines += line.matches('\n').count();
        let own = match line.strip_prefix('!') {
            Some(command) => Some(Part::Shell(command.trim().to_string())),
            None => (is_command && line.split_whitespace().next() == Some(":restart")).then_some(Part::Restart),
        };
        match own {
            Some(part) => {
                let before = ended(&mut commands, n_lines);
                parts.extend(Some(before).filter(|_| has_commands).map(Part::Code));
                parts.push(part);
                (has_commands, answers) = (false, false);
            }
            None => {
                commands += line;
                has_commands |= is_command;
                answers |= is_command && line.split_whitespace().next() != Some(":dep");
            }
        }
    }
    let has_rust = !cell.body().trim().is_empty();
    if has_rust && answers {
        parts.push(Part::Code(ended(&mut commands, n_lines)));
    }
    if parts.is_empty() || has_commands || has_rust {
        parts.push(Part::Code(commands + cell.body()));
    }
    parts
}

/// The lines so far, and in their place as many empty ones, since errors name the lines of the cell.
fn ended(lines: &mut String, n_lines: usize) -> String {
    std::mem::replace(lines, "\n".repeat(n_lines))
}

/// Runs a line for the shell.
///
/// # Errors
/// That it did not start, failed, or was interrupted.
pub fn run(shared: &Shared, line: &str) -> Result<(), Failure> {
    shared.interrupts.begin();
    if shared.queue.is_stopped() {
        let _ = shared.interrupts.end();
        return Err(interrupted(line));
    }
    let result = run_in_shell(shared, line);
    let request = shared.interrupts.end();
    match result {
        _ if request.is_some() => Err(interrupted(line)),
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new("ShellCommand", format!("`!{line}` failed: {status}"))),
        Err(error) => Err(Failure::new("ShellCommand", format!("`!{line}` could not be run: {error:#}"))),
    }
}

fn interrupted(line: &str) -> Failure {
    Failure::new("Interrupted", format!("`!{line}` was interrupted; all variables are kept"))
}

fn run_in_shell(shared: &Shared, line: &str) -> Result<ExitStatus> {
    let mut command = Command::new("sh");
    command.args(["-c", line]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    users_environment::give_to(&mut command);
    let mut shell = command.spawn().context("starting `sh`")?;
    shared.interrupts.set_shell(Some(shell.id()));
    let status = watch(shared, &mut shell);
    shared.interrupts.set_shell(None);
    status
}

/// Shows what a shell prints until it ends; what it left running in the background is not waited for.
fn watch(shared: &Shared, shell: &mut Child) -> Result<ExitStatus> {
    let stdout = shell.stdout.take().context("its output")?;
    let stderr = shell.stderr.take().context("its errors")?;
    let mut outputs = [
        Source::new(stdout, Scanner::of_text(Stream::Stdout))?,
        Source::new(stderr, Scanner::of_text(Stream::Stderr))?,
    ];
    loop {
        wait_for(&outputs)?;
        let status = shell.try_wait()?;
        for output in &mut outputs {
            let mut items = output.read_what_was_written()?;
            items.extend(output.read()?);
            items.extend(if status.is_some() { output.finish() } else { output.partial_line() });
            show(shared, items);
        }
        if let Some(status) = status {
            shared.display().flush();
            return Ok(status);
        }
    }
}

fn show(shared: &Shared, items: Vec<Item>) {
    for item in items {
        if let Item::Event(Event::Text { stream, text }) = item {
            shared.display().take_text(stream, &text);
        }
    }
}

fn wait_for(outputs: &[Source]) -> Result<()> {
    let open = outputs.iter().filter(|output| output.is_open());
    let mut waiting: Vec<_> = open.map(|output| PollFd::from_borrowed_fd(output.descriptor(), PollFlags::IN)).collect();
    match poll(&mut waiting, Some(&TURN)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error).context("waiting for what it prints"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(line: &str) -> Part {
        Part::Shell(line.into())
    }

    fn code(code: &str) -> Part {
        Part::Code(code.into())
    }

    #[test]
    fn lines_for_the_shell_are_run_where_they_stand() {
        assert_eq!(parts("!echo a\nprintln!(\"b\");"), [shell("echo a"), code("\nprintln!(\"b\");")]);
        assert_eq!(
            parts(":vars\n!ls\n\n:dep a\nlet b = 1;"),
            [code(":vars\n"), shell("ls"), code("\n\n\n:dep a\nlet b = 1;")]
        );
        assert_eq!(parts("// two\n!a\n! b\n"), [shell("a"), shell("b")]);
    }

    #[test]
    fn commands_answer_before_the_rust_below_them_and_dependencies_are_compiled_with_it() {
        assert_eq!(parts(":vars\n1 + 1"), [code(":vars\n"), code("\n1 + 1")]);
        assert_eq!(parts(":dep a\n1 + 1"), [code(":dep a\n1 + 1")]);
        assert_eq!(parts(":dep a\n:vars\n"), [code(":dep a\n:vars\n")]);
        assert_eq!(parts(":restart\nlet b = 1;"), [Part::Restart, code("\nlet b = 1;")]);
    }

    #[test]
    fn rust_is_rust() {
        for rust in ["let ok = a &&\n!b;", "", "1 + 1\n", " !flag"] {
            assert_eq!(parts(rust), [code(rust)]);
        }
    }
}
