//! `cargo diabolo clean`: removes what set-up made, and says what that was.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::cache::{Cache, PARTS};
use crate::files;
use crate::output::say;
use crate::registration::{self, Registered};
use crate::workspace::{self, Workspace};

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
    let doomed = if options.old { old(&cache)? } else { everything(&cache)? };
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

/// What older sources, compilers and Pythons have left: all but the two parts of each kind that were used last, and but for what
/// a clone or version that is still there starts its kernels with. The kernels of those that are gone are old too.
fn old(cache: &Cache) -> Result<Vec<PathBuf>> {
    let (living, gone): (Vec<_>, Vec<_>) = registration::all(cache)
        .into_iter()
        .partition(|(_, registered)| registered.as_ref().is_some_and(Registered::is_whole));
    let in_use: Vec<_> = living.into_iter().filter_map(|(_, it)| it).flat_map(|it| [it.program, it.cells]).collect();
    let mut doomed = cache.old_parts();
    doomed.retain(|part| !in_use.iter().any(|used| used.starts_with(part)));
    doomed.extend(gone.into_iter().map(|(folder, _)| folder));
    let of_users = registration::of_cache(cache, &registration::kernels_folder()?);
    doomed.extend(of_users.into_iter().filter(|folder| Registered::read(folder).is_some_and(|it| !it.is_whole())));
    Ok(doomed)
}

/// All that set-up made and that is there.
fn everything(cache: &Cache) -> Result<Vec<PathBuf>> {
    let mut doomed: Vec<PathBuf> = PARTS.map(|part| cache.part(part)).into();
    doomed.extend(registration::of_cache(cache, &registration::kernels_folder()?));
    // Without it plain cargo would look for a libtorch and a build folder that are gone.
    let clones = registration::all(cache).into_iter().filter_map(|(_, registered)| Some(registered?.sources));
    doomed.extend(
        clones
            .map(PathBuf::from)
            .filter(|clone| workspace::is_clone(clone))
            .map(|clone| workspace::config_file(&clone)),
    );
    doomed.extend(Workspace::find()?.map(|workspace| workspace.config_file()));
    doomed.sort();
    doomed.dedup();
    doomed.retain(|path| path.exists());
    Ok(doomed)
}

fn remove(path: &Path) -> Result<()> {
    if path.is_dir() { files::remove_folder(path) } else { files::remove_file(path) }
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
