//! Scores of the same images that need no network: what a model has to be better than.

use super::outcome::{Outcome, unless_fatal};
use crate::data::{Images, Split};
use crate::project::Pca;
use crate::score::Scores;
use crate::train::Autoencoder;
use crate::{Error, Result, interrupt};
use ndarray::{Array1, Array2};

/// Training images that pixel PCA is fitted to at most, evenly chosen: 32 components of 5,000 images of 3 x 32 x 32 take half
/// a second, of 40,000 four.
const MOST_IMAGES: usize = 5_000;
/// The longest code for which pixel PCA is measured: a few hundred components take longer than most networks here.
const MOST_COMPONENTS: usize = 128;

/// A score of the test images without any network, beside those of a [`ScoreTable`](super::ScoreTable).
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// let table = score_table(&model, &data, &[Reconstruction])?;
/// let names: Vec<&str> = table.baselines.iter().map(|baseline| baseline.name.as_str()).collect();
/// let of_pixels = "PCA of the pixels, 4 components";
/// assert_eq!(names, ["distance from the mean training image", of_pixels, "brightness"]);
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Baseline {
    /// What was measured.
    pub name: String,
    /// What came of it.
    pub outcome: Outcome,
}

/// Distance from the mean training image, which is the error of a network that has learnt nothing; distance from as many
/// principal components of the pixels as a code has values, the least that a linear autoencoder can leave (Baldi and Hornik,
/// "Neural networks and principal component analysis", 1989); and brightness.
pub(super) fn baselines(model: &Autoencoder, split: &Split) -> Result<Vec<Baseline>> {
    let test = split.test();
    let n_components = model.plan().n_latents();
    let baseline = |name: String, values: Result<Vec<f64>>| {
        let scores = values.map(|values| Scores {
            model: model.name().into(),
            name: name.clone(),
            values,
            anomalies: test.anomalies().map(<[bool]>::to_vec),
        });
        Ok(Baseline { outcome: Outcome::of(unless_fatal(scores)?)?, name })
    };
    Ok(vec![
        baseline("distance from the mean training image".into(), distances_from_mean(split.train(), test))?,
        baseline(
            format!("PCA of the pixels, {n_components} components"),
            distances_from_components(split.train(), test, n_components),
        )?,
        baseline("brightness".into(), brightness(test))?,
    ])
}

fn distances_from_mean(train: &Images, test: &Images) -> Result<Vec<f64>> {
    let mut sum = Array1::<f64>::zeros(train.shape().iter().product::<usize>());
    each_block(train, |block| {
        block.rows().into_iter().for_each(|row| sum.zip_mut_with(&row, |sum, &value| *sum += f64::from(value)));
        Ok(())
    })?;
    let mean = sum / train.len() as f64;
    let mut distances = Vec::with_capacity(test.len());
    each_block(test, |block| {
        let square = |(value, mean): (&f32, &f64)| (f64::from(*value) - mean).powi(2);
        distances.extend(block.rows().into_iter().map(|row| row.iter().zip(&mean).map(square).sum::<f64>().sqrt()));
        Ok(())
    })?;
    Ok(distances)
}

fn distances_from_components(train: &Images, test: &Images, n_components: usize) -> Result<Vec<f64>> {
    if n_components > MOST_COMPONENTS {
        let wanted = format!("at most {MOST_COMPONENTS}, as more components of pixels take too long for a table");
        let next_step = "look at the other baselines";
        return Err(Error::setting("values of a code", n_components.to_string(), wanted, next_step));
    }
    let n_images = train.len().min(MOST_IMAGES);
    let chosen: Vec<usize> = (0..n_images).map(|index| index * train.len() / n_images).collect();
    let pca = Pca::fit(&train.select(&chosen)?.points(), n_components)?;
    let mut distances = Vec::with_capacity(test.len());
    each_block(test, |block| {
        distances.extend(pca.distances(&block)?);
        Ok(())
    })?;
    Ok(distances)
}

fn brightness(test: &Images) -> Result<Vec<f64>> {
    let mut means = Vec::with_capacity(test.len());
    each_block(test, |block| {
        let mean = |row: &[f32]| row.iter().copied().map(f64::from).sum::<f64>() / row.len() as f64;
        means.extend(block.rows().into_iter().map(|row| mean(row.as_slice().expect("rows are in standard order"))));
        Ok(())
    })?;
    Ok(means)
}

/// Gives the pixels of some images at a time, `[n, d]`.
fn each_block(images: &Images, mut take: impl FnMut(Array2<f32>) -> Result<()>) -> Result<()> {
    for block in images.blocks() {
        interrupt::check("measuring baselines")?;
        take(block?.points())?;
    }
    Ok(())
}
