//! The command behind `cargo diabolo`: sets the machine up, runs the notebooks, tests, cleans.
//!
//! It is compiled before anything else can be shown, so it stays light: no libtorch, no evcxr.

mod bench;
mod cache;
mod clean;
mod commands;
mod course;
mod doctor;
mod files;
mod finding;
mod fuzz;
mod jupyter;
mod kernel;
mod lab;
mod language;
mod libtorch;
mod lock_file;
mod machine;
mod mpi;
mod new;
mod output;
mod pace;
mod progress;
mod python;
mod registration;
mod release;
mod report;
mod setup;
mod site;
mod sources;
mod testing;
mod warm;
mod wheel;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo diabolo", bin_name = "cargo diabolo", version, about, arg_required_else_help = true)]
#[command(after_help = "Examples:
  cargo diabolo setup                     everything that notebooks need, once
  cargo diabolo doctor                    what is there, and what mends what is not
  cargo diabolo report                    run every notebook, then open target/report/index.html
  cargo diabolo report --data cifar10     the same on CIFAR-10
  cargo diabolo lab                       open the notebooks in JupyterLab
  cargo diabolo lab --language zh-TW      the same in Traditional Chinese
  cargo diabolo new my-notebooks          a folder for your own notebooks
  cargo diabolo warm Cargo.toml           compile the crates that your notebooks use beforehand
  cargo diabolo course                    assignments for a class, for nbgrader
  cargo diabolo site                      guide, notebooks and API as a website
  cargo diabolo test                      the crate's tests
  cargo diabolo fuzz                      a minute of damaged files for every door
  cargo diabolo bench                     its speed beside PyTorch's and scikit-learn's
  cargo diabolo release --check           whether everything can be published, and how")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Find or install libtorch, build and register the kernel, and compile what cells need
    Setup(setup::Options),
    /// Look at every part and say what mends the broken ones
    Doctor(doctor::Options),
    /// Set up, run every notebook and write the report
    Report(report::Options),
    /// Set up, then open JupyterLab on the notebooks
    Lab(lab::Options),
    /// A folder for your own notebooks
    New(new::Options),
    /// Compile the crates of your notebooks beforehand, so that no kernel compiles them again
    Warm(warm::Options),
    /// Assignments for a class, handed out and graded by nbgrader
    Course(course::Options),
    /// Guide, notebooks, gallery and API as a website for any static host
    Site(site::Options),
    /// Set up, then run `cargo test --workspace`
    Test(testing::Options),
    /// Throw damaged files at everything that opens files
    Fuzz(fuzz::Options),
    /// Time diabolo and what one would take instead of it, in turns
    Bench(bench::Options),
    /// Look whether everything can be published; publishes nothing
    Release(release::Options),
    /// Remove what set-up installed
    Clean(clean::Options),
}

fn main() -> ExitCode {
    // Installed with `cargo install`, cargo passes the subcommand's own name first.
    let mut arguments: Vec<_> = std::env::args_os().collect();
    if arguments.get(1).is_some_and(|first| first == "diabolo") {
        arguments.remove(1);
    }
    let result = match Arguments::parse_from(arguments).command {
        Command::Setup(options) => setup::run(&options),
        Command::Doctor(options) => doctor::run(&options),
        Command::Report(options) => report::run(&options),
        Command::Lab(options) => lab::run(&options),
        Command::New(options) => new::run(&options),
        Command::Warm(options) => warm::run(&options),
        Command::Course(options) => course::run(&options),
        Command::Site(options) => site::run(&options),
        Command::Test(options) => testing::run(&options),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Release(options) => release::run(&options),
        Command::Clean(options) => clean::run(&options),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            output::tell(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
