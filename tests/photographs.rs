//! Folders of image files: their layouts, what is left out, and files that cannot be read.
//!
//! The tests on real images run where `DIABOLO_DATA` names a folder with `cifar-10-batches-bin/`.

mod common;
#[path = "common/pictures.rs"]
mod pictures;

use common::{check_message, folder, npy, real_data};
use diabolo::data::{ImageStream, Images, OpenOptions, open, open_with};
use diabolo::model::Architecture;
use diabolo::ndarray::Axis;
use image::{GrayImage, ImageFormat, Luma, Rgb, RgbImage};
use pictures::{bytes_of, check_trains_and_ranks};
use std::fs;
use std::path::Path;

/// Saves a picture of one colour.
fn save_colour(path: &Path, width_px: u32, height_px: u32, colour: [u8; 3]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    RgbImage::from_pixel(width_px, height_px, Rgb(colour)).save(path).unwrap();
}

#[test]
fn shares_are_all_images_and_read_none_of_each_others() {
    let folder = tempfile::tempdir().unwrap();
    let path =
        |number: u8| folder.path().join(if number < 12 { "hen" } else { "owl" }).join(format!("{number:02}.png"));
    (0..21).for_each(|number| save_colour(&path(number), 8, 8, [number, 0, 0]));
    let share = |rank| open_with(folder.path(), OpenOptions::default().share(rank, 3));
    let mut numbers = Vec::new();
    for split in (0..3).map(|rank| share(rank).unwrap()) {
        assert_eq!(split.train().len() + split.test().len(), 7);
        assert_eq!(split.train().class_names().unwrap(), ["hen", "owl"]);
        let of_pixel = |pixel: f32| ((pixel + 1.0) * 127.5).round() as u8;
        numbers.extend(
            [split.train(), split.test()].iter().flat_map(|part| part.iter().map(|it| it[[0, 0, 0]])).map(of_pixel),
        );
    }
    numbers.sort_unstable();
    assert_eq!(numbers, Vec::from_iter(0..21));

    // Its size can still be read.
    let picture = fs::read(path(5)).unwrap();
    fs::write(path(5), &picture[..picture.len() * 2 / 3]).unwrap();
    assert_eq!((0..3).filter(|&rank| share(rank).is_err()).count(), 1);
    let too_many = open_with(folder.path(), OpenOptions::default().share(2, 22));
    check_message(too_many, &["fewer image files than processes", "start fewer"]);
    check_message(open_with("scenes", OpenOptions::default().share(2, 2)), &["share: found 2 of 2"]);
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
    let parts =
        [("train", sorted(cifar.train().first(300).unwrap())), ("test", sorted(cifar.test().first(100).unwrap()))];
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
        for ((_, wanted), images) in parts.iter().zip([data.train(), data.test()]) {
            assert!(images.to_array() == wanted.to_array(), "{}", data.description());
        }
        if data.name() != "homework" {
            assert_eq!(data.train().class_names(), cifar.train().class_names());
            assert_eq!(data.test().class_indices(), parts[1].1.class_indices());
        }
        check_trains_and_ranks(&data, Architecture::conv());
    }
}

#[test]
fn cifar10_as_jpeg_files_is_the_batches_within_what_decoders_differ_by() {
    let Some(folder) = real_data().filter(|folder| folder.join("folders/test").is_dir()) else { return };
    let batches = open("cifar10").unwrap().test().clone();
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
    assert_eq!((data.train().len(), data.test().len(), data.train().shape()), (400, 100, [3, 32, 32]));
    let description = data.description();
    for part in [
        "scaled until they cover 32 x 32",
        "left out: 1 files that are no images (1 .txt)",
        "20 % of the images drawn",
        "seed 0",
    ] {
        assert!(description.contains(part), "{part} is missing in {description}");
    }
    // The picture is a ramp from left to right in red; its middle is kept.
    let image = data.train().image(0).unwrap();
    assert!(image[[0, 16, 2]] < image[[0, 16, 16]] && image[[0, 16, 16]] < image[[0, 16, 29]]);
    check_trains_and_ranks(&data, Architecture::conv());
    check_message(data.hold_out(&["cat"]), &["without classes"]);

    let larger = open_with(folder.path(), OpenOptions::default().size_px(64).test_share(0.5).seed(3)).unwrap();
    assert_eq!((larger.train().len(), larger.test().len(), larger.train().shape()), (250, 250, [3, 64, 64]));

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
    assert_eq!((data.train().shape(), data.train().len(), data.test().len()), ([3, 16, 24], 32, 8), "their own size");
    assert_eq!(data.train().class_names().unwrap(), ["Cat", "dog"]);
    assert_eq!(data.test().class_indices().unwrap(), [0, 0, 0, 0, 1, 1, 1, 1]);
    let mut seen =
        Vec::from_iter(bytes_of(data.train()).axis_iter(Axis(0)).map(|image| (image[[1, 0, 0]], image[[0, 0, 0]])));
    seen.extend(bytes_of(data.test()).axis_iter(Axis(0)).map(|image| (image[[1, 0, 0]], image[[0, 0, 0]])));
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 40, "no image is lost or comes twice");

    let with_seed = |seed| bytes_of(open_with(folder.path(), OpenOptions::default().seed(seed)).unwrap().test());
    assert_eq!(with_seed(0), bytes_of(data.test()));
    assert_ne!(with_seed(0), with_seed(1));
    assert_eq!(data.hold_out(&["dog"]).unwrap().train().len(), 16);
}

