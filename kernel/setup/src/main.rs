//! The command behind `cargo diabolo`.
fn main() {}
