"""The shop's parts, without a broker: events, handlers, the saga, retries, the baseline."""

import contextlib
import copy
import http.client
import sqlite3
import threading
from collections import defaultdict
from types import SimpleNamespace

import pytest

from helpers.shop import (
    asyncapi,
    baseline,
    coupon,
    events,
    order,
    plan,
    retry,
    run,
    settings,
    states,
    steps,
    stock,
    store,
    topics,
    web,
)
from helpers.shop import balance as balances
from helpers.shop.log_checks import aborted_reads, backward_polls, duplicates, lost_writes, sends
from helpers.shop.story import Story

ORDER = {"orderId": "o-1", "userId": "ann"}


@pytest.fixture
def db(tmp_path):
    """One database with the tables of all services; three products, one coupon of which there is one."""
    tables = "".join(part.TABLES for part in (balances, stock, coupon, order))
    db = store.connect(tmp_path / "all.db", tables)
    chosen = settings.Settings(tmp_path, "", products={"p-1": (1000, 3)}, coupons={"c-1": (500, 1)})
    stock.prepare(db, chosen)
    coupon.prepare(db, chosen)
    yield db
    db.close()


def handled(db, module, name, **data):
    """The names of the events that a handler answers with."""
    command = events.new(name, request="request-1", **data)
    return [events.name_of(event) for event in module.HANDLERS[name](db, command)]


def one(db, query):
    return tuple(db.execute(query).fetchone())


def test_an_event_is_the_same_after_kafka():
    sent = events.new("balance.deduct", request="request-1", **ORDER, amount=500)
    key, value, headers = events.to_record(sent)
    came = events.from_record(SimpleNamespace(key=key, value=value, headers=headers))
    assert key == b"ann"
    assert came.get_data() == sent.get_data()
    assert {"ce_id", "ce_type", "ce_source", "ce_subject", "ce_time", "content-type"} <= {name for name, _ in headers}
    assert (came.get_extension("correlationid"), came.get_extension("causationid")) == ("o-1", "request-1")


def test_an_effect_takes_on_order_trace_and_cause():
    cause = events.new("balance.deduct", request="request-1", **ORDER, amount=500)
    effect = events.new("balance.deducted", cause, orderId="o-1", balance=0)
    trace = [event.get_extension("traceparent").split("-")[1] for event in (cause, effect)]
    assert trace[0] == trace[1]
    assert effect.get_extension("causationid") == cause.get_id()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("balance.deduct", ORDER | {"amount": 0}),
        ("balance.deduct", ORDER | {"amount": "5"}),
        ("balance.deduct", ORDER),
        ("balance.deduct", ORDER | {"amount": 5, "more": 1}),
        ("balance.steal", ORDER | {"amount": 5}),
    ],
)
def test_what_does_not_fit_its_schema_is_refused_by_the_writer(name, data):
    with pytest.raises(events.BadEvent):
        events.new(name, request="request-1", **data)


@pytest.mark.parametrize("change", [{"value": b"\xff"}, {"value": b"{}"}, {"headers": []}, {"key": b"\xff"}])
def test_what_does_not_fit_its_schema_is_refused_by_the_reader(change):
    key, value, headers = events.to_record(events.new("balance.deduct", request="r", **ORDER, amount=500))
    with pytest.raises(events.BadEvent):
        events.from_record(SimpleNamespace(**{"key": key, "value": value, "headers": headers} | change))


def test_each_event_type_goes_to_a_declared_topic_with_its_key():
    declared = {topic.name: topic for topic in topics.TOPICS}
    assert all(key in declared[topic].key.split(" or ") for topic, key, _ in events.TYPES.values())


def test_an_outbox_gives_ids_in_order(db):
    with store.transaction(db):
        ids = [
            store.add_to_outbox(db, "x", events.new("order.placed", request="r", **PLACED)).get_id() for _ in range(2)
        ]
    assert ids == ["x-1", "x-2"]


