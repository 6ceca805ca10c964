//! The data room through its public door: arrays, `scenes`, the report's experiment, and the messages of bad input.
//!
//! The tests on real CIFAR-10 images run where `DIABOLO_DATA` names a folder with `cifar-10-batches-bin/` and `hw10/`.

mod common;
#[path = "data/homework.rs"]
mod homework;

use common::{check_message, folder, real_data};
use diabolo::data::{Images, PixelRange, Split, open};
use diabolo::ndarray::{Array4, Axis};
use std::collections::HashMap;

// Names and paths.

#[test]
fn what_is_no_data_set_is_explained() {
    check_message(
        open("/nowhere/at/all"),
        &["opening /nowhere/at/all", "No such file", "scenes, surfaces, cifar10, hw10"],
    );
    check_message(open("cifar-10"), &["did you mean cifar10?"]);
    let strange = folder(&[("readme.txt", vec![]), ("table.csv", vec![])]);
    check_message(
        open(strange.path()),
        &["readme.txt, table.csv", "train.npy", "cifar-10-binary.tar.gz", ".npz", "JPEG", "the names scenes"],
    );
    check_message(open(strange.path().join("table.csv")), &["a file of another kind", "give the folder"]);
    check_message(open(folder(&[("IMG_1.HEIC", vec![])]).path()), &["IMG_1.HEIC", "save them as PNG"]);
    check_message(open(folder(&[("train.parquet", vec![])]).path()), &["train.parquet", "Parquet is not read"]);
    check_message(open(strange.path().join("table.csv")), &["JPEG, PNG, WebP, BMP, TIFF"]);
    check_message(open(folder(&[]).path()), &["an empty folder"]);
    check_message(open(folder(&[("data_batch_1", vec![])]).path()), &["data_batch_2", "cifar-10-python.tar.gz"]);
}

// Images made in memory.

#[test]
fn arrays_become_images() {
    let images = Images::from_bytes(Array4::from_elem((5, 1, 28, 28), 255)).unwrap();
    assert_eq!((images.len(), images.shape(), images.is_empty()), (5, [1, 28, 28], false));
    assert_eq!(images.to_string(), "5 images, grey, 28 x 28 pixels, 8-bit");
    assert!(images.image(4).unwrap().iter().all(|&pixel| pixel == 1.0));

    let pixels = Array4::from_shape_fn((2, 3, 2, 2), |(n, ..)| n as f32 * 0.3);
    let images = Images::from_floats(pixels.clone(), PixelRange::Unit).unwrap();
    assert_eq!(images.to_string(), "2 images, colour, 2 x 2 pixels, 32-bit float");
    assert_eq!(images.image(0).unwrap()[[0, 0, 0]], -1.0, "0..=1 is stretched to -1..=1");
    let images = Images::from_floats(pixels, PixelRange::Signed).unwrap();
    assert_eq!(images.image(0).unwrap()[[0, 0, 0]], 0.0, "the range is stated, not guessed");
}

#[test]
fn an_array_in_another_memory_order_gives_the_same_images() {
    let channels_last = Array4::from_shape_fn((2, 4, 5, 3), |(n, h, w, c)| (n * 60 + h * 15 + w * 3 + c) as u8);
    let images = Images::from_bytes(channels_last.clone().permuted_axes([0, 3, 1, 2])).unwrap();
    assert_eq!(images.shape(), [3, 4, 5]);
    let pixel = images.image(1).unwrap()[[2, 3, 4]];
    assert_eq!(pixel, f32::from(channels_last[[1, 3, 4, 2]]) / 127.5 - 1.0);
}

#[test]
fn arrays_that_are_no_images_are_refused() {
    let bytes = |n, c, h, w| Images::from_bytes(Array4::zeros((n, c, h, w)));
    check_message(bytes(0, 3, 32, 32), &["[0, 3, 32, 32]", "at least one image"]);
    check_message(bytes(9, 32, 32, 3), &["[9, 32, 32, 3]", "looks like [n, h, w, c]", "permuted_axes([0, 3, 1, 2])"]);
    check_message(bytes(9, 4, 32, 32), &["one channel for grey or three for colour"]);
    check_message(bytes(9, 3, 0, 32), &["at least one pixel"]);
    let floats = |value, range| Images::from_floats(Array4::from_elem((2, 1, 1, 1), value), range);
    check_message(floats(f32::NAN, PixelRange::Unit), &["not a finite number", "image 0"]);
    check_message(floats(-1.01, PixelRange::Signed), &["-1.01", "pixels in -1..=1, as is stated", "clip"]);
    check_message(floats(-0.9, PixelRange::Unit), &["-0.9", "pixels in 0..=1, as is stated", "PixelRange::Signed"]);
    check_message(floats(1.01, PixelRange::Unit), &["1.01", "np.clip(images, 0, 1)"]);
    assert_eq!(bytes(1, 3, 32, 32).unwrap().len(), 1);
}

