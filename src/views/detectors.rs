//! What a detector finds, as tables and figures.

use crate::data::Images;
use crate::detector::{Detections, ErrorMaps};
use crate::evaluation::Comparison;
use crate::figure::{CaptionedImage, Figure, image_grid, number};
use crate::metrics::{Interval, Positive, confusion, roc_auc};
use crate::table::Table;
use crate::{Error, Result};
use ndarray::{Array2, Array3, Axis, s};

/// Images side by side in a figure.
const N_COLUMNS: usize = 9;
/// The colour of the largest error, red, green and blue in -1..=1: vermilion, which the colour-blind see as well.
const HOT: [f32; 3] = [0.67, -0.26, -1.0];
/// How much of the image that colour hides.
const MOST_COVER: f32 = 0.8;

impl Detections {
    /// What was found and, where labels are known, how much of it is right.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// let detector = Reconstruction.fit(&model, data.train())?.with_threshold(Threshold::Contamination(0.25), data.test())?;
    /// let table = detector.detect(data.test())?.table();
    /// assert_eq!(table.rows[0], ["images", "48"]);
    /// assert_eq!((table.rows[1][0].as_str(), table.rows[2][0].as_str()), ("called anomalies", "threshold"));
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn table(&self) -> Table {
        let Self { scores, is_anomaly, .. } = self;
        let mut table = Table::new(&format!("{}: anomalies by {}", scores.model, scores.name), &["", ""]);
        let mut row = |name: &str, value: String| table.push(vec![name.into(), value]);
        let n = is_anomaly.len();
        row("images", n.to_string());
        row(
            "called anomalies",
            format!("{} ({:.1} %)", self.n_anomalies(), 100.0 * self.n_anomalies() as f64 / n as f64),
        );
        row("threshold", self.rule());
        let counts = scores.labels("counting anomalies").and_then(|anomalies| {
            let counts = confusion(&scores.values, anomalies, self.threshold, Positive::Anomaly)?;
            Ok((counts, roc_auc(&scores.values, anomalies)?))
        });
        match counts {
            Ok((counts, auc)) => {
                row("anomalies found (sensitivity)", format!("{:.3}", counts.sensitivity()));
                row("false alarms (1 - specificity)", format!("{:.3}", 1.0 - counts.specificity()));
                row("AUC", format!("{auc:.5}"));
            }
            Err(reason) => row("AUC", format!("none: {reason}")),
        }
        table
    }

    /// How well each kind of anomaly is found: for each class the number of its images, the share that is called
    /// anomalies, and the AUC of its images against all normal ones, where they are anomalies.
    ///
    /// # Errors
    /// [`Error::Data`] where classes or labels are not known, or no image is normal.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// let detector = Reconstruction.fit(&model, data.train())?.with_threshold(Threshold::Contamination(0.25), data.test())?;
    /// let table = detector.detect(data.test())?.by_class()?;
    /// assert_eq!(table.headers, ["class", "images", "called anomalies", "AUC"]);
    /// assert_eq!(table.rows[0][..2], ["dots (anomaly)", "16"]);
    /// assert_eq!((table.rows.len(), table.rows[1][3].as_str()), (3, ""));
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn by_class(&self) -> Result<Table> {
        let doing = "measuring each class";
        let anomalies = self.scores.labels(doing)?;
        let (Some(names), Some(classes)) = (self.images.class_names(), self.images.class_indices()) else {
            let next_step = "open class folders, or a source with classes";
            return Err(Error::data(doing, "images without classes", "a class for every image", next_step));
        };
        let caption = format!("{}: {} by class", self.scores.model, self.scores.name);
        let mut table = Table::new(&caption, &["class", "images", "called anomalies", "AUC"]);
        for (class, name) in names.iter().enumerate() {
            let members = Vec::from_iter((0..classes.len()).filter(|&image| classes[image] == class));
            if members.is_empty() {
                continue;
            }
            let is_anomaly_class = members.iter().all(|&image| anomalies[image]);
            let n_called = members.iter().filter(|&&image| self.is_anomaly[image]).count();
            let auc =
                if is_anomaly_class { format!("{:.5}", self.auc_of(&members, anomalies)?) } else { String::new() };
            table.push(vec![
                if is_anomaly_class { format!("{name} (anomaly)") } else { name.clone() },
                members.len().to_string(),
                format!("{:.1} %", 100.0 * n_called as f64 / members.len() as f64),
                auc,
            ]);
        }
        Ok(table)
    }

    /// AUC of some anomalies against all normal images.
    fn auc_of(&self, some: &[usize], anomalies: &[bool]) -> Result<f64> {
        let normal = (0..anomalies.len()).filter(|&image| !anomalies[image]);
        let images = Vec::from_iter(some.iter().copied().chain(normal));
        let scores: Vec<f64> = images.iter().map(|&image| self.scores.values[image]).collect();
        roc_auc(&scores, &images.iter().map(|&image| anomalies[image]).collect::<Vec<_>>())
    }

    /// The `k` images with the highest scores, highest first: what to look at first, and for
    /// [`Detector::map`](crate::detector::Detector::map).
    ///
    /// # Errors
    /// [`Error::Setting`] when `k` is 0 or larger than the number of images.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// let detector = Reconstruction.fit(&model, data.train())?.with_threshold(Threshold::Quantile(0.9), data.test())?;
    /// let worst = detector.detect(data.test())?.worst(4)?;
    /// assert_eq!(detector.map(&worst)?.values.dim(), (4, 8, 8));
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn worst(&self, k: usize) -> Result<Images> {
        let n = self.is_anomaly.len();
        if !(1..=n).contains(&k) {
            return Err(Error::setting("k", k.to_string(), format!("1 to {n}, the images scored"), "9 fill a row"));
        }
        self.images.select(&self.scores.order()[..k])
    }

