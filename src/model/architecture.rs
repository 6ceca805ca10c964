//! Architectures: the layers of encoder and decoder as data, and the ready-made ones. `notation` parses them, `plan`
//! computes their shapes.

use super::layer::Misfit;
use super::plan::{Plan, write_table};
use super::planned::PlannedLayer;
use super::shapes::USUAL_IMAGE_SHAPES;
use super::{Layer, Part, notation, shapes};
use crate::data::ImageShape;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The most layers that a part may have: far more than small images need, few enough to show.
const MOST_LAYERS: usize = 1000;

/// An autoencoder's layers, as data: it can be read, printed, compared, saved, and changed by editing a string.
///
/// Serialised, it is `{"name": ..., "encoder": notation, "decoder": notation}`.
///
/// # Example
/// ```
/// use diabolo::model::Architecture;
/// let mut conv = Architecture::conv();
/// assert_eq!((conv.name.as_str(), conv.encoder.len(), conv.decoder.len()), ("conv", 6, 6));
/// assert!(conv.to_string().starts_with("conv: images of [3, 32, 32], 768 latents, 47355 parameters"));
/// conv.encoder.truncate(2);
/// assert_eq!(conv.encoder_notation(), "Conv2d(3, 12, 4, 2, 1) / ReLU()");
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Architecture {
    /// A short name for figures and files, as in "report_cnn".
    pub name: String,
    /// From the image to the code.
    pub encoder: Vec<Layer>,
    /// From the code to the image.
    pub decoder: Vec<Layer>,
}

impl Architecture {
    /// Reads an encoder and a decoder in the notation of the report and of PyTorch; the name is "custom".
    ///
    /// - Slashes, line breaks and commas separate layers. `#` starts a comment, `(0):` before a layer is skipped.
    /// - Arguments come in PyTorch's order or by PyTorch's names, with PyTorch's defaults; pairs such as
    ///   `kernel_size=(3, 3)` must be square. `nn.` before a layer is fine.
    /// - Numbers may be arithmetic: `96*2*2`, `(32 + 4) // 2`.
    /// - Two spellings are the report's own: `MaxPool(2, 2, 0)` is `MaxPool2d`, and `Upsample(2, 'nearest')` doubles
    ///   the sides. `Gaussian(20)` is the bottleneck of a variational autoencoder.
    /// - `Flatten` and `Unflatten` may be left out; [`Architecture::plan`] puts them in.
    ///
    /// # Errors
    /// [`Error::Architecture`] with the place of the first mistake: a layer or argument that is not known or not
    /// supported, a number out of range, a bracket that is not closed, an empty part, a `Gaussian` that is not the
    /// encoder's last layer. Whether shapes fit is [`Architecture::plan`]'s question.
    ///
    /// # Source
    /// The notation is that of the report's question 1.
    ///
    /// # Example
    /// ```
    /// use diabolo::model::Architecture;
    /// let small = Architecture::parse("Linear(32*32*3, 64) / ReLU() / Linear(64, 8)", "Linear(8, 32*32*3) / Tanh()")?;
    /// assert_eq!(small.encoder_notation(), "Linear(3072, 64) / ReLU() / Linear(64, 8)");
    ///
    /// let mistake = Architecture::parse("Linaer(3072, 8)", "Linear(8, 3072)").unwrap_err();
    /// assert!(mistake.to_string().ends_with("did you mean Linear?"));
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn parse(encoder: &str, decoder: &str) -> Result<Self> {
        let architecture = Self {
            name: "custom".into(),
            encoder: notation::read(Part::Encoder, encoder)?,
            decoder: notation::read(Part::Decoder, decoder)?,
        };
        architecture.check()?;
        Ok(architecture)
    }

