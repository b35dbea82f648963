"""How fast the balance service is with more members, when each command costs it a wait."""

import time
from collections import Counter

from kafka.partitioner.default import murmur2

from ..lab import wait_until
from .run import place_orders, start

PARTITIONS, COST, EACH = 6, 0.02, 10


def commands_per_second(lab, members):
    """Measures the balance service with so many members (1 to 6), 600 charges and 20 ms of waiting for each.

    The users are chosen so that every partition has as many: what is measured is the members, and not the skew of keys.
    """
    names = ["balance", *(f"balance-{number}" for number in range(2, members + 1))]
    run = start(lab, names[1:], cost=COST, batch=20)
    wait_until(lambda: owners(run) == set(names), "each member to have partitions")
    run.team.pause(*names)
    users = spread_users(PARTITIONS * EACH)
    place_orders(run, {user: [("/charges", {"userId": user, "amount": 1000})] * EACH for user in users})
    wait_until(lambda: run.lags()["balance"] == len(users) * EACH, "all commands to be in the topic")
    began = time.monotonic()
    run.team.resume(*names)
    wait_until(lambda: not run.lags()["balance"], "the commands to be handled", 60)
    seconds = time.monotonic() - began
    run.team.kill()
    return round(len(users) * EACH / seconds, 1)


def owners(run):
    """The members of the balance service that own partitions, when all of its partitions are owned."""
    names = run.running()
    running = [process for process in run.team.processes if process.name in names]
    owned = {process.name: process.owned for process in running if process.name.startswith("balance")}
    return {name for name, places in owned.items() if places} if sum(map(len, owned.values())) == PARTITIONS else set()


def spread_users(count):
    """Users of which each of the six partitions gets as many."""
    users, full, number = [], Counter(), 0
    while len(users) < count:
        user = f"u-{number:03}"
        partition = (murmur2(user.encode()) & 0x7FFFFFFF) % PARTITIONS
        if full[partition] < count // PARTITIONS:
            users.append(user)
            full[partition] += 1
        number += 1
    return users
