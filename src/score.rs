//! Reconstruction errors as anomaly scores, and images ranked by them.

use crate::data::Images;
use crate::files::write_whole;
use crate::train::{Autoencoder, Learnt, warn_of_nothing_learnt};
use crate::{Error, Result};
use std::fmt;
use std::path::Path;

/// One number per image; higher is more anomalous, for every kind of score.
///
/// # Example
/// ```
#[doc = include_str!("example.txt")]
/// let scores = model.score(data.test())?;
/// assert_eq!((scores.model.as_str(), scores.name.as_str()), ("small", "reconstruction error (MSE)"));
/// assert_eq!(scores.values.len(), data.test().len());
/// assert_eq!(scores.anomalies.as_deref(), data.test().anomalies());
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// Name of the model that gave them, as in "report_cnn".
    pub model: String,
    /// What the numbers are, as in "reconstruction error (MSE)".
    pub name: String,
    /// One per image, in the images' order.
    pub values: Vec<f64>,
    /// Whether each image is an anomaly, where that is known.
    pub anomalies: Option<Vec<bool>>,
}

/// Images in the order of their scores, most anomalous first; equal scores by index.
///
/// # Example
/// ```
#[doc = include_str!("example.txt")]
/// let ranking = model.rank(data.test())?;
/// let [worst, best] = [ranking.order[0], ranking.order[47]];
/// assert!(ranking.scores.values[worst] > ranking.scores.values[best]);
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Ranking {
    /// Mean squared errors, in the images' order.
    pub scores: Scores,
    /// Indices of the images, worst reconstructed first.
    pub order: Vec<usize>,
    model: Autoencoder,
    images: Images,
}

/// A few images of a ranking with what the model made of them.
///
/// # Example
/// ```
#[doc = include_str!("example.txt")]
/// let picks = model.rank(data.test())?.worst(4)?;
/// assert_eq!(picks.title, "small: the 4 worst rebuilt");
/// assert_eq!((picks.originals.len(), picks.reconstructions.len()), (4, 4));
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Picks {
    /// What they are, as in "report_cnn: the 9 worst rebuilt".
    pub title: String,
    /// One per image, in the ranking's order.
    pub picks: Vec<Pick>,
    /// The images, `[k, c, h, w]`.
    pub originals: Images,
    /// What the model made of them, `[k, c, h, w]`.
    pub reconstructions: Images,
}

/// One image of a ranking.
///
/// # Example
/// ```
#[doc = include_str!("example.txt")]
/// let worst = model.rank(data.test())?.worst(1)?.picks[0];
/// assert!((worst.l2_norm - (worst.mse * 64.0).sqrt()).abs() < 1e-9, "images have 64 values");
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pick {
    /// Index among the ranked images.
    pub index: usize,
    /// Mean of the squared pixel differences, pixels in -1..=1: 0..=4, 0 is perfect.
    pub mse: f64,
    /// Root of the sum of the squared pixel differences: `sqrt(mse * c * h * w)`. The report prints this as its "mse".
    pub l2_norm: f64,
}

impl Scores {
    /// Writes the scores as a CSV file with a line for each image: `id`, its index from 0, and `anomaly`, its score. This
    /// is what the course's competition takes.
    ///
    /// # Errors
    /// [`Error::File`] naming the path; a file that was there before is then still there.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("example.txt")]
    /// # let folder = tempfile::tempdir().unwrap();
    /// let path = folder.path().join("prediction.csv");
    /// let scores = model.score(data.test())?;
    /// scores.write_csv(&path)?;
    /// let table = std::fs::read_to_string(&path).unwrap();
    /// let lines: Vec<&str> = table.lines().collect();
    /// assert_eq!((lines[0], lines.len()), ("id,anomaly", 49));
    /// assert_eq!(lines[48], format!("47,{}", scores.values[47]));
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn write_csv(&self, path: impl AsRef<Path>) -> Result<()> {
        let lines = (0..).zip(&self.values).map(|(id, score)| format!("{id},{score}\n"));
        write_whole(path.as_ref(), ("id,anomaly\n".to_string() + &lines.collect::<String>()).as_bytes())
    }
}

