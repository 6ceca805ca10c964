//! Did a cell fail? Stock evcxr answers "ok" to a cell that panicked and to one whose `?` met an error.
//!
//! A panic is reported on stderr. An error met by `?` is printed on stderr without any mark, so a cell that ends in a
//! semicolon gets one more line, the probe, which prints a mark: no mark, no success. A cell that ends in an expression
//! cannot take a probe, but shows its value when it succeeds.

use serde_json::Value;

/// A line of code behind a cell, and what it prints.
pub struct Probe {
    /// The code.
    pub code: String,
    /// The text that it prints, on a line of its own.
    pub text: String,
}

/// What a cell left behind.
pub struct CellRun {
    /// Its outputs, as the notebook format has them.
    pub outputs: Vec<Value>,
    /// Did the probe after the cell run?
    pub reached_probe: bool,
}

/// The probe for a cell, if it takes one.
pub fn probe_for(source: &str) -> Option<Probe> {
    let text = "diabolo: this cell reached its end";
    code_before_comment(last_line_of_code(source)?)
        .ends_with(';')
        .then(|| Probe { code: format!("println!(\"{text}\");"), text: text.into() })
}

/// Why the cell failed, for people, or `None` if it did not.
pub fn failure(source: &str, run: &CellRun) -> Option<String> {
    if let Some(error) = run.outputs.iter().find(|output| output["output_type"] == "error") {
        return Some(message_of(error));
    }
    let shows_a_value = run.outputs.iter().any(|output| output["output_type"] == "execute_result");
    if run.reached_probe || shows_a_value {
        return None;
    }
    let stderr = stderr_of(&run.outputs);
    if let Some(panic) = panic_in(&stderr) {
        return Some(panic);
    }
    let message = stderr.trim();
    match probe_for(source) {
        Some(_) if message.is_empty() => Some("the cell did not reach its end".into()),
        Some(_) => Some(message.into()),
        None => (source.contains('?') && !message.is_empty()).then(|| message.into()),
    }
}

/// The message of a panic, without the stack.
fn panic_in(stderr: &str) -> Option<String> {
    let is_start = |line: &&str| line.starts_with("thread '") && line.contains(" panicked at ");
    let lines: Vec<_> = stderr
        .lines()
        .skip_while(|line| !is_start(line))
        .take_while(|line| *line != "stack backtrace:" && !line.starts_with("note: "))
        .collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// What an error output says: the report with the code where there is one.
fn message_of(error: &Value) -> String {
    let lines = error["traceback"].as_array().map(Vec::as_slice).unwrap_or_default();
    let traceback = lines.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n");
    let message = error["evalue"].as_str().unwrap_or("the cell failed and does not say why");
    let text = if traceback.is_empty() { message } else { &traceback };
    without_colours(text)
}

fn stderr_of(outputs: &[Value]) -> String {
    outputs.iter().filter(|output| output["name"] == "stderr").filter_map(|output| output["text"].as_str()).collect()
}

fn last_line_of_code(source: &str) -> Option<&str> {
    let is_code = |line: &&str| !line.is_empty() && !line.starts_with("//");
    let line = source.lines().map(str::trim).rfind(is_code)?;
    // evcxr's own commands and shell lines are no Rust.
    (!line.starts_with([':', '!'])).then_some(line)
}

/// The line without a comment after its semicolon; `//` elsewhere may be part of a text.
fn code_before_comment(line: &str) -> &str {
    match line.rsplit_once("//") {
        Some((code, _)) if code.trim_end().ends_with(';') => code.trim_end(),
        _ => line,
    }
}

/// The text without the escape sequences by which terminals show colours.
fn without_colours(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("\u{1b}[") {
        plain.push_str(&rest[..start]);
        rest = rest[start..].split_once('m').map_or("", |(_, after)| after);
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn stream(name: &str, text: &str) -> Value {
        json!({"output_type": "stream", "name": name, "text": text})
    }

    fn value() -> Value {
        json!({"output_type": "execute_result", "data": {"text/plain": "1"}})
    }

    fn verdict(source: &str, outputs: &[Value], reached_probe: bool) -> Option<String> {
        failure(source, &CellRun { outputs: outputs.to_vec(), reached_probe })
    }

    const PANIC: &str =
        "\nthread '<unnamed>' (16863) panicked at src/lib.rs:115:1:\noh no\nstack backtrace:\n   0: run\n";

    #[test]
    fn an_error_output_is_a_failure_told_without_colours() {
        let error = json!({"output_type": "error", "evalue": "mismatched", "traceback": ["\u{1b}[31m[E0308]\u{1b}[0m mismatched"]});
        assert_eq!(verdict("let x: i32 = \"\";", &[error], false).unwrap(), "[E0308] mismatched");
    }

    #[test]
    fn a_panic_is_a_failure_told_without_its_stack() {
        let message = verdict("panic!(\"oh no\")", &[stream("stderr", PANIC)], false).unwrap();
        assert_eq!(message, "thread '<unnamed>' (16863) panicked at src/lib.rs:115:1:\noh no");
    }

    #[test]
    fn a_panic_that_the_cell_survived_is_none() {
        assert_eq!(verdict("thread::spawn(f).join().is_err()", &[stream("stderr", PANIC), value()], false), None);
        assert_eq!(verdict("survive()?;", &[stream("stderr", PANIC)], true), None);
    }

    #[test]
    fn a_question_mark_that_met_an_error_is_a_failure() {
        let stderr = [stream("stderr", "opening x: no such file\n")];
        for source in ["open(\"x\")?", "let data = open(\"x\")?;", "let data = open(\"x\")?; // the data"] {
            assert_eq!(verdict(source, &stderr, false).unwrap(), "opening x: no such file", "{source}");
        }
        assert!(verdict("save()?;", &[], false).unwrap().contains("did not reach its end"));
    }

    #[test]
    fn warnings_of_a_cell_that_ended_well_are_no_failure() {
        let warning = || stream("stderr", "warning: slow disk\n");
        assert_eq!(verdict("let data = open(\"x\")?;", &[warning()], true), None);
        assert_eq!(verdict("open(\"x\")?", &[warning(), value()], false), None);
        assert_eq!(verdict("for _ in 0..2 { warn(); }", &[warning()], false), None);
    }

    #[test]
    fn only_a_cell_that_ends_in_a_semicolon_takes_a_probe() {
        assert!(probe_for("let data = open(\"x\")?;\n// a comment\n").is_some());
        assert!(probe_for("let data = open(\"http://x\")?;").is_some());
        for source in ["open(\"x\")?", "fn f() {}", ":dep x = \"?;\"", "", "// why?;"] {
            assert!(probe_for(source).is_none(), "{source}");
        }
    }
}
