//! Training in the background, while other cells run.

use super::folder::{Begun, begin_in};
use crate::data::Split;
use crate::model::Architecture;
use crate::together::alone;
use crate::train::{Autoencoder, History, Loop, Progress, Training};
use crate::{Error, Result, interrupt};
use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often [`BackgroundTraining::join`] checks while it waits.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);
/// How long a dropped training is waited for.
const LONGEST_WAIT_FOR_A_STEP: Duration = Duration::from_secs(30);

/// A handle to a training in a thread of its own.
///
/// It gives the very weights that [`fit`](crate::train::fit) gives, whatever runs beside it, since all its random numbers
/// follow from its own seed. The stop button is for the cell that runs; this training is stopped by
/// [`BackgroundTraining::stop`], and when its handle is dropped, which waits for the step at work. It ends with the process that runs the cells; in a
/// folder ([`BackgroundTraining::start_in`]) nothing of it is lost.
///
/// # Example
/// ```
/// # use diabolo::prelude::*;
/// # let data = open("scenes")?.hold_out(&["boat", "car"])?;
/// # let data = Split::new("a few scenes", data.train().first(64)?, data.test().first(64)?)?;
/// let training = BackgroundTraining::start(Architecture::conv(), &data, Training::default().epochs(2))?;
/// // Other cells run here, and may ask:
/// println!("{training}");
/// let model = training.join()?;
/// assert_eq!(model.history().epochs.len(), 2);
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a training whose handle is dropped is stopped"]
pub struct BackgroundTraining {
    name: String,
    shared: Arc<Shared>,
    outcome: Mutex<Outcome>,
}

/// What the handle and the thread share.
#[derive(Debug)]
struct Shared {
    is_stopping: AtomicBool,
    progress: Mutex<Option<Progress>>,
    history: Mutex<History>,
}

#[derive(Debug)]
enum Outcome {
    AtWork(JoinHandle<Result<Autoencoder>>),
    Ended(Box<Autoencoder>),
    /// The first to ask was given the error.
    Failed,
}

impl BackgroundTraining {
    /// Starts a training in a thread of its own.
    ///
    /// # Errors
    /// Those of [`fit`](crate::train::fit) that are known before the first step; later ones come from
    /// [`BackgroundTraining::join`].
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// let training = BackgroundTraining::start(small, &data, Training::default().epochs(3))?;
    /// assert_eq!(training.join()?.history().epochs.len(), 3);
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn start(architecture: Architecture, split: &Split, training: Training) -> Result<Self> {
        let name = architecture.name.clone();
        let mut training = Loop::begin(None, architecture, split, training, alone())?;
        Ok(Self::spawn(name, training.history(), |shared| {
            let after_epoch = |training: &Loop| {
                shared.watch(training);
                Ok(())
            };
            training.run(|progress| shared.observe(progress), after_epoch)?;
            training.into_model()
        }))
    }

    /// The same in a folder, as [`fit_in`](super::fit_in): it goes on where it was, and a finished one is opened.
    ///
    /// # Errors
    /// Those of [`fit_in`](super::fit_in) that are known before the first step; later ones come from
    /// [`BackgroundTraining::join`].
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let runs = folder.path();
    /// let settings = Training::default().epochs(3);
    /// let training = BackgroundTraining::start_in(runs.join("small"), small, &data, settings)?;
    /// training.join()?;
    /// assert!(Run::open(runs.join("small"))?.is_finished);
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn start_in(
        folder: impl AsRef<Path>,
        architecture: Architecture,
        split: &Split,
        training: Training,
    ) -> Result<Self> {
        let name = architecture.name.clone();
        Ok(match begin_in(folder.as_ref(), architecture, split, training, &alone())? {
            Begun::Ended(model) => {
                Self { name, shared: Shared::new(model.history().clone()), outcome: Mutex::new(Outcome::Ended(model)) }
            }
            Begun::UnderWay(training) => Self::spawn(name, training.history(), |shared| {
                training.finish(|progress| shared.observe(progress), |training| shared.watch(training))
            }),
        })
    }

