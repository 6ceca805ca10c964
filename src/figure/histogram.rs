//! Histograms side by side, with shared axes or with axes of their own.

use super::axes::{Axis, drawable, extent, left_out, nothing_to_draw, panels, plot};
use super::canvas::Canvas;
use super::style::{count, number, series_colour};
use super::{Error, Figure, Result};
use plotters::element::Rectangle;
use plotters::style::Color;

/// Whether the panels of a [`Histogram`] share an axis.
///
/// # Example
/// ```
/// use diabolo::figure::{Histogram, HistogramPanel, AxisRange, histogram};
/// let panel = |title: &str, values: &[f64]| HistogramPanel { title: title.into(), values: values.into() };
/// let figure = histogram(&Histogram {
///     title: "Two units".into(),
///     x_title: "score".into(),
///     y_title: "images".into(),
///     n_bins: 10,
///     x_range: AxisRange::Own, // each panel up to its own largest value
///     y_range: AxisRange::Shared,
///     panels: vec![panel("MSE", &[0.01, 0.02]), panel("L2 norm", &[5.0, 8.0])],
/// })?;
/// assert!(figure.alt().starts_with("Two units"));
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AxisRange {
    /// The axes of all panels run to the largest value of all: for values of one unit, and counts that are compared.
    Shared,
    /// The axis of each panel runs to its own largest value: for values of different units, and beside a panel with a
    /// much higher peak.
    Own,
}

/// One set of values.
///
/// # Example
/// ```
/// use diabolo::figure::{Histogram, HistogramPanel, AxisRange, histogram};
/// let panel = HistogramPanel { title: "fcn".into(), values: vec![0.1, 0.2, f64::NAN] };
/// let figure = histogram(&Histogram {
///     title: "Errors".into(),
///     x_title: "MSE".into(),
///     y_title: "images".into(),
///     n_bins: 10,
///     x_range: AxisRange::Shared,
///     y_range: AxisRange::Shared,
///     panels: vec![panel],
/// })?;
/// assert!(String::from_utf8_lossy(figure.bytes()).contains("1 value"), "what is left out is counted");
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramPanel {
    /// Title of the panel.
    pub title: String,
    /// The values; those that are NaN or infinite are left out and counted.
    pub values: Vec<f64>,
}

/// Panels of bins of equal width.
///
/// # Example
/// ```
/// use diabolo::figure::{Histogram, HistogramPanel, AxisRange, histogram};
/// let chart = Histogram {
///     title: "How the errors spread".into(),
///     x_title: "reconstruction error (MSE)".into(),
///     y_title: "images".into(),
///     n_bins: 50,
///     x_range: AxisRange::Shared,
///     y_range: AxisRange::Shared,
///     panels: vec![HistogramPanel { title: "fcn".into(), values: vec![0.02, 0.03, 0.03, 0.1] }],
/// };
/// assert!(histogram(&chart)?.alt().starts_with("How the errors spread: images by reconstruction error (MSE)"));
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// Title of the figure.
    pub title: String,
    /// What is measured, with its unit.
    pub x_title: String,
    /// What is counted, as in "images".
    pub y_title: String,
    /// Number of bins of each panel, 1..=1000.
    pub n_bins: usize,
    /// Whether the panels share their x axis.
    pub x_range: AxisRange,
    /// Whether the panels share their y axis.
    pub y_range: AxisRange,
    /// The panels.
    pub panels: Vec<HistogramPanel>,
}

/// Draws histograms from 0 (or the smallest value, where that is below) to the largest value, which the last bin holds.
///
/// # Errors
/// [`Error::Setting`] for no bins or more than 1000; [`Error::Data`] without a single finite value.
///
/// # Example
/// ```
/// use diabolo::figure::{Histogram, HistogramPanel, AxisRange, histogram};
/// let chart = Histogram {
///     title: "Errors".into(),
///     x_title: "MSE".into(),
///     y_title: "images".into(),
///     n_bins: 2,
///     x_range: AxisRange::Shared,
///     y_range: AxisRange::Shared,
///     panels: vec![HistogramPanel { title: "fcn".into(), values: vec![0.0, 0.1, 1.0] }],
/// };
/// assert!(histogram(&chart)?.alt().contains("in 2 bins"));
/// assert!(histogram(&Histogram { n_bins: 0, ..chart }).is_err());
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn histogram(histogram: &Histogram) -> Result<Figure> {
    let Histogram { title, x_title, y_title, n_bins, x_range, y_range, panels: sets } = histogram;
    if !(1..=1000).contains(n_bins) {
        return Err(Error::setting("n_bins", n_bins.to_string(), "1..=1000", "take 50"));
    }
    let n_values: usize = sets.iter().map(|set| set.values.len()).sum();
    let n_shown: usize = sets.iter().map(|set| set.values.iter().filter(|&&value| drawable(value)).count()).sum();
    let Some(common) = extent(sets.iter().flat_map(|set| set.values.iter().copied())) else {
        return Err(nothing_to_draw(title, n_values));
    };

    let bins: Vec<Bins> = sets
        .iter()
        .map(|set| {
            let own = extent(set.values.iter().copied()).unwrap_or(common);
            Bins::count(&set.values, *n_bins, if *x_range == AxisRange::Shared { common } else { own })
        })
        .collect();
    let most = bins.iter().map(Bins::most).max().unwrap_or(0);

    let mut canvas = Canvas::new(title, super::axes::WIDTH_PX);
    let rects = panels(&mut canvas, sets.len(), 3, |width_px| (width_px * 3 / 4).min(320));
    for ((set, bins), rect) in sets.iter().zip(&bins).zip(rects) {
        let x = Axis::linear(x_title, bins.low, bins.high, false);
        let y =
            Axis::rounded(y_title, 0.0, if *y_range == AxisRange::Shared { most } else { bins.most() } as f64, true);
        canvas.heading(rect, &set.title);
        plot(&mut canvas, rect, &x, &y, |plot| {
            plot.draw_series(bins.counts.iter().enumerate().filter(|&(_, &n)| n > 0).map(|(bin, &n)| {
                Rectangle::new([(bins.edge(bin), 0.0), (bins.edge(bin + 1), n as f64)], series_colour(0).filled())
            }))
            .map(|_series| ())
        })?;
    }
    canvas.notes(&[left_out(n_values - n_shown, "value")]);

    let described: Vec<String> = sets.iter().zip(&bins).map(|(set, bins)| bins.describe(&set.title)).collect();
    Ok(canvas.finish(format!("{title}: {y_title} by {x_title} in {}; {}", count(*n_bins, "bin"), described.join("; "))))
}

