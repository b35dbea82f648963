"""The shop: an e-commerce system of real processes, on Kafka."""

from .baseline import baseline
from .invariants import invariants
from .run import place_orders, plan, start
from .scaling import commands_per_second
from .story import story

__all__ = ["baseline", "commands_per_second", "invariants", "place_orders", "plan", "start", "story"]
