//! A set of images: shared pixels, indices of the chosen ones, and labels.

use super::floats::Survey;
use super::photographs;
use super::statistics::ImageStatistics;
use crate::{Error, Result, interrupt, memory};
use image::{DynamicImage, GrayImage, Rgb32FImage};
use ndarray::{Array3, Array4, Axis};
use rayon::prelude::*;
use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// Channels, height in pixels, width in pixels.
///
/// # Example
/// ```
/// use diabolo::data::{ImageShape, Images};
/// let images = Images::from_bytes(diabolo::ndarray::Array4::zeros((5, 3, 20, 30)))?;
/// let [channels, height_px, width_px]: ImageShape = images.shape();
/// assert_eq!((channels, height_px, width_px), (3, 20, 30));
/// # Ok::<(), diabolo::Error>(())
/// ```
pub type ImageShape = [usize; 3];

/// Images, with class labels and anomaly labels where they are known; never empty.
///
/// Choosing images ([`Images::select`], [`Images::first`], [`Split::hold_out`](super::Split::hold_out)) and cloning
/// copy no pixels: all share them.
///
/// # Example
/// ```
/// use diabolo::data::Images;
/// let images = Images::from_bytes(diabolo::ndarray::Array4::zeros((10, 1, 28, 28)))?
///     .with_classes(&["boot", "shirt"], vec![0, 1, 0, 1, 0, 1, 0, 1, 0, 1])?;
/// assert_eq!(images.to_string(), "10 images, grey, 28 x 28 pixels, 8-bit, 2 classes");
/// assert_eq!((images.len(), images.is_empty(), images.shape()), (10, false, [1, 28, 28]));
/// assert_eq!(images.class_names().unwrap(), ["boot", "shirt"]);
/// assert_eq!(images.select(&[1, 3, 5])?.class_indices(), Some(&[1, 1, 1][..]));
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Images {
    pixels: Arc<Pixels>,
    /// Numbers about the stored pixels, once somebody has asked.
    statistics: Arc<OnceLock<ImageStatistics>>,
    /// Row of `pixels` of each image; `None` for all rows in order.
    rows: Option<Arc<[usize]>>,
    classes: Option<Classes>,
    anomalies: Option<Arc<[bool]>>,
}

/// The class of each image.
#[derive(Debug, Clone)]
struct Classes {
    names: Arc<[String]>,
    indices: Arc<[usize]>,
}

/// Stored pixels, `[n, c, h, w]`, contiguous in this order.
#[derive(Debug)]
pub(crate) enum Pixels {
    /// 8-bit, 0..=255.
    Bytes(Array4<u8>),
    /// Already in -1..=1.
    Floats(Array4<f32>),
}

impl Images {
    /// Takes 8-bit images.
    ///
    /// # Shapes and units
    /// - `pixels`: `[n, c, h, w]` with 1 (grey) or 3 (red, green, blue) channels, 0..=255
    ///
    /// # Errors
    /// [`Error::Data`] if there is no image, no pixel, or another number of channels; `[n, h, w, c]` is recognised.
    ///
    /// # Example
    /// ```
    /// use diabolo::data::Images;
    /// use diabolo::ndarray::{Array4, array};
    /// let images = Images::from_bytes(array![[[[0, 255]]]])?;
    /// assert_eq!(images.image(0)?, array![[[-1.0, 1.0]]]);
    ///
    /// let height_first = Images::from_bytes(Array4::zeros((10, 32, 32, 3))).unwrap_err().to_string();
    /// assert!(height_first.contains("permuted_axes"), "{height_first}");
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn from_bytes(pixels: Array4<u8>) -> Result<Self> {
        check_shape(pixels.dim())?;
        Ok(Self::from_pixels(Pixels::Bytes(in_standard_order(pixels))))
    }

