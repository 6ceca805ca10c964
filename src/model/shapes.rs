//! Shape inference: walks through the layers with the shape that reaches each, and puts in what the notation leaves
//! out. The rules are told at [`Architecture::plan`](super::Architecture::plan).

use super::layer::{LARGEST, Misfit};
use super::planned::{FeatureShape, PlannedLayer};
use super::{Layer, Part};
use crate::Result;
use crate::data::ImageShape;

/// Image shapes of the data sets that the crate opens: CIFAR-10 and the homework's, then the MNIST family's.
pub(super) const USUAL_IMAGE_SHAPES: [ImageShape; 2] = [[3, 32, 32], [1, 28, 28]];

/// Plans the layers of both parts.
pub(super) fn infer(
    encoder: &[Layer],
    decoder: &[Layer],
    image_shape: ImageShape,
) -> Result<(Vec<PlannedLayer>, Vec<PlannedLayer>)> {
    let shape = FeatureShape::Image(image_shape);
    let mut walk = Walk { shape, flattened: Vec::new(), planned: Vec::new(), n_parameters: 0 };
    walk.through(Part::Encoder, encoder)?;
    let planned_encoder = std::mem::take(&mut walk.planned);
    walk.through(Part::Decoder, decoder)?;
    if let Some(last) = decoder.last() {
        walk.end_as_image(image_shape).map_err(|misfit| misfit.at_layer(Part::Decoder, decoder.len(), last))?;
    }
    Ok((planned_encoder, walk.planned))
}

/// The layers for images of another shape: every layer takes what reaches it, and the decoder gives back the shapes
/// that the encoder flattened and, at its end, an image. The numbers of channels between and the code stay.
pub(super) fn adapt(encoder: &[Layer], decoder: &[Layer], image_shape: ImageShape) -> Result<(Vec<Layer>, Vec<Layer>)> {
    let shape = FeatureShape::Image(image_shape);
    let mut walk = Walk { shape, flattened: Vec::new(), planned: Vec::new(), n_parameters: 0 };
    let encoder = walk.adapting(Part::Encoder, encoder)?;
    let mut decoder = decoder.to_vec();
    for index in 0..decoder.len() {
        let Layer::Linear { in_features, .. } = decoder[index] else { continue };
        let rest = &mut decoder[index + 1..];
        let next = rest.iter().position(|layer| !layer.keeps_shape());
        let wanted = match next.map(|next| &rest[next]) {
            Some(Layer::Conv2d { in_channels: c, .. } | Layer::ConvTranspose2d { in_channels: c, .. })
            | Some(Layer::BatchNorm2d { channels: c } | Layer::Unflatten { shape: [c, ..] }) => {
                walk.flattened.iter().rev().copied().find(|shape| shape[0] == *c)
            }
            None => Some(image_shape),
            Some(_) => None,
        };
        // The last Unflatten gives the image itself.
        let is_end = next.is_some_and(|next| rest[next + 1..].iter().all(Layer::keeps_shape));
        let wanted = match next.map(|next| &mut rest[next]) {
            Some(Layer::Unflatten { shape }) => {
                let wanted = if is_end { Some(image_shape) } else { wanted };
                *shape = wanted.unwrap_or(*shape);
                wanted
            }
            _ => wanted,
        };
        if let Some(out_features) = wanted.and_then(|shape| product(&shape)) {
            decoder[index] = Layer::Linear { in_features, out_features };
        }
    }
    if let Some(Layer::Conv2d { out_channels, .. } | Layer::ConvTranspose2d { out_channels, .. }) = decoder
        .iter_mut()
        .rfind(|layer| matches!(layer, Layer::Conv2d { .. } | Layer::ConvTranspose2d { .. } | Layer::Linear { .. }))
    {
        *out_channels = image_shape[0];
    }
    let decoder = walk.adapting(Part::Decoder, &decoder)?;
    Ok((encoder, decoder))
}

/// The product, unless it is beyond [`LARGEST`].
pub(super) fn product(factors: &[usize]) -> Option<usize> {
    factors.iter().try_fold(1_usize, |product, factor| product.checked_mul(*factor)).filter(|it| *it <= LARGEST)
}

