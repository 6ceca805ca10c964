//! The page of a figure: text, rectangles, pictures and charts are put on it in order, then it becomes an SVG.
//!
//! The SVG has no ids, so that any number of figures can stand in one HTML page, and no style sheet, so that neither
//! changes the other.

use super::style::{Anchor, FONT_FAMILY, HEADING, Lettering, NOTE, PAPER, TITLE, css};
use super::{Figure, Format};
use crate::language::shown;
use crate::{Error, Result};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use plotters::coord::Shift;
use plotters::prelude::{DrawingArea, IntoDrawingArea, SVGBackend};
use plotters::style::RGBColor;
use std::fmt::Write as _;

/// Free space around everything.
pub(super) const MARGIN_PX: i32 = 16;

/// A rectangle of the page in pixels.
#[derive(Clone, Copy)]
pub(super) struct Rect {
    pub left: i32,
    pub top: i32,
    pub width: i32,
    pub height: i32,
}

/// How a picture's pixels are enlarged.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Enlarge {
    /// As squares.
    Crisp,
    /// Blended.
    Smooth,
}

/// The result type of plotters.
pub(super) type Drawn<T = ()> = std::result::Result<
    T,
    plotters::drawing::DrawingAreaErrorKind<<SVGBackend<'static> as plotters::prelude::DrawingBackend>::ErrorType>,
>;

/// A page that is being drawn on.
pub(super) struct Canvas {
    title: String,
    width_px: i32,
    /// The y coordinate of the next element; in the end the height of the figure.
    pub bottom_px: i32,
    body: String,
}

impl Canvas {
    /// A page with its title at the top.
    pub(super) fn new(title: &str, width_px: i32) -> Self {
        let mut canvas = Self { title: title.to_owned(), width_px, bottom_px: MARGIN_PX, body: String::new() };
        canvas.paragraph(title, TITLE, 2);
        canvas.bottom_px += if title.trim().is_empty() { 0 } else { 8 };
        canvas
    }

    /// Width between the margins.
    pub(super) fn inner_px(&self) -> i32 {
        self.width_px - 2 * MARGIN_PX
    }

    /// One line of text with its baseline at `y`, cut to `room_px`.
    pub(super) fn text(&mut self, (x, y): (i32, i32), room_px: i32, text: &str, lettering: Lettering) {
        let text = lettering.fit(text, room_px);
        let anchor = match lettering.anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let weight = if lettering.bold { " font-weight=\"bold\"" } else { "" };
        self.push(format_args!(
            "<text x=\"{x}\" y=\"{y}\" font-size=\"{}\" fill=\"{}\"{weight}{anchor}>{}</text>\n",
            lettering.size_px,
            css(lettering.colour),
            escape(&text)
        ));
    }

    /// Lines of text across the page, below what is there.
    pub(super) fn paragraph(&mut self, text: &str, lettering: Lettering, max_lines: usize) {
        let room_px = self.inner_px();
        for line in lettering.wrap(text, room_px, max_lines) {
            self.text((MARGIN_PX, self.bottom_px + lettering.size_px), room_px, &line, lettering);
            self.bottom_px += lettering.line_px();
        }
    }

    /// Grey notes below what is there; empty ones take no room.
    pub(super) fn notes(&mut self, notes: &[String]) {
        for note in notes.iter().filter(|note| !note.is_empty()) {
            self.bottom_px += 6;
            self.paragraph(note, NOTE, 3);
        }
    }

    /// A panel's heading above `rect`.
    pub(super) fn heading(&mut self, rect: Rect, text: &str) {
        self.text((rect.left, rect.top - 14), rect.width, text, HEADING);
    }

    /// A filled rectangle.
    pub(super) fn rectangle(&mut self, rect: Rect, fill: RGBColor) {
        let Rect { left, top, width, height } = rect;
        let fill = css(fill);
        self.push(format_args!(
            "<rect x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\" fill=\"{fill}\"/>\n"
        ));
    }

