"""Where a service keeps what it knows: a SQLite file of its own, with an inbox and an outbox.

https://microservices.io/patterns/data/transactional-outbox.html
https://microservices.io/patterns/communication-style/idempotent-consumer.html
"""

import contextlib
import json
import sqlite3
import threading
import time

from . import events

BUSY = 5  # seconds to wait for another program that writes into the same file


class Locked(Exception):
    """The database is another program's for too long."""


TABLES = """
CREATE TABLE IF NOT EXISTS inbox (grp TEXT, ce_id TEXT, PRIMARY KEY (grp, ce_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outbox (
    id INTEGER PRIMARY KEY, ce_id TEXT NOT NULL, topic TEXT NOT NULL, event TEXT NOT NULL, headers TEXT NOT NULL,
    added REAL NOT NULL, partition INTEGER, offset INTEGER, published REAL);
CREATE TABLE IF NOT EXISTS parked (
    id INTEGER PRIMARY KEY, grp TEXT, key TEXT, ce_id TEXT, event TEXT NOT NULL, reason TEXT NOT NULL,
    released INTEGER NOT NULL DEFAULT 0, UNIQUE (grp, ce_id));
CREATE INDEX IF NOT EXISTS waiting ON outbox (id) WHERE published IS NULL;
"""


def connect(path, tables=""):
    """A connection to the file; makes the tables that are not there yet."""
    db = sqlite3.connect(path, isolation_level=None, timeout=BUSY)
    db.row_factory = sqlite3.Row
    db.execute("PRAGMA journal_mode = WAL")  # who reads does not wait for who writes
    db.execute("PRAGMA synchronous = FULL")  # a commit is on the disk before the offset is committed
    db.executescript(TABLES + tables)
    return db


@contextlib.contextmanager
def transaction(db, waits=None):
    """All or nothing. BEGIN IMMEDIATE takes the write lock at once, so that what is read stays true until the end.

    Another program that holds the lock for BUSY seconds makes it raise Locked; with waits it calls waits(), and goes on
    waiting.
    """
    while not _begun(db):
        if not waits:
            raise Locked(f"another program has been writing for {BUSY} s")
        waits()
    try:
        yield db
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def _begun(db):
    try:
        db.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True


def first_time(db, group, ce_id):
    """Whether this group sees the event for the first time; the inbox remembers it."""
    return db.execute("INSERT OR IGNORE INTO inbox VALUES (?, ?)", (group, ce_id)).rowcount == 1


def forget(db, group, ce_ids):
    """Takes these out of the inbox: the group will see them for the first time again."""
    db.executemany("DELETE FROM inbox WHERE grp = ? AND ce_id = ?", [(group, ce_id) for ce_id in ce_ids])


def add_to_outbox(db, service, event):
    """Writes an event that the relay will publish. Returns it with its id, its place in the outbox: "balance-17"."""
    number = _next(db)
    text = events.stored(event, id=f"{service}-{number}", source=f"/shop/{service}")
    _add(db, number, f"{service}-{number}", events.topic_of(event), text, {})
    return events.restored(text)


def add_copy_to_outbox(db, event, topic, headers):
    """The event as it is, its id too, to another topic, with more headers: for retry topics."""
    _add(db, _next(db), event.get_id(), topic, events.stored(event), headers)


def add_raw_to_outbox(db, topic, record, headers):
    """A record as it is, byte for byte, to another topic, with more headers."""
    kept = [[name, _text(value)] for name, value in record.headers]
    raw = json.dumps({"raw": [_text(record.key), _text(record.value), kept]})
    number = _next(db)
    _add(db, number, f"raw-{number}", topic, raw, headers)


def _text(data):
    return None if data is None else data.decode("latin-1")  # each byte is a letter, and a byte again


def _next(db):
    return db.execute("SELECT coalesce(max(id), 0) + 1 FROM outbox").fetchone()[0]  # we hold the write lock


def _add(db, number, ce_id, topic, text, headers):
    db.execute(
        "INSERT INTO outbox (id, ce_id, topic, event, headers, added) VALUES (?, ?, ?, ?, ?, ?)",
        (number, ce_id, topic, text, json.dumps(headers), time.time()),
    )


@contextlib.contextmanager
def part(db):
    """A part of a transaction that can fail alone."""
    db.execute("SAVEPOINT part")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK TO part")
        raise
    finally:
        db.execute("RELEASE part")


def park(db, group, event, reason):
    """Puts an event aside that cannot be handled, until an operator has mended the cause."""
    row = (group, event.get_subject(), event.get_id(), events.stored(event), reason)
    db.execute("INSERT OR IGNORE INTO parked (grp, key, ce_id, event, reason) VALUES (?, ?, ?, ?, ?)", row)


def is_parked(db, group, key):
    """Whether an event of this key is parked: then the later ones have to wait behind it."""
    return db.execute("SELECT 1 FROM parked WHERE grp = ? AND key = ?", (group, key)).fetchone()


def changed(db, update, values):
    """Whether a guarded UPDATE found its row as the guard demands."""
    return db.execute(update, values).rowcount == 1


class PerThread(threading.local):
    """db: a connection for each thread that asks, because threads cannot share one."""

    def __init__(self, path, tables=""):
        self.db = connect(path, tables)
