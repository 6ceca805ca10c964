//! The commands, as a user gives them.

mod common;

use common::{RUN, diabolo, fail, left_in, succeed, trained};
use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn a_run_is_trained_shown_scored_and_ranked() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    fs::write(here.join("run.toml"), RUN).unwrap();
    let said = succeed(here, &["train", "run.toml"]);
    assert!(
        said.starts_with("small: ")
            && said.contains("2 epochs")
            && said.ends_with(&format!("in {}\n", here.join("runs/cnn").display())),
        "{said}"
    );
    let weights = fs::read(here.join("runs/cnn/model.safetensors")).unwrap();
    // A finished run is opened, not trained again.
    assert_eq!(succeed(here, &["train", "run.toml"]), said);
    assert_eq!(fs::read(here.join("runs/cnn/model.safetensors")).unwrap(), weights);

    let said = succeed(here, &["show", "runs/cnn", "--figure", "loss.svg"]);
    assert!(said.starts_with("runs/cnn, finished"), "{said}");
    assert!(fs::read_to_string(here.join("loss.svg")).unwrap().starts_with("<svg"));

    succeed(here, &["score", "runs/cnn", "scenes", "--out", "scores.csv"]);
    let table = fs::read_to_string(here.join("scores.csv")).unwrap();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!((lines[0], lines.len()), ("image,mse,anomaly", 2001));
    assert!(lines[1].starts_with("0,0.") && lines.iter().filter(|line| line.ends_with(",1")).count() == 400);
    // Two epochs taught it nothing, which is said beside the table.
    let output = diabolo(here, &["score", "runs/cnn", "scenes"]).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), table);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("\nwarning: small has learnt nothing yet: "), "{said}");

    let said = succeed(here, &["rank", "runs/cnn", "scenes", "--count", "2", "--figures", "pictures"]);
    assert_eq!(said.matches("MSE").count(), 4, "{said}");
    assert!(here.join("pictures/worst.svg").exists() && here.join("pictures/best.svg").exists());
}

#[test]
fn a_folder_of_photographs_is_scored_by_name() {
    let folder = trained(RUN);
    let here = folder.path();
    fs::create_dir_all(here.join("photographs/a, b")).unwrap();
    let save = |name: &str, side: u32, value: u8| {
        image::GrayImage::from_pixel(side, side + 7, image::Luma([value])).save(here.join("photographs").join(name))
    };
    save("white.png", 60, 255).unwrap();
    save("a, b/grey.png", 20, 128).unwrap();
    let table = succeed(here, &["score", "runs/cnn", "photographs"]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines[0], "image,mse");
    assert!(lines[1].starts_with("\"a, b/grey.png\",") && lines[2].starts_with("white.png,"), "{table}");
    assert!(succeed(here, &["rank", "runs/cnn", "photographs", "--count", "1"]).contains("white.png"));

    fs::write(here.join("photographs/broken.png"), b"not an image").unwrap();
    let message = fail(here, 1, &["score", "runs/cnn", "photographs", "--out", "scores.csv"]);
    assert!(message.contains("broken.png: found an image that cannot be read"), "{message}");
    assert_eq!(left_in(here), ["photographs", "run.toml", "runs"], "no table, and none in the making");
}

