"""The loop that every service runs: receive, one database transaction, commit the offset.

    one transaction: inbox (was it here before?), the service's change, outbox (what is to be published)

Killed before the transaction's end: nothing has happened, and the record comes again. Killed after it and before the
offset is committed: the record comes again, and the inbox refuses it. So each command has its effect once.

A service is a module with NAME, GROUP, TOPICS, TABLES and HANDLERS: {event type: function(db, event)}. A handler
changes the service's tables, and returns the events to be published. A module may have too:

    prepare(db, settings)   fills the tables at the start
    tick(db, settings)      is called once a second, and returns the events to be published
    SERVER, call(event, client), give_up(event, error)   for those who call somebody else over HTTP. The call is made
        before the transaction, and the handler gets its answer: function(db, event, answer). If it raises TryAgain,
        the event goes to the next retry topic, and from the last one to the DLQ.
"""

import sqlite3
import time
from dataclasses import dataclass

from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.errors import CommitFailedError

from . import events, retry, store
from .faults import crash_here
from .relay import Relay
from .steps import Steps, about, place
from .web import Client, TryAgain

POLL = 200  # ms
FETCH = 64 * 1024  # bytes of a partition that the client asks for at once


@dataclass
class Received:
    """A record, and what is known of it."""

    record: object
    event: object = None
    bad: str = ""  # why it is no event
    answer: object = None  # of the service's call
    failed: str = ""  # why the call has no answer


def serve(me, module, settings):
    """Runs a service until the process is asked to stop."""
    Service(me, module, settings).run()


