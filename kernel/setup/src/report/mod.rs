//! `cargo diabolo report`: runs every notebook headless and writes what they show as pages, files and numbers.

mod executor;
mod gather;
mod page;
mod verdict;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Map, Value, json};

use crate::cache::Cache;
use crate::files;
use crate::kernel;
use crate::language::Language;
use crate::output::{say, tell};
use crate::progress::{self, Progress, Step, Stopped, joined, words};
use crate::registration;
use crate::setup::{self, Ready};
use crate::sources::Sources;
use crate::workspace::Workspace;
use executor::Executor;
use gather::Gathered;
pub use gather::{IMAGES, image_bytes, text_of};
pub use page::escaped;

/// The variables by which notebooks learn the options; none is set for an option that was not given.
const DATA_VARIABLE: &str = "DIABOLO_NOTEBOOK_DATA";
const HOLD_OUT_VARIABLE: &str = "DIABOLO_NOTEBOOK_HOLD_OUT";
const MODE_VARIABLE: &str = "DIABOLO_NOTEBOOK_MODE";

/// How many of the project's notebooks run side by side: while one compiles a cell, on one core, the other computes.
const N_AT_ONCE: usize = 2;

#[derive(Args)]
#[command(after_help = "Examples:
  cargo diabolo report                                 every notebook on the embedded data set, a few minutes
  cargo diabolo report --data cifar10 --full           on CIFAR-10, with the report's own training times
  cargo diabolo report --data ../hw10                  on the homework's train.npy and test.npy
  cargo diabolo report --data cifar10 --hold-out ship,truck
  cargo diabolo report --only 05_which_pair            one notebook
  cargo diabolo report --language zh-TW                in Traditional Chinese, into target/report-zh-TW
  cargo diabolo report ~/lectures                      any folder of Rust notebooks

The pages are in target/report/index.html, the numbers in target/report/report.json.")]
pub struct Options {
    /// A folder of other notebooks in Rust, instead of the clone's or, outside of a clone, those in the current folder
    #[arg(value_name = "NOTEBOOKS")]
    folder: Option<PathBuf>,

    /// The data set's name, or the path of its file or folder
    #[arg(long, value_name = "NAME_OR_PATH")]
    data: Option<String>,

    /// The classes that count as anomalies, separated by commas
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    hold_out: Vec<String>,

    /// Train briefly; this is the default
    #[arg(long, conflicts_with = "full")]
    quick: bool,

    /// Train as long as the report did
    #[arg(long)]
    full: bool,

    /// Only the notebooks with this in their name
    #[arg(long, value_name = "PART_OF_NAME")]
    only: Option<String>,

    /// The language of the notebooks' text and figures
    #[arg(long, value_enum, default_value = "en", ignore_case = true)]
    language: Language,

    /// Where to write, instead of target/report
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,

    /// The kernel to run on: diabolo's own, or the same with evcxr's front
    #[arg(long, value_name = "KERNEL", default_value = "diabolo", value_parser = ["diabolo", "evcxr"])]
    kernel: String,
}

/// One notebook that ran.
struct Run {
    name: String,
    title: String,
    n_cells: usize,
    seconds: f64,
}

/// Runs `cargo diabolo report`.
pub fn run(options: &Options) -> Result<ExitCode> {
    let cache = Cache::find()?;
    let sources = Sources::find(&cache)?;
    let here = std::env::current_dir().context("looking for the current folder")?;
    let clone = sources.clone_around(&here);
    let (source, is_shipped) = match (&options.folder, clone) {
        (Some(folder), _) => (files::folder_of_notebooks(folder)?, false),
        (None, Some(workspace)) => (workspace.root().join(options.language.folder()), true),
        (None, None) => (here.clone(), false),
    };
    let heading = match is_shipped {
        true => "Autoencoders for anomaly detection".into(),
        false => source.file_name().unwrap_or_default().to_string_lossy().into_owned(),
    };
    let mut notebooks = notebooks_in(&source)?;
    if let Some(part) = &options.only {
        notebooks.retain(|path| name_of(path).contains(part));
        if notebooks.is_empty() {
            bail!("no notebook there has {part:?} in its name");
        }
    }
    let folder = Folder::prepare(match &options.out {
        Some(folder) => std::path::absolute(folder)?,
        None => clone.map_or(&*here, Workspace::root).join(options.language.report_folder()),
    })?;
    let mut environment = notebook_environment(options)?;

    let progress = Progress::new();
    let ready = setup::ensure(&sources, &progress)?;
    environment.extend(kernel::environment(&ready.cells, &ready.libtorch));

    let started = Instant::now();
    let session = Session {
        python: &ready.jupyter,
        environment: &environment,
        kernel: kernelspec_name(options),
        cache: &cache,
        folder: &folder.path,
        progress: &progress,
    };
    // Another's notebooks may need what the one before has written, and long trainings want every core and all memory.
    let n_at_once = if is_shipped && !options.full { N_AT_ONCE } else { 1 };
    let (runs, gathered, date) = session.run_all(&notebooks, n_at_once)?;

    let made = made(options, &sources, &ready, &date, started);
    folder.write(&heading, &runs, &gathered, mode(options), &made)?;
    say(format_args!("The report is {} ({}).", folder.path.join("index.html").display(), words(progress.elapsed())))?;
    let failures = gathered.failures();
    for failure in &failures {
        tell(format_args!("error: the report is written, but {failure}"));
    }
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What all notebooks of a report run with.
struct Session<'a> {
    python: &'a Path,
    environment: &'a [(&'static str, String)],
    /// The name that set-up registered.
    kernel: &'a str,
    cache: &'a Cache,
    /// Where pages are written.
    folder: &'a Path,
    progress: &'a Progress,
}

