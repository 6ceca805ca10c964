//! The data room through its public door: every source, the report's experiment, and the messages of bad input.
//!
//! The tests on real CIFAR-10 images run where `DIABOLO_DATA` names a folder with `cifar-10-batches-bin/` and `hw10/`.

mod common;

use common::{check_message, folder, npy, real_data};
use diabolo::data::{Images, OpenOptions, PixelRange, Split, open, open_with};
use diabolo::ndarray::{Array4, Axis};
use std::collections::HashMap;
use std::fs;

/// Four 2 x 3 colour pictures, `(4, 2, 3, 3)` in C order; no two bytes in a row are equal.
const SHAPE: [usize; 4] = [4, 2, 3, 3];

fn homework_bytes() -> Vec<u8> {
    (0..72_u8).map(|index| index.wrapping_mul(37)).collect()
}

/// The same pictures as they should arrive: `[n, c, h, w]` in -1..=1.
fn homework_pixels() -> Array4<f32> {
    let bytes = Array4::from_shape_vec((4, 2, 3, 3), homework_bytes()).unwrap();
    bytes.mapv(|byte| f32::from(byte) / 127.5 - 1.0).permuted_axes([0, 3, 1, 2])
}

/// A homework folder whose training and test file are the same.
fn homework(file: Vec<u8>) -> tempfile::TempDir {
    folder(&[("train.npy", file.clone()), ("test.npy", file)])
}

fn floats(values: impl IntoIterator<Item = f32>) -> Vec<u8> {
    values.into_iter().flat_map(f32::to_le_bytes).collect()
}

fn check_same_pixels(images: &Images, wanted: &Array4<f32>) {
    let pixels = images.to_array();
    assert_eq!(pixels.dim(), wanted.dim());
    let difference = pixels.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(difference < 1e-6, "pixels differ by {difference}");
}

// The homework's files.

#[test]
fn homework_files_of_every_type_order_and_version_give_the_same_pictures() {
    let bytes = homework_bytes();
    let signed = bytes.iter().map(|&byte| f32::from(byte) / 127.5 - 1.0);
    let unsigned = bytes.iter().map(|&byte| f64::from(byte) / 255.0);
    let fortran = Array4::from_shape_vec((4, 2, 3, 3), bytes.clone()).unwrap().reversed_axes();
    let fortran = Vec::from_iter(fortran.iter().copied());
    for (descr, is_fortran_order, elements) in [
        ("|u1", false, bytes.clone()),
        ("2|u1", false, bytes.clone()),
        ("|u1", true, fortran.clone()),
        ("<f4", false, floats(signed.clone())),
        ("<f4", true, floats(fortran.iter().map(|&byte| f32::from(byte) / 127.5 - 1.0))),
        (">f4", false, signed.flat_map(f32::to_be_bytes).collect()),
        ("<f8", false, unsigned.clone().flat_map(f64::to_le_bytes).collect()),
        (">f8", false, unsigned.flat_map(f64::to_be_bytes).collect()),
    ] {
        let data = open(homework(npy(descr, is_fortran_order, &SHAPE, &elements)).path()).unwrap();
        check_same_pixels(data.train(), &homework_pixels());
        check_same_pixels(data.test(), &homework_pixels());
        assert!(data.test().to_string().contains("8-bit"), "{descr} took more memory than its 256 values need");
    }
}

#[test]
fn homework_floats_between_8_bit_values_stay_floats() {
    let values = homework_pixels().permuted_axes([0, 2, 3, 1]).mapv(|value| value * 0.9);
    let data = open(homework(npy("<f4", false, &SHAPE, &floats(values.iter().copied()))).path()).unwrap();
    assert!(data.test().to_string().contains("32-bit float"));
    assert!(data.description().contains("floats taken as -1..=1"), "{}", data.description());
    check_same_pixels(data.train(), &(homework_pixels() * 0.9));
}

