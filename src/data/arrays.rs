//! NumPy's arrays of images and of labels, from `.npy` files or from members of an `.npz` archive.

use super::floats::{BadValues, Decision, PixelRange, Survey};
use super::images::Images;
use super::npy::{Element, Kind, Npy};
use super::options::OpenOptions;
use super::pixels::Pixels;
use crate::{Error, Result};
use ndarray::Array4;
use std::collections::BTreeSet;

/// How many values are read at a time: enough to make the calls cheap, few enough to stay in a processor's cache.
const CHUNK_LEN: usize = 1 << 17;

/// Reads arrays of one data set; also says what was decided about them.
///
/// Arrays of anything but 8-bit numbers are read twice: first to find their range and whether 8 bits hold them exactly,
/// then into their final place. The second time files come from the operating system's cache, and memory never holds
/// them twice.
///
/// # Errors
/// [`Error::Format`] if arrays differ in the shape of their images, hold no pixels, or leave the range that `options`
/// state.
pub(super) fn read_images<const N: usize>(
    mut arrays: [ImageArray; N],
    options: &OpenOptions,
) -> Result<([Images; N], String)> {
    for array in &arrays[1..] {
        if array.image_shape() != arrays[0].image_shape() {
            let first = arrays[0].npy.path().file_name().unwrap_or_default().to_string_lossy();
            return Err(Error::format(
                array.npy.path(),
                format!("images of shape {:?}", array.image_shape()),
                format!("{:?} as in {first}", arrays[0].image_shape()),
                "save training and test images in the same size",
            ));
        }
    }
    let mut survey: Option<Survey> = None;
    for array in &mut arrays {
        survey = match (survey, array.survey(options.pixel_range)?) {
            (Some(survey), Some(other)) => Some(survey.merge(&other)),
            (survey, other) => survey.or(other),
        };
    }
    let decision = survey.map(|survey| survey.decide(options.pixel_range)).transpose();
    let decision = decision.map_err(|bad| arrays[0].bad_values(bad))?;
    let mut note = decision.map_or(String::new(), |decision| {
        let hair = if decision.is_clipped { ", those a hair outside clipped" } else { "" };
        let depth = if decision.is_8_bit { ", kept as the 8-bit values that they stand for" } else { "" };
        format!("; floats taken as {}{hair}{depth}", decision.range.words())
    });
    if arrays.iter().any(|array| array.layout == Layout::ChannelsFirst) {
        note += "; channels are the second axis";
    }
    if arrays.iter().any(|array| array.npy.element().kind == Kind::Bool) {
        note += "; False is black, True is white";
    }
    let mut images = Vec::with_capacity(N);
    for array in &mut arrays {
        images.push(Images::from_pixels(array.read(decision)?));
    }
    Ok((<[Images; N]>::try_from(images).expect("one set was read of each array"), note))
}

/// Which axis of `(n, ., ., .)` holds the channels.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Layout {
    /// `(n, height, width, channels)`, or `(n, height, width)`.
    ChannelsLast,
    /// `(n, channels, height, width)`, as PyTorch has it.
    ChannelsFirst,
}

/// An array whose shape and type are those of images.
pub(super) struct ImageArray {
    npy: Npy,
    layout: Layout,
}

impl ImageArray {
    /// Takes `(n, height, width, channels)`, `(n, channels, height, width)` where only that can be meant, or
    /// `(n, height, width)` in grey.
    pub(super) fn new(npy: Npy) -> Result<Self> {
        let bad_shape = |next_step: &str| {
            Err(Error::format(
                npy.path(),
                format!("shape {}", npy.shape_text()),
                "(n, height, width, channels) with 1 or 3 channels, as (n, 32, 32, 3)",
                next_step.to_string(),
            ))
        };
        let is_channels = |size| size == 1 || size == 3;
        let layout = match *npy.shape() {
            [_, c, _, w] if is_channels(c) && !is_channels(w) => Layout::ChannelsFirst,
            [_, _, _, 4] | [_, 4, _, _] => return bad_shape("leave transparency out: save images[..., :3]"),
            [_, _, _, c] if !is_channels(c) => return bad_shape("keep one channel for grey or three for colour"),
            [_, _, c] if is_channels(c) => {
                return bad_shape("of one image, save image[None]; of grey ones, save images[..., None]");
            }
            [_, _, _, _] | [_, _, _] => Layout::ChannelsLast,
            _ => return bad_shape("reshape it, as in images.reshape(-1, 32, 32, 3)"),
        };
        match *npy.shape() {
            [0, ..] => bad_shape("there is no image in it: save at least one"),
            [_, ref sides @ ..] if sides.contains(&0) => bad_shape("save images of at least one pixel"),
            _ => Ok(Self { npy, layout }),
        }
    }

