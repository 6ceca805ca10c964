//! The other doors of the data room: IDX files, NumPy's archives, folders of photographs, CIFAR-10's archive, and what
//! may be chosen when opening them.
//!
//! The tests on real images run where `DIABOLO_DATA` names a folder with `cifar-10-batches-bin/`, and where Debian's
//! package `dataset-fashion-mnist` is installed.

mod common;
#[path = "common/npz.rs"]
mod npz;

use common::{check_message, folder, npy, real_data};
use diabolo::data::{ImageStream, Images, OpenOptions, Split, open, open_with};
use diabolo::device::Device;
use diabolo::model::Architecture;
use diabolo::ndarray::{Array4, Axis};
use diabolo::train::{Training, fit};
use flate2::Compression;
use flate2::write::GzEncoder;
use image::{GrayImage, Luma, Rgb, RgbImage};
use npz::npz;
use std::fs;
use std::io::{Cursor, Write};
use std::ops::ControlFlow;
use std::path::Path;
use zip::write::{SimpleFileOptions, ZipWriter};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// All pixels as they were stored.
fn bytes_of(images: &Images) -> Array4<u8> {
    images.to_array().mapv(|pixel| ((pixel + 1.0) * 127.5).round() as u8)
}

/// Trains for an epoch and ranks the test images.
fn check_trains_and_ranks(data: &Split, architecture: Architecture) {
    let training = Training::default().epochs(1).device(Device::Cpu);
    let model = fit(architecture, data, training, |_| ControlFlow::Continue(())).unwrap();
    let ranking = model.rank(&data.test).unwrap();
    assert_eq!(ranking.worst(3).unwrap().picks.len(), 3);
}

// IDX files.

/// An IDX file of bytes.
fn idx(shape: &[u32], elements: &[u8]) -> Vec<u8> {
    let head = [0, 0, 8, shape.len() as u8];
    [&head, &shape.iter().flat_map(|size| size.to_be_bytes()).collect::<Vec<_>>()[..], elements].concat()
}

