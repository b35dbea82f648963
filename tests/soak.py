"""Run notebooks again and again on each Kafka version, to find what fails once in a while.

python -m tests.soak notebooks/05* notebooks/06* --runs 20 [--busy]
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

from helpers.broker import stop
from tests.notebooks.compare import differences
from tests.notebooks.execute import CellFailed, execute, keep_uncompared_outputs, read

VERSIONS = ["4.0.0", "4.3.1"]
SPIN = [sys.executable, "-c", "while True: pass"]


def soak(paths, runs, versions):
    """Runs each notebook so often on each version, a line a run; returns {(name, version): [what went wrong]}."""
    flakes = {}
    for number in range(1, runs + 1):
        for version in versions:
            os.environ["KAFKA_VERSION"] = version
            for path in paths:
                begin = time.monotonic()
                wrong = run_once(path)
                print(
                    f"run {number}, {version}, {path.name}: {wrong or 'ok'} ({time.monotonic() - begin:.1f} s)",
                    flush=True,
                )
                flakes.setdefault((path.name, version), []).extend([wrong] if wrong else [])
    return flakes


def run_once(path):
    """What is wrong with one run of a notebook, in a sentence; "" when its outputs are the committed ones."""
    committed = read(path)
    try:
        fresh = execute(path)
    except CellFailed as error:
        return f"FAILED {error}"
    keep_uncompared_outputs(fresh, committed)
    found = differences(committed, fresh)
    return "CHANGED " + "; ".join(found) if found else ""


@contextlib.contextmanager
def own_brokers():
    """Brokers in a folder of their own, which end with it: a lab that is open in this checkout goes on."""
    with (
        tempfile.TemporaryDirectory(prefix="kafka-course-") as home,
        mock.patch.dict(os.environ, KAFKA_COURSE_HOME=home),
    ):
        try:
            yield
        finally:
            stop(wipe=True)


@contextlib.contextmanager
def busy():
    """Keeps every core busy meanwhile."""
    spinning = [subprocess.Popen(SPIN) for _ in range(os.cpu_count())]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def main(arguments=None):
    """Exit status: 0 if every run gave the committed outputs, else 1."""
    parser = argparse.ArgumentParser(description="Run notebooks again and again.")
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--runs", type=int, default=20, help="of each notebook on each version")
    parser.add_argument("--busy", action="store_true", help="keep all cores busy meanwhile")
    parser.add_argument("--versions", nargs="+", default=VERSIONS, help=f"of Kafka, default: {' '.join(VERSIONS)}")
    options = parser.parse_args(arguments)
    with own_brokers(), busy() if options.busy else contextlib.nullcontext():
        flakes = soak(options.notebooks, options.runs, options.versions)
    for (name, version), wrong in flakes.items():
        print(f"{name} on {version}: {options.runs - len(wrong)} of {options.runs} runs ok")
    return 1 if any(flakes.values()) else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what is started here ends with it
    sys.exit(main())
