//! A trained autoencoder.

use super::batches::each_batch;
use super::{History, Training};
use crate::data::Images;
use crate::error::TorchContext;
use crate::model::{Architecture, Evaluated, Network, Plan};
use crate::{Error, Result, memory};
use ndarray::Array4;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tch::Tensor;

/// A network with its weights, the settings it was trained with and the history of its training.
///
/// Copies share the weights, which no longer change.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// assert_eq!((model.name(), model.trained_on()), ("small", "drawn"));
/// assert_eq!((model.architecture().encoder.len(), model.training().epochs), (1, 2));
/// assert!(model.history().loss_last() < model.history().loss_first);
/// assert_eq!(model.plan().n_latents(), 4);
/// let rebuilt = model.reconstruct(data.test())?;
/// assert_eq!((rebuilt.len(), rebuilt.shape()), (48, [1, 8, 8]));
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Autoencoder {
    architecture: Architecture,
    training: Training,
    history: History,
    trained_on: String,
    network: Arc<Mutex<Network>>,
}

impl Autoencoder {
    pub(crate) fn new(
        architecture: Architecture,
        training: Training,
        history: History,
        trained_on: String,
        network: Network,
    ) -> Self {
        Self { architecture, training, history, trained_on, network: Arc::new(Mutex::new(network)) }
    }

    /// The architecture's name, as in "report_cnn".
    pub fn name(&self) -> &str {
        &self.architecture.name
    }

    /// The layers.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// The settings of its training.
    pub fn training(&self) -> &Training {
        &self.training
    }

    /// The losses of its training, and how it ended.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Name of the data it was trained on.
    pub fn trained_on(&self) -> &str {
        &self.trained_on
    }

    /// Says in the history that the model could not be saved.
    pub(crate) fn could_not_save(&mut self, error: &Error) {
        self.history.could_not_save(error);
    }

    /// The layers with their shapes.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// assert_eq!(model.plan().image_shape, [1, 8, 8]);
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn plan(&self) -> Plan {
        self.network().plan().clone()
    }

    /// Rebuilds images: `[n, c, h, w]` in -1..=1 to the same shape and, after a Tanh, the same range. After another last
    /// layer values may leave it; they are given as they are scored, and figures show them clipped.
    ///
    /// Dropout is off and batch norm uses its running statistics; a Gaussian bottleneck gives its mean.
    ///
    /// # Errors
    /// [`Error::Data`] when the images have another shape than those of the training; [`Error::Memory`] when there is not
    /// enough for as many reconstructions, of four bytes a value.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// let rebuilt = model.reconstruct(&data.test().first(5)?)?;
    /// assert_eq!(rebuilt.len(), 5);
    /// assert!(rebuilt.to_array().iter().all(|pixel| (-1.0..=1.0).contains(pixel)));
    ///
    /// let of_another_size = open("scenes")?;
    /// assert!(model.reconstruct(of_another_size.test()).is_err());
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn reconstruct(&self, images: &Images) -> Result<Images> {
        let shape = self.plan().image_shape;
        let n_bytes = memory::bytes_of(&[images.len(), shape.iter().product(), size_of::<f32>()]);
        memory::check("reconstructing images", n_bytes, "reconstruct fewer at a time")?;
        let pixels = self.stream(images, |network, batch| network.rebuild(batch))?;
        let pixels = Array4::from_shape_vec((images.len(), shape[0], shape[1], shape[2]), pixels)
            .expect("a reconstruction has the shape of its image");
        Images::from_outputs(pixels)
    }

    /// The network, for saving.
    pub(crate) fn network(&self) -> MutexGuard<'_, Network> {
        // A panic while the lock was held cannot have left weights half-written: they do not change after training.
        self.network.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies `compute` to images batch by batch, so that memory does not grow with their number, and joins the
    /// results in order.
    pub(crate) fn stream(
        &self,
        images: &Images,
        mut compute: impl FnMut(&Evaluated, &Tensor) -> Result<Tensor>,
    ) -> Result<Vec<f32>> {
        let network = self.network();
        let wanted = network.plan().image_shape;
        let doing = format!("running {}", self.name());
        if images.shape() != wanted {
            return Err(Error::data(
                doing,
                format!("images of shape {:?}", images.shape()),
                format!("{wanted:?}, as in its training"),
                "choose images of that shape, or train on these",
            ));
        }
        let mut values = Vec::new();
        self.training.set_switches(network.device());
        each_batch(&network, self.training.precision, images, &doing, |network, batch| {
            let flat = compute(network, batch)?.f_reshape([-1]).and_then(|flat| flat.f_to(tch::Device::Cpu));
            values.extend(flat.and_then(Vec::<f32>::try_from).doing("reading results from the device")?);
            Ok(())
        })?;
        Ok(values)
    }
}

impl fmt::Display for Autoencoder {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let plan = self.plan();
        writeln!(
            f,
            "{}: {} parameters, code of {} values, trained on {}",
            self.name(),
            plan.n_parameters(),
            plan.n_latents(),
            self.trained_on
        )?;
        self.history.fmt(f)
    }
}
