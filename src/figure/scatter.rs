//! Scatter plots of thousands of points, in panels side by side.
//!
//! The points are one picture with twice the page's pixels in each panel, so that a map's size depends on its area and
//! not on its number of points, and points that lie on each other show as a darker place.

use super::axes::{
    Axis, LegendMark, WIDTH_PX, data_rect, drawable, extent, left_out, legend, nothing_to_draw, panels, plot,
};
use super::canvas::{Canvas, Enlarge, Rect};
use super::raster::{self, Pixels};
use super::style::{N_COLOURS, count, second_round, series_colour};
use super::{Error, Figure, Result};
use ndarray::Array2;
use plotters::style::RGBColor;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256PlusPlus;

/// Raster pixels for each pixel of the page.
const DENSITY: i32 = 2;

/// One panel: a scatter plot.
///
/// # Example
/// ```
/// use diabolo::figure::{Scatter, ScatterPanel, scatter};
/// let panel = ScatterPanel {
///     title: "pixels".into(),
///     x_title: "first component".into(),
///     y_title: "second component".into(),
///     points: diabolo::ndarray::array![[0.0, 1.0], [2.0, 3.0], [f64::NAN, 0.0]],
/// };
/// let map = Scatter { title: "Map".into(), panels: vec![panel], labels: None, label_names: Vec::new() };
/// assert_eq!(scatter(&map)?.alt(), "Map: pixels (2 points)");
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ScatterPanel {
    /// Title of the panel.
    pub title: String,
    /// Title of the x axis.
    pub x_title: String,
    /// Title of the y axis.
    pub y_title: String,
    /// `[n, 2]`; points that are NaN or infinite are left out and counted.
    pub points: Array2<f64>,
}

/// Scatter plots of the same images in several panels.
///
/// # Example
/// ```
/// use diabolo::figure::{Scatter, ScatterPanel, scatter};
/// let panel = ScatterPanel {
///     title: "pixels".into(),
///     x_title: "first".into(),
///     y_title: "second".into(),
///     points: diabolo::ndarray::array![[0.0, 1.0], [2.0, 3.0], [4.0, 1.0]],
/// };
/// let figure = scatter(&Scatter {
///     title: "Map".into(),
///     panels: vec![panel],
///     labels: Some(vec![0, 0, 1]),
///     label_names: vec!["normal".into(), "anomaly".into()],
/// })?;
/// assert_eq!(figure.alt(), "Map: pixels (3 points); coloured by normal (2 points), anomaly (1 point)");
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Scatter {
    /// Title of the figure.
    pub title: String,
    /// The maps.
    pub panels: Vec<ScatterPanel>,
    /// Row of `label_names` of each point, the same in all panels; `None` draws all points in one colour.
    pub labels: Option<Vec<usize>>,
    /// Names of the labels.
    pub label_names: Vec<String>,
}

/// Draws maps; panels have axes of their own.
///
/// The point drawn last lies on top, so points are drawn in a random order (always the same one): images are often sorted
/// by class, and in their own order the last class would cover the others.
///
/// # Errors
/// [`Error::Data`] for points that are not `[n, 2]`, as many labels as there are not points, a label without a name, and
/// a figure without a single finite point.
///
/// # Example
/// ```
/// use diabolo::figure::{Scatter, ScatterPanel, scatter};
/// let panel = ScatterPanel {
///     title: "codes".into(),
///     x_title: "first".into(),
///     y_title: "second".into(),
///     points: diabolo::ndarray::array![[0.0, 1.0], [2.0, 3.0]],
/// };
/// let map = Scatter { title: "Map".into(), panels: vec![panel], labels: None, label_names: Vec::new() };
/// assert_eq!(scatter(&map)?.alt(), "Map: codes (2 points)");
/// assert!(scatter(&Scatter { labels: Some(vec![0]), ..map }).is_err(), "two points, one label");
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn scatter(scatter: &Scatter) -> Result<Figure> {
    let Scatter { title, panels: maps, labels, label_names } = scatter;
    for map in maps {
        check(map, labels.as_deref(), label_names.len())?;
    }
    let n_points: usize = maps.iter().map(|map| map.points.nrows()).sum();
    let n_shown: usize = maps.iter().map(|map| shown(map).count()).sum();
    if n_shown == 0 {
        return Err(nothing_to_draw(title, n_points));
    }

    let mut canvas = Canvas::new(title, if maps.len() == 1 { 560 } else { WIDTH_PX });
    if labels.is_some() {
        legend(&mut canvas, label_names.iter().map(String::as_str), LegendMark::Dot);
    }
    let rects = panels(&mut canvas, maps.len(), 3, |width_px| width_px);
    for (map, rect) in maps.iter().zip(rects) {
        let (x_low, x_high) = with_margin(extent(shown(map).map(|(_, x, _)| x)));
        let (y_low, y_high) = with_margin(extent(shown(map).map(|(_, _, y)| y)));
        let x = Axis::linear(&map.x_title, x_low, x_high, false);
        let y = Axis::linear(&map.y_title, y_low, y_high, false);
        canvas.heading(rect, &map.title);
        plot(&mut canvas, rect, &x, &y, |_plot| Ok(()))?;
        let inner = data_rect(rect);
        let (layer, opacity) = draw(map, labels.as_deref(), &x, &y, inner);
        canvas.picture(inner, &layer.png(opacity)?, Enlarge::Smooth);
    }
    canvas.notes(&[left_out(n_points - n_shown, "point")]);

    let titles: Vec<String> =
        maps.iter().map(|map| format!("{} ({})", map.title, count(shown(map).count(), "point"))).collect();
    let counted = |labels: &Vec<usize>| {
        let of_label = |(label, name): (usize, &String)| {
            format!("{name} ({})", count(labels.iter().filter(|&&of_point| of_point == label).count(), "point"))
        };
        format!("; coloured by {}", label_names.iter().enumerate().map(of_label).collect::<Vec<_>>().join(", "))
    };
    let coloured = labels.as_ref().map(counted).unwrap_or_default();
    Ok(canvas.finish(format!("{title}: {}{coloured}", titles.join("; "))))
}

