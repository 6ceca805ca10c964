//! `cargo diabolo site`: guide, notebooks, gallery and the API's documentation as a folder for any static host.
//!
//! mdBook makes the pages, Pagefind the search; both are installed when the command is first used.

mod check;
mod finish;
mod gallery;
mod notebook;
mod pages;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;

use crate::cache::{Cache, Part};
use crate::commands;
use crate::files;
use crate::language::Language;
use crate::output::say;
use crate::progress::{Progress, words};
use crate::python::{self, Locked, Python};
use crate::setup;
use crate::workspace::Workspace;
use notebook::Chapter;
use pages::{GALLERY, Links, Page};

/// The version that the pages were made for; its own lock file pins what it depends on.
const MDBOOK_VERSION: &str = "0.5.4";

const PAGEFIND: Locked = Locked {
    name: "site",
    what: "Pagefind, the site's search",
    lock_file: include_str!("../../site-requirements.txt"),
};

const STYLE: &str = include_str!("site.css");

#[derive(Args)]
#[command(after_help = "Examples:
  cargo diabolo site                                           the site, in target/site
  cargo diabolo site --url https://me.github.io/diabolo        its addresses in sitemap.xml
  python3 -m http.server --directory target/site               look at it

It is a folder of files for any static host; docs/TEACHING.md has a workflow for one.")]
pub struct Options {
    /// Where to write, instead of target/site
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,

    /// Where the site will be, for sitemap.xml
    #[arg(long, value_name = "ADDRESS", default_value = "http://localhost:8000")]
    url: String,
}

