//! The numbers in docs/WHICH_PAIR.md against the sweep that they are of; those of single models: tests/shipped_models.rs.

use diabolo::prelude::*;
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
    let reported = diabolo::sweep::REPORT_AUCS[5].2;
    let near: Vec<_> = aucs.iter().filter(|(_, auc)| (auc / reported - 1.0).abs() <= 0.03).collect();
    assert!(text.contains(&format!("**{} pairs lie within 3 %", near.len())), "{near:?}");
    assert!(near.iter().all(|(pair, auc)| text.contains(&format!("{pair} ({auc:.3})"))), "{near:?}");
    let moved = |row: &diabolo::sweep::SweepRow, since| {
        let of_epoch = |epoch| row.auc_by_epoch.iter().find(|(number, _)| *number == epoch).unwrap().1;
        (of_epoch(100) - of_epoch(since)).abs()
    };
    let [since_50, since_10] = [50, 10].map(|since| sweep.rows.iter().map(|row| moved(row, since)).fold(0.0, f64::max));
    assert!(text.contains(&format!("no pair's AUC moves by more than {since_50:.3}")), "{since_50}");
    assert!(text.contains(&format!("from epoch 10 on none by more than {since_10:.3}")), "{since_10}");
}
