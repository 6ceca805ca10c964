//! Autoencoders in Rust notebooks: one line trains one, one line ranks what it rebuilt badly, one line draws the figure.

#![deny(missing_docs, rustdoc::broken_intra_doc_links)]

pub mod data;
pub mod display;
pub mod error;
pub mod figure;
pub mod model;

pub use error::{Error, Result};
pub use ndarray;
