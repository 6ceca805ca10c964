//! Scores of images, a part at a time; several processes take turns, and process 0 writes what one process would.

use crate::output::write_out;
use crate::progress::Bar;
use crate::whole_message;
use anyhow::{Context, Result, anyhow};
use diabolo::data::{ImageStream, Part};
use diabolo::metrics::roc_auc;
use diabolo::together::{Together, gather_bytes};
use std::io;
use std::path::Path;

/// What a process says of its part: the lines of a table, or why there are none. Without a part it says nothing.
const TABLE: u8 = b'+';
const ERROR: u8 = b'-';

/// All scores, and what is known of the images.
#[derive(Debug, Default)]
pub struct Scored {
    pub scores: Vec<f64>,
    /// Images that a threshold calls anomalies.
    pub n_called: usize,
    /// For each image, as far as it is known of all.
    anomalies: Vec<bool>,
}

impl Scored {
    /// The AUC in words, where anomalies are known.
    pub fn auc(&self) -> String {
        if self.anomalies.len() < self.scores.len() {
            return String::new();
        }
        match roc_auc(&self.scores, &self.anomalies) {
            Ok(auc) => format!(", AUC {auc:.4}"),
            Err(error) => format!(", no AUC: {error}"),
        }
    }

    /// Takes note of the lines of a table, by the names of its columns.
    fn note(&mut self, table: &[u8], score: &str) -> Result<()> {
        let mut table = csv::Reader::from_reader(table);
        let header = table.headers()?.clone();
        let column = |name: &str| header.iter().position(|column| column == name);
        let [score, anomaly, called] = [score, "anomaly", "is_anomaly"].map(column);
        for line in table.records() {
            let line = line?;
            let cell = |column: Option<usize>| column.and_then(|column| line.get(column));
            self.scores.push(cell(score).context("a line without a score")?.parse()?);
            self.anomalies.extend(cell(anomaly).map(|cell| cell == "1"));
            self.n_called += usize::from(cell(called) == Some("1"));
        }
        Ok(())
    }
}

/// Writes a line for each image; `table_of` makes those of a part, with a header in which the scores are called `score`.
/// Gives what process 0 has written; other processes write nothing and get `None`.
pub fn write(
    together: &dyn Together,
    stream: ImageStream,
    out: Option<&Path>,
    score: &str,
    table_of: impl Fn(Part) -> Result<Vec<Vec<String>>>,
) -> Result<Option<Scored>> {
    let n_images = stream.n_images();
    let mut stream = stream.share(together.rank(), together.size());
    let mut next_tables = || -> Result<Vec<Vec<u8>>> {
        let said = match stream.next().map(|part| table_of(part?)) {
            None => Vec::new(),
            Some(Ok(lines)) => [vec![TABLE], to_csv(&lines)?].concat(),
            Some(Err(error)) => [vec![ERROR], whole_message(&error).into_bytes()].concat(),
        };
        gather_bytes(together, &said)?.into_iter().filter(|said| !said.is_empty()).map(understood).collect()
    };
    if together.rank() > 0 {
        while !next_tables()?.is_empty() {}
        return Ok(None);
    }
    write_out(out, |output, doing| {
        let mut bar = Bar::new(n_images);
        let mut scored = Scored::default();
        loop {
            let tables = next_tables()?;
            if tables.is_empty() {
                break;
            }
            for table in tables {
                // One header is enough.
                let header = table.iter().position(|&byte| byte == b'\n').map_or(table.len(), |end| end + 1);
                let lines = if scored.scores.is_empty() { &table } else { &table[header..] };
                output.write_all(lines).context(doing.to_string())?;
                scored.note(&table, score)?;
            }
            bar.show(scored.scores.len(), || format!("{} of {n_images} images", scored.scores.len()));
        }
        output.flush().context(doing.to_string())?;
        Ok(Some(scored))
    })
}

fn to_csv(lines: &[Vec<String>]) -> Result<Vec<u8>> {
    let mut table = csv::Writer::from_writer(Vec::new());
    lines.iter().try_for_each(|line| table.write_record(line))?;
    Ok(table.into_inner().map_err(|error| io::Error::other(error.to_string()))?)
}

/// A table that a process has made, or its error.
fn understood(said: Vec<u8>) -> Result<Vec<u8>> {
    match said.split_first() {
        Some((&TABLE, table)) => Ok(table.to_vec()),
        Some((_, message)) => Err(anyhow!("{}", String::from_utf8_lossy(message))),
        None => Ok(said),
    }
}