/// Three images of 2 x 3 pixels to train on, two to test on, and their labels.
fn idx_files() -> [(&'static str, Vec<u8>); 4] {
    [
        ("train-images-idx3-ubyte", idx(&[3, 2, 3], &Vec::from_iter(0..18))),
        ("train-labels-idx1-ubyte", idx(&[3], &[7, 1, 7])),
        ("t10k-images-idx3-ubyte", idx(&[2, 2, 3], &Vec::from_iter(100..112))),
        ("t10k-labels-idx1-ubyte", idx(&[2], &[1, 4])),
    ]
}

#[test]
fn idx_files_open_plain_gzipped_and_under_both_spellings() {
    let plain = folder(&idx_files());
    let gzipped = idx_files().map(|(name, content)| (format!("{name}.gz"), gzip(&content)));
    let gzipped = folder(&gzipped.each_ref().map(|(name, content)| (name.as_str(), content.clone())));
    let dotted = idx_files().map(|(name, content)| (name.replace("-idx", ".idx"), content));
    let dotted = folder(&dotted.each_ref().map(|(name, content)| (name.as_str(), content.clone())));
    let by_file = plain.path().join("t10k-labels-idx1-ubyte");
    for path in [plain.path(), gzipped.path(), dotted.path(), &by_file] {
        let data = open(path).unwrap();
        assert_eq!(data.train.shape(), [1, 2, 3]);
        assert!(bytes_of(&data.train).iter().copied().eq(0..18));
        assert!(bytes_of(&data.test).iter().copied().eq(100..112));
        assert_eq!(data.train.class_names().unwrap(), ["1", "4", "7"]);
        assert_eq!(data.train.class_indices().unwrap(), [2, 0, 2]);
        assert_eq!(data.test.class_of(1), Some("4"));
    }
}

#[test]
fn idx_files_in_a_folder_that_says_fashion_have_the_names_of_clothes() {
    let folder = tempfile::tempdir().unwrap();
    for (name, file_name, class) in [("Fashion-MNIST", "fashion-mnist", "sneaker"), ("MNIST", "my-mnist", "7")] {
        let inner = folder.path().join(file_name);
        fs::create_dir(&inner).unwrap();
        idx_files().iter().for_each(|(name, content)| fs::write(inner.join(name), content).unwrap());
        let data = open(inner).unwrap();
        assert_eq!((data.name.as_str(), data.train.class_of(0)), (name, Some(class)));
    }
}

#[test]
fn idx_files_that_do_not_hold_what_they_claim_are_refused() {
    let check = |name: &str, content: Vec<u8>, parts: &[&str]| {
        let folder = folder(&idx_files());
        if name.ends_with(".gz") {
            fs::remove_file(folder.path().join(name.trim_end_matches(".gz"))).unwrap();
        }
        fs::write(folder.path().join(name), content).unwrap();
        check_message(open(folder.path()), &[&[name], parts].concat());
    };
    let images = "train-images-idx3-ubyte";
    let [(_, whole), ..] = idx_files();
    for n_bytes in 0..whole.len() {
        check(images, whole[..n_bytes].to_vec(), &["again"]);
    }
    check(images, [&whole[..], &[0]].concat(), &["19 bytes of elements", "shape [3, 2, 3]"]);
    check(images, idx(&[u32::MAX; 3], &[]), &["0 bytes of elements", "again"]);
    check(images, idx(&[u32::MAX; 255], &[]), &["0 bytes of elements", "again"]);
    check(images, idx(&[3, 2], &[1; 6]), &["shape [3, 2]", "[n, height, width]"]);
    check(images, idx(&[3, 0, 2], &[]), &["shape [3, 0, 2]", "at least one image"]);
    check(images, gzip(&whole), &["a gzipped file", "add .gz to its name"]);
    check(images, b"<html>".to_vec(), &["something else", "again"]);
    check(images, [&[0, 0, 13, 3], &whole[4..]].concat(), &["type 0x0d", "unsigned bytes"]);
    check("train-labels-idx1-ubyte", idx(&[2], &[1, 2]), &["shape [2]", "one label per image", "same data set"]);
    let gzipped = "train-images-idx3-ubyte.gz";
    for n_bytes in 0..gzip(&whole).len() {
        check(gzipped, gzip(&whole)[..n_bytes].to_vec(), &["again"]);
    }
    check(gzipped, whole.clone(), &["cannot be unpacked", "again"]);
    let mut damaged = gzip(&whole);
    let crc = damaged.len() - 8;
    damaged[crc] ^= 1;
    check(gzipped, damaged, &["cannot be unpacked", "again"]);

    let folder = folder(&idx_files()[..3]);
    check_message(open(folder.path()), &["no t10k-labels-idx1-ubyte", "beside the others"]);
}

#[test]
fn a_file_that_unpacks_to_more_than_is_allowed_says_which_option_raises_the_limit() {
    let files = idx_files().map(|(name, content)| (format!("{name}.gz"), gzip(&content)));
    let folder = folder(&files.each_ref().map(|(name, content)| (name.as_str(), content.clone())));
    fs::write(folder.path().join("train-images-idx3-ubyte.gz"), gzip(&idx(&[1, 1000, 1000], &[0; 1_000_000]))).unwrap();
    let options = OpenOptions { max_unpacked_bytes: 10_000, ..OpenOptions::default() };
    check_message(open_with(folder.path(), options), &["more than 10000 bytes", "OpenOptions::max_unpacked_bytes"]);
}

/// Fashion-MNIST, or `None`, said on the way.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn fashion_mnist() -> Option<Split> {
    match Path::new("/usr/share/datasets/fashion-mnist").is_dir() {
        true => Some(open("fashion-mnist").unwrap()),
        false => {
            eprintln!("skipped: Debian's package dataset-fashion-mnist is not installed");
            None
        }
    }
}

