"""The README's two commands on a fresh clone, with the caches of this machine."""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from helpers.lab import wait_until
from tests.notebooks.kernels import kernel_environment

ROOT = Path(__file__).parents[2]
BASE_PYTHON = f"PYTHON={sys._base_executable}"
NO_NETWORK = {name: "http://127.0.0.1:1" for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")}


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A fresh clone in a folder with spaces and Korean letters, set up by make."""
    folder = tmp_path_factory.mktemp("카프카 lab") / "my course"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(folder)], check=True)
    done = make(folder, "setup")
    assert done.returncode == 0, done.stderr
    return folder


def environment(**more):
    """What a learner's terminal has: nothing of this test run."""
    kept = {name: value for name, value in kernel_environment().items() if not name.startswith("KAFKA_")}
    kept["PATH"] = os.pathsep.join(p for p in kept["PATH"].split(os.pathsep) if ".venv" not in p)
    return kept | {k: v for k, v in os.environ.items() if k == "KAFKA_COURSE_CACHE"} | more


def make(folder, *arguments, timeout=300, **more):
    line = ["make", "-s", *arguments, BASE_PYTHON]
    return subprocess.run(line, cwd=folder, env=environment(**more), capture_output=True, text=True, timeout=timeout)


def test_a_second_set_up_needs_no_network_and_little_time(clone):
    start = time.monotonic()
    done = make(clone, "setup", **NO_NETWORK)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - start < 15


def test_make_test_runs_the_tests_and_fails_when_they_do(clone):
    ruff = "TESTS=tests/unit/test_house.py -k test_ruff -n 0"
    assert make(clone, "test", ruff).returncode == 0
    (clone / "helpers" / "unused.py").write_text("import os\n")
    failed = make(clone, "test", ruff)
    (clone / "helpers" / "unused.py").unlink()
    assert failed.returncode != 0
    assert "F401" in failed.stdout


def test_the_first_notebook_gives_its_committed_outputs(clone):
    line = [clone / ".venv/bin/python", "-m", "tests.notebooks.execute", "--check", "notebooks/00_start_here.ipynb"]
    done = subprocess.run(line, cwd=clone, env=environment(), capture_output=True, text=True, timeout=300)
    make(clone, "stop")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_make_lab_opens_jupyterlab_and_ends_the_broker_with_it(clone, ending):
    log = clone / "lab.log"
    with log.open("w") as out:
        lab = subprocess.Popen(
            ["make", "-s", "lab", BASE_PYTHON, "BROWSER=none"],
            cwd=clone,
            env=environment(BROWSER="/bin/true"),
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        wait_until(lambda: address(log), "the address of JupyterLab", deadline=60)
        wait_until(lambda: fetched(address(log)), "JupyterLab to listen: it prints its address before", deadline=20)
        page = fetched(address(log))
        assert b"JupyterLab" in page
        assert b"@jupyterlab/apputils-extension:announcements" in page, "it does not ask about news"
        picture = re.sub(r"/lab\S*\?", "/files/assets/001-kafka-summary.svg?", address(log))
        assert b"<svg" in fetched(picture), "the notebooks' pictures are served"
        assert len(brokers_in(clone)) == 1
        os.killpg(lab.pid, ending)
        lab.wait(timeout=30)
        wait_until(lambda: not everything_in(clone), "every process to end", deadline=30)
    finally:
        for process in everything_in(clone):
            process.kill()


def address(log):
    """The address that JupyterLab printed, token and all; None before it did."""
    found = re.search(r"http://(?:localhost|127\.0\.0\.1):\d+/lab\S*token=\w+", log.read_text())
    return found and found.group(0)


def fetched(url):
    """What the address serves; None while nobody listens there."""
    try:
        return urllib.request.urlopen(url, timeout=20).read()
    except urllib.error.URLError:
        return None


def everything_in(folder):
    """The processes that run in this folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def brokers_in(folder):
    """The brokers among them."""
    return [p for p in everything_in(folder) if any(word.startswith("-Dkafka.course.node") for word in p.cmdline())]
