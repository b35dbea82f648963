"""The read model: what a customer's page shows. Made from the topics alone, it can be made again."""

from . import events

NAME = GROUP = "projection"
TOPICS = ["shop.order.event", "shop.user.balance"]
TABLES = """
CREATE TABLE IF NOT EXISTS page (orders TEXT PRIMARY KEY, user TEXT NOT NULL, amount INTEGER NOT NULL, status TEXT);
CREATE TABLE IF NOT EXISTS purse (user TEXT PRIMARY KEY, balance INTEGER NOT NULL);
"""


def show_order(db, event):
    """The order's newest state."""
    order, status = event.get_data(), events.name_of(event).removeprefix("order.")
    row = (order["orderId"], order["userId"], order["amount"], status)
    db.execute("INSERT OR REPLACE INTO page VALUES (?, ?, ?, ?)", row)
    return []


def show_balance(db, event):
    """The user's newest balance."""
    db.execute("INSERT OR REPLACE INTO purse VALUES (?, ?)", (event.get_data()["userId"], event.get_data()["balance"]))
    return []


HANDLERS = {f"order.{state}": show_order for state in ("placed", "completed", "cancelled", "stuck")}
HANDLERS["user.balance"] = show_balance