impl Session<'_> {
    /// Runs the notebooks, `n_at_once` side by side; returns the runs and what they showed in the notebooks' order, and the
    /// date.
    fn run_all(&self, notebooks: &[PathBuf], n_at_once: usize) -> Result<(Vec<Run>, Gathered, String)> {
        let next = AtomicUsize::new(0);
        let ended = Mutex::new(Vec::new());
        let work = |worker: usize| -> Result<String> {
            let log = self.cache.log(&if worker == 0 { "notebooks".into() } else { format!("notebooks-{worker}") });
            let mut executor = Executor::start(self.python, self.environment, &log)?;
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(notebook) = notebooks.get(index) else { return executor.date() };
                let one = self.run_one(notebook, &mut executor, &log)?;
                ended.lock().unwrap_or_else(PoisonError::into_inner).push((index, one));
            }
        };
        let results: Vec<Result<String>> = thread::scope(|scope| {
            let work = &work;
            let workers: Vec<_> =
                (0..n_at_once.min(notebooks.len())).map(|worker| scope.spawn(move || work(worker))).collect();
            workers.into_iter().map(joined).collect()
        });
        let (mut date, mut errors) = (String::new(), Vec::new());
        for result in results {
            match result {
                Ok(last) => date = last,
                Err(error) => errors.push(error),
            }
        }
        if let Some(error) = progress::cause(errors) {
            return Err(error);
        }
        let mut ended = ended.into_inner().unwrap_or_else(PoisonError::into_inner);
        ended.sort_by_key(|(index, _)| *index);
        let mut all = Gathered::default();
        let mut runs = Vec::new();
        for (_, (run, gathered)) in ended {
            runs.push(run);
            all.append(gathered);
        }
        Ok((runs, all, date))
    }

    /// Runs one notebook with a fresh kernel.
    fn run_one(&self, notebook: &Path, executor: &mut Executor, log: &Path) -> Result<(Run, Gathered)> {
        let name = name_of(notebook);
        self.progress.run(&short_name(&name), &format!("running {name}.ipynb"), |step| {
            step.go_on()?;
            executor.open(notebook, self.kernel).with_context(|| {
                format!("starting the kernel for {name}.ipynb; what it said is in {}", log.display())
            })?;
            let began = Instant::now();
            let mut gathered = Gathered::default();
            let cells = run_cells(notebook, executor, &mut gathered, step);
            // What ran is worth a look above all when a cell failed.
            let page = self.folder.join(format!("{name}.html"));
            executor.save(&self.folder.join(format!("{name}.ipynb")), &page)?;
            executor.close()?;
            let (title, n_cells) = match cells {
                Err(error) if error.is::<Stopped>() => return Err(error),
                cells => cells.with_context(|| format!("{name}.ipynb stopped; what ran is in {}", page.display()))?,
            };
            let run =
                Run { title: title.unwrap_or_else(|| name.clone()), name, n_cells, seconds: seconds_since(began) };
            let sentence = format!("{}.ipynb, {n_cells} cells", run.name);
            Ok(((run, gathered), sentence))
        })
    }
}

