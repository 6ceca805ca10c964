//! The environment that cells are compiled and run in.
//!
//! What depends on the machine comes from the kernelspec; what follows from it is derived here, so that it also holds for
//! values which the user exports, such as an `LD_LIBRARY_PATH` of their own.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use toml::{Table, Value};

/// The loader's search path for shared libraries.
const LIBRARY_PATH: &str = if cfg!(target_os = "macos") { "DYLD_LIBRARY_PATH" } else { "LD_LIBRARY_PATH" };

/// Makes this program evcxr's own front.
pub const STOCK_VARIABLE: &str = "DIABOLO_STOCK";

/// What [`CONFIGURATION`] was before.
const USERS_CONFIGURATION: &str = "DIABOLO_USERS_EVCXR_CONFIG_DIR";

/// The folder of evcxr's settings.
const CONFIGURATION: &str = "EVCXR_CONFIG_DIR";

/// The shared library that every program in C++ has, libtorch too.
const CPP_LIBRARY: &str = "libstdc++.so.6";

/// How long libtorch's threads spin while they wait for each other before they sleep.
const WAITING: (&str, &str) = ("GOMP_SPINCOUNT", "10000");

/// Where the user has said how they are to wait.
const OWN_WAITING: &str = "OMP_WAIT_POLICY";

/// What this program is to be, as its environment and its name have it.
#[derive(Debug, PartialEq, Eq)]
pub enum Role {
    /// The kernel, or what the arguments say.
    Kernel,
    /// Between evcxr and the process of cells.
    Relay,
    /// The process of cells.
    Cells,
    /// The process of cells below evcxr's own front.
    Stock,
    /// The wrapper around rustc that evcxr's `:cache` command uses.
    Wrapper,
    /// The cargo that rust-analyzer asks for packages.
    Cargo,
}

/// What this process is to be.
pub fn role() -> Role {
    let is_set = |name| env::var_os(name).is_some();
    if crate::packages::is_cargo() {
        Role::Cargo
    } else if is_set("EVCXR_RUSTC_WRAPPER") {
        Role::Wrapper
    } else if !is_set("EVCXR_IS_RUNTIME") {
        Role::Kernel
    } else if is_set(STOCK_VARIABLE) {
        Role::Stock
    } else if is_set(crate::relay::RUNTIME_VARIABLE) {
        Role::Cells
    } else {
        Role::Relay
    }
}

/// The Rust toolchain that cells are compiled with.
pub struct Toolchain {
    /// The folder of its programs and libraries.
    pub sysroot: PathBuf,
    /// The folder of its dynamic libraries.
    libraries: PathBuf,
}

impl Toolchain {
    /// The one that `rustc` belongs to. Called before any thread is started.
    ///
    /// # Errors
    /// How to get one.
    pub fn find() -> Result<Self, String> {
        // Jupyter started from a desktop often lacks cargo's folder.
        let cargo_home = env::var_os("CARGO_HOME").map(PathBuf::from);
        if let Some(folder) = cargo_home.or_else(|| Some(env::home_dir()?.join(".cargo"))) {
            // SAFETY: the process has one thread so far.
            unsafe { env::set_var("PATH", appended(env::var_os("PATH"), folder.join("bin"))) };
        }
        let output = Command::new("rustc")
            .args(["--print", "sysroot", "--print", "target-libdir"])
            .output()
            .map_err(|error| format!("cannot start `rustc` ({error}); install Rust from https://rustup.rs"))?;
        match String::from_utf8_lossy(&output.stdout).lines().collect::<Vec<_>>()[..] {
            [sysroot, libraries] => Ok(Self { sysroot: sysroot.into(), libraries: libraries.into() }),
            _ => Err(format!("`rustc` does not run: {}", String::from_utf8_lossy(&output.stderr).trim())),
        }
    }

    /// The standard library's sources, of which evcxr needs the types of variables.
    ///
    /// # Errors
    /// That they are missing and how to get them.
    pub fn library_sources(&self) -> Result<PathBuf, String> {
        let sources = self.sysroot.join("lib/rustlib/src/rust/library");
        match sources.join("std").is_dir() {
            true => Ok(sources),
            false => Err(format!(
                "the standard library's sources are not in {}, and without them no variable can be kept; run `rustup \
                 component add rust-src` and restart the kernel",
                sources.display()
            )),
        }
    }
}

/// Looks for the libtorch that set-up named.
///
/// # Errors
/// Where it is gone.
pub fn check_libtorch() -> Result<()> {
    match env::var_os("LIBTORCH").map(PathBuf::from) {
        Some(folder) if !folder.join("lib").is_dir() => {
            bail!("libtorch is not in {} any more; run `cargo diabolo setup` and restart the kernel", folder.display())
        }
        _ => Ok(()),
    }
}

