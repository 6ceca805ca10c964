//! Whether every link of the site leads somewhere, and none of its pages needs another host.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};

/// How many broken links a message names.
const N_NAMED: usize = 20;

/// Checks all pages in `site` but those of the API, which rustdoc checks; returns the number of links.
///
/// # Errors
/// With the links that lead nowhere.
pub fn links(site: &Path) -> Result<usize> {
    let mut pages = HashMap::new();
    read_pages(site, &mut pages)?;
    let ids: HashMap<_, HashSet<_>> = pages
        .iter()
        .map(|(path, text)| (path, attributes(text, &["id", "name"]).map(|(_, id)| id).collect()))
        .collect();
    let mut n_links = 0;
    let mut broken = Vec::new();
    for (path, text) in &pages {
        for (tag, link) in attributes(text, &["href", "src"]) {
            n_links += 1;
            let fault = match link.split_once(':') {
                // What a page loads must come from the site; a reader may go elsewhere.
                Some(("data", _)) => continue,
                Some(_) if tag == "a" || link.starts_with("mailto:") => continue,
                Some(_) => Some("is on another host"),
                None => fault(path, &link, site, &ids),
            };
            if let Some(fault) = fault {
                broken.push(format!("{}: {link} {fault}", path.strip_prefix(site).unwrap_or(path).display()));
            }
        }
    }
    broken.sort();
    broken.dedup();
    if !broken.is_empty() {
        let n_broken = broken.len();
        broken.truncate(N_NAMED);
        bail!("{n_broken} links of the site lead nowhere:\n{}", broken.join("\n"));
    }
    Ok(n_links)
}

/// What is wrong with a link on the page at `path`.
fn fault(path: &Path, link: &str, site: &Path, ids: &HashMap<&PathBuf, HashSet<String>>) -> Option<&'static str> {
    let (file, id) = link.split_once('#').map_or((link, None), |(file, id)| (file, Some(id)));
    let mut target: PathBuf = match file {
        "" => path.into(),
        _ => normal(&path.parent()?.join(decoded(file))),
    };
    if !target.starts_with(site) {
        return Some("is outside of the site");
    }
    if target.is_dir() {
        target.push("index.html");
    }
    if !target.is_file() {
        return Some("is not there");
    }
    // Pages of the API are not read.
    let ids = ids.get(&target)?;
    let is_there = id.is_none_or(|id| id.is_empty() || ids.contains(id) || ids.contains(&decoded(id)));
    (!is_there).then_some("has no such place")
}

/// The HTML files in `folder` and its folders.
fn read_pages(folder: &Path, pages: &mut HashMap<PathBuf, String>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "api") {
                read_pages(&path, pages)?;
            }
        } else if path.extension().is_some_and(|ending| ending == "html") {
            let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            pages.insert(path, text);
        }
    }
    Ok(())
}

/// The values of these attributes in HTML, each with the name of its tag.
fn attributes(html: &str, names: &[&str]) -> impl Iterator<Item = (String, String)> {
    let tags = html.split('<').filter_map(|rest| rest.split_once('>').map(|(tag, _)| tag));
    tags.flat_map(move |tag| {
        let name = tag.split_whitespace().next().unwrap_or_default().to_string();
        let value = |wanted: &&str| {
            let (_, value) = tag.split_once(&format!(" {wanted}=\""))?;
            let (value, _) = value.split_once('"')?;
            Some((name.clone(), value.replace("&amp;", "&")))
        };
        names.iter().filter_map(value).collect::<Vec<_>>()
    })
}

/// A path without `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(normal.pop()),
            Component::CurDir => {}
            other => normal.push(other),
        }
    }
    normal
}

/// A part of an address without `%E5` and the like.
fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let byte = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.extend(byte.or(Some(b'%')));
        bytes.extend(part.as_bytes().iter().skip(if byte.is_some() { 2 } else { 0 }));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_that_lead_nowhere_are_named_with_their_page() {
        let folder = tempfile::tempdir().unwrap();
        let site = folder.path();
        fs::create_dir_all(site.join("zh-TW")).unwrap();
        fs::write(site.join("index.html"), "<h1 id=\"安裝\"></h1><img src=\"a%20b.svg\">").unwrap();
        fs::write(site.join("a b.svg"), "").unwrap();
        let page = |links: &str| fs::write(site.join("zh-TW/guide.html"), links).unwrap();
        page(
            "<h2 id='x' ><a href=\"../index.html#%E5%AE%89%E8%A3%9D\">a</a> <a href=\"https://a.example\">b</a> <a href=\"..\">",
        );
        assert_eq!(links(site).unwrap(), 4);
        for (link, fault) in [
            ("<a href=\"../none.html\">", "zh-TW/guide.html: ../none.html is not there"),
            ("<a href=\"../index.html#none\">", "zh-TW/guide.html: ../index.html#none has no such place"),
            ("<a href=\"../../etc\">", "zh-TW/guide.html: ../../etc is outside of the site"),
            (
                "<script src=\"https://cdn.example/a.js\">",
                "zh-TW/guide.html: https://cdn.example/a.js is on another host",
            ),
        ] {
            page(link);
            let message = links(site).unwrap_err().to_string();
            assert_eq!(message, format!("1 links of the site lead nowhere:\n{fault}"));
        }
    }
}
