//! Parts of a sweep, for several machines.

use crate::{Error, Result};
use std::fmt;
use std::str::FromStr;

/// One of several equal parts of a sweep, as in "3/45"; parts count from 1, as the tasks of a scheduler's array do.
///
/// # Example
/// ```
/// use diabolo::sweep::Part;
/// let part: Part = "3/45".parse()?;
/// assert_eq!(part, Part::new(3, 45)?);
/// assert_eq!(part.to_string(), "3/45");
/// for wrong in ["0/3", "4/3", "3", "x"] {
///     assert!(wrong.parse::<Part>().is_err());
/// }
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    number: usize,
    n_parts: usize,
}

impl Part {
    /// All of a sweep.
    pub(super) const WHOLE: Self = Self { number: 1, n_parts: 1 };

    /// Part `number`, from 1, of `n_parts`.
    ///
    /// # Errors
    /// [`Error::Setting`] when there is no such part.
    ///
    /// # Example
    /// ```
    /// use diabolo::sweep::Part;
    /// assert_eq!(Part::new(3, 45)?.to_string(), "3/45");
    /// assert!(Part::new(0, 45).is_err(), "parts count from 1");
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn new(number: usize, n_parts: usize) -> Result<Self> {
        match (1..=n_parts).contains(&number) {
            true => Ok(Self { number, n_parts }),
            false => Err(no_such_part(&format!("{number}/{n_parts}"))),
        }
    }

    /// This part of a list: every `n_parts`-th, so that what is to be done first is spread over all parts.
    pub(super) fn of<T>(&self, all: Vec<T>) -> Vec<T> {
        all.into_iter().skip(self.number - 1).step_by(self.n_parts).collect()
    }
}

impl FromStr for Part {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let numbers = text.split_once('/').map(|(number, n_parts)| (number.parse().ok(), n_parts.parse().ok()));
        match numbers {
            Some((Some(number), Some(n_parts))) => Self::new(number, n_parts),
            _ => Err(no_such_part(text)),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.n_parts)
    }
}

fn no_such_part(found: &str) -> Error {
    Error::setting(
        "part",
        found,
        "a part from 1 and how many there are, as in 3/45",
        "the parts of three are 1/3, 2/3 and 3/3",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_together_all_and_share_nothing() {
        for n_parts in [1, 2, 3, 7, 11] {
            let parts = (1..=n_parts).map(|number| Part::new(number, n_parts).unwrap().of((0..10).collect()));
            let mut all = Vec::from_iter(parts.flatten());
            all.sort_unstable();
            assert_eq!(all, Vec::from_iter(0..10), "{n_parts} parts");
        }
    }

    #[test]
    fn a_part_that_is_not_there_is_refused_with_those_that_are() {
        for found in ["0/3", "4/3", "1/0", "3", "x", "-1/3", "1/3/3", ""] {
            let message = found.parse::<Part>().unwrap_err().to_string();
            let wanted =
                format!("setting part: found {found}, wanted a part from 1 and how many there are, as in 3/45");
            assert!(message.starts_with(&wanted), "{message}");
        }
    }
}
