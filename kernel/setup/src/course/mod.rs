//! `cargo diabolo course`: assignments that nbgrader hands out and grades, in a folder of the teacher's.
//!
//! nbgrader does the work; this gives it a Python, settings for Rust and the assignments of `notebooks/course`, and checks
//! with made-up hand-ins that it grades as it should.

mod grades;
mod hand_in;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;

use crate::cache::Cache;
use crate::commands;
use crate::files;
use crate::output::say;
use crate::progress::{Progress, words};
use crate::python::{self, Locked, Python};
use crate::report::text_of;
use crate::setup;
use crate::sources::Sources;
use crate::workspace::Workspace;

const NBGRADER: Locked =
    Locked { name: "course", what: "nbgrader", lock_file: include_str!("../../course-requirements.txt") };

/// The oldest Python that nbgrader has a release for.
const OLDEST_PYTHON: [u64; 2] = [3, 11];

/// What a folder has that is a course.
const SETTINGS: &str = "nbgrader_config.py";

#[derive(Args)]
#[command(after_help = "Examples:
  cargo diabolo course                                      the student version, in target/course/release
  cargo diabolo course --out ~/course                       the same in a folder of yours
  cargo diabolo course --out ~/course -- autograde autoencoders
  cargo diabolo course --out ~/course --lab                 nbgrader's Formgrader
  cargo diabolo course --out ~/course --test                whether it grades as it should

docs/TEACHING.md has every step from there to the grades of a class.")]
pub struct Options {
    /// The course's folder, which the first use makes, instead of target/course
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,

    /// Let nbgrader grade a solved, an untouched and a half-solved copy, and compare
    #[arg(long)]
    test: bool,

    /// Open the course's folder in JupyterLab, where nbgrader's Formgrader shows hand-ins and grades
    #[arg(long, conflicts_with = "test")]
    lab: bool,

    /// A command of nbgrader and its arguments, to be run in the course's folder; after --lab, arguments of JupyterLab
    #[arg(last = true, value_name = "COMMAND", conflicts_with = "test")]
    arguments: Vec<String>,
}

/// Runs `cargo diabolo course`.
pub fn run(options: &Options) -> Result<ExitCode> {
    let workspace = Workspace::required_for("course")?;
    let outer = Python::find()?;
    if outer.version < OLDEST_PYTHON {
        let [[major, minor], [oldest_major, oldest_minor]] = [outer.version, OLDEST_PYTHON];
        bail!("nbgrader needs Python {oldest_major}.{oldest_minor} or newer, and `python3` is {major}.{minor}");
    }
    let progress = Progress::new();
    setup::ensure(&Sources::Clone(workspace.clone()), &progress)?;
    let cache = Cache::find()?;
    let python = NBGRADER.ensure(&cache, &outer, &progress)?;
    let shipped = Course { folder: workspace.root().join("notebooks/course") };
    if options.test {
        let course = match &options.out {
            Some(folder) => Course::open(folder, &shipped)?,
            None => shipped,
        };
        let folder = workspace.root().join("target/course-test");
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
        }
        let copy = course.copied_to(&folder)?;
        copy.release(&python, &cache, &progress)?;
        return grades::test(&copy, &python, &cache, &progress);
    }
    let default = workspace.root().join("target/course");
    let course = Course::open(options.out.as_ref().unwrap_or(&default), &shipped)?;
    if options.lab || !options.arguments.is_empty() {
        let module = if options.lab { "jupyterlab" } else { "nbgrader" };
        let status = course.module(&python, module)?.args(&options.arguments).status();
        let is_well = status.with_context(|| format!("starting {module}"))?.success();
        return Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    course.release(&python, &cache, &progress)?;
    say(format_args!(
        "The student version is in {} ({}). docs/TEACHING.md says what comes next.",
        course.folder.join("release").display(),
        words(progress.elapsed())
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// A folder with nbgrader's settings and the teacher's notebooks in `source`, a folder for each assignment.
struct Course {
    folder: PathBuf,
}

impl Course {
    /// The teacher's folder; a new one gets the course that is `shipped`, and one that is a course stays as it is.
    fn open(folder: &Path, shipped: &Self) -> Result<Self> {
        let folder = std::path::absolute(files::expand_home(folder.into())?)?;
        if folder.join(SETTINGS).exists() {
            return Ok(Self { folder });
        }
        if fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some()) {
            bail!("{} holds something else than a course; name a new folder with --out", folder.display());
        }
        shipped.copied_to(&folder)
    }

    /// A course with these settings and notebooks in a new folder; the settings come last, so that half a copy is none.
    fn copied_to(&self, folder: &Path) -> Result<Self> {
        let copy = || -> Result<()> {
            files::copy_folder(&self.folder.join("source"), &folder.join("source"))?;
            fs::copy(self.folder.join(SETTINGS), folder.join(SETTINGS))?;
            Ok(())
        };
        copy().with_context(|| format!("copying the course in {} to {}", self.folder.display(), folder.display()))?;
        Ok(Self { folder: folder.into() })
    }

    /// A program of the course's Python, in the folder whose settings nbgrader reads.
    fn module(&self, python: &Path, name: &str) -> Result<Command> {
        let mut command = python::command(python);
        command.args(["-m", name]).current_dir(&self.folder);
        // nbgrader starts programs that are installed with it.
        let programs = python.parent().map(Path::to_path_buf);
        let others = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths(programs.into_iter().chain(env::split_paths(&others)));
        command.env("PATH", path.context("PATH cannot be extended")?);
        Ok(command)
    }

    /// The names of the assignments.
    fn assignments(&self) -> Result<Vec<String>> {
        let folder = self.folder.join("source");
        let entries = fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
        let folders = entries.flatten().filter(|entry| entry.path().is_dir());
        let mut names: Vec<_> = folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        if names.is_empty() {
            bail!("{} has no folder of an assignment", folder.display());
        }
        Ok(names)
    }

    /// The notebooks of an assignment in the folder `source` or `release`, by name.
    fn notebooks(&self, kind: &str, assignment: &str) -> Result<Vec<(String, Value)>> {
        let folder = self.folder.join(kind).join(assignment);
        let entries = fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "ipynb"));
        paths.sort();
        let read = |path: PathBuf| {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            Ok((name, read_notebook(&path)?))
        };
        paths.into_iter().map(read).collect()
    }

    /// Lets nbgrader make the student version of every assignment.
    fn release(&self, python: &Path, cache: &Cache, progress: &Progress) -> Result<()> {
        for assignment in self.assignments()? {
            for (name, notebook) in self.notebooks("source", &assignment)? {
                check_points(&notebook).with_context(|| format!("{assignment}/{name}.ipynb"))?;
            }
            progress.run("course", &format!("making the student version of {assignment}"), |step| {
                let mut command = self.module(python, "nbgrader")?;
                command.args(["generate_assignment", &assignment, "--force"]);
                commands::run(command, "nbgrader generate_assignment", &cache.log("course"), step)?;
                Ok(((), format!("{assignment}: the student version")))
            })?;
        }
        Ok(())
    }
}

