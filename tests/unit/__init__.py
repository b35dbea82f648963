"""Tests of the helpers, on real brokers.

SOON: seconds until a message must be there. On a machine that has nothing else to do it comes within 5, which is what
the course promises; the tests run four at a time, and what hangs takes half a minute and more.
"""

SOON = 10
