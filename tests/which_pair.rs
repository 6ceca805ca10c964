//! The numbers in docs/WHICH_PAIR.md against the sweeps that they are of.

use diabolo::metrics::mean_of_values;
use diabolo::prelude::*;
use diabolo::sweep::{REPORT_AUCS, SweepRow};
use std::path::Path;

fn docs(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)
}

#[test]
fn the_table_of_pairs_has_the_numbers_of_the_sweep() {
    let text = std::fs::read_to_string(docs("WHICH_PAIR.md")).unwrap();
    let sweep = Sweep::open(docs("which_pair.json")).unwrap();
    assert_eq!((sweep.model(), sweep.rows.len()), ("fcn", 45));
    for row in &sweep.rows {
        let of_epoch = |epoch| row.auc_by_epoch.iter().find(|(number, _)| *number == epoch).unwrap().1;
        let of_way = |key: &str| row.auc[key].unwrap();
        let numbers = [of_epoch(10), of_epoch(50), of_way("reconstruction"), of_way("kmeans_3"), of_way("kmeans_5")];
        let numbers = numbers.into_iter().chain([of_way("pca_2")]).map(|auc| format!(" | {auc:.5}"));
        let line = format!("| {}{} |", row.held_out.join(", "), numbers.collect::<String>());
        assert!(text.contains(&line), "{line}");
    }
    let mean = sweep.auc_mean(&Reconstruction).unwrap();
    assert!(text.contains(&format!("mean over all pairs is {mean:.3}")), "{mean}");
}

#[test]
fn the_words_about_pairs_follow_from_the_sweep() {
    let text = std::fs::read_to_string(docs("WHICH_PAIR.md")).unwrap();
    let sweep = Sweep::open(docs("which_pair.json")).unwrap();
    let aucs: Vec<(String, f64)> = sweep.aucs(&Reconstruction).map(|(pair, auc)| (pair.join(", "), auc)).collect();
    let ends = [f64::total_cmp as fn(&f64, &f64) -> _, |a, b| b.total_cmp(a)]
        .map(|order| aucs.iter().min_by(|a, b| order(&a.1, &b.1)).unwrap());
    let [(lowest, least), (highest, most)] = ends;
    assert!(text.contains(&format!("from {least:.3} ({lowest}) to {most:.3} ({highest})")));
    let n_below = aucs.iter().filter(|(_, auc)| *auc < 0.5).count();
    assert!(text.contains(&format!("For {n_below} of 45 pairs")), "{n_below}");
    let reported = REPORT_AUCS[5].2;
    let near: Vec<_> = aucs.iter().filter(|(_, auc)| (auc / reported - 1.0).abs() <= 0.03).collect();
    assert!(text.contains(&format!("**{} pairs lie within 3 %", near.len())), "{near:?}");
    assert!(near.iter().all(|(pair, auc)| text.contains(&format!("{pair} ({auc:.3})"))), "{near:?}");
    let moved = |row: &SweepRow, since| {
        let of_epoch = |epoch| row.auc_by_epoch.iter().find(|(number, _)| *number == epoch).unwrap().1;
        (of_epoch(100) - of_epoch(since)).abs()
    };
    let [since_50, since_10] = [50, 10].map(|since| sweep.rows.iter().map(|row| moved(row, since)).fold(0.0, f64::max));
    assert!(text.contains(&format!("no pair's AUC moves by more than {since_50:.3}")), "{since_50}");
    assert!(text.contains(&format!("from epoch 10 on none by more than {since_10:.3}")), "{since_10}");
}

/// The AUCs of the reconstruction error of `fcn` after 30 epochs with the seeds 0, 1 and, where it was trained, 2.
fn aucs_of_seeds() -> Vec<(String, Vec<f64>)> {
    let all_pairs = Sweep::open(docs("which_pair.json")).unwrap();
    let others = Sweep::open(docs("which_pair/fcn_seeds")).unwrap();
    assert_eq!(others.settings.training.epochs, 30);
    let of_pair = |row: &SweepRow| {
        let same = |other: &&SweepRow| other.held_out == row.held_out;
        let of_first = all_pairs.rows.iter().find(same).unwrap();
        let auc_0 = of_first.auc_by_epoch.iter().find(|(epoch, _)| *epoch == 30).unwrap().1;
        let of_others = others.rows.iter().filter(same).map(|other| other.auc["reconstruction"].unwrap());
        (row.held_out.join(", "), [auc_0].into_iter().chain(of_others).collect())
    };
    others.rows.iter().filter(|row| row.seed == 1).map(of_pair).collect()
}

