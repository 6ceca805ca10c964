//! Which packages rust-analyzer reads of those that a notebook depends on.
//!
//! It asks cargo, and reads the sources of every package that cargo names before a cell can run: below a single line of
//! `:dep` there may be hundreds, most of which no cell can name. So a package may list those below it that its users meet:
//!
//! ```toml
//! [package.metadata.diabolo-kernel]
//! public-dependencies = ["ndarray"]
//! ```
//!
//! evcxr has no place to tell rust-analyzer of it. But rust-analyzer finds cargo through rustup, which takes any folder for
//! a toolchain. In the one made here, cargo is this program: it hands every call to the real cargo, and leaves the other
//! packages out of the answer to rust-analyzer. It also sees to it that cargo finds the versions of what is compiled
//! already, which evcxr makes it forget ([`crate::versions`]). Without rustup this cargo is the first in the search path.
//!
//! And only a `let` needs to know a type. Until one comes, or a question about code, or a moment in which nobody waits, all
//! packages are hidden ([`Hidden`]): a notebook's first cell mostly has none.

use std::collections::{HashMap, HashSet};
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use evcxr::CommandContext;
use serde_json::Value;

use crate::cell::Cell;
use crate::sources::Sources;
use crate::versions::Versions;
use crate::{environment, hold, replay};

/// Names rustup's toolchain, by its name or its folder.
const TOOLCHAIN: &str = "RUSTUP_TOOLCHAIN";

/// What [`TOOLCHAIN`] was before, if it was set.
const USERS_TOOLCHAIN: &str = "DIABOLO_USERS_TOOLCHAIN";

/// The folder of the real toolchain.
const SYSROOT: &str = "DIABOLO_SYSROOT";

/// The toolchain in the kernel's own folder.
const TOOLCHAIN_FOLDER: &str = "toolchain";

/// The file in it that is there while rust-analyzer sees no packages.
const HIDDEN: &str = "packages-are-hidden";

/// Puts this program in cargo's place, for this process and its children. Called before any thread is started.
pub fn stand_in_for_cargo(own_folder: &Path, sysroot: &Path) -> io::Result<()> {
    let toolchain = make_toolchain(own_folder, sysroot)?;
    let users = env::var_os(TOOLCHAIN);
    // Where there is no rustup, cargo is found here.
    let paths = environment::joined(toolchain.join("bin"), env::var_os("PATH"));
    let changes = [
        (SYSROOT, Some(sysroot.into())),
        (USERS_TOOLCHAIN, users),
        (TOOLCHAIN, Some(toolchain.into())),
        ("PATH", Some(paths)),
    ];
    for (name, value) in changes {
        if let Some(value) = value {
            // SAFETY: the process has one thread so far.
            unsafe { env::set_var(name, value) };
        }
    }
    Ok(())
}

/// A toolchain like the real one, in which cargo is this program.
fn make_toolchain(own_folder: &Path, sysroot: &Path) -> io::Result<PathBuf> {
    let toolchain = own_folder.join(TOOLCHAIN_FOLDER);
    let programs = toolchain.join("bin");
    fs::create_dir_all(&programs)?;
    symlink(sysroot.join("lib"), toolchain.join("lib"))?;
    for entry in fs::read_dir(sysroot.join("bin"))? {
        let entry = entry?;
        let program = if entry.file_name() == "cargo" { env::current_exe()? } else { entry.path() };
        symlink(program, programs.join(entry.file_name()))?;
    }
    Ok(toolchain)
}

/// Lets a command and its children use the real toolchain again.
pub fn use_real_toolchain(command: &mut Command) {
    match env::var_os(USERS_TOOLCHAIN) {
        Some(toolchain) => command.env(TOOLCHAIN, toolchain),
        None => command.env_remove(TOOLCHAIN),
    };
    command.env_remove(SYSROOT).env_remove(USERS_TOOLCHAIN);
    if let (Some(toolchain), Some(paths)) = (env::var_os(TOOLCHAIN), env::var_os("PATH")) {
        let own = Path::new(&toolchain).join("bin");
        let others = env::split_paths(&paths).filter(|folder| *folder != own);
        command.env("PATH", env::join_paths(others).unwrap_or(paths.clone()));
    }
}

/// All packages and the standard library, while rust-analyzer sees none of them.
pub struct Hidden {
    /// The file by which the program in cargo's place knows.
    marker: PathBuf,
    sources: Sources,
    library: PathBuf,
}

impl Hidden {
    /// Hides them from the rust-analyzer of the kernel whose folder this is.
    pub fn hide(own_folder: &Path, library: &Path) -> io::Result<Self> {
        let toolchain = own_folder.join(TOOLCHAIN_FOLDER);
        fs::create_dir_all(&toolchain)?;
        let marker = toolchain.join(HIDDEN);
        fs::write(&marker, "")?;
        Ok(Self { marker, sources: Sources::empty(own_folder)?, library: library.into() })
    }

