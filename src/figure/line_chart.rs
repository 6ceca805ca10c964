//! Line charts, as loss over epochs.

use super::axes::{self, Axis, LegendMark, Plot, drawable, extent, legend, nothing_to_draw, plot};
use super::canvas::{Canvas, Drawn, MARGIN_PX, Rect};
use super::style::{Anchor, GREY, NOTE, count, number, second_round, series_colour};
use super::{Figure, Result};
use plotters::coord::ranged1d::Ranged;
use plotters::element::{Circle, DashedPathElement, PathElement};
use plotters::style::Color;

/// A line: a name and its points.
///
/// # Example
/// ```
/// use diabolo::figure::{LineChart, Series, line_chart};
/// let with_a_gap = Series { name: "fcn".into(), points: vec![(1.0, 0.3), (2.0, f64::NAN), (3.0, 0.1)] };
/// let figure = line_chart(&LineChart {
///     title: "Loss".into(),
///     x_title: "epoch".into(),
///     y_title: "loss".into(),
///     series: vec![with_a_gap],
///     marks: Vec::new(),
/// })?;
/// assert!(String::from_utf8_lossy(figure.bytes()).contains("1 point"), "what is left out is counted");
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Name in the legend.
    pub name: String,
    /// `(x, y)` in the order in which they are joined; NaN or infinity leaves a gap.
    pub points: Vec<(f64, f64)>,
}

/// A vertical line with a name, as for the epoch that was kept.
///
/// # Example
/// ```
/// use diabolo::figure::{LineChart, Mark, Series, line_chart};
/// let figure = line_chart(&LineChart {
///     title: "Loss".into(),
///     x_title: "epoch".into(),
///     y_title: "loss".into(),
///     series: vec![Series { name: "fcn".into(), points: vec![(1.0, 0.3), (2.0, 0.1), (3.0, 0.2)] }],
///     marks: vec![Mark { x: 2.0, text: "kept: epoch 2".into() }],
/// })?;
/// assert!(String::from_utf8_lossy(figure.bytes()).contains("kept: epoch 2"));
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// Its x value.
    pub x: f64,
    /// Its label, as in "kept: epoch 12".
    pub text: String,
}

/// A line chart: lines, titles and marks.
///
/// # Example
/// ```
/// use diabolo::figure::{LineChart, Mark, Series, line_chart};
/// let figure = line_chart(&LineChart {
///     title: "Loss by epoch".into(),
///     x_title: "epoch".into(),
///     y_title: "loss (mean squared error)".into(),
///     series: vec![Series { name: "fcn".into(), points: vec![(1.0, 0.3), (2.0, 0.2), (3.0, 0.1)] }],
///     marks: vec![Mark { x: 3.0, text: "kept: epoch 3".into() }],
/// })?;
/// assert!(figure.alt().starts_with("Loss by epoch"));
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct LineChart {
    /// Title of the figure.
    pub title: String,
    /// Title of the x axis with its unit, as in "epoch".
    pub x_title: String,
    /// Title of the y axis with its unit, as in "loss (mean squared error)".
    pub y_title: String,
    /// The lines.
    pub series: Vec<Series>,
    /// Vertical lines.
    pub marks: Vec<Mark>,
}

