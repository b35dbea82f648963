"""Fixtures of the unit tests."""

import os
import signal
import subprocess

import psutil
import pytest

from helpers.broker import stop
from helpers.lab import open_lab, wait_until


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder for brokers of this test only; they are ended after it."""
    yield from own_home(monkeypatch, tmp_path / "home")


@pytest.fixture(scope="module")
def module_home(tmp_path_factory):
    """A folder for brokers of this module only; they are ended after it."""
    with pytest.MonkeyPatch.context() as patch:
        yield from own_home(patch, tmp_path_factory.mktemp("module") / "home")


def own_home(patch, folder):
    """Brokers are started in this folder, and ended after it; those of somebody else are left alone."""
    patch.setattr("helpers.broker.choose.compose_broker", lambda: None)
    patch.setenv("KAFKA_COURSE_HOME", str(folder))
    patch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    yield folder
    stop(wipe=True)


@pytest.fixture
def pause():
    """pause(pid): SIGSTOP; returns when the process stands still. On a busy machine it may answer before that."""

    def stand_still(pid):
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED, "the process to stand still")

    return stand_still


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MB; it is unmounted after the test."""
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.fixture(scope="module")
def lab_for(module_home):
    """lab_for(exercise) is the one lab, with the names of the exercise's chapter."""
    lab = open_lab("hello")

    def named(exercise):
        lab.prefix = exercise.chapter + "-"
        return lab

    yield named
    lab.close()