    /// The report's best network: four halvings of the sides, 32 latents, and a decoder that mirrors the encoder. 191,777 parameters.
    ///
    /// # Source
    /// Report, question 1 (1).
    ///
    /// # Example
    /// ```
    /// use diabolo::model::Architecture;
    /// let plan = Architecture::report_cnn().plan([3, 32, 32])?;
    /// assert_eq!((plan.n_latents(), plan.n_parameters()), (32, 191_777));
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn report_cnn() -> Self {
        Self::named_one(
            "report_cnn",
            "Conv2d(3, 6, 3, 1, 1) / Conv2d(6, 12, 3, 1, 1) / MaxPool(2, 2, 0) / BatchNorm2d(12) / Dropout(0.5) / ReLU()
             Conv2d(12, 24, 3, 1, 1) / MaxPool(2, 2, 0) / BatchNorm2d(24) / Dropout(0.5) / ReLU()
             Conv2d(24, 48, 3, 1, 1) / MaxPool(2, 2, 0) / BatchNorm2d(48) / Dropout(0.5) / ReLU()
             Conv2d(48, 96, 3, 1, 1) / MaxPool(2, 2, 0) / BatchNorm2d(96) / Dropout(0.5) / ReLU()
             Linear(96*2*2, 96) / ReLU() / Linear(96, 32)",
            // The report writes these two Linear layers as (out, in); here they are (in, out), as everywhere else.
            "Linear(32, 96) / ReLU() / Linear(96, 96*2*2)
             ConvTranspose2d(96, 48, 3, 1, 1) / Upsample(2, 'nearest') / BatchNorm2d(48) / Dropout(0.5) / ReLU()
             ConvTranspose2d(48, 24, 3, 1, 1) / Upsample(2, 'nearest') / BatchNorm2d(24) / Dropout(0.5) / ReLU()
             ConvTranspose2d(24, 12, 3, 1, 1) / Upsample(2, 'nearest') / BatchNorm2d(12) / Dropout(0.5) / ReLU()
             ConvTranspose2d(12, 6, 3, 1, 1) / ConvTranspose2d(6, 3, 3, 1, 1) / Upsample(2, 'nearest')
             BatchNorm2d(3) / Dropout(0.5) / Tanh()",
        )
    }

    /// The course's fully connected network, 3072-128-64-12-3 and back. 807,907 parameters.
    ///
    /// # Source
    /// Report, question 1 (2).
    ///
    /// # Example
    /// ```
    /// use diabolo::model::Architecture;
    /// let plan = Architecture::fcn().plan([3, 32, 32])?;
    /// assert_eq!((plan.n_latents(), plan.n_parameters()), (3, 807_907));
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn fcn() -> Self {
        Self::named_one(
            "fcn",
            "Linear(32*32*3, 128) / ReLU() / Linear(128, 64) / ReLU() / Linear(64, 12) / ReLU() / Linear(12, 3)",
            "Linear(3, 12) / ReLU() / Linear(12, 64) / ReLU() / Linear(64, 128) / ReLU()
             Linear(128, 32*32*3) / Tanh()",
        )
    }

    /// The course's convolutional network: three halvings of the sides, a code of `[48, 4, 4]`. 47,355 parameters.
    ///
    /// # Example
    /// ```
    /// use diabolo::model::Architecture;
    /// let plan = Architecture::conv().plan([3, 32, 32])?;
    /// assert_eq!((plan.n_latents(), plan.n_parameters()), (48 * 4 * 4, 47_355));
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn conv() -> Self {
        Self::named_one(
            "conv",
            "Conv2d(3, 12, 4, 2, 1) / ReLU() / Conv2d(12, 24, 4, 2, 1) / ReLU() / Conv2d(24, 48, 4, 2, 1) / ReLU()",
            "ConvTranspose2d(48, 24, 4, 2, 1) / ReLU() / ConvTranspose2d(24, 12, 4, 2, 1) / ReLU()
             ConvTranspose2d(12, 3, 4, 2, 1) / Tanh()",
        )
    }

    /// The course's variational autoencoder, 3072-400-20 and back. 2,485,512 parameters.
    ///
    /// # Source
    /// Kingma and Welling, Auto-Encoding Variational Bayes, 2014; the sizes are the course's.
    ///
    /// # Example
    /// ```
    /// use diabolo::model::Architecture;
    /// let plan = Architecture::vae().plan([3, 32, 32])?;
    /// assert_eq!((plan.n_latents(), plan.n_parameters()), (20, 2_485_512));
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn vae() -> Self {
        Self::named_one(
            "vae",
            "Linear(32*32*3, 400) / ReLU() / Gaussian(20)",
            "Linear(20, 400) / ReLU() / Linear(400, 32*32*3) / Tanh()",
        )
    }

