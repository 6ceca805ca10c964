//! What has to hold on a GPU. Each test says that it was skipped where there is none that libtorch can use.
//!
//! To be run alone, since the last ones fill the memory: `NVIDIA_TF32_OVERRIDE=0 cargo test --test gpu -- --test-threads 1`

use diabolo::prelude::*;
use diabolo::run::fit_in;
use diabolo::sweep::{self, Experiment};
use diabolo::train::{History, StoppedBecause, fit};
use std::ops::ControlFlow::{Break, Continue};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

const GPU: Device = Device::Cuda(0);

#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn has_gpu() -> bool {
    let found = GPU.describe();
    if let Err(error) = &found {
        eprintln!("skipped: {error}");
    }
    found.is_ok()
}

/// 300 images of `scenes` in batches of 128: two whole ones and a smaller one, and so several steps that are recorded.
fn some_scenes() -> Split {
    let scenes = open("scenes").unwrap().hold_out(&["boat", "car"]).unwrap();
    let every = |images: &Images, n: usize| {
        images.select(&Vec::from_iter((0..n).map(|index| index * images.len() / n))).unwrap()
    };
    Split::new("some scenes", every(scenes.train(), 300), every(scenes.test(), 200)).unwrap()
}

/// As many as a step takes, so that an epoch is one.
fn one_batch() -> Split {
    let data = some_scenes();
    Split::new("one batch", data.train().first(128).unwrap(), data.test().clone()).unwrap()
}

fn networks() -> [Architecture; 4] {
    [Architecture::report_cnn(), Architecture::fcn(), Architecture::conv(), Architecture::vae()]
}

fn optimizers() -> [Optimizer; 3] {
    [Optimizer::Sgd { momentum: 0.8 }, Optimizer::Adam, Optimizer::AdamW { weight_decay: 0.01 }]
}

fn train(architecture: &Architecture, data: &Split, training: Training) -> Autoencoder {
    fit(architecture.clone(), data, training, |_| Continue(())).unwrap()
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("diabolo-gpu-{}", std::process::id())).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

/// Mean loss of every epoch.
fn losses(history: &History) -> Vec<f64> {
    history.epochs.iter().map(|epoch| epoch.loss_mean).collect()
}

#[track_caller]
fn check_near(found: &[f64], wanted: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (found, wanted) in found.iter().zip(wanted) {
        let error = (found - wanted).abs() / wanted.abs().max(1e-9);
        assert!(error <= tolerance, "{what}: {found} and {wanted}, which differ by {error:e}");
    }
}

/// One batch, so that an epoch is a step: the first ones are launched one by one, the others as a graph.
#[test]
fn ten_steps_have_the_losses_of_the_cpu() {
    if !has_gpu() {
        return;
    }
    let data = one_batch();
    for architecture in networks() {
        for optimizer in optimizers() {
            let training = |device| Training::default().epochs(10).optimizer(optimizer).device(device);
            let [gpu, cpu] = [GPU, Device::Cpu].map(|device| train(&architecture, &data, training(device)));
            let what = format!("{} by {optimizer:?}", architecture.name);
            assert!(gpu.history().notes.is_empty(), "{what}: {:?}", gpu.history().notes);
            // A bias before batch norm has no gradient but for rounding, which Adam makes whole steps of: they move what
            // max-pooling chooses.
            let is_unsteady = architecture.name == "report_cnn" && !matches!(optimizer, Optimizer::Sgd { .. });
            let tolerance = if is_unsteady { 1e-3 } else { 1e-4 };
            check_near(&losses(gpu.history()), &losses(cpu.history()), tolerance, &what);
        }
    }
}