    /// The `k` images with the highest scores, highest first, each with its score and p-value.
    ///
    /// # Errors
    /// As [`Detections::worst`], and [`Error::Data`] for more images than a figure can hold.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// let detector = Reconstruction.fit(&model, data.train())?.with_threshold(Threshold::Quantile(0.9), data.test())?;
    /// let figure = detector.detect(data.test())?.figure(9)?;
    /// assert!(figure.alt().starts_with("small: the 9 highest of reconstruction error (MSE)"));
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn figure(&self, k: usize) -> Result<Figure> {
        let worst = self.worst(k)?;
        let captioned = |(image, index): (Array3<f32>, usize)| {
            let p_value =
                self.p_values.as_ref().map_or(String::new(), |p_values| format!(", p = {:.3}", p_values[index]));
            let class = self.images.class_of(index).map_or(String::new(), |name| format!("\n{name}"));
            let called = if self.is_anomaly[index] { "\nanomaly" } else { "" };
            CaptionedImage {
                image,
                caption: format!("#{index}: {}{p_value}{class}{called}", number(self.scores.values[index])),
            }
        };
        let title = format!("{}: the {k} highest of {}", self.scores.model, self.scores.name);
        image_grid(&title, &worst.iter().zip(self.scores.order()).map(captioned).collect::<Vec<_>>(), N_COLUMNS.min(k))
    }
}

impl ErrorMaps {
    /// The first nine images, and below each the same in grey with the error laid over it: the redder, the larger, up to
    /// the largest error of these images.
    ///
    /// # Errors
    /// [`Error::Data`] when an error is not a number.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// let figure = Reconstruction.fit(&model, data.train())?.map(data.test())?.figure()?;
    /// assert!(figure.alt().starts_with("small: where the reconstruction differs"));
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn figure(&self) -> Result<Figure> {
        let n = N_COLUMNS.min(self.images.len());
        let largest = self.values.slice(s![..n, .., ..]).iter().copied().fold(0.0, f32::max);
        let original = |(index, image)| {
            let class = self.images.class_of(index).map_or(String::new(), |name| format!(": {name}"));
            CaptionedImage { image, caption: format!("image {}{class}", index + 1) }
        };
        let laid_over = |(map, image): (ndarray::ArrayView2<f32>, Array3<f32>)| CaptionedImage {
            image: overlay(&image, &map.to_owned(), largest),
            caption: format!("largest error {}", number(map.iter().copied().fold(0.0, f32::max).into())),
        };
        let originals = self.images.iter().take(n).enumerate().map(original);
        let maps = self.values.axis_iter(Axis(0)).zip(self.images.iter()).take(n).map(laid_over);
        let title = format!("{}: where the reconstruction differs", self.model);
        image_grid(&title, &originals.chain(maps).collect::<Vec<_>>(), n)
    }
}

/// The image in grey, `[3, h, w]`, with a map of errors in 0..=`largest` laid over it in colour.
fn overlay(image: &Array3<f32>, map: &Array2<f32>, largest: f32) -> Array3<f32> {
    let grey = image.mean_axis(Axis(0)).expect("an image has channels");
    Array3::from_shape_fn((3, map.nrows(), map.ncols()), |(channel, y, x)| {
        let share = if largest > 0.0 { MOST_COVER * map[[y, x]] / largest } else { 0.0 };
        grey[[y, x]] + (HOT[channel] - grey[[y, x]]) * share
    })
}

impl Comparison {
    /// Both AUCs, their difference with two intervals, and the p-value.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// let table = score_table(&model, &data, &[Reconstruction, KMeans(3)])?;
    /// let comparison = table.compare(&Reconstruction, &KMeans(3))?.table();
    /// assert_eq!(comparison.rows[0][0], "AUC of reconstruction error (MSE)");
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn table(&self) -> Table {
        let mut table = Table::new(&format!("{}: two scores of the same images", self.model), &["", ""]);
        let mut row = |name: String, value: String| table.push(vec![name, value]);
        let interval = |Interval { low, high, .. }: Interval| format!("{low:+.4} to {high:+.4}");
        row(format!("AUC of {}", self.first), format!("{:.5}", self.aucs.first));
        row(format!("AUC of {}", self.second), format!("{:.5}", self.aucs.second));
        row("difference".into(), format!("{:+.5}", self.aucs.difference.value));
        row("95 % interval (DeLong)".into(), interval(self.aucs.difference));
        row("95 % interval (paired bootstrap)".into(), interval(self.bootstrap));
        let verdict = if self.are_told_apart() { "told apart" } else { "these images cannot tell them apart" };
        row("p-value (DeLong)".into(), format!("{}: {verdict}", self.p_value_in_words()));
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn the_largest_error_is_red_and_no_error_is_grey() {
        let image = array![[[1.0, 0.0]], [[0.0, 0.0]], [[-1.0, 0.0]]];
        let laid_over = overlay(&image, &array![[0.0, 2.0]], 2.0);
        assert_eq!(laid_over.slice(s![.., 0, 0]).to_vec(), [0.0; 3], "the mean of the channels");
        assert_eq!(laid_over.slice(s![.., 0, 1]).to_vec(), HOT.map(|value| value * MOST_COVER));
        assert!(overlay(&image, &array![[0.0, 0.0]], 0.0).iter().all(|value| value.is_finite()));
    }
}
