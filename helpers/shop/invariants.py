"""What must hold when the shop is quiet, asked of the databases (SQL) and of the topics (a scan): I1 to I10."""

import sqlite3
from collections import Counter, defaultdict

from . import events, projection, topics
from .retry import header
from .run import OPEN, WITH_OUTBOX

MOST_PROOFS = 3  # shown for each invariant


def invariants(run):
    """Checks I1 to I10 on a quiet shop. Returns a DataFrame, one row each: invariant, holds, violations, proof.

    The proof names the records or rows that break it. Raises LabError if the shop does not become quiet.
    """
    import pandas as pd

    seen, rows = Scan(run), []
    for name, check in CHECKS.items():
        found = list(check(run, seen))
        rows.append((name, not found, len(found), "; ".join(found[:MOST_PROOFS])))
    return pd.DataFrame(rows, columns=["invariant", "holds", "violations", "proof"])


class Scan:
    """The topics as they are: records in the order of their partitions, and the places of each event."""

    def __init__(self, run):
        self.prefix, self.places, self.of_topic = run.lab.prefix, defaultdict(list), defaultdict(list)
        for record in topics.read(run.lab):
            topic = record.topic.removeprefix(self.prefix)
            ce_id = header(record, "ce_id", "")
            self.places[topic, ce_id].append((record.partition, record.offset))
            self.of_topic[topic].append(record)

    def place(self, topic, ce_id):
        """ "shop.balance.command[5]@22" """
        return ", ".join(f"{topic}[{p}]@{o}" for p, o in self.places[topic, ce_id]) or f"not in {topic}"


def money(run, seen):
    sums = """SELECT user, amount, (SELECT coalesce(sum(amount), 0) FROM ledger l WHERE l.user = b.user) AS s
        FROM balance b"""
    for row in run.sql("balance", sums):
        if row["amount"] != row["s"] or row["amount"] < 0:
            yield f"{row['user']}: balance {row['amount']:,}, ledger {row['s']:,}"


def one_deduction(run, seen):
    twice = """SELECT orders, count(*) AS n, group_concat(ce_id) AS ids FROM ledger
        WHERE kind = 'deduct' AND amount < 0 GROUP BY orders HAVING n > 1"""
    for row in run.sql("balance", twice):
        ce_id = row["ids"].split(",")[0]
        yield f"{row['orders']} was deducted {row['n']} times, by {seen.place('shop.balance.command', ce_id)} ({ce_id})"


def stock_adds_up(run, seen):
    of_state = "(SELECT coalesce(sum(quantity), 0) FROM reservation r WHERE r.product = s.product AND state = '{}')"
    wrong = f"""SELECT product, initial, free, reserved, sold FROM stock s WHERE free + reserved + sold <> initial
        OR reserved <> {of_state.format("reserved")} OR sold <> {of_state.format("sold")}"""
    for row in run.sql("stock", wrong):
        yield str(row)


def coupons_add_up(run, seen):
    issued = "(SELECT count(*) FROM holding h WHERE h.coupon = c.coupon AND state IN ('held', 'used'))"
    wrong = f"SELECT coupon, quota, left, {issued} AS issued FROM coupon c WHERE left + {issued} <> quota"
    for row in run.sql("coupon", wrong):
        yield str(row)
    twice = """SELECT coupon, user, group_concat(orders) AS orders FROM holding WHERE state IN ('held', 'used')
        GROUP BY coupon, user HAVING count(*) > 1"""
    for row in run.sql("coupon", twice):
        yield f"{row['user']} has {row['coupon']} for {row['orders']}"


def order_per_user(run, seen):
    """The ledger has each user's commands as they were issued, which is their order in one partition."""
    last = {}
    for row in run.sql("balance", "SELECT user, ce_id FROM ledger ORDER BY id"):
        number, before = int(row["ce_id"].rpartition("-")[2]), last.get(row["user"])
        if before and number <= before[0]:
            first, second = (seen.place("shop.balance.command", ce_id) for ce_id in (row["ce_id"], before[1]))
            yield f"{row['user']}: {row['ce_id']} at {first} was handled after {before[1]} at {second}"
        last[row["user"]] = (number, row["ce_id"])


