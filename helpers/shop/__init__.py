"""The shop: an e-commerce system of real processes, on Kafka."""

from .invariants import invariants
from .run import place_orders, plan, start
from .story import story

__all__ = ["invariants", "place_orders", "plan", "start", "story"]
