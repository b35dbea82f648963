"""The compose file's broker, timed where a Docker engine answers. Port 9092 must be free."""

import shutil
import statistics
import subprocess

from bench.lab import row, seconds
from helpers.broker.choose import compose_broker
from helpers.broker.places import CHECKOUT, kafka_version
from helpers.lab import wait_until

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
    name = f"{kafka_version()} on Docker: down and up on kept data, until a client is served"
    return [row(name, statistics.median(times))]


def down_and_up():
    """What a learner does to start again."""
    compose("down")
    compose("up", "-d")
    until_serving()


def compose(*arguments):
    """`docker compose ...` of the course's file, in a project of its own."""
    subprocess.run([*COMPOSE, *arguments], check=True, capture_output=True)


def until_serving():
    """Waits until the broker answers a client. Raises LabError."""
    wait_until(compose_broker, "the broker in Docker to serve a client", DEADLINE)
