"""The environment variables that a notebook's kernel gets when a test starts it."""

import os

# ipykernel stops showing what subprocesses and C libraries print as soon as it sees the first of these.
PYTEST_VARIABLES = {"PYTEST_CURRENT_TEST", "PYTEST_XDIST_WORKER"}


def kernel_environment():
    """Our environment without pytest's own variables, so that a cell shows what it shows in JupyterLab."""
    return {name: value for name, value in os.environ.items() if name not in PYTEST_VARIABLES}
