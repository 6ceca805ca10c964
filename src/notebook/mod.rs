//! Settings that `cargo diabolo report` passes to notebooks: the data, the held-out classes, and quick or full training.
//!
//! A notebook that is opened by hand uses the defaults.

mod full_length;

pub use full_length::full_length;

use crate::data::{Split, open};
use crate::{Error, Result};
use std::env;

/// Held out where the data have these classes and nobody says otherwise: of CIFAR-10 the pair of the full-length models,
/// whose AUCs are among those nearest to the report's; of `scenes`, two that an autoencoder finds a little better than by
/// chance.
const DEFAULT_HOLD_OUT: [[&str; 2]; 2] = [["automobile", "ship"], ["moon", "mushroom"]];

/// The data of this run of the notebooks: `scenes` unless `cargo diabolo report --data` named other data.
///
/// The held-out classes are those of `--hold-out`, else automobile and ship where the data have them,
/// else moon and mushroom, else the first two, or the first of two.
/// Data without class labels are taken as they are.
///
/// # Errors
/// Those of [`open`] and [`Split::hold_out`].
///
/// # Example
/// ```
/// let data = diabolo::notebook::notebook_data()?;
/// assert_eq!((data.name(), data.held_out().len()), ("scenes", 2));
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn notebook_data() -> Result<Split> {
    let name = env::var("DIABOLO_NOTEBOOK_DATA").unwrap_or_else(|_| "scenes".into());
    let split = open(&name)?;
    match env::var("DIABOLO_NOTEBOOK_HOLD_OUT") {
        Ok(classes) if !classes.is_empty() => split.hold_out(&classes.split(',').map(str::trim).collect::<Vec<_>>()),
        _ => hold_out_two(split),
    }
}

/// Holds out the default classes, where there are classes that may be held out and none is yet.
fn hold_out_two(split: Split) -> Result<Split> {
    let Some(known) = split.train().class_names().filter(|known| known.len() > 1) else { return Ok(split) };
    if !split.held_out().is_empty() {
        return Ok(split);
    }
    // One class at least is left to train on.
    let n_most = known.len() - 1;
    let are_known = |pair: &&[&str; 2]| n_most > 1 && pair.iter().all(|class| known.iter().any(|name| name == class));
    let first_two = || known.iter().map(String::as_str).take(n_most.min(2)).collect::<Vec<_>>();
    let classes = DEFAULT_HOLD_OUT.iter().find(are_known).map_or_else(first_two, |pair| pair.to_vec());
    split.hold_out(&classes)
}

/// The data of this run, or `scenes` where it is not known which of the test images are anomalies: for notebooks that
/// measure against labels. Classes are not needed: the homework's `test_labels.npy` is enough.
///
/// # Errors
/// As [`notebook_data`].
///
/// # Example
/// ```
/// let data = diabolo::notebook::labelled_notebook_data()?;
/// assert!(data.test().anomalies().is_some());
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn labelled_notebook_data() -> Result<Split> {
    or_scenes(notebook_data()?, has_both_kinds)
}

/// The data of this run, or `scenes` where there are no pairs of classes to hold out: for notebooks that compare such
/// pairs.
///
/// # Errors
/// As [`notebook_data`].
///
/// # Example
/// ```
/// let data = diabolo::notebook::notebook_data_with_classes()?;
/// assert!(data.class_pairs(3)?.len() == 3);
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn notebook_data_with_classes() -> Result<Split> {
    or_scenes(notebook_data()?, has_pairs)
}

fn or_scenes(split: Split, is_enough: impl Fn(&Split) -> bool) -> Result<Split> {
    if is_enough(&split) { Ok(split) } else { hold_out_two(open("scenes")?) }
}

/// Whether the test images are known to be of both kinds.
fn has_both_kinds(split: &Split) -> bool {
    split.test().anomalies().is_some_and(|anomalies| anomalies.contains(&true) && anomalies.contains(&false))
}

/// Whether a class is left to train on when two are held out.
fn has_pairs(split: &Split) -> bool {
    split.train_of_all_classes().class_names().is_some_and(|names| names.len() > 2)
}

/// `quick`, or `full` when the notebooks run with `cargo diabolo report --full`.
///
/// # Errors
/// [`Error::Setting`] when `DIABOLO_NOTEBOOK_MODE` is neither.
///
/// # Example
/// ```
/// let n_epochs = diabolo::notebook::quick_or_full(4, 100)?;
/// assert_eq!(n_epochs, 4, "in a notebook that is opened by hand");
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn quick_or_full<T>(quick: T, full: T) -> Result<T> {
    match env::var("DIABOLO_NOTEBOOK_MODE").as_deref() {
        Err(_) | Ok("quick") => Ok(quick),
        Ok("full") => Ok(full),
        Ok(other) => Err(Error::setting("DIABOLO_NOTEBOOK_MODE", other, "quick or full", "leave it unset for quick")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Images;
    use ndarray::Array4;

    /// Which of these classes are held out.
    fn held_out(classes: &[&str]) -> Vec<String> {
        let images = Images::from_bytes(Array4::zeros((2 * classes.len(), 1, 2, 2))).unwrap();
        let indices = (0..images.len()).map(|index| index % classes.len()).collect();
        let images = images.with_classes(classes, indices).unwrap();
        hold_out_two(Split::new("a few", images.clone(), images).unwrap()).unwrap().held_out().to_vec()
    }

    #[test]
    fn labels_without_classes_are_labels() {
        let images = |n| Images::from_bytes(Array4::zeros((n, 1, 2, 2))).unwrap();
        let split = |test| Split::new("homework", images(2), test).unwrap();
        let labelled = split(images(2).with_anomalies(vec![false, true]).unwrap());
        assert_eq!(or_scenes(labelled.clone(), has_both_kinds).unwrap().name(), "homework");
        assert_eq!(or_scenes(labelled, has_pairs).unwrap().name(), "scenes");
        let of_one_kind = split(images(2).with_anomalies(vec![false, false]).unwrap());
        assert_eq!(or_scenes(of_one_kind, has_both_kinds).unwrap().name(), "scenes");
    }

    #[test]
    fn a_class_is_always_left_to_train_on() {
        assert_eq!(held_out(&["a", "automobile", "ship"]), ["automobile", "ship"]);
        assert_eq!(held_out(&["a", "b", "c"]), ["a", "b"]);
        assert_eq!(held_out(&["cat", "dog"]), ["cat"]);
        assert!(held_out(&["cat"]).is_empty());
    }
}