PLACED = ORDER | {"productId": "p-1", "quantity": 1, "amount": 5}


def test_a_transaction_is_all_or_nothing(db):
    with pytest.raises(events.BadEvent):
        _half_done(db)
    assert store.first_time(db, "balance", "x-1")
    assert not store.first_time(db, "balance", "x-1")


def _half_done(db):
    with store.transaction(db):
        store.first_time(db, "balance", "x-1")
        raise events.BadEvent


def test_not_enough_balance_is_an_answer(db):
    assert handled(db, balances, "balance.charge", userId="ann", chargeId="c", amount=400) == ["user.balance"]
    assert handled(db, balances, "balance.deduct", **ORDER, amount=500) == ["balance.refused"]
    assert handled(db, balances, "balance.deduct", **ORDER, amount=300) == ["balance.deducted", "user.balance"]
    assert one(db, "SELECT amount FROM balance") == (100,)
    assert one(db, "SELECT sum(amount) FROM ledger") == (100,)


def test_a_refund_before_the_deduction_refuses_it(db):
    handled(db, balances, "balance.charge", userId="ann", chargeId="c", amount=400)
    handled(db, balances, "balance.refund", **ORDER, amount=300)
    assert handled(db, balances, "balance.deduct", **ORDER, amount=300) == ["balance.refused"]
    assert one(db, "SELECT amount FROM balance") == (400,)


def test_stock_is_reserved_sold_and_released(db):
    goods = {"orderId": "o-1", "productId": "p-1", "quantity": 2}
    assert handled(db, stock, "stock.reserve", **goods) == ["stock.reserved"]
    assert handled(db, stock, "stock.reserve", **goods | {"orderId": "o-2"}) == ["stock.refused"]
    handled(db, stock, "stock.confirm", **goods)
    handled(db, stock, "stock.release", **goods)  # too late: it is sold
    assert one(db, "SELECT free, reserved, sold FROM stock") == (1, 0, 2)


def test_a_release_before_the_reservation_refuses_it(db):
    goods = {"orderId": "o-1", "productId": "p-1", "quantity": 2}
    handled(db, stock, "stock.release", **goods)
    assert handled(db, stock, "stock.reserve", **goods) == ["stock.refused"]
    assert one(db, "SELECT free, reserved FROM stock") == (3, 0)


def test_a_coupon_goes_to_the_first_and_comes_back(db):
    held = {"orderId": "o-1", "couponId": "c-1", "userId": "ann"}
    assert handled(db, coupon, "coupon.hold", **held) == ["coupon.held"]
    assert handled(db, coupon, "coupon.hold", **held | {"orderId": "o-2"}) == ["coupon.refused"]
    assert handled(db, coupon, "coupon.hold", **held | {"orderId": "o-3", "userId": "ben"}) == ["coupon.refused"]
    handled(db, coupon, "coupon.release", **held)
    assert handled(db, coupon, "coupon.hold", **held | {"orderId": "o-4", "userId": "ben"}) == ["coupon.held"]


def test_a_claimed_coupon_is_the_users_until_an_order_uses_it(db):
    claim = {"claimId": "claim-1", "couponId": "c-1", "userId": "ann"}
    assert handled(db, coupon, "coupon.issue", **claim) == ["coupon.issued"]
    assert handled(db, coupon, "coupon.issue", **claim | {"claimId": "claim-2"}) == ["coupon.denied"]
    assert handled(db, coupon, "coupon.issue", **claim | {"claimId": "claim-3", "userId": "ben"}) == ["coupon.denied"]
    held = {"orderId": "o-1", "couponId": "c-1", "userId": "ann"}
    assert handled(db, coupon, "coupon.hold", **held | {"orderId": "o-2", "userId": "ben"}) == ["coupon.refused"]
    assert handled(db, coupon, "coupon.hold", **held) == ["coupon.held"]
    handled(db, coupon, "coupon.release", **held)
    assert one(db, "SELECT left FROM coupon") == (0,)  # hers, though no order holds it
    assert handled(db, coupon, "coupon.hold", **held | {"orderId": "o-3"}) == ["coupon.held"]


