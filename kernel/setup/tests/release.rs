//! The packages that a release would publish.
//!
//! Compiling from them and making the wheel takes half an hour at first, so `.ci/long` does that.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::json;

/// Asks for the tests that take minutes.
const LONG_VARIABLE: &str = "DIABOLO_TEST_LONG";

const VERSION: &str = env!("CARGO_PKG_VERSION");

const CRATES: [&str; 5] = ["cargo-diabolo", "diabolo", "diabolo-cli", "diabolo-kernel", "diabolo-protocol"];

fn release(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-diabolo"));
    command.arg("release").args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A server of packages, ended with the test.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

fn serve(home: &Path) -> Serving {
    let mut serving = Serving(release(&["--serve", home.to_str().unwrap()]).stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(serving.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("Serving at http://127.0.0.1:"), "{line}");
    serving
}

#[test]
fn packages_hold_what_is_compiled_and_are_served_as_if_published() {
    let folder = tempfile::tempdir().unwrap();
    let _serving = serve(folder.path());
    for name in CRATES {
        let package = format!("diabolo-packages/registry/{name}-{VERSION}.crate");
        let list = Command::new("tar").arg("tzf").arg(folder.path().join(package)).output().unwrap();
        let files = text(&list);
        let has = |file: &str| files.lines().any(|line| line.ends_with(file));
        let wanted: &[&str] = match name {
            "cargo-diabolo" => &["/requirements.txt", "/src/site/site.css"],
            "diabolo" => &["/build.rs", "/src/language/zh-TW.tsv", "/LICENSE-MIT", "/README.md"],
            "diabolo-kernel" => &["/pyproject.toml"],
            _ => &[],
        };
        for file in ["/Cargo.toml", "/Cargo.lock"].iter().chain(wanted) {
            assert!(has(file), "{name} is packaged without {file}:\n{files}");
        }
    }
    // A package that needs another of ours, as a notebook's cell asks for it.
    let user = folder.path().join("user");
    fs::create_dir_all(user.join("src")).unwrap();
    fs::write(user.join("src/lib.rs"), "").unwrap();
    let manifest =
        format!("[package]\nname = \"user\"\nedition = \"2024\"\n[dependencies]\ndiabolo = \"={VERSION}\"\n");
    fs::write(user.join("Cargo.toml"), manifest).unwrap();
    let mut resolve = Command::new("cargo");
    resolve.arg("generate-lockfile").current_dir(&user).env("CARGO_HOME", folder.path());
    text(&resolve.output().unwrap());
    let lock_file = fs::read_to_string(user.join("Cargo.lock")).unwrap();
    assert!(lock_file.contains("name = \"diabolo-protocol\"") && lock_file.contains("name = \"tch\""), "{lock_file}");
    assert!(!lock_file.contains("127.0.0.1"), "a lock file names the server:\n{lock_file}");
}

#[test]
fn settings_of_cargo_that_somebody_else_wrote_are_left_alone() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("config.toml"), "[net]\n").unwrap();
    let output = release(&["--serve", home.path().to_str().unwrap()]).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && message.contains("name a new folder"), "{message}");
    assert_eq!(fs::read_to_string(home.path().join("config.toml")).unwrap(), "[net]\n");
}

/// A clone like ours, whose crates compile in a second.
fn small_clone(root: &Path) {
    let package = |name: &str| {
        format!(
            "[package]\nname = \"{name}\"\nversion = \"{VERSION}\"\nedition = \"2024\"\nlicense = \"MIT\"\ndescription = \"small\"\n"
        )
    };
    let workspace = format!(
        "{}homepage.workspace = true\n\n[workspace]\nmembers = [\"kernel\", \"kernel/setup\"]\n\n[workspace.package]\n\
         homepage = \"\"\nrepository = \"https://example.org\"\n\n\
         [dependencies]\ndiabolo-kernel = {{ path = \"kernel\", version = \"{VERSION}\" }}\n\n[profile.dev]\nopt-level = 1\n",
        package("diabolo")
    );
    let kernel = format!("fn main() {{ println!(\"diabolo-kernel {VERSION}\") }}");
    let project = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../pyproject.toml")).unwrap();
    for (file, text) in [
        ("Cargo.toml", &*workspace),
        ("CHANGELOG.md", &format!("## [{VERSION}] - 2026-01-02\n")),
        ("src/lib.rs", "pub use diabolo_kernel::answer;"),
        ("kernel/Cargo.toml", &package("diabolo-kernel")),
        ("kernel/pyproject.toml", &project),
        ("kernel/src/lib.rs", "pub fn answer() {}"),
        ("kernel/src/main.rs", &kernel),
        ("kernel/setup/Cargo.toml", &package("cargo-diabolo")),
        ("kernel/setup/src/main.rs", "fn main() {}"),
    ] {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    text(&Command::new("cargo").arg("generate-lockfile").current_dir(root).output().unwrap());
}

#[test]
fn a_clone_is_packaged_compiled_and_made_a_wheel_of_and_what_to_run_is_said() {
    let clone = tempfile::tempdir().unwrap();
    small_clone(clone.path());
    let said = text(&release(&["--check"]).current_dir(clone.path()).output().unwrap());
    assert!(said.contains("homepage ") && !said.contains("repository ") && !said.contains("CHANGELOG"), "{said}");
    let uploaded = format!("/diabolo_kernel-{VERSION}-py3-none-");
    let steps =
        ["diabolo-kernel\n", "diabolo\n", "cargo-diabolo\n"].map(|name| format!("cargo publish --package {name}"));
    let places =
        steps.iter().chain([&uploaded]).map(|step| said.find(step).unwrap_or_else(|| panic!("{step}: {said}")));
    assert!(places.is_sorted(), "{said}");
    // A package that does not hold all that it is compiled from.
    fs::write(clone.path().join("note.txt"), "").unwrap();
    fs::write(clone.path().join("kernel/src/lib.rs"), "pub const NOTE: &str = include_str!(\"../../note.txt\");")
        .unwrap();
    let output = release(&["--check"]).current_dir(clone.path()).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && message.contains("note.txt"), "{message}");
}

