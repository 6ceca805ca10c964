//! The two job scripts of docs/CLUSTER.md under Slurm itself: one node, which the test starts and ends.

use crate::{check_same, has_mpi, is_long, train, wait_for, write_run};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long Slurm may take to start, and a job to end.
const PATIENCE: Duration = Duration::from_secs(120);

/// Slurm's three daemons in a folder of their own; they end with it.
struct Slurm {
    folder: PathBuf,
    daemons: Vec<Child>,
}

impl Slurm {
    /// Where it is installed and may be started; elsewhere `None`, and it is said so.
    fn start(folder: &Path) -> Option<Self> {
        let is_there = |program: &&str| Command::new(program).arg("--version").output().is_ok();
        if let Some(missing) = ["munged", "slurmctld", "slurmd", "sbatch"].iter().find(|program| !is_there(program)) {
            eprintln!("skipped: Slurm, since there is no {missing}");
            return None;
        }
        if said("id", &["-u"]) != "0" {
            eprintln!("skipped: Slurm, which only root can start here");
            return None;
        }
        let mut slurm = Self { folder: folder.into(), daemons: Vec::new() };
        let (key, socket) = (folder.join("munge.key"), folder.join("munge.socket"));
        fs::write(&key, [7; 128]).unwrap();
        said("chmod", &["400", key.to_str().unwrap()]);
        fs::write(slurm.configuration(), slurm.settings(&said("hostname", &["-s"]), &socket)).unwrap();

        let in_folder = |name: &str| format!("{}/{name}", folder.display());
        let files = [
            ("key-file", "munge.key"),
            ("socket", "munge.socket"),
            ("pid-file", "munge.pid"),
            ("seed-file", "munge.seed"),
        ];
        let options = files.map(|(option, file)| format!("--{option}={}", in_folder(file)));
        slurm.daemon(Command::new("munged").args(["--foreground", "--force"]).args(options));
        wait_for("munge's socket", PATIENCE, || socket.exists());
        slurm.daemon(Command::new("slurmctld").arg("-D"));
        slurm.daemon(Command::new("slurmd").arg("-D"));
        wait_for("Slurm's node", PATIENCE, || slurm.run("sinfo", &["--noheader", "-o", "%T"]).trim() == "idle");
        Some(slurm)
    }

    fn configuration(&self) -> PathBuf {
        self.folder.join("slurm.conf")
    }

    fn settings(&self, host: &str, socket: &Path) -> String {
        // Others may run a Slurm of their own; ports are told apart by the process.
        let port = 20_000 + std::process::id() % 20_000;
        let folder = self.folder.display();
        format!(
            "ClusterName=test\nSlurmctldHost={host}\nSlurmUser=root\nAuthType=auth/munge\nAuthInfo=socket={}\n\
             SlurmctldPort={port}\nSlurmdPort={}\nStateSaveLocation={folder}/state\nSlurmdSpoolDir={folder}/spool\n\
             SlurmctldPidFile={folder}/controller.pid\nSlurmdPidFile={folder}/node.pid\n\
             SlurmctldLogFile={folder}/controller.log\nSlurmdLogFile={folder}/node.log\n\
             ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nSelectType=select/cons_tres\n\
             SelectTypeParameters=CR_Core\nReturnToService=2\nMpiDefault=none\n\
             NodeName={host} CPUs={} RealMemory=1000 State=UNKNOWN\n\
             PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n",
            socket.display(),
            port + 1,
            std::thread::available_parallelism().unwrap(),
        )
    }

    fn daemon(&mut self, command: &mut Command) {
        let name = command.get_program().to_string_lossy().into_owned();
        let log = File::create(self.folder.join(format!("{name}.out"))).unwrap();
        let command = command.env("SLURM_CONF", self.configuration()).stdin(Stdio::null());
        self.daemons.push(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
    }

    /// What one of Slurm's commands prints.
    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = Command::new(program).args(arguments).env("SLURM_CONF", self.configuration()).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Submits a script in `folder` and waits for the end of its job.
    fn submit(&self, folder: &Path, script: &str) {
        fs::create_dir_all(folder.join("logs")).unwrap();
        fs::write(folder.join("job.sh"), script).unwrap();
        let programs = Path::new(env!("CARGO_BIN_EXE_diabolo")).parent().unwrap();
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("sbatch");
        command.arg("job.sh").current_dir(folder).env("SLURM_CONF", self.configuration()).env("PATH", path);
        command.env("OMPI_MCA_mpi_yield_when_idle", "1");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        wait_for("the end of the job", PATIENCE, || self.run("squeue", &["--noheader"]).trim().is_empty());
    }
}

impl Drop for Slurm {
    fn drop(&mut self) {
        for daemon in self.daemons.iter_mut().rev() {
            let _ = Command::new("kill").arg(daemon.id().to_string()).status();
            let _ = daemon.wait();
        }
    }
}

/// What a program prints, without the newline.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_string()
}

/// The script below a heading of docs/CLUSTER.md, for two tasks.
fn script_below(heading: &str) -> String {
    let page = include_str!("../../../docs/CLUSTER.md");
    let (_, below) = page.split_once(heading).unwrap_or_else(|| panic!("no {heading:?} in CLUSTER.md"));
    let script = below.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let changes = [("--array=1-45", "--array=1-2"), ("/45", "/2"), ("--ntasks=4", "--ntasks=2")];
    changes.iter().fold(script.to_string(), |script, (from, to)| script.replace(from, to))
}

/// What the jobs said, for a test that fails.
fn logs(folder: &Path) -> String {
    let entries = fs::read_dir(folder.join("logs")).unwrap();
    entries.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap()).collect()
}

#[test]
fn the_job_scripts_of_the_page_on_clusters_run_under_slurm() {
    if !has_mpi() || !is_long() {
        return;
    }
    let daemons = tempfile::tempdir().unwrap();
    let Some(slurm) = Slurm::start(daemons.path()) else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();

    let sweep = "folder = 'results'\narchitecture = 'fcn'\npairs = [['boat', 'car'], ['moon', 'mushroom']]\n\
                 [data]\nopen = 'scenes'\nfirst = 200\n[training]\nepochs = 1\ndevice = 'cpu'\n";
    fs::write(folder.join("sweep.toml"), sweep).unwrap();
    slurm.submit(folder, &script_below("### An array job of Slurm"));
    let shown = crate::succeed(folder, &["show", "results"]);
    assert!(shown.contains("boat, car") && shown.contains("moon, mushroom"), "{shown}\n{}", logs(folder));
    assert!(!shown.contains("missing"), "{shown}\n{}", logs(folder));

    for name in ["run", "by_mpirun"] {
        write_run(folder, name, "conv", 3, 12);
    }
    slurm.submit(folder, &script_below("### By Slurm"));
    train(folder, "by_mpirun", 2);
    assert!(folder.join("run/last.safetensors").exists(), "{}", logs(folder));
    check_same(&folder.join("run"), &folder.join("by_mpirun"));
}