#[test]
fn fashion_mnist_opens_trains_and_ranks() {
    let Some(data) = fashion_mnist() else { return };
    assert_eq!((data.name.as_str(), data.train.shape()), ("Fashion-MNIST", [1, 28, 28]));
    for (images, n_each) in [(&data.train, 6_000), (&data.test, 1_000)] {
        let mut counts = [0; 10];
        images.class_indices().unwrap().iter().for_each(|&class| counts[class] += 1);
        assert_eq!(counts, [n_each; 10]);
    }
    // Trousers are two legs: nothing in the bottom row between them. Ankle boots fill the bottom's middle.
    let brightness = |class: &str| {
        let of_class = (0..data.test.len()).filter(|&index| data.test.class_of(index) == Some(class));
        let centres = of_class.map(|index| data.test.image(index).unwrap()[[0, 24, 14]]);
        centres.sum::<f32>() / 1000.0
    };
    assert!(brightness("trouser") < -0.5 && brightness("dress") > brightness("trouser") + 0.5);

    let held = data.hold_out(&["bag", "ankle boot"]).unwrap();
    let few = Split::new("some", held.train.first(1000).unwrap(), held.test.first(300).unwrap()).unwrap();
    let narrow = Architecture::parse(
        "Linear(28*28, 64) / ReLU() / Linear(64, 8)",
        "Linear(8, 64) / ReLU() / Linear(64, 28*28) / Tanh()",
    );
    check_trains_and_ranks(&few, narrow.unwrap());
}

// NumPy's archives.

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// What `make_arrays.py` calls pictures.
fn pictures(n_values: usize) -> impl Iterator<Item = u8> {
    (0..n_values).map(|index| (index * 37 % 256) as u8)
}

#[test]
fn archives_that_numpy_wrote_open() {
    let keras = open(fixture("keras.npz")).unwrap();
    assert_eq!((keras.name.as_str(), keras.train.shape(), keras.test.len()), ("keras", [1, 5, 4], 3));
    assert!(bytes_of(&keras.train).iter().copied().eq(pictures(120)));
    assert_eq!(keras.train.class_names().unwrap(), ["3", "7", "9"]);
    assert_eq!(keras.train.class_indices().unwrap(), [0, 1, 0, 2, 1, 0]);
    assert_eq!(keras.test.class_indices().unwrap(), [2, 0, 1]);

    let homework = open(fixture("homework.npz")).unwrap();
    let in_file_order = bytes_of(&homework.test).permuted_axes([0, 2, 3, 1]);
    assert!(in_file_order.iter().copied().eq(pictures(54)));
    assert_eq!(homework.test.anomalies(), Some(&[false, true, true][..]));
    assert!(homework.description().contains("floats taken as -1..=1"), "{}", homework.description());
}

#[test]
fn arrays_are_found_under_the_names_that_people_give_them() {
    let images = |n: usize| npy("|u1", false, &[n, 2, 2, 1], &vec![9; n * 4]);
    let labels = |n: usize| npy("<i8", false, &[n], &vec![0; n * 8]);
    for (names, has_test, has_classes) in [
        (["x_train", "y_train", "x_test", "y_test"], true, true),
        (["X_train", "Y_train", "X_test", "Y_test"], true, true),
        (["train_images", "train_labels", "test_images", "test_labels"], true, true),
        (["train", "labels_train", "test", "labels_test"], true, true),
        (["train", "other", "test", "another"], true, false),
        (["images", "labels", "mean", "notes"], false, true),
        (["arr_0", "arr_1", "a", "b"], false, true),
        (["x_train", "y_train", "a", "b"], false, true),
    ] {
        let sizes = [10, 10, 5, 5];
        let contents = [images(sizes[0]), labels(sizes[1]), images(sizes[2]), labels(sizes[3])];
        let members = Vec::from_iter(names.iter().map(|name| format!("{name}.npy")));
        let archive = npz(&Vec::from_iter(members.iter().map(String::as_str).zip(contents)));
        let folder = folder(&[("a.npz", archive)]);
        let data = open(folder.path().join("a.npz")).unwrap();
        let wanted = if has_test { (10, 5) } else { (8, 2) };
        assert_eq!((data.train.len(), data.test.len()), wanted, "{names:?}");
        assert_eq!(data.train.class_names().is_some(), has_classes, "{names:?}");
    }
    let folder = folder(&[("a.npz", npz(&[("anything.npy", images(10))])), ("b.npy", images(5))]);
    assert_eq!(open(folder.path().join("a.npz")).unwrap().train.len(), 8);
    let single = open(folder.path().join("b.npy")).unwrap();
    assert_eq!((single.train.len(), single.test.len(), single.name.as_str()), (4, 1, "b"));
    assert!(single.description().contains("20 % of the images drawn for testing with seed 0"));
}

