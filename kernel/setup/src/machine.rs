//! What diabolo wants of the machine: looked at in seconds, before anything is fetched or compiled.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};

use crate::cache::Cache;
use crate::commands;
use crate::finding::{Finding, State};
use crate::progress::Progress;
use crate::python::Python;
use crate::registration;
use crate::sources::Sources;

/// What a set-up from nothing puts on the disk: libtorch 1.2 GB, builds, environments of Python.
const SET_UP_GIGABYTES: f64 = 8.0;

/// What notebooks want beside that: each running kernel has a copy of small files.
const RUNNING_GIGABYTES: f64 = 1.0;

/// The command that adds the standard library's sources.
const ADD_SOURCES: &str = "rustup component add rust-src";

/// Makes sure of everything that set-up cannot do without; adds the standard library's sources where rustup can.
///
/// # Errors
/// All that is missing, each with the command that mends it.
pub fn require(sources: &Sources, cache: &Cache, python: &Result<Python>, progress: &Progress) -> Result<()> {
    let mut library = standard_library_sources();
    if library.state == State::Broken && rustup_owns_the_toolchain(Path::new("rustup")) {
        add_sources(cache, progress)?;
        library = standard_library_sources();
    }
    let is_set_up = sources.config_file().exists();
    let mut findings = vec![compiler(sources.rustc()), cpp_compiler(), library];
    findings.extend(self::python(python));
    findings.extend(folders(&Ok(cache.clone()), is_set_up));
    all_or_what_is_missing(&findings)
}

/// The Rust compiler, by what `rustc -vV` says.
pub fn compiler(rustc: &str) -> Finding {
    let version = rustc.split_whitespace().nth(1).unwrap_or("unknown");
    let wanted = env!("CARGO_PKG_RUST_VERSION");
    let parsed = |text: &str| text.split(['.', '-']).map_while(|part| part.parse::<u32>().ok()).collect::<Vec<_>>();
    match parsed(version) >= parsed(wanted) {
        true => Finding::ok("rustc", version, format!("{wanted} or newer is wanted")),
        false => Finding::broken(
            "rustc",
            format!("{version}, but {wanted} or newer is wanted"),
            "rustup update stable; rustup default stable",
        ),
    }
}

/// The C++ compiler that builds the border to libtorch: `$CXX`, else `c++`.
pub fn cpp_compiler() -> Finding {
    cpp_compiler_named(&env::var("CXX").unwrap_or_else(|_| "c++".into()))
}

/// The standard library's sources: without them the kernel cannot tell the types of variables.
pub fn standard_library_sources() -> Finding {
    match sysroot() {
        Ok(sysroot) => {
            let sources = sysroot.join("lib/rustlib/src/rust/library/std");
            match sources.is_dir() {
                true => Finding::ok("rust-src", "", sources.display()),
                false => Finding::broken("rust-src", format!("not in {}", sources.display()), ADD_SOURCES),
            }
        }
        Err(error) => Finding::broken("rust-src", format!("{error:#}"), ADD_SOURCES),
    }
}

/// Python, and whether it makes virtual environments.
pub fn python(python: &Result<Python>) -> Vec<Finding> {
    let found = match python {
        Ok(found) => found,
        Err(error) => {
            let mend = "install Python 3.10 or newer, with its venv module";
            return vec![Finding::broken("Python", format!("{error:#}"), mend)];
        }
    };
    let [major, minor] = found.version;
    // Debian leaves ensurepip out of its Python.
    let venv = match first_line(found.command().args(["-c", "import venv, ensurepip; print('both are there')"])) {
        Ok(_) => Finding::ok("venv", "", "makes virtual environments"),
        Err(error) => Finding::broken("venv", format!("{error:#}"), "on Debian and Ubuntu: apt install python3-venv"),
    };
    vec![Finding::ok("Python", format!("{major}.{minor}"), found.executable().display()), venv]
}

