//! `mpirun -n N diabolo score`: several processes take turns at the parts, and process 0 writes what one would write.

use crate::common::{RUN, diabolo, fail, left_in, succeed, trained};
use crate::disk::SmallDisk;
use crate::{has_mpi, mpirun};
use std::fs;
use std::path::Path;
use std::process::Output;

/// More images than one process reads at a time, as image files: 1,024 are a part.
fn write_photographs(folder: &Path) {
    fs::create_dir(folder).unwrap();
    for index in 0..1_100_u32 {
        let color = image::Rgb([index, index / 5, 255 - index / 7].map(|value| value as u8));
        image::RgbImage::from_pixel(4, 3, color).save(folder.join(format!("{index:04}.png"))).unwrap();
    }
}

/// 2,100 images of CIFAR-10's binary form, which are three parts.
fn write_records(path: &Path) {
    let record = |index: usize| (0..3073).map(move |place| (if place == 0 { index % 10 } else { index + place }) as u8);
    fs::write(path, Vec::from_iter((0..2_100).flat_map(record))).unwrap();
}

/// The same command in one process, and in several; both write their file and say the same.
#[track_caller]
fn check_same_in(folder: &Path, n_processes: usize, arguments: &[&str]) {
    let with_out = |out| [arguments, &["--out", out]].concat();
    let alone = diabolo(folder, &with_out("alone.csv")).env("OMP_NUM_THREADS", "1").output().unwrap();
    let together = mpirun(folder, n_processes, &with_out("together.csv")).output().unwrap();
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(alone.status.success() && together.status.success(), "{}{}", said(&alone), said(&together));
    let sentence = said(&alone).lines().last().unwrap().to_string();
    assert!(said(&together).contains(&sentence), "{arguments:?}: {} {sentence}", said(&together));
    let [alone, together] = ["alone.csv", "together.csv"].map(|name| fs::read(folder.join(name)).unwrap());
    assert!(alone == together, "{arguments:?} in {n_processes} processes");
    assert!(alone.iter().filter(|&&byte| byte == b'\n').count() > 1_024, "several parts");
}

#[test]
fn several_processes_write_the_scores_of_one_byte_for_byte() {
    if !has_mpi() {
        return;
    }
    let folder = trained(RUN);
    let folder = folder.path();
    succeed(folder, &["fit", "runs/cnn", "--by", "kmeans_3", "--out", "detector"]);
    write_photographs(&folder.join("photographs"));
    write_records(&folder.join("records.bin"));
    check_same_in(folder, 2, &["score", "runs/cnn", "photographs"]);
    check_same_in(folder, 2, &["score", "runs/cnn", "records.bin"]);
    // More processes than parts, with anomalies and an AUC.
    check_same_in(folder, 3, &["score", "runs/cnn", "scenes"]);
    check_same_in(folder, 3, &["score", "detector", "scenes"]);
}

#[test]
fn an_image_that_one_process_cannot_read_is_told_once_and_no_file_is_left() {
    if !has_mpi() {
        return;
    }
    let folder = trained(RUN);
    let folder = folder.path();
    write_photographs(&folder.join("photographs"));
    // In the second part, which is the second process's.
    fs::write(folder.join("photographs/1050.png"), "no image").unwrap();
    let arguments = ["score", "runs/cnn", "photographs", "--out", "scores.csv"];
    let alone = fail(folder, 1, &arguments);
    let Output { status, stderr, .. } = mpirun(folder, 2, &arguments).output().unwrap();
    let message = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{message}");
    let last = alone.lines().last().unwrap();
    assert!(last.contains("1050.png") && message.matches(last).count() == 1, "{last}\n{message}");
    assert_eq!(left_in(folder), ["photographs", "run.toml", "runs"]);
}

#[test]
fn a_full_disk_of_the_scores_ends_all() {
    if !has_mpi() {
        return;
    }
    let Some(disk) = SmallDisk::mount("a full disk of scores") else { return };
    let folder = trained(RUN);
    disk.fill();
    let scores = disk.path().join("scores.csv");
    let arguments = ["score", "runs/cnn", "scenes", "--out", scores.to_str().unwrap()];
    let Output { status, stderr, .. } = mpirun(folder.path(), 2, &arguments).output().unwrap();
    let message = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{message}");
    assert!(message.contains("No space left") && message.contains("choose a folder that has room"), "{message}");
    disk.empty();
    assert!(left_in(disk.path()).is_empty(), "{:?}", left_in(disk.path()));
}
