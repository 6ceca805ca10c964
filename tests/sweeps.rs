//! Sweeps: kept apart by images, in parts, by several at once, and over seeds.

use diabolo::data::{Images, Split};
use diabolo::evaluation::Evaluation::Reconstruction;
use diabolo::model::Architecture;
use diabolo::ndarray::Array4;
use diabolo::prelude::Sweep;
use diabolo::sweep::{Experiment, Pair, Part, SweepProgress, run, run_part};
use diabolo::train::Training;
use std::fs::{self, File};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

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

/// Three classes of 16 images of 8 x 8 pixels.
fn drawn() -> Split {
    let all = || labelled(images(8, 0), |n| n % 3);
    Split::new("drawn", all(), all()).unwrap()
}

fn small() -> Architecture {
    Architecture::parse("Linear(64, 4)", "Linear(4, 64) / Tanh()").unwrap().named("small")
}

fn two_seeds() -> Experiment {
    Experiment::new(small(), Training::default().epochs(2), &[Reconstruction]).seeds(&[0, 1])
}

fn go_on(_: &SweepProgress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn run_parts(part: &str, folder: &Path, observe: impl FnMut(&SweepProgress) -> ControlFlow<()>) -> Sweep {
    let split = drawn();
    run_part(&two_seeds(), &split, &split.class_pairs(3).unwrap(), part.parse().unwrap(), folder, observe).unwrap()
}

/// All that does not depend on the clock.
fn results(sweep: &Sweep) -> Vec<(Pair, u64, Option<f64>, Option<f64>)> {
    sweep.rows.iter().map(|row| (row.held_out.clone(), row.seed, row.auc["reconstruction"], row.loss_last)).collect()
}

/// The only folder of a sweep in `folder`.
fn sweep_folder(folder: &Path) -> PathBuf {
    let mut found = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let only = found.next().unwrap();
    assert_eq!(found.next(), None);
    only
}

#[test]
fn parts_are_together_the_whole_and_say_what_is_missing() {
    let [whole, parts] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let split = drawn();
    let whole = run(&two_seeds(), &split, &split.class_pairs(3).unwrap(), whole.path(), go_on).unwrap();
    assert_eq!((whole.rows.len(), whole.missing.len()), (6, 0));

    let parts = parts.path();
    let second = run_parts("2/4", parts, go_on);
    assert_eq!((second.rows.len(), second.missing.len()), (2, 0), "two of six, and its own are all there");
    let opened = Sweep::open(parts).unwrap();
    assert_eq!((opened.rows.len(), opened.missing.len()), (2, 4));
    let said = opened.to_string();
    assert!(said.contains("4 of 6 trainings are missing: dots, rings with seed 0; rings, waves with seed 0"), "{said}");

    // A part that is stopped goes on where it was, and one that is done trains nothing.
    let mut n_steps = 0;
    let stopped = run_parts("1/4", parts, |progress| {
        n_steps += 1;
        if progress.number == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!((stopped.rows.len(), stopped.missing.len()), (1, 1));
    let mut trained = Vec::new();
    run_parts("1/4", parts, |progress| {
        trained.push((progress.number, progress.seed));
        ControlFlow::Continue(())
    });
    trained.dedup();
    assert_eq!(trained, [(2, 1)]);
    run_parts("2/4", parts, |_| unreachable!("it is done"));
    for part in ["3/4", "4/4"] {
        run_parts(part, parts, go_on);
    }
    let opened = Sweep::open(parts).unwrap();
    assert_eq!((results(&opened), &opened.missing), (results(&whole), &whole.missing));
    assert_eq!(Sweep::open(sweep_folder(parts)).unwrap(), opened, "its own folder opens, too");
    assert_eq!(run_parts("7/9", parts, |_| unreachable!("six trainings have no seventh part")).rows.len(), 0);
    let left = fs::read_dir(sweep_folder(parts)).unwrap().count();
    assert_eq!(left, 7, "six results and the plan, and no lock is left");
}

#[test]
fn two_that_do_one_sweep_do_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let n_steps = AtomicUsize::new(0);
    let one = || {
        run_parts("1/1", folder.path(), |_| {
            n_steps.fetch_add(1, Ordering::Relaxed);
            // Long enough that both are at work at the same time.
            thread::sleep(Duration::from_millis(20));
            ControlFlow::Continue(())
        })
    };
    let sweeps = thread::scope(|scope| [(); 2].map(|()| scope.spawn(one)).map(|thread| thread.join().unwrap()));
    assert_eq!(n_steps.into_inner(), 12, "six trainings of two epochs of one step");
    assert!(sweeps.iter().any(|sweep| sweep.missing.is_empty()), "whoever is last has all");
    assert_eq!(Sweep::open(folder.path()).unwrap().rows.len(), 6);
}

#[test]
fn a_training_that_is_at_work_elsewhere_is_left_to_it() {
    let folder = tempfile::tempdir().unwrap();
    // The plan alone.
    run_parts("1/1", folder.path(), |_| ControlFlow::Break(()));
    let lock = sweep_folder(folder.path()).join("0-2-dots-waves-seed-1.json.lock");
    let lock = File::create(lock).unwrap();
    lock.lock().unwrap();
    let sweep = run_parts("1/1", folder.path(), go_on);
    assert_eq!((sweep.rows.len(), sweep.missing[0].to_string().as_str()), (5, "dots, waves with seed 1"));
    let said = sweep.to_string();
    assert!(said.contains("1 of 6 trainings are missing: dots, waves with seed 1"), "{said}");
    assert!(said.contains("1 of them were left to other processes, which were at work on them"), "{said}");
    lock.unlock().unwrap();
    assert!(run_parts("1/1", folder.path(), go_on).missing.is_empty(), "a lock that is left over stops nobody");
}

#[test]
fn more_pairs_and_seeds_are_added_to_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let split = drawn();
    let pairs = split.class_pairs(3).unwrap();
    let sweep = |pairs: &[Pair], seeds: &[u64]| {
        let mut n_steps = 0;
        let experiment = Experiment::new(small(), Training::default().epochs(1), &[Reconstruction]).seeds(seeds);
        let sweep = run(&experiment, &split, pairs, folder.path(), |_| {
            n_steps += 1;
            ControlFlow::Continue(())
        });
        (sweep.unwrap().rows.len(), n_steps)
    };
    assert_eq!(sweep(&pairs[..1], &[0]), (1, 1));
    assert_eq!(sweep(&pairs[..2], &[0]), (2, 1));
    assert_eq!(sweep(&pairs[1..], &[5, 0]), (4, 3), "the one with seed 0 is there");
    assert_eq!(Sweep::open(folder.path()).unwrap().rows.len(), 5);
}

#[test]
fn tables_and_figures_have_mean_spread_and_interval_over_seeds() {
    let folder = tempfile::tempdir().unwrap();
    let split = drawn();
    let pairs = split.class_pairs(3).unwrap();
    let sweep = |name: &str, seeds: &[u64]| {
        let experiment = Experiment::new(small().named(name), Training::default().epochs(1), &[Reconstruction]);
        run(&experiment.seeds(seeds), &split, &pairs, folder.path(), go_on).unwrap()
    };
    let several = sweep("fcn", &[0, 1, 2]);
    let aucs: Vec<f64> = several
        .rows
        .iter()
        .filter(|row| row.held_out == pairs[0])
        .map(|row| row.auc["reconstruction"].unwrap())
        .collect();
    let mean = aucs.iter().sum::<f64>() / 3.0;
    let deviation = (aucs.iter().map(|auc| (auc - mean).powi(2)).sum::<f64>() / 2.0).sqrt();
    // scipy.stats.t.ppf(0.975, 2)
    let half_width = 4.302_652_729_911_275 * deviation / 3f64.sqrt();
    assert!(deviation > 0.0, "seeds matter: {aucs:?}");

    let table = several.table();
    assert_eq!(table.headers, ["held out", "seeds", "reconstruction"]);
    assert!(table.caption.contains("95 % interval of the mean"), "{}", table.caption);
    let row = table.rows.iter().find(|row| row[0] == pairs[0].join(", ")).unwrap();
    let wanted = format!("{mean:.5} \u{b1} {deviation:.5} ({:.5} to {:.5})", mean - half_width, mean + half_width);
    assert_eq!(row[1..], ["3".to_string(), wanted]);
    let figure = several.heat_map(Reconstruction).unwrap();
    let svg = String::from_utf8_lossy(figure.bytes()).into_owned();
    assert!(svg.contains(&format!(">\u{b1}{half_width:.3}<")) && svg.contains(&format!(">{mean:.3}<")), "{svg}");
    assert!(several.to_string().contains("3 pairs of held-out classes, up to 3 seeds each"), "{several}");

    // The nearest pair is that of the means, of which the first seed's may be another.
    let distance = |pair: &Pair| {
        (several.over_seeds(&Reconstruction).iter().find(|(of, _)| *of == pair).unwrap().1.mean - 0.59329).abs()
    };
    let nearest = pairs.iter().min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap();
    assert_eq!(several.nearest_to_report(1), std::slice::from_ref(nearest));

    let one = sweep("fcn", &[1]);
    assert_eq!(one.table().headers, ["held out", "reconstruction"]);
    assert!(!String::from_utf8_lossy(one.heat_map(Reconstruction).unwrap().bytes()).contains('\u{b1}'));
}

#[test]
fn two_parts_with_other_settings_are_not_one_sweep() {
    let folder = tempfile::tempdir().unwrap();
    let split = drawn();
    let pairs = split.class_pairs(3).unwrap();
    let part = |epochs: usize, name: &str, part: Part| {
        let experiment = Experiment::new(small().named(name), Training::default().epochs(epochs), &[Reconstruction]);
        run_part(&experiment, &split, &pairs, part, folder.path(), go_on)
    };
    let [first, second] = [1, 2].map(|number| Part::new(number, 2).unwrap());
    part(1, "small", first).unwrap();
    let message = part(2, "small", second).unwrap_err().to_string();
    for wanted in
        ["running a part of a sweep", "with other settings: epochs 1 there, and 2 here", "name another folder"]
    {
        assert!(message.contains(wanted), "{message}");
    }
    // Another network is not taken for a slip; but a folder of two sweeps is not opened as one.
    part(2, "other", first).unwrap();
    let message = Sweep::open(folder.path()).unwrap_err().to_string();
    assert!(
        message.contains("found 2 sweeps (sweep-other-drawn-") && message.contains("sweep-small-drawn-"),
        "{message}"
    );
}

#[test]
fn foreign_and_damaged_files_in_the_folder_are_named() {
    let folder = tempfile::tempdir().unwrap();
    run_parts("1/1", folder.path(), go_on);
    let inside = sweep_folder(folder.path());
    let item = inside.join("0-1-dots-rings-seed-0.json");
    let whole = fs::read_to_string(&item).unwrap();
    let check_refused = |path: &Path, wanted: &[&str]| {
        let message = Sweep::open(folder.path()).unwrap_err().to_string();
        assert!(message.contains(path.to_str().unwrap()), "{message}");
        for wanted in wanted.iter().chain(&["move it away and run the sweep again"]) {
            assert!(message.contains(wanted), "{message}");
        }
    };
    fs::write(&item, &whole[..whole.len() / 2]).unwrap();
    check_refused(&item, &["damaged"]);
    fs::write(&item, whole.replace("\"epochs\": 2", "\"epochs\": 3")).unwrap();
    check_refused(&item, &["results of other settings: epochs 3 there, and 2 here"]);
    fs::write(&item, whole.replace("\"seed\": 0", "\"seed\": 4")).unwrap();
    check_refused(
        &item,
        &["found results of dots, rings with seed 4, wanted those of the training that it is named after"],
    );
    fs::write(&item, &whole).unwrap();

    let foreign = inside.join("copy of results.json");
    fs::write(&foreign, &whole).unwrap();
    check_refused(&foreign, &["found results of dots, rings with seed 0"]);
    fs::write(&foreign, "{\"cells\": []}").unwrap();
    check_refused(&foreign, &["damaged text (missing field `format_version`", "wanted a sweep's results"]);
    fs::remove_file(foreign).unwrap();
    // What is no JSON may lie there, as a scheduler's logs.
    fs::write(inside.join("slurm-7_3.out"), "part 3/4").unwrap();
    assert_eq!(Sweep::open(folder.path()).unwrap().rows.len(), 6);
}
