//! The settings of a training.

use crate::device::{Device, Precision};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// The settings of a training, as a plain value that is saved beside its result.
///
/// # Example
/// ```
/// use diabolo::device::{Device, Precision};
/// use diabolo::train::{Keep, KlTerm, Optimizer, Training};
/// let quick = Training::report_cnn().epochs(2).batch_size(64).seed(7).device(Device::Cpu).max_seconds(60.0);
/// assert_eq!((quick.epochs, quick.batch_size, quick.learning_rate), (2, 64, 1e-3));
/// assert_eq!((quick.seed, quick.device, quick.max_seconds), (7, Device::Cpu, Some(60.0)));
///
/// let other = Training::default().optimizer(Optimizer::Sgd { momentum: 0.8 }).learning_rate(1e-2).keep(Keep::Last);
/// let other = other.kl_term(KlTerm::PerPixel(0.5)).precision(Precision::Bfloat16);
/// other.check()?;
/// # assert_eq!((other.learning_rate, other.keep, other.precision), (1e-2, Keep::Last, Precision::Bfloat16));
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Training {
    /// Passes over the training images, 1 to a billion. Default 20: enough for a first look.
    pub epochs: usize,
    /// Images per optimiser step, 1 to a billion; more than there are means all. Default 128, as in the course's sample code.
    pub batch_size: usize,
    /// How a gradient becomes a step. Default AdamW.
    pub optimizer: Optimizer,
    /// Step size, above 0. Default 1e-3, as in the report.
    pub learning_rate: f64,
    /// Which weights the finished model has. Default: those of the lowest epoch loss.
    pub keep: Keep,
    /// Weight of a Gaussian bottleneck's Kullback-Leibler term; without such a layer it does nothing.
    pub kl_term: KlTerm,
    /// All randomness follows from it: first weights, order, dropout, noise. Default 0.
    pub seed: u64,
    /// Where to compute. Default: CUDA where there is one, else the CPU.
    pub device: Device,
    /// Precision of the computation. Default: 32-bit floats.
    pub precision: Precision,
    /// Whether cuDNN has to add in a fixed order, so that one GPU gives one result, bit for bit, each time. Slower there; a
    /// CPU does so anyway, with one number of threads. Default: no.
    pub deterministic: bool,
    /// Training ends after the step in which this many seconds have passed since the call; a training in a folder goes on
    /// there with the next call, which has as many again. Default: no limit.
    pub max_seconds: Option<f64>,
    /// AUC and mean squared error of the test images are measured after every so many epochs and after the last, 1 or more;
    /// it changes no weight. Each time costs up to two passes over the test images. Default: never.
    pub watch_every: Option<usize>,
}

/// How a gradient becomes a step.
///
/// # Example
/// ```
/// use diabolo::train::{Optimizer, Training};
/// let settings = Training { optimizer: Optimizer::Sgd { momentum: 0.9 }, learning_rate: 0.01, ..Training::default() };
/// settings.check()?;
/// let without_an_end = Training { optimizer: Optimizer::Sgd { momentum: 1.0 }, ..Training::default() };
/// assert!(without_an_end.check().is_err());
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Optimizer {
    /// Stochastic gradient descent with PyTorch's form of momentum: `v = momentum v + g`, `w = w - rate v`.
    Sgd {
        /// Momentum, 0..1.
        momentum: f64,
    },
    /// Adam (Kingma and Ba, 2015) with betas 0.9 and 0.999, epsilon 1e-8.
    Adam,
    /// Adam with decoupled weight decay (Loshchilov and Hutter, 2019).
    AdamW {
        /// Share of a weight, times the learning rate, that each step takes off; PyTorch's default is 0.01.
        weight_decay: f64,
    },
}

/// Which weights the finished model has.
///
/// # Example
/// ```
/// use diabolo::train::{Keep, Training};
/// assert_eq!(Training::default().keep, Keep::LowestEpochLoss);
/// assert_eq!(Training::report_cnn().keep, Keep::LowestMinibatchLoss);
/// let settings = Training { keep: Keep::Last, ..Training::default() };
/// settings.check()?;
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// The weights that had the lowest loss on a single minibatch: the report's rule. It favours lucky batches.
    LowestMinibatchLoss,
    /// The weights at the end of the epoch with the lowest mean loss.
    #[default]
    LowestEpochLoss,
    /// The weights after the last step.
    Last,
}