#[test]
fn archives_that_do_not_hold_images_are_explained() {
    let images = |n: usize| npy("|u1", false, &[n, 2, 2, 1], &vec![9; n * 4]);
    let check = |content: Vec<u8>, parts: &[&str]| {
        let folder = folder(&[("a.npz", content)]);
        check_message(open(folder.path().join("a.npz")), &[&["a.npz"], parts].concat());
    };
    check(npz(&[("cats.npy", images(3)), ("dogs.npy", images(3))]), &["the arrays cats, dogs", "x_train", "np.savez"]);
    check(npz(&[("readme.txt", b"hello".to_vec())]), &["no array", "np.savez"]);
    check(npz(&[]), &["no array"]);
    check(b"PK but no archive".to_vec(), &["cannot be read", "np.savez"]);
    check(npz(&[("x.npy", b"hello".to_vec())]), &["x.npy", "else than a .npy file"]);
    let wide = npy("|u1", false, &[3, 3, 2, 1], &[9; 18]);
    check(npz(&[("x_train.npy", images(3)), ("x_test.npy", wide)]), &["x_test.npy", "as in x_train.npy", "same size"]);
    let labels = |values: [f32; 4]| npy("<f4", false, &[4], &values.map(f32::to_le_bytes).concat());
    let with_labels = |values| npz(&[("images.npy", images(4)), ("labels.npy", labels(values))]);
    check(with_labels([0.0, 1.5, 0.0, 0.0]), &["labels.npy", "label 1.5 for image 1", "number the classes"]);
    check(with_labels([0.0, 1.0, f32::NAN, 0.0]), &["label NaN for image 2"]);
    let few = npz(&[("images.npy", images(5)), ("labels.npy", labels([0.0; 4]))]);
    check(few, &["shape (4,)", "5 labels", "in their order"]);
    let whole = npz(&[("x_train.npy", images(40)), ("x_test.npy", images(40))]);
    for n_bytes in (0..whole.len()).step_by(7) {
        check(whole[..n_bytes].to_vec(), &["again"]);
    }
    let one = npz(&[("images.npy", images(2))]);
    let folder = folder(&[("a.npz", one)]);
    check_message(open(folder.path().join("a.npz")), &["2 images", "at least three"]);
}

#[test]
fn an_archive_that_unpacks_to_more_than_is_allowed_is_stopped_at_the_limit() {
    let zeros = npy("|u1", false, &[5000, 20, 20, 1], &vec![0; 2_000_000]);
    let archive = npz(&[("x_train.npy", zeros.clone()), ("x_test.npy", zeros)]);
    assert!(archive.len() < 20_000, "the archive is a small one");
    let folder = folder(&[("a.npz", archive)]);
    let open_up_to = |max_unpacked_bytes| {
        open_with(folder.path().join("a.npz"), OpenOptions { max_unpacked_bytes, ..OpenOptions::default() })
    };
    // Both arrays count.
    check_message(open_up_to(3_000_000), &["more than 3000000 bytes", "OpenOptions::max_unpacked_bytes"]);
    assert_eq!(open_up_to(5_000_000).unwrap().test.len(), 5000);
}

