"""The course's helpers: plumbing, looking and drawing. Kafka's own client stays in the notebooks."""

import importlib.util
import sys

# helpers.setup makes the environment; Python 3.9 has no orig_argv, and hears from helpers.setup that it is too old
_SETS_UP = "helpers.setup" in getattr(sys, "orig_argv", ["helpers.setup"])

if importlib.util.find_spec("kafka") is None and not _SETS_UP:
    sys.exit(
        "This Python does not have the course's packages.\n"
        f"  why:  {sys.executable} is not the environment that make setup makes\n"
        "  mend: make setup, then the same command with .venv/bin/python in place of python"
    )
