//! Progress of long calls, as lines of text.

use crate::train::Progress;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// At most one line in this time: a training of minutes fills a screen, not a book.
const BETWEEN_LINES: Duration = Duration::from_secs(2);

/// Prints a line at the end of an epoch, at most every two seconds, and at the end.
pub(crate) fn training_lines() -> impl FnMut(&Progress) -> ControlFlow<()> {
    let mut last_line = Instant::now();
    let mut losses = Mean::default();
    move |progress| {
        losses.add(progress.loss);
        if progress.step == progress.n_steps {
            let is_last = progress.epoch == progress.n_epochs;
            if is_last || last_line.elapsed() >= BETWEEN_LINES {
                println!("{}", line(progress, losses.value()));
                last_line = Instant::now();
            }
            losses = Mean::default();
        }
        ControlFlow::Continue(())
    }
}

fn line(progress: &Progress, loss: f64) -> String {
    let Progress { name, epoch, n_epochs, images_per_second, seconds, seconds_remaining, .. } = progress;
    let width = n_epochs.to_string().len();
    format!(
        "{name}: epoch {epoch:>width$}/{n_epochs}, loss {loss:.4}, {images_per_second:.0} images/s, {} done, {} to go",
        duration(*seconds),
        duration(*seconds_remaining),
    )
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

#[derive(Default)]
struct Mean {
    sum: f64,
    n: usize,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.n += 1;
    }

    fn value(&self) -> f64 {
        self.sum / self.n as f64
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
            loss: 0.5,
            images_per_second: 15_432.1,
            seconds: 3.6,
            seconds_remaining: 200.4,
        };
        let expected = "fcn: epoch  7/20, loss 0.1234, 15432 images/s, 4 s done, 3 min 20 s to go";
        assert_eq!(line(&progress, 0.1234), expected);
    }

    #[test]
    fn durations_are_said_as_a_person_would() {
        assert_eq!([0.4, 59.0, 61.0, 7500.0].map(duration), ["0 s", "59 s", "1 min 1 s", "2 h 5 min"]);
    }
}
