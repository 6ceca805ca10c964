//! `diabolo grade`: a class's files become a table, a page and a CSV file.

mod common;

use common::{fail, succeed};
use diabolo::metrics::{compare_aucs, delong_interval, roc_auc};
use std::collections::HashMap;
use std::fs;
use std::path::Path;

const N_IMAGES: usize = 400;

fn anomalies() -> Vec<bool> {
    (0..N_IMAGES).map(|id| id % 5 == 0).collect()
}

/// Scores that are better the larger `quality`, from a fixed sequence.
fn scores(quality: f64, student: u64) -> Vec<f64> {
    let mut state = student.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / (1u64 << 31) as f64
    };
    anomalies().iter().map(|&anomaly| noise() + noise() + if anomaly { quality } else { 0.0 }).collect()
}

fn csv_of(scores: &[f64]) -> String {
    let lines: String = (0..).zip(scores).map(|(id, score)| format!("{id},{score}\n")).collect();
    format!("id,anomaly\n{lines}")
}

/// A folder with `truth.csv` and `submissions`.
fn class(files: &[(&str, String)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let lines: String = (0..).zip(anomalies()).map(|(id, anomaly)| format!("{id},{}\n", u8::from(anomaly))).collect();
    fs::write(folder.path().join("truth.csv"), format!("id,anomaly\n{lines}")).unwrap();
    fs::create_dir(folder.path().join("submissions")).unwrap();
    for (name, text) in files {
        let path = folder.path().join("submissions").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

/// The rows of grades.csv by student, each by column.
fn grades(folder: &Path) -> HashMap<String, HashMap<String, String>> {
    let mut reader = csv::Reader::from_path(folder.join("grades.csv")).unwrap();
    let headers = reader.headers().unwrap().clone();
    let row = |record: csv::StringRecord| {
        let named = headers.iter().zip(record.iter()).map(|(name, value)| (name.to_string(), value.to_string()));
        (record[0].to_string(), named.collect())
    };
    reader.records().map(|record| row(record.unwrap())).collect()
}

#[test]
fn students_are_ranked_with_intervals_and_groups() {
    let [good, alike, poor] = [scores(0.9, 1), scores(0.85, 2), scores(0.1, 3)];
    let folder = class(&[("good.csv", csv_of(&good)), ("alike.csv", csv_of(&alike)), ("poor.csv", csv_of(&poor))]);
    let here = folder.path();
    let said = succeed(here, &["grade", "submissions", "--truth", "truth.csv"]);
    assert!(said.starts_with("by the 400 test images\nrank  student"), "{said}");

    let grades = grades(&here.join("grades"));
    let number = |student: &str, column: &str| grades[student][column].parse::<f64>().unwrap();
    let labels = anomalies();
    for (student, scores) in [("good", &good), ("alike", &alike), ("poor", &poor)] {
        let auc = delong_interval(scores, &labels).unwrap();
        assert_eq!(number(student, "auc"), roc_auc(scores, &labels).unwrap());
        assert_eq!((number(student, "auc_low"), number(student, "auc_high")), (auc.low, auc.high));
    }
    let mut order = ["good", "alike", "poor"];
    order.sort_by(|a, b| number(b, "auc").total_cmp(&number(a, "auc")));
    assert_eq!(order[2], "poor");
    assert_eq!(order.map(|student| number(student, "rank")), [1.0, 2.0, 3.0]);
    assert_eq!(order.map(|student| number(student, "group")), [1.0, 1.0, 2.0], "two alike, and one told from both");
    let by_name = HashMap::from([("good", &good), ("alike", &alike), ("poor", &poor)]);
    for pair in order.windows(2) {
        let expected = compare_aucs(by_name[pair[0]], by_name[pair[1]], &labels).unwrap();
        assert_eq!(number(pair[0], "difference_to_next"), expected.difference.value);
        assert_eq!(number(pair[0], "p_value"), expected.p_value);
    }
    assert_eq!(grades["poor"]["p_value"], "", "nobody is below the last");
}

#[test]
fn the_private_half_ranks_and_the_public_half_stands_beside() {
    let files = [("a.csv", csv_of(&scores(0.9, 1))), ("b.csv", csv_of(&scores(0.2, 2)))];
    let folder = class(&files);
    let here = folder.path();
    let arguments = ["grade", "submissions", "--truth", "truth.csv", "--public", "0.25", "--seed", "7"];
    let said = succeed(here, &arguments);
    assert!(said.starts_with("by the 300 private images") && said.contains("public AUC"), "{said}");
    let private = grades(&here.join("grades"));

    succeed(here, &[&arguments[..], &["--only-public", "--out", "leaderboard"]].concat());
    let public = grades(&here.join("leaderboard"));
    for student in ["a", "b"] {
        assert_eq!(private[student]["public_auc"], public[student]["auc"], "one seed draws one half");
        assert_ne!(private[student]["auc"], public[student]["auc"]);
        assert!(!public[student].contains_key("public_auc"));
    }
    let page = fs::read_to_string(here.join("leaderboard/index.html")).unwrap();
    let auc = |grades: &HashMap<_, HashMap<String, String>>| grades["a"]["auc"].parse::<f64>().unwrap();
    assert!(page.contains(&format!("{:.4}", auc(&public))), "the public AUC is shown");
    assert!(!page.contains(&format!("{:.4}", auc(&private))), "the private one is not");
    assert!(page.contains("100 public images, 20 of them anomalies"), "{page}");
}

#[test]
fn refused_files_are_told_by_reason_and_tries_are_counted() {
    let (good, better) = (csv_of(&scores(0.5, 1)), csv_of(&scores(0.9, 1)));
    let without_a_row = good.lines().take(N_IMAGES).map(|line| format!("{line}\n")).collect();
    let folder = class(&[
        ("ann/try_2.csv", good.clone()),
        ("ann/try_10.csv", better.clone()),
        ("ben/deep/down/1.csv", better),
        ("ben/deep/down/2.csv", good.replace("\n7,", "\n8,")),
        ("cem.csv", without_a_row),
        ("dee.csv", good.replace("\n7,", "\n7,nan")),
        ("eva.xlsx", "PK\u{3}\u{4}\u{0}".into()),
        ("fay/report.pdf", "%PDF".into()),
        ("<b>gil.csv", "id,anomaly\n".into()),
        (".hidden.csv", good),
    ]);
    let here = folder.path();
    let said = succeed(here, &["grade", "submissions", "--truth", "truth.csv"]);
    for line in [
        "refused: ben (ben/deep/down/2.csv): doubled ids: 400 rows for 400 images; 1 id is missing, first 7; 1 id is doubled, \
         first 8",
        "refused: cem (cem.csv): wrong number of rows: 399 rows for 400 images; 1 id is missing, first 399",
        "refused: eva (eva.xlsx): not a CSV file: not text in UTF-8; save it as CSV, not as a spreadsheet",
        "refused: fay (fay): not a CSV file: the folder has no file that ends in .csv",
    ] {
        assert!(said.contains(line), "{line}\n\n{said}");
    }
    let grades = grades(&here.join("grades"));
    assert_eq!(grades.len(), 7, "a row for each student, none for hidden files");
    assert_eq!((grades["ann"]["tries"].as_str(), grades["ann"]["file"].as_str()), ("2", "ann/try_10.csv"));
    assert_eq!((grades["ben"]["tries"].as_str(), grades["ben"]["rank"].as_str()), ("2", "1"), "an earlier try counts");
    assert!(
        grades["dee"]["refusal"].starts_with("scores that are not numbers: \"nan0.")
            && grades["dee"]["rank"].is_empty()
    );

    let page = fs::read_to_string(here.join("grades/index.html")).unwrap();
    assert!(page.contains("2 students in 1 group, 5 without a rank"), "{page}");
    assert!(page.contains("<h3>Not a CSV file: 2</h3>") && page.contains("<h3>Doubled ids: 1</h3>"), "{page}");
    assert!(page.contains("&lt;b&gt;gil") && !page.contains("<b>gil"), "names are text");
    for elsewhere in ["http", "src=", "href=", "@import", "url("] {
        assert!(!page.contains(elsewhere), "the page asks nobody for anything: {elsewhere}");
    }
}

/// A student cannot hand in the truth by a link to it.
#[cfg(unix)]
#[test]
fn a_link_is_not_followed() {
    let folder = class(&[("a.csv", csv_of(&scores(0.5, 1)))]);
    let here = folder.path();
    std::os::unix::fs::symlink(here.join("truth.csv"), here.join("submissions/sly.csv")).unwrap();
    let said = succeed(here, &["grade", "submissions", "--truth", "truth.csv"]);
    assert!(said.contains("refused: sly (sly.csv): not a CSV file: a link or a device"), "{said}");
}

#[test]
fn what_cannot_be_graded_says_why() {
    let folder = class(&[]);
    let here = folder.path();
    let message = fail(here, 1, &["grade", "submissions", "--truth", "truth.csv"]);
    assert!(message.contains("submissions has no submissions; put a CSV file for each student into it"), "{message}");
    let message = fail(here, 1, &["grade", "nowhere", "--truth", "truth.csv"]);
    assert!(message.contains("reading the submissions nowhere"), "{message}");
    let message = fail(here, 1, &["grade", "submissions", "--truth", "no.csv"]);
    assert!(message.contains("reading the truth no.csv"), "{message}");
    let message = fail(here, 1, &["grade", "submissions", "--truth", "truth.csv", "--public", "1.5"]);
    assert!(message.contains("--public 1.5: wanted a share of the images between 0 and 1"), "{message}");
    fail(here, 2, &["grade", "submissions", "--truth", "truth.csv", "--seed", "1"]);
}
