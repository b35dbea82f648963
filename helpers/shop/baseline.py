"""The same steps without Kafka: one process, one SQLite file, one transaction for each request. For comparison.

The handlers are the services' own, the events are made and checked as they are there; the three HTTP calls are function
calls. What is gone: the topics, the relays, the inboxes, the processes, and with them that a part may fail alone.
"""

import tempfile
import time
from collections import Counter
from pathlib import Path

from . import balance, coupon, data_platform, events, order, payment, projection, provider, shipping, stock, store, web
from .settings import Settings

PARTS = [order, coupon, stock, balance, payment, shipping, data_platform, projection]


def baseline(actions, **settings):
    """Does what a plan says (run.plan). Returns a dict: orders, completed, cancelled, seconds, orders_per_second."""
    with tempfile.TemporaryDirectory(prefix="kafka-course-shop-") as folder:
        shop = Settings(Path(folder), "", **settings)
        tables = "".join(part.TABLES for part in PARTS) + provider.TABLES
        tables += shipping.ITS_TABLES + data_platform.ITS_TABLES
        db = store.connect(shop.database("all"), tables)
        with store.transaction(db):
            stock.prepare(db, shop)
            coupon.prepare(db, shop)
        began = time.monotonic()
        for number, (path, body) in enumerate(_requests(actions)):
            with store.transaction(db):
                _do(db, shop, path, body, f"request-{number}")
        seconds = time.monotonic() - began
        found = Counter(row["status"] for row in db.execute("SELECT status FROM orders"))
        db.close()
    orders = sum(found.values())
    return {
        "orders": orders,
        "completed": found["COMPLETED"],
        "cancelled": found["CANCELLED"],
        "seconds": round(seconds, 2),
        "orders_per_second": round(orders / seconds, 1),
    }


def _requests(actions):
    """The requests of a plan, one turn of each user after the other."""
    for turn in range(max(map(len, actions.values()), default=0)):
        for _, mine in sorted(actions.items()):
            if turn < len(mine):
                yield mine[turn]


def _do(db, shop, path, body, request):
    """One request, and all that follows from it: the outbox is the queue."""
    done = db.execute("SELECT coalesce(max(id), 0) FROM outbox").fetchone()[0]
    (order.place_order if path == "/orders" else order.charge)(db, shop, body, request)
    while row := db.execute("SELECT id, event FROM outbox WHERE id > ? ORDER BY id", (done,)).fetchone():
        event, done = events.restored(row["event"]), row["id"]
        for part in PARTS:
            if events.topic_of(event) in part.TOPICS and events.name_of(event) in part.HANDLERS:
                _handle(db, part, event)


def _handle(db, part, event):
    handler = part.HANDLERS[events.name_of(event)]
    answer = (part.call(event, Direct(db)),) if hasattr(part, "call") else ()
    for effect in handler(db, event, *answer):
        store.add_to_outbox(db, part.NAME, effect)


class Direct:
    """In place of an HTTP client: calls what the server would call."""

    def __init__(self, db):
        self.db = db

    def ask(self, method, path, body=None, **headers):
        """(status, answer as a dict)."""
        server = {"/payments": provider, "/parcels": shipping, "/orders": data_platform}[path]
        return server.effect(self.db, web.Request(method, path, headers, body), {})
