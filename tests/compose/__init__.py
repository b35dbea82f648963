"""Tests of docker-compose-kafka.yml: what it says, and what Docker makes of it."""

from pathlib import Path

import yaml

COMPOSE_FILE = Path(__file__).resolve().parents[2] / "docker-compose-kafka.yml"


def load_compose():
    """Return the compose file as a dict, anchors resolved, variables not."""
    return yaml.safe_load(COMPOSE_FILE.read_text(encoding="utf-8"))
