//! What a network has learnt, measured on the test images: against the mean of the training images, which is what a
//! network gives that has learnt nothing.

use super::batches::each_batch;
use crate::data::Images;
use crate::device::{Precision, ResidentImages};
use crate::error::TorchContext;
use crate::model::Network;
use crate::{Error, Result, interrupt};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Instant;
use tch::{Device, Kind, TchError, Tensor};

/// Images that are added up at a time.
const IMAGES_PER_SUM: usize = 128;
/// Below this share of explained variance a network is no better than the mean image. On CIFAR-10 an image's brightness
/// alone explains more than a quarter.
const LEAST_EXPLAINED: f64 = 0.01;
/// Below this share of the images' own variance, a tenth of their differences, reconstructions hardly differ.
const LEAST_RECONSTRUCTION_VARIANCE: f64 = 0.01;
/// Below this share codes hardly differ: their differences are a hundredth of their size.
const LEAST_CODE_VARIANCE: f64 = 1e-4;

/// How much of the test images a model rebuilds.
///
/// # Source
/// The share of explained variance is scikit-learn's `r2_score` with the mean training image for the mean.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// let learnt = model.history().learnt.expect("there are test images, and they differ");
/// assert!(learnt.variance_explained <= 1.0);
/// println!("{learnt}");
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Learnt {
    /// `1 - MSE / MSE of the mean training image`, over all test images: 1 is perfect, 0 is no better than to give the mean
    /// image each time; it may be negative.
    pub variance_explained: f64,
    /// The same over the normal test images, where anomalies are known.
    pub variance_explained_normal: Option<f64>,
    /// How much reconstructions differ between images: their variance as a share of the images' own, 0 or more. At 0 every
    /// image is rebuilt as the same one.
    pub reconstruction_variance: f64,
    /// How much codes differ between images: their variance as a share of their mean squared length, 0..=1.
    pub code_variance: f64,
}

impl Learnt {
    /// What a reader must not overlook: a sentence when the network has learnt nothing, else nothing.
    ///
    /// # Example
    /// ```
    /// use diabolo::train::Learnt;
    /// let constant = Learnt {
    ///     variance_explained: -0.02,
    ///     variance_explained_normal: None,
    ///     reconstruction_variance: 0.0,
    ///     code_variance: 0.5,
    /// };
    /// assert!(constant.warning().unwrap().starts_with("has learnt nothing yet: it rebuilds every image as nearly the same"));
    /// let good = Learnt { variance_explained: 0.6, reconstruction_variance: 0.5, ..constant };
    /// assert_eq!(good.warning(), None);
    /// ```
    pub fn warning(&self) -> Option<String> {
        let explained = format!("{:.1} % of the test images' variance explained", 100.0 * self.variance_explained);
        if self.reconstruction_variance < LEAST_RECONSTRUCTION_VARIANCE || self.code_variance < LEAST_CODE_VARIANCE {
            return Some(format!(
                "has learnt nothing yet: it rebuilds every image as nearly the same one ({explained}); train longer"
            ));
        }
        (self.variance_explained < LEAST_EXPLAINED).then(|| {
            format!("has learnt nothing yet: it is no better than the mean training image ({explained}); train longer")
        })
    }
}

/// Adds a line where a network, so named, has learnt nothing.
pub(crate) fn warn_of_nothing_learnt(f: &mut fmt::Formatter, learnt: Option<Learnt>, network: &str) -> fmt::Result {
    match learnt.and_then(|learnt| learnt.warning()) {
        Some(nothing) => write!(f, "\nWARNING: {network} {nothing}"),
        None => Ok(()),
    }
}

impl fmt::Display for Learnt {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "variance explained {:.4}", self.variance_explained)?;
        if let Some(normal) = self.variance_explained_normal {
            write!(f, " (normal images {normal:.4})")?;
        }
        write!(f, ", that of the reconstructions {:.4} of the images'", self.reconstruction_variance)
    }
}

