//! `cargo diabolo new`: a folder for one's own notebooks.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;

use crate::cache::Cache;
use crate::files;
use crate::output::say;
use crate::sources::Sources;

/// What a new folder has. In the notebook `DEPENDENCY` stands for what `:dep` is to say.
const NOTEBOOK: (&str, &str) = ("01_first_look.ipynb", include_str!("new/01_first_look.ipynb"));
const OTHERS: [(&str, &str); 2] =
    [("data/README.md", include_str!("new/data.md")), (".gitignore", include_str!("new/gitignore"))];

#[derive(Args)]
#[command(after_help = "Examples:
  cargo diabolo new my-notebooks    a folder with a first notebook, a place for data and a .gitignore
  cd my-notebooks
  cargo diabolo lab                 open it in JupyterLab; sets up at the first time
  cargo diabolo report              run its notebooks, and write target/report/index.html")]
pub struct Options {
    /// The folder to make
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

/// Runs `cargo diabolo new`.
pub fn run(options: &Options) -> Result<ExitCode> {
    let sources = Sources::find(&Cache::find()?)?;
    let folder = files::expand_home(options.folder.clone())?;
    make(&folder, &sources.dependency())?;
    say(format_args!("{} has a first notebook. Next: `cd {0}` and `cargo diabolo lab`.", options.folder.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// Makes the folder.
///
/// # Errors
/// Where something is there already.
fn make(folder: &Path, dependency: &str) -> Result<()> {
    if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
        bail!("{} is not empty; name a new folder", folder.display());
    }
    let (name, text) = NOTEBOOK;
    let mut notebook: Value = serde_json::from_str(text).context("reading the notebook's pattern")?;
    for line in notebook["cells"].as_array_mut().into_iter().flatten().filter_map(|cell| cell["source"].as_array_mut())
    {
        for line in line {
            *line = line.as_str().unwrap_or_default().replace("DEPENDENCY", dependency).into();
        }
    }
    files::write_if_changed(&folder.join(name), format!("{notebook:#}\n").as_bytes())?;
    for (name, text) in OTHERS {
        files::write_if_changed(&folder.join(name), text.as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_folder_has_a_notebook_that_names_the_library_and_nothing_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("own");
        make(&own, "diabolo = { path = \"/a \\\"b\\\"\" }").unwrap();
        let notebook: Value = serde_json::from_slice(&fs::read(own.join(NOTEBOOK.0)).unwrap()).unwrap();
        assert_eq!(notebook["cells"][1]["source"][0], ":dep diabolo = { path = \"/a \\\"b\\\"\" }\n");
        assert_eq!(notebook["metadata"]["kernelspec"]["name"], crate::registration::KERNEL_NAME);
        assert!(own.join(".gitignore").exists() && own.join("data/README.md").exists());
        assert!(make(&own, "").unwrap_err().to_string().contains("is not empty"));
    }
}
