"""The functions that a notebook calls."""

import difflib

import pandas as pd
from IPython.display import display
from kafka.errors import KafkaError

from ..lab import Lab, LabError, course
from ..observe.ask import ask
from . import results
from .chapters import EXERCISES
from .exercise import Correct, NotAttempted, NotReady, Outcome, unindented
from .learner import untouched

_hints_given = {}


def task(id, lab=None):
    """Shows the exercise. With the lab, makes its topics and groups afresh.

    Raises LabError for an id that does not exist, for another chapter's lab, and when no broker answers.
    """
    exercise = find(id)
    display(Markdown(exercise.text))
    if lab is not None:
        check_lab(exercise, lab)
        ask(lab, lambda admin: admin.describe_cluster())
        exercise.prepare(lab)


def check(id, lab, *answers):
    """Checks an attempt against the broker and prints its outcome.

    The outcome is: not attempted, correct, incorrect (what was seen, what was expected, what to try), your code raised
    (type, message, line), or broker not ready (the command that mends it). Raises LabError for an id that does not
    exist, for another chapter's lab, and for a wrong number of answers.
    """
    exercise = find(id)
    check_lab(exercise, lab)
    if len(answers) != len(exercise.answers):
        call = ", ".join([f'practice.check("{id}"', "lab", *exercise.answers])
        takes = f"{len(exercise.answers)} answer" + "s" * (len(exercise.answers) != 1)
        raise LabError(f"{id} is checked with {takes}, and got {len(answers)}.", "", f"{call})")
    outcome = examine(exercise, lab, answers)
    results.keep(id, outcome)
    print(outcome.text(id))


def examine(exercise, lab, answers):
    """The Outcome of an attempt."""
    try:
        ask(lab, lambda admin: admin.describe_cluster())
        for name, answer in zip(exercise.answers, answers, strict=True):
            if f"def {name}(" in exercise.start and not callable(answer) and not untouched(answer):
                return NotAttempted(f"{name} is {answer!r}: hand over the function itself, without brackets")
        if any(untouched(answer) for answer in answers):
            return NotAttempted(f"{' and '.join(exercise.answers)}: still to be written")
        return Correct(exercise.check(lab, *answers))
    except Outcome as outcome:
        return outcome
    except LabError as error:
        return NotReady(error.what, error.why, error.mend)
    except KafkaError as error:
        return NotReady("Kafka did not answer the checker.", str(error), course("doctor"))


def hint(id):
    """Prints one more hint each time; the last one stays."""
    hints = find(id).hints
    _hints_given[id] = min(_hints_given.get(id, 0) + 1, len(hints))
    print(f"Hint {_hints_given[id]} of {len(hints)}: {hints[_hints_given[id] - 1]}")


def solution(id):
    """Prints one way to do it."""
    exercise = find(id)
    print(exercise.first_line + unindented(exercise.reference))


def progress():
    """The exercises of the course as a DataFrame, in order: chapter, exercise, outcome (the best one so far)."""
    kept = results.read()
    rows = [(one.chapter, one.id, kept.get(one.id, NotAttempted.kind)) for one in EXERCISES]
    return pd.DataFrame(rows, columns=["chapter", "exercise", "outcome"])


def find(id):
    """The Exercise of this id. Raises LabError that names ids like it."""
    ids = [exercise.id for exercise in EXERCISES]
    if id not in ids:
        near = difflib.get_close_matches(str(id), ids) or ids
        raise LabError(f"There is no exercise {id!r}.", "", f"use one of: {', '.join(near)}")
    return EXERCISES[ids.index(id)]


def check_lab(exercise, lab):
    """Raises LabError unless lab is a lab of the exercise's chapter."""
    if not isinstance(lab, Lab) or not lab.prefix.endswith(exercise.chapter + "-"):
        raise LabError(
            f"{exercise.id} belongs to another lab.",
            f"the second argument is {'a lab for ' + lab.prefix if isinstance(lab, Lab) else repr(lab)}",
            f'lab = open_lab("{exercise.chapter}")',
        )


class Markdown:
    """Text that a notebook renders, and that anything else can print."""

    def __init__(self, source):
        self.source = unindented(source)

    def __repr__(self):
        return self.source

    def _repr_markdown_(self):
        return self.source
