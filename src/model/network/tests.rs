//! The network as it is computed against the network as it is planned.

use super::lowering::Step;
use super::*;
use crate::data::ImageShape;
use crate::device::uniform_values;
use crate::model::Architecture;

fn network(architecture: &Architecture, image_shape: ImageShape, kind: Kind) -> Network {
    let mut network = Network::new(architecture.plan(image_shape).unwrap(), 5, Device::Cpu).unwrap();
    for layer in network.encoder.layers.iter_mut().chain(&mut network.decoder.layers) {
        let in_kind = |tensor: &Tensor| tensor.detach().to_kind(kind);
        layer.trained.iter_mut().for_each(|tensor| *tensor = in_kind(tensor).set_requires_grad(true));
        layer.running.iter_mut().for_each(|tensor| *tensor = in_kind(tensor));
    }
    network
}

fn running(network: &Network) -> impl Iterator<Item = &Tensor> {
    network.encoder.layers.iter().chain(&network.decoder.layers).flat_map(|layer| &layer.running)
}

/// The network as planned: layer after layer, each by libtorch's own operation.
fn as_planned(mut network: Network) -> Network {
    for part in [&mut network.encoder, &mut network.decoder] {
        part.kernels = Kernels { channels_last: false, fused_norm: false };
        part.steps = (0..part.layers.len()).map(|layer| Step { layer, n_copies: 1 }).collect();
        part.layers.iter_mut().for_each(|layer| layer.sub_pixel = None);
    }
    network
}

/// In both precisions, since some of the operations that write in place are for 32-bit floats alone, and in both orders in
/// memory, since images in another than the network's are copied first.
#[test]
fn images_are_not_written_over() {
    let first_layers = ["Dropout(0.5) / ReLU() / Tanh()", "Tanh()", "ReLU()", "BatchNorm2d(3) / Dropout(0.5) / ReLU()"];
    for (first_layers, kind) in
        first_layers.into_iter().flat_map(|layers| [(layers, Kind::Double), (layers, Kind::Float)])
    {
        let encoder = format!("{first_layers} / Conv2d(3, 4, 3, 1, 1) / Dropout(0.5) / Tanh() / ReLU()");
        let architecture = Architecture::parse(&encoder, "Conv2d(4, 3, 3, 1, 1) / ReLU() / Dropout(0.5)").unwrap();
        let network = network(&architecture, [3, 32, 32], kind);
        let apart = Tensor::linspace(-1, 1, 4 * 3072, (kind, Device::Cpu)).view([4, 3, 32, 32]);
        for images in [apart.copy(), network.arranged(apart.shallow_clone()).unwrap()] {
            for mode in [Mode::Evaluation, Mode::Training(StepRandomness::new(7, 1, 1))] {
                let pass = network.pass(&images, mode, Precision::Float32).unwrap();
                // libtorch refuses where a layer has written over what a gradient needs.
                let loss = pass.reconstruction.mse_loss(&images.to_kind(Kind::Float), tch::Reduction::Sum);
                pass.backward.gradients(&loss).unwrap();
                assert_eq!(images, apart, "{encoder}");
            }
        }
    }
}

/// The largest difference between two tensors, and the largest value of the second.
fn difference(ours: &Tensor, planned: &Tensor) -> [f64; 2] {
    [ours - planned, planned.shallow_clone()].map(|it| it.abs().max().double_value(&[]))
}

/// Layer by layer, the error is held to the layer's largest gradient. Where batch norm follows, the gradient of a bias or a
/// scale is 0 but for rounding; a layer that has no other is held to a tenth of the network's largest.
#[track_caller]
fn check_gradients(network: &Network, ours: &[Tensor], planned: &[Tensor], tolerance: f64) {
    let slots = layout::slots(&network.plan).into_iter().filter(|slot| slot.is_trained);
    let layers: Vec<String> = slots.map(|slot| slot.name.rsplit_once('.').unwrap().0.into()).collect();
    assert_eq!([ours.len(), planned.len()], [layers.len(); 2]);
    let differences = ours.iter().zip(planned).map(|(ours, planned)| difference(ours, planned));
    let pieces: Vec<_> = layers.iter().zip(differences).collect();
    let largest_of_all = pieces.iter().map(|(_, [_, largest])| *largest).fold(0.0, f64::max);
    for layer in pieces.chunk_by(|(a, _), (b, _)| a == b) {
        let [error, largest] = [0, 1].map(|which| layer.iter().map(|(_, piece)| piece[which]).fold(0.0, f64::max));
        let scale = if largest < 1e-3 * largest_of_all { 0.1 * largest_of_all } else { largest };
        let (network, name) = (&network.plan.name, layer[0].0);
        assert!(error <= tolerance * scale, "{network}, gradient of {name}: {error}, of {largest}, {largest_of_all}");
    }
}

