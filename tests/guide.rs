//! The Rust lines of README.md and docs/GUIDE.md: compiled and run here, and compared with the pages.

#![expect(clippy::print_stdout, reason = "a value as a cell's last line prints itself in a terminal")]

use diabolo::figure::picture;
use diabolo::prelude::*;
use std::path::Path;

/// Some of a data set's images, in place of the thousands that a reader's training would take minutes for.
fn some(data: &Split, n_train: usize) -> diabolo::Result<Split> {
    let some = Split::new(data.name(), data.train_of_all_classes().first(n_train)?, data.test().first(100)?)?;
    let held_out: Vec<&str> = data.held_out().iter().map(String::as_str).collect();
    if held_out.is_empty() { Ok(some) } else { some.hold_out(&held_out) }
}

/// Photographs of several sizes beside a folder of notebooks, which is where the lines are run.
fn go_where_notebooks_are(folder: &Path) -> diabolo::Result<()> {
    for name in ["notebooks", "photographs", "runs"] {
        std::fs::create_dir(folder.join(name)).unwrap();
    }
    for n in 0..60 {
        let photograph = diabolo::ndarray::Array3::from_shape_fn((3, 70 + n, 90), |(c, y, x)| {
            ((n + 1) as f32 * (y as f32 / 9.0) + (c * x) as f32 / 7.0).sin()
        });
        picture(&photograph, 1, "waves")?.save(folder.join("photographs").join(format!("{n}.png")))?;
    }
    std::env::set_current_dir(folder.join("notebooks")).unwrap();
    Ok(())
}

#[rustfmt::skip] // Lines are written as on the pages.
#[test]
fn the_lines_of_the_pages_run() -> diabolo::Result<()> {
    let folder = tempfile::tempdir().unwrap();
    go_where_notebooks_are(folder.path())?;

    // README.md
    let data = open("scenes")?.hold_out(&["moon", "mushroom"])?;
    let (data, more) = (some(&data, 64)?, some(&data, 1280)?);
    let cnn = train(Architecture::conv(), &data, Training::default().epochs(5))?;
    let data = more;
    let fcn = train(Architecture::fcn(), &data, Training::report_fcn().epochs(20))?;
    compare(&[&cnn, &fcn], &data, 2)?;
    score_table(&cnn, &data, &[Reconstruction, KMeans(3), Pca(2)])?;
    latent_map(&[&cnn, &fcn], data.test(), Tsne::seed(7))?;

    let data = open_with("../photographs", OpenOptions::default().size_px(64))?;
    let model = train(Architecture::conv(), &data, Training::default())?;
    assert_eq!((data.train().len(), model.plan().image_shape), (48, [3, 64, 64]));
    let model = train(Architecture::fcn().adapted_to(data.train().shape())?, &data, Training::default())?;
    assert_eq!(model.plan().image_shape, [3, 64, 64]);

    let mine = Architecture::parse(
        "Conv2d(3, 12, 4, 2, 1) / ReLU() / Linear(12*16*16, 32)",
        "Linear(32, 12*16*16) / ReLU() / ConvTranspose2d(12, 3, 4, 2, 1) / Tanh()")?;
    assert_eq!(mine.plan([3, 32, 32])?.n_latents(), 32);

    // docs/GUIDE.md: the five-minute tour
    let data = open("scenes")?.hold_out(&["moon", "mushroom"])?;
    let data = some(&data, 64)?;
    assert!(data.test().anomalies().is_some());
    let conv = train(Architecture::conv(), &data, Training::default().epochs(5))?;
    conv.rank(data.test())?.worst(9)?;
    compare(&[&conv], &data, 2)?;
    score_table(&conv, &data, &[Reconstruction, KMeans(3), Pca(2)])?;
    compare(&[&conv], &data, 2)?.save("pairs.svg")?;
    conv.save("conv")?;
    let trained = conv;
    let conv = Autoencoder::open("conv")?;
    assert_eq!(conv.score(data.test())?, trained.score(data.test())?);

    // Your own data
    let data = open("../photographs")?;
    assert_eq!(data.train().shape(), [3, 32, 32]);
    let data = open_with("../photographs", OpenOptions::default().size_px(64).seed(7))?;
    let model = train(Architecture::conv(), &data, Training::default().epochs(100))?;
    compare(&[&model], &data, 2)?;
    let is_anomaly: Vec<bool> = (0..data.test().len()).map(|index| index < 3).collect();
    let data = Split::new("mine", data.train().clone(), data.test().clone().with_anomalies(is_anomaly)?)?;
    assert!(model.score(data.test())?.auc().is_ok());
    model.rank(data.test())?;

    // Your own network
    let mine = Architecture::parse(
        "Conv2d(3, 12, 4, 2, 1) / ReLU() / Linear(12*16*16, 32)",
        "Linear(32, 12*16*16) / ReLU() / ConvTranspose2d(12, 3, 4, 2, 1) / Tanh()")?.named("mine");
    let grey = Architecture::fcn().adapted_to([1, 28, 28])?;
    assert_eq!(grey.plan([1, 28, 28])?.n_latents(), 3);
    let data = some(&open("scenes")?, 64)?;
    let settings = Training { optimizer: Optimizer::Sgd { momentum: 0.8 }, learning_rate: 1e-2, ..Training::default() };
    let settings = settings.epochs(50).batch_size(64).seed(7).max_seconds(600.0);
    let model = train(mine, &data, settings)?;
    assert_eq!((model.name(), model.history().epochs.len()), ("mine", 50));

    // A long training
    let data = Split::new("a few", data.train().first(16)?, data.test().first(16)?)?;
    let cnn = train_in("../runs/cnn", Architecture::conv(), &data, Training::default().epochs(200))?;
    assert!(Run::open("../runs/cnn")?.is_finished && cnn.history().epochs.len() == 200);
    let training = BackgroundTraining::start(Architecture::fcn(), &data, Training::report_fcn().epochs(200))?;
    println!("{training}");
    let fcn = training.join()?;
    assert_eq!(fcn.history().epochs.len(), 200);

    // A GPU
    Device::Auto.describe()?;
    Ok(())
}

#[test]
fn every_line_of_the_pages_is_run_above() {
    let run: Vec<&str> = include_str!("guide.rs").lines().map(as_code).collect();
    for (page, text) in [("README.md", include_str!("../README.md")), ("GUIDE.md", include_str!("../docs/GUIDE.md"))] {
        let blocks: Vec<&str> = text.split("```rust\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
        assert!(blocks.len() >= 3, "{page} has {} blocks of Rust", blocks.len());
        for line in blocks.iter().flat_map(|block| block.lines()).map(as_code) {
            // A command of the kernel, and the name of a variable alone, which shows it.
            let is_shown =
                line.starts_with(":dep ") || line.chars().all(|letter| letter.is_alphanumeric() || letter == '_');
            assert!(is_shown || run.contains(&line), "{page}: {line:?} is not run in tests/guide.rs");
        }
    }
}

/// A line without its indentation, remark and last semicolon.
fn as_code(line: &str) -> &str {
    line.split("   //").next().unwrap().trim().trim_end_matches(';')
}
