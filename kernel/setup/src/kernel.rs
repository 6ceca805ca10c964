//! The Jupyter kernel: its program, its kernelspec, and the warm build of the dependencies of cells.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::cache::{self, Cache, Key, Part};
use crate::commands;
use crate::files;
use crate::libtorch::Libtorch;
use crate::progress::Progress;
use crate::workspace::Workspace;

/// The name by which notebooks ask for the kernel.
pub const KERNEL_NAME: &str = "diabolo";

/// The same program and build with evcxr's own front: what to compare with.
pub const STOCK_KERNEL_NAME: &str = "diabolo-stock";

/// Cells compute as fast as a release build: evcxr's own settings leave a third of the speed and every check in.
///
/// evcxr takes a warning in a library for an error of the cell, so there are none: the last line replaces evcxr's compiler
/// flags, of which it has only the first.
const CELL_PROFILE: [(&str, &str); 4] = [
    ("CARGO_PROFILE_DEV_OPT_LEVEL", "3"),
    ("CARGO_PROFILE_DEV_DEBUG_ASSERTIONS", "false"),
    ("CARGO_PROFILE_DEV_OVERFLOW_CHECKS", "false"),
    ("CARGO_ENCODED_RUSTFLAGS", "-Cprefer-dynamic\u{1f}--cap-lints=allow"),
];

/// Before the first cell evcxr compiles an empty crate, and cargo forgets the pinned versions; this puts them back.
const START_COMMANDS: &str = "!cp \"$EVCXR_CONFIG_DIR/Cargo.lock\" \"$EVCXR_TMPDIR/Cargo.lock\"\n";

/// Where the kernel that belongs to these sources is, or will be.
pub fn program(workspace: &Workspace, cache: &Cache) -> Result<PathBuf> {
    let kernel_folder = workspace.root().join("kernel");
    let key = Key::default()
        .add(workspace.rustc())
        .add(workspace.read("Cargo.lock")?)
        .add(workspace.read("Cargo.toml")?)
        .add(workspace.read("kernel/Cargo.toml")?)
        .add_files(&kernel_folder.join("src"), &["rs"])?
        .add_files(&kernel_folder.join("protocol"), &["rs", "toml"])?
        .finish();
    Ok(cache.part("kernel").join(&key).join(format!("diabolo-kernel{}", env::consts::EXE_SUFFIX)))
}

/// Builds the kernel, unless the cache holds the one that belongs to these sources, and returns its path.
pub fn build(workspace: &Workspace, cache: &Cache, progress: &Progress) -> Result<PathBuf> {
    let program = program(workspace, cache)?;
    if program.exists() {
        program.parent().into_iter().for_each(cache::mark_as_used);
        return Ok(program);
    }
    progress.run("kernel", "compiling the Jupyter kernel (evcxr), once", |step| {
        let key = program.parent().and_then(Path::file_name).unwrap_or_default();
        let name = format!("kernel-{}", key.to_string_lossy());
        let _lock = cache.lock(&name, step)?;
        let mut command = commands::cargo();
        command
            // Of the whole workspace, so that cargo chooses the same features as `cargo test` does, and the tests compile
            // none of this a second time; but this program alone, since libtorch, which others need, may still be on its way.
            .args(["build", "--workspace", "--bin", "diabolo-kernel", "--message-format", "json-render-diagnostics"])
            .current_dir(workspace.root())
            .env("CARGO_BUILD_BUILD_DIR", cache.part("build"))
            .env("CARGO_TERM_PROGRESS_WHEN", "always")
            .env("CARGO_TERM_PROGRESS_WIDTH", "100");
        let messages = commands::run(command, "compiling the kernel", &cache.log(&name), step)?;
        let built = commands::executable_named("diabolo-kernel", &messages);
        let built = built.context("cargo built no kernel")?;
        files::install_program(&built, &program)?;
        Ok((program, "the kernel is compiled".into()))
    })
}

/// The warm build of what cells need.
pub struct Warm {
    /// The folder in which cells find their dependencies compiled.
    pub cells: PathBuf,
    part: Part,
    sources: String,
}

impl Warm {
    /// Where it is, or will be.
    pub fn of(workspace: &Workspace, cache: &Cache, libtorch: &Libtorch) -> Result<Self> {
        // The crate's own sources are no ingredient: when they change, cargo compiles that one crate again.
        let key = Key::default()
            .add(workspace.rustc())
            .add(workspace.read("Cargo.lock")?)
            .add(libtorch.folder.as_os_str().as_encoded_bytes())
            .add(libtorch.version().unwrap_or_default())
            .add(format!("{CELL_PROFILE:?}"))
            .finish();
        let cells = cache.part("cells").join(&key);
        let sources = Key::default()
            .add(workspace.read("Cargo.toml")?)
            .add(workspace.read("build.rs")?)
            .add_files(&workspace.root().join("src"), &["rs"])?
            // cargo looks at times: after a change and back again it compiles too.
            .add(files::last_change(&workspace.root().join("src")))
            .finish();
        // Several clones share the folder; each has its own stamp.
        let clone = Key::default().add(workspace.root().as_os_str().as_encoded_bytes()).finish();
        Ok(Self { part: Part::with_stamp(cells.clone(), &format!("warm-{clone}")), cells, sources })
    }