/// The folder in which set-up compiled the cells' dependencies.
pub fn cells_folder() -> Result<PathBuf> {
    let folder = env::var_os("DIABOLO_CELLS").context("DIABOLO_CELLS is not set; run `cargo diabolo setup` again")?;
    Ok(PathBuf::from(folder))
}

/// Sets what evcxr, cargo and the cells read; `own` is the kernel's folder, if this is one. Called before any thread is
/// started.
pub fn prepare(cells: &Path, work_folder: &Path, toolchain: Option<&Toolchain>, own: Option<&Path>) {
    // The profile that the user wants for other crates goes, too: cells have that of set-up.
    let is_anothers =
        |name: &OsString| is_of_a_package(name) || name.to_string_lossy().starts_with("CARGO_PROFILE_DEV_");
    for name in env::vars_os().map(|(name, _)| name).filter(is_anothers) {
        // SAFETY: the process has one thread so far.
        unsafe { env::remove_var(name) };
    }
    let libtorch_lib = env::var_os("LIBTORCH").map(|libtorch| Path::new(&libtorch).join("lib"));
    // Cells link to the toolchain's dynamic standard library by a path that is relative to where they were linked, and
    // evcxr moves them afterwards. Below `cargo run` this path is set already, below Jupyter it is not.
    let own_libraries = libtorch_lib.into_iter().chain(toolchain.map(|toolchain| toolchain.libraries.clone()));
    let newest = own.and_then(|own| newest_cpp_library(&env::var_os(LIBRARY_PATH)?, own));
    let own_libraries = own_libraries.chain(newest);
    let library_path = own_libraries.fold(env::var_os(LIBRARY_PATH), |rest, folder| Some(joined(folder, rest)));
    // By default they spin for milliseconds, and where another program wants one of the cores, each waits for a thread
    // that is not running: a training was then eight times as slow. Threads that sleep at once take a third longer on a
    // machine that is free. This is a fraction of a millisecond, nearly as quick as spinning there and the quickest on a
    // busy one (docs/BENCHMARKS.md).
    let is_users = [WAITING.0, OWN_WAITING].iter().any(|name| env::var_os(name).is_some());
    let waiting = (!is_users).then(|| WAITING.1.into());
    let changes = [
        ("EVCXR_TMPDIR", Some(work_folder.into())),
        (USERS_CONFIGURATION, env::var_os(CONFIGURATION)),
        (CONFIGURATION, Some(cells.join("config").into())),
        // evcxr would rewrite the kernelspec of an older stock installation; in an empty folder it finds none.
        ("JUPYTER_PATH", Some(cells.join("config").into())),
        (LIBRARY_PATH, library_path),
        (WAITING.0, waiting),
    ];
    for (name, value) in changes {
        if let Some(value) = value {
            // SAFETY: the process has one thread so far.
            unsafe { env::set_var(name, value) };
        }
    }
}

/// Is this what a `cargo run` or `cargo test` above says of its own package? Build scripts that look at it would run again, and
/// every kernel would compile what depends on them.
pub fn is_of_a_package(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") || name == "OUT_DIR"
}

/// Lets the compiler keep nothing from one build to the next, which it does under a lock. Called before any thread is started.
pub fn build_without_locks() {
    // SAFETY: the process has one thread so far.
    unsafe { env::set_var("CARGO_INCREMENTAL", "0") };
}