def every_order_ends(run, seen):
    for row in run.sql("order", f"SELECT id, status, step FROM orders WHERE status IN {OPEN} ORDER BY number"):
        yield f"{row['id']} is {row['status']} at step {row['step']}"


def cancelled_leaves_nothing(run, seen):
    cancelled = ids(run.sql("order", "SELECT id FROM orders WHERE status = 'CANCELLED'"))
    effects = {
        "balance": "SELECT orders AS id FROM ledger WHERE orders IS NOT NULL GROUP BY orders HAVING sum(amount) <> 0",
        "stock": "SELECT orders AS id FROM reservation WHERE state <> 'released'",
        "coupon": "SELECT orders AS id FROM holding WHERE state <> 'released'",
        "provider": "SELECT orders AS id FROM paid WHERE result = 'paid'",
    }
    for service, query in effects.items():
        for order in sorted(cancelled & ids(run.sql(service, query))):
            yield f"{order} is cancelled, and still has an effect in {service}"


def outbox_is_topic(run, seen):
    rows = {
        (row["topic"], row["ce_id"])
        for service in WITH_OUTBOX
        for row in run.sql(service, "SELECT topic, ce_id FROM outbox")
    }
    there = {place for place in seen.places if place[0] != "shop.product.sold"}
    rows = {row for row in rows if not row[1].startswith("raw-")}
    there = {place for place in there if place[1] and not place[0].endswith(".dlq")}
    kept = {row for row in rows if not row[0].endswith(".dlq")}
    for topic, ce_id in sorted(kept - there):
        yield f"{ce_id} is in an outbox, and not in {topic}"
    for topic, ce_id in sorted(there - rows):
        yield f"{seen.place(topic, ce_id)} ({ce_id}) is in no outbox"


def effects_of_completed(run, seen):
    completed = ids(run.sql("order", "SELECT id FROM orders WHERE status = 'COMPLETED'"))
    dead = {header(record, "ce_correlationid", "") for record in seen.of_topic["data-platform.dlq"]}
    shipped = ids(run.sql("shipping", "SELECT orders AS id FROM shipment"))
    stored = ids(run.sql("data-platform-server", "SELECT orders AS id FROM fact"))
    for order in sorted(shipped ^ completed):
        yield f"{order} is {'shipped' if order in shipped else 'completed'} only"
    for order in sorted((stored ^ completed) - dead):
        yield f"{order} is {'at the data platform' if order in stored else 'completed'} only"
    sold = Counter(header(record, "ce_correlationid", "") for record in seen.of_topic["shop.product.sold"])
    for order in sorted(completed | set(sold)):
        if sold[order] != (order in completed):
            yield f"{order} counts {sold[order]} times in shop.product.sold"


def replay_is_same(run, seen):
    db = sqlite3.connect(":memory:")
    db.executescript(projection.TABLES)
    for topic in projection.TOPICS:
        for record in seen.of_topic[topic]:
            event = events.from_record(record)
            projection.HANDLERS[events.name_of(event)](db, event)
    for table in ("page", "purse"):
        again = set(db.execute(f"SELECT * FROM {table}"))
        now = {tuple(row.values()) for row in run.sql("projection", f"SELECT * FROM {table}")}
        for row in sorted(again ^ now):
            yield f"{table} {row}: {'only after the replay' if row in again else 'not after the replay'}"


def ids(rows):
    return {row["id"] for row in rows}


CHECKS = {
    "I1 each balance is the sum of its ledger, and not below 0": money,
    "I2 at most one deduction for each order": one_deduction,
    "I3 reserved + sold + free = initial stock": stock_adds_up,
    "I4 coupons within the quota, one for each user": coupons_add_up,
    "I5 each user's ledger in the order of the commands": order_per_user,
    "I6 every accepted order has ended": every_order_ends,
    "I7 a cancelled order has no effect left": cancelled_leaves_nothing,
    "I8 what is in an outbox is in its topic, and nothing else": outbox_is_topic,
    "I9 shipping, data platform, sales = the completed orders": effects_of_completed,
    "I10 a replay from offset 0 gives the same read model": replay_is_same,
}
