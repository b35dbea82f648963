"""Every notebook keeps the rules, and every rule can fail."""

import pytest
from nbformat.v4 import new_output

from tests.notebooks import lint, navigation
from tests.notebooks.execute import notebook_paths, read
from tests.notebooks.toys import code, markdown, notebook, png, save

OPENING = """\
# Read a topic

**You will be able to**
- read a topic

**Time** 10 minutes

**Before this** [the start](00_start_here.ipynb)"""
PROSE = "This cell does one small thing, and these words say what it is."
PICTURE = "![a broker](../assets/broker.png)"
CLOSING = "## Recap\n\nWe read.\n\n## Exercises\n\nRead more.\n\n## Where next\n\n[Back to the recap](#Recap)"


def good_notebook():
    """A notebook that keeps every rule; OPENS, DRAWS and RAISES are the places of its code cells."""
    nb = notebook(
        markdown(OPENING),
        markdown(PROSE + PICTURE),
        code('lab = open_lab("reading")', "setup"),
        markdown(f"## Draw it\n\n{PROSE}"),
        code("draw()"),
        markdown(PROSE),
        code("1 / 0", "raises-exception"),
        markdown(CLOSING),
        markdown("", "navigation"),
    )
    for count, cell in enumerate([nb.cells[place] for place in (OPENS, DRAWS, RAISES)], 1):
        cell.execution_count = count
    nb.cells[OPENS].outputs = [prints("Kafka 4.0.0")]
    nb.cells[DRAWS].outputs = [new_output("display_data", {"image/png": png("red")}), prints("a red square")]
    nb.cells[RAISES].outputs = [new_output("error", ename="ZeroDivisionError", evalue="division by zero")]
    return nb


FIRST, PICTURED, OPENS, DRAWS, RAISES, CLOSES = 0, 1, 2, 4, 6, 7
NAME = "01_reading.ipynb"


def prints(text):
    """The output of a cell that prints this text."""
    return new_output("stream", name="stdout", text=text)


@pytest.fixture
def course(tmp_path):
    """A course folder with a start notebook, a picture and the good notebook, navigation written."""
    save(notebook(markdown("# Start here")), tmp_path / "notebooks" / "00_start_here.ipynb")
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "broker.png").write_bytes(b"")
    navigation.write(save(good_notebook(), tmp_path / "notebooks" / NAME))
    return tmp_path / "notebooks"


def set_source(place, source):
    """A breakage: the cell at this place gets another source."""
    return lambda nb: nb.cells[place].update(source=source)


def replace(place, old, new):
    """A breakage: in the source of the cell at this place, one text takes the place of another."""
    return lambda nb: nb.cells[place].update(source=nb.cells[place].source.replace(old, new))


def append(place, text):
    """A breakage: the cell at this place gets a text more."""
    return lambda nb: nb.cells[place].update(source=f"{nb.cells[place].source}\n\n{text}")


def set_output(*outputs):
    """A breakage: the drawing cell has these outputs."""
    return lambda nb: nb.cells[DRAWS].update(outputs=list(outputs))


def set_tags(place, *tags):
    """A breakage: the cell at this place has these tags."""
    return lambda nb: nb.cells[place].metadata.update(tags=list(tags))


def predicted(form, happened):
    """A change: the drawing cell has a prediction of this form, and prints what happened."""

    def change(nb):
        append(DRAWS, f'practice.predict("one", ..., {form})\npractice.reveal("one", 1)')(nb)
        nb.cells[DRAWS].outputs.append(prints(f"No prediction made. What happened: {happened}.\n"))

    return change


def shows(mime, data):
    """The output of a cell that displays this data."""
    return new_output("display_data", {mime: data})


