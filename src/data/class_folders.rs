//! Folders of photographs: a folder for every class, in `train` and `test` or not, or all photographs in one folder.

use super::images::{ImageShape, Images, Pixels};
use super::open::Opened;
use super::options::OpenOptions;
use super::photographs::{self, Head};
use super::split::Split;
use crate::{Error, Result, interrupt, memory};
use ndarray::Array4;
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Side of the square that images of several sizes are brought to, in pixels: CIFAR-10's.
const USUAL_SIDE_PX: usize = 32;

/// What folders of images to train on are called, in capitals or not.
const TRAIN_FOLDERS: [&str; 2] = ["train", "training"];
/// What folders of images to test on are called; the first one that is there is taken.
const TEST_FOLDERS: [&str; 4] = ["test", "testing", "val", "validation"];

/// Image files of one part, with their classes where they lie in class folders.
struct Part {
    folder: PathBuf,
    paths: Vec<PathBuf>,
    /// For each path, the name of its class.
    classes: Option<Vec<String>>,
    n_others: usize,
}

/// Opens a folder of image files.
///
/// # Errors
/// [`Error::Data`] if there is none, or some lie beside class folders; [`Error::Format`] for one that cannot be read.
pub(super) fn open(folder: &Path, options: &OpenOptions) -> Result<Opened> {
    let inner = |names: &[&str]| names.iter().find_map(|name| folder_named(folder, name));
    let folders = match (inner(&TRAIN_FOLDERS), inner(&TEST_FOLDERS)) {
        (Some(train), Some(test)) => vec![train, test],
        (Some(train), None) => vec![train],
        _ => vec![folder.into()],
    };
    let parts = folders.into_iter().map(|folder| Part::list(folder, options)).collect::<Result<Vec<_>>>()?;
    if parts.iter().any(|part| part.classes.is_some() != parts[0].classes.is_some()) {
        return Err(Error::data(
            format!("opening {}", folder.display()),
            "class folders in only one of the two parts",
            "class folders in both or in neither",
            "put the images of both into folders named for their classes",
        ));
    }
    let heads = parts.iter().map(|part| part.heads(options)).collect::<Result<Vec<_>>>()?;
    let shape = shape_of(heads.iter().flatten(), options);
    let n_images = parts.iter().map(|part| part.paths.len()).sum::<usize>();
    let n_bytes = shape.iter().fold(n_images as u64, |product, &side| product.saturating_mul(side as u64));
    if n_bytes > options.max_unpacked_bytes {
        return Err(Error::data(
            format!("opening {}", folder.display()),
            format!("{n_images} images of shape {shape:?}, {n_bytes} bytes"),
            format!("at most max_unpacked_bytes, {}", options.max_unpacked_bytes),
            "choose a smaller OpenOptions::size_px, or raise OpenOptions::max_unpacked_bytes",
        ));
    }
    let names = parts.iter().flat_map(|part| part.classes.iter().flatten()).collect::<BTreeSet<_>>();
    let names = Vec::from_iter(names.into_iter().map(String::as_str));
    let mut images = Vec::with_capacity(parts.len());
    for part in &parts {
        images.push(part.read(shape, &names, options)?);
    }
    let source = describe(folder, &parts, heads.iter().flatten(), shape);
    if images.len() == 1 {
        return Ok(Opened::whole(folder, images.remove(0), source));
    }
    let (test, train) = (images.remove(1), images.remove(0));
    let split = Split::new(Opened::name_of(folder), train, test)?.with_source(source);
    Ok(Opened::Parts(split.with_unseen_classes_as_anomalies()?))
}

/// The folder of this name inside another, in capitals or not.
fn folder_named(folder: &Path, name: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let mut found = Vec::from_iter(entries.filter(|entry| entry.file_name().eq_ignore_ascii_case(name)));
    found.retain(|entry| entry.path().is_dir());
    found.first().map(std::fs::DirEntry::path)
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
    parts: &[Part],
    heads: impl Iterator<Item = &'a Head> + Clone,
    [_, height_px, width_px]: ImageShape,
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
    match parts.iter().map(|part| part.n_others).sum::<usize>() {
        0 => source,
        n_others => format!("{source}; {n_others} files left out that are no JPEG, PNG or WebP"),
    }
}

impl Part {
    fn list(folder: PathBuf, options: &OpenOptions) -> Result<Self> {
        let photographs::Listing { images: paths, n_others } = photographs::list(&folder)?;
        let refuse = |found: String, wanted: &str, next_step: &str| {
            Err(Error::data(format!("opening {}", folder.display()), found, wanted, next_step))
        };
        if paths.is_empty() {
            let found = format!("no image files, {n_others} others");
            let next_step = "check the path; save pictures of other kinds, as HEIC, as JPEG first";
            return refuse(found, "JPEG, PNG or WebP files, in class folders or not", next_step);
        }
        if paths.len() > options.max_images {
            let wanted = format!("at most max_images, {}", options.max_images);
            let next_step = "take some away, or raise OpenOptions::max_images";
            return refuse(format!("{} image files", paths.len()), &wanted, next_step);
        }
        // The first folder on the way to an image is its class; what lies deeper belongs to it too.
        let class_of = |path: &PathBuf| {
            let mut names = path.iter();
            let first = names.next()?.to_string_lossy().into_owned();
            names.next().map(|_| first)
        };
        let classes = Vec::from_iter(paths.iter().map(class_of));
        let n_beside = classes.iter().filter(|class| class.is_none()).count();
        if n_beside > 0 && n_beside < paths.len() {
            let index = classes.iter().position(Option::is_none).unwrap_or_default();
            return refuse(
                format!("{n_beside} images beside class folders, as {}", paths[index].display()),
                "all images in class folders, or none",
                "move them into the folder of their class, or away",
            );
        }
        Ok(Self { classes: classes.into_iter().collect(), folder, paths, n_others })
    }

    fn heads(&self, options: &OpenOptions) -> Result<Vec<Head>> {
        let read_head = |path: &PathBuf| {
            interrupt::check("reading image files")?;
            photographs::read_head(&self.folder.join(path), options.max_pixels_per_image)
        };
        self.paths.par_iter().map(read_head).collect()
    }

    fn read(&self, shape: ImageShape, names: &[&str], options: &OpenOptions) -> Result<Images> {
        let images = read_all(&self.folder, &self.paths, shape, options)?;
        match &self.classes {
            None => Ok(images),
            Some(classes) => {
                let index_of = |name: &String| names.binary_search(&name.as_str()).expect("all names were collected");
                images.with_classes(names, classes.iter().map(index_of).collect())
            }
        }
    }
}

/// Reads image files within a folder, each brought to `shape`.
pub(super) fn read_all(folder: &Path, paths: &[PathBuf], shape: ImageShape, options: &OpenOptions) -> Result<Images> {
    let [c, h, w] = shape;
    let next_step = "choose a smaller OpenOptions::size_px, or fewer images at a time";
    memory::check("reading image files", memory::bytes_of(&[paths.len(), c, h, w]), next_step)?;
    let mut pixels = vec![0; paths.len() * c * h * w];
    pixels.par_chunks_exact_mut(c * h * w).zip(paths).try_for_each(|(place, path)| {
        interrupt::check("reading image files")?;
        place.copy_from_slice(&photographs::read(&folder.join(path), shape, options.max_pixels_per_image)?);
        Ok(())
    })?;
    let pixels = Array4::from_shape_vec((paths.len(), c, h, w), pixels).expect("the buffer has the size of the shape");
    Ok(Images::from_pixels(Pixels::Bytes(pixels)))
}
