"""The data platform gets every completed order over HTTP: our sender, and the server, which is somebody else's."""

from . import web

NAME = GROUP = "data-platform"
TOPICS = ["shop.order.event"]
SERVER = "data-platform-server"
TABLES = "CREATE TABLE IF NOT EXISTS sent (orders TEXT PRIMARY KEY);"
ITS_TABLES = "CREATE TABLE IF NOT EXISTS fact (orders TEXT PRIMARY KEY, amount INTEGER NOT NULL);"


def call(event, client):
    """Sends a completed order; again with the same key if need be. Raises TryAgain."""
    key = f"{event.get_data()['orderId']}:data-platform"
    status, _ = client.ask("POST", "/orders", event.get_data(), **{"Idempotency-Key": key}, **web.on_behalf(event))
    if status != 200:
        raise web.TryAgain(f"the data platform answers {status}")


def sent(db, event, answer):
    """Remembers that it has the order."""
    db.execute("INSERT OR IGNORE INTO sent VALUES (?)", (event.get_data()["orderId"],))
    return []


def give_up(event, error):
    """The operator finds it in the DLQ; the order does not wait for it."""
    return []


HANDLERS = {"order.completed": sent}


def effect(db, request, rule):
    """POST /orders keeps the order, once."""
    row = (request.body["orderId"], request.body["amount"])
    db.execute("INSERT OR IGNORE INTO fact VALUES (?, ?)", row)
    return 200, {"result": "stored"}
