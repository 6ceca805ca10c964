//! `diabolo grade`: the files of scores of a class become a table, a page and a CSV file.

mod columns;
mod page;
mod ranking;
mod submissions;
mod truth;

use crate::images::cause_of;
use crate::output::{say, tell, write_out};
use anyhow::{Context, Result, bail};
use diabolo::files::expand_home;
use diabolo::prelude::Table;
use ranking::{Class, Ranked};
use std::io::Write;
use std::path::{Path, PathBuf};
use submissions::{Refused, Submissions};
use truth::Truth;

/// What `diabolo grade` is told.
#[derive(clap::Args)]
pub struct Grade {
    /// A folder with a CSV file for each student, or with a folder of tries for each
    submissions: PathBuf,
    /// A CSV file with the columns id and anomaly (1 or 0) and a line for each test image
    #[arg(long, value_name = "FILE")]
    truth: PathBuf,
    /// The share of the images that is public, as in 0.5; the others, the private ones, make the ranks
    #[arg(long, value_name = "SHARE")]
    public: Option<f64>,
    /// Draws the public images; keep it to yourself
    #[arg(long, value_name = "N", default_value_t = 0, requires = "public")]
    seed: u64,
    /// Rank by the public images and show nothing of the private ones: for a page while the course goes on
    #[arg(long, requires = "public")]
    only_public: bool,
    /// The folder for index.html and grades.csv
    #[arg(long, value_name = "FOLDER", default_value = "grades")]
    out: PathBuf,
}

/// Which images a number is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Half {
    All,
    Public,
    Private,
}

impl Half {
    fn in_words(self) -> &'static str {
        match self {
            Self::All => "test images",
            Self::Public => "public images",
            Self::Private => "private images",
        }
    }
}

/// Ranks the submissions and writes the page and the CSV file.
pub fn grade(options: &Grade) -> Result<()> {
    let truth = Truth::open(&options.truth)?;
    let (ranks_by, half) = match options.public {
        None => (Half::All, None),
        Some(share) => {
            let half = truth.public_half(share, options.seed)?;
            (if options.only_public { Half::Public } else { Half::Private }, Some(half))
        }
    };
    let submissions = Submissions::read(&options.submissions, &truth)?;
    if submissions.accepted.is_empty() && submissions.refused.is_empty() {
        bail!("{} has no submissions; put a CSV file for each student into it", options.submissions.display());
    }
    let class = Class::rank(&truth, submissions, ranks_by, half.as_deref())?;

    say(table(&class))?;
    for Refused { student, file, refusal, .. } in &class.refused {
        say(format_args!("refused: {student} ({file}): {refusal}"))?;
    }
    let out = expand_home(&options.out)?;
    std::fs::create_dir_all(&out).with_context(|| format!("making the folder {}", out.display()))?;
    write_out(Some(&out.join("grades.csv")), |output, doing| write_csv(&class, output, doing))?;
    let page = page::render(&class);
    write_out(Some(&out.join("index.html")), |output, doing| {
        output.write_all(page.as_bytes()).context(doing.to_string())?;
        Ok(String::new())
    })?;
    tell(format_args!("{class}\nin {}", out.join("index.html").display()));
    Ok(())
}

/// The ranks for a terminal.
fn table(class: &Class) -> Table {
    let mut headers = vec!["rank", "student", "group", "AUC", "95 % interval", "to the next", "tries"];
    let shows_public = class.ranks_by == Half::Private;
    if shows_public {
        headers.insert(5, "public AUC");
    }
    let mut table = Table::new(&format!("by the {} {}", class.n_ranking, class.ranks_by.in_words()), &headers);
    for ranked in &class.ranked {
        let mut row = vec![
            ranked.rank.to_string(),
            ranked.student.clone(),
            ranked.group.to_string(),
            format!("{:.5}", ranked.auc.value),
            format!("{:.4} to {:.4}", ranked.auc.low, ranked.auc.high),
            to_next(ranked),
            ranked.n_tries.to_string(),
        ];
        if shows_public {
            row.insert(5, ranked.public.map(|public| format!("{:.5}", public.auc)).unwrap_or_default());
        }
        table.push(row);
    }
    table
}

/// "+0.0040 (-0.0012 to 0.0092)", or nothing for the last.
fn to_next(ranked: &Ranked) -> String {
    ranked.to_next.map_or(String::new(), |next| {
        let difference = next.difference;
        format!("{:+.4} ({:+.4} to {:+.4})", difference.value, difference.low, difference.high)
    })
}

/// A line for each student; who was refused has no rank.
fn write_csv(class: &Class, output: &mut dyn Write, doing: &str) -> Result<String> {
    let mut table = csv::Writer::from_writer(output);
    let mut write = |record: &[String]| table.write_record(record).map_err(cause_of).context(doing.to_string());
    let of_public = class.ranks_by == Half::Private;
    let mut columns = vec![
        "student",
        "rank",
        "group",
        "auc",
        "auc_low",
        "auc_high",
        "difference_to_next",
        "difference_low",
        "difference_high",
        "p_value",
        "tries",
        "file",
        "refusal",
    ];
    if of_public {
        columns.extend(["public_auc", "public_rank"]);
    }
    write(&columns.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    for ranked in &class.ranked {
        let next = |number: fn(&diabolo::metrics::AucComparison) -> f64| {
            ranked.to_next.as_ref().map(number).map(|number| number.to_string()).unwrap_or_default()
        };
        let mut row = vec![
            for_spreadsheets(&ranked.student),
            ranked.rank.to_string(),
            ranked.group.to_string(),
            ranked.auc.value.to_string(),
            ranked.auc.low.to_string(),
            ranked.auc.high.to_string(),
            next(|next| next.difference.value),
            next(|next| next.difference.low),
            next(|next| next.difference.high),
            next(|next| next.p_value),
            ranked.n_tries.to_string(),
            for_spreadsheets(&ranked.file),
            String::new(),
        ];
        if let Some(public) = ranked.public.filter(|_| of_public) {
            row.extend([public.auc.to_string(), public.rank.to_string()]);
        }
        write(&row)?;
    }
    // Who has an accepted file too has a row already.
    for refused in class.refused.iter().filter(|refused| refused.counts) {
        let cell = |column: &&str| match *column {
            "student" => for_spreadsheets(&refused.student),
            "tries" => refused.n_tries.to_string(),
            "file" => for_spreadsheets(&refused.file),
            "refusal" => refused.refusal.to_string(),
            _ => String::new(),
        };
        write(&columns.iter().map(cell).collect::<Vec<_>>())?;
    }
    table.flush().context(doing.to_string())?;
    Ok(String::new())
}

/// A spreadsheet program computes what begins like a formula; names of files are the students' own.
fn for_spreadsheets(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_string() }
}

/// A path as its folder's users say it.
fn relative(path: &Path, folder: &Path) -> String {
    path.strip_prefix(folder).unwrap_or(path).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_formula() {
        assert_eq!(for_spreadsheets("=HYPERLINK(\"x\")"), "'=HYPERLINK(\"x\")");
        assert_eq!(for_spreadsheets("b09901001"), "b09901001");
    }
}
