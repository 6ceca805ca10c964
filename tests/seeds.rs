//! The fuzz targets' seeds, and every input that was ever trouble, go through the doors in plain tests too.
//!
//! `DIABOLO_MAKE_SEEDS=1 cargo test --test seeds` writes the seeds again; files that it does not make stay.

#[path = "common/doors.rs"]
mod doors;

use diabolo::model::Architecture;
use flate2::Compression;
use flate2::write::GzEncoder;
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use zip::write::{SimpleFileOptions, ZipWriter};

#[test]
fn every_seed_goes_through_its_door() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("DIABOLO_MAKE_SEEDS").is_some() {
        make_seeds(root);
    }
    for (name, door) in doors::DOORS {
        let folder = tempfile::tempdir().unwrap();
        let mut seeds = Vec::from_iter(fs::read_dir(seeds_of(root, name)).unwrap().map(|seed| seed.unwrap().path()));
        seeds.sort();
        assert!(seeds.len() >= 3, "{name} has {} seeds", seeds.len());
        for seed in seeds {
            let content = fs::read(&seed).unwrap();
            let entered = std::panic::catch_unwind(|| door(folder.path(), &content));
            assert!(entered.is_ok(), "{} panics, as said above", seed.display());
        }
    }
}

fn seeds_of(root: &Path, name: &str) -> PathBuf {
    root.join("fuzz/seeds").join(name)
}

fn make_seeds(root: &Path) {
    for (name, files) in [
        ("npy", npy_seeds()),
        ("npz", npz_seeds()),
        (
            "cifar",
            vec![
                ("record", [&[3][..], &[7; 3072]].concat()),
                ("names", b"a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n".to_vec()),
                ("label", vec![9]),
            ],
        ),
        (
            "pickle",
            vec![
                ("batch", doors::pickles::batch("labels", &[3], &[7; 3072])),
                (
                    "names",
                    doors::pickles::names("label_names", &(0..10).map(|class| class.to_string()).collect::<Vec<_>>()),
                ),
                ("protocol_4", fs::read(root.join("tests/fixtures/cifar_python_batch")).unwrap()),
            ],
        ),
        ("idx", vec![("images", idx(&[3, 1, 2])), ("labels", idx(&[3])), ("gzipped", doors::gzip(&idx(&[3, 1, 2])))]),
        ("image", image_seeds()),
        ("model", model_seeds()),
        ("run", run_seeds()),
        ("detector", detector_seeds()),
        ("architecture", architecture_seeds()),
        ("archive", archive_seeds()),
    ] {
        let folder = seeds_of(root, name);
        fs::create_dir_all(&folder).unwrap();
        files.iter().for_each(|(name, content)| fs::write(folder.join(name), content).unwrap());
    }
}

type Seeds = Vec<(&'static str, Vec<u8>)>;

fn npy(descr: &str, order: &str, shape: &str, elements: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n");
    let length = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), elements].concat()
}

fn npy_seeds() -> Seeds {
    let floats = [0.0_f32, 0.5, 1.0, 0.25, 0.125, 1.0, 0.0, 0.75].map(f32::to_le_bytes).concat();
    vec![
        ("bytes", npy("|u1", "False", "(4, 2, 2, 1)", &Vec::from_iter(0..16))),
        ("colour_fortran", npy("|u1", "True", "(3, 2, 1, 3)", &Vec::from_iter(0..18))),
        ("floats", npy("<f4", "False", "(4, 1, 2)", &floats)),
        (
            "doubles_big_endian",
            npy(">f8", "False", "(4, 1, 1, 1)", &[0.0_f64, 0.1, 0.9, 1.0].map(f64::to_be_bytes).concat()),
        ),
        ("labels", npy("<i8", "False", "(4,)", &[0_i64, 1, 1, 0].map(i64::to_le_bytes).concat())),
        ("booleans", npy("|b1", "False", "(4, 1)", &[0, 1, 1, 0])),
        ("half_floats", npy("<f2", "False", "(4, 1, 2)", &[0, 0x38].repeat(8))),
        ("long_integers_channels_first", npy("<i8", "True", "(3, 3, 1, 2)", &[7, 0, 0, 0, 0, 0, 0, 0].repeat(18))),
        ("objects", npy("|O", "False", "(4,)", b"a pickle")),
    ]
}

