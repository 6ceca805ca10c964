//! Linear least squares with a few explanatory variables.

use crate::{Error, Result};

/// What is added to the normal equations' diagonal, in units of the standardised columns: so little that it changes no
/// digit of a well-posed fit, and enough that columns which say the same share their coefficient.
const RIDGE: f64 = 1e-9;

/// A fit `y = intercept + sum of coefficients times x`.
///
/// # Example
/// ```
/// use diabolo::metrics::LinearFit;
/// let fit = LinearFit::new(&[&[0.0, 1.0, 2.0, 3.0]], &[1.0, 3.0, 5.0, 7.0])?;
/// assert!((fit.coefficients[0] - 2.0).abs() < 1e-6 && (fit.intercept - 1.0).abs() < 1e-6);
/// assert!(fit.residual_deviation < 1e-6);
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct LinearFit {
    /// One for each column.
    pub coefficients: Vec<f64>,
    /// The value where all columns are 0.
    pub intercept: f64,
    /// Root of the mean squared residual on the data of the fit.
    pub residual_deviation: f64,
}

impl LinearFit {
    /// Least squares of `y` on `columns`, each as long as `y`. A constant column gets the coefficient 0.
    ///
    /// # Errors
    /// [`Error::Data`] for lengths that differ, fewer rows than columns plus two, or values that are not finite.
    ///
    /// # Example
    /// ```
    /// use diabolo::metrics::LinearFit;
    /// let constant: &[f64] = &[4.0; 4];
    /// let fit = LinearFit::new(&[constant], &[1.0, 2.0, 3.0, 4.0])?;
    /// assert_eq!((fit.coefficients[0], fit.intercept), (0.0, 2.5));
    /// assert!(LinearFit::new(&[&[1.0, 2.0]], &[1.0, 2.0]).is_err());
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn new(columns: &[&[f64]], y: &[f64]) -> Result<Self> {
        let doing = "fitting a line";
        let n = y.len();
        if let Some(column) = columns.iter().find(|column| column.len() != n) {
            let found = format!("a column of {} and {n} values to explain", column.len());
            return Err(Error::data(doing, found, "as many of each", "give one number for each image"));
        }
        if n < columns.len() + 2 {
            let wanted = format!("{} or more", columns.len() + 2);
            return Err(Error::data(doing, format!("{n} rows"), wanted, "give more images"));
        }
        if columns.iter().chain([&y]).any(|values| values.iter().any(|value| !value.is_finite())) {
            return Err(Error::data(doing, "a value that is not finite", "finite values", "look at the errors"));
        }
        let (means, deviations): (Vec<f64>, Vec<f64>) = columns.iter().map(|column| moments(column)).unzip();
        let (y_mean, _) = moments(y);
        let standardised = |column: usize, row: usize| match deviations[column] {
            0.0 => 0.0,
            deviation => (columns[column][row] - means[column]) / deviation,
        };
        let k = columns.len();
        // Normal equations with the right side as last column.
        let mut equations = vec![vec![0.0; k + 1]; k];
        for (row, value) in y.iter().enumerate() {
            let values: Vec<f64> = (0..k).map(|column| standardised(column, row)).collect();
            for (factor, equation) in values.iter().zip(&mut equations) {
                for (sum, value) in equation.iter_mut().zip(values.iter().chain([&(value - y_mean)])) {
                    *sum += factor * value / n as f64;
                }
            }
        }
        (0..k).for_each(|index| equations[index][index] += RIDGE);
        let coefficients: Vec<f64> = solve(equations)
            .into_iter()
            .zip(&deviations)
            .map(|(coefficient, &deviation)| if deviation == 0.0 { 0.0 } else { coefficient / deviation })
            .collect();
        let intercept = y_mean - coefficients.iter().zip(&means).map(|(a, mean)| a * mean).sum::<f64>();
        let mut fit = Self { coefficients, intercept, residual_deviation: 0.0 };
        let squares: f64 = fit.residuals(columns, y).iter().map(|residual| residual * residual).sum();
        fit.residual_deviation = (squares / n as f64).sqrt();
        Ok(fit)
    }