    /// Takes floating-point images.
    ///
    /// Values below zero mean that the range is -1..=1; without any, it is 0..=1 and is stretched to -1..=1. Values that
    /// are all of the form `v / 127.5 - 1` (or `v / 255`) for whole `v` are kept as the 8-bit `v`, in a quarter of the
    /// memory. [`Images`] prints which of the two it holds.
    ///
    /// # Shapes and units
    /// - `pixels`: `[n, c, h, w]` with 1 or 3 channels, -1..=1 or 0..=1
    ///
    /// # Errors
    /// [`Error::Data`] as for [`Images::from_bytes`], and if a value is not finite or is out of range.
    ///
    /// # Example
    /// ```
    /// use diabolo::data::Images;
    /// use diabolo::ndarray::array;
    /// let images = Images::from_floats(array![[[[0.0, 0.25, 1.0]]]])?;
    /// assert_eq!(images.image(0)?, array![[[-1.0, -0.5, 1.0]]]);
    ///
    /// let too_large = Images::from_floats(array![[[[0.0, 255.0]]]]);
    /// assert!(too_large.is_err());
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn from_floats(pixels: Array4<f32>) -> Result<Self> {
        let (n, c, h, w) = check_shape(pixels.dim())?;
        let mut pixels = in_standard_order(pixels);
        let mut survey = Survey::default();
        survey.add(pixels.as_slice().expect("the array is in standard order"));
        let decision = survey.decide().map_err(|bad| {
            let (found, wanted, next_step) = bad.into_parts(|element| element / (c * h * w));
            Error::data("taking images from floats", found, wanted, next_step)
        })?;
        if decision.is_8_bit {
            let bytes = pixels.iter().map(|&value| decision.to_byte(value)).collect();
            return Ok(Self::from_pixels(Pixels::Bytes(
                Array4::from_shape_vec((n, c, h, w), bytes).expect("one byte was made of each float"),
            )));
        }
        pixels.mapv_inplace(|value| decision.to_signed(value));
        Ok(Self::from_pixels(Pixels::Floats(pixels)))
    }

    /// Adds the class of each image.
    ///
    /// # Errors
    /// [`Error::Data`] if there is not one index per image, or an index has no name.
    ///
    /// # Example
    /// ```
    /// use diabolo::data::Images;
    /// let images = Images::from_bytes(diabolo::ndarray::Array4::zeros((3, 1, 8, 8)))?;
    /// let labelled = images.clone().with_classes(&["boot", "shirt"], vec![0, 0, 1])?;
    /// assert_eq!(labelled.class_of(2), Some("shirt"));
    /// assert!(images.with_classes(&["boot"], vec![0, 0, 1]).is_err());
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn with_classes(self, names: &[&str], indices: Vec<usize>) -> Result<Self> {
        self.check_one_each("class indices", indices.len())?;
        if let Some(index) = indices.iter().find(|&&index| index >= names.len()) {
            return Err(Error::data(
                "labelling images with classes",
                format!("class index {index}"),
                format!("0..{}, one of the {} names", names.len(), names.len()),
                "give a name to every class",
            ));
        }
        let names = names.iter().map(|name| name.to_string()).collect();
        Ok(Self { classes: Some(Classes { names, indices: indices.into() }), ..self })
    }

    /// Adds, for each image, whether it is an anomaly.
    ///
    /// # Errors
    /// [`Error::Data`] if there is not one label per image.
    ///
    /// # Example
    /// ```
    /// use diabolo::data::Images;
    /// let images = Images::from_bytes(diabolo::ndarray::Array4::zeros((3, 1, 8, 8)))?;
    /// let labelled = images.clone().with_anomalies(vec![false, true, false])?;
    /// assert_eq!(labelled.anomalies(), Some(&[false, true, false][..]));
    /// assert!(images.with_anomalies(vec![true]).is_err());
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn with_anomalies(self, anomalies: Vec<bool>) -> Result<Self> {
        self.check_one_each("anomaly labels", anomalies.len())?;
        Ok(Self { anomalies: Some(anomalies.into()), ..self })
    }

    /// Number of images, at least one.
    pub fn len(&self) -> usize {
        self.rows.as_ref().map_or_else(|| self.pixels.n_images(), |rows| rows.len())
    }

    /// Always `false`: a set of images holds at least one.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Shape of one image.
    pub fn shape(&self) -> ImageShape {
        self.pixels.image_shape()
    }