/// The folders that are written to, and the space on the cache's disk.
pub fn folders(cache: &Result<Cache>, is_set_up: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    match cache {
        Ok(cache) => {
            findings.push(writable("cache", cache.root(), "set DIABOLO_CACHE to a folder that may be written to"));
            findings.push(disk_space(cache.root(), is_set_up));
        }
        Err(error) => {
            let mend = "set DIABOLO_CACHE to a folder with room for it";
            findings.push(Finding::broken("cache", format!("{error:#}"), mend));
        }
    }
    let mend = "set JUPYTER_DATA_DIR to a folder that may be written to";
    findings.push(match registration::kernels_folder() {
        Ok(folder) => writable("Jupyter's folder", &folder, mend),
        Err(error) => Finding::broken("Jupyter's folder", format!("{error:#}"), mend),
    });
    findings
}

/// The first line that a program prints.
pub fn first_line(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot start `{program}`"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_string();
    if !output.status.success() {
        let said = text(&output.stderr);
        return Err(anyhow!("`{program}` fails: {}", said.lines().last().unwrap_or_default()));
    }
    Ok(text(&output.stdout).lines().next().unwrap_or_default().to_string())
}

fn all_or_what_is_missing(findings: &[Finding]) -> Result<()> {
    let missing = findings.iter().filter(|finding| finding.state == State::Broken).collect::<Vec<_>>();
    if missing.is_empty() {
        return Ok(());
    }
    let lines = missing
        .iter()
        .map(|finding| format!("\n  {}: {}\n      mend: {}", finding.name, finding.detail, finding.mend))
        .collect::<String>();
    bail!("set-up cannot begin; run what stands after \"mend:\", then this again:{lines}")
}

fn cpp_compiler_named(program: &str) -> Finding {
    let mend = match env::consts::OS {
        "macos" => "xcode-select --install",
        "windows" => "install the C++ build tools of Visual Studio",
        _ => "install g++: apt install g++, dnf install gcc-c++ or pacman -S gcc",
    };
    match first_line(Command::new(program).arg("--version")) {
        Ok(line) => {
            let version = line.split_whitespace().rfind(|word| word.starts_with(|first: char| first.is_ascii_digit()));
            Finding::ok("C++ compiler", version.unwrap_or_default(), &line)
        }
        Err(error) => Finding::broken("C++ compiler", format!("{error:#}"), mend),
    }
}

/// The folder of the toolchain that compiles.
fn sysroot() -> Result<PathBuf> {
    first_line(Command::new("rustc").args(["--print", "sysroot"])).map(PathBuf::from)
}

/// Did this rustup install the compiler? It then adds the sources as well.
fn rustup_owns_the_toolchain(rustup: &Path) -> bool {
    let compiler = first_line(Command::new(rustup).args(["which", "rustc"]));
    sysroot().is_ok_and(|sysroot| compiler.is_ok_and(|compiler| Path::new(&compiler).starts_with(sysroot)))
}

fn add_sources(cache: &Cache, progress: &Progress) -> Result<()> {
    progress.run("rust-src", "adding the standard library's sources, which the kernel reads", |step| {
        let mut command = Command::new("rustup");
        command.args(["component", "add", "rust-src"]);
        commands::run(command, &format!("`{ADD_SOURCES}`"), &cache.log("rust-src"), step)?;
        Ok(((), "the standard library's sources are there".into()))
    })
}

/// Whether files can be made in `folder`, or where it would be made.
fn writable(name: &str, folder: &Path, mend: &str) -> Finding {
    let existing = folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(folder);
    let probe = existing.join(format!(".diabolo-{}.probe", std::process::id()));
    match fs::write(&probe, "x").and_then(|()| fs::remove_file(&probe)) {
        Ok(()) => Finding::ok(name, "", folder.display()),
        Err(error) => {
            // A full disk holds the empty file.
            let _ = fs::remove_file(&probe);
            Finding::broken(name, format!("{} cannot be written to: {error}", existing.display()), mend)
        }
    }
}

