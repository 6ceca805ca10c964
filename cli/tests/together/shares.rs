//! More images than one memory: each process opens its share of a folder.

use crate::common::{diabolo, succeed};
use crate::{has_mpi, losses, mpirun};
use std::fs;
use std::path::Path;
use std::process::Output;

/// 41 images to train on in two classes, and 9 to test on, of another class too; each has a pattern of its own.
fn write_photographs(folder: &Path) {
    for (name, n_images) in [("train/hen", 20), ("train/owl", 21), ("test/hen", 4), ("test/owl", 3), ("test/cat", 2)] {
        fs::create_dir_all(folder.join(name)).unwrap();
        for number in 0..n_images {
            let seed = name.len() as u32 * 31 + number * 7;
            let pattern = |x: u32, y: u32| {
                let value = |channel: u32| ((x * (seed % 13) + y * (seed % 7) + channel * seed) % 256) as u8;
                image::Rgb([value(1), value(2), value(3)])
            };
            image::RgbImage::from_fn(32, 32, pattern).save(folder.join(name).join(format!("{number:02}.png"))).unwrap();
        }
    }
}

/// A settings file; with one step an epoch all images are in every minibatch, in whatever order.
fn write_run(folder: &Path, name: &str, more: &str) {
    let text = format!(
        "folder = \"{name}\"\narchitecture = \"conv\"\n[data]\nopen = \"photographs\"\n{more}\n[training]\nepochs = 5\n\
         batch_size = 50\ndevice = \"cpu\"\noptimizer = {{ sgd = {{ momentum = 0.8 }} }}\n"
    );
    fs::write(folder.join(format!("{name}.toml")), text).unwrap();
}

#[test]
fn shares_of_a_folder_train_one_model_and_fit_one_detector() {
    if !has_mpi() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_photographs(&folder.join("photographs"));
    write_run(folder, "whole", "");
    write_run(folder, "shares", "share = true");
    let alone = diabolo(folder, &["train", "whole.toml"]).env("OMP_NUM_THREADS", "1").output().unwrap();
    assert!(alone.status.success(), "{}", String::from_utf8_lossy(&alone.stderr));
    let Output { status, stderr, .. } = mpirun(folder, 2, &["train", "shares.toml"]).output().unwrap();
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    for (found, wanted) in losses(&folder.join("shares")).iter().zip(losses(&folder.join("whole"))) {
        assert!(((found - wanted) / wanted).abs() < 1e-5, "{found}, not {wanted}");
    }

    let fit = |by: &str| {
        let arguments = ["fit", "shares", "--by", by, "--images", "photographs", "--out", "detector"];
        mpirun(folder, 2, &arguments).output().unwrap()
    };
    let Output { status, stderr, .. } = fit("pca_2");
    let message = String::from_utf8_lossy(&stderr);
    assert!(!status.success() && message.contains("found pca_2 in several processes"), "{message}");
    let Output { status, stdout, stderr } = fit("kmeans_2");
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    let printed = String::from_utf8(stdout).unwrap();
    assert_eq!(printed.matches("fitted to 41 images").count(), 1, "{printed}");
    succeed(folder, &["verify", "detector"]);
    let scores = succeed(folder, &["score", "detector", "photographs"]);
    assert!(scores.starts_with("file,score,class,anomaly\n"), "{scores}");
    assert_eq!(scores.matches(",cat,1\n").count(), 2, "{scores}");
    assert_eq!(scores.matches(",0\n").count(), 7, "{scores}");
}
