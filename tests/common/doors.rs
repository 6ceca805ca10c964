//! The doors that anybody's file can come through, one function each: it opens the bytes as a user would, in every
//! disguise that they can have. The fuzz targets go in here, and so do the seeds in plain tests.
//!
//! What must hold: no panic, an error with a next step, and what opens can be used.

#[path = "pickles.rs"]
pub mod pickles;

use diabolo::Result;
use diabolo::data::{ImageStream, Images, OpenOptions, open_with};
use diabolo::device::Device;
use diabolo::model::Architecture;
use diabolo::ndarray::Array4;
use diabolo::prelude::{Detector, Evaluation, Split};
use diabolo::run::{Run, fit_in};
use diabolo::sweep::Sweep;
use diabolo::train::{Autoencoder, Training, fit};
use flate2::write::GzEncoder;
use flate2::{Compression, Crc};
use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;

/// A door: it may use the folder, which stays the same from call to call.
pub type Door = fn(&Path, &[u8]);

/// Every door with the name of its fuzz target and of its folder of seeds.
pub const DOORS: [(&str, Door); 11] = [
    ("npy", npy),
    ("npz", npz),
    ("cifar", cifar),
    ("pickle", pickle),
    ("idx", idx),
    ("image", image),
    ("model", model),
    ("run", run),
    ("detector", detector),
    ("architecture", architecture),
    ("archive", archive),
];

/// A file of images, and the labels beside the homework's.
fn npy(folder: &Path, bytes: &[u8]) {
    let path = folder.join("a.npy");
    fs::write(&path, bytes).unwrap();
    look(open_with(&path, limits()));

    let homework = folder.join("homework");
    if !homework.exists() {
        fs::create_dir(&homework).unwrap();
        let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (4, 1, 2), }\n";
        let length = (header.len() as u16).to_le_bytes();
        let file = [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), &[9; 8]].concat();
        ["train.npy", "test.npy"].iter().for_each(|name| fs::write(homework.join(name), &file).unwrap());
    }
    fs::write(homework.join("test_labels.npy"), bytes).unwrap();
    look(open_with(&homework, limits()));
}

fn npz(folder: &Path, bytes: &[u8]) {
    let path = folder.join("a.npz");
    fs::write(&path, bytes).unwrap();
    look(open_with(&path, limits()));
}

/// CIFAR-10's records, as they are and made up to whole ones, and its class names.
fn cifar(folder: &Path, bytes: &[u8]) {
    const RECORD_BYTES: usize = 3073;
    let path = folder.join("a.bin");
    let mut whole = bytes.to_vec();
    whole.resize(bytes.len().next_multiple_of(RECORD_BYTES), 0);
    for content in [bytes, &whole] {
        fs::write(&path, content).unwrap();
        look_at_stream(ImageStream::open_with(&path, [3, 32, 32], limits()));
    }
    let names: Vec<String> = (1..=5).map(|number| format!("data_batch_{number}.bin")).collect();
    for name in names.iter().map(String::as_str).chain(["test_batch.bin"]) {
        let batch = folder.join(name);
        if !batch.exists() {
            fs::write(batch, [3; RECORD_BYTES]).unwrap();
        }
    }
    fs::write(folder.join("batches.meta.txt"), bytes).unwrap();
    look(open_with(folder, limits()));
}

/// A batch of CIFAR-10's Python version, and its class names.
fn pickle(folder: &Path, bytes: &[u8]) {
    let names = Vec::from_iter((0..10).map(|class| class.to_string()));
    for damaged in ["data_batch_1", "batches.meta"] {
        let inside = folder.join(damaged.replace('.', "_"));
        if !inside.exists() {
            fs::create_dir(&inside).unwrap();
            let batch = pickles::batch("labels", &[3], &[7; 3072]);
            let batches = (1..=5).map(|number| format!("data_batch_{number}")).chain(["test_batch".into()]);
            batches.for_each(|name| fs::write(inside.join(name), &batch).unwrap());
            fs::write(inside.join("batches.meta"), pickles::names("label_names", &names)).unwrap();
        }
        fs::write(inside.join(damaged), bytes).unwrap();
        look(open_with(&inside, limits()));
    }
}

