//! A table of numbers in colours, as AUC by pair of classes.

use super::canvas::{Canvas, Enlarge, MARGIN_PX, Rect};
use super::raster::{self, Pixels, colour_scale};
use super::style::{Anchor, BODY, INK, PAPER, scale_colour};
use super::{Error, Figure, Result};
use plotters::style::RGBColor;

/// A table of numbers with what is written around it.
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
    /// Decimals of the numbers in the cells.
    pub decimals: usize,
}

/// Draws a table in colours from its lowest value to its highest, each cell with its number.
///
/// # Errors
/// [`Error::Data`] for rows and columns that do not fit the labels, and without a single finite value.
pub fn heat_map(map: &HeatMap) -> Result<Figure> {
    const CELL: (i32, i32) = (66, 30);
    let HeatMap { title, x_labels, y_labels, values, value_title, decimals } = map;
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
    let colour_of = |value: f64| scale_colour(((value - low) / (high - low).max(f64::MIN_POSITIVE)) as f32);

    let label_px = y_labels.iter().map(|label| BODY.width_px(label)).max().unwrap_or(0).min(160);
    let (n_columns, n_rows) = (x_labels.len() as i32, y_labels.len() as i32);
    let mut canvas = Canvas::new(title, (label_px + 8 + n_columns * CELL.0).max(320) + 2 * MARGIN_PX);
    let left = MARGIN_PX + label_px + 8;
    let top = canvas.bottom_px + BODY.line_px() + 4;
    let middle_of = |column: usize| left + column as i32 * CELL.0 + CELL.0 / 2;
    for (column, label) in x_labels.iter().enumerate() {
        canvas.text((middle_of(column), top - 6), CELL.0 - 4, label, BODY.anchor(Anchor::Middle));
    }
    let cells = values.iter().flatten().map(|value| finite(value).map_or(PAPER, colour_of));
    let bytes: Vec<u8> = cells.flat_map(|RGBColor(red, green, blue)| [red, green, blue]).collect();
    let png = raster::encode((x_labels.len(), y_labels.len()), Pixels::Rgb, &bytes)?;
    canvas.picture(Rect { left, top, width: n_columns * CELL.0, height: n_rows * CELL.1 }, &png, Enlarge::Crisp);
    for (row, (label, values)) in y_labels.iter().zip(values).enumerate() {
        let baseline = top + row as i32 * CELL.1 + CELL.1 / 2 + 4;
        canvas.text((left - 8, baseline), label_px, label, BODY.anchor(Anchor::End));
        for (column, value) in values.iter().enumerate() {
            let Some(value) = finite(value) else { continue };
            let lettering = BODY.anchor(Anchor::Middle).colour(legible_on(colour_of(value)));
            canvas.text((middle_of(column), baseline), CELL.0 - 4, &format!("{value:.decimals$}"), lettering);
        }
    }
    canvas.bottom_px = top + n_rows * CELL.1 + 10;
    colour_scale(&mut canvas, &format!("{low:.decimals$}"), &format!("{high:.decimals$}: {value_title}"))?;

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

/// Dark or light letters, whichever stand out from a cell of this colour.
fn legible_on(RGBColor(red, green, blue): RGBColor) -> RGBColor {
    // Luma of ITU-R BT.601.
    let luma = 0.299 * f64::from(red) + 0.587 * f64::from(green) + 0.114 * f64::from(blue);
    if luma > 140.0 { INK } else { PAPER }
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
    fn letters_stand_out_from_both_ends_of_the_scale() {
        assert_eq!((legible_on(scale_colour(0.0)), legible_on(scale_colour(1.0))), (PAPER, INK));
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
