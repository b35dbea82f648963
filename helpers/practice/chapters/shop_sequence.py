"""Exercises on the order sequence: two on a shop that the learner runs, two functions that read its traces."""

from collections import Counter

from ...observe.ask import ask
from ...shop import faults, steps
from ..broker_state import check_sorted_list, listed, records, send, short
from ..exercise import Exercise, Incorrect
from ..learner import call

# ---- money-back ----------------------------------------------------------------------------------------------------


def needs_shop(mine):
    """Raises unless it is a shop that shop.start returned, with its inbox and outbox, and an order was placed in it."""
    if not hasattr(mine, "sql") or not hasattr(mine, "statuses"):
        raise Incorrect(f"mine is {short(mine)}", "a running shop", "mine = shop.start(lab)")
    for guard in ("inbox", "outbox"):
        if not getattr(mine.settings, guard):
            raise Incorrect(f"a shop without an {guard}", "one with its guards", f"shop.start without {guard}=False")
    if not mine.statuses():
        advice = "mine.charge(...), then mine.order(...): it returns 202 when the order is accepted, or says why not"
        if gone := mine.not_running():
            advice = f"not running: {listed(gone)}. mine.restart({gone[0]!r}), then mine.order(...)"
        raise Incorrect("a shop without an order", "an order", advice)


def check_money_back(lab, mine):
    needs_shop(mine)
    orders = {row["id"]: row for row in mine.sql("order", "SELECT id, status, reason FROM orders ORDER BY number")}
    if still := [order for order, row in orders.items() if row["status"] in ("RUNNING", "CANCELLING")]:
        advice = (
            "mine.settle(30) waits for it. If it has waited in vain: a step that fails is tried again, for an hour; "
            "one that says no is not"
        )
        raise Incorrect(f"{listed(still)} is still on its way", "a quiet shop", advice)
    ledger = mine.sql("balance", "SELECT orders, kind, amount FROM ledger WHERE orders IS NOT NULL ORDER BY id")
    taken = {row["orders"]: row["amount"] for row in ledger if row["kind"] == "deduct" and row["amount"]}
    back = {row["orders"]: row["amount"] for row in ledger if row["kind"] == "refund" and row["amount"]}
    advice = "the shop gives back what it has to cancel: nothing by hand. Begin with a new shop"
    for order in sorted(back):
        status = orders[order]["status"] if order in orders else "no order"
        if status != "CANCELLED":
            raise Incorrect(f"{order} is refunded, and {status}", "a cancelled order", advice)
        if order not in taken:
            raise Incorrect(f"{order} is refunded, and nothing was deducted", "a deduction and its refund", advice)
    if back:
        order = min(back)
        return f"{order}: {taken[order]:,} and {back[order]:+,} in the ledger, {orders[order]['status']}"
    if not taken:
        reasons = sorted({row["reason"] for row in orders.values() if row["reason"]})
        advice = "who has too little is refused before anything is taken: charge more than the price"
        if "not enough balance" not in reasons:
            advice = "the order failed before the balance's turn: a step after it has to fail"
        raise Incorrect(f"nothing was deducted ({listed(reasons)})", "a deduction and its refund", advice)
    if stuck := [order for order, row in orders.items() if order in taken and row["status"] == "NEEDS_OPERATOR"]:
        advice = "nobody knows whether such an order is paid: the provider has to say no, and not to fail"
        raise Incorrect(f"NEEDS_OPERATOR: {listed(stuck)}", "a deduction and its refund", advice)
    advice = "the step after the deduction has to say no: the provider, who is told so before the order"
    raise Incorrect(f"paid for and completed: {listed(taken)}", "a deduction and its refund", advice)


SHOP = """
    from helpers import shop

    mine = shop.start(lab{settings})
    {before}
    mine.charge("eve", {amount})
    mine.settle(30)
    mine.order("eve", "p-2")
    {after}
"""
DECLINE = 'mine.behave("provider", {"do": "decline", "times": 1})'
FAIL = 'mine.behave("provider", {"do": "fail"})'
SETTLE = "mine.settle(30)"
GIVEN_UP = """from helpers.lab import wait_until
    wait_until(lambda: "NEEDS_OPERATOR" in mine.statuses(), "the end of patience")"""