#[test]
fn the_range_of_homework_floats_is_decided_over_both_files() {
    let bright = npy("<f4", false, &[2, 1, 1, 1], &floats([0.1, 0.7]));
    let dark = npy("<f4", false, &[2, 1, 1, 1], &floats([-0.9, 0.3]));
    let both = folder(&[("train.npy", bright.clone()), ("test.npy", dark)]);
    let data = open(both.path()).unwrap();
    assert_eq!(data.train().image(1).unwrap()[[0, 0, 0]], 0.7);
    let data = open(homework(bright).path()).unwrap();
    assert!(data.description().contains("floats taken as 0..=1"), "{}", data.description());
    assert!((data.train().image(1).unwrap()[[0, 0, 0]] - 0.4).abs() < 1e-6);
}

#[test]
fn arrays_of_every_type_and_layout_that_is_clear_give_the_same_pictures() {
    let wanted = Array4::from_shape_fn((4, 3, 2, 5), |(n, c, h, w)| (n * 60 + c * 20 + h * 9 + w) as u8);
    let last = wanted.clone().permuted_axes([0, 2, 3, 1]);
    let in_order = |array: &Array4<u8>| Vec::from_iter(array.iter().copied());
    let (channels_first, channels_last) = ([4, 3, 2, 5], [4, 2, 5, 3]);
    let bytes = in_order(&last);
    for (descr, is_fortran_order, shape, elements) in [
        ("|u1", false, channels_first, in_order(&wanted)),
        ("|u1", true, channels_first, in_order(&wanted.clone().reversed_axes())),
        ("<i8", false, channels_last, bytes.iter().flat_map(|&byte| i64::from(byte).to_le_bytes()).collect()),
        ("<i4", false, channels_last, bytes.iter().flat_map(|&byte| i32::from(byte).to_le_bytes()).collect()),
        (">u2", false, channels_last, bytes.iter().flat_map(|&byte| u16::from(byte).to_be_bytes()).collect()),
    ] {
        let data = open(homework(npy(descr, is_fortran_order, &shape, &elements)).path()).unwrap();
        check_same_pixels(data.train(), &wanted.mapv(|byte| f32::from(byte) / 127.5 - 1.0));
        assert!(data.test().to_string().contains("8-bit"), "{descr}");
    }

    let mask = npy("|b1", false, &[2, 1, 2], &[0, 1, 1, 0]);
    let data = open(homework(mask).path()).unwrap();
    assert_eq!(Vec::from_iter(data.train().to_array().iter().copied()), [-1.0, 1.0, 1.0, -1.0]);
    // 0, 0.25, 0.5 and 1 in half precision.
    let half = npy("<f2", false, &[2, 1, 2], &[0, 0, 0, 0x34, 0, 0x38, 0, 0x3c]);
    let data = open(homework(half).path()).unwrap();
    assert_eq!(Vec::from_iter(data.train().to_array().iter().copied()), [-1.0, -0.5, 0.0, 1.0]);

    let signed = npy("|i1", false, &[2, 1, 2], &[0, 1, 0xff, 0]);
    check_message(open(homework(signed).path()), &["8-bit integers from -1 to 1", "0..=255"]);
    let deep = npy("<u2", false, &[2, 1, 2], &[0, 0, 0, 0, 0, 0, 0xff, 0xff]);
    check_message(open(homework(deep).path()), &["16-bit integers from 0 to 65535", "images / 257"]);
}

#[test]
fn a_pixel_a_hair_outside_its_range_changes_no_other() {
    let file = |values: [f32; 4]| npy("<f4", false, &[2, 1, 2], &floats(values));
    let noisy =
        folder(&[("train.npy", file([0.0, 0.25, 0.5, 1.0])), ("test.npy", file([-1e-7, 0.3, 1.000_000_1, 1.0]))]);
    let data = open(noisy.path()).unwrap();
    assert_eq!(Vec::from_iter(data.train().to_array().iter().copied()), [-1.0, -0.5, 0.0, 1.0]);
    assert!(
        data.description().contains("floats taken as 0..=1, those a hair outside clipped"),
        "{}",
        data.description()
    );

    let sharp = homework(file([-0.03, 0.0, 0.5, 0.98]));
    check_message(open(sharp.path()), &["-0.03 to 0.98", "np.clip(images, 0, 1)", "OpenOptions::pixel_range"]);
    let signed = OpenOptions::default().pixel_range(PixelRange::Signed);
    assert_eq!(open_with(sharp.path(), signed).unwrap().train().image(1).unwrap()[[0, 0, 1]], 0.98);
    let unit = OpenOptions::default().pixel_range(PixelRange::Unit);
    check_message(
        open_with(sharp.path(), unit),
        &["pixels in 0..=1, as is stated", "image 0", "np.clip(images, 0, 1)"],
    );
}