#[test]
fn images_of_held_out_classes_are_the_anomalies_of_class_folders() {
    let folder = trained(RUN);
    let here = folder.path();
    for (class, value) in [("boat", 10_u8), ("star", 30)] {
        fs::create_dir_all(here.join("photographs").join(class)).unwrap();
        let image = image::GrayImage::from_pixel(32, 32, image::Luma([value]));
        image.save(here.join("photographs").join(class).join("1.png")).unwrap();
    }
    let table = succeed(here, &["score", "runs/cnn", "photographs"]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!((lines.len(), lines[0]), (3, "image,mse,anomaly"), "{table}");
    assert!(lines[1].starts_with("boat/1.png,") && lines[1].ends_with(",1"), "{table}");
    assert!(lines[2].starts_with("star/1.png,") && lines[2].ends_with(",0"), "{table}");
}

/// Linux allows any bytes in names but a slash and a zero.
#[cfg(target_os = "linux")]
#[test]
fn names_that_are_not_utf8_are_two_rows() {
    use std::os::unix::ffi::OsStrExt;
    let folder = trained(RUN);
    let here = folder.path();
    fs::create_dir(here.join("photographs")).unwrap();
    for (name, value) in [(b"caf\xe8.png", 0), (b"caf\xe9.png", 255)] {
        let path = here.join("photographs").join(std::ffi::OsStr::from_bytes(name));
        image::GrayImage::from_pixel(32, 32, image::Luma([value]))
            .write_to(&mut fs::File::create(path).unwrap(), image::ImageFormat::Png)
            .unwrap();
    }
    let table = succeed(here, &["score", "runs/cnn", "photographs"]);
    let names: Vec<&str> = table.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(names, ["caf\\xE8.png", "caf\\xE9.png"]);
}

#[test]
fn a_table_of_one_kind_says_why_there_is_no_auc() {
    let folder = trained(RUN);
    let here = folder.path();
    // Records of CIFAR-10, which has none of the classes that were held out.
    fs::write(here.join("cats.bin"), [3; 5 * 3073]).unwrap();
    let output = common::diabolo(here, &["score", "runs/cnn", "cats.bin"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("5 images, mean MSE ") && said.contains(", no AUC: "), "{said}");
}

#[test]
fn a_folder_with_parts_is_scored_without_masks_and_training_images() {
    let folder = trained(RUN);
    let here = folder.path();
    let names = ["train/good/1", "test/good/2", "test/broken/3", "ground_truth/broken/3_mask"];
    for (name, value) in names.iter().zip([10_u8, 20, 30, 40]) {
        let path = here.join("bottle").join(name).with_extension("png");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        image::GrayImage::from_pixel(32, 32, image::Luma([value])).save(path).unwrap();
    }
    let output = common::diabolo(here, &["score", "runs/cnn", "bottle"]).output().unwrap();
    let (table, said) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!((lines.len(), lines[0]), (3, "image,mse,anomaly"), "{table}{said}");
    assert!(lines[1].starts_with("test/broken/3.png,") && lines[1].ends_with(",1"), "{table}");
    assert!(lines[2].starts_with("test/good/2.png,") && lines[2].ends_with(",0"), "{table}");
    for note in ["the 1 images to train on are left out", "left out: ground_truth (1 images)", ", AUC "] {
        assert!(said.contains(note), "{note} is missing in {said}");
    }
}

/// A device that is always full.
#[cfg(target_os = "linux")]
#[test]
fn a_table_that_does_not_fit_on_the_disk_is_an_error_that_names_it() {
    let folder = trained(RUN);
    let here = folder.path();
    let message = fail(here, 1, &["score", "runs/cnn", "scenes", "--out", "no/such/folder/scores.csv"]);
    assert!(message.contains("saving no/such/folder/scores.csv: No such file"), "{message}");
    let full = Command::new(env!("CARGO_BIN_EXE_diabolo"))
        .args(["score", "runs/cnn", "scenes"])
        .current_dir(here)
        .stdout(fs::File::options().write(true).open("/dev/full").unwrap())
        .output()
        .unwrap();
    let message = String::from_utf8_lossy(&full.stderr).into_owned();
    assert!(!full.status.success() && message.contains("writing to standard output"), "{message}");
    assert!(message.contains("No space left"), "{message}");
}

#[test]
fn a_sweep_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let sweep = RUN.replace("\nhold_out = [\"boat\", \"car\"]\nfirst = 256", "");
    let sweep = sweep.replace("[data]", "pairs = [[\"boat\", \"car\"]]\n[data]").replace("epochs = 2", "epochs = 1");
    fs::write(folder.path().join("sweep.toml"), sweep.replace("runs/cnn", "runs")).unwrap();
    let said = succeed(folder.path(), &["sweep", "sweep.toml"]);
    assert!(said.contains("1 pairs of held-out classes") && said.contains("mean AUC"), "{said}");
    assert_eq!(succeed(folder.path(), &["sweep", "sweep.toml"]), said);
}

#[test]
fn mistakes_are_answered_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let train = |text: &str| {
        fs::write(here.join("run.toml"), text).unwrap();
        fail(here, 1, &["train", "run.toml"])
    };
    assert!(train(&RUN.replace("epochs", "epoch")).contains("did you mean `epochs`?"));
    assert!(train(&RUN.replace("epochs = 2", "epochs = 0")).contains("setting epochs: found 0, wanted 1 or more"));
    assert!(train(&RUN.replace("boat", "boot")).contains("boat"));
    assert!(train(&RUN.replace("\"scenes\"", "\"scenery\"")).contains("did you mean scenes?"));
    assert!(fail(here, 1, &["train", "nowhere.toml"]).contains("reading nowhere.toml"));
    assert!(fail(here, 1, &["show", "nowhere"]).contains("nowhere/run.json"));
    assert!(fail(here, 2, &["shwo", "nowhere"]).contains("show"));

    fs::write(here.join("run.toml"), RUN).unwrap();
    succeed(here, &["train", "run.toml"]);
    fs::create_dir(here.join("empty")).unwrap();
    assert!(fail(here, 1, &["score", "runs/cnn", "empty"]).contains("found no image files"));
    assert!(fail(here, 1, &["rank", "runs/cnn", "scenes", "--count", "0"]).contains("setting k: found 0"));
    let changed = train(&RUN.replace("epochs = 2", "epochs = 2\nseed = 9"));
    assert!(changed.contains("seed 0 there, and 9 here"), "{changed}");
    let fewer = train(&RUN.replace("epochs = 2", "epochs = 1"));
    assert!(fewer.contains("2 epochs done there, and epochs 1 here"), "{fewer}");
    let json = here.join("runs/cnn/run.json");
    let text = fs::read_to_string(&json).unwrap();
    fs::write(&json, text.replace("\"format_version\": 1", "\"format_version\": 7")).unwrap();
    assert!(fail(here, 1, &["show", "runs/cnn"]).contains("found format 7"));
}

