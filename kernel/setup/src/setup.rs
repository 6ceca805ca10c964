//! `cargo diabolo setup`: everything that notebooks and plain cargo need, each part once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;

use anyhow::Result;
use clap::Args;

use crate::cache::Cache;
use crate::files;
use crate::jupyter;
use crate::kernel;
use crate::libtorch::{self, Candidates, Libtorch};
use crate::machine;
use crate::mpi;
use crate::output::say;
use crate::progress::{Progress, Stopped, words};
use crate::python::Python;
use crate::workspace::{self, Workspace};

#[derive(Args)]
pub struct Options {
    /// Only libtorch, and the command line compiled with MPI for one training in several processes (docs/CLUSTER.md)
    #[arg(long)]
    mpi: bool,
}

/// What set-up provides.
pub struct Ready {
    /// The library that computes.
    pub libtorch: Libtorch,
    /// The Python that has nbclient and nbconvert.
    pub jupyter: PathBuf,
    /// The folder in which cells find their dependencies compiled.
    pub cells: PathBuf,
}

/// Runs `cargo diabolo setup`.
pub fn run(options: &Options) -> Result<ExitCode> {
    let progress = Progress::new();
    match Workspace::find()? {
        Some(workspace) if options.mpi => {
            let cache = Cache::find()?;
            ensure_libtorch(&workspace, &cache, &progress)?;
            let program = mpi::build(&workspace, &cache, &progress)?;
            say(format_args!(
                "Ready after {}. Next: `mpirun -n 2 {} train run.toml`, as docs/CLUSTER.md says.",
                words(progress.elapsed()),
                program.display()
            ))?;
        }
        Some(workspace) => {
            ensure(&workspace, &progress)?;
            say(format_args!(
                "Ready after {}. Next: `cargo diabolo report`, or open a notebook in Jupyter or VS Code and choose the \
                 kernel \"Rust (diabolo)\".",
                words(progress.elapsed())
            ))?;
        }
        None => {
            outside_a_clone(&progress)?;
            say(format_args!(
                "Ready after {} as far as that goes outside of a clone. The kernel is built in one: {} and run \
                 `cargo diabolo setup` again.",
                words(progress.elapsed()),
                workspace::how_to_get_a_clone()
            ))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Does what is still missing for `workspace`; takes a moment where nothing is.
pub fn ensure(workspace: &Workspace, progress: &Progress) -> Result<Ready> {
    let cache = Cache::find()?;
    let python = Python::find();
    machine::require(workspace, &cache, &python, progress)?;
    let python = python?;
    cache.create()?;
    let found = choose(Some(workspace), &cache, &python)?;
    // libtorch and Jupyter are downloads, the kernel is compiled: side by side they take as long as the longest.
    let (libtorch, jupyter, kernel) = thread::scope(|scope| {
        let libtorch = scope.spawn(|| provide_libtorch(found, Some(workspace), &cache, &python, progress));
        let jupyter = scope.spawn(|| jupyter::HEADLESS.ensure(&cache, &python, progress));
        let kernel = kernel::build(workspace, &cache, progress);
        (joined(libtorch), joined(jupyter), kernel)
    });
    let (libtorch, jupyter, kernel) = all_or_the_cause(libtorch, jupyter, kernel)?;
    let cells = kernel::warm(workspace, &cache, &kernel, &libtorch, progress)?;
    kernel::register(workspace, &kernel, &cells, &libtorch)?;
    Ok(Ready { libtorch, jupyter, cells })
}

/// The part of it that plain cargo needs: libtorch, and the file that says where it is.
pub fn ensure_libtorch(workspace: &Workspace, cache: &Cache, progress: &Progress) -> Result<Libtorch> {
    cache.create()?;
    let python = Python::find()?;
    let found = choose(Some(workspace), cache, &python)?;
    provide_libtorch(found, Some(workspace), cache, &python, progress)
}

/// What can be done without the kernel's sources.
fn outside_a_clone(progress: &Progress) -> Result<()> {
    let cache = Cache::find()?;
    cache.create()?;
    let python = Python::find()?;
    let found = choose(None, &cache, &python)?;
    let (libtorch, jupyter) = thread::scope(|scope| {
        let libtorch = scope.spawn(|| provide_libtorch(found, None, &cache, &python, progress));
        (joined(libtorch), jupyter::HEADLESS.ensure(&cache, &python, progress))
    });
    libtorch?;
    jupyter.map(drop)
}

/// The libtorch that is there already, if any.
pub fn choose(workspace: Option<&Workspace>, cache: &Cache, python: &Python) -> Result<Option<Libtorch>> {
    let candidates = Candidates {
        variable: std::env::var_os("LIBTORCH").filter(|value| !value.is_empty()).map(PathBuf::from),
        remembered: workspace.and_then(remembered).filter(|known| libtorch::still_fits(known, cache)),
        python: python.torch.as_ref(),
    };
    candidates.choose()
}

/// Installs libtorch where none was found, says which one it is, and tells plain cargo.
fn provide_libtorch(
    found: Option<Libtorch>,
    workspace: Option<&Workspace>,
    cache: &Cache,
    python: &Python,
    progress: &Progress,
) -> Result<Libtorch> {
    let libtorch = match found {
        Some(found) => found,
        None => libtorch::install(cache, python, progress)?,
    };
    progress.say(&libtorch.describe());
    if let Some(warning) = libtorch.warning() {
        progress.say(&format!("warning: {warning}"));
    }
    if let Some(workspace) = workspace {
        files::write_if_changed(&workspace.config_file(), cargo_config(&libtorch, cache).as_bytes())?;
    }
    Ok(libtorch)
}

/// The line before the chosen folder in cargo's configuration.
const REASON_MARK: &str = "# libtorch was chosen because ";

/// What plain cargo and rust-analyzer have to know.
///
/// There are no `rustflags` in it: those would compile every crate again, this program included.
fn cargo_config(libtorch: &Libtorch, cache: &Cache) -> String {
    let rpath = format!("-Clink-arg=-Wl,-rpath,{}", libtorch.lib().display());
    format!(
        "# Written by `cargo diabolo setup`.\n\
         [env]\n\
         {REASON_MARK}{}\n\
         LIBTORCH = {}\n\
         \n\
         [build]\n\
         # Shared by all clones, so that a second one compiles no dependency again.\n\
         build-dir = {}\n\
         # Documentation tests find libtorch; other binaries get the same from build.rs.\n\
         rustdocflags = [{}]\n",
        libtorch.reason,
        toml_string(&libtorch.folder.to_string_lossy()),
        toml_string(&cache.part("build").to_string_lossy()),
        toml_string(&rpath),
    )
}

/// The choice that an earlier set-up wrote down.
fn remembered(workspace: &Workspace) -> Option<Libtorch> {
    read_cargo_config(&workspace.config_file())
}

fn read_cargo_config(path: &Path) -> Option<Libtorch> {
    let text = fs::read_to_string(path).ok()?;
    let value_after = |start: &str| text.lines().find_map(|line| line.strip_prefix(start));
    let quoted = value_after("LIBTORCH = ")?.trim();
    let folder = quoted.strip_prefix('"')?.strip_suffix('"')?.replace("\\\"", "\"").replace("\\\\", "\\");
    let reason = value_after(REASON_MARK).unwrap_or(".cargo/diabolo.toml names it");
    Some(Libtorch { folder: folder.into(), reason: reason.into() })
}

fn toml_string(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The results of three steps, or the error of the one that failed by itself.
fn all_or_the_cause<A, B, C>(a: Result<A>, b: Result<B>, c: Result<C>) -> Result<(A, B, C)> {
    match (a, b, c) {
        (Ok(a), Ok(b), Ok(c)) => Ok((a, b, c)),
        (a, b, c) => {
            let mut errors = [a.err(), b.err(), c.err()].into_iter().flatten().collect::<Vec<_>>();
            errors.sort_by_key(|error| error.is::<Stopped>());
            Err(errors.swap_remove(0))
        }
    }
}

fn joined<T>(handle: thread::ScopedJoinHandle<'_, T>) -> T {
    handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_is_read_back_from_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("diabolo.toml");
        let chosen = Libtorch { folder: "/a \"strange\"/torch".into(), reason: "it was the first".into() };
        fs::write(&path, cargo_config(&chosen, &Cache::at(folder.path()))).unwrap();
        assert_eq!(read_cargo_config(&path), Some(chosen));
    }

    #[test]
    fn the_error_that_is_told_is_that_of_the_step_that_failed_by_itself() {
        let stopped = || Err::<(), _>(anyhow::Error::from(Stopped));
        let told = all_or_the_cause(stopped(), Err::<(), _>(anyhow::anyhow!("no network")), stopped());
        assert_eq!(told.unwrap_err().to_string(), "no network");
        assert!(all_or_the_cause(Ok(1), Ok(2), stopped()).unwrap_err().is::<Stopped>());
        assert_eq!(all_or_the_cause(Ok(1), Ok(2), Ok(3)).unwrap(), (1, 2, 3));
    }

    #[test]
    fn a_configuration_written_by_hand_counts_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("diabolo.toml");
        fs::write(&path, "[env]\nLIBTORCH = \"/opt/libtorch\"\n").unwrap();
        assert_eq!(read_cargo_config(&path).unwrap().folder, PathBuf::from("/opt/libtorch"));
        assert_eq!(read_cargo_config(&folder.path().join("none.toml")), None);
    }
}