#[test]
fn scores_and_codes_are_those_of_the_cpu() {
    if !has_gpu() {
        return;
    }
    let data = some_scenes();
    for architecture in networks() {
        let model = train(&architecture, &data, Training::default().epochs(3).device(Device::Cpu));
        let path = folder("scores").join(&architecture.name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        model.save(&path).unwrap();
        let on_gpu = Autoencoder::open_on(&path, GPU).unwrap();
        let [found, wanted] = [&on_gpu, &model].map(|model| model.score(data.test()).unwrap().values);
        check_near(&found, &wanted, 1e-5, &architecture.name);
        let [found, wanted] = [&on_gpu, &model].map(|model| model.encode(data.test()).unwrap().values);
        let largest = wanted.iter().fold(0.0_f32, |largest, code| largest.max(code.abs()));
        let error = found.iter().zip(&wanted).fold(0.0_f32, |error, (a, b)| error.max((a - b).abs()));
        assert!(error <= 1e-4 * largest, "{}: codes differ by {error} of {largest}", architecture.name);
    }
}

/// The weights that are kept are those that had the loss which the history tells.
#[test]
fn keep_rule_and_history_agree_with_the_weights() {
    if !has_gpu() {
        return;
    }
    // One batch of all images: the loss of a step is the error of the weights before it.
    let data = one_batch();
    for optimizer in [Optimizer::AdamW { weight_decay: 0.01 }, Optimizer::Sgd { momentum: 0.9 }] {
        // Rates at which the loss goes up and down.
        let training = Training::report_fcn().epochs(40).optimizer(optimizer).learning_rate(0.02).device(GPU);
        let model = train(&Architecture::fcn(), &data, training);
        let history = model.history();
        let kept = history.kept.unwrap();
        let lowest = history.epochs.iter().map(|epoch| epoch.loss_lowest_minibatch).fold(f64::INFINITY, f64::min);
        assert_eq!(kept.loss, lowest, "{optimizer:?}");
        assert_eq!(history.epochs[kept.epoch - 1].loss_lowest_minibatch, lowest, "{optimizer:?}");
        let scores = model.score(data.train()).unwrap().values;
        let error = scores.iter().sum::<f64>() / scores.len() as f64;
        check_near(&[error], &[lowest], 1e-4, "the kept weights' error");
    }
}

/// Trains whole, and in a folder with a stop in between.
fn whole_and_resumed(architecture: &Architecture, data: &Split, training: &Training, name: &str) -> [Autoencoder; 2] {
    let folder = folder(name).join(&architecture.name);
    let mut n_steps = 0;
    let stopped = fit_in(&folder, architecture.clone(), data, training.clone(), |_| {
        n_steps += 1;
        if n_steps == 8 { Break(()) } else { Continue(()) }
    });
    assert_eq!(stopped.unwrap().history().stopped_because, StoppedBecause::Interrupted);
    let resumed = fit_in(&folder, architecture.clone(), data, training.clone(), |_| Continue(())).unwrap();
    [train(architecture, data, training.clone()), resumed]
}

#[test]
fn a_resumed_training_ends_as_if_it_had_not_stopped() {
    if !has_gpu() {
        return;
    }
    let data = some_scenes();
    for architecture in networks() {
        let training = Training { keep: Keep::LowestMinibatchLoss, ..Training::default() };
        // The report's, by which rounding stays small.
        let training = training.optimizer(Optimizer::Sgd { momentum: 0.8 }).epochs(6).device(GPU);
        let name = &architecture.name;
        let [whole, resumed] = whole_and_resumed(&architecture, &data, &training, "any_order");
        check_near(&losses(resumed.history()), &losses(whole.history()), 1e-4, name);

        let exact = training.deterministic(true).optimizer(Optimizer::AdamW { weight_decay: 0.01 });
        let [whole, resumed] = whole_and_resumed(&architecture, &data, &exact, "exact");
        assert_eq!(losses(whole.history()), losses(resumed.history()), "{name}");
        assert_eq!(whole.score(data.test()).unwrap(), resumed.score(data.test()).unwrap(), "{name}");
        let again = train(&architecture, &data, exact);
        assert_eq!(losses(whole.history()), losses(again.history()), "{name} is not deterministic");
    }
}

#[test]
fn run_folders_come_back_where_they_were_trained() {
    if !has_gpu() {
        return;
    }
    let data = some_scenes();
    let folder = folder("device");
    let training = Training::default().epochs(2).device(GPU);
    let trained = fit_in(&folder, Architecture::fcn(), &data, training, |_| Continue(())).unwrap();
    let opened = Run::open(&folder).unwrap().model;
    assert_eq!(opened.score(data.test()).unwrap(), trained.score(data.test()).unwrap());
    let on_cpu = Run::open_on(&folder, Device::Cpu).unwrap().model;
    check_near(
        &on_cpu.score(data.test()).unwrap().values,
        &trained.score(data.test()).unwrap().values,
        1e-5,
        "the same run on the CPU",
    );
}

#[test]
fn trainings_side_by_side_are_those_one_after_another() {
    if !has_gpu() {
        return;
    }
    let data = some_scenes();
    let training = |seed| Training::default().epochs(12).seed(seed).device(GPU).deterministic(true);
    // More than the host has time to record at once.
    let seeds = [1, 2, 3, 4, 5, 6];
    let alone = seeds.map(|seed| losses(train(&Architecture::report_cnn(), &data, training(seed)).history()));
    let beside =
        seeds.map(|seed| BackgroundTraining::start(Architecture::report_cnn(), &data, training(seed)).unwrap());
    let beside = beside.map(|training| training.join().unwrap());
    assert!(beside.iter().all(|model| model.history().notes.is_empty()), "{:?}", beside[0].history().notes);
    assert_eq!(alone, beside.map(|model| losses(model.history())));
}

/// What broke on an H100: nine trainings and a sweep at once, each of which launches steps, records them, is evaluated and
/// frees its graphs while others record; and somebody scores meanwhile.
#[test]
fn nine_trainings_a_sweep_and_scores_at_once_do_not_disturb_each_other() {
    if !has_gpu() {
        return;
    }
    let data = some_scenes();
    let training = |seed| Training::default().epochs(8).seed(seed).watch_every(2).device(GPU).deterministic(true);
    let trainings: [(Architecture, u64); 9] = std::array::from_fn(|number| match number {
        0..5 => (Architecture::report_cnn(), number as u64),
        5 => (Architecture::vae(), 5),
        6 => (Architecture::conv(), 6),
        _ => (Architecture::fcn(), number as u64),
    });
    let alone = trainings.each_ref().map(|(network, seed)| losses(train(network, &data, training(*seed)).history()));
    let scorer = train(&Architecture::report_cnn(), &data, training(0));
    let wanted = scorer.score(data.test()).unwrap().values;
    let all = open("scenes").unwrap().train_on_first(300).unwrap();
    let pairs = all.class_pairs(8).unwrap();

    let (has_ended, began) = (AtomicBool::new(false), Instant::now());
    std::thread::scope(|scope| {
        let scoring = scope.spawn(|| {
            // Ends when a training has failed, too.
            while !has_ended.load(Ordering::Relaxed) && began.elapsed().as_secs() < 60 {
                let found = scorer.score(data.test()).unwrap().values;
                check_near(&found, &wanted, 1e-5, "scores while others train");
            }
        });
        let sweeping = scope.spawn(|| {
            let training = Training::default().epochs(4).watch_every(1).device(GPU).deterministic(true);
            let experiment = Experiment::new(Architecture::fcn(), training, &[Evaluation::Reconstruction]);
            sweep::run(&experiment, &all, &pairs, folder("nine_and_a_sweep"), |_| Continue(())).unwrap()
        });
        // Three times, so that some begin while others are in the middle and at the end.
        for _ in 0..3 {
            let beside = trainings
                .each_ref()
                .map(|(network, seed)| BackgroundTraining::start(network.clone(), &data, training(*seed)).unwrap());
            for ((beside, alone), (network, _)) in beside.into_iter().zip(&alone).zip(&trainings) {
                let model = beside.join().unwrap();
                let history = model.history();
                assert_eq!(history.stopped_because, StoppedBecause::Finished, "{}", network.name);
                assert!(history.notes.is_empty(), "{}: {:?}", network.name, history.notes);
                assert_eq!((history.watched().count(), &losses(history)), (4, alone), "{}", network.name);
            }
        }
        assert_eq!(sweeping.join().unwrap().rows.len(), 8);
        has_ended.store(true, Ordering::Relaxed);
        scoring.join().unwrap();
    });
}

/// libtorch has 32 streams and gives them in turn.
#[test]
fn a_training_keeps_its_stream_while_others_come_and_go() {
    if !has_gpu() {
        return;
    }
    let data = some_scenes();
    let training = Training::default().epochs(1_000_000).device(GPU);
    let long = BackgroundTraining::start(Architecture::conv(), &data, training).unwrap();
    for seed in 0..70 {
        let model = train(&Architecture::fcn(), &data, Training::default().epochs(2).seed(seed).device(GPU));
        assert_eq!(model.history().stopped_because, StoppedBecause::Finished);
    }
    assert!(!long.has_ended());
    long.stop();
    assert_eq!(long.join().unwrap().history().stopped_because, StoppedBecause::Interrupted);
}

#[test]
fn a_device_that_is_not_there_is_refused() {
    if !has_gpu() {
        return;
    }
    let message = Device::Cuda(7).describe().unwrap_err().to_string();
    assert!(message.starts_with("device CUDA 7: putting a number on it: libtorch says: "), "{message}");
}

#[test]
fn images_that_are_read_in_parts_have_the_scores_of_all_at_once() {
    if !has_gpu() {
        return;
    }
    let data = open("scenes").unwrap();
    let model = train(&Architecture::conv(), &data, Training::default().epochs(1).device(GPU));
    // More than are sent through the network at once.
    let n = data.train().len();
    let whole = model.score(data.train()).unwrap().values;
    let parts = (0..n).step_by(700).flat_map(|start| {
        let part = data.train().select(&Vec::from_iter(start..n.min(start + 700))).unwrap();
        model.score(&part).unwrap().values
    });
    check_near(&parts.collect::<Vec<_>>(), &whole, 1e-5, "parts");
}

#[test]
fn brain_floats_and_tf32_learn_nearly_as_well() {
    if !has_gpu() {
        return;
    }
    let data = some_scenes();
    let error = |precision| {
        let training = Training::default().epochs(30).precision(precision).device(GPU);
        train(&Architecture::conv(), &data, training).rank(data.test()).unwrap().mse_mean()
    };
    let wanted = error(Precision::Float32);
    for precision in [Precision::Tf32, Precision::Bfloat16] {
        let found = error(precision);
        assert!((found - wanted).abs() < 0.1 * wanted, "MSE {wanted} with 32 bits, {found} by {precision:?}");
    }
}

/// Last by name, since it leaves the memory in pieces.
#[test]
fn too_much_for_the_memory_is_an_error_and_the_next_training_works() {
    if !has_gpu() {
        return;
    }
    let data = some_scenes();
    // 300 images at once ask for 72 GB and more, of which only the smallest part is known before; with more channels for more.
    let train_with = |n_channels: usize| {
        let large = Architecture::parse(
            &format!("Conv2d(3, {n_channels}, 3, 1, 1) / Conv2d({n_channels}, 4, 3, 2, 1)"),
            "ConvTranspose2d(4, 3, 4, 2, 1) / Tanh()",
        );
        let training = Training::default().epochs(1).batch_size(300).device(GPU);
        fit(large.unwrap(), &data, training, |_| Continue(()))
    };
    let refused = [58_000, 100_000, 170_000, 300_000].into_iter().find_map(|n_channels| train_with(n_channels).err());
    let message = refused.expect("no GPU has a terabyte").to_string();
    assert!(message.contains("batch_size 300") || message.contains("batch_size than 300"), "{message}");
    assert!(message.contains("out of memory") || message.contains("free, wanted"), "{message}");
    let next = train(&Architecture::conv(), &data, Training::default().epochs(2).device(GPU));
    assert_eq!(next.history().stopped_because, StoppedBecause::Finished);
}
