//! `diabolo score` and `diabolo rank`.

use crate::progress::Bar;
use anyhow::{Context, Result};
use diabolo::data::{ImageStream, Images, Part};
use diabolo::metrics::roc_auc;
use diabolo::prelude::{Picks, Run};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Writes a line for each image, a part of the images at a time.
pub fn score(run: &Path, images: &Path, out: Option<&Path>) -> Result<()> {
    let run = Run::open(run)?;
    let stream = ImageStream::open(images, run.model.plan().image_shape)?;
    match out {
        None => write_scores(&run, stream, io::stdout().lock(), "writing to standard output"),
        // Written aside, so that half a table is never taken for a whole one, whoever else writes there.
        Some(path) => {
            let aside = PathBuf::from(format!("{}.{}.part", path.display(), std::process::id()));
            let doing =
                format!("writing {}; choose a folder that exists, may be written to and has room", path.display());
            let file = File::create(&aside).with_context(|| doing.clone())?;
            let written = write_scores(&run, stream, &file, &doing)
                .and_then(|()| file.sync_all().and_then(|()| fs::rename(&aside, path)).with_context(|| doing.clone()));
            written.inspect_err(|_| drop(fs::remove_file(&aside)))
        }
    }
}

/// `doing` is said where the output cannot be written.
fn write_scores(run: &Run, stream: ImageStream, output: impl Write, doing: &str) -> Result<()> {
    let n_images = stream.n_images();
    let mut bar = Bar::new(n_images);
    let mut table = csv::Writer::from_writer(output);
    let (mut scores, mut anomalies) = (Vec::new(), Some(Vec::new()));
    for part in stream {
        let Part { names, images } = part?;
        let part_scores = run.model.score(&images)?.values;
        let part_anomalies = anomalies_of(&images, &run.data.held_out);
        if scores.is_empty() {
            let columns: &[&str] =
                if part_anomalies.is_some() { &["image", "mse", "anomaly"] } else { &["image", "mse"] };
            table.write_record(columns).with_context(|| doing.to_string())?;
        }
        for (index, (name, mse)) in names.iter().zip(&part_scores).enumerate() {
            let mut record = vec![name.clone(), mse.to_string()];
            record.extend(part_anomalies.as_ref().map(|anomalies| u8::from(anomalies[index]).to_string()));
            table.write_record(record).with_context(|| doing.to_string())?;
        }
        scores.extend(part_scores);
        anomalies = anomalies.zip(part_anomalies).map(|(all, part)| [all, part].concat());
        bar.show(scores.len(), || format!("{} of {n_images} images", scores.len()));
    }
    table.flush().with_context(|| doing.to_string())?;
    drop(bar);
    let mean = scores.iter().sum::<f64>() / scores.len() as f64;
    let auc = anomalies.and_then(|anomalies| roc_auc(&scores, &anomalies).ok());
    let auc = auc.map_or(String::new(), |auc| format!(", AUC {auc:.4}"));
    eprintln!("{} images, mean MSE {mean:.4}{auc}", scores.len());
    Ok(())
}

/// Whether each image is of a class that the training did not see; `None` where that is not known.
fn anomalies_of(images: &Images, held_out: &[String]) -> Option<Vec<bool>> {
    if let Some(known) = images.anomalies() {
        return Some(known.to_vec());
    }
    let (names, indices) = (images.class_names()?, images.class_indices()?);
    (!held_out.is_empty()).then(|| indices.iter().map(|&index| held_out.contains(&names[index])).collect())
}

/// Lists the worst and the best rebuilt images.
pub fn rank(run: &Path, images: &Path, count: usize, figures: Option<&Path>) -> Result<()> {
    let run = Run::open(run)?;
    let mut stream = ImageStream::open(images, run.model.plan().image_shape)?.images_per_part(usize::MAX);
    let Part { names, images } = stream.next().context("there are no images")??;
    let ranking = run.model.rank(&images)?;
    for (name, picks) in [("worst", ranking.worst(count)?), ("best", ranking.best(count)?)] {
        print_picks(&picks, &names);
        if let Some(folder) = figures {
            fs::create_dir_all(folder).with_context(|| format!("making the folder {}", folder.display()))?;
            picks.figure()?.save(folder.join(name).with_extension("svg"))?;
        }
    }
    Ok(())
}

fn print_picks(picks: &Picks, names: &[String]) {
    println!("{}", picks.title);
    for pick in &picks.picks {
        println!("  MSE {:.4}  L2 norm {:6.2}  {}", pick.mse, pick.l2_norm, names[pick.index]);
    }
}
