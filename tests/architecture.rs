//! Architectures through the public door: the named ones, shapes, what is put in, tables, saving.

use diabolo::model::{Architecture, FeatureShape, Part, Plan};

const CIFAR: [usize; 3] = [3, 32, 32];
const WIDE_DECODER: &str = "Linear(32, 32*32*3)";

fn parse(encoder: &str, decoder: &str) -> Architecture {
    Architecture::parse(encoder, decoder).unwrap_or_else(|error| panic!("{encoder} | {decoder}: {error}"))
}

/// The message of an architecture that can be read but whose shapes do not fit.
fn planning_error(encoder: &str, decoder: &str) -> String {
    match parse(encoder, decoder).plan(CIFAR) {
        Ok(plan) => panic!("`{encoder}` | `{decoder}` was planned as\n{plan}"),
        Err(error) => error.to_string(),
    }
}

fn named_ones() -> [Architecture; 4] {
    [Architecture::report_cnn(), Architecture::fcn(), Architecture::conv(), Architecture::vae()]
}

/// Output shape and parameters of each layer, those put in included: `[12, 16, 16] 0 ; [384] 0`.
fn shapes_and_parameters(plan: &Plan) -> String {
    let rows = plan.rows().into_iter().map(|row| format!("{} {}", row.output, row.n_parameters));
    rows.collect::<Vec<_>>().join(" ; ")
}

fn check_shapes(plan: &Plan, expected: &str) {
    assert_eq!(shapes_and_parameters(plan), expected.split_whitespace().collect::<Vec<_>>().join(" "));
}

#[test]
fn report_cnn_has_the_shapes_and_parameters_of_pytorch() {
    // tail = lambda c: [BatchNorm2d(c), Dropout(0.5), ReLU()]
    // down = lambda a, b: [Conv2d(a, b, 3, 1, 1), MaxPool2d(2, 2, 0), *tail(b)]
    // up = lambda a, b: [ConvTranspose2d(a, b, 3, 1, 1), Upsample(scale_factor=2, mode="nearest"), *tail(b)]
    // layers = [Conv2d(3, 6, 3, 1, 1), *down(6, 12), *down(12, 24), *down(24, 48), *down(48, 96),
    //           Flatten(), Linear(384, 96), ReLU(), Linear(96, 32), Linear(32, 96), ReLU(), Linear(96, 384),
    //           Unflatten(1, (96, 2, 2)), *up(96, 48), *up(48, 24), *up(24, 12), ConvTranspose2d(12, 6, 3, 1, 1),
    //           ConvTranspose2d(6, 3, 3, 1, 1), Upsample(scale_factor=2), BatchNorm2d(3), Dropout(0.5), Tanh()]
    // for layer in layers: x = layer(x); print(list(x.shape[1:]), sum(p.numel() for p in layer.parameters()))
    let plan = Architecture::report_cnn().plan(CIFAR).unwrap();
    assert_eq!((plan.n_latents(), plan.n_parameters()), (32, 191_777));
    check_shapes(
        &plan,
        "[6, 32, 32] 168 ; [12, 32, 32] 660 ; [12, 16, 16] 0 ; [12, 16, 16] 24 ; [12, 16, 16] 0
         ; [12, 16, 16] 0 ; [24, 16, 16] 2616 ; [24, 8, 8] 0 ; [24, 8, 8] 48 ; [24, 8, 8] 0 ; [24, 8, 8] 0
         ; [48, 8, 8] 10416 ; [48, 4, 4] 0 ; [48, 4, 4] 96 ; [48, 4, 4] 0 ; [48, 4, 4] 0 ; [96, 4, 4] 41568
         ; [96, 2, 2] 0 ; [96, 2, 2] 192 ; [96, 2, 2] 0 ; [96, 2, 2] 0 ; [384] 0 ; [96] 36960 ; [96] 0
         ; [32] 3104 ; [96] 3168 ; [96] 0 ; [384] 37248 ; [96, 2, 2] 0 ; [48, 2, 2] 41520 ; [48, 4, 4] 0
         ; [48, 4, 4] 96 ; [48, 4, 4] 0 ; [48, 4, 4] 0 ; [24, 4, 4] 10392 ; [24, 8, 8] 0 ; [24, 8, 8] 48
         ; [24, 8, 8] 0 ; [24, 8, 8] 0 ; [12, 8, 8] 2604 ; [12, 16, 16] 0 ; [12, 16, 16] 24 ; [12, 16, 16] 0
         ; [12, 16, 16] 0 ; [6, 16, 16] 654 ; [3, 16, 16] 165 ; [3, 32, 32] 0 ; [3, 32, 32] 6 ; [3, 32, 32] 0
         ; [3, 32, 32] 0",
    );
}

