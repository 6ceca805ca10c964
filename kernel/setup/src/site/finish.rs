//! What mdBook's pages lack: a bar with search, the other language and the API; and `sitemap.xml`.

use anyhow::{Context, Result};

use super::pages::Page;
use crate::language::Language;
use crate::report::escaped;

/// The page of the API's documentation to begin at.
pub const API: &str = "api/diabolo/index.html";

/// The HTML of `page` with the bar; what is searched is its text alone. `other` is the same page in the other language, or
/// that language's first one.
///
/// # Errors
/// When mdBook's page has no such place.
pub fn finished(html: &str, page: &Page, other: &Page) -> Result<String> {
    let up = page.up();
    let other_file = format!("{up}{}", other.file());
    let other_tag = other.language.tag();
    let (site, search) = match page.language {
        Language::En => ("Site", "Search"),
        Language::ZhTw => ("網站", "搜尋"),
    };
    let other_name = match other.language {
        Language::En => "English",
        Language::ZhTw => "中文",
    };
    let alternate = match other.place == page.place {
        true => format!("<link rel=\"alternate\" hreflang=\"{other_tag}\" href=\"{other_file}\">\n"),
        false => String::new(),
    };
    let head = format!(
        "{alternate}<link rel=\"stylesheet\" href=\"{up}pagefind/pagefind-component-ui.css\">\n\
         <script type=\"module\" src=\"{up}pagefind/pagefind-component-ui.js\"></script>\n</head>"
    );
    let bar = format!(
        "<div class=\"right-buttons\">\n<nav class=\"site-bar\" aria-label=\"{site}\">\n\
         <pagefind-modal-trigger compact hide-shortcut placeholder=\"{search}\"></pagefind-modal-trigger>\n\
         <a href=\"{other_file}\" lang=\"{other_tag}\" hreflang=\"{other_tag}\">{other_name}</a>\n\
         <a href=\"{up}{API}\">API</a>\n</nav>\n"
    );
    let mut finished = html.to_string();
    for (mark, replacement) in [
        ("</head>", head.as_str()),
        ("<div class=\"page\">", "<pagefind-modal></pagefind-modal>\n<div class=\"page\">"),
        ("<div class=\"right-buttons\">", bar.as_str()),
        ("<main>", "<main data-pagefind-body>"),
        // The book's title is a heading of the first level too.
        ("<h1 id=", "<h1 data-pagefind-meta=\"title\" id="),
        // Only what has a role can be expanded.
        ("<label id=\"mdbook-sidebar-toggle\"", "<label id=\"mdbook-sidebar-toggle\" role=\"button\" tabindex=\"0\""),
    ] {
        let (before, after) = finished.split_once(mark).with_context(|| format!("mdBook's page has no {mark}"))?;
        finished = format!("{before}{replacement}{after}");
    }
    // What is wider than the page is moved with the arrow keys, once it has the focus.
    Ok(finished.replace("<pre><code ", "<pre><code tabindex=\"0\" "))
}

/// `sitemap.xml` of a site at the address `url`.
pub fn sitemap(pages: &[Page], url: &str) -> String {
    let mut text = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">\n",
    );
    for file in pages.iter().map(Page::file).chain([API.into()]) {
        text += &format!("<url><loc>{}/{}</loc></url>\n", escaped(url.trim_end_matches('/')), escaped(&file));
    }
    text + "</urlset>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(language: Language, place: &str) -> Page {
        Page { language, source: String::new(), place: place.into() }
    }

    #[test]
    fn a_page_gets_search_the_api_and_its_other_language() {
        let html = "<head></head><div class=\"page\"><label id=\"mdbook-sidebar-toggle\">\
                    <div class=\"right-buttons\"></div><main><h1 id=\"a\">A</h1></main></div>";
        let chinese = page(Language::ZhTw, "notebooks/00");
        let finished_page = finished(html, &chinese, &page(Language::En, "notebooks/00")).unwrap();
        for wanted in [
            "<a href=\"../../notebooks/00.html\" lang=\"en\"",
            "rel=\"alternate\" hreflang=\"en\"",
            "<a href=\"../../api/diabolo/index.html\"",
            "src=\"../../pagefind/pagefind-component-ui.js\"",
            "<main data-pagefind-body><h1 data-pagefind-meta=\"title\" id=\"a\">A",
        ] {
            assert!(finished_page.contains(wanted), "{wanted} is missing in {finished_page}");
        }
        let design = finished(html, &page(Language::En, "design"), &page(Language::ZhTw, "index")).unwrap();
        assert!(design.contains("<a href=\"zh-TW/index.html\" lang=\"zh-TW\"") && !design.contains("alternate"));
        let message = finished("<head></head>", &chinese, &chinese).unwrap_err().to_string();
        assert_eq!(message, "mdBook's page has no <div class=\"page\">");
    }

    #[test]
    fn the_sitemap_has_every_page_and_the_api() {
        let text = sitemap(&[page(Language::En, "index"), page(Language::ZhTw, "guide")], "https://a.example/b/");
        for file in ["index.html", "zh-TW/guide.html", API] {
            assert!(text.contains(&format!("<loc>https://a.example/b/{file}</loc>")), "{text}");
        }
    }
}