def placed(db, tmp_path, **body):
    chosen = settings.Settings(tmp_path, "", products={"p-1": (1000, 3)})
    order.place_order(db, chosen, {"userId": "ann", "productId": "p-1", "quantity": 1} | body, "request-1")


def reply(db, name, **data):
    event = events.new(name, request="request-1", orderId="o-0001", **data)
    return [events.name_of(effect) for effect in order.on_reply(db, event)]


def test_the_saga_goes_forward(db, tmp_path):
    placed(db, tmp_path, couponId="c-1")
    replies = ["coupon.held", "stock.reserved", "balance.deducted", "payment.paid", "coupon.confirmed"]
    more = {"balance.deducted": {"balance": 0}}
    commands = [reply(db, name, **more.get(name, {})) for name in replies]
    assert commands == [
        ["stock.reserve"],
        ["balance.deduct"],
        ["payment.pay"],
        ["coupon.confirm"],
        ["stock.confirm"],
    ]
    assert reply(db, "stock.confirmed") == ["order.completed"]
    assert one(db, "SELECT status FROM orders") == ("COMPLETED",)


def test_the_saga_takes_back_in_reverse(db, tmp_path):
    placed(db, tmp_path)
    reply(db, "stock.reserved")
    reply(db, "balance.deducted", balance=0)
    assert reply(db, "payment.refused", reason="declined") == ["balance.refund"]
    assert reply(db, "balance.refunded", balance=0) == ["stock.release"]
    assert reply(db, "stock.released") == ["order.cancelled"]
    assert one(db, "SELECT status, reason FROM orders") == ("CANCELLED", "declined")


def test_replies_that_come_twice_or_out_of_order_change_nothing(db, tmp_path):
    placed(db, tmp_path)
    assert reply(db, "balance.deducted", balance=0) == []
    assert reply(db, "stock.reserved") == ["balance.deduct"]
    assert reply(db, "stock.reserved") == []


def test_an_order_that_waits_too_long_is_given_up(db, tmp_path):
    placed(db, tmp_path)
    impatient = settings.Settings(tmp_path, "", patience=-1)
    assert [events.name_of(event) for event in order.tick(db, impatient)] == ["stock.release"]
    assert [events.name_of(event) for event in order.tick(db, settings.Settings(tmp_path, ""))] == []


def test_a_retry_keeps_the_event_and_goes_on_to_the_dlq(db, tmp_path):
    event = events.new("payment.pay", request="r", **ORDER, amount=5)
    chosen, headers, marks = settings.Settings(tmp_path, "x-"), [], []
    for _ in range(4):
        record = SimpleNamespace(topic="x-shop.payment.command", partition=1, offset=2, headers=headers)
        marks.append(event.get_id() + retry.attempt_mark(record))
        assert store.first_time(db, "payment", marks[-1])
        last = retry.later(db, chosen, "payment", SimpleNamespace(record=record, event=event, failed="503"))
        row = db.execute("SELECT * FROM outbox ORDER BY id DESC").fetchone()
        headers = [(name, str(text).encode()) for name, text in store.json.loads(row["headers"]).items()]
    found = [tuple(row) for row in db.execute("SELECT ce_id, topic FROM outbox ORDER BY id")]
    assert found == [(event.get_id(), f"payment.{name}") for name in ("retry.1s", "retry.5s", "retry.30s", "dlq")]
    assert last
    assert all(store.first_time(db, "payment", mark) for mark in marks)  # who replays it begins anew


# The checks of the logs, each on a log that is right and on one that is not

THERE = {("t", "a-1"): [(0, 5)], ("t", "a-2"): [(0, 6), (0, 7)]}
STEP = {"service": "a", "member": "a", "topic": "t", "partition": 0, "t": 1.0}


