//! Trainings that are killed, stopped, moved and damaged.

#[cfg(unix)]
#[path = "common/file_sizes.rs"]
mod file_sizes;

use diabolo::prelude::*;
use diabolo::run::train_in;
use diabolo::train::StoppedBecause;
#[cfg(unix)]
use file_sizes::run_limited;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The process that is to be killed: architecture and folder.
const VICTIM: &str = "DIABOLO_TEST_VICTIM";
const N_KILLS: usize = 50;

fn small_scenes() -> Split {
    let split = open("scenes").unwrap().hold_out(&["boat", "car"]).unwrap();
    let every = |images: &Images, nth: usize| images.select(&Vec::from_iter((0..images.len()).step_by(nth))).unwrap();
    Split::new("small scenes", every(&split.train, 25), every(&split.test, 49)).unwrap()
}

fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("runs").join(name);
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

/// AdamW, SGD with dropout and the report's rule, and a Gaussian waist's noise.
fn cases() -> [(&'static str, Architecture, Training); 3] {
    [
        ("fcn", Architecture::fcn(), Training::report_fcn().epochs(8).batch_size(32)),
        ("report_cnn", Architecture::report_cnn(), Training::report_cnn().epochs(4).batch_size(64)),
        ("vae", Architecture::vae(), Training::default().epochs(6).batch_size(64)),
    ]
}

fn run_in(folder: &Path, case: &str) -> diabolo::Result<Autoencoder> {
    let (_, architecture, training) = cases().into_iter().find(|(name, ..)| *name == case).unwrap();
    train_in(folder, architecture, &small_scenes(), training, |_| ControlFlow::Continue(()))
}

/// Weights as they lie on the disk, and the history without its times.
fn outcome(folder: &Path) -> (Vec<u8>, Vec<u8>, Vec<String>) {
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let history = String::from_utf8(read("history.csv")).unwrap();
    let without_times = history.lines().map(|line| line.split(',').take(3).collect::<Vec<_>>().join(","));
    (read("best.safetensors"), read("last.safetensors"), without_times.collect())
}

#[test]
fn a_killed_training_ends_as_if_it_had_not_been() {
    if let Ok(victim) = std::env::var(VICTIM) {
        let (case, folder) = victim.split_once(' ').unwrap();
        run_in(Path::new(folder), case).unwrap();
        return;
    }
    let mut n_killed_on_the_way = 0;
    for (case, ..) in cases() {
        let whole = folder(&format!("{case}_whole"));
        let began = std::time::Instant::now();
        let model = run_in(&whole, case).unwrap();
        let milliseconds = began.elapsed().as_millis() as u64;
        let expected = outcome(&whole);
        let scores = model.score(&small_scenes().test).unwrap();
        for kill in 0..N_KILLS.div_ceil(cases().len()) {
            let folder = folder(&format!("{case}_killed"));
            let mut victim = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "a_killed_training_ends_as_if_it_had_not_been"])
                .env(VICTIM, format!("{case} {}", folder.display()))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            // Instants that no clock chose, from before the first epoch to after the last; a process needs a while to start.
            let share = (kill as f64 * 0.618_033_988_75).fract();
            std::thread::sleep(Duration::from_millis(100 + (share * 1.3 * milliseconds as f64) as u64));
            victim.kill().unwrap();
            victim.wait().unwrap();
            n_killed_on_the_way +=
                usize::from(folder.join("state.safetensors").exists() && !folder.join("model.json").exists());

            let model = run_in(&folder, case).unwrap();
            assert!(outcome(&folder) == expected, "{case}, kill {kill}: the weights or the history differ");
            assert_eq!(model.history.stopped_because, StoppedBecause::Finished);
            assert_eq!(model.score(&small_scenes().test).unwrap(), scores, "{case}, kill {kill}");
        }
    }
    // Otherwise the test tests nothing.
    assert!(n_killed_on_the_way >= 5, "only {n_killed_on_the_way} kills came between two epochs");
}

