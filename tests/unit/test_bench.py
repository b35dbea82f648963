"""The rows of make bench: what their ratio means."""

from bench.lab import row


def test_fewer_seconds_are_faster_and_more_a_second_are_faster():
    assert row("x", 2, baseline=4)["ratio"] == 2
    assert row("x", 300, "orders a second", baseline=100)["ratio"] == 3
    assert row("x", 5)["ratio"] is None
