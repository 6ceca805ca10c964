//! `cargo diabolo doctor`: checks every part and names the command that repairs it. It changes nothing.

mod cell;
mod cuda;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use clap::Args;
use serde_json::json;

use crate::cache::Cache;
use crate::finding::{Finding, State};
use crate::jupyter;
use crate::kernel::{self, Warm};
use crate::libtorch::{self, Libtorch};
use crate::machine::{self, first_line};
use crate::output::say;
use crate::python::{self, Python};
use crate::registration::{self, Kernels, Registered};
use crate::setup;
use crate::sources::Sources;

/// What most broken parts want.
const SET_UP: &str = "cargo diabolo setup";

#[derive(Args)]
#[command(after_help = "Examples:
  cargo diabolo doctor              a line for every part, and what mends the broken ones
  cargo diabolo doctor --json       the same as a list of name, state, version, detail and mend

It ends with 0 where all is well. A part that one can do without is no failure.")]
pub struct Options {
    /// Print one JSON list at the end instead of lines
    #[arg(long)]
    json: bool,
    /// Start no kernel, which takes some seconds
    #[arg(long)]
    no_cell: bool,
}

/// Runs `cargo diabolo doctor`.
pub fn run(options: &Options) -> Result<ExitCode> {
    let (mut findings, mut printed) = (Vec::new(), Ok(()));
    look(options, &mut |finding| {
        if !options.json && printed.is_ok() {
            printed = say(&finding);
        }
        findings.push(finding);
    });
    printed?;
    let n_broken = findings.iter().filter(|finding| finding.state == State::Broken).count();
    if options.json {
        let list = findings.iter().map(Finding::as_json).collect::<Vec<_>>();
        say(serde_json::to_string_pretty(&json!(list))?)?;
    } else {
        match n_broken {
            0 => say("\nAll is well.")?,
            1 => say("\nOne part is broken: run what stands after \"mend:\", then this again.")?,
            n => say(format_args!(
                "\n{n} parts are broken: run what stands after \"mend:\", from the top, then this again."
            ))?,
        }
    }
    Ok(if n_broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Looks at every part, in the order in which they need each other.
fn look(options: &Options, tell: &mut impl FnMut(Finding)) {
    let cache = Cache::find();
    let sources =
        all([cache.as_ref().err()]).and_then(|()| Sources::find(cache.as_ref().ok().context("no cache folder")?));
    tell(match &sources {
        Ok(sources) => machine::compiler(sources.rustc()),
        Err(error) => Finding::broken("rustc", format!("{error:#}"), "install Rust from https://rustup.rs"),
    });
    tell(machine::cpp_compiler());
    let library = machine::standard_library_sources();
    let has_library = library.state != State::Broken;
    tell(library);
    let python = Python::find();
    machine::python(&python).into_iter().for_each(&mut *tell);
    let libtorch = all([sources.as_ref().err(), python.as_ref().err(), cache.as_ref().err()])
        .and_then(|()| chosen_libtorch(sources.as_ref().ok(), cache.as_ref().ok(), python.as_ref().ok()));
    machine::folders(&cache, libtorch.is_ok()).into_iter().for_each(&mut *tell);
    tell(match &libtorch {
        Ok(libtorch) => libtorch_version(libtorch, cache.as_ref().ok()),
        Err(error) => Finding::broken("libtorch", format!("{error:#}"), SET_UP),
    });
    tell(cuda::driver());
    let has_driver = libtorch::has_nvidia_driver();
    tell(match &libtorch {
        Ok(libtorch) => cuda::library(libtorch, has_driver),
        Err(_) => Finding::not_looked_at("CUDA library"),
    });
    let parts = (sources, cache, python, libtorch);
    let (Ok(sources), Ok(cache), Ok(python), Ok(libtorch)) = &parts else {
        for name in ["Jupyter", "kernel", "registration", "warm build", "cell"] {
            tell(Finding::not_looked_at(name));
        }
        return;
    };
    let jupyter = jupyter::HEADLESS.find(cache, python);
    tell(jupyter_environment(jupyter.as_deref()));
    let ready = kernel_parts(sources, cache, libtorch, tell);
    match jupyter {
        _ if options.no_cell => {}
        // Without them no cell can keep a variable.
        Some(jupyter) if ready && has_library => cell::look(&jupyter, sources, cache, has_driver, tell),
        _ => tell(Finding::not_looked_at("cell")),
    }
}

/// The first error, said once more.
fn all<const N: usize>(errors: [Option<&anyhow::Error>; N]) -> Result<()> {
    errors.into_iter().flatten().next().map_or(Ok(()), |error| Err(anyhow!("{error:#}")))
}

/// The libtorch that set-up chose or would take.
fn chosen_libtorch(sources: Option<&Sources>, cache: Option<&Cache>, python: Option<&Python>) -> Result<Libtorch> {
    let ((cache, python), sources) =
        cache.zip(python).zip(sources).context("the compiler, the cache folder and Python come first")?;
    setup::choose(&sources.config_file(), cache, python)?
        .context("none is set up here, or the one that was is no longer whole")
}

fn libtorch_version(libtorch: &Libtorch, cache: Option<&Cache>) -> Finding {
    if let Some(file) = libtorch.damaged_file() {
        let own = cache.map(|cache| cache.part("libtorch")).filter(|own| libtorch.folder.starts_with(own));
        let mend = match own {
            // Set-up takes what pip once installed for whole.
            Some(own) => format!("rm -r \"{}\" && {SET_UP}", own.display()),
            None => format!("install it again, or unset LIBTORCH and remove .cargo/diabolo.toml, then {SET_UP}"),
        };
        return Finding::broken("libtorch", format!("{} is missing or cut off", file.display()), mend);
    }
    let detail = format!("{}; because {}", libtorch.folder.display(), libtorch.reason);
    match libtorch.warning() {
        // Set-up keeps the user's choice, and its own earlier one.
        Some(warning) => Finding::broken(
            "libtorch",
            format!("{}: {warning}", libtorch.folder.display()),
            format!("unset LIBTORCH; rm -f .cargo/diabolo.toml; {SET_UP}"),
        ),
        None => Finding::ok("libtorch", libtorch.version().unwrap_or_default(), detail),
    }
}

fn jupyter_environment(python: Option<&Path>) -> Finding {
    let Some(python) = python else {
        return Finding::broken("Jupyter", "what runs notebooks is not installed", SET_UP);
    };
    let probe = "import nbclient, nbconvert, jupyter_client; print(jupyter_client.__version__)";
    match first_line(python::command(python).args(["-c", probe])) {
        Ok(version) => Finding::ok("Jupyter", format!("client {version}"), python.display()),
        Err(error) => {
            // Set-up takes an environment with a stamp for a whole one.
            let folder = python.ancestors().nth(2).unwrap_or(python);
            Finding::broken("Jupyter", format!("{error:#}"), format!("rm -r \"{}\" && {SET_UP}", folder.display()))
        }
    }
}

/// The kernel, its registration and the warm build; says whether a cell can be run.
fn kernel_parts(sources: &Sources, cache: &Cache, libtorch: &Libtorch, tell: &mut impl FnMut(Finding)) -> bool {
    let parts = kernel::program(sources, cache).and_then(|program| {
        let warm = Warm::of(sources, cache, libtorch)?;
        let kernels = Kernels::of(sources, &program, &warm.cells, libtorch);
        let wanted = kernels.wanted(cache, &registration::kernels_folder()?);
        Ok((program, warm, wanted))
    });
    let (program, warm, wanted) = match parts {
        Ok(parts) => parts,
        Err(error) => {
            let mend = match sources {
                Sources::Clone(_) => "git status, and complete the clone",
                Sources::Release(_) => SET_UP,
            };
            tell(Finding::broken("kernel", format!("{error:#}"), mend));
            return false;
        }
    };
    let is_built = program.exists();
    tell(match is_built {
        true => Finding::ok("kernel", env!("CARGO_PKG_VERSION"), program.display()),
        false => Finding::broken("kernel", "the one of these sources is not compiled", SET_UP),
    });
    let registrations = wanted.iter().map(|(file, text)| registration(file, text)).collect::<Vec<_>>();
    let is_registered = registrations.iter().all(|finding| finding.state != State::Broken);
    // All are written together.
    let worst = registrations.into_iter().rev().max_by_key(|finding| finding.state);
    tell(worst.unwrap_or_else(|| Finding::not_looked_at("registration")));
    tell(match warm.is_complete() {
        true => Finding::ok("warm build", "", warm.cells.display()),
        false => Finding::broken("warm build", "what cells need is not compiled from these sources", SET_UP),
    });
    is_built && is_registered && warm.is_complete()
}

/// What Jupyter knows of a kernel, beside what set-up would write.
fn registration(file: &Path, wanted: &str) -> Finding {
    let found = std::fs::read_to_string(file).unwrap_or_default();
    let registered = file.parent().and_then(Registered::read);
    match registered.map(|registered| registered.program) {
        _ if found == wanted => Finding::ok("registration", "", file.display()),
        None => Finding::broken(
            "registration",
            format!("Jupyter does not know the kernel: {} names none", file.display()),
            SET_UP,
        ),
        Some(program) if !program.exists() => {
            let detail = format!("{} names {}, which is not there", file.display(), program.display());
            Finding::broken("registration", detail, SET_UP)
        }
        Some(_) => Finding::note("registration", format!("{} is of other sources", file.display()), SET_UP),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_that_does_not_import_is_removed_before_it_is_made_again() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(jupyter_environment(None).mend, SET_UP);
        let finding = jupyter_environment(Some(&folder.path().join("bin/python")));
        assert_eq!(finding.state, State::Broken);
        assert_eq!(finding.mend, format!("rm -r \"{}\" && {SET_UP}", folder.path().display()));
    }

    #[test]
    fn a_libtorch_of_another_version_is_broken() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("build-version"), "2.9.1").unwrap();
        let other = Libtorch { folder: folder.path().into(), reason: "LIBTORCH is set to it".into() };
        let finding = libtorch_version(&other, None);
        assert_eq!(finding.state, State::Broken);
        assert!(finding.detail.contains("2.9.1") && finding.mend.contains("unset LIBTORCH"), "{finding}");
    }
}