#[test]
fn homework_labels_of_any_number_type_say_which_images_are_anomalies() {
    for (descr, shape, elements) in [
        ("|b1", vec![4], vec![0, 1, 1, 0]),
        ("|u1", vec![4, 1], vec![0, 1, 1, 0]),
        ("<i8", vec![4], [0_i64, 1, 1, 0].iter().flat_map(|label| label.to_le_bytes()).collect()),
        ("<f4", vec![4], floats([0.0, 1.0, 1.0, 0.0])),
    ] {
        let folder = homework(npy("|u1", false, &SHAPE, &homework_bytes()));
        fs::write(folder.path().join("test_labels.npy"), npy(descr, false, &shape, &elements)).unwrap();
        let data = open(folder.path()).unwrap();
        assert_eq!(data.test().anomalies(), Some(&[false, true, true, false][..]), "{descr}");
        assert_eq!(data.train().anomalies(), None);
    }
    let data = open(homework(npy("|u1", false, &SHAPE, &homework_bytes())).path()).unwrap();
    assert_eq!(data.test().anomalies(), None);
    assert!(data.description().contains("anomalies are not known"));
}

#[test]
fn homework_labels_that_do_not_fit_are_refused() {
    let folder = homework(npy("|u1", false, &SHAPE, &homework_bytes()));
    let labels = folder.path().join("test_labels.npy");
    fs::write(&labels, npy("|u1", false, &[3], &[0, 1, 0])).unwrap();
    check_message(open(folder.path()), &["test_labels.npy", "shape (3,)", "4 labels", "in their order"]);
    fs::write(&labels, npy("|u1", false, &[4], &[0, 1, 0, 7])).unwrap();
    check_message(open(folder.path()), &["label 7 for image 3", "1 for an anomaly"]);
}

#[test]
fn homework_without_its_second_file_says_which() {
    let folder = folder(&[("train.npy", npy("|u1", false, &SHAPE, &homework_bytes()))]);
    check_message(open(folder.path()), &["reading", "test.npy", "No such file", "check the path"]);
}

#[test]
fn homework_of_two_image_sizes_is_refused() {
    let train = npy("|u1", false, &[4, 3, 2, 3], &homework_bytes());
    let test = npy("|u1", false, &SHAPE, &homework_bytes());
    let folder = folder(&[("train.npy", train), ("test.npy", test)]);
    check_message(open(folder.path()), &["test.npy", "[2, 3, 3]", "[3, 2, 3]", "same size"]);
}

#[test]
fn a_truncated_npy_is_refused_wherever_it_ends() {
    let whole = npy("|u1", false, &SHAPE, &homework_bytes());
    for n_bytes in 0..whole.len() {
        let message = open(homework(whole[..n_bytes].to_vec()).path()).unwrap_err().to_string();
        assert!(message.contains("train.npy") && message.contains("again"), "{n_bytes} bytes: {message}");
    }
    let cut = homework(whole[..whole.len() - 1].to_vec());
    check_message(open(cut.path()), &["71 bytes", "72 bytes for shape (4, 2, 3, 3)", "truncated"]);
}

#[test]
fn a_header_that_claims_more_than_the_file_holds_allocates_nothing() {
    let terabytes = npy("<f4", false, &[400_000_000, 32, 32, 3], &[]);
    check_message(open(homework(terabytes).path()), &["0 bytes of elements", "4915200000000 bytes", "truncated"]);
    let overflowing = npy("<f4", false, &[1 << 40, 1 << 40, 32, 3], &[]);
    check_message(open(homework(overflowing).path()), &["far more bytes", "truncated"]);
    let zero_times_huge = npy("<f4", false, &[usize::MAX, usize::MAX, 0, 3], &[]);
    check_message(open(homework(zero_times_huge).path()), &["train.npy", "truncated"]);
    let long_header = [b"\x93NUMPY\x02\x00".as_slice(), &u32::MAX.to_le_bytes()].concat();
    check_message(open(homework(long_header).path()), &["a header that claims 4294967295 bytes"]);
}

