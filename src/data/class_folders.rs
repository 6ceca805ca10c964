//! Folders of image files: brought to one shape, with the classes and parts that their layout gives.

use super::classes;
use super::images::Images;
use super::layout::{Layout, Part};
use super::listing::Listing;
use super::opened::Opened;
use super::options::OpenOptions;
use super::photographs::{self, Failure, Head};
use super::pixels::{ImageShape, Pixels};
use super::split::Split;
use crate::files::lfs;
use crate::{Error, Result, memory};
use ndarray::Array4;
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Side of the square that images of several sizes are brought to, in pixels: CIFAR-10's.
const USUAL_SIDE_PX: usize = 32;

/// Opens a folder of image files; the listing is the folder's.
///
/// # Errors
/// [`Error::Data`] if some lie beside class folders, or several cannot be read; [`Error::Format`] if one cannot.
pub(super) fn open(folder: &Path, listing: Listing, options: &OpenOptions) -> Result<Opened> {
    let others = listing.others();
    if listing.images.len() > options.max_images {
        return Err(Error::data(
            format!("opening {}", folder.display()),
            format!("{} image files", listing.images.len()),
            format!("at most max_images, {}", options.max_images),
            "take some away, or raise OpenOptions::max_images",
        ));
    }
    let layout = Layout::of(folder, listing.images);
    layout.check(folder)?;
    let Layout { first, test, mut notes } = layout;
    let mut parts = Vec::from_iter([first].into_iter().chain(test));
    let all = Vec::from_iter(parts.iter().flat_map(|part| part.paths.iter().cloned()));
    let heads = read_heads(folder, &all, options)?;
    let shape = shape_of(heads.iter().flatten(), options);
    let names = Vec::from_iter(parts.iter().flat_map(Part::class_names).collect::<BTreeSet<_>>());
    let train_names = Vec::from_iter(parts[0].class_names());
    let test_names = parts.get(1).map(|part| Vec::from_iter(part.class_names())).unwrap_or_default();
    // Shapes and classes are those of all images, whatever share of them is read.
    for part in &mut parts {
        if options.share.is_some_and(|(_, n_processes)| n_processes > part.paths.len()) {
            let found = "fewer image files than processes that open a share of them";
            return Err(Error::data(
                format!("opening {}", folder.display()),
                found,
                "an image for each process",
                "start fewer",
            ));
        }
        *part = part.select(&options.indices_of(part.paths.len()));
    }
    let n_files: usize = parts.iter().map(|part| part.paths.len()).sum();
    let n_bytes = shape.iter().fold(n_files as u64, |product, &side| product.saturating_mul(side as u64));
    if n_bytes > options.max_unpacked_bytes {
        return Err(Error::data(
            format!("opening {}", folder.display()),
            format!("{n_files} images of shape {shape:?}, {n_bytes} bytes"),
            format!("at most max_unpacked_bytes, {}", options.max_unpacked_bytes),
            "choose a smaller OpenOptions::size_px, or raise OpenOptions::max_unpacked_bytes",
        ));
    }
    let mut n_broken = 0;
    let mut images = Vec::with_capacity(parts.len());
    for part in &parts {
        let (labelled, kept) = labelled(folder, part, &names, shape, options)?;
        n_broken += part.paths.len() - kept.len();
        images.push(labelled);
    }
    if n_broken > 0 {
        notes.push(format!("{n_broken} files that cannot be read are passed over"));
    }
    notes.extend(others.map(|others| format!("left out: {others}")));
    let source = describe(folder, heads.iter().flatten(), shape, &notes);
    if parts.len() < 2 {
        return Ok(Opened::whole(folder, images.remove(0), source));
    }
    classes::check_capitals(&train_names, &test_names)?;
    let (test, train) = (images.remove(1), images.remove(0));
    let split = Split::new(Opened::name_of(folder), train, test)?.with_unseen_classes_as_anomalies()?;
    let hint = hint_about_labels(&split, &train_names);
    Ok(Opened::Parts(split.with_source(format!("{source}{hint}"))))
}

/// What to add where test images are of one kind, so that there is no AUC.
fn hint_about_labels(split: &Split, train_names: &[String]) -> String {
    let n_anomalies = split.test().n_anomalies();
    match train_names {
        [name, ..] if n_anomalies == Some(split.test().len()) => {
            format!("; all test images are anomalies: put normal ones into the test part's {name}")
        }
        [_] if n_anomalies.is_none_or(|n| n == 0) => {
            "; no test image is an anomaly: put some into a folder of the test part, as broken".into()
        }
        _ => String::new(),
    }
}

/// What the heads of image files say; `None` for a file that cannot be read, where those are passed over.
fn read_heads(folder: &Path, paths: &[PathBuf], options: &OpenOptions) -> Result<Vec<Option<Head>>> {
    let read_head = |path: &PathBuf| photographs::read_head(&folder.join(path), options.max_pixels_per_image);
    let heads: Vec<_> = paths.par_iter().map(read_head).collect();
    let is_broken = |head: &Result<Head, Failure>| matches!(head, Err(Failure::Broken(_)));
    if options.skip_broken || !heads.iter().any(is_broken) {
        let head = |head: Result<Head, Failure>| match head {
            Ok(head) => Ok(Some(head)),
            Err(Failure::Broken(_)) => Ok(None),
            Err(Failure::Other(error)) => Err(error),
        };
        return heads.into_iter().map(head).collect();
    }
    // All that are broken are named at once, those too whose heads are whole.
    match read_pixels(folder, paths, [1, 1, 1], options) {
        Err(error) => Err(error),
        Ok(_) => Err(broken_error(folder, &failures(paths, heads)?, paths.len())),
    }
}