    /// Number of images.
    pub(super) fn n_images(&self) -> usize {
        self.npy.shape()[0]
    }

    /// Height, width, channels.
    fn image_shape(&self) -> [usize; 3] {
        match (self.layout, self.npy.shape()) {
            (Layout::ChannelsFirst, &[_, c, h, w]) | (Layout::ChannelsLast, &[_, h, w, c]) => [h, w, c],
            (_, shape) => [shape[1], shape[2], 1],
        }
    }

    /// Looks at all values of a floating-point file, and at those of integers that may not be 0..=255; `None` where
    /// nothing is left to decide.
    fn survey(&mut self, stated: Option<PixelRange>) -> Result<Option<Survey>> {
        match self.npy.element() {
            Element { kind: Kind::Float, .. } => {}
            Element { kind: Kind::Bool, .. } | Element { kind: Kind::Unsigned, n_bytes: 1, .. } => return Ok(None),
            element => return self.check_integers(element).map(|()| None),
        }
        let mut survey = Survey::default();
        self.npy.read_chunks(CHUNK_LEN, Element::floats, |values| survey.add(values))?;
        match survey.check(stated) {
            Ok(()) => Ok(Some(survey)),
            Err(bad) => Err(self.bad_values(bad)),
        }
    }

    fn bad_values(&self, bad: BadValues) -> Error {
        let (n, n_values) = (self.n_images(), self.image_shape().iter().product::<usize>());
        let is_fortran_order = self.npy.is_fortran_order();
        let image_of = |element| if is_fortran_order { element % n } else { element / n_values };
        let (found, wanted, next_step) = bad.into_parts(image_of);
        Error::format(self.npy.path(), found, wanted, next_step)
    }

    /// Checks that integers of other sizes are 8-bit values all the same.
    fn check_integers(&mut self, element: Element) -> Result<()> {
        let (mut min, mut max) = (f64::INFINITY, f64::NEG_INFINITY);
        self.npy.read_chunks(CHUNK_LEN, Element::numbers, |values| {
            values.iter().for_each(|&value| (min, max) = (min.min(value), max.max(value)));
        })?;
        if min >= 0.0 && max <= 255.0 {
            return Ok(());
        }
        let next_step = match element {
            Element { kind: Kind::Unsigned, n_bytes: 2, .. } => {
                "if white is 65535, save (images / 257).astype(np.uint8)"
            }
            _ => "scale them to 0..=255 and save images.astype(np.uint8)",
        };
        let found = format!("{}-bit integers from {min} to {max}", element.n_bytes * 8);
        Err(Error::format(self.npy.path(), found, "integers in 0..=255", next_step))
    }

    /// Reads all pixels into `[n, c, h, w]`; `decision` says what floating-point values mean.
    fn read(&mut self, decision: Option<Decision>) -> Result<Pixels> {
        match (self.npy.element(), decision) {
            (Element { kind: Kind::Float, .. }, Some(decision)) if decision.is_8_bit => {
                Ok(Pixels::Bytes(self.fill(Element::floats, |value| decision.to_byte(value))?))
            }
            (Element { kind: Kind::Float, .. }, Some(decision)) => {
                Ok(Pixels::Floats(self.fill(Element::floats, |value| decision.to_signed(value))?))
            }
            (Element { kind: Kind::Bool, .. }, _) => {
                Ok(Pixels::Bytes(self.fill(Element::bytes, |byte| if byte == 0 { 0 } else { 255 })?))
            }
            (Element { n_bytes: 1, .. }, _) => Ok(Pixels::Bytes(self.fill(Element::bytes, |byte| byte)?)),
            _ => Ok(Pixels::Bytes(self.fill(Element::numbers, |value| value as u8)?)),
        }
    }

