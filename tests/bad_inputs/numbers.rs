//! Codes, scores and figures.

use super::models::{model, test_images};
use super::{Case, case};
use diabolo::Result;
use diabolo::background::LogErrorModel;
use diabolo::cluster::KMeans;
use diabolo::figure::{
    AxisRange, CaptionedImage, Curves, Figure, HeatMap, Histogram, HistogramPanel, LineChart, Pair, PairBlock, Scatter,
    ScatterPanel, Series, curves, heat_map, histogram, image_grid, line_chart, pair_grid, picture, scatter,
};
use diabolo::metrics::{
    LinearFit, Positive, Threshold, auc_difference_interval, auc_interval, average_precision, compare_aucs,
    conformal_p_values, conformal_threshold, confusion, dip_statistic, pearson_correlation, per_region_overlap,
    pixel_auc, roc_auc, roc_curve, spread,
};
use diabolo::ndarray::{Array2, Array3};
use diabolo::neighbours::{Nearest, neighbour_preservation};
use diabolo::project::{Mahalanobis, Pca, Tsne};
use diabolo::score::Scores;
use std::path::Path;

pub fn cases() -> Vec<Case> {
    [code_cases(), score_cases(), figure_cases(), save_cases()].into_iter().flatten().collect()
}

/// Codes of four values, no two alike.
fn codes(n: usize) -> Array2<f32> {
    Array2::from_shape_fn((n, 4), |(row, column)| ((row * 7 + column * 3) % 11) as f32 + row as f32 / 10.0)
}

fn with_nan() -> Array2<f32> {
    let mut codes = codes(20);
    codes[[7, 2]] = f32::NAN;
    codes
}

fn alike() -> Array2<f32> {
    Array2::from_elem((20, 4), 0.5)
}

fn code_cases() -> Vec<Case> {
    const HISTORY: &str = "look at the model's history";
    let means = |means: KMeans, codes: Array2<f32>| move |_: &Path| means.fit(&codes);
    let map = |tsne: Tsne, codes: Array2<f32>| move |_: &Path| tsne.fit(&codes);
    vec![
        case("no cluster", means(KMeans::new(0), codes(20)), &["setting k: found 0", "1 to 20"]),
        case("more clusters than codes", means(KMeans::new(21), codes(20)), &["setting k: found 21", "1 to 20"]),
        case("no start", means(KMeans::new(3).starts(0), codes(20)), &["setting n_starts: found 0"]),
        case(
            "no iteration",
            means(KMeans { max_iterations: 0, ..KMeans::new(3) }, codes(20)),
            &["setting max_iterations: found 0", "300 is usual"],
        ),
        case("clusters of NaN", means(KMeans::new(3), with_nan()), &["clustering codes", "row 7", HISTORY]),
        case(
            "clusters of vast values",
            means(KMeans::new(2), codes(20) * 1e20),
            &["clustering codes", "a size up to", "1e15", "multiply all values by one number", HISTORY],
        ),
        case("components of tiny values", |_| Pca::fit(&(codes(20) * 1e-25), 2), &["finding principal", "1e-12"]),
        case("clusters of nothing", means(KMeans::new(1), Array2::zeros((0, 4))), &["0 points of 4 values"]),
        case("codes of no values", means(KMeans::new(1), Array2::zeros((4, 0))), &["4 points of 0 values"]),
        case("centres of another shape", |_| KMeans::new(3).fit_from(&codes(20), &codes(2)), &["(2, 4)", "(3, 4)"]),
        case(
            "distances of other codes",
            |_| KMeans::new(2).fit(&codes(20))?.distances(&Array2::zeros((5, 3))),
            &["points of 3 values", "4, as before", "the same model"],
        ),
        case("no component", |_| Pca::fit(&codes(20), 0), &["setting n_components: found 0", "1 to 3"]),
        case("as many components as values", |_| Pca::fit(&codes(20), 4), &["found 4", "fewer than the 4 values"]),
        case("as many components as codes", |_| Pca::fit(&codes(3), 3), &["found 3", "fewer than the 3 points"]),
        case("components of two codes", |_| Pca::fit(&codes(2), 1), &["2 points", "encode more images"]),
        case("components of NaN", |_| Pca::fit(&with_nan(), 2), &["row 7", HISTORY]),
        case("components of codes all alike", |_| Pca::fit(&alike(), 2), &["points that are all alike", HISTORY]),
        case("distances of codes all alike", |_| Mahalanobis::fit(&alike()), &["points that are all alike", HISTORY]),
        case("distances of NaN", |_| Mahalanobis::fit(&with_nan()), &["row 7", HISTORY]),
        case("a perplexity of 0", map(Tsne::seed(1).perplexity(0.0), codes(20)), &["setting perplexity: found 0"]),
        case("a perplexity of NaN", map(Tsne::seed(1).perplexity(f64::NAN), codes(20)), &["found NaN", "at most 6.3"]),
        case("a perplexity of too few codes", map(Tsne::seed(1), codes(20)), &["found 30", "less for few images"]),
        case(
            "a map of no step",
            map(Tsne { n_steps: 0, ..Tsne::seed(1).perplexity(5.0) }, codes(20)),
            &["setting n_steps: found 0"],
        ),
        case("a map of NaN", map(Tsne::seed(1).perplexity(5.0), with_nan()), &["row 7", HISTORY]),
        case("a map of codes all alike", map(Tsne::seed(1).perplexity(5.0), alike()), &["all alike", HISTORY]),
        case("a map of two codes", map(Tsne::seed(1), codes(2)), &["2 points", "3 or more"]),
        case("no neighbour", |_| Nearest::new(&codes(20))?.distances(&codes(20), 0), &["setting k: found 0"]),
        case(
            "more neighbours than codes",
            |_| Nearest::new(&codes(20))?.distances_between_points(20),
            &["setting k: found 20", "1 to 19"],
        ),
        case("a map of other codes", |_| neighbour_preservation(&codes(20), &codes(19), 3), &["a map of 19"]),
    ]
}

