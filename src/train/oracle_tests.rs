//! Networks against PyTorch: tests/fixtures/make_torch.py made the numbers and repeats the formulas below.

use super::loss::minibatch_loss;
use super::optimizer::OptimizerState;
use super::{KlTerm, Optimizer, Training};
use crate::device::threads::tests::without_threads;
use crate::device::without_gradients;
use crate::model::{Architecture, Layer, Mode, Network, StepRandomness};
use safetensors::SafeTensors;
use tch::{Kind, Tensor};

const FIXTURE: &[u8] = include_bytes!("../../tests/fixtures/networks.safetensors");

/// A tensor of the fixture, flat.
fn fixture(name: &str) -> Vec<f64> {
    let file = SafeTensors::deserialize(FIXTURE).unwrap();
    let view = file.tensor(name).unwrap_or_else(|_| panic!("the fixture has no {name}"));
    match view.dtype() {
        safetensors::Dtype::F64 => view.data().as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect(),
        _ => view.data().as_chunks().0.iter().map(|&bytes| f64::from(f32::from_le_bytes(bytes))).collect(),
    }
}

fn wave(n: usize, shift: i64) -> Vec<f64> {
    let value = |i: i64| ((i * 7919 + (i / 97) * 31 + shift * 104_729) % 2001 - 1000) as f64 / 1000.0;
    (0..n as i64).map(value).collect()
}

fn wave_tensor(n: i64, d: i64, shift: i64) -> Tensor {
    let values: Vec<f32> = wave((n * d) as usize, shift).iter().map(|&value| value as f32).collect();
    Tensor::from_slice(&values).view([n, d])
}

fn images(n: i64, shift: i64) -> Tensor {
    let pixel = |i: i64| (i * 48_271 + i / 53 * 7919 + shift * 104_729) % 65_537 % 256;
    let pixels: Vec<f32> = (0..n * 3072).map(|i| pixel(i) as f32 / 127.5 - 1.0).collect();
    Tensor::from_slice(&pixels).view([n, 3, 32, 32])
}

/// The network with the formula's weights, dropout off.
fn network(architecture: Architecture) -> Network {
    let off = |layer: &Layer| match layer {
        Layer::Dropout { .. } => Layer::Dropout { probability: 0.0 },
        other => other.clone(),
    };
    let architecture = Architecture {
        encoder: architecture.encoder.iter().map(off).collect(),
        decoder: architecture.decoder.iter().map(off).collect(),
        ..architecture
    };
    let plan = architecture.plan([3, 32, 32]).unwrap();
    let batch_norms: Vec<String> = [("encoder", &plan.encoder), ("decoder", &plan.decoder)]
        .iter()
        .flat_map(|(part, layers)| layers.iter().enumerate().map(move |(index, planned)| (part, index, planned)))
        .filter(|(_, _, planned)| matches!(planned.layer, Layer::BatchNorm2d { .. }))
        .map(|(part, index, _)| format!("{part}.{index}.weight"))
        .collect();
    let network = Network::new(plan, 0, tch::Device::Cpu).unwrap();
    for (shift, (name, mut tensor)) in network.named_tensors().into_iter().enumerate() {
        let fan_in = (tensor.numel() as i64 / tensor.size()[0]) as f64;
        let value = |wave: f64| match tensor.dim() {
            _ if name.ends_with("running_var") => 1.0 + 0.2 * wave.abs(),
            _ if name.ends_with("running_mean") => 0.1 * wave,
            1 if batch_norms.contains(&name) => 0.05 * wave + 1.0,
            1 => 0.05 * wave,
            _ => wave * (3.0 / fan_in).sqrt(),
        };
        let values: Vec<f32> = wave(tensor.numel(), shift as i64).into_iter().map(|wave| value(wave) as f32).collect();
        without_gradients(|| tensor.copy_(&Tensor::from_slice(&values).view(&tensor.size()[..])));
    }
    network
}

#[track_caller]
fn check_close(what: &str, ours: &[f64], theirs: &[f64], tolerance: impl Fn(f64) -> f64) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (index, (&ours, &theirs)) in ours.iter().zip(theirs).enumerate() {
        assert!((ours - theirs).abs() <= tolerance(theirs), "{what} [{index}]: {ours}, PyTorch has {theirs}");
    }
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    Vec::<f64>::try_from(tensor.to_kind(Kind::Double).contiguous().view([-1])).unwrap()
}

