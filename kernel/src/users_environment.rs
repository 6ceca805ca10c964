//! The environment that the user started Jupyter with, below all that kernelspec and kernel change in it.
//!
//! Programs that a cell or a `!` line starts are to find what they would find in a terminal: another torch in the user's
//! Python, another profile in the user's crate, even another notebook's kernel.

use std::collections::{BTreeSet, HashMap};
use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use crate::environment::is_of_a_package;

/// Names what the process of cells is to take back.
const CHANGES_VARIABLE: &str = "DIABOLO_CHANGES";

/// What the kernelspec sets, which hides what the user may have had there.
const OF_THE_KERNELSPEC: [&str; 2] = [
    "CARGO_ENCODED_RUSTFLAGS",
    // Set-up runs below rustup's cargo, which sets it; a terminal has none.
    "RUSTUP_TOOLCHAIN",
];

/// What belongs to kernels and to evcxr.
const OWN_PREFIXES: [&str; 2] = ["DIABOLO_", "EVCXR_"];

/// What `cargo diabolo report` tells the notebooks that it runs.
const OF_NOTEBOOKS: &str = "DIABOLO_NOTEBOOK_";

/// What cells themselves read, or what the user misses nowhere: where the kernel speaks to them, the data sets, the cache
/// of set-up, the language of figures, and how threads wait.
const KEPT: [&str; 5] =
    [diabolo_protocol::FOLDER_VARIABLE, "DIABOLO_DATA", "DIABOLO_CACHE", "DIABOLO_LANGUAGE", "GOMP_SPINCOUNT"];

/// Where programs are looked for.
const PATH: &str = "PATH";

/// Stands between changes, and is in no value.
const SEPARATOR: u8 = b'\x1e';

/// A name, and its value in the user's environment.
type Change = (OsString, Option<OsString>);

static AT_START: OnceLock<HashMap<OsString, OsString>> = OnceLock::new();
static CHANGES: OnceLock<Vec<Change>> = OnceLock::new();

/// Takes note of the environment before anything is changed in it.
pub fn remember() {
    AT_START.get_or_init(|| {
        let mut variables: HashMap<_, _> = env::vars_os().collect();
        // Jupyter started from a desktop often lacks cargo's folder, which a terminal has.
        if let (Some(paths), Some(home)) = (variables.get_mut(OsStr::new(PATH)), env::home_dir()) {
            *paths = with_folder(paths, &home.join(".cargo/bin"));
        }
        variables
    });
}

/// Tells a relay, and so the process of cells, how to come back to it.
pub fn hand_to(relay: &mut Command) {
    let lines: Vec<Vec<u8>> = changes().iter().map(encoded).collect();
    relay.env(CHANGES_VARIABLE, OsString::from_vec(lines.join(&SEPARATOR)));
}

/// Gives a command the user's environment.
pub fn give_to(command: &mut Command) {
    for (name, value) in changes() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.env_remove(diabolo_protocol::FOLDER_VARIABLE);
}

/// Comes back to the user's environment, in the process of cells. Called before any thread is started; the loader has its
/// search path already.
pub fn restore() {
    let handed = env::var_os(CHANGES_VARIABLE).unwrap_or_default();
    let changes = handed.as_bytes().split(|&byte| byte == SEPARATOR).filter(|line| !line.is_empty());
    let changes: Vec<Change> = changes.map(decoded).collect();
    let own = env::vars_os().map(|(name, _)| name).filter(|name| is_own(name)).map(|name| (name, None));
    for (name, value) in own.collect::<Vec<_>>().into_iter().chain(changes) {
        // SAFETY: the process has one thread so far.
        unsafe {
            match value {
                Some(value) => env::set_var(name, value),
                None => env::remove_var(name),
            }
        }
    }
}

/// What differs now from the user's environment; later differences are the user's own wish.
fn changes() -> &'static [Change] {
    CHANGES.get_or_init(|| {
        remember();
        let at_start = AT_START.get().cloned().unwrap_or_default();
        differences(&at_start, env::vars_os())
    })
}