KILLED = """from helpers.lab import wait_until
    wait_until(lambda: "balance" not in mine.running(), "the crash")"""
DIED_AT_CHARGE = f"""
    from helpers import shop

    mine = shop.start(lab, crash={{"service": "balance", "point": "after_ack"}})
    mine.charge("eve", 10_000)
    {KILLED}
"""
WITHOUT = "from helpers import shop\nmine = shop.start(lab, {guard}=False)"


def one_order(settings="", before="", amount=10_000, after=SETTLE):
    """The source of one order in a shop of one's own."""
    return SHOP.format(settings=settings, before=before, amount=amount, after=after)


MONEY_BACK = Exercise(
    id="money-back",
    chapter="sequence",
    text="""
        **Money back.** Start a shop, `mine = shop.start(lab)`, and bring about an order whose money is taken **and**
        given back: the ledger of the balance service has a deduction and a refund for it. Wait until the shop is quiet.
    """,
    answers=["mine"],
    start="""
        # your code
        mine = ...
    """,
    check=check_money_back,
    hints=[
        "Which step comes right after the deduction? It has to refuse.",
        "mine.behave(server, rule) makes somebody else's server behave badly; the chapter has used it.",
        'mine.behave("provider", {"do": "decline", "times": 1}), then charge, order and settle.',
    ],
    reference=one_order(before=DECLINE),
    wrong={
        "failing": (one_order(before=FAIL, after=""), "one that says no is not"),
        "nobody-there": (DIED_AT_CHARGE, "not running: balance. mine.restart("),
        "unknown": (one_order(", patience=5", FAIL, after=GIVEN_UP), "the provider has to say no, and not to fail"),
        "sold-out": (one_order(', products={"p-2": (2000, 0)}'), "a step after it has to fail"),
    },
)

# ---- written-twice -------------------------------------------------------------------------------------------------


def check_written_twice(lab, mine):
    needs_shop(mine)
    if mine.replaced():
        advice = "begin with a new shop, and start no other after it"
        raise Incorrect("the topics are another shop's by now", "the shop that was started last", advice)
    sold = lab.name("shop.product.sold")  # not from a relay: what was aborted stands there a second time
    twice = [one for name in shop_topics(lab) if name != sold for one in more_than_once(lab, name)]
    if not twice:
        raise Incorrect("no ce_id is twice in a topic", "one that is", advice_on_writing(mine.settings))
    if not any(n > 1 for n in sent(mine).values()):
        advice = f"not by hand: {advice_on_writing(mine.settings)}"
        raise Incorrect(f"{twice[0]} is there twice, and no relay has sent it twice", "a relay that has", advice)
    if found := mine.sql("balance", "SELECT ce_id FROM ledger GROUP BY ce_id HAVING count(*) > 1"):
        ids = listed(row["ce_id"] for row in found)
        raise Incorrect(f"{ids} is twice in the ledger", "one effect", "leave the inbox as it is")
    if set(found := mine.statuses()) != {"COMPLETED"}:
        late = f"it waited longer than patience={mine.settings.patience:g} s, and was given up: begin with a new shop"
        advice = late if "NEEDS_OPERATOR" in found else "mine.restart(...), then mine.settle(30)"
        if "CANCELLED" in found:
            reason = mine.sql("order", "SELECT reason FROM orders WHERE status = 'CANCELLED'")[0]["reason"]
            advice = f"a cancelled order stays so ({reason}): begin with a new shop"
        raise Incorrect(f"orders: {found}", "all COMPLETED", advice)
    return f"{twice[0]} is there twice, its effect once, and every order is COMPLETED"


def sent(mine):
    """How often each event was sent to each topic by a relay, by the step logs."""
    return Counter((one["topic"], one["ce_id"]) for one in steps.read(mine.folder) if one["step"] == "sending")


def shop_topics(lab):
    """The full names of the topics of commands, replies and events, if a shop has run in this lab."""
    return sorted(name for name in ask(lab, lambda admin: admin.list_topics()) if name.startswith(lab.name("shop.")))


