//! The students' files: which there are, and what is wrong with those that are refused.

use super::columns::{ID_COLUMNS, names_of, position_of, without_mark};
use super::relative;
use super::truth::Truth;
use anyhow::{Context, Result};
use diabolo::files::expand_home;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// The scores in the second column, in the order of preference; the course calls them "anomaly".
const SCORE_COLUMNS: [&str; 3] = ["score", "mse", "anomaly"];
/// What a line of a file may take, on average.
const BYTES_PER_LINE: u64 = 200;
/// Folders within a student's folder, as nbgrader and learning platforms make them.
const DEEPEST: usize = 6;

/// All files of a class.
pub struct Submissions {
    /// By name, one for each student who has a file that can be read: the last of them.
    pub accepted: Vec<Submission>,
    /// Every file that cannot be read.
    pub refused: Vec<Refused>,
}

/// A student's scores.
pub struct Submission {
    /// The name of the file or of the folder of tries.
    pub student: String,
    /// Where the scores are, in the folder of submissions.
    pub file: String,
    /// How many files the student has handed in, the refused ones too.
    pub n_tries: usize,
    /// One for each image, in the order of the truth; higher is more anomalous.
    pub scores: Vec<f64>,
}

/// A file that cannot be read.
pub struct Refused {
    /// Whose it is.
    pub student: String,
    /// Where it is, in the folder of submissions.
    pub file: String,
    /// How many files the student has handed in.
    pub n_tries: usize,
    /// Whether it decides, since the student has no other that can be read, and none later.
    pub counts: bool,
    /// Why.
    pub refusal: Refusal,
}

/// Why a file is refused.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What kind of fault it is.
    pub reason: Reason,
    /// What was found, for the student.
    pub found: String,
}

/// The kinds of faults, as the page groups them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    NotCsv,
    Columns,
    NotANumber,
    WrongLength,
    DoubledIds,
    MissingIds,
}

impl Reason {
    pub fn in_words(self) -> &'static str {
        match self {
            Self::NotCsv => "not a CSV file",
            Self::Columns => "other columns than id and score",
            Self::NotANumber => "scores that are not numbers",
            Self::WrongLength => "wrong number of rows",
            Self::DoubledIds => "doubled ids",
            Self::MissingIds => "missing ids",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}: {}", self.reason.in_words(), self.found)
    }
}

impl Submissions {
    /// Reads all files of a folder. A file is a student's only try; the CSV files in a folder are the tries of one student,
    /// in the order of their names.
    pub fn read(folder: &Path, truth: &Truth) -> Result<Self> {
        let folder = expand_home(folder)?;
        let tries = tries_in(&folder)?;
        let read: Vec<_> =
            tries.into_par_iter().map(|(student, files)| read_tries(&folder, truth, student, files)).collect();
        let mut submissions = Self { accepted: Vec::new(), refused: Vec::new() };
        for (accepted, refused) in read {
            submissions.accepted.extend(accepted);
            submissions.refused.extend(refused);
        }
        Ok(submissions)
    }
}

/// The last try that can be read, and those that cannot.
fn read_tries(
    folder: &Path,
    truth: &Truth,
    student: OsString,
    files: Vec<PathBuf>,
) -> (Option<Submission>, Vec<Refused>) {
    let student = student.to_string_lossy().into_owned();
    let n_tries = files.len();
    let (mut accepted, mut refused) = (None, Vec::new());
    for path in files {
        let file = relative(&path, folder);
        let student = student.clone();
        match read_file(&path, truth) {
            Ok(scores) => accepted = Some(Submission { student, file, n_tries, scores }),
            Err(refusal) => refused.push(Refused { student, file, n_tries, counts: false, refusal }),
        }
    }
    match (&accepted, refused.last_mut()) {
        (None, Some(last)) => last.counts = true,
        (None, None) => {
            let found = "the folder has no file that ends in .csv".to_string();
            let refusal = Refusal { reason: Reason::NotCsv, found };
            refused.push(Refused { file: student.clone(), student, n_tries, counts: true, refusal });
        }
        _ => {}
    }
    (accepted, refused)
}

/// Whose files lie in the folder, by name. Hidden ones are not looked at.
fn tries_in(folder: &Path) -> Result<BTreeMap<OsString, Vec<PathBuf>>> {
    let mut tries = BTreeMap::<OsString, Vec<PathBuf>>::new();
    for path in visible_in(folder).with_context(|| format!("reading the submissions {}", folder.display()))? {
        let Some(name) = path.file_name() else { continue };
        if is_folder(&path) {
            let files = tries.entry(name.to_os_string()).or_default();
            csv_files(&path, DEEPEST, files).with_context(|| format!("reading {}", path.display()))?;
        } else {
            tries.entry(path.file_stem().unwrap_or(name).to_os_string()).or_default().push(path);
        }
    }
    tries.values_mut().for_each(|files| files.sort_by_cached_key(|path| by_number(&path.to_string_lossy())));
    Ok(tries)
}