fn npz_seeds() -> Seeds {
    let archive = |is_deflated: bool, arrays: &[(&str, Vec<u8>)]| {
        let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
        let method = if is_deflated { zip::CompressionMethod::Deflated } else { zip::CompressionMethod::Stored };
        for (name, content) in arrays {
            archive.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
            archive.write_all(content).unwrap();
        }
        archive.finish().unwrap().into_inner()
    };
    let images = npy("|u1", "False", "(4, 2, 2, 1)", &Vec::from_iter(0..16));
    let labels = npy("|u1", "False", "(4,)", &[0, 1, 1, 0]);
    let keras = [
        ("x_train.npy", images.clone()),
        ("y_train.npy", labels.clone()),
        ("x_test.npy", images.clone()),
        ("y_test.npy", labels.clone()),
    ];
    vec![
        ("stored", archive(false, &keras)),
        ("deflated", archive(true, &keras)),
        ("labelled", archive(false, &[("images.npy", images.clone()), ("labels.npy", labels)])),
        ("single", archive(false, &[("anything.npy", images)])),
    ]
}

fn idx(shape: &[u32]) -> Vec<u8> {
    let sizes = Vec::from_iter(shape.iter().flat_map(|size| size.to_be_bytes()));
    let n_elements = shape.iter().product::<u32>() as u8;
    [&[0, 0, 8, shape.len() as u8], &sizes[..], &Vec::from_iter(0..n_elements)].concat()
}

fn image_seeds() -> Seeds {
    let picture = |width: u32| {
        DynamicImage::ImageRgb8(RgbImage::from_fn(width, 9, |x, y| Rgb([(x * 25) as u8, (y * 28) as u8, 90])))
    };
    let encoded = |image: &DynamicImage, format: ImageFormat| {
        let mut file = Cursor::new(Vec::new());
        image.write_to(&mut file, format).unwrap();
        file.into_inner()
    };
    let colour = picture(10);
    let upright = {
        let exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
        let segment = [b"\xff\xe1".as_slice(), &(exif.len() as u16 + 2).to_be_bytes(), exif].concat();
        let mut jpeg = encoded(&colour, ImageFormat::Jpeg);
        jpeg.splice(2..2, segment);
        jpeg
    };
    vec![
        ("colour_jpeg", encoded(&colour, ImageFormat::Jpeg)),
        ("grey_jpeg", encoded(&DynamicImage::ImageLuma8(colour.to_luma8()), ImageFormat::Jpeg)),
        ("upright_jpeg", upright),
        ("colour_png", encoded(&colour, ImageFormat::Png)),
        ("deep_png", encoded(&DynamicImage::ImageRgba16(colour.to_rgba16()), ImageFormat::Png)),
        ("grey_png", encoded(&DynamicImage::ImageLuma8(colour.to_luma8()), ImageFormat::Png)),
        ("lossless_webp", encoded(&colour, ImageFormat::WebP)),
        ("strip_png", encoded(&picture(300), ImageFormat::Png)),
        ("transparent_png", encoded(&DynamicImage::ImageLumaA8(colour.to_luma_alpha8()), ImageFormat::Png)),
        ("bmp", encoded(&colour, ImageFormat::Bmp)),
        ("gif", encoded(&colour, ImageFormat::Gif)),
        ("tiff", encoded(&colour, ImageFormat::Tiff)),
        ("ppm", encoded(&colour, ImageFormat::Pnm)),
    ]
}

/// The first byte of a seed says which file it stands for, as the doors have it.
fn marked(which: u8, content: Vec<u8>) -> Vec<u8> {
    [vec![which], content].concat()
}

