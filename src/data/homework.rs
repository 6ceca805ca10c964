//! The homework's files: `train.npy` and `test.npy`, perhaps with `test_labels.npy`.

use super::floats::{Decision, Survey};
use super::images::{Images, Pixels};
use super::npy::{Element, Kind, Npy};
use super::split::Split;
use crate::{Error, Result};
use ndarray::Array4;
use std::path::Path;

const TRAIN_FILE: &str = "train.npy";
const TEST_FILE: &str = "test.npy";
const LABELS_FILE: &str = "test_labels.npy";

/// How many values are read at a time: enough to make the calls cheap, few enough to stay in a processor's cache.
const CHUNK_LEN: usize = 1 << 17;

/// Whether a folder is meant to hold the homework's files.
pub(super) fn is_homework(folder: &Path) -> bool {
    folder.join(TRAIN_FILE).is_file() || folder.join(TEST_FILE).is_file()
}

/// Opens `train.npy` and `test.npy`, `(n, h, w, c)` with 8-bit or floating-point pixels, in either memory order.
///
/// Floating-point files are read twice: first to find their range and whether 8 bits hold them exactly, then into
/// their final place. The second time they come from the operating system's cache, and memory never holds them twice.
pub(super) fn open(folder: &Path) -> Result<Split> {
    let mut train = ImageFile::open(&folder.join(TRAIN_FILE))?;
    let mut test = ImageFile::open(&folder.join(TEST_FILE))?;
    if train.image_shape() != test.image_shape() {
        return Err(Error::format(
            test.npy.path(),
            format!("images of shape {:?}", test.image_shape()),
            format!("{:?} as in {TRAIN_FILE}", train.image_shape()),
            "save training and test images in the same size",
        ));
    }
    let mut source = format!("{TRAIN_FILE} and {TEST_FILE} in {}", folder.display());
    let decision = match (train.survey()?, test.survey()?) {
        (Some(survey), Some(other)) => Some(survey.merge(&other)),
        (survey, other) => survey.or(other),
    }
    .map(|survey| survey.decide().expect("each file was checked by itself"));
    if let Some(decision) = decision {
        source += &format!("; floats taken as {}", decision.range());
        source += if decision.is_8_bit { ", kept as the 8-bit values that they stand for" } else { "" };
    }
    let train_images = Images::from_pixels(train.read(decision)?);
    let mut test_images = Images::from_pixels(test.read(decision)?);

    let labels_path = folder.join(LABELS_FILE);
    if labels_path.is_file() {
        test_images = test_images.with_anomalies(read_labels(&labels_path, test.npy.shape()[0])?)?;
        source += &format!("; anomalies from {LABELS_FILE}");
    } else {
        source += &format!("; no {LABELS_FILE}, so anomalies are not known");
    }
    Ok(Split::new("homework", train_images, test_images)?.with_source(source))
}

/// A `.npy` file whose shape and type are those of images.
struct ImageFile {
    npy: Npy,
}

impl ImageFile {
    fn open(path: &Path) -> Result<Self> {
        let npy = Npy::open(path)?;
        let bad_shape = |next_step: &str| {
            Err(Error::format(
                path,
                format!("shape {}", npy.shape_text()),
                "(n, height, width, channels) with 1 or 3 channels, as (n, 32, 32, 3)",
                next_step.to_string(),
            ))
        };
        let is_channels = |size| size == 1 || size == 3;
        match *npy.shape() {
            [_, c, _, w] if is_channels(c) && !is_channels(w) => {
                return bad_shape("the channels come second: save np.transpose(images, (0, 2, 3, 1))");
            }
            [_, _, _, c] if !is_channels(c) => return bad_shape("keep one channel for grey or three for colour"),
            [0, ..] => return bad_shape("there is no image in it: save at least one"),
            [_, h, w, _] if h * w == 0 => return bad_shape("save images of at least one pixel"),
            [_, _, _, _] => {}
            [_, _, _] => return bad_shape("if the images are grey, save images[..., None]"),
            _ => return bad_shape("reshape it, as in images.reshape(-1, 32, 32, 3)"),
        }
        match npy.element() {
            Element { kind: Kind::Unsigned, n_bytes: 1, .. } | Element { kind: Kind::Float, .. } => Ok(Self { npy }),
            element => Err(Error::format(
                path,
                format!("{}-bit integers", element.n_bytes * 8),
                "8-bit unsigned integers (uint8), float32 or float64",
                "if they are 0..=255, save images.astype(np.uint8)",
            )),
        }
    }