/// A walk through the layers with the shape that reaches each.
struct Walk {
    /// What reaches the next layer.
    shape: FeatureShape,
    /// The image shapes that were flattened so far: where a vector may have come from.
    flattened: Vec<ImageShape>,
    /// Layers of the part that is being planned.
    planned: Vec<PlannedLayer>,
    /// Number of trained values of both parts so far.
    n_parameters: usize,
}

impl Walk {
    fn through(&mut self, part: Part, layers: &[Layer]) -> Result<()> {
        layers
            .iter()
            .enumerate()
            .try_for_each(|(index, layer)| self.add(layer).map_err(|misfit| misfit.at_layer(part, index + 1, layer)))
    }

    /// Plans layers that are changed to take what reaches them, and returns these.
    fn adapting(&mut self, part: Part, layers: &[Layer]) -> Result<Vec<Layer>> {
        let mut adapted = layers.to_vec();
        for (index, layer) in adapted.iter_mut().enumerate() {
            match (&mut *layer, self.shape) {
                (
                    Layer::Conv2d { in_channels: count, .. }
                    | Layer::ConvTranspose2d { in_channels: count, .. }
                    | Layer::BatchNorm2d { channels: count },
                    FeatureShape::Image([c, ..]),
                ) => *count = c,
                (Layer::Linear { in_features, .. }, shape) => *in_features = shape.n_values(),
                _ => {}
            }
            self.add(layer).map_err(|misfit| misfit.at_layer(part, index + 1, layer))?;
        }
        Ok(adapted)
    }

    /// Plans one layer, after what has to be put in before it.
    fn add(&mut self, layer: &Layer) -> Result<(), Misfit> {
        let output = match *layer {
            Layer::Conv2d { in_channels, out_channels, kernel, stride, padding } => {
                let [c, h, w] = self.image(layer)?;
                let side = |side| n_windows(side, kernel, stride, padding).ok_or_else(|| too_small([c, h, w], padding));
                if c != in_channels {
                    let fits = |i, o| Layer::Conv2d { in_channels: i, out_channels: o, kernel, stride, padding };
                    return Err(wrong_count(self.shape, (in_channels, out_channels), c, "channels", fits));
                }
                FeatureShape::Image([out_channels, side(h)?, side(w)?])
            }
            Layer::ConvTranspose2d { in_channels, out_channels, kernel, stride, padding } => {
                let [c, h, w] = self.image(layer)?;
                if c != in_channels {
                    let fits =
                        |i, o| Layer::ConvTranspose2d { in_channels: i, out_channels: o, kernel, stride, padding };
                    return Err(wrong_count(self.shape, (in_channels, out_channels), c, "channels", fits));
                }
                let side = |side: usize| {
                    let whole = (side - 1).checked_mul(stride).and_then(|steps| steps.checked_add(kernel));
                    let whole = whole.ok_or_else(|| too_large("values"))?;
                    let found = format!("{} reaching it, of which padding {padding} leaves nothing", self.shape);
                    match whole.checked_sub(2 * padding) {
                        Some(side @ 1..) => Ok(side),
                        _ => Err(Misfit::new(found, "at least one pixel", "take a smaller padding or a larger kernel")),
                    }
                };
                FeatureShape::Image([out_channels, side(h)?, side(w)?])
            }
            Layer::Linear { in_features, out_features } => {
                let before = self.shape;
                let n_values = self.vector()?;
                if n_values != in_features {
                    let fits = |i, o| Layer::Linear { in_features: i, out_features: o };
                    return Err(wrong_count(before, (in_features, out_features), n_values, "values", fits));
                }
                FeatureShape::Vector(out_features)
            }
            Layer::MaxPool { kernel, stride, padding } => {
                let [c, h, w] = self.image(layer)?;
                let side = |side| n_windows(side, kernel, stride, padding).ok_or_else(|| too_small([c, h, w], padding));
                FeatureShape::Image([c, side(h)?, side(w)?])
            }
            Layer::Upsample { scale } => {
                let [c, h, w] = self.image(layer)?;
                let side = |side| product(&[side, scale]).ok_or_else(|| too_large("values"));
                FeatureShape::Image([c, side(h)?, side(w)?])
            }
            Layer::BatchNorm2d { channels } => {
                let [c, ..] = self.image(layer)?;
                if c != channels {
                    let next_step = format!("{} would fit", Layer::BatchNorm2d { channels: c });
                    return Err(Misfit::new(
                        format!("{} reaching it", self.shape),
                        format!("{channels} channels"),
                        next_step,
                    ));
                }
                self.shape
            }
            Layer::Flatten => FeatureShape::Vector(self.shape.n_values()),
            Layer::Unflatten { shape } => match self.shape {
                FeatureShape::Vector(n_values) if product(&shape) == Some(n_values) => FeatureShape::Image(shape),
                _ => return Err(self.not_unflattened(shape)),
            },
            Layer::Gaussian { latents } => {
                self.vector()?;
                FeatureShape::Vector(latents)
            }
            Layer::Dropout { .. } | Layer::ReLU | Layer::LeakyReLU { .. } | Layer::Sigmoid | Layer::Tanh => self.shape,
        };
        self.push(layer.clone(), output, false)
    }

