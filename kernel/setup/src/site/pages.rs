//! The pages of the site: what each is made from in the clone, where it stands, and how one links to another.

use std::collections::HashMap;
use std::fs;
use std::path::{Component, Path};

use anyhow::{Context, Result};

use crate::language::Language;
use crate::report::{name_of, notebooks_in};

/// What the gallery is made from: no file of the clone.
pub const GALLERY: &str = "gallery";

/// Where a book lists its notebooks, which follow it.
const NOTEBOOKS: &str = "notebooks/index";

/// The pages of a book but for the notebooks: files of the clone and their places.
const ENGLISH: [(&str, &str); 17] = [
    ("README.md", "index"),
    ("docs/GUIDE.md", "guide"),
    (GALLERY, "gallery"),
    ("notebooks/README.md", NOTEBOOKS),
    ("notebooks/models/README.md", "notebooks/models"),
    ("notebooks/full/README.md", "notebooks/full"),
    ("docs/WHICH_PAIR.md", "which_pair"),
    ("docs/BENCHMARKS.md", "benchmarks"),
    ("docs/TEACHING.md", "teaching"),
    ("docs/CLUSTER.md", "cluster"),
    ("docs/ARCHITECTURE.md", "architecture"),
    ("docs/DESIGN.md", "design"),
    ("kernel/README.md", "kernel"),
    ("docs/KERNEL_PROMISES.md", "kernel_promises"),
    ("CONTRIBUTING.md", "contributing"),
    ("docs/RELEASING.md", "releasing"),
    ("CHANGELOG.md", "changelog"),
];
const CHINESE: [(&str, &str); 4] = [
    ("docs/zh-TW/README.md", "index"),
    ("docs/zh-TW/GUIDE.md", "guide"),
    (GALLERY, "gallery"),
    ("notebooks-zh-TW/README.md", NOTEBOOKS),
];

/// The endings of pictures that pages show.
const PICTURES: [&str; 2] = ["svg", "png"];

/// One page.
#[derive(Clone, Debug)]
pub struct Page {
    /// The language of its text.
    pub language: Language,
    /// The file that it is made from, relative to the clone.
    pub source: String,
    /// Where it stands in the book of its language, without an ending.
    pub place: String,
}

impl Page {
    /// Where it stands in the site.
    pub fn file(&self) -> String {
        format!("{}{}.html", self.language.book(), self.place)
    }

    /// What leads from its folder to that of the site.
    pub fn up(&self) -> String {
        "../".repeat(self.file().matches('/').count())
    }

    /// Is it made from a notebook?
    pub fn is_notebook(&self) -> bool {
        self.source.ends_with(".ipynb")
    }
}

/// All pages of the clone in `root`, those of one language in the order of its table of contents.
pub fn all(root: &Path) -> Result<Vec<Page>> {
    let mut pages = of_book(Language::En, &ENGLISH, root)?;
    pages.extend(of_book(Language::ZhTw, &CHINESE, root)?);
    Ok(pages)
}

/// These pages and the notebooks of the language.
fn of_book(language: Language, listed: &[(&str, &str)], root: &Path) -> Result<Vec<Page>> {
    let mut pages = Vec::new();
    for (source, place) in listed {
        pages.push(page(language, source, place));
        if *place == NOTEBOOKS {
            let folder = language.folder();
            for name in notebooks_in(&root.join(folder))?.iter().map(|path| name_of(path)) {
                pages.push(page(language, &format!("{folder}/{name}.ipynb"), &format!("notebooks/{name}")));
            }
        }
    }
    Ok(pages)
}

fn page(language: Language, source: &str, place: &str) -> Page {
    Page { language, source: source.into(), place: place.into() }
}

/// Knows where a link between files of the clone leads in the site.
pub struct Links {
    files: HashMap<String, String>,
    /// The address of the repository, if it has one, for files that are no pages.
    repository: &'static str,
}

impl Links {
    /// Links between these pages.
    pub fn new(pages: &[Page]) -> Self {
        let files = pages.iter().map(|page| (page.source.clone(), page.file())).collect();
        Self { files, repository: env!("CARGO_PKG_REPOSITORY") }
    }

    /// The Markdown of `page` with links that hold in the site; where a link leads to no page, its words stay.
    pub fn rewritten(&self, text: &str, page: &Page) -> String {
        let mut is_code = false;
        let mut rewritten = String::new();
        for line in text.lines() {
            let is_fence = line.trim_start().starts_with("```");
            is_code ^= is_fence;
            if is_code || is_fence {
                rewritten += line;
            } else if continues(&rewritten, line) {
                rewritten.pop();
                rewritten += &self.line(line.trim_start(), page);
            } else {
                rewritten += &self.line(line, page);
            }
            rewritten.push('\n');
        }
        rewritten
    }

    fn line(&self, line: &str, page: &Page) -> String {
        let mut done = String::new();
        for (index, part) in line.split('`').enumerate() {
            if index > 0 {
                done.push('`');
            }
            let mut rest = part;
            // Every second part is code.
            while index % 2 == 0
                && let Some((before, (target, behind))) =
                    rest.split_once("](").and_then(|(before, after)| Some((before, after.split_once(')')?)))
            {
                done += before;
                match self.target(target, page) {
                    Some(target) => done += &format!("]({target})"),
                    None => drop(done.rfind('[').map(|opening| done.remove(opening))),
                }
                rest = behind;
            }
            done += rest;
        }
        done
    }