/// " | 0.123 | 0.001 | +1.2 % |": mean and standard deviation of AUCs, and the mean against the report's.
fn mean_and_difference(aucs: &[f64], reported: f64) -> String {
    let of_seeds = mean_of_values(aucs).unwrap();
    let difference = 100.0 * (of_seeds.mean / reported - 1.0);
    format!(" | {:.4} | {:.4} | {difference:+.1} % |", of_seeds.mean, of_seeds.deviation.unwrap())
}

#[test]
fn the_table_of_seeds_has_the_numbers_of_the_sweeps() {
    let text = std::fs::read_to_string(docs("WHICH_PAIR.md")).unwrap();
    let reported = REPORT_AUCS[5].2;
    let of_pairs = aucs_of_seeds();
    assert_eq!(of_pairs.len(), 10);
    for (pair, aucs) in &of_pairs {
        let of_seed = |seed| aucs.get(seed).map_or(" |".into(), |auc| format!(" | {auc:.4}"));
        let numbers: String = (0..3).map(of_seed).collect();
        let line = format!("| {pair}{numbers}{}", mean_and_difference(aucs, reported));
        assert!(text.contains(&line), "{line}");
    }
    let is_near = |aucs: &[f64]| (mean_of_values(aucs).unwrap().mean / reported - 1.0).abs() <= 0.03;
    let near: Vec<&str> = of_pairs.iter().filter(|(_, aucs)| is_near(aucs)).map(|(pair, _)| pair.as_str()).collect();
    let line =
        format!("Of {} pairs the mean lies within 3 % of the report's 0.59329: {}.", near.len(), near.join("; "));
    assert!(text.contains(&line), "{line}");
}

#[test]
fn the_tables_of_six_have_the_numbers_of_the_sweeps() {
    let text = std::fs::read_to_string(docs("WHICH_PAIR.md")).unwrap();
    let fcn = aucs_of_seeds();
    for (pair, sweep) in [("ship, truck", "report_cnn_adam_ship_truck"), ("automobile, ship", "report_cnn_adam_seeds")]
    {
        let cnn = Sweep::open(docs("which_pair").join(sweep)).unwrap();
        assert!(cnn.missing.is_empty() && cnn.rows.len() == 3, "{:?}", cnn.missing);
        let (_, table) = text.split_once(&format!("## The six AUCs for {}", pair.replace(", ", " and "))).unwrap();
        let table = table.split("\n## ").next().unwrap();
        let mut differences = Vec::new();
        for (network, key, reported) in REPORT_AUCS {
            let aucs: Vec<f64> = match network {
                "fcn" => fcn.iter().find(|(of, _)| of == pair).unwrap().1.clone(),
                _ => cnn.rows.iter().map(|row| row.auc[key].unwrap()).collect(),
            };
            let line = format!("| `{network}`, {key} | {reported:.4}{}", mean_and_difference(&aucs, reported));
            assert!(table.contains(&line), "{pair}: {line}");
            differences.push(mean_of_values(&aucs).unwrap().mean / reported - 1.0);
        }
        let near = differences.iter().filter(|difference| difference.abs() <= 0.03).count();
        assert_eq!(near, 3, "{pair}: {differences:?}");
        let percent: Vec<f64> = differences.iter().map(|difference| 100.0 * difference).collect();
        let words = match pair {
            "ship, truck" => {
                let most = percent.iter().map(|by| by.abs()).fold(0.0, f64::max);
                assert!(text.contains(&format!("within {:.1} % of the report's", most + 0.05)), "{most}");
                format!(
                    "error ({:+.1} %), K-means with five centres ({:+.1} %) and PCA with two axes ({:+.1} %)",
                    percent[0], percent[2], percent[3]
                )
            }
            _ => format!(
                "{:.1} and {:.1} % too high, and the reconstruction error {:.1} % too low",
                percent[1], percent[2], -percent[0]
            ),
        };
        assert!(text.contains(&words), "{words}");
    }
}
