//! CIFAR-10 and CIFAR-100: folders and archives, in the binary and in the Python version.

#[path = "common/archives.rs"]
mod archives;
#[expect(dead_code, unused_imports, reason = "most of it is for other tests")]
mod common;
#[path = "common/pickles.rs"]
mod pickles;
#[expect(dead_code, reason = "a training is for other tests")]
#[path = "common/pictures.rs"]
mod pictures;

use archives::{archive, gzip};
use common::{check_message, folder};
use diabolo::data::{ImageStream, OpenOptions, open, open_with};
use flate2::Compression;
use flate2::write::GzEncoder;
use pictures::bytes_of;
use std::fs;
use std::path::Path;

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// What the scripts beside the fixtures call pictures.
fn pictures_of(n_values: usize) -> impl Iterator<Item = u8> {
    (0..n_values).map(|index| (index * 37 % 256) as u8)
}

// Folders of the binary version.

const TRAIN_BATCHES: [&str; 5] =
    ["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"];

/// Two records a batch: labels 2k and 2k + 1 in batch k, pixels that tell batch, record and position.
fn batches() -> tempfile::TempDir {
    let batch = |batch: u8| -> Vec<u8> {
        let record = |record: u8| {
            let pixels = (0..3072_u32).map(move |index| (index % 251) as u8 ^ (batch * 2 + record));
            [(batch * 2 + record) % 10].into_iter().chain(pixels)
        };
        (0..2).flat_map(record).collect()
    };
    let names = TRAIN_BATCHES.into_iter().chain(["test_batch.bin"]);
    folder(&Vec::from_iter(names.zip(0_u8..).map(|(name, index)| (name, batch(index)))))
}

#[test]
fn batches_are_read_in_order_with_their_labels() {
    let folder = batches();
    let data = open(folder.path()).unwrap();
    assert_eq!((data.train().len(), data.test().len(), data.train().shape()), (10, 2, [3, 32, 32]));
    assert_eq!(data.train().class_indices().unwrap(), Vec::from_iter(0..10));
    assert_eq!((data.train().class_of(3), data.train().class_of(10)), (Some("cat"), None));
    let image = data.train().image(7).unwrap();
    for (c, h, w) in [(0, 0, 0), (1, 2, 3), (2, 31, 31)] {
        let byte = ((c * 1024 + h * 32 + w) % 251) as u8 ^ 7;
        assert_eq!(image[[c, h, w]], f32::from(byte) / 127.5 - 1.0);
    }
}

#[test]
fn a_folder_that_contains_the_batches_folder_is_opened_too() {
    let (outer, inner) = (tempfile::tempdir().unwrap(), batches());
    let inside = outer.path().join("cifar-10-batches-bin");
    fs::create_dir(&inside).unwrap();
    for entry in fs::read_dir(inner.path()).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), inside.join(entry.file_name())).unwrap();
    }
    assert_eq!(open(outer.path()).unwrap().name(), "CIFAR-10");
    fs::create_dir(outer.path().join("hw10")).unwrap();
    check_message(open(outer.path()), &["cifar-10-batches-bin and hw10", "the path of one of them"]);
}

#[test]
fn class_names_come_from_the_file_beside_the_batches() {
    let folder = batches();
    let names = folder.path().join("batches.meta.txt");
    fs::write(&names, "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n").unwrap();
    assert_eq!(open(folder.path()).unwrap().train().class_of(9), Some("j"));
    fs::write(&names, "a\nb\n").unwrap();
    check_message(open(folder.path()), &["batches.meta.txt", "2 class names", "10, one a line"]);
}