/// The broken ones with their reasons; anything else is an error.
fn failures<T>(paths: &[PathBuf], read: Vec<Result<T, Failure>>) -> Result<Vec<(PathBuf, String)>> {
    let mut broken = Vec::new();
    for (path, read) in paths.iter().zip(read) {
        match read {
            Ok(_) => {}
            Err(Failure::Broken(reason)) => broken.push((path.clone(), reason)),
            Err(Failure::Other(error)) => return Err(error),
        }
    }
    Ok(broken)
}

/// The error of image files that cannot be read, each with its reason.
fn broken_error(folder: &Path, broken: &[(PathBuf, String)], n_files: usize) -> Error {
    const N_NAMED: usize = 10;
    let are_pointers = broken.iter().all(|(_, reason)| reason == lfs::POINTER);
    let next_step = match are_pointers {
        true => lfs::NEXT_STEP,
        false => "remove it, or pass over such files by OpenOptions::default().skip_broken(true)",
    };
    if let [(path, reason)] = broken {
        let found = if are_pointers { reason.clone() } else { format!("an image that cannot be read ({reason})") };
        return Error::format(&folder.join(path), found, format!("a whole {}", photographs::FORMATS), next_step);
    }
    let names = broken.iter().take(N_NAMED).map(|(path, _)| path.display().to_string()).collect::<Vec<_>>().join(", ");
    let more = if broken.len() > N_NAMED { " and more" } else { "" };
    Error::data(
        format!("reading image files in {}", folder.display()),
        format!("{} of {n_files} that cannot be read: {names}{more} (the first: {})", broken.len(), broken[0].1),
        "whole image files",
        next_step.replace("remove it", "remove them"),
    )
}

/// The shape that all images are brought to.
fn shape_of<'a>(heads: impl Iterator<Item = &'a Head> + Clone, options: &OpenOptions) -> ImageShape {
    let channels = if heads.clone().all(|head| head.is_grey) { 1 } else { 3 };
    let sides = BTreeSet::from_iter(heads.map(|head| (head.height_px, head.width_px)));
    let (height_px, width_px) = match (options.size_px, sides.first()) {
        (Some(side), _) => (side, side),
        (None, Some(&own)) if sides.len() == 1 && own.0.max(own.1) <= OpenOptions::LARGEST_OWN_SIDE_PX => own,
        (None, _) => (USUAL_SIDE_PX, USUAL_SIDE_PX),
    };
    [channels, height_px, width_px]
}

/// What was read and what became of it.
fn describe<'a>(
    folder: &Path,
    heads: impl Iterator<Item = &'a Head> + Clone,
    [_, height_px, width_px]: ImageShape,
    notes: &[String],
) -> String {
    let mut source = format!("image files in {}", folder.display());
    if heads.clone().any(|head| (head.height_px, head.width_px) != (height_px, width_px)) {
        let area = |head: &&Head| head.width_px * head.height_px;
        let (least, most) = (heads.clone().min_by_key(area), heads.max_by_key(area));
        let words =
            |head: Option<&Head>| head.map_or(String::new(), |it| format!("{} x {}", it.width_px, it.height_px));
        source += &format!(
            " of {} to {} pixels, scaled until they cover {width_px} x {height_px} and cropped around the centre",
            words(least),
            words(most)
        );
    }
    notes.iter().fold(source, |source, note| format!("{source}; {note}"))
}

/// Reads the images of a part, each brought to `shape`, with their labels, and tells which files they are of: all but those
/// that cannot be read, where these are passed over.
pub(super) fn labelled(
    folder: &Path,
    part: &Part,
    names: &[String],
    shape: ImageShape,
    options: &OpenOptions,
) -> Result<(Images, Vec<usize>)> {
    let (mut images, kept) = read_pixels(folder, &part.paths, shape, options)?;
    if let Some(classes) = &part.classes {
        let index_of = |&kept: &usize| names.binary_search(&classes[kept]).expect("all names were collected");
        let names = Vec::from_iter(names.iter().map(String::as_str));
        images = images.with_classes(&names, kept.iter().map(index_of).collect())?;
    }
    if let Some(anomalies) = &part.anomalies {
        images = images.with_anomalies(kept.iter().map(|&index| anomalies[index]).collect())?;
    }
    Ok((images, kept))
}

/// The images of the files that can be read, and which of them those are.
fn read_pixels(
    folder: &Path,
    paths: &[PathBuf],
    shape: ImageShape,
    options: &OpenOptions,
) -> Result<(Images, Vec<usize>)> {
    let [c, h, w] = shape;
    let next_step = "choose a smaller OpenOptions::size_px, or fewer images at a time";
    memory::check("reading image files", memory::bytes_of(&[paths.len(), c, h, w]), next_step)?;
    let mut pixels = vec![0; paths.len() * c * h * w];
    let read = pixels.par_chunks_exact_mut(c * h * w).zip(paths).map(|(place, path)| {
        place.copy_from_slice(&photographs::read(&folder.join(path), shape, options.max_pixels_per_image)?);
        Ok(())
    });
    let read: Vec<Result<(), Failure>> = read.collect();
    let kept = Vec::from_iter(read.iter().enumerate().filter(|(_, read)| read.is_ok()).map(|(index, _)| index));
    let broken = failures(paths, read)?;
    if !broken.is_empty() && (!options.skip_broken || kept.is_empty()) {
        return Err(broken_error(folder, &broken, paths.len()));
    }
    let pixels = Array4::from_shape_vec((paths.len(), c, h, w), pixels).expect("the buffer has the size of the shape");
    let images = Images::from_pixels(Pixels::Bytes(pixels));
    let images = if kept.len() == paths.len() { images } else { images.select(&kept)? };
    Ok((images, kept))
}
