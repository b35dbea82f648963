"""The stock service: reserved for an order, then sold or free again. reserved + sold + free never changes."""

from . import events
from .store import changed

NAME = GROUP = "stock"
TOPICS = ["shop.stock.command"]
TABLES = """
CREATE TABLE IF NOT EXISTS stock (
    product TEXT PRIMARY KEY, initial INTEGER NOT NULL, free INTEGER NOT NULL CHECK (free >= 0),
    reserved INTEGER NOT NULL DEFAULT 0 CHECK (reserved >= 0), sold INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS reservation (
    orders TEXT PRIMARY KEY, product TEXT NOT NULL, quantity INTEGER NOT NULL, state TEXT NOT NULL);
"""


def prepare(db, settings):
    """Fills the shelves."""
    rows = [(product, stock, stock) for product, (_, stock) in settings.products.items()]
    db.executemany("INSERT OR IGNORE INTO stock (product, initial, free) VALUES (?, ?, ?)", rows)


def reserve(db, command):
    """Puts the goods aside, if there are enough."""
    order, product, quantity = (command.get_data()[name] for name in ("orderId", "productId", "quantity"))
    if state(db, order):
        return [refused(command, "the order was cancelled before")]
    taken = "UPDATE stock SET free = free - ?, reserved = reserved + ? WHERE product = ? AND free >= ?"
    if not changed(db, taken, (quantity, quantity, product, quantity)):
        return [refused(command, "not enough in stock")]
    db.execute("INSERT INTO reservation VALUES (?, ?, ?, 'reserved')", (order, product, quantity))
    return [events.new("stock.reserved", command, orderId=order)]


def confirm(db, command):
    """What was reserved is sold."""
    order, product, quantity = (command.get_data()[name] for name in ("orderId", "productId", "quantity"))
    if changed(db, "UPDATE reservation SET state = 'sold' WHERE orders = ? AND state = 'reserved'", (order,)):
        sold = "UPDATE stock SET reserved = reserved - ?, sold = sold + ? WHERE product = ?"
        db.execute(sold, (quantity, quantity, product))
    return [events.new("stock.confirmed", command, orderId=order)]


def release(db, command):
    """Back on the shelf. Without a reservation its row stays all the same, which refuses one that comes late."""
    order, product, quantity = (command.get_data()[name] for name in ("orderId", "productId", "quantity"))
    if changed(db, "UPDATE reservation SET state = 'released' WHERE orders = ? AND state = 'reserved'", (order,)):
        back = "UPDATE stock SET reserved = reserved - ?, free = free + ? WHERE product = ?"
        db.execute(back, (quantity, quantity, product))
    db.execute("INSERT OR IGNORE INTO reservation VALUES (?, ?, ?, 'released')", (order, product, quantity))
    return [events.new("stock.released", command, orderId=order)]


def state(db, order):
    return db.execute("SELECT state FROM reservation WHERE orders = ?", (order,)).fetchone()


def refused(command, reason):
    return events.new("stock.refused", command, orderId=command.get_data()["orderId"], reason=reason)


HANDLERS = {"stock.reserve": reserve, "stock.confirm": confirm, "stock.release": release}