/// The Kullback-Leibler divergence of the bottleneck's distribution from the standard normal, as a part of the loss.
///
/// # Example
/// ```
/// use diabolo::train::{KlTerm, Training};
/// assert_eq!(Training::default().kl_term, KlTerm::PerPixel(1.0));
/// let as_in_the_course = Training { kl_term: KlTerm::CourseSum, ..Training::default() };
/// as_in_the_course.check()?;
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KlTerm {
    /// `loss = mse + weight * (divergence of an image, summed over latents, mean over images) / (c * h * w)`.
    ///
    /// Both terms are then per pixel. 1 is the evidence lower bound for pixels with variance 1/2 (Kingma and Welling,
    /// 2014); other weights are those of Higgins et al., "beta-VAE", 2017.
    PerPixel(f64),
    /// `loss = mse + divergence summed over latents and images`, as in the course's sample code. The sum is thousands
    /// of times the mean squared error, so the code carries almost no information (posterior collapse).
    CourseSum,
}

impl Default for KlTerm {
    fn default() -> Self {
        Self::PerPixel(1.0)
    }
}

impl Default for Training {
    fn default() -> Self {
        Self {
            epochs: 20,
            batch_size: 128,
            optimizer: Optimizer::AdamW { weight_decay: 0.01 },
            learning_rate: 1e-3,
            keep: Keep::default(),
            kl_term: KlTerm::default(),
            seed: 0,
            device: Device::default(),
            precision: Precision::default(),
            deterministic: false,
            max_seconds: None,
            watch_every: None,
        }
    }
}

impl Training {
    /// The report's settings for its convolutional network (question 1): SGD, rate 1e-3, momentum 0.8, 2000 epochs, the
    /// weights of the lowest minibatch loss.
    ///
    /// # Example
    /// ```
    /// use diabolo::train::{Optimizer, Training};
    /// let settings = Training::report_cnn();
    /// assert_eq!((settings.epochs, settings.optimizer), (2000, Optimizer::Sgd { momentum: 0.8 }));
    /// ```
    pub fn report_cnn() -> Self {
        Self {
            epochs: 2000,
            optimizer: Optimizer::Sgd { momentum: 0.8 },
            keep: Keep::LowestMinibatchLoss,
            ..Self::default()
        }
    }

    /// The report's settings for the course's fully connected network (question 1): AdamW, rate 1e-3, 1000 epochs, the
    /// weights of the lowest minibatch loss.
    ///
    /// # Example
    /// ```
    /// use diabolo::train::{Optimizer, Training};
    /// let settings = Training::report_fcn();
    /// assert_eq!((settings.epochs, settings.optimizer), (1000, Optimizer::AdamW { weight_decay: 0.01 }));
    /// ```
    pub fn report_fcn() -> Self {
        Self { epochs: 1000, keep: Keep::LowestMinibatchLoss, ..Self::default() }
    }

    /// Sets the number of epochs.
    pub fn epochs(self, epochs: usize) -> Self {
        Self { epochs, ..self }
    }

    /// Sets the number of images per step.
    pub fn batch_size(self, batch_size: usize) -> Self {
        Self { batch_size, ..self }
    }

    /// Sets how a gradient becomes a step.
    pub fn optimizer(self, optimizer: Optimizer) -> Self {
        Self { optimizer, ..self }
    }

    /// Sets the step size.
    pub fn learning_rate(self, learning_rate: f64) -> Self {
        Self { learning_rate, ..self }
    }

    /// Sets which weights the finished model has.
    pub fn keep(self, keep: Keep) -> Self {
        Self { keep, ..self }
    }

    /// Sets the weight of the Kullback-Leibler term.
    pub fn kl_term(self, kl_term: KlTerm) -> Self {
        Self { kl_term, ..self }
    }

    /// Sets the seed.
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Sets the device.
    pub fn device(self, device: Device) -> Self {
        Self { device, ..self }
    }

    /// Sets the precision.
    pub fn precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// Sets whether a GPU has to give the same result, bit for bit, each time.
    ///
    /// # Example
    /// ```
    /// use diabolo::train::Training;
    /// assert!(!Training::default().deterministic && Training::default().deterministic(true).deterministic);
    /// ```
    pub fn deterministic(self, deterministic: bool) -> Self {
        Self { deterministic, ..self }
    }

    /// Sets the time after which training ends with the best model so far.
    pub fn max_seconds(self, max_seconds: f64) -> Self {
        Self { max_seconds: Some(max_seconds), ..self }
    }

