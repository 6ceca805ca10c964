//! The shapes of an architecture for one image shape, computed before a network is built.

use super::planned::{FeatureShape, PlannedLayer};
use super::shapes::USUAL_IMAGE_SHAPES;
use super::{Layer, Part, notation, shapes};
use crate::data::ImageShape;
use crate::{Error, Result};
use std::fmt;

/// One row of the table that shows a plan.
///
/// # Example
/// ```
/// use diabolo::model::Architecture;
/// let rows = Architecture::vae().plan([3, 32, 32])?.rows();
/// let put_in = rows.iter().find(|row| row.inserted).expect("Linear takes no images");
/// assert_eq!((put_in.layer.as_str(), put_in.output.as_str()), ("Flatten()", "[3072]"));
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanRow {
    /// The half of the network.
    pub part: Part,
    /// The layer's notation.
    pub layer: String,
    /// The shape after the layer, as in "[12, 16, 16]".
    pub output: String,
    /// Number of trained values.
    pub n_parameters: usize,
    /// Whether the layer was put in where the notation leaves it out.
    pub inserted: bool,
}

/// An architecture whose shapes fit, with the `Flatten` and `Unflatten` layers that its notation leaves out.
///
/// Made by [`Architecture::plan`](super::Architecture::plan). No shape in it has more than 2^31 - 1 values, nor the whole more parameters.
///
/// # Example
/// ```
/// use diabolo::model::Architecture;
/// let plan = Architecture::fcn().plan([3, 32, 32])?;
/// assert_eq!((plan.n_latents(), plan.n_parameters()), (3, 807_907));
/// assert!(plan.encoder_notation().starts_with("Flatten() / Linear(3072, 128)"));
/// assert!(plan.decoder_notation().ends_with("Tanh() / Unflatten(1, (3, 32, 32))"));
/// assert_eq!(plan.rows().len(), plan.encoder.len() + plan.decoder.len());
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The architecture's name.
    pub name: String,
    /// Shape of an image.
    pub image_shape: ImageShape,
    /// From the image to the code.
    pub encoder: Vec<PlannedLayer>,
    /// From the code to the image.
    pub decoder: Vec<PlannedLayer>,
}

impl Plan {
    /// The plan of checked layers; see [`Architecture::plan`](super::Architecture::plan).
    pub(super) fn new(name: &str, encoder: &[Layer], decoder: &[Layer], image_shape: ImageShape) -> Result<Self> {
        if shapes::product(&image_shape).is_none_or(|n_values| n_values == 0) {
            return Err(Error::data(
                format!("planning {name}"),
                format!("images of {image_shape:?}"),
                "[channels, height, width] of at least 1 each, and at most 2147483647 values",
                "for CIFAR-10 it is [3, 32, 32]",
            ));
        }
        let (encoder, decoder) = shapes::infer(encoder, decoder, image_shape)
            .map_err(|error| or_something_else(error, encoder, decoder, image_shape))?;
        Ok(Self { name: name.into(), image_shape, encoder, decoder })
    }

    /// Number of trained values of the whole network, as PyTorch counts them.
    ///
    /// # Example
    /// ```
    /// use diabolo::model::Architecture;
    /// let plan = Architecture::parse("Linear(64, 4)", "Linear(4, 64)")?.plan([1, 8, 8])?;
    /// assert_eq!(plan.n_parameters(), (64 * 4 + 4) + (4 * 64 + 64));
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn n_parameters(&self) -> usize {
        self.encoder.iter().chain(&self.decoder).map(|planned| planned.n_parameters).sum()
    }

    /// Number of values of a code; of an image-shaped one, `c * h * w`.
    ///
    /// # Example
    /// ```
    /// use diabolo::model::Architecture;
    /// assert_eq!(Architecture::conv().plan([3, 32, 32])?.n_latents(), 48 * 4 * 4);
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn n_latents(&self) -> usize {
        self.encoder.last().map_or(0, |bottleneck| bottleneck.output.n_values())
    }

