//! The active Python, and virtual environments made with it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::cache::{Cache, Key, Part};
use crate::commands;
use crate::files;
use crate::progress::{Progress, Step};

/// Asks about Python and torch without importing torch, which takes seconds and may fail.
const PROBE: &str = "
import importlib.metadata, importlib.util, json, sys, sysconfig
answer = {'executable': sys.executable, 'version': list(sys.version_info[:2]), 'torch': None}
answer['scripts'] = sysconfig.get_path('scripts')
try:
    version = importlib.metadata.version('torch')
    answer['torch'] = {'version': version, 'folder': importlib.util.find_spec('torch').submodule_search_locations[0]}
except Exception:
    pass
print(json.dumps(answer))
";

/// The Python that `python3` starts.
pub struct Python {
    executable: PathBuf,
    scripts: Option<PathBuf>,
    /// Major and minor version.
    pub version: [u64; 2],
    /// The torch installed in it, if any: version and folder.
    pub torch: Option<(String, PathBuf)>,
}

impl Python {
    /// The active Python.
    ///
    /// # Errors
    /// Where there is none, or one that is too old.
    pub fn find() -> Result<Self> {
        let program = Path::new(if cfg!(windows) { "python" } else { "python3" });
        // With the user's own settings, by which a cluster gives its torch; without them where they lead astray.
        Self::ask(program, Command::new(program)).or_else(|_| Self::at(program))
    }

    /// The Python at `program`, with its own packages and no others.
    pub fn at(program: &Path) -> Result<Self> {
        Self::ask(program, command(program))
    }

    fn ask(program: &Path, mut command: Command) -> Result<Self> {
        let output = command
            .args(["-c", PROBE])
            .output()
            .with_context(|| format!("cannot start `{}`; install Python 3.10 or newer", program.display()))?;
        let answer: Value = serde_json::from_slice(&output.stdout).with_context(|| {
            format!("`{}` does not run: {}", program.display(), String::from_utf8_lossy(&output.stderr).trim())
        })?;
        let version = [&answer["version"][0], &answer["version"][1]].map(|part| part.as_u64().unwrap_or(0));
        if version < [3, 10] {
            let [major, minor] = version;
            bail!("`{}` is Python {major}.{minor}; diabolo needs 3.10 or newer first on PATH", program.display());
        }
        let text = |value: &Value| value.as_str().map(str::to_string);
        let torch = &answer["torch"];
        Ok(Self {
            executable: text(&answer["executable"]).context("Python does not say where it is")?.into(),
            scripts: text(&answer["scripts"]).map(PathBuf::from),
            version,
            torch: text(&torch["version"]).zip(text(&torch["folder"]).map(PathBuf::from)),
        })
    }

    /// Starts it, with its own packages and no others.
    pub fn command(&self) -> Command {
        command(&self.executable)
    }

    /// Where it is.
    pub fn executable(&self) -> &Path {
        &self.executable
    }

    /// Where the programs of its packages are.
    pub fn scripts(&self) -> Option<&Path> {
        self.scripts.as_deref()
    }

    /// Makes the virtual environment in `folder`, unless it is there already, and returns its Python.
    pub fn environment(&self, folder: &Path, cache: &Cache, step: &Step) -> Result<PathBuf> {
        let inner = inside(folder);
        let has_pip = |python: &Path| {
            let answer = command(python).args(["-m", "pip", "--version"]).output();
            answer.is_ok_and(|output| output.status.success())
        };
        if !has_pip(&inner) {
            step.now("making a Python environment");
            let mut command = self.command();
            command.args(["-m", "venv", "--clear"]).arg(folder);
            commands::run(command, "making a Python environment", &cache.log("environment"), step)
                .context("Python's venv module is needed; on Debian and Ubuntu: apt install python3-venv")?;
        }
        Ok(inner)
    }
}

/// An environment that is made from a lock file when it is first asked for.
pub struct Locked {
    /// Names its folder and its log, as in "lab".
    pub name: &'static str,
    /// What it gives, as in "JupyterLab".
    pub what: &'static str,
    /// All packages, with hashes.
    pub lock_file: &'static str,
}

impl Locked {
    /// The environment's Python, once everything in the lock file is installed; `outer` makes the environment.
    pub fn ensure(&self, cache: &Cache, outer: &Python, progress: &Progress) -> Result<PathBuf> {
        let (part, key) = self.place(cache, outer);
        if let Some(inner) = self.find(cache, outer) {
            part.mark_as_used();
            return Ok(inner);
        }
        let inner = inside(&part.folder);
        let doing = format!("installing {}", self.what);
        progress.run(self.name, &format!("{doing}, once"), |step| {
            let _lock = cache.lock(self.name, step)?;
            // Another set-up may have installed it while this one waited.
            if self.find(cache, outer).is_none() {
                outer.environment(&part.folder, cache, step)?;
                let requirements = part.folder.join("requirements.txt");
                files::write_if_changed(&requirements, self.lock_file.as_bytes())?;
                let mut command = pip_install(&inner);
                command.args(["--require-hashes", "--only-binary", ":all:", "-r"]).arg(&requirements);
                commands::run(command, &doing, &cache.log(self.name), step)?;
                part.complete(&key)?;
            }
            Ok((inner, format!("installed: {}", self.what)))
        })
    }

