//! The Jupyter kernel: its program, and the warm build of the dependencies of cells.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::cache::{self, Cache, Key, Part};
use crate::commands;
use crate::files;
use crate::libtorch::Libtorch;
use crate::lock_file;
use crate::pace::Pace;
use crate::progress::{Progress, Step};
use crate::python::Python;
use crate::sources::{PROFILE, Sources, VERSION};
use crate::warm::Dependencies;
use crate::wheel;

/// How cells are compiled.
const CELL_PROFILE: &str = include_str!("cells.toml");

/// evcxr takes a warning in a library for an error of the cell, so there are none: this replaces evcxr's compiler flags, of
/// which it has only the first.
const CELL_FLAGS: (&str, &str) = ("CARGO_ENCODED_RUSTFLAGS", "-Cprefer-dynamic\u{1f}--cap-lints=allow");

/// Before the first cell evcxr compiles an empty crate, and cargo forgets the pinned versions; this puts them back.
const START_COMMANDS: &str = "!cp \"$EVCXR_CONFIG_DIR/Cargo.lock\" \"$EVCXR_TMPDIR/Cargo.lock\"\n";

/// How the two builds spend their time, as seen with two cores from an empty cache.
const PACE_OF_KERNEL: Pace = Pace(&[
    (0.04, 0.07),
    (0.21, 0.14),
    (0.30, 0.20),
    (0.41, 0.28),
    (0.53, 0.34),
    (0.54, 0.48),
    (0.57, 0.57),
    (0.59, 0.68),
    (0.70, 0.75),
    (0.86, 0.82),
    (0.92, 0.89),
    (0.99, 0.96),
]);
const PACE_OF_CELLS: Pace =
    Pace(&[(0.20, 0.12), (0.46, 0.17), (0.59, 0.25), (0.72, 0.39), (0.79, 0.43), (0.85, 0.55), (0.98, 0.70)]);
/// Of which evcxr tells: those without a hyphen in their names.
const N_CRATES_OF_CELLS: usize = 122;

/// Where the kernel that belongs to these sources is, or will be.
pub fn program(sources: &Sources, cache: &Cache) -> Result<PathBuf> {
    let key = sources.kernel_key()?;
    Ok(cache.part("kernel").join(&key).join(format!("diabolo-kernel{}", env::consts::EXE_SUFFIX)))
}

/// Builds the kernel, unless the cache holds the one that belongs to these sources, and returns its path.
pub fn build(sources: &Sources, cache: &Cache, python: &Python, progress: &Progress) -> Result<PathBuf> {
    let program = program(sources, cache)?;
    if program.exists() {
        program.parent().into_iter().for_each(cache::mark_as_used);
        return Ok(program);
    }
    progress.run("kernel", "compiling the Jupyter kernel (evcxr), once", |step| {
        let folder = program.parent().context("the kernel is in a folder")?;
        let name = format!("kernel-{}", folder.file_name().unwrap_or_default().to_string_lossy());
        let _lock = cache.lock(&name, step)?;
        let log = cache.log(&name);
        step.foretell(PACE_OF_KERNEL, None);
        let built = match sources {
            Sources::Clone(workspace) => {
                let mut command = compiling(cache);
                command
                    // Of the whole workspace, so that cargo chooses the same features as `cargo test` does, and the tests
                    // compile none of this a second time; but this program alone, since libtorch, which others need, may
                    // still be on its way.
                    .args(["build", "--workspace", "--bin", "diabolo-kernel"])
                    .args(["--message-format", "json-render-diagnostics"])
                    .current_dir(workspace.root());
                let messages = commands::run(command, "compiling the kernel", &log, step)?;
                commands::executable_named("diabolo-kernel", &messages).context("cargo built no kernel")?
            }
            Sources::Release(_) => {
                if let Some(installed) = wheel::installed(python, VERSION) {
                    files::install_program(&installed, &program)?;
                    return Ok((
                        program,
                        format!("the kernel is {}, which was installed already", installed.display()),
                    ));
                }
                let (profile, root) = (folder.join("profile.toml"), folder.join("installed"));
                files::write_if_changed(&profile, PROFILE.as_bytes())?;
                let mut command = compiling(cache);
                command
                    .args(["install", "diabolo-kernel", "--locked", "--no-track", "--force", "--profile", "dev"])
                    .args(["--version", &format!("={VERSION}"), "--root"])
                    .arg(&root)
                    .arg("--config")
                    .arg(&profile);
                commands::run(command, "compiling the kernel", &log, step)?;
                root.join("bin").join(program.file_name().unwrap_or_default())
            }
        };
        files::install_program(&built, &program)?;
        Ok((program, "the kernel is compiled".into()))
    })
}

/// A cargo that shows its bar, and compiles where all clones and versions do.
fn compiling(cache: &Cache) -> Command {
    let mut command = commands::cargo_with_bar();
    command.env("CARGO_BUILD_BUILD_DIR", cache.part("build"));
    command
}

