//! Axes for every chart: ranges, ticks and their labels, the frame and grid around a plot, the legend, the panels.

use super::canvas::{Canvas, Drawn, MARGIN_PX, Rect, clean};
use super::style::{BODY, FONT_FAMILY, GREY, INK, PALE, count, second_round, series_colour};
use crate::{Error, Result};
use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::prelude::SVGBackend;
use plotters::style::{Color, IntoFont, TextStyle};
use std::ops::Range;

/// The width of a full chart: that of a notebook's output.
pub(super) const WIDTH_PX: i32 = 900;

/// Room left of a plot for its axis.
const LEFT_PX: i32 = 66;
/// Room below a plot for its axis.
const BELOW_PX: i32 = 44;
/// Room right of a plot, so that the last tick's label stays on the page.
const RIGHT_PX: i32 = 14;

/// plotters draws letters of size / 1.24 pixels in an SVG.
const FONT_SIZE: f64 = 12.0 * 1.24;

/// Whether a value can be drawn on an axis; beyond, differences of values overflow.
pub(super) fn drawable(value: f64) -> bool {
    value.abs() <= 1e300
}

/// The note for `n` values that cannot be drawn; empty for none.
pub(super) fn left_out(n: usize, noun: &str) -> String {
    if n == 0 { String::new() } else { format!("Left out, as NaN or infinite: {}.", count(n, noun)) }
}

/// An [`Error::Data`] for a chart without a single value that can be drawn.
pub(super) fn nothing_to_draw(title: &str, n_left_out: usize) -> Error {
    let found = match n_left_out {
        0 => "no values".to_owned(),
        n => format!("{}, none of which is finite", count(n, "value")),
    };
    Error::data(format!("drawing \"{title}\""), found, "at least one finite value", "look at how the values were made")
}

/// The scale of an axis.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Scale {
    Linear,
    Logarithmic,
}

/// One axis: its title, its range and its ticks. It is a coordinate of plotters.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    title: String,
    low: f64,
    high: f64,
    scale: Scale,
    ticks: Vec<f64>,
    labels: Vec<String>,
}

impl Axis {
    /// From `low` to `high`, evenly; one value, or none, gets some room around it. Ticks are whole where `whole`.
    pub(super) fn linear(title: &str, low: f64, high: f64, whole: bool) -> Self {
        let (low, high) = widened(low, high);
        let mut step = nice_step((high - low) / 5.0);
        if whole {
            step = step.max(1.0);
        }
        let ticks: Vec<f64> = ((low / step - 1e-9).ceil() as i64..=(high / step + 1e-9).floor() as i64)
            .map(|k| k as f64 * step)
            .collect();
        let labels = ticks.iter().map(|&tick| tick_label(tick, step, low.abs().max(high.abs()))).collect();
        Self { title: clean(title), low, high, scale: Scale::Linear, ticks, labels }
    }

    /// As [`Axis::linear`], with its ends moved out to the next ticks.
    pub(super) fn rounded(title: &str, low: f64, high: f64, whole: bool) -> Self {
        let (low, high) = widened(low, high);
        let step = nice_step((high - low) / 5.0);
        Self::linear(title, (low / step).floor() * step, (high / step).ceil() * step, whole)
    }

    /// Logarithmic where all values are above 0 and span more than a decade (and fewer than a hundred), and even
    /// otherwise.
    pub(super) fn fitting(title: &str, low: f64, high: f64) -> Self {
        let n_decades = high.log10() - low.log10();
        if low > 0.0 && n_decades > 1.0 && n_decades < 100.0 {
            Self::logarithmic(title, low, high)
        } else {
            Self::rounded(title, low, high, false)
        }
    }

    /// From `low` above 0 to `high` above it, each factor of ten as long as the next.
    fn logarithmic(title: &str, low: f64, high: f64) -> Self {
        let n_decades = high.log10() - low.log10();
        let mantissas: &[u32] = if n_decades < 3.0 { &[1, 2, 5] } else { &[1] };
        let every = (n_decades / 8.0).ceil().max(1.0) as usize;
        let margin = 10f64.powf(0.03 * n_decades);
        let (low, high) = (low / margin, high * margin);
        let (mut ticks, mut labels) = (Vec::new(), Vec::new());
        for exponent in (low.log10().floor() as i32..=high.log10().ceil() as i32).step_by(every) {
            for mantissa in mantissas {
                let label = format!("{mantissa}e{exponent}");
                let tick: f64 = label.parse().expect("digits, an e and digits are a number");
                if (low..=high).contains(&tick) {
                    ticks.push(tick);
                    labels.push(if (-4..5).contains(&exponent) { tick.to_string() } else { label });
                }
            }
        }
        Self { title: clean(title) + ", log scale", low, high, scale: Scale::Logarithmic, ticks, labels }
    }

