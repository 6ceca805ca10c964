//! Saved detectors: a folder with everything that scoring needs.
//!
//! ```text
//! detector.json       the way of scoring, the images it takes, and a number for each of the other files
//! model.*             the model, as Autoencoder::save writes it
//! fit.safetensors     what was learnt, the calibration scores, and a few images with their scores
//! ```

use super::arrays::{Arrays, SAVE_AGAIN};
use super::calibration::{Calibration, Decision};
use super::fitted::Fitted;
use super::{Detector, Evaluation};
use crate::data::{ImageShape, Images, Pixels};
use crate::device::Device;
use crate::files::{expand_home, fingerprint, make_folder, write_together};
use crate::run::{read, read_versioned};
use crate::train::Autoencoder;
use crate::{Error, Result};
use ndarray::Array4;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// A change that older code would misread raises the number.
const FORMAT_VERSION: u32 = 1;
const DESCRIPTION: &str = "detector.json";
const FIT: &str = "fit.safetensors";
/// Scores of the kept images that differ by more than this share of the largest one are other scores, and no matter of
/// another processor's rounding.
const ROUNDING: f64 = 1e-3;

/// The content of `detector.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    format_version: u32,
    /// Version of diabolo that wrote it.
    diabolo: String,
    evaluation: Evaluation,
    model: String,
    /// Classes of the images of the fit.
    classes: Vec<String>,
    images: ImageDescription,
    decision: Option<SavedDecision>,
    /// A number that follows from its bytes for each of the other files: half a copy is told from a whole one.
    fingerprints: BTreeMap<String, String>,
}

/// The images that the model takes, and how others are brought to that.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ImageDescription {
    /// Channels, height and width in pixels.
    shape: ImageShape,
    preparation: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum SavedDecision {
    FalseAlarms { rate_wanted: f64, n_fitted_to: usize },
    Given,
}

/// What scoring the images that a detector keeps once more has shown.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// let verification = KMeans(3).fit(&model, data.train())?.verify()?;
/// assert_eq!((verification.n_images, verification.largest_difference), (8, 0.0));
/// assert_eq!(verification.to_string(), "8 images score as they did at the fit, digit for digit");
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Verification {
    /// Images that were scored again.
    pub n_images: usize,
    /// The largest difference from the scores that were kept with them: 0 on the machine that they were made on.
    pub largest_difference: f64,
}

impl Detector {
    /// Saves all that scoring needs in a folder: the model, what was learnt from the images of the fit, the threshold, and
    /// a few of these images for [`Detector::verify`].
    ///
    /// # Errors
    /// [`Error::File`] naming what could not be written; a detector that was there before is then still there.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let folder = folder.path();
    /// let detector = KMeans(3).fit(&model, data.train())?;
    /// detector.save(folder.join("detectors/drawn"))?;
    /// let again = Detector::open(folder.join("detectors/drawn"))?;
    /// assert_eq!(again.score(data.test())?, detector.score(data.test())?, "digit for digit");
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn save(&self, folder: impl AsRef<Path>) -> Result<()> {
        let folder = &expand_home(folder)?;
        let mut arrays = Arrays::default();
        self.fitted.put("fit.", &mut arrays);
        arrays.put("fitted_to", &[self.fitted_to.len()], self.fitted_to.iter().copied());
        put_images(&mut arrays, &self.examples);
        arrays.put("example_scores", &[self.example_scores.len()], self.example_scores.iter().copied());
        let decision = self.decision.as_ref().map(|decision| match decision {
            Decision::FalseAlarms(calibration) => {
                let Calibration { rate_wanted, n_fitted_to, scores, .. } = calibration;
                arrays.put("calibration_scores", &[scores.len()], scores.iter().copied());
                SavedDecision::FalseAlarms { rate_wanted: *rate_wanted, n_fitted_to: *n_fitted_to }
            }
            Decision::Given { threshold } => {
                arrays.put("threshold", &[1], [*threshold]);
                SavedDecision::Given
            }
        });
        let [weights, model] = self.model.to_files(&folder.join("model"))?;
        let files = [weights, model, (folder.join(FIT), arrays.to_bytes())];
        let shape = self.model.plan().image_shape;
        let description = Description {
            format_version: FORMAT_VERSION,
            diabolo: env!("CARGO_PKG_VERSION").into(),
            evaluation: self.evaluation.clone(),
            model: self.model.name().into(),
            classes: self.classes.clone(),
            images: ImageDescription {
                shape,
                preparation: format!(
                    "scaled until they cover {} x {} pixels, cropped around the centre, values in -1..=1",
                    shape[2], shape[1]
                ),
            },
            decision,
            fingerprints: files.iter().map(|(path, bytes)| (name_of(path), fingerprint_of(bytes))).collect(),
        };
        let json = serde_json::to_vec_pretty(&description).expect("plain values and text are JSON");
        make_folder(folder)?;
        let description = (folder.join(DESCRIPTION), json);
        let all: Vec<(&Path, &[u8])> =
            files.iter().chain([&description]).map(|(path, bytes)| (path.as_path(), bytes.as_slice())).collect();
        write_together(&all)
    }

