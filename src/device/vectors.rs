//! Loops for the vectors of the processor at hand.

/// Values that are worked on side by side.
pub(crate) const LANES: usize = 16;

/// A loop that is compiled twice: for every processor, and for those with vectors of eight floats.
///
/// Whatever `run` calls has to be `#[inline(always)]`, or it is compiled for every processor alone.
pub(crate) trait Work {
    type Output;

    /// `FUSED` says that `a * b + c` is one operation.
    fn run<const FUSED: bool>(self) -> Self::Output;
}

/// Whether the processor has vectors of eight floats, and multiplies and adds in one operation.
pub(crate) fn has_eight() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

/// Does the work in the way that is fastest here.
pub(crate) fn with_vectors<W: Work>(work: W) -> W::Output {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,fma")]
        fn wide<W: Work>(work: W) -> W::Output {
            work.run::<true>()
        }
        if has_eight() {
            // SAFETY: the processor has both.
            return unsafe { wide(work) };
        }
    }
    work.run::<{ cfg!(target_arch = "aarch64") }>()
}

#[inline(always)]
pub(crate) fn multiply_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}
