//! Originals beside their reconstructions and errors, block by block for each model.

use super::canvas::{Canvas, Enlarge, MARGIN_PX};
use super::image_grid::centred;
use super::raster::{self, TILE_PX, colour_scale};
use super::style::{Anchor, BODY, HEADING, NOTE, count, number, series_colour};
use super::{Error, Figure, Result};
use ndarray::{Array2, Array3};

/// The most pairs of one figure: more of them make it larger than 500 kB.
const MAX_PAIRS: usize = 48;

/// Between tiles of a pair.
const GAP_PX: i32 = 6;
/// Between pairs.
const ROW_PX: i32 = TILE_PX + 10;
/// The three tiles of a pair.
const TILES_PX: i32 = 3 * TILE_PX + 2 * GAP_PX;
/// Room for what is written beside a pair.
const LABEL_PX: i32 = 114;
/// A block and the room between two.
const BLOCK_PX: i32 = TILES_PX + 8 + LABEL_PX;
const GUTTER_PX: i32 = 24;

/// An image, its reconstruction, and the error.
///
/// # Example
/// ```
/// use diabolo::figure::Pair;
/// use diabolo::ndarray::Array3;
/// let (black, grey) = (Array3::from_elem((1, 8, 8), -1.0), Array3::from_elem((1, 8, 8), 0.0));
/// let mse = f64::from((&black - &grey).mapv(|difference: f32| difference.powi(2)).mean().unwrap());
/// let pair = Pair {
///     image_idx: 17,
///     original: black,
///     reconstruction: grey,
///     mse,
///     l2_norm: (mse * 64.0).sqrt(),
///     class_name: Some("boot".into()),
///     is_anomaly: Some(true),
/// };
/// assert_eq!((pair.mse, pair.l2_norm), (1.0, 8.0));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// Index of the image in its data set.
    pub image_idx: usize,
    /// `[c, h, w]`, c = 1 (grey) or 3 (red, green, blue), values in -1..=1.
    pub original: Array3<f32>,
    /// The same shape; values outside -1..=1 are drawn as the nearest inside.
    pub reconstruction: Array3<f32>,
    /// Mean of the squared differences of all values.
    pub mse: f64,
    /// Root of the sum of the squared differences of all values.
    pub l2_norm: f64,
    /// Name of the image's class, where it is known.
    pub class_name: Option<String>,
    /// Whether the image is an anomaly, where that is known.
    pub is_anomaly: Option<bool>,
}

/// The pairs of one model.
///
/// # Example
/// ```
/// use diabolo::figure::{Pair, PairBlock, pair_grid};
/// use diabolo::ndarray::Array3;
/// let pair = |image_idx, reconstruction: f32| Pair {
///     image_idx,
///     original: Array3::zeros((3, 32, 32)),
///     reconstruction: Array3::from_elem((3, 32, 32), reconstruction),
///     mse: f64::from(reconstruction).powi(2),
///     l2_norm: f64::from(reconstruction).abs() * 3072.0_f64.sqrt(),
///     class_name: None,
///     is_anomaly: None,
/// };
/// let block = PairBlock { title: "fcn".into(), worst: vec![pair(5, 0.5)], best: vec![pair(9, 0.1)] };
/// assert!(pair_grid("Worst and best", &[block])?.alt().starts_with("Worst and best"));
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct PairBlock {
    /// Name of the model.
    pub title: String,
    /// Pairs with the largest error, worst first.
    pub worst: Vec<Pair>,
    /// Pairs with the smallest error, best first.
    pub best: Vec<Pair>,
}

