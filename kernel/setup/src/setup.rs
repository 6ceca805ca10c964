//! `cargo diabolo setup`: everything that notebooks and plain cargo need, each part once.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;

use anyhow::Result;
use clap::Args;
use toml::Table;

use crate::cache::Cache;
use crate::files;
use crate::jupyter;
use crate::kernel;
use crate::libtorch::{self, Candidates, Libtorch};
use crate::machine;
use crate::mpi;
use crate::output::say;
use crate::progress::{self, Progress, joined, words};
use crate::python::Python;
use crate::registration::{self, Kernels};
use crate::sources::Sources;
use crate::workspace::Workspace;

#[derive(Args)]
#[command(after_help = "Examples:
  cargo diabolo setup             in a clone, or anywhere else for the version of this command
  cargo diabolo setup --default   where several are set up: notebooks outside of clones use this one

Each clone and version keeps its kernel; what `cargo diabolo` runs in a clone runs on that clone's.")]
pub struct Options {
    /// Only libtorch, and the command line compiled with MPI for one training in several processes (docs/CLUSTER.md)
    #[arg(long)]
    mpi: bool,
    /// Register this clone's or version's kernel as "Rust (diabolo)", also where another one has that name
    #[arg(long)]
    default: bool,
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
    if options.mpi {
        let workspace = Workspace::required_for("setup --mpi")?;
        let cache = Cache::find()?;
        ensure_libtorch(&workspace, &cache, &progress)?;
        let program = mpi::build(&workspace, &cache, &progress)?;
        say(format_args!(
            "Ready after {}. Next: `mpirun -n 2 {} train run.toml`, as docs/CLUSTER.md says.",
            words(progress.elapsed()),
            program.display()
        ))?;
        return Ok(ExitCode::SUCCESS);
    }
    let sources = Sources::find(&Cache::find()?)?;
    let (_, holder) = ensure_named(&sources, options.default, &progress)?;
    let next = match &sources {
        Sources::Clone(_) => "`cargo diabolo report`",
        Sources::Release(_) => "`cargo diabolo new my-notebooks`",
    };
    say(format_args!(
        "Ready after {}. Next: {next}, or open a notebook in Jupyter or VS Code and choose the kernel \"{}\".",
        words(progress.elapsed()),
        registration::display_name(&sources, holder.is_none())
    ))?;
    if let Some(holder) = holder {
        say(format_args!(
            "The kernel \"Rust (diabolo)\" stays that of {holder}; `cargo diabolo setup --default` gives the name to this one."
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Does what is still missing for `sources`; takes a moment where nothing is. Notebooks that this program runs afterwards find
/// the kernel of these sources.
pub fn ensure(sources: &Sources, progress: &Progress) -> Result<Ready> {
    ensure_named(sources, false, progress).map(|(ready, _)| ready)
}

/// The same; also says whose the plain names of kernels are, where they are another's.
fn ensure_named(sources: &Sources, takes_names: bool, progress: &Progress) -> Result<(Ready, Option<String>)> {
    let cache = Cache::find()?;
    let python = Python::find();
    machine::require(sources, &cache, &python, progress)?;
    let python = python?;
    cache.create()?;
    let found = choose(&sources.config_file(), &cache, &python)?;
    sources.fetch(&cache, progress)?;
    // libtorch and Jupyter are downloads, the kernel is compiled: side by side they take as long as the longest.
    let (libtorch, jupyter, kernel) = thread::scope(|scope| {
        let libtorch = scope.spawn(|| provide_libtorch(found, sources, &cache, &python, progress));
        let jupyter = scope.spawn(|| jupyter::HEADLESS.ensure(&cache, &python, progress));
        let kernel = kernel::build(sources, &cache, &python, progress);
        (joined(libtorch), joined(jupyter), kernel)
    });
    let (libtorch, jupyter, kernel) = all_or_the_cause(libtorch, jupyter, kernel)?;
    let cells = kernel::warm(sources, &cache, &kernel, &libtorch, progress)?;
    let kernels = Kernels::of(sources, &kernel, &cells, &libtorch);
    let holder = kernels.register(&cache, &registration::kernels_folder()?, takes_names)?;
    let (name, folders) = registration::jupyter_path(sources, &cache)?;
    // SAFETY: the threads of set-up have ended, and no other has begun.
    unsafe { env::set_var(name, folders) };
    Ok((Ready { libtorch, jupyter, cells }, holder))
}

/// The part of it that plain cargo needs: libtorch, and the file that says where it is.
pub fn ensure_libtorch(workspace: &Workspace, cache: &Cache, progress: &Progress) -> Result<Libtorch> {
    cache.create()?;
    let python = Python::find()?;
    let sources = Sources::Clone(workspace.clone());
    let found = choose(&sources.config_file(), cache, &python)?;
    provide_libtorch(found, &sources, cache, &python, progress)
}

/// The libtorch that is there already, if any; `config_file` has an earlier choice.
pub fn choose(config_file: &Path, cache: &Cache, python: &Python) -> Result<Option<Libtorch>> {
    let candidates = Candidates {
        variable: env::var_os("LIBTORCH").filter(|value| !value.is_empty()).map(PathBuf::from),
        remembered: read_cargo_config(config_file).filter(|known| libtorch::still_fits(known, cache)),
        python: python.torch.as_ref(),
    };
    candidates.choose()
}

/// Installs libtorch where none was found, says which one it is, and tells plain cargo.
fn provide_libtorch(
    found: Option<Libtorch>,
    sources: &Sources,
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
    files::write_if_changed(&sources.config_file(), cargo_config(&libtorch, cache)?.as_bytes())?;
    Ok(libtorch)
}

/// The line of cargo's configuration that says why.
const REASON_MARK: &str = "# libtorch was chosen because ";

/// What plain cargo and rust-analyzer have to know.
///
/// There are no `rustflags` in it: those would compile every crate again, this program included.
fn cargo_config(libtorch: &Libtorch, cache: &Cache) -> Result<String> {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let [folder, build] = [text(&libtorch.folder), text(&cache.part("build"))];
    // Documentation tests find libtorch; other binaries get the same from build.rs.
    let rpath = format!("-Clink-arg=-Wl,-rpath,{}", libtorch.lib().display());
    let settings = toml::toml! {
        [env]
        LIBTORCH = folder
        // Shared by all clones, so that a second one compiles no dependency again.
        [build]
        build-dir = build
        rustdocflags = [rpath]
    };
    Ok(format!(
        "# Written by `cargo diabolo setup`.\n{REASON_MARK}{}\n{}",
        libtorch.reason,
        toml::to_string(&settings)?
    ))
}

/// The choice that an earlier set-up wrote down.
fn read_cargo_config(path: &Path) -> Option<Libtorch> {
    let text = fs::read_to_string(path).ok()?;
    let folder = text.parse::<Table>().ok()?.get("env")?.get("LIBTORCH")?.as_str()?.into();
    let reason = text.lines().find_map(|line| line.strip_prefix(REASON_MARK));
    Some(Libtorch { folder, reason: reason.unwrap_or(".cargo/diabolo.toml names it").into() })
}

/// The results of three steps, or the error of the one that failed by itself.
fn all_or_the_cause<A, B, C>(a: Result<A>, b: Result<B>, c: Result<C>) -> Result<(A, B, C)> {
    match (a, b, c) {
        (Ok(a), Ok(b), Ok(c)) => Ok((a, b, c)),
        (a, b, c) => {
            let errors = [a.map(drop), b.map(drop), c.map(drop)];
            Err(progress::all_or_the_cause(errors).expect_err("one of them failed"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Stopped;

    #[test]
    fn the_choice_is_read_back_from_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("diabolo.toml");
        let chosen = Libtorch { folder: "/a \"strange\"/torch".into(), reason: "it was the first".into() };
        fs::write(&path, cargo_config(&chosen, &Cache::at(folder.path())).unwrap()).unwrap();
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
