//! Trainings whose process is killed, at points that the test chooses.
#![cfg(unix)]

#[expect(dead_code, reason = "its network is for other tests")]
#[path = "common/drawn.rs"]
mod drawn;
#[path = "common/outcome.rs"]
mod outcome;

use diabolo::prelude::*;
use diabolo::run::fit_in;
use diabolo::train::{Progress, StoppedBecause};
use drawn::drawn;
use outcome::outcome;
use std::ops::ControlFlow;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The process that is to be killed: architecture, folder, and epoch and step after which it ends itself.
const VICTIM: &str = "DIABOLO_TEST_VICTIM";

fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("kills").join(name);
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

/// AdamW, SGD with batch norm and the report's rule, and the noise of a Gaussian bottleneck; all have weights enough for a
/// limit on file sizes.
fn cases() -> [(&'static str, Architecture, Training); 3] {
    let network = |encoder: &str, decoder: &str| Architecture::parse(encoder, decoder).unwrap();
    let linear = "Linear(8, 300) / ReLU() / Linear(300, 64) / Tanh()";
    [
        (
            "adamw",
            network("Linear(64, 300) / ReLU() / Dropout(0.2) / Linear(300, 8)", linear),
            Training::report_fcn().epochs(6).batch_size(16),
        ),
        (
            "sgd",
            network(
                "Conv2d(1, 64, 3, 2, 1) / BatchNorm2d(64) / ReLU() / Dropout(0.25) / Conv2d(64, 64, 3, 2, 1)",
                "ConvTranspose2d(64, 64, 4, 2, 1) / ReLU() / ConvTranspose2d(64, 1, 4, 2, 1) / Tanh()",
            ),
            Training::report_cnn().epochs(4).batch_size(16),
        ),
        (
            "gaussian",
            network("Linear(64, 300) / ReLU() / Gaussian(8)", linear),
            Training::default().epochs(5).batch_size(16),
        ),
    ]
}

fn run_in(folder: &Path, case: &str, observe: impl FnMut(&Progress) -> ControlFlow<()>) -> Autoencoder {
    let (_, architecture, training) = cases().into_iter().find(|(name, ..)| *name == case).unwrap();
    fit_in(folder, architecture, &drawn(), training.device(Device::Cpu), observe).unwrap()
}

/// Where a process is killed.
#[derive(Debug, Clone, Copy)]
enum Kill {
    /// After this step of this epoch.
    After(usize, usize),
    /// While it writes a file of more than so many kilobytes, by a limit on file sizes whose signal ends a process.
    Writing(u64),
}

const KILLED: &str = "a_killed_training_ends_as_if_it_had_not_been";

/// Starts this test again as a process that trains and is killed; gives the signal that ended it.
fn train_and_kill(case: &str, folder: &Path, kill: Kill) -> i32 {
    let ((epoch, step), limit) = match kill {
        Kill::After(epoch, step) => ((epoch, step), "unlimited".to_string()),
        // Blocks are of 512 bytes or of 1024, by shell; no core is to be written.
        Kill::Writing(kilobytes) => ((0, 0), kilobytes.to_string()),
    };
    let victim = Command::new("sh")
        .args(["-c", "ulimit -c 0; ulimit -f \"$0\"; exec \"$1\" --exact \"$2\""])
        .args([&limit, std::env::current_exe().unwrap().to_str().unwrap(), KILLED])
        .env(VICTIM, format!("{case} {epoch} {step} {}", folder.display()))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&victim.stdout);
    victim.status.signal().unwrap_or_else(|| panic!("{case}, {kill:?}: it was not killed: {text}"))
}

#[test]
fn a_killed_training_ends_as_if_it_had_not_been() {
    const SIGABRT: i32 = 6;
    const SIGXFSZ: i32 = if cfg!(target_os = "linux") { 25 } else { SIGABRT };
    if let Ok(victim) = std::env::var(VICTIM) {
        let [case, epoch, step, folder] = victim.splitn(4, ' ').collect::<Vec<_>>().try_into().unwrap();
        let kill = (epoch.parse().unwrap(), step.parse().unwrap());
        run_in(Path::new(folder), case, |progress| {
            if (progress.epoch, progress.step) == kill {
                std::process::abort();
            }
            ControlFlow::Continue(())
        });
        return;
    }
    for (case, _, training) in cases() {
        let whole = folder(&format!("{case}_whole"));
        let mut n_steps = 0;
        let model = run_in(&whole, case, |progress| {
            n_steps = progress.n_steps;
            ControlFlow::Continue(())
        });
        let expected = outcome(&whole);
        let scores = model.score(drawn().test()).unwrap();
        let kilobytes = |name: &str| std::fs::metadata(whole.join(name)).unwrap().len() / 1024;
        let (weights, state) = (kilobytes("last.safetensors"), kilobytes("state.safetensors"));
        assert!(state * 2 > weights * 5, "a limit between both");
        let path = folder(&format!("{case}_killed"));
        let kills = [
            // Before anything was saved, in the very first file, and in the first state.
            Kill::After(1, 1),
            Kill::Writing(weights / 2),
            Kill::Writing(weights * 5 / 2),
            // With a state: between epochs, within one, and while the next state is written.
            Kill::After(2, 1),
            Kill::Writing(weights / 2),
            Kill::Writing(weights * 5 / 2),
            Kill::After(3, n_steps),
            Kill::After(training.epochs, n_steps),
        ];
        for (number, kill) in kills.into_iter().enumerate() {
            let signal = train_and_kill(case, &path, kill);
            let expected_signal = if matches!(kill, Kill::After(..)) { SIGABRT } else { SIGXFSZ };
            assert_eq!(signal, expected_signal, "{case}, {kill:?}");
            assert_eq!(path.join("state.safetensors").exists(), number > 2, "{case}, {kill:?}");
            assert!(!path.join("model.json").exists(), "{case}, {kill:?}");
        }
        let model = run_in(&path, case, |_| ControlFlow::Continue(()));
        assert!(outcome(&path) == expected, "{case}: the weights or the history differ");
        assert_eq!(model.history().stopped_because, StoppedBecause::Finished);
        assert_eq!(model.score(drawn().test()).unwrap(), scores, "{case}");
    }
}
