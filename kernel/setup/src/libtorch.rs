//! Which libtorch to build with: an installed one if there is any, else PyPI's in the cache.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::cache::{Cache, Part};
use crate::commands;
use crate::progress::Progress;
use crate::python::{self, Python};

/// The version that the tch crate is made for.
pub const WANTED_VERSION: &str = "2.13.0";

/// What the CPU half of PyPI's CUDA build loads when it starts; the rest is needed on NVIDIA GPUs and in Python only.
const SLIM_PACKAGES: [&str; 2] = ["nvidia-cuda-runtime==13.0.96", "nvidia-cuda-cupti==13.0.85"];

/// A libtorch and the reason why it was taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Libtorch {
    /// The folder that holds `lib` and `include`.
    pub folder: PathBuf,
    /// Why this one, as the end of a sentence.
    pub reason: String,
}

/// Where a libtorch was looked for before one is installed.
pub struct Candidates<'a> {
    /// The variable `LIBTORCH`.
    pub variable: Option<PathBuf>,
    /// What an earlier set-up wrote into the clone; cargo passes it on as `LIBTORCH` too.
    pub remembered: Option<Libtorch>,
    /// The active Python's torch: version and folder.
    pub python: Option<&'a (String, PathBuf)>,
}

impl Candidates<'_> {
    /// The first candidate that serves, or `None` where one has to be installed.
    ///
    /// A choice once made is kept while it serves, because another path means to compile everything again.
    ///
    /// # Errors
    /// When the user's `LIBTORCH` is not a libtorch: their wish is not passed over in silence.
    pub fn choose(self) -> Result<Option<Libtorch>> {
        let is_from_user = |folder: &PathBuf| self.remembered.as_ref().is_none_or(|known| known.folder != *folder);
        if let Some(folder) = self.variable.filter(is_from_user) {
            if !is_libtorch(&folder) {
                bail!(
                    "LIBTORCH is {}: found no lib/libtorch_cpu and include/torch in it; point LIBTORCH to the folder \
                     that holds both, or unset it and set-up finds or installs one",
                    folder.display()
                );
            }
            return Ok(Some(Libtorch { folder, reason: "LIBTORCH is set to it".into() }));
        }
        if let Some(known) = self.remembered.filter(|known| is_libtorch(&known.folder)) {
            return Ok(Some(known));
        }
        let matching =
            self.python.filter(|(version, folder)| release(version) == WANTED_VERSION && is_libtorch(folder));
        Ok(matching.map(|(_, folder)| Libtorch {
            folder: folder.clone(),
            reason: format!("the active Python has torch {WANTED_VERSION}"),
        }))
    }
}

impl Libtorch {
    /// The folder of the shared libraries.
    pub fn lib(&self) -> PathBuf {
        self.folder.join("lib")
    }

    /// The version, as the folder itself tells it.
    pub fn version(&self) -> Option<String> {
        let plain = fs::read_to_string(self.folder.join("build-version")).ok();
        let from_python = || {
            let text = fs::read_to_string(self.folder.join("version.py")).ok()?;
            let line = text.lines().find(|line| line.starts_with("__version__"))?;
            line.split(['\'', '"']).nth(1).map(str::to_string)
        };
        plain.map(|text| text.trim().to_string()).or_else(from_python)
    }

    /// A file of those that programs are built and run with that is missing or cut off, where pip wrote down what it
    /// installed.
    pub fn damaged_file(&self) -> Option<PathBuf> {
        let packages = self.folder.parent()?;
        let is_of_torch = |name: &str| {
            name.ends_with(".dist-info") && ["torch-", "nvidia_"].iter().any(|start| name.starts_with(start))
        };
        let lists =
            fs::read_dir(packages).ok()?.flatten().filter(|entry| is_of_torch(&entry.file_name().to_string_lossy()));
        let is_needed =
            |path: &str| ["torch/lib/", "torch/include/", "nvidia/"].iter().any(|start| path.starts_with(start));
        lists.filter_map(|list| fs::read_to_string(list.path().join("RECORD")).ok()).find_map(|record| {
            record.lines().find_map(|line| {
                // A path, a checksum and a size.
                let (path, rest) = line.split_once(',')?;
                let n_bytes: u64 = rest.rsplit(',').next()?.parse().ok()?;
                let file = packages.join(path);
                let is_whole = fs::metadata(&file).is_ok_and(|metadata| metadata.len() == n_bytes);
                (is_needed(path) && !is_whole).then_some(file)
            })
        })
    }

