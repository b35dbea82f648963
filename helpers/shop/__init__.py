"""The shop: an e-commerce system of real processes, on Kafka."""

from .baseline import baseline
from .invariants import invariants
from .run import place_orders, plan, start
from .story import story

__all__ = ["baseline", "invariants", "place_orders", "plan", "start", "story"]