    /// The position of a value on the axis: 0 at the low end, 1 at the high end.
    pub(super) fn share(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Logarithmic => (value / self.low).ln() / (self.high / self.low).ln(),
        }
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (start, end): (i32, i32)) -> i32 {
        start + (self.share(*value) * f64::from(end - start)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _hint: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        self.ticks.iter().position(|tick| tick == value).map_or_else(String::new, |idx| self.labels[idx].clone())
    }
}

/// The smallest and largest drawable value; `None` where there is none.
pub(super) fn extent(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.filter(|&value| drawable(value)).fold(None, |extent, value| {
        let (low, high) = extent.unwrap_or((value, value));
        Some((low.min(value), high.max(value)))
    })
}

/// A range with room in it.
fn widened(low: f64, high: f64) -> (f64, f64) {
    let size = low.abs().max(high.abs());
    // Closer than this, ticks could not be distinguished.
    if high - low > size * 1e-9 && high - low > 1e-290 {
        return (low, high);
    }
    let room = if size < 1e-280 { 1.0 } else { size * 0.1 };
    (low - room, high + room)
}

/// The next of 1, 2, 5, 10, ... times a power of ten.
fn nice_step(rough: f64) -> f64 {
    let power = 10f64.powi(rough.log10().floor() as i32);
    let step = [1.0, 2.0, 5.0].into_iter().find(|step| step * power >= rough * 0.999).unwrap_or(10.0);
    step * power
}

/// A tick's label with the decimals that its step needs.
fn tick_label(tick: f64, step: f64, largest: f64) -> String {
    let step_exponent = (step.log10() + 1e-9).floor() as i32;
    let largest_exponent = (largest.log10() + 1e-9).floor() as i32;
    if tick == 0.0 {
        "0".to_owned()
    } else if largest_exponent > 5 || step_exponent < -5 {
        format!("{tick:.*e}", (largest_exponent - step_exponent).clamp(0, 9) as usize)
    } else {
        format!("{tick:.*}", (-step_exponent).clamp(0, 9) as usize)
    }
}

/// A plot with its axes drawn.
pub(super) type Plot<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Axis, Axis>>;

/// The part of `rect` that is left for the data.
pub(super) fn data_rect(rect: Rect) -> Rect {
    Rect {
        left: rect.left + LEFT_PX,
        top: rect.top,
        width: rect.width - LEFT_PX - RIGHT_PX,
        height: rect.height - BELOW_PX,
    }
}

/// Draws grid, ticks and axis titles in `rect`, then what `draw` puts on top.
pub(super) fn plot(
    canvas: &mut Canvas,
    rect: Rect,
    x: &Axis,
    y: &Axis,
    draw: impl FnOnce(&mut Plot<'_, '_>) -> Drawn,
) -> Result<()> {
    let inner = data_rect(rect);
    canvas.chart(rect, |area| {
        let text = |colour| TextStyle::from((FONT_FAMILY, FONT_SIZE).into_font()).color(colour);
        let mut chart = ChartBuilder::on(area)
            .x_label_area_size(BELOW_PX)
            .y_label_area_size(LEFT_PX)
            .margin_right(RIGHT_PX)
            .build_cartesian_2d(x.clone(), y.clone())?;
        chart
            .configure_mesh()
            .axis_style(GREY)
            .bold_line_style(PALE)
            .light_line_style(PALE.mix(0.0))
            .x_labels(x.ticks.len())
            .y_labels(y.ticks.len())
            .label_style(text(&GREY))
            .axis_desc_style(text(&INK))
            .x_desc(BODY.fit(&x.title, inner.width))
            .y_desc(BODY.fit(&y.title, inner.height))
            .draw()?;
        draw(&mut chart)
    })
}

/// What a legend's mark looks like.
#[derive(Clone, Copy)]
pub(super) enum LegendMark {
    Line,
    Dot,
}

