//! What processes that train together tell each other in a step.

use super::Training;
use crate::device::host::{values, values_mut};
use crate::device::without_gradients;
use crate::error::TorchContext;
use crate::model::{Network, Share};
use crate::together::{Together, gather};
use crate::{Error, Result};
use tch::Tensor;

/// Why a process wants the training to end after the step before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Wish {
    Interrupt,
    TimeLimit,
}

/// A step of all processes.
pub(super) struct Exchanged {
    /// A scalar.
    pub(super) loss: Tensor,
    /// `[n_parameters]`; empty where there are none.
    pub(super) gradient: Tensor,
    /// The wish of any of them.
    pub(super) wish: Option<Wish>,
}

/// Adds up loss and gradient over all processes, each already normalised by the whole minibatch, in one message. Running
/// statistics become the means over all images; those of the whole minibatch, which are the same everywhere, stay.
pub(super) fn exchange(
    together: &dyn Together,
    share: &Share,
    network: &Network,
    loss: &Tensor,
    gradients: &[Tensor],
    wish: Option<Wish>,
) -> Result<Exchanged> {
    let loss_here = loss.f_double_value(&[]).doing("computing the loss")?;
    let mut message: Vec<f32> = Vec::with_capacity(network.parameters().numel() + 4);
    for gradient in gradients {
        // SAFETY: nobody writes to gradients any more.
        message.extend_from_slice(unsafe { values(gradient) });
    }
    let n_gradients = message.len();
    message.push(loss_here as f32);
    if !share.counts() {
        message.fill(0.0);
    }
    let is = |wanted: Wish| if wish == Some(wanted) { 1.0 } else { 0.0 };
    let n_images_here = if share.counts() { share.rows().len() } else { 0 };
    message.extend([n_images_here as f32, is(Wish::Interrupt), is(Wish::TimeLimit)]);
    together.sum_floats(&mut message)?;
    let [loss, n_images, interrupt, time_limit] = message[n_gradients..] else {
        unreachable!("four numbers follow the gradients")
    };
    if n_images as usize != share.n_images() {
        return Err(Error::processes(
            "taking a step together",
            format!("{n_images} images"),
            format!("{} of all processes", share.n_images()),
            "give all processes the same settings and data",
        ));
    }
    share_statistics(together, share, network)?;
    let scalar = Tensor::f_from_slice(&[loss]).and_then(|loss| loss.f_squeeze()).doing("adding up the loss")?;
    Ok(Exchanged {
        loss: scalar,
        gradient: Tensor::f_from_slice(&message[..n_gradients]).doing("adding up the gradient")?,
        wish: match (interrupt > 0.0, time_limit > 0.0) {
            (true, _) => Some(Wish::Interrupt),
            (_, true) => Some(Wish::TimeLimit),
            _ => None,
        },
    })
}

/// Means of the running statistics, by images.
fn share_statistics(together: &dyn Together, share: &Share, network: &Network) -> Result<()> {
    let [_, statistics] = network.state();
    if statistics.numel() == 0 {
        return Ok(());
    }
    let mut statistics = statistics.shallow_clone();
    // SAFETY: between two passes nobody else uses the statistics.
    let statistics = unsafe { values_mut(&mut statistics) };
    let weight = share.weight();
    let weighted = statistics.iter().map(|&value| if share.counts() { f64::from(value) * weight } else { 0.0 });
    let mut sums: Vec<f64> = weighted.collect();
    together.sum(&mut sums)?;
    without_gradients(|| statistics.iter_mut().zip(sums).for_each(|(value, sum)| *value = sum as f32));
    Ok(())
}

/// Whether several processes can train together on so many images; what concerns the network comes later.
pub(super) fn check_processes(
    together: &dyn Together,
    training: &Training,
    n_images: usize,
    device: tch::Device,
) -> Result<()> {
    let size = together.size();
    if size == 1 {
        return Ok(());
    }
    if device != tch::Device::Cpu {
        return Err(Error::Device {
            wanted: "cpu".into(),
            found: format!("{size} processes that would train together on a GPU"),
            next_step: "choose device \"cpu\", or train in one process".into(),
        });
    }
    let n_in_batch = training.batch_size.min(n_images);
    if size > n_in_batch {
        return Err(Error::setting(
            "batch_size",
            format!("{n_in_batch} images in a batch for {size} processes"),
            "an image or more for each process",
            format!("start {n_in_batch} processes or fewer, or choose a larger batch_size"),
        ));
    }
    Ok(())
}

/// Whether weights and running statistics are the same in all processes, bit for bit.
pub(super) fn check_same_weights(together: &dyn Together, network: &Network, n_epochs: usize) -> Result<()> {
    if together.size() == 1 {
        return Ok(());
    }
    let sums = gather(together, checksum(network))?;
    match sums.iter().position(|sum| *sum != sums[0]) {
        None => Ok(()),
        Some(rank) => Err(Error::processes(
            format!("comparing weights after {n_epochs} epochs"),
            format!("others in process {rank} than in process 0"),
            "the same in all",
            "start all processes on machines of one kind; the same command goes on from the last epoch that was saved",
        )),
    }
}

/// A number below 2^52 that follows from the bits of all weights and running statistics.
fn checksum(network: &Network) -> f64 {
    let mut sum = 0xCBF2_9CE4_8422_2325_u64;
    for tensor in network.state() {
        // SAFETY: between two steps nobody writes to the weights.
        for value in unsafe { values(tensor) } {
            // The prime of the FNV hash.
            sum = (sum ^ u64::from(value.to_bits())).wrapping_mul(0x0100_0000_01B3);
        }
    }
    (sum >> 12) as f64
}
