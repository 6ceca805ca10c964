//! Checks by running a cell: the kernel, the library and libtorch, the device, and the data sets found.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::cuda;
use crate::cache::Cache;
use crate::commands;
use crate::finding::Finding;
use crate::python;
use crate::registration::{self, KERNEL_NAME};
use crate::sources::Sources;

const PROGRAM: &str = include_str!("cell.py");

/// A first cell takes some seconds, and a minute on a busy machine.
const MAX_SECONDS: u32 = 180;

/// One line for the device and for each data set, each with its kind first.
const CODE: &str = r#"
use diabolo::prelude::*;
match Device::Auto.describe() {
    Ok(device) => println!("device\t{device}"),
    Err(error) => println!("no device\t{error}"),
}
match Device::Cuda(0).describe() {
    Ok(device) => println!("tensor\t{device}\ncudnn\t{device}"),
    Err(error) => println!("no tensor\t{error}"),
}
for name in diabolo::data::names() {
    match open(name) {
        Ok(data) => println!("data\t{name}\t{} to train on, {} to test on", data.train().len(), data.test().len()),
        Err(error) => println!("no data\t{name}\t{error}"),
    }
}
"#;

/// Runs the cell and tells what it said.
pub fn look(jupyter: &Path, sources: &Sources, cache: &Cache, has_driver: bool, tell: &mut impl FnMut(Finding)) {
    let started = Instant::now();
    match registration::jupyter_path(sources, cache).and_then(|path| run(jupyter, path, &sources.dependency())) {
        Ok(lines) => {
            let seconds = started.elapsed().as_secs_f64();
            tell(Finding::ok("cell", "", format!("a kernel starts and a cell runs, in {seconds:.1} s")));
            lines.lines().filter_map(|line| finding_of(line, has_driver)).for_each(tell);
        }
        Err(error) => {
            // A library that does not compile is mended in its sources.
            let mend = match sources {
                Sources::Clone(_) => "cargo check; where that succeeds: cargo diabolo clean && cargo diabolo setup",
                Sources::Release(_) => "cargo diabolo clean && cargo diabolo setup",
            };
            tell(Finding::broken("cell", format!("{error:#}"), mend));
        }
    }
}

/// What the cell printed.
fn run(jupyter: &Path, path: (&str, OsString), dependency: &str) -> Result<String> {
    let mut child = commands::without_cargo_variables(python::command(jupyter))
        .args(["-c", PROGRAM, KERNEL_NAME, &MAX_SECONDS.to_string()])
        .envs([path])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", jupyter.display()))?;
    let code = format!(":dep {dependency}\n{CODE}");
    child.stdin.take().expect("it was piped").write_all(code.as_bytes()).context("sending the cell")?;
    let output = child.wait_with_output().context("waiting for the cell")?;
    if !output.status.success() {
        let said = without_colours(&String::from_utf8_lossy(&output.stderr));
        bail!("the cell failed: {}", said.trim().lines().last().unwrap_or("without a word"));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Text without a terminal's colours, which are an escape character, some numbers and an m.
fn without_colours(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_string();
    first + &parts.map(|part| part.split_once('m').map_or(part, |(_, rest)| rest)).collect::<String>()
}

/// What a line of the cell means.
fn finding_of(line: &str, has_driver: bool) -> Option<Finding> {
    let (kind, rest) = line.split_once('\t')?;
    let named = || rest.split_once('\t').map(|(name, text)| (format!("data {name}"), text));
    Some(match kind {
        "device" if has_driver && rest.starts_with("CPU") => {
            Finding::broken("device", format!("{rest}, although there is an NVIDIA driver"), cuda::MEND)
        }
        "device" if rest.starts_with("CPU") => Finding::note("device", rest, ""),
        "device" => Finding::ok("device", "", rest),
        "no device" => Finding::broken("device", rest, cuda::MEND),
        "tensor" => Finding::ok("CUDA tensor", "", "a number was put on CUDA device 0"),
        "no tensor" if has_driver => Finding::broken("CUDA tensor", rest, cuda::MEND),
        "no tensor" => Finding::note("CUDA tensor", format!("none without a driver: {rest}"), ""),
        "cudnn" if rest.contains("with cuDNN") => Finding::ok("cuDNN", "", "found, and used for convolutions"),
        "cudnn" => Finding::broken("cuDNN", "not found, so convolutions are slow", cuda::MEND),
        "data" => named().map(|(name, text)| Finding::ok(&name, "", text))?,
        "no data" => named().map(|(name, text)| Finding::note(&name, text, ""))?,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::State;

    #[test]
    fn a_computer_without_a_gpu_is_well_and_one_that_does_not_use_it_is_not() {
        let state = |line, has_driver| finding_of(line, has_driver).unwrap().state;
        assert_eq!(state("device\tCPU, since there is no NVIDIA driver", false), State::Note);
        assert_eq!(state("device\tCPU, since libtorch's CUDA part cannot be loaded", true), State::Broken);
        assert_eq!(state("device\tCUDA device 0, the first one", true), State::Ok);
    }

    #[test]
    fn a_tensor_on_the_gpu_and_cudnn_are_told_apart() {
        let finding = |line, has_driver| finding_of(line, has_driver).unwrap();
        assert_eq!(finding("tensor\tCUDA device 0, as asked, without cuDNN", true).state, State::Ok);
        assert_eq!(finding("cudnn\tCUDA device 0, as asked, without cuDNN", true).state, State::Broken);
        assert_eq!(finding("cudnn\tCUDA device 0, as asked, with cuDNN", true).state, State::Ok);
        assert_eq!(finding("no tensor\tdevice CUDA 0: no driver", true).state, State::Broken);
        let note = finding("no tensor\tdevice CUDA 0: no driver", false);
        assert_eq!((note.state, note.name.as_str()), (State::Note, "CUDA tensor"));
    }

    #[test]
    fn data_sets_are_listed_and_other_lines_are_nobodys() {
        let found = finding_of("data\tcifar10\t50000 to train on, 10000 to test on", false).unwrap();
        assert_eq!((found.name.as_str(), found.state), ("data cifar10", State::Ok));
        assert_eq!(finding_of("no data\thw10\tno such folder", false).unwrap().state, State::Note);
        assert!(finding_of("something else", false).is_none());
    }

    #[test]
    fn an_error_is_told_without_colours() {
        assert_eq!(without_colours("\u{1b}[1;31mKernelNotReady\u{1b}[0m: it is gone"), "KernelNotReady: it is gone");
    }

    #[test]
    fn a_python_that_is_gone_is_an_error_and_no_panic() {
        let folder = tempfile::tempdir().unwrap();
        let error = run(&folder.path().join("python"), ("JUPYTER_PATH", "".into()), "diabolo = \"0.1\"").unwrap_err();
        assert!(error.to_string().contains("cannot start"), "{error:#}");
    }
}