const BOTH: [bool; 4] = [false, true, false, true];

fn score_cases() -> Vec<Case> {
    let choose = |threshold: Threshold| move |_: &Path| threshold.choose(&[0.1, 0.2, 0.3], None);
    vec![
        case("normal images only", |_| roc_auc(&[0.1, 0.2], &[false; 2]), &["0 anomalies and 2 normal", "hold out"]),
        case("anomalies only", |_| roc_curve(&[0.1, 0.2], &[true; 2]), &["2 anomalies and 0 normal", "hold out"]),
        case("labels of more images", |_| roc_auc(&[0.1], &BOTH), &["1 scores and 4 labels", "the scored images"]),
        case("a score of NaN", |_| average_precision(&[0.1, f64::NAN, 0.2, 0.3], &BOTH), &["score 1 is not a number"]),
        case("no scores", |_| spread(&[]), &["no scores", "give the scores"]),
        case("an infinite value", |_| dip_statistic(&[0.0, f64::INFINITY]), &["value 1 is infinite", "leave it out"]),
        case(
            "too few resamples",
            |_| auc_interval(&[0.1, 0.2, 0.3, 0.4], &BOTH, 39, 0),
            &["setting n_resamples: found 39", "1000 is usual"],
        ),
        case(
            "resamples beyond counting",
            |_| auc_interval(&[0.1, 0.2, 0.3, 0.4], &BOTH, usize::MAX, 0),
            &["setting n_resamples", "40 to 10000000"],
        ),
        case(
            "two scores of other images",
            |_| compare_aucs(&[0.1, 0.2, 0.3, 0.4], &[0.1, 0.2], &BOTH),
            &["comparing two AUCs", "2 scores and 4 labels"],
        ),
        case(
            "compared scores with a NaN",
            |_| compare_aucs(&[0.1, 0.2, 0.3, 0.4], &[0.1, 0.2, 0.3, f64::NAN], &BOTH),
            &["comparing two AUCs", "score 3 is not a number"],
        ),
        case(
            "a difference of too few resamples",
            |_| auc_difference_interval(&[0.1, 0.2, 0.3, 0.4], &[0.4, 0.3, 0.2, 0.1], &BOTH, 1, 0),
            &["setting n_resamples: found 1"],
        ),
        case(
            "a rate that few images cannot promise",
            |_| conformal_threshold(&[0.1; 20], 0.01),
            &["setting false_alarms: found 0.01", "20 calibration images", "give 99 calibration images or more"],
        ),
        case("p-values from no images", |_| conformal_p_values(&[], &[0.1]), &["no scores", "at least one"]),
        case(
            "masks of another size",
            |_| pixel_auc(Array3::zeros((1, 4, 4)).view(), Array3::from_elem((1, 5, 4), true).view()),
            &["(1, 4, 4)", "(1, 5, 4)", "scale the masks"],
        ),
        case(
            "an overlap up to no rate",
            |_| per_region_overlap(Array3::zeros((1, 4, 4)).view(), Array3::from_elem((1, 4, 4), true).view(), 0.0),
            &["setting most_false_positives: found 0"],
        ),
        case("a threshold of NaN", choose(Threshold::Value(f64::NAN)), &["setting threshold: found NaN"]),
        case("a contamination above all", choose(Threshold::Contamination(1.5)), &["setting contamination: found 1.5"]),
        case("a quantile of NaN", choose(Threshold::Quantile(f64::NAN)), &["setting quantile: found NaN", "0 to 1"]),
        case("the best F1 without labels", choose(Threshold::BestF1), &["no anomaly labels", "hold out classes"]),
        case(
            "a confusion at NaN",
            |_| confusion(&[0.1, 0.2, 0.3, 0.4], &BOTH, f64::NAN, Positive::Anomaly),
            &["setting threshold: found NaN"],
        ),
        case(
            "an AUC without labels",
            |_| Scores { model: "m".into(), name: "s".into(), values: vec![0.1], anomalies: None }.auc(),
            &["without anomaly labels", "test_labels.npy"],
        ),
        case(
            "correlated rows of two lengths",
            |_| pearson_correlation(&[1.0], &[1.0, 2.0]),
            &["correlating", "1", "2"],
        ),
        case("a fit of two rows", |_| LinearFit::new(&[&[1.0, 2.0]], &[1.0, 2.0]), &["2 rows", "3 or more"]),
        case("a fit of NaN", |_| LinearFit::new(&[&[1.0, 2.0, f64::NAN]], &[1.0, 2.0, 3.0]), &["not finite"]),
        case(
            "errors of other images",
            |_| LogErrorModel::fit(&[0.1; 7], &test_images().statistics()?),
            &["40", "7", "one number for each image"],
        ),
    ]
}

