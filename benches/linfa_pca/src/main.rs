//! Whether `linfa_reduction::Pca` finds principal components: for each component that it gives, how far the equation
//! `X'X v = s^2 v` of a singular vector is from holding. The values are always the same ones.

use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_reduction::Pca;
use ndarray::{Array2, Axis};

fn main() {
    for (n, d, k) in [(1000, 8, 2), (1000, 8, 3), (1000, 8, 5), (2000, 300, 2), (2000, 300, 3)] {
        println!("{n} x {d}, {k} components:");
        let points = gaussian(n, d);
        let fitted = std::panic::catch_unwind(|| Pca::params(k).fit(&DatasetBase::from(points.clone())));
        let pca = match fitted {
            Err(_) => {
                println!("  panicked");
                continue;
            }
            Ok(Err(error)) => {
                println!("  refused: {error}");
                continue;
            }
            Ok(Ok(pca)) => pca,
        };
        let centred = &points - &points.mean_axis(Axis(0)).expect("there are points");
        for (vector, value) in pca.components().rows().into_iter().zip(pca.singular_values()) {
            let image = centred.t().dot(&centred.dot(&vector));
            let square = vector.dot(&image) / vector.dot(&vector);
            let residual = (&image - &(&vector * square)).mapv(|x| x * x).sum().sqrt() / square;
            println!("  said to be {value:.4}, along the vector {:.4}, equation off by {residual:.1e}", square.sqrt());
        }
    }
}

/// Normal values from a fixed sequence, later columns smaller.
fn gaussian(n: usize, d: usize) -> Array2<f64> {
    let mut state = 1u64;
    let mut uniform = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    };
    Array2::from_shape_simple_fn((n, d), || (-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos())
        * &ndarray::Array1::from_shape_fn(d, |column| 2.2 / (1.0 + 0.8 * column as f64))
}