/// Draws lines; the y axis is logarithmic where all values are above 0 and span more than a decade.
///
/// Points that are NaN or infinite leave a gap and are counted below the chart. A line of many points is thinned to what
/// its pixels can show.
///
/// # Errors
/// [`crate::Error::Data`] without a single finite point.
///
/// # Example
/// ```
/// use diabolo::figure::{LineChart, Series, line_chart};
/// let mut chart = LineChart {
///     title: "Loss".into(),
///     x_title: "epoch".into(),
///     y_title: "loss".into(),
///     series: vec![Series { name: "fcn".into(), points: vec![(1.0, 0.3), (2.0, 0.1)] }],
///     marks: Vec::new(),
/// };
/// assert!(line_chart(&chart)?.to_string().contains("(SVG): Loss"));
/// chart.series.clear();
/// assert!(line_chart(&chart).is_err());
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn line_chart(chart: &LineChart) -> Result<Figure> {
    let LineChart { title, x_title, y_title, series, marks } = chart;
    let points = || series.iter().flat_map(|series| series.points.iter().copied());
    let n_points = points().count();
    let shown = || points().filter(|&point| is_drawable(point));
    let n_left_out = n_points - shown().count();
    let (Some((y_low, y_high)), Some((x_low, x_high))) =
        (extent(shown().map(|(_, y)| y)), extent(shown().map(|(x, _)| x).chain(marks.iter().map(|mark| mark.x))))
    else {
        return Err(nothing_to_draw(title, n_left_out));
    };
    let whole = shown().all(|(x, _)| x.fract() == 0.0);
    let x = Axis::linear(x_title, x_low, x_high, whole);
    let y = Axis::fitting(y_title, y_low, y_high);

    let mut canvas = Canvas::new(title, axes::WIDTH_PX);
    legend(&mut canvas, series.iter().map(|series| series.name.as_str()), LegendMark::Line);
    canvas.bottom_px += if marks.is_empty() { 0 } else { NOTE.line_px() };
    let rect = Rect { left: MARGIN_PX, top: canvas.bottom_px, width: canvas.inner_px(), height: 360 };
    plot(&mut canvas, rect, &x, &y, |plot| {
        for mark in marks.iter().filter(|mark| drawable(mark.x)) {
            let ends = [(mark.x, y.range().start), (mark.x, y.range().end)];
            plot.draw_series([DashedPathElement::new(ends, 4, 4, GREY.stroke_width(1))])?;
        }
        series.iter().enumerate().try_for_each(|(idx, series)| draw_line(plot, &x, idx, &series.points))
    })?;
    let inner = axes::data_rect(rect);
    for mark in marks.iter().filter(|mark| drawable(mark.x)) {
        let share = x.share(mark.x);
        let at = inner.left + (share * f64::from(inner.width)) as i32;
        let (anchor, room_px) =
            if share < 0.5 { (Anchor::Start, inner.left + inner.width - at) } else { (Anchor::End, at - inner.left) };
        canvas.text((at, inner.top - 5), room_px, &mark.text, NOTE.anchor(anchor));
    }
    canvas.bottom_px += rect.height;
    canvas.notes(&[axes::left_out(n_left_out, "point")]);

    let lines: Vec<String> = series.iter().map(describe).collect();
    let marks: String = marks.iter().map(|mark| format!("; marked: {}", mark.text)).collect();
    Ok(canvas.finish(format!("{title}: {y_title} against {x_title}; {}{marks}", lines.join("; "))))
}

fn is_drawable((x, y): (f64, f64)) -> bool {
    drawable(x) && drawable(y)
}

/// The alternative text of a line.
fn describe(series: &Series) -> String {
    let shown: Vec<f64> = series.points.iter().filter(|&&point| is_drawable(point)).map(|&(_, y)| y).collect();
    match shown.as_slice() {
        [] => format!("{}: nothing to draw", series.name),
        [only] => format!("{}: one point at {}", series.name, number(*only)),
        [first, .., last] => {
            format!("{}: {} from {} to {}", series.name, count(shown.len(), "point"), number(*first), number(*last))
        }
    }
}

/// Draws the line of series `idx`, with a gap at each point that cannot be drawn, and dots where there are few points.
pub(super) fn draw_line(plot: &mut Plot<'_, '_>, x: &Axis, idx: usize, points: &[(f64, f64)]) -> Drawn {
    const MAX_DOTS: usize = 40;
    let colour = series_colour(idx);
    for run in points.split(|&point| !is_drawable(point)).filter(|run| !run.is_empty()) {
        let thin = thinned(run, |value| (x.share(value) * f64::from(axes::WIDTH_PX)).round() as i32);
        if second_round(idx) {
            plot.draw_series([DashedPathElement::new(thin, 6, 4, colour.stroke_width(2))])?;
        } else {
            plot.draw_series([PathElement::new(thin, colour.stroke_width(2))])?;
        }
        if points.len() <= MAX_DOTS || run.len() == 1 {
            plot.draw_series(run.iter().map(|&point| Circle::new(point, 3, colour.filled())))?;
        }
    }
    Ok(())
}

