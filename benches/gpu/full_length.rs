//! The trainings of `notebooks/full`, side by side on one GPU, until they are done or a time is up; run again to go on.
//!
//!     full_length --data CIFAR_BATCHES_FOLDER --out FOLDER [--device cuda] [--seconds 400] [--dry]
//!
//! Trains in the folders that the files of `notebooks/full` name, below FOLDER, and `report_cnn` with one setting changed in
//! others; prints how far each training is. `--dry` makes two epochs of a few images of `scenes` of each.

use diabolo::data::{Split, open};
use diabolo::prelude::{Architecture, Device, Evaluation, Keep, Layer, Optimizer, Training};
use diabolo::run::fit_in;
use diabolo::sweep::{self, Experiment, Pair, Sweep};
use std::error::Error;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Pairs of classes nearest to the report that are trained with other seeds, too.
const N_NEAREST: usize = 10;

struct Work {
    cifar: Option<PathBuf>,
    out: PathBuf,
    device: Device,
    ends: Instant,
    is_dry: bool,
}

fn main() -> Outcome<()> {
    let work = Work::from_arguments()?;
    let queues: [&(dyn Fn() -> Outcome<()> + Sync); 5] = [
        &|| work.train("report_cnn_automobile_ship", Architecture::report_cnn(), Training::report_cnn(), PAIR),
        &|| {
            work.train("fcn_automobile_ship", Architecture::fcn(), Training::report_fcn(), PAIR)?;
            work.train("fcn_scenes", Architecture::fcn(), Training::report_fcn(), SCENES)?;
            work.train("report_cnn_scenes", Architecture::report_cnn(), Training::report_cnn(), SCENES)
        },
        // One setting changed, to see which of them the network needs to learn at all.
        &|| {
            let adam = few_epochs().optimizer(Optimizer::AdamW { weight_decay: 0.01 });
            work.train("report_cnn_adam", Architecture::report_cnn(), adam, PAIR)?;
            let faster = few_epochs().learning_rate(1e-2);
            work.train("report_cnn_rate", Architecture::report_cnn(), faster, PAIR)
        },
        &|| {
            work.train("report_cnn_no_last_dropout", without_last_dropout(), few_epochs(), PAIR)?;
            let epoch_loss = few_epochs().keep(Keep::LowestEpochLoss);
            work.train("report_cnn_keep", Architecture::report_cnn(), epoch_loss, PAIR)
        },
        &|| work.sweep(),
    ];
    std::thread::scope(|scope| {
        let threads: Vec<_> = queues.iter().map(|queue| scope.spawn(queue)).collect();
        // All of them, whatever becomes of the others.
        let ended: Vec<_> =
            threads.into_iter().map(|thread| thread.join().expect("a training does not panic")).collect();
        ended.into_iter().collect()
    })
}

/// The report's settings, for fewer epochs.
fn few_epochs() -> Training {
    Training::report_cnn().epochs(300)
}

/// The report's network without the dropout between its last batch norm and its Tanh.
fn without_last_dropout() -> Architecture {
    let mut architecture = Architecture::report_cnn().named("report_cnn without its last dropout");
    let last = architecture.decoder.iter().rposition(|layer| matches!(layer, Layer::Dropout { .. }));
    architecture.decoder.remove(last.expect("the network has dropout"));
    architecture
}

const PAIR: Option<[&str; 2]> = Some(["automobile", "ship"]);
/// Of `scenes`, which has its own held-out classes.
const SCENES: Option<[&str; 2]> = None;

#[expect(clippy::print_stdout, reason = "what it is for")]
fn say(line: &str) {
    println!("{line}");
}

impl Work {
    fn from_arguments() -> Outcome<Self> {
        let (mut seconds, device) = (400.0, Device::Cuda(0));
        let mut work = Self { cifar: None, out: "runs/full".into(), device, ends: Instant::now(), is_dry: false };
        // `cargo bench` adds a flag of its own.
        let mut given = std::env::args().skip(1).filter(|argument| argument != "--bench");
        while let Some(option) = given.next() {
            let mut value = || given.next().ok_or(format!("{option} wants a value"));
            match option.as_str() {
                "--dry" => work.is_dry = true,
                "--data" => work.cifar = Some(value()?.into()),
                "--out" => work.out = value()?.into(),
                "--device" => work.device = value()?.parse()?,
                "--seconds" => seconds = value()?.parse()?,
                _ => return Err(format!("{option} is no option").into()),
            }
        }
        work.ends += Duration::from_secs_f64(seconds);
        Ok(work)
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.ends
    }

    /// The images of a training.
    fn data(&self, held_out: Option<[&str; 2]>) -> Outcome<Split> {
        let held_out = match (&self.cifar, held_out) {
            (Some(cifar), Some(pair)) if !self.is_dry => return Ok(open(cifar)?.hold_out(&pair)?),
            _ => ["moon", "mushroom"],
        };
        let split = open("scenes")?.hold_out(&held_out)?;
        Ok(if self.is_dry { split.train_on_first(200)? } else { split })
    }

    fn settings(&self, training: Training, watch_every: usize) -> Training {
        let training = Training { device: self.device, ..training }.watch_every(watch_every);
        if self.is_dry { training.epochs(2) } else { training }
    }

    fn train(
        &self,
        name: &str,
        architecture: Architecture,
        training: Training,
        held_out: Option<[&str; 2]>,
    ) -> Outcome<()> {
        let left = self.ends.saturating_duration_since(Instant::now()).as_secs_f64();
        if left < 1.0 {
            say(&format!("{name}: no time"));
            return Ok(());
        }
        let training = self.settings(training, 20).max_seconds(left);
        let data = self.data(held_out)?;
        let model = fit_in(self.out.join(name), architecture, &data, training, |_| ControlFlow::Continue(()))?;
        say(&format!("{name}: {}", model.history()));
        Ok(())
    }

    /// All pairs with one seed, and the nearest to the report with two more.
    fn sweep(&self) -> Outcome<()> {
        let split = match &self.cifar {
            Some(cifar) if !self.is_dry => open(cifar)?,
            _ => open("scenes")?.train_on_first(200)?,
        };
        let pairs = split.class_pairs(if self.is_dry { 3 } else { usize::MAX })?;
        let first = self.sweep_with_seed(&split, &pairs, 0)?;
        let nearest: Vec<Pair> = match self.is_dry {
            true => pairs,
            false => first.nearest_to_report(N_NEAREST),
        };
        [1, 2].into_iter().try_for_each(|seed| self.sweep_with_seed(&split, &nearest, seed).map(drop))
    }

    fn sweep_with_seed(&self, split: &Split, pairs: &[Pair], seed: u64) -> Outcome<Sweep> {
        let training = self.settings(Training::report_fcn().epochs(100).keep(Keep::LowestMinibatchLoss).seed(seed), 10);
        let evaluations =
            [Evaluation::Reconstruction, Evaluation::KMeans(3), Evaluation::KMeans(5), Evaluation::Pca(2)];
        let experiment = Experiment::new(Architecture::fcn(), training, &evaluations);
        let observe = |_: &_| if self.is_over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        let sweep = sweep::run(&experiment, split, pairs, self.out.join("fcn_all_pairs"), observe)?;
        say(&format!("seed {seed}: {sweep}"));
        Ok(sweep)
    }
}
