//! Detectors: fits, thresholds, comparisons, and folders that are not whole.

use super::models::{LFS_POINTER, few, model, test_images};
use super::{Case, case};
use diabolo::Result;
use diabolo::ndarray::Array4;
use diabolo::prelude::*;
use std::fs;
use std::path::Path;

pub fn cases() -> Vec<Case> {
    [fit_cases(), threshold_cases(), projection_cases(), comparison_cases(), folder_cases()]
        .into_iter()
        .flatten()
        .collect()
}

fn detector() -> Result<Detector> {
    KMeans(2).fit(model(), few().train())
}

fn fit_cases() -> Vec<Case> {
    let small = || Images::from_bytes(Array4::zeros((30, 1, 28, 28)));
    vec![
        case(
            "a fit to images of another size",
            move |_| Reconstruction.fit(model(), &small()?),
            &["running small", "[1, 28, 28]", "[3, 32, 32]"],
        ),
        case(
            "scores of images of another size",
            move |_| detector()?.score(&small()?),
            &["running small", "[1, 28, 28]", "[3, 32, 32]"],
        ),
        case("more centres than images", |_| KMeans(99).fit(model(), few().train()), &["setting k: found 99"]),
        case(
            "as many neighbours as images",
            |_| KNearest(few().train().len()).fit(model(), few().train()),
            &["setting k: found", "one less than the images of the fit", "5 is usual"],
        ),
        case("a fit of no neighbour", |_| KNearest(0).fit(model(), few().train()), &["setting k: found 0"]),
        case(
            "no start of K-means",
            |_| KMeans(2).fit_with(model(), few().train(), FitOptions::default().n_starts(0)),
            &["setting n_starts: found 0"],
        ),
        case(
            "a way that is none",
            |_| "kmeans".parse::<Evaluation>(),
            &["setting evaluation: found \"kmeans\"", "kmeans_3"],
        ),
        case(
            "smoothing by less than nothing",
            |_| detector()?.map_smoothed(test_images(), -1.0),
            &["setting sigma_px: found -1", "0 to 32"],
        ),
        case(
            "masks of another size than the maps",
            move |_| detector()?.map(test_images())?.pixel_auc(&small()?),
            &["comparing maps with masks", "30 masks of shape [1, 28, 28]", "40 of shape [1, 32, 32]"],
        ),
    ]
}

fn threshold_cases() -> Vec<Case> {
    let normal = || test_images().clone().with_anomalies(vec![false; 40]);
    vec![
        case(
            "detection without a threshold",
            |_| detector()?.detect(test_images()),
            &["a detector without threshold", "with_false_alarms(0.01, &normal_images)"],
        ),
        case(
            "too few images for the rate",
            move |_| detector()?.with_false_alarms(0.01, &normal()?),
            &["setting false_alarms: found 0.01", "40 calibration images", "give 99 calibration images"],
        ),
        case("a rate of nothing", move |_| detector()?.with_false_alarms(0.0, &normal()?), &["false_alarms: found 0"]),
        case(
            "anomalies among the calibration images",
            |_| {
                let anomalies = (0..40).map(|image| image < 7).collect();
                detector()?.with_false_alarms(0.1, &test_images().clone().with_anomalies(anomalies)?)
            },
            &["calibrating a threshold", "7 anomalies among 40 images", "normal images alone"],
        ),
        case(
            "the best F1 of normal images",
            move |_| detector()?.with_threshold(Threshold::BestF1, &normal()?),
            &["0 anomalies and 40 normal images"],
        ),
        case(
            "the highest of no images",
            move |_| detector()?.with_false_alarms(0.1, &normal()?)?.detect(test_images())?.worst(0),
            &["setting k: found 0", "1 to 40"],
        ),
        case(
            "each class of images without classes",
            move |_| {
                let images = Images::from_floats(test_images().to_array(), PixelRange::Signed)?
                    .with_anomalies(vec![true; 40])?;
                detector()?.with_false_alarms(0.1, &normal()?)?.detect(&images)?.by_class()
            },
            &["images without classes"],
        ),
    ]
}

