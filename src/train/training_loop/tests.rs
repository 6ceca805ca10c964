//! The loop, when a step fails and when weights are not finite.

use super::*;
use crate::data::open;
use crate::device::Device;
use crate::together::alone;
use crate::train::Kept;
use tch::Tensor;

fn few() -> Split {
    let scenes = open("scenes").unwrap();
    Split::new("a few scenes", scenes.train().first(60).unwrap(), scenes.test().first(8).unwrap()).unwrap()
}

fn begin(keep: Keep) -> Loop {
    let training = Training::default().epochs(3).batch_size(20).keep(keep).device(Device::Cpu);
    Loop::begin(None, Architecture::conv(), &few(), training, alone()).unwrap()
}

fn seldom() -> Reading {
    Reading::of(tch::Device::Cuda(0))
}

/// Of three steps in an epoch the first is taken.
fn failing_in_its_second_step(keep: Keep) -> Loop {
    let mut training = begin(keep);
    training.failing_step = Some(2);
    training
}

#[test]
fn an_error_after_the_first_step_keeps_what_was_learnt() {
    for keep in [Keep::LowestMinibatchLoss, Keep::LowestEpochLoss, Keep::Last] {
        let mut training = failing_in_its_second_step(keep);
        let before = training.network().snapshot().unwrap();
        training.run(|_| ControlFlow::Continue(()), |_| Ok(())).unwrap();
        assert!(training.can_be_resumed(), "the weights are those after a whole step");
        let model = training.into_model().unwrap();
        let StoppedBecause::Failed { message } = &model.history().stopped_because else { panic!("{keep:?}") };
        assert!(message.contains("the device is lost"), "{message}");
        let kept = model.history().kept.unwrap();
        assert_eq!((kept.epoch, Some(kept.loss)), (1, model.history().loss_first), "{keep:?}");
        // The rule of the lowest minibatch keeps the weights that had the loss; the others those after the step.
        let has_moved = model.network().snapshot().unwrap() != before;
        assert_eq!(has_moved, keep != Keep::LowestMinibatchLoss, "{keep:?}");
    }
}

#[test]
fn an_error_before_the_first_step_is_one() {
    let mut training = failing_in_its_second_step(Keep::Last);
    training.failing_step = Some(1);
    assert!(training.run(|_| ControlFlow::Continue(()), |_| Ok(())).is_err());
}

#[test]
fn weights_and_statistics_that_are_not_finite_are_never_kept() {
    for reading in [Reading::AtOnce, seldom()] {
        for part in 0..2 {
            let mut training = begin(Keep::LowestMinibatchLoss);
            let network = Network::new(Architecture::report_cnn().plan([3, 32, 32]).unwrap(), 1, tch::Device::Cpu);
            training.network = network.unwrap();
            training.as_on_a_gpu(few().train(), reading).unwrap();
            let keep = |training: &mut Loop, loss: f32| {
                let Loop { keeper, network, .. } = training;
                match reading {
                    Reading::AtOnce => keeper.before_step(network, loss.into(), 1),
                    _ => keeper.before_step_on_device(network, &Tensor::from(loss), &Tensor::from(1.0)),
                }
                .unwrap();
                keeper.read().unwrap();
                keeper.kept()
            };
            let good = Some(Kept { epoch: 1, loss: 0.5 });
            assert_eq!(keep(&mut training, 0.5), good);
            let _ = training.network.state()[part].shallow_clone().detach().narrow(0, 0, 1).fill_(f64::NAN);
            assert_eq!(keep(&mut training, 0.25), good, "{reading:?}");
            let is_finite = |tensor: &Tensor| tensor.isfinite().all().int64_value(&[]) == 1;
            assert!(training.keeper.snapshot().iter().all(is_finite), "{reading:?}");
        }
    }
}