    /// The images at `indices`, in that order, with their labels; an index may come twice. Copies no pixels.
    ///
    /// # Errors
    /// [`Error::Data`] if an index is out of range, or there is none.
    ///
    /// # Example
    /// ```
    /// use diabolo::data::Images;
    /// use diabolo::ndarray::array;
    /// let images = Images::from_bytes(array![[[[10]]], [[[20]]], [[[30]]]])?;
    /// let chosen = images.select(&[2, 0, 2])?;
    /// assert_eq!((chosen.len(), chosen.image(0)?), (3, images.image(2)?));
    /// assert!(images.select(&[3]).is_err());
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn select(&self, indices: &[usize]) -> Result<Self> {
        if indices.is_empty() {
            return Err(Error::data("choosing images", "no index", "at least one", "choose at least one image"));
        }
        indices.iter().try_for_each(|&index| self.check_index(index))?;
        Ok(Self {
            pixels: Arc::clone(&self.pixels),
            statistics: Arc::clone(&self.statistics),
            rows: Some(indices.iter().map(|&index| self.row(index)).collect()),
            classes: self.classes.as_ref().map(|classes| Classes {
                names: Arc::clone(&classes.names),
                indices: indices.iter().map(|&index| classes.indices[index]).collect(),
            }),
            anomalies: self.anomalies.as_ref().map(|flags| indices.iter().map(|&index| flags[index]).collect()),
        })
    }

    /// The first `n` images, or all if there are fewer. Copies no pixels.
    ///
    /// # Errors
    /// [`Error::Data`] if `n` is zero.
    ///
    /// # Example
    /// ```
    /// use diabolo::data::Images;
    /// let images = Images::from_bytes(diabolo::ndarray::Array4::zeros((5, 1, 8, 8)))?;
    /// assert_eq!((images.first(2)?.len(), images.first(100)?.len()), (2, 5));
    /// assert!(images.first(0).is_err());
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn first(&self, n: usize) -> Result<Self> {
        if n >= self.len() { Ok(self.clone()) } else { self.select(&Vec::from_iter(0..n)) }
    }

    /// The same images, each scaled until it just covers a square of `side_px` and cropped around its centre.
    pub(super) fn resized(&self, side_px: usize) -> Result<Self> {
        let [c, h, w] = self.shape();
        if [h, w] == [side_px; 2] {
            return Ok(self.clone());
        }
        let size = (self.len(), c, side_px, side_px);
        let bytes_per_value = if matches!(self.pixels(), Pixels::Bytes(_)) { 1 } else { 4 };
        let n_bytes = memory::bytes_of(&[self.len(), c, side_px, side_px, bytes_per_value]);
        memory::check("scaling images", n_bytes, "choose a smaller OpenOptions::size_px, or open fewer images")?;
        let reshape = "every plane was brought to the size";
        let pixels = match self.gather(0..self.len()) {
            Pixels::Bytes(pixels) => {
                let planes = resize_planes(&pixels, side_px, |plane| {
                    let plane = GrayImage::from_raw(w as u32, h as u32, plane.to_vec()).expect("planes are h x w");
                    photographs::fit(DynamicImage::ImageLuma8(plane), [side_px; 2]).into_luma8().into_raw()
                })?;
                Pixels::Bytes(Array4::from_shape_vec(size, planes).expect(reshape))
            }
            Pixels::Floats(pixels) => {
                let planes = resize_planes(&pixels, side_px, |plane| {
                    // Floating-point pictures of the library are in 0..=1, three colours to a pixel.
                    let values = plane.iter().flat_map(|value| [(value + 1.0) / 2.0; 3]).collect();
                    let plane = Rgb32FImage::from_raw(w as u32, h as u32, values).expect("planes are h x w");
                    let fitted = photographs::fit(DynamicImage::ImageRgb32F(plane), [side_px; 2]).into_rgb32f();
                    fitted.into_raw().iter().step_by(3).map(|value| value * 2.0 - 1.0).collect()
                })?;
                Pixels::Floats(Array4::from_shape_vec(size, planes).expect(reshape))
            }
        };
        Ok(Self { classes: self.classes.clone(), anomalies: self.anomalies.clone(), ..Self::from_pixels(pixels) })
    }

