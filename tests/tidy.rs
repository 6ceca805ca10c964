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
    let sources = files(&folder, "rs").into_iter().filter(|path| !path.to_string_lossy().ends_with("tests.rs"));
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

/// `cargo package` takes the files of a package alone.
#[test]
fn what_is_compiled_into_a_program_lies_in_its_package() {
    for package in ["kernel/setup", "kernel/protocol", "kernel", "cli"].map(|folder| root().join(folder)) {
        // A package of the library's own has none of them.
        let sources = package.join("src");
        for path in if sources.is_dir() { files(&sources, "rs") } else { Vec::new() } {
            let text = read(&path);
            for included in text.split("include_str!(\"").skip(1).chain(text.split("include_bytes!(\"").skip(1)) {
                let target = path.parent().unwrap().join(included.split('"').next().unwrap());
                let target = target.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", target.display()));
                let inside = target.starts_with(package.canonicalize().unwrap());
                assert!(inside, "{} includes {}", path.display(), target.display());
            }
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

/// A public item outside of any other, or in an `impl` block of `owner`.
struct Item {
    owner: Option<String>,
    name: String,
    documentation: String,
    place: String,
}

/// The public items of these sources, those of private rooms apart.
fn public_items(sources: impl Iterator<Item = PathBuf>) -> Vec<Item> {
    const KINDS: [&str; 9] = ["const fn", "fn", "struct", "enum", "union", "trait", "type", "const", "static"];
    let name_in = |text: &str| text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap().to_string();
    let mut items = Vec::new();
    for path in sources {
        let text = read(&path);
        let (mut owner, mut documentation) = (None, String::new());
        for (line, number) in text.split("#[cfg(test)]\nmod tests {").next().unwrap().lines().zip(1..) {
            let code = line.trim_start();
            if let Some(words) = line.strip_prefix("impl ") {
                owner = Some(name_in(words.split(" for ").last().unwrap()));
            } else if line == "}" {
                owner = None;
            }
            let public = code.strip_prefix("pub ");
            let words_after = |kind: &&str| public?.strip_prefix(*kind)?.strip_prefix(' ');
            if code.starts_with("///") || code.starts_with("#[doc") {
                documentation += &format!("{code}\n");
            } else if let Some(words) = KINDS.iter().find_map(words_after) {
                let (name, place) = (name_in(words), format!("{}:{number}", path.display()));
                let documentation = std::mem::take(&mut documentation);
                items.push(Item { owner: owner.clone(), name, documentation, place });
            } else if !code.starts_with("#[") {
                documentation.clear();
            }
        }
    }
    items
}

/// Every public item has an example of its own, or is a method that its type's example calls. `evcxr_display` is the same
/// for all types: the room `display` has one example for all of them.
#[test]
fn every_public_item_has_an_example() {
    let library = read(&root().join("src/lib.rs"));
    let is_public = |path: &PathBuf| {
        let first = path.strip_prefix(root().join("src")).unwrap().components().next().unwrap();
        let room = first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_string();
        library.contains(&format!("\npub mod {room};"))
    };
    let sources = files(&root().join("src"), "rs").into_iter().filter(is_public);
    let items = public_items(sources.chain(files(&root().join("kernel/protocol/src"), "rs")));
    assert!(items.len() > 300, "only {} public items were found", items.len());
    let has_example = |item: &&Item| {
        let is_own_type = |of: &&Item| of.owner.is_none() && item.owner.as_ref() == Some(&of.name);
        let calls = [".", "::"].map(|before| format!("{before}{}(", item.name));
        let is_called = |of: &Item| calls.iter().any(|call| of.documentation.contains(call));
        item.documentation.contains("```") || items.iter().find(is_own_type).is_some_and(is_called)
    };
    let lacking = items.iter().filter(|item| item.name != "evcxr_display" && !has_example(item));
    let lacking: Vec<String> = lacking.map(|item| format!("{}: {} has no example", item.place, item.name)).collect();
    assert!(lacking.is_empty(), "{}", lacking.join("\n"));
}

/// Words that this project once had where PyTorch and scikit-learn have others, and those.
const REPLACED_WORDS: [(&str, &str); 10] = [
    ("waist", "bottleneck"),
    ("way back from", "backward pass"),
    ("'s way back", "backward pass"),
    ("way forward", "forward pass"),
    ("brain float", "bfloat16"),
    ("are multiplied by", "mask, scale or factor"),
    ("what comes of it", "result"),
    ("worked out", "computed"),
    ("gone on with", "resumed or continued"),
    ("stands in for", "is used instead of, or simulates"),
];

#[test]
fn documentation_has_the_words_of_the_field() {
    let mut found = Vec::new();
    for folder in ["src", "cli", "kernel", "docs", "tests", "benches", "fuzz/src", "fuzz/fuzz_targets"] {
        let sources = files(&root().join(folder), "rs").into_iter().chain(files(&root().join(folder), "md"));
        for path in sources.chain([root().join("README.md")]).filter(|path| !path.ends_with("tests/tidy.rs")) {
            let is_code = path.extension().is_some_and(|ending| ending == "rs");
            for (line, number) in read(&path).to_lowercase().lines().zip(1..) {
                let text = if is_code { line.split_once("//").map_or("", |(_, comment)| comment) } else { line };
                let replaced = REPLACED_WORDS.iter().filter(|(old, _)| text.contains(old));
                found.extend(replaced.map(|(old, new)| format!("{}:{number}: not {old:?} but {new}", path.display())));
            }
        }
    }
    assert!(found.is_empty(), "docs/ARCHITECTURE.md has a glossary:\n{}", found.join("\n"));
}

/// What the guide explains is still said somewhere: `…` stands for what is filled in.
#[test]
fn every_message_of_the_guide_is_in_the_sources() {
    let mut sources = String::new();
    for folder in ["src", "cli/src", "kernel"] {
        for path in files(&root().join(folder), "rs") {
            // A string that goes on in the next line is one string.
            let text = read(&path).split("\\\n").map(str::trim_start).collect::<String>().replace("\\\"", "\"");
            let mut parts = text.split('{');
            sources += parts.next().unwrap();
            for part in parts {
                // A brace that opens a block is followed by a space or a new line.
                match part.split_once('}').filter(|(inside, _)| !inside.contains(char::is_whitespace)) {
                    Some((_, rest)) => sources += &format!("…{rest}"),
                    None => sources += part,
                }
            }
        }
    }
    let guide = read(&root().join("docs/GUIDE.md"));
    let messages = guide.split("## Troubleshooting by message").nth(1).unwrap().split("\n## ").next().unwrap();
    let quoted =
        messages.lines().filter(|line| line.starts_with("- `")).flat_map(|line| line.split('`').skip(1).step_by(2));
    let mut n_messages = 0;
    for message in quoted {
        assert!(sources.contains(message), "no source says {message:?}, which docs/GUIDE.md explains");
        n_messages += 1;
    }
    assert!(n_messages > 20, "only {n_messages} messages were found");
}

#[test]
fn what_panics_in_libtorch_is_forbidden() {
    let forbidden = read(&root().join("clippy.toml"));
    let mut missing = Vec::new();
    for (_, path, source) in sources() {
        for part in source.split(".f_").skip(1).chain(source.split("Tensor::f_").skip(1)) {
            let name: String = part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            // Their other forms are operators.
            let is_operator = ["add", "sub", "mul", "div"].iter().any(|operator| name.starts_with(operator));
            if !is_operator && !forbidden.contains(&format!("\"tch::Tensor::{name}\"")) {
                missing.push(format!("{name} in {}", path.display()));
            }
        }
    }
    assert!(missing.is_empty(), "clippy.toml does not forbid {missing:?}");
}
