//! The spread of values, and whether their distribution has one peak or two (Hartigan's dip).

use super::check_scores;
use crate::{Error, Result};

/// How far values spread between 0 (or the smallest, where that is below) and the largest.
///
/// # Example
/// ```
/// use diabolo::metrics::spread;
/// let wide = spread(&[0.0, 0.5, 1.0])?;
/// let crowded = spread(&[0.0, 0.01, 1.0])?;
/// assert!(wide.median_share > crowded.median_share);
/// assert!(wide.deviation_share < 0.5);
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The median as a share of that range: 0..=1; near 0 when most values are small.
    pub median_share: f64,
    /// Standard deviation as a share of that range.
    pub deviation_share: f64,
}

/// Measures what the report reads off its histograms: whether values are spread out or concentrated near 0. Values that are all
/// 0 have no spread.
///
/// # Errors
/// [`Error::Data`] for no values, and ones that are not finite.
///
/// # Source
/// Report, question 2.
///
/// # Example
/// ```
/// use diabolo::metrics::spread;
/// assert_eq!(spread(&[0.0, 3.0, 4.0])?.median_share, 0.75);
/// assert!(spread(&[]).is_err());
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn spread(values: &[f64]) -> Result<Spread> {
    check_finite("measuring how values spread", values)?;
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let n = sorted.len();
    let (low, high) = (sorted[0].min(0.0), sorted[n - 1]);
    let range = high - low;
    if range == 0.0 {
        return Ok(Spread { median_share: 0.0, deviation_share: 0.0 });
    }
    let median = (sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0;
    let mean = sorted.iter().sum::<f64>() / n as f64;
    let variance = sorted.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n as f64;
    Ok(Spread { median_share: (median - low) / range, deviation_share: variance.sqrt() / range })
}

/// Hartigan's dip: the largest difference between the values' distribution function and the nearest one with a single
/// peak. `1 / (2 n)..=0.25`; the higher, the clearer are two groups.
///
/// # Errors
/// [`Error::Data`] for no values, and ones that are not finite.
///
/// # Source
/// Hartigan and Hartigan, "The dip test of unimodality", 1985; Hartigan, "Algorithm AS 217", 1985, with the correction of
/// its end condition that R's package diptest has.
///
/// # Example
/// ```
/// use diabolo::metrics::dip_statistic;
/// let one_group: Vec<f64> = (0..100).map(f64::from).collect();
/// let two_groups: Vec<f64> = (0..100).map(|n| f64::from(n % 2)).collect();
/// assert_eq!(dip_statistic(&one_group)?, 1.0 / 200.0);
/// assert_eq!(dip_statistic(&two_groups)?, 0.25);
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn dip_statistic(values: &[f64]) -> Result<f64> {
    check_finite("measuring the dip", values)?;
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    Ok(dip_of_sorted(&sorted))
}

fn check_finite(doing: &str, values: &[f64]) -> Result<()> {
    check_scores(doing, values)?;
    match values.iter().position(|value| value.is_infinite()) {
        None => Ok(()),
        Some(index) => Err(Error::data(doing, format!("value {index} is infinite"), "finite values", "leave it out")),
    }
}

/// The dip of rising values. Heights are counted in values, so a distribution function rises by 1 at each.
fn dip_of_sorted(x: &[f64]) -> f64 {
    let n = x.len();
    if n < 4 || x[0] == x[n - 1] {
        return 1.0 / (2.0 * n as f64);
    }
    let minorant_from = hull_links(x, false);
    let majorant_from = hull_links(x, true);
    let (mut low, mut high) = (0, n - 1);
    let mut dip = 1.0f64;
    loop {
        // Corners of the greatest convex minorant from high down to low, and of the least concave majorant from low up.
        let minorant = follow(&minorant_from, high, |corner| corner > low);
        let majorant = follow(&majorant_from, low, |corner| corner < high);
        let (distance, next_low, next_high) = widest_gap(x, &minorant, &majorant);
        if distance < dip {
            break;
        }
        // Between two corners the distribution function leaves the hull by this much.
        let below = minorant[next_low..].windows(2).map(|ends| excess(x, ends[1], ends[0], false));
        let above = majorant[next_high..].windows(2).map(|ends| excess(x, ends[0], ends[1], true));
        dip = below.chain(above).fold(dip, f64::max);
        let (new_low, new_high) = (minorant[next_low], majorant[next_high]);
        if (new_low, new_high) == (low, high) {
            break;
        }
        (low, high) = (new_low, new_high);
    }
    dip / (2.0 * n as f64)
}

/// For each value the neighbouring corner of the hull that ends there: of the convex minorant of the values up to it, or of
/// the concave majorant of those from it on.
fn hull_links(x: &[f64], is_majorant: bool) -> Vec<usize> {
    let n = x.len();
    let end = if is_majorant { n - 1 } else { 0 };
    let mut link = vec![end; n];
    let order: Vec<usize> = if is_majorant { (0..n - 1).rev().collect() } else { (1..n).collect() };
    for index in order {
        let mut corner = if is_majorant { index + 1 } else { index - 1 };
        while corner != end {
            let next = link[corner];
            let (rise_here, rise_next) = (index.abs_diff(corner) as f64, corner.abs_diff(next) as f64);
            let (run_here, run_next) = ((x[index] - x[corner]).abs(), (x[corner] - x[next]).abs());
            // The corner stays where the slope changes in the hull's direction.
            if run_here * rise_next < run_next * rise_here {
                break;
            }
            corner = next;
        }
        link[index] = corner;
    }
    link
}

/// `start` and what its links lead to, as long as `goes_on`.
fn follow(link: &[usize], start: usize, goes_on: impl Fn(usize) -> bool) -> Vec<usize> {
    let mut corners = vec![start];
    let mut corner = start;
    while goes_on(corner) {
        corner = link[corner];
        corners.push(corner);
    }
    corners
}

/// The largest distance between minorant and majorant at one of their corners, and the places in both lists between which
/// it lies. Straight hulls are 0 apart.
fn widest_gap(x: &[f64], minorant: &[usize], majorant: &[usize]) -> (f64, usize, usize) {
    let (mut next_low, mut next_high) = (minorant.len() - 1, majorant.len() - 1);
    if minorant.len() == 2 && majorant.len() == 2 {
        return (1.0, next_low, next_high);
    }
    // The minorant's list falls, so it is walked from its end; the majorant's from its second corner.
    let (mut of_minorant, mut of_majorant) = (minorant.len() - 2, 1);
    let mut widest = 0.0;
    loop {
        let (lower, upper) = (minorant[of_minorant], majorant[of_majorant]);
        if lower > upper {
            // A corner of the majorant: how high is it above the minorant's chord?
            let before = minorant[of_minorant + 1];
            let chord = (x[upper] - x[before]) * (lower - before) as f64 / (x[lower] - x[before]);
            let gap = (upper as f64 - before as f64 + 1.0) - chord;
            of_majorant += 1;
            if gap >= widest {
                (widest, next_low, next_high) = (gap, of_minorant + 1, of_majorant - 1);
            }
        } else {
            // A corner of the minorant: how far is it below the majorant's chord?
            let before = majorant[of_majorant - 1];
            let chord = (x[lower] - x[before]) * (upper - before) as f64 / (x[upper] - x[before]);
            let gap = chord - (lower as f64 - before as f64 - 1.0);
            if gap >= widest {
                (widest, next_low, next_high) = (gap, of_minorant, of_majorant);
            }
            of_minorant = of_minorant.saturating_sub(1);
        }
        of_majorant = of_majorant.min(majorant.len() - 1);
        if minorant[of_minorant] == majorant[of_majorant] {
            return (widest, next_low, next_high);
        }
    }
}

/// The most by which the distribution function leaves the chord between two corners, at least 1.
fn excess(x: &[f64], first: usize, last: usize, is_majorant: bool) -> f64 {
    if last - first <= 1 || x[first] == x[last] {
        return 1.0;
    }
    let slope = (last - first) as f64 / (x[last] - x[first]);
    let of = |index: usize| {
        let (chord, height) = ((x[index] - x[first]) * slope, (index - first) as f64);
        if is_majorant { chord - (height - 1.0) } else { (height + 1.0) - chord }
    };
    (first..=last).map(of).fold(1.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_measured_from_zero_to_the_largest() {
        let spread = spread(&[1.0, 2.0, 4.0]).unwrap();
        assert_eq!(spread.median_share, 0.5);
        assert!((spread.deviation_share - (14.0f64 / 9.0).sqrt() / 4.0).abs() < 1e-12);
    }

    #[test]
    fn values_that_are_all_zero_have_no_spread() {
        assert_eq!(spread(&[0.0; 3]).unwrap(), Spread { median_share: 0.0, deviation_share: 0.0 });
        assert!(spread(&[]).unwrap_err().to_string().contains("no scores"));
    }

    #[test]
    fn few_or_equal_values_have_the_smallest_dip() {
        assert_eq!(dip_statistic(&[3.0; 10]).unwrap(), 0.05);
        assert_eq!(dip_statistic(&[1.0, 2.0]).unwrap(), 0.25);
        assert!(dip_statistic(&[1.0, f64::INFINITY]).unwrap_err().to_string().contains("infinite"));
    }
}