fn captioned(n: usize) -> Vec<CaptionedImage> {
    vec![CaptionedImage { image: Array3::zeros((1, 4, 4)), caption: "grey".into() }; n]
}

fn panels(values: &[f64], n_bins: usize) -> Histogram {
    Histogram {
        title: "errors".into(),
        x_title: "MSE".into(),
        y_title: "images".into(),
        n_bins,
        x_range: AxisRange::Own,
        y_range: AxisRange::Own,
        panels: vec![HistogramPanel { title: "all".into(), values: values.to_vec() }],
    }
}

fn draw_map(points: Array2<f64>, labels: Option<Vec<usize>>) -> Result<Figure> {
    let panel = ScatterPanel { title: "p".into(), x_title: "x".into(), y_title: "y".into(), points };
    scatter(&Scatter { title: "map".into(), panels: vec![panel], labels, label_names: vec!["one".into()] })
}

fn lines(points: &[(f64, f64)]) -> Vec<Series> {
    vec![Series { name: "loss".into(), points: points.to_vec() }]
}

fn figure_cases() -> Vec<Case> {
    let grid = |n_images: usize, n_columns: usize| move |_: &Path| image_grid("grid", &captioned(n_images), n_columns);
    let enlarged =
        |shape: (usize, usize, usize), scale: usize| move |_: &Path| picture(&Array3::zeros(shape), scale, "it");
    let pair = |side: usize| Pair {
        image_idx: 3,
        original: Array3::zeros((1, 4, 4)),
        reconstruction: Array3::zeros((1, side, side)),
        mse: 0.1,
        l2_norm: 1.0,
        class_name: None,
        is_anomaly: None,
    };
    let block = |worst: Vec<Pair>| vec![PairBlock { title: "m".into(), worst, best: vec![] }];
    vec![
        case("a grid of no image", grid(0, 3), &["drawing \"grid\"", "0 images"]),
        case("a grid of a thousand images", grid(1000, 3), &["1000 images", "1 to 144"]),
        case("a grid of no column", grid(9, 0), &["setting n_columns: found 0"]),
        case("a picture of no size", enlarged((3, 4, 4), 0), &["setting scale: found 0"]),
        case("a picture of vast pixels", enlarged((3, 4, 4), 100_000), &["setting scale: found 100000", "1..=64"]),
        case("a vast picture", enlarged((1, 1, 5000), 64), &["5000 x 1 pixels enlarged 64 times", "smaller scale"]),
        case("a picture of two channels", enlarged((2, 4, 4), 3), &["[2, 4, 4]", "put the channels first"]),
        case("a picture of NaN", |_| picture(&Array3::from_elem((1, 2, 2), f32::NAN), 3, "it"), &["4 of 4 values NaN"]),
        case("a histogram of no bin", |_| histogram(&panels(&[1.0], 0)), &["setting n_bins: found 0"]),
        case("a histogram of vast bins", |_| histogram(&panels(&[1.0], usize::MAX)), &["setting n_bins", "1..=1000"]),
        case("a histogram of NaN", |_| histogram(&panels(&[f64::NAN], 9)), &["at least one finite value"]),
        case("a map of three axes", |_| draw_map(Array2::zeros((4, 3)), None), &["[4, 3]", "[n, 2]"]),
        case("a map with a label too few", |_| draw_map(Array2::zeros((4, 2)), Some(vec![0; 3])), &["map", "3", "4"]),
        case("a map with an unnamed label", |_| draw_map(Array2::zeros((2, 2)), Some(vec![0, 5])), &["5"]),
        case("a map of nothing", |_| draw_map(Array2::from_elem((2, 2), f64::NAN), None), &["at least one finite"]),
        case(
            "a line of NaN",
            |_| {
                let series = lines(&[(1.0, f64::NAN)]);
                let (title, x_title, y_title) = ("t".into(), "x".into(), "y".into());
                line_chart(&LineChart { title, x_title, y_title, series, marks: vec![] })
            },
            &["at least one finite value"],
        ),
        case(
            "a curve outside its square",
            |_| {
                let (title, x_title, y_title) = ("t".into(), "x".into(), "y".into());
                curves(&Curves { title, x_title, y_title, series: lines(&[(2.0, 2.0)]), reference: None })
            },
            &["at least one finite value"],
        ),
        case(
            "a table of colours with a row too few",
            |_| {
                heat_map(&HeatMap {
                    title: "AUC".into(),
                    x_labels: vec!["a".into()],
                    y_labels: vec!["a".into(), "b".into()],
                    values: vec![vec![None]],
                    half_widths: Vec::new(),
                    value_title: "AUC".into(),
                    decimals: 2,
                    middle: None,
                })
            },
            &["1 rows of [1] values", "2 rows of 1", "every pair of labels"],
        ),
        case("no pair", move |_| pair_grid("pairs", &block(vec![])), &["0 pairs", "1 to 48"]),
        case(
            "a pair of two shapes",
            move |_| pair_grid("pairs", &block(vec![pair(5)])),
            &["image 3", "[1, 5, 5]", "[1, 4, 4]", "made for its shape"],
        ),
    ]
}

fn save_cases() -> Vec<Case> {
    let dot = || picture(&Array3::zeros((1, 1, 1)), 8, "a dot");
    vec![
        case("a PNG as SVG", move |f| dot()?.save(f.join("dot.svg")), &["ends in .png", "save it as \""]),
        case(
            "a figure in no folder",
            move |f| dot()?.save(f.join("none/dot.png")),
            &["saving", "none/dot.png", "choose a folder"],
        ),
        case(
            "a figure where a folder is",
            move |f| {
                std::fs::create_dir(f.join("dot.png")).unwrap();
                dot()?.save(f.join("dot.png"))
            },
            &["saving", "dot.png", "give the name of a file"],
        ),
        case("a model in no folder", |f| model().save(f.join("none/model")), &["saving", "none/model.safetensors"]),
    ]
}
