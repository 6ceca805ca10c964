//! `diabolo fit` and `diabolo verify`, and `score` and `rank` of a detector.

use crate::images::open_run;
use crate::output::{say, tell};
use crate::processes::in_all;
use crate::scoring;
use anyhow::{Context, Result, bail};
use diabolo::data::{ImageStream, Images, OpenOptions, Part, open_with};
use diabolo::detector::FitOptions;
use diabolo::prelude::{Detector, Device, Evaluation, Run};
use diabolo::together::Together;
use std::path::{Path, PathBuf};

/// Whether a folder holds a detector, and no run.
pub fn is_detector(folder: &Path) -> bool {
    folder.join("detector.json").is_file()
}

/// What `diabolo fit` is told.
#[derive(clap::Args)]
pub struct Fit {
    /// The run folder
    run: PathBuf,
    /// The way of scoring: reconstruction, largest_error, kmeans_3, pca_2, mahalanobis, nearest_5, debiased, with any
    /// numbers, or two of them as in reconstruction+kmeans_3
    #[arg(long, value_name = "WAY")]
    by: Evaluation,
    /// The data whose training images it is fitted to [default: those of the run, where they are known by name]
    #[arg(long, value_name = "IMAGES")]
    images: Option<PathBuf>,
    /// The share of normal images that may be called anomalies, as in 0.01
    #[arg(long, value_name = "SHARE", requires = "calibrate")]
    false_alarms: Option<f64>,
    /// Normal images that training has not seen, which the threshold is made of
    #[arg(long, value_name = "IMAGES", requires = "false_alarms")]
    calibrate: Option<PathBuf>,
    /// The detector's folder
    #[arg(long, value_name = "DETECTOR")]
    out: PathBuf,
}

/// Fits a way of scoring to a run's training images and saves the detector; in several processes to the share that each has
/// opened.
pub fn fit(fit: &Fit, device: Option<Device>) -> Result<()> {
    in_all(|together| {
        let run = open_run(&fit.run, device)?;
        let images = training_images(&run, fit.images.as_deref(), &**together)?;
        let detector = fit.by.fit_together(&run.model, &images, FitOptions::default(), &**together)?;
        if together.rank() > 0 {
            return Ok(());
        }
        let detector = match (fit.false_alarms, &fit.calibrate) {
            (Some(rate), Some(path)) => detector.with_false_alarms(rate, &all_images(path, &run)?)?,
            _ => detector,
        };
        detector.save(&fit.out)?;
        say(&detector)?;
        say(format_args!("in {}", fit.out.display()))
    })
}

/// This process's training images of some data, without the classes that the run's training did not see.
fn training_images(run: &Run, images: Option<&Path>, together: &dyn Together) -> Result<Images> {
    let name = PathBuf::from(&run.data.name);
    let [_, height_px, width_px] = run.data.image_shape;
    let mut options = OpenOptions::default();
    if height_px == width_px {
        options = options.size_px(height_px);
    }
    if together.size() > 1 {
        options = options.share(together.rank(), together.size());
    }
    let split = open_with(images.unwrap_or(&name), options)
        .with_context(|| "opening the images of the run; name their data with --images".to_string())?;
    let held_out: Vec<&str> = run.data.held_out.iter().map(String::as_str).collect();
    let split = if held_out.is_empty() || split.held_out() == held_out { split } else { split.hold_out(&held_out)? };
    Ok(split.train().clone())
}

/// All images of a folder, a file or a data set, in the shape of the run's.
fn all_images(path: &Path, run: &Run) -> Result<Images> {
    let mut stream = ImageStream::open(path, run.data.image_shape)?.images_per_part(usize::MAX);
    Ok(stream.next().context("there are no images")??.images)
}