    /// Reads the elements in file order and puts each value at its place in `[n, c, h, w]`.
    fn fill<T: Copy, U: Copy + Default>(
        &mut self,
        decode: impl Fn(Element, &[u8], &mut Vec<T>),
        convert: impl Fn(T) -> U,
    ) -> Result<Array4<U>> {
        let n = self.n_images();
        let [h, w, c] = self.image_shape();
        let n_values = c * h * w;
        let layout = self.layout;
        let mut pixels = vec![U::default(); n * n_values];
        if self.npy.is_fortran_order() {
            // The image index runs fastest, then the second axis: one chunk holds one value of every image.
            let mut index = 0;
            self.npy.read_chunks(n, decode, |plane| {
                let (row, column, channel) = match layout {
                    Layout::ChannelsLast => (index % h, index / h % w, index / (h * w)),
                    Layout::ChannelsFirst => (index / c % h, index / (c * h), index % c),
                };
                let place = (channel * h + row) * w + column;
                pixels[place..].iter_mut().step_by(n_values).zip(plane).for_each(|(to, &value)| *to = convert(value));
                index += 1;
            })?;
        } else {
            let mut images = pixels.chunks_exact_mut(n_values);
            // How far apart the values of a channel are, and how far the first ones of two channels.
            let (step, next_channel) = if layout == Layout::ChannelsLast { (c, 1) } else { (1, h * w) };
            self.npy.read_chunks((CHUNK_LEN / n_values).max(1) * n_values, decode, |chunk| {
                for (from, to) in chunk.chunks_exact(n_values).zip(&mut images) {
                    for (channel, plane) in to.chunks_exact_mut(h * w).enumerate() {
                        let values = from[channel * next_channel..].iter().step_by(step);
                        plane.iter_mut().zip(values).for_each(|(to, &value)| *to = convert(value));
                    }
                }
            })?;
        }
        Ok(Array4::from_shape_vec((n, c, h, w), pixels).expect("the buffer has the size of the shape"))
    }
}

/// What an array that is called labels holds.
pub(super) enum Labels {
    /// One whole number for each image.
    Numbers(Vec<i64>),
    /// Something else for each image: what.
    Unusable(String),
}

/// Reads one whole number per image; several for each are not used.
pub(super) fn read_labels(mut npy: Npy, n_images: usize) -> Result<Labels> {
    if let [n, n_each] = *npy.shape()
        && n == n_images
        && n_each > 1
    {
        return Ok(Labels::Unusable(format!(
            "{n_each} numbers for each image; one class each is np.argmax(labels, axis=1)"
        )));
    }
    let bad = |npy: &Npy, found: String, next_step: &str| {
        let wanted = format!("{n_images} labels, one whole number per image");
        Err(Error::format(npy.path(), found, wanted, next_step.to_string()))
    };
    if !matches!(*npy.shape(), [n] | [n, 1] if n == n_images) {
        return bad(&npy, format!("shape {}", npy.shape_text()), "save one label per image, in their order");
    }
    let mut labels = Vec::with_capacity(n_images);
    npy.read_chunks(CHUNK_LEN, Element::numbers, |values: &[f64]| labels.extend_from_slice(values))?;
    match labels.iter().position(|label| label.fract() != 0.0 || label.abs() > 1e15) {
        Some(index) => {
            bad(&npy, format!("label {} for image {index}", labels[index]), "number the classes 0, 1, 2 and so on")
        }
        None => Ok(Labels::Numbers(labels.into_iter().map(|label| label as i64).collect())),
    }
}

/// Class names and, for each set of labels, the class indices: every number that occurs in any of them is a class.
pub(super) fn classes_of(sets: &[Vec<i64>]) -> (Vec<String>, Vec<Vec<usize>>) {
    let numbers = Vec::from_iter(sets.iter().flatten().copied().collect::<BTreeSet<i64>>());
    let index_of = |number: &i64| numbers.binary_search(number).expect("every label is among the numbers");
    let indices = sets.iter().map(|labels| labels.iter().map(index_of).collect()).collect();
    (numbers.iter().map(i64::to_string).collect(), indices)
}
