//! The trainings of a sweep: one after another, or several at once on a GPU, of which one small network keeps little busy.

use super::{Item, SweepProgress};
use crate::device::is_host;
use crate::train::Progress;
use crate::{Error, Result};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Trainings at the same time. More gain little: each wants a thread of the host.
const N_ON_A_GPU: usize = 4;

/// How many trainings are at work at the same time on this device.
pub(super) fn n_at_once(device: tch::Device) -> usize {
    if is_host(device) { 1 } else { N_ON_A_GPU }
}

/// What is told of a training while it is at work; it breaks to end all.
pub(super) type Tell<'a> = &'a mut dyn FnMut(&Progress) -> ControlFlow<()>;

/// Does `work` for each of `items`, which have their numbers, until it breaks.
pub(super) fn train_in_turn(
    items: &[(usize, Item)],
    n_trainings: usize,
    work: impl Fn(&Item, Tell) -> Result<ControlFlow<()>>,
    mut observe: impl FnMut(&SweepProgress) -> ControlFlow<()>,
) -> Result<()> {
    for (number, item) in items {
        let mut tell = |training: &Progress| observe(&progress((*number, item), n_trainings, training));
        match work(item, &mut tell) {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) | Err(Error::Interrupted { .. }) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn progress((number, item): (usize, &Item), n_trainings: usize, training: &Progress) -> SweepProgress {
    let Item { held_out, seed } = item.clone();
    SweepProgress { number, n_trainings, held_out, seed, training: training.clone() }
}

enum Message {
    Progress(SweepProgress),
    /// It breaks where training was interrupted.
    Ended(Result<ControlFlow<()>>),
}

/// Does `work` for each of `items`, so many at a time. `observe` is called in this thread. Ends early when it breaks, when
/// `work` does and when that fails.
pub(super) fn train_side_by_side(
    items: &[(usize, Item)],
    n_at_once: usize,
    n_trainings: usize,
    work: impl Fn(&Item, Tell) -> Result<ControlFlow<()>> + Sync,
    mut observe: impl FnMut(&SweepProgress) -> ControlFlow<()>,
) -> Result<()> {
    let left = Mutex::new(items.iter());
    let is_stopping = AtomicBool::new(false);
    let worker = |sender: Sender<Message>| {
        loop {
            let next = left.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((number, item)) = next.filter(|_| !is_stopping.load(Ordering::Relaxed)) else { return };
            let mut tell = |training: &Progress| {
                let progress = progress((*number, item), n_trainings, training);
                // Nobody listens once the sweep is at its end.
                let is_heard = sender.send(Message::Progress(progress)).is_ok();
                if is_heard && !is_stopping.load(Ordering::Relaxed) {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            };
            let ended = work(item, &mut tell);
            if sender.send(Message::Ended(ended)).is_err() {
                return;
            }
        }
    };
    thread::scope(|scope| {
        let (sender, receiver) = channel();
        for _ in 0..n_at_once.min(items.len()) {
            let sender = sender.clone();
            scope.spawn(|| worker(sender));
        }
        drop(sender);
        let ended = listen(&receiver, &is_stopping, &mut observe);
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
) -> Result<()> {
    for message in receiver {
        let flow = match message {
            Message::Progress(progress) => observe(&progress),
            Message::Ended(Err(Error::Interrupted { .. })) => ControlFlow::Break(()),
            Message::Ended(ended) => ended?,
        };
        if flow.is_break() {
            is_stopping.store(true, Ordering::Relaxed);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Experiment, SweepSettings};
    use super::*;
    use crate::data::{Split, open};
    use crate::device::Device;
    use crate::evaluation::Evaluation;
    use crate::model::Architecture;
    use crate::train::Training;

    fn settings() -> (SweepSettings, Split, Vec<(usize, Item)>) {
        let split = open("scenes").unwrap().train_on_first(200).unwrap();
        let training = Training::default().epochs(2).device(Device::Cpu);
        let experiment = Experiment::new(Architecture::fcn(), training, &[Evaluation::Reconstruction]);
        let items = split.class_pairs(5).unwrap().into_iter().map(|held_out| Item { held_out, seed: 0 });
        let items = (1..).zip(items).collect();
        (SweepSettings::new(&experiment, &split).unwrap(), split, items)
    }

    #[test]
    fn trainings_side_by_side_are_those_one_after_another() {
        let (settings, split, items) = settings();
        let found = Mutex::new(Vec::new());
        let mut numbers = Vec::new();
        let observe = |progress: &SweepProgress| {
            numbers.push(progress.number);
            ControlFlow::Continue(())
        };
        let work = |item: &Item, tell: Tell| {
            found.lock().unwrap().push(settings.row(&split, item, tell)?.unwrap());
            Ok(ControlFlow::Continue(()))
        };
        train_side_by_side(&items, 3, items.len(), work, observe).unwrap();
        let beside = std::mem::take(&mut *found.lock().unwrap());
        train_in_turn(&items, items.len(), work, |_| ControlFlow::Continue(())).unwrap();
        for wanted in found.lock().unwrap().iter() {
            let found = beside.iter().find(|row| row.held_out == wanted.held_out).unwrap();
            assert_eq!((&found.auc, found.loss_last), (&wanted.auc, wanted.loss_last));
        }
        assert_eq!(beside.len(), 5);
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers, [1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_stop_and_an_error_end_all() {
        let (settings, split, items) = settings();
        let n_done = Mutex::new(0);
        let work = |item: &Item, tell: Tell| match settings.row(&split, item, tell)? {
            None => Ok(ControlFlow::Break(())),
            Some(_) => {
                *n_done.lock().unwrap() += 1;
                Ok(ControlFlow::Continue(()))
            }
        };
        let ended = train_side_by_side(&items, 2, items.len(), work, |_| ControlFlow::Break(()));
        assert!(ended.is_ok() && *n_done.lock().unwrap() == 0);
        let failing = |_: &Item, _: Tell| Err(Error::data("saving", "a full disk", "room", "make some"));
        let go_on = |_: &_| ControlFlow::Continue(());
        assert!(train_side_by_side(&items, 2, items.len(), failing, go_on).is_err());
    }
}
