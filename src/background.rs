//! How much of the reconstruction error is explained by brightness and other simple image statistics, as the report
//! suspects, and a score without that part.

use crate::data::{ImageStatistics, Images};
use crate::metrics::{LinearFit, pearson_correlation, spearman_correlation};
use crate::score::Scores;
use crate::table::Table;
use crate::train::Autoencoder;
use crate::{Error, Result};
use ndarray::Array3;

/// Width in pixels of the image border that is taken as the background.
const FRAME_PX: usize = 2;
/// Mean of the frame above which a background counts as white, pixels in -1..=1: 230 of 255.
const WHITE: f32 = 0.8;

impl Images {
    /// Whether the two-pixel frame of each image is close to white (mean above 0.8, pixels in -1..=1).
    ///
    /// # Example
    /// ```
    /// use diabolo::data::Images;
    /// use diabolo::ndarray::Array4;
    /// // A black square on white, and a white square on black.
    /// let inside = |y: usize, x: usize| (2..6).contains(&y) && (2..6).contains(&x);
    /// let pixels = Array4::from_shape_fn((2, 1, 8, 8), |(n, _, y, x)| if inside(y, x) == (n == 0) { 0 } else { 255 });
    /// assert_eq!(Images::from_bytes(pixels)?.white_backgrounds(), [true, false]);
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn white_backgrounds(&self) -> Vec<bool> {
        self.iter().map(|image| mean(frame(&image)) > WHITE).collect()
    }
}

/// For each model: how its reconstruction errors go with brightness, and what white backgrounds cost.
///
/// Correlations are -1..=1; above 0, brighter images are reconstructed worse.
///
/// # Errors
/// Those of [`Autoencoder::score`].
///
/// # Source
/// Report, question 1, conclusion 2: "images with a large error mostly have a white background".
///
/// # Example
/// ```
#[doc = include_str!("example.txt")]
/// let table = brightness_table(&[&model], data.test())?;
/// assert_eq!((table.rows.len(), table.rows[0][0].as_str()), (1, "small"));
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn brightness_table(models: &[&Autoencoder], images: &Images) -> Result<Table> {
    let brightness = images.statistics()?.brightness;
    let white = images.white_backgrounds();
    let n_white = white.iter().filter(|&&is_white| is_white).count();
    let mut table = Table::new(
        "Reconstruction error (MSE) and brightness",
        &[
            "model",
            "Pearson correlation",
            "Spearman correlation",
            &format!("mean MSE, white background ({n_white})"),
            &format!("mean MSE, others ({})", white.len() - n_white),
        ],
    );
    for model in models {
        let errors = model.score(images)?.values;
        let mean_where = |wanted: bool| {
            let chosen: Vec<f64> =
                errors.iter().zip(&white).filter(|(_, is_white)| **is_white == wanted).map(|(e, _)| *e).collect();
            match chosen.len() {
                0 => "none".into(),
                n => format!("{:.4}", chosen.iter().sum::<f64>() / n as f64),
            }
        };
        table.push(vec![
            model.name().into(),
            format!("{:+.3}", pearson_correlation(&errors, &brightness)?),
            format!("{:+.3}", spearman_correlation(&errors, &brightness)?),
            mean_where(true),
            mean_where(false),
        ]);
    }
    Ok(table)
}

