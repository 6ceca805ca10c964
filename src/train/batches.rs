//! Images in batches: of a training, and of what is only computed.

use crate::data::{Images, Pixels};
use crate::device::{ResidentImages, shuffled_rows, without_gradients};
use crate::error::TorchContext;
use crate::model::Network;
use crate::{Result, interrupt, memory};
use tch::Tensor;

/// Images per pass on a CPU when nothing is trained: twice as many do not fit its cache and take more than three times as
/// long.
const BATCH_ON_CPU: usize = 128;

/// On a GPU, which is busy only with many at once.
const BATCH_ON_GPU: usize = 2048;

/// The training images on the device, in the order of an epoch. They are held once: on a CPU a minibatch is
/// copied from where the images lie; on a GPU all of them are.
#[derive(Debug)]
pub(super) enum TrainingImages {
    OnHost { images: Images, order: Vec<usize> },
    OnDevice { images: ResidentImages, order: Vec<i64> },
}

impl TrainingImages {
    pub(super) fn new(images: &Images, device: tch::Device) -> Result<Self> {
        if device == tch::Device::Cpu {
            return Ok(Self::OnHost { images: images.clone(), order: Vec::from_iter(0..images.len()) });
        }
        let value_bytes = match images.pixels() {
            Pixels::Bytes(_) => size_of::<u8>(),
            Pixels::Floats(_) => size_of::<f32>(),
        };
        let [c, h, w] = images.shape();
        // Meanwhile there are two copies: one array, and the tensor.
        let n_bytes = memory::bytes_of(&[2, images.len(), c, h, w, value_bytes]);
        memory::check("moving the training images to the device", n_bytes, "train on fewer or smaller images")?;
        Self::on_device(images, device)
    }

    pub(super) fn on_device(images: &Images, device: tch::Device) -> Result<Self> {
        let order = Vec::from_iter(0..images.len() as i64);
        Ok(Self::OnDevice { images: ResidentImages::new(images, 0..images.len(), device)?, order })
    }

    /// Shuffles the images for an epoch, counted from 1.
    pub(super) fn shuffle(&mut self, seed: u64, epoch: usize) {
        match self {
            Self::OnHost { order, .. } => {
                let rows = shuffled_rows(order.len(), seed, epoch);
                *order = rows.into_iter().map(|row| row as usize).collect();
            }
            Self::OnDevice { order, .. } => *order = shuffled_rows(order.len(), seed, epoch),
        }
    }
}

/// The images of these indices, `[n, c, h, w]`, f32 in -1..=1, on the host.
pub(super) fn batch_on_host(images: &Images, indices: &[usize]) -> Result<Tensor> {
    ResidentImages::new(&images.select(indices)?, 0..indices.len(), tch::Device::Cpu)?.all()
}

/// Gives images a batch at a time, as they are sent through a network when nothing is trained: on its device, and without
/// recording what a gradient would need.
pub(super) fn each_batch(
    network: &Network,
    images: &Images,
    doing: &str,
    mut take: impl FnMut(&Tensor) -> Result<()>,
) -> Result<()> {
    let device = network.device();
    let batch_size = if device == tch::Device::Cpu { BATCH_ON_CPU } else { BATCH_ON_GPU };
    for start in (0..images.len()).step_by(batch_size) {
        interrupt::check(doing)?;
        let batch = ResidentImages::new(images, start..images.len().min(start + batch_size), device)?.all()?;
        let batch = network.arranged(batch).doing("arranging a batch")?;
        without_gradients(|| take(&batch))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::open;

    #[test]
    fn batches_from_the_host_and_from_a_device_are_the_same() {
        let all = open("scenes").unwrap().train().clone();
        let images = all.select(&Vec::from_iter((0..30).map(|index| (index * 7) % 30))).unwrap();
        let mut on_host = TrainingImages::new(&images, tch::Device::Cpu).unwrap();
        assert!(matches!(on_host, TrainingImages::OnHost { .. }), "a CPU copies no image before it is needed");
        let mut on_device = TrainingImages::on_device(&images, tch::Device::Cpu).unwrap();
        let batch = |images: &mut TrainingImages| {
            images.shuffle(5, 2);
            match images {
                TrainingImages::OnHost { images, order } => batch_on_host(images, &order[8..17]).unwrap(),
                TrainingImages::OnDevice { images, order } => images.batch(&Tensor::from_slice(&order[8..17])).unwrap(),
            }
        };
        assert_eq!(batch(&mut on_host).size(), [9, 3, 32, 32]);
        assert_eq!(batch(&mut on_host), batch(&mut on_device));
    }
}
