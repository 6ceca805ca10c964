//! Trainings that end in every way there is, and go on as if they had not.

#[path = "common/drawn.rs"]
mod drawn;

use diabolo::prelude::*;
use diabolo::run::fit_in;
use diabolo::train::{History, Kept, Progress, StoppedBecause};
use drawn::{drawn, tiny};
use std::fs;
use std::ops::ControlFlow::{Break, Continue};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// 40 images in batches of 16.
const N_STEPS: usize = 3;

fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("resuming").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn quick(optimizer: Optimizer, keep: Keep) -> Training {
    Training::default().epochs(4).batch_size(16).optimizer(optimizer).keep(keep).device(Device::Cpu)
}

fn train(folder: &Path, training: Training, mut at: impl FnMut(&Progress)) -> Autoencoder {
    fit_in(folder, tiny(), &drawn(), training, |progress| {
        at(progress);
        Continue(())
    })
    .unwrap()
}

/// Trains until a step whose end the process does not live to see.
fn train_and_kill(folder: &Path, training: Training, kill: (usize, usize)) {
    let killed = catch_unwind(AssertUnwindSafe(|| {
        train(folder, training, |progress| assert!((progress.epoch, progress.step) != kill, "killed"));
    }));
    assert!(killed.is_err());
}

/// Everything of a model that follows from its training, without the times.
#[derive(Debug, PartialEq)]
struct Essence {
    scores: Vec<f64>,
    loss_first: Option<f64>,
    losses: Vec<[f64; 2]>,
    kept: Option<Kept>,
}

fn essence(model: &Autoencoder) -> Essence {
    let History { loss_first, epochs, kept, .. } = model.history();
    let losses = epochs.iter().map(|epoch| [epoch.loss_mean, epoch.loss_lowest_minibatch]).collect();
    let scores = model.score(drawn().test()).unwrap().values;
    Essence { scores, loss_first: *loss_first, losses, kept: *kept }
}

fn weights(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap()
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Finished,
    TimeLimit,
    Interrupted,
    Diverged,
    Failed,
}

/// A training of its first epochs that ends as asked, and whether it is as it should be.
fn train_to(end: End, folder: &Path, training: &Training) -> Autoencoder {
    let (training, data) = (training.clone(), drawn());
    let is_at = |progress: &Progress, epoch, step| (progress.epoch, progress.step) == (epoch, step);
    let model = match end {
        End::Finished => train(folder, training.epochs(2), |_| {}),
        End::TimeLimit => train(folder, training.max_seconds(1e-9), |_| {}),
        End::Interrupted => {
            fit_in(
                folder,
                tiny(),
                &data,
                training,
                |progress| {
                    if is_at(progress, 2, 2) { Break(()) } else { Continue(()) }
                },
            )
            .unwrap()
        }
        End::Diverged => train(folder, training, |_| {}),
        End::Failed => {
            let in_the_way = folder.join("last.safetensors");
            let model = fit_in(folder, tiny(), &data, training, |progress| {
                if !is_at(progress, 2, 2) {
                    return Continue(());
                }
                fs::remove_file(&in_the_way).unwrap();
                fs::create_dir(&in_the_way).unwrap();
                Break(())
            });
            fs::remove_dir(&in_the_way).unwrap();
            model.unwrap()
        }
    };
    let stopped_because = &model.history().stopped_because;
    let is_right = match end {
        End::Finished => *stopped_because == StoppedBecause::Finished,
        End::TimeLimit => matches!(stopped_because, StoppedBecause::TimeLimit { .. }),
        End::Interrupted => *stopped_because == StoppedBecause::Interrupted,
        End::Diverged => matches!(stopped_because, StoppedBecause::Diverged { epoch: 1, .. }),
        End::Failed => matches!(stopped_because, StoppedBecause::Failed { .. }),
    };
    assert!(is_right, "{end:?}: {stopped_because:?}");
    model
}

