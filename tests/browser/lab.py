"""A real JupyterLab, with settings of its own, on a copy of the course."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.notebooks.execute import NOTEBOOKS
from tests.notebooks.kernels import kernel_environment

START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 20
REQUEST_TIMEOUT_S = 10
LIGHT, DARK = "JupyterLab Light", "JupyterLab Dark"


@dataclass
class Lab:
    """A running JupyterLab: its address, its token and the folder that it shows."""

    address: str
    token: str
    root: Path

    def link(self, path=""):
        """The address that opens a path of the server without asking for the token."""
        return f"{self.address}/{path}?token={self.token}&reset"

    def request(self, path, method="GET"):
        """The text that the server answers; raises OSError if it does not answer in time."""
        request = urllib.request.Request(self.link(path), method=method)
        with urllib.request.urlopen(request, timeout=REQUEST_TIMEOUT_S) as answer:
            return answer.read()

    def shut_down_kernels(self):
        """Ends every kernel of this Lab."""
        for session in json.loads(self.request("api/sessions")):
            self.request(f"api/sessions/{session['id']}", "DELETE")


def copy_course(root):
    """Copies the notebooks and their pictures to a folder, so that running them changes no committed file."""
    for folder in (NOTEBOOKS, NOTEBOOKS.parent / "assets"):
        if folder.is_dir():
            shutil.copytree(folder, root / folder.name, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    return root


@contextmanager
def running_lab(root, own, theme=LIGHT):
    """A Lab on the folder `root` that keeps its own files in the folder `own`; stopped at the end.

    Raises RuntimeError with JupyterLab's log if it does not answer in time.
    """
    write_settings(own / "settings", theme)
    lab = Lab(f"http://127.0.0.1:{free_port()}", secrets.token_hex(16), root)
    # the name of a kernel's socket must be short: not below own
    with tempfile.TemporaryDirectory(prefix="jupyter-") as runtime, (own / "lab.log").open("w") as log:
        process = subprocess.Popen(command(lab), env=environment(own, runtime), stdout=log, stderr=subprocess.STDOUT)
        try:
            wait_until_it_answers(lab, process, own / "lab.log")
            yield lab
        finally:
            stop(process)


def write_settings(folder, theme):
    """Settings without news, autosave or cells that are drawn only when scrolled to."""
    settings = {
        "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
        "apputils-extension/themes": {"theme": theme},
        "docmanager-extension/plugin": {"autosave": False},
        "notebook-extension/tracker": {"windowingMode": "none"},
    }
    for plugin, values in settings.items():
        path = folder / "@jupyterlab" / f"{plugin}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")


def environment(own, runtime):
    """Variables that keep JupyterLab away from the user's own settings and kernels."""
    return kernel_environment() | {
        "JUPYTER_CONFIG_DIR": str(own / "config"),
        "JUPYTER_RUNTIME_DIR": runtime,
        "JUPYTERLAB_SETTINGS_DIR": str(own / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(own / "workspaces"),
        "IPYTHONDIR": str(own / "ipython"),
    }


def command(lab):
    """The command line that starts this Lab, on loopback only."""
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": lab.address.rpartition(":")[2],
        "ServerApp.port_retries": 0,
        "ServerApp.root_dir": lab.root,
        "IdentityProvider.token": lab.token,
        "LabApp.extension_manager": "readonly",
        "LabApp.expose_app_in_browser": True,
        "LabApp.news_url": "",
        "KernelManager.transport": "ipc",  # as in tests/notebooks/kernels.py
    }
    flags = ["--no-browser", *["--allow-root"] * (os.name == "posix" and os.geteuid() == 0)]
    return [sys.executable, "-m", "jupyterlab", *flags, *[f"--{k}={v}" for k, v in options.items()]]


def free_port():
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_it_answers(lab, process, log):
    """Returns when JupyterLab answers; raises RuntimeError with its log if it stops or takes too long."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        if answers(lab):
            return
        time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not start within {START_TIMEOUT_S} s:\n{log.read_text()[-2000:]}")


def answers(lab):
    """Whether JupyterLab replies to a request."""
    try:
        lab.request("api/status")
    except OSError:
        return False
    return True


def stop(process):
    """Ends JupyterLab, which ends its kernels; kills it if it does not end in time."""
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
