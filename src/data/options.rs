//! Options of `open_with`: sizes, the random split, and limits.

use super::drawing::{check_test_share, share_of};
use super::floats::PixelRange;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// The settings of [`open_with`](super::open_with), as a plain value.
///
/// The limits are for files that are not what they seem: an archive of a few kilobytes can unpack to terabytes, and so
/// can one picture. A message about a limit names the field that raises it.
///
/// # Example
/// ```
/// use diabolo::data::{OpenOptions, open_with};
/// # let folder = tempfile::tempdir().unwrap();
/// # let photographs = folder.path();
/// # let picture = diabolo::figure::picture(&diabolo::ndarray::Array3::zeros((3, 30, 40)), 1, "grey")?;
/// # (0..10).try_for_each(|n| picture.save(photographs.join(format!("{n}.png"))))?;
/// // A folder of ten photographs.
/// let data = open_with(photographs, OpenOptions::default().size_px(16).test_share(0.3).seed(7))?;
/// assert_eq!(data.train().shape(), [3, 16, 16]);
/// assert_eq!((data.train().len(), data.test().len()), (7, 3));
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OpenOptions {
    /// Side of the square that every image is brought to, in pixels: scaled until it just covers the square and cropped
    /// around its centre. Default: images stay as they are; image files of several sizes, or of sides above
    /// [`OpenOptions::LARGEST_OWN_SIDE_PX`], become 32 x 32 as CIFAR-10's are.
    pub size_px: Option<usize>,
    /// Share of every class that is drawn for testing where a source has no test images of its own, above 0 and below
    /// 1. Default 0.2: a fifth.
    pub test_share: f64,
    /// What the draw of test images follows from. Default 0.
    pub seed: u64,
    /// What floating-point pixels of arrays stand for. Default: it follows from their values: -1..=1 where there are
    /// negative ones, else 0..=1.
    pub pixel_range: Option<PixelRange>,
    /// Whether image files that cannot be read are passed over. Default no: they are an error that names them, since what
    /// is left out changes results. The number of those passed over is in [`Split::origin`](super::Split::origin).
    pub skip_broken: bool,
    /// The most image files of one folder. Default a million.
    pub max_images: usize,
    /// The most pixels of one image file. Default 100 million, twice what most cameras take.
    pub max_pixels_per_image: usize,
    /// The most bytes that an archive may unpack to, and that the images of a folder may take in memory. Default 4 GiB:
    /// Fashion-MNIST takes 55 MB, CIFAR-10 180 MB.
    pub max_unpacked_bytes: u64,
    /// Which of how many shares of the images to open, as `(rank, n_processes)`; of a folder of image files no others are
    /// read. Default: all images.
    #[serde(skip)]
    pub share: Option<(usize, usize)>,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            size_px: None,
            test_share: 0.2,
            seed: 0,
            pixel_range: None,
            skip_broken: false,
            max_images: 1_000_000,
            max_pixels_per_image: 100_000_000,
            max_unpacked_bytes: 4 << 30,
            share: None,
        }
    }
}

impl OpenOptions {
    /// The longest side at which image files that are all of one size keep it, in pixels.
    ///
    /// # Example
    /// ```
    /// assert_eq!(diabolo::data::OpenOptions::LARGEST_OWN_SIDE_PX, 128);
    /// ```
    pub const LARGEST_OWN_SIDE_PX: usize = 128;

    /// The longest side that images can be brought to, in pixels: beyond it an autoencoder's first layers no longer fit
    /// into any memory.
    ///
    /// # Example
    /// ```
    /// assert_eq!(diabolo::data::OpenOptions::LARGEST_SIDE_PX, 4096);
    /// ```
    pub const LARGEST_SIDE_PX: usize = 4096;

    /// Sets the side of the square that every image is brought to, in pixels.
    pub fn size_px(self, size_px: usize) -> Self {
        Self { size_px: Some(size_px), ..self }
    }

    /// Sets the share of every class that is drawn for testing, above 0 and below 1.
    pub fn test_share(self, test_share: f64) -> Self {
        Self { test_share, ..self }
    }

    /// Sets what the draw of test images follows from.
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Sets whether image files that cannot be read are passed over.
    ///
    /// # Example
    /// ```
    /// use diabolo::data::{OpenOptions, open_with};
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let photographs = folder.path();
    /// # let picture = diabolo::figure::picture(&diabolo::ndarray::Array3::zeros((3, 8, 8)), 1, "grey")?;
    /// # (0..5).try_for_each(|n| picture.save(photographs.join(format!("{n}.png"))))?;
    /// # std::fs::write(photographs.join("5.png"), "half a picture").unwrap();
    /// // A folder of six photographs, of which one is damaged.
    /// assert!(open_with(photographs, OpenOptions::default()).is_err());
    /// let data = open_with(photographs, OpenOptions::default().skip_broken(true))?;
    /// assert_eq!(data.train().len() + data.test().len(), 5);
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn skip_broken(self, skip_broken: bool) -> Self {
        Self { skip_broken, ..self }
    }

    /// States what floating-point pixels of arrays stand for.
    ///
    /// # Example
    /// ```
    /// use diabolo::data::{OpenOptions, PixelRange};
    /// let options = OpenOptions::default().pixel_range(PixelRange::Signed);
    /// assert_eq!(options.pixel_range, Some(PixelRange::Signed));
    /// ```
    pub fn pixel_range(self, pixel_range: PixelRange) -> Self {
        Self { pixel_range: Some(pixel_range), ..self }
    }

    /// Opens only this process's share of the images, those to train on and those to test on, for more images than one
    /// memory. They are dealt out after shuffling, always in the same way; ranks count from 0.
    ///
    /// # Example
    /// ```
    /// use diabolo::data::{OpenOptions, open_with};
    /// let share = |rank| open_with("scenes", OpenOptions::default().share(rank, 3));
    /// let n_images = [share(0)?, share(1)?, share(2)?].map(|share| share.train().len());
    /// assert_eq!(n_images, [2667, 2667, 2666], "8,000 in all");
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn share(self, rank: usize, n_processes: usize) -> Self {
        Self { share: Some((rank, n_processes)), ..self }
    }

    /// The indices of the share of so many images.
    pub(super) fn indices_of(&self, n_images: usize) -> Vec<usize> {
        match self.share {
            None => (0..n_images).collect(),
            Some((rank, n_processes)) => share_of(n_images, rank, n_processes),
        }
    }

    /// Checks every field's range.
    pub(super) fn check(&self) -> Result<()> {
        match self.size_px {
            Some(side) if !(1..=Self::LARGEST_SIDE_PX).contains(&side) => {
                let wanted = format!("1 to {} pixels", Self::LARGEST_SIDE_PX);
                return Err(Error::setting("size_px", side.to_string(), wanted, "32 and 64 are usual"));
            }
            _ => {}
        }
        if let Some((rank, n_processes)) = self.share.filter(|(rank, n_processes)| rank >= n_processes) {
            let wanted = "a rank below the number of processes";
            return Err(Error::setting("share", format!("{rank} of {n_processes}"), wanted, "ranks count from 0"));
        }
        check_test_share(self.test_share)
    }
}
