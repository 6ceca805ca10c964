//! The numbers in docs/WHICH_PAIR.md and of the models in notebooks/models against the results that they are of.

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

/// Beside the notebooks, which a package of the crate lacks; what is scored needs the data.
#[test]
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn trained_models_are_what_their_list_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("notebooks/models");
    if !folder.exists() {
        eprintln!("skipped: the models are beside the notebooks, in the repository");
        return;
    }
    let list = std::fs::read_to_string(folder.join("README.md")).unwrap();
    for (name, n_epochs) in [("fcn_automobile_ship", 1000), ("report_cnn_adam_automobile_ship", 60)] {
        let model = Autoencoder::open_on(folder.join(name), Device::Cpu).unwrap();
        assert_eq!(model.history().epochs.len(), n_epochs);
        let learnt = model.history().learnt.as_ref().unwrap();
        let line = list.lines().find(|line| line.starts_with(&format!("| `{name}`"))).unwrap();
        assert!(line.contains(&format!("| {:.4} |", learnt.variance_explained)), "{line}: {learnt:?}");
        let Some(data) = std::env::var_os("DIABOLO_DATA") else {
            eprintln!("not scored: DIABOLO_DATA does not name a folder with cifar-10-batches-bin/");
            continue;
        };
        let data = open(Path::new(&data).join("cifar-10-batches-bin")).unwrap();
        let data = data.hold_out(&["automobile", "ship"]).unwrap();
        let auc = model.score(data.test()).unwrap().auc().unwrap();
        assert!(line.ends_with(&format!("| {auc:.4} |")), "{line}: {auc}");
        check_table_of_six(&model, &data);
    }
}

/// The AUCs of the report that are this model's, beside those of the model.
fn check_table_of_six(model: &Autoencoder, data: &Split) {
    let text = std::fs::read_to_string(docs("WHICH_PAIR.md")).unwrap();
    let ways = [Reconstruction, KMeans(3), KMeans(5), Pca(2), Pca(3)];
    let table = score_table_fitted_on_test(model, data, &ways).unwrap();
    for (name, key, reported) in diabolo::sweep::REPORT_AUCS.iter().filter(|(name, ..)| *name == model.name()) {
        let way = ways.iter().find(|way| way.key() == *key).unwrap();
        let auc = table.scores(way).unwrap().auc().unwrap();
        let difference = 100.0 * (auc / reported - 1.0);
        let line = format!("| `{name}`, {key} | {reported:.3} | {auc:.3} | {difference:+.1} % |");
        assert!(text.contains(&line), "{line}");
    }
}