    /// Opens a detector that [`Detector::save`] wrote, on the first GPU or, where there is none, on the CPU.
    ///
    /// # Errors
    /// [`Error::File`] when the folder has no `detector.json`; [`Error::Format`] when the detector is damaged, not whole,
    /// or was written by a newer version.
    ///
    /// # Example
    /// ```
    /// use diabolo::prelude::*;
    /// let message = Detector::open("no/such/detector").unwrap_err().to_string();
    /// assert!(message.starts_with("opening no/such/detector/detector.json"), "{message}");
    /// ```
    #[doc(alias = "load")]
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        Self::open_on(folder, Device::Auto)
    }

    /// The same on a device of one's choice.
    ///
    /// # Errors
    /// Those of [`Detector::open`], and [`Error::Device`] when the device cannot be used.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let folder = folder.path();
    /// Reconstruction.fit(&model, data.train())?.save(folder.join("small"))?;
    /// let opened = Detector::open_on(folder.join("small"), Device::Cpu)?;
    /// assert_eq!(opened.score(data.test())?.values.len(), 48);
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn open_on(folder: impl AsRef<Path>, device: Device) -> Result<Self> {
        let folder = &expand_home(folder)?;
        let path = folder.join(DESCRIPTION);
        let description: Description = read_versioned(&path, "a detector's description", FORMAT_VERSION, SAVE_AGAIN)?;
        ["model.json", "model.safetensors"]
            .iter()
            .try_for_each(|name| read_whole(folder, name, &description).map(drop))?;
        let path = folder.join(FIT);
        let mut arrays = Arrays::read(&path, &read_whole(folder, FIT, &description)?)?;
        let model = Autoencoder::open_on(folder.join("model"), device)?;
        let lacking =
            |what: &str| Error::format(&path, format!("no {what} that fits"), "what a detector has learnt", SAVE_AGAIN);
        let Description { evaluation, classes, images, decision, .. } = description;
        let plan = model.plan();
        if plan.image_shape != images.shape {
            let found = format!("a model of images of shape {:?}", plan.image_shape);
            return Err(Error::format(&folder.join(DESCRIPTION), found, format!("{:?}", images.shape), SAVE_AGAIN));
        }
        let fitted = Fitted::take(&evaluation, "fit.", plan.n_latents(), &mut arrays);
        let (_, fitted_to) = arrays.take::<u64>("fitted_to").ok_or_else(|| lacking("images of the fit"))?;
        let examples = take_images(&mut arrays, plan.image_shape).ok_or_else(|| lacking("images to verify it by"))?;
        let (_, example_scores) = arrays.take("example_scores").ok_or_else(|| lacking("scores to verify it by"))?;
        let decision = match decision {
            None => None,
            Some(SavedDecision::Given) => {
                let (_, threshold) = arrays.take("threshold").ok_or_else(|| lacking("threshold"))?;
                let &[threshold] = &threshold[..] else { return Err(lacking("threshold")) };
                Some(Decision::Given { threshold })
            }
            Some(SavedDecision::FalseAlarms { rate_wanted, n_fitted_to }) => {
                let (_, scores) = arrays.take("calibration_scores").ok_or_else(|| lacking("calibration scores"))?;
                Some(Decision::FalseAlarms(Calibration::new(rate_wanted, scores, n_fitted_to)?))
            }
        };
        Ok(Self {
            fitted: Arc::new(fitted.ok_or_else(|| lacking("fit"))?),
            evaluation,
            model,
            fitted_to: fitted_to.into(),
            classes,
            examples,
            example_scores,
            decision,
        })
    }

    /// Scores the few images that the detector keeps once more and compares: a detector that was copied to another machine
    /// or opened by another version still says the same.
    ///
    /// # Errors
    /// [`Error::Data`] when a score differs by more than another processor's rounding can explain, a thousandth of the
    /// largest one; those of [`Detector::score`].
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// let detector = Reconstruction.fit(&model, data.train())?;
    /// println!("{}", detector.verify()?);
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn verify(&self) -> Result<Verification> {
        let scores = self.score(&self.examples)?.values;
        let pairs = scores.iter().zip(&self.example_scores);
        let largest_difference =
            pairs.filter(|(now, then)| now != then).map(|(now, then)| (now - then).abs()).fold(0.0, f64::max);
        let largest = self.example_scores.iter().fold(0.0, |largest: f64, score| largest.max(score.abs()));
        if largest_difference > ROUNDING * largest || scores.len() != self.example_scores.len() {
            let found = format!("scores that differ by up to {largest_difference:.3e} from those it was saved with");
            let wanted = format!("the same, but for {:.1e}", ROUNDING * largest);
            let next_step = "do not use it here: fit it again, or open it with the diabolo that wrote it";
            return Err(Error::data("verifying a detector", found, wanted, next_step));
        }
        Ok(Verification { n_images: scores.len(), largest_difference })
    }
}