def more_than_once(lab, name):
    """ "deducted.v1 (balance-2)" for each event that stands more than once in a topic of the shop."""
    found = Counter((one["ce_type"], one["ce_id"]) for one in records(lab, name)["headers"] if "ce_id" in one)
    topic = name.removeprefix(lab.prefix)
    return [f"{kind.removeprefix('shop.')} ({ce_id}) in {topic}" for (kind, ce_id), n in found.items() if n > 1]


def advice_on_writing(settings):
    """What to try, by the crash that the learner has asked for."""
    points = sorted({crash["point"] for crash in faults.crashes(settings)})
    if not points:
        return 'nobody was killed: shop.start(lab, crash={"service": ..., "point": ...})'
    writer = "Who writes is the relay: kill it between the acknowledgement and its mark"
    if points == ["before_answer"]:
        return f"before_answer: then the customer asks again, and no record is written. {writer}"
    if "after_ack" not in points:
        return f"{' and '.join(points)}: then the record is read again. {writer}"
    relays = {crash["service"] for crash in faults.crashes(settings) if crash["point"] == "after_ack"}
    if all(faults.to_come(settings, service) for service in relays):
        return "nobody has been killed yet: no event of the crash's type has come, or of its order"
    return "the relay has left no mark: mine.restart(...) lets it write again what it has written before"


def crash_at(point, kind):
    """The settings that kill the balance service there."""
    return f', crash={{"service": "balance", "point": "{point}", "type": "{kind}"}}'


AGAIN = 'mine.restart("balance")\n    mine.settle(30)'
TOO_LATE = f'{GIVEN_UP}\n    mine.restart("stock")\n    mine.settle(30)'
STOCK = ', crash={"service": "stock", "point": "after_ack", "type": "stock.reserved"}'
ACKNOWLEDGED_REFUSAL = crash_at("after_ack", "balance.refused")
ACKNOWLEDGED, COMMITTED = crash_at("after_ack", "balance.deducted"), crash_at("after_db_commit", "balance.deduct")

UNANSWERED = """
    from helpers import shop
    from helpers.broker import LabError

    mine = shop.start(lab, crash={"service": "order", "point": "before_answer"})
    try:
        mine.charge("eve", 10_000, key="a")
    except LabError:
        mine.restart("order")
    mine.charge("eve", 10_000, key="a")
    mine.order("eve", "p-2")
    mine.settle(30)
"""

WRITTEN_TWICE = Exercise(
    id="written-twice",
    chapter="sequence",
    text="""
        **Written twice, done once.** In the chapter a record was *read* twice. Start a shop, `mine`, in which a service
        *writes* a record twice: the same `ce_id` stands at two offsets of a topic. The shop keeps its guards. Every
        order has to be `COMPLETED` in the end, and nothing may be in the ledger twice.
    """,
    answers=["mine"],
    start="""
        # your code
        mine = ...
    """,
    check=check_written_twice,
    hints=[
        "Who writes into a topic? The relay: it publishes, gets the acknowledgement, and marks the row of the outbox.",
        "helpers/shop/faults.py lists the POINTS where a service can be killed. One is between those last two.",
        'crash={"service": "balance", "point": "after_ack", "type": "balance.deducted"}, an order, and a restart.',
    ],
    reference=one_order(ACKNOWLEDGED, after=AGAIN),
    wrong={
        "no-inbox": (WITHOUT.format(guard="inbox"), "without inbox=False"),
        "no-outbox": (WITHOUT.format(guard="outbox"), "without outbox=False"),
        "asked-twice": (UNANSWERED, "then the customer asks again"),
        "read-twice": (one_order(COMMITTED, after=AGAIN), "the record is read again"),
        "too-late": (one_order(STOCK + ", patience=5", after=TOO_LATE), "was given up"),
        "too-poor": (one_order(ACKNOWLEDGED_REFUSAL, amount=100, after=AGAIN), "stays so (not enough balance)"),
    },
)

# ---- back-to-request -----------------------------------------------------------------------------------------------

CAUSES = [  # (ce_id, causationid): two orders, and one record that stands there twice, as in a retry topic
    ("order-1", "request-a"),
    ("order-2", "request-a"),
    ("order-3", "request-b"),
    ("stock-1", "order-2"),
    ("stock-2", "order-3"),
    ("order-5", "stock-1"),
    ("balance-1", "order-5"),
    ("balance-2", "order-5"),
    ("balance-2", "order-5"),
]
ASKED = ["balance-2", "stock-2", "order-1"]


