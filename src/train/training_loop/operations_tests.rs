//! Which operations a step on a GPU launches: those of `docs/gpu/operations.md`.

use super::gpu_tests::few;
use super::*;
use crate::device::Device;
use crate::device::simulated::with_gpu;
use crate::together::alone;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CStr, c_char};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What launches nothing itself: it makes a view, takes memory, or calls others, which are counted.
#[rustfmt::skip]
const LAUNCH_NOTHING: &[&str] = &[
    "as_strided", "as_strided_", "detach", "expand", "flatten", "narrow", "permute", "reshape", "select", "slice", "squeeze", "t",
    "transpose", "unsqueeze", "view", "resolve_conj", "result_type",
    "empty", "empty_like", "empty_strided", "resize_",
    "_batch_norm_impl_index", "_convolution", "_to_copy", "batch_norm", "clone", "contiguous", "conv2d", "conv_transpose2d",
    "isfinite", "linear", "max_pool2d", "relu_", "square", "stack", "to", "zeros",
    // Of a CPU alone: its convolution by name, and a sum that is set to zero first.
    "fill_", "mkldnn_convolution",
];

/// The folder of libtorch's headers, beside the library that this process has loaded.
fn headers() -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let library =
        maps.lines().find_map(|line| line.split_once('/').filter(|(_, path)| path.ends_with("libtorch_cpu.so")))?;
    let headers = Path::new("/").join(library.1).parent()?.parent()?.join("include");
    headers.join("ATen/record_function.h").exists().then_some(headers)
}

fn operations_of(work: impl FnOnce(), library: &libloading::Library) -> Vec<String> {
    // SAFETY: the types are those of `operations.cpp`, whose text lives until the next beginning.
    unsafe {
        let begin = library.get::<unsafe extern "C" fn()>(b"operations_begin\0").unwrap();
        let end = library.get::<unsafe extern "C" fn() -> *const c_char>(b"operations_end\0").unwrap();
        begin();
        work();
        let names = CStr::from_ptr(end()).to_str().unwrap();
        names.lines().map(str::to_owned).collect()
    }
}

/// A step that is not recorded, on a GPU that is simulated; the second, since the first makes what all use.
fn operations_of_a_step(architecture: &Architecture, library: &libloading::Library) -> Vec<String> {
    let training = Training { keep: Keep::LowestMinibatchLoss, ..Training::default() }.device(Device::Cpu);
    with_gpu(|| {
        let mut training = Loop::begin(None, architecture.clone(), &few(), training, alone()).unwrap();
        let Loop { images, device_steps, network, optimizer, keeper, training, is_between_steps, .. } = &mut training;
        let TrainingImages::OnDevice { images, order } = images else { panic!("its images are on the device") };
        let mut take_step = |step| {
            let parts = Parts { network, images, optimizer, keeper, training, is_between_steps };
            drop(device_steps.take(parts, order, 1, step).unwrap());
        };
        take_step(1);
        operations_of(|| take_step(2), library)
    })
}

/// As libtorch names them: without `aten::`, and `-` where there is none.
fn table(counted: &[(String, BTreeMap<String, usize>)]) -> String {
    let line = |first: &str, cells: Vec<String>| format!("| {first} | {} |\n", cells.join(" | "));
    let mut lines = line("operation", counted.iter().map(|(network, _)| network.clone()).collect());
    lines += &format!("|---|{}\n", "---:|".repeat(counted.len()));
    let names: BTreeSet<&String> = counted.iter().flat_map(|(_, counts)| counts.keys()).collect();
    for name in names {
        let cells = counted.iter().map(|(_, counts)| counts.get(name).map_or("-".into(), usize::to_string));
        lines += &line(&format!("`{name}`"), cells.collect());
    }
    lines + &line("all", counted.iter().map(|(_, counts)| counts.values().sum::<usize>().to_string()).collect())
}

#[test]
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn a_step_launches_the_operations_of_the_table() {
    let Some(headers) = headers() else {
        eprintln!("skipped: libtorch's headers are not beside its libraries");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("operations.so");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = root.join("src/train/training_loop/operations.cpp");
    let status = Command::new(std::env::var_os("CXX").unwrap_or_else(|| "c++".into()))
        .args(["-std=c++20", "-shared", "-fPIC", "-w", "-I"])
        .args([headers.as_path(), &source, Path::new("-o"), &library])
        .status();
    assert!(status.unwrap().success());
    // SAFETY: its initialisers make an empty string.
    let library = unsafe { libloading::Library::new(library) }.unwrap();

    let networks = [Architecture::report_cnn(), Architecture::fcn(), Architecture::conv(), Architecture::vae()];
    let counted = networks.map(|network| {
        let mut counts = BTreeMap::new();
        for name in operations_of_a_step(&network, &library) {
            let name = name.trim_start_matches("aten::");
            // The nodes of the backward pass call what is counted.
            if !LAUNCH_NOTHING.contains(&name) && !name.starts_with("autograd::") {
                *counts.entry(name.to_owned()).or_insert(0) += 1;
            }
        }
        (network.name, counts)
    });
    let found = table(&counted);
    let written = std::fs::read_to_string(root.join("docs/gpu/operations.md")).unwrap_or_default();
    let is_row = |line: &&str| line.starts_with('|');
    assert!(written.lines().filter(is_row).eq(found.lines()), "docs/gpu/operations.md wants this table:\n{found}");
}