    /// One line for people: version, reason and folder.
    pub fn describe(&self) -> String {
        let version = self.version().unwrap_or_else(|| "of unknown version".into());
        format!("libtorch {version}, because {}: {}", self.reason, self.folder.display())
    }

    /// A warning when the version is not the one that the code is made for.
    pub fn warning(&self) -> Option<String> {
        let version = self.version()?;
        (release(&version) != WANTED_VERSION).then(|| {
            format!(
                "this libtorch is {version}, diabolo is made and tested with {WANTED_VERSION}: it may not compile, or \
                 compute something else; unset LIBTORCH, remove .cargo/diabolo.toml and run `cargo diabolo setup` for the \
                 right one"
            )
        })
    }
}

/// Installs PyPI's torch in the cache: whole where there is an NVIDIA driver, else only what a CPU needs.
pub fn install(cache: &Cache, python: &Python, progress: &Progress) -> Result<Libtorch> {
    let form = Form::of(has_nvidia_driver());
    match form.installed(cache) {
        Some(found) => Ok(found),
        None => form.install(cache, python, progress),
    }
}

/// Which parts of PyPI's torch are installed.
struct Form {
    is_whole: bool,
    name: &'static str,
    size: &'static str,
    reason: &'static str,
}

impl Form {
    fn of(is_whole: bool) -> Self {
        match is_whole {
            true => Self {
                is_whole,
                name: "whole",
                size: "5 GB",
                reason: "none was found and this machine has an NVIDIA driver: PyPI's, with CUDA",
            },
            false => Self {
                is_whole,
                name: "slim",
                size: "1.3 GB",
                reason: "none was found and there is no NVIDIA driver: PyPI's, the part that a CPU needs",
            },
        }
    }

    fn part(&self, cache: &Cache) -> Part {
        Part::new(cache.part("libtorch").join(format!("{WANTED_VERSION}-{}", self.name)))
    }

    /// The one that an earlier set-up has finished.
    fn installed(&self, cache: &Cache) -> Option<Libtorch> {
        let folder = self.part(cache).read_stamp().map(PathBuf::from).filter(|folder| is_libtorch(folder))?;
        Some(Libtorch { folder, reason: self.reason.to_string() })
    }

    fn install(&self, cache: &Cache, python: &Python, progress: &Progress) -> Result<Libtorch> {
        let Self { is_whole, name, size, .. } = *self;
        let part = self.part(cache);
        let purpose = format!("installing PyPI's torch {WANTED_VERSION}, {name} ({size}): the library that computes");
        progress.run("libtorch", &purpose, |step| {
            let _lock = cache.lock("libtorch", step)?;
            // Another set-up may have installed it while this one waited.
            if let Some(found) = self.installed(cache) {
                return Ok((found, format!("torch {WANTED_VERSION} ({name}) was installed by another set-up")));
            }
            // pip takes what it once installed for whole, whatever was deleted since.
            if Python::at(&python::inside(&part.folder)).is_ok_and(|inner| inner.torch.is_some()) {
                fs::remove_dir_all(&part.folder).with_context(|| format!("removing {}", part.folder.display()))?;
            }
            let inner = python.environment(&part.folder, cache, step)?;
            let mut command = python::pip_install(&inner);
            command.arg(format!("torch=={WANTED_VERSION}"));
            if !is_whole {
                command.arg("--no-deps");
                if cfg!(target_os = "linux") {
                    command.args(SLIM_PACKAGES);
                }
            }
            commands::run(command, "installing torch", &cache.log("libtorch"), step)?;
            let Some((_, folder)) = Python::at(&inner)?.torch.filter(|(_, folder)| is_libtorch(folder)) else {
                bail!(
                    "torch was installed in {}, but it holds no libtorch; remove that folder and try again",
                    part.folder.display()
                );
            };
            part.complete(&folder.to_string_lossy())?;
            let found = Libtorch { folder, reason: self.reason.to_string() };
            Ok((found, format!("torch {WANTED_VERSION} ({name}) is installed")))
        })
    }
}

