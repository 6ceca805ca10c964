"""Prints what nbgrader's book of grades has of one assignment, for `cargo diabolo course --test`."""

import json
import sys

from nbgrader.api import Gradebook

with Gradebook(sys.argv[1]) as book:
    grades = [
        {
            "student": submission.student.id,
            "notebook": notebook.name,
            "cell": grade.name,
            "points": grade.auto_score,
            "by_hand": grade.needs_manual_grade,
        }
        for submission in book.assignment_submissions(sys.argv[2])
        for notebook in submission.notebooks
        for grade in notebook.grades
    ]
print(json.dumps({"grades": grades}))