/// Reconstructions, codes, training steps and running statistics of one network. There are as many steps as PyTorch took:
/// ten, and fewer where rounding errors grow, as the script says.
#[track_caller]
fn check_against_pytorch(key: &str, architecture: Architecture, training: Training) {
    let network = network(architecture);
    without_gradients(|| {
        let pass = network.pass(&images(2, 0), Mode::Evaluation, training.precision).unwrap();
        check_close("reconstruction", &flat(&pass.reconstruction), &fixture(&format!("{key}.reconstruction")), |_| {
            1e-5
        });
        let code = network.encode(&images(2, 0), training.precision).unwrap();
        check_close("code", &flat(&code), &fixture(&format!("{key}.code")), |theirs| 1e-5 * theirs.abs().max(1.0));
        if pass.distribution.is_some() {
            let noise = wave_tensor(16, 20, 900).narrow(0, 0, 2);
            let mode = Mode::Training(StepRandomness::new(0, 1, 1).with_noise(&noise));
            let drawn = network.pass(&images(2, 0), mode, training.precision).unwrap();
            let theirs = fixture(&format!("{key}.reconstruction_with_noise"));
            check_close("reconstruction with noise", &flat(&drawn.reconstruction), &theirs, |_| 1e-5);
        }
    });
    let mut optimizer = OptimizerState::new(&training, network.parameters()).unwrap();
    let (mut losses, their_losses) = (Vec::new(), fixture(&format!("{key}.losses")));
    for step in 0..their_losses.len() as i64 {
        let noise = wave_tensor(16, 20, 900 + step);
        let randomness = StepRandomness::new(0, 1, 1).with_noise(&noise);
        let (loss, backward) = minibatch_loss(&network, &images(16, step + 1), randomness, &training).unwrap();
        optimizer.step(network.parameters(), &backward.gradients(&loss).unwrap()).unwrap();
        losses.push(loss.double_value(&[]));
    }
    check_close("loss", &losses, &their_losses, |theirs| 1e-4 * theirs);
    let [_, running] = network.snapshot().unwrap();
    check_close("running statistics", &flat(&running), &fixture(&format!("{key}.running")), |theirs| {
        1e-4 * theirs.abs().max(1.0)
    });
}

#[test]
fn report_cnn_with_sgd_equals_pytorch() {
    check_against_pytorch("report_cnn", Architecture::report_cnn(), Training::report_cnn());
    without_threads(|| check_against_pytorch("report_cnn", Architecture::report_cnn(), Training::report_cnn()));
}

#[test]
fn fcn_with_adamw_equals_pytorch() {
    check_against_pytorch("fcn", Architecture::fcn(), Training::report_fcn());
    without_threads(|| check_against_pytorch("fcn", Architecture::fcn(), Training::report_fcn()));
}

#[test]
fn conv_with_adam_equals_pytorch() {
    let training = Training { optimizer: Optimizer::Adam, ..Training::default() };
    check_against_pytorch("conv", Architecture::conv(), training.clone());
    // As on a GPU, and as where libtorch's threads cannot be had.
    without_threads(|| check_against_pytorch("conv", Architecture::conv(), training));
}

#[test]
fn a_network_of_all_sorts_of_layers_equals_pytorch() {
    let all_sorts = Architecture::parse(
        "Conv2d(3, 8, 3, 1, 1) / LeakyReLU(0.1) / MaxPool2d(3, 2, 1) / BatchNorm2d(8)
         Conv2d(8, 12, 4, 2, 1) / LeakyReLU(0.2) / Flatten() / Linear(768, 20)",
        "Linear(20, 768) / Unflatten(1, (12, 8, 8)) / ConvTranspose2d(12, 8, 3, 2, 1) / Sigmoid()
         ConvTranspose2d(8, 6, 4, 2, 0) / BatchNorm2d(6) / LeakyReLU(0.05) / Conv2d(6, 3, 3, 1, 1) / Sigmoid()",
    );
    // By Adam, rounding alone would move a bias whose gradient batch norm makes 0.
    let optimizer = Optimizer::Sgd { momentum: 0.8 };
    let training = Training { optimizer, learning_rate: 1e-2, ..Training::default() };
    check_against_pytorch("all_sorts", all_sorts.unwrap(), training);
}

#[test]
fn vae_equals_pytorch() {
    check_against_pytorch("vae", Architecture::vae(), Training::default());
}

#[test]
fn vae_with_the_course_sum_equals_pytorch() {
    let training = Training { kl_term: KlTerm::CourseSum, ..Training::default() };
    check_against_pytorch("vae_course_sum", Architecture::vae(), training);
}
