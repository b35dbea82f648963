"""The states of an order, found by asking the saga itself: each reply is given to it in each state.

Nothing is declared here. What order.on_reply and order.tick do with an order is what the table says.
"""

import time
from types import SimpleNamespace

from . import events, order, store

ENDS = ("COMPLETED", "CANCELLED", "NEEDS_OPERATOR")
NO_ANSWER = "no answer"  # in time
ANSWER = {"orderId": "o-1", "reason": "no", "balance": 0}
PLACED = {"orderId": "o-1", "userId": "ann", "productId": "p-1", "quantity": 1, "amount": 5}


def transitions(coupon=True):
    """The transitions of an order as a DataFrame: state, on, next, sends (the event that goes with it).

    A state is what the order waits for ("stock reserve"), or how it has ended. coupon: of an order with a coupon.
    """
    import pandas as pd

    db = store.connect(":memory:", order.TABLES)
    first, rows = ("RUNNING", 0 if coupon else 1), []
    found, seen = [first], {first}
    while found:
        state = found.pop(0)
        for on, after, sent in _moves(db, state, coupon):
            rows.append((name(*state), on, name(*after), sent))
            if after not in seen and after[0] not in ENDS:
                seen.add(after)
                found.append(after)
    db.close()
    return pd.DataFrame(rows, columns=["state", "on", "next", "sends"])


def ignored():
    """How many pairs of a state and a reply there are, and how many of them change nothing: (all, ignored)."""
    table = transitions()
    pairs = table["state"].nunique() * len(order.REPLIES)
    return pairs, pairs - int((table["on"] != NO_ANSWER).sum())


def name(status, step):
    """ "coupon hold", "coupon release" or "COMPLETED"."""
    if status in ENDS:
        return status
    one = order.STEPS[step]
    return f"{one.service} {one.verb if status == 'RUNNING' else one.undo}"


def _moves(db, state, coupon):
    """(on, the state after it, what is sent) of everything that moves an order out of this state."""
    for reply in order.REPLIES:
        required = events.TYPES[reply][2]["required"]
        event = events.new(reply, request="r", **{field: ANSWER[field] for field in required})
        yield from _tried(db, state, coupon, reply, lambda event=event: order.on_reply(db, event))
    late = SimpleNamespace(patience=-1)
    yield from _tried(db, state, coupon, NO_ANSWER, lambda: list(order.tick(db, late)))


def _tried(db, state, coupon, on, act):
    _put(db, state, coupon)
    sent = act()
    [row] = db.execute("SELECT status, step FROM orders").fetchall()
    if tuple(row) != state:
        yield on, tuple(row), ", ".join(map(events.name_of, sent))


def _put(db, state, coupon):
    """The order in this state, alone in the database."""
    now = time.time()
    placed = store.add_to_outbox(db, order.NAME, events.new("order.placed", request="r", **PLACED))
    row = (1, "o-1", "ann", "p-1", 1, "c-1" if coupon else None, 5, *state, "no", now, now, events.stored(placed))
    db.execute(f"INSERT OR REPLACE INTO orders VALUES ({', '.join('?' * len(row))})", row)
