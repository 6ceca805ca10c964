//! `cargo diabolo fuzz`: fuzzes everything that opens files, and fails on a panic, a hang or too much memory.
//!
//! libFuzzer itself is in the programs that are built here; `cargo fuzz run NAME` in the clone does the same by hand.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::cache::Cache;
use crate::commands;
use crate::progress::Progress;
use crate::setup;
use crate::workspace::Workspace;

#[derive(Args)]
#[command(after_help = "Examples:
  cargo diabolo fuzz                                every target for a minute, two at a time
  cargo diabolo fuzz --only npz --seconds 600       one of them for ten
  target/fuzz/bin/npz target/fuzz/found/npz-...     run one input again

What was tried stays in target/fuzz/corpus, and the next call goes on from there.")]
pub struct Options {
    /// Seconds for each target
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Only targets with this in their name
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
}

/// How many run side by side.
const N_AT_A_TIME: usize = 2;

/// What cargo-fuzz passes to the compiler, without its sanitizer, which needs a nightly one.
const COMPILER_FLAGS: [&str; 8] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
    "-Ccodegen-units=1",
    "--cfg=fuzzing",
];

/// A process that takes more memory fails, as does an input that takes longer or is longer.
const LIMITS: [&str; 3] = ["-rss_limit_mb=2048", "-timeout=20", "-max_len=16384"];