/// Runs `cargo diabolo site`.
pub fn run(options: &Options) -> Result<ExitCode> {
    let workspace = Workspace::required_for("site")?;
    let root = workspace.root();
    let out = match &options.out {
        Some(folder) => std::path::absolute(files::expand_home(folder.clone())?)?,
        None => root.join("target/site"),
    };
    files::empty_own_folder(&out, "site")?;
    let (cache, progress) = (Cache::find()?, Progress::new());
    setup::ensure_libtorch(&workspace, &cache, &progress)?;
    let mdbook = mdbook(&cache, &progress)?;
    let python = PAGEFIND.ensure(&cache, &Python::find()?, &progress)?;

    let pages = pages::all(root)?;
    let books = root.join("target/site-books");
    files::empty_own_folder(&books, "site-books")?;
    for language in [Language::En, Language::ZhTw] {
        progress.run("pages", &format!("making the pages in {}", language.tag()), |step| {
            let book = books.join(language.tag());
            let of_language: Vec<_> = pages.iter().filter(|page| page.language == language).collect();
            write_book(&book, &of_language, &Links::new(&pages), root, &out)?;
            let mut command = std::process::Command::new(&mdbook);
            command.arg("build").arg(&book);
            commands::run(command, "mdbook build", &cache.log("mdbook"), step)?;
            files::copy_folder(&book.join("book"), &out.join(language.book()))?;
            Ok(((), format!("{} pages in {}", of_language.len(), language.tag())))
        })?;
    }
    for page in &pages {
        let others = || pages.iter().filter(|other| other.language != page.language);
        let same = others().find(|other| other.place == page.place).or_else(|| others().next());
        let path = out.join(page.file());
        let html = fs::read_to_string(&path).with_context(|| format!("mdBook made no {}", path.display()))?;
        fs::write(&path, finish::finished(&html, page, same.context("there are two languages")?)?)?;
    }
    progress.run("search", "making the index of the search", |step| {
        let mut command = python::command(&python);
        command.args(["-m", "pagefind", "--site"]).arg(&out);
        commands::run(command, "pagefind", &cache.log("pagefind"), step)?;
        Ok(((), "the index of the search".into()))
    })?;
    progress.run("api", "making the documentation of the API", |step| {
        let mut command = commands::cargo();
        command.args(["doc", "--no-deps", "--package", "diabolo", "--target-dir"]).arg(&books).current_dir(root);
        commands::run(command, "cargo doc", &cache.log("site-api"), step)?;
        files::copy_folder(&books.join("doc"), &out.join("api"))?;
        Ok(((), "the documentation of the API".into()))
    })?;
    fs::write(out.join("sitemap.xml"), finish::sitemap(&pages, &options.url)).context("writing sitemap.xml")?;
    let n_links = check::links(&out)?;
    say(format_args!(
        "The site is {} ({} pages, {n_links} links, {}).",
        out.join("index.html").display(),
        pages.len(),
        words(progress.elapsed())
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// mdBook's program, compiled once; without its own server and search.
fn mdbook(cache: &Cache, progress: &Progress) -> Result<PathBuf> {
    let part = Part::new(cache.part("mdbook").join(MDBOOK_VERSION));
    let program = part.folder.join("bin").join(format!("mdbook{}", std::env::consts::EXE_SUFFIX));
    if part.is_complete(MDBOOK_VERSION) && program.exists() {
        return Ok(program);
    }
    progress.run("mdbook", "compiling mdBook, once; some minutes", |step| {
        let _lock = cache.lock("mdbook", step)?;
        if !part.is_complete(MDBOOK_VERSION) {
            let mut command = commands::cargo();
            command.args(["install", "mdbook", "--locked", "--no-default-features", "--version"]);
            command.arg(format!("={MDBOOK_VERSION}")).arg("--root").arg(&part.folder);
            // The clone's settings are for its own builds.
            command.current_dir(cache.root());
            commands::run(command, "cargo install mdbook", &cache.log("mdbook-install"), step)?;
            part.complete(MDBOOK_VERSION)?;
        }
        Ok((program, format!("mdBook {MDBOOK_VERSION}")))
    })
}

/// Writes what mdBook makes a book of; drawings and pictures go into the site itself.
fn write_book(book: &Path, pages: &[&Page], links: &Links, root: &Path, site: &Path) -> Result<()> {
    let language = pages.first().context("a book has pages")?.language;
    let mut chapters = Vec::new();
    for page in pages.iter().filter(|page| page.is_notebook()) {
        let path = root.join(&page.source);
        let executed = root.join(Language::En.folder()).join(path.file_name().context("a notebook has a name")?);
        let chapter = Chapter::new(&path, &executed, page)?;
        for drawing in &chapter.drawings {
            files::write_if_changed(&site.join("figures").join(&drawing.file), &drawing.bytes)?;
        }
        chapters.push((title(&chapter.text, page).to_string(), *page, chapter));
    }
    let mut contents = String::from("# Summary\n\n");
    for page in pages {
        let text = match chapters.iter().find(|(_, notebook, _)| notebook.source == page.source) {
            Some((_, _, chapter)) => chapter.text.clone(),
            None if page.source == GALLERY => gallery::render(&chapters, page),
            None => fs::read_to_string(root.join(&page.source)).with_context(|| format!("reading {}", page.source))?,
        };
        pages::copy_pictures(&text, page, root, site)?;
        contents += &entry(title(&text, page), &page.place);
        let text = if page.source == GALLERY { text.clone() } else { links.rewritten(&text, page) };
        files::write_if_changed(&book.join("src").join(format!("{}.md", page.place)), text.as_bytes())?;
    }
    for (file, text) in [("src/SUMMARY.md", &*contents), ("site.css", STYLE), ("book.toml", &*settings(language))] {
        files::write_if_changed(&book.join(file), text.as_bytes())?;
    }
    Ok(())
}

/// The first heading of a page's Markdown; where there is none, its place.
fn title<'a>(text: &'a str, page: &'a Page) -> &'a str {
    text.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or(&page.place)
}

/// A line of the table of contents.
fn entry(title: &str, place: &str) -> String {
    match place {
        "index" => format!("[{title}](index.md)\n\n"),
        _ if place.contains('/') && !place.ends_with("/index") => format!("    - [{title}]({place}.md)\n"),
        _ => format!("- [{title}]({place}.md)\n"),
    }
}

/// mdBook's settings. A run button would ask another host, and so would its page for what is not found at a wrong address.
fn settings(language: Language) -> String {
    format!(
        "[book]\ntitle = \"diabolo\"\nlanguage = \"{}\"\n\
         [output.html]\nadditional-css = [\"site.css\"]\ninput-404 = \"\"\nsmart-punctuation = false\nno-section-label = true\n\
         [output.html.playground]\nrunnable = false\n[output.html.search]\nenable = false\n",
        language.tag()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_contents_sets_notebooks_under_the_page_that_lists_them() {
        assert_eq!(entry("diabolo", "index"), "[diabolo](index.md)\n\n");
        assert_eq!(entry("Notebooks", "notebooks/index"), "- [Notebooks](notebooks/index.md)\n");
        assert_eq!(entry("A first look", "notebooks/00"), "    - [A first look](notebooks/00.md)\n");
    }

    #[test]
    fn both_books_are_written_from_the_clone() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let folder = tempfile::tempdir().unwrap();
        let pages = pages::all(&root).unwrap();
        for language in [Language::En, Language::ZhTw] {
            let book = folder.path().join(language.tag());
            let of_language: Vec<_> = pages.iter().filter(|page| page.language == language).collect();
            write_book(&book, &of_language, &Links::new(&pages), &root, &folder.path().join("site")).unwrap();
            let contents = fs::read_to_string(book.join("src/SUMMARY.md")).unwrap();
            assert_eq!(contents.matches("](").count(), of_language.len(), "{contents}");
            let gallery = fs::read_to_string(book.join("src/gallery.md")).unwrap();
            assert!(gallery.matches("<img").count() > 20, "{gallery}");
            let first = fs::read_to_string(book.join("src/notebooks/00_first_look.md")).unwrap();
            assert!(
                first.contains("compare(&[&conv], &data, 2)?") && first.contains("figures/00_first_look-"),
                "{first}"
            );
            assert!(!first.contains("<svg"));
        }
        let guide = fs::read_to_string(folder.path().join("zh-TW/src/guide.md")).unwrap();
        assert!(guide.contains("```rust\nlet data = open("), "{guide}");
    }
}
