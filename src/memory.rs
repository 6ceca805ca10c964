//! Whether there is memory for what a setting or a file asks for.
//!
//! An operating system promises more memory than it has, and ends the process when the promise is called in: a notebook
//! would lose everything. So what can be large is worked out and compared with what is free first.

use crate::{Error, Result};
use std::fs;

/// Refuses what would not fit into the memory that is free; where that is not known, nothing is refused.
///
/// # Errors
/// [`Error::Memory`].
pub(crate) fn check(doing: &str, n_bytes: u128, next_step: &str) -> Result<()> {
    match free_bytes() {
        Some(free) if n_bytes > free => {
            let gigabytes = |n_bytes: u128| format!("{:.1} GB", n_bytes as f64 / 1e9);
            Err(Error::Memory {
                doing: doing.into(),
                free: gigabytes(free),
                wanted: gigabytes(n_bytes),
                next_step: next_step.into(),
            })
        }
        _ => Ok(()),
    }
}

/// The product of some sizes in bytes, as large as it may be.
pub(crate) fn bytes_of(sizes: &[usize]) -> u128 {
    sizes.iter().fold(1, |product: u128, &size| product.saturating_mul(size as u128))
}

/// What the system can still give, or the container that the process runs in; known on Linux alone.
fn free_bytes() -> Option<u128> {
    let system = free_of_meminfo(&fs::read_to_string("/proc/meminfo").ok()?)?;
    let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<u128>().ok();
    let container = number("/sys/fs/cgroup/memory.max")
        .zip(number("/sys/fs/cgroup/memory.current"))
        .map(|(most, now)| most.saturating_sub(now));
    Some(container.map_or(system, |container| container.min(system)))
}

fn free_of_meminfo(text: &str) -> Option<u128> {
    let kibibytes = |name: &str| -> Option<u128> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    Some((kibibytes("MemAvailable:")? + kibibytes("SwapFree:").unwrap_or(0)) * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_memory_and_swap_are_added_up() {
        let text = "MemTotal: 9 kB\nMemAvailable:   3 kB\nSwapFree:  2 kB\n";
        assert_eq!(free_of_meminfo(text), Some(5 * 1024));
        assert_eq!(free_of_meminfo("nothing of the kind"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_no_computer_has_is_refused() {
        let message = check("making it", bytes_of(&[usize::MAX, usize::MAX, 4]), "make less").unwrap_err().to_string();
        assert!(message.starts_with("making it: found ") && message.ends_with("GB of memory; make less"), "{message}");
        check("making it", 1, "").unwrap();
    }
}
