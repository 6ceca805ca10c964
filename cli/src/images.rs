//! `diabolo score` and `diabolo rank`.

use crate::output::{say, tell, write_out};
use crate::progress::Bar;
use anyhow::{Context, Result};
use diabolo::data::{ImageStream, Images, Part};
use diabolo::files::expand_home;
use diabolo::metrics::roc_auc;
use diabolo::prelude::{Device, Picks, Run};
use std::io::{self, Write};
use std::path::Path;

/// Opens a run folder on the device that was asked for, if one was.
pub fn open_run(folder: &Path, device: Option<Device>) -> diabolo::Result<Run> {
    match device {
        Some(device) => Run::open_on(folder, device),
        None => Run::open(folder),
    }
}

/// Writes a line for each image, a part of the images at a time.
pub fn score(run: &Path, device: Option<Device>, images: &Path, out: Option<&Path>) -> Result<()> {
    let run = open_run(run, device)?;
    let stream = ImageStream::open(images, run.model.plan().image_shape)?;
    stream.notes().iter().for_each(tell);
    tell(write_out(out, |output, doing| write_scores(&run, stream, output, doing))?);
    warn_of_nothing_learnt(&run);
    Ok(())
}

/// Gives one sentence about all of them; `doing` is said where the output cannot be written.
fn write_scores(run: &Run, stream: ImageStream, output: impl Write, doing: &str) -> Result<String> {
    let n_images = stream.n_images();
    let mut bar = Bar::new(n_images);
    let mut table = csv::Writer::from_writer(output);
    let mut write = |record: &[&str]| table.write_record(record).map_err(cause_of).context(doing.to_string());
    let (mut scores, mut anomalies) = (Vec::new(), Some(Vec::new()));
    for part in stream {
        let Part { names, images } = part?;
        let part_scores = run.model.score(&images)?.values;
        let part_anomalies = anomalies_of(&images, &run.data.held_out);
        if scores.is_empty() {
            let columns = ["image", "mse", "anomaly"];
            write(&columns[..if part_anomalies.is_some() { 3 } else { 2 }])?;
        }
        for (index, (name, mse)) in names.iter().zip(&part_scores).enumerate() {
            let mse = mse.to_string();
            match &part_anomalies {
                Some(anomalies) => write(&[name, &mse, if anomalies[index] { "1" } else { "0" }])?,
                None => write(&[name, &mse])?,
            }
        }
        scores.extend(part_scores);
        match (&mut anomalies, part_anomalies) {
            (Some(all), Some(part)) => all.extend(part),
            (_, None) => anomalies = None,
            (None, _) => {}
        }
        bar.show(scores.len(), || format!("{} of {n_images} images", scores.len()));
    }
    table.flush().context(doing.to_string())?;
    let mean = scores.iter().sum::<f64>() / scores.len() as f64;
    let auc = match anomalies.map(|anomalies| roc_auc(&scores, &anomalies)) {
        None => String::new(),
        Some(Ok(auc)) => format!(", AUC {auc:.4}"),
        Some(Err(error)) => format!(", no AUC: {error}"),
    };
    Ok(format!("{} images, mean MSE {mean:.4}{auc}", scores.len()))
}

/// What a csv::Error hides: the error of the output, which says whether its reader is gone.
pub fn cause_of(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

/// Whether each image is of a class that the training did not see; `None` where that is not known.
fn anomalies_of(images: &Images, held_out: &[String]) -> Option<Vec<bool>> {
    if let Some(known) = images.anomalies() {
        return Some(known.to_vec());
    }
    let (names, indices) = (images.class_names()?, images.class_indices()?);
    (!held_out.is_empty()).then(|| indices.iter().map(|&index| held_out.contains(&names[index])).collect())
}

/// Lists the worst and the best reconstructed images.
pub fn rank(run: &Path, device: Option<Device>, images: &Path, count: usize, figures: Option<&Path>) -> Result<()> {
    let run = open_run(run, device)?;
    let mut stream = ImageStream::open(images, run.model.plan().image_shape)?.images_per_part(usize::MAX);
    let Part { names, images } = stream.next().context("there are no images")??;
    let ranking = run.model.rank(&images)?;
    warn_of_nothing_learnt(&run);
    for (name, picks) in [("worst", ranking.worst(count)?), ("best", ranking.best(count)?)] {
        print_picks(&picks, &names)?;
        if let Some(folder) = figures {
            let folder = expand_home(folder)?;
            std::fs::create_dir_all(&folder).with_context(|| format!("making the folder {}", folder.display()))?;
            picks.figure()?.save(folder.join(name).with_extension("svg"))?;
        }
    }
    ranking.learnt().map_or(Ok(()), |learnt| say(format_args!("{}: {learnt}", run.model.name())))
}

/// Says so where the network of a run has learnt nothing: its scores are then those of the mean training image.
fn warn_of_nothing_learnt(run: &Run) {
    if let Some(nothing) = run.model.history().learnt.and_then(|learnt| learnt.warning()) {
        tell(format!("warning: {} {nothing}", run.model.name()));
    }
}

fn print_picks(picks: &Picks, names: &[String]) -> Result<()> {
    say(&picks.title)?;
    picks.picks.iter().try_for_each(|pick| {
        say(format_args!("  MSE {:.4}  L2 norm {:6.2}  {}", pick.mse, pick.l2_norm, names[pick.index]))
    })
}
