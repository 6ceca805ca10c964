//! Images with the channels of a pixel side by side in memory, PyTorch's `channels_last`, which the CPU's convolutions and
//! pools prefer.

use tch::{TchError, Tensor};

/// Images `[n, c, h, w]` as `[n, h, w, c]`, in that order in memory too; copied only where they are in another.
pub(super) fn nhwc(images: &Tensor) -> Result<Tensor, TchError> {
    images.f_permute([0, 2, 3, 1])?.f_contiguous()
}

/// The same tensor, `[n, c, h, w]`, in that order in memory. What is no image, such as a vector, stays as it is.
pub(super) fn channels_last(images: Tensor) -> Result<Tensor, TchError> {
    match images.dim() {
        4 => nhwc(&images)?.f_permute([0, 3, 1, 2]),
        _ => Ok(images),
    }
}
