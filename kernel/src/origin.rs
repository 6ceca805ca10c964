//! What a kernel was set up from, as its kernelspec has it, and whether that is still so.
//!
//! A clone is moved, a compiler updated, a second clone made: the kernel then works from other sources than its user
//! believes, or compiles for minutes what set-up had compiled. The first cell of a notebook says so.

use std::env;
use std::fs;
use std::path::Path;

use toml::Table;

/// The clone's folder, or the version where the kernel comes from a registry.
const SOURCES_VARIABLE: &str = "DIABOLO_SOURCES";

/// What `rustc --version` said when set-up compiled what cells need.
const COMPILER_VARIABLE: &str = "DIABOLO_RUSTC";

/// What a notebook in the folder `here` is to know, if anything. `compiler` is what `rustc --version` says now.
pub fn remark(here: &Path, compiler: &str) -> Option<String> {
    let sources = env::var(SOURCES_VARIABLE).ok()?;
    let compiled_by = env::var(COMPILER_VARIABLE).unwrap_or_default();
    remark_on(&sources, &compiled_by, compiler, here.ancestors().find(|folder| is_clone(folder)))
}

/// The same for a notebook in the clone `here`, or in none.
fn remark_on(sources: &str, compiled_by: &str, compiler: &str, here: Option<&Path>) -> Option<String> {
    let clone = Some(Path::new(sources)).filter(|sources| sources.is_absolute());
    let is_other = |here: &Path| clone.is_none_or(|clone| fs::canonicalize(clone).ok() != fs::canonicalize(here).ok());
    if let Some(clone) = clone.filter(|clone| !is_clone(clone)) {
        return Some(format!(
            "This kernel was set up in the clone {}, which was moved or removed. Run `cargo diabolo setup` in the clone that \
             is to be used, and restart the kernel.",
            clone.display()
        ));
    }
    if !compiled_by.is_empty() && !compiler.is_empty() && compiled_by != compiler {
        return Some(format!(
            "The compiler is {compiler} now, and what cells need was compiled by {compiled_by}: each kernel compiles all of \
             it again, which takes minutes. Run `cargo diabolo setup` once, and restart the kernel."
        ));
    }
    here.filter(|here| is_other(here)).map(|here| {
        let whose = clone.map_or(format!("diabolo {sources}"), |clone| format!("the clone {}", clone.display()));
        format!(
            "This notebook is in the clone {}, but the kernel is that of {whose}. `cargo diabolo lab` there opens it with \
             its own; in another Jupyter run `cargo diabolo setup` there and choose the kernel that it names.",
            here.display()
        )
    })
}

fn is_clone(folder: &Path) -> bool {
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
    let manifest: Table = manifest.parse().unwrap_or_default();
    manifest.get("package").and_then(|package| package.get("name")?.as_str()) == Some("diabolo")
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "rustc 1.95.0 (59807616e 2026-04-14)";
    const NEW: &str = "rustc 1.96.0 (aaaaaaaaa 2026-05-28)";

    fn clone() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("Cargo.toml"), "[package]\nname = \"diabolo\"\n").unwrap();
        folder
    }

    #[test]
    fn a_kernel_whose_sources_and_compiler_are_as_they_were_says_nothing() {
        let clone = clone();
        let sources = clone.path().to_str().unwrap();
        assert_eq!(remark_on(sources, OLD, OLD, None), None);
        assert_eq!(remark_on(sources, OLD, OLD, Some(clone.path())), None);
        assert_eq!(remark_on("0.1.0", OLD, OLD, None), None);
        assert_eq!(remark_on("0.1.0", OLD, "", None), None, "a compiler that does not run is another's message");
    }

    #[test]
    fn a_moved_clone_a_new_compiler_and_another_clone_are_said_with_what_to_do() {
        let (clone, other) = (clone(), clone());
        let sources = clone.path().to_str().unwrap();
        let said = |compiler: &str, here: Option<&Path>| remark_on(sources, OLD, compiler, here).unwrap();
        let new_compiler = said(NEW, None);
        assert!(new_compiler.contains(OLD) && new_compiler.contains(NEW), "{new_compiler}");
        let elsewhere = said(OLD, Some(other.path()));
        assert!(elsewhere.contains(sources) && elsewhere.contains(other.path().to_str().unwrap()), "{elsewhere}");
        let of_a_release = remark_on("0.1.0", OLD, OLD, Some(other.path())).unwrap();
        assert!(of_a_release.contains("diabolo 0.1.0"), "{of_a_release}");
        fs::remove_file(clone.path().join("Cargo.toml")).unwrap();
        let moved = said(OLD, None);
        assert!(moved.contains("moved or removed") && moved.contains("cargo diabolo setup"), "{moved}");
    }
}