/// Of the points in each pixel column only the first, lowest, highest and last: the line looks the same.
///
/// Source: Jugel et al., "M4: a visualization-oriented time series data aggregation", VLDB 2014.
fn thinned(run: &[(f64, f64)], column: impl Fn(f64) -> i32) -> Vec<(f64, f64)> {
    let mut kept = Vec::new();
    for same in run.chunk_by(|left, right| column(left.0) == column(right.0)) {
        let by_height = |left: &usize, right: &usize| same[*left].1.total_cmp(&same[*right].1);
        let last = same.len() - 1;
        let mut idxs = [0, last, last, last];
        idxs[1] = (0..same.len()).min_by(by_height).unwrap_or(last);
        idxs[2] = (0..same.len()).max_by(by_height).unwrap_or(last);
        idxs.sort_unstable();
        kept.extend(
            idxs.iter().enumerate().filter(|&(k, idx)| k == 0 || idxs[k - 1] != *idx).map(|(_, &idx)| same[idx]),
        );
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<(f64, f64)>) -> LineChart {
        LineChart {
            title: "Loss".into(),
            x_title: "epoch".into(),
            y_title: "mean squared error".into(),
            series: vec![Series { name: "mean".into(), points }],
            marks: vec![Mark { x: 1.0, text: "kept: epoch 1".into() }],
        }
    }

    fn svg(points: Vec<(f64, f64)>) -> String {
        String::from_utf8(line_chart(&chart(points)).unwrap().bytes().to_vec()).unwrap()
    }

    #[test]
    fn a_wide_range_gets_a_log_scale_and_a_narrow_one_does_not() {
        assert!(svg(vec![(1.0, 1.0), (2.0, 0.01)]).contains("mean squared error, log scale"));
        assert!(!svg(vec![(1.0, 1.0), (2.0, 0.2)]).contains("log scale"));
        assert!(!svg(vec![(1.0, 1.0), (2.0, 0.0)]).contains("log scale"), "zero has no logarithm");
    }

    #[test]
    fn one_point_and_constant_values_are_drawn() {
        assert_eq!(svg(vec![(1.0, 0.3)]).matches("<circle").count(), 1);
        assert_eq!(svg(vec![(1.0, 0.0), (2.0, 0.0)]).matches("<circle").count(), 2);
        assert_eq!(svg(vec![(1.0, 1e300), (2.0, -1e300)]).matches("<circle").count(), 2);
    }

    #[test]
    fn values_without_a_place_leave_a_gap_and_are_counted() {
        let svg = svg(vec![(1.0, 0.3), (2.0, f64::NAN), (3.0, f64::INFINITY), (4.0, 0.2)]);
        assert!(svg.contains("Left out, as NaN or infinite: 2 points."), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(!svg.contains("NaN,"));
    }

    #[test]
    fn any_text_leaves_the_drawing_well_formed() {
        let nasty = "<a> & \u{1} 損失\n";
        let mut chart = chart(vec![(1.0, 0.3)]);
        (chart.title, chart.x_title, chart.y_title) = (nasty.into(), nasty.into(), nasty.into());
        (chart.series[0].name, chart.marks[0].text) = (nasty.into(), nasty.into());
        let figure = line_chart(&chart).unwrap();
        roxmltree::Document::parse(std::str::from_utf8(figure.bytes()).unwrap()).unwrap();
    }

    #[test]
    fn no_finite_point_is_an_error() {
        let message = line_chart(&chart(vec![(1.0, f64::NAN)])).unwrap_err().to_string();
        assert!(message.contains("1 value, none of which is finite"), "{message}");
        let message = line_chart(&chart(Vec::new())).unwrap_err().to_string();
        assert!(message.contains("found no values, wanted at least one finite value"), "{message}");
    }

    #[test]
    fn a_line_of_a_million_points_stays_small() {
        let points = (0..1_000_000).map(|idx| (f64::from(idx), f64::from(idx % 977))).collect();
        assert!(svg(points).len() < 100_000);
    }

    #[test]
    fn thinning_keeps_the_extremes_in_order() {
        let run = [(0.0, 1.0), (0.1, 9.0), (0.2, -3.0), (0.3, 2.0), (0.4, 2.5), (1.0, 0.0)];
        let kept = thinned(&run, |x| x as i32);
        assert_eq!(kept, [(0.0, 1.0), (0.1, 9.0), (0.2, -3.0), (0.4, 2.5), (1.0, 0.0)]);
    }

    #[test]
    fn the_same_data_give_the_same_bytes() {
        assert_eq!(svg(vec![(1.0, 1.0), (2.0, 0.01)]), svg(vec![(1.0, 1.0), (2.0, 0.01)]));
    }
}