#[test]
fn npy_files_that_hold_no_plain_numbers_are_refused() {
    let objects = npy("|O", false, &[4], b"a pickle");
    check_message(open(homework(objects).path()), &["array of Python objects", "np.stack(images)"]);
    let text = npy("<U5", false, &[0], &[]);
    check_message(open(homework(text).path()), &["type '<U5'", "astype"]);
    let long = npy("<f16", false, &[0], &[]);
    check_message(open(homework(long).path()), &["type '<f16'", "astype"]);
    let wide = npy("<i8", false, &[1, 1, 1, 1], &256_u64.to_le_bytes());
    check_message(open(homework(wide).path()), &["64-bit integers from 256 to 256", "0..=255", "astype(np.uint8)"]);
    check_message(open(homework(b"a,b,c\n1,2,3\n".to_vec()).path()), &["else than a .npy file", "np.save"]);
    let structured = npy("|u1", false, &[1], &[0]);
    let structured = String::from_utf8_lossy(&structured[10..]).replace("'|u1'", "[('a', '|u1')]");
    let file =
        [b"\x93NUMPY\x01\x00".as_slice(), &(structured.len() as u16).to_le_bytes(), structured.as_bytes()].concat();
    check_message(open(homework(file).path()), &["structured array"]);
}

#[test]
fn homework_of_another_layout_says_how_to_mend_it() {
    for (shape, hint) in [
        (vec![4, 3, 2, 3, 1], "reshape"),
        (vec![3, 2, 3, 4], "leave transparency out: save images[..., :3]"),
        (vec![4, 18], "images.reshape(-1, 32, 32, 3)"),
        (vec![4, 6, 3], "images[..., None]"),
        (vec![1, 9, 4, 2], "one channel for grey or three for colour"),
        (vec![0, 2, 3, 3], "no image in it"),
        (vec![4, 0, 3, 3], "at least one pixel"),
    ] {
        let file = npy("|u1", false, &shape, &homework_bytes());
        check_message(open(homework(file).path()), &["train.npy", "shape (", "(n, 32, 32, 3)", hint]);
    }
}

#[test]
fn homework_pixels_out_of_range_or_not_finite_are_refused_with_their_image() {
    let file = |values: [f32; 6]| homework(npy("<f4", false, &[3, 1, 2, 1], &floats(values)));
    check_message(open(file([0.0, 0.5, 1.0, -1.5, 0.0, 0.0]).path()), &["-1.5 to 1", "in image 1", "clip"]);
    check_message(
        open(file([0.0, 9.0, 255.0, 3.0, 0.0, 0.0]).path()),
        &["0 to 255", "image 0", "uint8", "x / 127.5 - 1"],
    );
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        check_message(open(file([0.0, 0.5, 1.0, 0.5, 0.5, bad]).path()), &["not a finite number", "in image 2", "NaN"]);
    }
    let fortran = npy("<f4", true, &[3, 1, 2, 1], &floats([0.0, f32::NAN, 0.0, 0.0, 0.0, 0.0]));
    check_message(open(homework(fortran).path()), &["first in image 1"]);
}

#[test]
fn one_image_can_be_tested_on_but_not_trained_on() {
    let one = npy("|u1", false, &[1, 2, 3, 3], &homework_bytes()[..18]);
    let four = npy("|u1", false, &SHAPE, &homework_bytes());
    let data = open(folder(&[("train.npy", four.clone()), ("test.npy", one.clone())]).path()).unwrap();
    assert_eq!(data.test().len(), 1);
    let swapped = folder(&[("train.npy", one), ("test.npy", four)]);
    check_message(open(swapped.path()), &["one image to train on", "at least two"]);
}

#[test]
fn homework_has_no_classes_to_hold_out() {
    let data = open(homework(npy("|u1", false, &SHAPE, &homework_bytes())).path()).unwrap();
    check_message(data.hold_out(&["cat"]), &["without classes", "a class for every image", "class folders"]);
}

// Names and paths.

#[test]
fn what_is_no_data_set_is_explained() {
    check_message(open("/nowhere/at/all"), &["opening /nowhere/at/all", "No such file", "scenes, cifar10, hw10"]);
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