def step(name, ce_id, offset=None, **more):
    return STEP | {"step": name, "ce_id": ce_id, "offset": offset} | more


def said(check, *lines, moves=()):
    seen = SimpleNamespace(places=defaultdict(list, THERE), place=lambda topic, ce_id: f"{topic} {ce_id}")
    events_of = [{"event": "assigned", "t": t} for t in moves]
    run = SimpleNamespace(team=SimpleNamespace(processes=[SimpleNamespace(name="a", events=events_of)]))
    return list(check(run, seen, lines))


def test_a_lost_write_is_found():
    assert said(lost_writes, step("published", "a-1", 5)) == []
    assert said(lost_writes, step("published", "a-3", 5)) == ["a-3 was acknowledged at t[0]@5, where a-1 is"]
    assert said(lost_writes, step("published", "a-3", 9)) == ["a-3 was acknowledged at t[0]@9, where nothing is"]


def test_a_duplicate_that_nobody_sent_is_found():
    twice = [step("sending", "a-2"), step("sending", "a-2"), step("published", "a-2", 7)]
    assert said(duplicates, *twice) == []
    assert said(duplicates, *twice[1:]) == ["a-2 was sent 1 times, and is at t a-2"]
    refused = step("failed", "a-2", final=True)
    assert said(duplicates, twice[0], refused, *twice[1:]) == ["a-2 was sent 1 times, and is at t a-2"]


def test_an_aborted_read_is_found():
    assert said(aborted_reads, step("received", "a-1", 5)) == []
    assert said(aborted_reads, step("received", "x-1", 8)) == ["a received t[0]@8 (x-1), which is not there"]


def test_a_refusal_is_told_from_what_another_group_receives():
    told, place = object.__new__(Story), ("t", 0, 7)
    told.lines = [step("received", "a-1", 7), step("received", "a-1", 7, service="b", t=1.5)]
    refused = {("a", 2.0, *place), ("b", 2.5, *place)}
    assert told.delivery("a", place, 1.0, set(), refused) == "refused"
    assert told.delivery("b", place, 1.5, set(), refused) == "refused"
    assert told.delivery("c", place, 1.0, set(), refused) == "deliver"
    told.lines.append(step("received", "a-1", 7, t=1.8))
    assert told.delivery("a", place, 1.0, set(), refused) == "deliver"


def test_reading_backwards_is_found_unless_the_partition_was_assigned_anew():
    back = [step("received", "a-2", 6), step("received", "a-1", 5, t=3.0)]
    assert said(backward_polls, *back) == ["a received t[0]@5 after offset 6"]
    assert said(backward_polls, *back, moves=[2.0]) == []


def test_a_send_is_ok_or_failed_or_unknown(tmp_path):
    log = steps.Steps(tmp_path, "a", "a")
    about = {"ce_id": "a-1", "topic": "t"}
    for name, more in [
        ("sending", {}),
        ("sending", {}),
        ("failed", {"final": True}),
        ("sending", {}),
        ("published", {}),
    ]:
        log(name, [about | more])
    log("failed", [about | {"ce_id": "a-2", "final": False}])
    log("sending", [about | {"ce_id": "a-2"}])
    log("failed", [about | {"ce_id": "a-2", "final": False}])
    found = sends(SimpleNamespace(folder=tmp_path))
    assert found["outcome"].tolist() == ["unknown", "fail", "ok", "unknown"]


# The order API, asked without a server


@pytest.fixture
def api(tmp_path):
    return order.Api(settings.Settings(tmp_path, ""), threading.Event(), None)


def ask(api, path, body, **headers):
    return api.answer(web.Request("POST", path, {"Idempotency-Key": "k"} | headers, body))


def rows_of(api):
    tables = ("orders", "outbox", "request", "claim")
    return [api.local.db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables]


