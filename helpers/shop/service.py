"""The loop that every service runs: receive, one database transaction, commit the offset.

    one transaction: inbox (was it here before?), the service's change, outbox (what is to be published)

Killed before the transaction's end: nothing has happened, and the record comes again. Killed after it and before the
offset is committed: the record comes again, and the inbox refuses it. So each command has its effect once.

A service is a module with NAME, GROUP, TOPICS, TABLES and HANDLERS: {event type: function(db, event)}. A handler changes
the service's tables, and returns the events to be published. A module that calls somebody else has call(event, web)
too: it runs before the transaction, and the handler gets its answer: function(db, event, answer).
"""

import sqlite3
import time
from dataclasses import dataclass

from kafka import KafkaConsumer
from kafka.errors import CommitFailedError

from . import events, store
from .faults import crash_here
from .relay import Relay
from .steps import Steps, about, place

POLL = 100  # ms


@dataclass
class Received:
    """A record, and what is known of it."""

    record: object
    event: object = None
    bad: str = ""  # why it is no event
    answer: object = None  # of the service's call


def serve(me, module, settings):
    """Runs a service until the process is asked to stop."""
    Service(me, module, settings).run()


class Service:
    """A service's process."""

    def __init__(self, me, module, settings):
        self.me, self.module, self.settings = me, module, settings
        self.steps = Steps(settings.folder, module.NAME)
        self.db = store.connect(settings.database(module.NAME), module.TABLES)
        self.relay = Relay(me, settings, module.NAME, self.steps)
        self.consumer = KafkaConsumer(
            *(settings.prefix + topic for topic in module.TOPICS),
            **me.client,
            group_id=settings.prefix + module.GROUP,
            client_id=me.name,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_records=settings.batch,
            fetch_max_wait_ms=POLL,
        )

    def run(self):
        """Receives and handles, batch by batch."""
        self.relay.start()
        self.me.follow(self.consumer)
        while not self.me.stopping:
            batch = [record for records in self.consumer.poll(POLL).values() for record in records]
            if batch:
                self.handle(batch)
        self.relay.end()

    def handle(self, batch):
        """One batch of records: one transaction, then the offsets."""
        received = [self.decoded(record) for record in batch]
        lines = [self.line(one) for one in received]
        self.steps("received", lines)
        if self.settings.commit_first:
            self.commit_offsets(lines)
        self.call(received)
        done = self.in_one_transaction(received, lines)
        for step in ("refused", "skipped", "tx committed"):
            self.steps(step, [line for line, how in zip(lines, done, strict=True) if how == step])
        crash_here(self.settings, self.steps, "after_db_commit", lines)
        self.relay.wake.set()
        if not self.settings.commit_first:
            self.commit_offsets(lines)

    def decoded(self, record):
        """The record with its event, or with what is wrong with it."""
        try:
            return Received(record, events.from_record(record))
        except events.BadEvent as error:
            return Received(record, bad=str(error))

    def line(self, one):
        """The record's line in the step log."""
        where = place(one.record, self.settings.prefix)
        return (about(one.event) if one.event else {"ce_id": None, "order": None, "type": None}) | where

    def call(self, received):
        """Asks somebody else, outside of the transaction: it may take long, and nobody should wait for our lock."""

    def in_one_transaction(self, received, lines):
        """Handles them, all or none. Returns for each what was done, as a step of the log."""
        while True:
            try:
                with store.transaction(self.db):
                    done = [self.handle_one(one) for one in received]
                    crash_here(self.settings, self.steps, "before_db_commit", lines)
                return done
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):
                    raise
                self.me.log("waits", error=str(error))  # another program holds the lock; nothing is lost meanwhile

    def handle_one(self, one):
        """Inbox, change, outbox."""
        handler = self.module.HANDLERS.get(events.name_of(one.event))
        if not handler:
            return "skipped"
        if self.settings.inbox and not store.first_time(self.db, self.module.GROUP, one.event.get_id()):
            return "refused"
        for event in handler(self.db, one.event):
            store.add_to_outbox(self.db, self.module.NAME, event)
        return "tx committed"

    def commit_offsets(self, lines):
        """The group goes on behind these records from now on, whoever reads for it."""
        try:
            self.consumer.commit()
        except CommitFailedError:  # the partitions are another member's now; the records come again there
            self.me.log("commit_refused")
            return
        self.steps("offset committed", lines)
