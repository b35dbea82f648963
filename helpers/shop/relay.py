"""The relay: publishes what a service's outbox holds, in order, and marks it as published.

At least once: a crash after the broker's acknowledgement and before the mark publishes the records again, with the
same ce_id, and the reader's inbox refuses them.
"""

import json
import threading
import time

from filelock import FileLock
from kafka import KafkaProducer
from kafka.errors import KafkaError

from . import events, store
from .faults import crash_here
from .steps import about, place

BATCH = 200  # records between two marks
LOOK = 0.2  # seconds: how often it looks without being woken
DELIVERY = 130  # seconds until every send has an outcome: the client's delivery.timeout.ms is 120 s


class Relay(threading.Thread):
    """A thread of the service. Of several members of a service one relays: who holds the lock of the file."""

    def __init__(self, me, settings, service, steps):
        super().__init__(daemon=True)
        self.me, self.settings, self.service, self.steps = me, settings, service, steps
        self.wake, self.ending = threading.Event(), False
        self.looking = threading.Lock()  # who holds it, for a transaction and a crash behind it, is not overtaken

    def run(self):
        """Until end() is called."""
        path = self.settings.database(self.service)
        with FileLock(f"{path}.relay"):
            self.db, self.producer = store.connect(path), self._producer()
            if not self.settings.outbox:
                self._forget()
            while not self.ending:
                if not self.publish():
                    self.wake.wait(LOOK if self.settings.outbox else None)
                    self.wake.clear()
            self.producer.close(timeout=2)

    def end(self):
        """Lets it finish the batch at hand, and waits for it."""
        self.ending = True
        self.wake.set()
        self.join(timeout=2)

    def _producer(self):
        return KafkaProducer(
            **self.me.client,
            client_id=f"{self.me.name}-relay",
            acks="all",
            enable_idempotence=True,  # retries of the client neither double nor reorder
            linger_ms=2,
        )

    def publish(self):
        """Publishes the next batch. Returns how many records the broker has acknowledged."""
        next_ones = "SELECT * FROM outbox WHERE published IS NULL ORDER BY id LIMIT ?"
        with self.looking:
            rows = self.db.execute(next_ones, (BATCH,)).fetchall()
        records = [unpacked(row) for row in rows]
        self.steps("sending", [line for line, *_ in records])
        waiting = [
            (row["id"], line, self._send(row, *parts)) for row, (line, *parts) in zip(rows, records, strict=True)
        ]
        arrived = [_arrived(future) for *_, future in waiting]
        # the first one that failed stays unpublished, and all behind it: they are sent again, in order
        count = arrived.index(False) if False in arrived else len(arrived)
        acknowledged = [(number, line, future.value) for number, line, future in waiting[:count]]
        if rows:
            self._mark(acknowledged)
        if len(acknowledged) < len(rows):
            self._failed(waiting[len(acknowledged) :])
            self._begin_again(waiting[len(acknowledged)][2].exception)
            if not self.settings.outbox:
                self._forget()
        return len(acknowledged)

    def _failed(self, waiting):
        """Logs what was not acknowledged. Where the time was up, the broker may have the record all the same."""
        for _, line, future in waiting:
            if future.failed():
                final = not getattr(future.exception, "retriable", False)
                self.steps("failed", [line | {"error": type(future.exception).__name__, "final": final}])

    def _forget(self):
        """A guard is off: as if there were no outbox, nobody knows what was not published."""
        with store.transaction(self.db):
            self.db.execute("UPDATE outbox SET published = 0 WHERE published IS NULL")

    def _send(self, row, key, value, headers):
        """The future of a row that is on its way."""
        more = [(name, str(text).encode()) for name, text in json.loads(row["headers"]).items()]
        topic = self.settings.prefix + row["topic"]
        if row["topic"] in self.settings.without_key:
            key = None
        return self.producer.send(topic, value, key, headers + more)

    def _mark(self, acknowledged):
        rows = [line | place(sent, self.settings.prefix) for _, line, sent in acknowledged]
        self.steps("published", rows)
        crash_here(self.settings, self.steps, "after_ack", rows)
        with store.transaction(self.db, lambda: self.me.log("relay_waits")):
            self.db.executemany(
                "UPDATE outbox SET partition = ?, offset = ?, published = ? WHERE id = ?",
                [(sent.partition, sent.offset, time.time(), number) for number, _, sent in acknowledged],
            )

    def _begin_again(self, error):
        """A send has failed for good (delivery.timeout.ms); a new producer begins a new sequence."""
        if not isinstance(error, KafkaError):
            raise error
        self.me.log("relay_waits", error=type(error).__name__)
        self.producer.close(timeout=0)
        self.producer = self._producer()


def _arrived(future):
    """Whether the broker acknowledges a record. (flush() raises where the client splits a batch that is too large.)"""
    try:
        future.get(timeout=DELIVERY)
    except KafkaError:
        return False
    return True


def unpacked(row):
    """(line for the step log, key, value, headers) of a row of the outbox: an event, or a record that is none."""
    if row["event"].startswith('{"raw"'):
        key, value, headers = json.loads(row["event"])["raw"]
        line = {"ce_id": row["ce_id"], "order": None, "type": None, "topic": row["topic"]}
        return line, _bytes(key), _bytes(value), [(name, _bytes(text)) for name, text in headers]
    event = events.restored(row["event"])
    return about(event) | {"topic": row["topic"]}, *events.to_record(event)


def _bytes(text):
    return None if text is None else text.encode("latin-1")