/// The warm build of what cells need.
pub struct Warm {
    /// The folder in which cells find their dependencies compiled.
    pub cells: PathBuf,
    /// What the users' notebooks depend on beside the library.
    users: Vec<Dependencies>,
    part: Part,
    sources: String,
    /// The library, as it stands after `:dep`.
    dependency: String,
    environment: Vec<(&'static str, String)>,
    cache: Cache,
}

impl Warm {
    /// Where it is, or will be.
    pub fn of(sources: &Sources, cache: &Cache, libtorch: &Libtorch) -> Result<Self> {
        // The crate's own sources are no ingredient: when they change, cargo compiles that one crate again.
        let lock_file = String::from_utf8(sources.lock_file()?).context("reading Cargo.lock")?;
        let key = Key::default()
            .add(sources.rustc())
            .add(lock_file::below(&lock_file, "diabolo")?)
            .add(libtorch.folder.as_os_str().as_encoded_bytes())
            .add(libtorch.version().unwrap_or_default())
            .add(CELL_PROFILE)
            .add(CELL_FLAGS.1)
            .finish();
        let cells = cache.part("cells").join(&key);
        // Clones and versions share the folder; each has its own stamp.
        let part = Part::with_stamp(cells.clone(), &format!("warm-{}", sources.key()));
        let users = Dependencies::all(cache)?;
        let lines = users.iter().flat_map(Dependencies::lines);
        let of_library = Key::default().add(sources.library_key()?);
        Ok(Self {
            environment: environment(&cells, libtorch),
            sources: lines.fold(of_library, Key::add).finish(),
            dependency: sources.exact_dependency(),
            cache: cache.clone(),
            part,
            cells,
            users,
        })
    }

    /// Compiles what the users' notebooks depend on: each alone, since cargo chooses features for all together, and all.
    pub fn compile_users(&self, kernel: &Path, progress: &Progress) -> Result<()> {
        let all: Vec<String> = self.users.iter().flat_map(|users| users.lines()).collect();
        if all.is_empty() {
            return Ok(());
        }
        progress.run("crates", "compiling the crates of your notebooks", |step| {
            let _lock = self.cache.lock(&self.name(), step)?;
            let alone = all.iter().map(std::slice::from_ref).filter(|_| all.len() > 1);
            for dependencies in alone.chain([&all[..]]) {
                let doing = format!("compiling {}", dependencies.join(", "));
                self.compile(kernel, dependencies, &doing, step)?;
            }
            Ok(((), format!("compiled: {}", all.join(", "))))
        })
    }

    /// Compiles the library and other dependencies, as a cell that names them would.
    fn compile(&self, kernel: &Path, others: &[String], doing: &str, step: &Step) -> Result<()> {
        let mut command = commands::without_cargo_variables(Command::new(kernel));
        let environment = self.environment.iter().map(|(name, value)| (name, value));
        command.arg("warm").arg(&self.dependency).args(others).envs(environment);
        commands::run(command, doing, &self.cache.log(&self.name()), step).map(drop)
    }

    /// Names its log and its lock.
    fn name(&self) -> String {
        format!("cells-{}", self.cells.file_name().unwrap_or_default().to_string_lossy())
    }

    /// Notes that everything in it is compiled.
    pub fn complete(&self) -> Result<()> {
        self.part.complete(&self.sources)
    }

    /// Is everything in it compiled, from these sources?
    pub fn is_complete(&self) -> bool {
        self.part.is_complete(&self.sources)
    }
}

/// The folder in which cells find their dependencies compiled, after compiling what is missing or out of date.
pub fn warm(
    sources: &Sources,
    cache: &Cache,
    kernel: &Path,
    libtorch: &Libtorch,
    progress: &Progress,
) -> Result<PathBuf> {
    let warm = Warm::of(sources, cache, libtorch)?;
    if warm.is_complete() {
        warm.part.mark_as_used();
        return Ok(warm.cells);
    }
    let lock_file = sources.lock_file()?;
    progress.run("cells", "compiling what notebook cells need, so that the first one does not wait", |step| {
        let _lock = cache.lock(&warm.name(), step)?;
        files::write_if_changed(&warm.cells.join("config/init.evcxr"), START_COMMANDS.as_bytes())?;
        files::write_if_changed(&warm.cells.join("config/Cargo.lock"), &lock_file)?;
        files::write_if_changed(&warm.cells.join(".cargo/config.toml"), CELL_PROFILE.as_bytes())?;
        // Where some of it is compiled, how much is left is not known.
        if !warm.cells.join("master/target").exists() {
            step.foretell(PACE_OF_CELLS, Some(N_CRATES_OF_CELLS));
        }
        warm.compile(kernel, &[], "compiling what cells need", step)?;
        Ok(((), "what cells need is compiled".into()))
    })?;
    // What a user asked for once is compiled again for another compiler; where it fails, notebooks still have the library.
    if let Err(error) = warm.compile_users(kernel, progress) {
        progress.say(&format!("warning: {error:#}"));
    }
    warm.complete()?;
    Ok(warm.cells)
}

/// The environment of cells, as the kernelspec holds it: an editor starts kernels without the user's shell.
pub fn environment(cells: &Path, libtorch: &Libtorch) -> Vec<(&'static str, String)> {
    let mut variables = vec![
        ("DIABOLO_CELLS", cells.to_string_lossy().into_owned()),
        ("LIBTORCH", libtorch.folder.to_string_lossy().into_owned()),
        (CELL_FLAGS.0, CELL_FLAGS.1.into()),
    ];
    // The toolchain that compiled the warm build.
    variables.extend(env::var("RUSTUP_TOOLCHAIN").ok().map(|toolchain| ("RUSTUP_TOOLCHAIN", toolchain)));
    variables
}
