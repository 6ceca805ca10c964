//! Figures and tables of results; `display` shows them.

mod detectors;
mod evaluations;
mod maps;
mod sweeps;

pub use evaluations::{constant_models, f1_against_prevalence, precision_recall, roc, roc_axes};
pub use maps::{Map, Maps, OneGroup, diffusion_map, latent_map, pca_map, two_groups};
pub use sweeps::{compare_over_pairs, nearest_pairs};

use crate::Result;
use crate::data::{Images, Split};
use crate::device::shuffled_rows;
use crate::figure::{AxisRange, Histogram, HistogramPanel};
use crate::figure::{
    CaptionedImage, Figure, LineChart, Mark, Pair, PairBlock, Series, histogram, image_grid, line_chart, pair_grid,
};
use crate::model::Plan;
use crate::score::{Picks, Ranking, Scores};
use crate::table::Table;
use crate::train::{Autoencoder, History, Learnt, Watched};

/// Number of images in the preview of a data set.
const PEEK: usize = 16;

/// Draws the report's question 1: for each model the `k` test images that it reconstructs worst and the `k` that it
/// rebuilds best, each as original, reconstruction and error. With two models and `k = 2` these are its sixteen pictures.
///
/// # Errors
/// Those of [`Autoencoder::rank`], [`Ranking::worst`] and [`pair_grid`].
///
/// # Source
/// Report, question 1.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// let figure = compare(&[&model], &data, 2)?;
/// assert!(figure.alt().starts_with("Rebuilt worst and best: 2 of each, drawn"));
/// assert!(compare(&[], &data, 2).is_err());
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn compare(models: &[&Autoencoder], split: &Split, k: usize) -> Result<Figure> {
    let block = |model: &&Autoencoder| {
        let ranking = model.rank(split.test())?;
        Ok(PairBlock { title: model.name().into(), worst: ranking.worst(k)?.pairs(), best: ranking.best(k)?.pairs() })
    };
    let blocks = models.iter().map(block).collect::<Result<Vec<_>>>()?;
    pair_grid(&format!("Rebuilt worst and best: {k} of each, {}", split.name()), &blocks)
}

impl Picks {
    /// The picks as pairs of original and reconstruction.
    fn pairs(&self) -> Vec<Pair> {
        let images = self.originals.iter().zip(self.reconstructions.iter()).enumerate();
        images
            .zip(&self.picks)
            .map(|((position, (original, reconstruction)), pick)| Pair {
                image_idx: pick.index,
                original,
                reconstruction,
                mse: pick.mse,
                l2_norm: pick.l2_norm,
                class_name: self.originals.class_of(position).map(String::from),
                is_anomaly: self.originals.anomalies().map(|anomalies| anomalies[position]),
            })
            .collect()
    }

    /// The images with their errors below, in the ranking's order.
    ///
    /// # Errors
    /// [`Error::Data`](crate::Error::Data) for more images than a figure can hold.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// let figure = model.rank(data.test())?.worst(9)?.figure()?;
    /// assert!(figure.alt().starts_with("small: the 9 worst rebuilt, with their MSE"));
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn figure(&self) -> Result<Figure> {
        let captioned = |pair: Pair| {
            let class = pair.class_name.map_or(String::new(), |name| format!("\n{name}"));
            let anomaly = if pair.is_anomaly == Some(true) { "\nanomaly" } else { "" };
            let caption = format!("#{}: {:.4}{class}{anomaly}", pair.image_idx, pair.mse);
            CaptionedImage { image: pair.original, caption }
        };
        image_grid(
            &format!("{}, with their MSE", self.title),
            &self.pairs().into_iter().map(captioned).collect::<Vec<_>>(),
            3,
        )
    }
}

