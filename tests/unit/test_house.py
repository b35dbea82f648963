"""The house rules that a script can see: who imports whom, and ruff."""

import ast
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

ROOT = Path(__file__).parents[2]
ROOMS = ("lab", "broker", "observe", "draw", "actors", "practice", "shop")
MAY_IMPORT = {
    "broker": set(),
    "lab": {"broker"},
    "observe": {"lab"},
    "draw": set(),
    "actors": {"lab"},
    "practice": {"observe", "lab"},
    "shop": {"actors", "lab", "draw"},  # draw: for its command line
    "setup": set(),
    "notebooks": {"lab", "observe", "draw", "actors", "practice", "shop"},
}


def imported_rooms(source, room=None):
    """The rooms of helpers that a piece of Python imports; room is where it stands."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{from_module(node, room)}.{alias.name}" for alias in node.names]
        else:
            continue
        found |= {part for name in names if name.startswith("helpers.") for part in name.split(".")[1:2]}
    return (found & set(ROOMS)) - {room}


def from_module(node, room):
    """The full name of the module in a from-import; inside a room, one dot is the room and two are helpers."""
    if not node.level:
        return node.module or ""
    base = "helpers" if node.level == 2 or room in {"lab", "setup"} else f"helpers.{room}"
    return f"{base}.{node.module}" if node.module else base


def broken_imports(sources):
    """(room, what it imports against the rules) for every (room, source)."""
    return [
        (room, sorted(wrong)) for room, source in sources if (wrong := imported_rooms(source, room) - MAY_IMPORT[room])
    ]


def helper_sources():
    for path in sorted((ROOT / "helpers").rglob("*.py")):
        room = path.relative_to(ROOT / "helpers").parts[0].removesuffix(".py")
        if room != "__init__":
            yield room, path.read_text()


def notebook_sources():
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                yield "notebooks", TransformerManager().transform_cell(cell.source)


def test_rooms_import_only_what_they_may():
    assert broken_imports(helper_sources()) == []


def test_notebooks_import_only_what_they_may():
    sources = list(notebook_sources())
    assert sources
    assert broken_imports(sources) == []


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("notebooks", "from helpers import broker"),
        ("notebooks", "from helpers.broker import start"),
        ("broker", "from helpers.lab import open_lab"),
        ("broker", "from ..lab import open_lab"),
        ("draw", "import helpers.observe"),
        ("lab", "from . import draw"),
        ("observe", "from ..broker import find"),
    ],
)
def test_a_forbidden_import_is_found(room, source):
    assert broken_imports([(room, source)])


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("notebooks", "from helpers.lab import open_lab"),
        ("broker", "from .errors import LabError"),
        ("lab", "from . import broker"),
        ("observe", "from ..lab import wait_until"),
    ],
)
def test_an_allowed_import_is_not(room, source):
    assert broken_imports([(room, source)]) == []


def bare_commands(source):
    """The texts of a piece of Python that tell to type python -m: a terminal's own python has none of the packages."""
    tree = ast.parse(source)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docstrings = {ast.get_docstring(node, clean=False) for node in ast.walk(tree) if isinstance(node, documented)}
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return sorted(text for text in texts - docstrings if "python -m " in text)


def test_no_mend_needs_an_activated_environment():
    program_names = {f"python -m helpers.{room}" for room in ("broker", "shop")}  # what --help calls the program
    assert {text for _, source in helper_sources() for text in bare_commands(source)} == program_names


def test_a_bare_command_is_found():
    assert bare_commands('"""python -m helpers.broker"""\nmend = f"{why}: python -m helpers.broker stop"')


@pytest.mark.parametrize("arguments", [["check"], ["format", "--check"]], ids=["check", "format"])
def test_ruff(arguments):
    done = subprocess.run([sys.executable, "-m", "ruff", *arguments, str(ROOT)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_ruff_complains_of_a_broken_notebook(tmp_path):
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("print(undefined_name)")])
    nbformat.write(nb, tmp_path / "x.ipynb")
    config = ["--config", str(ROOT / "pyproject.toml")]
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", *config, str(tmp_path)], capture_output=True, text=True
    )
    assert "F821" in done.stdout