/// Runs the cells of an open notebook, up to the first that fails; returns its title and the number of cells.
fn run_cells(
    path: &Path,
    executor: &mut Executor,
    gathered: &mut Gathered,
    step: &Step,
) -> Result<(Option<String>, usize)> {
    let cells = cells_of(path)?;
    let name = name_of(path);
    let is_code = |cell: &Value| cell["cell_type"] == "code";
    let n_cells = cells.iter().filter(|cell| is_code(cell)).count();
    let mut n_done = 0;
    for (index, cell) in cells.iter().enumerate().filter(|(_, cell)| is_code(cell)) {
        step.go_on()?;
        n_done += 1;
        let place = format!("cell {n_done} of {n_cells}");
        let source = gather::text_of(&cell["source"]);
        let first_line = source.lines().next().unwrap_or_default();
        step.now(&format!("{place}: {first_line}"));
        let probe = verdict::probe_for(&source);
        let cell_run = executor.run(index, probe.as_ref(), |text| {
            if let Some(line) = text.lines().rfind(|line| !line.trim().is_empty()) {
                step.now(&format!("{place}: {line}"));
            }
        })?;
        gathered.add(&name, index, cell["id"].as_str().unwrap_or_default(), &cell_run.outputs);
        if let Some(reason) = verdict::failure(&source, &cell_run) {
            bail!("{place} failed:\n{}\n{reason}", indented(&source));
        }
    }
    Ok((title_of(&cells), n_cells))
}

/// The folder that the report is written to.
struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Empties the folder of an earlier report, and makes it.
    ///
    /// # Errors
    /// When it holds something else, which is not removed.
    fn prepare(path: PathBuf) -> Result<Self> {
        files::empty_own_folder(&path, "report")?;
        Ok(Self { path })
    }

    fn write(
        &self,
        heading: &str,
        runs: &[Run],
        gathered: &Gathered,
        mode: &str,
        made: &[(&str, String)],
    ) -> Result<()> {
        for figure in &gathered.figures {
            files::write_if_changed(&self.path.join("figures").join(&figure.file), &figure.bytes)?;
        }
        let mut report = gathered.values.clone();
        report.insert("mode".into(), mode.into());
        report.insert("figures".into(), gathered.figures_as_json());
        report.insert("notebooks".into(), runs.iter().map(run_as_json).collect::<Map<_, _>>().into());
        let made_json = made.iter().map(|(name, value)| (name.to_string(), value.clone().into()));
        report.insert("made".into(), made_json.collect::<Map<_, _>>().into());
        let json = serde_json::to_string_pretty(&report)? + "\n";
        files::write_if_changed(&self.path.join("report.json"), json.as_bytes())?;
        let page = page::render(heading, runs, gathered, mode, made);
        files::write_if_changed(&self.path.join("index.html"), page.as_bytes())?;
        Ok(())
    }
}

fn run_as_json(run: &Run) -> (String, Value) {
    (run.name.clone(), json!({"seconds": run.seconds, "cells": run.n_cells}))
}

/// How the report was made, for its last section.
fn made(
    options: &Options,
    sources: &Sources,
    ready: &Ready,
    date: &str,
    started: Instant,
) -> Vec<(&'static str, String)> {
    let command: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "diabolo").collect();
    let rustc = sources.rustc().lines().next().unwrap_or_default();
    vec![
        ("command", format!("cargo diabolo {}", command.join(" "))),
        ("date", date.to_string()),
        ("duration", words(started.elapsed())),
        ("kernel", options.kernel.clone()),
        ("diabolo", env!("CARGO_PKG_VERSION").to_string()),
        ("libtorch", ready.libtorch.version().unwrap_or_else(|| "unknown".into())),
        ("compiler", rustc.to_string()),
    ]
}

/// The options as notebooks see them.
fn notebook_environment(options: &Options) -> Result<Vec<(&'static str, String)>> {
    let mut environment = vec![(MODE_VARIABLE, mode(options).to_string())];
    environment.extend(options.language.variable());
    if let Some(data) = &options.data {
        environment.push((DATA_VARIABLE, data_for_notebooks(data, Path::new("."))?));
    }
    if options.hold_out.iter().any(|class| class.trim().is_empty()) {
        bail!("--hold-out: found an empty class name; write the classes with one comma between them, as in cat,dog");
    }
    if !options.hold_out.is_empty() {
        let classes: Vec<_> = options.hold_out.iter().map(|class| class.trim()).collect();
        environment.push((HOLD_OUT_VARIABLE, classes.join(",")));
    }
    // Notebooks run in their own folder, where a relative path means something else.
    if let Some(folder) = files::folder_in("DIABOLO_DATA")? {
        environment.push(("DIABOLO_DATA", folder.to_string_lossy().into_owned()));
    }
    Ok(environment)
}

/// A path is made absolute, a name stays as it is.
fn data_for_notebooks(data: &str, here: &Path) -> Result<String> {
    let path = here.join(files::expand_home(data.into())?);
    if path.exists() {
        return Ok(std::path::absolute(path)?.to_string_lossy().into_owned());
    }
    if data.contains(std::path::MAIN_SEPARATOR) {
        bail!(
            "--data {data}: found no such file or folder; give the path of a data set, or a name such as scenes or cifar10"
        );
    }
    Ok(data.to_string())
}