#[test]
fn classes_that_only_the_test_folder_has_are_anomalies() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["Train/good/1.png", "Train/good/2.png", "Test/good/3.png", "Test/broken/4.png", "masks/broken/4.png"] {
        save_colour(&folder.path().join(name), 8, 8, [1, 2, 3]);
    }
    let data = open(folder.path()).unwrap();
    assert_eq!((data.train().len(), data.held_out()), (2, &["broken".to_string()][..]));
    assert_eq!(data.test().anomalies(), Some(&[true, false][..]));
}

#[test]
fn grey_photographs_stay_grey_and_one_in_colour_makes_all_colour() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..5_u8 {
        GrayImage::from_pixel(6, 6, Luma([number])).save(folder.path().join(format!("{number}.png"))).unwrap();
    }
    assert_eq!(open(folder.path()).unwrap().train().shape(), [1, 6, 6]);
    save_colour(&folder.path().join("colour.png"), 6, 6, [1, 2, 3]);
    assert_eq!(open(folder.path()).unwrap().train().shape(), [3, 6, 6]);
}

#[test]
fn photographs_beyond_the_limits_and_in_the_wrong_place_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a/1.png", "a/2.png", "b/3.png", "b/4.png"] {
        save_colour(&folder.path().join(name), 200, 100, [1, 2, 3]);
    }
    let check = |options: OpenOptions, parts: &[&str]| check_message(open_with(folder.path(), options), parts);
    let default = OpenOptions::default;
    assert_eq!(open(folder.path()).unwrap().train().shape(), [3, 32, 32], "larger than 128 pixels");
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
    fs::remove_dir_all(folder.path().join("test")).unwrap();
    assert_eq!(open(folder.path()).unwrap().train().class_names().unwrap(), ["a", "b", "train"], "a class");
}

// Layouts.

/// Image files of these names, all different.
fn picture_files(names: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, number) in names.iter().zip(0..) {
        save_colour(&folder.path().join(name), 8, 8, [40_u8.wrapping_mul(number), 200, 10]);
    }
    folder
}

const BOTTLE: [&str; 6] = [
    "train/good/1.png",
    "train/good/2.png",
    "test/good/3.png",
    "test/broken/4.png",
    "test/broken/5.png",
    "ground_truth/broken/4_mask.png",
];

#[test]
fn a_category_of_mvtec_is_scored_without_its_masks_and_training_images() {
    let bottle = picture_files(&BOTTLE);
    let data = open(bottle.path()).unwrap();
    assert_eq!((data.train().len(), data.test().len(), data.held_out()), (2, 3, &["broken".to_string()][..]));
    assert!(data.origin().contains("left out: ground_truth (1 images)"), "{}", data.origin());

    let mut stream = ImageStream::open(bottle.path(), [3, 8, 8]).unwrap();
    assert_eq!(stream.notes(), ["the 2 images to train on are left out", "left out: ground_truth (1 images)"]);
    let part = stream.next().unwrap().unwrap();
    assert_eq!(part.names, ["test/broken/4.png", "test/broken/5.png", "test/good/3.png"]);
    assert_eq!(part.images.anomalies(), Some(&[true, true, false][..]));
    assert_eq!(part.images.class_of(2), Some("good"));
}

