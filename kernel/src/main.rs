//! The Jupyter kernel of diabolo: evcxr's kernel, given the right environment.
//!
//! The kernelspec that `cargo diabolo setup` writes starts this program with `DIABOLO_CELLS`, the folder in which the
//! cells' dependencies are already compiled. Every kernel works in a copy of its own. Outside of notebooks set-up calls
//! `diabolo-kernel warm CRATE` to fill that folder.

mod environment;
mod store;

use std::path::Path;

use anyhow::{Context, Result, bail};

fn main() -> Result<()> {
    // evcxr starts this same program again as the process in which the cells run; that one inherits everything.
    if environment::is_cell_process() {
        return evcxr_jupyter::main();
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["warm", library] => warm(Path::new(library)),
        ["--control_file", _] => serve(),
        _ => bail!("started with {arguments:?}; `cargo diabolo setup` registers this kernel and Jupyter starts it"),
    }
}

/// Serves one notebook in a copy of the warm folder that lives as long as this kernel.
fn serve() -> Result<()> {
    let cells = environment::cells_folder()?;
    let copy = store::Copy::of(&cells).with_context(|| format!("copying the warm build in {}", cells.display()))?;
    environment::prepare(&cells, copy.folder());
    evcxr_jupyter::main()
}

/// Compiles the library crate in the folder `library`, with everything it needs, as a first cell would.
fn warm(library: &Path) -> Result<()> {
    let cells = environment::cells_folder()?;
    let master = store::Master::lock(&cells).with_context(|| format!("locking {}", cells.display()))?;
    environment::prepare(&cells, master.folder());
    let (mut context, outputs) = evcxr::CommandContext::new()?;
    // Nobody reads what these cells print; a full channel would stop them.
    drop(outputs);
    master.restore_lock_file()?;
    context.execute(&format!(":dep diabolo = {{ path = \"{}\" }}", library.display()))?;
    context.execute("let warm = true;")?;
    Ok(())
}
