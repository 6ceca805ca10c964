//! Figures and tables in another language, and that the catalogue has everything that the notebooks show.

#[path = "common/notebook.rs"]
mod notebook;

use diabolo::ndarray::Array3;
use diabolo::prelude::{Table, language};
use notebook::{notebooks_in, text_of};
use std::collections::BTreeSet;

/// Words that are the same in both languages: names of methods, networks, data, classes and units, and notation.
const NAMES: &str = "airplane automobile bird cat deer dog frog horse ship truck good missing scratch spot moon mushroom \
    conv fcn report_cnn report_cnn_sgd inspector wide night kmeans_3 kmeans_5 pca_2 pca_3 CIFAR surfaces \
    AUC MSE F1 PCA dip p ms s min epoch Pearson Spearman t-SNE inf \
    Conv2d ConvTranspose2d ReLU Tanh MaxPool2d BatchNorm2d Dropout Flatten Unflatten Linear Upsample scale_factor";

/// What the notebooks' own code writes, and the two lines of a title that is translated whole.
const NOT_OF_THE_CRATE: [&str; 5] = [
    "Some of the test parts",
    "Gaussian mixture of three",
    "component",
    "conv: the 9 worst rebuilt, with",
    "their MSE",
];

/// What stands between the tags of SVG and HTML.
fn texts(markup: &str) -> impl Iterator<Item = String> + '_ {
    let between = markup.split('>').skip(1).filter_map(|rest| rest.split('<').next());
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
    let plain =
        move |text: &str| entities.iter().fold(text.trim().to_string(), |text, (from, to)| text.replace(from, to));
    between.map(plain).filter(|text| !text.is_empty())
}

/// The text as it is shown.
fn shown(text: &str) -> String {
    texts(&Table::new(text, &[]).to_html()).next().unwrap_or_default()
}

/// Whether a text holds nothing but numbers and names.
fn is_of_names(text: &str) -> bool {
    let mut words = text.split(|c: char| !(c.is_alphanumeric() || "_-.".contains(c)));
    let is_name = |word: &str| {
        let word = word.trim_matches(['-', '.']);
        word.chars().all(|c| !c.is_alphabetic()) || NAMES.split_whitespace().any(|name| name == word) || is_number(word)
    };
    words.all(is_name)
}

fn is_number(word: &str) -> bool {
    word.parse::<f64>().is_ok() || word.starts_with("CIFAR")
}

#[test]
fn all_that_the_notebooks_show_is_in_the_catalogue_and_is_shown_in_the_language_chosen() {
    assert_eq!(shown("threshold"), "threshold");
    language("zh-TW").unwrap();
    assert_eq!(shown("threshold"), "門檻");
    assert_eq!(shown("a user's own text"), "a user's own text");
    let picture = diabolo::figure::picture(&Array3::zeros((1, 2, 2)), 1, "threshold").unwrap();
    assert_eq!(picture.alt(), "threshold", "what code reads stays English");

    let mut left = BTreeSet::new();
    for (name, notebook) in notebooks_in("notebooks") {
        let cells = notebook["cells"].as_array().unwrap();
        for output in cells.iter().filter_map(|cell| cell["outputs"].as_array()).flatten() {
            for kind in ["text/html", "image/svg+xml"] {
                for text in texts(&text_of(&output["data"][kind])) {
                    let is_chinese = |c: char| ('\u{4e00}'..'\u{9fff}').contains(&c);
                    let is_known = is_of_names(&text) || NOT_OF_THE_CRATE.contains(&text.as_str());
                    if !is_known && !shown(&text).contains(is_chinese) {
                        left.insert(format!("{name}: {text}"));
                    }
                }
            }
        }
    }
    assert!(left.is_empty(), "not in src/language/zh-TW.tsv:\n{}", left.into_iter().collect::<Vec<_>>().join("\n"));

    assert!(language("tlh").unwrap_err().to_string().contains("en or zh-TW"));
    assert_eq!(shown("threshold"), "門檻", "what fails changes nothing");
}