// Folders of photographs.

/// Saves a picture of one colour.
fn save_colour(path: &Path, width_px: u32, height_px: u32, colour: [u8; 3]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    RgbImage::from_pixel(width_px, height_px, Rgb(colour)).save(path).unwrap();
}

#[test]
fn class_folders_png_batches_and_homework_files_give_the_same_images() {
    let Some(_) = real_data() else { return };
    let cifar = open("cifar10").unwrap();
    let sorted = |images: Images| {
        let classes = images.class_indices().unwrap();
        let mut order = Vec::from_iter(0..images.len());
        order.sort_by_key(|&index| classes[index]);
        images.select(&order).unwrap()
    };
    let parts = [("train", sorted(cifar.train.first(300).unwrap())), ("test", sorted(cifar.test.first(100).unwrap()))];
    let (png, batches, homework) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (part, images) in &parts {
        let pixels = bytes_of(images);
        let mut records = Vec::new();
        for (index, image) in pixels.axis_iter(Axis(0)).enumerate() {
            let path = png.path().join(part).join(images.class_of(index).unwrap()).join(format!("{index:04}.png"));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            RgbImage::from_fn(32, 32, |x, y| Rgb([0, 1, 2].map(|c| image[[c, y as usize, x as usize]])))
                .save(path)
                .unwrap();
            records.push(images.class_indices().unwrap()[index] as u8);
            records.extend(image.iter());
        }
        let channels_last = Vec::from_iter(pixels.view().permuted_axes([0, 2, 3, 1]).iter().copied());
        let file = npy("|u1", false, &[images.len(), 32, 32, 3], &channels_last);
        fs::write(homework.path().join(format!("{part}.npy")), file).unwrap();
        let names = if *part == "train" {
            Vec::from_iter((1..=5).map(|number| format!("data_batch_{number}.bin")))
        } else {
            vec!["test_batch.bin".into()]
        };
        for (name, records) in names.iter().zip(records.chunks(records.len() / names.len())) {
            fs::write(batches.path().join(name), records).unwrap();
        }
    }
    for folder in [&png, &batches, &homework] {
        let data = open(folder.path()).unwrap();
        for ((_, wanted), images) in parts.iter().zip([&data.train, &data.test]) {
            assert!(images.to_array() == wanted.to_array(), "{}", data.description());
        }
        if data.name != "homework" {
            assert_eq!(data.train.class_names(), cifar.train.class_names());
            assert_eq!(data.test.class_indices(), parts[1].1.class_indices());
        }
        check_trains_and_ranks(&data, Architecture::conv());
    }
}

#[test]
fn cifar10_as_jpeg_files_is_the_batches_within_what_decoders_differ_by() {
    let Some(folder) = real_data().filter(|folder| folder.join("folders/test").is_dir()) else { return };
    let batches = open("cifar10").unwrap().test;
    let (mut first, mut sum, mut largest) = (0, 0.0, 0.0_f32);
    for part in ImageStream::open(folder.join("folders/test"), [3, 32, 32]).unwrap() {
        let part = part.unwrap();
        assert!(part.names[0].starts_with(batches.class_of(first).unwrap()), "{}", part.names[0]);
        let wanted = batches.select(&Vec::from_iter(first..first + part.images.len())).unwrap();
        let difference = (part.images.to_array() - wanted.to_array()).mapv(|pixel| pixel.abs() * 127.5);
        (sum, largest) =
            (sum + f64::from(difference.mean().unwrap()), difference.iter().copied().fold(largest, f32::max));
        first += part.images.len();
    }
    assert_eq!(first, 10_000);
    // Of 255 steps; the files were decoded by libjpeg-turbo into the batches.
    assert!(sum / 10.0 < 1.0 && largest < 16.0, "{} on average, {largest} at most", sum / 10.0);
}