impl Autoencoder {
    /// Mean squared error of each image's reconstruction: the mean over channels and pixels of the squared difference,
    /// pixels in -1..=1. 0 is perfect; higher is more anomalous.
    ///
    /// # Errors
    /// [`Error::Data`] when the images have another shape than those of the training, or an error is not a number.
    ///
    /// # Source
    /// Report, question 1.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("example.txt")]
    /// let scores = model.score(data.test())?;
    /// assert!(scores.values.iter().all(|mse| (0.0..=4.0).contains(mse)));
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn score(&self, images: &Images) -> Result<Scores> {
        let errors = self.stream(images, |network, batch| network.errors(batch))?;
        if let Some(index) = errors.iter().position(|error| error.is_nan()) {
            let found = format!("an error that is not a number, of image {index}");
            let next_step = "look at the model's history: did its training diverge?";
            return Err(Error::data("measuring reconstruction errors", found, "numbers", next_step));
        }
        Ok(Scores {
            model: self.name().into(),
            name: "reconstruction error (MSE)".into(),
            values: errors.into_iter().map(f64::from).collect(),
            anomalies: images.anomalies().map(<[bool]>::to_vec),
        })
    }

    /// The L2 norm of each image's difference from its reconstruction, `sqrt(mse * c * h * w)`: what the report prints
    /// as "mse". It ranks images as [`Autoencoder::score`] does.
    ///
    /// # Errors
    /// As [`Autoencoder::score`].
    ///
    /// # Example
    /// ```
    #[doc = include_str!("example.txt")]
    /// let (mse, l2_norm) = (model.score(data.test())?, model.score_l2_norm(data.test())?);
    /// assert!((l2_norm.values[0] - (mse.values[0] * 64.0).sqrt()).abs() < 1e-9, "images have 64 values");
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn score_l2_norm(&self, images: &Images) -> Result<Scores> {
        let scores = self.score(images)?;
        Ok(Scores {
            name: "reconstruction error (L2 norm)".into(),
            values: scores.values.iter().map(|&mse| l2_norm(mse, images)).collect(),
            ..scores
        })
    }

    /// Ranks images by how badly the model reconstructs them, worst first; ties by index.
    ///
    /// # Errors
    /// As [`Autoencoder::score`].
    ///
    /// # Example
    /// ```
    #[doc = include_str!("example.txt")]
    /// let ranking = model.rank(data.test())?;
    /// assert!(ranking.to_string().starts_with("small: 48 images by reconstruction error (MSE)"));
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn rank(&self, images: &Images) -> Result<Ranking> {
        let scores = self.score(images)?;
        Ok(Ranking { order: descending_order(&scores.values), scores, model: self.clone(), images: images.clone() })
    }
}

impl Scores {
    /// Indices of the images, highest score first; equal scores by index.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("example.txt")]
    /// let scores = model.score(data.test())?;
    /// assert_eq!(scores.order(), model.rank(data.test())?.order);
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn order(&self) -> Vec<usize> {
        descending_order(&self.values)
    }

    /// Whether each image is an anomaly; an error where that is not known.
    pub(crate) fn labels(&self, doing: &str) -> Result<&[bool]> {
        labels(doing, self.anomalies.as_deref())
    }
}

/// Labels of images, if there are any.
///
/// # Errors
/// [`Error::Data`] where there are none.
pub(crate) fn labels<'a>(doing: &str, anomalies: Option<&'a [bool]>) -> Result<&'a [bool]> {
    let next_step = "hold out classes, or put a test_labels.npy beside test.npy";
    anomalies.ok_or_else(|| Error::data(doing, "images without anomaly labels", "labels", next_step))
}

impl Ranking {
    /// What the model has learnt, by the test images of its training; `None` where that was not measured.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("example.txt")]
    /// let learnt = model.rank(data.test())?.learnt().expect("there were test images");
    /// assert!(learnt.variance_explained <= 1.0);
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn learnt(&self) -> Option<Learnt> {
        self.model.history().learnt
    }

    /// The `k` images that are reconstructed worst, worst first.
    ///
    /// # Errors
    /// [`Error::Setting`] when `k` is 0 or larger than the number of images.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("example.txt")]
    /// let ranking = model.rank(data.test())?;
    /// assert_eq!(ranking.worst(9)?.picks[0].index, ranking.order[0]);
    /// assert!(ranking.worst(0).is_err() && ranking.worst(49).is_err());
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn worst(&self, k: usize) -> Result<Picks> {
        self.pick(k, "worst", self.order.iter())
    }

