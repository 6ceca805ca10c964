//! Metrics of anomaly maps: pixel AUC and AUPRO.

use super::{check_both_kinds, descending, roc_auc};
use crate::{Error, Result};
use ndarray::{ArrayView2, ArrayView3, Axis};

/// Area under the ROC curve over all pixels of all maps: the chance that a random pixel of a defect scores higher than a
/// random other pixel, ties counted half. 0..=1; 0.5 is guessing, higher is better.
///
/// A large defect has many pixels and so counts more than small ones; [`per_region_overlap`] counts all defects alike.
///
/// # Shapes and units
/// - `maps`: `[n, h, w]`, higher = more anomalous
/// - `masks`: `[n, h, w]`, true for pixels of defects; an image without defects has none
///
/// # Errors
/// [`Error::Data`] for masks of another shape, without a single pixel of either kind, or a score that is NaN.
///
/// # Example
/// ```
/// use diabolo::metrics::pixel_auc;
/// use diabolo::ndarray::array;
/// let maps = array![[[0.1_f32, 0.9], [0.2, 0.3]]];
/// let masks = array![[[false, true], [false, false]]];
/// assert_eq!(pixel_auc(maps.view(), masks.view())?, 1.0);
/// assert!(pixel_auc(maps.view(), array![[[false, false], [false, false]]].view()).is_err(), "no defect");
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn pixel_auc(maps: ArrayView3<f32>, masks: ArrayView3<bool>) -> Result<f64> {
    let (scores, is_defect) = pixels("measuring the AUC of pixels", maps, masks)?;
    roc_auc(&scores, &is_defect)
}

/// AUPRO: the share of each defect's pixels that is found, mean over defects, averaged over false positive rates from 0 to
/// `most_false_positives`. 0..=1, higher is better; guessing gives half of `most_false_positives`.
///
/// A defect is a connected region of a mask, pixels that touch at a corner included. The false positive rate is the share
/// of all pixels outside of defects, images without defects included.
///
/// # Shapes and units
/// - `maps`: `[n, h, w]`, higher = more anomalous
/// - `masks`: `[n, h, w]`, true for pixels of defects
/// - `most_false_positives`: above 0 and at most 1; 0.3 is usual
///
/// # Errors
/// As [`pixel_auc`], and [`Error::Setting`] for a rate out of range.
///
/// # Source
/// Bergmann et al., "The MVTec anomaly detection dataset: a comprehensive real-world dataset for unsupervised anomaly
/// detection", 2021.
///
/// # Example
/// ```
/// use diabolo::metrics::per_region_overlap;
/// use diabolo::ndarray::array;
/// let masks = array![[[true, true, true, false, false, true]]];
/// let large_one_only = array![[[0.9_f32, 0.9, 0.9, 0.1, 0.1, 0.0]]];
/// assert_eq!(per_region_overlap(large_one_only.view(), masks.view(), 0.3)?, 0.5, "one of two defects");
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn per_region_overlap(maps: ArrayView3<f32>, masks: ArrayView3<bool>, most_false_positives: f64) -> Result<f64> {
    let doing = "measuring the overlap with regions";
    if !(most_false_positives > 0.0 && most_false_positives <= 1.0) {
        let found = most_false_positives.to_string();
        return Err(Error::setting("most_false_positives", found, "above 0 and at most 1", "0.3 is usual"));
    }
    let (scores, is_defect) = pixels(doing, maps, masks)?;
    let n_normal = check_both_kinds(doing, &scores, &is_defect)?.n_normal as f64;
    // Of each pixel of a defect the share of its region, so that all regions count alike.
    let mut shares = vec![0.0; scores.len()];
    let mut n_regions = 0;
    let n_pixels = masks.len_of(Axis(1)) * masks.len_of(Axis(2));
    for (image, mask) in masks.outer_iter().enumerate() {
        for region in regions(mask) {
            n_regions += 1;
            let share = 1.0 / region.len() as f64;
            region.into_iter().for_each(|pixel| shares[image * n_pixels + pixel] = share);
        }
    }
    let mut area = 0.0;
    let (mut rate, mut overlap) = (0.0, 0.0);
    for tied in descending(&scores, &shares).chunk_by(|a, b| a.0 == b.0) {
        // A pixel outside of defects has no share.
        let n_false = tied.iter().filter(|(_, share)| *share == 0.0).count() as f64;
        let new_rate = rate + n_false / n_normal;
        let new_overlap = overlap + tied.iter().map(|(_, share)| share).sum::<f64>() / f64::from(n_regions);
        // Straight between two points of the curve, and cut off at the last rate.
        let end = new_rate.min(most_false_positives);
        if new_rate > rate {
            let at_end = overlap + (new_overlap - overlap) * (end - rate) / (new_rate - rate);
            area += (end - rate) * (overlap + at_end) / 2.0;
        }
        (rate, overlap) = (new_rate, new_overlap);
        if rate >= most_false_positives {
            break;
        }
    }
    // Rounding may leave a little less than all pixels outside of defects.
    area += (most_false_positives - rate).max(0.0) * overlap;
    Ok((area / most_false_positives).min(1.0))
}