/// Scores images with a detector and writes a line for each, a part of the images at a time.
pub fn score(detector: &Path, device: Option<Device>, images: &Path, out: Option<&Path>) -> Result<()> {
    in_all(|together| {
        let detector = Detector::open_on(detector, device.unwrap_or_default())?;
        let stream = ImageStream::open(images, detector.model().plan().image_shape)?;
        let scored = scoring::write(&**together, stream, out, "score", |part| table_of(&detector, part))?;
        if let Some(scored) = scored {
            let called = detector.threshold().map(|_| format!(", {} called anomalies", scored.n_called));
            let (n_images, way) = (scored.scores.len(), detector.evaluation());
            tell(format!("{n_images} images by {way}{}{}", called.unwrap_or_default(), scored.auc()));
        }
        Ok(())
    })
}

/// A header, and a line for each image.
fn table_of(detector: &Detector, Part { names, images }: Part) -> Result<Vec<Vec<String>>> {
    let anomalies = anomalies_of(&images, detector.classes());
    let detections = detector.threshold().map(|_| detector.detect(&images)).transpose()?;
    let scores = match &detections {
        Some(detections) => detections.scores.values.clone(),
        None => detector.score(&images)?.values,
    };
    let p_values = detections.as_ref().and_then(|detections| detections.p_values.as_ref());
    let called = detections.as_ref().map(|detections| &detections.is_anomaly);
    let columns = [
        (true, "file"),
        (true, "score"),
        (p_values.is_some(), "p_value"),
        (called.is_some(), "is_anomaly"),
        (images.class_names().is_some(), "class"),
        (anomalies.is_some(), "anomaly"),
    ];
    let header = columns.iter().filter(|(is_there, _)| *is_there).map(|(_, name)| name.to_string());
    let digit = |yes: bool| u8::from(yes).to_string();
    let lines = names.into_iter().enumerate().map(|(index, name)| {
        let cells = [
            Some(name),
            Some(scores[index].to_string()),
            p_values.map(|p_values| p_values[index].to_string()),
            called.map(|called| digit(called[index])),
            images.class_names().map(|_| images.class_of(index).unwrap_or_default().to_string()),
            anomalies.as_ref().map(|anomalies| digit(anomalies[index])),
        ];
        cells.into_iter().flatten().collect()
    });
    Ok([header.collect()].into_iter().chain(lines).collect())
}

/// Whether each image is an anomaly, or of a class that the detector was not fitted to; `None` where that is not known.
fn anomalies_of(images: &Images, normal: &[String]) -> Option<Vec<bool>> {
    if let Some(known) = images.anomalies() {
        return Some(known.to_vec());
    }
    let (names, indices) = (images.class_names()?, images.class_indices()?);
    (!normal.is_empty()).then(|| indices.iter().map(|&index| !normal.contains(&names[index])).collect())
}

/// Lists the images with the highest and the lowest scores.
pub fn rank(
    detector: &Path,
    device: Option<Device>,
    images: &Path,
    count: usize,
    figures: Option<&Path>,
) -> Result<()> {
    if figures.is_some() {
        bail!("pictures are drawn of a run's ranking: give the run folder, or leave --figures out");
    }
    let detector = Detector::open_on(detector, device.unwrap_or_default())?;
    let mut stream = ImageStream::open(images, detector.model().plan().image_shape)?.images_per_part(usize::MAX);
    let Part { names, images } = stream.next().context("there are no images")??;
    let scores = detector.score(&images)?;
    let order = scores.order();
    let count = count.min(order.len());
    say(format_args!("{}: the {count} highest of {}", scores.model, scores.name))?;
    let line = |&index: &usize| say(format_args!("  {:12.6}  {}", scores.values[index], names[index]));
    order.iter().take(count).try_for_each(line)?;
    say(format_args!("{}: the {count} lowest", scores.model))?;
    order.iter().rev().take(count).try_for_each(line)
}

/// Scores the images that a detector keeps once more.
pub fn verify(detector: &Path, device: Option<Device>) -> Result<()> {
    let detector = Detector::open_on(detector, device.unwrap_or_default())?;
    let verification = detector.verify()?;
    say(&detector)?;
    say(verification)
}