/// The names of series or labels with their marks, in as many rows as they need.
pub(super) fn legend<'a>(canvas: &mut Canvas, names: impl Iterator<Item = &'a str>, mark: LegendMark) {
    const MARK_PX: i32 = 24;
    const GAP_PX: i32 = 20;
    let right = MARGIN_PX + canvas.inner_px();
    let mut left = MARGIN_PX;
    let mut middle = canvas.bottom_px + BODY.line_px() / 2;
    for (idx, name) in names.enumerate() {
        let name = BODY.fit(name, right - MARGIN_PX - MARK_PX - 6);
        let name_px = BODY.width_px(&name);
        if left > MARGIN_PX && left + MARK_PX + 6 + name_px > right {
            left = MARGIN_PX;
            middle += BODY.line_px();
        }
        let (colour, again) = (series_colour(idx), second_round(idx));
        match mark {
            LegendMark::Line => canvas.line((left, middle), (left + MARK_PX, middle), colour, again),
            LegendMark::Dot => canvas.circle((left + MARK_PX / 2, middle), 4.5, colour, again),
        }
        canvas.text((left + MARK_PX + 6, middle + 4), name_px, &name, BODY);
        left += MARK_PX + 6 + name_px + GAP_PX;
    }
    canvas.bottom_px = middle + BODY.line_px() / 2 + 10;
}

/// Rectangles for `n` panels, at most `max_columns` side by side, each with room for a heading above it.
pub(super) fn panels(canvas: &mut Canvas, n: usize, max_columns: usize, height_px: impl Fn(i32) -> i32) -> Vec<Rect> {
    const HEADING_PX: i32 = 34;
    const GAP_PX: i32 = 10;
    let n_columns = n.clamp(1, max_columns) as i32;
    let width = (canvas.inner_px() - (n_columns - 1) * GAP_PX) / n_columns;
    let height = height_px(width);
    let top = canvas.bottom_px;
    let rects: Vec<Rect> = (0..n as i32)
        .map(|idx| Rect {
            left: MARGIN_PX + idx % n_columns * (width + GAP_PX),
            top: top + idx / n_columns * (HEADING_PX + height + GAP_PX) + HEADING_PX,
            width,
            height,
        })
        .collect();
    canvas.bottom_px = rects.last().map_or(top, |last| last.top + last.height + GAP_PX / 2);
    rects
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let labels = |low, high, whole| Axis::linear("", low, high, whole).labels;
        assert_eq!(labels(0.0, 1.0, false), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(1.0, 3.0, true), ["1", "2", "3"], "epochs are whole");
        assert_eq!(labels(-0.012, 0.011, false), ["-0.010", "-0.005", "0", "0.005", "0.010"]);
        assert_eq!(labels(0.0, 3.7e7, false), ["0", "1e7", "2e7", "3e7"]);
    }

    #[test]
    fn log_ticks_are_powers_of_ten_with_steps_between_where_there_is_room() {
        let labels = |low, high| Axis::fitting("", low, high).labels;
        assert_eq!(labels(0.02, 0.6), ["0.02", "0.05", "0.1", "0.2", "0.5"]);
        assert_eq!(labels(1e-7, 10.0), ["1e-7", "1e-6", "1e-5", "0.0001", "0.001", "0.01", "0.1", "1", "10"]);
    }

    #[test]
    fn every_range_has_a_place_for_its_ends() {
        let ranges = [(0.0, 0.0), (5.0, 5.0), (-1e300, 1e300), (1e-320, 1e-310), (1e-300, 1e300), (1e9, 1e9 + 1e-7)];
        for (low, high) in ranges {
            for axis in
                [Axis::linear("", low, high, false), Axis::rounded("", low, high, true), Axis::fitting("", low, high)]
            {
                assert!((0.0..=1.0).contains(&axis.share(low)) && (0.0..=1.0).contains(&axis.share(high)), "{axis:?}");
                assert!(axis.ticks.len() <= 12, "{axis:?}");
            }
        }
    }

    #[test]
    fn the_extent_leaves_out_what_has_no_place() {
        assert_eq!(extent([f64::NAN, 2.0, -1.0, f64::INFINITY, 1e301].into_iter()), Some((-1.0, 2.0)));
        assert_eq!(extent([f64::NAN].into_iter()), None);
    }

    #[test]
    fn panels_fill_rows_and_do_not_overlap() {
        let mut canvas = Canvas::new("", WIDTH_PX);
        let rects = panels(&mut canvas, 4, 3, |width_px| width_px);
        assert!(rects[0].left + rects[0].width < rects[1].left && rects[3].left == rects[0].left);
        assert!(rects[0].top + rects[0].height < rects[3].top && rects[3].top + rects[3].height < canvas.bottom_px);
        assert!(rects[2].left + rects[2].width <= WIDTH_PX - MARGIN_PX);
    }
}
