//! Two network namespaces as two machines, joined by a cable of the kernel's.

use crate::{check_same, has_mpi, train, write_run};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

/// In the block of addresses for networks of one's own.
const NETWORK: &str = "10.213.7.0/24";
const ADDRESSES: [&str; 2] = ["10.213.7.1", "10.213.7.2"];

/// Two machines as far as their networks and names are concerned; they are gone in the end.
struct TwoHosts {
    names: [String; 2],
}

impl TwoHosts {
    /// Where they may be made; elsewhere `None`, and it is said so.
    fn make() -> Option<Self> {
        let names = [0, 1].map(|host| format!("diabolo-{}-{host}", std::process::id()));
        let hosts = Self { names };
        for name in &hosts.names {
            if let Err(message) = ip(&["netns", "add", name]) {
                eprintln!("skipped: two machines, since no network namespaces can be made here ({message})");
                return None;
            }
        }
        let [first, second] = &hosts.names;
        let cable: [String; 2] = [0, 1].map(|end| format!("dia{}x{end}", std::process::id()));
        let mut steps = vec![format!("link add {} type veth peer name {}", cable[0], cable[1])];
        for ((host, end), address) in [first, second].into_iter().zip(&cable).zip(ADDRESSES) {
            steps.push(format!("link set {end} netns {host}"));
            steps.push(format!("-n {host} link set {end} name cable"));
            steps.push(format!("-n {host} addr add {address}/24 dev cable"));
            steps.push(format!("-n {host} link set cable up"));
            steps.push(format!("-n {host} link set lo up"));
        }
        for step in steps {
            if let Err(message) = ip(&step.split(' ').collect::<Vec<_>>()) {
                eprintln!("skipped: two machines, since `ip {step}` fails here ({message})");
                return None;
            }
        }
        Some(hosts)
    }

    /// What mpirun starts its second machine with instead of ssh: the machine's address and a line of shell follow.
    fn write_agent(&self, path: &Path) {
        let [_, second] = &self.names;
        let text =
            format!("#!/bin/sh\nshift\nexec ip netns exec {second} unshare --uts sh -c \"hostname second; $*\"\n");
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Bytes that the first machine has been sent.
    fn n_bytes_received(&self) -> usize {
        let path = "/sys/class/net/cable/statistics/rx_bytes";
        ip(&["netns", "exec", &self.names[0], "cat", path]).unwrap().trim().parse().unwrap()
    }
}

impl Drop for TwoHosts {
    fn drop(&mut self) {
        // The cable goes with them.
        for name in &self.names {
            let _ = ip(&["netns", "del", name]);
        }
    }
}

/// What `ip` prints, or its message.
fn ip(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("ip").args(arguments).output().map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_string()),
    }
}

#[test]
fn processes_on_two_machines_give_the_losses_of_one_machine() {
    if !has_mpi() {
        return;
    }
    let Some(hosts) = TwoHosts::make() else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for name in ["near", "far"] {
        write_run(folder, name, "conv", 5, 12);
    }
    train(folder, "near", 2);
    let agent = folder.join("agent");
    hosts.write_agent(&agent);
    let before = hosts.n_bytes_received();
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &hosts.names[0], "mpirun", "--allow-run-as-root", "-n", "2"]);
    command.args(["--host", &ADDRESSES.map(|address| format!("{address}:1")).join(",")]);
    command.args(["--mca", "plm_rsh_agent"]).arg(&agent);
    for (key, value) in [
        ("pml", "ob1"),
        ("btl", "tcp,self"),
        ("btl_tcp_if_include", NETWORK),
        ("oob_tcp_if_include", NETWORK),
        ("hwloc_base_binding_policy", "none"),
        ("mpi_yield_when_idle", "1"),
    ] {
        command.args(["--mca", key, value]);
    }
    command.args(["-x", "OMP_NUM_THREADS=1", env!("CARGO_BIN_EXE_diabolo"), "train", "far.toml"]).current_dir(folder);
    let Output { status, stderr, .. } = command.output().unwrap();
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    check_same(&folder.join("far"), &folder.join("near"));
    let n_bytes = hosts.n_bytes_received() - before;
    // In each of 20 steps half of the gradient and half of the sums, 4 bytes for each weight.
    let wanted = 10 * fs::read(folder.join("far/last.safetensors")).unwrap().len();
    assert!(n_bytes > wanted, "{n_bytes} bytes came over the cable, of {wanted} at least");
}
