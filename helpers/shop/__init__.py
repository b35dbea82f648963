"""The shop: an e-commerce system of real processes, on Kafka.

Begin with service.py, the loop of each service; then order.py, the saga; store.py, inbox and outbox; relay.py. The
services themselves (balance.py, stock.py, ...) say what to do with an event. run.py starts the processes.

What looks at a run: steps.py (the log of each service), story.py, cross_check.py, invariants.py, log_checks.py; what
disturbs it: faults.py, third_party.py. baseline.py and scaling.py measure.
"""

from .baseline import baseline
from .cross_check import cross_check
from .invariants import invariants
from .log_checks import log_checks, sends
from .run import place_orders, plan, start
from .scaling import commands_per_second
from .story import story

__all__ = [
    "baseline",
    "commands_per_second",
    "cross_check",
    "invariants",
    "log_checks",
    "place_orders",
    "plan",
    "sends",
    "start",
    "story",
]
