//! How a cell's text is read: commands first, Rust from the first other line on.
//!
//! The rule is evcxr's, which takes a line for a command if it begins with `:` or `!` and no Rust stands above it. What
//! evcxr does not know is added here: comments of every kind may stand above commands, and `::std` begins a path.

use std::path::Path;

use ra_ap_parser::LexedStr;
use ra_ap_syntax::{Edition, SyntaxKind};
use toml::{Table, Value};

use crate::failure::Failure;
use crate::{imports, nesting};

/// A cell's text, divided into what stands above its Rust, and that.
pub struct Cell<'a> {
    code: &'a str,
    head: Vec<Line<'a>>,
    /// Where the Rust begins.
    body: usize,
}

/// A line above the Rust.
struct Line<'a> {
    start: usize,
    text: &'a str,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `:name ...`, or `!` and a line for the shell.
    Command,
    /// A comment, or nothing.
    Blank,
}

/// A cell as evcxr is to see it.
pub struct Shown {
    pub text: String,
    /// How many bytes were put before the cell's first.
    n_before: usize,
}

impl<'a> Cell<'a> {
    /// Divides a cell's text.
    pub fn new(code: &'a str) -> Self {
        let (mut head, mut start) = (Vec::new(), 0);
        while start < code.len() {
            let end = code[start..].find('\n').map_or(code.len(), |length| start + length + 1);
            let text = code[start..end].trim_end_matches(['\n', '\r']);
            let trimmed = text.trim_start();
            let is_command =
                text.starts_with('!') || (text.trim_start_matches(' ').starts_with(':') && !trimmed.starts_with("::"));
            let (kind, end) = match trimmed {
                _ if is_command => (Kind::Command, end),
                "" => (Kind::Blank, end),
                _ => match comment_end(code, start) {
                    Some(end) => (Kind::Blank, end),
                    None => break,
                },
            };
            head.push(Line { start, text: code[start..end].trim_end_matches(['\n', '\r']), kind });
            start = end;
        }
        Self { code, head, body: start }
    }

    /// The commands, as they are written.
    pub fn commands(&self) -> impl Iterator<Item = &'a str> {
        self.head.iter().filter(|line| line.kind == Kind::Command).map(|line| line.text)
    }

    /// The lines above the Rust with their ends, and whether each is a command; a comment of several lines is one.
    pub fn lines_above(&self) -> impl Iterator<Item = (&'a str, bool)> {
        let ends = self.head.iter().skip(1).map(|line| line.start).chain([self.body]);
        self.head.iter().zip(ends).map(|(line, end)| (&self.code[line.start..end], line.kind == Kind::Command))
    }

    /// The Rust.
    pub fn body(&self) -> &'a str {
        &self.code[self.body..]
    }

    /// Is there a command `name`, such as `:dep`?
    pub fn has_command(&self, name: &str) -> bool {
        self.commands().any(|line| line.split_whitespace().next() == Some(name))
    }

    /// The cell with blanks in place of commands, so that asking evcxr about it does nothing. Positions stay what they are.
    pub fn without_commands(&self) -> String {
        let mut text = blanked(&self.code[..self.body]);
        text.push_str(&self.code[self.body..]);
        text
    }

    /// What evcxr may see to answer a question about the byte `position`: Rust without commands, or where the position is
    /// in a command, that line alone.
    pub fn shown_for_analysis(&self, position: usize) -> Shown {
        let is_here = |line: &&Line| (line.start..=line.start + line.text.len()).contains(&position);
        match self.head.iter().filter(|line| line.kind == Kind::Command).find(is_here) {
            Some(line) => {
                let end = line.start + line.text.len();
                let text = [&blanked(&self.code[..line.start]), line.text, &blanked(&self.code[end..])].concat();
                Shown { text, n_before: 0 }
            }
            None => self.guarded(self.without_commands()),
        }
    }

    /// Keeps evcxr from taking a path that begins the Rust, `::std::...`, for a command: that begins after blanks alone.
    fn guarded(&self, mut text: String) -> Shown {
        if !self.code[self.body..].trim_start_matches(' ').starts_with(':') {
            return Shown { text, n_before: 0 };
        }
        text.insert(0, '\t');
        // The tab is to stand on the line of the path.
        let n_before = 1;
        let head: String = text[..self.body + n_before].chars().map(|it| if it == '\n' { ' ' } else { it }).collect();
        Shown { text: head + &text[self.body + n_before..], n_before }
    }

    /// The cell that evcxr is to run: dependencies by whole paths from `folder`, imports as it remembers them.
    ///
    /// # Errors
    /// What evcxr would misread without a word, or not survive.
    pub fn to_run(&self, folder: &Path) -> Result<String, Failure> {
        let mut text = String::with_capacity(self.code.len());
        let last_command = self.head.iter().rposition(|line| line.kind == Kind::Command);
        for (number, line) in self.head.iter().enumerate() {
            let end = self.head.get(number + 1).map_or(self.body, |next| next.start);
            let whole = &self.code[line.start..end];
            match line.kind {
                Kind::Command => text += &whole.replacen(line.text, &with_whole_path(line.text, folder), 1),
                // evcxr looks for no command below a comment that does not begin its line.
                Kind::Blank if last_command.is_some_and(|last| number < last) => text += &blanked(whole),
                Kind::Blank => text += whole,
            }
        }
        let body = &self.code[self.body..];
        self.check(body)?;
        if body.trim_start_matches(' ').starts_with(':') {
            text.push('\t');
        }
        Ok(text + &imports::as_remembered(body))
    }

    /// Looks for what evcxr cannot take.
    fn check(&self, body: &str) -> Result<(), Failure> {
        let fails = |trouble: nesting::Trouble| {
            let line = 1 + self.code[..self.body + trouble.position].matches('\n').count();
            Failure::at_line("CompilationError", trouble.message, line, self.code)
        };
        nesting::check(body).map_err(fails)
    }
}