    /// Values of one image that a training holds at least between forward and backward pass: the image, and the output of
    /// each layer that is computed into memory of its own. Activations and dropout may write over their input, batch norm may
    /// be computed with the layer after it, and `Flatten` copies nothing.
    pub(crate) fn fewest_values_held(&self) -> usize {
        let has_own_memory = |planned: &&PlannedLayer| match planned.layer {
            Layer::Conv2d { .. } | Layer::ConvTranspose2d { .. } | Layer::Linear { .. } => true,
            Layer::MaxPool { .. } | Layer::Upsample { .. } | Layer::Gaussian { .. } => true,
            Layer::BatchNorm2d { .. } | Layer::Dropout { .. } | Layer::Flatten | Layer::Unflatten { .. } => false,
            Layer::ReLU | Layer::LeakyReLU { .. } | Layer::Sigmoid | Layer::Tanh => false,
        };
        let outputs = self.encoder.iter().chain(&self.decoder).filter(has_own_memory);
        let image = FeatureShape::Image(self.image_shape).n_values();
        outputs.fold(image, |sum, planned| sum.saturating_add(planned.output.n_values()))
    }

    /// The encoder's layers on one line, those put in included: what PyTorch's `nn.Sequential` needs.
    ///
    /// # Example
    /// ```
    /// use diabolo::model::Architecture;
    /// let plan = Architecture::parse("Linear(64, 4)", "Linear(4, 64)")?.plan([1, 8, 8])?;
    /// assert_eq!(plan.encoder_notation(), "Flatten() / Linear(64, 4)");
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn encoder_notation(&self) -> String {
        notation::write(self.encoder.iter().map(|planned| &planned.layer))
    }

    /// The decoder's layers on one line, those put in included: what PyTorch's `nn.Sequential` needs.
    ///
    /// # Example
    /// ```
    /// use diabolo::model::Architecture;
    /// let plan = Architecture::parse("Linear(64, 4)", "Linear(4, 64)")?.plan([1, 8, 8])?;
    /// assert_eq!(plan.decoder_notation(), "Linear(4, 64) / Unflatten(1, (1, 8, 8))");
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn decoder_notation(&self) -> String {
        notation::write(self.decoder.iter().map(|planned| &planned.layer))
    }

    /// The table that shows the plan, a row for each layer.
    ///
    /// # Example
    /// ```
    /// use diabolo::model::Architecture;
    /// let rows = Architecture::conv().plan([3, 32, 32])?.rows();
    /// assert_eq!((rows[0].layer.as_str(), rows[0].output.as_str()), ("Conv2d(3, 12, 4, 2, 1)", "[12, 16, 16]"));
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn rows(&self) -> Vec<PlanRow> {
        let encoder = self.encoder.iter().map(|planned| (Part::Encoder, planned));
        let decoder = self.decoder.iter().map(|planned| (Part::Decoder, planned));
        let row = |(part, planned): (Part, &PlannedLayer)| PlanRow {
            part,
            layer: planned.layer.to_string(),
            output: planned.output.to_string(),
            n_parameters: planned.n_parameters,
            inserted: planned.inserted,
        };
        encoder.chain(decoder).map(row).collect()
    }
}

/// An aligned table: part, layer (with a `+` before those put in), output shape, parameters.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let image = FeatureShape::Image(self.image_shape);
        let (n_latents, n_parameters) = (self.n_latents(), self.n_parameters());
        writeln!(f, "{}: images of {image}, {n_latents} latents, {n_parameters} parameters", self.name)?;
        let cells = |row: PlanRow| {
            let mark = if row.inserted { "+ " } else { "" };
            [row.part.to_string(), format!("{mark}{}", row.layer), row.output, row.n_parameters.to_string()]
        };
        let rows: Vec<_> = self.rows().into_iter().map(cells).collect();
        write_table(f, ["part", "layer", "output", "parameters"], &rows)
    }
}

