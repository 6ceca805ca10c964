//! Heat maps: a table of numbers as colours, as AUC by pair of classes.

use super::canvas::{Canvas, MARGIN_PX, Rect};
use super::raster::colour_scale_of;
use super::style::{Anchor, BODY, INK, PAPER, contrast, diverging_colour, scale_colour};
use super::{Error, Figure, Result};
use plotters::style::RGBColor;

/// A heat map: a table of numbers, labels and a title.
///
/// # Example
/// ```
/// use diabolo::figure::{HeatMap, heat_map};
/// let classes = vec!["boat".to_string(), "car".to_string()];
/// let figure = heat_map(&HeatMap {
///     title: "Pairs".into(),
///     x_labels: classes.clone(),
///     y_labels: classes,
///     values: vec![vec![None, Some(0.62)], vec![Some(0.62), None]],
///     half_widths: Vec::new(),
///     value_title: "AUC".into(),
///     decimals: 2,
///     middle: Some(0.5),
/// })?;
/// assert!(figure.alt().starts_with("Pairs: 2 values of AUC"));
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct HeatMap {
    /// Title of the figure.
    pub title: String,
    /// Names of the columns.
    pub x_labels: Vec<String>,
    /// Names of the rows.
    pub y_labels: Vec<String>,
    /// One row for each of `y_labels`, one value for each of `x_labels`; `None` and what is not finite stay empty.
    pub values: Vec<Vec<Option<f64>>>,
    /// Half widths of the values' intervals, one for each value or none at all; they stand below the values, as in "±0.010".
    pub half_widths: Vec<Vec<Option<f64>>>,
    /// What the values are, as in "AUC".
    pub value_title: String,
    /// Decimals of the numbers in the cells; more than 17 say no more.
    pub decimals: usize,
    /// The value that means nothing, as 0.5 for an AUC: colours diverge from it, lower values one way and higher ones the
    /// other, equally strong at equal distances. `None` for colours from the lowest value to the highest.
    pub middle: Option<f64>,
}