    fn spawn(
        name: String,
        history: History,
        train: impl FnOnce(&Shared) -> Result<Autoencoder> + Send + 'static,
    ) -> Self {
        let shared = Shared::new(history);
        let of_thread = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            interrupt::detach_thread();
            train(&of_thread)
        });
        Self { name, shared, outcome: Mutex::new(Outcome::AtWork(thread)) }
    }

    /// Its progress; `None` before the first step.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// let training = BackgroundTraining::start(small, &data, Training::default().epochs(3))?;
    /// training.join()?;
    /// assert_eq!(training.progress().expect("it has begun").epoch, 3);
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn progress(&self) -> Option<Progress> {
        locked(&self.shared.progress).clone()
    }

    /// Its history so far: the epochs that are finished.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// let training = BackgroundTraining::start(small, &data, Training::default().epochs(3))?;
    /// let so_far = training.history().epochs.len();
    /// assert!(so_far <= 3);
    /// training.join()?;
    /// assert_eq!(training.history().epochs.len(), 3);
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn history(&self) -> History {
        locked(&self.shared.history).clone()
    }

    /// Whether it has ended, for whatever reason.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// let training = BackgroundTraining::start(small, &data, Training::default().epochs(3))?;
    /// training.join()?;
    /// assert!(training.has_ended());
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn has_ended(&self) -> bool {
        match &*locked(&self.outcome) {
            Outcome::AtWork(thread) => thread.is_finished(),
            Outcome::Ended(_) | Outcome::Failed => true,
        }
    }

    /// Asks it to end after the step at work; [`BackgroundTraining::join`] then gives the best model so far.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// let training = BackgroundTraining::start(small, &data, Training::default().epochs(1_000_000))?;
    /// training.stop();
    /// assert!(training.join()?.history().epochs.len() < 1_000_000);
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn stop(&self) {
        self.shared.is_stopping.store(true, Ordering::Relaxed);
    }

    /// Waits for its end and gives the model; may be called again.
    ///
    /// # Errors
    /// [`Error::Interrupted`] when the user presses stop while it waits: the training goes on. Otherwise what ended the
    /// training before it had learned anything; the first call has the reason.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// let training = BackgroundTraining::start(small, &data, Training::default().epochs(3))?;
    /// let scores = training.join()?.score(data.test())?;
    /// assert_eq!(scores, training.join()?.score(data.test())?);
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn join(&self) -> Result<Autoencoder> {
        while !self.has_ended() {
            interrupt::check(&format!("waiting for the training of {}, which goes on", self.name))?;
            thread::sleep(BETWEEN_LOOKS);
        }
        let mut outcome = locked(&self.outcome);
        let thread = match std::mem::replace(&mut *outcome, Outcome::Failed) {
            Outcome::AtWork(thread) => thread,
            Outcome::Ended(model) => {
                *outcome = Outcome::Ended(model.clone());
                return Ok(*model);
            }
            Outcome::Failed => return Err(self.failure("a training that failed, as the first call said")),
        };
        let model = thread.join().map_err(|_| self.failure("a panic in its thread"))??;
        *locked(&self.shared.history) = model.history().clone();
        *outcome = Outcome::Ended(Box::new(model.clone()));
        Ok(model)
    }

    fn failure(&self, found: &str) -> Error {
        Error::data(format!("waiting for the training of {}", self.name), found, "a model", "train it anew")
    }
}

impl Drop for BackgroundTraining {
    /// Waits for the step at work, and for its folder: a thread inside libtorch while the process ends would meet what
    /// libtorch takes down then.
    fn drop(&mut self) {
        self.stop();
        let dropped = Instant::now();
        while !self.has_ended() && dropped.elapsed() < LONGEST_WAIT_FOR_A_STEP && !interrupt::is_requested() {
            thread::sleep(BETWEEN_LOOKS);
        }
    }
}

impl Shared {
    fn new(history: History) -> Arc<Self> {
        Arc::new(Self { is_stopping: AtomicBool::new(false), progress: Mutex::new(None), history: Mutex::new(history) })
    }

    fn observe(&self, progress: &Progress) -> ControlFlow<()> {
        *locked(&self.progress) = Some(progress.clone());
        match self.is_stopping.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    fn watch(&self, training: &Loop) {
        *locked(&self.history) = training.history();
    }
}

/// What is locked here is replaced whole, so a panic elsewhere leaves nothing half-written.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Display for BackgroundTraining {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match (self.has_ended(), self.progress()) {
            (true, _) => write!(f, "{} has ended; join() gives the model", self.name),
            (false, None) => write!(f, "{}: beginning", self.name),
            (false, Some(progress)) => progress.fmt(f),
        }
    }
}