    /// Where the target of a link leads; nowhere if it is no page.
    fn target(&self, target: &str, page: &Page) -> Option<String> {
        if target.starts_with('#') || target.contains(':') {
            return Some(target.into());
        }
        let (path, fragment) =
            target.split_once('#').map_or((target, String::new()), |(path, fragment)| (path, format!("#{fragment}")));
        let path = joined(&page.source, path);
        let file = [path.clone(), format!("{path}/README.md")].iter().find_map(|path| self.files.get(path).cloned());
        let file = file.or_else(|| is_picture(&path).then(|| picture_file(&path)));
        match file {
            Some(file) => Some(format!("{}{file}{fragment}", page.up())),
            None if self.repository.is_empty() => None,
            None => Some(format!("{}/blob/HEAD/{path}{fragment}", self.repository)),
        }
    }
}

/// Is `line` the next sentence of a paragraph whose last one ends in a Chinese full stop? A browser shows the end of a line
/// as a space, which Chinese has not.
fn continues(text: &str, line: &str) -> bool {
    let is_heading = || text.trim_end().rsplit('\n').next().is_some_and(|last| last.starts_with('#'));
    let is_text = |first: char| !first.is_ascii() || first.is_ascii_alphabetic() || first == '`';
    let ends = text.strip_suffix('\n').is_some_and(|text| text.ends_with(['。', '：', '；', '？']));
    ends && !is_heading() && line.trim_start().starts_with(is_text)
}

/// Copies the pictures that the Markdown of `page` shows into the site.
pub fn copy_pictures(text: &str, page: &Page, root: &Path, site: &Path) -> Result<()> {
    for target in text.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target)) {
        let path = joined(&page.source, target);
        if is_picture(&path) && !target.contains(':') {
            let to = site.join(picture_file(&path));
            let copy = fs::create_dir_all(site.join("pictures")).and_then(|()| fs::copy(root.join(&path), &to));
            copy.with_context(|| format!("{} shows {target}, which cannot be copied", page.source))?;
        }
    }
    Ok(())
}

fn is_picture(path: &str) -> bool {
    PICTURES.iter().any(|ending| path.ends_with(&format!(".{ending}")))
}

fn picture_file(path: &str) -> String {
    format!("pictures/{}", path.replace('/', "_"))
}

/// The path of a link in `source`, relative to the clone.
fn joined(source: &str, link: &str) -> String {
    let mut parts: Vec<_> = source.split('/').collect();
    parts.pop();
    for component in Path::new(link).components() {
        match component {
            Component::ParentDir => drop(parts.pop()),
            Component::Normal(name) => parts.extend(name.to_str()),
            _ => {}
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_between_files_of_the_clone_become_links_between_pages() {
        let guide = page(Language::En, "docs/GUIDE.md", "guide");
        let pages = [
            guide.clone(),
            page(Language::En, "notebooks/README.md", "notebooks/index"),
            page(Language::En, "notebooks/00.ipynb", "notebooks/00"),
            page(Language::ZhTw, "docs/zh-TW/GUIDE.md", "guide"),
        ];
        let links = Links { files: Links::new(&pages).files, repository: "" };
        let rewritten = |text: &str, page: &Page| links.rewritten(text, page).trim_end().to_string();
        for (text, wanted) in [
            (
                "[one](../notebooks/00.ipynb), [all](../notebooks)",
                "[one](notebooks/00.html), [all](notebooks/index.html)",
            ),
            ("[`中文`](zh-TW/GUIDE.md#安裝)", "[`中文`](zh-TW/guide.html#安裝)"),
            ("the [sources](../src/lib.rs) of [here](#here)", "the sources of [here](#here)"),
            ("![curve](growth.svg) <https://rustup.rs>", "![curve](pictures/docs_growth.svg) <https://rustup.rs>"),
            ("`a[0](x.md)`", "`a[0](x.md)`"),
            ("```\n[x](y.md)\n```", "```\n[x](y.md)\n```"),
            ("甲。\n乙：\n\n- 丙。\n  `丁`。\n- 戊。\n```sh", "甲。乙：\n\n- 丙。`丁`。\n- 戊。\n```sh"),
            ("# 甲？\n乙\nA.\nB.", "# 甲？\n乙\nA.\nB."),
        ] {
            assert_eq!(rewritten(text, &guide), wanted);
        }
        assert_eq!(rewritten("[guide](../GUIDE.md)", &pages[3]), "[guide](../guide.html)");
        assert_eq!(rewritten("[guide](../docs/GUIDE.md#a)", &pages[2]), "[guide](../guide.html#a)");

        let links = Links { repository: "https://git.example/diabolo", ..links };
        let wanted = "[here](https://git.example/diabolo/blob/HEAD/src/lib.rs)\n";
        assert_eq!(links.rewritten("[here](../src/lib.rs)", &guide), wanted);
    }

    #[test]
    fn every_page_is_made_from_a_file_that_is_there_and_stands_alone_in_its_place() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let pages = all(&root).unwrap();
        let mut files: Vec<_> = pages.iter().map(Page::file).collect();
        for page in &pages {
            assert!(page.source == GALLERY || root.join(&page.source).is_file(), "{page:?}");
        }
        let has = |file: &str| files.iter().any(|one| one == file);
        assert!(has("index.html") && has("zh-TW/notebooks/00_first_look.html"), "{files:?}");
        files.sort();
        files.dedup();
        assert_eq!(files.len(), pages.len());
    }
}
