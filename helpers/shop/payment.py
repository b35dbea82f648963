"""The payment service: it asks the provider. This is the pivot: before it all can be undone, after it nothing is."""

from . import events, web

NAME = GROUP = "payment"
TOPICS = ["shop.payment.command"]
SERVER = "provider"
TABLES = "CREATE TABLE IF NOT EXISTS payment (orders TEXT PRIMARY KEY, amount INTEGER NOT NULL, result TEXT NOT NULL);"


def call(command, client):
    """What the provider says: "paid" or "declined". Raises TryAgain.

    After a time-out nobody knows whether it has paid, so it is asked before anything is decided. The key is the same in
    every attempt: the provider pays once.
    """
    key, about = f"{command.get_data()['orderId']}:payment", web.on_behalf(command)
    try:
        status, answer = client.ask("POST", "/payments", command.get_data(), **{"Idempotency-Key": key}, **about)
    except web.NoAnswer:
        status, answer = client.ask("GET", f"/payments/{key}", **about)
    if status != 200:
        raise web.TryAgain(f"the provider answers {status}")
    return answer["result"]


def settle(db, command, result):
    """Keeps the result, and answers."""
    order, amount = command.get_data()["orderId"], command.get_data()["amount"]
    db.execute("INSERT OR IGNORE INTO payment VALUES (?, ?, ?)", (order, amount, result))
    if result == "paid":
        return [events.new("payment.paid", command, orderId=order)]
    return [events.new("payment.refused", command, orderId=order, reason=f"the provider has {result} it")]


def give_up(command, error):
    """Whether it was paid stays open: a human has to look."""
    return [events.new("payment.unknown", command, orderId=command.get_data()["orderId"], reason=error[:200])]


HANDLERS = {"payment.pay": settle}
