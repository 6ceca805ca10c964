//! 32-bit float tensors on the CPU as slices.

use tch::{Device, Kind, Tensor};

/// All values in the order of their memory.
pub(crate) fn values(tensor: &Tensor) -> &[f32] {
    // SAFETY: as many floats on the host, in one piece, which live as long as the tensor.
    unsafe { std::slice::from_raw_parts(host_pointer(tensor), tensor.numel()) }
}

/// The same to be changed. Other tensors may share the memory, as views do; no slice of theirs may be there.
pub(crate) fn values_mut(tensor: &mut Tensor) -> &mut [f32] {
    // SAFETY: as above; tensors hold no references of Rust's.
    unsafe { std::slice::from_raw_parts_mut(host_pointer(tensor), tensor.numel()) }
}

fn host_pointer(tensor: &Tensor) -> *mut f32 {
    assert!(
        tensor.is_contiguous() && tensor.kind() == Kind::Float && tensor.device() == Device::Cpu,
        "32-bit floats on the host, in one piece, and not {tensor:?}"
    );
    tensor.data_ptr().cast()
}
