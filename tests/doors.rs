//! The other doors of the data room: IDX files and NumPy's archives.
//!
//! The test on real images runs where Debian's package `dataset-fashion-mnist` is installed.

#[path = "common/archives.rs"]
mod archives;
#[expect(dead_code, reason = "most of it is for other tests")]
mod common;
#[path = "common/npz.rs"]
mod npz;
#[path = "common/pictures.rs"]
mod pictures;

use archives::{archive, gzip};
use common::{check_message, folder, npy};
use diabolo::data::{ImageStream, OpenOptions, Split, open, open_with};
use diabolo::model::Architecture;
use npz::npz;
use pictures::{bytes_of, check_trains_and_ranks};
use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;
use zip::write::{SimpleFileOptions, ZipWriter};

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
    // Browsers unpack files and leave their names; others gzip files and leave theirs.
    let unpacked = idx_files().map(|(name, content)| (format!("{name}.gz"), content));
    let unpacked = folder(&unpacked.each_ref().map(|(name, content)| (name.as_str(), content.clone())));
    let packed = folder(&idx_files().map(|(name, content)| (name, gzip(&content))));
    for path in [plain.path(), gzipped.path(), dotted.path(), &by_file, unpacked.path(), packed.path()] {
        let data = open(path).unwrap();
        assert_eq!(data.train().shape(), [1, 2, 3]);
        assert!(bytes_of(data.train()).iter().copied().eq(0..18));
        assert!(bytes_of(data.test()).iter().copied().eq(100..112));
        assert_eq!(data.train().class_names().unwrap(), ["1", "4", "7"]);
        assert_eq!(data.train().class_indices().unwrap(), [2, 0, 2]);
        assert_eq!(data.test().class_of(1), Some("4"));
    }
}

