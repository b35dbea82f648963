"""Tests of the helpers, on real brokers."""

SOON = 5  # seconds, until a message must be there
