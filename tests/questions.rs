//! Questions 2 to 4, the sweep and the bias audit, through the public door.

use diabolo::figure::Figure;
use diabolo::prelude::*;
use diabolo::sweep::Experiment;
use diabolo::train::{StoppedBecause, fit};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::OnceLock;

/// A few hundred images of `scenes` and a network of 32-value codes that has seen them twice.
fn trained() -> &'static (Autoencoder, Split) {
    static TRAINED: OnceLock<(Autoencoder, Split)> = OnceLock::new();
    TRAINED.get_or_init(|| {
        let split = small_scenes();
        (quiet(wide_fcn(), &split, Training::default().epochs(2)), split)
    })
}

fn small_scenes() -> Split {
    let split = open("scenes").unwrap().hold_out(&["moon", "mushroom"]).unwrap();
    let every = |images: &Images, nth: usize| images.select(&Vec::from_iter((0..images.len()).step_by(nth))).unwrap();
    Split::new("small scenes", every(split.train(), 10), every(split.test(), 7)).unwrap()
}

fn wide_fcn() -> Architecture {
    Architecture::parse("Linear(3072, 32)", "Linear(32, 3072) / Tanh()").unwrap()
}

fn quiet(architecture: Architecture, split: &Split, training: Training) -> Autoencoder {
    fit(architecture, split, training, |_| ControlFlow::Continue(())).unwrap()
}

const WAYS: [Evaluation; 7] = [Reconstruction, KMeans(3), KMeans(5), Pca(2), Pca(3), Mahalanobis, KNearest(5)];

/// A figure that says what it shows and is small enough to live in a notebook.
#[track_caller]
fn check_figure(figure: &Figure) {
    assert!((1_000..500_000).contains(&figure.bytes().len()), "{figure}");
    assert!(figure.alt().len() > 20, "{figure}");
    roxmltree::Document::parse(std::str::from_utf8(figure.bytes()).unwrap()).unwrap();
}

#[test]
fn every_way_scores_every_image_and_has_an_auc_with_its_interval() {
    let (model, split) = trained();
    for table in [score_table(model, split, &WAYS).unwrap(), score_table_fitted_on_test(model, split, &WAYS).unwrap()] {
        assert_eq!(table.rows.len(), WAYS.len());
        for row in &table.rows {
            let scores = row.scores().unwrap();
            assert_eq!(scores.values.len(), split.test().len(), "{}", row.evaluation);
            assert!(scores.values.iter().all(|score| score.is_finite() && *score >= 0.0), "{}", row.evaluation);
            let auc = row.auc().unwrap();
            assert!(auc.low < auc.value && auc.value < auc.high, "{}: {auc:?}", row.evaluation);
            assert_eq!(auc.value, scores.auc().unwrap());
        }
    }
}

#[test]
fn distances_fitted_to_the_test_codes_are_others() {
    let (model, split) = trained();
    let values = |table: ScoreTable| table.scores(&Pca(2)).unwrap().values.clone();
    let fitted_on_train = values(score_table(model, split, &[Pca(2)]).unwrap());
    let fitted_on_test = values(score_table_fitted_on_test(model, split, &[Pca(2)]).unwrap());
    assert_ne!(fitted_on_train, fitted_on_test);
}

#[test]
fn what_codes_do_not_allow_is_a_row_with_its_reason() {
    let (_, split) = trained();
    let three_values = quiet(Architecture::fcn(), split, Training::default().epochs(1));
    let table = score_table(&three_values, split, &[Reconstruction, Pca(2), Pca(3), KMeans(0)]).unwrap();
    let reason = |way: &Evaluation| table.scores(way).unwrap_err().to_string();
    assert!(table.scores(&Pca(2)).is_ok());
    assert!(reason(&Pca(3)).contains("found 3"), "{}", reason(&Pca(3)));
    assert!(reason(&KMeans(0)).contains("found 0"), "{}", reason(&KMeans(0)));
    assert!(reason(&Mahalanobis).contains("not in this table"));
    assert!(table.table().to_string().contains("found 3"), "{}", table.table());
}

#[test]
fn one_way_named_twice_is_refused() {
    let (model, split) = trained();
    let message = score_table(model, split, &[KMeans(3), KMeans(3)]).unwrap_err().to_string();
    assert!(message.contains("found kmeans_3 twice"), "{message}");
}

#[test]
fn images_without_labels_have_scores_and_no_auc() {
    let (model, split) = trained();
    let unlabelled = Images::from_floats(split.test().to_array(), PixelRange::Signed).unwrap();
    let split = Split::new("unlabelled", split.train().clone(), unlabelled).unwrap();
    let table = score_table(model, &split, &[Reconstruction, KMeans(3)]).unwrap();
    assert!(table.rows.iter().all(|row| row.scores().is_some() && row.auc().is_none()));
    assert!(table.table().to_string().contains("found images without anomaly labels"));
    check_figure(&table.histograms(50).unwrap());
    assert!(!table.spreads().unwrap().caption.contains("NaN"));
    for message in [
        roc(&table).unwrap_err().to_string(),
        precision_recall(&table).unwrap_err().to_string(),
        constant_models(split.test()).unwrap_err().to_string(),
    ] {
        assert!(message.contains("found images without anomaly labels"), "{message}");
    }
}

