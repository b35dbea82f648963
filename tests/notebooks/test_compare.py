"""Every kind of change of an output is found, and no change is none. The notebooks themselves: tests/browser."""

import os
import time

import pytest

from tests.notebooks.compare import differences, lines_of
from tests.notebooks.execute import CELL_TIMEOUT_S, CellFailed, execute, main, read
from tests.notebooks.kernels import PYTEST_VARIABLES
from tests.notebooks.toys import SHOW_SQUARE, code, notebook, save

RED_SQUARE = SHOW_SQUARE.format(colour="red")
PRINTS_AND_SHOWS = 'from IPython.display import display\nprint("a")\ndisplay("b")\nprint("c")'
SHOWS_LAST = 'from IPython.display import display\nprint("a")\nprint("c")\ndisplay("b")'
SEES_PYTEST = f"import os\nprint(sorted(os.environ.keys() & {PYTEST_VARIABLES}))"

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
UNCHANGED = [RED_SQUARE, PRINTS_AND_SHOWS]


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


def test_a_kernel_does_not_know_that_it_runs_under_pytest(tmp_path):
    assert "PYTEST_CURRENT_TEST" in os.environ
    assert lines_of(run(tmp_path / "toy.ipynb", SEES_PYTEST).cells[0])[0] == "stdout: []"


def test_a_kernel_has_no_port_that_another_process_can_take(tmp_path):
    asks = "from ipykernel import get_connection_info\nprint(get_connection_info(unpack=True)['transport'])"
    assert lines_of(run(tmp_path / "toy.ipynb", asks).cells[0])[0] == "stdout: ipc"


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
    assert time.monotonic() - start < CELL_TIMEOUT_S / 3  # a kernel alone may take ten seconds to start


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