    /// Is everything in it compiled, from these sources?
    pub fn is_complete(&self) -> bool {
        self.part.is_complete(&self.sources)
    }
}

/// The folder in which cells find their dependencies compiled, after compiling what is missing or out of date.
pub fn warm(
    workspace: &Workspace,
    cache: &Cache,
    kernel: &Path,
    libtorch: &Libtorch,
    progress: &Progress,
) -> Result<PathBuf> {
    let warm = Warm::of(workspace, cache, libtorch)?;
    if warm.is_complete() {
        warm.part.mark_as_used();
        return Ok(warm.cells);
    }
    let Warm { cells, part, sources } = warm;
    let lock_file = workspace.read("Cargo.lock")?;
    progress.run("cells", "compiling what notebook cells need, so that the first one does not wait", |step| {
        let key = cells.file_name().unwrap_or_default();
        let name = format!("cells-{}", key.to_string_lossy());
        let _lock = cache.lock(&name, step)?;
        files::write_if_changed(&cells.join("config/init.evcxr"), START_COMMANDS.as_bytes())?;
        files::write_if_changed(&cells.join("config/Cargo.lock"), &lock_file)?;
        let mut command = commands::without_cargo_variables(Command::new(kernel));
        command.arg("warm").arg(workspace.root()).envs(environment(&cells, libtorch));
        commands::run(command, "compiling what cells need", &cache.log(&name), step)?;
        part.complete(&sources)?;
        Ok((cells, "what cells need is compiled".into()))
    })
}

/// Registers the kernel for this user, with its own front and with evcxr's.
pub fn register(workspace: &Workspace, kernel: &Path, cells: &Path, libtorch: &Libtorch) -> Result<()> {
    for (name, text) in specifications(workspace, kernel, cells, libtorch)? {
        files::write_if_changed(&specification_file(name)?, text.as_bytes())?;
    }
    Ok(())
}

/// The kernels' names and what Jupyter is to know of them.
pub fn specifications(
    workspace: &Workspace,
    kernel: &Path,
    cells: &Path,
    libtorch: &Libtorch,
) -> Result<[(&'static str, String); 2]> {
    let mut variables: BTreeMap<_, _> = environment(cells, libtorch).into_iter().collect();
    let stock = specification("Rust (evcxr, for comparison)", json!([kernel, "--stock"]), &variables)?;
    // What most notebooks of this clone say first; the kernel does it while it waits for them.
    let start = format!(":dep diabolo = {{ path = \"{}\" }}", workspace.root().display());
    variables.insert("DIABOLO_START", start);
    let own = specification("Rust (diabolo)", json!([kernel]), &variables)?;
    Ok([(KERNEL_NAME, own), (STOCK_KERNEL_NAME, stock)])
}

fn specification(display_name: &str, mut command: Value, variables: &BTreeMap<&str, String>) -> Result<String> {
    if let Value::Array(words) = &mut command {
        words.extend(["--control_file".into(), "{connection_file}".into()]);
    }
    let specification = json!({
        "argv": command,
        "display_name": display_name,
        "language": "rust",
        "interrupt_mode": "message",
        "env": variables,
    });
    Ok(serde_json::to_string_pretty(&specification)? + "\n")
}

/// The file by which Jupyter knows a kernel.
pub fn specification_file(name: &str) -> Result<PathBuf> {
    Ok(kernelspec_folder(name)?.join("kernel.json"))
}

/// Where a kernel is registered: in the user's Jupyter data folder.
pub fn kernelspec_folder(name: &str) -> Result<PathBuf> {
    Ok(jupyter_data_folder()?.join("kernels").join(name))
}

/// The user's Jupyter data folder.
fn jupyter_data_folder() -> Result<PathBuf> {
    let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || variable(if cfg!(windows) { "APPDATA" } else { "HOME" }).context("no home folder: set HOME");
    Ok(match variable("JUPYTER_DATA_DIR") {
        Some(folder) => folder,
        None if cfg!(windows) => home()?.join("jupyter"),
        None if cfg!(target_os = "macos") => home()?.join("Library/Jupyter"),
        None => match variable("XDG_DATA_HOME") {
            Some(folder) => folder.join("jupyter"),
            None => home()?.join(".local/share/jupyter"),
        },
    })
}

/// The environment of cells, as the kernelspec holds it: an editor starts kernels without the user's shell.
pub fn environment(cells: &Path, libtorch: &Libtorch) -> Vec<(&'static str, String)> {
    let mut variables = vec![
        ("DIABOLO_CELLS", cells.to_string_lossy().into_owned()),
        ("LIBTORCH", libtorch.folder.to_string_lossy().into_owned()),
    ];
    variables.extend(CELL_PROFILE.map(|(name, value)| (name, value.to_string())));
    // The toolchain that compiled the warm build.
    variables.extend(env::var("RUSTUP_TOOLCHAIN").ok().map(|toolchain| ("RUSTUP_TOOLCHAIN", toolchain)));
    variables
}