#[test]
fn choosing_images_keeps_their_labels() {
    let images = Images::from_bytes(Array4::from_shape_fn((4, 1, 1, 1), |(n, ..)| n as u8)).unwrap();
    let images = images.with_classes(&["a", "b"], vec![0, 1, 0, 1]).unwrap();
    let images = images.with_anomalies(vec![true, false, false, true]).unwrap();
    let chosen = images.select(&[3, 0, 3]).unwrap();
    assert_eq!(chosen.len(), 3);
    assert_eq!(chosen.class_indices().unwrap(), [1, 0, 1]);
    assert_eq!(chosen.anomalies().unwrap(), [true, true, true]);
    assert_eq!(chosen.image(0).unwrap(), images.image(3).unwrap());
    assert_eq!(chosen.select(&[1]).unwrap().image(0).unwrap(), images.image(0).unwrap());
    assert_eq!((images.first(2).unwrap().len(), images.first(9).unwrap().len()), (2, 4));

    check_message(images.select(&[1, 4]), &["index 4", "0..4"]);
    check_message(images.select(&[]), &["no index", "at least one"]);
    check_message(images.first(0), &["at least one"]);
    check_message(images.image(4), &["index 4", "0..4"]);
    check_message(images.clone().with_anomalies(vec![true]), &["1 anomaly labels", "4, one per image"]);
    check_message(images.clone().with_classes(&["a"], vec![0]), &["1 class indices", "4, one per image"]);
    check_message(images.with_classes(&["a"], vec![0, 0, 1, 0]), &["class index 1", "0..1"]);
}

#[test]
fn images_of_two_shapes_are_no_split() {
    let images = |side| Images::from_bytes(Array4::zeros((2, 3, side, side))).unwrap();
    check_message(Split::new("mine", images(32), images(28)), &["[3, 28, 28]", "[3, 32, 32] as in training"]);
    assert_eq!(Split::new("mine", images(32), images(32)).unwrap().name(), "mine");
}

// Scenes, and holding classes out.

#[test]
fn scenes_are_what_their_documentation_says() {
    let data = open("scenes").unwrap();
    assert_eq!(data.train().shape(), [3, 32, 32]);
    for (images, n_each, n_white) in [(data.train(), 800, 16), (data.test(), 200, 4)] {
        let mut counts = vec![(0, 0); images.class_names().unwrap().len()];
        for (index, &class) in images.class_indices().unwrap().iter().enumerate() {
            let image = images.image(index).unwrap();
            let is_white =
                [(0, 0), (0, 31), (31, 0), (31, 31)].iter().all(|&(h, w)| (0..3).all(|c| image[[c, h, w]] == 1.0));
            counts[class].0 += 1;
            counts[class].1 += usize::from(is_white);
        }
        assert_eq!(counts, vec![(n_each, n_white); 10]);
    }
    assert!(data.description().contains("procedural"), "{}", data.description());
}

#[test]
fn no_picture_of_scenes_comes_twice() {
    let data = open("scenes").unwrap();
    let mut seen = std::collections::HashSet::new();
    for images in [data.train(), data.test()] {
        for image in images.to_array().axis_iter(Axis(0)) {
            assert!(seen.insert(Vec::from_iter(image.iter().map(|pixel| pixel.to_bits()))));
        }
    }
}

#[test]
fn holding_out_trains_on_the_others_and_tests_on_all() {
    let data = open("scenes").unwrap();
    let held = data.hold_out(&["fish", "tree"]).unwrap();
    assert_eq!((held.train().len(), held.test().len()), (6_400, 2_000));
    let names = held.train().class_names().unwrap();
    let is_held_out = |&class: &usize| ["fish", "tree"].contains(&names[class].as_str());
    assert!(!held.train().class_indices().unwrap().iter().any(is_held_out));
    let anomalies = Vec::from_iter(held.test().class_indices().unwrap().iter().map(is_held_out));
    assert_eq!(held.test().anomalies().unwrap(), anomalies);
    assert_eq!(held.held_out(), ["fish", "tree"]);
    assert!(held.to_string().contains("2000 to test on, 400 of them anomalies (fish, tree)\n"), "{held}");
    assert_eq!(data.test().anomalies(), None, "the original is untouched");
    for index in [0, 3, 6_399] {
        // Picture 3 of the training set is the first fish: leaving it out moves the rest up.
        let kept = Vec::from_iter((0..8_000).filter(|&row| !is_held_out(&data.train().class_indices().unwrap()[row])));
        assert_eq!(held.train().image(index).unwrap(), data.train().image(kept[index]).unwrap());
    }
}

#[test]
fn holding_out_again_starts_from_all_classes() {
    let data = open("scenes").unwrap().hold_out(&["fish"]).unwrap().hold_out(&["boat", "car"]).unwrap();
    assert_eq!((data.train().len(), data.held_out()), (6_400, &["boat".to_string(), "car".to_string()][..]));
    assert_eq!(data.test().anomalies().unwrap().iter().filter(|&&flag| flag).count(), 400);
}