/// IDX files of images and of labels, plain, gzipped, and as gzip data themselves.
fn idx(folder: &Path, bytes: &[u8]) {
    let gzipped = gzip(bytes);
    for (kind, ending, content) in [
        ("images-idx3", "", bytes),
        ("images-idx3", ".gz", &gzipped),
        ("images-idx3", ".gz", bytes),
        ("labels-idx1", "", bytes),
    ] {
        let inside = folder.join(format!("{kind}{ending}"));
        if !inside.exists() {
            fs::create_dir(&inside).unwrap();
            let images = [&[0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2][..], &[7; 6]].concat();
            let labels = [0, 0, 8, 1, 0, 0, 0, 3, 1, 4, 1];
            for part in ["train", "t10k"] {
                fs::write(inside.join(format!("{part}-images-idx3-ubyte")), &images).unwrap();
                fs::write(inside.join(format!("{part}-labels-idx1-ubyte")), labels).unwrap();
            }
            // The plain file would go before the gzipped one.
            fs::remove_file(inside.join(format!("train-{kind}-ubyte"))).unwrap();
        }
        fs::write(inside.join(format!("train-{kind}-ubyte{ending}")), content).unwrap();
        look(open_with(&inside, limits()));
    }
}

/// A photograph; a PNG's checksums are mended, since no damage would come past them.
fn image(folder: &Path, bytes: &[u8]) {
    let path = folder.join("a.png");
    let mended = with_png_checksums(bytes);
    for content in std::iter::once(bytes).chain(mended.as_deref()) {
        fs::write(&path, content).unwrap();
        look_at_stream(ImageStream::open_with(folder, [3, 8, 8], limits()));
        let three = folder.join("three");
        fs::create_dir_all(three.join("class")).unwrap();
        ["1.png", "2.jpg", "3.webp"]
            .iter()
            .for_each(|name| fs::write(three.join("class").join(name), content).unwrap());
        look(open_with(&three, limits()));
        fs::remove_dir_all(three).unwrap();
    }
}

/// One of the files of a saved model, or the results of a sweep; the first byte says which.
fn model(folder: &Path, bytes: &[u8]) {
    let Some((&which, content)) = bytes.split_first() else { return };
    let whole = folder.join("whole");
    if !whole.join("model.json").exists() {
        fs::create_dir_all(&whole).unwrap();
        tiny_model().save(whole.join("model")).unwrap();
    }
    let names = ["model.json", "model.safetensors", "sweep.json"];
    let name = names[usize::from(which) % names.len()];
    for other in &names[..2] {
        copy(&whole.join(other), &folder.join(other));
    }
    fs::write(folder.join(name), content).unwrap();
    match name {
        "sweep.json" => drop(checked(Sweep::open(folder.join(name))).map(|sweep| sweep.to_string())),
        _ => {
            if let Some(model) = checked(Autoencoder::open(folder.join("model"))) {
                use_model(&model);
            }
        }
    }
}

/// One of the files of a run folder; the first byte says which, and whether the training had ended.
fn run(folder: &Path, bytes: &[u8]) {
    let Some((&which, content)) = bytes.split_first() else { return };
    let whole = folder.join("whole");
    let train = |folder: &Path, seconds: f64| {
        let training = tiny_training().epochs(2).max_seconds(seconds);
        fit_in(folder, tiny_architecture(), &tiny_split(), training, |_| ControlFlow::Continue(()))
    };
    if !whole.join("model.json").exists() {
        train(&whole, 60.0).unwrap();
    }
    let names = ["run.json", "state.safetensors", "model.json", "model.safetensors"];
    let name = names[usize::from(which) % names.len()];
    let inside = folder.join("run");
    fs::create_dir_all(&inside).unwrap();
    for other in names {
        copy(&whole.join(other), &inside.join(other));
    }
    let remove = |names: &[&str]| names.iter().for_each(|name| drop(fs::remove_file(inside.join(name))));
    // The state has everything, so the model's files are looked at where it is missing.
    if name.starts_with("model") {
        remove(&["state.safetensors"]);
    } else if usize::from(which) / names.len() % 2 == 1 || name == "state.safetensors" {
        remove(&["model.json", "model.safetensors"]);
    }
    fs::write(inside.join(name), content).unwrap();
    if let Some(run) = checked(Run::open(&inside)) {
        assert!(!run.to_string().is_empty());
        use_model(&run.model);
    }
    checked(train(&inside, 1.0));
}