#[test]
fn all_of_mvtec_is_one_data_set_whose_classes_are_the_categories() {
    let names = ["bottle", "cable"].map(|category| BOTTLE.map(|name| format!("{category}/{name}"))).concat();
    let whole = picture_files(&Vec::from_iter(names.iter().map(String::as_str)));
    let data = open(whole.path()).unwrap();
    assert_eq!((data.train().len(), data.test().len(), data.held_out().len()), (4, 6, 0));
    assert_eq!(data.test().class_names().unwrap(), ["bottle", "cable"]);
    assert_eq!(data.test().anomalies().unwrap().iter().filter(|&&is_anomaly| is_anomaly).count(), 4);
    for part in ["2 categories, each a class", "left out: */ground_truth (2 images)"] {
        assert!(data.origin().contains(part), "{part} is missing in {}", data.origin());
    }
    let held = data.hold_out(&["cable"]).unwrap();
    assert_eq!(held.test().anomalies().unwrap().iter().filter(|&&is_anomaly| is_anomaly).count(), 5, "broken stays");
}

#[test]
fn what_is_said_about_other_parts_and_labels_of_one_kind() {
    for (names, n_test, said) in [
        (&["train/a/1.png", "train/a/2.png", "valid/a/3.png"][..], 1, "valid is the test part"),
        (&["train/a/1.png", "train/a/2.png", "valid/a/3.png", "test/a/4.png"], 1, "left out: valid (1 images)"),
        (
            &["train/good/1.png", "train/good/2.png", "test/broken/3.png"],
            1,
            "put normal ones into the test part's good",
        ),
        (&["train/good/1.png", "train/good/2.png", "test/good/3.png"], 1, "no test image is an anomaly"),
        (&["test/a/1.png", "test/a/2.png", "test/b/3.png", "test/b/4.png", "test/b/5.png"], 1, "all of test"),
    ] {
        let data = open(picture_files(names).path()).unwrap();
        assert_eq!(data.test().len(), n_test, "{names:?}");
        assert!(data.origin().contains(said), "{said} is missing in {}", data.origin());
    }
    let capitals = picture_files(&["train/Good/1.png", "train/Good/2.png", "test/good/3.png", "test/broken/4.png"]);
    check_message(open(capitals.path()), &["Good in training and good in testing", "are they the same class?"]);
    check_message(ImageStream::open(capitals.path(), [3, 8, 8]), &["Good in training and good in testing"]);
    let composed = picture_files(&["train/Caf\u{e9}/1.png", "train/Caf\u{e9}/2.png", "test/Cafe\u{301}/3.png"]);
    assert!(open(composed.path()).unwrap().held_out().is_empty());
}

#[cfg(unix)]
#[test]
fn links_are_images_and_names_that_are_no_utf_8_stay_apart() {
    use std::ffi::OsStr;
    use std::os::unix::{ffi::OsStrExt, fs::symlink};
    let real = picture_files(&["cat/1.png", "cat/2.png", "cat/3.png", "dog/4.png", "dog/5.png"]);
    let links = tempfile::tempdir().unwrap();
    symlink(real.path().join("cat"), links.path().join("cat")).unwrap();
    fs::create_dir(links.path().join("dog")).unwrap();
    for name in ["4.png", "5.png", "6.png"] {
        symlink(real.path().join("dog").join(name), links.path().join("dog").join(name)).unwrap();
    }
    let data = open(links.path()).unwrap();
    assert_eq!(data.train().class_names().unwrap(), ["cat", "dog"]);
    assert_eq!(data.train().len() + data.test().len(), 5);
    assert!(data.origin().contains("1 links that lead nowhere"), "{}", data.origin());
    assert_eq!(ImageStream::open(links.path(), [3, 8, 8]).unwrap().n_images(), 5);

    for (from, to) in [("cat", &b"caf\xe9"[..]), ("dog", b"caf\xe8")] {
        fs::rename(real.path().join(from), real.path().join(OsStr::from_bytes(to))).unwrap();
    }
    assert_eq!(open(real.path()).unwrap().train().class_names().unwrap(), ["caf\\xE8", "caf\\xE9"]);
    let part = ImageStream::open(real.path(), [3, 8, 8]).unwrap().next().unwrap().unwrap();
    assert_eq!((part.names[0].as_str(), part.names[2].as_str()), ("caf\\xE8/4.png", "caf\\xE9/1.png"));
}

// Files that cannot be read.