ORDERED = {"userId": "ann", "productId": "p-1", "quantity": 1}
CHARGED = {"userId": "ann", "amount": 5}
CLAIMED = {"userId": "ann", "couponId": "c-1"}


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/orders", ORDERED | {"productId": "p-99"}, "no product p-99"),
        ("/orders", ORDERED | {"couponId": "c-99"}, "no coupon c-99"),
        ("/orders", ORDERED | {"quantity": 0}, "quantity must be bigger"),
        ("/orders", ORDERED | {"quantity": -1}, "quantity must be bigger"),
        ("/orders", ORDERED | {"quantity": 10**30}, "quantity must be smaller"),
        ("/orders", ORDERED | {"quantity": 1.5}, "quantity must be integer"),
        ("/orders", ORDERED | {"amount": 1}, "must not contain {'amount'}"),
        ("/orders", ORDERED | {"userId": ""}, "userId must be longer"),
        ("/orders", {}, "must contain"),
        ("/charges", CHARGED | {"amount": 0}, "amount must be bigger"),
        ("/charges", CHARGED | {"amount": -5}, "amount must be bigger"),
        ("/charges", CHARGED | {"amount": events.MOST_MONEY + 1}, "amount must be smaller"),
        ("/charges", CHARGED | {"amount": float("nan")}, "amount must be integer"),
        ("/charges", CHARGED | {"amount": "5"}, "amount must be integer"),
        ("/charges", CHARGED | {"amount": True}, "amount must be integer"),
        ("/coupons", {"userId": "ann", "couponId": "c-99"}, "no coupon c-99"),
        ("/coupons", {"userId": "ann"}, "must contain"),
    ],
)
def test_a_bad_request_is_told_why_and_leaves_nothing(api, path, body, says):
    status, answer = ask(api, path, body)
    assert status == 422
    assert says in answer["error"]
    assert rows_of(api) == [0, 0, 0, 0]


@pytest.mark.parametrize(("path", "body"), [("/orders", ORDERED), ("/charges", CHARGED), ("/coupons", CLAIMED)])
def test_a_repeated_key_has_one_effect(api, path, body):
    first = ask(api, path, body)
    before = rows_of(api)
    assert first[0] == 202
    assert ask(api, path, body) == first
    assert ask(api, path, body | {"userId": "ben"})[0] == 422
    assert ask(api, "/orders", ORDERED | {"quantity": 7})[0] == 422
    assert rows_of(api) == before


@pytest.mark.parametrize("key", ["", "k" * 65])
def test_a_request_without_a_proper_key_is_refused(api, key):
    assert ask(api, "/orders", ORDERED, **{"Idempotency-Key": key})[0] == 400
    assert rows_of(api) == [0, 0, 0, 0]


def test_a_locked_database_is_told_and_the_same_key_works_later(api, monkeypatch):
    monkeypatch.setattr(store, "BUSY", 0)
    with contextlib.closing(sqlite3.connect(api.settings.database("order"), isolation_level=None)) as other:
        api.local.db.execute("PRAGMA busy_timeout = 0")
        other.execute("BEGIN IMMEDIATE")
        status, answer = ask(api, "/orders", ORDERED)
        assert (status, "ask again with the same key" in answer["error"]) == (503, True)
        other.execute("ROLLBACK")
    assert ask(api, "/orders", ORDERED)[0] == 202
    assert rows_of(api)[0] == 1


@pytest.mark.parametrize("data", [b"{", b"[]", b'"x"', b"\xff", b"{" + b" " * web.LONGEST + b"}"])
def test_a_body_that_is_no_json_object_is_refused(tmp_path, data):
    web.Server(tmp_path, "order-api", lambda request: (202, {}))
    address = (tmp_path / "order-api.address").read_text()
    with contextlib.closing(http.client.HTTPConnection(address, timeout=5)) as connection:
        connection.request("POST", "/orders", data)
        assert connection.getresponse().status == 400


