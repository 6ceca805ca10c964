//! One training in several processes, for which threads stand here.

use super::*;
use crate::data::open;
use crate::device::Device;
use crate::together::alone;
use crate::together::tests::in_threads;
use crate::train::Optimizer;
use tch::Tensor;

/// As many images as leave one for the last minibatch of three of twelve.
fn few() -> Split {
    let scenes = open("scenes").unwrap().hold_out(&["boat", "car"]).unwrap();
    Split::new("a few scenes", scenes.train().first(37).unwrap(), scenes.test().first(60).unwrap()).unwrap()
}

fn training() -> Training {
    Training::default().epochs(5).batch_size(12).learning_rate(1e-3).device(Device::Cpu)
}

/// The loss of every step, and the weights in the end.
fn run(mut training: Loop) -> (Vec<f64>, [Tensor; 2], History) {
    let mut losses = Vec::new();
    let observe = |progress: &Progress| {
        losses.push(progress.loss);
        ControlFlow::Continue(())
    };
    training.run(observe, |_| Ok(())).unwrap();
    (losses, training.network().snapshot().unwrap(), training.history())
}

#[track_caller]
fn check(architecture: &Architecture, training: &Training) {
    let begin = |together| Loop::begin(None, architecture.clone(), &few(), training.clone(), together).unwrap();
    let (wanted, weights, _) = run(begin(alone()));
    assert_eq!(wanted.len(), 20);
    for n_processes in [2, 3] {
        let found = in_threads(n_processes, |together| run(begin(together)));
        for (losses, of_process, history) in &found {
            for (step, (loss, wanted)) in losses.iter().zip(&wanted).enumerate() {
                let error = ((loss - wanted) / wanted).abs();
                assert!(
                    error < 1e-5,
                    "{}, {n_processes} processes, step {step}: {loss}, not {wanted}",
                    architecture.name
                );
            }
            assert_eq!(losses.len(), 20);
            assert_eq!(*of_process, found[0].1, "the same bits in all");
            assert!(history.notes.is_empty(), "{:?}", history.notes);
            for (found, wanted) in of_process.iter().zip(&weights) {
                let [error, largest] = [found - wanted, wanted.shallow_clone()].map(|it| match it.numel() {
                    0 => 0.0,
                    _ => it.abs().max().double_value(&[]),
                });
                assert!(
                    error <= 1e-3 * largest,
                    "{}, {n_processes} processes: {error} of {largest}",
                    architecture.name
                );
            }
        }
        assert!(found[0].2.learnt.is_some() && found[1].2.learnt.is_none(), "process 0 measures");
        assert!(found[0].2.device.ends_with(&format!("in {n_processes} processes")));
    }
}

#[test]
fn several_processes_give_the_losses_of_one() {
    for architecture in [Architecture::fcn(), Architecture::conv(), Architecture::report_cnn()] {
        check(&architecture, &training().optimizer(Optimizer::Sgd { momentum: 0.8 }));
    }
    check(&Architecture::conv(), &training());
}

#[test]
fn dropout_and_noise_are_those_of_the_whole_minibatch() {
    let dropping = Architecture::parse("Linear(3072, 20) / Dropout(0.3) / ReLU()", "Dropout(0.5) / Linear(20, 3072)");
    check(&dropping.unwrap(), &training());
    for kl_term in [crate::train::KlTerm::PerPixel(1.0), crate::train::KlTerm::CourseSum] {
        check(&Architecture::vae(), &Training { kl_term, ..training().optimizer(Optimizer::Sgd { momentum: 0.0 }) });
    }
}

