"""The compose file's broker, timed where a Docker engine answers. Port 9092 must be free."""

import shutil
import statistics
import subprocess
import time

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from bench.lab import row, seconds
from helpers.broker.places import CHECKOUT

RUNS = 3
DEADLINE = 60
COMPOSE = ["docker", "compose", "-p", "kafka-course-bench", "-f", str(CHECKOUT / "docker-compose-kafka.yml")]


def measure():
    """`down` and `up -d` on kept data, until a client is served; no row without an engine."""
    if not shutil.which("docker") or subprocess.run(["docker", "info"], capture_output=True).returncode:
        print("No Docker engine answers: the compose file's broker is not measured.")
        return []
    try:
        compose("up", "-d")
        until_serving()
        times = [seconds(down_and_up) for _ in range(RUNS)]
    finally:
        compose("down", "-v")
    return [row("4.0.0 on Docker: down and up on kept data, until a client is served", statistics.median(times))]


def down_and_up():
    """What a learner does to start again."""
    compose("down")
    compose("up", "-d")
    until_serving()


def compose(*arguments):
    """`docker compose ...` of the course's file, in a project of its own."""
    subprocess.run([*COMPOSE, *arguments], check=True, capture_output=True)


def until_serving():
    """Waits until the broker answers a client. Raises TimeoutError."""
    until = time.monotonic() + DEADLINE
    while time.monotonic() < until:
        try:
            with KafkaAdminClient(bootstrap_servers="localhost:9092", bootstrap_timeout_ms=1000) as admin:
                if admin.describe_cluster()["brokers"]:
                    return
        except KafkaError:
            continue
    raise TimeoutError(f"The broker in Docker serves nobody after {DEADLINE} s.")