/// For each score: how it goes with an image's brightness, variance, share of saturated values and compressed size, as
/// Pearson's and Spearman's correlation, -1..=1. A score of what an image shows would be near 0 everywhere.
///
/// # Errors
/// [`Error::Data`] for scores of another number of images.
///
/// # Example
/// ```
#[doc = include_str!("example.txt")]
/// let scores = model.score(data.test())?;
/// let table = bias_table(&[&scores], data.test())?;
/// assert_eq!(table.headers[2..], ["brightness", "variance", "saturated share", "compressed size"]);
/// assert_eq!((table.rows[0][1].as_str(), table.rows[1][1].as_str()), ("Pearson", "Spearman"));
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn bias_table(scores: &[&Scores], images: &Images) -> Result<Table> {
    let statistics = images.statistics()?;
    let names = statistics.columns().map(|(name, _)| name);
    let mut table =
        Table::new("Correlation with numbers that do not depend on what an image shows", &["score", "kind"]);
    table.headers.extend(names.map(String::from));
    for one in scores {
        type Correlation = fn(&[f64], &[f64]) -> Result<f64>;
        for (kind, correlation) in [("Pearson", pearson_correlation as Correlation), ("Spearman", spearman_correlation)]
        {
            let cells = statistics.columns().map(|(_, column)| correlation(&one.values, column));
            let cells = cells.into_iter().map(|cell| cell.map(|value| format!("{value:+.3}")));
            let score = format!("{}: {}", one.model, one.name);
            let row: Result<Vec<String>> = [Ok(score), Ok(kind.into())].into_iter().chain(cells).collect();
            table.push(row?);
        }
    }
    Ok(table)
}

/// A regression of the logarithm of an image's error on its brightness, variance, saturated values and compressed size.
///
/// # Example
/// ```
#[doc = include_str!("example.txt")]
/// use diabolo::background::LogErrorModel;
/// let errors = model.score(data.train())?.values;
/// let explained = LogErrorModel::fit(&errors, &data.train().statistics()?)?;
/// let residuals = explained.residuals(&errors, &data.train().statistics()?)?;
/// let mean = residuals.iter().sum::<f64>() / residuals.len() as f64;
/// assert!(mean.abs() < 1e-6, "nothing is left of the mean on the images of the fit");
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct LogErrorModel {
    fit: LinearFit,
}

impl LogErrorModel {
    /// Numbers that explain an error.
    pub(crate) const N_COLUMNS: usize = 4;

    /// The fitted line, for saving.
    pub(crate) fn line(&self) -> &LinearFit {
        &self.fit
    }

    /// What was saved.
    pub(crate) fn of_line(fit: LinearFit) -> Self {
        Self { fit }
    }

    /// Fits ln(error) on the four numbers by least squares; of the variance the logarithm is taken as well, since an error
    /// that is a fixed share of it is then explained. `errors` are reconstruction errors of training images.
    ///
    /// # Errors
    /// [`Error::Data`] for fewer than six images, as many errors as there are not images, or errors that are not finite.
    ///
    /// # Example
    /// ```
    /// use diabolo::background::LogErrorModel;
    /// use diabolo::data::Images;
    /// let images = Images::from_bytes(diabolo::ndarray::Array4::zeros((3, 1, 8, 8)))?;
    /// let of_too_few = LogErrorModel::fit(&[0.1, 0.2, 0.3], &images.statistics()?);
    /// assert!(of_too_few.unwrap_err().to_string().contains("6 or more"));
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn fit(errors: &[f64], statistics: &ImageStatistics) -> Result<Self> {
        let columns = explaining(statistics);
        let fit = LinearFit::new(&columns.each_ref().map(Vec::as_slice), &logarithms(errors))?;
        Ok(Self { fit })
    }

    /// The debiased score: ln(error) less what the four numbers explain of it, in units of the training images' residual
    /// deviation. Higher is more anomalous.
    ///
    /// # Errors
    /// [`Error::Data`] for as many errors as there are not images.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("example.txt")]
    /// use diabolo::background::LogErrorModel;
    /// let (train, test) = (data.train().statistics()?, data.test().statistics()?);
    /// let explained = LogErrorModel::fit(&model.score(data.train())?.values, &train)?;
    /// let debiased = explained.residuals(&model.score(data.test())?.values, &test)?;
    /// assert_eq!(debiased.len(), data.test().len());
    /// assert!(explained.residuals(&[0.1], &test).is_err());
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn residuals(&self, errors: &[f64], statistics: &ImageStatistics) -> Result<Vec<f64>> {
        let columns = explaining(statistics);
        if errors.len() != columns[0].len() {
            let found = format!("{} errors and {} images", errors.len(), columns[0].len());
            return Err(Error::data("debiasing errors", found, "as many of each", "score these images"));
        }
        let residuals = self.fit.residuals(&columns.each_ref().map(Vec::as_slice), &logarithms(errors));
        // Errors that are explained to the last digit have residuals of rounding alone.
        let unit = if self.fit.residual_deviation > 0.0 { self.fit.residual_deviation } else { 1.0 };
        Ok(residuals.into_iter().map(|residual| residual / unit).collect())
    }
}