#[test]
fn five_hundred_photographs_of_mixed_sizes_open_train_and_rank() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..500_u32 {
        let (width, height) = (20 + number * 7 % 180, 20 + number * 13 % 150);
        let ending = ["jpg", "png", "webp"][number as usize % 3];
        let picture = RgbImage::from_fn(width, height, |x, y| {
            Rgb([(x * 255 / width) as u8, (y * 255 / height) as u8, (number % 256) as u8])
        });
        picture.save(folder.path().join(format!("IMG_{number:04}.{ending}"))).unwrap();
    }
    fs::write(folder.path().join("notes.txt"), "not a picture").unwrap();
    let data = open(folder.path()).unwrap();
    assert_eq!((data.train.len(), data.test.len(), data.train.shape()), (400, 100, [3, 32, 32]));
    let description = data.description();
    for part in ["scaled until they cover 32 x 32", "1 files left out", "20 % of the images drawn", "seed 0"] {
        assert!(description.contains(part), "{part} is missing in {description}");
    }
    // The picture is a ramp from left to right in red; its middle is kept.
    let image = data.train.image(0).unwrap();
    assert!(image[[0, 16, 2]] < image[[0, 16, 16]] && image[[0, 16, 16]] < image[[0, 16, 29]]);
    check_trains_and_ranks(&data, Architecture::conv());
    check_message(data.hold_out(&["cat"]), &["without classes"]);

    let larger = open_with(folder.path(), OpenOptions::default().size_px(64).test_share(0.5).seed(3)).unwrap();
    assert_eq!((larger.train.len(), larger.test.len(), larger.train.shape()), (250, 250, [3, 64, 64]));

    fs::write(folder.path().join("IMG_0250.jpg"), b"\xff\xd8\xff half a picture").unwrap();
    check_message(open(folder.path()), &["IMG_0250.jpg", "cannot be read", "remove it"]);
}

#[test]
fn class_folders_without_parts_give_a_fifth_of_every_class_for_testing() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..20 {
        save_colour(&folder.path().join(format!("dog/{number:02}.png")), 24, 16, [number, 0, 0]);
        save_colour(&folder.path().join(format!("Cat/deeper/{number:02}.png")), 24, 16, [number, 9, 0]);
    }
    let data = open(folder.path()).unwrap();
    assert_eq!((data.train.shape(), data.train.len(), data.test.len()), ([3, 16, 24], 32, 8), "their own size");
    assert_eq!(data.train.class_names().unwrap(), ["Cat", "dog"]);
    assert_eq!(data.test.class_indices().unwrap(), [0, 0, 0, 0, 1, 1, 1, 1]);
    let mut seen =
        Vec::from_iter(bytes_of(&data.train).axis_iter(Axis(0)).map(|image| (image[[1, 0, 0]], image[[0, 0, 0]])));
    seen.extend(bytes_of(&data.test).axis_iter(Axis(0)).map(|image| (image[[1, 0, 0]], image[[0, 0, 0]])));
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 40, "no image is lost or comes twice");

    let with_seed = |seed| bytes_of(&open_with(folder.path(), OpenOptions::default().seed(seed)).unwrap().test);
    assert_eq!(with_seed(0), bytes_of(&data.test));
    assert_ne!(with_seed(0), with_seed(1));
    assert_eq!(data.hold_out(&["dog"]).unwrap().train.len(), 16);
}

#[test]
fn classes_that_only_the_test_folder_has_are_anomalies() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["Train/good/1.png", "Train/good/2.png", "Test/good/3.png", "Test/broken/4.png", "masks/broken/4.png"] {
        save_colour(&folder.path().join(name), 8, 8, [1, 2, 3]);
    }
    let data = open(folder.path()).unwrap();
    assert_eq!((data.train.len(), &data.held_out[..]), (2, &["broken".to_string()][..]));
    assert_eq!(data.test.anomalies(), Some(&[true, false][..]));
}

