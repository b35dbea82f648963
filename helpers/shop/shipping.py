"""The shipping service asks the carrier to fetch each completed order; the carrier's server is somebody else's."""

from . import web

NAME = GROUP = "shipping"
TOPICS = ["shop.order.event"]
SERVER = "carrier"
TABLES = (
    "CREATE TABLE IF NOT EXISTS shipment (orders TEXT PRIMARY KEY, product TEXT NOT NULL, quantity INTEGER NOT NULL);"
)
ITS_TABLES = "CREATE TABLE IF NOT EXISTS parcel (key TEXT PRIMARY KEY, orders TEXT NOT NULL);"


def call(event, client):
    """Asks for a completed order to be fetched; again with the same key if need be. Raises TryAgain."""
    key = f"{event.get_data()['orderId']}:shipping"
    status, _ = client.ask("POST", "/parcels", event.get_data(), **{"Idempotency-Key": key}, **web.on_behalf(event))
    if status != 200:
        raise web.TryAgain(f"the carrier answers {status}")


def ship(db, event, answer):
    """Once for each order."""
    row = tuple(event.get_data()[name] for name in ("orderId", "productId", "quantity"))
    db.execute("INSERT OR IGNORE INTO shipment VALUES (?, ?, ?)", row)
    return []


def give_up(event, error):
    """The operator finds it in the DLQ; the order is paid for, and stays completed."""
    return []


HANDLERS = {"order.completed": ship}


def effect(db, request, rule):
    """POST /parcels takes a parcel, once for each key."""
    row = (request.headers["Idempotency-Key"], request.body["orderId"])
    db.execute("INSERT OR IGNORE INTO parcel VALUES (?, ?)", row)
    return 200, {"result": "fetched"}