    /// The same layers under another name.
    ///
    /// # Example
    /// ```
    /// use diabolo::model::Architecture;
    /// let wide = Architecture::parse("Linear(3072, 256)", "Linear(256, 3072) / Tanh()")?.named("wide");
    /// assert_eq!(wide.name, "wide");
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    /// The same network for images of another shape, `[c, h, w]`: the layers at both ends and around the code take and
    /// give the numbers that fit; kernels, strides, channels in between and the code's length stay.
    ///
    /// # Errors
    /// Those of [`Architecture::plan`] where changing numbers is not enough: four halvings and doublings give back a
    /// side that 16 divides, and no other. The message names the nearest size of images that would do.
    ///
    /// # Example
    /// ```
    /// use diabolo::model::Architecture;
    /// let fashion = Architecture::fcn().adapted_to([1, 28, 28])?;
    /// assert!(fashion.encoder_notation().starts_with("Linear(784, 128)"));
    /// assert!(fashion.decoder_notation().ends_with("Linear(128, 784) / Tanh()"));
    ///
    /// let mistake = Architecture::conv().adapted_to([1, 28, 28]).unwrap_err().to_string();
    /// assert!(mistake.contains("OpenOptions::default().size_px(32)"));
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn adapted_to(&self, image_shape: ImageShape) -> Result<Self> {
        let (encoder, decoder) = shapes::adapt(&self.encoder, &self.decoder, image_shape)?;
        let adapted = Self { name: self.name.clone(), encoder, decoder };
        adapted.plan(image_shape)?;
        Ok(adapted)
    }

    /// The encoder's layers on one line, in PyTorch's notation; [`Architecture::parse`] reads it back unchanged.
    ///
    /// # Example
    /// ```
    /// use diabolo::model::Architecture;
    /// let fcn = Architecture::fcn();
    /// assert!(fcn.encoder_notation().starts_with("Linear(3072, 128) / ReLU() / Linear(128, 64)"));
    /// let read_back = Architecture::parse(&fcn.encoder_notation(), &fcn.decoder_notation())?;
    /// assert_eq!(read_back.named("fcn"), fcn);
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn encoder_notation(&self) -> String {
        notation::write(&self.encoder)
    }

    /// The decoder's layers on one line, in PyTorch's notation; [`Architecture::parse`] reads it back unchanged.
    ///
    /// # Example
    /// ```
    /// use diabolo::model::Architecture;
    /// assert!(Architecture::fcn().decoder_notation().ends_with("Linear(128, 3072) / Tanh()"));
    /// ```
    pub fn decoder_notation(&self) -> String {
        notation::write(&self.decoder)
    }

    /// Works out all shapes for images of `image_shape`, `[c, h, w]`, and puts in what the notation leaves out.
    ///
    /// - `Flatten` goes before a `Linear` or `Gaussian` that an image reaches.
    /// - `Unflatten` goes before an image layer that a vector reaches: to the shape that was flattened on the way to
    ///   the code where number of values and channels agree, otherwise to a square of the layer's channels.
    /// - `Unflatten` goes at the end of a decoder that gives as many values as an image has.
    ///
    /// # Errors
    /// [`Error::Architecture`] names the first layer that does not fit, the shape that reached it and the number that
    /// would fit; or says what comes out of the decoder, where that is not the shape of an image.
    /// [`Error::Data`] if `image_shape` has a zero or is absurdly large.
    ///
    /// # Example
    /// ```
    /// use diabolo::model::Architecture;
    /// let plan = Architecture::report_cnn().plan([3, 32, 32])?;
    /// assert_eq!((plan.n_latents(), plan.n_parameters()), (32, 191_777));
    ///
    /// let as_in_the_report = Architecture::parse("Linear(3072, 32)", "Linear(96, 32) / Linear(3072, 96)")?;
    /// let mistake = as_in_the_report.plan([3, 32, 32]).unwrap_err();
    /// assert!(mistake.to_string().ends_with("written as (out, in)? Linear(32, 96) would fit"));
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn plan(&self, image_shape: ImageShape) -> Result<Plan> {
        self.check()?;
        Plan::new(&self.name, &self.encoder, &self.decoder, image_shape)
    }

