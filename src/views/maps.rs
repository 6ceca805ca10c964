//! Maps of images and of their codes in the plane, and how clearly each falls into two groups.

use crate::cluster::KMeans;
use crate::data::Images;
use crate::device::{Purpose, generator, normal_values};
use crate::figure::{Figure, Scatter, ScatterPanel, scatter};
use crate::metrics::dip_statistic;
use crate::project::{Pca, Tsne};
use crate::table::Table;
use crate::train::Autoencoder;
use crate::{Error, Result};
use ndarray::{Array2, Axis};

/// Maps of the same images: of their pixels and of some models' codes.
///
/// # Example
/// ```
#[doc = include_str!("../example.txt")]
/// let maps = pca_map(&[&model], &data.test)?;
/// assert_eq!((maps.method.as_str(), maps.maps.len()), ("PCA", 2));
/// assert!(maps.figure()?.alt().contains("pixels"));
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Maps {
    /// How the maps were made, as in "PCA".
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
/// let maps = pca_map(&[&model], &data.test)?;
/// let of_codes = &maps.maps[1];
/// assert_eq!((of_codes.name.as_str(), of_codes.n_dimensions, of_codes.points.dim()), ("small", 4, (48, 2)));
/// assert!((0.0..=0.25).contains(&of_codes.dip));
/// # Ok::<(), diabolo::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Map {
    /// What was mapped, as in "pixels" or "fcn".
    pub name: String,
    /// Values of each point before.
    pub n_dimensions: usize,
    /// `[n, 2]`.
    pub points: Array2<f32>,
    /// How clearly the points are two groups: 0..=0.25, higher is clearer; see [`two_groups`].
    pub dip: f64,
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
/// let maps = pca_map(&[&model], &data.test)?;
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
/// let maps = latent_map(&[&model], &data.test, Tsne { n_steps: 50, ..Tsne::seed(7).perplexity(5.0) })?;
/// assert_eq!(maps.method, "t-SNE, perplexity 5, seed 7");
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn latent_map(models: &[&Autoencoder], images: &Images, tsne: Tsne) -> Result<Maps> {
    let method = format!("t-SNE, perplexity {}, seed {}", tsne.perplexity, tsne.seed);
    map_with(method, models, images, |points| Ok(tsne.fit(points)?.points))
}

fn map_with(
    method: String,
    models: &[&Autoencoder],
    images: &Images,
    project: impl Fn(&Array2<f32>) -> Result<Array2<f32>>,
) -> Result<Maps> {
    let map = |name: &str, values: Array2<f32>| {
        let points = project(&values)?;
        let dip = two_groups(&points)?;
        Ok(Map { name: name.into(), n_dimensions: values.ncols(), points, dip })
    };
    let n_pixels: usize = images.shape().iter().product();
    let pixels = images.to_array().into_shape_with_order((images.len(), n_pixels)).expect("pixels in standard order");
    let mut maps = vec![map("pixels", pixels)?];
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
/// 0..=0.25, higher is clearer. Even a single cloud has some, the less the more points there are; [`one_cloud_dip`] says
/// how much.
///
/// # Errors
/// [`Error::Data`] for fewer than three points, or points that are all alike.
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

/// What [`two_groups`] gives for `n` points of one round cloud (normal, seed 0).
///
/// # Errors
/// Those of [`two_groups`].
///
/// # Example
/// ```
/// use diabolo::views::one_cloud_dip;
/// assert!(one_cloud_dip(2_000)? < one_cloud_dip(50)?);
/// # Ok::<(), diabolo::Error>(())
/// ```
pub fn one_cloud_dip(n: usize) -> Result<f64> {
    let values = normal_values(2 * n, &mut generator(0, Purpose::Layers, 0, 0));
    two_groups(&Array2::from_shape_vec((n, 2), values).expect("two values a point"))
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
    /// let figure = pca_map(&[&model], &data.test)?.figure()?;
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
    /// let figure = pca_map(&[&model], &data.test)?.coloured()?;
    /// assert!(figure.alt().ends_with("coloured by normal, anomaly"));
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

    /// For each map how clearly it is two groups, and what one round cloud of as many points would give.
    ///
    /// # Example
    /// ```
    #[doc = include_str!("../example.txt")]
    /// let table = pca_map(&[&model], &data.test)?.table();
    /// assert_eq!(table.headers, ["map of", "values", "dip", "one round cloud"]);
    /// assert_eq!(table.rows[0][..2], ["pixels", "64"]);
    /// # Ok::<(), diabolo::Error>(())
    /// ```
    pub fn table(&self) -> Table {
        let mut table = Table::new(
            &format!("{}: how clearly two groups (dip; 0 is one group, 0.25 two separate points)", self.method),
            &["map of", "values", "dip", "one round cloud"],
        );
        for map in &self.maps {
            let cloud = one_cloud_dip(map.points.nrows()).map_or(String::new(), |dip| format!("{dip:.4}"));
            table.push(vec![map.name.clone(), map.n_dimensions.to_string(), format!("{:.4}", map.dip), cloud]);
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
