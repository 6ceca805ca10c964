//! Scores that are fitted, fused, compared and kept, through the public door.

use diabolo::background::LogErrorModel;
use diabolo::prelude::*;
use diabolo::train::fit;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256PlusPlus;
use std::ops::ControlFlow;
use std::sync::OnceLock;

/// A few hundred images of `scenes` and a network of 16-value codes that has seen them twice.
fn trained() -> &'static (Autoencoder, Split) {
    static TRAINED: OnceLock<(Autoencoder, Split)> = OnceLock::new();
    TRAINED.get_or_init(|| {
        let split = open("scenes").unwrap().hold_out(&["moon", "mushroom"]).unwrap();
        let every =
            |images: &Images, nth: usize| images.select(&Vec::from_iter((0..images.len()).step_by(nth))).unwrap();
        let split = Split::new("small scenes", every(split.train(), 10), every(split.test(), 7)).unwrap();
        let network = Architecture::parse("Linear(3072, 16)", "Linear(16, 3072) / Tanh()").unwrap().named("small");
        (fit(network, &split, Training::default().epochs(2), |_| ControlFlow::Continue(())).unwrap(), split)
    })
}

fn standardised(values: &[f64], by: &[f64]) -> Vec<f64> {
    let mean = by.iter().sum::<f64>() / by.len() as f64;
    let variance = by.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / by.len() as f64;
    values.iter().map(|value| (value - mean) / variance.sqrt()).collect()
}

#[test]
fn a_fused_score_is_the_sum_of_both_standardised_by_the_training_images() {
    let (model, split) = trained();
    let fused = Reconstruction.fused_with(Debiased);
    let table = score_table(model, split, &[Reconstruction, Debiased, fused.clone()]).unwrap();
    let [errors, debiased, both] =
        [&Reconstruction, &Debiased, &fused].map(|way| table.scores(way).unwrap().values.clone());
    assert!(debiased.iter().any(|score| *score < 0.0), "a debiased score may be below 0");
    let training_errors = model.score(split.train()).unwrap().values;
    let statistics = split.train().statistics().unwrap();
    let debiasing = LogErrorModel::fit(&training_errors, &statistics).unwrap();
    let training_debiased = debiasing.residuals(&training_errors, &statistics).unwrap();
    let (errors, debiased) = (standardised(&errors, &training_errors), standardised(&debiased, &training_debiased));
    for index in 0..both.len() {
        let expected = errors[index] + debiased[index];
        assert!((both[index] - expected).abs() < 1e-9, "image {index}: {} and not {expected}", both[index]);
    }
}

#[test]
fn labels_of_one_kind_are_told_apart_from_no_labels() {
    let (model, split) = trained();
    let normal = split.test().clone().with_anomalies(vec![false; split.test().len()]).unwrap();
    let split = Split::new("normal", split.train().clone(), normal).unwrap();
    let said = score_table(model, &split, &[Reconstruction]).unwrap().table().to_string();
    assert!(said.contains("0 anomalies and 286 normal images") && !said.contains("without anomaly labels"), "{said}");
    let said = model.rank(split.test()).unwrap().table().to_string();
    assert!(said.contains("0 anomalies and 286 normal images") && !said.contains("no anomaly labels"), "{said}");
}

