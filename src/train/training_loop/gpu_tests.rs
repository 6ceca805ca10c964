//! Training on a GPU that is simulated: what is brought to it, recorded and launched, and when.

use super::*;
use crate::device::Device;
use crate::device::simulated::{calls, fail_ends, with_gpu};
use crate::together::alone;
use ndarray::Array4;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// 30 drawn images to train on and eight to test on.
pub(super) fn few() -> Split {
    let draw = |(n, c, y, x): (usize, usize, usize, usize)| (3 * x * (c + 1) + 4 * y + 5 * n) as u8;
    let images = Images::from_bytes(Array4::from_shape_fn((30, 3, 32, 32), draw)).unwrap();
    Split::new("a few images", images.clone(), images.first(8).unwrap()).unwrap()
}

fn train(architecture: Architecture, training: Training) -> Autoencoder {
    let training = training.device(Device::Cpu);
    let mut training = Loop::begin(None, architecture, &few(), training, alone()).unwrap();
    training.run(|_| ControlFlow::Continue(()), |_| Ok(())).unwrap();
    training.into_model().unwrap()
}

fn n_of(calls: &[&str], name: &str) -> usize {
    calls.iter().filter(|call| **call == name).count()
}

#[test]
fn every_step_is_one_upload_and_most_are_one_launch() {
    for architecture in [Architecture::report_cnn(), Architecture::fcn(), Architecture::conv(), Architecture::vae()] {
        let name = architecture.name.clone();
        let calls = with_gpu(|| {
            // Four epochs of two batches of 12 images and one of 6.
            let model = train(architecture, Training::default().epochs(4).batch_size(12));
            assert!(model.history().notes.is_empty(), "{name}: {:?}", model.history().notes);
            calls()
        });
        let steps = &calls[1..];
        assert_eq!((calls[0], n_of(&calls, "upload")), ("enter", 12), "{name}");
        // Of each size three are launched operation by operation, and the third is then recorded.
        assert_eq!(steps[..6], ["upload", "work", "upload", "work", "upload", "work"], "{name}");
        let counts = ["begin", "end", "replay", "free"].map(|call| n_of(&calls, call));
        assert_eq!(counts, [2, 2, 12 - 6, 2], "{name}");
        let of_recording = steps.iter().position(|call| *call == "begin").unwrap();
        assert_eq!(steps[of_recording - 2..][..5], ["upload", "work", "begin", "work", "end"], "{name}");
        // Graphs are freed when the stream has done its work.
        assert_eq!(calls[calls.len() - 3..], ["leave", "free", "free"], "{name}");
    }
}

#[test]
fn nothing_else_is_given_to_a_gpu_while_one_of_its_trainings_records() {
    let model = train(Architecture::conv(), Training::default().epochs(1));
    let has_ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let scoring = scope.spawn(|| {
            with_gpu(|| {
                let mut n_scored = 0;
                while !has_ended.load(Ordering::Relaxed) {
                    model.score(few().test()).unwrap();
                    n_scored += 1;
                }
                n_scored
            })
        });
        let trainings = [1, 2, 3, 4].map(|seed| {
            scope.spawn(move || {
                with_gpu(|| {
                    for n_epochs in [2, 4, 6] {
                        let training = Training::default().epochs(n_epochs).batch_size(12).seed(seed);
                        train(Architecture::fcn(), training.watch_every(1));
                    }
                    n_of(&calls(), "begin")
                })
            })
        });
        // All are waited for before anything is said of one.
        let recordings = trainings.map(thread::ScopedJoinHandle::join);
        has_ended.store(true, Ordering::Relaxed);
        let n_scored = scoring.join().expect("scores are worked out between recordings");
        let recordings = recordings.map(|n| n.expect("a step is launched between recordings"));
        assert_eq!(recordings, [5; 4]);
        assert!(n_scored > 1);
    });
}

#[test]
fn a_recording_that_fails_is_tried_again_and_at_last_done_without() {
    for (n_failing, n_recordings, n_launches) in [(0, 1, 12), (1, 2, 9), (2, 3, 6), (3, 3, 0)] {
        with_gpu(|| {
            fail_ends(n_failing);
            let model = train(Architecture::fcn(), Training::default().epochs(5).batch_size(10));
            let notes = &model.history().notes;
            let calls = calls();
            assert_eq!((n_of(&calls, "begin"), n_of(&calls, "free")), (n_recordings, n_recordings));
            assert_eq!((n_of(&calls, "replay"), n_of(&calls, "upload")), (n_launches, 15));
            assert_eq!(model.history().epochs.len(), 5);
            match n_failing {
                3 => assert!(notes[0].ends_with("none could be recorded: Internal torch error: a simulated failure")),
                _ => assert!(notes.is_empty(), "{notes:?}"),
            }
        });
    }
}
