//! Files and folders of images.

use super::common::npy;
use super::npz::npz;
use super::{Case, case};
use diabolo::Result;
use diabolo::data::{ImageStream, OpenOptions, Split, download, open, open_with};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;

pub fn cases() -> Vec<Case> {
    let groups = [npy_cases(), npz_cases(), cifar_cases(), idx_cases(), photograph_cases(), path_cases()];
    groups.into_iter().flatten().collect()
}

/// Opens one file of this name and content.
fn open_file(folder: &Path, name: &str, content: &[u8]) -> Result<Split> {
    fs::write(folder.join(name), content).unwrap();
    open(folder.join(name))
}

fn open_npy(folder: &Path, descr: &str, shape: &[usize], elements: &[u8]) -> Result<Split> {
    open_file(folder, "a.npy", &npy(descr, false, shape, elements))
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn npy_cases() -> Vec<Case> {
    vec![
        case("an empty .npy", |f| open_file(f, "a.npy", b""), &["a.npy", "else than a .npy file", "np.save"]),
        case("a web page as .npy", |f| open_file(f, "a.npy", b"<html>"), &["a.npy", "else than a .npy file"]),
        case("a .npy of a later version", |f| open_file(f, "a.npy", b"\x93NUMPY\x09\x00  "), &["version 9", "np.save"]),
        case(
            "half a header",
            |f| open_file(f, "a.npy", &npy("|u1", false, &[4, 2, 2], &[])[..40]),
            &["cut off after 40"],
        ),
        case(
            "a header of 4 GB",
            |f| open_file(f, "a.npy", b"\x93NUMPY\x02\x00\xff\xff\xff\xff"),
            &["a header that claims 4294967295 bytes"],
        ),
        case(
            "a header that is no dictionary",
            |f| open_file(f, "a.npy", b"\x93NUMPY\x01\x00\x05\x00hello"),
            &["an unreadable header", "hello"],
        ),
        case(
            "a shape of terabytes",
            |f| open_npy(f, "<f4", &[400_000_000, 32, 32, 3], &[]),
            &["0 bytes of elements", "4915200000000 bytes", "truncated"],
        ),
        case("a shape beyond all numbers", |f| open_npy(f, "|u1", &[1 << 40, 1 << 40, 3], &[]), &["far more bytes"]),
        case("Python objects", |f| open_npy(f, "|O", &[4], b"pickle"), &["array of Python objects", "np.stack"]),
        case("complex numbers", |f| open_npy(f, "<c8", &[4, 1, 2], &[0; 64]), &["type '<c8'", "astype"]),
        case(
            "negative integers",
            |f| open_npy(f, "|i1", &[4, 1, 2], &[255; 8]),
            &["8-bit integers from -1", "0..=255"],
        ),
        case("16-bit pixels", |f| open_npy(f, "<u2", &[4, 1, 2], &[255; 16]), &["16-bit integers", "images / 257"]),
        case("transparency", |f| open_npy(f, "|u1", &[4, 2, 2, 4], &[0; 64]), &["transparency", "images[..., :3]"]),
        case(
            "floats that may be in either range",
            |f| open_npy(f, "<f4", &[3, 1, 2], &floats(&[-0.05, 0.9, 0.0, 0.0, 0.5, 1.0])),
            &["-0.05 to 1", "np.clip(images, 0, 1)", "OpenOptions::pixel_range"],
        ),
        case("a table", |f| open_npy(f, "|u1", &[4, 18], &[0; 72]), &["shape (4, 18)", "reshape(-1, 32, 32, 3)"]),
        case("no image", |f| open_npy(f, "|u1", &[0, 2, 2, 3], &[]), &["no image in it"]),
        case("two images", |f| open_npy(f, "|u1", &[2, 2, 2], &[0; 8]), &["2 images", "at least three"]),
        case(
            "a pixel that is not a number",
            |f| open_npy(f, "<f4", &[3, 1, 2], &floats(&[0.0, 1.0, f32::NAN, 0.0, 0.5, 1.0])),
            &["not a finite number", "in image 1", "replace NaN"],
        ),
        case(
            "floats up to 255",
            |f| open_npy(f, "<f4", &[3, 1, 2], &floats(&[0.0, 255.0, 9.0, 0.0, 0.5, 1.0])),
            &["0 to 255", "image 0", "x / 127.5 - 1"],
        ),
    ]
}

fn npz_cases() -> Vec<Case> {
    let images = |n: usize| npy("|u1", false, &[n, 2, 2, 1], &vec![9; n * 4]);
    vec![
        case("no zip archive", |f| open_file(f, "a.npz", b"PK hello"), &["a.npz", "cannot be read", "np.savez"]),
        case("an archive of text", |f| open_file(f, "a.npz", &npz(&[("a.txt", vec![])])), &["no array", "np.savez"]),
        case(
            "arrays of unknown names",
            move |f| open_file(f, "a.npz", &npz(&[("cats.npy", images(3)), ("dogs.npy", images(3))])),
            &["the arrays cats, dogs", "x_train"],
        ),
        case(
            "as many labels as there are not images",
            move |f| open_file(f, "a.npz", &npz(&[("x.npy", images(5)), ("y.npy", npy("|u1", false, &[4], &[0; 4]))])),
            &["y.npy", "shape (4,)", "5 labels"],
        ),
        case(
            "an archive that unpacks to more than is allowed",
            |f| {
                let zeros = npz(&[("x.npy", npy("|u1", false, &[5000, 20, 20], &vec![0; 2_000_000]))]);
                fs::write(f.join("a.npz"), zeros).unwrap();
                open_with(f.join("a.npz"), OpenOptions { max_unpacked_bytes: 9999, ..OpenOptions::default() })
            },
            &["more than 9999 bytes", "OpenOptions::max_unpacked_bytes"],
        ),
    ]
}

/// The six batches with one record each, of which one is replaced or left out.
fn open_batches(folder: &Path, name: &str, content: Option<&[u8]>) -> Result<Split> {
    let names = (1..=5).map(|number| format!("data_batch_{number}.bin")).chain(["test_batch.bin".into()]);
    names.for_each(|name| fs::write(folder.join(name), [3; 3073]).unwrap());
    match content {
        Some(content) => fs::write(folder.join(name), content).unwrap(),
        None => fs::remove_file(folder.join(name)).unwrap(),
    }
    open(folder)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn cifar_cases() -> Vec<Case> {
    vec![
        case(
            "half a batch",
            |f| open_batches(f, "data_batch_2.bin", Some(&[3; 3000])),
            &["data_batch_2.bin", "3000 bytes", "records of 3073", "truncated"],
        ),
        case(
            "a batch with another label",
            |f| open_batches(f, "test_batch.bin", Some(&[[201].as_slice(), &[0; 3072]].concat())),
            &["test_batch.bin", "label 201", "0..10", "download it again"],
        ),
        case(
            "a batch left out",
            |f| open_batches(f, "data_batch_5.bin", None),
            &["data_batch_5.bin", "cifar-10-binary.tar.gz"],
        ),
        case(
            "two class names",
            |f| open_batches(f, "batches.meta.txt", Some(b"cat\ndog\n")),
            &["batches.meta.txt", "2 class names", "remove it to use the official names"],
        ),
        case(
            "a batch that is a web page",
            |f| {
                fs::write(f.join("a.bin"), "<html>").unwrap();
                ImageStream::open(f.join("a.bin"), [3, 32, 32])
            },
            &["a.bin", "6 bytes", "truncated"],
        ),
        case(
            "an archive that is a web page",
            |f| open_file(f, "a.tar.gz", b"<html>"),
            &["cannot be unpacked", "again"],
        ),
        case("an archive of nothing", |f| open_file(f, "a.tar.gz", &gzip(&[0; 1024])), &["no data_batch_1.bin"]),
        case("half an archive", |f| open_file(f, "a.tar.gz", &gzip(&[0; 1024])[..15]), &["cannot be unpacked"]),
        case(
            "the Python version alone",
            |f| open_named_empty(f, "data_batch_1"),
            &["data_batch_2", "cifar-10-python.tar.gz"],
        ),
        case("an empty pickle", |f| open_pickle(f, b""), &["no pickle", "again"]),
        case(
            "a pickle that runs a program",
            |f| open_pickle(f, b"\x80\x02cos\nsystem\nU\x04true\x85R."),
            &["no list of numbers labels"],
        ),
        case("a pickle that ends early", |f| open_pickle(f, b"\x80\x02}U\xffabc"), &["a pickle that ends early"]),
        case(
            "a pickle of vast numbers",
            |f| open_pickle(f, b"\x80\x02\x8e\xff\xff\xff\xff\xff\xff\xff\xff"),
            &["ends early"],
        ),
        case("a data set without a home page", |_| download("hw10", |_| ControlFlow::Continue(())), &["\"hw10\""]),
    ]
}

/// CIFAR-10's Python version, of which one file is this.
fn open_pickle(folder: &Path, content: &[u8]) -> Result<Split> {
    let names = (1..=5).map(|number| format!("data_batch_{number}")).chain(["test_batch".into()]);
    names.for_each(|name| fs::write(folder.join(name), content).unwrap());
    open(folder)
}

fn open_named_empty(folder: &Path, name: &str) -> Result<Split> {
    fs::write(folder.join(name), "").unwrap();
    open(folder)
}

/// The four IDX files with three images each, of which one is replaced.
fn open_idx(folder: &Path, name: &str, content: &[u8]) -> Result<Split> {
    for part in ["train", "t10k"] {
        let images = [&[0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2][..], &[7; 6]].concat();
        fs::write(folder.join(format!("{part}-images-idx3-ubyte")), images).unwrap();
        fs::write(folder.join(format!("{part}-labels-idx1-ubyte")), [0, 0, 8, 1, 0, 0, 0, 3, 1, 4, 1]).unwrap();
    }
    fs::remove_file(folder.join(name.trim_end_matches(".gz"))).unwrap();
    if !content.is_empty() {
        fs::write(folder.join(name), content).unwrap();
    }
    open(folder)
}

fn idx_cases() -> Vec<Case> {
    const IMAGES: &str = "train-images-idx3-ubyte";
    vec![
        case("IDX of floats", |f| open_idx(f, IMAGES, &[0, 0, 13, 3]), &["type 0x0d", "save it as unsigned bytes"]),
        case("IDX that is text", |f| open_idx(f, IMAGES, b"hello"), &["something else", "again"]),
        case("half an IDX header", |f| open_idx(f, IMAGES, &[0, 0, 8, 3, 0]), &["cut off", "again"]),
        case("IDX that claims more", |f| open_idx(f, IMAGES, &[0, 0, 8, 1, 255, 255, 255, 255]), &["[4294967295]"]),
        case("gzipped data that are no IDX", |f| open_idx(f, IMAGES, &gzip(b"no idx")), &["something else", "again"]),
        case(
            "a web page that is said to be gzipped IDX",
            |f| open_idx(f, "train-images-idx3-ubyte.gz", b"<html> and more"),
            &["something else", "again"],
        ),
        case(
            "labels of other images",
            |f| open_idx(f, "t10k-labels-idx1-ubyte", &[0, 0, 8, 1, 0, 0, 0, 1, 7]),
            &["t10k-labels-idx1-ubyte", "shape [1]", "one label per image"],
        ),
        case(
            "labels left out",
            |f| open_idx(f, "t10k-labels-idx1-ubyte", b""),
            &["no t10k-labels", "beside the others"],
        ),
    ]
}

/// Saves a grey picture.
fn save_picture(path: &Path, width_px: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    image::GrayImage::new(width_px, 10).save(path).unwrap();
}

/// The beginning of a PNG that says it is a million pixels wide and high.
const VAST_PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\x0f\x42\x40\0\x0f\x42\x40\x08\0\0\0\0\x79\x06\x67\xa1\0\0\0\0IDAT\x35\xaf\x06\x1e";

fn photograph_cases() -> Vec<Case> {
    let three = |f: &Path| ["1.png", "2.png", "3.png"].iter().for_each(|name| save_picture(&f.join(name), 20));
    vec![
        case(
            "half a photograph",
            move |f| {
                three(f);
                fs::write(f.join("2.png"), b"\xff\xd8\xff half").unwrap();
                open(f)
            },
            &["2.png", "cannot be read", "remove it"],
        ),
        case(
            "a photograph that claims a trillion pixels",
            move |f| {
                three(f);
                fs::write(f.join("2.png"), VAST_PNG).unwrap();
                open(f)
            },
            &["2.png", "1000000 x 1000000 pixels", "OpenOptions::max_pixels_per_image"],
        ),
        case(
            "a photograph beyond the limit",
            move |f| {
                three(f);
                open_with(f, OpenOptions { max_pixels_per_image: 199, ..OpenOptions::default() })
            },
            &["20 x 10 pixels", "OpenOptions::max_pixels_per_image"],
        ),
        case(
            "more photographs than are allowed",
            move |f| {
                three(f);
                open_with(f, OpenOptions { max_images: 2, ..OpenOptions::default() })
            },
            &["3 image files", "OpenOptions::max_images"],
        ),
        case(
            "photographs that take more than is allowed",
            move |f| {
                three(f);
                open_with(f, OpenOptions { max_unpacked_bytes: 99, ..OpenOptions::default() })
            },
            &["600 bytes", "OpenOptions::max_unpacked_bytes"],
        ),
        case(
            "one photograph",
            |f| {
                save_picture(&f.join("1.png"), 20);
                open(f)
            },
            &["one image", "at least three"],
        ),
        case(
            "a photograph beside class folders",
            |f| {
                ["a/1.png", "b/2.png", "stray.png"].iter().for_each(|name| save_picture(&f.join(name), 20));
                open(f)
            },
            &["1 images beside class folders, as stray.png", "move them"],
        ),
        case(
            "class folders to train on alone",
            |f| {
                ["train/a/1.png", "test/2.png"].iter().for_each(|name| save_picture(&f.join(name), 20));
                open(f)
            },
            &["class folders in only one of the two parts", "put the images of both"],
        ),
        case(
            "images in Parquet",
            |f| open_named_empty(f, "train-00000-of-00001.parquet"),
            &["train-00000-of-00001.parquet", "Parquet is not read", "PNG files in class folders"],
        ),
        case(
            "one Parquet file",
            |f| open_file(f, "train.parquet", b"PAR1"),
            &["train.parquet", "Parquet is not read", "an .npz archive"],
        ),
        case("pictures of a telephone", |f| open_named_empty(f, "IMG_1.HEIC"), &["IMG_1.HEIC", "save them as PNG"]),
        case(
            "a stream of no pictures",
            |f| {
                fs::write(f.join("notes.txt"), "").unwrap();
                ImageStream::open(f, [3, 32, 32])
            },
            &["no image files", "check the path"],
        ),
    ]
}

fn path_cases() -> Vec<Case> {
    vec![
        case("a folder that is not there", |_| open("/nowhere/at/all"), &["/nowhere/at/all", "No such file", "scenes"]),
        case("a name that is nearly one", |_| open("cifar-10"), &["did you mean cifar10?"]),
        case("no name", |_| open(""), &["opening", "check the path"]),
        case("a name that no file can have", |_| open("a\0b"), &["opening", "check the"]),
        case("an empty folder", |f| open(f), &["an empty folder"]),
        case(
            "a file of another kind",
            |f| open_file(f, "a.csv", b"1,2"),
            &["a file of another kind", "give the folder"],
        ),
        case(
            "a size of 0",
            |_| open_with("scenes", OpenOptions::default().size_px(0)),
            &["setting size_px", "found 0"],
        ),
        case(
            "a size beyond any memory",
            |_| open_with("scenes", OpenOptions::default().size_px(100_000)),
            &["setting size_px", "found 100000", "1 to 4096"],
        ),
        case(
            "a size that all images together do not fit in",
            |f| {
                fs::write(f.join("a.npy"), npy("|u1", false, &[1_000_000, 1, 1, 1], &vec![0; 1_000_000])).unwrap();
                open_with(f.join("a.npy"), OpenOptions::default().size_px(4096))
            },
            &["scaling images: found ", "GB free", "13421.8 GB", "smaller OpenOptions::size_px"],
        ),
        case(
            "all for testing",
            |_| open_with("scenes", OpenOptions::default().test_share(1.0)),
            &["setting test_share"],
        ),
        case(
            "a share that is not a number",
            |_| open_with("scenes", OpenOptions::default().test_share(f64::NAN)),
            &["setting test_share", "NaN", "above 0 and below 1"],
        ),
        case("a stream of two channels", |_| ImageStream::open("scenes", [2, 32, 32]), &["setting shape", "1 or 3"]),
        case("a vast stream", |_| ImageStream::open("scenes", [3, usize::MAX, 2]), &["setting shape", "1 to 4096"]),
    ]
}