/// The description or the fit of a detector; the first byte says which. The description has the number of the fit that is
/// there, so that its bytes are read and not only refused.
fn detector(folder: &Path, bytes: &[u8]) {
    let Some((&which, content)) = bytes.split_first() else { return };
    let whole = folder.join("whole");
    if !whole.exists() {
        let way = Evaluation::Pca(1).fused_with(Evaluation::KNearest(2)).fused_by_rank_with(Evaluation::KMeans(2));
        let split = tiny_split();
        way.fit(&tiny_model(), split.train())
            .unwrap()
            .with_false_alarms(0.2, split.test())
            .unwrap()
            .save(&whole)
            .unwrap();
    }
    let inside = folder.join("detector");
    fs::create_dir_all(&inside).unwrap();
    for name in ["detector.json", "fit.safetensors", "model.json", "model.safetensors"] {
        copy(&whole.join(name), &inside.join(name));
    }
    if which % 2 == 0 {
        fs::write(inside.join("detector.json"), content).unwrap();
    } else {
        let number = |bytes: &[u8]| format!("{:016x}", fnv(bytes));
        let right = number(&fs::read(inside.join("fit.safetensors")).unwrap());
        let description = fs::read_to_string(inside.join("detector.json")).unwrap();
        assert!(description.contains(&right), "the numbers are made in another way");
        fs::write(inside.join("detector.json"), description.replace(&right, &number(content))).unwrap();
        fs::write(inside.join("fit.safetensors"), content).unwrap();
    }
    if let Some(detector) = checked(Detector::open(&inside)) {
        assert!(!detector.to_string().is_empty());
        checked(detector.verify());
        checked(detector.detect(tiny_split().test()));
    }
}

/// FNV-1a.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Encoder and decoder, with a bar between them.
fn architecture(_: &Path, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (encoder, decoder) = text.split_once('|').unwrap_or((&text, "Linear(8, 3072) / Tanh()"));
    let Some(architecture) = checked(Architecture::parse(encoder, decoder)) else { return };
    assert!(!architecture.to_string().is_empty());
    let again = Architecture::parse(&architecture.encoder_notation(), &architecture.decoder_notation()).unwrap();
    assert_eq!(again, architecture, "it is not read back as it was written");
    for shape in [[3, 32, 32], [1, 28, 28], [3, 5, 64], [1, 1, 1]] {
        if let Some(plan) = checked(architecture.plan(shape)) {
            assert!(!plan.to_string().is_empty());
            assert_eq!(plan.architecture().plan(shape).unwrap().n_parameters(), plan.n_parameters());
        }
        if let Some(adapted) = checked(architecture.adapted_to(shape)) {
            adapted.plan(shape).unwrap();
        }
    }
}

/// CIFAR-10's archive, as it is and unpacked; a tar file's checksums are mended.
fn archive(folder: &Path, bytes: &[u8]) {
    let path = folder.join("a.tar.gz");
    for content in [bytes, &gzip(bytes), &gzip(&with_tar_checksums(bytes))] {
        fs::write(&path, content).unwrap();
        look(open_with(&path, limits()));
    }
}

/// As `fs::copy`, which gives up when a signal comes: libFuzzer's clock sends one every second.
fn copy(from: &Path, to: &Path) {
    fs::write(to, fs::read(from).unwrap()).unwrap();
}

/// Low enough that a file of a few bytes cannot take a second.
fn limits() -> OpenOptions {
    OpenOptions { max_pixels_per_image: 1 << 18, max_unpacked_bytes: 1 << 24, ..OpenOptions::default() }
}

