//! The settings of a sweep: images, network, training and ways of scoring.

use super::{Item, SweepRow};
use crate::data::{ImageShape, Split, fingerprint_of_all_classes};
use crate::detector::FitOptions;
use crate::evaluation::{Evaluation, FitOn, score_all};
use crate::files::fingerprint;
use crate::model::Architecture;
use crate::run::first_difference;
use crate::score::Scores;
use crate::train::{Progress, StoppedBecause, Training, fit};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// What is trained for each pair and seed, and how test images are then scored.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// use diabolo::sweep::Experiment;
/// let experiment = Experiment::new(small, Training::default().epochs(1), &[Reconstruction, KMeans(2)]);
/// assert_eq!(experiment.fit_on, FitOn::Test, "as the report has it");
/// assert_eq!(experiment.seeds, [0], "that of the training");
/// let experiment = experiment.fit_on(FitOn::Train).seeds(&[0, 1, 2]);
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Experiment {
    /// The network.
    pub architecture: Architecture,
    /// Its training, but for the seed.
    pub training: Training,
    /// The ways in which test images are scored.
    pub evaluations: Vec<Evaluation>,
    /// What distances between codes are fitted to.
    pub fit_on: FitOn,
    /// Each pair is trained for with each of these seeds.
    pub seeds: Vec<u64>,
}

impl Experiment {
    /// One network, its training and some ways of scoring, distances being fitted to the test codes as in the report, so
    /// that AUCs can be compared with its own. The only seed is the training's.
    pub fn new(architecture: Architecture, training: Training, evaluations: &[Evaluation]) -> Self {
        let seeds = vec![training.seed];
        Self { architecture, training, evaluations: evaluations.to_vec(), fit_on: FitOn::Test, seeds }
    }

    /// Chooses what distances between codes are fitted to.
    pub fn fit_on(self, fit_on: FitOn) -> Self {
        Self { fit_on, ..self }
    }

    /// Trains with each of these seeds for every pair, so that results have a mean, a spread and an interval over seeds.
    pub fn seeds(self, seeds: &[u64]) -> Self {
        Self { seeds: seeds.to_vec(), ..self }
    }
}

/// What is trained and measured for each pair and seed.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// # let folder = tempfile::tempdir().unwrap();
/// # let runs = folder.path().to_str().unwrap();
/// let sweep = sweep(small, &data, Training::default().epochs(1), &data.class_pairs(1)?, &[Reconstruction], runs)?;
/// let settings = &sweep.settings;
/// assert_eq!((settings.n_train, settings.n_test), (48, 48), "images of all classes");
/// assert_eq!((settings.image_shape, settings.classes.len()), (Some([1, 8, 8]), 3));
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepSettings {
    /// Name of the data.
    pub data: String,
    /// Training images of all classes.
    pub n_train: usize,
    /// Test images.
    pub n_test: usize,
    /// Shape of an image; `None` in results of versions that did not record it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_shape: Option<ImageShape>,
    /// A number that follows from the labels and from the pixels of up to 1,024 images of either part; `None` in results
    /// of versions that did not note it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// All classes.
    pub classes: Vec<String>,
    /// The network.
    pub architecture: Architecture,
    /// Its training. Of a sweep over several seeds this has the first.
    pub training: Training,
    /// The ways in which test images are scored.
    pub evaluations: Vec<Evaluation>,
    /// What distances between codes are fitted to.
    pub fit_on: FitOn,
}

impl SweepSettings {
    pub(super) fn new(experiment: &Experiment, split: &Split) -> Result<Self> {
        let Experiment { architecture, mut training, evaluations, fit_on, seeds } = experiment.clone();
        let Some(&first) = seeds.first() else {
            return Err(Error::setting("seeds", "none", "one or more", "leave it out for the seed of the training"));
        };
        training.seed = first;
        let all = split.train_of_all_classes();
        Ok(Self {
            data: split.name().into(),
            n_train: all.len(),
            n_test: split.test().len(),
            image_shape: Some(all.shape()),
            fingerprint: Some(fingerprint_of_all_classes(split)?),
            classes: all.class_names().unwrap_or_default().to_vec(),
            architecture,
            training,
            evaluations,
            fit_on,
        })
    }