#[test]
fn figures_of_scores_say_what_they_show_and_one_seed_gives_one_figure() {
    let (model, split) = trained();
    let figures = || {
        let table = score_table(model, split, &WAYS).unwrap();
        let reconstruction = table.scores(&Reconstruction).unwrap();
        [
            table.histograms(50).unwrap(),
            table.extremes(KMeans(3), 9).unwrap(),
            roc(&table).unwrap(),
            roc_axes(reconstruction).unwrap(),
            precision_recall(&table).unwrap(),
            f1_against_prevalence(reconstruction, Positive::Anomaly).unwrap(),
            f1_against_prevalence(reconstruction, Positive::Normal).unwrap(),
        ]
    };
    let (first, again) = (figures(), figures());
    for (first, again) in first.iter().zip(&again) {
        check_figure(first);
        assert_eq!(first.bytes(), again.bytes());
    }
    let curves = "curves: against false positive rate: the ROC curve; against specificity, as the report says";
    assert!(first[3].alt().ends_with(curves), "{}", first[3].alt());
}

#[test]
fn too_many_extremes_are_refused() {
    let (model, split) = trained();
    let table = score_table(model, split, &[Reconstruction]).unwrap();
    let message = table.extremes(Reconstruction, 10).unwrap_err().to_string();
    assert!(message.contains("found 10, wanted 1..=9"), "{message}");
}

#[test]
fn the_report_argument_has_its_numbers() {
    // 20 % anomalies, as in the homework's test set: F1 = 2 * 0.8 / 1.8 and 2 * 0.2 / 1.2.
    let split = open("scenes").unwrap().hold_out(&["moon", "mushroom"]).unwrap();
    let table = constant_models(split.test()).unwrap();
    assert_eq!(table.rows[0], ["calls everything normal", "0.500", "0.889", "0.000", "0.800"]);
    assert_eq!(table.rows[1], ["calls everything anomalous", "0.500", "0.000", "0.333", "0.200"]);
}

#[test]
fn thresholds_find_more_as_they_fall() {
    let (model, split) = trained();
    let table = model.score(split.test()).unwrap().threshold_table().unwrap();
    let sensitivity: Vec<f64> = table.rows.iter().map(|row| row[2].parse().unwrap()).collect();
    assert_eq!((sensitivity[0], sensitivity[4]), (0.0, 1.0));
    assert!(sensitivity[1] <= sensitivity[2], "{table}");
    let f1: Vec<f64> = table.rows.iter().map(|row| row[5].parse().unwrap()).collect();
    assert!(f1.iter().all(|other| *other <= f1[3]), "the best F1 is not the best: {table}");
    assert!(!table.to_string().contains("equal scores"), "{table}");
}

#[test]
fn a_threshold_table_says_where_equal_scores_are_called_together() {
    let anomalies = Some(Vec::from_iter((0..40).map(|index| index < 8)));
    let scores = |values| Scores { model: "a".into(), name: "score".into(), values, anomalies: anomalies.clone() };
    let rules =
        |values| Vec::from_iter(scores(values).threshold_table().unwrap().rows.into_iter().map(|row| row[0].clone()));
    let alike = rules(vec![0.5; 40]);
    assert_eq!(alike[1], "the top 5 % are anomalies (40 of 40: equal scores are called together)");
    assert_eq!(alike[2], "the top 20 %, as many as there are (40 of 40: equal scores are called together)");
    // Ten equal ones at the top, of which 5 % would be two.
    let some = rules(Vec::from_iter((0..40).map(|index| f64::from(index.min(30)))));
    assert_eq!(some[1], "the top 5 % are anomalies (10 of 40: equal scores are called together)");
    let different = rules(Vec::from_iter((0..40).map(f64::from)));
    assert_eq!(different[1..3], ["the top 5 % are anomalies", "the top 20 %, as many as there are"]);
}

#[test]
fn maps_are_reproducible_and_coloured_only_when_asked() {
    let (model, split) = trained();
    let maps =
        || [pca_map(&[model], split.test()).unwrap(), latent_map(&[model], split.test(), Tsne::seed(7)).unwrap()];
    let (first, again) = (maps(), maps());
    for (first, again) in first.iter().zip(&again) {
        let figure = first.figure().unwrap();
        check_figure(&figure);
        assert_eq!(figure.bytes(), again.figure().unwrap().bytes());
        assert!(!figure.alt().contains("anomaly"), "{}", figure.alt());
        assert!(first.coloured().unwrap().alt().contains("anomaly"));
        assert_eq!(first.maps.iter().map(|map| map.points.dim()).collect::<Vec<_>>(), [(split.test().len(), 2); 2]);
        assert!(first.maps.iter().all(|map| (1.0 / 201.0..=1.0).contains(&map.p_value)));
        assert!(first.table().to_string().contains("p of one group"));
    }
}