impl Images {
    /// A few images, chosen at random with a fixed seed, with their classes: a first look at a data set.
    ///
    /// # Errors
    /// [`Error::Data`](crate::Error::Data) when an image has neither one nor three channels.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// let figure = data.test().figure("A first look")?;
    /// assert!(figure.alt().starts_with("A first look: 16 images"));
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn figure(&self, title: &str) -> Result<Figure> {
        let drawn = shuffled_rows(self.len(), 0, 0).into_iter().take(PEEK);
        let indices: Vec<usize> = drawn.map(|row| row as usize).collect();
        let peek = self.select(&indices)?;
        let captioned = |(position, image)| CaptionedImage {
            image,
            caption: match peek.class_of(position) {
                Some(class) => format!("#{}\n{class}", indices[position]),
                None => format!("#{}", indices[position]),
            },
        };
        image_grid(title, &peek.iter().enumerate().map(captioned).collect::<Vec<_>>(), 8)
    }
}

impl History {
    /// The loss by epoch, with the epoch whose weights were kept.
    ///
    /// # Errors
    /// [`Error::Data`](crate::Error::Data) when no epoch was finished.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// assert!(model.history().figure()?.alt().starts_with("Loss by epoch"));
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn figure(&self) -> Result<Figure> {
        let series = |name: &str, loss: fn(&crate::train::Epoch) -> f64| Series {
            name: name.into(),
            points: self.epochs.iter().zip(1..).map(|(epoch, number)| (f64::from(number), loss(epoch))).collect(),
        };
        line_chart(&LineChart {
            title: "Loss by epoch".into(),
            x_title: "epoch".into(),
            y_title: "loss".into(),
            series: vec![
                series("mean of the epoch", |epoch| epoch.loss_mean),
                series("lowest minibatch", |epoch| epoch.loss_lowest_minibatch),
            ],
            marks: Vec::from_iter(
                self.kept.map(|kept| Mark { x: kept.epoch as f64, text: format!("kept: epoch {}", kept.epoch) }),
            ),
        })
    }

    /// AUC of the test images by epoch, of the weights as they stood and of those that were kept; their mean squared error
    /// where there are no anomaly labels.
    ///
    /// # Errors
    /// [`Error::Data`](crate::Error::Data) when the training was not watched.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// let settings = Training::default().epochs(4).watch_every(1);
    /// let watched = diabolo::train::fit(small, &data, settings, go_on)?;
    /// assert!(watched.history().watched_figure()?.alt().starts_with("AUC of the test images by epoch"));
    /// assert!(model.history().watched_figure().is_err());
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn watched_figure(&self) -> Result<Figure> {
        watched_chart(&self.watched().map(|(epoch, watched)| (epoch, *watched)).collect::<Vec<_>>())
    }

    /// The numbers of a training.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// let table = model.history().table();
    /// assert_eq!(table.rows[0], ["epochs", "2"]);
    /// assert_eq!(table.rows.last().unwrap()[..], ["ended because", "all epochs were done"]);
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn table(&self) -> Table {
        let mut table = Table::new("Training", &["", ""]);
        let mut row = |name: &str, value: String| table.push(vec![name.into(), value]);
        row("epochs", self.epochs.len().to_string());
        row("time", format!("{:.1} s", self.seconds));
        row("speed", self.epochs.last().map_or("-".into(), |epoch| format!("{:.0} images/s", epoch.images_per_second)));
        row("device", self.device.clone());
        let loss_or_dash = |loss: Option<f64>| loss.map_or("-".into(), |loss| format!("{loss:.4}"));
        row("loss of the first minibatch", loss_or_dash(self.loss_first));
        row("mean loss of the last epoch", loss_or_dash(self.loss_last()));
        row(
            "kept",
            self.kept.map_or("the first weights".into(), |kept| format!("epoch {}, loss {:.4}", kept.epoch, kept.loss)),
        );
        learnt_rows(self.learnt, &mut row);
        if let Some((epoch, Watched { auc: Some(auc), .. })) = self.watched().last() {
            row("AUC of the test images", format!("{auc:.4} after epoch {epoch}"));
        }
        row("ended because", self.stopped_because.to_string());
        self.notes.iter().for_each(|note| row("note", note.clone()));
        table
    }
}

