//! Runs the notebooks of a report, some side by side.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::executor::Executor;
use super::gather::{Gathered, text_of};
use super::{cells_of, name_of, verdict};
use crate::progress::{self, Progress, Step, Stopped, joined};

/// One notebook that ran.
pub struct Run {
    pub name: String,
    pub title: String,
    pub n_cells: usize,
    pub seconds: f64,
}

/// What all notebooks of a report run with.
pub struct Session<'a> {
    /// The kernel's name, as set-up registered it.
    pub kernel: &'a str,
    /// Where pages are written.
    pub folder: &'a Path,
    pub progress: &'a Progress,
}

impl Session<'_> {
    /// Runs the notebooks, as many at a time as there are executors; returns the runs and what they showed, in the notebooks'
    /// order.
    pub fn run_all(&self, notebooks: &[PathBuf], executors: &mut [Executor]) -> Result<(Vec<Run>, Gathered)> {
        let next = AtomicUsize::new(0);
        let work = |executor: &mut Executor| {
            let mut ended = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(notebook) = notebooks.get(index) else { return Ok(ended) };
                ended.push((index, self.run_one(notebook, executor)?));
            }
        };
        let results: Vec<Result<Vec<_>>> = thread::scope(|scope| {
            let work = &work;
            let workers: Vec<_> = executors.iter_mut().map(|executor| scope.spawn(move || work(executor))).collect();
            workers.into_iter().map(joined).collect()
        });
        let mut ended: Vec<_> = progress::all_or_the_cause(results)?.into_iter().flatten().collect();
        ended.sort_by_key(|(index, _)| *index);
        let mut all = Gathered::default();
        let mut runs = Vec::new();
        for (_, (run, gathered)) in ended {
            runs.push(run);
            all.append(gathered);
        }
        Ok((runs, all))
    }

    /// Runs one notebook with a fresh kernel.
    fn run_one(&self, notebook: &Path, executor: &mut Executor) -> Result<(Run, Gathered)> {
        let name = name_of(notebook);
        self.progress.run(&short_name(&name), &format!("running {name}.ipynb"), |step| {
            step.go_on()?;
            executor.open(notebook, self.kernel).with_context(|| {
                format!("starting the kernel for {name}.ipynb; what it said is in {}", executor.log().display())
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
        let source = text_of(&cell["source"]);
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

/// The number before the first underscore fits beside the moving line.
fn short_name(name: &str) -> String {
    format!("notebook {}", name.split('_').next().unwrap_or(name))
}

/// The first heading.
fn title_of(cells: &[Value]) -> Option<String> {
    let markdown = cells.iter().filter(|cell| cell["cell_type"] == "markdown");
    let texts: Vec<_> = markdown.map(|cell| text_of(&cell["source"])).collect();
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
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_heading_is_the_title() {
        let cells = [
            json!({"cell_type": "code", "source": "# no"}),
            json!({"cell_type": "markdown", "source": ["text\n", "# Question 1\n"]}),
        ];
        assert_eq!(title_of(&cells).unwrap(), "Question 1");
        assert_eq!(title_of(&[]), None);
    }
}