/// Adds to an error what else would do: square images of another size, or the numbers of [`Architecture::adapted_to`](super::Architecture::adapted_to)
/// where the architecture is sound and the images are merely others than it was written for.
fn or_something_else(error: Error, encoder: &[Layer], decoder: &[Layer], image_shape: ImageShape) -> Error {
    /// Beyond this nobody wants images scaled for an architecture's sake.
    const LARGEST_SIDE_PX: usize = 256;
    let Error::Architecture { place, found, wanted, mut next_step } = error else { return error };
    let fits = |shape: ImageShape| shapes::infer(encoder, decoder, shape).is_ok();
    let is_sound = USUAL_IMAGE_SHAPES.into_iter().any(fits);
    let fits_adapted = |shape: ImageShape| {
        let adapted = shapes::adapt(encoder, decoder, shape);
        is_sound && adapted.is_ok_and(|(encoder, decoder)| shapes::infer(&encoder, &decoder, shape).is_ok())
    };
    let [c, h, w] = image_shape;
    // Of two sides that are as far away, the larger one keeps more of the images.
    let larger = h.max(w);
    let nearest = |fits: &dyn Fn(ImageShape) -> bool| {
        let sides = (1..=LARGEST_SIDE_PX.min(larger.saturating_mul(2))).filter(|&side| fits([c, side, side]));
        sides.min_by_key(|&side| (side.abs_diff(larger), std::cmp::Reverse(side)))
    };
    let is_adaptable = fits_adapted(image_shape);
    if is_adaptable {
        next_step += &format!("; .adapted_to({image_shape:?}) changes all such numbers");
    }
    let scaled = |side: usize| format!("; images of {side} x {side}, by OpenOptions::default().size_px({side}),");
    if let Some(side) = nearest(&fits) {
        next_step += &format!("{} fit as it is", scaled(side));
    } else if let Some(side) = nearest(&fits_adapted).filter(|_| !is_adaptable) {
        next_step += &format!("{} fit .adapted_to([{c}, {side}, {side}])", scaled(side));
    }
    Error::Architecture { place, found, wanted, next_step }
}

/// Writes columns wide enough for their longest cell, the fourth column (numbers) to the right; no line break at the
/// end.
pub(super) fn write_table<const N: usize>(
    f: &mut fmt::Formatter<'_>,
    head: [&str; N],
    rows: &[[String; N]],
) -> fmt::Result {
    let widths: [usize; N] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].len()).fold(head[column].len(), usize::max));
    let write_row = |cells: [&str; N]| {
        let padded = cells.iter().zip(widths).enumerate().map(|(column, (cell, width))| match column {
            3 => format!("{cell:>width$}"),
            _ => format!("{cell:<width$}"),
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_string()
    };
    f.write_str(&write_row(head))?;
    rows.iter().try_for_each(|row| write!(f, "\n{}", write_row(std::array::from_fn(|column| row[column].as_str()))))
}

#[cfg(test)]
mod tests {
    use crate::model::Architecture;

    #[test]
    fn what_training_holds_is_counted_from_below() {
        let plan = Architecture::fcn().plan([3, 32, 32]).unwrap();
        // The image and the outputs of eight Linear layers, each activation in the place of its input.
        assert_eq!(plan.fewest_values_held(), 3072 + 2 * (128 + 64 + 12) + 3 + 3072);
        let plan = Architecture::report_cnn().plan([3, 32, 32]).unwrap();
        let encoder = 6144 + 12_288 + 3072 + 6144 + 1536 + 3072 + 768 + 1536 + 384 + 96 + 32;
        let decoder = 96 + 384 + 192 + 768 + 384 + 1536 + 768 + 3072 + 1536 + 768 + 3072;
        assert_eq!(plan.fewest_values_held(), 3072 + encoder + decoder);
        let all_outputs: usize =
            plan.encoder.iter().chain(&plan.decoder).map(|planned| planned.output.n_values()).sum();
        assert!(plan.fewest_values_held() < all_outputs * 2 / 3);
    }
}