def make_causes(lab):
    topic = lab.topic("causes", partitions=3)
    rows = [
        {"value": b"{}", "headers": [("ce_id", ce_id.encode()), ("ce_causationid", cause.encode())]}
        for ce_id, cause in reversed(CAUSES)
    ]
    send(lab, topic, [row | {"partition": number % 3} for number, row in enumerate(rows)])


def check_trail(lab, trail):
    look(trail, [dict(headers) for headers in records(lab, lab.name("causes"))["headers"]], ASKED)
    shop, ended = headers_of_shop(lab)
    look(trail, shop, ended[:MOST_ORDERS])
    asked = len(ended[:MOST_ORDERS])
    if not asked:
        return f"right for {len(ASKED)} prepared events; the chapter's shop has no orders yet"
    orders = f"{asked} order" + "s" * (asked != 1)
    return f"right for {len(ASKED)} prepared events, and for the last event of {orders} of the shop"


MOST_ORDERS = 20


def headers_of_shop(lab):
    """The headers of the shop's records, if it has run in this lab, and the ids of the orders' last events."""
    found = [one for name in shop_topics(lab) for one in records(lab, name)["headers"] if "ce_id" in one]
    return found, [one["ce_id"] for one in found if one["ce_type"].startswith(("shop.order.comp", "shop.order.canc"))]


def look(trail, headers, ids):
    """Raises Incorrect for the first id whose trail is not right."""
    causes = {one["ce_id"]: one["ce_causationid"] for one in headers}
    for ce_id in ids:
        right = [ce_id]
        while right[0] in causes:
            right.insert(0, causes[right[0]])
        found = call(trail, headers, ce_id)
        if found != right:
            raise Incorrect(
                f"trail(headers, {ce_id!r}) is {found!r}"[:200], listed(right), advice_on_trail(right, found)
            )


def advice_on_trail(right, found):
    """What may be wrong, by what came out."""
    if not isinstance(found, list):
        return "a list of ids"
    if found == right[::-1]:
        return "begin with the request: it came first"
    if found == right[1:]:
        return "the request belongs to it, though no record has its id"
    if found == right[:-1]:
        return "the event itself is the last one"
    if found == right[-2:]:
        return "one step only: ask for the cause of the cause, until no record has that id"
    return "each one's causationid is the ce_id before it; nothing else belongs to it"


def trail_of(end="return found", begin="found = [ce_id]", loop="while found[0] in causes"):
    """The source of a trail."""
    return f"""
        def trail(headers, ce_id):
            causes = {{one["ce_id"]: one["ce_causationid"] for one in headers}}
            {begin}
            {loop}:
                found.insert(0, causes[found[0]])
            {end}
    """


BACK_TO_REQUEST = Exercise(
    id="back-to-request",
    chapter="sequence",
    topic="causes",
    text="""
        **Back to the request.** `headers` is a list of dicts, the headers of many records under their full names
        (`ce_id`, `ce_causationid`), in no order. Write `trail(headers, ce_id)`: the list of ids that leads to this
        event, from the request (`request-...`, of which there is no record) to the event itself. The check tries it on
        `topic`, and then on the shop's own topics.
    """,
    answers=["trail"],
    start="""
        def trail(headers, ce_id):
            # your code
            ...
    """,
    prepare=make_causes,
    check=check_trail,
    hints=[
        "Make a dict first, from each ce_id to its ce_causationid.",
        "Walk backwards: the cause, the cause of the cause, until an id is not in the dict. That is the request.",
        "found.insert(0, causes[found[0]]) puts a cause in front.",
    ],
    reference=trail_of(),
    wrong={
        "reversed": (trail_of("return found[::-1]"), "begin with the request"),
        "without-request": (trail_of("return found[1:]"), "the request belongs to it"),
        "without-itself": (trail_of("return found[:-1]"), "the event itself is the last one"),
        "one-step": (trail_of(loop="for _ in range(1)"), "ask for the cause of the cause"),
        "a-text": (trail_of('return " ".join(found)'), "a list of ids"),
    },
)

# ---- overtaken -----------------------------------------------------------------------------------------------------

