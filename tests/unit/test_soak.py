"""A notebook that fails, or changes, once in a while is found."""

import subprocess
import sys

import psutil
import pytest

from tests import soak
from tests.notebooks.execute import main as rebuild
from tests.notebooks.toys import code, notebook, save

COUNT = """\
from pathlib import Path
runs = Path("{file}")
runs.write_text(runs.read_text() + "x" if runs.exists() else "x")
count = len(runs.read_text())"""


@pytest.fixture(autouse=True)
def version(monkeypatch):
    monkeypatch.setenv("KAFKA_VERSION", "4.0.0")  # soak sets it; afterwards it is as before


def toy(tmp_path, last_cell):
    """A committed notebook that counts its runs, and ends with this cell."""
    path = save(notebook(COUNT.format(file=tmp_path / "runs"), last_cell), tmp_path / "01_toy.ipynb")
    assert rebuild([str(path)]) == 0  # run 1
    return path


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("assert count != 3", "FAILED 01_toy.ipynb, cell 2 (assert count != 3): AssertionError"),
        ("print(count == 3)", "CHANGED cell 2 (print(count == 3))"),
    ],
)
def test_a_toy_that_flakes_is_found(tmp_path, capsys, cell, words):
    assert soak.main([str(toy(tmp_path, cell)), "--runs", "2", "--versions", "4.0.0"]) == 1
    printed = capsys.readouterr().out.splitlines()
    assert "run 1, 4.0.0, 01_toy.ipynb: ok" in "\n".join(printed)
    assert f"run 2, 4.0.0, 01_toy.ipynb: {words}" in "\n".join(printed)
    assert printed[-1] == "01_toy.ipynb on 4.0.0: 1 of 2 runs ok"


def test_a_toy_that_does_not_flake_is_run_on_each_version_with_busy_cores(tmp_path, capsys, monkeypatch):
    spinning = []
    monkeypatch.setattr(soak.subprocess, "Popen", lambda *a: spinning.append(subprocess_popen(*a)) or spinning[-1])
    cell = code("import os\nprint(os.environ['KAFKA_VERSION'])", "nbval-ignore-output")
    assert soak.main([str(toy(tmp_path, cell)), "--runs", "1", "--busy"]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "01_toy.ipynb on 4.0.0: 1 of 1 runs ok",
        "01_toy.ipynb on 4.3.1: 1 of 1 runs ok",
    ]
    assert spinning
    assert not any(psutil.pid_exists(process.pid) for process in spinning)


subprocess_popen = subprocess.Popen


def test_status_from_the_command_line(tmp_path):
    path = toy(tmp_path, "assert count < 2")
    command = [sys.executable, "-m", "tests.soak", str(path), "--runs", "1", "--versions", "4.0.0"]
    assert subprocess.run(command, capture_output=True, timeout=60).returncode == 1
