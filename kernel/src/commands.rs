//! The kernel's own commands, beside evcxr's.

use std::time::Duration;

use diabolo_protocol::MimeBundle;
use evcxr::EvalOutputs;

/// Lines added to evcxr's `:help`.
const HELP: &str = ":footer           Show below each cell how long it compiled and ran (on/off)";

/// A command that evcxr does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnCommand {
    /// Show the footer or not.
    Footer(bool),
}

/// The cell's command, if it is one of these.
pub fn own(code: &str) -> Option<OwnCommand> {
    match code.split_whitespace().collect::<Vec<_>>()[..] {
        [":footer", "on"] => Some(OwnCommand::Footer(true)),
        [":footer", "off"] => Some(OwnCommand::Footer(false)),
        _ => None,
    }
}

/// Adds the own commands to evcxr's help.
pub fn add_own_help(code: &str, answer: &mut MimeBundle) {
    if code.trim() == ":help" {
        if let Some(text) = answer.get_mut("text/plain") {
            text.push_str(&format!("\n{HELP}\n"));
        }
        if let Some(html) = answer.get_mut("text/html") {
            html.push_str(&format!("<pre>{HELP}</pre>"));
        }
    }
}

/// How long a cell compiled and ran.
pub fn footer(outputs: &EvalOutputs, whole: Duration) -> String {
    let run: Duration =
        outputs.phases.iter().filter(|phase| phase.name == "Execution").map(|phase| phase.duration).sum();
    let seconds = |duration: Duration| format!("{:.1} s", duration.as_secs_f64());
    format!("compile {} \u{b7} run {}", seconds(whole.saturating_sub(run)), seconds(run))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_turns_the_footer_on_and_off() {
        assert_eq!(own(":footer on"), Some(OwnCommand::Footer(true)));
        assert_eq!(own(" :footer  off\n"), Some(OwnCommand::Footer(false)));
        assert_eq!(own("let footer = 1;"), None);
    }
}
