"""Kernels that a test starts: the environment that they get, and how they are spoken to."""

import os
import tempfile
import uuid
from pathlib import Path

from jupyter_client.manager import AsyncKernelManager, KernelManager

# ipykernel stops showing what subprocesses and C libraries print as soon as it sees the first of these.
PYTEST_VARIABLES = {"PYTEST_CURRENT_TEST", "PYTEST_XDIST_WORKER"}


def kernel_environment():
    """Our environment without pytest's own variables, so that a cell shows what it shows in JupyterLab."""
    return {name: value for name, value in os.environ.items() if name not in PYTEST_VARIABLES}


class _AsInJupyterLab:
    """A kernel manager whose kernel does not know that it runs under pytest.

    It is spoken to over sockets with names of their own (ipc), not over ports. Another process may take a port between
    its choice and its use: ipykernel 7.4 then lives on, and is silent.
    """

    def __init__(self, **settings):
        connection = Path(tempfile.gettempdir()) / f"kernel-{uuid.uuid4()}.json"
        super().__init__(transport="ipc", connection_file=str(connection), **settings)

    def start_kernel(self, **settings):
        return super().start_kernel(env=kernel_environment(), **settings)


class CourseKernelManager(_AsInJupyterLab, KernelManager):
    """For nbval, and for a test with a kernel of its own."""


class AsyncCourseKernelManager(_AsInJupyterLab, AsyncKernelManager):
    """For nbclient."""
