"""Fixtures of the unit tests."""

import subprocess

import pytest

from helpers.broker import stop


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder for brokers of this test only; they are ended after it. A broker in Docker is left alone."""
    monkeypatch.setattr("helpers.broker.choose.compose_broker", lambda: None)
    monkeypatch.setenv("KAFKA_COURSE_HOME", str(tmp_path / "home"))
    yield tmp_path / "home"
    stop(wipe=True)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MB; it is unmounted after the test."""
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", folder], check=True)
