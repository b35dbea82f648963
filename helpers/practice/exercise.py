"""What an exercise is, and how an attempt at it can end."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from textwrap import dedent


@dataclass(frozen=True)
class Exercise:
    """One exercise, complete. Its sources run where `lab` is the open lab, after its first line."""

    id: str
    chapter: str  # of open_lab
    text: str  # Markdown
    check: Callable  # check(lab, *answers) returns what it saw when all is right, else raises an Outcome
    hints: list[str]
    reference: str  # source code that is right
    wrong: dict[str, tuple[str, str]]  # name: (source code, a piece of the outcome's text)
    answers: list[str] = field(default_factory=list)  # the variables that practice.check is given
    start: str = ""  # source code of the learner's cell before the learner came
    prepare: Callable = lambda lab: None  # makes the exercise's topics and groups afresh
    topic: str = ""  # the short name of the topic that the learner's cell works with

    @property
    def first_line(self):
        """What the learner's cell begins with: each exercise's own `topic`, whichever was done before it."""
        return f'topic = lab.name("{self.topic}")\n' if self.topic else ""


class Outcome(Exception):
    """How an attempt ended: its kind, and lines of (label, text). Never reaches the learner as an exception."""

    kind = ""

    def __init__(self, *lines):
        self.lines = [(label, text) for label, text in lines if text]
        super().__init__("; ".join(text for _, text in self.lines))

    def text(self, id):
        """What the learner reads."""
        return "\n".join([f"{id}: {self.kind}", *(f"  {label + ':':<9} {text}" for label, text in self.lines)])


class NotAttempted(Outcome):
    """The broker, or the answer, is as the exercise began; advice is for those who have tried."""

    kind = "not attempted"

    def __init__(self, seen, advice=""):
        super().__init__(("seen", seen), ("try", advice))


class Incorrect(Outcome):
    """What was seen, what kind of thing was expected, and what to try next."""

    kind = "incorrect"

    def __init__(self, seen, expected, advice):
        super().__init__(("seen", seen), ("expected", expected), ("try", advice))


class Correct(Outcome):
    """What was seen, when all is right."""

    kind = "correct"

    def __init__(self, seen):
        super().__init__(("seen", seen))


class NotReady(Outcome):
    """The broker did not answer, and so nothing was judged."""

    kind = "broker not ready"

    def __init__(self, what, why, mend):
        super().__init__(("seen", what), ("why", why), ("mend", mend))


def unindented(source):
    """A source or a text of an exercise, as it would stand in a cell."""
    return dedent(source).strip()


def own_loop(source):
    """The source of an actor's function with a plain loop in place of `for ... in me.records(consumer)`.

    It asks for the topic's partitions, else kafka-python 3.0.12 may join before it knows them, and stay without.
    """
    plain = r"while consumer.partitions_for_topic(topic) and not me.stopping:\1consumer.poll(timeout_ms=200)"
    return re.sub(r"for \w+ in me\.records\(consumer\):(\s+)pass", plain, source)
