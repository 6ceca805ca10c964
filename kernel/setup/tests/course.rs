//! The course's assignments, graded by nbgrader itself in kernels that set-up registered.
//!
//! One notebook of the four takes a minute; all of them take several, so `.ci/long` asks for those.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

/// Asks for the tests that take minutes.
const LONG_VARIABLE: &str = "DIABOLO_TEST_LONG";

/// `cargo diabolo course --test` prints the sentence: a solved, an untouched and a half-solved copy got what they should.
fn check_graded(arguments: &[&str], sentence: &str) {
    let output = Command::new(env!("CARGO_BIN_EXE_cargo-diabolo"))
        .args(["course", "--test"])
        .args(arguments)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .output()
        .unwrap();
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    if stderr.contains("nbgrader needs Python") {
        return drop(writeln!(std::io::stderr(), "the course is skipped: {stderr}"));
    }
    assert!(output.status.success(), "{stdout}\n{stderr}");
    assert!(stdout.contains(sentence), "{stdout}");
}

#[test]
fn a_solved_an_untouched_and_a_half_solved_copy_get_what_they_should() {
    if std::env::var_os(LONG_VARIABLE).is_some() {
        // 15 tests and a written answer for each of three students.
        return check_graded(&[], "got what they should in 48 graded cells");
    }
    // A teacher who sets the first notebook alone.
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../notebooks/course");
    let course = tempfile::tempdir().unwrap();
    fs::create_dir_all(course.path().join("source/autoencoders")).unwrap();
    for file in ["nbgrader_config.py", "source/autoencoders/question_1.ipynb"] {
        fs::copy(shipped.join(file), course.path().join(file)).unwrap();
    }
    check_graded(&["--out", course.path().to_str().unwrap()], "got what they should in 12 graded cells");
}