/// How many values lie in each bin between `low` and `high`.
struct Bins {
    low: f64,
    high: f64,
    counts: Vec<usize>,
}

impl Bins {
    fn count(values: &[f64], n_bins: usize, (smallest, largest): (f64, f64)) -> Self {
        let low = smallest.min(0.0);
        // Zeros alone need a width, too.
        let high = if largest > low { largest } else { low + 1.0 };
        let mut counts = vec![0; n_bins];
        for value in values.iter().filter(|&&value| drawable(value)) {
            let bin = (value - low) / (high - low) * n_bins as f64;
            counts[(bin as usize).min(n_bins - 1)] += 1;
        }
        Self { low, high, counts }
    }

    /// The left end of `bin`.
    fn edge(&self, bin: usize) -> f64 {
        self.low + (self.high - self.low) * bin as f64 / self.counts.len() as f64
    }

    /// The count of the fullest bin.
    fn most(&self) -> usize {
        self.counts.iter().copied().max().unwrap_or(0)
    }

    fn describe(&self, title: &str) -> String {
        let n: usize = self.counts.iter().sum();
        let (fullest, most) =
            self.counts.iter().enumerate().rev().max_by_key(|&(_, n)| n).map_or((0, 0), |(bin, &n)| (bin, n));
        format!(
            "{title}: {} from {} to {}, most ({most}) between {} and {}",
            count(n, "value"),
            number(self.low),
            number(self.high),
            number(self.edge(fullest)),
            number(self.edge(fullest + 1))
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(sets: &[&[f64]], n_bins: usize, [x_range, y_range]: [AxisRange; 2]) -> Result<Figure> {
        let panels =
            sets.iter().map(|values| HistogramPanel { title: "k = 3".into(), values: values.to_vec() }).collect();
        histogram(&Histogram {
            title: "Distances".into(),
            x_title: "distance".into(),
            y_title: "images".into(),
            n_bins,
            x_range,
            y_range,
            panels,
        })
    }

    #[test]
    fn the_last_bin_holds_the_largest_value() {
        let bins = Bins::count(&[0.0, 0.49, 0.5, 1.0], 2, (0.0, 1.0));
        assert_eq!(bins.counts, [2, 2]);
    }

    #[test]
    fn bins_start_at_zero_unless_values_lie_below() {
        assert_eq!(Bins::count(&[3.0, 4.0], 4, (3.0, 4.0)).counts, [0, 0, 0, 2]);
        assert_eq!(Bins::count(&[-4.0, 4.0], 2, (-4.0, 4.0)).counts, [1, 1]);
    }

    #[test]
    fn panels_share_their_x_axis_only_when_asked() {
        let sets: [&[f64]; 2] = [&[1.0], &[400.0]];
        let n_of_400 = |x_range| {
            let figure = figure(&sets, 50, [x_range, AxisRange::Shared]).unwrap();
            String::from_utf8_lossy(figure.bytes()).matches("400\n</text>").count()
        };
        assert_eq!((n_of_400(AxisRange::Shared), n_of_400(AxisRange::Own)), (2, 1));
    }

    #[test]
    fn panels_share_their_y_axis_only_when_asked() {
        let sets: [&[f64]; 2] = [&[1.0; 3], &[1.0; 600]];
        let n_of_600 = |y_range| {
            let figure = figure(&sets, 50, [AxisRange::Own, y_range]).unwrap();
            String::from_utf8_lossy(figure.bytes()).matches("600\n</text>").count()
        };
        assert_eq!((n_of_600(AxisRange::Shared), n_of_600(AxisRange::Own)), (2, 1));
    }

    #[test]
    fn zeros_single_values_and_empty_panels_are_drawn() {
        let figure = figure(&[&[0.0, 0.0], &[2.5], &[], &[f64::NAN]], 50, [AxisRange::Own; 2]).unwrap();
        assert!(figure.alt().contains("2 values from 0 to 1.000"), "{}", figure.alt());
        assert!(String::from_utf8_lossy(figure.bytes()).contains("Left out, as NaN or infinite: 1 value."));
    }

    #[test]
    fn no_values_and_no_bins_are_errors() {
        let message = figure(&[&[]], 50, [AxisRange::Own; 2]).unwrap_err().to_string();
        assert!(message.contains("drawing \"Distances\": found no values"), "{message}");
        let message = figure(&[&[1.0]], 0, [AxisRange::Own; 2]).unwrap_err().to_string();
        assert!(message.contains("setting n_bins: found 0, wanted 1..=1000"), "{message}");
    }
}
