"""How long each notebook runs, from a fresh kernel to its last cell."""

import statistics
import tempfile

from bench.lab import row, seconds, variables
from helpers.broker import stop
from tests.notebooks.execute import execute, notebook_paths

RUNS = 3


def measure():
    """A row for each notebook, its broker running already."""
    with tempfile.TemporaryDirectory() as home, variables(KAFKA_COURSE_HOME=home):
        try:
            return [one(path) for path in notebook_paths()]
        finally:
            stop(wipe=True)


def one(path):
    """The median of several runs."""
    times = [seconds(lambda: execute(path)) for _ in range(RUNS)]
    return row(f"chapter {path.stem}", statistics.median(times))
