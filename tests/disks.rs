//! Disks that are full or read-only, folders that are moved, and others who write the same file: an error that names the
//! path and the next step, and nothing half-written under the final name.

#[path = "common/disk.rs"]
mod disk;

use diabolo::data::ImageStream;
use diabolo::ndarray::Array3;
use diabolo::prelude::*;
use diabolo::run::fit_in;
use diabolo::train::{StoppedBecause, fit};
use diabolo::{figure, sweep};
use disk::SmallDisk;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The process that saves over and over: its seed and the path.
const WRITER: &str = "DIABOLO_TEST_WRITER";

/// The process whose output nobody reads: the file that it makes in the end.
const UNREAD: &str = "DIABOLO_TEST_UNREAD";

/// The process whose home folder is another one.
const AT_HOME: &str = "DIABOLO_TEST_AT_HOME";

fn few() -> Split {
    let split = open("scenes").unwrap().hold_out(&["boat", "car"]).unwrap();
    let some = |images: &Images| images.select(&Vec::from_iter((0..40).map(|index| index * 49))).unwrap();
    Split::new("a few scenes", some(split.train()), some(split.test())).unwrap()
}

/// 28,000 weights: two models of it fit on a small disk.
fn small() -> Architecture {
    Architecture::parse("Linear(3072, 4)", "Linear(4, 3072) / Tanh()").unwrap().named("small")
}

fn model(seed: u64) -> Autoencoder {
    let training = Training::default().epochs(1).seed(seed).device(Device::Cpu);
    fit(small(), &few(), training, |_| ControlFlow::Continue(())).unwrap()
}

fn dot() -> Figure {
    figure::picture(&Array3::zeros((1, 1, 1)), 64, "a dot").unwrap()
}

fn names_in(folder: &Path) -> Vec<String> {
    let mut names = Vec::from_iter(
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()),
    );
    names.sort();
    names
}

/// Checks that a call failed, and that its message names the path, the reason and the next step.
#[track_caller]
fn check_refused<T>(result: diabolo::Result<T>, path: &Path, reason: &str, next_step: &str) {
    let Err(error) = result else { panic!("{} was written", path.display()) };
    let message = error.to_string();
    for part in [path.to_str().unwrap(), reason, next_step] {
        assert!(message.contains(part), "{part:?} is missing in {message:?}");
    }
}

fn run_sweep(folder: &Path) -> diabolo::Result<Sweep> {
    let training = Training::default().epochs(1).device(Device::Cpu);
    let pairs = [["boat".to_string(), "car".to_string()]];
    let experiment = sweep::Experiment::new(small(), training, &[Reconstruction]);
    sweep::run(&experiment, &few(), &pairs, folder, |_| ControlFlow::Continue(()))
}

#[test]
fn a_full_disk_keeps_what_it_had_and_gets_nothing_half() {
    let Some(disk) = SmallDisk::mount("a full disk") else { return };
    let (older, newer) = (model(1), model(2));
    let at = |name: &str| disk.path().join(name);
    older.save(at("model")).unwrap();
    dot().save(at("dot.png")).unwrap();
    let before = names_in(disk.path());
    let weights = fs::read(at("model.safetensors")).unwrap();

    disk.fill();
    check_refused(newer.save(at("model")), &at("model.safetensors"), "No space left", "choose a folder");
    check_refused(dot().save(at("dot.png")), &at("dot.png"), "No space left", "has room");
    check_refused(dot().save(at("new.png")), &at("new.png"), "No space left", "has room");
    let message = run_sweep(&at("sweep")).unwrap_err().to_string();
    assert!(message.contains(at("sweep").to_str().unwrap()) && message.contains("No space left"), "{message}");

    disk.empty();
    let left: Vec<String> = names_in(disk.path()).into_iter().filter(|name| name != "sweep").collect();
    assert_eq!(left, before, "nothing half-written is left");
    assert!(fs::read(at("model.safetensors")).unwrap() == weights);
    assert_eq!(Autoencoder::open(at("model")).unwrap().training().seed, 1);
    assert_eq!(fs::read(at("dot.png")).unwrap(), dot().bytes());
}

