//! What ends one process ends all, and the same command goes on as if nothing had happened.

use crate::common::{left_in, succeed};
use crate::disk::SmallDisk;
use crate::{check_same, has_mpi, is_long, losses, mpirun, mpirun_of, run_of, train, wait_for, write_run};
use diabolo::prelude::*;
use diabolo::run::fit_together;
use diabolo::together::{Together, join};
use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// All have to be gone by then.
const DEADLINE: Duration = Duration::from_secs(10);

/// How long an epoch may take to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// The processes that mpirun has started.
fn children(mpirun: &Child) -> Vec<String> {
    let threads = fs::read_dir(format!("/proc/{}/task", mpirun.id())).into_iter().flatten();
    let of_thread =
        threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("children")).unwrap_or_default());
    let mut children =
        Vec::from_iter(of_thread.flat_map(|text| text.split_whitespace().map(String::from).collect::<Vec<_>>()));
    children.sort_by_key(|child| child.parse::<u32>().unwrap());
    children
}

/// A training of two processes that is at work.
struct AtWork {
    mpirun: Child,
    processes: Vec<String>,
}

impl AtWork {
    /// Starts one, and waits for so many epochs.
    #[track_caller]
    fn start(folder: &Path, file: &str, run: &Path, n_epochs: usize) -> Self {
        Self::start_by(mpirun(folder, 2, &["train", file]), run, n_epochs)
    }

    /// The same by such a command.
    #[track_caller]
    fn start_by(mut command: Command, run: &Path, n_epochs: usize) -> Self {
        let mpirun = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let history = run.join("history.csv");
        wait_for("epochs", PATIENCE, || fs::read_to_string(&history).is_ok_and(|text| text.lines().count() > n_epochs));
        let processes = children(&mpirun);
        assert_eq!(processes.len(), 2, "{processes:?}");
        Self { mpirun, processes }
    }

    /// Waits for the end of all, which is no success; gives what they said.
    #[track_caller]
    fn end(mut self, mut meanwhile: impl FnMut()) -> String {
        let began = Instant::now();
        while self.mpirun.try_wait().unwrap().is_none() {
            assert!(began.elapsed() < DEADLINE, "at work after {DEADLINE:?}");
            meanwhile();
            sleep(Duration::from_millis(20));
        }
        let Output { status, stderr, .. } = self.mpirun.wait_with_output().unwrap();
        let message = String::from_utf8_lossy(&stderr).into_owned();
        assert!(!status.success(), "{status}: {message}");
        let is_gone = |process: &String| !Path::new("/proc").join(process).join("exe").exists();
        assert!(self.processes.iter().all(is_gone), "{:?}", self.processes);
        message
    }
}

fn signal(name: &str, process: &str) {
    assert!(Command::new("kill").args([name, process]).status().unwrap().success());
}

#[test]
fn a_killed_process_ends_all_and_the_same_command_goes_on_bit_for_bit() {
    if !has_mpi() || !is_long() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let epochs = 120;
    write_run(folder, "whole", "report_cnn", epochs, 12);
    train(folder, "whole", 2);
    // Each process in turn, at points that differ.
    for (number, (rank, n_epochs)) in [(0, 1), (1, 3), (0, 10), (1, 20), (1, 40)].into_iter().enumerate() {
        let name = format!("killed_{number}");
        write_run(folder, &name, "report_cnn", epochs, 12);
        let run = folder.join(&name);
        let at_work = AtWork::start(folder, &format!("{name}.toml"), &run, n_epochs);
        signal("-9", &at_work.processes[rank]);
        at_work.end(|| ());
        train(folder, &name, 2);
        check_same(&run, &folder.join("whole"));
    }
}

