"""Runs JupyterLab, and ends the brokers that started meanwhile when it ends."""

import signal
import subprocess
import threading

from . import embedded
from .prefetch import prefetch

PATIENCE = 10  # seconds
ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def run(line):
    """Starts the broker, runs the command and returns its exit status; brokers that ran before are left alone.

    Ctrl-C, SIGTERM and a closed terminal end the command first, then the brokers.
    """
    before = _running()
    prefetch(verify=False)
    embedded.start()
    process = subprocess.Popen(line)
    for number in ENDING:
        signal.signal(number, lambda *_: _end(process))
    try:
        return process.wait()
    finally:
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)
        embedded.stop(only=lambda node: node.pid not in before)


def _end(process):
    """SIGTERM, and SIGKILL if that does not end it."""
    process.terminate()
    killer = threading.Timer(PATIENCE, process.kill)
    killer.daemon = True
    killer.start()


def _running():
    return {node.pid for cluster in embedded.clusters() for node in cluster.running()}