    /// The same with another seed.
    pub(super) fn with_seed(&self, seed: u64) -> Self {
        Self { training: self.training.clone().seed(seed), ..self.clone() }
    }

    /// The first setting that differs but for the seed, with both values.
    pub(super) fn difference(&self, here: &Self) -> Option<String> {
        let comparable = |settings: &Self| serde_json::to_value(settings.with_seed(0)).expect("plain values are JSON");
        first_difference("", &comparable(self), &comparable(here))
    }

    /// As earlier versions wrote them, which did not record what the images are.
    pub(super) fn without_identity(&self) -> Self {
        Self { image_shape: None, fingerprint: None, ..self.clone() }
    }

    /// Trains and scores for one pair and seed; `None` when training was interrupted.
    pub(super) fn row(
        &self,
        split: &Split,
        Item { held_out, seed }: &Item,
        observe: impl FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<Option<SweepRow>> {
        let split = split.hold_out(&held_out.each_ref().map(String::as_str))?;
        let model = fit(self.architecture.clone(), &split, self.training.clone().seed(*seed), observe)?;
        let history = model.history();
        if history.stopped_because == StoppedBecause::Interrupted {
            return Ok(None);
        }
        // No row shows an interval, so none is computed: that would be a thousand resamples for each row.
        let scored = score_all(&model, &split, &self.evaluations, self.fit_on, FitOptions::default())?;
        let auc = |(evaluation, scores): (Evaluation, Result<Scores, _>)| {
            let auc = match scores.map(|scores| scores.auc()) {
                Ok(Ok(auc)) => Some(auc),
                // What codes, scores or labels do not allow.
                Err(_) | Ok(Err(Error::Data { .. } | Error::Setting { .. })) => None,
                Ok(Err(error)) => return Err(error),
            };
            Ok((evaluation.key(), auc))
        };
        Ok(Some(SweepRow {
            held_out: held_out.clone(),
            seed: *seed,
            auc: scored.into_iter().map(auc).collect::<Result<_>>()?,
            loss_last: history.loss_last(),
            stopped_because: history.stopped_because.clone(),
            seconds: history.seconds,
            auc_by_epoch: history.watched().filter_map(|(epoch, watched)| Some((epoch, watched.auc_kept?))).collect(),
        }))
    }

    /// The folder of these settings, whatever the seed.
    pub(super) fn folder(&self, within: &Path) -> PathBuf {
        within.join(self.with_seed(0).file_name())
    }

    /// The one file in which earlier versions had all results of these settings.
    pub(super) fn file_of_earlier_versions(&self, within: &Path) -> PathBuf {
        within.join(format!("{}.json", self.file_name()))
    }

    fn file_name(&self) -> String {
        let json = serde_json::to_string(self).expect("plain values are JSON");
        format!("{}{:08x}", self.start_of_name(), fingerprint(json.bytes()) >> 32)
    }

    /// What the names of all sweeps of this network on these data begin with.
    pub(super) fn start_of_name(&self) -> String {
        format!("sweep-{}-{}-", plain(&self.architecture.name), plain(&self.data))
    }

    /// The results file of one training. The classes' numbers keep apart what would have one name.
    pub(super) fn item_file_name(&self, item: &Item) -> String {
        let number_of =
            |class: &String| self.classes.iter().position(|known| known == class).unwrap_or(self.classes.len());
        let [first, second] = &item.held_out;
        let short = |class: &str| plain(class).chars().take(40).collect::<String>();
        let (numbers, names) = ([number_of(first), number_of(second)], [short(first), short(second)]);
        format!("{}-{}-{}-{}-seed-{}.json", numbers[0], numbers[1], names[0], names[1], item.seed)
    }
}

/// A name of the user's as a part of a file's: none leads to another folder.
fn plain(name: &str) -> String {
    name.replace(|c: char| !c.is_alphanumeric() && c != '_' && c != '.', "-")
}
