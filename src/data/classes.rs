//! Names of classes: one spelling for each, and one list for both parts of a data set.

use crate::{Error, Result};
use std::collections::HashMap;
use std::sync::Arc;
use unicode_normalization::UnicodeNormalization;

/// The class of each image.
#[derive(Debug, Clone)]
pub(super) struct Classes {
    pub(super) names: Arc<[String]>,
    pub(super) indices: Arc<[usize]>,
}

impl Classes {
    /// Checks that every index has a name and no name comes twice.
    pub(super) fn new(names: &[&str], indices: Vec<usize>) -> Result<Self> {
        if let Some(index) = indices.iter().find(|&&index| index >= names.len()) {
            return Err(Error::data(
                "labelling images with classes",
                format!("class index {index}"),
                format!("0..{}, one of the {} names", names.len(), names.len()),
                "give a name to every class",
            ));
        }
        let names = Vec::from_iter(names.iter().map(|name| normalised(name)));
        if let Some(index) = (1..names.len()).find(|&index| names[..index].contains(&names[index])) {
            return Err(Error::data(
                "labelling images with classes",
                format!("the name {} twice", names[index]),
                "a name of its own for every class",
                "give classes other names, or their images one index",
            ));
        }
        Ok(Self { names: names.into(), indices: indices.into() })
    }

    /// Those of some of the images.
    pub(super) fn select(&self, images: &[usize]) -> Self {
        let indices = images.iter().map(|&image| self.indices[image]).collect();
        Self { names: Arc::clone(&self.names), indices }
    }
}

/// A class's name in Unicode's composed form (NFC): file systems and programs disagree on whether "é" is one character
/// or two.
pub(super) fn normalised(name: &str) -> String {
    name.nfc().collect()
}

/// Gives the classes of training and test images one list of names: that of training, then the names that only the test
/// images have; `None` where the lists are the same already.
///
/// # Errors
/// Those of [`check_capitals`].
pub(super) fn with_one_list(train: &Classes, test: &Classes) -> Result<Option<(Classes, Classes)>> {
    if train.names == test.names {
        return Ok(None);
    }
    check_capitals(&train.names, &test.names)?;
    let mut names = train.names.to_vec();
    let mut known: HashMap<_, _> = names.iter().cloned().zip(0..).collect();
    let mut index_of = |name: &String| {
        *known.entry(name.clone()).or_insert_with(|| {
            names.push(name.clone());
            names.len() - 1
        })
    };
    let indices_of_test = Vec::from_iter(test.names.iter().map(&mut index_of));
    let indices = test.indices.iter().map(|&index| indices_of_test[index]).collect();
    let names = Arc::<[String]>::from(names);
    let train = Classes { names: Arc::clone(&names), indices: Arc::clone(&train.indices) };
    Ok(Some((train, Classes { names, indices })))
}

/// Refuses names of which one part writes in capitals what the other does not: whether these are one class or two changes
/// which images are anomalies.
///
/// # Errors
/// [`Error::Data`].
pub(super) fn check_capitals(train_names: &[String], test_names: &[String]) -> Result<()> {
    let alone = |names: &[String], others: &[String]| {
        names.iter().filter(|name| !others.contains(name)).map(|name| (name.to_lowercase(), name.clone())).collect()
    };
    let in_training: HashMap<String, String> = alone(train_names, test_names);
    let in_testing: HashMap<String, String> = alone(test_names, train_names);
    let mut alike = Vec::from_iter(in_testing.iter().filter_map(|(key, name)| Some((in_training.get(key)?, name))));
    alike.sort();
    let Some((in_training, in_testing)) = alike.first() else { return Ok(()) };
    Err(Error::data(
        "comparing the classes of training and test images",
        format!("{in_training} in training and {in_testing} in testing"),
        "one spelling of a class",
        "are they the same class? Then rename one of the two; if not, give them names that differ by more",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(names: &[&str], indices: &[usize]) -> Classes {
        Classes::new(names, indices.to_vec()).unwrap()
    }

    #[test]
    fn classes_of_one_name_are_one_class_whatever_their_order() {
        let (train, test) = (classes(&["a", "b"], &[0, 1]), classes(&["b", "c", "a"], &[0, 1, 2]));
        let (train, test) = with_one_list(&train, &test).unwrap().unwrap();
        for part in [&train, &test] {
            assert_eq!(*part.names, ["a", "b", "c"]);
        }
        assert_eq!((&*train.indices, &*test.indices), (&[0, 1][..], &[1, 2, 0][..]));
    }

    #[test]
    fn composed_and_decomposed_letters_are_the_same_and_capitals_are_asked_about() {
        let one_list = |train, test| with_one_list(&classes(&[train], &[0]), &classes(&[test], &[0]));
        assert!(one_list("Caf\u{e9}", "Cafe\u{301}").unwrap().is_none());
        let message = one_list("Good", "good").unwrap_err().to_string();
        assert!(message.contains("Good in training and good in testing"), "{message}");
        // Two classes that both parts have are two on purpose.
        assert!(with_one_list(&classes(&["A", "a"], &[0]), &classes(&["a", "A"], &[0])).unwrap().is_some());
    }
}
