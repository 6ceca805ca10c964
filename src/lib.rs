//! Autoencoders in Rust notebooks: one line trains one, one line ranks images by reconstruction error, one line draws
//! the figure.
//!
//! ```
//! use diabolo::prelude::*;
//! let data = open("scenes")?.hold_out(&["boat", "car"])?;
//! # let data = Split::new("a few scenes", data.train().first(64)?, data.test().first(64)?)?;
//! let model = train(Architecture::conv(), &data, Training::default().epochs(1))?;
//! println!("{}", model.rank(data.test())?);
//! let pictures: Figure = compare(&[&model], &data, 2)?;
//! # Ok::<(), diabolo::Error>(())
//! ```
//!
//! Images come from [`data`], networks are text ([`model::Architecture`]), and [`train`](train::fit) makes an
//! [`Autoencoder`](train::Autoencoder) of both.
//!
//! A way of scoring that is fitted to normal images is a [`Detector`](detector::Detector), which scores new images, takes a
//! threshold from normal images alone, and is saved and opened again:
//!
//! ```
#![doc = include_str!("example.txt")]
//! # let folder = tempfile::tempdir().unwrap();
//! # let folder = folder.path().join("detector");
//! # let normal = data.test().select(&Vec::from_iter((0..48).filter(|n| n % 3 != 0)))?;
//! let detector = KMeans(3).fit(&model, data.train())?; // or Reconstruction, LargestError, Pca(2), Mahalanobis, KNearest(5)
//! let scores = detector.score(data.test())?; // scikit-learn's score_samples, but higher is more anomalous
//! println!("AUC {:.3}", scores.auc()?);
//! let detector = detector.with_false_alarms(0.1, &normal)?; // normal images that training has not seen
//! let found = detector.detect(data.test())?; // predict: found.is_anomaly, found.p_values
//! detector.save(&folder)?;
//! assert_eq!(Detector::open(&folder)?.score(data.test())?, scores);
//! # assert_eq!(found.is_anomaly.len(), 48);
//! # Ok::<(), diabolo::Error>(())
//! ```
//!
//! A notebook needs no more than [`prelude`].

#![deny(missing_docs, rustdoc::broken_intra_doc_links)]
// clippy.toml: tests may panic.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

// In the order in which data flow: a room uses only rooms above it.
pub mod error;
mod interrupt;
pub mod language;
mod memory;
pub mod together;
pub mod files;
pub mod data;
pub mod device;
pub mod model;
pub mod train;
pub mod run;
pub mod score;
pub mod latent;
pub mod cluster;
pub mod neighbours;
pub mod project;
pub mod metrics;
pub mod figure;
pub mod table;
pub mod background;
pub mod detector;
pub mod evaluation;
pub mod sweep;
pub mod views;
pub mod check;
pub mod display;
pub mod notebook;
pub mod shortcuts;
pub mod prelude;

pub use error::{Error, Result};
pub use linfa;
pub use ndarray;