fn projection_cases() -> Vec<Case> {
    use diabolo::ndarray::Array2;
    use diabolo::project::RandomProjection;
    vec![
        case(
            "more images set aside than leave two to train on",
            |_| few().set_aside(few().train().len()),
            &["setting n_images: found", "two are left to train on"],
        ),
        case("none set aside", |_| few().set_aside(0), &["setting n_images: found 0"]),
        case(
            "a random projection to as many values",
            |_| RandomProjection::new(3).transform(&Array2::ones((5, 3))),
            &["setting n_values: found 3", "1 to 2, fewer than the 3 values of a point"],
        ),
        case(
            "a random projection of no number",
            |_| RandomProjection::new(2).transform(&Array2::from_elem((5, 3), f32::NAN)),
            &["projecting points at random", "not finite"],
        ),
        case(
            "a diffusion map of ten points",
            |_| DiffusionMap::default().fit(&Array2::ones((10, 3))),
            &["mapping points by diffusion", "found 10 points", "11 or more"],
        ),
        case(
            "a diffusion map of points that are all alike",
            |_| DiffusionMap::default().fit(&Array2::ones((20, 3))),
            &["mapping points by diffusion", "alike", "the model's history"],
        ),
    ]
}

fn comparison_cases() -> Vec<Case> {
    let table = |anomalies: Option<Vec<bool>>| {
        let images = Images::from_floats(test_images().to_array(), PixelRange::Signed)?;
        let images = match anomalies {
            None => images,
            Some(anomalies) => images.with_anomalies(anomalies)?,
        };
        score_table(model(), &Split::new("a few", few().train().clone(), images)?, &[Reconstruction, KMeans(2)])
    };
    vec![
        case(
            "a comparison without labels",
            move |_| table(None)?.compare(&Reconstruction, &KMeans(2)),
            &["comparing two scores", "images without anomaly labels", "hold out classes"],
        ),
        case(
            "a comparison of normal images",
            move |_| table(Some(vec![false; 40]))?.compare(&Reconstruction, &KMeans(2)),
            &["0 anomalies and 40 normal images"],
        ),
        case(
            "a comparison of anomalies",
            move |_| table(Some(vec![true; 40]))?.compare(&Reconstruction, &KMeans(2)),
            &["40 anomalies and 0 normal images"],
        ),
        case(
            "a comparison with a way that the table lacks",
            move |_| table(None)?.compare(&Reconstruction, &Pca(2)),
            &["not in this table"],
        ),
    ]
}

/// A saved detector, one file of which is changed, or removed where there is nothing left of it.
fn open_changed(folder: &Path, name: &str, change: impl Fn(Vec<u8>) -> Option<Vec<u8>>) -> Result<Detector> {
    detector()?.save(folder.join("detector"))?;
    let path = folder.join("detector").join(name);
    match change(fs::read(&path).unwrap()) {
        Some(bytes) => fs::write(&path, bytes).unwrap(),
        None => fs::remove_file(&path).unwrap(),
    }
    Detector::open(folder.join("detector"))
}

fn folder_cases() -> Vec<Case> {
    vec![
        case("a detector that is not there", |f| Detector::open(f.join("none")), &["opening", "none/detector.json"]),
        case(
            "a detector in a file",
            |f| {
                fs::write(f.join("x"), "").unwrap();
                detector()?.save(f.join("x"))
            },
            &["making the folder"],
        ),
        case(
            "half a detector's description",
            |f| open_changed(f, "detector.json", |bytes| Some(bytes[..99].into())),
            &["detector.json", "damaged", "save the detector again"],
        ),
        case(
            "a detector of a newer version",
            |f| {
                open_changed(f, "detector.json", |bytes| {
                    Some(
                        String::from_utf8(bytes)
                            .unwrap()
                            .replace("\"format_version\": 1", "\"format_version\": 99")
                            .into(),
                    )
                })
            },
            &["found format 99, wanted format 1 or older", "newer one"],
        ),
        case(
            "a detector that was copied in half",
            |f| open_changed(f, "model.safetensors", |_| None),
            &["found no model.safetensors, wanted all files of a detector", "copy the whole folder again"],
        ),
        case(
            "a detector with weights of another",
            |f| {
                open_changed(f, "model.safetensors", |mut bytes| {
                    let last = bytes.len() - 3;
                    bytes[last] ^= 1;
                    Some(bytes)
                })
            },
            &["a damaged model.safetensors, or one of another detector", "the one saved with detector.json"],
        ),
        case(
            "a detector that Git LFS has not fetched",
            |f| open_changed(f, "fit.safetensors", |_| Some(LFS_POINTER.into())),
            &["fit.safetensors", "a Git LFS pointer", "git lfs pull"],
        ),
        case(
            "a detector with half of its fit",
            |f| open_changed(f, "fit.safetensors", |bytes| Some(bytes[..bytes.len() / 2].into())),
            &["a damaged fit.safetensors", "save the detector again"],
        ),
        case(
            "a detector of another way of scoring",
            |f| {
                open_changed(f, "detector.json", |bytes| {
                    Some(String::from_utf8(bytes).unwrap().replace("\"k_means\": 2", "\"k_means\": 3").into())
                })
            },
            &["fit.safetensors: found no fit that fits", "save the detector again"],
        ),
    ]
}
