//! Progress of long calls: a bar and a loss curve in the diabolo kernel, lines of text elsewhere.

use super::live::Live;
use crate::data::Download;
use crate::figure::{Figure, LineChart, Series, escape, line_chart};
use crate::sweep::SweepProgress;
use crate::train::{History, Progress, Watched};
use crate::views::watched_chart;
use std::time::{Duration, Instant};

/// At most one line in this time: a training of minutes fills a screen, not a book.
const BETWEEN_LINES: Duration = Duration::from_secs(2);
/// Time between two updates: smooth to the eye, and cheap compared with a training step.
const BETWEEN_UPDATES: Duration = Duration::from_millis(400);

/// A bar that grows in place, or lines of text where nothing can be replaced.
pub(crate) struct Bar {
    live: Option<Live>,
    last: Option<Instant>,
}

impl Bar {
    pub(crate) fn new(what: &str) -> Self {
        Self { live: Live::new(what), last: None }
    }

    /// Whether it is time for the next line.
    fn is_due(&mut self) -> bool {
        let pause = if self.live.is_some() { BETWEEN_UPDATES } else { BETWEEN_LINES };
        // A live bar appears at once; the first line of text waits until there is something to say.
        let is_due = match self.last {
            None => self.live.is_some(),
            Some(last) => last.elapsed() >= pause,
        };
        if is_due || self.last.is_none() {
            self.last = Some(Instant::now());
        }
        is_due
    }

    /// Shows that this share (0..=1) of the work is done, with a drawing below where there is room for one.
    fn show(&mut self, share: f64, text: &str, drawings: impl FnOnce() -> Vec<Figure>) {
        match &mut self.live {
            None => super::print_line(text),
            Some(live) => {
                let html = format!(
                    "<div style=\"font-variant-numeric:tabular-nums\"><progress value=\"{share:.4}\" max=\"1\" \
                     style=\"width:16em;vertical-align:middle;margin-right:1em\"></progress>{}</div>{}",
                    escape(text),
                    drawings().iter().map(|figure| String::from_utf8_lossy(figure.bytes())).collect::<String>()
                );
                live.show(&[("text/html", &html), ("text/plain", text)]);
            }
        }
    }
}

/// Shows the progress of one training.
pub(crate) struct TrainingProgress {
    bar: Bar,
    epoch_losses: Mean,
    losses: Buckets,
    /// By epoch.
    watched: Vec<(usize, Watched)>,
    share: f64,
    text: String,
}

impl TrainingProgress {
    pub(crate) fn new() -> Self {
        Self {
            bar: Bar::new("training"),
            epoch_losses: Mean::default(),
            losses: Buckets::default(),
            watched: Vec::new(),
            share: 0.0,
            text: String::new(),
        }
    }

    /// To be called after every step.
    pub(crate) fn step(&mut self, progress: &Progress) {
        let is_epoch_end = progress.step == progress.n_steps;
        let is_end = is_epoch_end && progress.epoch == progress.n_epochs;
        self.epoch_losses.add(progress.loss);
        let epochs_done = (progress.epoch - 1) as f64 + progress.step as f64 / progress.n_steps as f64;
        self.losses.add(epochs_done, progress.loss);
        if progress.watched.is_some_and(|(epoch, _)| self.watched.last().is_none_or(|(last, _)| *last < epoch)) {
            self.watched.extend(progress.watched);
        }
        // Lines of text are written after whole epochs.
        if is_end || ((self.bar.live.is_some() || is_epoch_end) && self.bar.is_due()) {
            self.share = epochs_done / progress.n_epochs as f64;
            self.text = Progress { loss: self.epoch_losses.value(), ..progress.clone() }.to_string();
            self.bar.show(self.share, &self.text, || figures(&self.losses, &self.watched, &progress.name));
        }
        if is_epoch_end {
            self.epoch_losses = Mean::default();
        }
    }

