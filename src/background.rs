//! Do bright backgrounds, and not strange objects, make an image hard to rebuild? The report's remark, as numbers.

use crate::Result;
use crate::data::Images;
use crate::metrics::{pearson_correlation, spearman_correlation};
use crate::table::Table;
use crate::train::Autoencoder;
use ndarray::Array3;

/// Width in pixels of the frame that stands for the background.
const FRAME_PX: usize = 2;
/// Mean of the frame above which a background counts as white, pixels in -1..=1: 230 of 255.
const WHITE: f32 = 0.8;

impl Images {
    /// Mean over channels and pixels of each image: -1 is black, 1 is white.
    pub fn brightness(&self) -> Vec<f64> {
        self.iter().map(|image| f64::from(mean(image.iter().copied()))).collect()
    }

    /// Whether the two-pixel frame of each image is close to white (mean above 0.8, pixels in -1..=1).
    pub fn white_backgrounds(&self) -> Vec<bool> {
        self.iter().map(|image| mean(frame(&image)) > WHITE).collect()
    }
}

/// For each model: how its reconstruction errors go with brightness, and what white backgrounds cost.
///
/// Correlations are -1..=1; above 0, brighter images are rebuilt worse.
///
/// # Errors
/// Those of [`Autoencoder::score`].
///
/// # Source
/// Report, question 1, conclusion 2: "images with a large error mostly have a white background".
pub fn brightness_table(models: &[&Autoencoder], images: &Images) -> Result<Table> {
    let brightness = images.brightness();
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
        Images::from_floats(Array4::from_shape_fn((2, 3, 32, 32), |(n, _, y, x)| {
            if (near_edge(y) || near_edge(x)) == (n == 0) { 1.0 } else { -1.0 }
        }))
        .unwrap()
    }

    #[test]
    fn a_white_frame_is_a_white_background() {
        assert_eq!(framed_images().white_backgrounds(), [true, false]);
    }

    #[test]
    fn brightness_is_the_mean_pixel() {
        let white_share = 1.0 - 28.0 * 28.0 / 1024.0;
        let brightness = framed_images().brightness();
        assert!((brightness[0] - (2.0 * white_share - 1.0)).abs() < 1e-5);
        assert!((brightness[0] + brightness[1]).abs() < 1e-5);
    }
}
