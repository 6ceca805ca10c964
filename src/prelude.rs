//! The one `use` that a notebook needs.

pub use crate::check::{Checks, check};
pub use crate::data::{Images, OpenOptions, PixelRange, Split};
pub use crate::detector::ways::*;
pub use crate::detector::{Detections, Detector, ErrorMaps, FitOptions};
pub use crate::device::{Device, Precision};
pub use crate::evaluation::{Evaluation, FitOn, ScoreTable};
pub use crate::figure::Figure;
pub use crate::language::language;
pub use crate::latent::Latents;
pub use crate::metrics::{Positive, Threshold};
pub use crate::model::{Architecture, Layer};
pub use crate::project::{DiffusionMap, Tsne};
pub use crate::run::{BackgroundTraining, Run};
pub use crate::score::{Picks, Ranking, Scores};
pub use crate::shortcuts::*;
pub use crate::sweep::Sweep;
pub use crate::table::Table;
pub use crate::train::{Autoencoder, History, Keep, KlTerm, Optimizer, Training};
