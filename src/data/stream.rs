//! Images that are read in batches, so that they need not fit in memory.

use super::classes::check_capitals;
use super::images::Images;
use super::layout::{Layout, Part as Files};
use super::opened::Opened;
use super::options::OpenOptions;
use super::photographs::FORMATS;
use super::pixels::ImageShape;
use super::{cifar, class_folders, listing, open};
use crate::files::{expand_home, lfs, path_text};
use crate::{Error, Result};
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Images in a part unless told otherwise: a few megabytes of the sizes that autoencoders see.
const IMAGES_PER_PART: usize = 1024;

/// Images of one shape, read a part at a time while they are asked for.
///
/// # Example
/// ```
/// use diabolo::data::ImageStream;
/// let stream = ImageStream::open("scenes", [3, 32, 32])?;
/// assert_eq!(stream.n_images(), 2000);
/// let mut n_images = 0;
/// for part in stream {
///     let part = part?;
///     n_images += part.images.len();
///     assert_eq!(part.names.len(), part.images.len());
/// }
/// assert_eq!(n_images, 2000);
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug)]
pub struct ImageStream {
    source: Source,
    notes: Vec<String>,
    n_images: usize,
    n_taken: usize,
    images_per_part: usize,
    /// Parts of other processes that come before the next one, and between two of this process.
    n_parts_before: usize,
    n_parts_between: usize,
}

/// Some images of an [`ImageStream`], with what each is called there.
///
/// # Example
/// ```
/// use diabolo::data::{ImageStream, Part};
/// let mut parts = ImageStream::open("scenes", [3, 32, 32])?.images_per_part(2);
/// let Part { names, images } = parts.next().expect("there are 2,000 images")?;
/// assert_eq!((names, images.len()), (vec!["0".to_string(), "1".to_string()], 2));
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Part {
    /// Path within the folder of image files, bytes that are no UTF-8 as in `caf\xE9`; elsewhere the index in the whole,
    /// from 0.
    pub names: Vec<String>,
    /// The images, with classes and anomalies where the source says them.
    pub images: Images,
}

#[derive(Debug)]
enum Source {
    /// Image files in a folder, and the names of all classes.
    Files { folder: PathBuf, files: Files, class_names: Vec<String>, shape: ImageShape, options: OpenOptions },
    /// Records of CIFAR's binary form.
    Records(Box<cifar::Batch<File>>),
    /// In memory already.
    Whole(Images),
}

impl ImageStream {
    /// Finds images to read:
    ///
    /// - a folder of image files in any layout that [`open`](super::open) takes: its test part where it has one, else
    ///   all of them. Each is scaled until it just covers `shape` and cropped around its centre; only their names are
    ///   held in memory. Classes are those of the class folders, and anomalies are known where the training part has
    ///   other classes, as in a category of MVTec AD;
    /// - a `.bin` file of CIFAR-10's binary form, with any number of images: only the part at hand is in memory;
    /// - the test images of anything else that [`open`](super::open) takes, or all of them where it would have to draw
    ///   test images; they are in memory as a whole, 8-bit where they are stored so.
    ///
    /// `shape` is what the images are needed in; sources other than image files keep their own. As for
    /// [`open`](super::open), a name goes before a folder of the same name.
    ///
    /// # Errors
    /// [`Error::Setting`] for a shape that no image has; [`Error::File`] when nothing is there or it cannot be read; those
    /// of [`open`](super::open).
    ///
    /// # Example
    /// ```
    /// use diabolo::data::ImageStream;
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let picture = diabolo::figure::picture(&diabolo::ndarray::Array3::zeros((3, 30, 40)), 1, "grey")?;
    /// # ["a.png", "b.png", "c.png"].iter().try_for_each(|name| picture.save(folder.path().join(name)))?;
    /// let photographs = folder.path(); // a.png, b.png and c.png, 40 x 30 pixels each
    /// for part in ImageStream::open(photographs, [3, 32, 32])? {
    ///     let part = part?;
    ///     assert_eq!(part.names, ["a.png", "b.png", "c.png"]);
    ///     assert_eq!(part.images.shape(), [3, 32, 32]);
    /// }
    /// assert!(ImageStream::open(photographs, [2, 32, 32]).is_err());
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn open(name_or_path: impl AsRef<Path>, shape: ImageShape) -> Result<Self> {
        Self::open_with(name_or_path, shape, OpenOptions::default())
    }