fn csv_files(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for path in visible_in(folder)? {
        if is_folder(&path) && depth > 0 {
            csv_files(&path, depth - 1, files)?;
        } else if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv")) {
            files.push(path);
        }
    }
    Ok(())
}

fn visible_in(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let is_visible = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        !name.starts_with('.') && name != "__MACOSX"
    };
    let paths: std::io::Result<Vec<PathBuf>> = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect();
    Ok(paths?.into_iter().filter(is_visible).collect())
}

/// A link is none, wherever it leads.
fn is_folder(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir())
}

/// Runs of digits are numbers, so that try 10 comes after try 9.
fn by_number(name: &str) -> Vec<(Option<u64>, String)> {
    let bytes = name.as_bytes().chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit());
    let part = |part: &[u8]| {
        let text = String::from_utf8_lossy(part).into_owned();
        (text.parse().ok(), text)
    };
    bytes.map(part).collect()
}

fn refuse<T>(reason: Reason, found: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { reason, found: found.into() })
}

/// The scores of one file, in the order of the truth.
fn read_file(path: &Path, truth: &Truth) -> Result<Vec<f64>, Refusal> {
    let metadata = match path.symlink_metadata() {
        Ok(metadata) if metadata.is_file() => metadata,
        Ok(_) => return refuse(Reason::NotCsv, "a link or a device, not a file"),
        Err(error) => return refuse(Reason::NotCsv, error.to_string()),
    };
    if metadata.len() > BYTES_PER_LINE * (truth.ids.len() as u64 + 100) {
        return refuse(Reason::NotCsv, format!("{} bytes, too many for {} rows", metadata.len(), truth.ids.len()));
    }
    match fs::read(path) {
        Ok(text) => read_scores(&text, truth),
        Err(error) => refuse(Reason::NotCsv, error.to_string()),
    }
}

/// The scores in the text of a file, in the order of the truth.
fn read_scores(text: &[u8], truth: &Truth) -> Result<Vec<f64>, Refusal> {
    let text = without_mark(text);
    if text.contains(&0) || str::from_utf8(text).is_err() {
        return refuse(Reason::NotCsv, "not text in UTF-8; save it as CSV, not as a spreadsheet");
    }
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(true).from_reader(text);
    let Ok(headers) = reader.headers() else { return refuse(Reason::NotCsv, "no first line") };
    let names = names_of(headers);
    let columns = (position_of(&ID_COLUMNS, &names), position_of(&SCORE_COLUMNS, &names));
    let (Some(id_column), Some(score_column)) = columns else {
        let first_line: String = names.join(",").chars().take(60).collect();
        let hint = if names.len() < 2 { "; columns are separated by commas" } else { "" };
        return refuse(Reason::Columns, format!("the first line is {first_line:?}, wanted \"id,anomaly\"{hint}"));
    };
    let mut scores = vec![f64::NAN; truth.ids.len()];
    let (mut n_rows, mut n_doubled, mut n_unknown) = (0, 0, 0);
    let (mut first_doubled, mut first_unknown) = (String::new(), String::new());
    let mut record = csv::ByteRecord::new();
    loop {
        match reader.read_byte_record(&mut record) {
            Ok(false) => break,
            Ok(true) => n_rows += 1,
            Err(error) => return refuse(Reason::NotCsv, error.to_string()),
        }
        let line = n_rows + 1;
        let (Some(id), Some(score)) = (record.get(id_column), record.get(score_column)) else {
            return refuse(Reason::NotCsv, format!("line {line} has {} columns, not {}", record.len(), names.len()));
        };
        let score_text = String::from_utf8_lossy(score);
        let Some(score) = score_text.parse().ok().filter(|score: &f64| !score.is_nan()) else {
            let shown: String = score_text.chars().take(20).collect();
            return refuse(Reason::NotANumber, format!("{shown:?} in line {line}"));
        };
        match truth.places.get(id) {
            Some(&place) if scores[place].is_nan() => scores[place] = score,
            known => {
                let (n, first) = match known {
                    Some(_) => (&mut n_doubled, &mut first_doubled),
                    None => (&mut n_unknown, &mut first_unknown),
                };
                *n += 1;
                if *n == 1 {
                    *first = String::from_utf8_lossy(id).chars().take(40).collect();
                }
            }
        }
    }
    let missing = || scores.iter().zip(&truth.ids).filter(|(score, _)| score.is_nan()).map(|(_, id)| id);
    let Some(first_missing) = missing().next() else {
        // More rows than images, all of which are there.
        return match n_doubled + n_unknown {
            0 => Ok(scores),
            _ => refuse(
                Reason::WrongLength,
                faults(n_rows, truth, [(n_doubled, "doubled", &first_doubled), (n_unknown, "unknown", &first_unknown)]),
            ),
        };
    };
    let facts = [
        (missing().count(), "missing", first_missing),
        (n_doubled, "doubled", &first_doubled),
        (n_unknown, "unknown", &first_unknown),
    ];
    let reason = match () {
        () if n_rows != truth.ids.len() => Reason::WrongLength,
        () if n_doubled > 0 => Reason::DoubledIds,
        () => Reason::MissingIds,
    };
    refuse(reason, faults(n_rows, truth, facts))
}