#[test]
fn the_dip_tells_two_groups_from_one() {
    use diabolo::views::{OneGroup, two_groups};
    // Numbers without a pattern, 0..1.
    let random = |index: usize| ((index as f64 * 12.9898).sin() * 43_758.545_3).fract().abs() as f32;
    let cloud = |n: usize, apart: f32, seed: usize| {
        diabolo::ndarray::Array2::from_shape_fn((n, 2), |(row, column)| {
            random(seed + 2 * row + column) + if row % 2 == 0 { 0.0 } else { apart }
        })
    };
    let one_group = OneGroup::of(500).unwrap();
    assert_eq!(one_group, OneGroup::of(500).unwrap(), "always the same clouds");
    let p_value = |apart: f32, seed: usize| one_group.p_value(two_groups(&cloud(500, apart, seed)).unwrap());
    assert!(p_value(2.0, 0) < 0.005 && two_groups(&cloud(500, 5.0, 0)).unwrap() > 0.15);
    // A uniform square is one group, and of twenty not more than a few look otherwise.
    let n_small = (0..20).filter(|seed| p_value(0.0, 1000 + 5000 * seed) < 0.05).count();
    assert!(n_small <= 4, "{n_small} of 20 squares look like two groups");
    // Of more points than are simulated, the limit is scaled.
    let limit = |n: usize| OneGroup::of(n).unwrap().limit();
    assert!((limit(8000) / limit(2000) - 0.5).abs() < 1e-9);

    let few = diabolo::ndarray::Array2::zeros((2, 2));
    assert!(two_groups(&few).unwrap_err().to_string().contains("found 2 points"));
    assert_eq!(two_groups(&diabolo::ndarray::Array2::ones((10, 2))).unwrap(), 0.05, "all alike: the smallest dip");
}

fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

#[test]
fn a_stopped_sweep_goes_on_where_it_ended() {
    let split = open("scenes").unwrap();
    let split = Split::new(
        "few scenes",
        split.train().select(&Vec::from_iter((0..split.train().len()).step_by(49))).unwrap(),
        split.test().select(&Vec::from_iter((0..split.test().len()).step_by(9))).unwrap(),
    )
    .unwrap();
    let pairs = split.class_pairs(4).unwrap();
    let folder = folder("sweep");
    let sweep = |stop_at: usize, trained: &mut Vec<usize>| {
        let ways = [Reconstruction, Pca(2), Pca(3)];
        let experiment = Experiment::new(Architecture::fcn(), Training::default().epochs(1), &ways);
        diabolo::sweep::run(&experiment, &split, &pairs, &folder, |step| {
            trained.push(step.number);
            if step.number == stop_at { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap()
    };
    let (mut first, mut second, mut third) = (Vec::new(), Vec::new(), Vec::new());
    assert_eq!(sweep(3, &mut first).rows.len(), 2);
    let whole = sweep(0, &mut second);
    assert_eq!(whole.rows.len(), 4);
    assert!(!second.contains(&1) && !second.contains(&2) && second.contains(&3) && second.contains(&4), "{second:?}");
    assert_eq!(sweep(0, &mut third), whole);
    assert!(third.is_empty(), "a finished sweep trains nothing");

    for row in &whole.rows {
        assert_eq!(row.stopped_because, StoppedBecause::Finished);
        assert!((0.0..=1.0).contains(&row.auc["reconstruction"].unwrap()));
        assert_eq!(row.auc["pca_3"], None, "a code of three values has no third component to leave out");
    }
    check_figure(&whole.heat_map(Reconstruction).unwrap());
    let nearest = nearest_pairs(&[&whole], 2);
    assert_eq!(nearest.rows.len(), 2);
    assert_eq!(nearest.rows[0][0], whole.nearest_to_report(1)[0].join(", "));
    assert_eq!(Sweep::open(&folder).unwrap(), whole);
}

#[test]
fn all_pairs_of_ten_classes_are_45() {
    let split = open("scenes").unwrap();
    let pairs = split.class_pairs(100).unwrap();
    assert_eq!(pairs.len(), 45);
    let some = split.class_pairs(5).unwrap();
    assert_eq!(some.len(), 5);
    assert!(some.iter().all(|pair| pairs.contains(pair)) && some[0] == pairs[0]);
    let message = small_scenes().class_pairs(0).unwrap_err().to_string();
    assert!(message.starts_with("setting n_pairs: found 0"), "{message}");
}
