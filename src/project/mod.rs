//! Dimensionality reduction: PCA, t-SNE, diffusion maps and random projection; and Mahalanobis distances.

mod affinities;
mod diffusion;
mod eigen;
mod interpolation;
mod mahalanobis;
mod pca;
mod quadtree;
mod random_projection;
mod tsne;

pub use diffusion::DiffusionMap;
pub use mahalanobis::Mahalanobis;
pub use pca::Pca;
pub use random_projection::RandomProjection;
pub use tsne::{Embedding, Tsne};
