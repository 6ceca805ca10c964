//! `cargo diabolo report`: runs every notebook headless and writes what they show as pages, files and numbers.

mod executor;
mod gather;
mod page;
mod session;
mod verdict;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Map, Value, json};

use crate::cache::Cache;
use crate::files;
use crate::kernel;
use crate::language::Language;
use crate::output::{say, tell};
use crate::progress::{Progress, words};
use crate::registration;
use crate::setup::{self, Ready};
use crate::sources::Sources;
use crate::workspace::Workspace;
use executor::Executor;
use gather::Gathered;
pub use gather::{IMAGES, image_bytes, text_of};
pub use page::escaped;
use session::{Run, Session};

/// The variables by which notebooks learn the options; none is set for an option that was not given.
const DATA_VARIABLE: &str = "DIABOLO_NOTEBOOK_DATA";
const HOLD_OUT_VARIABLE: &str = "DIABOLO_NOTEBOOK_HOLD_OUT";
const MODE_VARIABLE: &str = "DIABOLO_NOTEBOOK_MODE";

/// How the threads of a training wait for each other: on their cores, which another notebook's training wants, unless told.
const WAITING_VARIABLE: &str = "OMP_WAIT_POLICY";

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
    // Another's notebooks may need what the one before has written, and long trainings want every core and all memory.
    let n_at_once = if is_shipped && !options.full { N_AT_ONCE.min(notebooks.len()) } else { 1 };
    if n_at_once > 1 && std::env::var_os(WAITING_VARIABLE).is_none() {
        environment.push((WAITING_VARIABLE, "passive".into()));
    }
    let executors = (0..n_at_once).map(|number| {
        let log = cache.log(&if number == 0 { "notebooks".into() } else { format!("notebooks-{number}") });
        Executor::start(&ready.jupyter, &environment, log)
    });
    let mut executors = executors.collect::<Result<Vec<_>>>()?;
    let session = Session { kernel: kernelspec_name(options), folder: &folder.path, progress: &progress };
    let (runs, gathered) = session.run_all(&notebooks, &mut executors)?;
    let date = executors[0].date()?;

    let made = made(options, &sources, &ready, &date, started);
    folder.write(&heading, &runs, &gathered, mode(options), &made)?;
    say(format_args!("The report is {} ({}).", folder.path.join("index.html").display(), words(progress.elapsed())))?;
    let failures = gathered.failures();
    for failure in &failures {
        tell(format_args!("error: the report is written, but {failure}"));
    }
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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
