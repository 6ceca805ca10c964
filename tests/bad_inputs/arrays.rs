//! Images from arrays, their labels, and the choice of classes.

use super::{Case, case};
use diabolo::data::{Images, PixelRange, Split, open};
use diabolo::ndarray::Array4;
use std::path::Path;

fn images(n: usize) -> Images {
    Images::from_bytes(Array4::zeros((n, 1, 2, 2))).unwrap()
}

pub fn cases() -> Vec<Case> {
    let bytes = |shape: [usize; 4]| move |_: &Path| Images::from_bytes(Array4::zeros(shape));
    let scenes = || open("scenes").unwrap();
    vec![
        case("an array of no image", bytes([0, 3, 8, 8]), &["[0, 3, 8, 8]", "at least one image"]),
        case("an array with channels last", bytes([9, 8, 8, 3]), &["permuted_axes([0, 3, 1, 2])"]),
        case("an array of four channels", bytes([9, 4, 8, 8]), &["one channel for grey or three for colour"]),
        case("an array without pixels", bytes([9, 3, 0, 8]), &["at least one pixel"]),
        case(
            "an array of infinity",
            |_| Images::from_floats(Array4::from_elem((2, 1, 1, 1), f32::INFINITY), PixelRange::Unit),
            &["not a finite"],
        ),
        case(
            "an array beyond its range",
            |_| Images::from_floats(Array4::from_elem((2, 1, 1, 1), -1.01), PixelRange::Signed),
            &["-1.01"],
        ),
        case("an image that is not there", |_| images(4).image(4), &["index 4", "0..4"]),
        case("choosing one that is not there", |_| images(4).select(&[1, 9]), &["index 9", "0..4"]),
        case("choosing none", |_| images(4).first(0), &["no index", "at least one"]),
        case(
            "too few anomaly labels",
            |_| images(4).with_anomalies(vec![true]),
            &["1 anomaly labels", "one per image"],
        ),
        case(
            "a class without a name",
            |_| images(2).with_classes(&["a"], vec![0, 1]),
            &["class index 1", "give a name"],
        ),
        case(
            "a class of two names",
            |_| images(2).with_classes(&["a", "a"], vec![0, 1]),
            &["the name a twice", "other names"],
        ),
        case(
            "classes that differ in capitals",
            |_| {
                let named = |name| images(2).with_classes(&[name], vec![0, 0]).unwrap();
                Split::new("x", named("Good"), named("good"))
            },
            &["Good in training and good in testing", "rename one"],
        ),
        case("training on the first image", move |_| scenes().train_on_first(1), &["setting n_images", "2 or more"]),
        case("one image to train on", |_| Split::new("x", images(1), images(3)), &["one image to train on"]),
        case(
            "two shapes",
            |_| Split::new("x", images(3), Images::from_bytes(Array4::zeros((1, 1, 3, 2))).unwrap()),
            &["[1, 3, 2]", "[1, 2, 2] as in training"],
        ),
        case("an unknown class", move |_| scenes().hold_out(&["fisch"]), &["\"fisch\"", "did you mean fish?"]),
        case("no class", move |_| scenes().hold_out(&[]), &["no class", "name at least one"]),
        case("a class twice", move |_| scenes().hold_out(&["car", "car"]), &["car twice", "leave one"]),
        case(
            "all classes",
            move |_| {
                let names = scenes().train().class_names().unwrap().to_vec();
                scenes().hold_out(&Vec::from_iter(names.iter().map(String::as_str)))
            },
            &["all 10 classes", "hold out fewer"],
        ),
        case(
            "classes where there are none",
            |_| Split::new("x", images(3), images(3)).unwrap().hold_out(&["a"]),
            &["without classes"],
        ),
    ]
}