#[test]
fn a_stopped_training_goes_on_and_a_finished_one_is_opened() {
    let (split, path) = (small_scenes(), folder("stopped"));
    let training = Training::default().epochs(5).batch_size(64);
    let train = |stop_in: usize, steps: &mut usize| {
        train_in(&path, Architecture::fcn(), &split, training.clone(), |progress| {
            *steps += 1;
            if progress.epoch == stop_in { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap()
    };
    let (mut first, mut second, mut third) = (0, 0, 0);
    let stopped = train(3, &mut first);
    assert_eq!(stopped.history.stopped_because, StoppedBecause::Interrupted);
    let half = Run::open(&path).unwrap();
    assert!(!half.is_finished && half.to_string().contains("not finished"));
    assert_eq!(half.model.history.epochs.len(), 2);

    let whole = train(0, &mut second);
    assert_eq!(whole.history.stopped_because, StoppedBecause::Finished);
    assert_eq!(whole.history.epochs.len(), 5);
    assert!(whole.history.seconds >= stopped.history.seconds);
    let opened = train(0, &mut third);
    assert_eq!((third, &opened.history), (0, &whole.history));
    assert!(Run::open(&path).unwrap().is_finished);

    let elsewhere = folder("never_stopped");
    train_in(&elsewhere, Architecture::fcn(), &split, training.clone(), |_| ControlFlow::Continue(())).unwrap();
    assert!(outcome(&path) == outcome(&elsewhere));
}

#[test]
fn other_settings_data_and_a_second_process_are_refused() {
    let (split, path) = (small_scenes(), folder("refused"));
    let training = Training::default().epochs(1).batch_size(64);
    let train = |architecture: Architecture, split: &Split, training: Training| {
        train_in(&path, architecture, split, training, |_| ControlFlow::Continue(()))
    };
    train(Architecture::fcn(), &split, training.clone()).unwrap();
    let refused = |architecture, split: &Split, training| train(architecture, split, training).unwrap_err().to_string();

    let message = refused(Architecture::fcn(), &split, training.clone().epochs(2));
    assert!(message.contains("found epochs 1 there, and 2 here, wanted the settings and data"), "{message}");
    let message = refused(Architecture::conv(), &split, training.clone());
    assert!(message.contains("there, and") && message.contains("ConvTranspose2d"), "{message}");
    let others = Split::new("small scenes", split.test.clone(), split.test.clone()).unwrap();
    let message = refused(Architecture::fcn(), &others, training.clone());
    assert!(message.contains("fingerprint"), "{message}");
    // Where and how long to compute may change.
    train(Architecture::fcn(), &split, training.clone().max_seconds(60.0).device(Device::Cpu)).unwrap();

    let lock = std::fs::File::create(path.join("lock")).unwrap();
    lock.lock().unwrap();
    let message = refused(Architecture::fcn(), &split, training);
    assert!(message.contains("another training at work there"), "{message}");
}

#[test]
fn damaged_and_newer_folders_are_refused_with_what_is_wrong() {
    let (split, path) = (small_scenes(), folder("damaged"));
    let training = Training::default().epochs(3).batch_size(64);
    let train = || {
        train_in(&path, Architecture::fcn(), &split, training.clone(), |progress| {
            if progress.epoch == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    };
    train().unwrap();
    let message = || train().unwrap_err().to_string();
    let state = path.join("state.safetensors");
    let whole = std::fs::read(&state).unwrap();
    std::fs::write(&state, &whole[..whole.len() / 2]).unwrap();
    assert!(message().contains("state.safetensors: found "), "{}", message());
    assert!(message().ends_with("name another folder, or delete this one to train anew"), "{}", message());
    std::fs::write(&state, whole).unwrap();

    let json = path.join("run.json");
    let text = std::fs::read_to_string(&json).unwrap();
    std::fs::write(&json, text.replace("\"format_version\": 1", "\"format_version\": 9")).unwrap();
    assert!(message().contains("found format 9, wanted format 1 or older"), "{}", message());
    std::fs::write(&json, &text[..50]).unwrap();
    assert!(message().contains("run.json: found damaged text"), "{}", message());
    std::fs::write(&json, text).unwrap();
    train().unwrap();
    assert!(Run::open(path.join("nowhere")).unwrap_err().to_string().contains("nowhere/run.json"));
}

/// A full disk, by a limit on file sizes: the test starts itself again in a shell that has one.
#[cfg(unix)]
#[test]
fn a_full_disk_ends_the_training_with_its_model_and_the_last_good_state() {
    const LIMITED: &str = "DIABOLO_TEST_LIMITED_RUN";
    let training = Training::default().epochs(3).batch_size(64);
    let split = small_scenes();
    let train = |path: &Path, training: Training| {
        train_in(path, Architecture::fcn(), &split, training, |_| ControlFlow::Continue(()))
    };
    if let Some(path) = std::env::var_os(LIMITED) {
        let warning = train(Path::new(&path), training).unwrap().history.warning().unwrap();
        assert!(warning.contains("saving ") && warning.contains("last.safetensors: File too large"), "{warning}");
        return;
    }
    let path = folder("full_disk");
    train_in(&path, Architecture::fcn(), &split, training.clone(), |progress| {
        if progress.epoch == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .unwrap();
    let before = std::fs::read(path.join("state.safetensors")).unwrap();
    run_limited("a_full_disk_ends_the_training_with_its_model_and_the_last_good_state", LIMITED, &path);
    assert_eq!(std::fs::read(path.join("state.safetensors")).unwrap(), before);
    assert_eq!(train(&path, training).unwrap().history.stopped_because, StoppedBecause::Finished);
}

#[test]
fn two_trainings_at_once_give_what_each_gives_alone() {
    let split = small_scenes();
    let settings = |seed| Training::report_cnn().epochs(2).batch_size(64).seed(seed);
    let alone = |architecture, seed| train(architecture, &split, settings(seed)).unwrap();
    let weights = |model: &Autoencoder, name: &str| {
        let path = folder("at_once").with_file_name(name);
        model.save(&path).unwrap();
        std::fs::read(path.with_extension("safetensors")).unwrap()
    };
    // Dropout draws the most random numbers.
    let background = BackgroundTraining::start(Architecture::report_cnn(), &split, settings(1)).unwrap();
    let foreground = alone(Architecture::report_cnn(), 2);
    let background = background.join().unwrap();
    for (model, seed) in [(background, 1), (foreground, 2)] {
        let expected = alone(Architecture::report_cnn(), seed);
        assert!(weights(&model, "together") == weights(&expected, "alone"), "seed {seed}");
        assert_eq!(model.history.loss_last(), expected.history.loss_last());
    }
}

#[test]
fn a_training_in_the_background_tells_where_it_is_and_stops_when_asked() {
    let (split, path) = (small_scenes(), folder("background"));
    let endless = Training::default().epochs(1_000_000).batch_size(64);
    let begin =
        |training: &Training| BackgroundTraining::start_in(&path, Architecture::fcn(), &split, training.clone());
    let training = begin(&endless).unwrap();
    while training.history().epochs.len() < 3 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let progress = training.progress().unwrap();
    assert!(progress.epoch >= 3 && progress.n_epochs == 1_000_000);
    assert_eq!(training.history().stopped_because, StoppedBecause::NotYet);
    assert!(!training.has_ended() && training.to_string().starts_with("fcn: epoch "), "{training}");
    let message = begin(&endless).unwrap_err().to_string();
    assert!(message.contains("another training at work there"), "{message}");

    training.stop();
    let model = training.join().unwrap();
    assert_eq!(model.history.stopped_because, StoppedBecause::Interrupted);
    assert_eq!(training.history(), model.history);
    assert_eq!(training.join().unwrap().history, model.history, "it may be asked for twice");
    assert!(training.to_string().contains("has ended"), "{training}");

    // It goes on in its folder, and stops when nobody holds it.
    let n_epochs = Run::open(&path).unwrap().model.history.epochs.len();
    let again = begin(&endless).unwrap();
    // Epochs as short as these are not saved one by one.
    assert!((1..=n_epochs).contains(&again.history().epochs.len()));
    drop(again);
    let until = std::time::Instant::now() + Duration::from_secs(20);
    while begin(&endless).is_err() {
        assert!(std::time::Instant::now() < until, "the folder is still held");
        std::thread::sleep(Duration::from_millis(20));
    }

    let mistaken = BackgroundTraining::start(Architecture::fcn(), &split, endless.epochs(0)).unwrap_err().to_string();
    assert!(mistaken.starts_with("setting epochs"), "{mistaken}");
}

/// Root may write anywhere, so the test takes a folder that even root cannot write to where it finds one.
#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_cannot_be_written_to_is_named() {
    let split = small_scenes();
    let message =
        train_in("/proc/diabolo/run", Architecture::fcn(), &split, Training::default(), |_| ControlFlow::Continue(()));
    let message = message.unwrap_err().to_string();
    assert!(message.starts_with("making the folder /proc/diabolo/run: "), "{message}");
    assert!(message.ends_with("choose a place that may be written to"), "{message}");
}

/// A folder that loses its permission on the way, for a user who is not root; an immutable disk gives the same error.
#[cfg(unix)]
#[test]
fn a_folder_that_becomes_read_only_ends_the_training_with_the_last_good_state() {
    use std::os::unix::fs::PermissionsExt;
    let (split, path) = (small_scenes(), folder("read_only"));
    let training = Training::default().epochs(3).batch_size(64);
    let permit = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    let mut before = Vec::new();
    let trained = train_in(&path, Architecture::fcn(), &split, training.clone(), |progress| {
        if progress.epoch == 2 && progress.step == 1 {
            permit(0o555);
            before = std::fs::read(path.join("state.safetensors")).unwrap();
        }
        ControlFlow::Continue(())
    });
    permit(0o755);
    let stopped_because = trained.unwrap().history.stopped_because;
    if stopped_because != StoppedBecause::Finished {
        let message = stopped_because.to_string();
        assert!(message.contains("saving ") && message.contains("Permission denied"), "{message}");
        assert_eq!(std::fs::read(path.join("state.safetensors")).unwrap(), before);
    }
    let whole = train_in(&path, Architecture::fcn(), &split, training, |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(whole.history.stopped_because, StoppedBecause::Finished);
}

#[test]
fn a_folder_that_is_moved_away_ends_the_training_and_can_be_gone_on_with() {
    let (split, path, moved) = (small_scenes(), folder("to_be_moved"), folder("moved"));
    let training = Training::default().epochs(3).batch_size(64);
    let model = train_in(&path, Architecture::fcn(), &split, training.clone(), |progress| {
        if progress.epoch == 2 && progress.step == 1 {
            std::fs::rename(&path, &moved).unwrap();
        }
        ControlFlow::Continue(())
    });
    let warning = model.unwrap().history.warning().unwrap();
    assert!(
        warning.contains("saving ") && warning.contains("to_be_moved/") && warning.contains("No such"),
        "{warning}"
    );
    assert_eq!(Run::open(&moved).unwrap().model.history.epochs.len(), 1);
    let whole = train_in(&moved, Architecture::fcn(), &split, training, |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(whole.history.epochs.len(), 3);
}

#[test]
fn weights_that_do_not_fit_and_truncated_ones_are_refused() {
    let (split, path) = (small_scenes(), folder("misfit"));
    let run = |name: &str, architecture| {
        let training = Training::default().epochs(1).batch_size(64);
        train_in(path.join(name), architecture, &split, training, |_| ControlFlow::Continue(())).unwrap();
        path.join(name)
    };
    let (fcn, conv) = (run("fcn", Architecture::fcn()), run("conv", Architecture::conv()));
    let message = || Run::open(&fcn).unwrap_err().to_string();
    let weights = fcn.join("model.safetensors");
    let whole = std::fs::read(&weights).unwrap();

    std::fs::copy(conv.join("model.safetensors"), &weights).unwrap();
    assert!(message().starts_with("weights encoder.1.weight: found no such tensor"), "{}", message());
    std::fs::write(&weights, &whole[..whole.len() - 4]).unwrap();
    assert!(message().contains("model.safetensors: found "), "{}", message());
    assert!(message().contains("wanted whole safetensors weights"), "{}", message());

    // And where the training has not ended: the state of another network.
    std::fs::remove_file(fcn.join("model.json")).unwrap();
    std::fs::copy(conv.join("state.safetensors"), fcn.join("state.safetensors")).unwrap();
    let expected = "state.safetensors: found 47355 last_parameters where the architecture has 807907";
    assert!(message().contains(expected), "{}", message());
}