#[test]
fn every_end_can_be_opened_and_gone_on_with_whatever_optimiser_and_keep_rule() {
    for optimizer in [Optimizer::Sgd { momentum: 0.8 }, Optimizer::Adam, Optimizer::AdamW { weight_decay: 0.01 }] {
        for keep in [Keep::LowestMinibatchLoss, Keep::LowestEpochLoss, Keep::Last] {
            let training = quick(optimizer, keep);
            let never_stopped = folder("never_stopped");
            let whole = essence(&train(&never_stopped, training.clone(), |_| {}));
            for end in [End::Finished, End::TimeLimit, End::Interrupted, End::Failed] {
                let what = format!("{optimizer:?}, {keep:?}, {end:?}");
                let path = folder("stopped");
                let stopped = train_to(end, &path, &training);
                let run = Run::open(&path).unwrap();
                assert_eq!(essence(&run.model), essence(&stopped), "{what}");
                assert_eq!(run.is_finished, end == End::Finished, "{what}");
                assert_eq!(run.model.history(), stopped.history(), "{what}");
                let saved = Autoencoder::open(path.join("model")).unwrap();
                assert_eq!(essence(&saved), essence(&stopped), "{what}");

                train_and_kill(&path, training.clone(), (3, 2));
                let killed = Run::open(&path).unwrap();
                let n_epochs = killed.model.history().epochs.len();
                assert!(n_epochs >= stopped.history().epochs.len() && n_epochs > 0, "{what}: {n_epochs}");
                assert_eq!(killed.model.history().stopped_because, StoppedBecause::NotYet, "{what}");
                // Where the state could not be saved at the end, the model was the newest for a while.
                let has_older_model = path.join("model.json").exists() && end != End::Failed;
                assert!(!killed.is_finished && !has_older_model, "{what}");

                let resumed = train(&path, training.clone(), |_| {});
                assert_eq!(essence(&resumed), whole, "{what}");
                assert_eq!(essence(&Run::open(&path).unwrap().model), whole, "{what}");
                for name in ["best.safetensors", "last.safetensors", "model.safetensors"] {
                    assert!(weights(&path.join(name)) == weights(&never_stopped.join(name)), "{what}: {name}");
                }
            }
        }
    }
}

#[test]
fn a_training_that_diverged_at_once_can_be_opened_again_and_again() {
    for (optimizer, rate) in [
        (Optimizer::Sgd { momentum: 0.0 }, 1e30),
        (Optimizer::Adam, 1e38),
        (Optimizer::AdamW { weight_decay: 0.01 }, 1e38),
    ] {
        for keep in [Keep::LowestMinibatchLoss, Keep::LowestEpochLoss, Keep::Last] {
            let (training, path) = (quick(optimizer, keep).learning_rate(rate), folder("diverged"));
            let diverged = train_to(End::Diverged, &path, &training);
            assert_eq!(diverged.history().kept.is_some(), keep == Keep::LowestMinibatchLoss);
            assert!(essence(&diverged).scores.iter().all(|score| score.is_finite()), "{keep:?}");
            let opened = fit_in(&path, tiny(), &drawn(), training.clone(), |_| unreachable!("it has ended")).unwrap();
            let run = Run::open(&path).unwrap();
            assert!(run.is_finished);
            let saved = Autoencoder::open(path.join("model")).unwrap();
            for model in [opened, run.model, saved] {
                assert_eq!((model.history(), essence(&model)), (diverged.history(), essence(&diverged)), "{keep:?}");
            }
            diverged.save(path.join("elsewhere")).unwrap();
            assert_eq!(Autoencoder::open(path.join("elsewhere")).unwrap().history(), diverged.history());
        }
    }
}

#[test]
fn a_time_limit_counts_from_each_call_and_the_same_cell_goes_on() {
    let (training, path) = (quick(Optimizer::Adam, Keep::LowestEpochLoss), folder("limited"));
    let mut steps = Vec::new();
    for _ in 0..4 * N_STEPS {
        train(&path, training.clone().max_seconds(1e-9), |progress| steps.push((progress.epoch, progress.step)));
    }
    let expected = Vec::from_iter((1..=4).flat_map(|epoch| (1..=N_STEPS).map(move |step| (epoch, step))));
    assert_eq!(steps, expected, "one step for each call");
    let run = Run::open(&path).unwrap();
    assert_eq!((run.is_finished, &run.model.history().stopped_because), (true, &StoppedBecause::Finished));
    assert_eq!(essence(&run.model), essence(&train(&folder("unlimited"), training, |_| {})));
}

#[test]
fn a_stop_with_the_last_step_of_an_epoch_does_not_cost_the_epoch() {
    let (training, path) = (quick(Optimizer::Adam, Keep::LowestEpochLoss), folder("last_step"));
    let stop_at = |epoch: usize| {
        let observe = |progress: &Progress| {
            if (progress.epoch, progress.step) == (epoch, N_STEPS) { Break(()) } else { Continue(()) }
        };
        fit_in(&path, tiny(), &drawn(), training.clone(), observe).unwrap()
    };
    let stopped = stop_at(2);
    assert_eq!(stopped.history().epochs.len(), 2);
    assert_eq!(stopped.history().stopped_because, StoppedBecause::Interrupted);
    assert_eq!(stop_at(4).history().stopped_because, StoppedBecause::Finished, "there is nothing left to stop");
}

#[test]
fn more_epochs_go_on_with_a_finished_training_and_fewer_than_done_are_refused() {
    let (training, path) = (quick(Optimizer::AdamW { weight_decay: 0.01 }, Keep::LowestEpochLoss), folder("longer"));
    train(&path, training.clone().epochs(2), |_| {});
    let mut first = None;
    let longer = train(&path, training.clone().epochs(5), |progress| {
        first.get_or_insert((progress.epoch, progress.n_epochs));
    });
    assert_eq!(first, Some((3, 5)));
    assert_eq!(essence(&longer), essence(&train(&folder("long"), training.clone().epochs(5), |_| {})));
    assert!(Run::open(&path).unwrap().is_finished);
    let fewer = fit_in(&path, tiny(), &drawn(), training.epochs(1), |_| Continue(())).unwrap_err().to_string();
    assert!(fewer.contains("found 5 epochs done there, and epochs 1 here"), "{fewer}");
    assert!(fewer.contains("choose epochs 5, or name another folder"), "{fewer}");
}

