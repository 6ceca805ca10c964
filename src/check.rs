//! Tests of an exercise in a course notebook, and the points that they earn.
//!
//! nbgrader reads the number in which a test cell ends, gives nothing to a cell that writes to standard error, and does not
//! grade a notebook with more points than its cell has: so the number is never above the points that were asked for, and
//! everything is printed on standard output.

use crate::figure::clean;
use std::fmt;

/// The tests of an exercise, as the last expression of a cell: prints a line for each of them and shows the points.
///
/// # Example
/// ```
/// use diabolo::prelude::*;
/// fn mean(values: &[f64]) -> f64 {
///     values.iter().sum::<f64>() // a mistake
/// }
/// let tests = check(3)
///     .that("the mean of nothing but zeros is 0", mean(&[0.0, 0.0]) == 0.0)
///     .near("the mean of 1 and 4", mean(&[1.0, 4.0]), 2.5, 1e-9);
/// assert_eq!(tests.points(), 1.5);
/// assert_eq!(
///     tests.to_string(),
///     "passed: the mean of nothing but zeros is 0\n\
///      failed: the mean of 1 and 4: found 5, wanted 2.5\n\
///      1.5 of 3 points"
/// );
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Checks {
    points: u32,
    tests: Vec<Test>,
}

#[derive(Debug, Clone, PartialEq)]
struct Test {
    what: String,
    /// What was found and what was wanted, where it failed.
    failure: Option<String>,
}

/// Begins the tests of an exercise that is worth `points`; each test that passes earns the same share of them.
///
/// # Example
/// ```
/// use diabolo::prelude::*;
/// assert_eq!(check(2).that("one and one is two", 1 + 1 == 2).points(), 2.0);
/// assert_eq!(check(2).points(), 0.0, "no test, no points");
/// ```
pub fn check(points: u32) -> Checks {
    Checks { points, tests: Vec::new() }
}

impl Checks {
    /// Adds a test that passes if `is_so`.
    pub fn that(self, what: &str, is_so: bool) -> Self {
        self.and(what, (!is_so).then(String::new))
    }

    /// Adds a test that passes if `found` equals `wanted`.
    ///
    /// # Example
    /// ```
    /// use diabolo::prelude::*;
    /// let tests = check(1).equal("the two worst", vec![4, 3], vec![3, 4]);
    /// assert!(tests.to_string().starts_with("failed: the two worst: found [4, 3], wanted [3, 4]"));
    /// ```
    pub fn equal<T: PartialEq + fmt::Debug>(self, what: &str, found: T, wanted: T) -> Self {
        let failure = (found != wanted).then(|| format!("found {found:?}, wanted {wanted:?}"));
        self.and(what, failure)
    }

    /// Adds a test that passes if `found` differs from `wanted` by `tolerance` at most; NaN does not pass.
    pub fn near(self, what: &str, found: f64, wanted: f64, tolerance: f64) -> Self {
        let is_near = (found - wanted).abs() <= tolerance;
        self.and(what, (!is_near).then(|| format!("found {found}, wanted {wanted}")))
    }

    /// The points that were earned: 0 to those that were asked for.
    pub fn points(&self) -> f64 {
        let n_passed = self.tests.iter().filter(|test| test.failure.is_none()).count();
        // All of the points exactly, where all tests passed: nbgrader refuses a hair more.
        match self.tests.len() {
            0 => 0.0,
            n if n == n_passed => f64::from(self.points),
            n => f64::from(self.points) * n_passed as f64 / n as f64,
        }
    }

    fn and(mut self, what: &str, failure: Option<String>) -> Self {
        self.tests.push(Test { what: what.into(), failure });
        self
    }
}

/// A line for each test, and the points.
impl fmt::Display for Checks {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for Test { what, failure } in &self.tests {
            match failure.as_deref() {
                None => writeln!(f, "passed: {}", clean(what))?,
                Some("") => writeln!(f, "failed: {}", clean(what))?,
                Some(failure) => writeln!(f, "failed: {}: {}", clean(what), clean(failure))?,
            }
        }
        if self.tests.is_empty() {
            writeln!(f, "the tests of this exercise are run when it is graded")?;
        }
        write!(f, "{} of {} points", (self.points() * 100.0).round() / 100.0, self.points)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_shared_evenly_and_never_more_than_asked_for() {
        for points in 0..20 {
            for n_tests in 1..20 {
                let all = (0..n_tests).fold(check(points), |tests, _| tests.that("so", true));
                assert_eq!(all.points(), f64::from(points));
                let all_but_one = all.that("not so", false).points();
                assert!((0.0..=f64::from(points)).contains(&all_but_one), "{points} {n_tests}");
            }
        }
        assert_eq!(check(3).that("a", true).that("b", false).that("c", false).points(), 1.0);
        assert_eq!(check(3).that("a", false).points(), 0.0);
    }

    #[test]
    fn what_is_no_number_is_near_nothing() {
        assert_eq!(check(1).near("a", f64::NAN, 1.0, 1.0).points(), 0.0);
        assert_eq!(check(1).near("a", f64::INFINITY, 1.0, 1.0).points(), 0.0);
        assert_eq!(check(1).near("a", 1.0 + 1e-9, 1.0, 1e-6).points(), 1.0);
    }

    #[test]
    fn every_test_is_one_line() {
        let tests = check(1).that("two\nlines", false).equal("a text", "a\nb", "c").that("\u{1b}[31mred", true);
        assert_eq!(tests.to_string().lines().count(), 4, "{tests}");
        assert!(check(2).to_string().contains("run when it is graded"));
    }
}
