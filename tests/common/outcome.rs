//! What a training leaves in its folder.

use std::path::Path;

/// Weights as they lie on the disk, and the history without its times.
pub fn outcome(folder: &Path) -> (Vec<u8>, Vec<u8>, Vec<String>) {
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let history = String::from_utf8(read("history.csv")).unwrap();
    let without_times = history.lines().map(|line| line.split(',').take(3).collect::<Vec<_>>().join(","));
    (read("best.safetensors"), read("last.safetensors"), without_times.collect())
}
