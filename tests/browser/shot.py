"""Take a picture of a notebook in JupyterLab.

python -m tests.browser.shot notebooks/01_first_message.ipynb picture.png [--dark] [--no-run]
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from tests.browser.lab import DARK, LIGHT, copy_course, running_lab
from tests.browser.page import opened, running_browser


def screenshot(notebook, png, theme=LIGHT, run=True):
    """What is wrong with a notebook, run first if `run` is true; its picture is written to the file `png`."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        root = copy_course(Path(folder) / "course")
        path = root / "notebooks" / Path(notebook).name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(notebook, path)
        own = Path(folder) / "own"
        with (
            running_lab(root, own, theme) as lab,
            running_browser() as browser,
            opened(browser, lab, f"notebooks/{path.name}") as page,
        ):
            if run:
                page.run_all()
            found = page.problems()
            page.picture(Path(png))
    return found


def main():
    """Exit status: 0 nothing wrong, 1 something wrong; the picture is written in both cases."""
    parser = argparse.ArgumentParser(description="Take a picture of a notebook in JupyterLab.")
    parser.add_argument("notebook", type=Path)
    parser.add_argument("png", type=Path)
    parser.add_argument("--dark", action="store_true", help="JupyterLab's dark theme")
    parser.add_argument("--no-run", action="store_true", help="show the committed outputs")
    options = parser.parse_args()
    theme = DARK if options.dark else LIGHT
    found = screenshot(options.notebook, options.png, theme, not options.no_run)
    print("\n".join([f"wrote {options.png}", *found]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
