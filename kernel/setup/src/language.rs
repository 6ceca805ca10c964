//! The languages that the notebooks' text is written in.

use clap::ValueEnum;

/// A language of the notebooks; their code is the same in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// English
    En,
    /// Traditional Chinese as written in Taiwan
    #[value(name = "zh-TW", alias = "zh")]
    ZhTw,
}

impl Language {
    /// The folder of its notebooks in a clone. All lie at one depth, so that paths in cells mean the same.
    pub fn folder(self) -> &'static str {
        match self {
            Self::En => "notebooks",
            Self::ZhTw => "notebooks-zh-TW",
        }
    }

    /// Its name in HTML.
    pub fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::ZhTw => "zh-TW",
        }
    }

    /// The folder of its book in the site; English is at the top.
    pub fn book(self) -> &'static str {
        match self {
            Self::En => "",
            Self::ZhTw => "zh-TW/",
        }
    }

    /// What tells cells the language of their figures and tables; in English they look at the user's own setting.
    pub fn variable(self) -> Option<(&'static str, String)> {
        (self != Self::En).then(|| ("DIABOLO_LANGUAGE", self.tag().into()))
    }

    /// Where `cargo diabolo report` writes unless told otherwise, in a clone.
    pub fn report_folder(self) -> &'static str {
        match self {
            Self::En => "target/report",
            Self::ZhTw => "target/report-zh-TW",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_is_named_with_or_without_its_region_in_any_case() {
        for name in ["zh-TW", "zh-tw", "zh"] {
            assert_eq!(Language::from_str(name, true), Ok(Language::ZhTw), "{name}");
        }
        assert_eq!(Language::from_str("en", true), Ok(Language::En));
        assert!(Language::from_str("de", true).is_err());
    }
}
