//! `cargo diabolo clean`: removes what set-up made, and says what that was.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;

use crate::cache::{Cache, PARTS};
use crate::files;
use crate::kernel;
use crate::output::say;
use crate::workspace::Workspace;

#[derive(Args)]
#[command(after_help = "Examples:
  cargo diabolo clean --old         what older sources, compilers and Pythons have left; the two last of each stay
  cargo diabolo clean --dry-run     only say what would be removed, and how large it is
  cargo diabolo clean               remove it; `cargo diabolo setup` makes it again

Data sets in the cache, saved runs and the folder `target` stay.")]
pub struct Options {
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
    /// Remove only what set-ups of older sources have left, and nothing that is in use
    #[arg(long)]
    old: bool,
}

/// Runs `cargo diabolo clean`.
pub fn run(options: &Options) -> Result<ExitCode> {
    let cache = Cache::find()?;
    let doomed = if options.old { cache.old_parts() } else { everything(&cache)? };
    let mut n_bytes = 0;
    for path in &doomed {
        let size = files::size_bytes(path);
        n_bytes += size;
        say(format_args!("{:>9}  {}", megabytes(size), path.display()))?;
        if !options.dry_run {
            remove(path)?;
        }
    }
    match (doomed.is_empty(), options.dry_run) {
        (true, _) if options.old => {
            say(format_args!("Nothing to remove: {} holds nothing old.", cache.root().display()))?;
        }
        (true, _) => say(format_args!("Nothing to remove: {} holds nothing of set-up.", cache.root().display()))?,
        (false, true) => say(format_args!("{:>9}  would be removed", megabytes(n_bytes)))?,
        (false, false) => say(format_args!("{:>9}  removed", megabytes(n_bytes)))?,
    }
    if !options.dry_run {
        remove_if_nothing_else_is_there(cache.root());
    }
    Ok(ExitCode::SUCCESS)
}

/// All that set-up made and that is there.
fn everything(cache: &Cache) -> Result<Vec<PathBuf>> {
    let mut doomed: Vec<PathBuf> = PARTS.map(|part| cache.part(part)).into();
    for name in [kernel::KERNEL_NAME, kernel::STOCK_KERNEL_NAME] {
        doomed.extend(own_registration(name, cache)?);
    }
    // Without it plain cargo would look for a libtorch and a build folder that are gone.
    doomed.extend(Workspace::find()?.map(|workspace| workspace.config_file()));
    doomed.retain(|path| path.exists());
    Ok(doomed)
}

/// A kernel's registration, if it starts a kernel in this cache.
fn own_registration(name: &str, cache: &Cache) -> Result<Option<PathBuf>> {
    let folder = kernel::kernelspec_folder(name)?;
    let specification = fs::read(folder.join("kernel.json")).unwrap_or_default();
    let specification: serde_json::Value = serde_json::from_slice(&specification).unwrap_or_default();
    let program = specification["argv"][0].as_str().unwrap_or_default();
    Ok(Path::new(program).starts_with(cache.root()).then_some(folder))
}

fn remove(path: &Path) -> Result<()> {
    let result = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match result {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}; is a notebook still running?", path.display()))
        }
        _ => Ok(()),
    }
}

/// The tag goes with the last part; a folder that holds data sets stays, tag included.
fn remove_if_nothing_else_is_there(root: &Path) {
    let n_entries = fs::read_dir(root).map(Iterator::count).unwrap_or_default();
    if n_entries == 1 && fs::remove_file(root.join("CACHEDIR.TAG")).is_ok() {
        // An empty folder left behind does no harm.
        let _ = fs::remove_dir(root);
    }
}

fn megabytes(n_bytes: u64) -> String {
    format!("{:.1} MB", n_bytes as f64 / 1e6)
}
