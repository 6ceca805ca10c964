//! Lets nbgrader grade made-up hand-ins and compares what they get with what they should.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::thread;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::hand_in::{Student, Wanted, hand_in};
use super::{Course, read_notebook};
use crate::cache::Cache;
use crate::commands;
use crate::files;
use crate::output::{say, tell};
use crate::progress::{Progress, Stopped, words};
use crate::python;

/// Prints the grades of an assignment.
const SCRIPT: &str = include_str!("grades.py");

/// Rounding, in points.
const TOLERANCE: f64 = 1e-9;

/// Student, notebook and cell.
type Place = (String, String, String);

/// Hands in for the made-up students, lets nbgrader grade, and says what differs from what it should be.
pub fn test(course: &Course, python: &Path, cache: &Cache, progress: &Progress) -> Result<ExitCode> {
    let mut complaints = Vec::new();
    let mut n_cells = 0;
    for assignment in &course.assignments()? {
        let wanted = hand_in_all(course, assignment)?;
        n_cells += wanted.len();
        // Kernels leave most of a machine idle, and nbgrader runs one at a time.
        let graded = thread::scope(|scope| {
            let grade = |student| scope.spawn(move || grade(course, assignment, student, python, cache, progress));
            let threads = Student::ALL.map(grade);
            threads.map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        let mut grades = BTreeMap::new();
        let mut failed = Vec::new();
        for of_student in graded {
            match of_student {
                Ok(of_student) => grades.extend(of_student),
                Err(error) => failed.push(error),
            }
        }
        // The others were stopped because of the one that failed by itself.
        if let Some(error) = failed.into_iter().min_by_key(|error| error.is::<Stopped>()) {
            return Err(error);
        }
        complaints.extend(differences(&wanted, &grades));
        for (name, _) in course.notebooks("source", assignment)? {
            let graded = format!("autograded/{}/{assignment}/{name}.ipynb", Student::Solved.name());
            complaints.extend(noises(&name, &read_notebook(&course.folder.join(graded))?));
        }
    }
    for complaint in &complaints {
        tell(format_args!("error: {complaint}"));
    }
    if !complaints.is_empty() {
        tell(format_args!("The graded notebooks are in {}.", course.folder.join("autograded").display()));
        return Ok(ExitCode::FAILURE);
    }
    say(format_args!(
        "A solved, an untouched and a half-solved copy got what they should in {n_cells} graded cells ({}).",
        words(progress.elapsed())
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Lets nbgrader grade what one student has handed in, and reads the grades.
fn grade(
    course: &Course,
    assignment: &str,
    student: Student,
    python: &Path,
    cache: &Cache,
    progress: &Progress,
) -> Result<BTreeMap<Place, Wanted>> {
    let name = student.name();
    progress.run("course", &format!("grading {assignment}, {name}"), |step| {
        // nbgrader's book of grades has one writer at a time.
        let book = course.folder.join(format!("{name}.db"));
        fs::copy(course.folder.join("gradebook.db"), &book).context("copying nbgrader's book of grades")?;
        let address = format!("sqlite:///{}", book.display());
        let mut command = course.module(python, "nbgrader")?;
        command.args(["autograde", assignment, "--student", name, "--db", &address]);
        commands::run(command, "nbgrader autograde", &cache.log(&format!("course-{name}")), step)?;
        let mut command = python::command(python);
        command.args(["-c", SCRIPT, &address, assignment]);
        let printed =
            commands::run(command, "reading nbgrader's grades", &cache.log(&format!("course-{name}-grades")), step)?;
        let grades = grades_from(&printed)?;
        let sentence = format!("{assignment}, {name}: {} graded cells", grades.len());
        Ok((grades, sentence))
    })
}

/// Writes what the students hand in; returns what each graded cell is to get.
fn hand_in_all(course: &Course, assignment: &str) -> Result<BTreeMap<Place, Wanted>> {
    let (sources, releases) = (course.notebooks("source", assignment)?, course.notebooks("release", assignment)?);
    let mut wanted = BTreeMap::new();
    for student in Student::ALL {
        for (index, ((name, source), (_, release))) in sources.iter().zip(&releases).enumerate() {
            let made = hand_in(student, source, release).with_context(|| format!("{assignment}/{name}.ipynb"))?;
            let hands_in = student.hands_in(index == 0);
            if hands_in {
                let path = format!("submitted/{}/{assignment}/{name}.ipynb", student.name());
                files::write_if_changed(&course.folder.join(path), made.notebook.to_string().as_bytes())?;
            }
            let of_cell = |(cell, wanted)| {
                // Nothing is left for a teacher to read in a notebook that is not there.
                let wanted = if hands_in { wanted } else { Wanted::Points(0.0) };
                ((student.name().to_string(), name.clone(), cell), wanted)
            };
            wanted.extend(made.wanted.into_iter().map(of_cell));
        }
    }
    Ok(wanted)
}

/// The grades as the script prints them.
fn grades_from(printed: &str) -> Result<BTreeMap<Place, Wanted>> {
    let line = printed.lines().rfind(|line| line.starts_with('{')).context("nbgrader's book of grades is empty")?;
    let printed: Value = serde_json::from_str(line)?;
    let grades = printed["grades"].as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let of = |grade: &Value| {
        let place = (text(&grade["student"]), text(&grade["notebook"]), text(&grade["cell"]));
        let points = Wanted::Points(grade["points"].as_f64().unwrap_or(f64::NAN));
        (place, if grade["by_hand"] == true { Wanted::ByHand } else { points })
    };
    if grades.is_empty() {
        bail!("nbgrader has graded nothing");
    }
    Ok(grades.iter().map(of).collect())
}

/// A sentence for every cell that did not get what it should.
fn differences(wanted: &BTreeMap<Place, Wanted>, grades: &BTreeMap<Place, Wanted>) -> Vec<String> {
    let words = |points: Wanted| match points {
        Wanted::Points(points) => format!("{points} points"),
        Wanted::ByHand => "to be graded by hand".to_string(),
    };
    let is_same = |a: Wanted, b: Wanted| match (a, b) {
        (Wanted::Points(a), Wanted::Points(b)) => (a - b).abs() <= TOLERANCE,
        (a, b) => a == b,
    };
    let mut sentences = Vec::new();
    for (place, &points) in wanted {
        let (student, notebook, cell) = place;
        match grades.get(place) {
            Some(&found) if is_same(found, points) => {}
            Some(&found) => sentences.push(format!(
                "{cell} of {notebook}.ipynb, {}: found {}, wanted {}",
                student.replace('_', "-"),
                words(found),
                words(points)
            )),
            None => sentences.push(format!("{cell} of {notebook}.ipynb is not in nbgrader's book of grades")),
        }
    }
    sentences
}

/// A sentence for every cell of a solved notebook that fails or writes to standard error, for which nbgrader gives no points.
fn noises(name: &str, notebook: &Value) -> Vec<String> {
    let is_noise = |output: &&Value| output["output_type"] == "error" || output["name"] == "stderr";
    let of_cell = |(index, cell): (usize, &Value)| {
        let noise = cell["outputs"].as_array()?.iter().find(is_noise)?;
        let text = [&noise["evalue"], &noise["text"]].map(crate::report::text_of).concat();
        Some(format!("cell {index} of {name}.ipynb, solved, fails or writes to standard error: {text}"))
    };
    let cells = notebook["cells"].as_array().map(Vec::as_slice).unwrap_or_default();
    cells.iter().enumerate().filter_map(of_cell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn place(student: &str) -> Place {
        (student.into(), "question_1".into(), "mse_test".into())
    }

    #[test]
    fn a_grade_that_differs_is_told() {
        let wanted = [(place("solved"), Wanted::Points(2.0)), (place("half_solved"), Wanted::Points(0.5))].into();
        let same =
            r#"{"grades": [{"student": "solved", "notebook": "question_1", "cell": "mse_test", "points": 2.0, "by_hand": false},
            {"student": "half_solved", "notebook": "question_1", "cell": "mse_test", "points": 0.5, "by_hand": false}]}"#
                .replace('\n', "");
        assert!(differences(&wanted, &grades_from(&same).unwrap()).is_empty());
        let other = same.replace("0.5", "2.0");
        assert_eq!(
            differences(&wanted, &grades_from(&other).unwrap()),
            ["mse_test of question_1.ipynb, half-solved: found 2 points, wanted 0.5 points"]
        );
        let by_hand = same.replace("0.5, \"by_hand\": false", "null, \"by_hand\": true");
        assert!(differences(&wanted, &grades_from(&by_hand).unwrap())[0].contains("found to be graded by hand"));
        assert!(grades_from(r#"{"grades": []}"#).is_err() && grades_from("").is_err());
    }

    #[test]
    fn whatever_reaches_standard_error_is_told() {
        let cell = |output: Value| json!({"cells": [{"outputs": [output]}]});
        let quiet = cell(json!({"output_type": "stream", "name": "stdout", "text": "passed"}));
        assert!(noises("a", &quiet).is_empty());
        let loud = cell(json!({"output_type": "stream", "name": "stderr", "text": ["a ", "warning"]}));
        assert_eq!(noises("a", &loud), ["cell 0 of a.ipynb, solved, fails or writes to standard error: a warning"]);
        let failed = cell(json!({"output_type": "error", "evalue": "not yet implemented"}));
        assert!(noises("a", &failed)[0].ends_with("not yet implemented"));
    }
}
