"""Answers to exercises, executed as cells are, and what the checker says of them."""

import itertools
import linecache

from helpers.practice import chapters, session
from helpers.practice.chapters import groups, rebalancing, shop_design, shop_sequence
from helpers.practice.exercise import unindented

OF_TEAMS = [one for chapter in (groups, rebalancing, shop_design, shop_sequence) for one in chapter.EXERCISES]
OTHERS = [one for one in chapters.EXERCISES if one not in OF_TEAMS]

numbers = itertools.count()


def run(source, namespace):
    """Executes an answer as a cell would, so that its lines can be quoted."""
    source, name = unindented(source), f"<cell {next(numbers)}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    exec(compile(source, name, "exec"), namespace)


def outcome(exercise, lab, source):
    """The Outcome of an answer, after a fresh start of the exercise."""
    namespace = {"lab": lab}
    exercise.prepare(lab)
    run(exercise.first_line + unindented(exercise.start), namespace)
    run(source, namespace)
    return session.examine(exercise, lab, [namespace[name] for name in exercise.answers])


def called_answer(exercise):
    """The name of the function or class that the checker calls; None if the learner's cell runs by itself."""
    return next(
        (name for name in exercise.answers if f"def {name}" in exercise.start or f"class {name}" in exercise.start),
        None,
    )


def failures(exercise, lab):
    """What is wrong with an exercise, as sentences."""
    expected = {"nothing": ("", "not attempted", ""), "reference": (exercise.reference, "correct", "")}
    expected |= {name: (source, "incorrect", text) for name, (source, text) in exercise.wrong.items()}
    if name := called_answer(exercise):
        source = f'def {name}(*arguments):\n    raise ValueError("spilled tea")'
        expected["raising"] = (source, "your code raised ValueError", "spilled tea")
    for name, (source, kind, text) in expected.items():
        found = outcome(exercise, lab, source)
        if found.kind != kind or text not in found.text(exercise.id):
            yield f"{exercise.id}, {name}: not {kind!r} with {text!r}, but\n{found.text(exercise.id)}"
        if name == "raising" and ("line 2:", 'raise ValueError("spilled tea")') not in [
            (f"{a}:", b) for a, b in found.lines
        ]:
            yield f"{exercise.id}: the learner's line is not quoted in\n{found.text(exercise.id)}"