#[test]
fn completions_know_the_commands() {
    let script = succeed(Path::new("."), &["completions", "bash"]);
    for command in ["train", "score", "rank", "sweep", "show"] {
        assert!(script.contains(command), "{command}");
    }
}

/// Far more images than a part has, by as many names for one file.
#[cfg(target_os = "linux")]
#[test]
fn a_hundred_thousand_images_need_little_memory() {
    const N_IMAGES: usize = 100_000;
    const MAX_MEMORY_KB: u64 = 700_000;
    let folder = trained(RUN);
    let here = folder.path();
    fs::create_dir(here.join("images")).unwrap();
    for index in 0..N_IMAGES {
        // A file system allows a file only so many names.
        let original = here.join(format!("{}.png", index / 10_000));
        if index % 10_000 == 0 {
            image::RgbImage::from_fn(32, 32, |x, y| image::Rgb([x as u8 * 8, y as u8 * 8, 99]))
                .save(&original)
                .unwrap();
        }
        fs::hard_link(&original, here.join(format!("images/{index:06}.png"))).unwrap();
    }
    let mut child = Command::new(env!("CARGO_BIN_EXE_diabolo"))
        .args(["score", "runs/cnn", "images", "--out", "scores.csv"])
        .current_dir(here)
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak_kb = 0;
    let ended = loop {
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        let status = fs::read_to_string(&status).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak_kb = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0).max(peak_kb);
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    assert!(ended.success());
    assert!(peak_kb > 50_000, "the memory was not measured: {peak_kb} kB");
    assert!(peak_kb < MAX_MEMORY_KB, "{peak_kb} kB");
    assert_eq!(fs::read_to_string(here.join("scores.csv")).unwrap().lines().count(), N_IMAGES + 1);
}