#[test]
fn all_files_that_cannot_be_read_are_named_at_once_and_may_be_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..30_u8 {
        let path = folder.path().join(format!("{}/{number:02}.png", ["cat", "dog"][usize::from(number % 2)]));
        save_colour(&path, 8, 8, [number, 0, 200]);
    }
    let png = fs::read(folder.path().join("cat/00.png")).unwrap();
    let broken: [(&str, &[u8]); 4] = [
        ("cat/02.png", b""),
        ("cat/04.png", b"<html>"),
        ("dog/01.png", b"GIF89a"),
        ("dog/03.png", &png[..png.len() / 2]),
    ];
    broken.iter().for_each(|(name, content)| fs::write(folder.path().join(name), content).unwrap());
    let names = broken.map(|(name, _)| name);
    check_message(open(folder.path()), &[&["4 of 30 that cannot be read", "skip_broken(true)"], &names[..]].concat());
    let skipping = OpenOptions::default().skip_broken(true);
    let data = open_with(folder.path(), skipping.clone()).unwrap();
    assert_eq!(data.train().len() + data.test().len(), 26);
    assert!(data.origin().contains("4 files that cannot be read are passed over"), "{}", data.origin());
    for images in [data.train(), data.test()] {
        for (index, image) in bytes_of(images).axis_iter(Axis(0)).enumerate() {
            let wanted = ["cat", "dog"][usize::from(image[[0, 0, 0]] % 2)];
            assert_eq!(images.class_of(index), Some(wanted), "labels stay with their images");
        }
    }
    let stream = ImageStream::open_with(folder.path(), [3, 8, 8], skipping).unwrap();
    let names = Vec::from_iter(stream.flat_map(|part| part.unwrap().names));
    assert!(names.len() == 26 && !names.contains(&"cat/02.png".to_string()), "{names:?}");

    for number in 0..30_u8 {
        fs::write(folder.path().join(format!("{}/{number:02}.png", ["cat", "dog"][usize::from(number % 2)])), "")
            .unwrap();
    }
    check_message(open_with(folder.path(), OpenOptions::default().skip_broken(true)), &["30 of 30", "and more"]);
}

#[test]
fn photographs_that_are_cut_off_or_not_fetched_are_errors() {
    let noise = RgbImage::from_fn(96, 96, |x, y| Rgb([((x * 37) ^ (y * 91)) as u8, (x * y) as u8, (x + 3 * y) as u8]));
    for (name, format) in [
        ("3.jpg", ImageFormat::Jpeg),
        ("3.png", ImageFormat::Png),
        ("3.webp", ImageFormat::WebP),
        ("3.bmp", ImageFormat::Bmp),
        ("3.tif", ImageFormat::Tiff),
        ("3.gif", ImageFormat::Gif),
        ("3.ppm", ImageFormat::Pnm),
    ] {
        let folder = picture_files(&["1.png", "2.png"]);
        let path = folder.path().join(name);
        noise.save_with_format(&path, format).unwrap();
        assert!(open(folder.path()).is_ok(), "{name}");
        let whole = fs::read(&path).unwrap();
        for percent in [10, 50, 90] {
            fs::write(&path, &whole[..whole.len() * percent / 100]).unwrap();
            check_message(open(folder.path()), &[name, "cannot be read", "remove it"]);
            check_message(
                ImageStream::open(folder.path(), [3, 8, 8]).unwrap().next().unwrap(),
                &[name, "cannot be read"],
            );
        }
    }

    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 12345\n";
    let folder = picture_files(&["1.png", "2.png"]);
    fs::write(folder.path().join("3.png"), pointer).unwrap();
    check_message(open(folder.path()), &["3.png", "a Git LFS pointer", "git lfs pull"]);
    for name in ["a.npy", "a.npz", "a.tar.gz"] {
        fs::write(folder.path().join(name), pointer).unwrap();
        check_message(open(folder.path().join(name)), &[name, "a Git LFS pointer", "git lfs pull"]);
    }
}

#[test]
fn pixels_that_use_little_of_their_range_are_noted() {
    let mask = npy("|u1", false, &[5, 2, 2], &[0, 1, 1, 0].repeat(5));
    let folder = folder(&[("mask.npy", mask)]);
    let data = open(folder.path().join("mask.npy")).unwrap();
    assert!(data.origin().contains("pixels use only 0 to 1 of 0..=255"), "{}", data.origin());
    let usual = open(picture_files(&["1.png", "2.png", "3.png"]).path()).unwrap();
    assert!(!usual.origin().contains("pixels use only"), "{}", usual.origin());
    // A 12-bit camera's values in 16-bit files.
    let camera = tempfile::tempdir().unwrap();
    for number in 0..3 {
        let deep = image::ImageBuffer::from_fn(8, 8, |x, y| Luma([((x * 500 + y * 7 + number) as u16).min(4095)]));
        deep.save(camera.path().join(format!("{number}.png"))).unwrap();
    }
    let data = open(camera.path()).unwrap();
    assert!(data.origin().contains("pixels use only 0 to 14 of 0..=255"), "{}", data.origin());
}
