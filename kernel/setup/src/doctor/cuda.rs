//! Checks of the GPU that need no cell: the NVIDIA driver and libtorch's CUDA library.

use std::fs;

use crate::finding::Finding;
use crate::libtorch::{self, Libtorch};

/// What mends a CUDA that does not work where there is a driver.
pub const MEND: &str = "nvidia-smi; cargo diabolo setup";

/// The driver, which is the computer's.
pub fn driver() -> Finding {
    match libtorch::has_nvidia_driver() {
        false => Finding::note("NVIDIA driver", "none, so everything is computed on the CPU", ""),
        true => {
            let text = fs::read_to_string("/proc/driver/nvidia/version").unwrap_or_default();
            Finding::ok("NVIDIA driver", version_of(&text), "found")
        }
    }
}

/// libtorch's library for CUDA, and what it loads.
pub fn library(libtorch: &Libtorch, has_driver: bool) -> Finding {
    const NAME: &str = "CUDA library";
    let names = ["libtorch_cuda.so", "torch_cuda.dll"];
    let found = names.iter().map(|name| libtorch.lib().join(name)).find(|path| path.exists());
    match (found, has_driver) {
        (Some(path), true) => Finding::ok(NAME, "", path.display()),
        (Some(path), false) => Finding::note(NAME, format!("{}, not used without a driver", path.display()), ""),
        (None, false) => Finding::note(NAME, "this libtorch has none, and none is needed without a driver", ""),
        (None, true) => {
            let detail = format!("{} has none, although there is a driver", libtorch.lib().display());
            Finding::broken(NAME, detail, "unset LIBTORCH; cargo diabolo clean && cargo diabolo setup")
        }
    }
}

/// The version in the driver's own words; empty where it does not say.
fn version_of(text: &str) -> &str {
    let is_version = |word: &&str| word.contains('.') && word.split('.').all(|part| part.parse::<u32>().is_ok());
    text.split_whitespace().find(is_version).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::State;

    #[test]
    fn a_driver_says_its_version() {
        let text = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\n";
        assert_eq!(version_of(text), "550.54.15");
        assert_eq!(version_of(""), "");
    }

    #[test]
    fn a_libtorch_for_the_cpu_is_broken_only_where_there_is_a_driver() {
        let folder = tempfile::tempdir().unwrap();
        let libtorch = Libtorch { folder: folder.path().into(), reason: "it was the first".into() };
        assert_eq!(library(&libtorch, false).state, State::Note);
        assert_eq!(library(&libtorch, true).state, State::Broken);
        fs::create_dir(folder.path().join("lib")).unwrap();
        fs::write(folder.path().join("lib/libtorch_cuda.so"), "").unwrap();
        assert_eq!(library(&libtorch, false).state, State::Note);
        assert_eq!(library(&libtorch, true).state, State::Ok);
    }
}
