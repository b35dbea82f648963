"""Retry topics and the DLQ, for groups where order does not matter: payment, shipping, data-platform.

There is one topic for each delay, so the record at the head of a partition is always due first: who reads it pauses the
partition until then. The copy goes through the outbox: published before the offset of the failed one can be lost.
"""

import time

from kafka import TopicPartition

from . import store
from .topics import DELAYS

ALL = 100_000  # records: more than the client holds


def topics(group):
    """The group's retry topics, shortest delay first."""
    return [f"{group}.retry.{delay}" for delay in DELAYS]


def header(record, name, otherwise):
    """A header's text, of a record that may have been here before."""
    return next((value.decode() for key, value in record.headers if key == name), otherwise)


def attempt_mark(record):
    """What the inbox knows the attempt by: "" for the first one, then #1, #2, ..."""
    return _mark(int(header(record, "attempt", "0")))


def _mark(attempt):
    return f"#{attempt}" if attempt else ""


def later(db, settings, group, one):
    """The event goes to the next retry topic; True if there is none left: then to the DLQ.

    The inbox forgets an event that is in the DLQ: who sends it back begins anew. Killed between that and the commit
    of the offset, the last attempt is made once more.
    """
    attempt = int(header(one.record, "attempt", "0")) + 1
    last = attempt > len(DELAYS)
    delay = 0 if last else list(DELAYS.values())[attempt - 1]
    topic = f"{group}.dlq" if last else topics(group)[attempt - 1]
    more = origin(settings, group, one.record, one.failed) | {"attempt": attempt, "due": time.time() + delay}
    store.add_copy_to_outbox(db, one.event, topic, more)
    if last:
        store.forget(db, group, [one.event.get_id() + _mark(number) for number in range(attempt)])
    return last


def origin(settings, group, record, error):
    """The headers that tell where a record comes from, and why it did not stay there."""
    return {
        "original-topic": header(record, "original-topic", record.topic.removeprefix(settings.prefix)),
        "original-partition": header(record, "original-partition", record.partition),
        "original-offset": header(record, "original-offset", record.offset),
        "group": group,
        "error": error[:200],
    }


def to_dlq(db, settings, group, record, error):
    """A record that is no event, byte for byte to the DLQ: no retry makes it readable."""
    store.add_raw_to_outbox(db, f"{group}.dlq", record, origin(settings, group, record, error))


class Waiting:
    """The records that have come and wait to be handled, and the partitions of retry topics whose head is not due yet.

    A poll takes all that the client holds: what kafka-python 3.0.12 holds of a partition that is paused does not come
    any more once another partition was read (chapter 04 shows it).
    """

    def __init__(self, consumer):
        self.consumer, self.records = consumer, []
        self.until = {}  # partition: when its head is due

    def take(self, timeout_ms, most):
        """The next records that are due, so many at most. A new poll is made when none are left of the last one."""
        if not self.records:
            self.records = self._poll(timeout_ms)
        taken, self.records = self.records[:most], self.records[most:]
        return taken

    def give_back(self):
        """The group was left: what is not handled yet comes again, from the next poll of whoever has the partition."""
        for record in reversed(self.records):
            place = TopicPartition(record.topic, record.partition)
            if place in self.consumer.assignment():
                self.consumer.seek(place, record.offset)
        self.records = []

    def _poll(self, timeout_ms):
        """What is due. A partition whose next record is not is paused until then."""
        self._resume()
        polled = self.consumer.poll(timeout_ms, max_records=ALL)
        return [record for place, records in polled.items() for record in self._due(place, records)]

    def _due(self, place, records):
        for number, record in enumerate(records):
            due = float(header(record, "due", "0"))
            if due > time.time():
                self.consumer.pause(place)
                self.consumer.seek(place, record.offset)
                self.until[place] = due
                return records[:number]
        return records

    def _resume(self):
        for place, due in list(self.until.items()):
            if place not in self.consumer.assignment():
                del self.until[place]  # another member's now
            elif due <= time.time():
                self.consumer.resume(place)
                del self.until[place]
