"""Kafka's command line tools on the PATH: the real ones, with their real flags."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from helpers.broker import jars, tools
from helpers.broker.places import known_versions
from helpers.lab import open_lab

BIN = Path(sys.executable).parent


def run(tool, *arguments, typed=None):
    return subprocess.run([BIN / tool, *arguments], input=typed, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("version", ["4.0.0", "4.3.1"])
def test_the_example_of_the_notes(home, monkeypatch, version):
    monkeypatch.setenv("KAFKA_VERSION", version)
    lab = open_lab("cli")
    topic, where = lab.name("test-topic"), ("--bootstrap-server", lab.bootstrap)
    created = run(
        "kafka-topics", "--create", "--topic", topic, *where, "--partitions", "1", "--replication-factor", "1"
    )
    assert (created.stdout, created.stderr) == (f"Created topic {topic}.\n", "")
    produced = run("kafka-console-producer", *where, "--topic", topic, typed="hello kafka\n")
    assert (produced.returncode, produced.stderr) == (0, "")
    read = run("kafka-console-consumer", *where, "--topic", topic, "--from-beginning", "--max-messages", "1")
    assert read.stdout == "hello kafka\n"
    assert f"{topic}:0:1" in run("kafka-get-offsets", *where, "--topic", topic).stdout
    segment = lab.log_folder(topic, 0) / "00000000000000000000.log"
    assert "payload: hello kafka" in run("kafka-dump-log", "--print-data-log", "--files", str(segment)).stdout
    assert "LeaderId:" in run("kafka-metadata-quorum", *where, "describe", "--status").stdout
    assert "Produce(0)" in run("kafka-broker-api-versions", *where).stdout
    assert topic in run("kafka-configs", *where, "--describe", "--topic", topic).stdout
    assert run("kafka-consumer-groups", *where, "--list").returncode == 0
    assert run("kafka-topics", "--delete", "--topic", topic, *where).returncode == 0
    assert topic not in run("kafka-topics", "--list", *where).stdout


def test_a_tools_own_errors_and_exit_status_come_through():
    wrong = run("kafka-topics", "--no-such-flag")
    assert wrong.returncode == 1
    assert "no-such-flag is not a recognized option" in wrong.stdout + wrong.stderr


def test_an_unknown_version_is_one_message(monkeypatch):
    monkeypatch.setenv("KAFKA_VERSION", "9.9.9")
    wrong = run("kafka-topics", "--list")
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("kafka-topics: KAFKA_VERSION=9.9.9 is not a version of this course.")
    assert "Traceback" not in wrong.stderr


@pytest.mark.parametrize("version", known_versions())
def test_every_main_class_is_in_the_jars(version):
    classes = set()
    for path in jars.jar_paths(version):
        if path.name.startswith("kafka"):
            classes |= set(zipfile.ZipFile(path).namelist())
    for tool in tools.MAIN_CLASSES:
        assert tools.main_class(tool, version).replace(".", "/") + ".class" in classes