/// Two training steps and an evaluation of the network as it is computed, in `kind`, and as it is planned, in double
/// precision, in which different orders of the same sums agree to many digits.
#[track_caller]
fn check_lowered(kind: Kind, architecture: &Architecture, image_shape: ImageShape, n_images: usize) {
    let network = self::network(architecture, image_shape, kind);
    let plain = as_planned(self::network(architecture, image_shape, Kind::Double));
    let tolerance = if kind == Kind::Double { 1e-5 } else { 1e-4 };
    let check_close = |what: &str, ours: &Tensor, planned: &Tensor| {
        assert_eq!(ours.size(), planned.size(), "{what}");
        let [error, largest] = difference(ours, planned);
        assert!(error <= tolerance * largest.max(1.0), "{}, {what}: {error}, of {largest}", architecture.name);
    };
    let n_values = n_images * image_shape.iter().product::<usize>();
    let pixels = uniform_values(n_values, 1.0, &mut generator(1, Purpose::Weights, 0, 0));
    let [c, h, w] = image_shape.map(|side| side as i64);
    let images = Tensor::from_slice(&pixels).view([n_images as i64, c, h, w]).to_kind(Kind::Double);
    for step in 1..=2 {
        let train = |network: &Network, kind: Kind| {
            let mode = Mode::Training(StepRandomness::new(7, 1, step));
            let pass = network.pass(&images.to_kind(kind), mode, Precision::Float32).unwrap();
            let mut loss = pass.reconstruction.mse_loss(&images.to_kind(Kind::Float), tch::Reduction::Sum);
            if let Some(LatentDistribution { mean, log_variance }) = &pass.distribution {
                loss = loss + mean.square().sum(Kind::Float) + log_variance.square().sum(Kind::Float);
            }
            (pass.reconstruction, pass.backward.gradients(&loss).unwrap())
        };
        let (ours, our_gradients) = train(&network, kind);
        let (planned, planned_gradients) = train(&plain, Kind::Double);
        check_close("training output", &ours, &planned);
        check_gradients(&network, &our_gradients, &planned_gradients, tolerance);
        for (ours, planned) in running(&network).zip(running(&plain)) {
            check_close("running statistics", ours, planned);
        }
    }
    let evaluate = |network: &Network, kind: Kind| {
        let images = images.to_kind(kind);
        let rebuilt = network.pass(&images, Mode::Evaluation, Precision::Float32).unwrap().reconstruction;
        (rebuilt, network.encode(&images, Precision::Float32).unwrap())
    };
    let ((ours, our_code), (planned, planned_code)) = (evaluate(&network, kind), evaluate(&plain, Kind::Double));
    check_close("reconstruction", &ours, &planned);
    check_close("code", &our_code, &planned_code);
}

#[test]
fn computed_networks_equal_planned_ones() {
    for architecture in [Architecture::report_cnn(), Architecture::conv(), Architecture::fcn()] {
        check_lowered(Kind::Double, &architecture, [3, 32, 32], 5);
    }
    let all_sorts = Architecture::parse(
        "Conv2d(3, 8, 3, 1, 1) / MaxPool(4, 4, 0) / BatchNorm2d(8) / Dropout(0.3) / LeakyReLU(0.1)",
        "Upsample(2) / Upsample(2) / BatchNorm2d(8) / Sigmoid() / Dropout(0.2) / LeakyReLU(0.2) / BatchNorm2d(8)
         ConvTranspose2d(8, 3, 3, 1, 1) / BatchNorm2d(3) / Tanh()",
    );
    check_lowered(Kind::Double, &all_sorts.unwrap(), [3, 32, 32], 5);
    // One image with one pixel to a channel: a variance only by its copies.
    let one_pixel = Architecture::parse(
        "MaxPool(32, 32, 0) / Conv2d(3, 4, 1, 1, 0)",
        "Upsample(32) / BatchNorm2d(4) / Sigmoid() / ConvTranspose2d(4, 3, 1, 1, 0)",
    );
    check_lowered(Kind::Double, &one_pixel.unwrap(), [3, 32, 32], 1);
}

