//! `mpirun -n N diabolo`: one model of several processes, and scores.
//!
//! Most of it wants the command with the feature `mpi`, and mpirun; what takes minutes wants `DIABOLO_TEST_LONG`.

#![allow(clippy::print_stderr, reason = "a skipped test says so")]

#[path = "../common/mod.rs"]
mod common;
#[allow(dead_code, reason = "this test program uses some of it")]
#[path = "../../../tests/common/disk.rs"]
mod disk;
mod failures;
mod hosts;
mod scoring;
mod shares;
mod slurm;

use common::{diabolo, fail, left_in, succeed};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Whether trainings can be started in several processes here; says so if not.
fn has_mpi() -> bool {
    let has_mpirun = Command::new("mpirun").arg("--version").output().is_ok_and(|output| output.status.success());
    match (cfg!(feature = "mpi"), has_mpirun) {
        (false, _) => eprintln!("skipped: the command was built without the feature mpi"),
        (true, false) => eprintln!("skipped: there is no mpirun"),
        (true, true) => return true,
    }
    false
}

fn is_long() -> bool {
    let is_long = std::env::var_os("DIABOLO_TEST_LONG").is_some();
    if !is_long {
        eprintln!("skipped in part: what takes longer is run where DIABOLO_TEST_LONG is set");
    }
    is_long
}

/// The command in so many processes.
fn mpirun(folder: &Path, n_processes: usize, arguments: &[&str]) -> Command {
    let mut command = mpirun_of(folder);
    command.args(["-n", &n_processes.to_string(), env!("CARGO_BIN_EXE_diabolo")]).args(arguments);
    command
}

/// mpirun, as on a machine with too few cores, and as root.
fn mpirun_of(folder: &Path) -> Command {
    let mut command = Command::new("mpirun");
    command.current_dir(folder);
    let variables = [
        ("OMP_NUM_THREADS", "1"),
        ("OMPI_ALLOW_RUN_AS_ROOT", "1"),
        ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"),
        ("OMPI_MCA_rmaps_base_oversubscribe", "1"),
        ("OMPI_MCA_hwloc_base_binding_policy", "none"),
        ("OMPI_MCA_mpi_yield_when_idle", "1"),
    ];
    command.envs(variables);
    command
}

/// A settings file for a run of its own; 37 images leave one for the last minibatch of 12.
fn write_run(folder: &Path, name: &str, architecture: &str, epochs: usize, batch_size: usize) {
    fs::write(folder.join(format!("{name}.toml")), run_of(name, architecture, epochs, batch_size)).unwrap();
}

/// What is in such a file.
fn run_of(name: &str, architecture: &str, epochs: usize, batch_size: usize) -> String {
    format!(
        "folder = \"{name}\"\narchitecture = \"{architecture}\"\n[data]\nopen = \"scenes\"\nhold_out = [\"boat\", \"car\"]\n\
         first = 37\n[training]\nepochs = {epochs}\nbatch_size = {batch_size}\ndevice = \"cpu\"\n\
         optimizer = {{ sgd = {{ momentum = 0.8 }} }}\n"
    )
}

/// Trains in one process or several; gives what it prints.
#[track_caller]
fn train(folder: &Path, name: &str, n_processes: usize) -> String {
    let file = format!("{name}.toml");
    match n_processes {
        1 => {
            let output = diabolo(folder, &["train", &file]).env("OMP_NUM_THREADS", "1").output().unwrap();
            assert!(output.status.success());
            String::from_utf8(output.stdout).unwrap()
        }
        _ => {
            let Output { status, stdout, stderr } = mpirun(folder, n_processes, &["train", &file]).output().unwrap();
            assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
            String::from_utf8(stdout).unwrap()
        }
    }
}

/// The mean losses of the epochs.
fn losses(run: &Path) -> Vec<f64> {
    let history = fs::read_to_string(run.join("history.csv")).unwrap();
    let column = history.lines().next().unwrap().split(',').position(|name| name == "loss_mean").unwrap();
    history.lines().skip(1).map(|line| line.split(',').nth(column).unwrap().parse().unwrap()).collect()
}