    /// Height, width, channels.
    fn image_shape(&self) -> [usize; 3] {
        let shape = self.npy.shape();
        [shape[1], shape[2], shape[3]]
    }

    /// Looks at all values of a floating-point file; `None` for an 8-bit one.
    fn survey(&mut self) -> Result<Option<Survey>> {
        if self.npy.element().kind != Kind::Float {
            return Ok(None);
        }
        let mut survey = Survey::default();
        self.npy.read_chunks(CHUNK_LEN, Element::floats, |values| survey.add(values))?;
        match survey.decide() {
            Ok(_) => Ok(Some(survey)),
            Err(bad) => {
                let (n, n_values) = (self.npy.shape()[0], self.image_shape().iter().product::<usize>());
                let is_fortran_order = self.npy.is_fortran_order();
                let image_of = |element| if is_fortran_order { element % n } else { element / n_values };
                let (found, wanted, next_step) = bad.into_parts(image_of);
                Err(Error::format(self.npy.path(), found, wanted, next_step))
            }
        }
    }

    /// Reads all pixels into `[n, c, h, w]`; `decision` says what floating-point values mean.
    fn read(&mut self, decision: Option<Decision>) -> Result<Pixels> {
        match decision.filter(|_| self.npy.element().kind == Kind::Float) {
            None => Ok(Pixels::Bytes(self.fill(Element::bytes, |byte| byte)?)),
            Some(decision) if decision.is_8_bit => {
                Ok(Pixels::Bytes(self.fill(Element::floats, |value| decision.to_byte(value))?))
            }
            Some(decision) => Ok(Pixels::Floats(self.fill(Element::floats, |value| decision.to_signed(value))?)),
        }
    }

    /// Reads `(n, h, w, c)` in file order and puts each value at its place in `[n, c, h, w]`.
    fn fill<T: Copy, U: Copy + Default>(
        &mut self,
        decode: impl Fn(Element, &[u8], &mut Vec<T>),
        convert: impl Fn(T) -> U,
    ) -> Result<Array4<U>> {
        let n = self.npy.shape()[0];
        let [h, w, c] = self.image_shape();
        let n_values = c * h * w;
        let mut pixels = vec![U::default(); n * n_values];
        if self.npy.is_fortran_order() {
            // The image index runs fastest: one chunk holds one value of every image.
            let mut index = 0;
            self.npy.read_chunks(n, decode, |plane| {
                let (row, column, channel) = (index % h, index / h % w, index / (h * w));
                let place = (channel * h + row) * w + column;
                pixels[place..].iter_mut().step_by(n_values).zip(plane).for_each(|(to, &value)| *to = convert(value));
                index += 1;
            })?;
        } else {
            let mut images = pixels.chunks_exact_mut(n_values);
            self.npy.read_chunks((CHUNK_LEN / n_values).max(1) * n_values, decode, |chunk| {
                for (from, to) in chunk.chunks_exact(n_values).zip(&mut images) {
                    for (channel, plane) in to.chunks_exact_mut(h * w).enumerate() {
                        let values = from[channel..].iter().step_by(c);
                        plane.iter_mut().zip(values).for_each(|(to, &value)| *to = convert(value));
                    }
                }
            })?;
        }
        Ok(Array4::from_shape_vec((n, c, h, w), pixels).expect("the buffer has the size of the shape"))
    }
}

/// Reads one label per test image: 1 (or true) for an anomaly, 0 for none.
fn read_labels(path: &Path, n_images: usize) -> Result<Vec<bool>> {
    let mut npy = Npy::open(path)?;
    let bad = |found: String, next_step: &str| {
        let wanted = format!("{n_images} labels of 0 or 1, one per image of {TEST_FILE}");
        Err(Error::format(path, found, wanted, next_step.to_string()))
    };
    if !matches!(*npy.shape(), [n] | [n, 1] if n == n_images) {
        return bad(format!("shape {}", npy.shape_text()), "save the labels in the order of the test images");
    }
    let mut labels = Vec::with_capacity(n_images);
    npy.read_chunks(CHUNK_LEN, Element::numbers, |values| labels.extend_from_slice(values))?;
    match labels.iter().position(|&label| label != 0.0 && label != 1.0) {
        Some(index) => {
            bad(format!("label {} for image {index}", labels[index]), "save 1 for an anomaly and 0 for none")
        }
        None => Ok(labels.into_iter().map(|label| label == 1.0).collect()),
    }
}
