//! What a `Cargo.lock` says of one package: all that it is compiled with.

use std::collections::{BTreeSet, HashMap};

use anyhow::{Context, Result};
use toml::{Table, Value};

/// The packages below `package`, a line each with version and checksum, in a fixed order. Packages without a checksum, which
/// lie on this disk, are passed through and not named.
///
/// # Errors
/// The text is no lock file, or does not know the package.
pub fn below(lock_file: &str, package: &str) -> Result<String> {
    let table: Table = lock_file.parse().context("reading Cargo.lock")?;
    let packages = table.get("package").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut by_name: HashMap<&str, Vec<&Value>> = HashMap::new();
    for package in packages {
        by_name.entry(text(package, "name")).or_default().push(package);
    }
    let start = by_name.get(package).and_then(|found| found.first());
    let mut waiting = vec![*start.with_context(|| format!("Cargo.lock has no package {package}"))?];
    let (mut seen, mut lines) = (BTreeSet::new(), BTreeSet::new());
    while let Some(package) = waiting.pop() {
        if !seen.insert((text(package, "name"), text(package, "version"), text(package, "source"))) {
            continue;
        }
        if package.get("checksum").is_some() {
            let field = |name| text(package, name);
            lines.insert(format!("{} {} {}\n", field("name"), field("version"), field("checksum")));
        }
        let listed = package.get("dependencies").and_then(Value::as_array).into_iter().flatten();
        for dependency in listed.filter_map(Value::as_str) {
            // A name, with the version where there are several, and the source where these are alike.
            let mut words = dependency.split(' ');
            let (name, version) = (words.next().unwrap_or_default(), words.next());
            let found = by_name.get(name).into_iter().flatten();
            waiting.extend(found.filter(|found| version.is_none_or(|version| text(found, "version") == version)));
        }
    }
    Ok(lines.into_iter().collect())
}

fn text<'a>(package: &'a Value, field: &str) -> &'a str {
    package.get(field).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK_FILE: &str = r#"
version = 4
[[package]]
name = "diabolo"
version = "0.1.0"
dependencies = ["diabolo-protocol", "rand 0.10.2"]
[[package]]
name = "diabolo-protocol"
version = "0.1.0"
dependencies = ["serde"]
[[package]]
name = "diabolo-cli"
version = "0.1.0"
dependencies = ["clap", "diabolo"]
[[package]]
name = "clap"
version = "4.6.0"
checksum = "c"
[[package]]
name = "rand"
version = "0.9.1"
checksum = "r9"
[[package]]
name = "rand"
version = "0.10.2"
checksum = "r10"
dependencies = ["serde"]
[[package]]
name = "serde"
version = "1.0.1"
checksum = "s"
"#;

    #[test]
    fn a_package_is_compiled_with_what_is_below_it_and_nothing_else() {
        assert_eq!(below(LOCK_FILE, "diabolo").unwrap(), "rand 0.10.2 r10\nserde 1.0.1 s\n");
        assert_eq!(below(LOCK_FILE, "diabolo-cli").unwrap(), "clap 4.6.0 c\nrand 0.10.2 r10\nserde 1.0.1 s\n");
    }

    #[test]
    fn what_is_no_lock_file_or_lacks_the_package_is_an_error() {
        assert!(below(LOCK_FILE, "polars").unwrap_err().to_string().contains("no package polars"));
        assert!(below("[[package", "diabolo").is_err());
    }
}
