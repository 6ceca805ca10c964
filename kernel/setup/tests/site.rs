//! The site: made whole, with every link followed, and then looked at in a real browser.
//!
//! Its first use compiles mdBook, so it is one of the tests that `.ci/long` runs; elsewhere it is skipped and says so.

use std::io::Write;
use std::path::Path;
use std::process::Command;

/// Asks for the tests that take minutes.
const LONG_VARIABLE: &str = "DIABOLO_TEST_LONG";

#[test]
fn every_page_is_readable_and_search_finds_words_of_both_languages() {
    let skip = |why: &str| drop(writeln!(std::io::stderr(), "the site is skipped: {why}"));
    if std::env::var_os(LONG_VARIABLE).is_none() {
        return skip(&format!("{LONG_VARIABLE} is not set; `.ci/long` sets it"));
    }
    let setup = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output =
        Command::new(env!("CARGO_BIN_EXE_cargo-diabolo")).arg("site").current_dir(setup).output().expect("it starts");
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    // It fails where a link leads nowhere.
    assert!(output.status.success(), "{stdout}\n{stderr}");

    let variables = ["DIABOLO_TEST_LAB_PYTHON", "DIABOLO_TEST_CHROMIUM"].map(std::env::var_os);
    let [Some(python), Some(chromium)] = variables else {
        return skip("there is no Chromium, or this is not `cargo diabolo test`");
    };
    let root = setup.join("../..");
    let shots = root.join("target/site-test");
    let _ = std::fs::remove_dir_all(&shots);
    std::fs::create_dir_all(&shots).unwrap();
    let script = setup.join("tests/site_test.py");
    let arguments = [script.as_path(), Path::new(&chromium), &root.join("target/site"), &shots];
    let output = Command::new(python).args(arguments).output().expect("the Python starts");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "site_test.py failed; its screenshots are in {}:\n{text}", shots.display());
}
