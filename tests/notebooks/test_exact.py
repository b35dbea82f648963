"""A fresh run gives every committed output again: in order, and picture by picture.

nbval cannot see pictures, the order of outputs, or that a kernel has died. Pictures are compared pixel by
pixel, which holds only with the locked versions of Python, matplotlib and the fonts.
"""

import base64
import hashlib
import io
import json
import time
from itertools import zip_longest

import pytest
from PIL import Image

from tests.notebooks.execute import (
    UNCOMPARED_TAGS,
    CellFailed,
    execute,
    label,
    main,
    notebook_paths,
    read,
    tags,
)
from tests.notebooks.toys import SHOW_SQUARE, code, notebook, save

SHOWN_CHARACTERS = 70


def differences(committed, fresh):
    """One sentence for each cell whose committed outputs are not those of the fresh run."""
    found = []
    for number, (old, new) in enumerate(zip(committed.cells, fresh.cells, strict=True), 1):
        if old.cell_type == "code" and not tags(old) & UNCOMPARED_TAGS:
            found += [f"{label(number, old)}: {what}" for what in cell_differences(old, new)]
    return found


def cell_differences(old, new):
    """What is wrong with one cell: at most one sentence about its error, and one about its outputs."""
    if "raises-exception" in tags(new) and not any(o.output_type == "error" for o in new.outputs):
        yield "tagged raises-exception, but it did not raise"
    for committed, now in zip_longest(lines_of(old), lines_of(new), fillvalue="nothing"):
        if committed != now:
            yield f"\n  committed {shorten(committed, now)}\n  now       {shorten(now, committed)}"
            return


def lines_of(cell):
    """Everything a cell shows, as lines of text; a picture is one line."""
    return [line for output in cell.outputs for line in output_lines(output)]


def output_lines(output):
    """The lines of one output, each with its kind in front."""
    if output.output_type == "stream":
        return [f"{output.name}: {line}" for line in output.text.split("\n")]
    if output.output_type == "error":
        return [f"error: {line}" for line in f"{output.ename}: {output.evalue}".split("\n")]
    shown = [line for mime in sorted(output.data) for line in data_lines(mime, output.data[mime])]
    return [f"{output.output_type} {line}" for line in shown]


def data_lines(mime, data):
    """The lines of one representation of an output."""
    if mime == "image/png":
        return [f"{mime}: {picture(data)}"]
    text = data if isinstance(data, str) else json.dumps(data, sort_keys=True)
    return [f"{mime}: {line}" for line in text.split("\n")]


def picture(data):
    """The size of a picture and a short fingerprint of its pixels."""
    image = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
    return f"{image.width}x{image.height} pixels {hashlib.sha256(image.tobytes()).hexdigest()[:8]}"


