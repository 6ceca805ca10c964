//! CUDA devices: trying one, and what libtorch can do there that tch does not offer.
//!
//! tch has no streams and no graphs. `cuda.cpp` has them, as a library of its own, which the build script makes where
//! CUDA's headers are. Without it a training launches its operations one by one. What is made of them is in `graph.rs`.

use crate::error::first_line;
use crate::{Error, Result};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::OnceLock;
use tch::{Device, Kind, TchError, Tensor};

/// Puts a number on the CUDA device, so that a broken installation shows here and not in the middle of a training.
pub(super) fn try_device(index: usize) -> Result<Device> {
    let wanted = || format!("CUDA {index}");
    load_backend().map_err(|found| Error::Device {
        wanted: wanted(),
        found,
        next_step:
            "install the whole of libtorch (pip install torch==2.13.0, then `cargo diabolo setup`) on a machine \
                    with an NVIDIA driver, or choose Device::Cpu"
                .into(),
    })?;
    let device = Device::Cuda(index);
    // Read back, since work on a GPU fails when its result is asked for.
    let number = Tensor::f_zeros([1], (Kind::Float, device)).and_then(|number| number.f_to(Device::Cpu));
    number.map(|_| device).map_err(|source| Error::Device {
        wanted: wanted(),
        found: format!("putting a number on it: libtorch says: {}", first_line(&source)),
        next_step: "mend the driver, or choose Device::Cpu or Device::Auto".into(),
    })
}

/// Linkers drop `libtorch_cuda.so`, since no symbol of it is named, and libtorch then answers that there is no CUDA.
/// Loading it by hand registers the backend. The library stays loaded for the life of the process.
fn load_backend() -> Result<(), String> {
    static LOADED: OnceLock<Result<(), String>> = OnceLock::new();
    LOADED.get_or_init(load_backend_globally).clone()
}

#[cfg(unix)]
fn load_backend_globally() -> Result<(), String> {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
    let name = if cfg!(target_os = "macos") { "libtorch_cuda.dylib" } else { "libtorch_cuda.so" };
    // SAFETY: libtorch's own library, made to be loaded into a process that has libtorch_cpu; its initialisers register
    // the backend and touch nothing of ours.
    let library = unsafe { Library::open(Some(name), RTLD_NOW | RTLD_GLOBAL) };
    library.map(std::mem::forget).map_err(|error| format!("libtorch's CUDA part cannot be loaded: {error}"))
}

#[cfg(not(unix))]
fn load_backend_globally() -> Result<(), String> {
    // SAFETY: as above.
    let library = unsafe { libloading::Library::new("torch_cuda.dll") };
    library.map(std::mem::forget).map_err(|error| format!("libtorch's CUDA part cannot be loaded: {error}"))
}

/// Whether the driver's library is there. It stays loaded: drivers are not made to be unloaded.
pub(super) fn has_driver() -> bool {
    static IS_THERE: OnceLock<bool> = OnceLock::new();
    *IS_THERE.get_or_init(|| {
        let name = if cfg!(windows) { "nvcuda.dll" } else { "libcuda.so.1" };
        // SAFETY: the driver's user library; loading it is how every CUDA program begins.
        unsafe { libloading::Library::new(name) }.map(std::mem::forget).is_ok()
    })
}

/// Where a function of `cuda.cpp` writes what went wrong: a buffer and its capacity in bytes.
pub(super) type Message = (*mut c_char, usize);

/// The functions of `cuda.cpp`. Those that return true have failed.
pub(super) struct Functions {
    pub(super) enter: unsafe extern "C" fn(c_int, *mut *mut c_void, *mut c_char, usize) -> bool,
    pub(super) leave: unsafe extern "C" fn(*mut c_void, *mut c_char, usize) -> bool,
    pub(super) graph_begin: unsafe extern "C" fn(c_int, *mut *mut c_void, *mut c_char, usize) -> bool,
    pub(super) graph_end: unsafe extern "C" fn(c_int, *mut c_void, *mut c_char, usize) -> bool,
    pub(super) graph_replay: unsafe extern "C" fn(c_int, *mut c_void, *mut c_char, usize) -> bool,
    pub(super) graph_free: unsafe extern "C" fn(*mut c_void),
    pub(super) free_memory: unsafe extern "C" fn(c_int, *mut u64, *mut c_char, usize) -> bool,
    pub(super) allow: unsafe extern "C" fn(bool, bool),
    pub(super) upload: unsafe extern "C" fn(*mut c_void, *const c_void, *mut c_char, usize) -> bool,
}

