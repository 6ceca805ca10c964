//! Curves in the unit square: ROC and precision-recall curves.

use super::axes::{Axis, LegendMark, legend, nothing_to_draw, plot};
use super::canvas::{Canvas, MARGIN_PX, Rect};
use super::line_chart::{Series, draw_line};
use super::style::{GREY, count};
use super::{Figure, Result};
use plotters::element::DashedPathElement;
use plotters::style::Color;

/// Curves whose axes both run from 0 to 1.
///
/// # Example
/// ```
/// use diabolo::figure::{Curves, Series, curves};
/// let diagonal = Some(((0.0, 0.0), (1.0, 1.0)));
/// let figure = curves(&Curves {
///     title: "ROC".into(),
///     x_title: "false positive rate".into(),
///     y_title: "true positive rate".into(),
///     series: vec![Series { name: "fcn".into(), points: vec![(0.0, 0.0), (0.2, 0.7), (1.0, 1.0)] }],
///     reference: diagonal,
/// })?;
/// assert_eq!(figure.alt(), "ROC: true positive rate against false positive rate; curves: fcn");
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Curves {
    /// Title of the figure.
    pub title: String,
    /// Title of the x axis, as in "false positive rate".
    pub x_title: String,
    /// Title of the y axis, as in "true positive rate".
    pub y_title: String,
    /// The curves; what lies outside 0..=1 is left out and counted.
    pub series: Vec<Series>,
    /// A straight line from `.0` to `.1` for comparison, as the diagonal of guessing: `((0.0, 0.0), (1.0, 1.0))`.
    pub reference: Option<((f64, f64), (f64, f64))>,
}

/// Draws curves in the unit square.
///
/// # Errors
/// [`crate::Error::Data`] without a single point in the unit square.
///
/// # Example
/// ```
/// use diabolo::figure::{Curves, Series, curves};
/// let mut chart = Curves {
///     title: "Precision and recall".into(),
///     x_title: "recall".into(),
///     y_title: "precision".into(),
///     series: vec![Series { name: "fcn".into(), points: vec![(0.0, 1.0), (0.5, 0.8), (1.0, 0.2)] }],
///     reference: None,
/// };
/// assert_eq!(curves(&chart)?.width_px(), 560);
/// chart.series[0].points = vec![(3.0, 4.0)];
/// assert!(curves(&chart).is_err(), "nothing in the unit square");
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn curves(curves: &Curves) -> Result<Figure> {
    const WIDTH_PX: i32 = 560;
    let Curves { title, x_title, y_title, series, reference } = curves;
    let in_square = |&(x, y): &(f64, f64)| (0.0..=1.0).contains(&x) && (0.0..=1.0).contains(&y);
    let inside: Vec<Series> = series
        .iter()
        .map(|series| Series {
            name: series.name.clone(),
            points: series.points.iter().copied().filter(in_square).collect(),
        })
        .collect();
    let n_points = |all: &[Series]| all.iter().map(|series| series.points.len()).sum::<usize>();
    let n_left_out = n_points(series) - n_points(&inside);
    if n_points(&inside) == 0 {
        return Err(nothing_to_draw(title, n_left_out));
    }

    let (x, y) = (Axis::linear(x_title, 0.0, 1.0, false), Axis::linear(y_title, 0.0, 1.0, false));
    let mut canvas = Canvas::new(title, WIDTH_PX);
    legend(&mut canvas, series.iter().map(|series| series.name.as_str()), LegendMark::Line);
    let rect = Rect { left: MARGIN_PX, top: canvas.bottom_px, width: canvas.inner_px(), height: 490 };
    plot(&mut canvas, rect, &x, &y, |plot| {
        if let Some((from, to)) = *reference {
            plot.draw_series([DashedPathElement::new([from, to], 4, 4, GREY.stroke_width(1))])?;
        }
        inside.iter().enumerate().try_for_each(|(idx, series)| draw_line(plot, &x, idx, &series.points))
    })?;
    canvas.bottom_px += rect.height;
    if n_left_out > 0 {
        canvas.notes(&[format!("Left out: {} outside 0 to 1.", count(n_left_out, "point"))]);
    }
    let names: Vec<&str> = series.iter().map(|series| series.name.as_str()).collect();
    Ok(canvas.finish(format!("{title}: {y_title} against {x_title}; curves: {}", names.join("; "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(points: Vec<(f64, f64)>) -> Result<Figure> {
        curves(&Curves {
            title: "ROC".into(),
            x_title: "false positive rate".into(),
            y_title: "true positive rate".into(),
            series: vec![Series { name: "MSE, AUC 0.64".into(), points }],
            reference: Some(((0.0, 0.0), (1.0, 1.0))),
        })
    }

    #[test]
    fn points_outside_the_unit_square_are_counted() {
        let figure = figure(vec![(0.0, 0.0), (0.5, f64::NAN), (0.2, 1.5), (1.0, 1.0)]).unwrap();
        assert!(String::from_utf8_lossy(figure.bytes()).contains("Left out: 2 points outside 0 to 1."));
    }

    #[test]
    fn no_point_is_an_error() {
        let message = figure(Vec::new()).unwrap_err().to_string();
        assert!(message.contains("drawing \"ROC\": found no values"), "{message}");
    }
}