def shorten(text, other):
    """A line cut to a readable length, around the first place where it differs from another."""
    same = next((i for i, (a, b) in enumerate(zip(text, other, strict=False)) if a != b), 0)
    start = max(0, same - SHOWN_CHARACTERS // 2)
    cut = text[start : start + SHOWN_CHARACTERS]
    return f"{'…' * (start > 0)}{cut}{'…' * (start + SHOWN_CHARACTERS < len(text))}"


def test_there_are_notebooks():
    assert notebook_paths(), "notebooks/ holds no notebook"


# nbval runs every notebook on the default version, so this is the run on the other.
@pytest.mark.parametrize("path", notebook_paths(), ids=lambda path: path.stem)
def test_outputs_are_exactly_the_committed_ones(path, monkeypatch):
    monkeypatch.setenv("KAFKA_VERSION", "4.3.1")
    found = differences(read(path), execute(path))
    assert not found, "\n".join(["", *found])


RED_SQUARE = SHOW_SQUARE.format(colour="red")
PRINTS_AND_SHOWS = 'from IPython.display import display\nprint("a")\ndisplay("b")\nprint("c")'
SHOWS_LAST = 'from IPython.display import display\nprint("a")\nprint("c")\ndisplay("b")'
SUBPROCESS_PRINTS = 'import subprocess\nsubprocess.run(["echo", "hello"])'

CHANGES = {
    "other picture": (RED_SQUARE, SHOW_SQUARE.format(colour="white"), "pixels"),
    "missing figure": (RED_SQUARE, 'print("a red square")', "now       stdout: a red square"),
    "other stdout": ('print("one")', 'print("two")', "now       stdout: two"),
    "no stdout": ('print("one")', "", "now       nothing"),
    "other order": (PRINTS_AND_SHOWS, SHOWS_LAST, "now       stdout: c"),
    "other stream": ("print(1)", "import sys\nprint(1, file=sys.stderr)", "now       stderr: 1"),
    "other error": ("1 / 0", "int('x')", "now       error: ValueError"),
    "no error": ("1 / 0", "1 / 1", "did not raise"),
}
UNCHANGED = [RED_SQUARE, PRINTS_AND_SHOWS, SUBPROCESS_PRINTS]


def run(path, *cells):
    """What executing a notebook of these cells gives."""
    return execute(save(notebook(*cells), path))


def changing(source):
    """A cell that may raise if it is one of those that do."""
    return code(source, *["raises-exception"] * source.startswith(("1 /", "int")))


@pytest.fixture(scope="module")
def changed(tmp_path_factory):
    """The differences between two runs, by the name of the change that one cell makes."""
    path = tmp_path_factory.mktemp("changed") / "toy.ipynb"
    committed = run(path, *[changing(before) for before, _, _ in CHANGES.values()])
    fresh = run(path, *[changing(after) for _, after, _ in CHANGES.values()])
    pairs = zip(committed.cells, fresh.cells, strict=True)
    return {name: differences(notebook(old), notebook(new)) for name, (old, new) in zip(CHANGES, pairs, strict=True)}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_found(changed, name):
    found = "\n".join(changed[name])
    assert CHANGES[name][-1] in found
    assert len(found) < 400


def test_no_change_is_no_difference(tmp_path):
    ignored = code("print(object())", "nbval-ignore-output")
    first, second = (run(tmp_path / "toy.ipynb", *UNCHANGED, ignored) for _ in range(2))
    assert differences(first, second) == []
    assert "stdout: hello" in lines_of(first.cells[2]), "a subprocess prints, as in JupyterLab"


def test_outputs_keep_their_order(tmp_path):
    shown = lines_of(run(tmp_path / "toy.ipynb", PRINTS_AND_SHOWS).cells[0])
    assert [line for line in shown if line != "stdout: "] == [
        "stdout: a",
        "display_data text/plain: 'b'",
        "stdout: c",
    ]


def test_a_dead_kernel_is_reported_at_once(tmp_path):
    start = time.monotonic()
    with pytest.raises(CellFailed, match="the kernel died"):
        run(tmp_path / "toy.ipynb", "import os\nos._exit(1)")
    assert time.monotonic() - start < 10


def test_a_failing_notebook_is_named_and_left_alone(tmp_path, capsys):
    path = save(notebook("x = 1", "missing_name"), tmp_path / "toy.ipynb")
    before = path.read_bytes()
    assert main([str(path)]) == 1
    assert "toy.ipynb, cell 2 (missing_name): NameError: name 'missing_name'" in capsys.readouterr().out
    assert path.read_bytes() == before


def test_outputs_are_rebuilt_once_and_then_stay(tmp_path):
    path = save(notebook(RED_SQUARE, code("id(object())", "nbval-ignore-output")), tmp_path / "toy.ipynb")
    before = path.read_bytes()
    assert main(["--check", str(path)]) == 1
    assert path.read_bytes() == before
    assert main([str(path)]) == 0
    assert main(["--check", str(path)]) == 0
    assert [cell.execution_count for cell in read(path).cells] == [1, 2]
