"""The shop: an e-commerce system of real processes, on Kafka."""

from .run import place_orders, plan, start
from .story import story

__all__ = ["place_orders", "plan", "start", "story"]
