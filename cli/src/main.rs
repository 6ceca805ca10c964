//! The command `diabolo`: trains, scores and ranks with autoencoders.

mod configuration;
mod detector;
mod grade;
mod images;
mod output;
mod processes;
mod progress;
mod scoring;
mod train;

use anyhow::{Context, Result};
use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::{Shell, generate};
use diabolo::prelude::{Device, Sweep};
use diabolo::sweep::Part;
use output::{READER_IS_GONE, is_reader_gone, say, tell};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Parser)]
#[command(
    name = "diabolo",
    version,
    about = "Trains, scores and ranks with autoencoders, in run folders that survive",
    after_help = "Exit codes: 0 all is well; 1 it did not work, and the message says why; 2 the command cannot be read; 141 nobody reads the output any longer."
)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
    /// Where to compute: auto, cpu, cuda or cuda:1 [default: as the run's settings say]
    #[arg(long, global = true, value_name = "DEVICE")]
    device: Option<Device>,
}

#[derive(Subcommand)]
enum Command {
    /// Train as a file says, in a run folder; run again to go on after a kill
    #[command(after_help = TRAIN_HELP)]
    Train {
        /// What to train, on which data, with which settings
        file: PathBuf,
    },
    /// Fit a way of scoring to a run's training images, with a threshold or without, and save the detector
    #[command(after_help = FIT_HELP)]
    Fit(detector::Fit),
    /// Score the images that a detector keeps once more, and compare with the scores that it was saved with
    Verify {
        /// The detector's folder
        detector: PathBuf,
    },
    /// Score images with a detector, or by how badly a run's model rebuilds them, as CSV; higher is more anomalous
    #[command(after_help = "Examples:
  diabolo score detectors/bottle photographs --out scores.csv
  diabolo score runs/cnn photographs --out scores.csv     a folder of JPEG, PNG or WebP of any size
  diabolo score runs/cnn cifar10 --out scores.csv         the test images of a data set
  diabolo score runs/cnn test_batch.bin > scores.csv      a file of CIFAR-10's binary form

A folder of image files and a .bin file are read a part at a time and may be larger than memory. Several processes take turns
at the parts, on one machine or many, where the command was built with MPI (docs/CLUSTER.md):
  mpirun -n 4 diabolo score runs/cnn photographs --out scores.csv")]
    Score {
        /// The run folder, or the detector's
        run: PathBuf,
        /// A folder of images, a .bin file, or a data set by name or path
        images: PathBuf,
        /// The file to write, or - [default: standard output]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// List the images with the highest and lowest scores of a detector, or that a run's model rebuilds worst and best
    #[command(after_help = "Examples:
  diabolo rank runs/cnn photographs
  diabolo rank runs/cnn cifar10 --count 4 --figures pictures    also pictures/worst.svg and pictures/best.svg")]
    Rank {
        /// The run folder, or the detector's
        run: PathBuf,
        /// A folder of images, a .bin file, or a data set by name or path
        images: PathBuf,
        /// Images from each end
        #[arg(long, value_name = "N", default_value_t = 9)]
        count: usize,
        /// A folder for pictures of them
        #[arg(long, value_name = "FOLDER")]
        figures: Option<PathBuf>,
    },
    /// Train one network for each pair of held-out classes; run again to go on after a kill
    #[command(after_help = SWEEP_HELP)]
    Sweep {
        /// What to train, on which data, for which pairs
        file: PathBuf,
        /// Only a part of the trainings, as in 3/45; the others may run at the same time, on any machines that share the folder
        #[arg(long, value_name = "I/N")]
        part: Option<Part>,
    },
    /// Rank the scores that a class has handed in: a table, a page and a CSV file
    #[command(after_help = GRADE_HELP)]
    Grade(grade::Grade),
    /// Show a run or a sweep: a run's network, losses and whether it is finished; a sweep's AUCs and what of it is missing
    #[command(after_help = "Examples:
  diabolo show runs/cnn --figure loss.svg
  diabolo show runs --figure pairs.svg      a folder with one sweep, or the sweep's own folder or results file")]
    Show {
        /// The run folder, or the sweep's
        run: PathBuf,
        /// A file for the loss curve or the heat map, as SVG
        #[arg(long, value_name = "FILE")]
        figure: Option<PathBuf>,
    },
    /// Print a completion script for a shell
    #[command(after_help = "Example:
  diabolo completions bash > ~/.local/share/bash-completion/completions/diabolo")]
    Completions {
        /// The shell
        shell: Shell,
    },
}

const TRAIN_HELP: &str = r#"Example of a file:
  folder = "runs/cnn"                  # the run folder
  architecture = "report_cnn"          # or fcn, conv, vae, or a table with name, encoder and decoder

  [data]
  open = "cifar10"                     # a name or a path
  # options = { size_px = 64, seed = 7 } # for a folder of photographs
  hold_out = ["cat", "dog"]            # classes that training does not see