/// Draws pairs "original, reconstruction, error" under each other, two models side by side and further ones below.
///
/// The error is the squared difference of each pixel, mean over channels, in one colour scale for the whole figure.
///
/// # Errors
/// [`Error::Data`] for no pair, more than 48, an image that is not `[1 or 3, h, w]` or holds NaN, and a reconstruction of
/// another shape than its original.
///
/// # Source
/// Report, question 1: two models, their two worst and two best reconstructions.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// use diabolo::figure::{Pair, PairBlock, pair_grid};
/// let ranking = model.rank(data.test())?;
/// let picks = ranking.worst(1)?;
/// let worst = Pair {
///     image_idx: picks.picks[0].index,
///     original: picks.originals.image(0)?,
///     reconstruction: picks.reconstructions.image(0)?,
///     mse: picks.picks[0].mse,
///     l2_norm: picks.picks[0].l2_norm,
///     class_name: None,
///     is_anomaly: None,
/// };
/// let figure = pair_grid("Rebuilt worst", &[PairBlock { title: "small".into(), worst: vec![worst], best: vec![] }])?;
/// assert!(figure.alt().contains("small"));
/// assert!(pair_grid("Nothing", &[]).is_err());
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn pair_grid(title: &str, blocks: &[PairBlock]) -> Result<Figure> {
    const COLUMNS: usize = 2;
    let pairs = || blocks.iter().flat_map(|block| block.worst.iter().chain(&block.best));
    let n_pairs = pairs().count();
    if !(1..=MAX_PAIRS).contains(&n_pairs) {
        return Err(Error::data(
            format!("drawing \"{title}\""),
            count(n_pairs, "pair"),
            format!("1 to {MAX_PAIRS}"),
            "ask for the worst and best 2 of each model",
        ));
    }
    let largest = pairs().map(largest_error).try_fold(0.0, |largest, error| Ok::<_, Error>(error?.max(largest)))?;

    let n_columns = blocks.len().min(COLUMNS) as i32;
    let mut canvas = Canvas::new(title, n_columns * (BLOCK_PX + GUTTER_PX) - GUTTER_PX + 2 * MARGIN_PX);
    for blocks in blocks.chunks(COLUMNS) {
        let top = canvas.bottom_px;
        let mut bottom = top;
        for (column, block) in blocks.iter().enumerate() {
            let left = MARGIN_PX + column as i32 * (BLOCK_PX + GUTTER_PX);
            bottom = bottom.max(draw_block(&mut canvas, (left, top), block, largest)?);
        }
        canvas.bottom_px = bottom + 10;
    }
    colour_scale(&mut canvas, "0", &format!("{}: squared difference", number(f64::from(largest))))?;

    let described: Vec<String> = blocks.iter().map(describe).collect();
    Ok(canvas.finish(format!("{title}: originals, reconstructions and squared errors; {}", described.join("; "))))
}

/// The largest squared error of a pixel of a pair, whose images are checked on the way.
fn largest_error(pair: &Pair) -> Result<f32> {
    raster::check_image(&pair.original, &format!("image {}", pair.image_idx))?;
    raster::check_image(&pair.reconstruction, &format!("the reconstruction of image {}", pair.image_idx))?;
    if pair.original.dim() != pair.reconstruction.dim() {
        return Err(Error::data(
            format!("drawing image {} beside its reconstruction", pair.image_idx),
            format!("a reconstruction of shape {:?}", pair.reconstruction.shape()),
            format!("the image's, {:?}", pair.original.shape()),
            "reconstruct the image with a model that was made for its shape",
        ));
    }
    Ok(errors(pair).iter().copied().fold(0.0, f32::max))
}

fn errors(pair: &Pair) -> Array2<f32> {
    raster::error_map(&pair.original, &pair.reconstruction)
}

/// Draws a block; gives the y coordinate of its end.
fn draw_block(canvas: &mut Canvas, (left, top): (i32, i32), block: &PairBlock, largest: f32) -> Result<i32> {
    canvas.text((left, top + HEADING.size_px), BLOCK_PX, &block.title, HEADING);
    let mut bottom = top + HEADING.line_px() + 4;
    for (column, name) in ["original", "reconstruction", "error"].into_iter().enumerate() {
        let middle = left + column as i32 * (TILE_PX + GAP_PX) + TILE_PX / 2;
        canvas.text((middle, bottom + NOTE.size_px), TILE_PX, name, NOTE.anchor(Anchor::Middle));
    }
    bottom += NOTE.line_px() + 2;
    for (pairs, which) in [(&block.worst, "worst: largest MSE"), (&block.best, "best: smallest MSE")] {
        if pairs.is_empty() {
            continue;
        }
        canvas.text((left, bottom + BODY.size_px), BLOCK_PX, &format!("{} {which}", pairs.len()), BODY);
        bottom += BODY.line_px() + 4;
        for pair in pairs {
            draw_pair(canvas, (left, bottom), pair, largest)?;
            bottom += ROW_PX;
        }
    }
    Ok(bottom)
}