/// Checks that two runs have the same losses and the same weights, bit for bit.
#[track_caller]
fn check_same(run: &Path, wanted: &Path) {
    let last = |run: &Path| fs::read(run.join("last.safetensors")).unwrap();
    assert_eq!(losses(run), losses(wanted), "{}", run.display());
    assert!(last(run) == last(wanted), "{}: other weights than those of one that nothing ended", run.display());
}

/// Waits until something is so.
#[track_caller]
fn wait_for(what: &str, patience: Duration, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < patience, "waited in vain for {what}");
        sleep(Duration::from_millis(20));
    }
}

/// The scores of the test images.
fn scores(folder: &Path, run: &str) -> Vec<f64> {
    let scores = succeed(folder, &["score", run, "scenes"]);
    let column = scores.lines().next().unwrap().split(',').position(|name| name == "mse").unwrap();
    scores.lines().skip(1).map(|line| line.split(',').nth(column).unwrap().parse().unwrap()).collect()
}

/// Whether scores rank images as others do, but for those whose scores are the same to five digits.
fn is_same_ranking(scores: &[f64], wanted: &[f64]) -> bool {
    let mut images = Vec::from_iter(0..wanted.len());
    images.sort_by(|&a, &b| wanted[a].total_cmp(&wanted[b]));
    images.windows(2).all(|pair| scores[pair[1]] > scores[pair[0]] * (1.0 - 1e-5))
}

#[test]
fn processes_that_do_not_know_each_other_are_refused_before_they_write() {
    let folder = tempfile::tempdir().unwrap();
    write_run(folder.path(), "run", "conv", 1, 12);
    let mut command = diabolo(folder.path(), &["train", "run.toml"]);
    let output = command.env("MV2_COMM_WORLD_SIZE", "3").output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{message}");
    let wanted = match cfg!(feature = "mpi") {
        true => "found 3 processes, of which each sees 1",
        false => "found 3 processes, and a program that was built without MPI",
    };
    assert!(message.contains(wanted), "{message}");
    assert_eq!(left_in(folder.path()), ["run.toml"]);
}

#[test]
fn several_processes_give_the_losses_and_the_ranking_of_one() {
    if !has_mpi() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let is_long = is_long();
    let cases: &[(&str, &[usize])] = match is_long {
        true => &[("fcn", &[2, 3]), ("conv", &[2, 3]), ("report_cnn", &[2, 3])],
        false => &[("conv", &[3])],
    };
    for (architecture, numbers) in cases {
        let one = format!("{architecture}_1");
        write_run(folder, &one, architecture, 5, 12);
        train(folder, &one, 1);
        let (wanted, wanted_scores) = (losses(&folder.join(&one)), scores(folder, &one));
        assert_eq!(wanted.len(), 5, "of four steps each");
        for n_processes in *numbers {
            let name = format!("{architecture}_{n_processes}");
            write_run(folder, &name, architecture, 5, 12);
            let printed = train(folder, &name, *n_processes);
            assert_eq!(printed.matches(&format!("{architecture}: ")).count(), 1, "process 0 alone prints: {printed}");
            for (found, wanted) in losses(&folder.join(&name)).iter().zip(&wanted) {
                assert!(((found - wanted) / wanted).abs() < 1e-5, "{name}: {found}, not {wanted}");
            }
            assert!(is_same_ranking(&scores(folder, &name), &wanted_scores), "{name}");
        }
    }
}

#[test]
fn more_processes_than_images_in_a_minibatch_are_refused() {
    if !has_mpi() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    write_run(folder.path(), "run", "conv", 1, 2);
    let output = mpirun(folder.path(), 3, &["train", "run.toml"]).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("found 2 images in a batch for 3 processes"), "{message}");
    assert!(!folder.path().join("run/run.json").exists());
}

#[test]
fn an_error_that_all_have_is_told_by_the_first() {
    if !has_mpi() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let output = mpirun(folder.path(), 2, &["train", "none.toml"]).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && message.matches("none.toml").count() == 1, "{message}");
    let alone = fail(folder.path(), 1, &["train", "none.toml"]);
    assert!(message.contains(alone.trim()), "{message}");
}