    /// A circle, filled or hollow.
    pub(super) fn circle(&mut self, (x, y): (i32, i32), radius_px: f64, colour: RGBColor, hollow: bool) {
        let colour = css(colour);
        let paint = if hollow {
            format!("fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"")
        } else {
            format!("fill=\"{colour}\"")
        };
        self.push(format_args!("<circle cx=\"{x}\" cy=\"{y}\" r=\"{radius_px}\" {paint}/>\n"));
    }

    /// A straight line.
    pub(super) fn line(&mut self, (x1, y1): (i32, i32), (x2, y2): (i32, i32), colour: RGBColor, dashed: bool) {
        let dashes = if dashed { " stroke-dasharray=\"5 4\"" } else { "" };
        self.push(format_args!(
            "<line x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\" stroke=\"{}\" stroke-width=\"2\"{dashes}/>\n",
            css(colour)
        ));
    }

    /// A PNG stretched over `rect`.
    pub(super) fn picture(&mut self, rect: Rect, png: &[u8], enlarge: Enlarge) {
        let Rect { left, top, width, height } = rect;
        // Browsers read the style; other SVG programs read the attribute.
        let rendering = match enlarge {
            Enlarge::Crisp => " image-rendering=\"optimizeSpeed\" style=\"image-rendering:pixelated\"",
            Enlarge::Smooth => "",
        };
        self.push(format_args!(
            "<image x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\" preserveAspectRatio=\"none\"{rendering} \
             href=\"data:image/png;base64,{}\"/>\n",
            BASE64_STANDARD.encode(png)
        ));
    }

    /// Runs plotters on `rect`.
    pub(super) fn chart(
        &mut self,
        rect: Rect,
        draw: impl FnOnce(&DrawingArea<SVGBackend<'_>, Shift>) -> Drawn,
    ) -> Result<()> {
        let Rect { left, top, width, height } = rect;
        let size_px = ((left + width).unsigned_abs(), (top + height).unsigned_abs());
        let mut document = String::new();
        let root = SVGBackend::with_string(&mut document, size_px).into_drawing_area();
        let area = root.clone().shrink((left, top), (width, height));
        let drawn = draw(&area).and_then(|()| root.present());
        drop((area, root));
        drawn.map_err(|source| Error::Draw { what: format!("\"{}\"", self.title), reason: source.to_string() })?;
        // Only the shapes are wanted: the page has an <svg> element of its own.
        let shapes = document.split_once('\n').map_or("", |(_head, rest)| rest);
        self.body.push_str(shapes.strip_suffix("</svg>\n").unwrap_or(shapes));
        Ok(())
    }

    /// The finished figure.
    pub(super) fn finish(self, alt: String) -> Figure {
        let (width, height) = (self.width_px, self.bottom_px + MARGIN_PX);
        let (title, alt_escaped) = (escape(&self.title), escape(&alt));
        let svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{alt_escaped}\" \
             font-family=\"{FONT_FAMILY}\" style=\"max-width:100%\">\n\
             <title>{title}</title>\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"{}\"/>\n{}</svg>\n",
            css(PAPER),
            self.body
        );
        Figure {
            bytes: svg.into_bytes(),
            format: Format::Svg,
            width_px: width.unsigned_abs(),
            height_px: height.unsigned_abs(),
            alt: clean(&alt),
        }
    }

    fn push(&mut self, shape: std::fmt::Arguments<'_>) {
        self.body.write_fmt(shape).expect("writing to a String cannot fail");
    }
}

/// Text on one line, with U+FFFD for the characters that XML forbids, that a terminal takes as commands, and that turn the
/// direction of the text after them.
pub(crate) fn clean(text: &str) -> String {
    let clean = |character| match character {
        '\t' | '\n' | '\r' => ' ',
        '\u{FFFE}' | '\u{FFFF}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => '\u{FFFD}',
        control if control.is_control() => '\u{FFFD}',
        other => other,
    };
    text.chars().map(clean).collect()
}

/// [`clean`] text in the language that was chosen, with its markup escaped, for XML and HTML.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in clean(&shown(text)).chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    const NASTY: &str = "a<b> & \"c\" 'd'\n貓\u{0}\u{7}\u{FFFE}]]>";

    #[test]
    fn text_is_escaped_and_cleaned() {
        assert_eq!(escape(NASTY), "a&lt;b&gt; &amp; &quot;c&quot; &#39;d&#39; 貓\u{FFFD}\u{FFFD}\u{FFFD}]]&gt;");
        // Without this the rest of the line would run backwards, and the end of a file's name could be its middle.
        assert_eq!(clean("cat\u{202E}gpj.\u{2066}exe"), "cat\u{FFFD}gpj.\u{FFFD}exe");
    }

    #[test]
    fn a_page_with_any_text_is_well_formed_and_says_what_it_shows() {
        let mut canvas = Canvas::new(NASTY, 900);
        canvas.notes(&[NASTY.to_owned(), String::new()]);
        let figure = canvas.finish(NASTY.to_owned());
        let svg = std::str::from_utf8(figure.bytes()).unwrap();
        let document = roxmltree::Document::parse(svg).unwrap();
        let root = document.root_element();
        let title = root.children().find(|node| node.has_tag_name(("http://www.w3.org/2000/svg", "title"))).unwrap();
        assert_eq!(title.text(), Some(clean(NASTY).as_str()));
        assert_eq!(root.attribute("aria-label"), Some(clean(NASTY).as_str()));
        assert!(!figure.to_string().contains('\n'), "a figure prints on one line");
    }

    #[test]
    fn a_page_is_as_high_as_what_is_on_it() {
        let mut canvas = Canvas::new("", 900);
        let empty = Canvas::new("", 900).finish(String::new()).height_px();
        canvas.notes(&["one line".to_owned()]);
        assert_eq!(canvas.finish(String::new()).height_px(), empty + 6 + 16);
    }
}