/// A run folder that an earlier version wrote, copied.
fn earlier(name: &str) -> PathBuf {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/runs").join(name);
    let copy = folder(&format!("earlier_{name}"));
    for entry in fs::read_dir(&fixture).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, copy.join(path.file_name().unwrap())).unwrap();
    }
    copy
}

/// The settings of the fixtures.
fn earlier_settings(name: &str) -> Training {
    let adamw = Training::default().epochs(6).batch_size(16).device(Device::Cpu);
    match name {
        "killed" => Training::report_cnn().epochs(6).batch_size(16).device(Device::Cpu),
        "diverged" => adamw.learning_rate(1e30).optimizer(Optimizer::Sgd { momentum: 0.0 }),
        "finished" => adamw.epochs(3).optimizer(Optimizer::Adam).keep(Keep::Last),
        _ => adamw,
    }
}

/// Numbers of a safetensors file, which follow its header.
fn numbers(path: &Path) -> Vec<f32> {
    let bytes = fs::read(path).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    bytes[8 + header..].as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

/// The first steps were taken on another processor, perhaps, whose sums have other last digits.
#[track_caller]
fn check_close(found: &[f32], wanted: &[f32]) {
    assert_eq!(found.len(), wanted.len());
    let largest = found.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(largest < 1e-5, "they differ by up to {largest}");
}

#[test]
fn runs_of_earlier_versions_go_on_to_the_weights_of_one_that_was_never_stopped() {
    for (name, n_epochs) in [("killed", 1), ("stopped", 3), ("stopped_and_killed", 2)] {
        let path = earlier(name);
        let run = Run::open(&path).unwrap();
        assert_eq!((run.is_finished, run.model.history().epochs.len()), (false, n_epochs), "{name}");
        let resumed = train(&path, earlier_settings(name), |_| {});
        assert_eq!(resumed.history().stopped_because, StoppedBecause::Finished);
        let whole = folder("earlier_never_stopped");
        let expected = train(&whole, earlier_settings(name), |_| {});
        let losses = |model: &Autoencoder| -> Vec<f32> {
            let epochs = model.history().epochs.iter();
            epochs.flat_map(|epoch| [epoch.loss_mean as f32, epoch.loss_lowest_minibatch as f32]).collect()
        };
        check_close(&losses(&resumed), &losses(&expected));
        if name == "killed" {
            // Adam would make a step of any rounding error where batch norm leaves a bias no gradient; SGD does not.
            let fixture = earlier("whole_of_killed");
            for file in ["best.safetensors", "last.safetensors"] {
                check_close(&numbers(&path.join(file)), &numbers(&whole.join(file)));
                check_close(&numbers(&path.join(file)), &numbers(&fixture.join(file)));
            }
        }
    }
}

#[test]
fn runs_of_earlier_versions_that_ended_are_opened() {
    let path = earlier("finished");
    let run = Run::open(&path).unwrap();
    assert!(run.is_finished && run.model.history().stopped_because == StoppedBecause::Finished);
    let opened = fit_in(&path, tiny(), &drawn(), earlier_settings("finished"), |_| unreachable!("it has ended"));
    assert_eq!(opened.unwrap().history(), run.model.history());
    let longer = train(&path, earlier_settings("finished").epochs(5), |_| {});
    assert_eq!(longer.history().epochs.len(), 5);

    // It could be written, and then not be read.
    let path = earlier("diverged");
    let run = Run::open(&path).unwrap();
    assert!(run.is_finished && run.model.history().kept.is_none());
    let warning = run.model.history().warning().unwrap();
    assert!(warning.contains("diverged in epoch 1, step 2") && warning.contains("it began with"), "{warning}");
    let again = train(&path, earlier_settings("diverged"), |_| unreachable!("it has ended"));
    assert_eq!(again.history(), run.model.history());
}

#[test]
fn a_sweep_of_an_earlier_version_without_a_last_loss_is_opened() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/runs/sweep.json");
    let sweep = Sweep::open(path).unwrap();
    assert_eq!((sweep.rows.len(), sweep.rows[0].loss_last), (1, None));
}

/// The state is what a training goes on from; the model beside it is written from that again.
#[test]
fn a_damaged_model_beside_a_good_state_stops_nothing() {
    let path = folder("damaged_model");
    let training = quick(Optimizer::Adam, Keep::default());
    train_and_kill(&path, training.clone(), (3, 1));
    for file in ["model.json", "model.safetensors"] {
        fs::write(path.join(file), "{\"format_version\": 1, ").unwrap();
    }
    assert_eq!(train(&path, training, |_| ()).history().epochs.len(), 4);
    assert!(Run::open(&path).unwrap().is_finished);
}