/// A file of a detector, if it is the one that was saved with the description.
fn read_whole(folder: &Path, name: &str, description: &Description) -> Result<Vec<u8>> {
    let path = folder.join(name);
    let bytes = match read(&path) {
        Err(Error::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::format(folder, format!("no {name}"), "all files of a detector", SAVE_AGAIN));
        }
        read => read?,
    };
    if description.fingerprints.get(name) != Some(&fingerprint_of(&bytes)) {
        let found = format!("a damaged {name}, or one of another detector");
        return Err(Error::format(&path, found, format!("the one saved with {DESCRIPTION}"), SAVE_AGAIN));
    }
    Ok(bytes)
}

fn fingerprint_of(bytes: &[u8]) -> String {
    format!("{:016x}", fingerprint(bytes.iter().copied()))
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// 8-bit images stay 8-bit, so that the device scales them again as it did.
fn put_images(arrays: &mut Arrays, images: &Images) {
    match images.gather(0..images.len()) {
        Pixels::Bytes(pixels) => arrays.put("examples", pixels.shape(), pixels.iter().copied()),
        Pixels::Floats(pixels) => arrays.put("examples", pixels.shape(), pixels.iter().copied()),
    }
}

fn take_images(arrays: &mut Arrays, image_shape: ImageShape) -> Option<Images> {
    fn array<T>(image_shape: ImageShape, shape: &[usize], values: Vec<T>) -> Option<Array4<T>> {
        let &[n, c, h, w] = shape else { return None };
        let fits = n > 0 && [c, h, w] == image_shape;
        fits.then(|| Array4::from_shape_vec((n, c, h, w), values).ok())?
    }
    if let Some((shape, values)) = arrays.take::<u8>("examples") {
        return Some(Images::from_pixels(Pixels::Bytes(array(image_shape, &shape, values)?)));
    }
    let (shape, values) = arrays.take::<f32>("examples")?;
    let in_range = values.iter().all(|value| (-1.0..=1.0).contains(value));
    in_range.then(|| Some(Images::from_pixels(Pixels::Floats(array(image_shape, &shape, values)?))))?
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { n_images, largest_difference } = self;
        match largest_difference {
            0.0 => write!(f, "{n_images} images score as they did at the fit, digit for digit"),
            _ => write!(
                f,
                "{n_images} images score as they did at the fit, but for {largest_difference:.1e} by rounding"
            ),
        }
    }
}