    /// The environment's Python, if everything is installed.
    pub fn find(&self, cache: &Cache, outer: &Python) -> Option<PathBuf> {
        let (part, key) = self.place(cache, outer);
        let inner = inside(&part.folder);
        (part.is_complete(&key) && inner.exists()).then_some(inner)
    }

    /// Its place in the cache, and what it is made from.
    fn place(&self, cache: &Cache, outer: &Python) -> (Part, String) {
        // A Python that is replaced by a newer one in the same place leaves its environments broken.
        let [major, minor] = outer.version;
        let key = Key::default()
            .add(self.lock_file)
            .add(outer.executable().as_os_str().as_encoded_bytes())
            .add(format!("{major}.{minor}"))
            .finish();
        (Part::new(cache.part("jupyter").join(format!("{}-{key}", self.name))), key)
    }
}

/// The Python inside a virtual environment.
pub fn inside(folder: &Path) -> PathBuf {
    folder.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" })
}

/// Starts a Python that finds its own packages and no others.
pub fn command(python: &Path) -> Command {
    let mut command = Command::new(python);
    command.env_remove("PYTHONPATH").env_remove("PYTHONHOME");
    command
}

/// Settings of pip that let an install end elsewhere, install nothing or something else; a lock file says what to install.
/// Where packages come from, a proxy or a mirror, stays the user's choice.
const NOT_FOR_OUR_INSTALLS: [&str; 14] = [
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_ROOT",
    "PIP_PYTHON",
    "PIP_DRY_RUN",
    "PIP_NO_DEPS",
    "PIP_CONSTRAINT",
    "PIP_REQUIREMENT",
    "PIP_EDITABLE",
    "PIP_PLATFORM",
    "PIP_PYTHON_VERSION",
    "PIP_IMPLEMENTATION",
    "PIP_ABI",
    "PIP_GROUP",
];

/// A pip command of a virtual environment. It installs there, whatever the user's settings say of other installs.
pub fn pip_install(python: &Path) -> Command {
    let mut command = command(python);
    for setting in NOT_FOR_OUR_INSTALLS {
        command.env_remove(setting);
    }
    // A 0 also goes before `user = true` in pip's own files.
    command.env("PIP_USER", "0");
    command.args(["-m", "pip", "install", "--disable-pip-version-check", "--no-input"]);
    command
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::fs;

    use super::*;
    use crate::progress::Progress;

    /// The smallest wheel, as a program of Python that writes it into the folder of its argument.
    const MAKE_WHEEL: &str = r#"
import sys, zipfile
with zipfile.ZipFile(sys.argv[1] + "/tiny-1-py3-none-any.whl", "w") as wheel:
    wheel.writestr("tiny.py", "")
    wheel.writestr("tiny-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1\n")
    wheel.writestr("tiny-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr("tiny-1.dist-info/RECORD", "")
"#;

    /// Names the folder in which the test below works, in the process that has the settings.
    const INNER_VARIABLE: &str = "DIABOLO_TEST_WITH_SETTINGS";

    #[test]
    fn an_environment_is_made_and_filled_whatever_the_settings_say_of_other_installs() {
        let Some(folder) = env::var_os(INNER_VARIABLE).map(PathBuf::from) else {
            // Only another process can have other settings.
            let folder = tempfile::tempdir().unwrap();
            let elsewhere = folder.path().join("elsewhere");
            fs::create_dir(&elsewhere).unwrap();
            fs::write(elsewhere.join("zipfile.py"), "raise SystemExit('of PYTHONPATH')").unwrap();
            let mut test = Command::new(env::current_exe().unwrap());
            test.args([
                "--exact",
                "python::tests::an_environment_is_made_and_filled_whatever_the_settings_say_of_other_installs",
            ]);
            for setting in ["PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PYTHONPATH", "PYTHONHOME"] {
                test.env(setting, &elsewhere);
            }
            test.env("PIP_USER", "1").env("PIP_DRY_RUN", "1").env("PIP_CONSTRAINT", elsewhere.join("none.txt"));
            let output = test.env(INNER_VARIABLE, folder.path()).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
            assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 1, "something was installed elsewhere");
            return;
        };
        let cache = Cache::at(&folder);
        let outer = Python::find().unwrap();
        let environment = folder.join("environment");
        let make = |step: &Step| Ok((outer.environment(&environment, &cache, step)?, String::new()));
        let inner = Progress::new().run("test", "makes an environment", make).unwrap();
        let succeeds = |mut command: Command| {
            let output = command.output().unwrap();
            assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        };
        let mut make_wheel = command(&inner);
        make_wheel.args(["-c", MAKE_WHEEL]).arg(&folder);
        succeeds(make_wheel);
        let mut install = pip_install(&inner);
        install.arg("--no-index").arg(folder.join("tiny-1-py3-none-any.whl"));
        succeeds(install);
        let mut import = command(&inner);
        import.args(["-c", "import sys, tiny; assert tiny.__file__.startswith(sys.prefix), tiny.__file__"]);
        succeeds(import);
    }
}