/// With one step an epoch all images are in every minibatch, in whatever order.
#[test]
fn processes_with_shares_of_the_images_give_the_losses_of_one_that_has_all() {
    let whole = few();
    // Dropout's masks go by rows, which are other images here.
    let normed = Architecture::parse(
        "Conv2d(3, 16, 3, 2, 1) / BatchNorm2d(16) / ReLU() / Flatten() / Linear(4096, 8)",
        "Linear(8, 3072) / Tanh()",
    );
    for architecture in [Architecture::conv(), normed.unwrap()] {
        let training = Training { batch_size: 37, ..training().optimizer(Optimizer::Sgd { momentum: 0.8 }) };
        let begin = |split: &Split, together| {
            run(Loop::begin(None, architecture.clone(), split, training.clone(), together).unwrap())
        };
        let (wanted, _, _) = begin(&whole, alone());
        assert_eq!(wanted.len(), 5);
        // Of different sizes.
        for bounds in [vec![0, 20, 37], vec![0, 5, 30, 37]] {
            let n_of_each = Vec::from_iter(bounds.windows(2).map(|pair| pair[1] - pair[0]));
            let found = in_threads(n_of_each.len(), |together| {
                let own = Vec::from_iter(bounds[together.rank()]..bounds[together.rank() + 1]);
                let own = Split::new("a share", whole.train().select(&own).unwrap(), whole.test().clone()).unwrap();
                begin(&own.with_n_train_of_each(n_of_each.clone()), together)
            });
            for (losses, weights, _) in &found {
                let close = losses.iter().zip(&wanted).all(|(loss, wanted)| ((loss - wanted) / wanted).abs() < 1e-5);
                assert!(close, "{}: {losses:?}, not {wanted:?}", architecture.name);
                assert_eq!(*weights, found[0].1, "the same bits in all");
            }
        }
    }
}

#[test]
fn batch_norm_of_each_process_is_noted_and_stays_the_same_in_all() {
    let by_libtorch = Architecture::parse(
        "Conv2d(3, 3, 3, 2, 1) / Conv2d(3, 3, 2, 3, 0) / BatchNorm2d(3) / ReLU() / Flatten() / Linear(75, 8)",
        "Linear(8, 3072)",
    );
    let by_libtorch = by_libtorch.unwrap();
    let found =
        in_threads(3, |together| run(Loop::begin(None, by_libtorch.clone(), &few(), training(), together).unwrap()));
    assert_eq!(found[0].2.notes, [NORMS_OF_EACH]);
    assert!(found.iter().all(|(losses, weights, _)| *losses == found[0].0 && *weights == found[0].1));
}

#[test]
fn more_processes_than_images_in_a_minibatch_are_refused() {
    let errors = in_threads(3, |together| {
        let training = training().batch_size(2);
        Loop::begin(None, Architecture::conv(), &few(), training, together).err().unwrap().to_string()
    });
    assert!(errors[1].contains("2 images in a batch for 3 processes"), "{}", errors[1]);
}

#[test]
fn weights_that_differ_end_the_training() {
    let errors = in_threads(2, |together| {
        let is_second = together.rank() == 1;
        let mut training = Loop::begin(None, Architecture::conv(), &few(), training(), together).unwrap();
        if is_second {
            let _ = training.network().parameters().detach().narrow(0, 5, 1).fill_(0.25);
        }
        training.run(|_| ControlFlow::Continue(()), |_| Ok(())).unwrap_err().to_string()
    });
    assert!(errors.iter().all(|error| error.contains("others in process 1 than in process 0")), "{errors:?}");
}

#[test]
fn a_time_limit_of_one_process_stops_all_after_the_next_step() {
    let found = in_threads(2, |together| {
        let is_second = together.rank() == 1;
        let mut training = training();
        training.max_seconds = is_second.then_some(1e-9);
        run(Loop::begin(None, Architecture::conv(), &few(), training, together).unwrap())
    });
    assert!(found.iter().all(|(losses, _, _)| losses.len() == 2), "{}", found[0].0.len());
    assert!(matches!(found[1].2.stopped_because, StoppedBecause::TimeLimit { .. }));
    assert_eq!(found[0].2.stopped_because, StoppedBecause::Interrupted);
}
