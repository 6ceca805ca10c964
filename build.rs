//! Writes libtorch's folder into the binaries of this package, so that they find it without `LD_LIBRARY_PATH`, and builds
//! `src/device/cuda.cpp` where CUDA's headers are.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/device/cuda.cpp");
    println!("cargo::rerun-if-env-changed=CUDA_HOME");
    let Ok(libtorch) = std::env::var("DEP_TCH_LIBTORCH_LIB") else { return };
    println!("cargo::rustc-link-arg=-Wl,-rpath,{libtorch}");
    if let Some(library) = cuda_library(Path::new(&libtorch)) {
        println!("cargo::rustc-env=DIABOLO_CUDA_LIBRARY={}", library.display());
    }
}

/// Builds the library; none where there is no CUDA, or where the compiler does not like what there is: it makes trainings
/// faster and is not needed for them.
fn cuda_library(libtorch: &Path) -> Option<PathBuf> {
    let cuda = PathBuf::from(std::env::var_os("CUDA_HOME").unwrap_or_else(|| "/usr/local/cuda".into()));
    let headers = [libtorch.parent()?.join("include"), cuda.join("include")];
    if !headers[0].join("ATen/cuda/CUDAGraph.h").exists() || !headers[1].join("cuda_runtime_api.h").exists() {
        return None;
    }
    let library = PathBuf::from(std::env::var_os("OUT_DIR")?).join("libdiabolo_cuda.so");
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    let mut command = Command::new(compiler);
    command.args(["-std=c++20", "-shared", "-fPIC", "-O2", "-w"]).args(["src/device/cuda.cpp", "-o"]).arg(&library);
    let status = command.args(headers.iter().map(|folder| format!("-I{}", folder.display()))).status();
    match status {
        Ok(status) if status.success() => Some(library),
        _ => {
            println!("cargo::warning=src/device/cuda.cpp could not be compiled; GPUs are used without CUDA graphs");
            None
        }
    }
}