#[test]
fn grey_photographs_stay_grey_and_one_in_colour_makes_all_colour() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..5_u8 {
        GrayImage::from_pixel(6, 6, Luma([number])).save(folder.path().join(format!("{number}.png"))).unwrap();
    }
    assert_eq!(open(folder.path()).unwrap().train.shape(), [1, 6, 6]);
    save_colour(&folder.path().join("colour.png"), 6, 6, [1, 2, 3]);
    assert_eq!(open(folder.path()).unwrap().train.shape(), [3, 6, 6]);
}

#[test]
fn photographs_beyond_the_limits_and_in_the_wrong_place_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a/1.png", "a/2.png", "b/3.png", "b/4.png"] {
        save_colour(&folder.path().join(name), 200, 100, [1, 2, 3]);
    }
    let check = |options: OpenOptions, parts: &[&str]| check_message(open_with(folder.path(), options), parts);
    let default = OpenOptions::default;
    assert_eq!(open(folder.path()).unwrap().train.shape(), [3, 32, 32], "larger than 128 pixels");
    check(OpenOptions { max_images: 3, ..default() }, &["4 image files", "max_images, 3", "OpenOptions::max_images"]);
    let few_pixels = OpenOptions { max_pixels_per_image: 19_999, ..default() };
    check(few_pixels, &["200 x 100 pixels", "19999", "OpenOptions::max_pixels_per_image"]);
    let few_bytes = OpenOptions { max_unpacked_bytes: 10_000, ..default() };
    check(few_bytes, &["12288 bytes", "10000", "OpenOptions::size_px", "OpenOptions::max_unpacked_bytes"]);
    check(default().size_px(0), &["setting size_px", "found 0"]);
    check(default().test_share(1.0), &["setting test_share", "above 0 and below 1"]);
    check(default().test_share(f64::NAN), &["setting test_share", "NaN"]);

    save_colour(&folder.path().join("stray.png"), 8, 8, [0; 3]);
    check(default(), &["1 images beside class folders, as stray.png", "move them"]);
    fs::remove_file(folder.path().join("stray.png")).unwrap();
    save_colour(&folder.path().join("train/5.png"), 8, 8, [0; 3]);
    save_colour(&folder.path().join("test/a/6.png"), 8, 8, [0; 3]);
    check(default(), &["class folders in only one of the two parts"]);
    fs::remove_dir_all(folder.path().join("test/a")).unwrap();
    check(default(), &["no image files, 0 others"]);
}

#[test]
fn every_source_can_be_brought_to_a_size() {
    let data = open_with(fixture("keras.npz"), OpenOptions::default().size_px(8)).unwrap();
    assert_eq!((data.train.shape(), data.test.shape()), ([1, 8, 8], [1, 8, 8]));
    assert_eq!(data.train.class_indices().unwrap(), [0, 1, 0, 2, 1, 0]);
    assert!(data.description().contains("scaled until they cover 8 x 8"), "{}", data.description());
}

#[test]
fn a_stream_gives_all_images_of_a_source_that_has_no_test_images() {
    let images = npy("|u1", false, &[10, 2, 2, 1], &[9; 40]);
    let folder = folder(&[("a.npy", images)]);
    let stream = ImageStream::open(folder.path().join("a.npy"), [1, 2, 2]).unwrap();
    assert_eq!(stream.n_images(), 10);
}

// CIFAR-10's archive.

/// The six batches with two records each, in an archive, after other members.
fn archive(others: &[(&str, &[u8])], without: Option<&str>) -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut append = |name: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        // Past the library's own check, as an attacker would.
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        archive.append(&header, content).unwrap();
    };
    others.iter().for_each(|(name, content)| append(name, content));
    let names = (1..=5).map(|number| format!("data_batch_{number}.bin")).chain(["test_batch.bin".to_string()]);
    for (number, name) in names.enumerate().filter(|(_, name)| Some(name.as_str()) != without) {
        let record = |label: u8| [vec![label], vec![number as u8 * 16 + label; 3072]].concat();
        append(&format!("cifar-10-batches-bin/{name}"), &[record(3), record(5)].concat());
    }
    archive.into_inner().unwrap().finish().unwrap()
}