#[test]
fn fcn_has_the_shapes_and_parameters_of_pytorch() {
    // [Flatten(), Linear(3072, 128), ReLU(), Linear(128, 64), ReLU(), Linear(64, 12), ReLU(), Linear(12, 3),
    //  Linear(3, 12), ReLU(), Linear(12, 64), ReLU(), Linear(64, 128), ReLU(), Linear(128, 3072), Tanh(),
    //  Unflatten(1, (3, 32, 32))], printed as above
    let plan = Architecture::fcn().plan(CIFAR).unwrap();
    assert_eq!((plan.n_latents(), plan.n_parameters()), (3, 807_907));
    check_shapes(
        &plan,
        "[3072] 0 ; [128] 393344 ; [128] 0 ; [64] 8256 ; [64] 0 ; [12] 780 ; [12] 0 ; [3] 39 ; [12] 48
         ; [12] 0 ; [64] 832 ; [64] 0 ; [128] 8320 ; [128] 0 ; [3072] 396288 ; [3072] 0 ; [3, 32, 32] 0",
    );
}

#[test]
fn conv_has_the_shapes_and_parameters_of_pytorch() {
    // [Conv2d(3, 12, 4, 2, 1), ReLU(), Conv2d(12, 24, 4, 2, 1), ReLU(), Conv2d(24, 48, 4, 2, 1), ReLU(),
    //  ConvTranspose2d(48, 24, 4, 2, 1), ReLU(), ConvTranspose2d(24, 12, 4, 2, 1), ReLU(),
    //  ConvTranspose2d(12, 3, 4, 2, 1), Tanh()], printed as above
    let plan = Architecture::conv().plan(CIFAR).unwrap();
    assert_eq!((plan.n_latents(), plan.n_parameters()), (48 * 4 * 4, 47_355));
    check_shapes(
        &plan,
        "[12, 16, 16] 588 ; [12, 16, 16] 0 ; [24, 8, 8] 4632 ; [24, 8, 8] 0 ; [48, 4, 4] 18480
         ; [48, 4, 4] 0 ; [24, 8, 8] 18456 ; [24, 8, 8] 0 ; [12, 16, 16] 4620 ; [12, 16, 16] 0
         ; [3, 32, 32] 579 ; [3, 32, 32] 0",
    );
}

#[test]
fn vae_has_the_shapes_and_parameters_of_pytorch() {
    // [Linear(3072, 400), Linear(400, 20) twice (mean and log-variance), Linear(20, 400), Linear(400, 3072)]:
    // 1229200, 8020, 8020, 8400, 1231872 by sum(p.numel() for p in layer.parameters()), in all 2485512
    let plan = Architecture::vae().plan(CIFAR).unwrap();
    assert_eq!((plan.n_latents(), plan.n_parameters()), (20, 2_485_512));
    check_shapes(
        &plan,
        "[3072] 0 ; [400] 1229200 ; [400] 0 ; [20] 16040 ; [400] 8400 ; [400] 0 ; [3072] 1231872
         ; [3072] 0 ; [3, 32, 32] 0",
    );
}

#[test]
fn the_reports_decoder_is_refused_with_the_numbers_that_would_fit() {
    let cnn = Architecture::report_cnn();
    assert_eq!(
        planning_error(&cnn.encoder_notation(), "Linear(96, 32) / ReLU() / Linear(96*2*2, 96)\nReLU()"),
        "decoder layer 1, Linear(96, 32): found [32] reaching it, wanted 96 values; \
         written as (out, in)? Linear(32, 96) would fit"
    );
    assert_eq!(
        planning_error(&cnn.encoder_notation(), "Linear(32, 96) / ReLU() / Linear(96*2*2, 96)\nReLU()"),
        "decoder layer 3, Linear(384, 96): found [96] reaching it, wanted 384 values; \
         written as (out, in)? Linear(96, 384) would fit"
    );
}

