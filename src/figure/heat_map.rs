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
    const CELL_HEIGHT_PX: i32 = 30;
    const LABEL_PX: i32 = 160;
    let HeatMap { title, x_labels, y_labels, values, value_title, decimals, middle } = map;
    let decimals = (*decimals).min(17);
    if values.len() != y_labels.len() || values.iter().any(|row| row.len() != x_labels.len()) {
        return Err(Error::data(
            format!("drawing \"{title}\""),
            format!("{} rows of {:?} values", values.len(), values.iter().map(Vec::len).collect::<Vec<_>>()),
            format!("{} rows of {}", y_labels.len(), x_labels.len()),
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
    let widest = |labels: &[String]| labels.iter().map(|label| BODY.width_px(label)).max().unwrap_or(0).min(LABEL_PX);
    let label_px = widest(y_labels);
    let cell_px = widest(x_labels).min(80).max(BODY.width_px(&number(low))).max(BODY.width_px(&number(high))) + 8;
    let (n_columns, n_rows) = (x_labels.len() as i32, y_labels.len() as i32);
    let mut canvas = Canvas::new(title, (label_px + 8 + n_columns * cell_px).max(320) + 2 * MARGIN_PX);
    let left = MARGIN_PX + label_px + 8;
    let top = canvas.bottom_px + BODY.line_px() + 4;
    let left_of = |column: usize| left + column as i32 * cell_px;
    for (column, label) in x_labels.iter().enumerate() {
        canvas.text((left_of(column) + cell_px / 2, top - 6), cell_px - 4, label, BODY.anchor(Anchor::Middle));
    }
    for (row, (label, values)) in y_labels.iter().zip(values).enumerate() {
        let top = top + row as i32 * CELL_HEIGHT_PX;
        let baseline = top + CELL_HEIGHT_PX / 2 + 4;
        canvas.text((left - 8, baseline), label_px, label, BODY.anchor(Anchor::End));
        for (column, value) in values.iter().enumerate() {
            let Some(value) = finite(value) else { continue };
            // A picture of one pixel a cell would be blurred into one by programs that do not know crisp enlarging.
            let cell = Rect { left: left_of(column), top, width: cell_px - 1, height: CELL_HEIGHT_PX - 1 };
            canvas.rectangle(cell, colour_of(value));
            let lettering = BODY.anchor(Anchor::Middle).colour(legible_on(colour_of(value)));
            canvas.text((left_of(column) + cell_px / 2, baseline), cell_px - 4, &number(value), lettering);
        }
    }
    canvas.bottom_px = top + n_rows * CELL_HEIGHT_PX + 10;
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