class Service:
    """A service's process."""

    def __init__(self, me, module, settings):
        self.me, self.module, self.settings = me, module, settings
        self.steps = Steps(settings.folder, me.name, module.NAME)
        self.db = store.connect(settings.database(module.NAME), module.TABLES)
        self.client = Client(settings.folder, module.SERVER) if hasattr(module, "SERVER") else None
        self.relay = Relay(me, settings, module.NAME, self.steps)
        self.retries = bool(self.client) or module.GROUP in settings.retry_topics
        topics = module.TOPICS + (retry.topics(module.GROUP) if self.retries else [])
        self.consumer = KafkaConsumer(
            *(settings.prefix + topic for topic in topics),
            **me.client,
            group_id=settings.prefix + module.GROUP,
            client_id=me.name,
            group_instance_id=me.name,  # who is started again gets its partitions back at once, without a rebalance
            session_timeout_ms=10_000,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=POLL,
            max_partition_fetch_bytes=FETCH,
        )
        self.waiting = retry.Waiting(self.consumer)

    def run(self):
        """Receives and handles, batch by batch."""
        if hasattr(self.module, "prepare"):
            with store.transaction(self.db, self.waits):
                self.module.prepare(self.db, self.settings)
        self.relay.start()
        self.me.follow(self.consumer)
        ticked = time.monotonic()
        while not self.me.stopping:
            if not self.relay.is_alive():
                raise RuntimeError("the relay has ended: run.team.output(name) has its error")
            batch = self.waiting.take(POLL, self.settings.batch)
            if batch:
                self.handle(batch)
            if time.monotonic() > ticked + 1:
                self.tick()
                ticked = time.monotonic()
        self.relay.end()

    def handle(self, batch):
        """One batch of records: one transaction, then the offsets."""
        received = [self.decoded(record) for record in batch]
        lines = [self.line(one) for one in received]
        self.steps("received", lines)
        if self.settings.commit_first:
            self.commit_offsets(batch, lines)
        if self.client:
            self.call(received)
        if self.module.NAME == "balance":
            time.sleep(self.settings.cost * len(batch))
        with self.relay.looking:
            done = self.in_one_transaction(received, lines)
            for step in ("refused", "skipped", "parked", "tx committed"):
                self.steps(step, [line for line, how in zip(lines, done, strict=True) if how == step])
            crash_here(self.settings, self.steps, "after_db_commit", lines)
        self.relay.wake.set()
        if not self.settings.commit_first:
            self.commit_offsets(batch, lines)

    def decoded(self, record):
        """The record with its event, or with what is wrong with it."""
        try:
            return Received(record, events.from_record(record))
        except events.BadEvent as error:
            return Received(record, bad=str(error))

    def line(self, one):
        """The record's line in the step log."""
        return about(one.event) | place(one.record, self.settings.prefix)

    def call(self, received):
        """Asks somebody else, before the transaction: it may take long, and a lock should not."""
        for one in received:
            if one.event and events.name_of(one.event) in self.module.HANDLERS:
                try:
                    one.answer = self.module.call(one.event, self.client)
                except TryAgain as error:
                    one.failed = str(error)

    def in_one_transaction(self, received, lines):
        """Handles them, all or none. Returns for each what was done, as a step of the log."""
        with store.transaction(self.db, self.waits):
            done = [self.handle_one(one) for one in received]
            crash_here(self.settings, self.steps, "before_db_commit", lines)
        return done

    def waits(self):
        """Another program has the lock. The records stay in Kafka meanwhile, and nothing is lost."""
        self.me.log("waits")

    def handle_one(self, one):
        """Inbox, change, outbox."""
        if one.bad:
            retry.to_dlq(self.db, self.settings, self.module.GROUP, one.record, one.bad)
            return "tx committed"
        handler = self.module.HANDLERS.get(events.name_of(one.event))
        if not handler:
            return "skipped"
        if store.is_parked(self.db, self.module.GROUP, one.event.get_subject()):
            store.park(self.db, self.module.GROUP, one.event, "behind one that is parked")
            return "parked"
        return self.handle_event(handler, one, retry.attempt_mark(one.record))

    def handle_event(self, handler, one, attempt):
        """Inbox, change, outbox of one event. One that breaks a rule of the database is parked, alone."""
        try:
            with store.part(self.db):
                known_as = one.event.get_id() + attempt  # a copy in a retry topic has the same ce_id
                if self.settings.inbox and not store.first_time(self.db, self.module.GROUP, known_as):
                    return "refused"
                for event in self.outcome(handler, one):
                    store.add_to_outbox(self.db, self.module.NAME, event)
        except sqlite3.IntegrityError as error:
            if self.client:  # keeps no order, and has a DLQ instead
                raise
            if self.retries:  # a guard is off: later records of the key overtake this one
                one.failed = str(error)
                retry.later(self.db, self.settings, self.module.GROUP, one)
                return "tx committed"
            store.park(self.db, self.module.GROUP, one.event, str(error))
            return "parked"
        return "tx committed"

    def handle_released(self):
        """The events that an operator has released, in their order, before anything that comes behind them."""
        with store.transaction(self.db, self.waits):
            for row in self.db.execute("SELECT * FROM parked WHERE released ORDER BY id").fetchall():
                self.handle_parked(row)
        self.relay.wake.set()

    def handle_parked(self, row):
        """One of them. If it cannot be handled even now it stays, and the key stays parked."""
        if not self.db.execute("SELECT 1 FROM parked WHERE id = ? AND released", (row["id"],)).fetchone():
            return
        one = Received(None, events.restored(row["event"]))
        if self.handle_event(self.module.HANDLERS[events.name_of(one.event)], one, "") == "parked":
            self.db.execute("UPDATE parked SET released = 0 WHERE key = ?", (row["key"],))
        else:
            self.db.execute("DELETE FROM parked WHERE id = ?", (row["id"],))

    def outcome(self, handler, one):
        """The events that the handler answers with; after a failed call those of giving up, at last."""
        if not self.client:
            return handler(self.db, one.event)
        if not one.failed:
            return handler(self.db, one.event, one.answer)
        last = retry.later(self.db, self.settings, self.module.GROUP, one)
        return self.module.give_up(one.event, one.failed) if last else []

    def tick(self):
        """What is due without a record."""
        if self.db.execute("SELECT 1 FROM parked WHERE released").fetchone():
            self.handle_released()
        if not hasattr(self.module, "tick"):
            return
        with store.transaction(self.db, self.waits):
            for event in self.module.tick(self.db, self.settings):
                store.add_to_outbox(self.db, self.module.NAME, event)
        self.relay.wake.set()

    def commit_offsets(self, batch, lines):
        """The group goes on behind these records from now on, whoever reads for it."""
        behind = {TopicPartition(one.topic, one.partition): OffsetAndMetadata(one.offset + 1) for one in batch}
        try:
            self.consumer.commit(behind)
        except CommitFailedError:  # the partitions may be another member's now; the records come again there
            self.me.log("commit_refused")
            self.waiting.give_back()
            return
        self.steps("offset committed", lines)