#[test]
fn a_read_only_disk_is_named_and_can_still_be_read() {
    let Some(disk) = SmallDisk::mount("a read-only disk") else { return };
    let at = |name: &str| disk.path().join(name);
    model(1).save(at("model")).unwrap();
    let tiny = || Architecture::parse("Linear(3072, 1)", "Linear(1, 3072) / Tanh()").unwrap();
    let finished = || Training::default().epochs(1).device(Device::Cpu);
    fit_in(at("finished"), tiny(), &few(), finished(), |_| ControlFlow::Continue(())).unwrap();
    disk.make_read_only();
    const REASON: &str = "Read-only file system";
    check_refused(model(2).save(at("model")), &at("model.safetensors"), REASON, "may be written to");
    check_refused(dot().save(at("dot.png")), &at("dot.png"), REASON, "may be written to");
    check_refused(run_sweep(&at("sweep")), &at("sweep"), REASON, "choose a place that may be written to");
    let training = Training::default().epochs(1);
    let run = fit_in(at("run"), small(), &few(), training, |_| ControlFlow::Continue(()));
    check_refused(run, &at("run"), REASON, "choose a place that may be written to");
    // What is finished is only read.
    let opened = fit_in(at("finished"), tiny(), &few(), finished(), |_| unreachable!("it has ended")).unwrap();
    assert_eq!(opened.history().stopped_because, StoppedBecause::Finished);
    assert_eq!(Autoencoder::open(at("model")).unwrap().training().seed, 1);
}

#[test]
fn a_disk_that_fills_up_during_a_training_costs_no_model() {
    let Some(disk) = SmallDisk::mount("a training on a disk that fills up") else { return };
    // Small enough for all files of a run.
    let tiny = || Architecture::parse("Linear(3072, 1)", "Linear(1, 3072) / Tanh()").unwrap();
    let path = disk.path().join("run");
    let training = || Training::default().epochs(3).device(Device::Cpu);
    let model = fit_in(&path, tiny(), &few(), training(), |progress| {
        if (progress.epoch, progress.step) == (2, 1) {
            disk.fill();
        }
        ControlFlow::Continue(())
    });
    let model = model.unwrap();
    let warning = model.history().warning().unwrap();
    for part in ["saving ", path.to_str().unwrap(), "No space left", "choose a folder"] {
        assert!(warning.contains(part), "{part:?} is missing in {warning:?}");
    }
    assert!(!path.join("model.json").exists(), "a model that is there says that the training has ended");
    assert!(names_in(&path).iter().all(|name| !name.ends_with(".part")), "{:?}", names_in(&path));
    model.rank(few().test()).unwrap();

    disk.empty();
    let whole = fit_in(&path, tiny(), &few(), training(), |_| ControlFlow::Continue(())).unwrap();
    assert_eq!((whole.history().epochs.len(), &whole.history().stopped_because), (3, &StoppedBecause::Finished));
}

#[test]
fn processes_that_save_under_one_name_leave_the_files_of_one_of_them() {
    if let Ok(writer) = std::env::var(WRITER) {
        let (seed, path) = writer.split_once(' ').unwrap();
        let model = model(seed.parse().unwrap());
        for _ in 0..60 {
            model.save(path).unwrap();
        }
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    let name = "processes_that_save_under_one_name_leave_the_files_of_one_of_them";
    let mut writers = [7, 8].map(|seed| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([name, "--exact"]).env(WRITER, format!("{seed} {}", path.display()));
        command.stdout(std::process::Stdio::null()).spawn().unwrap()
    });
    while !path.with_extension("json").exists() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    // A reader meanwhile never finds half a file.
    while writers.iter_mut().any(|writer| writer.try_wait().unwrap().is_none()) {
        Autoencoder::open(&path).unwrap();
    }
    assert!(writers.iter_mut().all(|writer| writer.wait().unwrap().success()));
    assert_eq!(names_in(folder.path()), ["model.json", "model.safetensors"]);
    let seed = Autoencoder::open(&path).unwrap().training().seed;
    let alone: PathBuf = folder.path().join("alone");
    model(seed).save(&alone).unwrap();
    let weights = |path: &Path| fs::read(path.with_extension("safetensors")).unwrap();
    assert!(weights(&path) == weights(&alone), "weights and description are of two writers");
}

