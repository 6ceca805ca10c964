//! `diabolo fit` and `diabolo verify`, and `score` and `rank` of a detector.

use crate::images::{cause_of, open_run};
use crate::output::{say, tell, write_out};
use crate::progress::Bar;
use anyhow::{Context, Result, bail};
use diabolo::data::{ImageStream, Images, OpenOptions, Part, open_with};
use diabolo::metrics::roc_auc;
use diabolo::prelude::{Detector, Device, Evaluation, Run};
use std::io::Write;
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

/// Fits a way of scoring to a run's training images and saves the detector.
pub fn fit(fit: &Fit, device: Option<Device>) -> Result<()> {
    let run = open_run(&fit.run, device)?;
    let detector = fit.by.fit(&run.model, &training_images(&run, fit.images.as_deref())?)?;
    let detector = match (fit.false_alarms, &fit.calibrate) {
        (Some(rate), Some(path)) => detector.with_false_alarms(rate, &all_images(path, &run)?)?,
        _ => detector,
    };
    detector.save(&fit.out)?;
    say(&detector)?;
    say(format_args!("in {}", fit.out.display()))
}

/// The training images of some data, without the classes that the run's training did not see.
fn training_images(run: &Run, images: Option<&Path>) -> Result<Images> {
    let name = PathBuf::from(&run.data.name);
    let [_, height_px, width_px] = run.data.image_shape;
    let options =
        if height_px == width_px { OpenOptions::default().size_px(height_px) } else { OpenOptions::default() };
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
    let detector = Detector::open_on(detector, device.unwrap_or_default())?;
    let stream = ImageStream::open(images, detector.model().plan().image_shape)?;
    tell(write_out(out, |output, doing| write_scores(&detector, stream, output, doing))?);
    Ok(())
}

/// Gives one sentence about all of them; `doing` is said where the output cannot be written.
fn write_scores(detector: &Detector, stream: ImageStream, output: &mut dyn Write, doing: &str) -> Result<String> {
    let n_images = stream.n_images();
    let mut bar = Bar::new(n_images);
    let mut table = csv::Writer::from_writer(output);
    let mut write = |record: &[String]| table.write_record(record).map_err(cause_of).context(doing.to_string());
    let (mut scores, mut anomalies, mut n_called) = (Vec::new(), Some(Vec::new()), 0);
    for part in stream {
        let Part { names, images } = part?;
        let part_anomalies = anomalies_of(&images, detector.classes());
        let detections = detector.threshold().map(|_| detector.detect(&images)).transpose()?;
        let part_scores = match &detections {
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
            (part_anomalies.is_some(), "anomaly"),
        ];
        if scores.is_empty() {
            write(&Vec::from_iter(columns.iter().filter(|(is_there, _)| *is_there).map(|(_, name)| name.to_string())))?;
        }
        let digit = |yes: bool| u8::from(yes).to_string();
        for (index, name) in names.into_iter().enumerate() {
            let cells = [
                Some(name),
                Some(part_scores[index].to_string()),
                p_values.map(|p_values| p_values[index].to_string()),
                called.map(|called| digit(called[index])),
                images.class_names().map(|_| images.class_of(index).unwrap_or_default().to_string()),
                part_anomalies.as_ref().map(|anomalies| digit(anomalies[index])),
            ];
            write(&Vec::from_iter(cells.into_iter().flatten()))?;
        }
        n_called += called.map_or(0, |called| called.iter().filter(|&&yes| yes).count());
        scores.extend(part_scores);
        anomalies = anomalies.zip(part_anomalies).map(|(all, part)| [all, part].concat());
        bar.show(scores.len(), || format!("{} of {n_images} images", scores.len()));
    }
    table.flush().context(doing.to_string())?;
    let called = detector.threshold().map_or(String::new(), |_| format!(", {n_called} called anomalies"));
    let auc = match anomalies.map(|anomalies| roc_auc(&scores, &anomalies)) {
        None => String::new(),
        Some(Ok(auc)) => format!(", AUC {auc:.4}"),
        Some(Err(error)) => format!(", no AUC: {error}"),
    };
    Ok(format!("{} images by {}{called}{auc}", scores.len(), detector.evaluation()))
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