/// Scores and masks of all pixels, in one order.
fn pixels(doing: &str, maps: ArrayView3<f32>, masks: ArrayView3<bool>) -> Result<(Vec<f64>, Vec<bool>)> {
    if maps.dim() != masks.dim() {
        let found = format!("maps of shape {:?} and masks of shape {:?}", maps.dim(), masks.dim());
        return Err(Error::data(
            doing,
            found,
            "one mask for each map, of its size",
            "scale the masks as the images were",
        ));
    }
    Ok((maps.iter().map(|&score| f64::from(score)).collect(), masks.iter().copied().collect()))
}

/// The pixels of each connected region of a mask `[h, w]`, corners included.
fn regions(mask: ArrayView2<bool>) -> Vec<Vec<usize>> {
    let (height, width) = mask.dim();
    let mut is_left: Vec<bool> = mask.iter().copied().collect();
    let mut regions = Vec::new();
    for first in 0..is_left.len() {
        if !std::mem::take(&mut is_left[first]) {
            continue;
        }
        let mut region = vec![first];
        let mut n_done = 0;
        while let Some(&pixel) = region.get(n_done) {
            n_done += 1;
            let (row, column) = (pixel / width, pixel % width);
            for row in row.saturating_sub(1)..(row + 2).min(height) {
                for column in column.saturating_sub(1)..(column + 2).min(width) {
                    let neighbour = row * width + column;
                    if std::mem::take(&mut is_left[neighbour]) {
                        region.push(neighbour);
                    }
                }
            }
        }
        regions.push(region);
    }
    regions
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array3, array};

    #[test]
    fn corners_connect_and_borders_do_not() {
        let mask = array![
            [true, false, false, true],
            [false, true, false, false],
            [false, false, false, true],
            [true, false, false, true],
        ];
        let mut sizes: Vec<usize> = regions(mask.view()).iter().map(Vec::len).collect();
        sizes.sort_unstable();
        // The two at the left touch at a corner; the last of a row does not touch the first of the next.
        assert_eq!(sizes, [1, 1, 2, 2]);
    }

    #[test]
    fn the_overlap_of_a_small_case_is_that_by_hand() {
        // Two regions, of two pixels and of one; four other pixels. By falling score: large, normal, small, large, normal ...
        let masks = array![[[true, true, false, false, true, false, false]]];
        let maps = array![[[0.9f32, 0.6, 0.8, 0.5, 0.7, 0.4, 0.3]]];
        // Overlap 1/4 up to a rate of 1/4, then 1: up to 0.3 that is 0.25 * 0.25 + 0.05 * 1.
        let found = per_region_overlap(maps.view(), masks.view(), 0.3).unwrap();
        assert!((found - (0.0625 + 0.05) / 0.3).abs() < 1e-12, "{found}");
        let all = per_region_overlap(maps.view(), masks.view(), 1.0).unwrap();
        assert!((all - (0.0625 + 0.75)).abs() < 1e-12, "{all}");
    }

    #[test]
    fn equal_scores_are_guessing() {
        let masks = Array3::from_shape_fn((2, 3, 3), |(image, row, _)| image == 0 && row == 1);
        let found = per_region_overlap(Array3::ones((2, 3, 3)).view(), masks.view(), 0.3).unwrap();
        assert!((found - 0.15).abs() < 1e-12, "{found}");
        assert_eq!(pixel_auc(Array3::ones((2, 3, 3)).view(), masks.view()).unwrap(), 0.5);
    }

    #[test]
    fn bad_masks_and_rates_are_errors() {
        let (maps, masks) = (Array3::<f32>::zeros((1, 2, 2)), Array3::from_elem((1, 2, 2), true));
        let message = |rate: f64, masks: &Array3<bool>| {
            per_region_overlap(maps.view(), masks.view(), rate).unwrap_err().to_string()
        };
        assert!(message(0.3, &masks).contains("4 anomalies and 0 normal"));
        assert!(message(0.0, &masks).contains("setting most_false_positives: found 0"));
        assert!(message(0.3, &Array3::from_elem((1, 2, 3), true)).contains("(1, 2, 3)"));
        let nan = Array3::from_elem((1, 2, 2), f32::NAN);
        assert!(pixel_auc(nan.view(), masks.view()).unwrap_err().to_string().contains("not a number"));
    }
}