    /// The plan for the first of `[3, 32, 32]` (CIFAR-10) and `[1, 28, 28]` (MNIST) that fits: what an architecture
    /// shows of itself before it meets any data.
    ///
    /// # Example
    /// ```
    /// use diabolo::model::Architecture;
    /// let mnist = Architecture::parse("Linear(784, 32)", "Linear(32, 784) / Tanh()")?;
    /// assert_eq!(mnist.usual_plan().expect("784 is 28 x 28").image_shape, [1, 28, 28]);
    /// let for_other_images = Architecture::parse("Linear(50, 8)", "Linear(8, 50)")?;
    /// assert!(for_other_images.usual_plan().is_none());
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn usual_plan(&self) -> Option<Plan> {
        USUAL_IMAGE_SHAPES.into_iter().find_map(|image_shape| self.plan(image_shape).ok())
    }

    /// Checks all that does not depend on shapes.
    fn check(&self) -> Result<()> {
        for (part, layers) in [(Part::Encoder, &self.encoder), (Part::Decoder, &self.decoder)] {
            if layers.is_empty() || layers.len() > MOST_LAYERS {
                let (found, wanted) = (format!("{} layers", layers.len()), format!("1 to {MOST_LAYERS}"));
                let next_step = "one Linear(3072, 32) is the least, and the report's network has 24 to a part";
                return Err(Misfit::new(found, wanted, next_step).at(part.to_string()));
            }
            for (index, layer) in layers.iter().enumerate() {
                let is_bottleneck = part == Part::Encoder && index + 1 == layers.len();
                let checked = match layer {
                    Layer::Gaussian { .. } if !is_bottleneck => Err(Misfit::new(
                        "a Gaussian inside the network",
                        "it as the encoder's last layer",
                        "it is the bottleneck of a variational autoencoder; elsewhere use Linear",
                    )),
                    _ => layer.check(),
                };
                checked.map_err(|misfit| misfit.at_layer(part, index + 1, layer))?;
            }
        }
        Ok(())
    }

    /// One of the architectures above.
    fn named_one(name: &str, encoder: &str, decoder: &str) -> Self {
        Self::parse(encoder, decoder).expect("the named architectures are tested").named(name)
    }
}

/// A table of layers, output shapes and parameters where the shapes are known ([`Architecture::usual_plan`]), of
/// layers alone otherwise.
impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(plan) = self.usual_plan() {
            return plan.fmt(f);
        }
        writeln!(f, "{}", self.name)?;
        let encoder = self.encoder.iter().map(|layer| [Part::Encoder.to_string(), layer.to_string()]);
        let decoder = self.decoder.iter().map(|layer| [Part::Decoder.to_string(), layer.to_string()]);
        write_table(f, ["part", "layer"], &encoder.chain(decoder).collect::<Vec<_>>())
    }
}

impl Plan {
    /// The architecture with every layer written out, which is what is saved: its plan inserts nothing.
    ///
    /// # Example
    /// ```
    /// use diabolo::model::Architecture;
    /// let plan = Architecture::fcn().plan([3, 32, 32])?;
    /// let written_out = plan.architecture();
    /// assert_eq!(written_out.encoder.len(), Architecture::fcn().encoder.len() + 1);
    /// assert_eq!(written_out.plan([3, 32, 32])?.n_parameters(), plan.n_parameters());
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn architecture(&self) -> Architecture {
        let layers = |part: &[PlannedLayer]| part.iter().map(|planned| planned.layer.clone()).collect();
        Architecture { name: self.name.clone(), encoder: layers(&self.encoder), decoder: layers(&self.decoder) }
    }
}

/// An architecture as it is saved.
#[derive(Serialize, Deserialize)]
#[serde(rename = "Architecture", deny_unknown_fields)]
struct Written {
    name: String,
    encoder: String,
    decoder: String,
}

impl From<Architecture> for Written {
    fn from(architecture: Architecture) -> Self {
        let (encoder, decoder) = (architecture.encoder_notation(), architecture.decoder_notation());
        Self { name: architecture.name, encoder, decoder }
    }
}

impl TryFrom<Written> for Architecture {
    type Error = Error;

    fn try_from(written: Written) -> Result<Self> {
        Ok(Self::parse(&written.encoder, &written.decoder)?.named(written.name))
    }
}
