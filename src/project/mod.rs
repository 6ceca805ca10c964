//! Dimensionality reduction: PCA, t-SNE, and Mahalanobis distances.

mod affinities;
mod eigen;
mod mahalanobis;
mod pca;
mod quadtree;
mod tsne;

pub use mahalanobis::Mahalanobis;
pub use pca::Pca;
pub use tsne::{Embedding, Tsne};
