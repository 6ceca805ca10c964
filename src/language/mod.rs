//! The language of what figures and tables say: English, or another one by a catalogue of texts.
//!
//! Texts are translated where they are drawn, and nowhere else: all other rooms know English alone. What the catalogue
//! does not have, names of classes and models and whatever a user writes among it, stays as it is. So do errors.

use crate::{Error, Result};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU8, Ordering};

/// The variable that chooses a language where [`language`] was not called.
const VARIABLE: &str = "DIABOLO_LANGUAGE";

/// English text, a tab and the translation on each line; `{1}` to `{9}` stand for texts and numbers.
const CATALOGUE: &str = include_str!("zh-TW.tsv");

const ENGLISH: u8 = 1;
const CHINESE: u8 = 2;

/// What [`language`] chose; 0 before its first call.
static CHOSEN: AtomicU8 = AtomicU8::new(0);

/// Chooses the language of the figures and tables that are shown from now on: `"en"`, or `"zh-TW"`, Traditional Chinese.
///
/// Without it the variable `DIABOLO_LANGUAGE` chooses, which `cargo diabolo lab` and `report` set for `--language`.
/// Names of classes and models, and errors, stay as they are.
///
/// # Errors
/// [`Error::Setting`] for another language.
///
/// # Example
/// ```
/// use diabolo::language::language;
/// language("zh-TW")?;
/// let table = diabolo::table::Table::new("", &["threshold"]);
/// assert!(table.to_html().contains("門檻"));
/// language("en")?;
/// assert!(table.to_html().contains("threshold"));
/// assert!(language("tlh").is_err());
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn language(name: &str) -> Result<()> {
    let known =
        known(name).ok_or_else(|| Error::setting("language", name, "en or zh-TW", "write language(\"zh-TW\")"))?;
    CHOSEN.store(known, Ordering::Relaxed);
    Ok(())
}

/// A text in the language that was chosen.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    static OF_VARIABLE: LazyLock<u8> =
        LazyLock::new(|| std::env::var(VARIABLE).ok().and_then(|name| known(&name)).unwrap_or(ENGLISH));
    let chosen = match CHOSEN.load(Ordering::Relaxed) {
        0 => *OF_VARIABLE,
        chosen => chosen,
    };
    if chosen == CHINESE { Catalogue::chinese().translated(text).into() } else { text.into() }
}

/// A language by its name, in the forms that people and operating systems write.
fn known(name: &str) -> Option<u8> {
    match name.to_ascii_lowercase().replace('_', "-").as_str() {
        "en" => Some(ENGLISH),
        "zh" | "zh-tw" => Some(CHINESE),
        _ => None,
    }
}

/// Texts and their translations.
struct Catalogue {
    whole: HashMap<&'static str, &'static str>,
    /// Those with holes, by the parts between these; what leaves least to the holes comes first.
    with_holes: Vec<(Vec<&'static str>, &'static str)>,
}

impl Catalogue {
    fn chinese() -> &'static Self {
        static CHINESE: LazyLock<Catalogue> = LazyLock::new(|| Catalogue::parse(CATALOGUE));
        &CHINESE
    }

    fn parse(text: &'static str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let (mut whole, mut with_holes) = (HashMap::new(), Vec::new());
        for (english, translation) in lines.filter_map(|line| line.split_once('\t')) {
            let parts = parts_between_holes(english);
            if parts.len() == 1 {
                whole.insert(english, translation);
            } else {
                with_holes.push((parts, translation));
            }
        }
        with_holes.sort_by_key(|(parts, _)| std::cmp::Reverse(parts.iter().map(|part| part.len()).sum::<usize>()));
        Self { whole, with_holes }
    }

    /// The translation; the text itself where there is none.
    fn translated(&self, text: &str) -> String {
        if let Some(&translation) = self.whole.get(text) {
            return translation.into();
        }
        let found = self.with_holes.iter().find_map(|(parts, translation)| Some((in_holes(parts, text)?, translation)));
        let Some((holes, translation)) = found else { return text.into() };
        // A hole is shorter than the text, so that this ends.
        let holes: Vec<_> = holes.into_iter().map(|hole| self.translated(hole)).collect();
        let mut filled = String::new();
        let mut rest = *translation;
        while let Some((before, number, after)) = next_hole(rest) {
            filled += before;
            filled += holes.get(number - 1).map_or("", String::as_str);
            rest = after;
        }
        filled + rest
    }
}

/// What stands before the first `{1}` to `{9}`, its number, and what stands behind it.
fn next_hole(text: &str) -> Option<(&str, usize, &str)> {
    let is_hole = |at: &usize| matches!(&text.as_bytes()[*at..], [b'{', b'1'..=b'9', b'}', ..]);
    let at = (0..text.len()).find(is_hole)?;
    Some((&text[..at], usize::from(text.as_bytes()[at + 1] - b'0'), &text[at + 3..]))
}

fn parts_between_holes(mut text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    while let Some((before, _, after)) = next_hole(text) {
        parts.push(before);
        text = after;
    }
    parts.push(text);
    parts
}

/// What stands in the holes between `parts`, where the text has them in this order; no hole is empty.
fn in_holes<'a>(parts: &[&str], text: &'a str) -> Option<Vec<&'a str>> {
    let (first, others) = parts.split_first()?;
    let (last, middle) = others.split_last()?;
    let mut rest = text.strip_prefix(first)?.strip_suffix(last)?;
    let mut holes = Vec::with_capacity(others.len());
    for part in middle {
        let (hole, after) = rest.split_once(part)?;
        holes.push(hole);
        rest = after;
    }
    holes.push(rest);
    holes.iter().all(|hole| !hole.is_empty()).then_some(holes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_filled_in_the_order_of_the_translation_and_translated_too() {
        let catalogue =
            Catalogue::parse("score\t分數\n{1} of {2}\t{2}的{1}\n{1}: {2} of {3} images\t{1}：{3}張中的{2}張");
        let translated = |text: &str| catalogue.translated(text);
        assert_eq!(translated("score"), "分數");
        assert_eq!(translated("score of a frog"), "a frog的分數");
        assert_eq!(translated("score: 3 of 12 images"), "分數：12張中的3張", "the longest text goes first");
        for same in ["", "frog", "of", " of a frog", "score of "] {
            assert_eq!(translated(same), same);
        }
    }

    #[test]
    fn a_language_is_known_by_any_of_its_names() {
        for name in ["zh-TW", "zh", "zh_TW", "ZH-tw"] {
            assert_eq!(known(name), Some(CHINESE), "{name}");
        }
        assert_eq!((known("en"), known("EN"), known("")), (Some(ENGLISH), Some(ENGLISH), None));
    }

    #[test]
    fn both_sides_of_every_line_have_the_same_holes_once() {
        let holes = |mut text: &str| {
            let mut numbers = Vec::new();
            while let Some((_, number, after)) = next_hole(text) {
                numbers.push(number);
                text = after;
            }
            numbers
        };
        let mut seen = std::collections::HashSet::new();
        for line in CATALOGUE.lines().filter(|line| !line.starts_with('#')) {
            let (english, translation) = line.split_once('\t').unwrap_or_else(|| panic!("no tab in {line:?}"));
            assert!(seen.insert(english), "{english:?} is there twice");
            let mut in_translation = holes(translation);
            in_translation.sort_unstable();
            assert_eq!(holes(english), Vec::from_iter(1..=in_translation.len()), "{line:?}");
            assert_eq!(in_translation, holes(english), "{line:?}");
        }
    }
}