fn explaining(statistics: &ImageStatistics) -> [Vec<f64>; LogErrorModel::N_COLUMNS] {
    /// Variance of an image whose values differ by about one 8-bit step.
    const LEAST_VARIANCE: f64 = 1e-4;
    let log_variance = statistics.variance.iter().map(|variance| (variance + LEAST_VARIANCE).ln()).collect();
    let (brightness, saturated_share) = (statistics.brightness.clone(), statistics.saturated_share.clone());
    [brightness, log_variance, saturated_share, statistics.compressed_bytes.clone()]
}

fn logarithms(errors: &[f64]) -> Vec<f64> {
    /// An error below this is a perfect reconstruction.
    const LEAST_ERROR: f64 = 1e-12;
    errors.iter().map(|error| error.max(LEAST_ERROR).ln()).collect()
}

fn mean(values: impl Iterator<Item = f32>) -> f32 {
    let (n, sum) = values.fold((0usize, 0.0), |(n, sum), value| (n + 1, sum + value));
    sum / n as f32
}

/// The pixels within [`FRAME_PX`] of an edge.
fn frame(image: &Array3<f32>) -> impl Iterator<Item = f32> {
    let (_, h, w) = image.dim();
    let near_edge = |position: usize, size: usize| position < FRAME_PX || position + FRAME_PX >= size;
    image.indexed_iter().filter(move |((_, y, x), _)| near_edge(*y, h) || near_edge(*x, w)).map(|(_, pixel)| *pixel)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array4;

    /// A white frame around a black middle, and the reverse.
    fn framed_images() -> Images {
        let near_edge = |position: usize| !(2..30).contains(&position);
        Images::from_bytes(Array4::from_shape_fn((2, 3, 32, 32), |(n, _, y, x)| {
            if (near_edge(y) || near_edge(x)) == (n == 0) { 255 } else { 0 }
        }))
        .unwrap()
    }

    #[test]
    fn a_white_frame_is_a_white_background() {
        assert_eq!(framed_images().white_backgrounds(), [true, false]);
    }

    #[test]
    fn an_error_that_follows_variance_alone_has_nothing_left() {
        let images = crate::data::open("scenes").unwrap().test().first(200).unwrap();
        let statistics = images.statistics().unwrap();
        let errors: Vec<f64> = statistics.variance.iter().map(|variance| 0.3 * (variance + 1e-4)).collect();
        let model = LogErrorModel::fit(&errors, &statistics).unwrap();
        assert!(model.fit.residual_deviation < 1e-6, "{model:?}");
        // An image reconstructed ten times as badly as the others of its kind stands out.
        let noisy: Vec<f64> = errors.iter().enumerate().map(|(i, e)| e * if i % 2 == 0 { 1.1 } else { 0.9 }).collect();
        let model = LogErrorModel::fit(&noisy, &statistics).unwrap();
        let mut one_strange = noisy;
        one_strange[17] *= 10.0;
        let residuals = model.residuals(&one_strange, &statistics).unwrap();
        assert!(residuals.iter().enumerate().all(|(index, residual)| index == 17 || *residual < residuals[17] / 5.0));
        assert!(model.residuals(&[0.1], &statistics).unwrap_err().to_string().contains("1 errors and 200 images"));
    }

    #[test]
    fn brightness_is_the_mean_pixel() {
        let white_share = 1.0 - 28.0 * 28.0 / 1024.0;
        let brightness = framed_images().statistics().unwrap().brightness;
        assert!((brightness[0] - (2.0 * white_share - 1.0)).abs() < 1e-5);
        assert!((brightness[0] + brightness[1]).abs() < 1e-5);
    }
}
