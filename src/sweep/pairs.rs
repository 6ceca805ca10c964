//! The pairs of a sweep: one after another, or several at once on a GPU, of which one small network keeps little busy.

use super::{Pair, SweepProgress, SweepRow, SweepSettings};
use crate::data::Split;
use crate::train::Progress;
use crate::{Error, Result};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Trainings at the same time. More gain little: each wants a thread of the host.
const N_ON_A_GPU: usize = 4;

/// How many pairs are trained at the same time on this device.
pub(super) fn n_at_once(device: tch::Device) -> usize {
    if device == tch::Device::Cpu { 1 } else { N_ON_A_GPU }
}

/// Trains and scores for `pairs`, each with its number, until one is interrupted.
pub(super) fn train_in_turn(
    (settings, split): (&SweepSettings, &Split),
    pairs: &[(usize, &Pair)],
    n_pairs: usize,
    mut observe: impl FnMut(&SweepProgress) -> ControlFlow<()>,
    mut save: impl FnMut(SweepRow) -> Result<()>,
) -> Result<()> {
    for &(number, held_out) in pairs {
        let tell = |training: &Progress| {
            let training = training.clone();
            observe(&SweepProgress { number, n_pairs, held_out: held_out.clone(), training })
        };
        match settings.row(split, held_out, tell) {
            Ok(Some(row)) => save(row)?,
            Ok(None) | Err(Error::Interrupted { .. }) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

enum Message {
    Progress(SweepProgress),
    /// `None` for a pair whose training was interrupted.
    Row(Result<Option<SweepRow>>),
}

/// Trains and scores for `pairs`, each with its number, so many at a time. `observe` and `save` are called in this thread.
/// Ends early, with what is done, when one of them breaks or fails and when a training is interrupted.
pub(super) fn train_side_by_side(
    (settings, split): (&SweepSettings, &Split),
    pairs: &[(usize, &Pair)],
    n_at_once: usize,
    n_pairs: usize,
    mut observe: impl FnMut(&SweepProgress) -> ControlFlow<()>,
    mut save: impl FnMut(SweepRow) -> Result<()>,
) -> Result<()> {
    let left = Mutex::new(pairs.iter());
    let is_stopping = AtomicBool::new(false);
    let work = |sender: Sender<Message>| {
        loop {
            let next = left.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(&(number, held_out)) = next.filter(|_| !is_stopping.load(Ordering::Relaxed)) else { return };
            let tell = |training: &Progress| {
                let training = training.clone();
                let progress = SweepProgress { number, n_pairs, held_out: held_out.clone(), training };
                // Nobody listens once the sweep is at its end.
                let is_heard = sender.send(Message::Progress(progress)).is_ok();
                if is_heard && !is_stopping.load(Ordering::Relaxed) {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            };
            if sender.send(Message::Row(settings.row(split, held_out, tell))).is_err() {
                return;
            }
        }
    };
    thread::scope(|scope| {
        let (sender, receiver) = channel();
        for _ in 0..n_at_once.min(pairs.len()) {
            let sender = sender.clone();
            scope.spawn(|| work(sender));
        }
        drop(sender);
        let ended = listen(&receiver, &is_stopping, &mut observe, &mut save);
        // Whoever is still at work ends with the step.
        is_stopping.store(true, Ordering::Relaxed);
        ended
    })
}

/// Until all threads have ended, or one has failed.
fn listen(
    receiver: &Receiver<Message>,
    is_stopping: &AtomicBool,
    observe: &mut impl FnMut(&SweepProgress) -> ControlFlow<()>,
    save: &mut impl FnMut(SweepRow) -> Result<()>,
) -> Result<()> {
    for message in receiver {
        match message {
            Message::Progress(progress) => {
                if observe(&progress).is_break() {
                    is_stopping.store(true, Ordering::Relaxed);
                }
            }
            Message::Row(Ok(Some(row))) => save(row)?,
            Message::Row(Ok(None) | Err(Error::Interrupted { .. })) => {
                is_stopping.store(true, Ordering::Relaxed);
            }
            Message::Row(Err(error)) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Experiment, run};
    use super::*;
    use crate::data::open;
    use crate::device::Device;
    use crate::evaluation::Evaluation;
    use crate::model::Architecture;
    use crate::train::Training;

    fn settings() -> (SweepSettings, Split, Vec<Pair>) {
        let split = open("scenes").unwrap().train_on_first(200).unwrap();
        let training = Training::default().epochs(2).device(Device::Cpu);
        let experiment = Experiment::new(Architecture::fcn(), training, &[Evaluation::Reconstruction]);
        let pairs = split.class_pairs(5).unwrap();
        (SweepSettings::new(&experiment, &split).unwrap(), split, pairs)
    }

    #[test]
    fn pairs_side_by_side_are_those_one_after_another() {
        let (settings, split, pairs) = settings();
        let folder = tempfile::tempdir().unwrap();
        let experiment =
            Experiment::new(settings.architecture.clone(), settings.training.clone(), &settings.evaluations);
        let wanted = run(&experiment, &split, &pairs, folder.path(), |_| ControlFlow::Continue(())).unwrap().rows;
        let numbered: Vec<_> = (1..).zip(&pairs).collect();
        let mut found = Vec::new();
        let mut numbers = Vec::new();
        let observe = |progress: &SweepProgress| {
            numbers.push(progress.number);
            ControlFlow::Continue(())
        };
        let save = |row| {
            found.push(row);
            Ok(())
        };
        train_side_by_side((&settings, &split), &numbered, 3, pairs.len(), observe, save).unwrap();
        for wanted in wanted {
            let found = found.iter().find(|row| row.held_out == wanted.held_out).unwrap();
            assert_eq!((&found.auc, found.loss_last), (&wanted.auc, wanted.loss_last));
        }
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers, [1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_stop_and_an_error_end_all() {
        let (settings, split, pairs) = settings();
        let numbered: Vec<_> = (1..).zip(&pairs).collect();
        let mut n_saved = 0;
        let stop = |_: &_| ControlFlow::Break(());
        let ended = train_side_by_side((&settings, &split), &numbered, 2, pairs.len(), stop, |_| {
            n_saved += 1;
            Ok(())
        });
        assert!(ended.is_ok() && n_saved == 0);
        let failing = |_| Err(Error::data("saving", "a full disk", "room", "make some"));
        let go_on = |_: &_| ControlFlow::Continue(());
        assert!(train_side_by_side((&settings, &split), &numbered, 2, pairs.len(), go_on, failing).is_err());
    }
}