    /// One image, `[c, h, w]`, in -1..=1.
    ///
    /// # Errors
    /// [`Error::Data`] if `index` is out of range.
    ///
    /// # Example
    /// ```
    /// use diabolo::data::Images;
    /// use diabolo::ndarray::array;
    /// let images = Images::from_bytes(array![[[[0, 255]]], [[[255, 0]]]])?;
    /// assert_eq!(images.image(1)?, array![[[1.0, -1.0]]]);
    /// assert!(images.image(2).is_err());
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn image(&self, index: usize) -> Result<Array3<f32>> {
        self.check_index(index)?;
        Ok(self.gather([index]).into_floats().index_axis_move(Axis(0), 0))
    }

    /// The images one by one, `[c, h, w]` in -1..=1, each as [`Images::image`] gives it.
    ///
    /// # Example
    /// ```
    /// use diabolo::data::Images;
    /// use diabolo::ndarray::array;
    /// let images = Images::from_bytes(array![[[[0]]], [[[255]]]])?;
    /// let pixels: Vec<f32> = images.iter().map(|image| image[[0, 0, 0]]).collect();
    /// assert_eq!(pixels, [-1.0, 1.0]);
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = Array3<f32>> + '_ {
        (0..self.len()).map(|index| self.gather([index]).into_floats().index_axis_move(Axis(0), 0))
    }

    /// All images in one array, `[n, c, h, w]`, in -1..=1: four bytes a pixel.
    ///
    /// # Example
    /// ```
    /// use diabolo::data::Images;
    /// let images = Images::from_bytes(diabolo::ndarray::Array4::zeros((2, 1, 8, 8)))?;
    /// let pixels = images.to_array();
    /// assert_eq!((pixels.dim(), pixels[[1, 0, 7, 7]]), ((2, 1, 8, 8), -1.0));
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn to_array(&self) -> Array4<f32> {
        self.gather(0..self.len()).into_floats()
    }

    /// For each image, whether it is an anomaly; `None` where that is not known.
    ///
    /// # Example
    /// ```
    /// use diabolo::data::Images;
    /// let images = Images::from_bytes(diabolo::ndarray::Array4::zeros((2, 1, 8, 8)))?;
    /// assert_eq!(images.anomalies(), None);
    /// assert_eq!(images.with_anomalies(vec![true, false])?.anomalies(), Some(&[true, false][..]));
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn anomalies(&self) -> Option<&[bool]> {
        self.anomalies.as_deref()
    }

    /// For each image, the index of its class in [`Images::class_names`]; `None` where classes are not known.
    pub fn class_indices(&self) -> Option<&[usize]> {
        self.classes.as_ref().map(|classes| &*classes.indices)
    }

    /// Names of all classes of the data set, held out or not; `None` where classes are not known.
    pub fn class_names(&self) -> Option<&[String]> {
        self.classes.as_ref().map(|classes| &*classes.names)
    }

    /// Name of the class of the image at `index`; `None` where classes are not known or `index` is out of range.
    ///
    /// # Example
    /// ```
    /// use diabolo::data::Images;
    /// let images = Images::from_bytes(diabolo::ndarray::Array4::zeros((2, 1, 8, 8)))?;
    /// assert_eq!(images.class_of(0), None);
    /// let labelled = images.with_classes(&["boot", "shirt"], vec![1, 0])?;
    /// assert_eq!((labelled.class_of(0), labelled.class_of(2)), (Some("shirt"), None));
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn class_of(&self, index: usize) -> Option<&str> {
        let classes = self.classes.as_ref()?;
        Some(&classes.names[*classes.indices.get(index)?])
    }

    /// Colours, size and depth in words.
    pub(super) fn kind(&self) -> String {
        let [channels, height_px, width_px] = self.shape();
        let colours = if channels == 1 { "grey" } else { "colour" };
        let depth = match self.pixels() {
            Pixels::Bytes(_) => "8-bit",
            Pixels::Floats(_) => "32-bit float",
        };
        format!("{colours}, {width_px} x {height_px} pixels, {depth}")
    }

    /// Number of anomalies; `None` where that is not known.
    pub(super) fn n_anomalies(&self) -> Option<usize> {
        self.anomalies().map(|flags| flags.iter().filter(|&&is_anomaly| is_anomaly).count())
    }

    /// Takes pixels whose shape and values were checked.
    pub(crate) fn from_pixels(pixels: Pixels) -> Self {
        Self { pixels: Arc::new(pixels), statistics: Arc::default(), rows: None, classes: None, anomalies: None }
    }

    /// The pixels behind these images, and perhaps behind others too: image `i` is at [`Images::row`]`(i)`.
    pub(crate) fn pixels(&self) -> &Pixels {
        &self.pixels
    }

    /// Numbers about [`Images::pixels`], one for each of its rows.
    pub(super) fn statistics_of_pixels(&self) -> &OnceLock<ImageStatistics> {
        &self.statistics
    }

    /// Row in [`Images::pixels`] of the image at `index`, which must be in range.
    pub(crate) fn row(&self, index: usize) -> usize {
        self.rows.as_ref().map_or(index, |rows| rows[index])
    }

    /// Copies the images at `indices`, which must be in range, into one buffer; one `memcpy` an image.
    pub(crate) fn gather(&self, indices: impl IntoIterator<Item = usize>) -> Pixels {
        let rows = indices.into_iter().map(|index| self.row(index));
        match self.pixels() {
            Pixels::Bytes(pixels) => Pixels::Bytes(gather_rows(pixels, rows)),
            Pixels::Floats(pixels) => Pixels::Floats(gather_rows(pixels, rows)),
        }
    }

    fn check_index(&self, index: usize) -> Result<()> {
        if index < self.len() {
            return Ok(());
        }
        Err(Error::data(
            "choosing images",
            format!("index {index}"),
            format!("0..{}", self.len()),
            "choose an index below the number of images",
        ))
    }

    fn check_one_each(&self, what: &str, n_labels: usize) -> Result<()> {
        if n_labels == self.len() {
            return Ok(());
        }
        Err(Error::data(
            "labelling images",
            format!("{n_labels} {what}"),
            format!("{}, one per image", self.len()),
            "give every image one label, in the order of the images",
        ))
    }
}