/// Makes evcxr read the user's own settings: `evcxr.toml`, `init.evcxr` and `prelude.rs` of their configuration folder, but
/// for the place where cells are compiled. Called before any thread is started.
///
/// # Errors
/// One of them cannot be read.
pub fn use_users_configuration(own: &Path) -> Result<()> {
    let folder = configuration_folder(own);
    fs::create_dir(&folder).context("making a folder for it")?;
    let users = env::var_os(USERS_CONFIGURATION).map(PathBuf::from).or_else(users_configuration);
    // SAFETY: the process has one thread so far.
    unsafe { env::set_var(CONFIGURATION, &folder) };
    let Some(users) = users else { return Ok(()) };
    for name in ["evcxr.toml", "init.evcxr", "prelude.rs"] {
        let path = users.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => fs::write(folder.join(name), if name == "evcxr.toml" { without_folder(&text) } else { text })
                .with_context(|| format!("copying {}", path.display()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        }
    }
    Ok(())
}

/// Does the user have any of these?
pub fn has_users_configuration(own: &Path) -> bool {
    fs::read_dir(configuration_folder(own)).is_ok_and(|mut files| files.next().is_some())
}

fn configuration_folder(own: &Path) -> PathBuf {
    own.join("configuration")
}

/// Where evcxr looks for a user's settings.
fn users_configuration() -> Option<PathBuf> {
    let home = env::home_dir()?;
    let usual = if cfg!(target_os = "macos") { "Library/Application Support" } else { ".config" };
    let named = env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
    let folder = if cfg!(target_os = "macos") { None } else { named };
    Some(folder.unwrap_or_else(|| home.join(usual)).join("evcxr"))
}

/// The text of an `evcxr.toml` that leaves cells to be compiled where the warm build is. What is no TOML is left as it is, for
/// evcxr to complain of.
fn without_folder(text: &str) -> String {
    let Ok(mut settings) = text.parse::<Table>() else { return text.to_string() };
    if let Some(evcxr) = settings.get_mut("evcxr").and_then(Value::as_table_mut) {
        evcxr.remove("tmpdir");
    }
    settings.to_string()
}

/// A folder with the newest `libstdc++`, where the user's search path has one that is older than the compiler's: libtorch needs
/// what only newer ones have, and the first one found is taken for all.
fn newest_cpp_library(paths: &OsStr, own: &Path) -> Option<PathBuf> {
    let found = env::split_paths(paths).map(|folder| folder.join(CPP_LIBRARY)).find(|library| library.exists())?;
    let output = Command::new("c++").arg(format!("-print-file-name={CPP_LIBRARY}")).output().ok()?;
    let compilers = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    if cpp_version(&compilers)? <= cpp_version(&found).unwrap_or_default() {
        return None;
    }
    let folder = own.join("libraries");
    fs::create_dir(&folder).ok()?;
    std::os::unix::fs::symlink(compilers.canonicalize().ok()?, folder.join(CPP_LIBRARY)).ok()?;
    Some(folder)
}

/// The version at the end of a shared library's real name, as in `libstdc++.so.6.0.33`.
fn cpp_version(library: &Path) -> Option<Vec<u32>> {
    let real = library.canonicalize().ok()?;
    let (_, version) = real.file_name()?.to_str()?.split_once(".so.")?;
    version.split('.').map(|number| number.parse().ok()).collect()
}

/// A search path that begins with `first`.
pub fn joined(first: PathBuf, rest: Option<OsString>) -> OsString {
    let rest = rest.unwrap_or_default();
    let others = env::split_paths(&rest).filter(|folder| !folder.as_os_str().is_empty());
    env::join_paths(std::iter::once(first).chain(others)).unwrap_or(rest.clone())
}

/// A search path that ends with `last`.
fn appended(paths: Option<OsString>, last: PathBuf) -> OsString {
    let paths = paths.unwrap_or_default();
    env::join_paths(env::split_paths(&paths).chain([last])).unwrap_or(paths.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libtorch_comes_before_what_the_user_exported() {
        assert_eq!(joined("/torch/lib".into(), Some("/cuda:/mine".into())), "/torch/lib:/cuda:/mine");
        assert_eq!(joined("/torch/lib".into(), None), "/torch/lib");
    }

    #[test]
    fn missing_sources_of_the_standard_library_are_said_with_their_remedy() {
        let sysroot = tempfile::tempdir().unwrap();
        let toolchain = Toolchain { sysroot: sysroot.path().into(), libraries: PathBuf::new() };
        assert!(toolchain.library_sources().unwrap_err().contains("rustup component add rust-src"));
        let sources = sysroot.path().join("lib/rustlib/src/rust/library");
        std::fs::create_dir_all(sources.join("std")).unwrap();
        assert_eq!(toolchain.library_sources(), Ok(sources));
    }

    #[test]
    fn settings_say_no_other_place_to_compile_in() {
        let text = "[evcxr]\ntmpdir = \"/elsewhere\"\nprelude = \"let a = 1;\"\n[dependencies]\nitoa = \"1\"\n";
        let kept = without_folder(text);
        assert!(!kept.contains("elsewhere") && kept.contains("let a = 1;") && kept.contains("itoa"));
        assert_eq!(without_folder("[evcxr"), "[evcxr");
    }

    #[test]
    fn a_shared_librarys_version_is_that_of_its_real_name() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("libstdc++.so.6.0.9"), "").unwrap();
        std::os::unix::fs::symlink("libstdc++.so.6.0.9", folder.path().join(CPP_LIBRARY)).unwrap();
        assert_eq!(cpp_version(&folder.path().join(CPP_LIBRARY)), Some(vec![6, 0, 9]));
        assert!(cpp_version(&folder.path().join(CPP_LIBRARY)) < Some(vec![6, 0, 30]));
    }

    #[test]
    fn cargo_of_the_user_comes_first() {
        assert_eq!(appended(Some("/usr/bin".into()), "/home/.cargo/bin".into()), "/usr/bin:/home/.cargo/bin");
    }
}