fn draw_pair(canvas: &mut Canvas, (left, top): (i32, i32), pair: &Pair, largest: f32) -> Result<()> {
    let size_px = raster::tile_size_px(&pair.original);
    let pngs = [
        raster::image_png(&pair.original, &format!("image {}", pair.image_idx))?,
        raster::image_png(&pair.reconstruction, &format!("the reconstruction of image {}", pair.image_idx))?,
        raster::map_png(&errors(pair), largest)?,
    ];
    for (column, png) in pngs.iter().enumerate() {
        let corner = (left + column as i32 * (TILE_PX + GAP_PX), top);
        canvas.picture(centred(corner, size_px), png, Enlarge::Crisp);
    }

    let mut baseline = top;
    let mut line = |text: &str, lettering| {
        baseline += BODY.line_px();
        canvas.text((left + TILES_PX + 8, baseline), LABEL_PX, text, lettering);
    };
    line(&format!("image {}", pair.image_idx), BODY);
    line(&format!("MSE {}", number(pair.mse)), BODY);
    line(&format!("L2 norm {}", number(pair.l2_norm)), BODY);
    for name in BODY.wrap(pair.class_name.as_deref().unwrap_or_default(), LABEL_PX, 2) {
        line(&name, BODY);
    }
    match pair.is_anomaly {
        Some(true) => line("anomaly", BODY.colour(series_colour(1))),
        Some(false) => line("normal", NOTE),
        None => {}
    }
    Ok(())
}

/// The alternative text of a block.
fn describe(block: &PairBlock) -> String {
    let listed = |pairs: &[Pair]| -> String {
        let entries: Vec<String> =
            pairs.iter().map(|pair| format!("image {} (MSE {})", pair.image_idx, number(pair.mse))).collect();
        if entries.is_empty() { "none".into() } else { entries.join(", ") }
    };
    format!("{}: worst {}, best {}", block.title, listed(&block.worst), listed(&block.best))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(image_idx: usize) -> Pair {
        Pair {
            image_idx,
            original: Array3::from_elem((3, 32, 32), 0.5),
            reconstruction: Array3::from_elem((3, 32, 32), -0.5),
            mse: 1.0,
            l2_norm: 55.43,
            class_name: Some("貓 <cat> & \"dog\"".into()),
            is_anomaly: Some(true),
        }
    }

    fn block(worst: Vec<Pair>, best: Vec<Pair>) -> PairBlock {
        PairBlock { title: "report_cnn".into(), worst, best }
    }

    #[test]
    fn every_pair_has_three_tiles_and_names_both_errors() {
        let figure = pair_grid("Question 1", &[block(vec![pair(1), pair(2)], vec![pair(3)])]).unwrap();
        let svg = String::from_utf8_lossy(figure.bytes());
        assert_eq!(svg.matches("<image ").count(), 3 * 3 + 1, "three tiles a pair and the colour scale");
        assert_eq!(svg.matches(">MSE 1.000<").count(), 3);
        assert_eq!(svg.matches(">L2 norm 55.43<").count(), 3);
        assert!(svg.contains("貓 &lt;cat&gt; &amp;"), "class names are escaped");
        assert_eq!(svg.matches(">anomaly<").count(), 3);
    }

    #[test]
    fn the_error_map_is_the_mean_over_channels() {
        let mut pair = pair(0);
        pair.reconstruction.index_axis_mut(ndarray::Axis(0), 0).fill(0.5);
        assert_eq!(errors(&pair).dim(), (32, 32));
        assert!((largest_error(&pair).unwrap() - 2.0 / 3.0).abs() < 1e-6);
    }

    #[test]
    fn a_figure_has_no_ids_that_could_clash() {
        let figure = pair_grid("Question 1", &[block(vec![pair(1)], vec![])]).unwrap();
        assert!(!String::from_utf8_lossy(figure.bytes()).contains(" id="));
    }

    #[test]
    fn a_perfect_reconstruction_is_drawn() {
        let perfect = Pair { reconstruction: pair(0).original, mse: 0.0, l2_norm: 0.0, ..pair(0) };
        assert!(pair_grid("Question 1", &[block(vec![], vec![perfect])]).is_ok());
    }

    #[test]
    fn no_pair_and_too_many_are_errors() {
        let message = pair_grid("Question 1", &[]).unwrap_err().to_string();
        assert!(message.contains("drawing \"Question 1\": found 0 pairs, wanted 1 to 48"), "{message}");
        let message = pair_grid("Question 1", &[block(vec![pair(0); 49], vec![])]).unwrap_err().to_string();
        assert!(message.contains("found 49 pairs"), "{message}");
    }

    #[test]
    fn images_that_do_not_fit_are_named() {
        let message = |pair| pair_grid("Question 1", &[block(vec![pair], vec![])]).unwrap_err().to_string();
        let other_shape = Pair { reconstruction: Array3::zeros((1, 28, 28)), ..pair(5) };
        assert!(
            message(other_shape)
                .contains("found a reconstruction of shape [1, 28, 28], wanted the image's, [3, 32, 32]")
        );
        let diverged = Pair { reconstruction: Array3::from_elem((3, 32, 32), f32::NAN), ..pair(5) };
        assert!(message(diverged).contains("drawing the reconstruction of image 5: found 3072 of 3072 values NaN"));
    }
}