/// The slim form serves only as long as there is no NVIDIA driver.
pub fn still_fits(known: &Libtorch, cache: &Cache) -> bool {
    let slim = cache.part("libtorch").join(format!("{WANTED_VERSION}-slim"));
    !(known.folder.starts_with(slim) && has_nvidia_driver())
}

/// Does the folder hold a libtorch to link with?
fn is_libtorch(folder: &Path) -> bool {
    let names = ["libtorch_cpu.so", "libtorch_cpu.dylib", "torch_cpu.dll"];
    names.iter().any(|name| folder.join("lib").join(name).exists()) && folder.join("include/torch").is_dir()
}

/// Is there a driver for NVIDIA's GPUs?
pub fn has_nvidia_driver() -> bool {
    ["/proc/driver/nvidia/version", "/dev/nvidiactl", "/usr/lib/wsl/lib/libcuda.so.1"]
        .iter()
        .any(|path| Path::new(path).exists())
}

/// "2.13.0+cu130" without what follows the plus.
fn release(version: &str) -> &str {
    version.split('+').next().unwrap_or(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that looks like a libtorch of `version`.
    fn libtorch(parent: &Path, name: &str, version: &str) -> PathBuf {
        let folder = parent.join(name);
        fs::create_dir_all(folder.join("lib")).unwrap();
        fs::create_dir_all(folder.join("include/torch")).unwrap();
        fs::write(folder.join("lib/libtorch_cpu.so"), "").unwrap();
        fs::write(folder.join("version.py"), format!("__version__ = '{version}'\ndebug = False\n")).unwrap();
        folder
    }

    fn candidates() -> Candidates<'static> {
        Candidates { variable: None, remembered: None, python: None }
    }

    fn remembered(folder: &Path) -> Option<Libtorch> {
        Some(Libtorch { folder: folder.into(), reason: "of an earlier choice".into() })
    }

    #[test]
    fn a_file_that_pip_installed_and_that_is_gone_or_cut_off_is_named() {
        let packages = tempfile::tempdir().unwrap();
        let folder = libtorch(packages.path(), "torch", "2.13.0");
        let found = Libtorch { folder: folder.clone(), reason: "it was the first".into() };
        assert_eq!(found.damaged_file(), None, "nobody wrote down what belongs to it");
        let list = packages.path().join("torch-2.13.0.dist-info");
        fs::create_dir(&list).unwrap();
        let record =
            "torch/lib/libtorch_cpu.so,sha256=x,3\ntorch/lib/libc10.so,sha256=x,2\ntorch/nn/__init__.py,sha256=x,9\n";
        fs::write(list.join("RECORD"), record).unwrap();
        fs::write(folder.join("lib/libc10.so"), "ab").unwrap();
        assert_eq!(found.damaged_file(), Some(folder.join("lib/libtorch_cpu.so")), "it is empty");
        fs::write(folder.join("lib/libtorch_cpu.so"), "abc").unwrap();
        assert_eq!(found.damaged_file(), None, "Python's own files are not needed");
        fs::remove_file(folder.join("lib/libc10.so")).unwrap();
        assert_eq!(found.damaged_file(), Some(folder.join("lib/libc10.so")));
    }

    #[test]
    fn what_another_set_up_installed_meanwhile_is_taken_and_not_removed() {
        let root = tempfile::tempdir().unwrap();
        let (cache, form) = (Cache::at(root.path()), Form::of(false));
        cache.create().unwrap();
        // Finished between the first look and the lock.
        let part = form.part(&cache);
        let folder = libtorch(&part.folder, "torch", WANTED_VERSION);
        part.complete(&folder.to_string_lossy()).unwrap();
        let found = form.install(&cache, &Python::find().unwrap(), &Progress::new()).unwrap();
        assert_eq!(found.folder, folder);
        assert!(is_libtorch(&folder), "it is still there");
    }

    #[test]
    fn the_variable_comes_first() {
        let parent = tempfile::tempdir().unwrap();
        let (mine, pythons) = (libtorch(parent.path(), "mine", "2.13.0"), libtorch(parent.path(), "theirs", "2.13.0"));
        let python = ("2.13.0".to_string(), pythons);
        let chosen =
            Candidates { variable: Some(mine.clone()), python: Some(&python), ..candidates() }.choose().unwrap();
        assert_eq!(chosen.unwrap().folder, mine);
    }

    #[test]
    fn a_variable_that_is_no_libtorch_is_an_error_that_says_what_is_missing() {
        let parent = tempfile::tempdir().unwrap();
        let choice = Candidates { variable: Some(parent.path().into()), ..candidates() }.choose();
        let message = choice.unwrap_err().to_string();
        assert!(message.contains("found no lib/libtorch_cpu and include/torch"), "{message}");
        assert!(message.contains("or unset it"), "{message}");
    }

    #[test]
    fn a_matching_torch_of_the_active_python_is_taken() {
        let parent = tempfile::tempdir().unwrap();
        let python = ("2.13.0+cpu".to_string(), libtorch(parent.path(), "torch", "2.13.0+cpu"));
        let chosen = Candidates { python: Some(&python), ..candidates() }.choose().unwrap().unwrap();
        assert_eq!(chosen.folder, python.1);
        assert_eq!(chosen.warning(), None);
    }

    #[test]
    fn another_version_or_a_torch_without_headers_is_passed_over() {
        let parent = tempfile::tempdir().unwrap();
        let older = ("2.12.1".to_string(), libtorch(parent.path(), "older", "2.12.1"));
        assert_eq!(Candidates { python: Some(&older), ..candidates() }.choose().unwrap(), None);
        let headless = ("2.13.0".to_string(), libtorch(parent.path(), "headless", "2.13.0"));
        fs::remove_dir_all(headless.1.join("include")).unwrap();
        assert_eq!(Candidates { python: Some(&headless), ..candidates() }.choose().unwrap(), None);
    }

    #[test]
    fn an_earlier_choice_is_kept_while_it_is_there() {
        let parent = tempfile::tempdir().unwrap();
        let (known, newer) = (libtorch(parent.path(), "known", "2.13.0"), libtorch(parent.path(), "newer", "2.13.0"));
        let python = ("2.13.0".to_string(), newer.clone());
        let choose = |variable| {
            let candidates = Candidates { variable, remembered: remembered(&known), python: Some(&python) };
            candidates.choose().unwrap().unwrap().folder
        };
        assert_eq!(choose(None), known);
        assert_eq!(choose(Some(known.clone())), known, "cargo passes the earlier choice on as LIBTORCH");
        fs::remove_dir_all(&known).unwrap();
        assert_eq!(choose(Some(known.clone())), newer);
    }

    #[test]
    fn another_version_in_the_variable_is_taken_with_a_warning() {
        let parent = tempfile::tempdir().unwrap();
        let folder = libtorch(parent.path(), "mine", "2.9.1+cu128");
        let chosen = Candidates { variable: Some(folder), ..candidates() }.choose().unwrap().unwrap();
        let warning = chosen.warning().unwrap();
        assert!(warning.contains("is 2.9.1+cu128") && warning.contains("with 2.13.0"), "{warning}");
    }
}
