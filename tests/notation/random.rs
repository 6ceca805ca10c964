//! Random architectures are read back as they are printed, and no random text makes the parser panic.

use super::{CIFAR, parse};
use diabolo::model::{Architecture, Layer};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// A number below `end`, small ones and large ones alike.
fn any_size(random: &mut Xoshiro256PlusPlus, least: usize, end: usize) -> usize {
    let bits = random.next_u32() % 31 + 1;
    least + (random.next_u32() as usize >> (32 - bits)) % (end - least)
}

fn any_layer(random: &mut Xoshiro256PlusPlus, is_bottleneck: bool) -> Layer {
    const END: usize = i32::MAX as usize;
    let share = (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
    let kind = random.next_u32() % if is_bottleneck { 14 } else { 13 };
    let mut size = |least| any_size(random, least, END);
    let [a, b, kernel, stride, padding] = [size(1), size(1), size(1), size(1), size(0)];
    match kind {
        0 => Layer::Conv2d { in_channels: a, out_channels: b, kernel, stride, padding },
        1 => Layer::ConvTranspose2d { in_channels: a, out_channels: b, kernel, stride, padding },
        2 => Layer::Linear { in_features: a, out_features: b },
        3 => Layer::MaxPool { kernel, stride, padding: padding % (kernel / 2 + 1) },
        4 => Layer::Upsample { scale: a },
        5 => Layer::BatchNorm2d { channels: a },
        6 => Layer::Dropout { probability: share },
        7 => Layer::ReLU,
        8 => Layer::LeakyReLU { slope: share / 1e9 },
        9 => Layer::Sigmoid,
        10 => Layer::Tanh,
        11 => Layer::Flatten,
        12 => Layer::Unflatten { shape: [a, b, kernel] },
        _ => Layer::Gaussian { latents: a },
    }
}

#[test]
fn what_is_printed_is_read_back_unchanged() {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
    for _ in 0..3000 {
        let n_encoder = any_size(&mut random, 1, 20);
        let n_decoder = any_size(&mut random, 1, 20);
        let architecture = Architecture {
            name: "custom".into(),
            encoder: (1..=n_encoder).map(|number| any_layer(&mut random, number == n_encoder)).collect(),
            decoder: (1..=n_decoder).map(|_| any_layer(&mut random, false)).collect(),
        };
        assert_eq!(parse(&architecture.encoder_notation(), &architecture.decoder_notation()), architecture);
        // Almost none of them fits; none may panic or overflow.
        let _ = architecture.plan(CIFAR);
        assert!(!architecture.to_string().is_empty());
    }
}

#[test]
fn no_text_makes_the_parser_panic() {
    const PIECES: [&str; 44] = [
        "Conv2d",
        "ConvTranspose2d",
        "Linear",
        "MaxPool",
        "Upsample",
        "BatchNorm2d",
        "Dropout",
        "ReLU",
        "LeakyReLU",
        "Sigmoid",
        "Tanh",
        "Flatten",
        "Unflatten",
        "Gaussian",
        "nn.",
        "(",
        ")",
        "[",
        "]",
        ",",
        ",",
        "/",
        "//",
        "\n",
        " ",
        "*",
        "+",
        "-",
        "=",
        "'",
        "\"",
        "\\",
        "#",
        "3",
        "32",
        "0",
        "1e308",
        "9999999999999999999",
        ".5",
        "kernel_size=",
        "True",
        "None",
        "轉",
        "\u{1f600}",
    ];
    let mut random = Xoshiro256PlusPlus::seed_from_u64(2);
    let mut pick = |end: usize| random.next_u32() as usize % end;
    let report = Architecture::report_cnn();
    let mut n_read = 0;
    for round in 0..20_000 {
        let text = if round % 2 == 0 {
            (0..pick(30)).map(|_| PIECES[pick(PIECES.len())]).collect()
        } else {
            // The report's network with one character replaced, so that much of it still makes sense.
            let mut characters: Vec<char> = report.encoder_notation().chars().collect();
            let index = pick(characters.len());
            characters[index] = PIECES[pick(PIECES.len())].chars().next().unwrap();
            characters.into_iter().collect::<String>()
        };
        match Architecture::parse(&text, &report.decoder_notation()) {
            Ok(architecture) => {
                n_read += 1;
                let _ = architecture.plan(CIFAR);
            }
            Err(error) => assert!(error.to_string().starts_with("encoder"), "{text}: {error}"),
        }
    }
    assert!((500..5000).contains(&n_read), "{n_read} texts were read; both kinds are needed");
}