#[test]
fn damaged_batches_are_refused() {
    let folder = batches();
    let batch = folder.path().join("data_batch_3.bin");
    let whole = fs::read(&batch).unwrap();
    for n_bytes in [0, 1, 3072, 3075, whole.len() - 1] {
        fs::write(&batch, &whole[..n_bytes]).unwrap();
        let size = format!("{n_bytes} bytes");
        check_message(open(folder.path()), &["data_batch_3.bin", &size, "records of 3073 bytes", "truncated"]);
    }
    fs::write(&batch, [&[201], &whole[1..]].concat()).unwrap();
    check_message(open(folder.path()), &["data_batch_3.bin", "label 201", "0..10", "again"]);
    fs::remove_file(&batch).unwrap();
    check_message(open(folder.path()), &["opening", "data_batch_3.bin", "No such file", "cifar-10-binary.tar.gz"]);
}

// Archives.

#[test]
fn the_official_archive_opens_as_it_is_downloaded() {
    let names = b"a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n";
    let others: [(&str, &[u8]); 3] =
        [("cifar-10-batches-bin/batches.meta.txt", names), ("../../evil", b"x"), ("/tmp/evil", b"x")];
    let folder = folder(&[("cifar-10-binary.tar.gz", archive(&others, None))]);
    for path in [folder.path().join("cifar-10-binary.tar.gz"), folder.path().to_path_buf()] {
        let data = open(path).unwrap();
        assert_eq!((data.name(), data.train().len(), data.test().len()), ("CIFAR-10", 10, 2));
        assert_eq!(data.train().class_of(1), Some("f"));
        assert_eq!(bytes_of(data.train())[[9, 2, 31, 31]], 4 * 16 + 5);
        assert_eq!(bytes_of(data.test())[[0, 0, 0, 0]], 5 * 16 + 3);
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
    check(python, &["no data_batch_1.bin", "download cifar-10-binary.tar.gz again"]);
    check(gzip(&[0; 1024]), &["no data_batch_1.bin", "cifar-10-binary.tar.gz"]);

    let bomb = archive(&[("filler", &vec![0; 5_000_000])], None);
    let folder = folder(&[("x.tar.gz", bomb)]);
    let options = OpenOptions { max_unpacked_bytes: 1_000_000, ..OpenOptions::default() };
    check_message(
        open_with(folder.path().join("x.tar.gz"), options),
        &["more than 1000000 bytes", "max_unpacked_bytes"],
    );
}

/// The files of CIFAR-10's Python version with two images each: of classes 3 and 5, and pixels that tell them apart.
fn python_files() -> Vec<(String, Vec<u8>)> {
    let batch = |number: u8| {
        let pixels = [[number * 16 + 3; 3072], [number * 16 + 5; 3072]].concat();
        pickles::batch("labels", &[3, 5], &pixels)
    };
    let names = (1..=5).map(|number| format!("data_batch_{number}")).chain(["test_batch".into()]);
    let mut files = Vec::from_iter(names.zip((0..).map(batch)));
    let names = Vec::from_iter(["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"].map(String::from));
    files.push(("batches.meta".into(), pickles::names("label_names", &names)));
    files
}

fn as_folder(files: &[(String, Vec<u8>)]) -> tempfile::TempDir {
    folder(&Vec::from_iter(files.iter().map(|(name, content)| (name.as_str(), content.clone()))))
}

#[test]
fn the_python_version_opens_as_a_folder_and_as_the_archive_that_torchvision_downloads() {
    let files = python_files();
    let unpacked = as_folder(&files);
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, content) in &files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_cksum();
        tar.append_data(&mut header, format!("cifar-10-batches-py/{name}"), &content[..]).unwrap();
    }
    let packed = folder(&[("cifar-10-python.tar.gz", tar.into_inner().unwrap().finish().unwrap())]);
    let outer = tempfile::tempdir().unwrap();
    let inner = outer.path().join("cifar-10-batches-py");
    fs::create_dir(&inner).unwrap();
    files.iter().for_each(|(name, content)| fs::write(inner.join(name), content).unwrap());
    for path in [unpacked.path(), packed.path(), &packed.path().join("cifar-10-python.tar.gz"), outer.path()] {
        let data = open(path).unwrap();
        assert_eq!((data.name(), data.train().len(), data.test().len()), ("CIFAR-10", 10, 2));
        assert_eq!((data.train().class_of(0), data.test().class_of(1)), (Some("d"), Some("f")));
        assert_eq!(bytes_of(data.train())[[9, 2, 31, 31]], 4 * 16 + 5);
        assert_eq!(bytes_of(data.test())[[0, 0, 0, 0]], 5 * 16 + 3);
    }

    // Written by today's Python.
    fs::copy(fixture("cifar_python_batch"), unpacked.path().join("test_batch")).unwrap();
    let data = open(unpacked.path()).unwrap();
    assert_eq!((data.test().class_of(0), data.test().class_of(1)), (Some("d"), Some("j")));
    assert!(bytes_of(data.test()).iter().copied().eq(pictures_of(2 * 3072)));
}

