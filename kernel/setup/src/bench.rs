//! `cargo diabolo bench`: benchmarks of diabolo and of its alternatives (PyTorch, scikit-learn and others), alternating on one machine.

use std::fs;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};

use crate::cache::Cache;
use crate::commands;
use crate::files;
use crate::output::say;
use crate::progress::{Progress, Step};
use crate::python::{self, Locked, Python};
use crate::setup;
use crate::sources::Sources;
use crate::workspace::Workspace;

#[derive(Args)]
#[command(after_help = "Examples:
  cargo diabolo bench                              every row, on CIFAR-10 in $DIABOLO_DATA
  cargo diabolo bench --only train_ --rounds 9     the rows with this in their name
  cargo diabolo bench --json bench.json            the numbers in a file too

The ratio is the peer's time divided by diabolo's: above 1, diabolo is faster.")]
pub struct Options {
    /// Only rows with this in their name
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Write the numbers as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Rounds of each side [default: 5, of t-SNE 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// CIFAR-10's folder of binary batches, or the folder that holds it [default: $DIABOLO_DATA, else the cache]
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
}

/// What is compared: the name that both programs know it by, but for [`IN_CELL`].
struct Row {
    name: &'static str,
    peer: &'static str,
    n_rounds: u32,
    needs_codes: bool,
}

/// What a row's name ends with whose diabolo side is a cell of a notebook.
const IN_CELL: &str = "_in_cell";

const fn row(name: &'static str, peer: &'static str) -> Row {
    Row { name, peer, n_rounds: 5, needs_codes: false }
}

const fn on_codes(name: &'static str, peer: &'static str) -> Row {
    Row { needs_codes: true, ..row(name, peer) }
}

/// To add a row: a line here, and a line in `prepare` of benches/rounds.rs and of benches/peers/peers.py; for one in a cell
/// its cells in benches/in_cell.py.
const ROWS: [Row; 24] = [
    row("train_report_cnn", "PyTorch, the course's loop"),
    row("train_report_cnn_tuned", "PyTorch, tuned by hand"),
    row("train_fcn", "PyTorch, the course's loop"),
    row("train_conv", "PyTorch, the course's loop"),
    row("score_report_cnn", "PyTorch"),
    row("score_report_cnn_openvino", "OpenVINO"),
    row("score_report_cnn_onnx", "ONNX Runtime"),
    row("load_cifar", "NumPy"),
    row("roc_auc", "scikit-learn"),
    on_codes("kmeans_k3", "scikit-learn"),
    on_codes("kmeans_k5", "scikit-learn"),
    on_codes("kmeans_k100", "scikit-learn"),
    row("kmeans_pixels", "scikit-learn"),
    on_codes("kmeans_k3_intelex", "scikit-learn-intelex"),
    on_codes("kmeans_k5_intelex", "scikit-learn-intelex"),
    on_codes("kmeans_k100_faiss", "faiss, 25 iterations"),
    row("kmeans_pixels_intelex", "scikit-learn-intelex"),
    row("pca_pixels", "scikit-learn"),
    Row { n_rounds: 3, ..on_codes("tsne_sklearn", "scikit-learn") },
    Row { n_rounds: 3, ..on_codes("tsne_opentsne", "openTSNE") },
    Row { n_rounds: 3, ..on_codes("tsne_intelex", "scikit-learn-intelex") },
    row("train_report_cnn_in_cell", "PyTorch, the course's loop"),
    row("score_report_cnn_in_cell", "PyTorch"),
    on_codes("kmeans_k5_in_cell", "scikit-learn"),
];

/// How libtorch's threads wait, as .cargo/config.toml and the kernel have it.
const WAITING: &str = "GOMP_SPINCOUNT";

/// Threads of each side.
const N_THREADS: &str = "2";

const PEERS: Locked = Locked {
    name: "peers",
    what: "what diabolo is measured against (PyTorch, scikit-learn, OpenVINO, faiss and others; 5 GB on Linux)",
    lock_file: include_str!("../bench-requirements.txt"),
};

/// Runs `cargo diabolo bench`.
pub fn run(options: &Options) -> Result<ExitCode> {
    let workspace = Workspace::required_for("bench")?;
    let is_chosen = |row: &&Row| options.only.as_ref().is_none_or(|part| row.name.contains(part.as_str()));
    let rows: Vec<&Row> = ROWS.iter().filter(is_chosen).collect();
    if rows.is_empty() {
        let names = ROWS.each_ref().map(|row| row.name).join(", ");
        bail!("--only {}: no row has this in its name; there are {names}", options.only.as_deref().unwrap_or_default());
    }
    let cache = Cache::find()?;
    let data = find_data(options.data.as_deref(), &cache)?;
    let progress = Progress::new();
    let jupyter = if rows.iter().any(|row| row.name.ends_with(IN_CELL)) {
        Some(setup::ensure(&Sources::Clone(workspace.clone()), &progress)?.jupyter)
    } else {
        setup::ensure_libtorch(&workspace, &cache, &progress)?;
        None
    };
    let programs = Programs {
        jupyter,
        in_cell: workspace.root().join("benches/in_cell.py"),
        python: PEERS.ensure(&cache, &Python::find()?, &progress)?,
        script: workspace.root().join("benches/peers/peers.py"),
        rounds: build_rounds(&workspace, &cache, &progress)?,
        codes: workspace.root().join("target/bench/codes.npy"),
        data,
    };
    if rows.iter().any(|row| row.needs_codes) {
        programs.make_codes(&cache, &progress)?;
    }

    say(format_args!("{:<26}{:>10}{:>11}{:>8}{:>16}  peer", "", "peer s", "diabolo s", "ratio", "rounds' ratios"))?;
    let mut results = Vec::new();
    for row in rows {
        let n_rounds = options.rounds.unwrap_or(row.n_rounds);
        let times = progress.run(row.name, &format!("{n_rounds} rounds of {} and of diabolo", row.peer), |step| {
            programs.take_turns(row, n_rounds, step).map(|times| (times, "measured".into()))
        })?;
        say(times.line(row))?;
        results.push(times.to_json(row));
    }
    if let Some(path) = &options.json {
        let text = serde_json::to_string_pretty(&results)? + "\n";
        files::write_if_changed(path, text.as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// CIFAR-10's folder of batches.
fn find_data(given: Option<&Path>, cache: &Cache) -> Result<PathBuf> {
    let variable = files::folder_in("DIABOLO_DATA")?;
    let folders: Vec<PathBuf> = match given {
        Some(folder) => vec![files::expand_home(folder.into())?],
        None => variable.into_iter().chain([cache.root().join("data")]).collect(),
    };
    let mut candidates = folders.iter().flat_map(|folder| [folder.clone(), folder.join("cifar-10-batches-bin")]);
    let found = candidates.find(|folder| folder.join("data_batch_1.bin").is_file()).with_context(|| {
        format!(
            "found no data_batch_1.bin in {folders:?}; unpack https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz \
             and name its folder with --data"
        )
    })?;
    Ok(std::path::absolute(found)?)
}

/// Compiles diabolo's side as a release.
fn build_rounds(workspace: &Workspace, cache: &Cache, progress: &Progress) -> Result<PathBuf> {
    progress.run("rounds", "compiling diabolo's side, optimised as in notebook cells", |step| {
        let mut command = commands::cargo();
        command
            .args(["bench", "--package", "diabolo", "--bench", "rounds", "--no-run"])
            .args(["--message-format", "json-render-diagnostics"])
            .current_dir(workspace.root());
        let messages = commands::run(command, "compiling benches/rounds.rs", &cache.log("bench"), step)?;
        let built = commands::executable_named("rounds", &messages);
        Ok((built.context("cargo built no rounds")?, "diabolo's side is compiled".into()))
    })
}

/// Both sides and what they work on.
struct Programs {
    /// The Python that starts kernels, where a row is in a cell.
    jupyter: Option<PathBuf>,
    in_cell: PathBuf,
    python: PathBuf,
    script: PathBuf,
    rounds: PathBuf,
    data: PathBuf,
    codes: PathBuf,
}

impl Programs {
    fn peer(&self, name: &str) -> Command {
        let mut command = python::command(&self.python);
        // Diabolo's users have it from the kernel; those of a Python have nothing of the kind.
        command.arg(&self.script).env_remove(WAITING);
        self.with_arguments(command, name)
    }

    fn diabolo(&self, name: &str) -> Command {
        let command = match &self.jupyter {
            Some(python) if name.ends_with(IN_CELL) => {
                let mut command = python::command(python);
                command.arg(&self.in_cell);
                command
            }
            _ => Command::new(&self.rounds),
        };
        self.with_arguments(command, name)
    }

    /// Both sides get the same arguments and the same number of threads.
    fn with_arguments(&self, command: Command, name: &str) -> Command {
        let mut command = commands::without_cargo_variables(command);
        command
            .arg(name.trim_end_matches(IN_CELL))
            .arg("--data")
            .arg(&self.data)
            .arg("--codes")
            .arg(&self.codes)
            .args(["--threads", N_THREADS]);
        for variable in ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"] {
            command.env(variable, N_THREADS);
        }
        command
    }

    /// Codes of 32 values, the same for both sides.
    fn make_codes(&self, cache: &Cache, progress: &Progress) -> Result<()> {
        if self.codes.exists() {
            return Ok(());
        }
        progress.run("codes", "making codes of the test images", |step| {
            fs::create_dir_all(self.codes.parent().expect("it lies in a folder"))?;
            let mut command = self.peer("codes");
            command.arg("--out").arg(&self.codes);
            commands::run(command, "making codes", &cache.log("bench"), step)?;
            Ok(((), "codes are made".into()))
        })
    }

    /// Starts both sides and lets them work in turns, so that whatever else the machine does strikes both.
    fn take_turns(&self, row: &Row, n_rounds: u32, step: &Step) -> Result<Times> {
        step.now("preparing");
        let mut peer = Side::start(self.peer(row.name))?;
        let mut diabolo = Side::start(self.diabolo(row.name))?;
        let mut times = Times { peer: Vec::new(), diabolo: Vec::new() };
        for round in 1..=n_rounds {
            step.now(&format!("round {round} of {n_rounds}"));
            times.peer.push(peer.round()?);
            times.diabolo.push(diabolo.round()?);
        }
        Ok(times)
    }
}

/// A program that does a round for every line that it is sent.
struct Side {
    child: Child,
    stdin: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Side {
    /// Starts the program and waits until it has prepared its work.
    fn start(mut command: Command) -> Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start `{program}`"))?;
        let stdin = child.stdin.take().expect("it was piped");
        let answers = BufReader::new(child.stdout.take().expect("it was piped")).lines();
        let mut side = Self { child, stdin, answers };
        side.answer()?;
        Ok(side)
    }

    /// One round's seconds.
    fn round(&mut self) -> Result<f64> {
        writeln!(self.stdin)?;
        self.answer()?["seconds"].as_f64().context("a round's answer has no seconds")
    }

    /// The next line of JSON; a training tells its progress in other lines.
    fn answer(&mut self) -> Result<Value> {
        for line in self.answers.by_ref() {
            if let Ok(answer @ Value::Object(_)) = serde_json::from_str(&line?) {
                return Ok(answer);
            }
        }
        bail!("one side of the comparison ended too early ({}); what it said is above", self.child.wait()?)
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Seconds of each side's rounds, in the order in which they were taken.
struct Times {
    peer: Vec<f64>,
    diabolo: Vec<f64>,
}

impl Times {
    fn medians(&self) -> [f64; 2] {
        [&self.peer, &self.diabolo].map(|times| median(times))
    }

    /// One row of the table, with the lowest and the highest ratio of a round.
    fn line(&self, row: &Row) -> String {
        let [peer_s, diabolo_s] = self.medians();
        let ratios = || self.peer.iter().zip(&self.diabolo).map(|(peer, diabolo)| peer / diabolo);
        let range = format!("{:.2} to {:.2}", ratios().fold(f64::MAX, f64::min), ratios().fold(0.0, f64::max));
        let Row { name, peer, .. } = row;
        format!("{name:<26}{peer_s:>10.3}{diabolo_s:>11.3}{:>8.2}{range:>16}  {peer}", peer_s / diabolo_s)
    }

    fn to_json(&self, row: &Row) -> Value {
        let [peer_s, diabolo_s] = self.medians();
        json!({"name": row.name, "peer": row.peer, "peer_s": peer_s, "diabolo_s": diabolo_s, "ratio": peer_s / diabolo_s})
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two_middle_ones() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn a_ratio_above_one_means_that_diabolo_is_faster() {
        let times = Times { peer: vec![2.0, 4.0, 90.0], diabolo: vec![2.0, 1.0, 2.0] };
        let wanted = json!({"name": "a", "peer": "b", "peer_s": 4.0, "diabolo_s": 2.0, "ratio": 2.0});
        assert_eq!(times.to_json(&row("a", "b")), wanted);
        assert!(times.line(&row("a", "b")).contains("1.00 to 45.00"));
    }

    #[test]
    #[cfg(unix)]
    fn a_side_may_say_other_things_between_its_answers() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo '{\"ready\": true}'; read line; echo epoch 1; echo '{\"seconds\": 0.5}'"]);
        let mut side = Side::start(command).unwrap();
        assert_eq!(side.round().unwrap(), 0.5);
        assert!(side.answer().unwrap_err().to_string().contains("ended too early"));
    }

    #[test]
    fn every_row_is_known_to_both_sides() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        let peers = fs::read_to_string(root.join("benches/peers/peers.py")).unwrap();
        for row in &ROWS {
            let (file, name) = match row.name.strip_suffix(IN_CELL) {
                Some(name) => ("benches/in_cell.py", name),
                None => ("benches/rounds.rs", row.name),
            };
            let program = fs::read_to_string(root.join(file)).unwrap();
            assert!(program.contains(&format!("\"{name}\"")), "{file} does not know {}", row.name);
            // The trainings' names are taken apart there.
            assert!(name.starts_with("train_") || peers.contains(&format!("\"{name}\"")), "no peer of {}", row.name);
        }
    }
}