/// Are the tests that take minutes asked for? Says so where they are not.
fn is_long_run(what: &str) -> bool {
    let is_so = std::env::var_os(LONG_VARIABLE).is_some();
    if !is_so {
        let why = format!("{LONG_VARIABLE} is not set; `.ci/long` sets it");
        let _ = writeln!(std::io::stderr(), "{what} is skipped: {why}");
    }
    is_so
}

#[test]
fn everything_compiles_from_its_package_and_the_wheel_installs_a_kernel() {
    if is_long_run("compiling from the packages") {
        let said = text(&release(&["--check"]).output().unwrap());
        assert!(said.contains("twine upload") && said.contains(".whl"), "{said}");
    }
}

/// A home with nothing in it but cargo's settings, and the toolchain that runs this test.
struct Home(tempfile::TempDir);

impl Home {
    fn run(&self, program: &Path, arguments: &[&str], folder: &str) -> String {
        let home = self.0.path();
        let of_cargo_and_set_up = |name: &str| {
            ["CARGO_", "DIABOLO_", "JUPYTER_", "XDG_"].iter().any(|prefix| name.starts_with(prefix))
                || ["LIBTORCH", "LD_LIBRARY_PATH", "OUT_DIR"].contains(&name)
        };
        let mut command = Command::new(program);
        for name in std::env::vars().map(|(name, _)| name).filter(|name| of_cargo_and_set_up(name)) {
            command.env_remove(name);
        }
        let users = std::env::home_dir().unwrap().join(".rustup");
        command.env("RUSTUP_HOME", std::env::var_os("RUSTUP_HOME").unwrap_or(users.into()));
        command.args(arguments).current_dir(home.join(folder)).env("HOME", home).env("CARGO_HOME", home.join("cargo"));
        text(&command.output().unwrap())
    }
}

/// A notebook of one cell.
fn notebook(code: &str) -> String {
    let cell = json!({
        "cell_type": "code", "id": "a", "metadata": {}, "outputs": [], "execution_count": null, "source": code,
    });
    let kernel = json!({ "name": "diabolo", "display_name": "Rust (diabolo)", "language": "rust" });
    json!({ "cells": [cell], "metadata": { "kernelspec": kernel }, "nbformat": 4, "nbformat_minor": 5 }).to_string()
}

#[test]
fn without_a_clone_two_commands_lead_to_a_report() {
    if !is_long_run("the way without a clone") {
        return;
    }
    let home = Home(tempfile::tempdir().unwrap());
    let _serving = serve(&home.0.path().join("cargo"));
    home.run(Path::new("cargo"), &["install", "cargo-diabolo", "--locked"], "");
    let tool = home.0.path().join("cargo/bin/cargo-diabolo");
    assert_eq!(home.run(&tool, &["--version"], ""), format!("cargo diabolo {VERSION}\n"));
    home.run(&tool, &["new", "mine"], "");
    for (name, code) in [
        ("02_without_dep.ipynb", "assert_eq!(1 + 1, 2);"),
        (
            "03_as_published.ipynb",
            ":dep diabolo = \"0.1\"\nuse diabolo::prelude::*;\nassert_eq!(open(\"scenes\")?.train().len(), 8000);",
        ),
    ] {
        fs::write(home.0.path().join("mine").join(name), notebook(code)).unwrap();
    }
    home.run(&tool, &["report"], "mine");
    let report = fs::read_to_string(home.0.path().join("mine/target/report/report.json")).unwrap();
    for name in ["01_first_look", "02_without_dep", "03_as_published"] {
        assert!(report.contains(name), "{name}: {report}");
    }
    let said = home.run(&tool, &["doctor"], "mine");
    assert!(said.contains("All is well."), "{said}");
}
