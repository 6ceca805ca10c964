//! One training of several processes in a run folder.

use super::description::{Description, first_difference};
use super::folder::{Begun, begin_in, fit_in};
use super::json::to_json;
use super::state;
use crate::data::Split;
use crate::model::Architecture;
use crate::together::{Together, broadcast_bytes, gather};
use crate::train::{Autoencoder, Loop, Progress, Training};
use crate::{Error, Result};
use serde_json::Value;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

/// Trains as [`fit_in`] does, with all processes of `together` on one model: each computes its images of every minibatch,
/// whose size and order are those of one process. Process 0 keeps, measures and writes, `observe` is called there alone, and
/// it alone is given the model.
///
/// All have to be given the same settings and data, which is checked; or each its share of the data, as
/// [`OpenOptions::share`](crate::data::OpenOptions::share) opens it. An epoch then has as many steps, and in each every process
/// takes equal parts of its own images, which it shuffles: other minibatches than those of one process. What is measured are
/// process 0's images. The weights are the same in all, bit for bit, and those
/// of one process but for the order in which sums are rounded. As many processes as before, on the same machines, go on
/// exactly.
///
/// Batch norm's statistics are those of the whole minibatch where diabolo computes them itself: in networks with convolutions
/// and without a Gaussian bottleneck, for feature maps whose number of values is a multiple of 16. Elsewhere each process has
/// those of its images, as the history then notes.
///
/// # Errors
/// Those of [`fit_in`]; [`Error::Processes`] when settings, data or versions differ, when weights come to differ, or when
/// another process cannot be reached; [`Error::Setting`] when a minibatch has fewer images than there are processes;
/// [`Error::Device`] on a GPU. An error of one process has to end the others:
/// [`Together::abort`].
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// use diabolo::run::fit_together;
/// use std::ops::ControlFlow;
/// # let runs = tempfile::tempdir().unwrap();
/// # let folder = runs.path().join("small");
/// let joined = diabolo::together::join()?; // one process, where mpirun has not started more
/// let settings = Training::default().epochs(2);
/// let model = fit_together(&folder, small, &data, settings, joined.together(), |_| ControlFlow::Continue(()))?;
/// assert_eq!(model.expect("this is process 0").history().epochs.len(), 2);
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn fit_together(
    folder: impl AsRef<Path>,
    architecture: Architecture,
    split: &Split,
    training: Training,
    together: Arc<dyn Together>,
    observe: impl FnMut(&Progress) -> ControlFlow<()>,
) -> Result<Option<Autoencoder>> {
    let folder = folder.as_ref();
    if together.size() == 1 {
        return fit_in(folder, architecture, split, training, observe).map(Some);
    }
    let description = Description::new(&architecture, split, &training)?;
    let here = match split.share() {
        None => to_json(folder, &description)?,
        Some(share) => {
            check_share(share, &*together)?;
            to_json(folder, &description.of_all_shares())?
        }
    };
    let first = if together.rank() == 0 { here.clone().into_bytes() } else { Vec::new() };
    check_same(&broadcast_bytes(&*together, first)?, &here, together.rank())?;
    let of_each = split.share().map(|_| gather(&*together, split.train().len() as f64)).transpose()?;
    let (split, description) = &match of_each {
        None => (split.clone(), description),
        Some(of_each) => {
            let of_each = of_each.into_iter().map(|n_images| n_images as usize).collect();
            let split = split.with_n_train_of_each(of_each);
            let description = Description::new(&architecture, &split, &training)?;
            (split, description)
        }
    };
    if together.rank() > 0 {
        let state = broadcast_bytes(&*together, Vec::new())?;
        // Nothing is left to do.
        if state.is_empty() {
            return Ok(None);
        }
        let start = state::of_bytes(&state, folder, description)?;
        let mut training = Loop::begin(Some(start), architecture, split, training, together)?;
        training.run(|_| ControlFlow::Continue(()), |_| Ok(()))?;
        return Ok(None);
    }
    match begin_in(folder, architecture, split, training, &together)? {
        Begun::Ended(model) => {
            broadcast_bytes(&*together, Vec::new())?;
            Ok(Some(*model))
        }
        Begun::UnderWay(training) => {
            broadcast_bytes(&*together, state::to_bytes(folder, &training.checkpoint()?)?)?;
            training.finish(observe, |_| ()).map(Some)
        }
    }
}

/// Refuses a share that was opened for another process, or for another number of them.
fn check_share((rank, n_processes): (usize, usize), together: &dyn Together) -> Result<()> {
    if (rank, n_processes) == (together.rank(), together.size()) {
        return Ok(());
    }
    Err(Error::processes(
        format!("training together, in process {} of {}", together.rank(), together.size()),
        format!("share {rank} of {n_processes} of the images"),
        "the process's own",
        "open the images with OpenOptions::share of its rank and of the number of processes",
    ))
}