#[test]
fn a_mismatch_names_the_layer_the_shape_and_the_number_that_fits() {
    for (encoder, decoder, message) in [
        (
            "Conv2d(4, 6, 3, 1, 1)",
            WIDE_DECODER,
            "encoder layer 1, Conv2d(4, 6, 3, 1, 1): found [3, 32, 32] (3 channels) reaching it, wanted 4 channels; \
             Conv2d(3, 6, 3, 1, 1) would fit",
        ),
        (
            "Conv2d(6, 3, 3, 1, 1)",
            WIDE_DECODER,
            "encoder layer 1, Conv2d(6, 3, 3, 1, 1): found [3, 32, 32] (3 channels) reaching it, wanted 6 channels; \
             written as (out, in)? Conv2d(3, 6, 3, 1, 1) would fit",
        ),
        (
            "MaxPool(2) / Linear(3072, 8)",
            WIDE_DECODER,
            "encoder layer 2, Linear(3072, 8): found [3, 16, 16] (768 values) reaching it, wanted 3072 values; \
             Linear(768, 8) would fit",
        ),
        (
            "ReLU() / BatchNorm2d(8)",
            WIDE_DECODER,
            "encoder layer 2, BatchNorm2d(8): found [3, 32, 32] reaching it, wanted 8 channels; BatchNorm2d(3) \
             would fit",
        ),
        (
            "Conv2d(3, 6, 40)",
            WIDE_DECODER,
            "encoder layer 1, Conv2d(3, 6, 40, 1, 0): found [3, 32, 32] reaching it, wanted sides that the kernel \
             fits into; a kernel of at most 32 would fit",
        ),
        (
            "MaxPool(40, 2, 2)",
            WIDE_DECODER,
            "encoder layer 1, MaxPool2d(40, 2, 2): found [3, 32, 32] reaching it, wanted sides that the kernel fits \
             into; a kernel of at most 36 would fit",
        ),
        (
            "Unflatten(1, (3, 32, 32))",
            WIDE_DECODER,
            "encoder layer 1, Unflatten(1, (3, 32, 32)): found [3, 32, 32] reaching it, wanted a vector of 3*32*32 \
             = 3072 values; put Flatten() before it",
        ),
        (
            "Linear(3072, 32)",
            "Unflatten(1, (8, 2, 3))",
            "decoder layer 1, Unflatten(1, (8, 2, 3)): found [32] reaching it, wanted a vector of 8*2*3 = 48 \
             values; change its shape or the layer before it",
        ),
        (
            "Linear(3072, 32)",
            "Linear(32, 100) / ConvTranspose2d(48, 3, 3)",
            "decoder layer 2, ConvTranspose2d(48, 3, 3, 1, 0): found [100] reaching it, wanted 48 channels of a \
             square image, as in 48*1*1; give 48 values or put Unflatten(1, (c, h, w)) before it",
        ),
        (
            "Linear(3072, 32)",
            "Upsample(2)",
            "decoder layer 1, Upsample(scale_factor=2): found [32] reaching it, wanted an image; put Unflatten(1, \
             (c, h, w)) before it",
        ),
        (
            "MaxPool(32)",
            "ConvTranspose2d(3, 3, 1, 1, 1)",
            "decoder layer 1, ConvTranspose2d(3, 3, 1, 1, 1): found [3, 1, 1] reaching it, of which padding 1 \
             leaves nothing, wanted at least one pixel; take a smaller padding or a larger kernel",
        ),
        (
            "Linear(3072, 2000000)",
            "Linear(2000000, 3072)",
            "encoder layer 1, Linear(3072, 2000000): found more than 2147483647 parameters, wanted at most \
             2147483647; take smaller numbers",
        ),
        (
            "Upsample(100000)",
            WIDE_DECODER,
            "encoder layer 1, Upsample(scale_factor=100000): found more than 2147483647 values, wanted at most \
             2147483647; take smaller numbers",
        ),
        (
            "ConvTranspose2d(3, 3, 2147483647, 2147483647, 2147483647)",
            WIDE_DECODER,
            "encoder layer 1, ConvTranspose2d(3, 3, 2147483647, 2147483647, 2147483647): found more than 2147483647 \
             values, wanted at most 2147483647; take smaller numbers",
        ),
    ] {
        assert_eq!(planning_error(encoder, decoder), message);
    }
}

#[test]
fn an_output_unlike_the_input_is_an_error() {
    for (encoder, decoder, message) in [
        (
            "Linear(3072, 32)",
            "Linear(32, 3000) / Tanh()",
            "decoder layer 2, Tanh(): found output [3000], wanted [3, 32, 32], the shape of an image; the last \
             Linear has to give 3072 values",
        ),
        (
            "MaxPool(2)",
            "Tanh()",
            "decoder layer 1, Tanh(): found output [3, 16, 16], wanted [3, 32, 32], the shape of an image; every \
             halving of the sides in the encoder needs a doubling in the decoder, by Upsample or stride",
        ),
        (
            "Conv2d(3, 6, 3, 1, 1)",
            "ReLU()",
            "decoder layer 1, ReLU(): found output [6, 32, 32], wanted [3, 32, 32], the shape of an image; the last \
             convolution has to give 3 channels",
        ),
    ] {
        assert_eq!(planning_error(encoder, decoder), message);
    }
}

