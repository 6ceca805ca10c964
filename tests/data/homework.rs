//! The homework's files: NumPy's arrays in every type, order and layout, and what is wrong with others.

use super::common::{check_message, folder, npy};
use diabolo::data::{Images, OpenOptions, PixelRange, open, open_with};
use diabolo::ndarray::Array4;
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
