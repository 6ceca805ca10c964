//! Maps of images and of their codes in the plane, and whether each falls into two groups.

use crate::cluster::KMeans;
use crate::data::Images;
use crate::figure::{Figure, Scatter, ScatterPanel, scatter};
use crate::metrics::dip_statistic;
use crate::project::{DiffusionMap, Pca, Tsne};
use crate::table::Table;
use crate::train::Autoencoder;
use crate::{Error, Result, interrupt};
use ndarray::{Array2, Axis};
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::prelude::*;
use std::f64::consts::TAU;

/// Maps of the same images: of their pixels and of some models' codes.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// let maps = pca_map(&[&model], data.test())?;
/// assert_eq!((maps.method.as_str(), maps.maps.len()), ("PCA", 2));
/// assert!(maps.figure()?.alt().contains("pixels"));
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Maps {
    /// The method, as in "PCA".
    pub method: String,
    /// The pixels first, then a map for each model.
    pub maps: Vec<Map>,
    images: Images,
}

/// Points in the plane, one for each image.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// let maps = pca_map(&[&model], data.test())?;
/// let of_codes = &maps.maps[1];
/// assert_eq!((of_codes.name.as_str(), of_codes.n_dimensions, of_codes.points.dim()), ("small", 4, (48, 2)));
/// assert!((0.0..=0.25).contains(&of_codes.dip) && (0.0..=1.0).contains(&of_codes.p_value));
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Map {
    /// What was mapped, as in "pixels" or "fcn".
    pub name: String,
    /// Number of values of a point before the reduction.
    pub n_dimensions: usize,
    /// `[n, 2]`.
    pub points: Array2<f32>,
    /// How clearly the points are two groups: 0..=0.25, higher is clearer; see [`two_groups`].
    pub dip: f64,
    /// How often one group of as many points has such a dip or a larger one: 0..=1, see [`OneGroup::p_value`]. Small where
    /// the points are more than one group.
    pub p_value: f64,
}

/// Maps test images and their codes by their first two principal components.
///
/// # Errors
/// Those of [`Autoencoder::encode`] and [`Pca::fit`].
///
/// # Source
/// Report, question 3.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// let maps = pca_map(&[&model], data.test())?;
/// let names: Vec<&str> = maps.maps.iter().map(|map| map.name.as_str()).collect();
/// assert_eq!(names, ["pixels", "small"]);
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn pca_map(models: &[&Autoencoder], images: &Images) -> Result<Maps> {
    map_with("PCA".into(), models, images, plane)
}

/// Maps test images and their codes by t-SNE, which keeps neighbours together.
///
/// # Errors
/// Those of [`Autoencoder::encode`] and [`Tsne::fit`].
///
/// # Source
/// Report, question 3; van der Maaten and Hinton, "Visualizing data using t-SNE", 2008.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// let maps = latent_map(&[&model], data.test(), Tsne { n_steps: 50, ..Tsne::seed(7).perplexity(5.0) })?;
/// assert_eq!(maps.method, "t-SNE, perplexity 5, seed 7");
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn latent_map(models: &[&Autoencoder], images: &Images, tsne: Tsne) -> Result<Maps> {
    let method = format!("t-SNE, perplexity {}, seed {}", tsne.perplexity, tsne.seed);
    map_with(method, models, images, |points| Ok(tsne.fit(points)?.points))
}

/// Maps test images and their codes by a diffusion map, which keeps together what a random walk between near points reaches
/// quickly.
///
/// # Errors
/// Those of [`Autoencoder::encode`] and [`DiffusionMap::fit`].
///
/// # Source
/// Coifman and Lafon, "Diffusion maps", 2006.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// let maps = diffusion_map(&[&model], data.test(), DiffusionMap::default())?;
/// assert_eq!((maps.method.as_str(), maps.maps.len()), ("diffusion map, 1 step", 2));
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn diffusion_map(models: &[&Autoencoder], images: &Images, diffusion: DiffusionMap) -> Result<Maps> {
    let plural = if diffusion.n_steps == 1 { "" } else { "s" };
    let method = format!("diffusion map, {} step{plural}", diffusion.n_steps);
    map_with(method, models, images, |points| diffusion.fit(points))
}