def test_a_plan_is_the_same_for_a_seed():
    assert plan(50, 5, seed=1) == plan(50, 5, seed=1)
    assert plan(50, 5, seed=1) != plan(50, 5, seed=2)


def test_the_baseline_ends_every_order():
    result = baseline(plan(50, 5, seed=1))
    assert result["completed"] + result["cancelled"] == result["orders"] == 50
    assert result["completed"]


def ways(table, **where):
    for column, value in where.items():
        table = table[table[column] == value]
    return set(zip(table["state"], table["on"], table["next"], table["sends"], strict=True))


def test_each_state_of_an_order_leads_to_an_end_and_no_end_leads_on():
    table = states.transitions()
    assert set(table["next"]) - set(table["state"]) == set(states.ENDS)
    assert not set(table["state"]) & set(states.ENDS)


def test_the_pivot_is_where_taking_back_ends():
    table = states.transitions()
    assert ("payment pay", "payment.refused", "balance refund", "balance.refund") in ways(table)
    assert ("payment pay", "no answer", "NEEDS_OPERATOR", "order.stuck") in ways(table)
    assert ways(table, state="coupon confirm") == {
        ("coupon confirm", "coupon.confirmed", "stock confirm", "stock.confirm"),
        ("coupon confirm", "no answer", "NEEDS_OPERATOR", "order.stuck"),
    }


def test_without_a_coupon_its_steps_are_left_out():
    assert not any("coupon" in state for state in states.transitions(coupon=False)["state"])


def test_the_states_are_those_of_the_code_as_it_is(monkeypatch):
    before = ways(states.transitions())
    monkeypatch.setattr(order, "PIVOT", 2)
    assert ways(states.transitions()) != before


def test_the_asyncapi_document_is_valid_and_whole():
    found = asyncapi.document()
    before = copy.deepcopy(found)
    asyncapi.check(found)
    assert found == before, "the check has changed what it checks"
    assert {name: channel["bindings"]["kafka"]["partitions"] for name, channel in found["channels"].items()} == {
        topic.name: topic.partitions for topic in topics.TOPICS
    }
    said = [name for channel in found["channels"].values() for name in channel["messages"]]
    assert sorted(said) == sorted(events.TYPES)


@pytest.mark.parametrize(
    "breaks",
    [
        lambda found: found["info"].pop("version"),
        lambda found: found["channels"]["shop.order.event"].update(partitions=6),
        lambda found: found["channels"]["shop.order.event"]["bindings"]["kafka"].update(partitions="six"),
        lambda found: found["operations"]["write.shop.order.event"].update(action="publish"),
        lambda found: found["operations"]["write.shop.order.event"].update(channel={"$ref": "#/channels/nowhere"}),
        lambda found: found["components"]["messages"]["balance.deduct"]["payload"].update(type="money"),
        lambda found: found["components"]["messages"].pop("balance.deduct"),
    ],
)
def test_a_broken_asyncapi_document_is_refused(breaks):
    found = copy.deepcopy(asyncapi.document())
    breaks(found)
    with pytest.raises(asyncapi.BadDocument):
        asyncapi.check(found)


@pytest.mark.parametrize(
    ("answers", "status"), [([503, web.NoAnswer("silent"), 202], 202), ([422], 422), ([503] * 99, 503)]
)
def test_a_customer_asks_again_with_the_same_key_while_there_is_no_answer(monkeypatch, answers, status):
    monkeypatch.setattr(run, "INSIST", 0.5)
    keys, left = [], list(answers)

    def ask(method, path, body, **headers):
        keys.append(headers["Idempotency-Key"])
        if isinstance(left[0], Exception):
            raise left.pop(0)
        return left.pop(0), {}

    shop_that_runs = SimpleNamespace(check_running=lambda: None)
    assert run._insist(shop_that_runs, SimpleNamespace(ask=ask), "/orders", {}, "key-1") == (status, {})
    assert set(keys) == {"key-1"}