/// What a model has learnt by the test images of its training, as rows of a table.
fn learnt_rows(learnt: Option<Learnt>, row: &mut impl FnMut(&str, String)) {
    let Some(learnt) = learnt else { return };
    row("variance explained, test images", format!("{:.4}", learnt.variance_explained));
    if let Some(normal) = learnt.variance_explained_normal {
        row("variance explained, normal test images", format!("{normal:.4}"));
    }
    row("variance of the reconstructions / of the images", format!("{:.4}", learnt.reconstruction_variance));
}

/// AUC, or mean squared error where there is none, of the epochs that were watched.
pub(crate) fn watched_chart(watched: &[(usize, Watched)]) -> Result<Figure> {
    let has_auc = watched.iter().any(|(_, watched)| watched.auc.is_some());
    let series = |name: &str, auc: fn(&Watched) -> Option<f64>, mse: fn(&Watched) -> f64| Series {
        name: name.into(),
        points: watched
            .iter()
            .filter_map(|(epoch, watched)| {
                let value = if has_auc { auc(watched) } else { Some(mse(watched)) };
                value.map(|value| (*epoch as f64, value))
            })
            .collect(),
    };
    let what = if has_auc { "AUC" } else { "MSE" };
    line_chart(&LineChart {
        title: format!("{what} of the test images by epoch"),
        x_title: "epoch".into(),
        y_title: what.into(),
        series: vec![
            series("weights after the epoch", |watched| watched.auc, |watched| watched.mse),
            series("weights kept so far", |watched| watched.auc_kept, |watched| watched.mse_kept),
        ],
        marks: Vec::new(),
    })
}

impl Plan {
    /// Layers, shapes and parameters; a `+` marks a layer that the notation leaves out.
    ///
    /// # Example
    /// ```
    /// let table = diabolo::model::Architecture::vae().plan([3, 32, 32])?.table();
    /// assert_eq!(table.rows[0], ["encoder", "+ Flatten()", "[3072]", "0"]);
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn table(&self) -> Table {
        let caption = format!(
            "{}: images of {:?}, code of {} values, {} parameters",
            self.name,
            self.image_shape,
            self.n_latents(),
            self.n_parameters()
        );
        let mut table = Table::new(&caption, &["part", "layer", "output", "parameters"]);
        for row in self.rows() {
            let mark = if row.inserted { "+ " } else { "" };
            let layer = format!("{mark}{}", row.layer);
            table.push(vec![row.part.to_string(), layer, row.output, row.n_parameters.to_string()]);
        }
        table
    }
}

impl Ranking {
    /// How well the model reconstructs the images and, where labels are known, how well that finds the anomalies.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// let table = model.rank(data.test())?.table();
    /// assert_eq!(table.rows[0], ["images", "48"]);
    /// assert_eq!(table.rows[2][0], "AUC");
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn table(&self) -> Table {
        let mut table = Table::new(&format!("{}: images by {}", self.scores.model, self.scores.name), &["", ""]);
        let [worst, best] = self.extremes(9);
        let few = |indices: &[usize]| indices.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
        let mut row = |name: &str, value: String| table.push(vec![name.into(), value]);
        row("images", self.order.len().to_string());
        row("mean MSE", format!("{:.4}", self.mse_mean()));
        row("AUC", self.scores.auc().map_or_else(|reason| format!("none: {reason}"), |auc| format!("{auc:.5}")));
        row("rebuilt worst", few(&worst));
        row("rebuilt best", few(&best));
        learnt_rows(self.learnt(), &mut row);
        table
    }
}

impl Scores {
    /// A histogram of the scores.
    ///
    /// # Errors
    /// [`Error::Data`](crate::Error::Data) when there is no score.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// let figure = model.score(data.test())?.figure()?;
    /// assert!(figure.alt().starts_with("small: reconstruction error (MSE)"));
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn figure(&self) -> Result<Figure> {
        histogram(&Histogram {
            title: format!("{}: {}", self.model, self.name),
            x_title: self.name.clone(),
            y_title: "images".into(),
            n_bins: 50,
            x_range: AxisRange::Own,
            y_range: AxisRange::Own,
            panels: vec![HistogramPanel { title: self.model.clone(), values: self.values.clone() }],
        })
    }
}
