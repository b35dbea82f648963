"""The coupon service: first come, first served, until the quota is used up; one for each user.

A user gets a coupon by a claim (issued), and an order holds and uses it; an order without a claim takes one for itself.
"""

from . import events
from .store import changed

NAME = GROUP = "coupon"
TOPICS = ["shop.coupon.command"]
TABLES = """
CREATE TABLE IF NOT EXISTS coupon (
    coupon TEXT PRIMARY KEY, quota INTEGER NOT NULL, left INTEGER NOT NULL CHECK (left >= 0));
CREATE TABLE IF NOT EXISTS holding (
    orders TEXT PRIMARY KEY, coupon TEXT NOT NULL, user TEXT NOT NULL, state TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS issued (
    claim TEXT PRIMARY KEY, coupon TEXT NOT NULL, user TEXT NOT NULL, UNIQUE (coupon, user));
CREATE UNIQUE INDEX IF NOT EXISTS one_each ON holding (coupon, user) WHERE state IN ('held', 'used');
"""


def prepare(db, settings):
    """Puts each coupon into the table, with its whole quota."""
    rows = [(coupon, quota, quota) for coupon, (_, quota) in settings.coupons.items()]
    db.executemany("INSERT OR IGNORE INTO coupon VALUES (?, ?, ?)", rows)


def issue(db, command):
    """Gives a coupon to the user, if one is left and the user has none yet."""
    claim, coupon, user = (command.get_data()[name] for name in ("claimId", "couponId", "userId"))
    reason = why_not(db, coupon, user)
    if reason:
        return [events.new("coupon.denied", command, claimId=claim, reason=reason)]
    db.execute("INSERT INTO issued VALUES (?, ?, ?)", (claim, coupon, user))
    return [events.new("coupon.issued", command, claimId=claim)]


def hold(db, command):
    """Takes the user's coupon for the order; without a claim one of those that are left."""
    order, coupon, user = (command.get_data()[name] for name in ("orderId", "couponId", "userId"))
    if db.execute("SELECT 1 FROM holding WHERE orders = ?", (order,)).fetchone():
        return [refused(command, "the order was cancelled before")]
    reason = "one coupon for each user" if holds(db, coupon, user) else None
    if not reason and not was_issued(db, coupon, user):
        reason = why_not(db, coupon, user)
    if reason:
        return [refused(command, reason)]
    db.execute("INSERT INTO holding VALUES (?, ?, ?, 'held')", (order, coupon, user))
    return [events.new("coupon.held", command, orderId=order)]


def why_not(db, coupon, user):
    """Takes one of those that are left; or returns why the user gets none."""
    if holds(db, coupon, user) or was_issued(db, coupon, user):
        return "one coupon for each user"
    if not changed(db, "UPDATE coupon SET left = left - 1 WHERE coupon = ? AND left > 0", (coupon,)):
        return "no coupon left"
    return None


def holds(db, coupon, user):
    has_one = "SELECT 1 FROM holding WHERE coupon = ? AND user = ? AND state IN ('held', 'used')"
    return db.execute(has_one, (coupon, user)).fetchone()


def was_issued(db, coupon, user):
    return db.execute("SELECT 1 FROM issued WHERE coupon = ? AND user = ?", (coupon, user)).fetchone()


def confirm(db, command):
    """The coupon is used."""
    order = command.get_data()["orderId"]
    db.execute("UPDATE holding SET state = 'used' WHERE orders = ? AND state = 'held'", (order,))
    return [events.new("coupon.confirmed", command, orderId=order)]


def release(db, command):
    """Gives it back to the user who had claimed it, or to all. Without a hold its row stays, and refuses a late one."""
    order, coupon, user = (command.get_data()[name] for name in ("orderId", "couponId", "userId"))
    held = changed(db, "UPDATE holding SET state = 'released' WHERE orders = ? AND state = 'held'", (order,))
    if held and not was_issued(db, coupon, user):
        db.execute("UPDATE coupon SET left = left + 1 WHERE coupon = ?", (coupon,))
    db.execute("INSERT OR IGNORE INTO holding VALUES (?, ?, ?, 'released')", (order, coupon, user))
    return [events.new("coupon.released", command, orderId=order)]


def refused(command, reason):
    return events.new("coupon.refused", command, orderId=command.get_data()["orderId"], reason=reason)


HANDLERS = {"coupon.issue": issue, "coupon.hold": hold, "coupon.confirm": confirm, "coupon.release": release}