#[test]
fn an_image_without_pixels_is_an_error() {
    for (shape, shown) in [([3, 0, 32], "[3, 0, 32]"), ([1 << 20, 1 << 20, 1 << 30], "[1048576, 1048576, 1073741824]")]
    {
        let message = Architecture::fcn().plan(shape).unwrap_err().to_string();
        assert!(message.starts_with(&format!("planning fcn: found images of {shown}, wanted ")), "{message}");
    }
}

#[test]
fn flatten_and_unflatten_are_put_in_where_they_are_left_out() {
    let inserted = |encoder: &str, decoder: &str| -> Vec<(Part, String)> {
        let plan = parse(encoder, decoder).plan(CIFAR).unwrap();
        plan.rows().into_iter().filter(|row| row.inserted).map(|row| (row.part, row.layer)).collect()
    };
    let flatten = (Part::Encoder, "Flatten()".to_string());
    let unflatten = |shape: &str| (Part::Decoder, format!("Unflatten(1, ({shape}))"));
    // A square of the layer's channels, where the encoder flattened nothing of that size.
    assert_eq!(
        inserted("Conv2d(3, 8, 4, 4)", "Linear(8*8*8, 4*12) / ConvTranspose2d(12, 3, 17, 15)"),
        [(Part::Decoder, "Flatten()".to_string()), unflatten("12, 2, 2")]
    );
    // The shape that the encoder flattened, which need not be a square.
    assert_eq!(
        inserted(
            "Flatten() / Linear(3072, 9) / Unflatten(1, (1, 1, 9)) / Gaussian(2)",
            "Linear(2, 9) / Conv2d(1, 3072, 1) / Linear(9*3072, 3072)"
        ),
        [flatten.clone(), unflatten("1, 1, 9"), (Part::Decoder, "Flatten()".to_string()), unflatten("3, 32, 32")]
    );
    // The decoder mirrors the encoder: the image itself comes back before a layer that names no channels.
    assert_eq!(
        inserted("MaxPool(2) / Linear(768, 4)", "Linear(4, 768) / Upsample(2)"),
        [flatten.clone(), unflatten("3, 16, 16")]
    );
    // An image-shaped code needs nothing, and what is written out is not put in again.
    assert_eq!(inserted("MaxPool(2)", "Upsample(2)"), []);
    assert_eq!(inserted("Flatten() / Linear(3072, 4)", "Linear(4, 768) / Unflatten(1, (3, 16, 16)) / Upsample(2)"), []);
}

#[test]
fn a_plan_written_out_is_the_same_plan() {
    for architecture in named_ones() {
        let plan = architecture.plan(CIFAR).unwrap();
        let written_out = parse(&plan.encoder_notation(), &plan.decoder_notation()).named(&architecture.name);
        assert_eq!(written_out, plan.architecture());
        let again = written_out.plan(CIFAR).unwrap();
        assert!(again.rows().iter().all(|row| !row.inserted));
        assert_eq!(shapes_and_parameters(&again), shapes_and_parameters(&plan));
        assert_eq!(again.encoder_notation(), plan.encoder_notation());
    }
    assert_eq!(
        Architecture::vae().plan(CIFAR).unwrap().decoder_notation(),
        "Linear(20, 400) / ReLU() / Linear(400, 3072) / Tanh() / Unflatten(1, (3, 32, 32))"
    );
}

#[test]
fn each_layer_starts_where_the_one_before_ends() {
    for architecture in named_ones() {
        let plan = architecture.plan(CIFAR).unwrap();
        let mut shape = FeatureShape::Image(CIFAR);
        for planned in plan.encoder.iter().chain(&plan.decoder) {
            assert_eq!(planned.input, shape);
            shape = planned.output;
        }
        assert_eq!(shape, FeatureShape::Image(CIFAR));
    }
}

