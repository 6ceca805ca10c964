//! The rules of docs/ARCHITECTURE.md that the compiler does not check, by a plain scan of the sources.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms in the order in which data flow: a room uses only rooms above it.
fn rooms() -> Vec<String> {
    let library = read(&root().join("src/lib.rs"));
    let declared = library.lines().filter_map(|line| line.trim().strip_suffix(';'));
    declared.filter_map(|line| line.strip_prefix("pub mod ").or(line.strip_prefix("mod "))).map(String::from).collect()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file under `folder` with this ending.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.extension().is_some_and(|extension| extension == ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A room's sources without their tests, comments and doc comments.
fn sources() -> Vec<(String, PathBuf, String)> {
    let folder = root().join("src");
    let room_of = |path: &Path| {
        let first = path.strip_prefix(&folder).unwrap().components().next().unwrap();
        first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_string()
    };
    let sources = files(&folder, "rs").into_iter().filter(|path| !path.ends_with("oracle_tests.rs"));
    sources
        .map(|path| {
            let text = read(&path);
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
            (room_of(&path), path.clone(), lines.collect::<Vec<_>>().join("\n"))
        })
        .collect()
}

#[test]
fn data_flow_one_way() {
    let rooms = rooms();
    let mut wrong = Vec::new();
    for (room, path, code) in sources() {
        let Some(level) = rooms.iter().position(|name| *name == room) else { continue };
        for below in &rooms[level + 1..] {
            if code.contains(&format!("crate::{below}::")) || code.contains(&format!("crate::{below};")) {
                wrong.push(format!("{} uses `{below}`, a room below its own", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_display_prints() {
    let prints = ["print!(", "println!(", "eprint!(", "eprintln!(", "dbg!(", "stdout()", "stderr()"];
    for (room, path, code) in sources() {
        let found = prints.iter().find(|print| code.contains(**print));
        assert!(room == "display" || found.is_none(), "{} has {}", path.display(), found.unwrap());
    }
}

#[test]
fn only_three_rooms_touch_files() {
    // `files` is what run and figure write through; `memory` asks the system how much is free.
    let allowed = ["data", "run", "files", "memory"];
    for (room, path, code) in sources() {
        let touches = code.contains("std::fs") || code.contains("File::");
        let figure_saves = room == "figure" && path.ends_with("figure/mod.rs");
        assert!(!touches || figure_saves || allowed.contains(&room.as_str()), "{} touches files", path.display());
    }
}

#[test]
fn no_public_type_needs_a_lifetime() {
    for (_, path, code) in sources() {
        for line in code.lines().map(str::trim) {
            let public_type = ["pub struct ", "pub enum "].iter().any(|start| line.starts_with(start));
            assert!(!(public_type && line.contains('<')), "{}: {line}", path.display());
        }
    }
}

#[test]
fn every_source_file_is_declared() {
    for path in files(&root().join("src"), "rs") {
        let name = path.file_stem().unwrap().to_string_lossy().to_string();
        let folder = path.parent().unwrap();
        if name == "lib" || name == "main" || name == "mod" || folder.ends_with("bin") {
            continue;
        }
        let parent = [folder.join("mod.rs"), folder.join("lib.rs")].into_iter().find(|parent| parent.exists()).unwrap();
        let declared = read(&parent)
            .lines()
            .any(|line| line.trim_start_matches("pub ").trim_start_matches("pub(crate) ") == format!("mod {name};"));
        assert!(declared, "{} is not declared in {}", path.display(), parent.display());
    }
}

#[test]
fn every_source_file_says_what_it_is() {
    for folder in ["src", "cli", "kernel", "tests", "fuzz/src", "fuzz/fuzz_targets"] {
        for path in files(&root().join(folder), "rs") {
            assert!(read(&path).starts_with("//!"), "{} does not begin with a //! line", path.display());
        }
    }
}

#[test]
fn every_notebook_is_listed() {
    let listed = read(&root().join("notebooks/README.md"));
    let notebooks: BTreeSet<String> = files(&root().join("notebooks"), "ipynb")
        .iter()
        .filter(|path| !path.to_string_lossy().contains(".ipynb_checkpoints"))
        .map(|path| path.file_name().unwrap().to_string_lossy().to_string())
        .collect();
    assert!(!notebooks.is_empty());
    for notebook in notebooks {
        assert!(listed.contains(&notebook), "notebooks/README.md does not name {notebook}");
    }
}

#[test]
fn every_room_is_on_the_map() {
    let map = read(&root().join("docs/ARCHITECTURE.md"));
    for room in rooms() {
        assert!(map.contains(&format!("`{room}`")), "docs/ARCHITECTURE.md does not name the room `{room}`");
    }
}
