"""The broker and the lab, timed. A row's baseline is the same thing done plainly, measured in the same run."""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
from kafka import KafkaAdminClient

from helpers.broker import embedded, jvm, prefetch
from helpers.broker.places import CHECKOUT
from helpers.broker.settings import as_properties, server_properties
from helpers.lab import open_lab

RUNS = 5
FIRST_MESSAGE = """
from helpers.lab import open_lab
from kafka import KafkaConsumer, KafkaProducer
lab = open_lab("bench")
topic = lab.topic("first")
KafkaProducer(**lab.client).send(topic, b"hello kafka").get(timeout=10)
consumer = KafkaConsumer(topic, auto_offset_reset="earliest", consumer_timeout_ms=10_000, **lab.client)
assert next(consumer).value == b"hello kafka"
consumer.close()
"""


def row(name, value, unit="s", baseline=None):
    """One line of results.json; ratio: how many times faster. Of seconds fewer are faster, of "... a second" more."""
    faster = baseline and (value / baseline if unit.endswith(" a second") else baseline / value)
    return {
        "name": name,
        "value": round(value, 4),
        "unit": unit,
        "baseline": baseline and round(baseline, 4),
        "ratio": baseline and round(faster, 2),
    }


def seconds(action):
    """How long a call takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


@contextmanager
def variables(**values):
    """Environment variables, for a while."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def measure():
    """Every row about the broker and the lab."""
    rows = []
    for version in ("4.0.0", "4.3.1"):
        with tempfile.TemporaryDirectory() as home, variables(KAFKA_COURSE_HOME=home, KAFKA_VERSION=version):
            prefetch(version)
            rows += one_broker(version) + three_brokers(version)
    return rows


def one_broker(version):
    """Start, memory, restart, open_lab and stop of a single broker."""
    times = {name: [] for name in ("start", "plain", "memory", "open", "connect", "stop", "clean", "killed")}
    for _ in range(RUNS):
        times["plain"].append(plain_start(version))
        times["start"].append(seconds(embedded.start))
        node = embedded.find().nodes[0]
        open_lab("bench")
        times["open"].append(seconds(lambda: open_lab("bench")))
        times["connect"].append(seconds(lambda port=node.port: connect(port)))
        times["memory"].append(psutil.Process(node.pid).memory_info().rss / 2**20)
        times["stop"].append(seconds(embedded.stop))
        times["clean"].append(seconds(embedded.start))
        embedded.kill(1, brokers=1)
        times["killed"].append(seconds(embedded.start))
        embedded.stop(wipe=True)
    median = {name: statistics.median(values) for name, values in times.items()}
    return [
        row(f"{version}: warm start of one broker", median["start"], baseline=median["plain"]),
        row(f"{version}: memory of one broker", median["memory"], "MiB"),
        row(f"{version}: restart on kept data after a clean stop", median["clean"], baseline=median["plain"]),
        row(f"{version}: restart on kept data after kill -9", median["killed"], baseline=median["plain"]),
        row(f"{version}: open_lab on a running broker", median["open"], baseline=median["connect"]),
        row(f"{version}: stop of one broker", median["stop"]),
    ]


def plain_start(version):
    """The same jars, formatted and started as the documentation says: no archive, Java's default compilers."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        port, controller_port = embedded.free_ports(29092, 2)
        settings = as_properties(server_properties(1, {1: port}, {1: controller_port}))
        (folder / "server.properties").write_text(settings)
        java = [jvm.java(), "-Xmx1G", "-Xms1G", *jvm.QUIET, "-cp", jvm.jars.class_path(version)]
        java.append(f"-Dlog4j2.configurationFile={(jvm.HERE / 'log4j2.xml').as_uri()}")
        log = folder / "broker.log"
        start = time.perf_counter()
        storage = ["kafka.tools.StorageTool", "format", "-t", embedded.new_cluster_id(), "-c", "server.properties"]
        subprocess.run([*java, *storage], cwd=folder, check=True, capture_output=True)
        with open(log, "wb") as out:
            broker = subprocess.Popen([*java, "kafka.Kafka", "server.properties"], cwd=folder, stdout=out, stderr=out)
        embedded.await_log(log, lambda: broker.poll() is None)
        took = time.perf_counter() - start
        broker.kill()
        broker.wait()
    return took


def connect(port):
    """What open_lab cannot do without: a connection, and one question."""
    with KafkaAdminClient(bootstrap_servers=f"127.0.0.1:{port}") as admin:
        admin.list_topics()


def three_brokers(version):
    """Start and stop of three brokers."""
    start, stop = [], []
    for _ in range(RUNS):
        start.append(seconds(lambda: embedded.start(3)))
        stop.append(seconds(lambda: embedded.stop(wipe=True)))
    return [
        row(f"{version}: three brokers ready", statistics.median(start)),
        row(f"{version}: stop of three brokers", statistics.median(stop)),
    ]


def fresh_clones():
    """From a fresh clone to the first message read back, with empty caches and with warm ones."""
    cold, warm = [], []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as folder:
            cold.append(seconds(lambda folder=folder: first_message(Path(folder), "cold")))
            warm.append(seconds(lambda folder=folder: first_message(Path(folder), "warm")))
    return [
        row("fresh clone to the first message, warm caches", statistics.median(warm), baseline=statistics.median(cold)),
        row("fresh clone to the first message, empty caches", statistics.median(cold)),
    ]


def first_message(folder, name):
    """Clones, sets up, sends one message and reads it; the caches are in the folder, so the second time is warm."""
    clone = folder / name
    caches = {name: str(folder / name.lower()) for name in ("KAFKA_COURSE_CACHE", "UV_CACHE_DIR", "PIP_CACHE_DIR")}
    environment = {**os.environ, **caches, "KAFKA_COURSE_HOME": str(folder / "home")}
    python = clone / ".venv" / "bin" / "python"

    def run(*line, cwd=clone):
        subprocess.run(line, cwd=cwd, env=environment, check=True, capture_output=True)

    run("git", "clone", "-q", str(CHECKOUT), str(clone), cwd=folder)
    run("make", "setup", f"PYTHON={sys._base_executable}")
    run(python, "-c", FIRST_MESSAGE)
    run(python, "-m", "helpers.broker", "stop", "--wipe")
    shutil.rmtree(clone)