#[test]
fn a_detector_is_fitted_verified_and_scores_as_the_library_does() {
    let folder = trained(RUN);
    let here = folder.path();
    let good = here.join("good");
    fs::create_dir(&good).unwrap();
    for number in 0..40u8 {
        let grey = image::GrayImage::from_fn(32, 32, |x, y| image::Luma([number + (x * 3 + y * 2) as u8]));
        image::DynamicImage::from(grey).into_rgb8().save(good.join(format!("{number:02}.png"))).unwrap();
    }
    let fit =
        ["fit", "runs/cnn", "--by", "kmeans_3", "--false-alarms", "0.05", "--calibrate", "good", "--out", "detector"];
    let said = succeed(here, &fit);
    assert!(
        said.contains("K-means distance, k = 3, fitted to") && said.contains("at most 5 % false alarms by 40"),
        "{said}"
    );
    assert!(succeed(here, &["verify", "detector"]).contains("8 images score as they did at the fit, digit for digit"));

    succeed(here, &["score", "detector", "scenes", "--out", "scores.csv"]);
    let table = fs::read_to_string(here.join("scores.csv")).unwrap();
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(lines[0], ["file", "score", "p_value", "is_anomaly", "class", "anomaly"]);
    assert_eq!(lines.len(), 2001);
    let detector = diabolo::prelude::Detector::open(here.join("detector")).unwrap();
    let data = diabolo::prelude::open("scenes").unwrap().hold_out(&["boat", "car"]).unwrap();
    // The command takes 1024 images at a time.
    let first = detector.detect(&data.test().first(1024).unwrap()).unwrap();
    for (index, line) in lines[1..1025].iter().enumerate() {
        assert_eq!(line[1].parse::<f64>().unwrap(), first.scores.values[index], "digit for digit");
        assert_eq!(line[3] == "1", first.is_anomaly[index]);
        assert_eq!(line[5] == "1", ["boat", "car"].contains(&line[4]));
    }
    assert_eq!(succeed(here, &["score", "detector", "scenes"]), table);
    assert_eq!(succeed(here, &["rank", "detector", "scenes", "--count", "3"]).lines().count(), 8);

    let message = fail(here, 2, &["fit", "runs/cnn", "--by", "kmeans", "--out", "other"]);
    assert!(message.contains("kmeans_3"), "{message}");
    let message = fail(
        here,
        1,
        &["fit", "runs/cnn", "--by", "pca_2", "--false-alarms", "0.01", "--calibrate", "good", "--out", "other"],
    );
    assert!(message.contains("give 99 calibration images") && !here.join("other").exists(), "{message}");
    let message = fail(here, 1, &["verify", "runs/cnn"]);
    assert!(message.contains("opening runs/cnn/detector.json"), "{message}");
}

#[test]
fn a_folder_like_mvtec_ads_goes_from_training_to_scores() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    diabolo::data::write_surfaces(here.join("parts")).unwrap();
    let run = r#"
        folder = "runs/parts"
        architecture = { name = "parts", encoder = "Linear(12288, 24)", decoder = "Linear(24, 12288) / Tanh()" }
        data = { open = "parts", options = { size_px = 64 } }
        training = { epochs = 4 }
    "#;
    fs::write(here.join("parts.toml"), run).unwrap();
    succeed(here, &["train", "parts.toml"]);
    let mut fit = vec!["fit", "runs/parts", "--by", "largest_error", "--images", "parts", "--out", "detector"];
    fit.extend(["--false-alarms", "0.02", "--calibrate", "parts/test/good"]);
    let said = succeed(here, &fit);
    assert!(said.contains("largest error of the map, fitted to 800 images"), "{said}");
    assert!(said.contains("at most 2 % false alarms by 200 normal images"), "{said}");

    let table = succeed(here, &["score", "detector", "parts"]);
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(lines[0], ["file", "score", "p_value", "is_anomaly", "class", "anomaly"]);
    assert_eq!(lines.len(), 381);
    let detector = diabolo::prelude::Detector::open(here.join("detector")).unwrap();
    let data = diabolo::data::open(here.join("parts")).unwrap();
    let found = detector.detect(data.test()).unwrap();
    for (index, line) in lines[1..].iter().enumerate() {
        assert_eq!(line[1].parse::<f64>().unwrap(), found.scores.values[index], "digit for digit");
        assert!(line[0].contains(line[4]), "{line:?}");
        assert_eq!(line[5] == "1", line[4] != "good");
    }
    let n_false_alarms = lines[1..].iter().filter(|line| line[4] == "good" && line[3] == "1").count();
    assert!(
        (3..=5).contains(&n_false_alarms),
        "{n_false_alarms}: 2 % of the 200 images of the calibration, but for rounding"
    );
    assert!(succeed(here, &["rank", "detector", "parts", "--count", "3"]).lines().count() == 8);
}
