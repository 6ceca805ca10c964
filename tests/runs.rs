//! Trainings that are stopped, moved and damaged.

#[path = "common/outcome.rs"]
mod outcome;

#[cfg(unix)]
#[path = "common/file_sizes.rs"]
mod file_sizes;

use diabolo::prelude::*;
use diabolo::run::fit_in;
use diabolo::train::StoppedBecause;
#[cfg(unix)]
use file_sizes::run_limited;
use outcome::outcome;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
#[cfg(target_os = "linux")]
use std::process::Command;
use std::time::Duration;

fn small_scenes() -> Split {
    let split = open("scenes").unwrap().hold_out(&["boat", "car"]).unwrap();
    let every = |images: &Images, nth: usize| images.select(&Vec::from_iter((0..images.len()).step_by(nth))).unwrap();
    Split::new("small scenes", every(split.train(), 25), every(split.test(), 49)).unwrap()
}

fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("runs").join(name);
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

#[test]
fn a_stopped_training_goes_on_and_a_finished_one_is_opened() {
    let (split, path) = (small_scenes(), folder("stopped"));
    let training = Training::default().epochs(5).batch_size(64);
    let train = |stop_in: usize, steps: &mut usize| {
        fit_in(&path, Architecture::fcn(), &split, training.clone(), |progress| {
            *steps += 1;
            if progress.epoch == stop_in { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap()
    };
    let (mut first, mut second, mut third) = (0, 0, 0);
    let stopped = train(3, &mut first);
    assert_eq!(stopped.history().stopped_because, StoppedBecause::Interrupted);
    let half = Run::open(&path).unwrap();
    assert!(!half.is_finished && half.to_string().contains("not finished"));
    assert_eq!(half.model.history().epochs.len(), 2);

    let whole = train(0, &mut second);
    assert_eq!(whole.history().stopped_because, StoppedBecause::Finished);
    assert_eq!(whole.history().epochs.len(), 5);
    assert!(whole.history().seconds >= stopped.history().seconds);
    let opened = train(0, &mut third);
    assert_eq!((third, &opened.history()), (0, &whole.history()));
    assert!(Run::open(&path).unwrap().is_finished);

    let elsewhere = folder("never_stopped");
    fit_in(&elsewhere, Architecture::fcn(), &split, training.clone(), |_| ControlFlow::Continue(())).unwrap();
    assert!(outcome(&path) == outcome(&elsewhere));
}

#[test]
fn other_settings_data_and_a_second_process_are_refused() {
    let (split, path) = (small_scenes(), folder("refused"));
    let training = Training::default().epochs(1).batch_size(64);
    let train = |architecture: Architecture, split: &Split, training: Training| {
        fit_in(&path, architecture, split, training, |_| ControlFlow::Continue(()))
    };
    train(Architecture::fcn(), &split, training.clone()).unwrap();
    let refused = |architecture, split: &Split, training| train(architecture, split, training).unwrap_err().to_string();

    let message = refused(Architecture::fcn(), &split, training.clone().batch_size(32));
    assert!(message.contains("found batch_size 64 there, and 32 here, wanted the settings and data"), "{message}");
    let message = refused(Architecture::conv(), &split, training.clone());
    assert!(message.contains("there, and") && message.contains("ConvTranspose2d"), "{message}");
    let others = Split::new("small scenes", split.test().clone(), split.test().clone()).unwrap();
    let message = refused(Architecture::fcn(), &others, training.clone());
    assert!(message.contains("fingerprint"), "{message}");
    // Where and how long to compute may change.
    train(Architecture::fcn(), &split, training.clone().max_seconds(60.0).device(Device::Cpu)).unwrap();

    let lock = std::fs::File::create(path.join("lock")).unwrap();
    lock.lock().unwrap();
    let message = refused(Architecture::fcn(), &split, training.clone().epochs(2));
    assert!(message.contains("another training at work there"), "{message}");
    // What is finished is only read.
    train(Architecture::fcn(), &split, training).unwrap();
}

#[test]
fn damaged_and_newer_folders_are_refused_with_what_is_wrong() {
    let (split, path) = (small_scenes(), folder("damaged"));
    let training = Training::default().epochs(3).batch_size(64);
    let train = || {
        fit_in(&path, Architecture::fcn(), &split, training.clone(), |progress| {
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
        fit_in(path, Architecture::fcn(), &split, training, |_| ControlFlow::Continue(()))
    };
    if let Some(path) = std::env::var_os(LIMITED) {
        let warning = train(Path::new(&path), training).unwrap().history().warning().unwrap();
        assert!(warning.contains("saving ") && warning.contains("last.safetensors: File too large"), "{warning}");
        return;
    }
    let path = folder("full_disk");
    fit_in(&path, Architecture::fcn(), &split, training.clone(), |progress| {
        if progress.epoch == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .unwrap();
    let before = std::fs::read(path.join("state.safetensors")).unwrap();
    run_limited("a_full_disk_ends_the_training_with_its_model_and_the_last_good_state", LIMITED, &path);
    assert_eq!(std::fs::read(path.join("state.safetensors")).unwrap(), before);
    assert_eq!(train(&path, training).unwrap().history().stopped_because, StoppedBecause::Finished);
}

#[test]
fn two_trainings_at_once_give_what_each_gives_alone() {
    let split = small_scenes();
    let settings = |seed| Training::report_cnn().epochs(2).batch_size(64).seed(seed).device(Device::Cpu);
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
        assert_eq!(model.history().loss_last(), expected.history().loss_last());
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
    assert_eq!(model.history().stopped_because, StoppedBecause::Interrupted);
    assert_eq!(training.history(), *model.history());
    assert_eq!(training.join().unwrap().history(), model.history(), "it may be asked for twice");
    assert!(training.to_string().contains("has ended"), "{training}");

    // It goes on in its folder from the very step, and stops when nobody holds it: its thread has then ended.
    let n_epochs = Run::open(&path).unwrap().model.history().epochs.len();
    let again = begin(&endless).unwrap();
    assert!(again.history().epochs.len() >= n_epochs && n_epochs == model.history().epochs.len());
    drop(again);
    drop(begin(&endless).expect("nobody holds the folder"));

    let mistaken = BackgroundTraining::start(Architecture::fcn(), &split, endless.epochs(0)).unwrap_err().to_string();
    assert!(mistaken.starts_with("setting epochs"), "{mistaken}");
}

/// Root may write anywhere, so the test takes a folder that even root cannot write to where it finds one.
#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_cannot_be_written_to_is_named() {
    let split = small_scenes();
    let message =
        fit_in("/proc/diabolo/run", Architecture::fcn(), &split, Training::default(), |_| ControlFlow::Continue(()));
    let message = message.unwrap_err().to_string();
    assert!(message.starts_with("making the folder /proc/diabolo/run: "), "{message}");
    assert!(message.ends_with("choose a place that may be written to"), "{message}");
}

/// A folder that loses its permission on the way, for a user who is not root; an immutable disk gives the same error.
#[cfg(unix)]
#[test]
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn a_folder_that_becomes_read_only_ends_the_training_with_the_last_good_state() {
    use std::os::unix::fs::PermissionsExt;
    let (split, path) = (small_scenes(), folder("read_only"));
    let training = Training::default().epochs(3).batch_size(64);
    let permit = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    let mut before = Vec::new();
    let trained = fit_in(&path, Architecture::fcn(), &split, training.clone(), |progress| {
        if progress.epoch == 2 && progress.step == 1 {
            permit(0o555);
            before = std::fs::read(path.join("state.safetensors")).unwrap();
        }
        ControlFlow::Continue(())
    });
    permit(0o755);
    let stopped_because = trained.unwrap().history().stopped_because.clone();
    if stopped_because == StoppedBecause::Finished {
        eprintln!("skipped: a folder that becomes read-only, since this user may write anywhere");
        return;
    }
    let message = stopped_because.to_string();
    assert!(message.contains("saving ") && message.contains("Permission denied"), "{message}");
    assert_eq!(std::fs::read(path.join("state.safetensors")).unwrap(), before);
    let whole = fit_in(&path, Architecture::fcn(), &split, training, |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(whole.history().stopped_because, StoppedBecause::Finished);
}

#[test]
fn a_folder_that_is_moved_away_ends_the_training_and_can_be_gone_on_with() {
    let (split, path, moved) = (small_scenes(), folder("to_be_moved"), folder("moved"));
    let training = Training::default().epochs(3).batch_size(64);
    let model = fit_in(&path, Architecture::fcn(), &split, training.clone(), |progress| {
        if progress.epoch == 2 && progress.step == 1 {
            std::fs::rename(&path, &moved).unwrap();
        }
        ControlFlow::Continue(())
    });
    let warning = model.unwrap().history().warning().unwrap();
    assert!(
        warning.contains("saving ") && warning.contains("to_be_moved/") && warning.contains("No such"),
        "{warning}"
    );
    assert_eq!(Run::open(&moved).unwrap().model.history().epochs.len(), 1);
    let whole = fit_in(&moved, Architecture::fcn(), &split, training, |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(whole.history().epochs.len(), 3);
}

#[test]
fn weights_that_do_not_fit_and_truncated_ones_are_refused() {
    let (split, path) = (small_scenes(), folder("misfit"));
    let run = |name: &str, architecture| {
        let training = Training::default().epochs(1).batch_size(64);
        fit_in(path.join(name), architecture, &split, training, |_| ControlFlow::Continue(())).unwrap();
        path.join(name)
    };
    let (fcn, conv) = (run("fcn", Architecture::fcn()), run("conv", Architecture::conv()));
    // The state has everything, so a model that is damaged is not missed.
    let weights = fcn.join("model.safetensors");
    let whole = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &whole[..whole.len() - 4]).unwrap();
    let epochs = Run::open(&fcn).unwrap().model.history().epochs.len();
    assert_eq!(epochs, 1);

    // The other way round.
    std::fs::write(&weights, &whole).unwrap();
    let state = fcn.join("state.safetensors");
    let whole_state = std::fs::read(&state).unwrap();
    std::fs::remove_file(&state).unwrap();
    assert!(Run::open(&fcn).unwrap().is_finished);
    let message = || Run::open(&fcn).unwrap_err().to_string();
    std::fs::copy(conv.join("model.safetensors"), &weights).unwrap();
    assert!(message().starts_with("weights encoder.1.weight: found no such tensor"), "{}", message());
    std::fs::write(&weights, &whole[..whole.len() - 4]).unwrap();
    assert!(message().contains("wanted whole safetensors weights"), "{}", message());

    // The state of another network, and of another optimiser.
    std::fs::copy(conv.join("state.safetensors"), &state).unwrap();
    let expected = "state.safetensors: found 47355 last_parameters where the architecture has 807907";
    assert!(message().contains(expected), "{}", message());
    let run_json = std::fs::read_to_string(fcn.join("run.json")).unwrap();
    std::fs::write(&state, whole_state).unwrap();
    Run::open(&fcn).unwrap();
    let sgd = path.join("sgd");
    let training = Training::default().epochs(1).batch_size(64).optimizer(Optimizer::Sgd { momentum: 0.5 });
    fit_in(&sgd, Architecture::fcn(), &split, training, |_| ControlFlow::Continue(())).unwrap();
    std::fs::copy(sgd.join("state.safetensors"), &state).unwrap();
    assert!(message().contains("state.safetensors: found no second_moment"), "{}", message());
    assert!(run_json.contains("adam_w"), "{run_json}");
}

#[test]
fn statistics_of_another_size_are_refused_before_a_training_resumes() {
    let (split, path) = (small_scenes(), folder("statistics"));
    let training = |epochs| Training::default().epochs(epochs).batch_size(64);
    let resume = |epochs| fit_in(&path, Architecture::fcn(), &split, training(epochs), |_| ControlFlow::Continue(()));
    resume(1).unwrap();
    let state = path.join("state.safetensors");
    let whole = std::fs::read(&state).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&whole).unwrap();
    for changed in ["last_statistics", "kept_statistics"] {
        let mut tensors = SafeTensors::deserialize(&whole).unwrap().tensors();
        let (_, statistics) = tensors.iter_mut().find(|(name, _)| name == changed).unwrap();
        *statistics = TensorView::new(Dtype::F32, vec![3], &[0; 12]).unwrap();
        std::fs::write(&state, safetensors::serialize(tensors, metadata.metadata().clone()).unwrap()).unwrap();
        let message = resume(2).unwrap_err().to_string();
        assert!(message.contains(&format!("found 3 {changed} where the architecture has 0")), "{message}");
    }
}

#[test]
fn settings_that_cannot_begin_leave_the_folder_to_those_that_can() {
    let (split, path) = (small_scenes(), folder("corrected"));
    let training = Training::default().epochs(1).batch_size(64);
    let train = |training| fit_in(&path, Architecture::fcn(), &split, training, |_| ControlFlow::Continue(()));
    let message = train(training.clone().batch_size(63).device(Device::Cuda(99))).unwrap_err().to_string();
    assert!(message.starts_with("device CUDA 99: "), "{message}");
    train(training.device(Device::Cpu)).unwrap();
}

#[test]
fn settings_that_were_killed_before_anything_was_saved_may_be_changed() {
    let (split, path) = (small_scenes(), folder("changed"));
    let train = |training: Training, kills: bool| {
        fit_in(&path, Architecture::fcn(), &split, training.device(Device::Cpu), |_| {
            assert!(!kills, "killed");
            ControlFlow::Continue(())
        })
    };
    let training = Training::default().epochs(1).batch_size(64);
    let killed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| train(training.clone().seed(7), true)));
    assert!(killed.is_err() && path.join("run.json").exists());
    assert_eq!(train(training, false).unwrap().training().seed, 0);
}

#[test]
fn a_stop_that_cannot_be_saved_says_so() {
    let (split, path) = (small_scenes(), folder("stop_not_saved"));
    std::fs::create_dir_all(path.join("model.safetensors")).unwrap();
    let training = Training::default().epochs(3).batch_size(64);
    let train = |stops: bool| {
        fit_in(&path, Architecture::fcn(), &split, training.clone(), |progress| {
            if stops && progress.epoch == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap()
    };
    let warning = train(true).history().warning().unwrap();
    assert!(
        warning.starts_with("training ended early: it was interrupted, and what it learnt could not be"),
        "{warning}"
    );
    assert!(warning.contains("stop_not_saved/model.safetensors"), "{warning}");
    // The state was, so nothing is lost.
    assert_eq!(Run::open(&path).unwrap().model.history().epochs.len(), 1);
    std::fs::remove_dir(path.join("model.safetensors")).unwrap();
    assert_eq!(train(false).history().stopped_because, StoppedBecause::Finished);
}

/// As Lustre is mounted without `flock`: a library that answers so stands before the system's.
#[cfg(target_os = "linux")]
#[test]
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn a_file_system_without_locks_is_trained_on_and_said() {
    const WITHOUT_LOCKS: &str = "DIABOLO_TEST_WITHOUT_LOCKS";
    if let Some(path) = std::env::var_os(WITHOUT_LOCKS) {
        let training = Training::default().epochs(1).batch_size(64);
        let train = || {
            fit_in(&path, Architecture::fcn(), &small_scenes(), training.clone(), |_| ControlFlow::Continue(()))
                .unwrap()
        };
        let text = train().history().to_string();
        assert!(text.contains("Note: this file system has no locks"), "{text}");
        assert_eq!(Run::open(&path).unwrap().model.history(), train().history());
        return;
    }
    let (path, shim) = (folder("without_locks"), folder("shim"));
    std::fs::create_dir_all(&shim).unwrap();
    let (source, library) = (shim.join("shim.c"), shim.join("shim.so"));
    std::fs::write(&source, "#include <errno.h>\nint flock(int f, int o) { errno = ENOSYS; return -1; }\n").unwrap();
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status();
    if !compiled.is_ok_and(|status| status.success()) {
        eprintln!("skipped: a file system without locks, since there is no C compiler");
        return;
    }
    let trained = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_file_system_without_locks_is_trained_on_and_said"])
        .env(WITHOUT_LOCKS, &path)
        .env("LD_PRELOAD", &library)
        .output()
        .unwrap();
    assert!(trained.status.success(), "{}", String::from_utf8_lossy(&trained.stdout));
}
