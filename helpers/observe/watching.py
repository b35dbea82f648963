"""A consumer group over time: looked at again and again, beside what the notebook does."""

import threading
import time

import pandas as pd
from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from ..lab import LabError
from .ask import DEADLINE, ask, bounds, check_name, settings

LONGEST = 600  # seconds; nobody watches for ever


def watch(lab, group, topic, since=None, every=0.1, partition=None):
    """Begins to look at a group every so many seconds, and returns a Watch: its stop() returns what was seen.

    With partition, the lag is that of this one alone. since is the moment that counts as t = 0, on the clock
    time.monotonic(): the began of some actors, or now. The group need not exist yet; it must not use the consumer
    protocol (KIP-848). Raises LabError for a topic that does not exist, and when no broker answers.
    """
    check_name(group, "group")
    check_name(topic, "topic")
    ask(lab, lambda admin: bounds(admin, topic))
    return Watch(lab, group, topic, since or time.monotonic(), every, partition)


class Watch:
    """A thread that looks at a group until stop(), or until the lab is closed."""

    def __init__(self, lab, group, topic, since, every, partition):
        self.lab, self.group, self.topic, self.since, self.every = lab, group, topic, since, every
        self.partition = partition
        self.rows, self.ended = [], threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()
        lab.at_close.append(self.ended.set)

    def stop(self):
        """Looks a last time, and returns a DataFrame with a row for each look, by time.

        Columns: t (seconds), state (as in group_state; "Dead": there is no such group), members (how many), lag (of all
        partitions: end minus committed, or minus beginning where nothing is committed). <NA> while nobody answers.
        """
        self.ended.set()
        self.thread.join(DEADLINE)
        frame = pd.DataFrame(list(self.rows), columns=["t", "state", "members", "lag"])
        return frame.astype({"t": float, "state": object, "members": "Int64", "lag": "Int64"})

    def _look(self):
        until, last = time.monotonic() + LONGEST, False
        while not last and time.monotonic() < until:
            last = self.ended.is_set()
            try:
                with KafkaAdminClient(**settings(self.lab, 1000)) as admin:
                    self._note(*self._see(admin))
                    while not last and time.monotonic() < until:
                        self.ended.wait(self.every)
                        last = self.ended.is_set()
                        self._note(*self._see(admin))
            except (KafkaError, LabError):  # the broker, or the topic, is away: look again
                self._note(None, None, None)
                self.ended.wait(self.every)

    def _see(self, admin):
        group = admin.describe_groups([self.group])[self.group]
        committed = admin.list_group_offsets({self.group: None})[self.group]
        committed = {place: one.offset for place, one in committed.items() if one.offset >= 0}
        lag = sum(
            end - committed.get(place, first)
            for place, (first, end) in bounds(admin, self.topic).items()
            if self.partition in (None, place.partition)
        )
        return group["group_state"], len(group["members"]), lag

    def _note(self, state, members, lag):
        self.rows.append((time.monotonic() - self.since, state, members, lag))
