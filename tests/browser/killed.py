"""Kill a notebook's kernel in the middle of its run, restart it, run all: does it show what is committed?

python -m tests.browser.killed notebooks/*.ipynb
"""

import argparse
import json
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import psutil

from tests.browser.lab import copy_course, running_lab
from tests.browser.page import (
    KERNEL_IS_IDLE,
    OPEN_TIMEOUT_MS,
    POLL_MS,
    RUN_IS_OVER,
    RUN_TIMEOUT_MS,
    opened,
    running_browser,
)
from tests.notebooks.compare import differences
from tests.notebooks.execute import normalise, read

SO_MANY_CELLS_ARE_DONE = """least => {
    const cells = [...window.jupyterapp.shell.currentWidget.context.model.cells];
    return cells.filter(cell => cell.type === 'code' && cell.executionCount).length >= least;
}"""
OK_BUTTON = ".jp-Dialog button.jp-mod-accept"


def killed_in_its_middle(browser, lab, name, committed):
    """What is wrong with a notebook, as sentences, after its kernel was killed and all was run again."""
    with opened(browser, lab, name) as page:
        page.choose("Edit", "Clear Outputs of All Cells")
        page.choose("Run", "Run All Cells")
        half = sum(cell.cell_type == "code" for cell in committed.cells) // 2
        page.page.wait_for_function(SO_MANY_CELLS_ARE_DONE, arg=half, polling=POLL_MS, timeout=RUN_TIMEOUT_MS)
        kill_kernel(lab)
        page.page.locator(OK_BUTTON).click(timeout=OPEN_TIMEOUT_MS)  # "The kernel appears to have died"
        page.page.wait_for_function(KERNEL_IS_IDLE, polling=POLL_MS, timeout=OPEN_TIMEOUT_MS)
        page.choose("Edit", "Clear Outputs of All Cells")
        page.choose("Run", "Restart Kernel and Run All Cells…")
        page.page.locator(OK_BUTTON).click(timeout=OPEN_TIMEOUT_MS)  # "Do you want to restart the kernel?"
        page.page.wait_for_function(RUN_IS_OVER, polling=POLL_MS, timeout=RUN_TIMEOUT_MS)
        return page.problems() + differences(committed, normalise(page.notebook()))


def kill_kernel(lab):
    """SIGKILL for the one kernel of this Lab, which knows it by its connection file."""
    [kernel] = json.loads(lab.request("api/kernels"))
    file = f"kernel-{kernel['id']}.json"
    [process] = [p for p in psutil.process_iter(["cmdline"]) if any(file in word for word in p.info["cmdline"] or [])]
    process.send_signal(signal.SIGKILL)


def main():
    """Exit status: 0 if every notebook showed what is committed, else 1."""
    parser = argparse.ArgumentParser(description="Kill each notebook's kernel in the middle, and run all again.")
    parser.add_argument("notebooks", nargs="+", type=Path)
    found = {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        root = copy_course(Path(folder) / "course")
        for path in parser.parse_args().notebooks:
            shutil.copy(path, root / "notebooks" / path.name)
            with running_lab(root, Path(folder) / path.stem) as lab, running_browser() as browser:
                found[path] = killed_in_its_middle(browser, lab, f"notebooks/{path.name}", read(path))
            print(f"{path.name}: {'; '.join(found[path]) or 'ok'}", flush=True)
    return 1 if any(found.values()) else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what is started here ends with it
    sys.exit(main())