  [training]                           # every key may be left out
  epochs = 20
  batch_size = 128
  learning_rate = 1e-3
  optimizer = { adam_w = { weight_decay = 0.01 } }     # or "adam", or { sgd = { momentum = 0.8 } }
  keep = "lowest_minibatch_loss"       # or "lowest_epoch_loss", "last"
  seed = 0
  device = "auto"                      # or "cpu", { cuda = 0 }

Paths are relative to this file. It is safe to press Ctrl-C: run the command again to go on where the last saved epoch ended.

One training in several processes, on one machine or many, where the command was built with MPI (docs/CLUSTER.md):
  mpirun -n 4 diabolo train run.toml
With share = true below [data] each process opens only its share of the images, for more than one memory holds."#;

const FIT_HELP: &str = r#"Examples:
  diabolo fit runs/cnn --by kmeans_3 --out detectors/cnn
  diabolo fit runs/cnn --by reconstruction --false-alarms 0.01 --calibrate good --out detectors/cnn

The threshold is made of the images after --calibrate: normal ones that training has not seen, 99 or more for 0.01. Of new
normal images at most that share is called anomalies, on average over such folders.

For more images than one memory, where the command was built with MPI (docs/CLUSTER.md): each process opens its share.
  mpirun -n 4 diabolo fit runs/cnn --by kmeans_3 --images photographs --out detectors/cnn"#;

const GRADE_HELP: &str = r#"Examples:
  diabolo grade submissions --truth truth.csv
  diabolo grade submissions --truth truth.csv --public 0.5 --seed 7
  diabolo grade submissions --truth truth.csv --public 0.5 --seed 7 --only-public --out leaderboard

A submission is what `scores.write_csv("prediction.csv")?` writes in a notebook: the columns id and anomaly, a line for each
test image, higher is more anomalous. submissions/b09901001.csv is a student's only try; submissions/b09901001/*.csv are
several, of which the last that can be read counts. Students in one group cannot be told apart by these images."#;

const SWEEP_HELP: &str = r#"Example of a file:
  folder = "runs"                      # the results go here
  architecture = "fcn"
  pairs = [["cat", "dog"], ["ship", "truck"]]  # left out: all pairs of classes
  seeds = [0, 1, 2]                    # left out: that of training
  evaluations = ["reconstruction", { k_means = 3 }, { pca = 2 }]

  [data]
  open = "cifar10"

  [training]
  epochs = 5

Paths are relative to this file. On one machine or many, with one folder:
  diabolo sweep sweep.toml --part 1/2    and elsewhere, at the same time or later
  diabolo sweep sweep.toml --part 2/2
  diabolo show runs                      what is there, and what is missing"#;

fn main() -> ExitCode {
    let CommandLine { command, device } = CommandLine::parse();
    match run(command, device) {
        Ok(()) => ExitCode::SUCCESS,
        // Quietly, as other programs end in a pipe.
        Err(error) if is_reader_gone(&error) => ExitCode::from(READER_IS_GONE),
        Err(error) => {
            tell(format!("error: {}", whole_message(&error)));
            ExitCode::FAILURE
        }
    }
}

/// An error and its causes; a cause that the error tells itself, as the library's do, is not told twice.
fn whole_message(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |message, cause| match cause.to_string() {
        cause if message.contains(&cause) => message,
        cause if message.is_empty() => cause,
        cause => format!("{message}: {cause}"),
    })
}

fn run(command: Command, device: Option<Device>) -> Result<()> {
    match command {
        Command::Train { file } => train::train(&file, device),
        Command::Fit(fit) => detector::fit(&fit, device),
        Command::Verify { detector } => detector::verify(&detector, device),
        Command::Score { run, images, out } if detector::is_detector(&run) => {
            detector::score(&run, device, &images, out.as_deref())
        }
        Command::Rank { run, images, count, figures } if detector::is_detector(&run) => {
            detector::rank(&run, device, &images, count, figures.as_deref())
        }
        Command::Score { run, images, out } => images::score(&run, device, &images, out.as_deref()),
        Command::Rank { run, images, count, figures } => images::rank(&run, device, &images, count, figures.as_deref()),
        Command::Grade(options) => grade::grade(&options),
        Command::Sweep { file, part } => train::sweep(&file, part, device),
        Command::Show { run, figure } => show(&run, device, figure.as_deref()),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            generate(shell, &mut CommandLine::command(), "diabolo", &mut script);
            say(String::from_utf8(script)?.trim_end())
        }
    }
}

fn show(folder: &Path, device: Option<Device>, figure: Option<&Path>) -> Result<()> {
    if Sweep::is_at(folder) {
        let sweep = Sweep::open(folder)?;
        train::show_sweep(&sweep)?;
        if let (Some(path), Some(evaluation)) = (figure, sweep.settings.evaluations.first()) {
            sweep.heat_map(evaluation.clone())?.save(path)?;
        }
        return Ok(());
    }
    let run = images::open_run(folder, device)?;
    say(&run)?;
    if let Some(path) = figure {
        run.model.history().figure().context("the run has no loss curve yet")?.save(path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::{Sweeping, Train};

    #[test]
    fn the_command_line_is_well_formed() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn a_cause_is_told_once() {
        let missing = diabolo::prelude::Run::open("no/such/run").unwrap_err();
        let message = whole_message(&anyhow::Error::from(missing).context("showing a run"));
        assert!(message.starts_with("showing a run: opening no/such/run/run.json"), "{message}");
        assert_eq!(message.matches("os error").count(), 1, "{message}");
    }

    #[test]
    fn the_examples_of_the_help_can_be_read() {
        let example = |help: &str| {
            let lines = help.lines().skip(1).take_while(|line| !line.starts_with("Paths are"));
            lines.collect::<Vec<_>>().join("\n")
        };
        let train: Train = configuration::parse(&example(TRAIN_HELP)).unwrap();
        assert_eq!(train.data.hold_out, ["cat", "dog"]);
        let sweep: Sweeping = configuration::parse(&example(SWEEP_HELP)).unwrap();
        assert_eq!((sweep.pairs.len(), sweep.seeds.len(), sweep.evaluations.len()), (2, 3, 3));
    }
}
