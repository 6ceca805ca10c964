//! The kernel's own commands, beside evcxr's.

use std::time::Duration;

use diabolo_protocol::MimeBundle;
use evcxr::EvalOutputs;

use crate::cell::Cell;

/// Lines added to evcxr's `:help`.
const HELP: &str = ":footer           Show below each cell how long it compiled and ran (on/off)";

/// A command that evcxr does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnCommand {
    /// Show the footer or not.
    Footer(bool),
    /// End the kernel.
    Quit,
}

/// The cell's command, if it is one of these.
pub fn own(code: &str) -> Option<OwnCommand> {
    // evcxr would end without a reply, wherever it stands.
    if Cell::new(code).has_command(":quit") {
        return Some(OwnCommand::Quit);
    }
    match code.split_whitespace().collect::<Vec<_>>()[..] {
        [":footer", "on"] => Some(OwnCommand::Footer(true)),
        [":footer", "off"] => Some(OwnCommand::Footer(false)),
        _ => None,
    }
}

/// evcxr's commands that do nothing in this kernel, or not all they say.
const WITHOUT_EFFECT: [(&str, &str); 5] = [
    (":opt", "no effect in this kernel: cells are always compiled with optimization"),
    (":linker", "`lld` has no effect in this kernel, whose cells have the compiler flags of the warm build"),
    (":time_passes", "no effect in this kernel, whose cells have the compiler flags of the warm build"),
    (":codegen_backend", "no effect in this kernel, whose cells have the compiler flags of the warm build"),
    (":timing", "no effect in this kernel: `:footer on` shows times"),
];

/// Says in a command's answer that it has no effect.
pub fn add_what_has_no_effect(code: &str, answer: &mut MimeBundle) {
    let cell = Cell::new(code);
    for (name, remark) in WITHOUT_EFFECT.iter().filter(|(name, _)| cell.has_command(name)) {
        answer.entry("text/plain".into()).or_default().push_str(&format!("{name}: {remark}\n"));
    }
}

/// Adds the own commands to evcxr's help, and says which of evcxr's have no effect.
pub fn add_own_help(code: &str, answer: &mut MimeBundle) {
    if code.trim() == ":help" {
        for text in answer.values_mut() {
            for (name, remark) in WITHOUT_EFFECT {
                *text = with_remark(text, name, &format!(" ({remark})"));
            }
        }
        if let Some(text) = answer.get_mut("text/plain") {
            text.push_str(&format!("\n{HELP}\n"));
        }
        if let Some(html) = answer.get_mut("text/html") {
            html.push_str(&format!("<pre>{HELP}</pre>"));
        }
    }
}

/// The text with a remark behind the line of a command.
fn with_remark(text: &str, command: &str, remark: &str) -> String {
    let is_of_command = |line: &str| {
        let line = line.trim_start_matches("<tr><td>");
        line.strip_prefix(command).is_some_and(|rest| rest.starts_with([' ', '<']))
    };
    let line = |line: &str| match is_of_command(line) {
        false => line.to_string(),
        true => match line.strip_suffix("</td></tr>") {
            Some(cells) => format!("{cells}{remark}</td></tr>"),
            None => format!("{line}{remark}"),
        },
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n") + "\n"
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

    #[test]
    fn quit_is_answered_here_wherever_it_stands() {
        assert_eq!(own("// bye\n:quit"), Some(OwnCommand::Quit));
        assert_eq!(own("let a = 1;\n:quit"), None);
    }

    #[test]
    fn help_says_which_commands_have_no_effect() {
        let text = ":opt              Set optimization level (0/1/2)\n:toolchain        Set\n".to_string();
        let html = "<table>\n<tr><td>:opt</td><td>Set</td></tr>\n</table>\n".to_string();
        let mut answer: MimeBundle = [("text/plain".to_string(), text), ("text/html".into(), html)].into();
        add_own_help(":help", &mut answer);
        assert!(answer["text/plain"].contains("(0/1/2) (no effect in this kernel: cells are always"));
        assert!(answer["text/plain"].contains(":toolchain        Set\n"));
        assert!(answer["text/html"].contains("<td>Set (no effect"));
        let mut answer = MimeBundle::from([("text/plain".to_string(), "Optimization: 0\n".to_string())]);
        add_what_has_no_effect(":opt 0", &mut answer);
        assert!(
            answer["text/plain"].ends_with("no effect in this kernel: cells are always compiled with optimization\n")
        );
    }
}