/// As Ctrl-C sends it to mpirun in a terminal, and as one process may get it alone.
#[test]
fn an_interrupt_ends_all_with_the_best_model_so_far_and_the_same_command_goes_on_bit_for_bit() {
    if !has_mpi() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let epochs = 120;
    write_run(folder, "whole", "conv", epochs, 12);
    train(folder, "whole", 2);
    let whom = ["mpirun", "0", "1"];
    for whom in &whom[..if is_long() { 3 } else { 1 }] {
        let name = format!("interrupted_{whom}");
        write_run(folder, &name, "conv", epochs, 12);
        let run = folder.join(&name);
        let at_work = AtWork::start(folder, &format!("{name}.toml"), &run, 5);
        let process = match whom.parse::<usize>() {
            Ok(rank) => at_work.processes[rank].clone(),
            Err(_) => at_work.mpirun.id().to_string(),
        };
        signal("-INT", &process);
        at_work.end(|| ());
        assert!(succeed(folder, &["show", &name]).contains("not finished"));
        assert!(succeed(folder, &["score", &name, "scenes"]).lines().count() > 2_000, "the best model so far");
        train(folder, &name, 2);
        check_same(&run, &folder.join("whole"));
    }
}

#[test]
fn a_process_that_hangs_ends_all_at_the_deadline_and_the_same_command_goes_on_bit_for_bit() {
    if !has_mpi() || !is_long() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for name in ["whole", "hung"] {
        write_run(folder, name, "conv", 120, 12);
    }
    train(folder, "whole", 2);
    let run = folder.join("hung");
    let mut command = mpirun(folder, 2, &["train", "hung.toml"]);
    command.env("DIABOLO_MPI_MAX_SECONDS", "4");
    let at_work = AtWork::start_by(command, &run, 5);
    signal("-STOP", &at_work.processes[1]);
    let message = at_work.end(|| ());
    assert!(message.contains("found no answer for 4 seconds"), "{message}");
    train(folder, "hung", 2);
    check_same(&run, &folder.join("whole"));
}

#[test]
fn a_full_disk_ends_all_and_where_there_is_room_the_same_command_goes_on_bit_for_bit() {
    if !has_mpi() || !is_long() {
        return;
    }
    let Some(disk) = SmallDisk::mount("a full disk of several processes") else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let write = |name: &str, run: &Path| {
        // 9,000 weights, whose states fit on the disk, and images enough that an epoch takes a while.
        let network = "{ name = \"small\", encoder = \"Linear(3072, 1)\", decoder = \"Linear(1, 3072) / Tanh()\" }";
        let text = run_of(run.to_str().unwrap(), "small", 60, 20).replace("\"small\"\n", &format!("{network}\n"));
        fs::write(folder.join(format!("{name}.toml")), text.replace("first = 37", "first = 1000")).unwrap();
    };
    let (run, whole) = (disk.path().join("run"), folder.join("whole"));
    write("whole", &whole);
    train(folder, "whole", 2);
    write("run", &run);
    let at_work = AtWork::start(folder, "run.toml", &run, 1);
    disk.fill();
    // What was half written while the disk was filled made room again.
    let mut more = fs::File::create(disk.path().join("more")).unwrap();
    let message = at_work.end(|| while more.write_all(&[1; 1 << 10]).is_ok() {});
    assert!(message.contains("No space left") && message.contains(run.to_str().unwrap()), "{message}");
    fs::remove_file(disk.path().join("more")).unwrap();
    disk.empty();
    assert!(losses(&run).len() < 60);
    train(folder, "run", 2);
    check_same(&run, &whole);
}

/// What a process of [`trains_until_it_panics`] is told: the run folder, the rank that panics, and after how many steps.
const PANICKING: &str = "DIABOLO_TEST_PANICKING";

/// Processes of which one panics, in the thread that trains.
#[derive(Debug)]
struct Panicking {
    together: Arc<dyn Together>,
    n_sums_left: AtomicUsize,
}

impl Together for Panicking {
    fn rank(&self) -> usize {
        self.together.rank()
    }

    fn size(&self) -> usize {
        self.together.size()
    }

    fn sum(&self, values: &mut [f64]) -> diabolo::Result<()> {
        self.together.sum(values)
    }

    fn sum_floats(&self, values: &mut [f32]) -> diabolo::Result<()> {
        assert!(self.n_sums_left.fetch_sub(1, Ordering::Relaxed) > 0, "a panic of a test");
        self.together.sum_floats(values)
    }

    fn broadcast(&self, bytes: &mut [u8]) -> diabolo::Result<()> {
        self.together.broadcast(bytes)
    }

    fn barrier(&self) -> diabolo::Result<()> {
        self.together.barrier()
    }

    fn abort(&self, code: i32) -> ! {
        self.together.abort(code)
    }
}

