//! Fonts, colours and number formats of all figures.
//!
//! An SVG's text is set in whatever font its reader has, so its width cannot be known; it is estimated from above, for
//! wide fonts such as DejaVu Sans and Verdana, and what does not fit is wrapped or cut.

use crate::language::shown;
use plotters::style::RGBColor;
use plotters::style::colors::colormaps::{ColorMap, ViridisRGB};

/// The common sans-serif faces of macOS, Windows and Linux, then whatever the reader has.
pub(super) const FONT_FAMILY: &str = "Helvetica, Arial, Liberation Sans, DejaVu Sans, sans-serif";

/// The page of every figure; fixed, so that figures stay legible in dark notebook themes.
pub(super) const PAPER: RGBColor = RGBColor(255, 255, 255);
/// Text.
pub(super) const INK: RGBColor = RGBColor(32, 32, 32);
/// Secondary text, axes and marks; 5.7 : 1 against the paper.
pub(super) const GREY: RGBColor = RGBColor(100, 100, 100);
/// Grid lines.
pub(super) const PALE: RGBColor = RGBColor(226, 226, 226);

/// Number of colours of series and labels.
pub(super) const N_COLOURS: usize = 7;

/// Hues of Okabe and Ito's palette ("Color Universal Design", 2008), made dark enough for white paper, 3 : 1 as lines and
/// points need, and moved apart until colour-blind readers tell all of them from each other. The first two, which normal
/// images and anomalies have, differ in lightness too, and so in print.
const PALETTE: [RGBColor; N_COLOURS] = [
    RGBColor(0, 47, 172),
    RGBColor(245, 102, 20),
    RGBColor(0, 170, 112),
    RGBColor(170, 132, 179),
    RGBColor(130, 59, 18),
    RGBColor(58, 147, 249),
    RGBColor(0, 0, 0),
];

/// The colour of series or label `idx`; from the eighth on, colours return with another mark ([`second_round`]).
pub(super) fn series_colour(idx: usize) -> RGBColor {
    PALETTE[idx % N_COLOURS]
}

/// Whether series or label `idx` reuses a colour and so needs a dashed line or a hollow point.
pub(super) fn second_round(idx: usize) -> bool {
    (idx / N_COLOURS) % 2 == 1
}

/// Viridis, even in lightness: `share` 0 is dark violet, 1 is yellow.
pub(super) fn scale_colour(share: f32) -> RGBColor {
    ViridisRGB.get_color(share.clamp(0.0, 1.0))
}

/// From blue by way of near white to orange: `share` -1, 0 and 1.
pub(super) fn diverging_colour(share: f32) -> RGBColor {
    const ENDS: [[f32; 3]; 3] = [[0.0, 70.0, 150.0], [245.0, 245.0, 245.0], [190.0, 80.0, 0.0]];
    let share = share.clamp(-1.0, 1.0);
    let end = if share < 0.0 { ENDS[0] } else { ENDS[2] };
    let channel = |index: usize| (ENDS[1][index] + (end[index] - ENDS[1][index]) * share.abs()).round() as u8;
    RGBColor(channel(0), channel(1), channel(2))
}

/// Relative luminance of an sRGB colour, 0 (black) to 1 (white).
///
/// Source: W3C, "Web Content Accessibility Guidelines 2.2".
fn luminance(RGBColor(red, green, blue): RGBColor) -> f64 {
    let linear = |channel: u8| match f64::from(channel) / 255.0 {
        dark if dark <= 0.04045 => dark / 12.92,
        light => ((light + 0.055) / 1.055).powf(2.4),
    };
    0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
}

/// Contrast of two colours as the same guidelines have it: 1 for equal ones, 21 for black and white.
pub(super) fn contrast(one: RGBColor, other: RGBColor) -> f64 {
    let (one, other) = (luminance(one) + 0.05, luminance(other) + 0.05);
    one.max(other) / one.min(other)
}

/// A colour as CSS writes it.
pub(super) fn css(RGBColor(red, green, blue): RGBColor) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// Where a text's `x` lies in it.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// Size, weight, colour and anchor of a text.
#[derive(Clone, Copy)]
pub(super) struct Lettering {
    pub size_px: i32,
    pub bold: bool,
    pub colour: RGBColor,
    pub anchor: Anchor,
}

/// The figure's title.
pub(super) const TITLE: Lettering = Lettering { size_px: 16, bold: true, colour: INK, anchor: Anchor::Start };
/// Titles of panels and models.
pub(super) const HEADING: Lettering = Lettering { size_px: 14, bold: true, colour: INK, anchor: Anchor::Start };
/// Everything else.
pub(super) const BODY: Lettering = Lettering { size_px: 12, bold: false, colour: INK, anchor: Anchor::Start };
/// Captions and notes.
pub(super) const NOTE: Lettering = Lettering { colour: GREY, ..BODY };

impl Lettering {
    /// The same, in another colour.
    pub(super) fn colour(self, colour: RGBColor) -> Self {
        Self { colour, ..self }
    }

    /// The same, anchored elsewhere.
    pub(super) fn anchor(self, anchor: Anchor) -> Self {
        Self { anchor, ..self }
    }

    /// Distance of two baselines in pixels.
    pub(super) fn line_px(self) -> i32 {
        self.size_px * 4 / 3
    }

