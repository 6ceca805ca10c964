//! A limit on file sizes, which fails writes as a full disk does, wherever the tests run.

use std::path::Path;
use std::process::Command;

/// Starts the test `name` again with the variable `variable` set to `path`, where no file may grow beyond some kilobytes;
/// panics with what it printed if it fails.
#[track_caller]
pub fn run_limited(name: &str, variable: &str, path: &Path) {
    // 64 blocks are 32 or 64 kB, by shell. The signal would end the process before the error.
    let limited = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" --exact \"$1\""])
        .arg(std::env::current_exe().unwrap())
        .arg(name)
        .env(variable, path)
        // Through a pipe, since the limit holds for a log file that this process may be writing to as well.
        .output()
        .unwrap();
    assert!(limited.status.success(), "{}", String::from_utf8_lossy(&limited.stdout));
}
