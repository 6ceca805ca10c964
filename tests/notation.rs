//! The notation of architectures through the public door: reading, printing, and the messages of mistakes.

#[path = "notation/random.rs"]
mod random;

use diabolo::model::{Architecture, Layer};

const CIFAR: [usize; 3] = [3, 32, 32];
const WIDE_DECODER: &str = "Linear(32, 32*32*3)";

fn parse(encoder: &str, decoder: &str) -> Architecture {
    Architecture::parse(encoder, decoder).unwrap_or_else(|error| panic!("{encoder} | {decoder}: {error}"))
}

/// The one layer that `text` writes.
fn layer(text: &str) -> Layer {
    let [layer] = <[Layer; 1]>::try_from(parse(text, WIDE_DECODER).encoder).expect("one layer");
    layer
}

/// The message of an encoder that cannot be read.
fn reading_error(encoder: &str) -> String {
    match Architecture::parse(encoder, WIDE_DECODER) {
        Ok(architecture) => panic!("`{encoder}` was read as {architecture:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_reports_own_text_is_read() {
    // As the report prints it, Markdown's backslashes and trailing spaces included.
    let fcn = parse(
        "\n \nLinear(32\\*32\\*3, 128)/ ReLU()/ Linear(128, 64)/ ReLU()/ Linear(64, 12)/ ReLU()/ Linear(12, 3)\n",
        "Linear(3, 12)/ ReLU()/ Linear(12, 64)/ ReLU()/ Linear(64, 128)/ ReLU()/ Linear(128, 32\\*32\\*3)/  \nTanh()\n",
    );
    assert_eq!(fcn.named("fcn"), Architecture::fcn());
}

#[test]
fn what_pytorch_prints_is_read() {
    // print(nn.Sequential(...)) of torch 2.13.0, the lines between its brackets.
    let printed = parse(
        "(0): Conv2d(3, 12, kernel_size=(4, 4), stride=(2, 2), padding=(1, 1))
         (1): MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
         (2): BatchNorm2d(12, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
         (3): Dropout(p=0.5, inplace=False)
         (4): ReLU(inplace=True)
         (5): Flatten(start_dim=1, end_dim=-1)
         (6): Linear(in_features=768, out_features=20, bias=True)",
        "(0): Linear(in_features=20, out_features=768, bias=True)
         (1): Unflatten(dim=1, unflattened_size=(12, 8, 8))
         (2): LeakyReLU(negative_slope=0.01)
         (3): Upsample(scale_factor=2.0, mode='nearest')
         (4): ConvTranspose2d(12, 3, kernel_size=(4, 4), stride=(2, 2), padding=(1, 1))
         (5): Sigmoid()",
    );
    let short = parse(
        "Conv2d(3, 12, 4, 2, 1) / MaxPool(2) / BatchNorm2d(12) / Dropout() / ReLU() / Flatten() / Linear(768, 20)",
        "Linear(20, 768) / Unflatten(12, 8, 8) / LeakyReLU() / Upsample(2, 'nearest') / ConvTranspose2d(12, 3, 4, 2, 1)
         Sigmoid()",
    );
    assert_eq!(printed, short);
    assert_eq!(printed.plan(CIFAR).unwrap().n_latents(), 20);
}

#[test]
fn what_a_pytorch_user_writes_is_read() {
    let written = parse(
        "nn.Conv2d(3, 12, 4, stride=2, padding=1),   # [batch, 12, 16, 16]
         torch.nn.ReLU(True),
         nn.Linear(
             12 * 16 * 16,
             (36 + 4) // 5,
         ),",
        "nn.Linear(8, 3 * 32 * 32)",
    );
    assert_eq!(written, parse("Conv2d(3,12,4,2,1)/ReLU()/Linear(3072,8)", "Linear(8, 3072)"));
}

#[test]
fn one_layer_can_be_written_in_many_ways() {
    let conv = Layer::Conv2d { in_channels: 3, out_channels: 6, kernel: 3, stride: 1, padding: 0 };
    for text in [
        "Conv2d(3, 6, 3)",
        "  Conv2d ( 3 ,6,3, ) ",
        "Conv2d(out_channels=6, in_channels=3, kernel_size=3)",
        "Conv2d(3, 6, (3, 3), groups=1, bias=True, dilation=(1, 1), padding_mode=\"zeros\")",
        "Conv2d(3, 6, [3, 3], 1, 0, 1, 1, True, 'zeros')",
        "Conv2d(+3, --6, 9/3)",
        "Conv2d(3, 2*(1+2), 4-1)",
        "Conv2d(3,\u{3000}6,\u{a0}3)",
        "Conv2d(1_0 - 7, 6, 3e0)",
    ] {
        assert_eq!(layer(text), conv, "{text}");
    }
    let pool = Layer::MaxPool { kernel: 3, stride: 3, padding: 1 };
    for text in ["MaxPool(3, padding=1)", "MaxPool2d(3, 3, 1)", "MaxPool2d(kernel_size=3, stride=None, padding=1)"] {
        assert_eq!(layer(text), pool, "{text}");
    }
    for text in ["Upsample(2)", "Upsample(size=None, scale_factor=(2.0, 2.0), mode='nearest', align_corners=None)"] {
        assert_eq!(layer(text), Layer::Upsample { scale: 2 }, "{text}");
    }
    for text in ["Unflatten(96, 2, 2)", "Unflatten(1, (96, 2, 2))", "Unflatten(1, [96, 2, 2])"] {
        assert_eq!(layer(text), Layer::Unflatten { shape: [96, 2, 2] }, "{text}");
    }
    assert_eq!(layer("Unflatten(1, 28, 28)"), Layer::Unflatten { shape: [1, 28, 28] });
    assert_eq!(layer("Dropout(1/8)"), Layer::Dropout { probability: 0.125 });
}

#[test]
fn a_misspelt_layer_is_pointed_at() {
    assert_eq!(
        reading_error("ReLU() /\n  Linaer(3072, 32)"),
        "encoder layer 2, line 2, column 3: found `Linaer(3072, 32)`, wanted a layer; did you mean Linear?"
    );
    for (written, meant) in [
        ("Relu()", "ReLU"),
        ("conv2D(3, 6, 3)", "Conv2d"),
        ("Conv(3, 6, 3)", "Conv2d"),
        ("MaxPol(2)", "MaxPool2d"),
        ("Batchnorm(3)", "BatchNorm2d"),
        ("ConvTransposed2d(3, 6, 3)", "ConvTranspose2d"),
        ("tanh()", "Tanh"),
        ("Guassian(20)", "Gaussian"),
        ("leakyrelu", "LeakyReLU"),
    ] {
        let message = reading_error(written);
        assert!(message.ends_with(&format!("did you mean {meant}?")), "{message}");
    }
    let message = reading_error("Softmax(1)");
    assert!(message.contains("found `Softmax(1)`, wanted a layer; the layers are Conv2d, "), "{message}");
}

#[test]
fn broken_notation_is_pointed_at() {
    for (encoder, message) in [
        (
            "Linear(3072, 32",
            "layer 1, line 1, column 16: found the end of the text, wanted `,` or `)`; check the layer's brackets",
        ),
        ("Linear(3072 32)", "layer 1, line 1, column 13: found `32)`, wanted `,` or `)`; check the layer's brackets"),
        (
            "ReLU() Tanh()",
            "layer 1, line 1, column 8: found `Tanh()`, wanted a slash or a line break after the layer; ReLU() is \
             complete; check what follows it",
        ),
        (
            "ReLU())",
            "layer 1, line 1, column 7: found `)`, wanted a slash or a line break after the layer; ReLU() is \
             complete; check what follows it",
        ),
        (
            "ReLU / Tanh()",
            "layer 1, line 1, column 1: found `ReLU / Tanh()`, wanted brackets after the layer's name; write ReLU(...)",
        ),
        (
            "ReLU() / ... / Tanh()",
            "layer 2, line 1, column 10: found `... / Tanh()`, wanted a layer; write every layer out, as in ReLU()",
        ),
        (
            "Linear(3072, n)",
            "layer 1, line 1, column 14: found `n)`, wanted a number; check the layer's arguments and brackets",
        ),
        ("Linear(3072, 3.2.1)", "layer 1, line 1, column 14: found `3.2.1)`, wanted a number; write it as in 3 or 0.5"),
        (
            "Linear(3072, 8/0)",
            "layer 1, line 1, column 15: found `/0)`, wanted a number up to 9007199254740992; take smaller numbers, \
             and divide by none that is 0",
        ),
        (
            "Linear(3072, 'a' * 3)",
            "layer 1, line 1, column 18: found `* 3)`, wanted numbers on both sides; only numbers can be calculated \
             with",
        ),
        (
            "Upsample(2, 'nearest)",
            "layer 1, line 1, column 13: found `'nearest)`, wanted a closing '; close the quotation",
        ),
        (
            "Linear(in_features=3072, 32)",
            "layer 1, line 1, column 26: found `32)`, wanted a named argument after a named one; put it first or \
             name it",
        ),
        (
            "Linear(3072,, 32)",
            "layer 1, line 1, column 13: found `, 32)`, wanted a number; check the layer's arguments and brackets",
        ),
    ] {
        assert_eq!(reading_error(encoder), format!("encoder {message}"));
    }
}

#[test]
fn wrong_arguments_are_named() {
    for (encoder, message) in [
        (
            "Conv2d(3, 6)",
            "found no kernel_size, wanted Conv2d(in_channels, out_channels, kernel_size, stride=1, padding=0); add \
             kernel_size",
        ),
        (
            "Linear(3, 6, True, 3)",
            "found `3`, one argument too many, wanted Linear(in_features, out_features); leave it out",
        ),
        (
            "Linear(3, in_features=6)",
            "found no out_features, wanted Linear(in_features, out_features); add out_features",
        ),
        (
            "Linear(3, 6, out_features=6)",
            "found out_features=6, wanted out_features once; it is given twice: Linear(in_features, out_features)",
        ),
        (
            "Linear(3, 6, 6)",
            "found bias=6, wanted bias=True; others are not supported: Linear(in_features, out_features)",
        ),
        ("Tanh(3)", "found `3`, one argument too many, wanted Tanh(); leave it out"),
        (
            "Conv2d(3, 6, 3, pading=1)",
            "found pading=1, wanted Conv2d(in_channels, out_channels, kernel_size, stride=1, padding=0); did you \
             mean padding?",
        ),
        ("Linear(3, 6, device='cuda')", "found device='cuda', wanted Linear(in_features, out_features); leave it out"),
        ("Linear(3.5, 6)", "found in_features=3.5, wanted a whole number from 0 to 2147483647; change it"),
        ("Linear(-3, 6)", "found in_features=-3, wanted a whole number from 0 to 2147483647; change it"),
        (
            "Linear(3, 2147483648)",
            "found out_features=2147483648, wanted a whole number from 0 to 2147483647; change it",
        ),
        (
            "Linear('3', 6)",
            "found in_features='3', wanted a whole number from 0 to 2147483647; only numbers can stand here",
        ),
        ("Dropout('half')", "found p='half', wanted a number; as in Dropout(p=0.5)"),
        ("ReLU(1)", "found inplace=1, wanted True or False; leave it out: ReLU()"),
        (
            "Unflatten(1, (2, 2))",
            "found unflattened_size=(2, 2), wanted (channels, height, width); as in Unflatten(1, (96, 2, 2))",
        ),
    ] {
        assert_eq!(reading_error(encoder), format!("encoder layer 1, {encoder}: {message}"));
    }
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    for (encoder, message) in [
        ("Conv2d(3, 6, 3, dilation=2)", "found dilation=2, wanted dilation=1"),
        ("Conv2d(3, 6, 3, groups=3)", "found groups=3, wanted groups=1"),
        ("Conv2d(3, 6, 3, bias=False)", "found bias=False, wanted bias=True"),
        ("Conv2d(3, 6, 3, padding_mode='reflect')", "found padding_mode='reflect', wanted padding_mode='zeros'"),
        ("Conv2d(3, 6, 3, padding='same')", "found padding='same', wanted a whole number"),
        ("Conv2d(3, 6, (3, 5))", "found kernel_size=(3, 5), wanted the same for height and width"),
        ("ConvTranspose2d(3, 6, 3, 2, 1, 1)", "found output_padding=1, wanted output_padding=0"),
        ("MaxPool2d(2, ceil_mode=True)", "found ceil_mode=True, wanted ceil_mode=False"),
        ("Upsample(2, 'bilinear')", "found mode='bilinear', wanted mode='nearest'"),
        ("Upsample(size=64)", "found size=64, wanted size=None"),
        ("BatchNorm2d(3, eps=0.1)", "found eps=0.1, wanted eps=0.00001"),
        ("BatchNorm2d(3, affine=False)", "found affine=False, wanted affine=True"),
        ("Flatten(0)", "found start_dim=0, wanted start_dim=1"),
        ("Unflatten(2, (3, 2, 2))", "found dim=2, wanted dim=1"),
    ] {
        let error = reading_error(encoder);
        assert!(error.starts_with(&format!("encoder layer 1, {encoder}: {message}")), "{error}");
    }
}

#[test]
fn numbers_out_of_range_are_errors() {
    for (encoder, message) in [
        (
            "Conv2d(0, 6, 3, 1, 1)",
            "found in_channels 0, wanted a whole number from 1 to 2147483647; in_channels 1 is the nearest legal one",
        ),
        (
            "Conv2d(3, 6, 0, 1, 1)",
            "found kernel_size 0, wanted a whole number from 1 to 2147483647; kernel_size 1 is the nearest legal one",
        ),
        (
            "Conv2d(3, 6, 3, 0, 1)",
            "found stride 0, wanted a whole number from 1 to 2147483647; stride 1 is the nearest legal one",
        ),
        (
            "MaxPool2d(2, 2, 2)",
            "found padding 2, wanted a whole number from 0 to 1; padding 1 is the nearest legal one",
        ),
        (
            "Upsample(scale_factor=0)",
            "found scale_factor 0, wanted a whole number from 1 to 2147483647; scale_factor 1 is the nearest legal one",
        ),
        (
            "Gaussian(0)",
            "found latents 0, wanted a whole number from 1 to 2147483647; latents 1 is the nearest legal one",
        ),
        ("Dropout(1)", "found a probability of 1, wanted a share from 0 to below 1; 0.5 drops half of the values"),
        (
            "Dropout(-0.5)",
            "found a probability of -0.5, wanted a share from 0 to below 1; 0.5 drops half of the values",
        ),
        ("LeakyReLU(3)", "found a slope of 3, wanted a slope from 0 to 1; PyTorch's default is 0.01"),
    ] {
        assert_eq!(reading_error(encoder), format!("encoder layer 1, {encoder}: {message}"));
    }
    let by_hand = Layer::Dropout { probability: f64::NAN };
    let architecture = Architecture { name: "by hand".into(), encoder: vec![by_hand], decoder: vec![Layer::Tanh] };
    let message = architecture.plan(CIFAR).unwrap_err().to_string();
    assert!(message.contains("found a probability of NaN"), "{message}");
}

#[test]
fn an_empty_part_is_an_error() {
    for empty in ["", "  \n", " / ", "# nothing"] {
        let decoder = Architecture::parse("Linear(3072, 32)", empty).unwrap_err().to_string();
        assert!(decoder.starts_with("decoder: found 0 layers, wanted 1 to 1000; "), "{decoder}");
        let encoder = Architecture::parse(empty, WIDE_DECODER).unwrap_err().to_string();
        assert!(encoder.starts_with("encoder: found 0 layers, wanted 1 to 1000; "), "{encoder}");
    }
}

#[test]
fn a_gaussian_is_the_encoders_last_layer() {
    let inside = reading_error("Gaussian(20) / ReLU()");
    assert!(inside.starts_with("encoder layer 1, Gaussian(20): found a Gaussian inside the network"), "{inside}");
    let decoder = Architecture::parse("Linear(3072, 32)", "Gaussian(20)").unwrap_err().to_string();
    assert!(decoder.starts_with("decoder layer 1, Gaussian(20): found a Gaussian inside the network"), "{decoder}");
}

#[test]
fn absurdly_long_or_deep_text_is_an_error() {
    let long = reading_error(&" ".repeat(100_001));
    assert_eq!(long, "encoder: found a text of 100001 bytes, wanted at most 100000; give the notation of one network");
    let many = reading_error(&"Tanh()\n".repeat(1001));
    assert!(many.starts_with("encoder: found 1001 layers, wanted 1 to 1000; "), "{many}");
    for open in ["(", "[", "-(", "1*("] {
        let deep = reading_error(&format!("Linear({}", open.repeat(20_000)));
        assert!(deep.contains("wanted brackets nested at most 32 deep; write the number itself"), "{deep}");
    }
    assert_eq!(layer(&format!("Gaussian({}2{})", "(".repeat(32), ")".repeat(32))), Layer::Gaussian { latents: 2 });
    assert!(reading_error(&format!("Linear({}1, 3)", "9".repeat(500))).contains("wanted a number up to"));
    assert!(reading_error(&"a".repeat(90_000)).contains("wanted a layer; the layers are"));
}
