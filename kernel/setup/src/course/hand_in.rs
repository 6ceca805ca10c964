//! What made-up students hand in: copies of the student version, with solutions from the teacher's.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{about, name_of};

/// A mistake that earns some of an exercise's points: the exercise, an answer, and its points. The sum of the squared
/// differences passes one of the four tests of the mean: that of an image and itself.
const HALF_RIGHT: (&str, &str, f64) = (
    "mse",
    "fn mse(original: &[f32], reconstruction: &[f32]) -> f64 {\n    \
     original.iter().zip(reconstruction).map(|(a, b)| f64::from(a - b).powi(2)).sum()\n}",
    0.5,
);

/// A made-up student.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Student {
    /// Solves everything.
    Solved,
    /// Hands in what was handed out.
    Untouched,
    /// Solves every second exercise of the first notebook, where it is known to be so with a mistake, and hands in no other.
    HalfSolved,
}

impl Student {
    pub const ALL: [Self; 3] = [Self::Solved, Self::Untouched, Self::HalfSolved];

    /// The name in nbgrader's book of grades.
    pub fn name(self) -> &'static str {
        match self {
            Self::Solved => "solved",
            Self::Untouched => "untouched",
            Self::HalfSolved => "half_solved",
        }
    }

    /// Does this student hand in a notebook?
    pub fn hands_in(self, is_first: bool) -> bool {
        is_first || self != Self::HalfSolved
    }

    /// Does this student solve an exercise?
    fn solves(self, n_exercises_before: usize) -> bool {
        match self {
            Self::Solved => true,
            Self::Untouched => false,
            Self::HalfSolved => n_exercises_before.is_multiple_of(2),
        }
    }
}

/// What a cell is to get: points, or for a written answer the teacher's eye.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Wanted {
    Points(f64),
    ByHand,
}

/// A notebook as handed in, and what each of its graded cells is to get.
pub struct HandIn {
    pub notebook: Value,
    pub wanted: BTreeMap<String, Wanted>,
}

/// What `student` makes of the student version `release` of the notebook `source`.
///
/// # Errors
/// Where a test cell is not named after the exercise that it tests, as "mse_test" after "mse".
pub fn hand_in(student: Student, source: &Value, release: &Value) -> Result<HandIn> {
    let mut notebook = release.clone();
    let (mut solved, mut wanted) = (BTreeMap::new(), BTreeMap::new());
    let solutions = cells(source).iter().filter(|cell| about(cell)["solution"] == true);
    let solutions: BTreeMap<_, _> = solutions.map(|cell| (name_of(cell), &cell["source"])).collect();
    for cell in notebook["cells"].as_array_mut().context("the notebook has no cells")? {
        let name = name_of(cell).to_string();
        let is_graded = about(cell)["grade"] == true;
        if about(cell)["solution"] == true {
            let is_solved = student.solves(solved.len());
            let mut share = None;
            if is_solved {
                cell["source"] =
                    (*solutions.get(name.as_str()).context("the student version is of other notebooks")?).clone();
                if let (Student::HalfSolved, (exercise, answer, points)) = (student, HALF_RIGHT)
                    && exercise == name
                {
                    cell["source"] = json!(answer);
                    share = Some(points);
                }
            }
            if is_graded {
                wanted.insert(name.clone(), if is_solved { Wanted::ByHand } else { Wanted::Points(0.0) });
            }
            solved.insert(name, (is_solved, share));
        } else if is_graded {
            let exercise = name.strip_suffix("_test").and_then(|exercise| solved.get(exercise));
            let (is_solved, share) = *exercise.with_context(|| {
                format!("the test cell {name} follows no exercise of its name; name it mse_test for the exercise mse")
            })?;
            let points = about(cell)["points"].as_f64().unwrap_or_default();
            wanted.insert(name, Wanted::Points(if is_solved { share.unwrap_or(points) } else { 0.0 }));
        }
    }
    Ok(HandIn { notebook, wanted })
}

fn cells(notebook: &Value) -> &[Value] {
    notebook["cells"].as_array().map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(name: &str, grade: bool, solution: bool, source: &str) -> Value {
        let nbgrader = json!({"grade_id": name, "grade": grade, "solution": solution, "points": 2});
        json!({"metadata": {"nbgrader": nbgrader}, "source": source})
    }

    fn notebook(answer: &str) -> Value {
        let exercises = ["mse", "auc"];
        let cells =
            exercises.map(|name| [cell(name, false, true, answer), cell(&format!("{name}_test"), true, false, "")]);
        json!({"cells": cells.concat()})
    }

    fn wanted_of(student: Student) -> (Vec<f64>, Vec<Value>) {
        let HandIn { notebook, wanted } = hand_in(student, &notebook("right"), &notebook("todo!()")).unwrap();
        let points = ["mse_test", "auc_test"].map(|name| match wanted[name] {
            Wanted::Points(points) => points,
            Wanted::ByHand => f64::NAN,
        });
        let sources = [0, 2].map(|index| notebook["cells"][index]["source"].clone());
        (points.to_vec(), sources.to_vec())
    }

    #[test]
    fn students_get_what_they_have_solved() {
        assert_eq!(wanted_of(Student::Solved), (vec![2.0, 2.0], vec!["right".into(), "right".into()]));
        assert_eq!(wanted_of(Student::Untouched), (vec![0.0, 0.0], vec!["todo!()".into(), "todo!()".into()]));
        let (points, sources) = wanted_of(Student::HalfSolved);
        assert_eq!((points, &sources[1]), (vec![0.5, 0.0], &json!("todo!()")));
        assert!(sources[0].as_str().unwrap().contains("sum()"), "{sources:?}");
    }

    #[test]
    fn a_written_answer_is_for_the_teacher_unless_there_is_none() {
        let [source, release] =
            ["Because.", "YOUR ANSWER HERE"].map(|text| json!({"cells": [cell("why", true, true, text)]}));
        assert_eq!(hand_in(Student::Solved, &source, &release).unwrap().wanted["why"], Wanted::ByHand);
        assert_eq!(hand_in(Student::Untouched, &source, &release).unwrap().wanted["why"], Wanted::Points(0.0));
    }

    #[test]
    fn a_test_without_its_exercise_is_named() {
        let stray = json!({"cells": [cell("auc_test", true, false, "")]});
        let message = hand_in(Student::Solved, &stray, &stray).err().unwrap().to_string();
        assert!(message.starts_with("the test cell auc_test follows no exercise"), "{message}");
    }
}