    /// Length of the vector that reaches the next layer, after a `Flatten` where an image did.
    fn vector(&mut self) -> Result<usize, Misfit> {
        let n_values = self.shape.n_values();
        if let FeatureShape::Image(_) = self.shape {
            self.push(Layer::Flatten, FeatureShape::Vector(n_values), true)?;
        }
        Ok(n_values)
    }

    /// Shape of the image that reaches `layer`, after an `Unflatten` where a vector did.
    fn image(&mut self, layer: &Layer) -> Result<ImageShape, Misfit> {
        let n_values = match self.shape {
            FeatureShape::Image(shape) => return Ok(shape),
            FeatureShape::Vector(n_values) => n_values,
        };
        let channels = match *layer {
            Layer::Conv2d { in_channels, .. } | Layer::ConvTranspose2d { in_channels, .. } => Some(in_channels),
            Layer::BatchNorm2d { channels } => Some(channels),
            _ => None,
        };
        let fits = |shape: &ImageShape| product(shape) == Some(n_values) && channels.is_none_or(|c| c == shape[0]);
        // The decoder mirrors the encoder, so the shape that was flattened last comes back first.
        let came_from = self.flattened.iter().rev().copied().find(fits);
        let shape = came_from.or_else(|| square(n_values, channels?)).ok_or_else(|| {
            let (wanted, give) = match channels {
                Some(c) => {
                    let side = (n_values / c).isqrt().max(1);
                    let count = c.saturating_mul(side * side);
                    (
                        format!("{c} channels of a square image, as in {c}*{side}*{side}"),
                        format!("give {count} values or "),
                    )
                }
                None => ("an image".to_string(), String::new()),
            };
            let next_step = format!("{give}put Unflatten(1, (c, h, w)) before it");
            Misfit::new(format!("{} reaching it", self.shape), wanted, next_step)
        })?;
        self.push(Layer::Unflatten { shape }, FeatureShape::Image(shape), true)?;
        Ok(shape)
    }

    fn push(&mut self, layer: Layer, output: FeatureShape, inserted: bool) -> Result<(), Misfit> {
        if let FeatureShape::Image(shape) = output {
            product(&shape).ok_or_else(|| too_large("values"))?;
        }
        let n_parameters = n_parameters(&layer, self.shape).ok_or_else(|| too_large("parameters"))?;
        self.n_parameters += n_parameters;
        if self.n_parameters > LARGEST {
            return Err(too_large("parameters"));
        }
        if let (Layer::Flatten, FeatureShape::Image(shape)) = (&layer, self.shape) {
            self.flattened.push(shape);
        }
        self.planned.push(PlannedLayer { layer, input: self.shape, output, n_parameters, inserted });
        self.shape = output;
        Ok(())
    }

