//! The part of a minibatch that one of several processes computes.

use crate::together::Together;
use std::ops::Range;
use std::sync::Arc;
use tch::TchError;

/// Which images of a minibatch this process computes, of several that train together.
#[derive(Debug, Clone)]
pub(crate) struct Share {
    together: Arc<dyn Together>,
    rows: Range<usize>,
    n_images: usize,
    counts: bool,
}

impl Share {
    /// The share of a minibatch of so many images; none where there is one process, which computes all of them.
    pub(crate) fn of(together: &Arc<dyn Together>, n_images: usize) -> Option<Self> {
        let (rank, size) = (together.rank(), together.size());
        if size == 1 {
            return None;
        }
        let rows = rank * n_images / size..(rank + 1) * n_images / size;
        Some(Self::new(together, rows, n_images))
    }

    /// The share of a minibatch to which each process brings so many images of its own, one after the other.
    pub(crate) fn of_each(together: &Arc<dyn Together>, n_of_each: &[usize]) -> Option<Self> {
        if together.size() == 1 {
            return None;
        }
        let start = n_of_each[..together.rank()].iter().sum();
        Some(Self::new(together, start..start + n_of_each[together.rank()], n_of_each.iter().sum()))
    }

    fn new(together: &Arc<dyn Together>, rows: Range<usize>, n_images: usize) -> Self {
        let counts = !rows.is_empty();
        // A process without images makes the sums of all layers with the others: with an image that counts for nothing.
        Self { together: together.clone(), rows: if counts { rows } else { 0..1 }, n_images, counts }
    }

    /// The images that are computed here, by their places in the minibatch; at least one.
    pub(crate) fn rows(&self) -> Range<usize> {
        self.rows.clone()
    }

    /// Images of the whole minibatch.
    pub(crate) fn n_images(&self) -> usize {
        self.n_images
    }

    /// Whether the images that are computed here count.
    pub(crate) fn counts(&self) -> bool {
        self.counts
    }

    /// What part of the minibatch is computed here, 0..1.
    pub(crate) fn weight(&self) -> f64 {
        if self.counts { self.rows.len() as f64 / self.n_images as f64 } else { 0.0 }
    }

    /// From a number of values of the images that are computed here to that of the whole minibatch.
    pub(super) fn n_values(&self, n_values_here: usize) -> usize {
        n_values_here / self.rows.len() * self.n_images
    }

    /// The values of these images among those of the whole minibatch.
    pub(super) fn values(&self, n_values_here: usize) -> Range<usize> {
        let n_of_image = n_values_here / self.rows.len();
        self.rows.start * n_of_image..self.rows.end * n_of_image
    }

    /// Adds up what each process has summed over its images.
    pub(super) fn sum(&self, sums: &mut [f64]) -> Result<(), TchError> {
        if !self.counts {
            sums.fill(0.0);
        }
        self.together.sum(sums).map_err(|error| TchError::Torch(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::together::tests::in_threads;

    #[test]
    fn every_image_is_computed_once_however_few_there_are() {
        for (n_images, n_processes) in [(12, 3), (7, 3), (2, 3), (1, 2)] {
            let shares = in_threads(n_processes, |together| Share::of(&together, n_images).unwrap());
            let counted = shares.iter().filter(|share| share.counts());
            let rows: Vec<usize> = counted.clone().flat_map(Share::rows).collect();
            assert_eq!(rows, Vec::from_iter(0..n_images));
            assert!((counted.map(Share::weight).sum::<f64>() - 1.0).abs() < 1e-15);
            let idle = shares.iter().filter(|share| !share.counts());
            assert!(idle.clone().all(|share| share.rows() == (0..1) && share.weight() == 0.0));
        }
    }

    #[test]
    fn one_process_has_no_share() {
        assert!(Share::of(&crate::together::alone(), 5).is_none());
    }
}