#[test]
fn pickles_that_are_no_batches_are_explained_and_nothing_is_executed() {
    let check = |content: Vec<u8>, parts: &[&str]| {
        let folder = as_folder(&python_files());
        fs::write(folder.path().join("data_batch_3"), content).unwrap();
        check_message(open(folder.path()), &[&["data_batch_3"], parts].concat());
    };
    let (whole, pixels) = (python_files().swap_remove(2).1, [7; 2 * 3072]);
    for n_bytes in (0..whole.len()).step_by(97) {
        check(whole[..n_bytes].to_vec(), &["pickle", "again"]);
    }
    let touched = tempfile::tempdir().unwrap().path().join("touched");
    let command =
        format!("cposix\nsystem\n(U{}touch {}tR.", char::from(6 + touched.as_os_str().len() as u8), touched.display());
    check([b"\x80\x02", command.as_bytes()].concat(), &["no list of numbers labels"]);
    assert!(!touched.exists());
    // What another function than NumPy's would make of the same arguments is no array.
    let name = whole.windows(12).position(|bytes| bytes == b"_reconstruct").unwrap();
    let other = [&whole[..name], b"_resonstruct", &whole[name + 12..]].concat();
    check(other, &["no array data", "again"]);
    check(pickles::batch("labels", &[3, 10], &pixels), &["label 10 of 0..10"]);
    check(pickles::batch("labels", &[3], &pixels), &["[1, 3072]", "6144 bytes"]);
    check(pickles::batch("fine_labels", &[3, 5], &pixels), &["no list of numbers labels"]);
    let folder = as_folder(&python_files()[1..]);
    check_message(open(folder.path()), &["data_batch_1", "No such file", "cifar-10-python.tar.gz"]);
}

#[test]
fn cifar100_opens_in_both_versions() {
    let names = Vec::from_iter((0..100).map(|class| format!("class {class}")));
    let records = |fine: u8| [[&[9, fine][..], &[fine; 3072]].concat(), [&[1, 99][..], &[5; 3072]].concat()].concat();
    let binary = folder(&[
        ("train.bin", records(42)),
        ("test.bin", records(7)),
        ("fine_label_names.txt", names.join("\n").into_bytes()),
    ]);
    let pixels = |fine: u8| [[fine; 3072], [5; 3072]].concat();
    let python = folder(&[
        ("train", pickles::batch("fine_labels", &[42, 99], &pixels(42))),
        ("test", pickles::batch("fine_labels", &[7, 99], &pixels(7))),
        ("meta", pickles::names("fine_label_names", &names)),
    ]);
    for path in [binary.path(), python.path()] {
        let data = open(path).unwrap();
        assert_eq!((data.name(), data.train().class_names().map(<[String]>::len)), ("CIFAR-100", Some(100)));
        assert_eq!((data.train().class_of(0), data.test().class_of(1)), (Some("class 42"), Some("class 99")));
        assert_eq!(bytes_of(data.test())[[0, 1, 3, 4]], 7);
    }
    let alone = ImageStream::open(binary.path().join("test.bin"), [3, 32, 32]);
    check_message(alone, &["6148 bytes", "CIFAR-100's", "open the folder"]);
}
