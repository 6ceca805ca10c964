//! Arrays by name, and the safetensors file that holds them.

use crate::{Error, Result};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::BTreeMap;
use std::path::Path;

/// What to do about a detector's files that cannot be used.
pub(super) const SAVE_AGAIN: &str = "copy the whole folder again, or save the detector again";

/// A kind of number, and its bytes in a file.
pub(super) trait Element: Copy {
    const DTYPE: Dtype;
    const N_BYTES: usize;
    fn put(self, bytes: &mut Vec<u8>);
    /// Of as many bytes as it has.
    fn of(bytes: &[u8]) -> Self;
}

macro_rules! element {
    ($number:ty, $dtype:ident) => {
        impl Element for $number {
            const DTYPE: Dtype = Dtype::$dtype;
            const N_BYTES: usize = size_of::<$number>();
            fn put(self, bytes: &mut Vec<u8>) {
                bytes.extend(self.to_le_bytes());
            }
            fn of(bytes: &[u8]) -> Self {
                Self::from_le_bytes(bytes.try_into().expect("bytes come in pieces of this size"))
            }
        }
    };
}
element!(u8, U8);
element!(u64, U64);
element!(f32, F32);
element!(f64, F64);

struct Stored {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// Arrays by name.
#[derive(Default)]
pub(super) struct Arrays(BTreeMap<String, Stored>);

impl Arrays {
    /// Adds an array, its values in standard order.
    pub(super) fn put<T: Element>(&mut self, name: &str, shape: &[usize], values: impl IntoIterator<Item = T>) {
        let mut bytes = Vec::with_capacity(shape.iter().product::<usize>() * T::N_BYTES);
        values.into_iter().for_each(|value| value.put(&mut bytes));
        self.0.insert(name.into(), Stored { dtype: T::DTYPE, shape: shape.to_vec(), bytes });
    }

    /// The array of this name and kind, if there is one; it is then no longer there.
    pub(super) fn take<T: Element>(&mut self, name: &str) -> Option<(Vec<usize>, Vec<T>)> {
        if self.0.get(name)?.dtype != T::DTYPE {
            return None;
        }
        let Stored { shape, bytes, .. } = self.0.remove(name)?;
        Some((shape, bytes.chunks_exact(T::N_BYTES).map(T::of).collect()))
    }

    /// The bytes of a safetensors file.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let views = self.0.iter().map(|(name, Stored { dtype, shape, bytes })| {
            (name, TensorView::new(*dtype, shape.clone(), bytes).expect("as many bytes as the shape says"))
        });
        safetensors::serialize(views, None).expect("names differ and sizes fit")
    }

    /// Reads the bytes of a safetensors file; `path` is for messages.
    pub(super) fn read(path: &Path, bytes: &[u8]) -> Result<Self> {
        let tensors = SafeTensors::deserialize(bytes)
            .map_err(|error| Error::format(path, error.to_string(), "whole safetensors arrays", SAVE_AGAIN))?;
        let stored = tensors.iter().map(|(name, view)| {
            let (dtype, shape, bytes) = (view.dtype(), view.shape().to_vec(), view.data().to_vec());
            (name.to_string(), Stored { dtype, shape, bytes })
        });
        Ok(Self(stored.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_to_the_last_bit() {
        let mut arrays = Arrays::default();
        arrays.put("floats", &[2, 2], [0.1_f32, -0.0, f32::INFINITY, 1e-40]);
        arrays.put("doubles", &[2], [0.1_f64, f64::NEG_INFINITY]);
        arrays.put("bytes", &[3], [0_u8, 7, 255]);
        arrays.put("words", &[1], [u64::MAX]);
        let mut read = Arrays::read(Path::new("a"), &arrays.to_bytes()).unwrap();
        assert!(read.take::<f64>("floats").is_none(), "another kind");
        assert_eq!(read.take("floats"), Some((vec![2, 2], vec![0.1_f32, -0.0, f32::INFINITY, 1e-40])));
        assert!(read.take::<f32>("floats").is_none(), "it was taken");
        assert_eq!(read.take("doubles"), Some((vec![2], vec![0.1_f64, f64::NEG_INFINITY])));
        assert_eq!(read.take("bytes"), Some((vec![3], vec![0_u8, 7, 255])));
        assert_eq!(read.take("words"), Some((vec![1], vec![u64::MAX])));
        assert!(Arrays::read(Path::new("a"), b"{").err().unwrap().to_string().contains("save the detector again"));
    }
}
