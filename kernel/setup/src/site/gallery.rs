//! The gallery: every figure of the notebooks with the lines that draw it.

use std::collections::HashSet;

use super::notebook::{Chapter, fenced, image};
use super::pages::Page;
use crate::language::Language;

/// The page as Markdown. `chapters` are the notebooks of its language, with their titles and pages.
pub fn render(chapters: &[(String, &Page, Chapter)], page: &Page) -> String {
    let (title, lead, link) = match page.language {
        Language::En => ("Gallery", "Every figure of the notebooks, below the lines that draw it.", "in its notebook"),
        Language::ZhTw => ("圖庫", "筆記本裡的每一張圖，上面是畫出它的程式。", "在筆記本裡"),
    };
    let mut text = format!("# {title}\n\n{lead}\n\n");
    // The same lines draw much the same in every notebook.
    let mut seen = HashSet::new();
    for (title, notebook, chapter) in chapters {
        let is_new = |code: &str| seen.insert(code.to_string());
        let entries = entries(chapter, is_new);
        if !entries.is_empty() {
            text += &format!("## {title}\n\n");
        }
        for (code, cell, images) in entries {
            text += &fenced("rust", &code);
            let images = images.iter().map(|(file, alt)| image(file, alt, page)).collect::<Vec<_>>().join("\n");
            text += &format!("<div class=\"output\">\n{images}\n</div>\n\n");
            text += &format!("[{link}]({}{}#{cell})\n\n", page.up(), notebook.file());
        }
    }
    text
}

/// The figures of a cell, each by file and words, with the lines that draw them and the cell's name.
type Entry<'a> = (String, &'a str, Vec<(&'a str, &'a str)>);

fn entries<'a>(chapter: &'a Chapter, mut is_new: impl FnMut(&str) -> bool) -> Vec<Entry<'a>> {
    let mut entries: Vec<Entry> = Vec::new();
    for drawing in &chapter.drawings {
        let Some(code) = &drawing.code else { continue };
        let image = (&*drawing.file, &*drawing.alt);
        match entries.last_mut().filter(|(_, cell, _)| *cell == drawing.cell) {
            Some((_, _, images)) => images.push(image),
            None if is_new(code) => entries.push((code.clone(), &drawing.cell, vec![image])),
            None => {}
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::notebook::Drawing;

    #[test]
    fn the_same_lines_are_shown_once_and_figures_of_one_cell_stand_together() {
        let page = |place: &str| Page { language: Language::En, source: String::new(), place: place.into() };
        let drawing = |cell: &str, number: usize, code: Option<&str>| Drawing {
            file: format!("{cell}-{number}.svg"),
            alt: "words".into(),
            bytes: Vec::new(),
            cell: cell.into(),
            code: code.map(String::from),
        };
        let chapter = |drawings| Chapter { text: String::new(), drawings };
        let (first, second) = (page("notebooks/00"), page("notebooks/01"));
        let chapters = [
            (
                "First".into(),
                &first,
                chapter(vec![drawing("a", 1, None), drawing("b", 1, Some("data")), drawing("b", 2, Some("data"))]),
            ),
            ("Second".into(), &second, chapter(vec![drawing("c", 1, Some("data")), drawing("d", 1, Some("map"))])),
        ];
        let text = render(&chapters, &page("gallery"));
        assert_eq!(text.matches("<img").count(), 3, "{text}");
        assert!(text.contains("## First\n\n```rust\ndata\n```\n"), "{text}");
        assert!(text.contains("src=\"figures/b-2.svg\"") && !text.contains("c-1.svg"), "{text}");
        assert!(text.contains("[in its notebook](notebooks/01.html#d)"), "{text}");
    }
}