#[test]
fn idx_files_in_a_folder_that_says_fashion_have_the_names_of_clothes() {
    let folder = tempfile::tempdir().unwrap();
    for (name, file_name, class) in [
        ("Fashion-MNIST", "fashion-mnist", "sneaker"),
        ("Fashion-MNIST", "FashionMNIST/raw", "sneaker"),
        ("MNIST", "mnist", "7"),
        ("KMNIST", "mnist/KMNIST", "7"),
        ("digits", "fashion-lab/digits", "7"),
    ] {
        let inner = folder.path().join(file_name);
        fs::create_dir_all(&inner).unwrap();
        idx_files().iter().for_each(|(name, content)| fs::write(inner.join(name), content).unwrap());
        let data = open(inner).unwrap();
        assert_eq!((data.name(), data.train().class_of(0)), (name, Some(class)));
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
    check(images, b"<html>".to_vec(), &["something else", "again"]);
    check(images, [&[0, 0, 13, 3], &whole[4..]].concat(), &["type 0x0d", "unsigned bytes"]);
    check("train-labels-idx1-ubyte", idx(&[2], &[1, 2]), &["shape [2]", "one label per image", "same data set"]);
    let gzipped = "train-images-idx3-ubyte.gz";
    for n_bytes in 0..gzip(&whole).len() {
        check(gzipped, gzip(&whole)[..n_bytes].to_vec(), &["again"]);
    }
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
    assert_eq!((data.name(), data.train().shape()), ("Fashion-MNIST", [1, 28, 28]));
    for (images, n_each) in [(data.train(), 6_000), (data.test(), 1_000)] {
        let mut counts = [0; 10];
        images.class_indices().unwrap().iter().for_each(|&class| counts[class] += 1);
        assert_eq!(counts, [n_each; 10]);
    }
    // Trousers are two legs: nothing in the bottom row between them. Ankle boots fill the bottom's middle.
    let brightness = |class: &str| {
        let of_class = (0..data.test().len()).filter(|&index| data.test().class_of(index) == Some(class));
        let centres = of_class.map(|index| data.test().image(index).unwrap()[[0, 24, 14]]);
        centres.sum::<f32>() / 1000.0
    };
    assert!(brightness("trouser") < -0.5 && brightness("dress") > brightness("trouser") + 0.5);

    let held = data.hold_out(&["bag", "ankle boot"]).unwrap();
    let few = Split::new("some", held.train().first(1000).unwrap(), held.test().first(300).unwrap()).unwrap();
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
    assert_eq!((keras.name(), keras.train().shape(), keras.test().len()), ("keras", [1, 5, 4], 3));
    assert!(bytes_of(keras.train()).iter().copied().eq(pictures(120)));
    assert_eq!(keras.train().class_names().unwrap(), ["3", "7", "9"]);
    assert_eq!(keras.train().class_indices().unwrap(), [0, 1, 0, 2, 1, 0]);
    assert_eq!(keras.test().class_indices().unwrap(), [2, 0, 1]);

    let homework = open(fixture("homework.npz")).unwrap();
    let in_file_order = bytes_of(homework.test()).permuted_axes([0, 2, 3, 1]);
    assert!(in_file_order.iter().copied().eq(pictures(54)));
    assert_eq!(homework.test().anomalies(), Some(&[false, true, true][..]));
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
        assert_eq!((data.train().len(), data.test().len()), wanted, "{names:?}");
        assert_eq!(data.train().class_names().is_some(), has_classes, "{names:?}");
    }
    let folder = folder(&[("a.npz", npz(&[("anything.npy", images(10))])), ("b.npy", images(5))]);
    assert_eq!(open(folder.path().join("a.npz")).unwrap().train().len(), 8);
    let single = open(folder.path().join("b.npy")).unwrap();
    assert_eq!((single.train().len(), single.test().len(), single.name()), (4, 1, "b"));
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
fn what_an_archive_holds_beside_its_images_is_used_or_named() {
    let images =
        |n: usize| npy("|u1", false, &[n, 2, 2, 1], &Vec::from_iter((0..n * 4).map(|index| (index * 13) as u8)));
    let labels = |values: &[u8]| npy("|u1", false, &[values.len()], values);
    let opened = |arrays: &[(&str, Vec<u8>)]| open(folder(&[("a.npz", npz(arrays))]).path().join("a.npz"));
    let parts = |train: Vec<u8>, test: Vec<u8>| {
        opened(&[("x_train.npy", images(4)), ("y_train.npy", train), ("x_test.npy", images(3)), ("y_test.npy", test)])
    };
    // A class that only the test images have is an anomaly, as in folders.
    let unseen = parts(labels(&[0; 4]), labels(&[0, 1, 0])).unwrap();
    assert_eq!((unseen.held_out(), unseen.test().anomalies()), (&["1".into()][..], Some(&[false, true, false][..])));

    let several = |n: usize| npy("|u1", false, &[n, 14], &vec![0; n * 14]);
    let data = parts(several(4), several(3)).unwrap();
    assert_eq!(data.train().class_names(), None);
    assert!(data.origin().contains("y_train and y_test not used (y_train has 14 numbers"), "{}", data.origin());
    let words = |n: usize| npy("<U3", false, &[n], &vec![b'a'; n * 12]);
    let data = parts(words(4), words(3)).unwrap();
    assert!(data.origin().contains("not used (y_train has elements of type '<U3'"), "{}", data.origin());

    let sparse = [("x_train.npy", images(4)), ("y_train.npy", labels(&[0; 4])), ("x_test.npy", images(3))];
    let data = opened(&[&sparse[..], &[("val_images.npy", images(2))]].concat()).unwrap();
    assert!(data.origin().contains("y_train not used, since the test images have no labels"), "{}", data.origin());
    assert!(data.origin().ends_with("left out: val_images"), "{}", data.origin());

    let signs = npy("|i1", false, &[3], &[1, 0xff, 1]);
    let data = opened(&[("x_train.npy", images(4)), ("x_test.npy", images(3)), ("y_test.npy", signs)]).unwrap();
    assert!(data.origin().contains("these are not 0 (normal) and 1 (anomaly)"), "{}", data.origin());
    let target = opened(&[("images.npy", images(4)), ("target.npy", labels(&[0, 1, 0, 1]))]).unwrap();
    assert_eq!(target.train().class_names().unwrap(), ["0", "1"]);
    let unnamed = [("arr_0.npy", images(4)), ("arr_1.npy", images(4)), ("arr_2.npy", images(3))];
    check_message(opened(&unnamed), &["the arrays arr_0, arr_1, arr_2", "np.savez(path, x_train="]);
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
    assert_eq!(open_up_to(5_000_000).unwrap().test().len(), 5000);
}

#[test]
fn every_source_can_be_brought_to_a_size() {
    let data = open_with(fixture("keras.npz"), OpenOptions::default().size_px(8)).unwrap();
    assert_eq!((data.train().shape(), data.test().shape()), ([1, 8, 8], [1, 8, 8]));
    assert_eq!(data.train().class_indices().unwrap(), [0, 1, 0, 2, 1, 0]);
    assert!(data.description().contains("scaled until they cover 8 x 8"), "{}", data.description());
}

#[test]
fn a_stream_gives_all_images_of_a_source_that_has_no_test_images() {
    let images = npy("|u1", false, &[10, 2, 2, 1], &[9; 40]);
    let folder = folder(&[("a.npy", images)]);
    let stream = ImageStream::open(folder.path().join("a.npy"), [1, 2, 2]).unwrap();
    assert_eq!(stream.n_images(), 10);
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