#[test]
fn scores_that_are_not_numbers_are_refused() {
    let (model, split) = trained();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    model.save(&path).unwrap();
    let weights = path.with_extension("safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    let n_bytes = bytes.len();
    // The last weights of the file; NaN as a processor makes it of inf - inf.
    bytes[n_bytes - 4..].copy_from_slice(&f32::from_bits(0xffc0_0000).to_le_bytes());
    std::fs::write(&weights, bytes).unwrap();
    let broken = match Autoencoder::open(&path) {
        Ok(model) => model,
        Err(error) => return assert!(error.to_string().contains("finite"), "{error}"),
    };
    let message = broken.rank(split.test()).unwrap_err().to_string();
    assert!(message.contains("not a number") && message.contains("diverge"), "{message}");
}

#[test]
fn fusions_of_other_order_have_other_keys() {
    let fused = |first: Evaluation, second: Evaluation| first.fused_with(second);
    let left = fused(fused(Reconstruction, KMeans(3)), Pca(2));
    let right = fused(Reconstruction, fused(KMeans(3), Pca(2)));
    assert_ne!(left, right);
    assert_ne!(left.key(), right.key());
    assert_eq!(fused(Reconstruction, KMeans(3)).key(), "reconstruction+kmeans_3", "as in older files");
}

/// One of every kind.
fn ways() -> Vec<Evaluation> {
    let singles = vec![Reconstruction, KMeans(3), Pca(2), Mahalanobis, KNearest(5), Debiased];
    let fused = Reconstruction.fused_with(KNearest(2)).fused_by_rank_with(Debiased);
    singles.into_iter().chain([fused]).collect()
}

#[test]
fn a_detector_scores_as_the_table_does_and_one_image_as_many() {
    let (model, split) = trained();
    let table = score_table(model, split, &ways()).unwrap();
    for way in ways() {
        let detector = way.fit(model, split.train()).unwrap();
        let scores = detector.score(split.test()).unwrap();
        assert_eq!(&scores, table.scores(&way).unwrap(), "{way}");
        let some = [5, 77, 200];
        let alone = detector.score(&split.test().select(&some).unwrap()).unwrap();
        for (alone, index) in alone.values.iter().zip(some) {
            // A matrix product of fewer rows may round otherwise; a rank moves in steps of the 640 training images.
            let difference = (alone - scores.values[index]).abs();
            assert!(difference <= 2e-3 * scores.values[index].abs().max(1.0), "{way}, image {index}: {difference}");
        }
    }
}

#[test]
fn a_reopened_detector_says_the_same_digit_for_digit() {
    let (model, split) = trained();
    let normal = normal_images_not_trained_on();
    let folder = tempfile::tempdir().unwrap();
    for (number, way) in ways().into_iter().enumerate() {
        let detector = way.fit(model, split.train()).unwrap();
        let detector = match number % 3 {
            0 => detector,
            1 => detector.with_false_alarms(0.05, &normal).unwrap(),
            _ => detector.with_threshold(Threshold::Value(f64::INFINITY), split.test()).unwrap(),
        };
        let path = folder.path().join(format!("detectors/{number}"));
        detector.save(&path).unwrap();
        let again = Detector::open(&path).unwrap();
        assert_eq!(again.score(split.test()).unwrap(), detector.score(split.test()).unwrap(), "{way}");
        assert_eq!((again.threshold(), again.calibration()), (detector.threshold(), detector.calibration()));
        assert_eq!((again.to_string(), again.n_fitted_to()), (detector.to_string(), 640));
        assert_eq!(again.verify().unwrap().largest_difference, 0.0, "{way}");
        if number % 3 > 0 {
            let [found, again] = [&detector, &again].map(|detector| detector.detect(split.test()).unwrap());
            assert_eq!((found.p_values, found.is_anomaly), (again.p_values, again.is_anomaly));
        }
        // The fit is all in the folder: what was saved once more is the same file.
        let second = folder.path().join(format!("again/{number}"));
        again.save(&second).unwrap();
        for name in ["detector.json", "fit.safetensors", "model.safetensors"] {
            assert_eq!(std::fs::read(path.join(name)).unwrap(), std::fs::read(second.join(name)).unwrap(), "{name}");
        }
    }
}

/// 1,280 normal images of `scenes` that the small network has not seen.
fn normal_images_not_trained_on() -> Images {
    let train = open("scenes").unwrap().hold_out(&["moon", "mushroom"]).unwrap().train().clone();
    train.select(&Vec::from_iter((0..train.len()).filter(|index| index % 10 == 3 || index % 10 == 7))).unwrap()
}

#[test]
fn false_alarms_are_as_rare_as_promised() {
    let (model, split) = trained();
    let normal = normal_images_not_trained_on();
    let detector = KMeans(3).fit(model, split.train()).unwrap();
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(5);
    let (n, wanted) = (99, 0.055);
    let mut order: Vec<usize> = (0..normal.len()).collect();
    let rates: Vec<f64> = (0..500)
        .map(|_| {
            order.shuffle(&mut generator);
            let choose = |from: usize, to: usize| normal.select(&order[from..to]).unwrap();
            let calibrated = detector.with_false_alarms(wanted, &choose(0, n)).unwrap();
            let found = calibrated.detect(&choose(n, n + 200)).unwrap();
            let p_values = found.p_values.as_ref().unwrap();
            assert!(
                found.is_anomaly.iter().zip(p_values).all(|(is_anomaly, p_value)| *is_anomaly == (*p_value <= wanted))
            );
            found.n_anomalies() as f64 / 200.0
        })
        .collect();
    let mean = rates.iter().sum::<f64>() / 500.0;
    let variance = rates.iter().map(|rate| (rate - mean).powi(2)).sum::<f64>() / 499.0;
    // floor(0.055 * 100) / 100
    assert!(
        (mean - 0.05).abs() < 3.0 * (variance / 500.0).sqrt(),
        "{mean}, standard error {}",
        (variance / 500.0).sqrt()
    );
}

#[test]
fn calibration_images_of_the_fit_are_said() {
    let (model, split) = trained();
    let detector = Reconstruction.fit(model, split.train()).unwrap();
    let fresh = detector.with_false_alarms(0.05, &normal_images_not_trained_on()).unwrap();
    assert_eq!(fresh.calibration().unwrap().n_fitted_to, 0);
    assert!(!fresh.to_string().contains("among those of the fit"), "{fresh}");
    let seen = detector.with_false_alarms(0.05, &split.train().first(100).unwrap()).unwrap();
    assert!(seen.to_string().contains("100 of these 100 images are among those of the fit"), "{seen}");
    assert!(seen.detect(split.test()).unwrap().to_string().contains("there will be more false alarms"));
}

#[test]
fn two_rows_are_compared_on_the_same_images() {
    let (model, split) = trained();
    let table = score_table(model, split, &[Reconstruction, KMeans(3), Pca(2), Pca(99)]).unwrap();
    let comparison = table.compare(&KMeans(3), &Pca(2)).unwrap();
    let aucs = [&KMeans(3), &Pca(2)].map(|way| table.scores(way).unwrap().auc().unwrap());
    assert_eq!((comparison.aucs.first, comparison.aucs.second), (aucs[0], aucs[1]));
    assert!((comparison.aucs.difference.value - (aucs[0] - aucs[1])).abs() < 1e-12);
    let opposite = table.compare(&Pca(2), &KMeans(3)).unwrap();
    assert!((opposite.aucs.p_value - comparison.aucs.p_value).abs() < 1e-12);
    let same = table.compare(&Pca(2), &Pca(2)).unwrap();
    assert_eq!((same.aucs.p_value, same.bootstrap.low, same.bootstrap.high), (1.0, 0.0, 0.0));

    let shown = table.table();
    let best = (0..3).max_by(|&a, &b| shown.rows[a][1].cmp(&shown.rows[b][1])).unwrap();
    assert_eq!((shown.headers[3].as_str(), shown.rows[best][3].as_str()), ("against the best, paired", "the best"));
    let names = [Reconstruction, KMeans(3), Pca(2)];
    for other in (0..3).filter(|&row| row != best) {
        let p_value = table.compare(&names[best], &names[other]).unwrap().aucs.p_value;
        let verdict = if p_value < 0.05 { "worse, p " } else { "cannot be told from it, p " };
        assert!(shown.rows[other][3].starts_with(verdict), "{} and {p_value}", shown.rows[other][3]);
    }
    assert_eq!(shown.rows[3][3], "", "no scores, no standing");
}

/// The lines of notebook 08, on a network that is trained in seconds.
#[test]
fn a_folder_of_parts_is_inspected_from_training_to_the_kept_detector() {
    let (data, normal) = open("surfaces").unwrap().set_aside(200).unwrap();
    assert_eq!((data.train().len(), normal.len(), data.test().len()), (600, 200, 380));
    assert_eq!(data.held_out(), ["missing", "scratch", "spot"]);
    let encoder = "Conv2d(3, 16, 4, 4, 0) / ReLU() / Conv2d(16, 32, 4, 4, 0)";
    let decoder = "ConvTranspose2d(32, 16, 4, 4, 0) / ReLU() / ConvTranspose2d(16, 3, 4, 4, 0) / Tanh()";
    let network = Architecture::parse(encoder, decoder).unwrap().named("inspector");
    let training = Training::default().epochs(4).batch_size(16).learning_rate(5e-3);
    let model = fit(network, &data, training, |_| ControlFlow::Continue(())).unwrap();
    let table = score_table(&model, &data, &[Reconstruction, LargestError, KNearest(5)]).unwrap();
    assert!(table.compare(&LargestError, &Reconstruction).unwrap().to_string().contains("DeLong"));

    let detector = LargestError.fit(&model, data.train()).unwrap().with_false_alarms(0.02, &normal).unwrap();
    assert_eq!(detector.calibration().unwrap().n_fitted_to, 0, "set aside before training");
    let found = detector.detect(data.test()).unwrap();
    let by_class = found.by_class().unwrap();
    let names: Vec<&str> = by_class.rows.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(names, ["good", "missing (anomaly)", "scratch (anomaly)", "spot (anomaly)"]);
    let auc = |way: &Evaluation| table.rows.iter().find(|row| row.evaluation == *way).unwrap().auc().unwrap().value;
    assert!(auc(&LargestError) > auc(&Reconstruction) + 0.03, "the mean hides what is small: {table}");

    let figure = detector.map(&found.worst(9).unwrap()).unwrap().figure().unwrap();
    assert!(figure.alt().starts_with("inspector: where the reconstruction differs: 18 images"), "{}", figure.alt());
    let (maps, masks) = (detector.map(data.test()).unwrap(), surface_masks().unwrap());
    for (index, map) in maps.values.outer_iter().enumerate() {
        let largest = map.iter().copied().fold(0.0, f32::max);
        assert_eq!(found.scores.values[index], f64::from(largest), "the score is the largest value of the map");
    }
    let (pixel_auc, overlap) = (maps.pixel_auc(&masks).unwrap(), maps.per_region_overlap(&masks).unwrap());
    assert!(pixel_auc > 0.75 && overlap > 0.3, "pixel AUC {pixel_auc}, AUPRO {overlap}");
}

/// The rows that need no network, from their definitions.
#[test]
fn baselines_are_what_they_say() {
    let (model, split) = trained();
    let table = score_table(model, split, &[Reconstruction]).unwrap();
    let values = |index: usize| &table.baselines[index].outcome.scores().unwrap().values;
    let (train, test) = (split.train().to_array(), split.test().to_array());
    let mean = train.mean_axis(diabolo::ndarray::Axis(0)).unwrap();
    for (index, image) in test.outer_iter().enumerate() {
        let distance = (&image - &mean).mapv(|x| f64::from(x).powi(2)).sum().sqrt();
        assert!((values(0)[index] - distance).abs() < 1e-3 * distance, "{} and {distance}", values(0)[index]);
        let brightness = image.mapv(f64::from).mean().unwrap();
        assert!((values(2)[index] - brightness).abs() < 1e-6);
    }
    let flat = |images: diabolo::ndarray::Array4<f32>| {
        let n = images.dim().0;
        images.into_shape_with_order((n, 3072)).unwrap()
    };
    let components = diabolo::project::Pca::fit(&flat(train), 16).unwrap().distances(&flat(test)).unwrap();
    assert!(components.iter().zip(values(1)).all(|(wanted, found)| (wanted - found).abs() < 1e-4 * wanted));
    let learnt = table.learnt.unwrap();
    let said = table.table().to_string();
    assert!(said.contains("baseline: brightness") && said.contains(&learnt.to_string()), "{said}");
    assert!(model.rank(split.test()).unwrap().table().to_string().contains("variance explained, normal test images"));
}

#[test]
fn a_network_that_learnt_nothing_is_called_so_by_its_table_ranking_and_detector() {
    let (_, split) = trained();
    let network = Architecture::parse("Linear(3072, 2)", "Linear(2, 3072) / Tanh()").unwrap().named("constant");
    let training = Training::default().epochs(1).learning_rate(1e-12);
    let model = fit(network, split, training, |_| ControlFlow::Continue(())).unwrap();
    let all = [
        score_table(&model, split, &[Reconstruction]).unwrap().to_string(),
        model.rank(split.test()).unwrap().to_string(),
        Reconstruction.fit(&model, split.train()).unwrap().to_string(),
    ];
    for said in all {
        assert!(said.contains("WARNING: constant has learnt nothing yet"), "{said}");
    }
}
