//! The one `use` that a notebook needs.

pub use crate::data::{Images, Split};
pub use crate::device::{Device, Precision};
pub use crate::figure::Figure;
pub use crate::latent::Latents;
pub use crate::model::{Architecture, Layer};
pub use crate::score::{Picks, Ranking, Scores};
pub use crate::shortcuts::*;
pub use crate::table::Table;
pub use crate::train::{Autoencoder, History, Keep, KlTerm, Optimizer, Training};