fn map_with(
    method: String,
    models: &[&Autoencoder],
    images: &Images,
    project: impl Fn(&Array2<f32>) -> Result<Array2<f32>>,
) -> Result<Maps> {
    let one_group = OneGroup::of(images.len())?;
    let map = |name: &str, values: Array2<f32>| {
        let points = project(&values)?;
        let dip = two_groups(&points)?;
        let (name, n_dimensions) = (name.into(), values.ncols());
        Ok(Map { name, n_dimensions, points, dip, p_value: one_group.p_value(dip) })
    };
    let mut maps = vec![map("pixels", images.points())?];
    for model in models {
        maps.push(map(model.name(), model.encode(images)?.values)?);
    }
    Ok(Maps { method, maps, images: images.clone() })
}

/// The first two principal components; codes of two values are their own map.
fn plane(points: &Array2<f32>) -> Result<Array2<f32>> {
    match points.ncols() {
        2 => Ok(points.clone()),
        _ => Pca::fit(points, 2)?.transform(points),
    }
}

/// How clearly points of a map, `[n, 2]`, are two groups: Hartigan's dip along the line between the centres of two
/// clusters.
///
/// The dip is the largest difference between the points' distribution function and the nearest one with a single peak:
/// 0..=0.25, higher is clearer. Even one group has some, the less the more points there are, and looking for the two
/// clusters among the same points makes it larger; [`OneGroup`] says how much. Points that are all alike have the smallest
/// dip, 1 / (2 n).
///
/// # Errors
/// [`Error::Data`] for fewer than three points, or values that are not finite; [`Error::Interrupted`].
///
/// # Source
/// Hartigan and Hartigan, "The dip test of unimodality", 1985.
///
/// # Example
/// ```
/// use diabolo::ndarray::Array2;
/// use diabolo::views::two_groups;
/// let two = Array2::from_shape_fn((40, 2), |(n, _)| (n % 2) as f32 * 1000.0 + n as f32);
/// let one = Array2::from_shape_fn((40, 2), |(n, _)| n as f32);
/// assert!(two_groups(&two)? > 0.2 && two_groups(&one)? < 0.05);
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn two_groups(points: &Array2<f32>) -> Result<f64> {
    if points.nrows() < 3 {
        let found = format!("{} points", points.nrows());
        return Err(Error::data("looking for two groups", found, "3 or more", "map more images"));
    }
    let centres = KMeans::new(2).fit(points)?.centres;
    let direction = &centres.index_axis(Axis(0), 1) - &centres.index_axis(Axis(0), 0);
    let along: Vec<f64> = points.dot(&direction).iter().map(|&value| f64::from(value)).collect();
    dip_statistic(&along)
}

/// Simulated clouds of each kind.
const N_CLOUDS: usize = 200;
/// The most points of a simulated cloud: that of more points has a dip smaller by the root of their ratio, as the dip of a
/// uniform distribution falls.
const MOST_SIMULATED: usize = 2000;

/// The dips that one group has by chance: those of 200 uniform discs and 200 normal clouds of n points, each put through
/// [`two_groups`].
///
/// The uniform distribution is the one whose dip is hardest to tell from that of two groups (Hartigan and Hartigan, 1985),
/// and maps by t-SNE resemble it.
///
/// # Example
/// ```
/// use diabolo::views::OneGroup;
/// let one_group = OneGroup::of(100)?;
/// assert!(one_group.p_value(0.2) < 0.01 && one_group.p_value(0.005) == 1.0);
/// assert!(one_group.limit() > OneGroup::of(400)?.limit(), "many points have a smaller dip");
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct OneGroup {
    /// Of uniform discs and of normal clouds, rising.
    dips: [Vec<f64>; 2],
}

impl OneGroup {
    /// Simulates clouds of `n` points, always the same ones; of 2,000 points where `n` is larger, scaled to `n`.
    ///
    /// # Errors
    /// [`Error::Data`] for fewer than three points; [`Error::Interrupted`].
    pub fn of(n: usize) -> Result<Self> {
        let n_simulated = n.min(MOST_SIMULATED);
        let scale = (n_simulated as f64 / n as f64).sqrt();
        let dips = |cloud: fn(&mut Xoshiro256PlusPlus) -> [f32; 2]| {
            let dip = |seed: u64| {
                interrupt::check("simulating the dips of one group")?;
                let mut generator = Xoshiro256PlusPlus::seed_from_u64(seed);
                let values = (0..n_simulated).flat_map(|_| cloud(&mut generator)).collect();
                let points = Array2::from_shape_vec((n_simulated, 2), values).expect("two values a point");
                Ok(two_groups(&points)? * scale)
            };
            let mut dips = (0..N_CLOUDS as u64).into_par_iter().map(dip).collect::<Result<Vec<f64>>>()?;
            dips.sort_unstable_by(f64::total_cmp);
            Ok::<_, Error>(dips)
        };
        let disc = |generator: &mut Xoshiro256PlusPlus| {
            let (radius, angle) = (generator.random::<f64>().sqrt(), TAU * generator.random::<f64>());
            [radius * angle.cos(), radius * angle.sin()].map(|value| value as f32)
        };
        let normal = |generator: &mut Xoshiro256PlusPlus| {
            [generator.sample::<f32, _>(StandardNormal), generator.sample::<f32, _>(StandardNormal)]
        };
        Ok(Self { dips: [dips(disc)?, dips(normal)?] })
    }

