//! The Jupyter kernel of diabolo.
fn main() {}