/// The functions and the number of a GPU; none for a CPU, for which nothing is loaded, and where the library was not built.
pub(super) fn functions_for(device: Device) -> Option<(&'static Functions, c_int)> {
    #[cfg(test)]
    if let Some(functions) = super::simulated::functions() {
        return Some((functions, 0));
    }
    let Device::Cuda(index) = device else { return None };
    Some((functions()?, c_int::try_from(index).ok()?))
}

/// None where the library was not built or no CUDA backend can be loaded.
pub(super) fn functions() -> Option<&'static Functions> {
    #[cfg(test)]
    if let Some(functions) = super::simulated::functions() {
        return Some(functions);
    }
    static FUNCTIONS: OnceLock<Option<Functions>> = OnceLock::new();
    FUNCTIONS.get_or_init(load_functions).as_ref()
}

fn load_functions() -> Option<Functions> {
    load_backend().ok()?;
    // Where the build script has put it; elsewhere in the linker's path, as in a package for another machine.
    let built = option_env!("DIABOLO_CUDA_LIBRARY");
    let names = built.into_iter().chain(["libdiabolo_cuda.so"]);
    // SAFETY: our own library, whose initialisers do nothing; what it needs of libtorch is loaded.
    let library = names.into_iter().find_map(|name| unsafe { libloading::Library::new(name) }.ok())?;
    /// # Safety
    /// `F` is the type of the function of that name in `cuda.cpp`.
    unsafe fn function<F: Copy>(library: &libloading::Library, name: &CStr) -> Option<F> {
        // SAFETY: as the caller says.
        unsafe { library.get::<F>(name.to_bytes_with_nul()) }.ok().map(|function| *function)
    }
    // SAFETY: the types are those of `cuda.cpp`.
    let functions = unsafe {
        Functions {
            enter: function(&library, c"diabolo_cuda_enter")?,
            leave: function(&library, c"diabolo_cuda_leave")?,
            graph_begin: function(&library, c"diabolo_cuda_graph_begin")?,
            graph_end: function(&library, c"diabolo_cuda_graph_end")?,
            graph_replay: function(&library, c"diabolo_cuda_graph_replay")?,
            graph_free: function(&library, c"diabolo_cuda_graph_free")?,
            free_memory: function(&library, c"diabolo_cuda_free_memory")?,
            allow: function(&library, c"diabolo_cuda_allow")?,
            upload: function(&library, c"diabolo_cuda_upload")?,
        }
    };
    std::mem::forget(library);
    Some(functions)
}

/// Calls a function of `cuda.cpp` and turns its message into an error.
pub(super) fn call(work: impl FnOnce(Message) -> bool) -> Result<(), TchError> {
    let mut message = [0; 1024];
    match work((message.as_mut_ptr(), message.len())) {
        false => Ok(()),
        // SAFETY: `cuda.cpp` ends the message with a zero within its capacity.
        true => Err(TchError::Torch(unsafe { CStr::from_ptr(message.as_ptr()) }.to_string_lossy().into_owned())),
    }
}

/// Bytes of a GPU's memory that are free or that libtorch holds without use; where they are not known, none.
pub(crate) fn free_memory(device: Device) -> Option<u128> {
    let (functions, device) = functions_for(device)?;
    let mut n_bytes = 0;
    // SAFETY: both pointers are valid for the call.
    call(|(message, capacity)| unsafe { (functions.free_memory)(device, &raw mut n_bytes, message, capacity) }).ok()?;
    Some(n_bytes.into())
}

/// Whether 32-bit layers may be computed in TF32, and whether cuDNN may add in any order; for the whole process. Does
/// nothing where `cuda.cpp` was not built: libtorch's defaults are then those of PyTorch, TF32 for convolutions alone and any order.
pub(crate) fn allow(device: Device, tf32: bool, any_order: bool) {
    if let Some((functions, _)) = functions_for(device) {
        // SAFETY: it sets switches of libtorch and catches what it throws.
        unsafe { (functions.allow)(tf32, any_order) };
    }
}

/// Writes words to a tensor of as many, `int64`; one on a GPU has them after what the device still has to do, and nobody waits
/// for it, where `cuda.cpp` was built.
pub(crate) fn upload(words: &[i64], to: &mut Tensor) -> Result<(), TchError> {
    let is_whole = to.numel() == words.len() && to.kind() == Kind::Int64 && to.is_contiguous();
    if is_whole && let Some((functions, _)) = functions_for(to.device()) {
        // SAFETY: the tensor is libtorch's, and takes as many words as there are.
        return call(|(message, capacity)| unsafe {
            (functions.upload)(to.as_mut_ptr().cast(), words.as_ptr().cast(), message, capacity)
        });
    }
    to.f_copy_(&Tensor::f_from_slice(words)?)
}