    /// Makes an image of the decoder's output.
    fn end_as_image(&mut self, image_shape: ImageShape) -> Result<(), Misfit> {
        let image = FeatureShape::Image(image_shape);
        if self.shape == image {
            return Ok(());
        }
        let next_step = match self.shape {
            FeatureShape::Vector(n_values) if n_values == image.n_values() => {
                return self.push(Layer::Unflatten { shape: image_shape }, image, true);
            }
            FeatureShape::Vector(_) => format!("the last Linear has to give {} values", image.n_values()),
            FeatureShape::Image([c, ..]) if c != image_shape[0] => {
                format!("the last convolution has to give {} channels", image_shape[0])
            }
            FeatureShape::Image(_) => {
                "every halving of the sides in the encoder needs a doubling in the decoder, by Upsample or stride"
                    .into()
            }
        };
        Err(Misfit::new(format!("output {}", self.shape), format!("{image}, the shape of an image"), next_step))
    }

    fn not_unflattened(&self, shape: ImageShape) -> Misfit {
        let wanted = match product(&shape) {
            Some(n_values) => {
                format!("a vector of {} = {n_values} values", shape.map(|side| side.to_string()).join("*"))
            }
            None => return too_large("values"),
        };
        let next_step = match self.shape {
            FeatureShape::Image(_) => "put Flatten() before it",
            FeatureShape::Vector(_) => "change its shape or the layer before it",
        };
        Misfit::new(format!("{} reaching it", self.shape), wanted, next_step)
    }
}

/// Positions of a window along one padded side: `(side + 2 * padding - kernel) / stride + 1`, rounded down.
fn n_windows(side: usize, kernel: usize, stride: usize, padding: usize) -> Option<usize> {
    let room = side.checked_add(2 * padding)?.checked_sub(kernel)?;
    Some(room / stride + 1)
}

/// An image with a side that the window of a layer does not fit into.
fn too_small([c, h, w]: ImageShape, padding: usize) -> Misfit {
    Misfit::new(
        format!("{} reaching it", FeatureShape::Image([c, h, w])),
        "sides that the kernel fits into",
        format!("a kernel of at most {} would fit", h.min(w).saturating_add(2 * padding)),
    )
}

/// `n_values` as `channels` of a square image.
fn square(n_values: usize, channels: usize) -> Option<ImageShape> {
    let side = (n_values / channels).isqrt();
    let shape = [channels, side, side];
    (product(&shape) == Some(n_values)).then_some(shape)
}

/// Number of trained values of a layer that `input` reaches: weights and biases, as PyTorch counts them.
fn n_parameters(layer: &Layer, input: FeatureShape) -> Option<usize> {
    match *layer {
        Layer::Conv2d { in_channels, out_channels, kernel, .. }
        | Layer::ConvTranspose2d { in_channels, out_channels, kernel, .. } => {
            product(&[in_channels, out_channels, kernel, kernel])?.checked_add(out_channels)
        }
        Layer::Linear { in_features, out_features } => product(&[in_features, out_features])?.checked_add(out_features),
        Layer::BatchNorm2d { channels } => product(&[2, channels]),
        Layer::Gaussian { latents } => product(&[2, input.n_values().checked_add(1)?, latents]),
        _ => Some(0),
    }
}

/// A layer of (in, out) = `written` that `count` values or channels reach; the report's decoder writes (out, in).
fn wrong_count(
    reached_by: FeatureShape,
    written: (usize, usize),
    count: usize,
    unit: &str,
    with: impl Fn(usize, usize) -> Layer,
) -> Misfit {
    let (n_in, n_out) = written;
    let next_step = match reached_by {
        // After a flattened image the count may be so by chance, since the images are of another size.
        FeatureShape::Image(_) if count == n_out && unit == "values" => {
            format!("{} would fit, or {} if it is written as (out, in)", with(count, n_out), with(n_out, n_in))
        }
        _ if count == n_out => format!("written as (out, in)? {} would fit", with(n_out, n_in)),
        _ => format!("{} would fit", with(count, n_out)),
    };
    let found = match reached_by {
        FeatureShape::Image(_) => format!("{reached_by} ({count} {unit}) reaching it"),
        FeatureShape::Vector(_) => format!("{reached_by} reaching it"),
    };
    Misfit::new(found, format!("{n_in} {unit}"), next_step)
}

fn too_large(what: &str) -> Misfit {
    Misfit::new(format!("more than {LARGEST} {what}"), format!("at most {LARGEST}"), "take smaller numbers")
}