    /// To be called when training has ended, for whatever reason.
    pub(crate) fn finish(mut self, name: &str, history: &History) {
        self.watched = history.watched().map(|(epoch, watched)| (epoch, *watched)).collect();
        let text = history.warning().map(|warning| format!("{}; {warning}", self.text));
        if self.bar.live.is_some() && (text.is_some() || !self.watched.is_empty()) {
            let text = text.unwrap_or(self.text);
            self.bar.show(self.share, &text, || figures(&self.losses, &self.watched, name));
        }
    }
}

/// The loss curve and, of a training that is watched, a panel below it.
fn figures(losses: &Buckets, watched: &[(usize, Watched)], name: &str) -> Vec<Figure> {
    let panel = (!watched.is_empty()).then(|| watched_chart(watched).ok()).flatten();
    losses.figure(name).into_iter().chain(panel).collect()
}

/// Shows the progress of a sweep: one bar for all its trainings.
pub(crate) struct SweepProgressBar(Bar);

impl SweepProgressBar {
    pub(crate) fn new() -> Self {
        Self(Bar::new("sweep"))
    }

    /// To be called after every step.
    pub(crate) fn step(&mut self, progress: &SweepProgress) {
        let SweepProgress { number, n_trainings, held_out, seed, training } = progress;
        let is_end = training.step == training.n_steps && training.epoch == training.n_epochs;
        if is_end || self.0.is_due() {
            let epochs_done = (training.epoch - 1) as f64 + training.step as f64 / training.n_steps as f64;
            let share = ((number - 1) as f64 + epochs_done / training.n_epochs as f64) / *n_trainings as f64;
            let text = format!(
                "{}: training {number}/{n_trainings} ({}, seed {seed}), epoch {}/{}",
                training.name,
                held_out.join(", "),
                training.epoch,
                training.n_epochs
            );
            self.0.show(share, &text, Vec::new);
        }
    }
}

/// Shows the progress of a download.
pub(crate) struct DownloadProgressBar(Bar);

impl DownloadProgressBar {
    pub(crate) fn new() -> Self {
        Self(Bar::new("download"))
    }

    /// To be called after every piece.
    pub(crate) fn step(&mut self, progress: &Download) {
        if progress.share() == Some(1.0) || self.0.is_due() {
            self.0.show(progress.share().unwrap_or(0.0), &progress.to_string(), Vec::new);
        }
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

/// The losses of a training of any length as at most [`Buckets::MOST`] points: when they are full, neighbours are merged.
#[derive(Default)]
struct Buckets {
    points: Vec<(f64, f64)>,
    /// Steps in a full bucket, as a power of two.
    doublings: u32,
    open: Mean,
}

impl Buckets {
    const MOST: usize = 256;

    fn add(&mut self, epochs_done: f64, loss: f64) {
        self.open.add(loss);
        if self.open.n < 1 << self.doublings {
            return;
        }
        self.points.push((epochs_done, self.open.value()));
        self.open = Mean::default();
        if self.points.len() == Self::MOST {
            self.points = self.points.chunks(2).map(|pair| (pair[1].0, (pair[0].1 + pair[1].1) / 2.0)).collect();
            self.doublings += 1;
        }
    }

    /// The curve so far; there is none before the first finite loss.
    fn figure(&self, name: &str) -> Option<Figure> {
        let chart = LineChart {
            title: format!("{name}: loss while training"),
            x_title: "epoch".into(),
            y_title: "loss".into(),
            series: vec![Series { name: "mean of some minibatches".into(), points: self.points.clone() }],
            marks: Vec::new(),
        };
        line_chart(&chart).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_training_has_a_short_curve_of_the_same_mean() {
        let mut buckets = Buckets::default();
        (1..=10_240).for_each(|step| buckets.add(f64::from(step) / 100.0, f64::from(step)));
        let points = &buckets.points;
        assert!((Buckets::MOST / 2..Buckets::MOST).contains(&points.len()), "{}", points.len());
        assert!(points.windows(2).all(|pair| pair[0].0 < pair[1].0));
        let mean = points.iter().map(|point| point.1).sum::<f64>() / points.len() as f64;
        assert!((mean - 5120.5).abs() < 1e-9, "{mean}");
    }
}