    /// Lets it read them with the next cell or question.
    pub fn show(&self, context: &mut CommandContext) -> io::Result<()> {
        fs::remove_file(&self.marker)?;
        self.sources.fill(&self.library)?;
        read_again(context);
        Ok(())
    }
}

/// Does this cell need them? evcxr asks for the types of what a `let` names; what its commands ask for is not known here.
pub fn are_needed(cell: &Cell<'_>) -> bool {
    let is_dependency = |command: &str| command.split_whitespace().next() == Some(":dep");
    cell.body().contains("let") || !cell.commands().all(is_dependency)
}

/// Makes rust-analyzer read all packages with the next cell: after a stop it may have read half of them, and believes that
/// these are all until `Cargo.toml` changes. The line of it that changes here has no effect, since set-up chose another for
/// all cells.
pub fn read_again(context: &mut CommandContext) {
    static N_TIMES: AtomicUsize = AtomicUsize::new(0);
    let level = if N_TIMES.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) { "3" } else { "2" };
    if let Err(error) = context.set_opt_level(level) {
        eprintln!("asking rust-analyzer to read the packages again: {error}");
    }
}

/// Was this process started in cargo's place?
pub fn is_cargo() -> bool {
    let name = env::args_os().next().map(PathBuf::from);
    name.as_deref().and_then(Path::file_name) == Some(OsStr::new("cargo"))
}

/// Does what cargo would do.
pub fn run_as_cargo() -> Result<()> {
    // A kernel that is gone wants no build; what takes this program's place keeps the wish.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)) {
        eprintln!("this build may outlive the kernel: {error}");
    }
    let sysroot = env::var_os(SYSROOT).context("this program is cargo only for a kernel that started it")?;
    let programs = Path::new(&sysroot).join("bin");
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    let build = replay::as_build(&arguments);
    let mut cargo = Command::new(programs.join("cargo"));
    cargo.args(build.as_ref().unwrap_or(&arguments));
    use_real_toolchain(&mut cargo);
    // evcxr names it by the path that rustup gave, but cargo remembers what it asked a compiler by its path.
    let own_rustc = env::var_os(TOOLCHAIN).map(|toolchain| Path::new(&toolchain).join("bin/rustc").into_os_string());
    if own_rustc.is_some() && env::var_os("RUSTC") == own_rustc {
        cargo.env("RUSTC", programs.join("rustc"));
    }
    if let (Some(cells), Some(work)) = (env::var_os("DIABOLO_CELLS"), env::var_os("EVCXR_TMPDIR"))
        && let Err(error) = Versions::new(Path::new(&cells), Path::new(&work)).restore()
    {
        eprintln!("pinning versions in {}: {error}", work.display());
    }
    // Where the linker's files are removed with the rest, when it is stopped before it has removed them.
    if let Some(temporary) = env::var_os("EVCXR_TMPDIR").map(|work| Path::new(&work).join("temporary"))
        && fs::create_dir_all(&temporary).is_ok()
    {
        cargo.env("TMPDIR", temporary);
    }
    if build.is_some() {
        process::exit(replay::build(&mut cargo).context("starting the real cargo")?);
    }
    let has = |argument: &str| arguments.iter().any(|given| given == argument);
    // So does rust-analyzer ask; evcxr does not name a platform.
    if !(has("metadata") && has("--filter-platform")) {
        return Err(cargo.exec()).context("starting the real cargo");
    }
    let are_hidden = env::var_os(TOOLCHAIN).is_some_and(|toolchain| Path::new(&toolchain).join(HIDDEN).exists());
    if are_hidden {
        cargo.arg("--no-deps");
    } else if !has("--no-deps") {
        hold::at(hold::METADATA);
    }
    let output = cargo.stderr(Stdio::inherit()).output().context("starting the real cargo")?;
    if !output.status.success() {
        process::exit(output.status.code().unwrap_or(1));
    }
    let mut metadata: Value = serde_json::from_slice(&output.stdout).context("reading cargo's metadata")?;
    leave_out_private(&mut metadata);
    serde_json::to_writer(io::stdout().lock(), &metadata).context("answering in cargo's place")
}

/// Takes the packages that no cell can name out of `cargo metadata`'s answer.
fn leave_out_private(metadata: &mut Value) {
    let Some(public) = public_packages(metadata) else { return };
    let retain = |list: &mut Value, id: fn(&Value) -> &Value| {
        if let Some(list) = list.as_array_mut() {
            list.retain(|entry| id(entry).as_str().is_some_and(|id| public.contains(id)));
        }
    };
    retain(&mut metadata["packages"], |package| &package["id"]);
    retain(&mut metadata["resolve"]["nodes"], |node| &node["id"]);
    for node in metadata["resolve"]["nodes"].as_array_mut().into_iter().flatten() {
        retain(&mut node["dependencies"], |id| id);
        retain(&mut node["deps"], |dependency| &dependency["pkg"]);
    }
}

/// The entries of a list by what they call their `id`.
fn by_id(list: &Value) -> HashMap<&str, &Value> {
    list.as_array().into_iter().flatten().filter_map(|entry| Some((entry["id"].as_str()?, entry))).collect()
}

