"""The balance service: it charges and deducts. One user's commands have one key, so they come in order."""

from . import events
from .store import changed

NAME = GROUP = "balance"
TOPICS = ["shop.balance.command"]
TABLES = """
CREATE TABLE IF NOT EXISTS balance (user TEXT PRIMARY KEY, amount INTEGER NOT NULL CHECK (amount >= 0));
CREATE TABLE IF NOT EXISTS ledger (
    id INTEGER PRIMARY KEY, user TEXT NOT NULL, kind TEXT NOT NULL, amount INTEGER NOT NULL, orders TEXT, ce_id TEXT);
CREATE INDEX IF NOT EXISTS ledger_orders ON ledger (orders, kind);
"""


def charge(db, command):
    """Adds money."""
    user, amount = command.get_data()["userId"], command.get_data()["amount"]
    db.execute("INSERT OR IGNORE INTO balance VALUES (?, 0)", (user,))
    db.execute("UPDATE balance SET amount = amount + ? WHERE user = ?", (amount, user))
    enter(db, command, amount)
    return [snapshot(db, command)]


def deduct(db, command):
    """Takes the money, if there is enough. Too little is an answer, and no error.

    Nothing here asks whether the order has paid already: a command that comes again is refused by the inbox.
    """
    order, user, amount = (command.get_data()[name] for name in ("orderId", "userId", "amount"))
    if was(db, order, "refund"):
        enter(db, command, 0)
        return [refused(command, "the order was cancelled before")]
    if not changed(db, "UPDATE balance SET amount = amount - ? WHERE user = ? AND amount >= ?", (amount, user, amount)):
        enter(db, command, 0)
        return [refused(command, "not enough balance")]
    enter(db, command, -amount)
    return [events.new("balance.deducted", command, orderId=order, balance=of(db, user)), snapshot(db, command)]


def refund(db, command):
    """Gives back what was deducted for the order. Without a deduction its entry stays, and refuses a late one."""
    order, user = command.get_data()["orderId"], command.get_data()["userId"]
    taken = -db.execute("SELECT coalesce(sum(amount), 0) FROM ledger WHERE orders = ?", (order,)).fetchone()[0]
    db.execute("INSERT OR IGNORE INTO balance VALUES (?, 0)", (user,))
    db.execute("UPDATE balance SET amount = amount + ? WHERE user = ?", (taken, user))
    enter(db, command, taken)
    return [events.new("balance.refunded", command, orderId=order, balance=of(db, user)), snapshot(db, command)]


def enter(db, command, amount):
    """An entry in the ledger, which is never changed. A command that was refused has one too, of 0."""
    kind = events.name_of(command).removeprefix("balance.")
    row = (command.get_data()["userId"], kind, amount, command.get_data().get("orderId"), command.get_id())
    db.execute("INSERT INTO ledger (user, kind, amount, orders, ce_id) VALUES (?, ?, ?, ?, ?)", row)


def was(db, order, kind):
    return db.execute("SELECT 1 FROM ledger WHERE orders = ? AND kind = ?", (order, kind)).fetchone()


def of(db, user):
    return db.execute("SELECT amount FROM balance WHERE user = ?", (user,)).fetchone()["amount"]


def refused(command, reason):
    return events.new("balance.refused", command, orderId=command.get_data()["orderId"], reason=reason)


def snapshot(db, command):
    """The balance as it is now, for the compacted topic."""
    user = command.get_data()["userId"]
    return events.new("user.balance", command, userId=user, balance=of(db, user))


HANDLERS = {"balance.charge": charge, "balance.deduct": deduct, "balance.refund": refund}