fn check(map: &ScatterPanel, labels: Option<&[usize]>, n_names: usize) -> Result<()> {
    let refuse = |found: String, wanted: String| {
        Err(Error::data(format!("drawing the map \"{}\"", map.title), found, wanted, "look at how they were made"))
    };
    let (n, d) = map.points.dim();
    if d != 2 {
        return refuse(format!("points of shape [{n}, {d}]"), "[n, 2]".into());
    }
    match labels {
        Some(labels) if labels.len() != n => {
            refuse(count(labels.len(), "label"), format!("as many as there are points, {n}"))
        }
        Some(labels) if labels.iter().any(|&label| label >= n_names) => refuse(
            format!("label {} and {}", labels.iter().max().unwrap_or(&0), count(n_names, "label name")),
            "a name for every label".into(),
        ),
        _ => Ok(()),
    }
}

/// Row, x and y of the points that can be drawn.
fn shown(map: &ScatterPanel) -> impl Iterator<Item = (usize, f64, f64)> {
    let points = map.points.rows().into_iter().enumerate();
    points.map(|(row, point)| (row, point[0], point[1])).filter(|&(_, x, y)| drawable(x) && drawable(y))
}

/// Some room around the outermost points.
fn with_margin(extent: Option<(f64, f64)>) -> (f64, f64) {
    let (low, high) = extent.unwrap_or((0.0, 1.0));
    let margin = (high - low) * 0.03;
    (low - margin, high + margin)
}

/// All points of a map in a layer over `inner`, and how opaque each is.
fn draw(map: &ScatterPanel, labels: Option<&[usize]>, x: &Axis, y: &Axis, inner: Rect) -> (Layer, f64) {
    // The more points, the smaller and the more transparent each.
    let (radius_px, opacity) = match shown(map).count() {
        0..=300 => (3.5, 0.9),
        301..=3000 => (2.5, 0.6),
        _ => (1.6, 0.4),
    };
    let radius = radius_px * f64::from(DENSITY);
    let mut layer = Layer::new(inner.width * DENSITY, inner.height * DENSITY);
    let mut points: Vec<(usize, f64, f64)> = shown(map).collect();
    points.shuffle(&mut Xoshiro256PlusPlus::seed_from_u64(0));
    for (row, at_x, at_y) in points {
        let place = (x.share(at_x) * f64::from(layer.width), (1.0 - y.share(at_y)) * f64::from(layer.height));
        layer.stamp(place, radius, labels.map_or(0, |labels| labels[row]));
    }
    (layer, opacity)
}

/// A transparent picture: which colour a pixel has and how many points lie on it: 0 for none, then [`DEPTH`] depths for each colour.
///
/// So few values make a small PNG, and a browser smooths their edges when it halves them.
struct Layer {
    width: i32,
    height: i32,
    pixels: Vec<u8>,
}

/// The largest number of points on a pixel that has a shade of its own.
const DEPTH: u8 = 12;

impl Layer {
    fn new(width: i32, height: i32) -> Self {
        Self { width, height, pixels: vec![0; (width * height).unsigned_abs() as usize] }
    }

    /// Lays a disc, or a ring where the label's colour is taken, over what is there.
    fn stamp(&mut self, (x, y): (f64, f64), radius: f64, label: usize) {
        let hole = if second_round(label) { radius * 0.5 } else { 0.0 };
        let colour = (label % N_COLOURS) as u8;
        let span = |centre: f64, end: i32| ((centre - radius) as i32).max(0)..((centre + radius) as i32 + 1).min(end);
        for row in span(y, self.height) {
            for column in span(x, self.width) {
                let distance = (f64::from(column) + 0.5 - x).hypot(f64::from(row) + 0.5 - y);
                if (hole..=radius).contains(&distance) {
                    let pixel = &mut self.pixels[(row * self.width + column).unsigned_abs() as usize];
                    let depth = if *pixel == 0 { 0 } else { (*pixel - 1) % DEPTH + 1 };
                    *pixel = colour * DEPTH + (depth + 1).min(DEPTH);
                }
            }
        }
    }