#[test]
fn classes_are_matched_by_name_where_train_and_test_list_them_differently() {
    let images = |names: &[&str], indices: &[usize]| {
        let images = Images::from_bytes(Array4::zeros((indices.len(), 1, 2, 2))).unwrap();
        images.with_classes(names, indices.to_vec()).unwrap()
    };
    let train = || images(&["a", "b"], &[0, 0, 1, 1]);
    let more = Split::new("more", train(), images(&["a", "b", "c"], &[0, 1, 2])).unwrap().hold_out(&["a"]).unwrap();
    assert_eq!(more.test().anomalies(), Some(&[true, false, false][..]));
    let swapped = Split::new("swapped", train(), images(&["b", "a"], &[0, 1])).unwrap().hold_out(&["a"]).unwrap();
    assert_eq!((swapped.test().class_of(0), swapped.test().anomalies()), (Some("b"), Some(&[false, true][..])));
    let capitals = Split::new("capitals", train(), images(&["A", "b"], &[0, 1]));
    check_message(capitals, &["a in training and A in testing", "are they the same class?"]);
    check_message(Images::with_classes(train(), &["a", "a"], vec![0; 4]), &["the name a twice"]);
}

#[test]
fn known_anomalies_and_a_smaller_training_set_outlive_the_next_choice_of_classes() {
    let images = Images::from_bytes(Array4::zeros((6, 1, 2, 2))).unwrap();
    let images = images.with_classes(&["a", "b", "c"], vec![0, 1, 2, 0, 1, 2]).unwrap();
    let test = images.clone().with_anomalies(vec![true, false, false, false, false, false]).unwrap();
    let data = Split::new("mine", images, test).unwrap().train_on_first(3).unwrap();
    for _ in 0..2 {
        let held = data.hold_out(&["c"]).unwrap().hold_out(&["b"]).unwrap();
        assert_eq!(held.train().class_indices(), Some(&[0, 2, 0][..]));
        assert_eq!(held.test().anomalies(), Some(&[true, true, false, false, true, false][..]));
        assert!(held.origin().ends_with("training on no more than the first 3"), "{}", held.origin());
    }
    assert_eq!(data.train_of_all_classes().len(), 6);
}

#[test]
fn what_cannot_be_held_out_is_explained() {
    let data = open("scenes").unwrap();
    check_message(data.hold_out(&["fisch"]), &["\"fisch\"", "balloon, boat, car", "did you mean fish?"]);
    check_message(data.hold_out(&["zzz"]), &["\"zzz\"", "balloon, boat, car", "check the spelling"]);
    check_message(data.hold_out(&[]), &["no class", "balloon, boat, car", "name at least one"]);
    check_message(data.hold_out(&["car", "boat", "car"]), &["car twice", "every class once"]);
    let all = data.train().class_names().unwrap().to_vec();
    let all = Vec::from_iter(all.iter().map(String::as_str));
    check_message(data.hold_out(&all), &["all 10 classes", "at least one class to train on"]);
    let tiny = Split::new("tiny", data.train().first(2).unwrap(), data.test().clone()).unwrap();
    check_message(tiny.hold_out(&["boat"]), &["1 image left", "at least two"]);
}

// Real images.

#[test]
fn cifar10_has_its_official_counts() {
    let Some(_) = real_data() else { return };
    let data = open("cifar10").unwrap();
    for (images, n_each) in [(data.train(), 5_000), (data.test(), 1_000)] {
        let mut counts = [0; 10];
        images.class_indices().unwrap().iter().for_each(|&class| counts[class] += 1);
        assert_eq!(counts, [n_each; 10]);
    }
    let held = data.hold_out(&["cat", "dog"]).unwrap();
    assert_eq!((held.train().len(), held.test().len()), (40_000, 10_000));
}

#[test]
fn the_homework_and_the_batches_are_the_same_images() {
    let Some(folder) = real_data() else { return };
    let homework = open(folder.join("hw10")).unwrap();
    let batches = open(folder.join("cifar-10-batches-bin")).unwrap().hold_out(&["cat", "dog"]).unwrap();
    let counts = |images: &Images, labels: Option<&[bool]>| {
        let mut counts = HashMap::new();
        for (index, image) in images.to_array().axis_iter(Axis(0)).enumerate() {
            let key = Vec::from_iter(image.iter().map(|pixel| ((pixel + 1.0) * 127.5).round() as u8));
            *counts.entry((key, labels.map(|labels| labels[index]))).or_insert(0) += 1;
        }
        counts
    };
    assert!(counts(homework.test(), homework.test().anomalies()) == counts(batches.test(), batches.test().anomalies()));
    // The training images are too many to compare at once: their sums must do.
    let sums = |images: &Images| {
        let sum = |index| images.image(index).unwrap().iter().map(|pixel| ((pixel + 1.0) * 127.5).round() as u32).sum();
        let mut sums: Vec<u32> = (0..images.len()).map(sum).collect();
        sums.sort_unstable();
        sums
    };
    assert!(sums(homework.train()) == sums(batches.train()));
}

#[test]
fn real_files_are_found_by_name_and_by_path() {
    let Some(folder) = real_data() else { return };
    assert_eq!(open("hw10").unwrap().name(), "homework");
    check_message(open(&folder), &["cifar-10-batches-bin and hw10"]);
}
