"""What must hold when the shop is quiet, asked of the databases (SQL) and of the topics (a scan): I1 to I10."""

import contextlib
import sqlite3
from collections import Counter, defaultdict

from . import events, projection
from .order import PIVOT, STEPS
from .retry import header
from .run import OPEN, WITH_OUTBOX

MOST_PROOFS = 3  # shown for each invariant
MOST_WAITS = len(STEPS) + PIVOT  # for an answer, of one order: all the way, and back from the pivot


def invariants(run):
    """Checks I1 to I10 on a quiet shop. Returns a DataFrame, one row each: invariant, holds, violations, proof.

    The proof names the records or rows that break it. Raises LabError when nobody of the shop runs.
    """
    run.check_running()
    seen = Scan(run)
    return as_table("invariant", {name: list(check(run, seen)) for name, check in CHECKS.items()})


def as_table(what, found):
    """The violations of each check, a list of sentences, as a DataFrame: what, holds, violations, proof."""
    import pandas as pd

    rows = [(name, not said, len(said), "; ".join(said[:MOST_PROOFS])) for name, said in found.items()]
    return pd.DataFrame(rows, columns=[what, "holds", "violations", "proof"])


class Scan:
    """The topics as they are: records in the order of their partitions, and the places of each event."""

    def __init__(self, run):
        self.prefix, self.places, self.of_topic = run.lab.prefix, defaultdict(list), defaultdict(list)
        for record in run.read():
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
    """Of each coupon: those issued for claims, and those that orders took without a claim."""
    out = """SELECT coupon, user, claim AS what FROM issued UNION ALL SELECT coupon, user, orders FROM holding h
        WHERE state IN ('held', 'used') AND NOT EXISTS
            (SELECT 1 FROM issued i WHERE (i.coupon, i.user) = (h.coupon, h.user))"""
    number = f"(SELECT count(*) FROM ({out}) o WHERE o.coupon = c.coupon)"
    wrong = f"SELECT coupon, quota, left, {number} AS out FROM coupon c WHERE left + {number} <> quota OR left < 0"
    for row in run.sql("coupon", wrong):
        yield str(row)
    for table in (out, "SELECT coupon, user, orders AS what FROM holding WHERE state IN ('held', 'used')"):
        twice = f"SELECT coupon, user, group_concat(what) AS whats FROM ({table}) GROUP BY 1, 2 HAVING count(*) > 1"
        for row in run.sql("coupon", twice):
            yield f"{row['user']} has {row['coupon']} for {row['whats']}"
    told = ids(run.sql("order", "SELECT id FROM claim WHERE status = 'ISSUED'"))
    for claim in sorted(told ^ ids(run.sql("coupon", "SELECT claim AS id FROM issued"))):
        yield f"{claim} is issued, {'says the order service only' if claim in told else 'and its customer is not told'}"


def order_per_user(run, seen):
    """The ledger has each user's commands, all of them, as they were issued, which is their order in one partition."""
    last = {}
    for row in run.sql("balance", "SELECT user, ce_id FROM ledger ORDER BY id"):
        number, before = int(row["ce_id"].rpartition("-")[2]), last.get(row["user"])
        if before and number <= before[0]:
            first, second = (seen.place("shop.balance.command", ce_id) for ce_id in (row["ce_id"], before[1]))
            yield f"{row['user']}: {row['ce_id']} at {first} was handled after {before[1]} at {second}"
        last[row["user"]] = (number, row["ce_id"])
    handled = ids(run.sql("balance", "SELECT ce_id AS id FROM ledger UNION SELECT ce_id FROM parked"))
    dead = {header(record, "ce_id", "") for record in seen.of_topic["balance.dlq"]}
    for record in seen.of_topic["shop.balance.command"]:
        ce_id = header(record, "ce_id", "")
        if ce_id and ce_id not in handled | dead:
            yield f"{ce_id} at {seen.place('shop.balance.command', ce_id)} is neither in the ledger nor set aside"


