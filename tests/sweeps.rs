//! Sweeps on different images keep their results apart.

use diabolo::data::{Images, Split};
use diabolo::evaluation::Evaluation::Reconstruction;
use diabolo::model::Architecture;
use diabolo::ndarray::Array4;
use diabolo::sweep::{Experiment, run};
use diabolo::train::Training;
use std::ops::ControlFlow;

const CLASSES: [&str; 3] = ["dots", "rings", "waves"];

/// 48 grey images of `side` x `side` pixels, with `seed` in their pixels.
fn images(side: usize, seed: usize) -> Images {
    let draw = |(n, _, y, x): (usize, usize, usize, usize)| {
        ([40 * (x % 2), 4 * (y % 8) * (x % 8), 25 * (y % 8)][n % 3] + n + seed * (x % 2)) as u8
    };
    Images::from_bytes(Array4::from_shape_fn((48, 1, side, side), draw)).unwrap()
}

fn labelled(images: Images, class_of: fn(usize) -> usize) -> Images {
    let n = images.len();
    images.with_classes(&CLASSES, (0..n).map(class_of).collect()).unwrap()
}

#[test]
fn other_images_are_another_sweep() {
    let folder = tempfile::tempdir().unwrap();
    let pairs = [["dots".to_string(), "waves".to_string()]];
    let is_trained = |train: Images, test: Images| {
        // Convolutions take images of any size, so nothing but the images tells these sweeps apart.
        let (encoder, decoder) =
            ("Conv2d(1, 2, 3, stride=2, padding=1)", "ConvTranspose2d(2, 1, 2, stride=2) / Tanh()");
        let architecture = Architecture::parse(encoder, decoder).unwrap().named("small");
        let experiment = Experiment::new(architecture, Training::default().epochs(1), &[Reconstruction]);
        let mut n_steps = 0;
        let observe = |_: &_| {
            n_steps += 1;
            ControlFlow::Continue(())
        };
        run(&experiment, &Split::new("photographs", train, test).unwrap(), &pairs, folder.path(), observe).unwrap();
        n_steps > 0
    };
    let plain = || labelled(images(8, 0), |n| n % 3);
    assert!(is_trained(plain(), plain()), "nothing is known yet");
    assert!(!is_trained(plain(), plain()), "the same images are found again");
    let (large, brighter) = (labelled(images(16, 0), |n| n % 3), labelled(images(8, 9), |n| n % 3));
    assert!(is_trained(large.clone(), large), "another size");
    assert!(is_trained(brighter.clone(), plain()), "other training pixels");
    assert!(is_trained(plain(), brighter), "other test pixels");
    assert!(is_trained(plain(), labelled(images(8, 0), |n| (n + n / 24) % 3)), "other labels");
    assert!(!is_trained(plain(), plain()), "the first are still there");
}