impl fmt::Display for Images {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "{} images, {}", self.len(), self.kind())?;
        if let Some(names) = self.class_names() {
            write!(formatter, ", {} classes", names.len())?;
        }
        if let Some(n_anomalies) = self.n_anomalies() {
            write!(formatter, ", {n_anomalies} anomalies")?;
        }
        Ok(())
    }
}

impl Pixels {
    fn n_images(&self) -> usize {
        match self {
            Self::Bytes(pixels) => pixels.dim().0,
            Self::Floats(pixels) => pixels.dim().0,
        }
    }

    fn image_shape(&self) -> ImageShape {
        let (_, c, h, w) = match self {
            Self::Bytes(pixels) => pixels.dim(),
            Self::Floats(pixels) => pixels.dim(),
        };
        [c, h, w]
    }

    /// All images with 8 bits a value.
    pub(super) fn to_bytes(&self) -> Cow<'_, Array4<u8>> {
        match self {
            Self::Bytes(pixels) => Cow::Borrowed(pixels),
            Self::Floats(pixels) => Cow::Owned(pixels.mapv(|value| ((value + 1.0) * 127.5).round() as u8)),
        }
    }

    fn into_floats(self) -> Array4<f32> {
        match self {
            Self::Bytes(pixels) => pixels.mapv(|value| f32::from(value) / 127.5 - 1.0),
            Self::Floats(pixels) => pixels,
        }
    }
}

/// Checks `[n, c, h, w]` and returns it.
fn check_shape((n, c, h, w): (usize, usize, usize, usize)) -> Result<(usize, usize, usize, usize)> {
    let found = format!("shape [{n}, {c}, {h}, {w}]");
    let wanted = "[n, c, h, w] with 1 or 3 channels c";
    let is_channels = |size| size == 1 || size == 3;
    let next_step = if n == 0 {
        "give at least one image"
    } else if !is_channels(c) && is_channels(w) {
        "this looks like [n, h, w, c]: reorder it with array.permuted_axes([0, 3, 1, 2])"
    } else if !is_channels(c) {
        "keep one channel for grey or three for colour"
    } else if h * w == 0 {
        "give images of at least one pixel"
    } else {
        return Ok((n, c, h, w));
    };
    Err(Error::data("taking images from an array", found, wanted, next_step))
}