    /// How often one group has this dip or a larger one: the larger share of the two kinds, the dip itself counted among
    /// them. At least 1/201, since 200 clouds of each kind tell no more, and at most 1.
    pub fn p_value(&self, dip: f64) -> f64 {
        let share = |dips: &Vec<f64>| {
            let n_as_large = dips.len() - dips.partition_point(|&simulated| simulated < dip);
            (1 + n_as_large) as f64 / (1 + dips.len()) as f64
        };
        self.dips.iter().map(share).fold(0.0, f64::max)
    }

    /// The dip that 19 of 20 single groups stay below, of the kind for which it is larger.
    pub fn limit(&self) -> f64 {
        self.dips.iter().map(|dips| dips[dips.len() * 19 / 20]).fold(0.0, f64::max)
    }
}

impl Maps {
    /// The maps side by side, all points in one colour, as the homework has no labels.
    ///
    /// # Errors
    /// [`Error::Data`] without a single finite point.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// let figure = pca_map(&[&model], data.test())?.figure()?;
    /// assert!(figure.alt().starts_with("48 images by PCA"));
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn figure(&self) -> Result<Figure> {
        self.draw(None, Vec::new())
    }

    /// The maps with each point in the colour of its label: whether it is an anomaly, else its class.
    ///
    /// # Errors
    /// [`Error::Data`] when the images have neither.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// let figure = pca_map(&[&model], data.test())?.coloured()?;
    /// assert!(figure.alt().ends_with("coloured by normal (32 points), anomaly (16 points)"));
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn coloured(&self) -> Result<Figure> {
        if let Some(anomalies) = self.images.anomalies() {
            let labels = anomalies.iter().map(|&anomaly| usize::from(anomaly)).collect();
            return self.draw(Some(labels), vec!["normal".into(), "anomaly".into()]);
        }
        match (self.images.class_indices(), self.images.class_names()) {
            (Some(indices), Some(names)) => self.draw(Some(indices.to_vec()), names.to_vec()),
            _ => Err(Error::data(
                "colouring a map",
                "images without labels",
                "anomaly labels or classes",
                "show the maps in one colour, or hold out classes",
            )),
        }
    }

    /// For each map how clearly it is two groups, and how often one group of as many points has such a dip by chance.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// let table = pca_map(&[&model], data.test())?.table();
    /// assert_eq!(table.headers, ["map of", "values", "dip", "p of one group"]);
    /// assert_eq!(table.rows[0][..2], ["pixels", "64"]);
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn table(&self) -> Table {
        let mut table = Table::new(
            &format!(
                "{}: how clearly two groups (dip: 0 is one group, 0.25 two separate points; p: how often one group of as \
                 many points has such a dip by chance)",
                self.method
            ),
            &["map of", "values", "dip", "p of one group"],
        );
        for map in &self.maps {
            let p_value = if map.p_value <= 1.0 / (1 + N_CLOUDS) as f64 {
                "< 0.005".into()
            } else {
                format!("{:.3}", map.p_value)
            };
            table.push(vec![map.name.clone(), map.n_dimensions.to_string(), format!("{:.4}", map.dip), p_value]);
        }
        table
    }

    fn draw(&self, labels: Option<Vec<usize>>, label_names: Vec<String>) -> Result<Figure> {
        let panel = |map: &Map| ScatterPanel {
            title: format!("{}, {} values; dip {:.3}", map.name, map.n_dimensions, map.dip),
            x_title: "first".into(),
            y_title: "second".into(),
            points: map.points.mapv(f64::from),
        };
        scatter(&Scatter {
            title: format!("{} images by {}", self.images.len(), self.method),
            panels: self.maps.iter().map(panel).collect(),
            labels,
            label_names,
        })
    }
}
