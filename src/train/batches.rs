//! Images in batches: of a training, and of what is only computed.

use crate::data::{Images, Pixels, Split};
use crate::device::graph::Turn;
use crate::device::{Precision, ResidentImages, is_host, shuffled_rows, without_gradients};
use crate::error::TorchContext;
use crate::model::{Evaluated, Network, Share};
use crate::together::Together;
use crate::{Result, interrupt, memory};
use std::ops::Range;
use std::sync::Arc;
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
        if is_host(device) {
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

/// Which images each process takes in a step.
#[derive(Debug, Clone)]
pub(super) struct Minibatches {
    /// Of all processes.
    n_images: usize,
    batch_size: usize,
    /// The images of each process, where each has its own; else all have the same.
    n_of_each: Option<Vec<usize>>,
}

impl Minibatches {
    pub(super) fn new(split: &Split, batch_size: usize) -> Self {
        let n_of_each = split.n_train_of_each().map(<[usize]>::to_vec);
        let n_images = n_of_each.as_ref().map_or(split.train().len(), |n_of_each| n_of_each.iter().sum());
        Self { n_images, batch_size, n_of_each }
    }

    /// The images of an epoch, of all processes.
    pub(super) fn n_images(&self) -> usize {
        self.n_images
    }

    /// Steps of an epoch.
    pub(super) fn n_steps(&self) -> usize {
        self.n_images.div_ceil(self.batch_size)
    }

    /// Images of all processes that an epoch's first `n_steps` steps take.
    pub(super) fn n_images_after(&self, n_steps: usize) -> usize {
        match &self.n_of_each {
            None => (n_steps * self.batch_size).min(self.n_images),
            Some(n_of_each) => n_of_each.iter().map(|n_images| n_images * n_steps / self.n_steps()).sum(),
        }
    }

    /// What this process takes in a step, counted from 1, by places in its order of the epoch, and which part of the whole
    /// minibatch that is. Where each has its own images, each takes equal parts of them in all steps.
    pub(super) fn of_step(&self, step: usize, together: &Arc<dyn Together>) -> (Range<usize>, Option<Share>) {
        let Some(n_of_each) = &self.n_of_each else {
            let whole = self.n_images_after(step - 1)..self.n_images_after(step);
            let share = Share::of(together, whole.len());
            let places = match &share {
                None => whole,
                Some(share) => whole.start + share.rows().start..whole.start + share.rows().end,
            };
            return (places, share);
        };
        let places_of = |n_images: &usize| n_images * (step - 1) / self.n_steps()..n_images * step / self.n_steps();
        let places_of_each = Vec::from_iter(n_of_each.iter().map(places_of));
        let share = Share::of_each(together, &Vec::from_iter(places_of_each.iter().map(Range::len)));
        // One that has no image for this step takes one that does not count.
        let places = Some(places_of_each[together.rank()].clone()).filter(|places| !places.is_empty());
        (places.unwrap_or(0..1), share)
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
    precision: Precision,
    images: &Images,
    doing: &str,
    mut take: impl FnMut(&Evaluated, &Tensor) -> Result<()>,
) -> Result<()> {
    let device = network.device();
    let network = network.evaluated(precision);
    let batch_size = if is_host(device) { BATCH_ON_CPU.max(network.fewest_at_once()) } else { BATCH_ON_GPU };
    for start in (0..images.len()).step_by(batch_size) {
        interrupt::check(doing)?;
        let on_device = ResidentImages::new(images, start..images.len().min(start + batch_size), device)?;
        // Beside trainings on the same GPU.
        let _turn = Turn::wait(device);
        #[cfg(test)]
        crate::device::simulated::is_given_work();
        let batch = on_device.all()?;
        let batch = network.arranged(batch).doing("arranging a batch")?;
        without_gradients(|| take(&network, &batch))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::open;
    use crate::together::tests::in_threads;

    #[test]
    fn an_epoch_takes_every_image_once_whether_all_have_all_or_each_its_own() {
        for n_of_each in [None, Some(vec![13, 12, 12]), Some(vec![20, 2, 15])] {
            let minibatches = Minibatches { n_images: 37, batch_size: 10, n_of_each: n_of_each.clone() };
            assert_eq!((minibatches.n_steps(), minibatches.n_images_after(4)), (4, 37));
            let taken = in_threads(3, |together| {
                let steps = (1..=4).map(|step| {
                    let (places, share) = minibatches.of_step(step, &together);
                    let share = share.unwrap();
                    let n_images = minibatches.n_images_after(step) - minibatches.n_images_after(step - 1);
                    assert_eq!((share.n_images(), share.rows().len()), (n_images, places.len()));
                    assert!(n_images <= 12);
                    (share.rows(), if share.counts() { places } else { 0..0 })
                });
                Vec::from_iter(steps)
            });
            let places_of = |rank: usize| taken[rank].iter().flat_map(|(_, places)| places.clone());
            match n_of_each {
                None => assert_eq!((0..3).flat_map(places_of).count(), 37),
                Some(n_of_each) => (0..3).for_each(|rank| assert!(places_of(rank).eq(0..n_of_each[rank]))),
            }
            for step in 0..4 {
                let counted = taken.iter().filter(|steps| !steps[step].1.is_empty());
                let rows = Vec::from_iter(counted.flat_map(|steps| steps[step].0.clone()));
                assert_eq!(rows, Vec::from_iter(0..rows.len()), "rows of the whole minibatch, each once");
            }
        }
    }

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
