"""Run notebooks in a fresh kernel and write their outputs the same way every time.

python -m tests.notebooks.execute [--check] [notebooks/03_topics.ipynb ...]
"""

import argparse
import re
import sys
import time
from itertools import groupby
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from tests.notebooks.kernels import AsyncCourseKernelManager

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
CELL_TIMEOUT_S = 120
KERNEL_START_TIMEOUT_S = 60
UNCOMPARED_TAGS = {"nbval-ignore-output", "nbval-skip"}
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
INSTALL_FOLDER = re.compile(r"[~/][^\s\x1b:]*/(?=site-packages/|lib/python3|helpers/)")


class CellFailed(Exception):
    """A cell of a notebook raised, ran too long or lost its kernel; the text says which and why."""


def notebook_paths(folder=NOTEBOOKS):
    """The notebooks of a folder, in the order of their numbers."""
    return sorted(folder.glob("*.ipynb"))


def read(path):
    """The notebook in a file."""
    return nbformat.read(path, as_version=4)


def code_cells(nb):
    """The code cells of a notebook, in order."""
    return [cell for cell in nb.cells if cell.cell_type == "code"]


def tags(cell):
    """The set of a cell's tags."""
    return set(cell.metadata.get("tags", []))


def label(number, cell):
    """How messages name a cell: its place in the notebook, from 1, and its first line."""
    first_line = cell.source.strip().split("\n")[0]
    return f"cell {number} ({first_line[:50]})"


def execute(path):
    """The notebook of a file, run from top to bottom in a fresh kernel, normalised and not written back.

    Raises CellFailed at the first cell that fails, unless it is tagged raises-exception.
    """
    path = Path(path).resolve()
    nb = read(path)
    forget_outputs(nb)
    started = []
    client = NotebookClient(
        nb,
        timeout=CELL_TIMEOUT_S,
        startup_timeout=KERNEL_START_TIMEOUT_S,
        kernel_name="python3",
        kernel_manager_class=AsyncCourseKernelManager,
        extra_arguments=["--log-level=ERROR"],
        record_timing=False,
        store_widget_state=False,
        resources={"metadata": {"path": str(path.parent)}},
        on_cell_start=lambda cell, cell_index: started.append(cell_index),
    )
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        where = label(started[-1] + 1, nb.cells[started[-1]])
        raise CellFailed(f"{path.name}, {where}: {reason(error)}") from error
    return normalise(nb)


def reason(error):
    """One line that says why a cell failed."""
    if isinstance(error, CellExecutionError):
        return f"{error.ename}: {error.evalue}"
    if isinstance(error, CellTimeoutError):
        return f"still running after {CELL_TIMEOUT_S} s"
    return "the kernel died"


def forget_outputs(nb):
    """Empties every code cell of what an earlier run left."""
    for cell in code_cells(nb):
        cell.outputs = []
        cell.execution_count = None


def normalise(nb):
    """The same notebook, without anything that differs from run to run or from machine to machine."""
    nb.metadata = nbformat.from_dict(METADATA)
    for cell in nb.cells:
        kept = {"tags": cell.metadata.tags} if tags(cell) else {}
        cell.metadata = nbformat.from_dict(kept)
    for count, cell in enumerate(code_cells(nb), 1):
        cell.execution_count = count
        cell.outputs = merge_streams(cell.outputs)
        for output in cell.outputs:
            normalise_output(output, count)
    nbformat.validate(nb)
    return nb


def merge_streams(outputs):
    """The outputs with neighbouring prints joined: one stdout, then one stderr, between two displays.

    nbclient's own `coalesce_streams` joins across displays too, and so hides which came first.
    """
    merged = []
    for is_stream, group in groupby(outputs, lambda output: output.output_type == "stream"):
        neighbours = list(group)
        merged += join_by_name(neighbours) if is_stream else neighbours
    return merged


def join_by_name(streams):
    """At most two outputs, stdout before stderr, that hold all the text of these."""
    texts = {name: "".join(s.text for s in streams if s.name == name) for name in ("stdout", "stderr")}
    return [nbformat.v4.new_output("stream", name=name, text=text) for name, text in texts.items() if text]


def normalise_output(output, count):
    """Gives an output its cell's count; drops widget views and the folders in which software is installed."""
    if output.output_type == "execute_result":
        output.execution_count = count
    if output.output_type == "error":
        output.traceback = [INSTALL_FOLDER.sub("", line) for line in output.traceback]
    output.get("data", {}).pop(WIDGET_VIEW, None)


def file_text(nb):
    """The text of the notebook's file."""
    return nbformat.writes(nb) + "\n"


def keep_uncompared_outputs(fresh, committed):
    """Puts the committed outputs back where a tag says that they differ from run to run."""
    for new, old in zip(fresh.cells, committed.cells, strict=True):
        if new.cell_type == "code" and tags(new) & UNCOMPARED_TAGS:
            new.outputs = old.outputs


def rebuild(path, check=False):
    """Whether a fresh run changes the file; writes it unless `check` is true. Raises CellFailed."""
    fresh = execute(path)
    if check:
        keep_uncompared_outputs(fresh, read(path))
    changed = file_text(fresh) != path.read_text(encoding="utf-8")
    if changed and not check:
        path.write_text(file_text(fresh), encoding="utf-8", newline="\n")
    return changed


def rebuild_and_report(path, check):
    """True if all is well with this notebook; prints one line about it."""
    start = time.monotonic()
    try:
        changed = rebuild(path, check)
    except CellFailed as error:
        print(f"FAILED   {error}. The file is left as it was.", flush=True)
        return False
    verdict = "would change" if changed and check else "rewritten" if changed else "unchanged"
    print(f"{verdict}: {path.name} ({time.monotonic() - start:.1f} s)", flush=True)
    return not (changed and check)


def main(arguments=None):
    """Exit status: 0 all well, 1 if a cell failed or, with --check, if a file would change."""
    parser = argparse.ArgumentParser(description="Run notebooks and write their outputs.")
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all of notebooks/")
    parser.add_argument("--check", action="store_true", help="write nothing, say what would change")
    options = parser.parse_args(arguments)
    paths = options.notebooks or notebook_paths()
    if not paths:
        print(f"There is no notebook in {NOTEBOOKS.name}/.")
        return 1
    verdicts = [rebuild_and_report(path, options.check) for path in paths]
    return 0 if all(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