    /// The same with limits of one's own choice; `shape` goes before [`OpenOptions::size_px`].
    ///
    /// # Errors
    /// Those of [`ImageStream::open`].
    ///
    /// # Example
    /// ```
    /// use diabolo::data::{ImageStream, OpenOptions};
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let photographs = folder.path();
    /// # let picture = diabolo::figure::picture(&diabolo::ndarray::Array3::zeros((3, 40, 40)), 1, "grey")?;
    /// # picture.save(photographs.join("a.png"))?;
    /// let small = OpenOptions { max_pixels_per_image: 1_000, ..OpenOptions::default() };
    /// let mut parts = ImageStream::open_with(photographs, [3, 32, 32], small)?;
    /// let error = parts.next().expect("there is a photograph").unwrap_err().to_string();
    /// assert!(error.contains("max_pixels_per_image"), "{error}");
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn open_with(name_or_path: impl AsRef<Path>, shape: ImageShape, options: OpenOptions) -> Result<Self> {
        options.check()?;
        let path = &expand_home(name_or_path)?;
        let [channels, height_px, width_px] = shape;
        let is_side = |side: usize| (1..=OpenOptions::LARGEST_SIDE_PX).contains(&side);
        if !matches!(channels, 1 | 3) || !is_side(height_px) || !is_side(width_px) {
            let wanted = format!("1 or 3 channels, and sides of 1 to {} pixels", OpenOptions::LARGEST_SIDE_PX);
            return Err(Error::setting("shape", format!("{shape:?}"), wanted, "give [channels, height, width]"));
        }
        let (source, notes) = Self::find(path, shape, options).map_err(lfs::explained)?;
        let n_images = match &source {
            Source::Files { files, .. } => files.paths.len(),
            Source::Records(batch) => batch.n_images(),
            Source::Whole(images) => images.len(),
        };
        let images_per_part = IMAGES_PER_PART;
        Ok(Self { source, notes, n_images, n_taken: 0, images_per_part, n_parts_before: 0, n_parts_between: 0 })
    }

    fn find(path: &Path, shape: ImageShape, options: OpenOptions) -> Result<(Source, Vec<String>)> {
        if path.is_file() && path.extension().is_some_and(|ending| ending == "bin") {
            return Ok((Source::Records(Box::new(cifar::Batch::open(path.into())?)), Vec::new()));
        }
        if !open::is_image_files(path) {
            return match open::open_source(path, &options)? {
                Opened::Parts(split) => Ok((Source::Whole(split.test().clone()), Vec::new())),
                Opened::Whole { images, .. } => Ok((Source::Whole(images), Vec::new())),
            };
        }
        let listing = listing::list(path)?;
        let others = listing.others().map(|others| format!("left out: {others}"));
        if listing.images.is_empty() {
            let doing = format!("opening {}", path.display());
            return Err(Error::data(
                doing,
                "no image files",
                format!("{FORMATS} files, or a data set"),
                "check the path",
            ));
        }
        let Layout { first, test, mut notes } = Layout::of(path, listing.images);
        notes.extend(others);
        let files = match test {
            None => first,
            Some(mut test) => {
                notes.insert(0, format!("the {} images to train on are left out", first.paths.len()));
                let known = first.class_names();
                check_capitals(&Vec::from_iter(known.clone()), &Vec::from_iter(test.class_names()))?;
                if test.anomalies.is_none() && !known.is_empty() {
                    let unseen = test.classes.iter().flatten().map(|class| !known.contains(class));
                    // Without one the classes alone say what was held out.
                    test.anomalies = Some(Vec::from_iter(unseen)).filter(|unseen| unseen.contains(&true));
                }
                test
            }
        };
        let class_names = Vec::from_iter(files.class_names());
        Ok((Source::Files { folder: path.into(), files, class_names, shape, options }, notes))
    }

