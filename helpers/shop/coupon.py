"""The coupon service: first come, first served, until the quota is used up; one for each user."""

from . import events
from .store import changed

NAME = GROUP = "coupon"
TOPICS = ["shop.coupon.command"]
TABLES = """
CREATE TABLE IF NOT EXISTS coupon (
    coupon TEXT PRIMARY KEY, quota INTEGER NOT NULL, left INTEGER NOT NULL CHECK (left >= 0));
CREATE TABLE IF NOT EXISTS holding (
    orders TEXT PRIMARY KEY, coupon TEXT NOT NULL, user TEXT NOT NULL, state TEXT NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS one_each ON holding (coupon, user) WHERE state IN ('held', 'used');
"""


def prepare(db, settings):
    """Prints the coupons."""
    rows = [(coupon, quota, quota) for coupon, (_, quota) in settings.coupons.items()]
    db.executemany("INSERT OR IGNORE INTO coupon VALUES (?, ?, ?)", rows)


def hold(db, command):
    """Takes a coupon for the order, if one is left and the user has none yet."""
    order, coupon, user = (command.get_data()[name] for name in ("orderId", "couponId", "userId"))
    if db.execute("SELECT 1 FROM holding WHERE orders = ?", (order,)).fetchone():
        return [refused(command, "the order was cancelled before")]
    has_one = "SELECT 1 FROM holding WHERE coupon = ? AND user = ? AND state IN ('held', 'used')"
    if db.execute(has_one, (coupon, user)).fetchone():
        return [refused(command, "one coupon for each user")]
    if not changed(db, "UPDATE coupon SET left = left - 1 WHERE coupon = ? AND left > 0", (coupon,)):
        return [refused(command, "no coupon left")]
    db.execute("INSERT INTO holding VALUES (?, ?, ?, 'held')", (order, coupon, user))
    return [events.new("coupon.held", command, orderId=order)]


def confirm(db, command):
    """The coupon is used."""
    order = command.get_data()["orderId"]
    db.execute("UPDATE holding SET state = 'used' WHERE orders = ? AND state = 'held'", (order,))
    return [events.new("coupon.confirmed", command, orderId=order)]


def release(db, command):
    """The coupon is free again. Without a hold its row stays all the same, which refuses one that comes late."""
    order, coupon, user = (command.get_data()[name] for name in ("orderId", "couponId", "userId"))
    if changed(db, "UPDATE holding SET state = 'released' WHERE orders = ? AND state = 'held'", (order,)):
        db.execute("UPDATE coupon SET left = left + 1 WHERE coupon = ?", (coupon,))
    db.execute("INSERT OR IGNORE INTO holding VALUES (?, ?, ?, 'released')", (order, coupon, user))
    return [events.new("coupon.released", command, orderId=order)]


def refused(command, reason):
    return events.new("coupon.refused", command, orderId=command.get_data()["orderId"], reason=reason)


HANDLERS = {"coupon.hold": hold, "coupon.confirm": confirm, "coupon.release": release}