/// Space on the disk of the cache, as `df` tells it.
fn disk_space(cache: &Path, is_set_up: bool) -> Finding {
    let existing = cache.ancestors().find(|folder| folder.exists()).unwrap_or(cache);
    let output = Command::new("df").arg("-Pk").arg(existing).output();
    let free = output.ok().and_then(|output| free_gigabytes(&String::from_utf8_lossy(&output.stdout)));
    let wanted = if is_set_up { RUNNING_GIGABYTES } else { SET_UP_GIGABYTES };
    match free {
        Some(free) if free < wanted => Finding::broken(
            "disk space",
            format!("{free:.1} GB free for {}, but {wanted} GB are wanted", cache.display()),
            "free some, or set DIABOLO_CACHE to a folder on another disk",
        ),
        Some(free) => Finding::ok("disk space", format!("{free:.1} GB"), format!("free for {}", cache.display())),
        None => Finding::note("disk space", "no `df` here to ask", ""),
    }
}

/// The fourth column of the line of a file system.
fn free_gigabytes(df: &str) -> Option<f64> {
    let kibibytes: f64 = df.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()?;
    Some(kibibytes * 1024.0 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_compiler_is_told_from_a_new_one_by_numbers() {
        assert_eq!(compiler("rustc 1.200.0 (abc 2030-01-01)\nhost: x").state, State::Ok);
        let old = compiler("rustc 1.9.0 (abc 2016-01-01)");
        assert_eq!((old.state, old.mend.as_str()), (State::Broken, "rustup update stable; rustup default stable"));
    }

    #[test]
    fn a_missing_compiler_is_named_with_how_to_get_one() {
        let finding = cpp_compiler_named("/nowhere/c++");
        assert_eq!(finding.state, State::Broken);
        assert!(finding.detail.contains("/nowhere/c++"), "{finding}");
        assert!(!finding.mend.is_empty());
    }

    #[test]
    fn space_is_read_from_what_df_prints() {
        let text = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/a 1000 1 2000000 1% /\n";
        assert_eq!(free_gigabytes(text), Some(2.048));
        assert_eq!(free_gigabytes(""), None);
    }

    #[test]
    fn everything_that_is_missing_is_said_at_once_each_with_what_mends_it() {
        let findings = [
            cpp_compiler_named("/nowhere/c++"),
            Finding::ok("Python", "3.11", "/usr/bin/python3"),
            python(&Err(anyhow!("cannot start `python3`"))).remove(0),
        ];
        let message = all_or_what_is_missing(&findings).unwrap_err().to_string();
        assert_eq!(message.matches("mend: ").count(), 2, "{message}");
        assert!(message.contains("/nowhere/c++") && message.contains("cannot start `python3`"), "{message}");
        assert!(!message.contains("/usr/bin/python3"), "{message}");
        all_or_what_is_missing(&findings[1..2]).unwrap();
    }

    #[test]
    fn a_folder_below_a_file_cannot_be_written_to_and_a_new_one_can() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(writable("cache", &folder.path().join("a/b"), "").state, State::Ok);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "the probe is gone");
        // Root may write everywhere but where nobody can.
        let finding = writable("cache", Path::new("/proc/diabolo"), "choose another");
        assert_eq!((finding.state, finding.mend.as_str()), (State::Broken, "choose another"), "{finding}");
    }

    /// A program that answers like rustup.
    #[cfg(unix)]
    fn stand_in(folder: &Path, answer: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = folder.join("rustup");
        fs::write(&path, format!("#!/bin/sh\n{answer}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    #[cfg(unix)]
    fn rustup_is_asked_only_where_the_compiler_is_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let own = sysroot().unwrap().join("bin/rustc");
        assert!(rustup_owns_the_toolchain(&stand_in(folder.path(), &format!("echo {}", own.display()))));
        assert!(!rustup_owns_the_toolchain(&stand_in(folder.path(), "echo /another/toolchain/bin/rustc")));
        assert!(!rustup_owns_the_toolchain(&stand_in(folder.path(), "exit 1")));
        assert!(!rustup_owns_the_toolchain(&folder.path().join("no-rustup")));
    }
}