    /// What of the source is left out, or was decided about it, in words; none for most sources.
    ///
    /// # Example
    /// ```
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let bottle = folder.path();
    /// # let picture = diabolo::figure::picture(&diabolo::ndarray::Array3::zeros((3, 40, 40)), 1, "grey")?;
    /// # for name in ["train/good", "test/good", "test/broken"] {
    /// #     std::fs::create_dir_all(bottle.join(name)).unwrap();
    /// #     picture.save(bottle.join(name).join("1.png"))?;
    /// # }
    /// // A folder with train/good/1.png, test/good/1.png and test/broken/1.png.
    /// let mut stream = diabolo::data::ImageStream::open(bottle, [3, 32, 32])?;
    /// assert_eq!(stream.notes(), ["the 1 images to train on are left out"]);
    /// let part = stream.next().expect("there are two images to test on")?;
    /// assert_eq!(part.images.anomalies(), Some(&[true, false][..]), "broken, good");
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Sets how many images are in memory at a time, 1 or more.
    ///
    /// # Example
    /// ```
    /// use diabolo::data::ImageStream;
    /// let stream = ImageStream::open("scenes", [3, 32, 32])?.images_per_part(500);
    /// assert_eq!(stream.to_string(), "2000 images, 500 at a time");
    /// assert_eq!((stream.n_images(), stream.count()), (2_000, 4));
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn images_per_part(self, images_per_part: usize) -> Self {
        Self { images_per_part: images_per_part.max(1), ..self }
    }

    /// Leaves parts to other processes: this one reads every `n_processes`-th part, beginning with that of its rank, which is
    /// counted from 0. What others read is passed over unread.
    ///
    /// # Example
    /// ```
    /// use diabolo::data::ImageStream;
    /// let stream = ImageStream::open("scenes", [3, 32, 32])?.images_per_part(600).share(1, 3);
    /// assert_eq!(stream.n_images(), 2000, "of all processes");
    /// let names = stream.map(|part| Ok(part?.names[0].clone())).collect::<diabolo::Result<Vec<_>>>()?;
    /// assert_eq!(names, ["600"], "600..1200; 0..600 and 1800..2000 are the first process's");
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn share(self, rank: usize, n_processes: usize) -> Self {
        Self { n_parts_before: rank, n_parts_between: n_processes.saturating_sub(1), ..self }
    }

    /// All images, those taken already among them.
    pub fn n_images(&self) -> usize {
        self.n_images
    }

    fn read(&mut self, start: usize, end: usize) -> Result<Part> {
        let numbers = || (start..end).map(|index| index.to_string()).collect();
        match &mut self.source {
            Source::Files { folder, files, class_names, shape, options } => {
                let files = Files {
                    paths: files.paths[start..end].to_vec(),
                    classes: files.classes.as_ref().map(|classes| classes[start..end].to_vec()),
                    anomalies: files.anomalies.as_ref().map(|anomalies| anomalies[start..end].to_vec()),
                    ..Files::default()
                };
                let (images, kept) = class_folders::labelled(folder, &files, class_names, *shape, options)?;
                let name = |index: usize| path_text(&files.paths[index]);
                Ok(Part { names: kept.into_iter().map(name).collect(), images })
            }
            Source::Records(batch) => {
                batch.pass_over(start - self.n_taken)?;
                Ok(Part { names: numbers(), images: batch.read_some(end - start)? })
            }
            Source::Whole(images) => Ok(Part { names: numbers(), images: images.select(&Vec::from_iter(start..end))? }),
        }
    }
}

impl Iterator for ImageStream {
    type Item = Result<Part>;

    /// The next part; after an error there is none.
    fn next(&mut self) -> Option<Self::Item> {
        let start = self.n_taken.saturating_add(self.n_parts_before.saturating_mul(self.images_per_part));
        let end = self.n_images.min(start.saturating_add(self.images_per_part));
        (start < end).then(|| {
            let part = self.read(start, end).map_err(lfs::explained);
            self.n_taken = if part.is_ok() { end } else { self.n_images };
            self.n_parts_before = self.n_parts_between;
            part
        })
    }
}

impl fmt::Display for ImageStream {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} images, {} at a time", self.n_images, self.images_per_part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_goes_before_a_folder_of_that_name() {
        assert!(open::is_name(Path::new("scenes")) && open::is_name(Path::new("hw10")));
        assert!(!open::is_name(Path::new("./scenes")));
    }

    #[test]
    fn a_shape_that_no_image_has_is_an_error() {
        for shape in [[2, 32, 32], [0, 32, 32], [3, 0, 32]] {
            let message = ImageStream::open("scenes", shape).unwrap_err().to_string();
            assert!(message.starts_with("setting shape: found ["), "{message}");
        }
    }
}