/// Draws a table in colours, each cell with its number.
///
/// # Errors
/// [`Error::Data`] for rows and columns that do not fit the labels, and without a single finite value.
///
/// # Example
/// ```
/// use diabolo::figure::{HeatMap, heat_map};
/// let without_values = HeatMap {
///     title: "Pairs".into(),
///     x_labels: vec!["boat".into()],
///     y_labels: vec!["car".into()],
///     values: vec![vec![None]],
///     half_widths: Vec::new(),
///     value_title: "AUC".into(),
///     decimals: 2,
///     middle: Some(0.5),
/// };
/// assert!(heat_map(&without_values).is_err());
/// let figure = heat_map(&HeatMap { values: vec![vec![Some(0.6)]], ..without_values })?;
/// assert!(figure.alt().contains("0.60 (car, boat)"));
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn heat_map(map: &HeatMap) -> Result<Figure> {
    const LABEL_PX: i32 = 160;
    let HeatMap { title, x_labels, y_labels, values, half_widths, value_title, decimals, middle } = map;
    let decimals = (*decimals).min(17);
    let fits = |table: &[Vec<_>]| table.len() == y_labels.len() && table.iter().all(|row| row.len() == x_labels.len());
    if !fits(values) || !(half_widths.is_empty() || fits(half_widths)) {
        return Err(Error::data(
            format!("drawing \"{title}\""),
            format!("{} rows of {:?} values", values.len(), values.iter().map(Vec::len).collect::<Vec<_>>()),
            format!("{} rows of {}, and as many half widths or none", y_labels.len(), x_labels.len()),
            "give a value or None for every pair of labels",
        ));
    }
    let finite = |value: &Option<f64>| value.filter(|value| value.is_finite());
    let all = || values.iter().flatten().filter_map(finite);
    let (Some(low), Some(high)) = (all().reduce(f64::min), all().reduce(f64::max)) else {
        return Err(super::axes::nothing_to_draw(title, values.iter().map(Vec::len).sum()));
    };
    let middle = middle.filter(|middle| middle.is_finite());
    let (scale_low, scale_high) = match middle {
        None => (low, high),
        Some(middle) => {
            let reach = (high - middle).max(middle - low);
            (middle - reach, middle + reach)
        }
    };
    let colour_at =
        |share: f32| if middle.is_some() { diverging_colour(2.0 * share - 1.0) } else { scale_colour(share) };
    let width = (scale_high - scale_low).max(f64::MIN_POSITIVE);
    let colour_of = |value: f64| match middle {
        // The middle's own colour, whatever the width of the scale.
        Some(middle) if value == middle => colour_at(0.5),
        _ => colour_at(((value - scale_low) / width) as f32),
    };

    let number = |value: f64| format!("{value:.decimals$}");
    let interval = |value: f64| format!("\u{b1}{value:.decimals$}");
    let half_width_of = |row: usize, column: usize| finite(half_widths.get(row)?.get(column)?);
    let cell_height_px = if half_widths.is_empty() { 30 } else { 30 + BODY.line_px() };
    let widest = |labels: &[String]| labels.iter().map(|label| BODY.width_px(label)).max().unwrap_or(0).min(LABEL_PX);
    let label_px = widest(y_labels);
    let in_cells =
        [number(low), number(high)].into_iter().chain(half_widths.iter().flatten().filter_map(finite).map(interval));
    let cell_px = in_cells.map(|text| BODY.width_px(&text)).fold(widest(x_labels).min(80), i32::max) + 8;
    let (n_columns, n_rows) = (x_labels.len() as i32, y_labels.len() as i32);
    let mut canvas = Canvas::new(title, (label_px + 8 + n_columns * cell_px).max(320) + 2 * MARGIN_PX);
    let left = MARGIN_PX + label_px + 8;
    let top = canvas.bottom_px + BODY.line_px() + 4;
    let left_of = |column: usize| left + column as i32 * cell_px;
    for (column, label) in x_labels.iter().enumerate() {
        canvas.text((left_of(column) + cell_px / 2, top - 6), cell_px - 4, label, BODY.anchor(Anchor::Middle));
    }
    for (row, (label, values)) in y_labels.iter().zip(values).enumerate() {
        let top = top + row as i32 * cell_height_px;
        let baseline = top + cell_height_px / 2 + 4;
        canvas.text((left - 8, baseline), label_px, label, BODY.anchor(Anchor::End));
        for (column, value) in values.iter().enumerate() {
            let Some(value) = finite(value) else { continue };
            // A picture of one pixel a cell would be blurred into one by programs that do not know crisp enlarging.
            let cell = Rect { left: left_of(column), top, width: cell_px - 1, height: cell_height_px - 1 };
            canvas.rectangle(cell, colour_of(value));
            let lettering = BODY.anchor(Anchor::Middle).colour(legible_on(colour_of(value)));
            let mut write = |down_px: i32, text: &str| {
                canvas.text((left_of(column) + cell_px / 2, baseline + down_px), cell_px - 4, text, lettering);
            };
            match half_width_of(row, column) {
                None => write(0, &number(value)),
                Some(half_width) => {
                    write(-BODY.line_px() / 2, &number(value));
                    write(BODY.line_px() - BODY.line_px() / 2, &interval(half_width));
                }
            }
        }
    }
    canvas.bottom_px = top + n_rows * cell_height_px + 10;
    colour_scale_of(&mut canvas, colour_at, &number(scale_low), &format!("{}: {value_title}", number(scale_high)))?;

    let n_shown = all().count();
    let place_of = |wanted: f64| {
        let mut places =
            values.iter().zip(y_labels).flat_map(|(row, y)| row.iter().zip(x_labels).map(move |(v, x)| (v, x, y)));
        places.find(|(value, ..)| **value == Some(wanted)).map_or(String::new(), |(_, x, y)| format!("{y}, {x}"))
    };
    Ok(canvas.finish(format!(
        "{title}: {n_shown} values of {value_title}, lowest {low:.decimals$} ({}), highest {high:.decimals$} ({})",
        place_of(low),
        place_of(high)
    )))
}