impl Shown {
    /// Where a position of the cell is in what is shown.
    pub fn inward(&self, position: usize) -> usize {
        position + self.n_before
    }

    /// Where a position in what is shown is in the cell.
    pub fn outward(&self, position: usize) -> usize {
        position.saturating_sub(self.n_before)
    }
}

/// The same number of bytes, in lines of the same length.
fn blanked(text: &str) -> String {
    text.bytes().map(|byte| if byte == b'\n' || byte == b'\r' { char::from(byte) } else { ' ' }).collect()
}

/// The end of the lines that are filled by the comment which begins at `start`.
fn comment_end(code: &str, start: usize) -> Option<usize> {
    let rest = code[start..].trim_start();
    // Documentation and inner attributes belong to items.
    let is_comment = ["//", "/*"].iter().any(|begin| rest.starts_with(begin));
    let is_documentation = ["///", "//!", "/**", "/*!"].iter().any(|begin| rest.starts_with(begin));
    if !is_comment || (is_documentation && !rest.starts_with("////")) {
        return None;
    }
    let lexed = LexedStr::new(Edition::CURRENT, rest);
    if lexed.kind(0) != SyntaxKind::COMMENT || lexed.error(0).is_some() {
        return None;
    }
    let after = code.len() - rest.len() + lexed.text_len(0);
    let line_end = code[after..].find('\n').map_or(code.len(), |length| after + length + 1);
    code[after..line_end].trim().is_empty().then_some(line_end)
}

/// A `:dep` line whose path is whole, in the words in which another line that names the same folder is whole too: evcxr
/// compares text, and what it knows already costs nothing. Other lines are left as they are.
fn with_whole_path(line: &str, folder: &Path) -> String {
    rewritten_dependency(line, folder).unwrap_or_else(|| line.to_string())
}