#[test]
fn a_tilde_is_the_home_folder() {
    if std::env::var_os(AT_HOME).is_some() {
        let runs = |name: &str| format!("~/runs/{name}");
        let training = || Training::default().epochs(1).device(Device::Cpu);
        model(1).save("~/small").unwrap();
        Autoencoder::open("~/small").unwrap();
        fit_in(runs("a"), small(), &few(), training(), |_| ControlFlow::Continue(())).unwrap();
        diabolo::run::Run::open(runs("a")).unwrap();
        run_sweep(Path::new("~/sweep")).unwrap();
        dot().save("~/dot.png").unwrap();
        model(1).score(few().test()).unwrap().write_csv("~/prediction.csv").unwrap();
        let grey = figure::picture(&Array3::zeros((1, 32, 32)), 1, "grey").unwrap();
        fs::create_dir(std::env::home_dir().unwrap().join("photographs")).unwrap();
        (0..5).for_each(|number| grey.save(format!("~/photographs/{number}.png")).unwrap());
        open("~/photographs").unwrap();
        ImageStream::open("~/photographs", [3, 32, 32]).unwrap();
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (home, here) = (folder.path().join("home"), folder.path().join("here"));
    [&home, &here].into_iter().for_each(|folder| fs::create_dir(folder).unwrap());
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["a_tilde_is_the_home_folder", "--exact"]).env(AT_HOME, "").env("HOME", &home).current_dir(&here);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(names_in(&here).is_empty(), "{:?}", names_in(&here));
    let saved = ["dot.png", "photographs", "prediction.csv", "runs", "small.json", "small.safetensors", "sweep"];
    assert_eq!(names_in(&home), saved);
}

#[test]
fn a_closed_standard_output_ends_no_training() {
    if let Some(mark) = std::env::var_os(UNREAD) {
        diabolo::prelude::train(small(), &few(), Training::default().epochs(1).device(Device::Cpu)).unwrap();
        fs::write(mark, "").unwrap();
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("trained");
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["a_closed_standard_output_ends_no_training", "--exact", "--nocapture"]).env(UNREAD, &mark);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    // As `head -1` does: the first line, which the test program prints before it begins.
    let mut output = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut output, &mut String::new()).unwrap();
    std::io::BufRead::read_line(&mut output, &mut String::new()).unwrap();
    drop(output);
    // Its exit code is the test program's, which minds.
    child.wait().unwrap();
    assert!(mark.exists(), "the training was ended by what nobody reads");
}

#[test]
fn a_folder_that_is_moved_is_found_at_its_new_place_and_named_at_the_old() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (folder.path().join("old"), folder.path().join("new"));
    fs::create_dir(&old).unwrap();
    model(1).save(old.join("model")).unwrap();
    let dots = figure::picture(&Array3::zeros((1, 32, 32)), 1, "grey").unwrap();
    (0..3).for_each(|number| dots.save(old.join(format!("{number}.png"))).unwrap());
    let mut stream = ImageStream::open(&old, [3, 32, 32]).unwrap().images_per_part(2);
    assert_eq!(stream.next().unwrap().unwrap().images.len(), 2);
    fs::rename(&old, &new).unwrap();
    check_refused(stream.next().unwrap(), &old.join("2.png"), "No such file", "check");
    assert!(stream.next().is_none());
    check_refused(Autoencoder::open(old.join("model")), &old.join("model.json"), "No such file", "saved under");
    assert_eq!(Autoencoder::open(new.join("model")).unwrap().name(), "small");
}