/// Refuses to train together with other settings, data or another version than process 0.
fn check_same(of_first: &[u8], here: &str, rank: usize) -> Result<()> {
    let [of_first, here] = [of_first, here.as_bytes()].map(|text| serde_json::from_slice::<Value>(text).ok());
    let difference = match (of_first, here) {
        (Some(of_first), Some(here)) => first_difference("", &of_first, &here),
        _ => Some("settings that cannot be read there".into()),
    };
    match difference {
        None => Ok(()),
        Some(difference) => Err(Error::processes(
            format!("training together with process 0, in process {rank}"),
            difference,
            "the same settings, data and version of diabolo",
            "give all processes the same file and the same data",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{OpenOptions, open, open_with};
    use crate::device::Device;
    use crate::run::Run;
    use crate::together::tests::in_threads;

    fn few() -> Split {
        let scenes = open("scenes").unwrap().hold_out(&["boat", "car"]).unwrap();
        Split::new("a few scenes", scenes.train().first(44).unwrap(), scenes.test().first(60).unwrap()).unwrap()
    }

    fn training() -> Training {
        Training::report_cnn().epochs(3).batch_size(14).device(Device::Cpu)
    }

    #[test]
    fn a_training_that_was_stopped_goes_on_in_all_processes() {
        let folder = tempfile::tempdir().unwrap();
        let fit = |folder: &Path, n_steps: usize| {
            let mut models = in_threads(3, |together| {
                let mut n_done = 0;
                let observe = |_: &Progress| {
                    n_done += 1;
                    if n_done == n_steps { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                };
                fit_together(folder, Architecture::conv(), &few(), training(), together, observe).unwrap()
            });
            assert!(models[1..].iter().all(Option::is_none), "only the first has it");
            models.remove(0).unwrap()
        };
        let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
        let wanted = fit(&whole, usize::MAX);
        // Told with the next step, after which all stop.
        let stopped = fit(&parts, 5);
        assert_eq!(stopped.history().epochs.len(), 1);
        assert!(!Run::open(&parts).unwrap().is_finished);
        let found = fit(&parts, usize::MAX);
        assert_eq!(found.network().snapshot().unwrap(), wanted.network().snapshot().unwrap());
        let losses = |model: &Autoencoder| Vec::from_iter(model.history().epochs.iter().map(|epoch| epoch.loss_mean));
        assert_eq!(losses(&found), losses(&wanted));
        assert_eq!(losses(&fit(&parts, 0)), losses(&wanted), "opened, since nothing is left to do");
    }

    #[test]
    fn other_settings_than_those_of_the_first_process_are_refused() {
        let message = check_same(br#"{"training":{"epochs":5}}"#, r#"{"training":{"epochs":6}}"#, 2).unwrap_err();
        let message = message.to_string();
        assert!(message.contains("in process 2: found epochs 5 there, and 6 here"), "{message}");
        let message = check_same(br#"{"diabolo":"0.1.0"}"#, r#"{"diabolo":"0.2.0"}"#, 1).unwrap_err().to_string();
        assert!(message.contains("found diabolo \"0.1.0\" there, and \"0.2.0\" here"), "{message}");
        check_same(br#"{"a":1}"#, r#"{"a":1}"#, 1).unwrap();
    }

    /// This process's share of the images of [`few`].
    fn share_of_few(together: &dyn Together) -> Split {
        let options = OpenOptions::default().share(together.rank(), together.size());
        open_with("scenes", options).unwrap().hold_out(&["boat", "car"]).unwrap().train_on_first(14).unwrap()
    }

    #[test]
    fn shares_of_the_images_train_one_model_and_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let fit = |name: &str, n_steps: usize| {
            let mut models = in_threads(3, |together| {
                let mut n_done = 0;
                let observe = |_: &Progress| {
                    n_done += 1;
                    if n_done == n_steps { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                };
                let share = share_of_few(&*together);
                fit_together(folder.path().join(name), Architecture::conv(), &share, training(), together, observe)
                    .unwrap()
            });
            models.remove(0).unwrap()
        };
        let wanted = fit("whole", usize::MAX);
        // 42 images are three steps of 14.
        assert_eq!(wanted.history().epochs.len(), 3);
        let stopped = fit("parts", 4);
        assert_eq!(stopped.history().epochs.len(), 1);
        let found = fit("parts", usize::MAX);
        assert_eq!(found.network().snapshot().unwrap(), wanted.network().snapshot().unwrap());
    }

    #[test]
    fn a_share_of_another_process_and_images_beside_a_share_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let message = |split: &Split, together: Arc<dyn Together>| {
            let fitted = fit_together(folder.path(), Architecture::conv(), split, training(), together, |_| {
                ControlFlow::Continue(())
            });
            fitted.unwrap_err().to_string()
        };
        let open_share = |rank| open_with("scenes", OpenOptions::default().share(rank, 2)).unwrap();
        let messages = in_threads(2, |together| message(&open_share(1 - together.rank()), together));
        assert!(messages[0].contains("found share 1 of 2"), "{}", messages[0]);
        let here = to_json(folder.path(), &Description::new(&Architecture::conv(), &few(), &training()).unwrap());
        let shares = Description::new(&Architecture::conv(), &open_share(0), &training()).unwrap().of_all_shares();
        let shares = to_json(folder.path(), &shares).unwrap();
        let message = check_same(shares.as_bytes(), &here.unwrap(), 1).unwrap_err().to_string();
        assert!(message.contains("a share of the images"), "{message}");
    }
}
