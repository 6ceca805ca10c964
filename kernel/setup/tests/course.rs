//! The course's assignments, graded by nbgrader itself in kernels that set-up registered.
//!
//! It takes minutes, so it is one of the tests that `.ci/long` runs; elsewhere it is skipped and says so.

use std::io::Write;
use std::path::Path;
use std::process::Command;

/// Asks for the tests that take minutes.
const LONG_VARIABLE: &str = "DIABOLO_TEST_LONG";

#[test]
fn a_solved_an_untouched_and_a_half_solved_copy_get_what_they_should() {
    let skip = |why: &str| drop(writeln!(std::io::stderr(), "the course is skipped: {why}"));
    if std::env::var_os(LONG_VARIABLE).is_none() {
        return skip(&format!("{LONG_VARIABLE} is not set; `.ci/long` sets it"));
    }
    let output = Command::new(env!("CARGO_BIN_EXE_cargo-diabolo"))
        .args(["course", "--test"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .output()
        .unwrap();
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    if stderr.contains("nbgrader needs Python") {
        return skip(&stderr);
    }
    assert!(output.status.success(), "{stdout}\n{stderr}");
    // 15 tests and a written answer for each of three students.
    assert!(stdout.contains("got what they should in 48 graded cells"), "{stdout}");
}