/// The packages that can be reached from the cells' crate; below one that lists its public dependencies, these alone.
fn public_packages(metadata: &Value) -> Option<HashSet<String>> {
    let (packages, nodes) = (by_id(&metadata["packages"]), by_id(&metadata["resolve"]["nodes"]));
    let listed = |id: &str| packages.get(id)?["metadata"]["diabolo-kernel"]["public-dependencies"].as_array();
    let may_follow = |limiting: Option<&str>, id: &str| {
        limiting.and_then(listed).is_none_or(|listed| packages.get(id).is_some_and(|it| listed.contains(&it["name"])))
    };
    let mut reached = HashSet::new();
    // A package, and the one whose list limits what follows.
    let mut waiting = vec![(metadata["resolve"]["root"].as_str()?, None)];
    while let Some((id, limiting)) = waiting.pop() {
        if !reached.insert((id, limiting)) {
            continue;
        }
        let limiting = if listed(id).is_some() { Some(id) } else { limiting };
        let below = nodes.get(id).and_then(|node| node["dependencies"].as_array()).into_iter().flatten();
        waiting.extend(below.filter_map(Value::as_str).filter(|id| may_follow(limiting, id)).map(|id| (id, limiting)));
    }
    Some(reached.into_iter().map(|(id, _)| id.to_string()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A package's name, its list, and what it depends on.
    type Package = (&'static str, Option<&'static [&'static str]>, &'static [&'static str]);

    /// The answer for some packages, of which the first is the cells' crate.
    fn answer(packages: &[Package]) -> Value {
        let id = |name: &str| format!("{name}@1");
        let package = |(name, listed, _): &Package| {
            let metadata = listed.map(|listed| json!({ "diabolo-kernel": { "public-dependencies": listed } }));
            json!({ "name": name, "id": id(name), "metadata": metadata })
        };
        let node = |(name, _, below): &Package| {
            let ids: Vec<_> = below.iter().map(|name| id(name)).collect();
            let deps: Vec<_> = ids.iter().map(|id| json!({ "pkg": id })).collect();
            json!({ "id": id(name), "dependencies": ids, "deps": deps })
        };
        let nodes: Vec<_> = packages.iter().map(node).collect();
        let listed: Vec<_> = packages.iter().map(package).collect();
        json!({ "packages": listed, "resolve": { "root": id(packages[0].0), "nodes": nodes } })
    }

    #[test]
    fn below_a_package_with_a_list_only_listed_ones_are_kept() {
        let mut metadata = answer(&[
            ("ctx", None, &["helper", "other"]),
            ("helper", Some(&["arrays", "numbers"]), &["arrays", "network"]),
            ("arrays", None, &["numbers", "network"]),
            ("numbers", None, &[]),
            ("network", None, &["sockets"]),
            ("sockets", None, &[]),
            ("other", None, &["sockets"]),
        ]);
        leave_out_private(&mut metadata);
        let kept = answer(&[
            ("ctx", None, &["helper", "other"]),
            ("helper", Some(&["arrays", "numbers"]), &["arrays"]),
            ("arrays", None, &["numbers"]),
            ("numbers", None, &[]),
            // The second package may name them, so a cell can.
            ("sockets", None, &[]),
            ("other", None, &["sockets"]),
        ]);
        assert_eq!(metadata, kept);
    }

    #[test]
    fn without_a_list_all_are_kept() {
        let all = answer(&[("ctx", None, &["helper"]), ("helper", None, &["deep"]), ("deep", None, &["helper"])]);
        let mut metadata = all.clone();
        leave_out_private(&mut metadata);
        assert_eq!(metadata, all);
        let mut without_dependencies = json!({ "packages": [], "resolve": null });
        leave_out_private(&mut without_dependencies);
        assert_eq!(without_dependencies["packages"], json!([]));
    }

    #[test]
    fn packages_are_needed_by_a_let_and_by_commands_that_may_ask() {
        for code in ["use a::*;", ":dep a = \"1\"\nuse a::b;", "println!(\"{}\", 1 + 1)", "fn f() -> u8 { 1 }", ""] {
            assert!(!are_needed(&Cell::new(code)), "{code}");
        }
        for code in ["use a::*;\nlet b = a();", ":vars", ":dep a\n:clear", "if let Some(a) = b { }"] {
            assert!(are_needed(&Cell::new(code)), "{code}");
        }
    }

    #[test]
    fn every_program_of_the_toolchain_is_the_real_one_but_cargo() {
        let (own, sysroot) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(sysroot.path().join("bin")).unwrap();
        for program in ["cargo", "rustc"] {
            fs::write(sysroot.path().join("bin").join(program), "").unwrap();
        }
        make_toolchain(own.path(), sysroot.path()).unwrap();
        let leads_to = |program: &str| fs::read_link(own.path().join("toolchain/bin").join(program)).unwrap();
        assert_eq!(leads_to("rustc"), sysroot.path().join("bin/rustc"));
        assert_eq!(leads_to("cargo"), env::current_exe().unwrap());
    }
}