    /// `y` less what the columns explain of it.
    ///
    /// # Example
    /// ```
    /// use diabolo::metrics::LinearFit;
    /// let fit = LinearFit::new(&[&[0.0, 1.0, 2.0, 3.0]], &[1.0, 3.0, 5.0, 7.0])?;
    /// let residuals = fit.residuals(&[&[10.0]], &[22.0]);
    /// assert!((residuals[0] - 1.0).abs() < 1e-6, "22 is 1 more than 2 * 10 + 1");
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn residuals(&self, columns: &[&[f64]], y: &[f64]) -> Vec<f64> {
        let explained =
            |row: usize| self.coefficients.iter().zip(columns).map(|(a, column)| a * column[row]).sum::<f64>();
        y.iter().enumerate().map(|(row, value)| value - self.intercept - explained(row)).collect()
    }
}

fn moments(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n;
    // Rounding leaves a constant column a deviation of some units in the last place.
    let deviation = variance.sqrt();
    (mean, if deviation <= 1e-12 * mean.abs() { 0.0 } else { deviation })
}

/// Gauss's elimination with pivots, the right side being the last column; the ridge keeps it from a singular system.
fn solve(mut rows: Vec<Vec<f64>>) -> Vec<f64> {
    let k = rows.len();
    for column in 0..k {
        let pivot = (column..k).max_by(|&a, &b| rows[a][column].abs().total_cmp(&rows[b][column].abs()));
        rows.swap(column, pivot.expect("the column has rows"));
        let (done, below) = rows.split_at_mut(column + 1);
        let pivot = &done[column];
        for row in below {
            let factor = row[column] / pivot[column];
            row.iter_mut().zip(pivot).skip(column).for_each(|(value, above)| *value -= factor * above);
        }
    }
    let mut solution = vec![0.0; k];
    for row in (0..k).rev() {
        let known: f64 = (row + 1..k).map(|column| rows[row][column] * solution[column]).sum();
        solution[row] = (rows[row][k] - known) / rows[row][row];
    }
    solution
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plane_is_found() {
        let (a, b) = ([1.0, 2.0, 3.0, 5.0, 8.0], [0.5, -1.0, 2.0, 0.0, 1.0]);
        let y: Vec<f64> = a.iter().zip(&b).map(|(a, b)| 3.0 + 2.0 * a - 0.5 * b).collect();
        let fit = LinearFit::new(&[&a, &b], &y).unwrap();
        assert!((fit.intercept - 3.0).abs() < 1e-7 && (fit.coefficients[0] - 2.0).abs() < 1e-7, "{fit:?}");
        assert!((fit.coefficients[1] + 0.5).abs() < 1e-7 && fit.residual_deviation < 1e-7);
    }

    #[test]
    fn constant_and_repeated_columns_break_nothing() {
        let a = [1.0, 2.0, 3.0, 5.0, 8.0];
        let y = a.map(|a| 1.0 + 4.0 * a);
        let fit = LinearFit::new(&[&a, &[0.3; 5], &a], &y).unwrap();
        assert_eq!(fit.coefficients[1], 0.0);
        assert!((fit.coefficients[0] + fit.coefficients[2] - 4.0).abs() < 1e-6, "{fit:?}");
        assert!(fit.residual_deviation < 1e-6);
    }

    #[test]
    fn too_few_rows_and_other_lengths_are_errors() {
        assert!(LinearFit::new(&[&[1.0, 2.0]], &[1.0, 2.0]).unwrap_err().to_string().contains("found 2 rows"));
        assert!(LinearFit::new(&[&[1.0]], &[1.0, 2.0, 3.0]).unwrap_err().to_string().contains("a column of 1"));
    }
}
