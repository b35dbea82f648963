"""Write the times into the chapter tables of README and of 00_start_here.

python -m tests.notebooks.contents

A row's first cell links the notebook, its second says what it is for; the other two are written here: the time that a
learner needs, as the notebook says, and how long it runs, as `python -m bench chapters` has measured.
"""

import json
import math
import re

from tests.notebooks.execute import NOTEBOOKS, file_text, notebook_paths, read

ROOT = NOTEBOOKS.parent
README, START, MEASURED = ROOT / "README.md", NOTEBOOKS / "00_start_here.ipynb", ROOT / "bench" / "results.json"
HEADER = "| notebook | after it you can | time | all cells run in |\n|---|---|---|---|"
ROW = re.compile(r"^\| \[[^\]]+\]\((?:notebooks/)?(?P<file>\d\d_\w+\.ipynb)\) \|(?P<purpose>[^|]+)\|.*$", re.MULTILINE)


def times(path, measured):
    """("45 min", "27 s") of a notebook; measured: the rows of bench/results.json."""
    minutes = re.search(r"^\*\*Time\*\* (\d+) minutes", read(path).cells[0].source, re.MULTILINE)[1]
    [took] = [row["value"] for row in measured if row["name"] == f"chapter {path.stem}"]
    return f"{minutes} min", f"{math.ceil(took)} s"


def with_times(text, known):
    """The text with the times of every chapter in its table; known: {file: times(...)}. Raises KeyError."""

    def row(found):
        need, runs = known[found["file"]]
        return f"{found[0][: found.end('purpose') - found.start()]}| {need} | {runs} |"

    return ROW.sub(row, text)


def missing(text, names):
    """The notebooks that the table of this text does not list."""
    listed = {found["file"] for found in ROW.finditer(text)}
    return [name for name in names if name not in listed]


def known_times():
    """The times of every notebook, by its file's name."""
    measured = json.loads(MEASURED.read_text(encoding="utf-8"))
    return {path.name: times(path, measured) for path in notebook_paths()}


def main():
    """Writes both tables."""
    known = known_times()
    README.write_text(with_times(README.read_text(encoding="utf-8"), known), encoding="utf-8")
    nb = read(START)
    for cell in nb.cells:
        if HEADER in cell.source:
            cell.source = with_times(cell.source, known)
    START.write_text(file_text(nb), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