/// Dark or light letters, whichever have the higher contrast with a cell of this colour.
fn legible_on(cell: RGBColor) -> RGBColor {
    if contrast(INK, cell) > contrast(PAPER, cell) { INK } else { PAPER }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(values: Vec<Vec<Option<f64>>>) -> HeatMap {
        HeatMap {
            title: "AUC by pair".into(),
            x_labels: vec!["cat".into(), "dog".into()],
            y_labels: vec!["cat".into(), "dog".into()],
            values,
            half_widths: Vec::new(),
            value_title: "AUC".into(),
            decimals: 2,
            middle: None,
        }
    }

    #[test]
    fn every_value_stands_in_its_cell() {
        let figure = heat_map(&map(vec![vec![None, Some(0.25)], vec![Some(0.75), Some(f64::NAN)]])).unwrap();
        let svg = std::str::from_utf8(figure.bytes()).unwrap();
        // Each once in its cell and once at an end of the colour scale.
        assert_eq!((svg.matches(">0.25<").count(), svg.matches(">0.75<").count()), (2, 1));
        assert!(svg.contains(">0.75: AUC<") && !svg.contains("NaN"));
        assert_eq!(figure.alt(), "AUC by pair: 2 values of AUC, lowest 0.25 (cat, dog), highest 0.75 (dog, cat)");
    }

    #[test]
    fn half_widths_stand_below_their_values() {
        let values = vec![vec![None, Some(0.25)], vec![Some(0.75), None]];
        let half_widths = vec![vec![None, Some(0.0125)], vec![None, None]];
        let figure = heat_map(&HeatMap { half_widths, ..map(values.clone()) }).unwrap();
        let svg = String::from_utf8_lossy(figure.bytes()).into_owned();
        assert_eq!((svg.matches(">\u{b1}0.01<").count(), svg.matches('\u{b1}').count()), (1, 1));
        assert!(heat_map(&HeatMap { half_widths: vec![vec![None]], ..map(values) }).is_err());
    }

    #[test]
    fn letters_stand_out_from_every_colour_of_the_scale() {
        assert_eq!((legible_on(scale_colour(0.0)), legible_on(scale_colour(1.0))), (PAPER, INK));
        for step in 0..=100 {
            let share = step as f32 / 100.0;
            for cell in [scale_colour(share), diverging_colour(2.0 * share - 1.0)] {
                assert!(contrast(cell, legible_on(cell)) > 4.0, "step {step}");
            }
        }
    }

    #[test]
    fn colours_diverge_from_the_middle() {
        let values = vec![vec![Some(0.5), Some(0.4)], vec![Some(0.6), Some(0.7)]];
        let figure = heat_map(&HeatMap { middle: Some(0.5), ..map(values) }).unwrap();
        let svg = String::from_utf8_lossy(figure.bytes()).into_owned();
        let drawn = |share: f32| svg.contains(&super::super::style::css(diverging_colour(share)));
        assert!(drawn(0.0) && drawn(1.0), "{svg}");
        assert!(!drawn(-1.0), "0.4 is half as far from the middle as 0.7 is");
        assert!(svg.contains(">0.30<") && svg.contains(">0.70: AUC<"), "the scale is as long on both sides");
    }

    #[test]
    fn an_empty_cell_is_paper() {
        let figure = heat_map(&map(vec![vec![None, Some(0.25)], vec![Some(0.75), None]])).unwrap();
        // The page, and a cell for each of the two values.
        assert_eq!(String::from_utf8_lossy(figure.bytes()).matches("<rect ").count(), 3);
    }

    #[test]
    fn one_value_alone_has_a_colour() {
        heat_map(&map(vec![vec![None, Some(0.5)], vec![Some(0.5), None]])).unwrap();
    }

    #[test]
    fn rows_that_do_not_fit_and_no_values_are_errors() {
        assert!(heat_map(&map(vec![vec![None]])).unwrap_err().to_string().contains("1 rows of [1] values"));
        assert!(heat_map(&map(vec![vec![None; 2]; 2])).is_err());
    }
}