/// What the test images say of a training under way.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// let watched = diabolo::train::fit(small, &data, Training::default().epochs(4).watch_every(2), go_on)?;
/// let (epoch, last) = watched.history().watched().last().expect("epochs 2 and 4 were watched");
/// assert_eq!(epoch, 4);
/// assert!((0.0..=1.0).contains(&last.auc.expect("a class was held out")) && last.mse > 0.0);
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Watched {
    /// AUC of the reconstruction errors of the weights as they stand after the epoch; `None` without anomalies or without
    /// normal images.
    pub auc: Option<f64>,
    /// Mean squared error of the test images by the same weights.
    pub mse: f64,
    /// AUC of the weights that the keep rule has chosen so far.
    pub auc_kept: Option<f64>,
    /// Mean squared error of the test images by these.
    pub mse_kept: f64,
    /// What watching took after this epoch, in seconds; it is part of the training's time and of no epoch's.
    pub seconds: f64,
}

/// AUC and mean of the reconstruction errors of `images`.
fn auc_and_mse(network: &Network, precision: Precision, images: &Images) -> Result<(Option<f64>, f64)> {
    let mut errors = Vec::with_capacity(images.len());
    each_pass(network, precision, images, "watching a training", |batch, [reconstruction, _]| {
        errors.extend(squared_distances(batch, reconstruction)?);
        Ok(())
    })?;
    let mse = errors.iter().sum::<f64>() / errors.len() as f64;
    Ok((images.anomalies().and_then(|anomalies| auc(&errors, anomalies)), mse))
}