def every_order_ends(run, seen):
    """One that waits for something that is parked or dead ends too, in time: an operator has to look at it."""
    aside, longest = defaultdict(list), MOST_WAITS * (run.settings.patience + 1)  # order.tick looks once a second
    orders = run.sql("order", "SELECT id, status, step, moved - placed AS took FROM orders ORDER BY number")
    for one in set_aside(run, seen):
        aside[one["order"]].append(one)
    for row in orders:
        if row["status"] in OPEN:
            where = "".join(f", {one['place']}" for one in aside[row["id"]])
            yield f"{row['id']} is {row['status']} at step {row['step']}{where}"
        elif row["status"] != "NEEDS_OPERATOR":
            for one in aside[row["id"]]:
                if one["parked"]:
                    yield f"{row['id']} is {row['status']}, and {one['place']}"
    for row in orders:
        if row["took"] > longest:
            yield f"{row['id']} took {row['took']:.0f} s, and not {longest:g} s at most"
    for row in run.sql("order", "SELECT id FROM claim WHERE status = 'OPEN'"):
        yield f"{row['id']} is OPEN"
    accepted = run.sql("order", "SELECT answer ->> 'orderId' AS id FROM request WHERE answer ->> 'orderId' IS NOT NULL")
    for order in sorted(ids(accepted) - ids(orders)):
        yield f"{order} was accepted, and is gone"


def set_aside(run, seen):
    """What waits for an operator, parked or in a DLQ, as dicts: order, place (in words), parked."""
    for service in WITH_OUTBOX:
        for row in run.sql(service, "SELECT ce_id, event, reason FROM parked ORDER BY id"):
            event = events.restored(row["event"])
            place = f"{events.name_of(event)} ({row['ce_id']}) is parked in {service}: {row['reason']}"
            yield {"order": event.get_extension("correlationid"), "place": place, "parked": True}
    for topic, records in seen.of_topic.items():
        for record in records if topic.endswith(".dlq") else ():
            place = f"{topic}[{record.partition}]@{record.offset} is dead: {header(record, 'error', '')}"
            yield {"order": header(record, "ce_correlationid", ""), "place": place, "parked": False}


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
    dead = {
        group: {header(record, "ce_correlationid", "") for record in seen.of_topic[f"{group}.dlq"]}
        for group in ("shipping", "data-platform")
    }
    shipped = ids(run.sql("shipping", "SELECT orders AS id FROM shipment"))
    fetched = ids(run.sql("carrier", "SELECT orders AS id FROM parcel"))
    stored = ids(run.sql("data-platform-server", "SELECT orders AS id FROM fact"))
    for order in sorted((shipped ^ completed) - dead["shipping"]):
        yield f"{order} is {'shipped' if order in shipped else 'completed'} only"
    for order in sorted((fetched ^ completed) - dead["shipping"]):
        yield f"{order} is {'fetched by the carrier' if order in fetched else 'completed'} only"
    for order in sorted((stored ^ completed) - dead["data-platform"]):
        yield f"{order} is {'at the data platform' if order in stored else 'completed'} only"
    sales = {header(r, "ce_id", ""): header(r, "ce_correlationid", "") for r in seen.of_topic["shop.product.sold"]}
    sold = Counter(sales.values())  # a sale that comes twice has one id, and counts once
    for order in sorted(completed | set(sold)):
        if sold[order] != (order in completed):
            yield f"{order} counts {sold[order]} times in shop.product.sold"


def replay_is_same(run, seen):
    db = sqlite3.connect(":memory:")
    db.executescript(projection.TABLES)
    for topic in projection.TOPICS:
        for record in seen.of_topic[topic]:
            with contextlib.suppress(events.BadEvent):  # it is in the DLQ
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
    "I6 every accepted order has ended or needs an operator": every_order_ends,
    "I7 a cancelled order has no effect left": cancelled_leaves_nothing,
    "I8 what is in an outbox is in its topic, and nothing else": outbox_is_topic,
    "I9 shipping, data platform, sales = the completed orders": effects_of_completed,
    "I10 a replay from offset 0 gives the same read model": replay_is_same,
}