/// One of the processes of the test below, which mpirun starts from the test's own program.
#[test]
fn trains_until_it_panics() {
    let Ok(told) = std::env::var(PANICKING) else { return };
    let [folder, rank, n_sums] = told.split('|').collect::<Vec<_>>()[..] else { panic!("{told}") };
    let joined = join().unwrap();
    let together = joined.together();
    let is_told = together.rank().to_string() == rank;
    let n_sums_left = AtomicUsize::new(if is_told { n_sums.parse().unwrap() } else { usize::MAX });
    let scenes = open("scenes").unwrap().hold_out(&["boat", "car"]).unwrap().train_on_first(37).unwrap();
    let training = Training::default().epochs(20).batch_size(12).device(Device::Cpu);
    let together = Arc::new(Panicking { together, n_sums_left });
    fit_together(folder, Architecture::conv(), &scenes, training, together, |_| ControlFlow::Continue(())).unwrap();
}

#[test]
fn a_panic_in_any_process_ends_all_and_the_same_training_goes_on_bit_for_bit() {
    if !has_mpi() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let fit = |name: &str, rank: &str, n_sums: usize| {
        let mut command = mpirun_of(folder.path());
        let program: PathBuf = std::env::current_exe().unwrap();
        command.arg("-n").arg("2").arg(program).args(["--exact", "failures::trains_until_it_panics", "--nocapture"]);
        let told = format!("{}|{rank}|{n_sums}", folder.path().join(name).display());
        let began = Instant::now();
        let output = command.env(PANICKING, told).output().unwrap();
        (output, began.elapsed())
    };
    let (whole, seconds) = fit("whole", "none", 0);
    assert!(whole.status.success(), "{}", String::from_utf8_lossy(&whole.stderr));
    // Within an epoch, in an epoch's last step and in the first; four steps are an epoch.
    let cases = [("1", 15), ("0", 22), ("1", 0)];
    for (rank, n_sums) in cases.into_iter().take(if is_long() { 3 } else { 1 }) {
        let name = format!("panicked_{rank}_{n_sums}");
        let (Output { status, stderr, .. }, until_end) = fit(&name, rank, n_sums);
        let message = String::from_utf8_lossy(&stderr);
        assert!(!status.success() && message.contains("a panic of a test"), "{status}: {message}");
        assert!(until_end < seconds + DEADLINE, "{until_end:?}");
        let history = folder.path().join(&name).join("history.csv");
        assert_eq!(history.exists(), n_sums > 0, "what was learnt is there");
        let (Output { status, stderr, .. }, _) = fit(&name, "none", 0);
        assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
        check_same(&folder.path().join(&name), &folder.path().join("whole"));
    }
}

#[test]
fn other_settings_or_data_in_a_process_are_refused_before_the_first_step() {
    if !has_mpi() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let first = run_of("run", "conv", 3, 12);
    fs::write(folder.join("run.toml"), &first).unwrap();
    let others = [
        ("epochs = 3", "epochs = 4", "epochs 3 there, and 4 here"),
        ("first = 37", "first = 36", "fingerprint"),
        ("[\"boat\", \"car\"]", "[\"boat\"]", "fingerprint"),
        ("\"conv\"", "\"fcn\"", "process 1"),
    ];
    for (from, to, wanted) in others.into_iter().take(if is_long() { 4 } else { 2 }) {
        fs::write(folder.join("other.toml"), first.replace(from, to)).unwrap();
        let program = env!("CARGO_BIN_EXE_diabolo");
        let mut command = mpirun_of(folder);
        command.args(["-n", "1", program, "train", "run.toml", ":", "-n", "1", program, "train", "other.toml"]);
        let Output { status, stderr, .. } = command.output().unwrap();
        let message = String::from_utf8(stderr).unwrap();
        assert!(!status.success() && message.contains(wanted), "{status}: {message}");
        assert!(message.contains("process 1: error: training together with process 0"), "{message}");
        let left = left_in(&folder.join("run"));
        assert!(left.iter().all(|name| name == "lock" || name == "run.json"), "{left:?}");
    }
    // What is left of those does not keep the right ones from training.
    train(folder, "run", 2);
    assert_eq!(losses(&folder.join("run")).len(), 3);
}
