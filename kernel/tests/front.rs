//! The kernel as Jupyter sees it: the Python tests beside this file, with the kernel that set-up registered.
//!
//! `cargo diabolo test` provides the Python; plain `cargo test` skips them and says so.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// Names the Python that has jupyter_client and jupyter_kernel_test.
const PYTHON_VARIABLE: &str = "DIABOLO_TEST_PYTHON";

/// Names the Python that has JupyterLab and Jupyter's console.
const LAB_PYTHON_VARIABLE: &str = "DIABOLO_TEST_LAB_PYTHON";

/// Asks for the scripts that take minutes or want a quiet machine; `.ci/long` sets it.
const LONG_VARIABLE: &str = "DIABOLO_TEST_LONG";

/// They measure times, so they take turns.
static TURN: Mutex<()> = Mutex::new(());

/// Says it in any case: of a test that passes, the usual macros show nothing.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn run(script: &str, python_variable: &str) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(python) = std::env::var_os(python_variable) else {
        return say(&format!("{script} is skipped: {python_variable} is not set; `cargo diabolo test` sets it"));
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let output = Command::new(python).arg(script).current_dir(folder).output().expect("the Python starts");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script} failed:\n{text}");
}

fn run_long(script: &str, python_variable: &str) {
    match std::env::var_os(LONG_VARIABLE) {
        Some(_) => run(script, python_variable),
        None => say(&format!("{script} is skipped: {LONG_VARIABLE} is not set; `.ci/long` sets it")),
    }
}

#[test]
fn the_jupyter_projects_own_tests_pass() {
    run("kernel_test.py", PYTHON_VARIABLE);
}

#[test]
fn every_message_is_answered() {
    run("protocol_test.py", PYTHON_VARIABLE);
}

#[test]
fn cells_show_fail_and_stop_as_they_should() {
    run("cells_test.py", PYTHON_VARIABLE);
}

#[test]
fn everything_that_is_printed_is_seen() {
    run("output_test.py", PYTHON_VARIABLE);
}

#[test]
fn what_cells_start_is_supervised() {
    run("supervision_test.py", PYTHON_VARIABLE);
}

#[test]
fn a_flood_takes_little_memory() {
    run_long("flood_test.py", PYTHON_VARIABLE);
}

#[test]
fn random_cells_leave_a_kernel_that_answers_and_nothing_behind() {
    run("random_cells_test.py", PYTHON_VARIABLE);
}

#[test]
fn nothing_waits_for_a_client() {
    run("clients_test.py", PYTHON_VARIABLE);
}

#[test]
fn asking_about_code_does_nothing() {
    run("analysis_test.py", PYTHON_VARIABLE);
}

#[test]
fn cells_that_are_compiled_without_cargo_are_as_with_it() {
    run("replay_test.py", PYTHON_VARIABLE);
}

#[test]
fn kernels_start_anywhere_and_leave_nothing() {
    run_long("start_test.py", PYTHON_VARIABLE);
}

#[test]
fn the_librarys_curve_grows_and_its_long_calls_stop() {
    run("library_test.py", PYTHON_VARIABLE);
}

#[test]
fn control_c_in_jupyters_console_keeps_variables() {
    run("console_test.py", LAB_PYTHON_VARIABLE);
}

/// In a real browser, where there is one.
#[test]
fn jupyterlab_shows_the_curve_and_its_stop_button_keeps_the_model() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let (Some(python), Some(chromium)) =
        (std::env::var_os(LAB_PYTHON_VARIABLE), std::env::var_os("DIABOLO_TEST_CHROMIUM"))
    else {
        return say("the browser test is skipped: there is no Chromium, or this is not `cargo diabolo test`");
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/lab");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab_test.py");
    let output = Command::new(python).arg(script).arg(chromium).arg(&folder).output().expect("the Python starts");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "lab_test.py failed; its screenshots are in {}:\n{text}", folder.display());
}
