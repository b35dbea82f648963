"""The shop: an e-commerce system of real processes, on Kafka."""

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
