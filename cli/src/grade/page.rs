//! The page of a class: one file that needs no other, and asks nobody for anything.

use super::ranking::{Class, Ranked, SIGNIFICANCE};
use super::submissions::{Reason, Refused};
use super::{Half, to_next};
use diabolo::metrics::Interval;

const STYLE: &str = include_str!("page.css");
/// Width of the drawing of an interval; its height is that of a line.
const DRAWING_PX: f64 = 160.0;

/// The page as HTML.
pub fn render(class: &Class) -> String {
    let images = class.ranks_by.in_words();
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Scores of the class</title>\n<style>\n{STYLE}</style>\n<main>\n<h1>Scores of the class</h1>\n\
         <p class=\"lead\">{class}. Ranked by {} {images}, {} of them anomalies.</p>\n",
        class.n_ranking, class.n_anomalies
    );
    page += &ranks(class);
    page += &refusals(&class.refused);
    page += &how(class);
    page + "</main>\n</html>\n"
}

fn ranks(class: &Class) -> String {
    if class.ranked.is_empty() {
        return "<p>Nobody has handed in a file that can be read.</p>\n".into();
    }
    let shows_public = class.ranks_by == Half::Private;
    let axis = Axis::around(class.ranked.iter().map(|ranked| ranked.auc));
    let public = if shows_public { "<th scope=\"col\" class=\"number\">Public AUC (rank)</th>" } else { "" };
    let mut table = format!(
        "<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"Ranks\">\n<table>\n<thead><tr><th scope=\"col\" \
         class=\"number\">Rank</th><th scope=\"col\">Student</th><th scope=\"col\" class=\"number\">Group</th><th scope=\"col\" \
         class=\"number\">AUC</th><th scope=\"col\">95 % interval, {:.2} to {:.2}</th>{public}<th scope=\"col\" \
         class=\"minor\">More than the next</th><th scope=\"col\" class=\"number\">Tries</th></tr></thead>\n",
        axis.low, axis.high
    );
    for group in class.ranked.chunk_by(|a, b| a.group == b.group) {
        table += "<tbody>\n";
        group.iter().for_each(|ranked| table += &row(ranked, &axis, shows_public));
        table += "</tbody>\n";
    }
    table + "</table>\n</div>\n"
}

fn row(ranked: &Ranked, axis: &Axis, shows_public: bool) -> String {
    let Ranked { rank, group, auc, n_tries, .. } = ranked;
    let public = match ranked.public.filter(|_| shows_public) {
        Some(public) => format!("<td class=\"number\">{:.4} ({})</td>", public.auc, public.rank),
        None => String::new(),
    };
    format!(
        "<tr><td class=\"number\">{rank}</td><th scope=\"row\">{}</th><td class=\"number\">{group}</td><td \
         class=\"number\">{:.4}</td><td>{}</td>{public}<td class=\"minor\">{}</td><td class=\"number\">{n_tries}</td></tr>\n",
        escaped(&ranked.student),
        auc.value,
        axis.draw(auc),
        to_next(ranked)
    )
}

/// What the drawings of intervals have in common.
struct Axis {
    low: f64,
    high: f64,
}

impl Axis {
    /// In twentieths, so that its ends are round.
    fn around(intervals: impl Iterator<Item = Interval>) -> Self {
        let (low, high) = intervals.fold((0.5f64, 0.5f64), |(low, high), auc| (low.min(auc.low), high.max(auc.high)));
        Self { low: (low * 20.0).floor() / 20.0, high: (high * 20.0).ceil() / 20.0 }
    }

    fn px(&self, auc: f64) -> f64 {
        // One wide axis is as good as none where all is 0.5.
        4.0 + (DRAWING_PX - 8.0) * (auc - self.low) / (self.high - self.low).max(0.05)
    }

    fn draw(&self, auc: &Interval) -> String {
        let [low, value, high, guessing] = [auc.low, auc.value, auc.high, 0.5].map(|auc| self.px(auc));
        format!(
            "<svg viewBox=\"0 0 {DRAWING_PX} 16\" role=\"img\" aria-label=\"{:.4} to {:.4}\"><path class=\"guessing\" \
             d=\"M{guessing:.1} 0v16\"/><path class=\"interval\" d=\"M{low:.1} 8H{high:.1}\"/><circle cx=\"{value:.1}\" cy=\"8\" \
             r=\"3.5\"/></svg>",
            auc.low, auc.high
        )
    }
}

fn refusals(refused: &[Refused]) -> String {
    if refused.is_empty() {
        return String::new();
    }
    let mut section = String::from("<h2>Refused files</h2>\n");
    for files in refused.chunk_by(|a, b| a.refusal.reason == b.refusal.reason) {
        let reason: Reason = files[0].refusal.reason;
        section += &format!("<h3>{}: {}</h3>\n<ul>\n", sentence(reason.in_words()), files.len());
        for Refused { student, file, counts, refusal, .. } in files {
            let another = if *counts { "" } else { " Another try of this student counts." };
            let line = format!("{} ({}): {}.{another}", escaped(student), escaped(file), escaped(&refusal.found));
            section += &format!("<li>{line}</li>\n");
        }
        section += "</ul>\n";
    }
    section
}

fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

fn how(class: &Class) -> String {
    let halves = match class.ranks_by {
        Half::All => "All test images count.",
        Half::Public => {
            "The public images alone count here; they were drawn at random, of anomalies and of normal images the same \
             share. The final ranks come from the others."
        }
        Half::Private => {
            "The private images count. They were drawn at random, of anomalies and of normal images the same share; the \
             AUC of the public ones stands beside."
        }
    };
    format!(
        "<h2>How this was measured</h2>\n\
         <p>AUC is the probability that a random anomaly has a higher score than a random normal image, ties counted half: \
         0.5 is guessing (the dashed line), 1 is perfect. Intervals are DeLong's, at 95 %.</p>\n\
         <p>All students scored the same images, so their AUCs rise and fall together, and differences are known better \
         than the AUCs themselves: each is compared with the next rank by DeLong's paired test.</p>\n\
         <p>A group begins with its best; those after it belong to it as long as the same test does not tell them from \
         that one (p-value of {SIGNIFICANCE} or more). The order within a group may be chance: other test images could turn it \
         around. With many students some are told apart by chance too, about one comparison in twenty.</p>\n\
         <p>{halves} The last file of a student that can be read counts.</p>\n"
    )
}

/// Text for HTML. What would turn the text around it, or is no letter at all, is replaced.
fn escaped(text: &str) -> String {
    let is_hidden = |letter: char| {
        letter.is_control()
            || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let text: String = text.chars().map(|letter| if is_hidden(letter) { '\u{fffd}' } else { letter }).collect();
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_text() {
        assert_eq!(escaped("<script>\"&\u{202e}"), "&lt;script&gt;&quot;&amp;\u{fffd}");
    }

    #[test]
    fn an_axis_has_round_ends_and_guessing_on_it() {
        let axis = Axis::around([Interval { value: 0.62, low: 0.58, high: 0.66 }].into_iter());
        assert!((axis.low - 0.5).abs() < 1e-9 && (axis.high - 0.7).abs() < 1e-9);
        assert_eq!((axis.px(axis.low), axis.px(axis.high)), (4.0, 156.0));
    }
}
