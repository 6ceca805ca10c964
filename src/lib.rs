//! Autoencoders in Rust notebooks: one line trains one, one line ranks what it rebuilt badly, one line draws the figure.

#![deny(missing_docs, rustdoc::broken_intra_doc_links)]

pub mod background;
pub mod data;
pub mod device;
pub mod display;
pub mod error;
pub mod figure;
mod files;
pub mod latent;
pub mod metrics;
pub mod model;
pub mod notebook;
pub mod prelude;
pub mod run;
pub mod score;
pub mod shortcuts;
pub mod train;

pub use error::{Error, Result};
pub use ndarray;