/// Runs `cargo diabolo fuzz`.
pub fn run(options: &Options) -> Result<ExitCode> {
    let workspace = Workspace::required_for("fuzz")?;
    let names = targets(&workspace)?;
    let chosen: VecDeque<&String> =
        names.iter().filter(|name| options.only.as_ref().is_none_or(|part| name.contains(part.as_str()))).collect();
    if chosen.is_empty() {
        let part = options.only.as_deref().unwrap_or_default();
        bail!("--only {part}: no target has this in its name; there are {}", names.join(", "));
    }
    let cache = Cache::find()?;
    let progress = Progress::new();
    setup::ensure_libtorch(&workspace, &cache, &progress)?;
    let programs = build(&workspace, &cache, &progress)?;

    let waiting = Mutex::new(chosen);
    let failures = Mutex::new(Vec::new());
    let next = || waiting.lock().expect("no thread panics with it").pop_front();
    thread::scope(|scope| {
        for _ in 0..N_AT_A_TIME {
            scope.spawn(|| {
                while let Some(name) = next() {
                    if let Err(error) = fuzz(name, &programs, &workspace, options.seconds, &cache, &progress) {
                        failures.lock().expect("no thread panics with it").push(format!("{name}: {error:#}"));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("no thread panics with it");
    if !failures.is_empty() {
        bail!("{}", failures.join("\n"));
    }
    Ok(ExitCode::SUCCESS)
}

/// The fuzz targets, by name.
fn targets(workspace: &Workspace) -> Result<Vec<String>> {
    let folder = workspace.root().join("fuzz/fuzz_targets");
    let entries =
        fs::read_dir(&folder).with_context(|| format!("reading {}; is the clone complete?", folder.display()))?;
    let stem = |path: PathBuf| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let mut names: Vec<String> = entries.flatten().filter_map(|entry| stem(entry.path())).collect();
    names.sort();
    Ok(names)
}

/// Compiles all targets with libFuzzer's counters, and puts the programs into the clone's `target/fuzz/bin`.
///
/// What is compiled lies in the cache, as for everything else, so that another clone compiles little of it again.
fn build(workspace: &Workspace, cache: &Cache, progress: &Progress) -> Result<PathBuf> {
    let programs = workspace.root().join("target/fuzz/bin");
    let host = workspace.rustc().lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.context("`rustc -vV` names no host")?;
    progress.run("targets", "compiling the library and the fuzz targets with libFuzzer's counters", |step| {
        let _lock = cache.lock("fuzz", step)?;
        let mut command = commands::cargo_with_bar();
        command
            .args(["build", "--release", "--bins", "--message-format", "json-render-diagnostics"])
            // With a target of its own the flags are not for build scripts.
            .args(["--target", host, "--manifest-path"])
            .arg(workspace.root().join("fuzz/Cargo.toml"))
            .current_dir(workspace.root())
            .env("CARGO_ENCODED_RUSTFLAGS", COMPILER_FLAGS.join("\u{1f}"));
        let messages = commands::run(command, "compiling the fuzz targets", &cache.log("fuzz-build"), step)?;
        for name in targets(workspace)? {
            let built = commands::executable_named(&name, &messages);
            let built = built.with_context(|| format!("cargo built no {name}; is it in fuzz/Cargo.toml?"))?;
            crate::files::install_program(&built, &programs.join(&name))?;
        }
        Ok((programs, "the fuzz targets are compiled".into()))
    })
}

/// Runs one target.
fn fuzz(
    name: &str,
    programs: &Path,
    workspace: &Workspace,
    seconds: u32,
    cache: &Cache,
    progress: &Progress,
) -> Result<()> {
    let own = |part: &str| workspace.root().join("target/fuzz").join(part);
    let (corpus, found) = (own("corpus").join(name), own("found"));
    for folder in [&corpus, &found] {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    let log = cache.log(&format!("fuzz-{name}"));
    progress.run(name, &format!("fuzzing for {seconds} seconds"), |step| {
        // Gone with this program, whatever becomes of the target.
        let scratch = Scratch::new(name)?;
        let mut command = commands::without_cargo_variables(Command::new(programs.join(name)));
        command
            .arg(format!("-max_total_time={seconds}"))
            .args(LIMITS)
            .args(["-print_final_stats=1", "-reload=0"])
            .arg(format!("-artifact_prefix={}/{name}-", found.display()))
            .args([&corpus, &workspace.root().join("fuzz/seeds").join(name)])
            .env("TMPDIR", &scratch.folder);
        let doing = format!("fuzzing {name}: what it found lies in {}", found.display());
        commands::run(command, &doing, &log, step)?;
        let text = fs::read_to_string(&log).unwrap_or_default();
        Ok(((), summary(&text).context("it ran nothing")?))
    })
}

/// What libFuzzer says at the end: runs, edges covered, and the most memory it had.
fn summary(log: &str) -> Option<String> {
    let after = |line: &str, mark: &str| line.split_once(mark)?.1.split_whitespace().next().map(str::to_string);
    let last = |mark: &str| log.lines().rev().find_map(|line| after(line, mark));
    let n_runs = last("stat::number_of_executed_units:")?;
    let (covered, memory_mb) = (last(" cov: ")?, last("stat::peak_rss_mb:")?);
    Some(format!("{n_runs} inputs, {covered} edges of the program, at most {memory_mb} MB; nothing found"))
}

/// A folder for a target's files, in memory where that is possible.
struct Scratch {
    folder: PathBuf,
}

impl Scratch {
    fn new(name: &str) -> Result<Self> {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.into() } else { std::env::temp_dir() };
        let folder = parent.join(format!("diabolo-fuzz-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        Ok(Self { folder })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left over does no harm.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_of_a_target_are_summed_up() {
        let log = "#2\tINITED cov: 12 ft: 13\n#90\tREDUCE cov: 345 ft: 9 corp: 3/9b\nDone 99 runs in 1 second(s)\n\
                   stat::number_of_executed_units: 99\nstat::peak_rss_mb:              41\n";
        assert_eq!(summary(log).unwrap(), "99 inputs, 345 edges of the program, at most 41 MB; nothing found");
        assert_eq!(summary("error while loading shared libraries"), None);
    }

    #[test]
    fn every_target_has_a_program_and_seeds() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        let manifest = fs::read_to_string(root.join("fuzz/Cargo.toml")).unwrap();
        for entry in fs::read_dir(root.join("fuzz/fuzz_targets")).unwrap().map(Result::unwrap) {
            let name = entry.path().file_stem().unwrap().to_string_lossy().into_owned();
            assert!(manifest.contains(&format!("name = \"{name}\"")), "fuzz/Cargo.toml does not name {name}");
            assert!(fs::read_dir(root.join("fuzz/seeds").join(&name)).unwrap().count() > 0, "{name} has no seed");
        }
    }
}
