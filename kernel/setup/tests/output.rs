//! What becomes of output that nobody reads, or that a disk has no room for.

use std::process::{Command, Output, Stdio};

/// `cargo diabolo clean --dry-run` in a cache with a part, which prints some lines.
fn clean(stdout: Stdio) -> Output {
    let cache = tempfile::tempdir().unwrap();
    std::fs::create_dir(cache.path().join("logs")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-diabolo"));
    command.args(["clean", "--dry-run"]).env("DIABOLO_CACHE", cache.path()).current_dir(cache.path());
    command.stdout(stdout).output().unwrap()
}

#[test]
fn a_reader_that_is_gone_is_no_failure() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = clean(writer.into());
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_with_its_reason() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = clean(full.into());
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("writing to standard output: No space left"), "{message}");
}
