//! Reading and writing safetensors.

use super::read;
use crate::error::TorchContext;
use crate::{Error, Result};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::HashMap;
use std::path::Path;
use tch::Tensor;

/// Tensors by name, and text by name, as in a safetensors file.
pub(super) struct Saved {
    pub(super) tensors: HashMap<String, Tensor>,
    pub(super) notes: HashMap<String, String>,
}

/// The bytes of a safetensors file with these tensors, all 32-bit floats.
pub(super) fn serialize(tensors: &[(String, Tensor)], notes: Option<HashMap<String, String>>) -> Result<Vec<u8>> {
    let mut named = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let shape: Vec<usize> = tensor.size().iter().map(|&size| size as usize).collect();
        let flat = tensor.f_to(tch::Device::Cpu).and_then(|tensor| tensor.f_reshape([-1]));
        let values = flat.and_then(Vec::<f32>::try_from).doing("reading the weights")?;
        named.push((name, shape, values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>()));
    }
    let views = named.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes).expect("as many bytes as the shape says");
        (name, view)
    });
    Ok(safetensors::serialize(views, notes).expect("names differ and sizes fit"))
}

/// Reads a safetensors file of 32-bit floats.
///
/// # Errors
/// [`Error::File`] when it cannot be read, [`Error::Format`] when it is damaged.
pub(super) fn open(path: &Path, mended_by: &str) -> Result<Saved> {
    of_bytes(&read(path)?, path, mended_by)
}

/// The same of the file's bytes.
pub(super) fn of_bytes(bytes: &[u8], path: &Path, mended_by: &str) -> Result<Saved> {
    let damaged = |found: String| Error::format(path, found, "whole safetensors weights", mended_by);
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| damaged(error.to_string()))?;
    let views = SafeTensors::deserialize(bytes).map_err(|error| damaged(error.to_string()))?;
    let tensors = views.iter().map(|(name, view)| {
        let tensor = tensor_of(&view).ok_or_else(|| damaged(format!("{name} of type {:?}", view.dtype())))?;
        Ok((name.to_string(), tensor))
    });
    Ok(Saved { tensors: tensors.collect::<Result<_>>()?, notes: metadata.metadata().clone().unwrap_or_default() })
}

/// A saved tensor, if it holds 32-bit floats.
fn tensor_of(view: &TensorView) -> Option<Tensor> {
    let shape: Vec<i64> = view.shape().iter().map(|&size| size as i64).collect();
    let (Dtype::F32, values) = (view.dtype(), view.data().as_chunks::<4>().0) else { return None };
    let values: Vec<f32> = values.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
    Tensor::f_from_slice(&values).and_then(|flat| flat.f_view(&shape[..])).ok()
}