LEDGERS = [
    ([], [], "an empty ledger is in order"),
    ([("ann", "order-1"), ("ann", "order-2")], [], "all in order"),
    ([("ann", "order-2"), ("ann", "order-1")], ["ann"], "order-1 came after order-2"),
    ([("ann", "order-9"), ("ann", "order-10")], [], "9 comes before 10: compare numbers, not texts"),
    ([("ann", "order-99"), ("ann", "order-100")], [], "99 comes before 100: all digits count"),
    ([("ann", "order-5"), ("ben", "order-2"), ("ann", "order-6")], [], "different users may overtake each other"),
    ([("ann", "order-1"), ("ann", "order-4")], [], "a gap is no break: other users have order-2 and order-3"),
    ([("ann", f"order-{n}") for n in (1, 3, 2, 4)], ["ann"], "order-2 came after order-3, in the middle"),
    ([("ann", "order-5"), ("ben", "order-2"), ("ann", "order-4")], ["ann"], "ben's entry stands between ann's two"),
    ([("ann", "order-3"), ("ann", "order-2"), ("ann", "order-1")], ["ann"], "each user once"),
    ([("ann", "order-3"), ("ann", "order-3")], ["ann"], "the same command twice is a break too"),
    ([("cho", "order-2"), ("ann", "order-8"), ("cho", "order-1"), ("ann", "order-7")], ["ann", "cho"], "sorted"),
    ([(user, f"order-{n}") for n in (2, 1) for user in "edcba"], list("abcde"), "sorted"),
]


def check_overtaken(lab, overtaken):
    for ledger, right, why in LEDGERS:
        found = call(overtaken, list(ledger))
        check_sorted_list(found, right, f"overtaken({ledger})", why)
    return f"right for {len(LEDGERS)} ledgers"


def checker(number='int(ce_id.rpartition("-")[2])', key="user", broken="<=", end="return sorted(users)"):
    """The source of a checker of I5."""
    return f"""
        def overtaken(ledger):
            last, users = {{}}, set()
            for user, ce_id in ledger:
                number = {number}
                if {key} in last and number {broken} last[{key}]:
                    users.add(user)
                last[{key}] = number
            {end}
    """


ENDS_ONLY = """
    def overtaken(ledger):
        numbers = {}
        for user, ce_id in ledger:
            numbers.setdefault(user, []).append(int(ce_id.rpartition("-")[2]))
        return sorted(user for user, n in numbers.items() if n[0] > n[-1] or len(n) > len(set(n)))
"""

OVERTAKEN = Exercise(
    id="overtaken",
    chapter="sequence",
    text="""
        **The checker.** `ledger` is a list of `(user, ce_id)`, as the balance service has written it. The ids are
        `order-17`: the number says when the command was issued. Write `overtaken(ledger)`: the sorted list of the users
        of whom a command was handled after a later one, or twice. That is invariant I5.
    """,
    answers=["overtaken"],
    start="""
        def overtaken(ledger):
            # your code
            ...
    """,
    check=check_overtaken,
    hints=[
        "Remember for each user the number of the last entry.",
        'int(ce_id.rpartition("-")[2]) is the number.',
        "A number that is not above the user's last one is a break.",
    ],
    reference=checker(),
    wrong={
        "as-text": (checker("ce_id"), "compare numbers, not texts"),
        "one-line-for-all": (checker(key='"all"'), "different users may overtake each other"),
        "twice-is-fine": (checker(broken="<"), "the same command twice"),
        "a-set": (checker(end="return users"), "is set()"),
        "a-tuple": (checker(end="return tuple(sorted(users)) or []"), "the names are right: a sorted list"),
        "prints": (checker(end="print(sorted(users))"), "is there a return?"),
        "gaps": (checker(broken="!= 1 +"), "a gap is no break"),
        "two-digits": (checker("int(ce_id[6:8])"), "all digits count"),
        "ends-only": (ENDS_ONLY, "in the middle"),
        "once-each-break": (checker().replace("set()", "[]").replace(".add(", ".append("), "each user once"),
    },
)

EXERCISES = [MONEY_BACK, WRITTEN_TWICE, BACK_TO_REQUEST, OVERTAKEN]
