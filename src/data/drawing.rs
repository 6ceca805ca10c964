//! Drawing test images from a data set that has none of its own.

use super::images::Images;
use crate::{Error, Result};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256PlusPlus;

/// For each image, whether it is drawn for testing: `test_share` of every class, or of all where classes are not known;
/// at least one image is.
pub(super) fn draw(images: &Images, test_share: f64, seed: u64) -> Vec<bool> {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut is_test = vec![false; images.len()];
    let mut draw = |mut indices: Vec<usize>| {
        indices.shuffle(&mut random);
        let n_test = (indices.len() as f64 * test_share).round() as usize;
        let n_test = n_test.min(indices.len().saturating_sub(1));
        indices[..n_test].iter().for_each(|&index| is_test[index] = true);
        n_test
    };
    let n_test: usize = match (images.class_indices(), images.class_names()) {
        (Some(classes), Some(names)) => {
            let mut members = vec![Vec::new(); names.len()];
            classes.iter().enumerate().for_each(|(index, &class)| members[class].push(index));
            members.into_iter().map(&mut draw).sum()
        }
        _ => 0,
    };
    // Without classes, or with too few images of each, the draw is from all.
    if n_test == 0 && draw((0..images.len()).collect()) == 0 {
        is_test[images.len() - 1] = true;
    }
    is_test
}

/// The indices of one of several shares of images, rising. They are dealt out after shuffling, always in the same way, so that
/// every share has something of all, however they are sorted.
pub(super) fn share_of(n_images: usize, rank: usize, n_processes: usize) -> Vec<usize> {
    let mut indices = Vec::from_iter(0..n_images);
    indices.shuffle(&mut Xoshiro256PlusPlus::seed_from_u64(0));
    let mut share: Vec<usize> = indices.into_iter().skip(rank).step_by(n_processes).collect();
    share.sort_unstable();
    share
}

/// How test images were drawn, in words.
pub(super) fn by_chance_note(test_share: f64, seed: u64) -> String {
    format!("{} % of the images drawn for testing with seed {seed}", (test_share * 1e4).round() / 100.0)
}

/// Checks the share of images that is drawn for testing.
pub(super) fn check_test_share(test_share: f64) -> Result<()> {
    if test_share > 0.0 && test_share < 1.0 {
        return Ok(());
    }
    Err(Error::setting("test_share", test_share.to_string(), "above 0 and below 1", "0.2 is a fifth"))
}