/// The files that a door itself makes before anything is damaged.
fn whole_files(door: &str, names: &[&str]) -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let (_, door) = doors::DOORS.into_iter().find(|(name, _)| *name == door).unwrap();
    door(folder.path(), &[0]);
    names.iter().map(|name| fs::read(folder.path().join("whole").join(name)).unwrap()).collect()
}

fn model_seeds() -> Seeds {
    let files = whole_files("model", &["model.json", "model.safetensors"]);
    let [json, weights] = files.try_into().unwrap();
    let sweep = r#"{"format_version": 1, "settings": {"data": "x", "n_train": 2, "n_test": 1, "classes": ["a", "b"],
        "architecture": {"name": "a", "encoder": "Linear(3072, 2)", "decoder": "Linear(2, 3072)"}, "training": {},
        "evaluations": [], "fit_on": "test"}, "rows": []}"#;
    vec![("json", marked(0, json)), ("weights", marked(1, weights)), ("sweep", marked(2, sweep.into()))]
}

fn detector_seeds() -> Seeds {
    let files = whole_files("detector", &["detector.json", "fit.safetensors"]);
    let [description, fit] = files.try_into().unwrap();
    let newer =
        String::from_utf8(description.clone()).unwrap().replace("\"format_version\": 1", "\"format_version\": 9");
    vec![
        ("description", marked(0, description)),
        ("newer", marked(0, newer.into_bytes())),
        ("half_of_a_fit", marked(1, fit[..fit.len() / 2].to_vec())),
        ("fit", marked(1, fit)),
    ]
}

fn run_seeds() -> Seeds {
    let files = whole_files("run", &["run.json", "state.safetensors", "model.json", "model.safetensors"]);
    let [run, state, json, weights] = files.try_into().unwrap();
    vec![
        ("run_ended", marked(0, run.clone())),
        ("run_going_on", marked(4, run)),
        ("state", marked(5, state)),
        ("model_json", marked(2, json)),
        ("model_weights", marked(3, weights)),
    ]
}

fn architecture_seeds() -> Seeds {
    let written = |architecture: Architecture| {
        format!("{}|{}", architecture.encoder_notation(), architecture.decoder_notation()).into_bytes()
    };
    vec![
        ("report_cnn", written(Architecture::report_cnn())),
        ("fcn", written(Architecture::fcn())),
        ("conv", written(Architecture::conv())),
        ("vae", written(Architecture::vae())),
        (
            "printed",
            b"(0): nn.Conv2d(3, 8, kernel_size=(3, 3), stride=(2, 2), padding=1) # comment\n(1): LeakyReLU(0.01)\n\
            Flatten()|Linear(8*16*16, (32 + 4) // 2) / Sigmoid() / Unflatten(1, (2, 3, 3))"
                .to_vec(),
        ),
        ("markdown", b"Linear(32\\*32\\*3, 64) / ReLU(inplace=True) / Linear(64, 8)|Linear(8, 3072) / Tanh()".to_vec()),
        (
            "upsample",
            b"MaxPool(2, 2, 0)|Upsample(scale_factor=2, mode='nearest') / BatchNorm2d(3) / Dropout(p=0.2)".to_vec(),
        ),
    ]
}

fn archive_seeds() -> Seeds {
    let member = |name: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_path(name).unwrap();
        header.set_cksum();
        let padding = content.len().next_multiple_of(512) - content.len();
        [header.as_bytes(), content, &vec![0; padding]].concat()
    };
    let mut tar = member("cifar-10-batches-bin/batches.meta.txt", b"a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n");
    for name in ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"] {
        tar.extend(member(&format!("{name}.bin"), &[&[3][..], &[7; 3072]].concat()));
    }
    tar.extend([0; 1024]);
    let mut gzipped = GzEncoder::new(Vec::new(), Compression::fast());
    gzipped.write_all(&tar).unwrap();
    let long_name = [member("././@LongLink", b"x"), member("data_batch_1.bin", b"")].concat();
    vec![
        ("gzipped", gzipped.finish().unwrap()),
        ("one_member", member("test_batch.bin", &[3])),
        ("long_name", long_name),
    ]
}
