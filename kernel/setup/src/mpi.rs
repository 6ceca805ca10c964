//! `cargo diabolo setup --mpi`: the command line with MPI.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cache::Cache;
use crate::commands;
use crate::machine::first_line;
use crate::progress::Progress;
use crate::workspace::Workspace;

/// What says where MPI is.
const DOORS: [(&str, &[&str]); 3] =
    [("mpicc", &["-show"]), ("pkg-config", &["--modversion", "mpich"]), ("pkg-config", &["--modversion", "ompi"])];

/// Compiles `diabolo` with the feature `mpi`, and gives the program.
pub fn build(workspace: &Workspace, cache: &Cache, progress: &Progress) -> Result<PathBuf> {
    let (program, line) = find(|program, arguments| first_line(Command::new(program).args(arguments)))?;
    progress.say(&format!("MPI: {program} says {line}"));
    progress.run("diabolo with MPI", "compiling the command line with MPI", |step| {
        let mut command = commands::cargo();
        command
            .args(["build", "--release", "--package", "diabolo-cli", "--features", "mpi"])
            .args(["--message-format", "json-render-diagnostics"])
            .current_dir(workspace.root());
        // Where there are two, pkg-config, which ferrompi asks first, may know another than that of mpirun.
        if program == "mpicc" && std::env::var_os("MPICC").is_none() {
            command.env("MPICC", program);
        }
        let messages = commands::run(command, "compiling diabolo with MPI", &cache.log("mpi"), step)?;
        let built = commands::executable_named("diabolo", &messages);
        Ok((built.context("cargo built no diabolo")?, "the command line with MPI is compiled".into()))
    })
}

/// What program knows MPI, and its line.
fn find(answer: impl Fn(&str, &[&str]) -> Result<String>) -> Result<(&'static str, String)> {
    let mut failures = Vec::new();
    for (program, arguments) in DOORS {
        match answer(program, arguments) {
            Ok(line) => return Ok((program, line)),
            Err(error) => failures.push(format!("{error:#}")),
        }
    }
    bail!(
        "looking for MPI: found none ({}), wanted mpicc; install it (apt install libopenmpi-dev openmpi-bin, dnf install \
         openmpi-devel, or `module load` the one of a cluster), then run this again",
        failures.join("; ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn the_first_that_knows_mpi_is_asked_and_a_machine_without_is_told_what_to_install() {
        let by_mpicc = find(|program, _| Ok(format!("{program}'s line")));
        assert_eq!(by_mpicc.unwrap(), ("mpicc", "mpicc's line".to_string()));
        let only_the_second = |program: &str, _: &[&str]| match program {
            "mpicc" => Err(anyhow!("cannot start `mpicc`")),
            _ => Ok("4.1.4".to_string()),
        };
        assert_eq!(find(only_the_second).unwrap(), ("pkg-config", "4.1.4".to_string()));
        let message = find(|program, _| Err(anyhow!("cannot start `{program}`"))).unwrap_err().to_string();
        assert!(
            message.contains("cannot start `mpicc`") && message.contains("apt install libopenmpi-dev"),
            "{message}"
        );
    }
}