#[test]
fn the_official_archive_opens_as_it_is_downloaded() {
    let names = b"a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n";
    let others: [(&str, &[u8]); 3] =
        [("cifar-10-batches-bin/batches.meta.txt", names), ("../../evil", b"x"), ("/tmp/evil", b"x")];
    let folder = folder(&[("cifar-10-binary.tar.gz", archive(&others, None))]);
    for path in [folder.path().join("cifar-10-binary.tar.gz"), folder.path().to_path_buf()] {
        let data = open(path).unwrap();
        assert_eq!((data.name.as_str(), data.train.len(), data.test.len()), ("CIFAR-10", 10, 2));
        assert_eq!(data.train.class_of(1), Some("f"));
        assert_eq!(bytes_of(&data.train)[[9, 2, 31, 31]], 4 * 16 + 5);
        assert_eq!(bytes_of(&data.test)[[0, 0, 0, 0]], 5 * 16 + 3);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is unpacked to the disk");
}

#[test]
fn archives_that_are_not_cifar10s_are_explained() {
    let check = |content: Vec<u8>, parts: &[&str]| {
        let folder = folder(&[("cifar-10-binary.tar.gz", content)]);
        check_message(
            open(folder.path().join("cifar-10-binary.tar.gz")),
            &[&["cifar-10-binary.tar.gz"], parts].concat(),
        );
    };
    let whole = archive(&[], None);
    for n_bytes in (0..whole.len()).step_by(11) {
        check(whole[..n_bytes].to_vec(), &["again"]);
    }
    check(b"<html>not found</html>".to_vec(), &["cannot be unpacked", "again"]);
    check(gzip(b"no archive"), &["again"]);
    check(archive(&[], Some("data_batch_3.bin")), &["no data_batch_3.bin", "download cifar-10-binary.tar.gz again"]);
    let python = archive(&[("cifar-10-batches-py/data_batch_1", b"a pickle")], Some("data_batch_1.bin"));
    check(python, &["Python version", "binary version"]);

    let bomb = archive(&[("filler", &vec![0; 5_000_000])], None);
    let folder = folder(&[("x.tar.gz", bomb)]);
    let options = OpenOptions { max_unpacked_bytes: 1_000_000, ..OpenOptions::default() };
    check_message(
        open_with(folder.path().join("x.tar.gz"), options),
        &["more than 1000000 bytes", "max_unpacked_bytes"],
    );
}

// All of them.

#[test]
fn a_damaged_byte_anywhere_is_an_error_or_another_picture_but_no_panic() {
    let images = npy("|u1", false, &[4, 2, 2, 1], &[9; 16]);
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let mut unpacked = ZipWriter::new(Cursor::new(Vec::new()));
    unpacked.start_file("images.npy", stored).unwrap();
    unpacked.write_all(&images).unwrap();
    let [(_, idx), ..] = idx_files();
    for (name, whole) in [
        ("a.npy", images.clone()),
        ("a.npz", npz(&[("images.npy", images)])),
        ("a.npz", unpacked.finish().unwrap().into_inner()),
        ("a.tar.gz", archive(&[], None)),
        ("train-images-idx3-ubyte", idx.clone()),
        ("train-images-idx3-ubyte.gz", gzip(&idx)),
    ] {
        let folder = folder(&idx_files()[1..]);
        let path = folder.path().join(name);
        for index in 0..whole.len() {
            for mask in [1, 0x80, 0xff] {
                let mut damaged = whole.clone();
                damaged[index] ^= mask;
                fs::write(&path, damaged).unwrap();
                if let Err(error) = open(&path) {
                    assert!(error.to_string().contains(name), "{name} without its name: {error}");
                }
            }
        }
    }
}
