//! 32-bit float tensors on the CPU as slices.

use tch::{Device, Kind, TchError, Tensor};

/// A new tensor of this shape. `fill` writes its values, in the order of memory; before that they are anything.
pub(crate) fn filled(shape: &[i64], fill: impl FnOnce(&mut [f32])) -> Result<Tensor, TchError> {
    let mut tensor = Tensor::f_empty(shape, (Kind::Float, Device::Cpu))?;
    // SAFETY: nothing else knows of the new tensor. Floats may have any bits, and the memory comes from libtorch.
    fill(unsafe { values_mut(&mut tensor) });
    Ok(tensor)
}

/// All values in the order of memory.
///
/// # Safety
/// While the slice is in use nothing writes to the tensor's memory, through this tensor or another that shares it: views
/// and shallow clones do.
pub(crate) unsafe fn values(tensor: &Tensor) -> &[f32] {
    match host_pointer(tensor) {
        // SAFETY: as many floats on the host, in one piece, which live as long as the tensor and do not change.
        Some(pointer) => unsafe { std::slice::from_raw_parts(pointer, tensor.numel()) },
        None => &[],
    }
}

/// The same to be changed.
///
/// # Safety
/// While the slice is in use nothing reads or writes the tensor's memory through this tensor or another that shares it.
pub(crate) unsafe fn values_mut(tensor: &mut Tensor) -> &mut [f32] {
    match host_pointer(tensor) {
        // SAFETY: as many floats on the host, in one piece, which live as long as the tensor and are nobody else's.
        Some(pointer) => unsafe { std::slice::from_raw_parts_mut(pointer, tensor.numel()) },
        None => &mut [],
    }
}

/// Where the values begin; a tensor without values has no memory.
fn host_pointer(tensor: &Tensor) -> Option<*mut f32> {
    assert!(
        tensor.is_contiguous() && tensor.kind() == Kind::Float && tensor.device() == Device::Cpu,
        "32-bit floats on the host, in one piece, and not {tensor:?}"
    );
    (tensor.numel() > 0).then(|| tensor.data_ptr().cast())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_the_tensor() {
        let mut tensor = filled(&[2, 2], |values| values.copy_from_slice(&[1.0, 2.0, 3.0, 4.0])).unwrap();
        // SAFETY: one slice at a time, of a tensor that has no views.
        unsafe {
            values_mut(&mut tensor)[3] = 5.0;
            assert_eq!(values(&tensor), [1.0, 2.0, 3.0, 5.0]);
        }
        assert_eq!(tensor.double_value(&[1, 1]), 5.0);
    }

    #[test]
    fn a_tensor_without_values_is_an_empty_slice() {
        let mut empty = filled(&[0, 3], |values| assert!(values.is_empty())).unwrap();
        // SAFETY: as above.
        unsafe { assert!(values(&empty).is_empty() && values_mut(&mut empty).is_empty()) };
    }
}