fn read_notebook(path: &Path) -> Result<Value> {
    let text = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is no notebook", path.display()))
}

/// What nbgrader knows of a cell.
fn about(cell: &Value) -> &Value {
    &cell["metadata"]["nbgrader"]
}

/// The cells of a notebook that nbgrader grades from what they show.
fn test_cells(notebook: &Value) -> impl Iterator<Item = &Value> {
    let cells = notebook["cells"].as_array().map(Vec::as_slice).unwrap_or_default();
    cells.iter().filter(|cell| about(cell)["grade"] == true && about(cell)["solution"] != true)
}

/// The name by which nbgrader knows a cell.
fn name_of(cell: &Value) -> &str {
    about(cell)["grade_id"].as_str().unwrap_or_default()
}

/// nbgrader stops at a test cell that gives more points than it has, so `check(3)` stands in a cell of 3 points.
fn check_points(notebook: &Value) -> Result<()> {
    for cell in test_cells(notebook) {
        let source = text_of(&cell["source"]);
        let Some((_, rest)) = source.split_once("check(") else { continue };
        let asked: String = rest.chars().take_while(char::is_ascii_digit).collect();
        let points = about(cell)["points"].as_f64().unwrap_or_default();
        if asked.parse::<f64>().ok() != Some(points) {
            bail!("the cell {} has check({asked}) and {points} points for nbgrader; make them equal", name_of(cell));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shipped() -> Course {
        Course { folder: Path::new(env!("CARGO_MANIFEST_DIR")).join("../../notebooks/course") }
    }

    #[test]
    fn the_points_of_every_test_are_those_that_nbgrader_knows() {
        for assignment in shipped().assignments().unwrap() {
            for (_, notebook) in shipped().notebooks("source", &assignment).unwrap() {
                assert!(test_cells(&notebook).count() > 0);
                check_points(&notebook).unwrap();
            }
        }
        let nbgrader = json!({"grade": true, "solution": false, "points": 3, "grade_id": "mse_test"});
        let cell = json!({"metadata": {"nbgrader": nbgrader}, "source": ["check(2)\n", "  .that(\"a\", true)"]});
        let message = check_points(&json!({"cells": [cell]})).unwrap_err().to_string();
        assert_eq!(message, "the cell mse_test has check(2) and 3 points for nbgrader; make them equal");
    }

    #[test]
    fn the_shipped_notebooks_hold_no_outputs() {
        for (name, notebook) in shipped().notebooks("source", "autoencoders").unwrap() {
            for cell in notebook["cells"].as_array().unwrap() {
                assert!(cell["cell_type"] == "markdown" || cell["outputs"] == json!([]), "{name}: {cell}");
            }
        }
    }

    #[test]
    fn a_folder_of_the_teachers_is_made_once_and_then_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("own");
        Course::open(&own, &shipped()).unwrap();
        let notebook = own.join("source/autoencoders/question_1.ipynb");
        fs::write(&notebook, "changed").unwrap();
        Course::open(&own, &shipped()).unwrap();
        assert_eq!(fs::read_to_string(&notebook).unwrap(), "changed");

        let other = folder.path().join("other");
        fs::create_dir(&other).unwrap();
        fs::write(other.join("thesis.tex"), "").unwrap();
        let error = Course::open(&other, &shipped()).err().unwrap().to_string();
        assert!(error.contains("something else than a course"), "{error}");
        assert!(other.join("thesis.tex").exists());
    }
}
