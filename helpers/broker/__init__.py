"""Where Kafka runs: the embedded broker, docker compose, or somebody else's cluster."""

from .choose import choose_broker, reasons_unreachable
from .embedded import find, kill, log_folder, revive, start, stop
from .errors import LabError, course
from .prefetch import prefetch

__all__ = [
    "LabError",
    "choose_broker",
    "course",
    "find",
    "kill",
    "log_folder",
    "prefetch",
    "reasons_unreachable",
    "revive",
    "start",
    "stop",
]
