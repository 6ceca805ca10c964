//! Networks as data: an [`Architecture`] is two lists of [`Layer`]s that can be parsed, printed, checked and saved.

mod architecture;
mod block;
mod dropout;
mod layer;
mod linear;
mod lowering;
mod network;
mod notation;
mod plan;
mod shapes;
mod signatures;
mod sub_pixel;
mod tanh;
mod trace;

pub use architecture::Architecture;
pub use layer::{Layer, Part};
pub(crate) use network::{GaussianWaist, Mode, Network, StepRandomness};
pub use plan::{FeatureShape, Plan, PlanRow, PlannedLayer};
pub(crate) use trace::Trace;
