//! What whoever publishes has to fill in first.

use std::process::Command;

use anyhow::{Context, Result};

use crate::finding::Finding;
use crate::workspace::Workspace;

/// What is missing; empty where everything is there.
pub fn missing(workspace: &Workspace) -> Result<Vec<Finding>> {
    let text = |path| Ok::<_, anyhow::Error>(String::from_utf8_lossy(&workspace.read(path)?).into_owned());
    let mut findings = of_texts(&text("Cargo.toml")?, &text("CHANGELOG.md")?)?;
    let mut git = Command::new("git");
    git.args(["status", "--porcelain"]).current_dir(workspace.root());
    findings.extend(match git.output() {
        Ok(output) if output.status.success() && output.stdout.is_empty() => None,
        Ok(output) if output.status.success() => {
            let n_files = output.stdout.iter().filter(|&&byte| byte == b'\n').count();
            let detail = format!("{n_files} files are changed or new, and would be packaged as they are");
            Some(Finding::note("working tree", detail, "commit or remove them"))
        }
        _ => {
            Some(Finding::note("working tree", "`git status` does not say what is changed", "work in a clone with git"))
        }
    });
    Ok(findings)
}

fn of_texts(manifest: &str, changelog: &str) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let manifest = manifest.parse::<toml::Table>().context("reading Cargo.toml")?;
    let of_all = manifest.get("workspace").and_then(|workspace| workspace.get("package"));
    for field in ["homepage", "repository"] {
        let address = of_all.and_then(|package| package.get(field)?.as_str());
        if address.is_none_or(str::is_empty) {
            let mend = format!("write the address into {field} below [workspace.package] in Cargo.toml");
            findings.push(Finding::note(field, "is empty, so messages and registries name no address", mend));
        }
    }
    let version = env!("CARGO_PKG_VERSION");
    if !changelog.lines().any(|line| line.starts_with(&format!("## [{version}]"))) {
        let mend = format!("name its heading `## [{version}] - DATE` and begin a new [Unreleased] above it");
        findings.push(Finding::note("CHANGELOG.md", format!("has no section for {version}"), mend));
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_address_and_a_version_without_its_changes_are_named() {
        let names = |manifest, changelog| {
            of_texts(manifest, changelog).unwrap().into_iter().map(|f| f.name).collect::<Vec<_>>()
        };
        let unfilled = "[workspace.package]\nhomepage = \"\"\nrepository = \"https://example.org/diabolo\"\n";
        assert_eq!(names(unfilled, "## [Unreleased]\n"), ["homepage", "CHANGELOG.md"]);
        let changelog = format!("## [Unreleased]\n\n## [{}] - 2026-01-02\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(names(&unfilled.replace("\"\"", "\"https://example.org\""), &changelog), [""; 0]);
    }
}
