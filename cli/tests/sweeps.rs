//! Sweeps in parts, as a scheduler's array job and several terminals give them.

mod common;

use common::{RUN, diabolo, fail, succeed};
use std::fs;
use std::path::Path;
use std::process::Stdio;

/// Two pairs with two seeds.
fn write_sweep(folder: &Path, epochs: usize) {
    let sweep = RUN.replace("\nhold_out = [\"boat\", \"car\"]\nfirst = 256", "\nfirst = 256");
    let head = "pairs = [[\"boat\", \"car\"], [\"boat\", \"star\"]]\nseeds = [0, 1]\n[data]";
    let sweep = sweep.replace("[data]", head).replace("epochs = 2", &format!("epochs = {epochs}"));
    fs::write(folder.join("sweep.toml"), sweep.replace("runs/cnn", "runs")).unwrap();
}

#[test]
fn parts_of_an_array_job_are_merged_by_show() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    write_sweep(here, 1);
    let said = succeed(here, &["sweep", "sweep.toml", "--part", "2/3"]);
    assert!(said.starts_with("part 2/3 of the sweep in ") && said.contains("1 pairs of held-out classes"), "{said}");
    let said = succeed(here, &["show", "runs"]);
    assert!(said.contains("3 of 4 trainings are missing: boat, car with seed 0; boat, car with seed 1"), "{said}");

    // The other two at the same time.
    let others = ["1/3", "3/3"]
        .map(|part| diabolo(here, &["sweep", "sweep.toml", "--part", part]).stdout(Stdio::null()).spawn().unwrap());
    for mut other in others {
        assert!(other.wait().unwrap().success());
    }
    let said = succeed(here, &["show", "runs", "--figure", "pairs.svg"]);
    assert!(said.contains("2 pairs of held-out classes, up to 2 seeds each") && !said.contains("missing"), "{said}");
    assert!(said.contains("95 % interval of the mean") && said.contains("boat, star"), "{said}");
    assert!(fs::read_to_string(here.join("pairs.svg")).unwrap().contains("mean over 2 seeds"));
    assert_eq!(succeed(here, &["sweep", "sweep.toml"]).lines().count(), said.lines().count(), "nothing is left to do");
}

#[test]
fn the_same_command_in_several_terminals_shares_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    write_sweep(here, 2);
    let both = [(); 2].map(|()| diabolo(here, &["sweep", "sweep.toml"]).stdout(Stdio::null()).spawn().unwrap());
    for mut one in both {
        assert!(one.wait().unwrap().success());
    }
    let said = succeed(here, &["show", "runs"]);
    assert!(said.contains("2 pairs of held-out classes, up to 2 seeds each") && !said.contains("missing"), "{said}");
}

#[test]
fn parts_that_cannot_be_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    write_sweep(here, 1);
    for part in ["0/3", "4/3", "x", "3"] {
        let message = fail(here, 2, &["sweep", "sweep.toml", "--part", part]);
        let wanted = format!("found {part}, wanted a part from 1 and how many there are, as in 3/45");
        assert!(message.contains(&wanted) && message.contains("--part"), "{message}");
    }
    assert!(!here.join("runs").exists());

    succeed(here, &["sweep", "sweep.toml", "--part", "1/4"]);
    write_sweep(here, 2);
    let message = fail(here, 1, &["sweep", "sweep.toml", "--part", "2/4"]);
    assert!(message.contains("other settings: epochs 1 there, and 2 here"), "{message}");
    assert!(message.contains("give all parts the same file, or name another folder in it"), "{message}");
}