#[test]
fn architectures_are_saved_as_notation() {
    for architecture in named_ones() {
        let json = serde_json::to_string(&architecture).unwrap();
        assert_eq!(serde_json::from_str::<Architecture>(&json).unwrap(), architecture);
    }
    let small = parse("Linear(3072, 8)", "Linear(8, 3072)").named("small");
    let json = r#"{"name":"small","encoder":"Linear(3072, 8)","decoder":"Linear(8, 3072)"}"#;
    assert_eq!(serde_json::to_string(&small).unwrap(), json);

    let read = |json: &str| serde_json::from_str::<Architecture>(json).unwrap_err().to_string();
    let misspelt = read(&json.replace("Linear(8", "Linaer(8"));
    assert!(misspelt.contains("did you mean Linear?"), "{misspelt}");
    let unknown = read(&json.replace("{", r#"{"epochs":3,"#));
    assert!(unknown.contains("unknown field `epochs`"), "{unknown}");
}

#[test]
fn tables_are_aligned() {
    let small = parse("Conv2d(3, 8, 4, 4) / Linear(512, 10)", "Linear(10, 3072)").named("small");
    assert_eq!(
        small.to_string(),
        "small: images of [3, 32, 32], 10 latents, 39314 parameters
part     layer                        output       parameters
encoder  Conv2d(3, 8, 4, 4, 0)        [8, 8, 8]           392
encoder  + Flatten()                  [512]                 0
encoder  Linear(512, 10)              [10]               5130
decoder  Linear(10, 3072)             [3072]            33792
decoder  + Unflatten(1, (3, 32, 32))  [3, 32, 32]           0"
    );
    assert_eq!(
        parse("Linear(5, 2)", "Linear(2, 5) / Tanh()").to_string(),
        "custom
part     layer
encoder  Linear(5, 2)
decoder  Linear(2, 5)
decoder  Tanh()"
    );
    // 28 x 28 grey images are the second guess.
    let grey = parse("Linear(784, 2)", "Linear(2, 784)");
    assert_eq!(grey.usual_plan().unwrap().image_shape, [1, 28, 28]);
}

#[test]
fn every_named_network_adapts_to_other_images_and_keeps_its_code() {
    let named = [Architecture::report_cnn(), Architecture::fcn(), Architecture::conv(), Architecture::vae()];
    for architecture in named {
        let own = architecture.plan([3, 32, 32]).unwrap();
        for shape in [[1, 32, 32], [3, 64, 64], [1, 48, 80], [3, 32, 32]] {
            let adapted = architecture.adapted_to(shape).unwrap();
            let plan = adapted.plan(shape).unwrap();
            assert_eq!((plan.encoder.len(), plan.decoder.len()), (own.encoder.len(), own.decoder.len()));
            // A code that is an image grows with the images; one that is a vector does not.
            let is_vector = matches!(plan.encoder.last().unwrap().output, FeatureShape::Vector(_));
            assert_eq!(plan.n_latents() == own.n_latents(), is_vector || shape[1..] == [32, 32]);
            // Written out in full, as it is saved, it adapts just as well, and back to what it was.
            let written_out = plan.architecture().adapted_to([3, 32, 32]).unwrap();
            assert_eq!(written_out, own.architecture());
        }
    }
    assert_eq!(Architecture::report_cnn().adapted_to([3, 32, 32]).unwrap(), Architecture::report_cnn());
}

#[test]
fn images_that_a_network_was_not_written_for_are_told_what_would_fit() {
    let message = |architecture: Architecture, shape| architecture.plan(shape).unwrap_err().to_string();
    let size = |side| format!("; images of {side} x {side}, by OpenOptions::default().size_px({side}), fit as it is");
    let cnn = message(Architecture::report_cnn(), [3, 28, 28]);
    let numbers = "Linear(96, 96) would fit, or Linear(96, 384) if it is written as (out, in)";
    assert!(cnn.ends_with(&format!("{numbers}{}", size(32))), "{cnn}");
    assert!(message(Architecture::conv(), [3, 28, 28]).ends_with(&size(32)));
    assert!(message(Architecture::conv(), [3, 25, 25]).ends_with(&size(24)));
    let fcn = message(Architecture::fcn(), [1, 28, 28]);
    assert!(fcn.ends_with("Linear(784, 128) would fit; .adapted_to([1, 28, 28]) changes all such numbers"), "{fcn}");
    // 28 is no multiple of 8, and the channels differ too.
    let conv = message(Architecture::conv(), [1, 28, 28]);
    assert!(conv.contains("Conv2d(1, 12, 4, 2, 1) would fit; images of 32 x 32, by OpenOptions::"), "{conv}");
    assert!(conv.ends_with("size_px(32), fit .adapted_to([1, 32, 32])"), "{conv}");
}