    /// Measures AUC and mean squared error of the test images after every `n_epochs` epochs and after the last: the history
    /// has them, and the live figure a curve. No weight and no random number changes; each time costs up to two passes over
    /// the test images.
    ///
    /// # Example
    /// ```
    /// use diabolo::train::Training;
    /// let settings = Training::report_cnn().watch_every(10);
    /// assert_eq!(settings.watch_every, Some(10));
    /// ```
    pub fn watch_every(self, n_epochs: usize) -> Self {
        Self { watch_every: Some(n_epochs), ..self }
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// [`Error::Setting`] for the first one out of its range.
    ///
    /// # Example
    /// ```
    /// use diabolo::train::Training;
    /// Training::default().check()?;
    /// let error = Training::default().epochs(0).check().unwrap_err().to_string();
    /// assert_eq!(error, "setting epochs: found 0, wanted 1 or more; one epoch is one pass over the training images");
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn check(&self) -> Result<()> {
        /// So that steps and images can be counted: more than anybody waits for.
        const MOST: usize = 1_000_000_000;
        let at_least_one = |name, value: usize, next_step: &str| match value {
            1..=MOST => Ok(()),
            0 => Err(Error::setting(name, "0", "1 or more", next_step)),
            _ => Err(Error::setting(name, value.to_string(), format!("1 to {MOST}"), next_step)),
        };
        let within = |name, value: f64, legal: bool, wanted: &str, next_step: &str| match legal {
            true => Ok(()),
            false => Err(Error::setting(name, value.to_string(), wanted, next_step)),
        };
        at_least_one("epochs", self.epochs, "one epoch is one pass over the training images")?;
        at_least_one("batch_size", self.batch_size, "128 is the course's choice")?;
        let rate = self.learning_rate;
        within(
            "learning_rate",
            rate,
            rate.is_finite() && rate > 0.0,
            "a number above 0",
            "try 1e-3, the report's rate",
        )?;
        if let Optimizer::Sgd { momentum } = self.optimizer {
            within(
                "momentum",
                momentum,
                (0.0..1.0).contains(&momentum),
                "0 or more and below 1",
                "the report has 0.8",
            )?;
        }
        if let Optimizer::AdamW { weight_decay } = self.optimizer {
            let legal = weight_decay.is_finite() && weight_decay >= 0.0;
            within("weight_decay", weight_decay, legal, "0 or more", "PyTorch's default is 0.01")?;
        }
        if let KlTerm::PerPixel(weight) = self.kl_term {
            within(
                "kl_term",
                weight,
                weight.is_finite() && weight >= 0.0,
                "a weight of 0 or more",
                "1 is the usual one",
            )?;
        }
        if let Some(n_epochs) = self.watch_every {
            at_least_one("watch_every", n_epochs, "leave it out to watch nothing")?;
        }
        if let Some(seconds) = self.max_seconds {
            let legal = seconds.is_finite() && seconds > 0.0;
            within("max_seconds", seconds, legal, "a number above 0", "leave it out for no limit")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_refused(training: Training, message: &str) {
        assert_eq!(training.check().unwrap_err().to_string(), message);
    }

    #[test]
    fn no_epochs_are_an_error() {
        check_refused(
            Training::default().epochs(0),
            "setting epochs: found 0, wanted 1 or more; one epoch is one pass over the training images",
        );
    }

    #[test]
    fn an_empty_batch_is_an_error() {
        check_refused(
            Training::default().batch_size(0),
            "setting batch_size: found 0, wanted 1 or more; 128 is the course's choice",
        );
    }

    #[test]
    fn a_negative_rate_is_an_error() {
        let message = "setting learning_rate: found -1, wanted a number above 0; try 1e-3, the report's rate";
        check_refused(Training { learning_rate: -1.0, ..Training::default() }, message);
        assert!(Training { learning_rate: f64::NAN, ..Training::default() }.check().is_err());
    }

    #[test]
    fn momentum_of_one_is_an_error() {
        check_refused(
            Training { optimizer: Optimizer::Sgd { momentum: 1.0 }, ..Training::default() },
            "setting momentum: found 1, wanted 0 or more and below 1; the report has 0.8",
        );
    }

    #[test]
    fn no_time_at_all_is_an_error() {
        check_refused(
            Training::default().max_seconds(0.0),
            "setting max_seconds: found 0, wanted a number above 0; leave it out for no limit",
        );
    }

    #[test]
    fn endless_time_is_an_error() {
        let message = "setting max_seconds: found inf, wanted a number above 0; leave it out for no limit";
        check_refused(Training::default().max_seconds(f64::INFINITY), message);
    }

    #[test]
    fn settings_survive_json() {
        let settings = Training { kl_term: KlTerm::CourseSum, max_seconds: Some(2.5), ..Training::report_cnn() };
        let json = serde_json::to_string(&settings).unwrap();
        assert_eq!(serde_json::from_str::<Training>(&json).unwrap(), settings);
        let unknown = serde_json::from_str::<Training>(r#"{"epoch": 3}"#).unwrap_err().to_string();
        assert!(unknown.contains("unknown field `epoch`"), "{unknown}");
    }
}