/// The value; an error has to say what to do next, or to be libtorch's own.
fn checked<T>(result: Result<T>) -> Option<T> {
    let error = match result {
        Ok(value) => return Some(value),
        Err(error) => error,
    };
    let message = error.to_string();
    assert!(message.contains("; "), "no next step in {message:?}");
    let n_characters = message.chars().count();
    assert!(n_characters < 1500, "a message of {n_characters} characters");
    None
}

fn look(opened: Result<Split>) {
    let Some(split) = checked(opened) else { return };
    assert!(!format!("{split}{}", split.description()).is_empty());
    for images in [split.train(), split.test()] {
        look_at(images);
    }
}

fn look_at_stream(opened: Result<ImageStream>) {
    let Some(stream) = checked(opened) else { return };
    stream.map_while(checked).for_each(|part| look_at(&part.images));
}

fn look_at(images: &Images) {
    let last = images.image(images.len() - 1).unwrap();
    assert!(last.iter().all(|pixel| (-1.0..=1.0).contains(pixel)), "pixels outside -1..=1");
}

/// A damaged file may hold a model that computes nonsense, but it computes.
fn use_model(model: &Autoencoder) {
    assert!(!model.to_string().is_empty());
    let plan = model.plan();
    let [c, h, w] = plan.image_shape;
    if matches!(c, 1 | 3) && h * w <= 4096 && plan.n_parameters() <= 1 << 20 {
        let images = Images::from_bytes(Array4::from_elem((2, c, h, w), 100)).unwrap();
        checked(model.rank(&images).and_then(|ranking| ranking.worst(1)));
    }
}

fn tiny_architecture() -> Architecture {
    Architecture::parse("Conv2d(1, 2, 3, 1, 1) / BatchNorm2d(2) / ReLU() / Linear(2*4*4, 2)", "Linear(2, 16) / Tanh()")
        .unwrap()
}

fn tiny_training() -> Training {
    Training::default().epochs(1).batch_size(4).device(Device::Cpu)
}

fn tiny_split() -> Split {
    let pixels = Array4::from_shape_fn((8, 1, 4, 4), |(n, _, h, w)| (n * 31 + h * 60 + w * 7) as u8);
    let images = Images::from_bytes(pixels).unwrap();
    Split::new("tiny", images.clone(), images).unwrap()
}

fn tiny_model() -> Autoencoder {
    fit(tiny_architecture(), &tiny_split(), tiny_training(), |_| ControlFlow::Continue(())).unwrap()
}

/// Stored, so that what goes in is what comes out.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The same PNG with the right checksum after every chunk; `None` for anything else.
fn with_png_checksums(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut mended = bytes.to_vec();
    let mut start = bytes.starts_with(b"\x89PNG\r\n\x1a\n").then_some(8)?;
    while let Some(length) = mended.get(start..start + 4) {
        let length = u32::from_be_bytes(length.try_into().expect("four bytes")) as usize;
        let end = start + 8 + length;
        let Some(chunk) = mended.get(start + 4..end) else { break };
        let mut checksum = Crc::new();
        checksum.update(chunk);
        let Some(place) = mended.get_mut(end..end + 4) else { break };
        place.copy_from_slice(&checksum.sum().to_be_bytes());
        start = end + 4;
    }
    Some(mended)
}

/// The same tar file with the right checksum in every header, as far as sizes lead from one to the next.
fn with_tar_checksums(bytes: &[u8]) -> Vec<u8> {
    const BLOCK: usize = 512;
    let mut mended = bytes.to_vec();
    let mut start = 0;
    while let Some(header) = mended.get_mut(start..start + BLOCK) {
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let size = String::from_utf8_lossy(&header[124..135]).into_owned();
        let size = usize::from_str_radix(size.trim_matches(['\0', ' ']), 8).unwrap_or(0);
        start += BLOCK + size.min(bytes.len()).next_multiple_of(BLOCK);
    }
    mended
}