/// "9998 rows for 10000 images; 2 ids are missing, first 17".
fn faults<const N: usize>(n_rows: usize, truth: &Truth, facts: [(usize, &str, &String); N]) -> String {
    let mut said = format!("{n_rows} rows for {} images", truth.ids.len());
    for (n, what, first) in facts.into_iter().filter(|(n, ..)| *n > 0) {
        let ids = if n == 1 { "1 id is".to_string() } else { format!("{n} ids are") };
        said += &format!("; {ids} {what}, first {first}");
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truth() -> Truth {
        let lines: String = (0..10).map(|id| format!("{id},{}\n", id % 2)).collect();
        Truth::read(format!("id,anomaly\n{lines}").as_bytes()).unwrap()
    }

    fn scores(text: &str) -> Result<Vec<f64>, Refusal> {
        read_scores(text.as_bytes(), &truth())
    }

    fn rows(ids: impl IntoIterator<Item = usize>) -> String {
        ids.into_iter().map(|id| format!("{id},0.{id}\n")).collect()
    }

    #[track_caller]
    fn check_refused(text: &str, reason: Reason, found: &str) {
        let refusal = scores(text).unwrap_err();
        assert_eq!((refusal.reason, refusal.found.as_str()), (reason, found));
    }

    #[test]
    fn scores_come_in_the_order_of_the_truth() {
        let expected: Vec<f64> = (0..10).map(|id| f64::from(id) / 10.0).collect();
        assert_eq!(scores(&format!("id,anomaly\n{}", rows((0..10).rev()))).unwrap(), expected);
        let windows = format!("\u{feff}ID , Score\r\n{}", rows(0..10).replace('\n', "\r\n"));
        assert_eq!(scores(&windows).unwrap(), expected);
        let of_diabolo = rows(0..10).replace('\n', ",1\n");
        assert_eq!(scores(&format!("image,mse,anomaly\n{of_diabolo}")).unwrap(), expected);
    }

    #[test]
    fn every_fault_has_its_reason() {
        let all = rows(0..10);
        check_refused("PK\u{0}\u{1}", Reason::NotCsv, "not text in UTF-8; save it as CSV, not as a spreadsheet");
        check_refused(
            "id;anomaly\n0;1\n",
            Reason::Columns,
            "the first line is \"id;anomaly\", wanted \"id,anomaly\"; columns are separated by commas",
        );
        check_refused(&format!("id,anomaly\n{all}10\n"), Reason::NotCsv, "line 12 has 1 columns, not 2");
        check_refused(&format!("id,anomaly\n{}", all.replace("0.3", "nan")), Reason::NotANumber, "\"nan\" in line 5");
        check_refused(&format!("id,anomaly\n{}", all.replace("0.3", "")), Reason::NotANumber, "\"\" in line 5");
        check_refused(
            &format!("id,anomaly\n{}", rows((0..10).filter(|id| id % 9 != 3))),
            Reason::WrongLength,
            "9 rows for 10 images; 1 id is missing, first 3",
        );
        check_refused(
            &format!("id,anomaly\n{all}{}", rows([4])),
            Reason::WrongLength,
            "11 rows for 10 images; 1 id is doubled, first 4",
        );
        check_refused(
            &format!("id,anomaly\n{}", rows([0, 1, 2, 3, 4, 4, 6, 7, 8, 9])),
            Reason::DoubledIds,
            "10 rows for 10 images; 1 id is missing, first 5; 1 id is doubled, first 4",
        );
        check_refused(
            &format!("id,anomaly\n{}", rows(1..11)),
            Reason::MissingIds,
            "10 rows for 10 images; 1 id is missing, first 0; 1 id is unknown, first 10",
        );
        check_refused(
            "",
            Reason::Columns,
            "the first line is \"\", wanted \"id,anomaly\"; columns are separated by commas",
        );
    }

    #[test]
    fn the_tenth_try_comes_after_the_ninth() {
        let mut names = ["try_10.csv", "try_9.csv", "try_1.csv"];
        names.sort_by_key(|name| by_number(name));
        assert_eq!(names, ["try_1.csv", "try_9.csv", "try_10.csv"]);
    }
}