#[test]
fn networks_with_fused_layers_equal_planned_ones() {
    check_lowered(Kind::Float, &Architecture::report_cnn(), [3, 32, 32], 16);
    // Before any convolution, one after the other, with and without what may follow, and at the very end.
    let many = Architecture::parse(
        "BatchNorm2d(3) / Conv2d(3, 8, 3, 2, 1) / BatchNorm2d(8) / Dropout(0) / BatchNorm2d(8) / LeakyReLU(0.1) / Dropout(0.3)",
        "ConvTranspose2d(8, 5, 4, 2, 1) / ReLU() / BatchNorm2d(5) / Tanh() / Conv2d(5, 3, 1, 1, 0) / BatchNorm2d(3)",
    );
    check_lowered(Kind::Float, &many.unwrap().named("many"), [3, 32, 32], 7);
    // Its loss begins in the middle, too.
    let gaussian = Architecture::parse(
        "Conv2d(3, 8, 3, 2, 1) / BatchNorm2d(8) / ReLU() / Gaussian(6)",
        "Linear(6, 128) / Unflatten(8, 4, 4) / BatchNorm2d(8) / Upsample(8) / Conv2d(8, 3, 3, 1, 1)",
    );
    check_lowered(Kind::Float, &gaussian.unwrap().named("gaussian"), [3, 32, 32], 7);
}

/// In 32 bits libtorch gives one of the two values of a line 42 copies and the other 40, so that their mean is not that of
/// the values.
#[test]
fn an_upsampling_that_repeats_unevenly_stays_before_batch_norm() {
    let uneven = Architecture::parse(
        "MaxPool(41, 41, 0) / Conv2d(1, 4, 1, 1, 0)",
        "Upsample(41) / BatchNorm2d(4) / Sigmoid() / Conv2d(4, 1, 1, 1, 0)",
    )
    .unwrap();
    let network = || self::network(&uneven, [1, 82, 82], Kind::Float);
    let pixels = uniform_values(3 * 82 * 82, 1.0, &mut generator(1, Purpose::Weights, 0, 0));
    let images = Tensor::from_slice(&pixels).view([3, 1, 82, 82]);
    let [ours, planned] = [network(), as_planned(network())].map(|network| {
        let mode = Mode::Training(StepRandomness::new(7, 1, 1));
        let rebuilt = network.pass(&images, mode, Precision::Float32).unwrap().reconstruction;
        [rebuilt, running(&network).next().unwrap().copy()]
    });
    // Rounding; with copies counted as even ones the means differ by hundredths.
    for (ours, planned) in ours.iter().zip(&planned) {
        let [error, largest] = difference(ours, planned);
        assert!(error <= 1e-4 * largest, "{error}, of {largest}");
    }
}

#[test]
fn a_snapshot_has_the_names_of_the_network() {
    let network = Network::new(Architecture::report_cnn().plan([3, 32, 32]).unwrap(), 3, Device::Cpu).unwrap();
    let named = network.named_tensors();
    assert_eq!(network.named_tensors_of(&network.snapshot().unwrap()).unwrap(), named);
    assert_eq!(named[0].0, "encoder.0.weight");
    assert_eq!(named[0].1.size(), [6, 3, 3, 3]);
    let mut saved: std::collections::HashMap<String, Tensor> = named.into_iter().collect();
    let again = Network::from_named(network.plan.clone(), |name| saved.remove(name), Device::Cpu).unwrap();
    assert!(saved.is_empty());
    assert_eq!(again.state(), network.state());
}

#[test]
fn weights_of_other_layers_are_refused_by_name() {
    let plan = Architecture::fcn().plan([3, 32, 32]).unwrap();
    let missing = Network::from_named(plan.clone(), |_| None, Device::Cpu).unwrap_err().to_string();
    assert!(missing.starts_with("weights encoder.1.weight: found no such tensor, wanted [128, 3072]"), "{missing}");
    let other = |_: &str| Some(Tensor::zeros([4, 3072], (Kind::Float, Device::Cpu)));
    let misfit = Network::from_named(plan, other, Device::Cpu).unwrap_err().to_string();
    assert!(misfit.starts_with("weights encoder.1.weight: found [4, 3072], wanted [128, 3072]"), "{misfit}");
}
