"""The shop as it runs: against the same steps in one process, with more members, and its memory."""

import statistics
import tempfile
import time

import psutil

from bench.lab import row, variables
from helpers import shop
from helpers.broker import embedded, stop
from helpers.lab import LabError, open_lab

RUNS = 3
ORDERS, USERS, SEED = 1000, 200, 7


def measure():
    """Every row about the shop."""
    with tempfile.TemporaryDirectory() as home, variables(KAFKA_COURSE_HOME=home):
        lab = open_lab("bench")
        try:
            return [*orders(lab), members(lab)]
        finally:
            lab.close()
            stop(wipe=True)


def orders(lab):
    """1,000 orders of 200 users with charges in between, until nothing is left to be done; and what that takes."""
    actions = shop.plan(ORDERS, USERS, SEED)
    plain = statistics.median(shop.baseline(actions)["seconds"] for _ in range(RUNS))
    run, began = shop.start(lab), time.perf_counter()
    shop.place_orders(run, actions, SEED)
    memory = [memory_of(run)]  # while the services are at it
    run.settle()
    took = time.perf_counter() - began
    memory.append(memory_of(run))
    count = sum(run.statuses().values())
    if count != ORDERS:
        raise LabError(f"{count} orders, and not {ORDERS}.", "nothing was measured", "")
    run.stop()
    size = f"{ORDERS:,} orders of {USERS} users"
    what = "orders a second, against one process and one SQLite file"
    return [
        row(f"shop: {what}", count / took, "orders a second", baseline=count / plain),
        row(f"shop: {size} until all is quiet", took),
        row("shop: memory of its processes (PSS)", max(memory)[0], "MiB"),
        row("shop: memory of its processes and the broker (PSS)", max(sum(both) for both in memory), "MiB"),
    ]


def memory_of(run):
    """(the shop's processes, with the one that starts them; the broker), in MiB. PSS: shared memory is counted once."""
    ours = [process.pid for process in run.team.processes] + [run.team.link.guard.pid]
    return sum(map(pss, ours)), sum(pss(node.pid) for node in embedded.find().nodes)


def pss(pid):
    return psutil.Process(pid).memory_full_info().pss / 2**20


def members(lab):
    """Commands of the balance a second with one member and with three, each command with a wait of 20 ms; in turns."""
    found = {1: [], 3: []}
    for _ in range(RUNS):
        for count, measured in found.items():
            measured.append(shop.commands_per_second(lab, count))
    one, three = map(statistics.median, found.values())
    return row("shop: commands with three members, against one", three, "commands a second", baseline=one)
