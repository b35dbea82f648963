"""The chapter tables list every notebook, with the times that were measured."""

import pytest

from tests.notebooks.contents import HEADER, README, START, known_times, missing, with_times
from tests.notebooks.execute import notebook_paths, read

TABLE = f"{HEADER}\n| [03 Topics](notebooks/03_topics.ipynb) | choose keys | 45 min | 9 s |\n"


def table(path):
    """The text that holds the table."""
    if path.suffix == ".md":
        return path.read_text(encoding="utf-8")
    [text] = [cell.source for cell in read(path).cells if HEADER in cell.source]
    return text


@pytest.mark.parametrize("path", [README, START], ids=lambda path: path.name)
def test_every_chapter_is_listed_with_its_times(path):
    names = [other.name for other in notebook_paths() if other != path]
    assert missing(table(path), names) == []
    assert with_times(table(path), known_times()) == table(path), "python -m tests.notebooks.contents"


def test_a_chapter_that_is_not_listed_is_named():
    assert missing(TABLE, ["03_topics.ipynb", "04_offsets.ipynb"]) == ["04_offsets.ipynb"]


def test_other_times_are_another_table():
    assert with_times(TABLE, {"03_topics.ipynb": ("45 min", "9 s")}) == TABLE
    assert "| choose keys | 45 min | 12 s |\n" in with_times(TABLE, {"03_topics.ipynb": ("45 min", "12 s")})
