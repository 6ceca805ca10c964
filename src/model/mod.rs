//! Networks as data: an [`Architecture`] is two lists of [`Layer`]s that can be parsed, printed, checked and saved.

mod architecture;
mod layer;
mod network;
mod notation;
mod plan;
mod planned;
mod shapes;
mod signatures;

pub use architecture::Architecture;
pub use layer::{Layer, Part};
pub(crate) use network::{Backward, Draws, Evaluated, LatentDistribution, Mode, Network, Share, StepRandomness};
pub use plan::{Plan, PlanRow};
pub use planned::{FeatureShape, PlannedLayer};
