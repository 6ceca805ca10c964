//! The course's assignments, graded by nbgrader itself in kernels that set-up registered.
//!
//! `cargo diabolo test` sets the variable; plain `cargo test`, which installs nothing, skips the test and says so.

use std::io::Write;
use std::path::Path;
use std::process::Command;

/// Names the Python of set-up.
const PYTHON_VARIABLE: &str = "DIABOLO_TEST_PYTHON";

#[test]
fn a_solved_an_untouched_and_a_half_solved_copy_get_what_they_should() {
    let skip = |why: &str| drop(writeln!(std::io::stderr(), "the course is skipped: {why}"));
    if std::env::var_os(PYTHON_VARIABLE).is_none() {
        return skip(&format!("{PYTHON_VARIABLE} is not set; `cargo diabolo test` sets it"));
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