fn mode(options: &Options) -> &'static str {
    debug_assert!(!(options.quick && options.full));
    if options.full { "full" } else { "quick" }
}

/// The name under which set-up registered the kernel.
fn kernelspec_name(options: &Options) -> &'static str {
    if options.kernel == "evcxr" { registration::STOCK_KERNEL_NAME } else { registration::KERNEL_NAME }
}

/// The notebooks in a folder, by name.
pub fn notebooks_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("reading the folder {}", folder.display()))?;
    let mut notebooks: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    notebooks.retain(|path| path.extension().is_some_and(|extension| extension == "ipynb"));
    notebooks.sort();
    if notebooks.is_empty() {
        bail!("{} holds no notebooks (.ipynb)", folder.display());
    }
    Ok(notebooks)
}

/// The name of a notebook's file, without its ending.
pub fn name_of(notebook: &Path) -> String {
    notebook.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// The number before the first underscore fits beside the moving line.
fn short_name(name: &str) -> String {
    format!("notebook {}", name.split('_').next().unwrap_or(name))
}

/// The cells of the notebook at `path`.
pub fn cells_of(path: &Path) -> Result<Vec<Value>> {
    let text = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let mut notebook: Value =
        serde_json::from_slice(&text).with_context(|| format!("{} is no notebook", path.display()))?;
    match notebook["cells"].take() {
        Value::Array(cells) => Ok(cells),
        _ => bail!("the notebook {} has no cells", path.display()),
    }
}

/// The first heading.
fn title_of(cells: &[Value]) -> Option<String> {
    let markdown = cells.iter().filter(|cell| cell["cell_type"] == "markdown");
    let texts: Vec<_> = markdown.map(|cell| gather::text_of(&cell["source"])).collect();
    let mut lines = texts.iter().flat_map(|text| text.lines());
    lines.find_map(|line| line.strip_prefix("# ")).map(|title| title.trim().to_string())
}

/// In tenths: more would be noise.
fn seconds_since(began: Instant) -> f64 {
    (began.elapsed().as_secs_f64() * 10.0).round() / 10.0
}

fn indented(source: &str) -> String {
    source.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_path_of_data_becomes_absolute_and_a_name_stays() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("hw10")).unwrap();
        let absolute = data_for_notebooks("hw10", folder.path()).unwrap();
        assert!(Path::new(&absolute).is_absolute() && absolute.ends_with("hw10"), "{absolute}");
        assert_eq!(data_for_notebooks("cifar10", folder.path()).unwrap(), "cifar10");
        let home = std::env::home_dir().unwrap();
        assert_eq!(data_for_notebooks("~", folder.path()).unwrap(), home.to_string_lossy());
        let message = data_for_notebooks("no/such", folder.path()).unwrap_err().to_string();
        assert!(message.contains("found no such file or folder"), "{message}");
    }

    #[test]
    fn a_folder_with_other_files_is_not_emptied() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("thesis.tex"), "").unwrap();
        let error = Folder::prepare(folder.path().into()).err().unwrap();
        assert!(error.to_string().contains("something else than a report"), "{error}");
        assert!(folder.path().join("thesis.tex").exists());
    }

    #[test]
    fn an_earlier_report_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("report");
        Folder::prepare(out.clone()).unwrap();
        fs::write(out.join("old.html"), "").unwrap();
        Folder::prepare(out.clone()).unwrap();
        assert!(!out.join("old.html").exists());
    }

    #[test]
    fn the_first_heading_is_the_title() {
        let cells = [
            json!({"cell_type": "code", "source": "# no"}),
            json!({"cell_type": "markdown", "source": ["text\n", "# Question 1\n"]}),
        ];
        assert_eq!(title_of(&cells).unwrap(), "Question 1");
        assert_eq!(title_of(&[]), None);
    }

    #[test]
    fn notebooks_come_in_the_order_of_their_names() {
        let folder = tempfile::tempdir().unwrap();
        assert!(notebooks_in(folder.path()).unwrap_err().to_string().contains("holds no notebooks"));
        for name in ["01_b.ipynb", "00_a.ipynb", "notes.md"] {
            fs::write(folder.path().join(name), "{}").unwrap();
        }
        let names: Vec<_> = notebooks_in(folder.path()).unwrap().iter().map(|path| name_of(path)).collect();
        assert_eq!(names, ["00_a", "01_b"]);
    }
}
