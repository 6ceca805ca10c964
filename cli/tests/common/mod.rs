//! Running the command, shared by the tests.

#![allow(dead_code, reason = "each test program uses some of it")]

use std::fs;
use std::path::Path;
use std::process::Command;

/// The command, to be run in a folder.
pub fn diabolo(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_diabolo"));
    command.args(arguments).current_dir(folder);
    command
}

/// Standard output of a command that succeeds.
#[track_caller]
pub fn succeed(folder: &Path, arguments: &[&str]) -> String {
    let output = diabolo(folder, arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What a command says that fails with this exit code.
#[track_caller]
pub fn fail(folder: &Path, code: i32, arguments: &[&str]) -> String {
    let output = diabolo(folder, arguments).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{message}");
    assert!(!message.contains("panicked"), "{message}");
    message
}

/// A small network on a few images.
pub const RUN: &str = r#"
folder = "runs/cnn"
architecture = { name = "small", encoder = "Linear(3072, 32) / ReLU() / Linear(32, 8)", decoder = "Linear(8, 3072) / Tanh()" }
[data]
open = "scenes"
hold_out = ["boat", "car"]
first = 256
[training]
epochs = 2
"#;

/// A folder with the run of a settings file such as [`RUN`] in `runs/cnn`.
pub fn trained(run: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("run.toml"), run).unwrap();
    succeed(folder.path(), &["train", "run.toml"]);
    folder
}

/// Names in a folder, sorted.
pub fn left_in(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names = Vec::from_iter(names);
    names.sort();
    names
}
