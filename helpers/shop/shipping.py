"""The shipping service: a shipment for each completed order."""

NAME = GROUP = "shipping"
TOPICS = ["shop.order.event"]
TABLES = (
    "CREATE TABLE IF NOT EXISTS shipment (orders TEXT PRIMARY KEY, product TEXT NOT NULL, quantity INTEGER NOT NULL);"
)


def ship(db, event):
    """Once for each order."""
    row = tuple(event.get_data()[name] for name in ("orderId", "productId", "quantity"))
    db.execute("INSERT OR IGNORE INTO shipment VALUES (?, ?, ?)", row)
    return []


HANDLERS = {"order.completed": ship}