    /// Each point lets `1 - opacity` of what lies below it through.
    fn png(&self, opacity: f64) -> Result<Vec<u8>> {
        let (mut colours, mut alphas) = (vec![0; 3], vec![0]);
        for colour in 0..N_COLOURS {
            let RGBColor(red, green, blue) = series_colour(colour);
            for depth in 1..=DEPTH {
                colours.extend([red, green, blue]);
                alphas.push((255.0 * (1.0 - (1.0 - opacity).powi(depth.into()))).round() as u8);
            }
        }
        let size = (self.width.unsigned_abs() as usize, self.height.unsigned_abs() as usize);
        raster::encode(size, Pixels::Palette { colours, alphas }, &self.pixels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn map(points: Array2<f64>) -> Scatter {
        let panel =
            ScatterPanel { title: "PCA".into(), x_title: "component 1".into(), y_title: "component 2".into(), points };
        Scatter { title: "Codes".into(), panels: vec![panel], labels: None, label_names: Vec::new() }
    }

    #[test]
    fn a_stamp_covers_its_place_and_adds_up() {
        let mut layer = Layer::new(9, 9);
        layer.stamp((4.5, 4.5), 2.0, 0);
        layer.stamp((4.5, 4.5), 2.0, 2);
        assert_eq!(layer.pixels[4 * 9 + 4], 2 * DEPTH + 2, "the later colour, two deep");
        assert_eq!(layer.pixels[0], 0);
        (0..20).for_each(|_| layer.stamp((4.5, 4.5), 2.0, 6));
        assert_eq!(layer.pixels[4 * 9 + 4], 7 * DEPTH, "the last entry of the palette");
    }

    #[test]
    fn a_label_whose_colour_is_taken_is_a_ring() {
        let mut layer = Layer::new(9, 9);
        layer.stamp((4.5, 4.5), 4.0, N_COLOURS);
        assert_eq!((layer.pixels[4 * 9 + 4], layer.pixels[4 * 9 + 1]), (0, 1));
    }

    #[test]
    fn one_point_equal_points_and_nan_are_drawn_honestly() {
        assert!(scatter(&map(array![[1.0, 2.0]])).is_ok());
        let figure = scatter(&map(array![[1.0, 2.0], [1.0, 2.0], [f64::NAN, 0.0]])).unwrap();
        assert!(String::from_utf8_lossy(figure.bytes()).contains("Left out, as NaN or infinite: 1 point."));
        assert!(figure.alt().contains("PCA (2 points)"), "{}", figure.alt());
    }

    #[test]
    fn a_class_that_comes_last_does_not_cover_the_others() {
        // 2,000 points in one place and as many labels of either kind, sorted.
        let mut sorted = map(Array2::from_shape_fn((2000, 2), |(row, _)| (row % 100) as f64 / 100.0));
        sorted.labels = Some((0..2000).map(|row| row / 1000).collect());
        sorted.label_names = vec!["first".into(), "second".into()];
        let (x, y) = (Axis::linear("x", 0.0, 1.0, false), Axis::linear("y", 0.0, 1.0, false));
        let inner = Rect { left: 0, top: 0, width: 200, height: 200 };
        let layer = draw(&sorted.panels[0], sorted.labels.as_deref(), &x, &y, inner).0;
        let n_of =
            |colour: u8| layer.pixels.iter().filter(|&&pixel| pixel > 0 && (pixel - 1) / DEPTH == colour).count();
        let share = n_of(0) as f64 / (n_of(0) + n_of(1)) as f64;
        assert!((0.3..0.7).contains(&share), "the first class has {share} of the drawn pixels");
    }

    #[test]
    fn ten_thousand_scattered_points_stay_small() {
        let mut state = 1u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f64
        };
        let mut scatter_ = map(Array2::from_shape_simple_fn((10_000, 2), &mut random));
        scatter_.labels = Some((0..10_000).map(|row| row % 10).collect());
        scatter_.label_names = (0..10).map(|label| format!("class {label}")).collect();
        let figure = scatter(&scatter_).unwrap();
        assert!(figure.bytes().len() < 500_000, "{} bytes", figure.bytes().len());
        assert_eq!(figure.bytes(), scatter(&scatter_).unwrap().bytes(), "the same data give the same bytes");
    }

    #[test]
    fn points_and_labels_that_do_not_fit_are_errors() {
        let message = |scatter_: &Scatter| scatter(scatter_).unwrap_err().to_string();
        assert!(message(&map(Array2::zeros((3, 3)))).contains("found points of shape [3, 3], wanted [n, 2]"));
        assert!(message(&map(Array2::zeros((0, 2)))).contains("found no values"));
        let labelled = |labels| Scatter { labels: Some(labels), ..map(Array2::zeros((2, 2))) };
        assert!(message(&labelled(vec![0])).contains("found 1 label, wanted as many as there are points, 2"));
        assert!(message(&labelled(vec![0, 1])).contains("found label 1 and 0 label names"));
    }
}
