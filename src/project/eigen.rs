//! Eigenvectors of a covariance matrix: all of them for codes, the first few for the pixels of images.

use crate::device::host::{filled, values};
use crate::error::TorchContext;
use crate::latent::mean;
use crate::{Result, interrupt};
use ndarray::{Array1, Array2};
use rayon::prelude::*;
use tch::{Kind, TchError, Tensor};

/// Where the smaller number, of points or of values, is at most this, all eigenvectors are computed at once.
const MOST_AT_ONCE: i64 = 512;
/// Relative residual below which an eigenvector counts as converged.
const TOLERANCE: f64 = 1e-5;
/// Oversampling: additional vectors, which speed up convergence.
const SPARE: i64 = 8;
/// Iterations after which all eigenvectors are computed after all, which may take ten seconds for images; real
/// images need five or six rounds, only noise needs more.
const MAX_ROUNDS: usize = 40;

/// The first eigenvalues and eigenvectors of the points' covariance.
pub(crate) struct Spectrum {
    pub(crate) mean: Array1<f32>,
    /// Falling; divided by n - 1.
    pub(crate) variances: Vec<f64>,
    /// One row for each variance, `[n_components, d]`, of length 1.
    pub(crate) vectors: Array2<f64>,
    /// Sum of all eigenvalues.
    pub(crate) total_variance: f64,
}

/// Finds the `n_components` largest eigenvalues of the covariance of points `[n, d]`, and their vectors; `n_components` is
/// at most d and n - 1, the number of directions in which n points can differ.
///
/// # Source
/// Many values: block Krylov iteration, Musco and Musco, "Randomized block Krylov methods for stronger and faster
/// approximate singular value decomposition", 2015; it ends when the residuals are small.
pub(crate) fn covariance_spectrum(points: &Array2<f32>, n_components: usize, doing: &str) -> Result<Spectrum> {
    let (n, d) = points.dim();
    let mean = mean(points);
    let centred = centred(points, &mean).doing(doing)?;
    let n_wanted = n_components as i64;
    // The iteration gains nothing where it would soon have gone through all directions.
    let few = if n.min(d) as i64 <= MOST_AT_ONCE.max(8 * (n_wanted + SPARE)) {
        None
    } else {
        first_few(&centred, n_wanted, doing)?
    };
    let (variances, vectors, total_variance) = match few {
        Some(eigen) => eigen,
        // For the pixels of images longer than the stop button waits.
        None => interrupt::leave_when_stopped(doing, move || all_at_once(&centred, n_wanted))?.doing(doing)?,
    };
    let vectors = vectors.f_contiguous().and_then(|vectors| vectors.f_view([-1])).and_then(Vec::<f64>::try_from);
    let vectors = vectors.doing(doing)?;
    let variances = Vec::<f64>::try_from(variances).doing(doing)?;
    Ok(Spectrum {
        mean,
        variances: variances.into_iter().map(|variance| variance.max(0.0)).collect(),
        vectors: Array2::from_shape_vec((n_components, d), vectors).expect("as many values as vectors have"),
        total_variance,
    })
}

/// The centred points, `[n, d]`.
fn centred(points: &Array2<f32>, mean: &Array1<f32>) -> Result<Tensor, TchError> {
    let (n, d) = points.dim();
    let standard = points.as_standard_layout();
    let rows = standard.as_slice().expect("the array is in standard order").par_chunks(d);
    let mean = mean.as_slice().expect("one row");
    filled(&[n as i64, d as i64], |centred| {
        centred.par_chunks_mut(d).zip(rows).for_each(|(centred, row)| {
            for (centred, (value, mean)) in centred.iter_mut().zip(row.iter().zip(mean)) {
                *centred = value - mean;
            }
        });
    })
}

type Eigen = (Tensor, Tensor, f64);

/// From the covariance `[d, d]` or, where there are fewer points than values, from the Gram matrix `[n, n]`, which has
/// the same eigenvalues.
fn all_at_once(centred: &Tensor, n_components: i64) -> Result<Eigen, TchError> {
    let (n, d) = centred.size2()?;
    let (size, long_axis) = if n < d { (n, 1) } else { (d, 0) };
    let mut products = Tensor::f_zeros([size, size], (Kind::Double, tch::Device::Cpu))?;
    // In blocks, so that the points are never all there as doubles.
    for block in centred.f_split(8192, long_axis)? {
        let block = block.f_to_kind(Kind::Double)?;
        let turned = block.f_transpose(0, 1)?;
        products = products.f_add_(&if n < d { block.f_matmul(&turned)? } else { turned.f_matmul(&block)? })?;
    }
    let products = products.f_div_scalar_((n - 1) as f64)?;
    let total: f64 = products.f_trace()?.f_double_value(&[])?;
    let (values, vectors) = products.f_linalg_eigh("L")?;
    let last = |tensor: Tensor, axis: i64| tensor.f_narrow(axis, size - n_components, n_components)?.f_flip([axis]);
    let (values, mut vectors) = (last(values, 0)?, last(vectors, 1)?);
    if n < d {
        let blocks = centred.f_split(8192, 1)?;
        let along = |block: &Tensor| block.f_to_kind(Kind::Double)?.f_transpose(0, 1)?.f_matmul(&vectors);
        let parts = blocks.iter().map(along).collect::<Result<Vec<_>, _>>()?;
        // Made orthonormal, not divided by their lengths, which are 0 where the points do not differ.
        vectors = Tensor::f_linalg_qr(&Tensor::f_cat(&parts, 0)?, "reduced")?.0;
    }
    Ok((values, vectors.f_transpose(0, 1)?, total))
}

