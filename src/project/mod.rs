//! From many values to few: principal components, distances in units of spread, and maps in the plane.

mod affinities;
mod eigen;
mod mahalanobis;
mod pca;
mod quadtree;
mod tsne;

pub use mahalanobis::Mahalanobis;
pub use pca::Pca;
pub use tsne::{Embedding, Tsne};
