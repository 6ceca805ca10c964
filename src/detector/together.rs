//! Fits to images that lie with several processes.

use super::fitted::Fitted;
use super::measured::Measured;
use super::{Detector, Evaluation, FitOptions};
use crate::cluster::KMeans;
use crate::data::Images;
use crate::together::{Together, gather_bytes};
use crate::train::Autoencoder;
use crate::{Error, Result};
use std::sync::Arc;

impl Evaluation {
    /// Fits to the images of all processes, of which each gives its own: K-means, and the ways that learn nothing from
    /// images. The detector is the same in all but for the examples that it keeps, which are of each process's images.
    ///
    /// K-means is [`KMeans::fit_together`](crate::cluster::KMeans::fit_together).
    ///
    /// # Errors
    /// Those of [`Evaluation::fit`] and of K-means; [`Error::Setting`] for other ways of scoring. An error that only one
    /// process has must end the others: [`Together::abort`].
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// use diabolo::detector::FitOptions;
    /// let joined = diabolo::together::join()?; // one process, where mpirun has not started more
    /// let detector = KMeans(3).fit_together(&model, data.train(), FitOptions::default(), &*joined.together())?;
    /// assert_eq!(detector.n_fitted_to(), 32);
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn fit_together(
        &self,
        model: &Autoencoder,
        images: &Images,
        options: FitOptions,
        together: &dyn Together,
    ) -> Result<Detector> {
        if together.size() == 1 {
            return self.fit_with(model, images, options);
        }
        let fitted = match self {
            Self::Reconstruction => Fitted::Reconstruction,
            Self::LargestError => Fitted::LargestError,
            Self::KMeans(k) => {
                let settings = KMeans::new(*k).starts(options.n_starts).seed(options.seed);
                Fitted::KMeans(settings.fit_together(Measured::new(model, images).codes()?, together)?)
            }
            _ => {
                let wanted = "reconstruction, largest_error or kmeans_3, with any number";
                let next_step = "fit it in one process, or choose one of these";
                let found = format!("{} in several processes", self.key());
                return Err(Error::setting("evaluation", found, wanted, next_step));
            }
        };
        let detector = self.detector(model, images, Arc::new(fitted))?;
        let numbers = Vec::from_iter(detector.fitted_to.iter().flat_map(|number| number.to_le_bytes()));
        let numbers = gather_bytes(together, &numbers)?.concat();
        let number_of = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte));
        // A name that no image of this process has may be that of another's.
        let names = gather_bytes(together, detector.classes.join("\n").as_bytes())?;
        let are_there = Vec::from_iter(names.iter().map(|names| String::from_utf8_lossy(names)));
        let is_there = |name: &&String| are_there.iter().any(|names| names.split('\n').any(|there| there == **name));
        let classes = images.class_names().unwrap_or_default().iter().filter(is_there).cloned().collect();
        Ok(Detector { fitted_to: numbers.chunks(8).map(number_of).collect(), classes, ..detector })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Split, open};
    use crate::device::Device;
    use crate::model::Architecture;
    use crate::together::tests::in_threads;
    use crate::train::{Training, fit};
    use std::ops::ControlFlow;

    fn data() -> Split {
        open("scenes").unwrap().hold_out(&["boat", "car"]).unwrap().train_on_first(90).unwrap()
    }

    fn model() -> Autoencoder {
        let small = Architecture::parse("Linear(3072, 4)", "Linear(4, 3072) / Tanh()").unwrap();
        let training = Training::default().epochs(2).device(Device::Cpu);
        fit(small, &data(), training, |_| ControlFlow::Continue(())).unwrap()
    }

    #[test]
    fn a_detector_of_several_processes_knows_the_images_and_the_classes_of_all() {
        let (data, model) = (data(), model());
        let fit_to = |evaluation: &Evaluation, images: &Images, together: &dyn Together| {
            evaluation.fit_together(&model, images, FitOptions::default(), together).unwrap()
        };
        let alone = Evaluation::KMeans(2).fit(&model, data.train()).unwrap();
        for evaluation in [Evaluation::KMeans(2), Evaluation::Reconstruction] {
            let found = in_threads(3, |together| {
                let share = Vec::from_iter((together.rank()..90).step_by(together.size()));
                fit_to(&evaluation, &data.train().select(&share).unwrap(), &*together)
            });
            let few = data.test().first(20).unwrap();
            for detector in &found {
                assert_eq!((detector.n_fitted_to(), detector.classes()), (90, alone.classes()));
                assert_eq!(detector.score(&few).unwrap(), found[0].score(&few).unwrap());
            }
        }
    }

    #[test]
    fn ways_that_are_no_sums_are_refused() {
        let (data, model) = (data(), model());
        let messages = in_threads(2, |together| {
            let fitted = Evaluation::Mahalanobis.fit_together(&model, data.train(), FitOptions::default(), &*together);
            fitted.unwrap_err().to_string()
        });
        assert!(messages.iter().all(|message| message.contains("mahalanobis in several processes")), "{messages:?}");
    }
}
