"""The rows of make bench: what their ratio means, and what of them is kept."""

import json

import pytest

from bench import __main__ as bench
from bench.lab import row


def test_fewer_seconds_are_faster_and_more_a_second_are_faster():
    assert row("x", 2, baseline=4)["ratio"] == 2
    assert row("x", 300, "orders a second", baseline=100)["ratio"] == 3
    assert row("x", 5)["ratio"] is None


def test_what_was_measured_is_kept_when_a_later_part_breaks(tmp_path, monkeypatch):
    results = tmp_path / "results.json"
    results.write_text(json.dumps([row("old", 1), row("new", 1)]))
    monkeypatch.setattr(bench, "RESULTS", results)
    monkeypatch.setattr(bench, "PARTS", {"first": lambda: [row("new", 2)], "second": lambda: 1 / 0})
    monkeypatch.setattr("sys.argv", ["bench", "first", "second"])
    with pytest.raises(ZeroDivisionError):
        bench.main()
    assert [(r["name"], r["value"]) for r in json.loads(results.read_text())] == [("new", 2), ("old", 1)]