/// By iteration; nothing when it does not get there.
fn first_few(centred: &Tensor, n_components: i64, doing: &str) -> Result<Option<Eigen>> {
    let (n, d) = centred.size2().doing(doing)?;
    // Not by libtorch's norm, which would turn all points into doubles first.
    let squares = |values: &[f32]| values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>();
    // SAFETY: nobody writes to the points.
    let parts: Vec<f64> = unsafe { values(centred) }.par_chunks(1 << 16).map(squares).collect();
    let total = parts.iter().sum::<f64>() / (n - 1) as f64;
    let times_covariance = |vectors: &Tensor| -> Result<Tensor, TchError> {
        let along = centred.f_matmul(&vectors.f_to_kind(Kind::Float)?)?;
        // In this order: with the points turned instead, the library takes six times as long for so few vectors.
        let products = along.f_transpose(0, 1)?.f_matmul(centred)?.f_transpose(0, 1)?;
        products.f_to_kind(Kind::Double)?.f_div_scalar_((n - 1) as f64)
    };
    let orthonormal = |vectors: &Tensor| Ok::<_, TchError>(Tensor::f_linalg_qr(vectors, "reduced")?.0);
    // Any start works that is not orthogonal to the eigenvectors; a fixed one makes results reproducible.
    let width = n_components + SPARE;
    let start = (0..d * width).map(|index| ((index as f64 + 1.0) * 12.9898).sin() * 43758.5453).map(f64::fract);
    let start: Vec<f64> = start.map(|value| value - 0.5 * value.signum()).collect();
    let start = Tensor::f_from_slice(&start).and_then(|start| start.f_view([d, width])).doing(doing)?;

    let mut newest = orthonormal(&start).doing(doing)?;
    let mut basis = newest.shallow_clone();
    let mut images = times_covariance(&newest).doing(doing)?;
    for _ in 0..MAX_ROUNDS {
        interrupt::check(doing)?;
        let found = || -> Result<(Tensor, Tensor, bool), TchError> {
            let projected = basis.f_transpose(0, 1)?.f_matmul(&images)?;
            let symmetric = projected.f_add(&projected.f_transpose(0, 1)?)?.f_div_scalar(2.0)?;
            let (values, turns) = symmetric.f_linalg_eigh("L")?;
            let size = values.size()[0];
            let values = values.f_narrow(0, size - n_components, n_components)?.f_flip([0])?;
            let turns = turns.f_narrow(1, size - n_components, n_components)?.f_flip([1])?;
            let vectors = basis.f_matmul(&turns)?;
            let residual = images.f_matmul(&turns)?.f_sub(&vectors.f_mul(&values)?)?;
            let relative = residual.f_norm_scalaropt_dim(2.0, [0i64], false)?.f_div(&values.f_clamp_min(1e-300)?)?;
            Ok((values, vectors, relative.f_max()?.f_double_value(&[])? <= TOLERANCE))
        };
        let (values, vectors, is_found) = found().doing(doing)?;
        if is_found {
            return Ok(Some((values, vectors.f_transpose(0, 1).doing(doing)?, total)));
        }
        if basis.size()[1] + width > d.min(n) {
            break;
        }
        let mut grow = || -> Result<(), TchError> {
            // Twice, since once leaves what rounding made of nearly parallel vectors.
            let mut next = images.f_narrow(1, images.size()[1] - width, width)?;
            for _ in 0..2 {
                let along = basis.f_transpose(0, 1)?.f_matmul(&next)?;
                next = orthonormal(&next.f_sub(&basis.f_matmul(&along)?)?)?;
            }
            newest = next;
            basis = Tensor::f_cat(&[&basis, &newest], 1)?;
            images = Tensor::f_cat(&[&images, &times_covariance(&newest)?], 1)?;
            Ok(())
        };
        grow().doing(doing)?;
    }
    Ok(None)
}