    /// Upper estimate of a text's width in pixels, as it will be shown.
    pub(super) fn width_px(self, text: &str) -> i32 {
        let em: f64 = shown(text).chars().map(width_em).sum();
        let weight = if self.bold { 1.1 } else { 1.0 };
        (em * weight * f64::from(self.size_px)).ceil() as i32
    }

    /// The text, or as much of its beginning as fits with an ellipsis; empty where not even that fits.
    pub(super) fn fit(self, text: &str, room_px: i32) -> String {
        let text = shown(text);
        if self.width_px(&text) <= room_px {
            return text.into_owned();
        }
        let mut kept: Vec<char> = text.chars().collect();
        while kept.pop().is_some() {
            let cut = kept.iter().collect::<String>().trim_end().to_owned() + "…";
            if self.width_px(&cut) <= room_px {
                return cut;
            }
        }
        String::new()
    }

    /// The text in at most `max_lines` lines, broken at spaces and behind Chinese punctuation; what does not fit is cut with
    /// an ellipsis.
    pub(super) fn wrap(self, text: &str, room_px: i32, max_lines: usize) -> Vec<String> {
        let text = shown(text);
        let mut lines: Vec<String> = Vec::new();
        for word in text.split_whitespace() {
            for (index, piece) in word.split_inclusive(['，', '：', '；', '、', '）']).enumerate() {
                let space = if index == 0 { " " } else { "" };
                match lines.last_mut() {
                    Some(line) if self.width_px(line) + self.width_px(space) + self.width_px(piece) <= room_px => {
                        line.push_str(space);
                        line.push_str(piece);
                    }
                    _ => lines.push(piece.to_owned()),
                }
            }
        }
        if lines.len() > max_lines {
            let rest = lines.split_off(max_lines.saturating_sub(1)).join(" ");
            lines.push(rest);
        }
        lines.iter().map(|line| self.fit(line, room_px)).collect()
    }
}

/// Upper estimate of a character's width, as a share of the font size.
fn width_em(character: char) -> f64 {
    match character {
        ' ' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | 'i' | 'j' | 'l' | 'I' => 0.34,
        'f' | 'r' | 't' | '(' | ')' | '[' | ']' | '/' | '-' => 0.42,
        'm' | 'M' | 'w' | 'W' | '%' | '@' | '…' => 1.0,
        'A'..='Z' | '+' | '=' | '<' | '>' | '&' | '~' => 0.8,
        // From the first Korean letters on, scripts are set on squares; symbols and emoji lie there too.
        '\u{1100}'.. => 1.05,
        _ => 0.64,
    }
}

/// A number with four significant digits, as in "0.08312" or "1.2e-9".
pub(crate) fn number(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    let exponent = value.abs().log10().floor() as i32;
    if (-4..6).contains(&exponent) {
        format!("{value:.*}", (3 - exponent).clamp(0, 8) as usize)
    } else {
        format!("{value:.2e}")
    }
}

/// "1 image", "2 images".
pub(super) fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_significant_digits() {
        let numbers = [0.083_123, 15.984, 5543.21, 0.0, 1.234e-9, f64::NAN].map(number);
        assert_eq!(numbers, ["0.08312", "15.98", "5543", "0", "1.23e-9", "NaN"]);
    }

    #[test]
    fn every_colour_stands_out_from_paper_and_the_first_two_from_each_other() {
        for idx in 0..N_COLOURS {
            assert!(contrast(series_colour(idx), PAPER) >= 3.0, "colour {idx}");
        }
        assert!(contrast(series_colour(0), series_colour(1)) >= 3.0);
        assert!((contrast(RGBColor(0, 0, 0), PAPER) - 21.0).abs() < 1e-9);
    }

    #[test]
    fn a_diverging_scale_is_lightest_in_its_middle() {
        let [low, middle, high] = [-1.0, 0.0, 1.0].map(|share| luminance(diverging_colour(share)));
        assert!(middle > 0.85 && low < 0.2 && high < 0.2, "{low} {middle} {high}");
        assert_ne!(diverging_colour(-0.5), diverging_colour(0.5));
    }

    #[test]
    fn text_that_does_not_fit_is_cut() {
        assert_eq!(BODY.fit("frog", 100), "frog");
        let cut = BODY.fit("red-backed squirrel monkey", 80);
        assert!(cut.starts_with("red-ba") && cut.ends_with('…') && BODY.width_px(&cut) <= 80, "{cut}");
        assert_eq!(BODY.fit("frog", 2), "");
    }

    #[test]
    fn text_wraps_at_spaces_and_its_last_line_is_cut() {
        assert_eq!(BODY.wrap("red panda", 50, 2), ["red", "panda"]);
        let lines = BODY.wrap("one two three four five", 50, 2);
        assert!(lines.len() == 2 && lines[1].ends_with('…'), "{lines:?}");
        assert!(BODY.wrap("  ", 50, 2).is_empty());
        assert_eq!(BODY.wrap("貓，狗：馬 船", 55, 9), ["貓，狗：", "馬 船"]);
    }

    #[test]
    fn chinese_letters_are_taken_as_wide() {
        assert!(BODY.width_px("貓貓貓") >= 3 * BODY.size_px);
    }
}