BREAKAGES = [
    (lint.title, replace(FIRST, "# Read", "## Read")),
    (lint.title, append(CLOSES, "# A second title")),
    (lint.title, replace(FIRST, "# Read", "# Chapter 1: read")),
    (lint.opening, replace(FIRST, "- read", "read")),
    (lint.opening, replace(FIRST, "**Time**", "Time")),
    (lint.opening, replace(FIRST, "**Before this**", "**Before**")),
    (lint.closing, replace(CLOSES, "## Recap", "## Summary")),
    (lint.closing, replace(CLOSES, "## Exercises", "## Practice")),
    (lint.closing, append(CLOSES, "## One more thing")),
    (lint.setup, set_tags(OPENS)),
    (lint.setup, set_source(OPENS, "lab = None")),
    (lint.navigation_cell, set_source(-1, "[Next](02_next.ipynb)")),
    (lint.navigation_cell, set_tags(-1)),
    (lint.code_length, set_source(DRAWS, "\n".join("x = 1" for _ in range(16)))),
    (lint.words_before_code, set_source(DRAWS - 1, "Now draw it.\n\n```text\n" + PROSE + "\n```")),
    (lint.words_before_code, append(DRAWS - 1, "word " * 120)),
    (lint.words_before_code, lambda nb: nb.cells.pop(DRAWS - 1)),
    (lint.counts, lambda nb: nb.cells[DRAWS].update(execution_count=7)),
    (lint.counts, lambda nb: nb.cells[DRAWS].update(execution_count=None)),
    (lint.errors, set_tags(RAISES)),
    (lint.errors, lambda nb: nb.cells[RAISES].update(outputs=[])),
    (lint.known_tags, set_tags(DRAWS, "nbval-test-listed")),
    (lint.known_tags, set_tags(CLOSES, "recap")),
    (lint.ids, lambda nb: nb.cells[DRAWS].update(id=nb.cells[OPENS].id)),
    (lint.forbidden_code, append(DRAWS, "# NBVAL_IGNORE_OUTPUT")),
    (lint.forbidden_code, append(DRAWS, "clear_output()")),
    (lint.forbidden_code, append(DRAWS, "handle.update_display(1)")),
    (lint.forbidden_code, append(DRAWS, "@interact\ndef f(x): pass")),
    (lint.sleeps, append(DRAWS, "import time\nwhile True:\n    time.sleep(1)")),
    (lint.subprocesses, append(DRAWS, "subprocess.run(['ls'], check=True)")),
    (lint.predictions, append(DRAWS, 'practice.predict("one", ..., int)')),
    (lint.predictions, predicted('["a", "b"]', "'c'")),
    (lint.predictions, predicted("int", "'c'")),
    (lint.exercise_topics, set_source(DRAWS, 'practice.task("own-name", lab)')),
    (lint.changing_outputs, set_output(prints("<Consumer at 0x7f3a2b1c>"))),
    (lint.changing_outputs, set_output(prints("/tmp/ipykernel_12/3.py"))),
    (lint.changing_outputs, set_output(prints("\x1b[32m/home/ada/kafka\x1b[0m"))),
    (lint.changing_outputs, set_output(shows("text/html", "<td>2026-03-01T10:00:00</td>"))),
    (lint.changing_outputs, set_output(prints("timestamp=1767225600123"))),
    (lint.changing_outputs, set_output(prints("localhost:45123"))),
    (lint.svg_outputs, set_output(shows("image/svg+xml", "<svg/>"))),
    (lint.figure_text, set_output(prints("a red square"), shows("image/png", png("red")))),
    (lint.output_size, set_output(prints("x" * 500_001))),
    (lint.markdown_that_shows, append(CLOSES, "<svg><circle/></svg>")),
    (lint.markdown_that_shows, append(CLOSES, "> [!NOTE]\n> Kafka keeps the record.")),
    (lint.links, append(CLOSES, "[next](09_none.ipynb)")),
    (lint.links, append(CLOSES, "[above](#draw-it)")),
    (lint.links, append(CLOSES, "[start](00_start_here.ipynb#Nowhere)")),
    (lint.images, replace(PICTURED, "broker.png", "none.png")),
    (lint.images, replace(PICTURED, "../assets/", "https://example.org/")),
    (lint.images, replace(PICTURED, "![a broker]", "![]")),
    (lint.images, append(PICTURED, "![one](attachment:none.png)")),
]

ALLOWED = [
    predicted('["a", "b"]', "'b'"),
    predicted("[True, False]", "False"),
    predicted("int", "2"),
    append(CLOSES, "[above](#Draw-it) [start](00_start_here.ipynb#Start-here) [web](https://kafka.apache.org)"),
    append(CLOSES, "```text\n<svg> [x](none.ipynb) > [!NOTE]\n```"),
    append(DRAWS, "def slow(record):\n    time.sleep(1)"),
    append(DRAWS, "subprocess.run(['ls'], capture_output=True)"),
    append(DRAWS, "!kafka-topics --list"),
    set_output(prints("localhost:9092, partition 0, offset 2026, 0xFF")),
]


def test_there_are_notebooks():
    assert notebook_paths(), "notebooks/ holds no notebook"


@pytest.mark.parametrize("path", notebook_paths(), ids=lambda path: path.stem)
def test_notebook_keeps_the_rules(path):
    found = lint.findings(read(path), path.name)
    assert not found, "\n".join(["", *found])


def test_good_notebook_has_no_findings(course):
    assert lint.findings(read(course / NAME), NAME, course) == []


@pytest.mark.parametrize(("rule", "breakage"), BREAKAGES, ids=lambda value: getattr(value, "__name__", ""))
def test_rule_fires(course, rule, breakage):
    nb = read(course / NAME)
    breakage(nb)
    assert list(rule(lint.Lesson(nb, NAME, course))), f"{rule.__name__} found nothing"
    assert lint.findings(nb, NAME, course)


@pytest.mark.parametrize("change", ALLOWED)
def test_allowed_change_has_no_findings(course, change):
    nb = read(course / NAME)
    change(nb)
    assert lint.findings(nb, NAME, course) == []


def test_file_name_rule_fires(course):
    assert list(lint.file_name(lint.Lesson(good_notebook(), "Reading.ipynb", course)))


def test_every_rule_has_a_breakage():
    assert {rule for rule, _ in BREAKAGES} | {lint.file_name} == set(lint.RULES)


def test_empty_notebook_is_a_finding():
    assert lint.findings(notebook(), NAME)


def test_ignored_output_may_change(course):
    nb = read(course / NAME)
    set_output(prints("localhost:45123"))(nb)
    set_tags(DRAWS, "nbval-ignore-output")(nb)
    assert lint.findings(nb, NAME, course) == []


def test_start_notebook_needs_no_exercises(course):
    nb = good_notebook()
    replace(CLOSES, "## Exercises", "")(nb)
    assert not list(lint.closing(lint.Lesson(nb, "00_start_here.ipynb", course)))


def test_navigation_names_the_neighbours(course):
    contents = "[Contents](00_start_here.ipynb)"
    assert navigation.links(NAME, course) == f"[← Start here](00_start_here.ipynb) · {contents}"
    first = navigation.links("00_start_here.ipynb", course)
    assert first == f"{contents} · [Read a topic →](01_reading.ipynb)"
