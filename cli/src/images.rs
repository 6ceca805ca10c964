//! `diabolo score` and `diabolo rank`.

use crate::output::{say, tell};
use crate::processes::in_all;
use crate::scoring;
use anyhow::{Context, Result};
use diabolo::data::{ImageStream, Images, Part};
use diabolo::files::expand_home;
use diabolo::prelude::{Device, Picks, Run};
use std::io;
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
    in_all(|together| {
        let run = open_run(run, device)?;
        let stream = ImageStream::open(images, run.model.plan().image_shape)?;
        if together.rank() == 0 {
            stream.notes().iter().for_each(tell);
        }
        let Some(scored) = scoring::write(&**together, stream, out, "mse", |part| table_of(&run, part))? else {
            return Ok(());
        };
        let n_images = scored.scores.len();
        let mean = scored.scores.iter().sum::<f64>() / n_images as f64;
        tell(format!("{n_images} images, mean MSE {mean:.4}{}", scored.auc()));
        warn_of_nothing_learnt(&run);
        Ok(())
    })
}

/// A header, and a line for each image.
fn table_of(run: &Run, Part { names, images }: Part) -> Result<Vec<Vec<String>>> {
    let scores = run.model.score(&images)?.values;
    let anomalies = anomalies_of(&images, &run.data.held_out);
    let anomaly = |index: usize| anomalies.as_ref().map(|anomalies| u8::from(anomalies[index]).to_string());
    let header = ["image", "mse"].into_iter().chain(anomalies.is_some().then_some("anomaly")).map(String::from);
    let lines = names
        .into_iter()
        .zip(scores)
        .enumerate()
        .map(|(index, (name, mse))| Vec::from_iter([name, mse.to_string()].into_iter().chain(anomaly(index))));
    Ok([header.collect()].into_iter().chain(lines).collect())
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
