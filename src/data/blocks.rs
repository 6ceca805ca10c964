//! Images a few at a time, and as rows of pixels.

use super::images::Images;
use crate::Result;
use ndarray::Array2;

/// Floats of so many images are in memory at a time: those of all may take more than 8-bit images do.
const IMAGES_PER_BLOCK: usize = 1024;

impl Images {
    /// All images, some at a time.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = Result<Images>> {
        let starts = (0..self.len()).step_by(IMAGES_PER_BLOCK);
        starts.map(|start| self.select(&Vec::from_iter(start..self.len().min(start + IMAGES_PER_BLOCK))))
    }

    /// The pixels as points, `[n, c * h * w]`, in -1..=1.
    pub(crate) fn points(&self) -> Array2<f32> {
        let n_values: usize = self.shape().iter().product();
        self.to_array().into_shape_with_order((self.len(), n_values)).expect("pixels in standard order")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::open;
    use ndarray::{Axis, concatenate};

    #[test]
    fn blocks_together_are_all_images() {
        let images = open("scenes").unwrap().test().first(IMAGES_PER_BLOCK + 7).unwrap();
        let blocks: Vec<Images> = images.blocks().collect::<Result<_>>().unwrap();
        assert_eq!(blocks.iter().map(Images::len).collect::<Vec<_>>(), [IMAGES_PER_BLOCK, 7]);
        let points: Vec<_> = blocks.iter().map(Images::points).collect();
        let views: Vec<_> = points.iter().map(Array2::view).collect();
        assert_eq!(concatenate(Axis(0), &views).unwrap(), images.points());
    }
}