    /// The `k` images that are reconstructed best, best first.
    ///
    /// # Errors
    /// [`Error::Setting`] when `k` is 0 or larger than the number of images.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("example.txt")]
    /// let ranking = model.rank(data.test())?;
    /// let (worst, best) = (ranking.worst(1)?, ranking.best(1)?);
    /// assert!(best.picks[0].mse < worst.picks[0].mse);
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn best(&self, k: usize) -> Result<Picks> {
        self.pick(k, "best", self.order_from_best().iter())
    }

    /// Indices of the `k` worst, worst first, and of the `k` best, best first; fewer where there are fewer images.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("example.txt")]
    /// let ranking = model.rank(data.test())?;
    /// let [worst, best] = ranking.extremes(3);
    /// assert_eq!(worst, ranking.order[..3]);
    /// assert_eq!(best.len(), 3);
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn extremes(&self, k: usize) -> [Vec<usize>; 2] {
        [&self.order, &self.order_from_best()].map(|order| order.iter().take(k).copied().collect())
    }

    /// Mean of all images' mean squared errors.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("example.txt")]
    /// let ranking = model.rank(data.test())?;
    /// let (best, worst) = (ranking.best(1)?.picks[0].mse, ranking.worst(1)?.picks[0].mse);
    /// assert!((best..=worst).contains(&ranking.mse_mean()));
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn mse_mean(&self) -> f64 {
        self.scores.values.iter().sum::<f64>() / self.scores.values.len() as f64
    }

    /// Equal scores by index here too, so this is not the reverse of `order`.
    fn order_from_best(&self) -> Vec<usize> {
        let opposite: Vec<f64> = self.scores.values.iter().map(|score| -score).collect();
        descending_order(&opposite)
    }

    fn pick<'a>(&self, k: usize, which: &str, order: impl Iterator<Item = &'a usize>) -> Result<Picks> {
        let n = self.order.len();
        if k == 0 || k > n {
            return Err(Error::setting(
                "k",
                k.to_string(),
                format!("1 to {n}, the images ranked"),
                "9 are the report's",
            ));
        }
        let indices: Vec<usize> = order.take(k).copied().collect();
        let originals = self.images.select(&indices)?;
        let pick = |index| {
            let mse = self.scores.values[index];
            Pick { index, mse, l2_norm: l2_norm(mse, &self.images) }
        };
        Ok(Picks {
            title: format!("{}: the {k} {which} rebuilt", self.scores.model),
            reconstructions: self.model.reconstruct(&originals)?,
            picks: indices.into_iter().map(pick).collect(),
            originals,
        })
    }
}

fn l2_norm(mse: f64, images: &Images) -> f64 {
    (mse * images.shape().iter().product::<usize>() as f64).sqrt()
}

/// Indices by falling value, none of them NaN; equal values by index.
pub(crate) fn descending_order(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
    order
}

impl fmt::Display for Scores {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let extent = |pick: fn(f64, f64) -> f64| self.values.iter().copied().reduce(pick).unwrap_or(f64::NAN);
        let (n, low, high) = (self.values.len(), extent(f64::min), extent(f64::max));
        write!(f, "{}: {} of {n} images, {low:.4} to {high:.4}", self.model, self.name)
    }
}

impl fmt::Display for Ranking {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let [worst, best] =
            self.extremes(5).map(|order| order.iter().map(usize::to_string).collect::<Vec<_>>().join(", "));
        write!(
            f,
            "{}: {} images by {}, mean {:.4}; worst: {worst}; best: {best}",
            self.scores.model,
            self.order.len(),
            self.scores.name,
            self.mse_mean(),
        )?;
        if let Some(learnt) = self.learnt() {
            write!(f, "\n{learnt}")?;
        }
        warn_of_nothing_learnt(f, self.learnt(), &self.scores.model)
    }
}

impl fmt::Display for Picks {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}", self.title)?;
        for Pick { index, mse, l2_norm } in &self.picks {
            write!(f, "\n  image {index}: MSE {mse:.4}, L2 norm {l2_norm:.2}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_scores_are_ranked_by_index() {
        assert_eq!(descending_order(&[1.0, 3.0, 3.0, 0.5, 3.0]), [1, 2, 4, 0, 3]);
    }

    #[test]
    fn the_report_example_is_ranked_as_the_report_says() {
        // Question 1: of the errors 25.4, 33.6, 15, 39, 54.8 the largest two are images 4 and 5, the smallest 1 and 3
        // (counted from 1).
        let order = descending_order(&[25.4, 33.6, 15.0, 39.0, 54.8]);
        assert_eq!(order[..2], [4, 3]);
        assert_eq!(order[3..], [0, 2]);
    }
}
