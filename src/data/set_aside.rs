//! Normal images that training does not see, to make a threshold of.

use super::images::Images;
use super::split::Split;
use crate::{Error, Result};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256PlusPlus;

impl Split {
    /// Takes `n_images` training images out of the training, drawn by lot but always the same: normal images that training
    /// does not see, of which a threshold can be made
    /// ([`Detector::with_false_alarms`](crate::detector::Detector::with_false_alarms)). Gives what is left, and these.
    ///
    /// Hold classes out before: it starts from the images that are left.
    ///
    /// # Errors
    /// [`Error::Setting`] for no image, or when fewer than two would be left to train on.
    ///
    /// # Example
    /// ```
    /// let data = diabolo::data::open("scenes")?.hold_out(&["boat", "car"])?;
    /// let (data, normal) = data.set_aside(1_000)?;
    /// assert_eq!((data.train().len(), normal.len(), data.test().len()), (5_400, 1_000, 2_000));
    /// assert_eq!(data.held_out(), ["boat", "car"]);
    /// assert!(data.set_aside(5_399).is_err());
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn set_aside(&self, n_images: usize) -> Result<(Self, Images)> {
        let n = self.train().len();
        if n_images == 0 || n_images + 2 > n {
            let wanted = format!("1 to {}, so that two are left to train on", n.saturating_sub(2));
            let next_step = "99 are enough for a rate of false alarms of 0.01";
            return Err(Error::setting("n_images", n_images.to_string(), wanted, next_step));
        }
        let mut order: Vec<usize> = (0..n).collect();
        order.shuffle(&mut Xoshiro256PlusPlus::seed_from_u64(0));
        let (aside, left) = order.split_at_mut(n_images);
        aside.sort_unstable();
        left.sort_unstable();
        Ok((self.with_train(self.train().select(left)?), self.train().select(aside)?))
    }
}
