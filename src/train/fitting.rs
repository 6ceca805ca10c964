//! Whether settings fit the images, the network and the device.

use super::Training;
use crate::device::{Precision, cuda};
use crate::model::{Layer, Plan, PlannedLayer};
use crate::{Error, Result, memory};

impl Training {
    /// Whether batch norm has more than one value of each channel in every batch. Of one value there is no variance: it would
    /// divide by zero, and the running variance would not be a number from then on.
    pub(super) fn check_batch_statistics(&self, plan: &Plan, n_images: usize) -> Result<()> {
        let Some(planned) = norm_of_one_value(plan) else { return Ok(()) };
        let leaves_one = |batch_size: usize| batch_size.min(n_images) == 1 || n_images % batch_size == 1;
        if !leaves_one(self.batch_size) {
            return Ok(());
        }
        let others =
            (1..n_images).flat_map(|distance| [self.batch_size.saturating_sub(distance), self.batch_size + distance]);
        let fitting = others.filter(|&other| other >= 2).find(|&other| !leaves_one(other)).unwrap_or(n_images);
        let found = match self.batch_size {
            1 => "1".to_string(),
            batch_size => format!("{batch_size}, which leaves 1 of {n_images} images for the last batch"),
        };
        Err(Error::setting(
            "batch_size",
            found,
            format!(
                "2 or more images in every batch, since {} has one value of an image in each channel",
                planned.layer
            ),
            format!("choose batch_size {fitting}, or another number of images"),
        ))
    }

    /// The same of the images of each of several processes, where each has batch statistics of its own.
    pub(super) fn check_statistics_of_each(&self, plan: &Plan, n_images: usize, n_processes: usize) -> Result<()> {
        let Some(planned) = norm_of_one_value(plan) else { return Ok(()) };
        let last = match n_images % self.batch_size {
            0 => self.batch_size,
            rest => rest,
        };
        let fewest = self.batch_size.min(n_images).min(last);
        if fewest >= 2 * n_processes {
            return Ok(());
        }
        Err(Error::setting(
            "batch_size",
            format!("{}, which gives {n_processes} processes {fewest} images in the smallest batch", self.batch_size),
            format!("2 or more for each, since {} has one value of an image in each channel", planned.layer),
            "start fewer processes, or choose a batch_size that leaves more images for the last batch",
        ))
    }

    /// Sets libtorch's switches for a GPU as these settings ask.
    pub(super) fn set_switches(&self, device: tch::Device) {
        cuda::allow(device, self.precision == Precision::Tf32, !self.deterministic);
    }

    /// Whether a batch of `n_images` at most fits into the memory of the device, as far as that is known.
    pub(super) fn check_memory(&self, plan: &Plan, n_images: usize, device: tch::Device) -> Result<()> {
        let n_values = plan.fewest_values_held();
        let n_bytes = memory::bytes_of(&[self.batch_size.min(n_images), n_values, size_of::<f32>()]);
        let doing = format!("training {}", plan.name);
        let next_step = format!("choose a smaller batch_size than {} or a smaller network", self.batch_size);
        match device {
            tch::Device::Cpu => memory::check(&doing, n_bytes, &next_step),
            _ => memory::check_free(&doing, n_bytes, cuda::free_memory(device), &next_step),
        }
    }
}

/// The first batch norm that has one value of an image in each channel.
fn norm_of_one_value(plan: &Plan) -> Option<&PlannedLayer> {
    plan.encoder.iter().chain(&plan.decoder).find(|planned| match planned.layer {
        Layer::BatchNorm2d { channels } => planned.output.n_values() == channels,
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_that_leave_one_value_to_batch_norm_are_an_error() {
        let check = |architecture: &str, batch_size: usize, n_images: usize| {
            let architecture = crate::model::Architecture::parse(architecture, "Linear(8, 3072)").unwrap();
            let plan = architecture.plan([3, 32, 32]).unwrap();
            let checked = Training::default().batch_size(batch_size).check_batch_statistics(&plan, n_images);
            checked.map_err(|error| error.to_string())
        };
        let after_linear = "Linear(3072, 64) / BatchNorm2d(64) / ReLU() / Linear(64, 8)";
        assert_eq!(
            check(after_linear, 32, 33).unwrap_err(),
            "setting batch_size: found 32, which leaves 1 of 33 images for the last batch, wanted 2 or more images in \
             every batch, since BatchNorm2d(64) has one value of an image in each channel; \
             choose batch_size 31, or another number of images"
        );
        for (batch_size, n_images) in [(32, 34), (32, 32), (33, 33), (500, 33), (2, 4)] {
            check(after_linear, batch_size, n_images).unwrap();
        }
        // Of 3 images only one batch of all leaves none alone.
        assert!(check(after_linear, 2, 3).unwrap_err().contains("choose batch_size 3, "));
        assert!(check(after_linear, 1, 100).unwrap_err().starts_with("setting batch_size: found 1, wanted 2 or more"));
        let of_each = |n_images: usize, n_processes: usize| {
            let architecture = crate::model::Architecture::parse(after_linear, "Linear(8, 3072)").unwrap();
            let plan = architecture.plan([3, 32, 32]).unwrap();
            Training::default().batch_size(32).check_statistics_of_each(&plan, n_images, n_processes).is_ok()
        };
        assert!(of_each(36, 2) && of_each(64, 16) && !of_each(35, 2) && !of_each(64, 17));
        // Four values of an image in each channel.
        check("Conv2d(3, 8, 16, 16) / BatchNorm2d(8) / Linear(32, 8)", 32, 33).unwrap();
    }
}