/// The same array, contiguous in the order of its axes; copied only if it is not so yet.
fn in_standard_order<T: Copy>(array: Array4<T>) -> Array4<T> {
    if array.is_standard_layout() { array } else { array.as_standard_layout().into_owned() }
}

/// Changes every plane of `[n, c, h, w]`, into one buffer.
fn resize_planes<T: Copy + Default + Send + Sync>(
    pixels: &Array4<T>,
    side_px: usize,
    resize: impl Fn(&[T]) -> Vec<T> + Sync,
) -> Result<Vec<T>> {
    let (n, c, h, w) = pixels.dim();
    let planes = pixels.as_slice().expect("pixels are stored in standard order").par_chunks_exact(h * w);
    let mut resized = vec![T::default(); n * c * side_px * side_px];
    resized.par_chunks_exact_mut(side_px * side_px).zip(planes).try_for_each(|(place, plane)| {
        interrupt::check("scaling images")?;
        place.copy_from_slice(&resize(plane));
        Ok(())
    })?;
    Ok(resized)
}

fn gather_rows<T: Copy>(pixels: &Array4<T>, rows: impl Iterator<Item = usize>) -> Array4<T> {
    let (_, c, h, w) = pixels.dim();
    let source = pixels.as_slice().expect("pixels are stored in standard order");
    let n_values = c * h * w;
    let mut gathered = Vec::with_capacity(rows.size_hint().0 * n_values);
    for row in rows {
        gathered.extend_from_slice(&source[row * n_values..][..n_values]);
    }
    Array4::from_shape_vec((gathered.len() / n_values, c, h, w), gathered).expect("whole images were copied")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array;

    fn counting(n: usize) -> Images {
        let pixels = Array::from_shape_fn((n, 1, 2, 2), |(image, _, row, column)| (image * 4 + row * 2 + column) as u8);
        Images::from_bytes(pixels).unwrap()
    }

    #[test]
    fn gathering_follows_the_selection() {
        let chosen = counting(5).select(&[4, 0, 2]).unwrap();
        let Pixels::Bytes(gathered) = chosen.gather(1..3) else { panic!("8-bit images became floats") };
        assert_eq!(gathered.into_raw_vec_and_offset().0, [0, 1, 2, 3, 8, 9, 10, 11]);
    }

    #[test]
    fn resizing_weighs_bytes_and_floats_alike_and_keeps_labels() {
        let halves =
            |high: f32| Array4::from_shape_fn((3, 1, 4, 8), |(.., column)| if column < 4 { -high } else { high });
        let bytes = Images::from_floats(halves(1.0)).unwrap().with_anomalies(vec![true, false, true]).unwrap();
        let floats = Images::from_floats(halves(0.3)).unwrap();
        for (images, high) in [(bytes.select(&[2, 0]).unwrap(), 1.0), (floats, 0.3)] {
            let resized = images.resized(2).unwrap();
            assert_eq!((resized.shape(), resized.len()), ([1, 2, 2], images.len()));
            assert_eq!(resized.anomalies(), images.anomalies());
            // A triangle of four pixels' width weighs the columns by 0.75, 0.75 and, beyond the edge, 0.25.
            let edge = high * (0.75 + 0.75 - 0.25) / (0.75 + 0.75 + 0.25);
            let (first, wanted) = (resized.image(0).unwrap(), [-edge, edge, -edge, edge]);
            assert!(first.iter().zip(wanted).all(|(pixel, wanted)| (pixel - wanted).abs() < 0.5 / 127.5), "{first}");
        }
    }

    #[test]
    fn choosing_shares_the_pixels() {
        let all = counting(5);
        let chosen = all.select(&[1, 3]).unwrap().first(1).unwrap();
        assert!(std::ptr::eq(all.pixels(), chosen.pixels()));
        assert_eq!(chosen.row(0), 1);
    }
}
