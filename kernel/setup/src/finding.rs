//! The result of one check.

use std::fmt;

use serde_json::{Value, json};

/// How a part is, from well to not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Ok,
    /// Not there, and one can do without it.
    Note,
    Broken,
}

/// One part.
#[derive(Debug)]
pub struct Finding {
    pub name: String,
    pub state: State,
    /// Empty where there is none.
    pub version: String,
    pub detail: String,
    /// What mends it; empty where it is well.
    pub mend: String,
}

impl Finding {
    /// A part that is well.
    pub fn ok(name: &str, version: impl ToString, detail: impl ToString) -> Self {
        Self::new(name, State::Ok, version.to_string(), detail, "")
    }

    /// A part that one can do without.
    pub fn note(name: &str, detail: impl ToString, mend: impl ToString) -> Self {
        Self::new(name, State::Note, String::new(), detail, mend)
    }

    /// A part that is broken.
    pub fn broken(name: &str, detail: impl ToString, mend: impl ToString) -> Self {
        Self::new(name, State::Broken, String::new(), detail, mend)
    }

    /// A part that needs others which are broken: it counts as broken, since nobody knows.
    pub fn not_looked_at(name: &str) -> Self {
        Self::broken(name, "not looked at: mend the parts above first", "")
    }

    fn new(name: &str, state: State, version: String, detail: impl ToString, mend: impl ToString) -> Self {
        Self { name: name.into(), state, version, detail: detail.to_string(), mend: mend.to_string() }
    }

    /// An object with the five fields.
    pub fn as_json(&self) -> Value {
        json!({
            "name": self.name,
            "state": self.state.word(),
            "version": self.version,
            "detail": self.detail,
            "mend": self.mend,
        })
    }
}

impl State {
    /// As in the lines and in JSON.
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Broken => "broken",
        }
    }
}

/// One line, and a second one where something can be mended.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<7} {:<18} {:<14} {}", self.state.word(), self.name, self.version, self.detail)?;
        match self.mend.as_str() {
            "" => Ok(()),
            mend => write!(f, "\n{:42}mend: {mend}", ""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_part_says_on_a_second_line_what_mends_it() {
        let lines = Finding::broken("rust-src", "not there", "rustup component add rust-src").to_string();
        assert_eq!(lines.lines().count(), 2);
        assert!(lines.ends_with("mend: rustup component add rust-src"), "{lines}");
        assert_eq!(Finding::ok("rustc", "1.95.0", "").to_string().lines().count(), 1);
    }

    #[test]
    fn a_finding_has_five_fields_in_json() {
        let json = Finding::note("device", "CPU", "").as_json();
        assert_eq!(json["state"], "note");
        let fields = json.as_object().unwrap().keys().map(String::as_str).collect::<Vec<_>>();
        assert_eq!(fields, ["name", "state", "version", "detail", "mend"]);
    }
}
