//! Bad input at every door, in one table: what it is, how it comes, and the sentence that it must be answered with.
//!
//! Every sentence says what was done, what was seen, what was wanted and the next step; nothing panics.

#[expect(dead_code, reason = "most of it is for other tests")]
mod common;
#[path = "common/npz.rs"]
mod npz;

#[path = "bad_inputs/arrays.rs"]
mod arrays;
#[path = "bad_inputs/detectors.rs"]
mod detectors;
#[path = "bad_inputs/files.rs"]
mod files;
#[path = "bad_inputs/models.rs"]
mod models;
#[path = "bad_inputs/numbers.rs"]
mod numbers;

use diabolo::Result;
use std::any::Any;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// What is done, in an empty folder of its own.
type Attempt = Box<dyn Fn(&Path) -> Result<()>>;

/// One bad input.
pub struct Case {
    name: &'static str,
    attempt: Attempt,
    /// Parts of the sentence.
    parts: &'static [&'static str],
}

/// A line of the table.
pub fn case<T>(
    name: &'static str,
    attempt: impl Fn(&Path) -> Result<T> + 'static,
    parts: &'static [&'static str],
) -> Case {
    Case { name, attempt: Box::new(move |folder| attempt(folder).map(drop)), parts }
}

#[test]
fn every_bad_input_is_answered_with_its_sentence_and_none_with_a_panic() {
    let rooms = [files::cases(), arrays::cases(), models::cases(), numbers::cases(), detectors::cases()];
    let cases: Vec<Case> = rooms.into_iter().flatten().collect();
    let names: HashSet<&str> = cases.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), cases.len(), "two cases have one name");
    assert!(cases.len() >= 120, "{} cases", cases.len());

    let wrong: Vec<String> =
        cases.iter().filter_map(|case| Some(format!("{}: {}", case.name, complaint(case)?))).collect();
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// What is wrong with the answer to a bad input, if anything.
fn complaint(case: &Case) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let answer = match catch_unwind(AssertUnwindSafe(|| (case.attempt)(folder.path()))) {
        Err(panic) => return Some(format!("it panics: {}", words_of(panic.as_ref()))),
        Ok(Ok(())) => return Some("it is accepted".into()),
        Ok(Err(error)) => error.to_string(),
    };
    if let Some(part) = case.parts.iter().find(|part| !answer.contains(**part)) {
        return Some(format!("{part:?} is missing in {answer:?}"));
    }
    let has_next_step = answer.rsplit_once("; ").is_some_and(|(_, next_step)| next_step.len() > 3);
    (!has_next_step || answer.ends_with('.')).then(|| format!("no next step, or a full stop, in {answer:?}"))
}

fn words_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or(panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without words")
}
