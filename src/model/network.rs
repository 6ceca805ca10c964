//! A built network.
/// A built network.
#[derive(Debug)]
pub struct Network;
