//! A set of images: shared pixels, indices of the chosen ones, and labels.

use super::classes::Classes;
use super::floats::{PixelRange, Survey};
use super::pixels::{ImageShape, Pixels, check_shape, in_standard_order};
use super::statistics::{ImageStatistics, statistics_of};
use crate::{Error, Result};
use ndarray::{Array3, Array4, Axis};
use std::fmt;
use std::sync::{Arc, OnceLock};

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

    /// Takes floating-point images whose range is stated.
    ///
    /// Values a hair outside the range, as scaling leaves them, are brought to its ends. Values that all stand for 8-bit
    /// ones (`v / 127.5 - 1` or `v / 255` for whole `v`) are kept as those, in a quarter of the memory. [`Images`] prints
    /// which of the two it holds.
    ///
    /// # Shapes and units
    /// - `pixels`: `[n, c, h, w]` with 1 (grey) or 3 (red, green, blue) channels, in `range`
    ///
    /// # Errors
    /// [`Error::Data`] as for [`Images::from_bytes`], and if a value is not finite or out of `range` by more than a
    /// thousandth.
    ///
    /// # Example
    /// ```
    /// use diabolo::data::{Images, PixelRange};
    /// use diabolo::ndarray::array;
    /// let pixels = array![[[[0.0, 0.25, 1.0]]]];
    /// assert_eq!(Images::from_floats(pixels.clone(), PixelRange::Unit)?.image(0)?, array![[[-1.0, -0.5, 1.0]]]);
    /// assert_eq!(Images::from_floats(pixels, PixelRange::Signed)?.image(0)?, array![[[0.0, 0.25, 1.0]]]);
    ///
    /// let too_large = Images::from_floats(array![[[[0.0, 255.0]]]], PixelRange::Unit);
    /// assert!(too_large.is_err());
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn from_floats(pixels: Array4<f32>, range: PixelRange) -> Result<Self> {
        let (n, c, h, w) = check_shape(pixels.dim())?;
        let mut pixels = in_standard_order(pixels);
        let mut survey = Survey::default();
        survey.add(pixels.as_slice().expect("the array is in standard order"));
        let decision = survey.decide(Some(range)).map_err(|bad| {
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

    /// Takes what a network gave, `[n, c, h, w]`, as it is: without a Tanh at its end, values may leave -1..=1.
    ///
    /// # Errors
    /// [`Error::Data`] if a value is not finite.
    pub(crate) fn from_outputs(pixels: Array4<f32>) -> Result<Self> {
        let n_values = pixels.len() / pixels.dim().0.max(1);
        match pixels.iter().position(|value| !value.is_finite()) {
            None => Ok(Self::from_pixels(Pixels::Floats(in_standard_order(pixels)))),
            Some(index) => Err(Error::data(
                "reconstructing images",
                format!("an output that is not a finite number, first in image {}", index / n_values),
                "finite numbers",
                "the network's weights are not finite: train it anew with a lower learning rate",
            )),
        }
    }

    /// Adds the class of each image. Names are kept in Unicode's composed form (NFC), so that "é" is one class however it
    /// was typed.
    ///
    /// # Errors
    /// [`Error::Data`] if there is not one index per image, an index has no name, or a name comes twice.
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
        Ok(Self { classes: Some(Classes::new(names, indices)?), ..self })
    }

    pub(super) fn classes(&self) -> Option<&Classes> {
        self.classes.as_ref()
    }

    /// The same images with the same classes in another list.
    pub(super) fn relabelled(self, classes: Classes) -> Self {
        Self { classes: Some(classes), ..self }
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
            classes: self.classes.as_ref().map(|classes| classes.select(indices)),
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

    /// Brightness, variance, saturated share and compressed size of each image.
    ///
    /// They are computed once for all images that share their pixels, such as those of all choices of held-out classes.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    ///
    /// # Example
    /// ```
    /// use diabolo::data::Images;
    /// use diabolo::ndarray::array;
    /// let images = Images::from_bytes(array![[[[0, 0]]], [[[255, 255]]]])?;
    /// assert_eq!(images.statistics()?.brightness, [-1.0, 1.0]);
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn statistics(&self) -> Result<ImageStatistics> {
        let all = match self.statistics.get() {
            Some(all) => all,
            None => {
                let all = statistics_of(&self.pixels().to_bytes())?;
                self.statistics.get_or_init(|| all)
            }
        };
        Ok(all.select((0..self.len()).map(|index| self.row(index))))
    }

    /// Colours, size and depth in words.
    pub(super) fn kind(&self) -> String {
        self.pixels.kind()
    }

    /// Number of anomalies; `None` where that is not known.
    pub(super) fn n_anomalies(&self) -> Option<usize> {
        self.anomalies().map(|flags| flags.iter().filter(|&&is_anomaly| is_anomaly).count())
    }

    /// Other pixels of as many images, with the labels of these.
    pub(super) fn with_other_pixels(&self, pixels: Pixels) -> Self {
        Self { classes: self.classes.clone(), anomalies: self.anomalies.clone(), ..Self::from_pixels(pixels) }
    }

    /// Takes pixels whose shape and values were checked.
    pub(crate) fn from_pixels(pixels: Pixels) -> Self {
        Self { pixels: Arc::new(pixels), statistics: Arc::default(), rows: None, classes: None, anomalies: None }
    }

    /// The pixels behind these images, and perhaps behind others too: image `i` is at [`Images::row`]`(i)`.
    pub(crate) fn pixels(&self) -> &Pixels {
        &self.pixels
    }

    /// Row in [`Images::pixels`] of the image at `index`, which must be in range.
    pub(crate) fn row(&self, index: usize) -> usize {
        self.rows.as_ref().map_or(index, |rows| rows[index])
    }

    /// Copies the images at `indices`, which must be in range, into one buffer; one `memcpy` an image.
    pub(crate) fn gather(&self, indices: impl IntoIterator<Item = usize>) -> Pixels {
        self.pixels().gather(indices.into_iter().map(|index| self.row(index)))
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
    fn choosing_shares_the_pixels() {
        let all = counting(5);
        let chosen = all.select(&[1, 3]).unwrap().first(1).unwrap();
        assert!(std::ptr::eq(all.pixels(), chosen.pixels()));
        assert_eq!(chosen.row(0), 1);
    }
}