fn rewritten_dependency(line: &str, folder: &Path) -> Option<String> {
    let arguments = line.trim_start().strip_prefix(":dep ")?.trim();
    if arguments.starts_with(['.', '/']) && !arguments.contains('=') {
        return Some(format!(":dep {}", folder.join(arguments).canonicalize().ok()?.display()));
    }
    let (name, value) = arguments.split_once('=')?;
    let parsed = |value: &str| format!("value = {value}").parse::<Table>().ok()?.remove("value");
    let without_comment = value.rsplit_once(" //").map_or(value, |(value, _)| value);
    let Value::Table(mut table) = parsed(value).or_else(|| parsed(without_comment))? else {
        return (without_comment != value && parsed(value).is_none())
            .then(|| format!(":dep {} ={without_comment}", name.trim()));
    };
    if let Some(path) = table.get("path").and_then(Value::as_str) {
        let whole = folder.join(path).canonicalize().ok()?.to_str()?.to_string();
        table.insert("path".into(), whole.into());
    }
    let fields: Vec<String> = table.iter().map(|(key, value)| format!("{key} = {value}")).collect();
    Some(format!(":dep {} = {{ {} }}", name.trim(), fields.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(code: &str) -> Vec<&str> {
        Cell::new(code).commands().collect()
    }

    #[test]
    fn commands_stand_above_the_first_line_of_rust() {
        assert_eq!(commands(":dep a = \"1\"\n\n// why\n  :vars\r\nlet b = 1;\n:type b"), [":dep a = \"1\"", "  :vars"]);
        assert_eq!(commands("/* crates\n of it */\n  // more\n:dep a\n!ls\n1"), [":dep a", "!ls"]);
        for rust in ["::std::println!();", "  ::std::f()", "/* a */ f();\n:vars", "/// doc\n:vars", "let x =\n    !y;"]
        {
            assert!(commands(rust).is_empty(), "{rust}");
        }
    }

    #[test]
    fn without_commands_every_position_is_kept() {
        let code = ":dep é = \"1\"\nlet a = b";
        let blank = Cell::new(code).without_commands();
        assert_eq!(blank, format!("{}\nlet a = b", " ".repeat(":dep é = \"1\"".len())));
        let shown = Cell::new("::std::f").shown_for_analysis(8);
        assert_eq!((shown.text.as_str(), shown.inward(8), shown.outward(9)), ("\t::std::f", 9, 8));
        let below = Cell::new(":vars\n::std::f").shown_for_analysis(14);
        assert_eq!((below.text.as_str(), below.inward(6)), ("\t      ::std::f", 7));
    }

    #[test]
    fn where_a_command_is_asked_about_evcxr_sees_it_alone() {
        let code = ":restart\n:de\nlet a = 1;";
        assert_eq!(Cell::new(code).shown_for_analysis(12).text, "        \n:de\n          ");
    }

    #[test]
    fn dependencies_by_path_are_named_alike() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("notebooks");
        std::fs::create_dir(&below).unwrap();
        let whole = folder.path().canonicalize().unwrap();
        let wanted = format!(":dep diabolo = {{ path = \"{}\" }}", whole.display());
        for line in [
            ":dep diabolo = { path = \"..\" }".to_string(),
            ":dep diabolo={path=\"../\"}".into(),
            format!(":dep diabolo = {{ path = \"{}/notebooks/..\" }}", whole.display()),
        ] {
            assert_eq!(with_whole_path(&line, &below), wanted);
        }
        assert_eq!(with_whole_path(":dep ..", &below), format!(":dep {}", whole.display()));
        for same in [":dep itoa = \"1\"", ":dep itoa", ":vars", ":dep a = { path = \"nowhere\" }", ":dep a = {"] {
            assert_eq!(with_whole_path(same, &below), same);
        }
        assert_eq!(with_whole_path(":dep itoa = \"1\" // newest", &below), ":dep itoa = \"1\"");
    }

    #[test]
    fn what_runs_keeps_its_lines() {
        let run = |code: &str| Cell::new(code).to_run(Path::new("/"));
        assert_eq!(run("/* é */\n:vars\n1").unwrap(), format!("{}\n:vars\n1", " ".repeat("/* é */".len())));
        assert_eq!(run("// a\n1").unwrap(), "// a\n1");
        assert_eq!(run("::std::f();").unwrap(), "\t::std::f();");
        let failure = run("// one\nlet a = 1;\n:vars").unwrap_err();
        assert!(failure.message.contains("commands stand above"), "{}", failure.message);
        assert!(failure.traceback.join("\n").contains("line 3"), "{:?}", failure.traceback);
    }

    #[test]
    fn any_text_can_be_read_and_positions_stay() {
        let pieces = [
            "\n",
            "\r\n",
            " ",
            "\t",
            ":dep a = { path = \"..\" }",
            ":",
            "::",
            "!ls",
            "//",
            "/*",
            "*/",
            "é",
            "\u{1f980}",
            "use a::{self, *};",
            "use {",
            "}",
            "{",
            "(",
            ")",
            "\"",
            "'a",
            "r#\"",
            "let x = 1;",
            "---",
            "#!",
            "else",
            ";",
        ];
        // A linear congruential generator: the same texts every time.
        let mut state = 1u64;
        let mut below = |n: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % n
        };
        for _ in 0..3_000 {
            let code: String = (0..below(12)).map(|_| pieces[below(pieces.len())]).collect();
            let cell = Cell::new(&code);
            assert_eq!(cell.without_commands().len(), code.len(), "{code:?}");
            let _ = cell.to_run(Path::new("/"));
            for position in (0..=code.len()).filter(|&position| code.is_char_boundary(position)) {
                let shown = cell.shown_for_analysis(position);
                assert!(shown.text.is_char_boundary(shown.inward(position)), "{code:?}");
                assert_eq!(shown.outward(shown.inward(position)), position);
            }
        }
    }
}