fn differences(at_start: &HashMap<OsString, OsString>, now: impl Iterator<Item = (OsString, OsString)>) -> Vec<Change> {
    let now: HashMap<_, _> = now.collect();
    let is_users = |name: &OsString| !is_of_the_kernelspec(name) && !is_own(name) && !is_of_a_package(name);
    let users = |name: &OsString| at_start.get(name).filter(|_| is_users(name)).cloned();
    // evcxr sets this in every relay.
    let backtrace = OsString::from("RUST_BACKTRACE");
    let is_changed = |name: &&OsString| users(name).as_ref() != now.get(*name) && !is_kept(name) && **name != backtrace;
    let names: BTreeSet<_> = at_start.keys().chain(now.keys()).filter(is_changed).chain([&backtrace]).collect();
    names.into_iter().map(|name| (name.clone(), users(name))).collect()
}

/// A search path that has this folder, at its end if it had not.
fn with_folder(paths: &OsStr, folder: &Path) -> OsString {
    let mut folders: Vec<_> = env::split_paths(paths).collect();
    if !folders.iter().any(|other| other == folder) {
        folders.push(folder.to_path_buf());
    }
    env::join_paths(folders).unwrap_or(paths.to_os_string())
}

fn is_of_the_kernelspec(name: &OsStr) -> bool {
    OF_THE_KERNELSPEC.iter().any(|own| name == *own)
}

fn is_own(name: &OsStr) -> bool {
    !is_kept(name) && OWN_PREFIXES.iter().any(|prefix| name.as_bytes().starts_with(prefix.as_bytes()))
}

fn is_kept(name: &OsStr) -> bool {
    KEPT.iter().any(|kept| name == *kept) || name.as_bytes().starts_with(OF_NOTEBOOKS.as_bytes())
}

fn encoded((name, value): &Change) -> Vec<u8> {
    let value = value.as_ref().map(|value| [b"=", value.as_bytes()].concat());
    [name.as_bytes(), &value.unwrap_or_default()].concat()
}

fn decoded(line: &[u8]) -> Change {
    let of = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    match line.iter().position(|&byte| byte == b'=') {
        Some(end) => (of(&line[..end]), Some(of(&line[end + 1..]))),
        None => (of(line), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_set_is_taken_back_and_what_the_user_had_is_there_again() {
        let pairs = |pairs: &[(&str, &str)]| -> Vec<(OsString, OsString)> {
            pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
        };
        let users =
            [("LD_LIBRARY_PATH", "/mine"), ("HOME", "/home/me"), ("CARGO_ENCODED_RUSTFLAGS", "of the kernelspec")];
        let at_start = pairs(&users).into_iter().collect();
        let now = pairs(&[
            ("LD_LIBRARY_PATH", "/torch:/mine"),
            ("HOME", "/home/me"),
            ("CARGO_ENCODED_RUSTFLAGS", "of the kernelspec"),
            ("EVCXR_TMPDIR", "/tmp/x"),
            ("JUPYTER_PATH", "/cells"),
            ("GOMP_SPINCOUNT", "10000"),
        ]);
        let mut changes = differences(&at_start, now.into_iter());
        changes.sort();
        let wanted: [(&str, Option<&str>); 5] = [
            ("CARGO_ENCODED_RUSTFLAGS", None),
            ("EVCXR_TMPDIR", None),
            ("JUPYTER_PATH", None),
            ("LD_LIBRARY_PATH", Some("/mine")),
            ("RUST_BACKTRACE", None),
        ];
        assert_eq!(changes, wanted.map(|(name, value)| (name.into(), value.map(Into::into))));
    }

    #[test]
    fn cargos_folder_is_found() {
        let with = |paths: &str| with_folder(OsStr::new(paths), Path::new("/me/.cargo/bin"));
        assert_eq!(with("/usr/bin"), "/usr/bin:/me/.cargo/bin");
        assert_eq!(with("/me/.cargo/bin:/usr/bin"), "/me/.cargo/bin:/usr/bin");
    }

    #[test]
    fn changes_survive_their_way_through_a_variable() {
        for change in [("A".into(), None), ("B".into(), Some("".into())), ("C".into(), Some("x=y".into()))] {
            assert_eq!(decoded(&encoded(&change)), change);
        }
        let not_text = (OsString::from("D"), Some(OsString::from_vec(vec![0xFF, b'='])));
        assert_eq!(decoded(&encoded(&not_text)), not_text);
    }
}
