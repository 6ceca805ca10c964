//! The progress of a training.

use super::Watched;
use std::fmt;

/// Progress of a training, reported after every step.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// let mut last = None;
/// let settings = Training::default().epochs(3).batch_size(16);
/// diabolo::train::fit(small, &data, settings, |progress| {
///     last = Some(progress.clone());
///     std::ops::ControlFlow::Continue(())
/// })?;
/// let last = last.expect("32 images are two steps an epoch");
/// assert_eq!((last.epoch, last.n_epochs, last.step, last.n_steps), (3, 3, 2, 2));
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// The architecture's name.
    pub name: String,
    /// Epoch under way, from 1.
    pub epoch: usize,
    /// Epochs asked for.
    pub n_epochs: usize,
    /// Steps done in this epoch, from 1.
    pub step: usize,
    /// Steps in an epoch.
    pub n_steps: usize,
    /// Loss of the minibatch just done; on a GPU the newest that has been read, a fifth of a second old at most.
    pub loss: f64,
    /// What the test images said last, with the epoch after which; where the training is watched.
    pub watched: Option<(usize, Watched)>,
    /// Mean speed since the training began.
    pub images_per_second: f64,
    /// Time since the training began.
    pub seconds: f64,
    /// Expected time to the end of the last epoch.
    pub seconds_remaining: f64,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { name, epoch, n_epochs, loss, images_per_second, seconds, seconds_remaining, .. } = self;
        let width = n_epochs.to_string().len();
        write!(
            f,
            "{name}: epoch {epoch:>width$}/{n_epochs}, loss {loss:.4}, {images_per_second:.0} images/s, {} done, {} to go",
            duration(*seconds),
            duration(*seconds_remaining),
        )
    }
}

/// As a person would say it: 7 s, 3 min 20 s, 2 h 5 min.
fn duration(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_where_training_is() {
        let progress = Progress {
            name: "fcn".into(),
            epoch: 7,
            n_epochs: 20,
            step: 63,
            n_steps: 63,
            loss: 0.1234,
            watched: None,
            images_per_second: 15_432.1,
            seconds: 3.6,
            seconds_remaining: 200.4,
        };
        let expected = "fcn: epoch  7/20, loss 0.1234, 15432 images/s, 4 s done, 3 min 20 s to go";
        assert_eq!(progress.to_string(), expected);
    }

    #[test]
    fn durations_are_said_as_a_person_would() {
        assert_eq!([0.4, 59.0, 61.0, 7500.0].map(duration), ["0 s", "59 s", "1 min 1 s", "2 h 5 min"]);
    }
}