/// Measures the weights as they stand and those that are kept, where they are others. `None` when the user has pressed stop,
/// and where an error is not finite.
pub(super) fn watch(
    network: &Network,
    kept: Option<&Network>,
    precision: Precision,
    images: &Images,
) -> Result<Option<Watched>> {
    let began = Instant::now();
    let measured = auc_and_mse(network, precision, images)
        .and_then(|now| Ok((now, kept.map_or(Ok(now), |kept| auc_and_mse(kept, precision, images))?)));
    let ((auc, mse), (auc_kept, mse_kept)) = match measured {
        Ok(measured) => measured,
        Err(Error::Interrupted { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let watched = Watched { auc, mse, auc_kept, mse_kept, seconds: began.elapsed().as_secs_f64() };
    Ok((mse.is_finite() && mse_kept.is_finite()).then_some(watched))
}

/// Measures a network on test images; `None` where these do not differ from the mean training image or from each other.
pub(super) fn measure(
    network: &Network,
    precision: Precision,
    train: &Images,
    test: &Images,
) -> Result<Option<Learnt>> {
    let doing = "measuring what was learnt";
    let mean_image = mean_image(train)?.f_to(network.device()).doing(doing)?;
    let [mut images, mut reconstructions, mut codes] = [Moments::default(), Moments::default(), Moments::default()];
    let (mut errors, mut from_mean) = (Vec::new(), Vec::new());
    each_pass(network, precision, test, doing, |batch, [reconstruction, code]| {
        errors.extend(squared_distances(batch, reconstruction)?);
        from_mean.extend(squared_distances(batch, &mean_image)?);
        images.add(batch)?;
        reconstructions.add(reconstruction)?;
        codes.add(code)
    })?;
    let explained = |is_counted: &dyn Fn(usize) -> bool| {
        let sum = |values: &[f64]| {
            (0..values.len()).filter(|&index| is_counted(index)).map(|index| values[index]).sum::<f64>()
        };
        let (error, of_mean_image) = (sum(&errors), sum(&from_mean));
        (of_mean_image > 0.0).then(|| 1.0 - error / of_mean_image)
    };
    let (variance, _) = images.variance_and_size().doing(doing)?;
    let (reconstruction_variance, _) = reconstructions.variance_and_size().doing(doing)?;
    let (code_variance, code_size) = codes.variance_and_size().doing(doing)?;
    let Some(variance_explained) = explained(&|_| true).filter(|_| variance > 0.0) else { return Ok(None) };
    let learnt = Learnt {
        variance_explained,
        variance_explained_normal: test.anomalies().and_then(|anomalies| explained(&|index| !anomalies[index])),
        reconstruction_variance: reconstruction_variance / variance,
        code_variance: if code_size > 0.0 { code_variance / code_size } else { 0.0 },
    };
    let Learnt { variance_explained, variance_explained_normal, reconstruction_variance, code_variance } = learnt;
    let numbers =
        [variance_explained, variance_explained_normal.unwrap_or(0.0), reconstruction_variance, code_variance];
    // Finite weights may still give what is not, and JSON has no word for it.
    Ok(numbers.iter().all(|number| number.is_finite()).then_some(learnt))
}

/// Sends images through the network; nothing of it changes, and no random number is drawn.
fn each_pass(
    network: &Network,
    precision: Precision,
    images: &Images,
    doing: &str,
    mut take: impl FnMut(&Tensor, &[Tensor; 2]) -> Result<(), TchError>,
) -> Result<()> {
    each_batch(network, precision, images, doing, |network, batch| {
        take(batch, &network.rebuild_and_encode(batch)?).doing(doing)
    })
}

/// For each image the mean of its squared differences from another, or from its own counterpart.
fn squared_distances(images: &Tensor, others: &Tensor) -> Result<Vec<f64>, TchError> {
    let squares = images.f_sub(others)?.f_square()?.f_mean_dim(&[1i64, 2, 3][..], false, Kind::Float)?;
    Vec::<f64>::try_from(&squares.f_to_kind(Kind::Double)?.f_to(Device::Cpu)?)
}

/// The mean of images, `[c, h, w]`.
fn mean_image(images: &Images) -> Result<Tensor> {
    let doing = "finding the mean training image";
    let mut sum: Option<Tensor> = None;
    for start in (0..images.len()).step_by(IMAGES_PER_SUM) {
        interrupt::check(doing)?;
        let batch = ResidentImages::new(images, start..images.len().min(start + IMAGES_PER_SUM), Device::Cpu)?.all()?;
        let of_batch = batch.f_sum_dim_intlist(&[0i64][..], false, Kind::Double).doing(doing)?;
        sum = Some(match sum {
            None => of_batch,
            Some(sum) => sum.f_add(&of_batch).doing(doing)?,
        });
    }
    let sum = sum.expect("a set of images holds at least one");
    sum.f_div_scalar(images.len() as f64).and_then(|mean| mean.f_to_kind(Kind::Float)).doing(doing)
}

/// Sums from which the variance of points follows.
#[derive(Default)]
struct Moments {
    n: f64,
    /// `[d]`, double precision.
    sum: Option<Tensor>,
    squares: f64,
}

impl Moments {
    /// Adds points, `[n, ..]`.
    fn add(&mut self, points: &Tensor) -> Result<(), TchError> {
        let points = points.f_flatten(1, -1)?.f_to_kind(Kind::Double)?;
        let sum = points.f_sum_dim_intlist(&[0i64][..], false, Kind::Double)?;
        self.n += points.size()[0] as f64;
        self.squares += points.f_square()?.f_sum(Kind::Double)?.f_double_value(&[])?;
        self.sum = Some(match self.sum.take() {
            None => sum,
            Some(before) => before.f_add(&sum)?,
        });
        Ok(())
    }

    /// The points' variance, summed over their values, and the mean of their squared lengths.
    fn variance_and_size(&self) -> Result<(f64, f64), TchError> {
        let Some(sum) = &self.sum else { return Ok((0.0, 0.0)) };
        let mean = sum.f_div_scalar(self.n)?;
        let size = self.squares / self.n;
        let of_mean = mean.f_square()?.f_sum(Kind::Double)?.f_double_value(&[])?;
        // Rounding leaves about this much of points that are all the same.
        let variance = if size - of_mean > 1e-12 * size { size - of_mean } else { 0.0 };
        Ok((variance, size))
    }
}

/// The share of pairs of an anomaly and a normal image in which the anomaly has the higher score, ties counted half; `None`
/// where one of the two kinds is missing. Scores of a room further down cannot be used here: [`crate::metrics::roc_auc`] is
/// the same for the user, and a test compares the two.
fn auc(scores: &[f64], anomalies: &[bool]) -> Option<f64> {
    let mut sorted: Vec<(f64, bool)> = scores.iter().copied().zip(anomalies.iter().copied()).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut normal_below, mut won, mut n_anomalies) = (0.0, 0.0, 0.0);
    for tied in sorted.chunk_by(|a, b| a.0 == b.0) {
        let anomalies_here = tied.iter().filter(|(_, is_anomaly)| *is_anomaly).count() as f64;
        let normal_here = tied.len() as f64 - anomalies_here;
        won += anomalies_here * (normal_below + normal_here / 2.0);
        normal_below += normal_here;
        n_anomalies += anomalies_here;
    }
    (n_anomalies > 0.0 && normal_below > 0.0).then(|| won / (n_anomalies * normal_below))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Split, open};
    use crate::model::Architecture;
    use crate::train::{Autoencoder, Training, fit};
    use std::ops::ControlFlow;

    fn scenes() -> Split {
        let scenes = open("scenes").unwrap().hold_out(&["boat", "car"]).unwrap();
        let first = |images: &Images| images.select(&(0..images.len()).step_by(19).collect::<Vec<_>>()).unwrap();
        Split::new("few scenes", first(scenes.train()), first(scenes.test())).unwrap()
    }

    fn train(architecture: Architecture, data: &Split, training: Training) -> Autoencoder {
        fit(architecture, data, training.device(crate::device::Device::Cpu), |_| ControlFlow::Continue(())).unwrap()
    }

    #[test]
    fn a_constant_network_is_called_one_by_name() {
        let data = scenes();
        let network = Network::new(Architecture::conv().plan([3, 32, 32]).unwrap(), 0, Device::Cpu).unwrap();
        // Without weights a network gives the same for every image.
        let _ = network.parameters().shallow_clone().f_zero_().unwrap();
        let learnt = measure(&network, Precision::Float32, data.train(), data.test()).unwrap().unwrap();
        assert_eq!((learnt.reconstruction_variance, learnt.code_variance), (0.0, 0.0));
        assert!(learnt.variance_explained < LEAST_EXPLAINED, "{learnt}");
        let warning = learnt.warning().unwrap();
        assert!(
            warning.starts_with("has learnt nothing yet: it rebuilds every image as nearly the same one"),
            "{warning}"
        );
        assert!(warning.ends_with("train longer"), "{warning}");
    }

    #[test]
    fn variance_explained_is_one_less_the_ratio_of_errors() {
        let data = scenes();
        let model = train(Architecture::conv(), &data, Training::default().epochs(30).batch_size(16));
        let learnt = model.history().learnt.unwrap();
        let (train, test) = (data.train().to_array(), data.test().to_array());
        let mean = train.mean_axis(ndarray::Axis(0)).unwrap();
        let rebuilt = model.reconstruct(data.test()).unwrap().to_array();
        let sum_of_squares =
            |difference: ndarray::Array4<f32>| difference.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
        let wanted = 1.0 - sum_of_squares(&test - &rebuilt) / sum_of_squares(&test - &mean);
        assert!((learnt.variance_explained - wanted).abs() < 1e-3, "{} and {wanted}", learnt.variance_explained);
        assert!(learnt.variance_explained > 0.2 && learnt.warning().is_none(), "{learnt}");
        assert!(learnt.variance_explained_normal.is_some());
    }

    #[test]
    fn watching_changes_no_weight_and_no_loss() {
        let data = scenes();
        let network = || Architecture::report_cnn();
        let training = Training::report_cnn().epochs(3).batch_size(16);
        let plain = train(network(), &data, training.clone());
        let watched = train(network(), &data, training.watch_every(2));
        assert_eq!(plain.network().snapshot().unwrap(), watched.network().snapshot().unwrap());
        let losses =
            |model: &Autoencoder| model.history().epochs.iter().map(|epoch| epoch.loss_mean).collect::<Vec<_>>();
        assert_eq!(losses(&plain), losses(&watched));
        assert_eq!(plain.history().kept, watched.history().kept);
        let epochs: Vec<usize> = watched.history().watched().map(|(epoch, _)| epoch).collect();
        assert_eq!(epochs, [2, 3], "every second epoch, and the last");
        assert!(plain.history().watched().next().is_none());
        assert!(watched.history().to_csv().lines().nth(2).unwrap().split(',').skip(5).all(|value| !value.is_empty()));
    }

    #[test]
    fn the_auc_is_that_of_the_metrics() {
        let scores = [0.1, 0.4, 0.35, 0.8, 0.4, 0.4];
        let anomalies = [false, false, true, true, true, false];
        assert_eq!(auc(&scores, &anomalies), crate::metrics::roc_auc(&scores, &anomalies).ok());
        assert_eq!(auc(&scores, &[true; 6]), None);
    }
}
