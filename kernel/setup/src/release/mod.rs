//! `cargo diabolo release`: looks whether everything can be published, for whoever publishes. It publishes nothing.

mod check;
mod package;
mod server;
mod wheel;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::cache::Cache;
use crate::files;
use crate::output::say;
use crate::progress::{Progress, words};
use crate::setup;
use crate::workspace::Workspace;
use package::Packages;
use server::Server;

#[derive(Args)]
#[command(group = clap::ArgGroup::new("what").required(true))]
#[command(after_help = "Examples:
  cargo diabolo release --check                package, compile from the packages, make and try a wheel
  cargo diabolo release --check --no-verify    a quick look that compiles nothing
  cargo diabolo release --serve /tmp/home      the packages as if published: CARGO_HOME=/tmp/home cargo install ...

Nothing is published: the commands for that are printed. docs/RELEASING.md has the order of a release.")]
pub struct Options {
    /// Say what is missing, package and test everything, and print what to run
    #[arg(long, group = "what")]
    check: bool,

    /// Write FOLDER/config.toml, with which a cargo takes our crates as if they were published, and serve them until ended
    #[arg(long, group = "what", value_name = "FOLDER")]
    serve: Option<PathBuf>,

    /// Compile nothing, and make no wheel
    #[arg(long, requires = "check")]
    no_verify: bool,
}

/// Runs `cargo diabolo release`.
pub fn run(options: &Options) -> Result<ExitCode> {
    let workspace = Workspace::required_for("release")?;
    let (cache, progress) = (Cache::find()?, Progress::new());
    match &options.serve {
        Some(home) => serve(&workspace, home, &progress)?,
        None => check(&workspace, !options.no_verify, &cache, &progress)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Packages all crates into `folder` and serves them as if they were published; other crates come from crates.io.
///
/// The server ends with the value.
pub fn local_registry(workspace: &Workspace, folder: &Path, progress: &Progress) -> Result<Server> {
    Server::start(&package::package(workspace, folder, false, progress)?)
}

fn serve(workspace: &Workspace, home: &Path, progress: &Progress) -> Result<()> {
    let home = std::path::absolute(files::expand_home(home.to_path_buf())?)?;
    let config = home.join("config.toml");
    if fs::read_to_string(&config).is_ok_and(|text| !text.starts_with(server::CONFIG_MARK)) {
        bail!("{} is not of an earlier `cargo diabolo release`; name a new folder", config.display());
    }
    // Of its own: two may serve different states of a clone.
    let folder = home.join("diabolo-packages");
    files::empty_own_folder(&folder, "release")?;
    let server = local_registry(workspace, &folder, progress)?;
    fs::write(&config, server.cargo_config()).with_context(|| format!("writing {}", config.display()))?;
    say(format_args!("Serving at {}; CARGO_HOME={} uses it. Ctrl-C ends it.", server.address(), home.display()))?;
    server.wait();
    Ok(())
}

fn check(workspace: &Workspace, verify: bool, cache: &Cache, progress: &Progress) -> Result<()> {
    let missing = check::missing(workspace)?;
    for finding in &missing {
        say(finding)?;
    }
    let folder = workspace.root().join("target/release-check");
    files::empty_own_folder(&folder, "release")?;
    if verify {
        setup::ensure_libtorch(workspace, cache, progress)?;
    }
    let packages = package::package(workspace, &folder, verify, progress)?;
    for package in &packages.in_order {
        say(format_args!("{:<20} {:>6} KiB", package.file_name(), package.n_bytes.div_ceil(1024)))?;
    }
    let wheel = if verify { Some(wheel::build_and_try(workspace, &folder, cache, progress)?) } else { None };
    say(next_steps(&packages, wheel.as_deref(), !missing.is_empty()))?;
    say(format_args!("Looked at after {}.", words(progress.elapsed())))
}

/// What whoever publishes runs, in this order.
fn next_steps(packages: &Packages, wheel: Option<&Path>, is_something_missing: bool) -> String {
    let mut text = String::from("\nNext, in this order:\n");
    let mut line = |command: &str| text += &format!("  {command}\n");
    if is_something_missing {
        line("# fill in what is named above, commit it, and look again: cargo diabolo release --check");
    }
    if wheel.is_none() {
        line("cargo diabolo release --check            # compiles the packages and makes the wheel");
    }
    let version = packages.version();
    line(&format!("git tag --annotate v{version} --message 'diabolo {version}' && git push origin v{version}"));
    for package in &packages.in_order {
        line(&format!("cargo publish --package {}", package.name));
    }
    match wheel {
        Some(wheel) => line(&format!("python3 -m twine upload {}", wheel.display())),
        None => line("python3 -m twine upload target/release-check/wheel/*.whl"),
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use package::Package;

    #[test]
    fn what_to_run_next_is_said_in_the_order_of_a_release() {
        let package = |name: &str| Package { name: name.into(), version: "1.2.3".into(), needs: vec![], n_bytes: 1 };
        let packages =
            Packages { folder: PathBuf::new(), in_order: vec![package("diabolo-protocol"), package("diabolo")] };
        let text = next_steps(&packages, Some(Path::new("w/k.whl")), false);
        let commands =
            ["git tag", "publish --package diabolo-protocol", "publish --package diabolo\n", "upload w/k.whl"];
        let places: Vec<_> = commands.map(|command| text.find(command).expect(command)).into();
        assert!(places.is_sorted(), "{text}");
        let unfinished = next_steps(&packages, None, true);
        assert!(unfinished.find("fill in").expect("it is said") < unfinished.find("git tag").unwrap(), "{unfinished}");
    }
}
